use proptest::prelude::*;
use record::Cell;
use stats::{BinningRule, CategoricalBins, NumericBins, RangeRule};

use super::*;

const RULES: BuildRules =
    BuildRules { binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax }, categories: 100 };

fn built(fill: impl FnOnce(&mut ColumnBuilder)) -> FeatureProfile {
    let mut column = ColumnBuilder::default();
    fill(&mut column);
    column.finish("f", &RULES)
}

fn example() -> Profile {
    let mut builder = ProfileBuilder::new(RULES);
    for i in 0..100 {
        builder.column("amount").push_number(f64::from(i) * 0.1);
        builder.column("country").push_text(if i % 3 == 0 { "DE" } else { "FR" });
    }
    builder.column("amount").push_missing(5);
    builder.finish("fraud", 1_769_860_800_123)
}

fn refused(from: &str, to: &str) -> String {
    let text = example().to_json_pretty();
    assert!(text.contains(from), "{text}");
    Profile::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_document_has_the_documented_keys() {
    let json: serde_json::Value = serde_json::from_str(&example().to_json_pretty()).unwrap();
    assert_eq!(json["driftline_profile"], 1);
    assert_eq!(json["created_at"], "2026-01-31T12:00:00.123Z");
    assert_eq!(json["rows"], 105);
    assert_eq!(json["schema_hash"].as_str().unwrap().len(), 64);
    let [amount, country] = [&json["features"][0], &json["features"][1]];
    assert_eq!((&amount["type"], &amount["binning"]), (&"numeric".into(), &"equal-width".into()));
    assert_eq!((amount["min"].as_f64(), amount["missing"].as_u64()), (Some(0.0), Some(5)));
    assert_eq!(amount["edges"].as_array().unwrap().len(), 9);
    assert_eq!(amount["counts"].as_array().unwrap().len(), 10);
    assert_eq!(country["categories"], serde_json::json!(["DE", "FR"]));
    assert_eq!(country["counts"], serde_json::json!([34, 66, 0]), "the last one is `other`");
    assert_eq!(country["missing"], 5, "a shorter column is filled up");
}

#[test]
fn a_broken_document_is_refused_with_the_key_at_fault() {
    assert!(refused("\"driftline_profile\": 1", "\"driftline_profile\": 7").contains("is `7`"));
    assert!(refused("driftline_profile", "other").contains("not a reference profile"));
    assert!(refused("\"DE\",", "").contains("features[1].counts"));
    assert!(refused("\"DE\"", "\"FR\"").contains("features[1].categories"));
    assert!(refused("\"DE\"", "\"IT\"").contains("schema_hash"));
    assert!(refused("\"min\": 0.0,", "").contains("features[0].min"));
    assert!(refused("\"name\": \"country\"", "\"name\": \"amount\"").contains("features[1].name"));
    assert!(refused("2026-01-31T", "yesterday ").contains("created_at"));
    assert!(refused("\"missing\": 5", "\"missing\": 18446744073709551615").contains("features[0].counts"));
    assert!(Profile::from_json(b"{").unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn the_hash_covers_names_and_bins_but_not_counts() {
    let profile = example();
    let mut counts = profile.clone();
    counts.features[0].counts[0] += 1;
    assert_eq!(counts.schema_hash(), profile.schema_hash());
    let mut name = profile.clone();
    name.features[0].name.push('x');
    assert_ne!(name.schema_hash(), profile.schema_hash());
    let mut edge = profile.clone();
    edge.features[0].bins = NumericBins::equal_width(0.0, 9.95, 10).unwrap().into();
    assert_ne!(edge.schema_hash(), profile.schema_hash());
}

#[test]
fn the_majority_decides_the_type_of_a_column() {
    let numeric = built(|column| {
        for x in [0.0, 1.0, 1.0, 0.0, 1.0] {
            column.push_number(x);
        }
        column.push_text("1");
        column.push_text("n/a");
    });
    assert!(numeric.bins.is_ordered(), "few distinct numbers are numbers all the same");
    assert_eq!((numeric.rows(), numeric.missing(), numeric.counts[9]), (7, 1, 4));

    let categorical = built(|column| {
        column.push_number(1.0);
        column.push_number(0.5);
        column.push_text("1");
        column.push_text("01");
    });
    let Bins::Categorical(bins) = &categorical.bins else { panic!("{categorical:?}") };
    assert_eq!(bins.categories(), ["0.5", "01", "1"]);
    assert_eq!(categorical.counts, [1, 1, 2, 0, 0]);
}

#[test]
fn a_column_of_missing_values_puts_the_first_value_into_other() {
    let feature = built(|column| column.push_missing(9));
    assert_eq!(feature.counts, [0, 9]);
    assert_eq!(slot_of(&feature.bins, Cell::Number(3.0), &mut String::new()), 0);
}

#[test]
fn rare_and_overlong_texts_belong_to_other() {
    let rules = BuildRules { categories: 1, ..RULES };
    let mut column = ColumnBuilder::default();
    column.push_texts("often", 5);
    column.push_text("rare");
    column.push_text(&"x".repeat(MAX_TEXT_BYTES + 1));
    column.push_others(2);
    assert_eq!(column.finish("f", &rules).counts, [5, 4, 0]);
}

#[test]
fn slots_of_mixed_types() {
    let mut scratch = String::new();
    let numbers = Bins::from(NumericBins::equal_width(0.0, 4.0, 4).unwrap());
    let texts = Bins::from(CategoricalBins::new(vec!["1".to_owned(), "true".to_owned()]).unwrap());
    let mut at = |bins: &Bins, cell| slot_of(bins, cell, &mut scratch);
    assert_eq!(at(&numbers, Cell::Text(" 2.5 ")), 2);
    assert_eq!(at(&numbers, Cell::Text("inf")), 4, "not finite is missing");
    assert_eq!(at(&texts, Cell::Number(f64::INFINITY)), 3);
    assert_eq!(at(&texts, Cell::Text("-Infinity")), 3);
    assert_eq!(at(&numbers, Cell::Text("true")), 1);
    assert_eq!(at(&numbers, Cell::Text("n/a")), 4);
    assert_eq!(at(&numbers, Cell::Number(f64::NAN)), 4);
    assert_eq!(at(&texts, Cell::Number(1.0)), 0);
    assert_eq!(at(&texts, Cell::Text("false")), 2);
    assert_eq!(at(&texts, Cell::Missing), 3);
}

#[test]
fn the_largest_constant_survives() {
    let feature = built(|column| column.push_number(f64::MAX));
    let profile = Profile {
        name: String::new(),
        created_at_ms: i64::MAX,
        rows: 1,
        features: vec![feature],
        tenants: Vec::new(),
    };
    let read = Profile::from_json(profile.to_json_pretty().as_bytes()).unwrap();
    assert_eq!(read.features, profile.features);
}

#[test]
fn features_too_wide_for_live_windows_are_named() {
    let feature =
        |bins| FeatureProfile::new("f", NumericBins::equal_width(0.0, 1.0, bins).unwrap(), vec![0; bins + 1]);
    let profile = |bins| Profile {
        name: String::new(),
        created_at_ms: 0,
        rows: 0,
        features: vec![feature(bins)],
        tenants: Vec::new(),
    };
    assert!(profile(255).check_live().is_ok());
    assert!(profile(256).check_live().unwrap_err().to_string().contains("features.f"));
}

proptest! {
    #[test]
    fn reading_back_gives_the_same_profile_to_the_last_bit(
        numbers in prop::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 1..60),
        texts in prop::collection::vec(".{0,5}", 0..20),
        quantile in any::<bool>(),
        bins in 2usize..30,
        at in -62_135_596_800_000_i64..253_402_300_000_000,
    ) {
        let binning = if quantile { BinningRule::Quantile { bins } }
            else { BinningRule::EqualWidth { bins, range: RangeRule::MinMax } };
        let mut builder = ProfileBuilder::new(BuildRules { binning, categories: 10 });
        numbers.iter().for_each(|x| builder.column("numbers").push_number(*x));
        texts.iter().for_each(|text| builder.column("texts").push_text(text));
        let profile = builder.finish("p", at);
        let read = Profile::from_json(profile.to_json_pretty().as_bytes()).unwrap();
        prop_assert_eq!(&read, &profile);
        prop_assert_eq!(read.schema_hash(), profile.schema_hash());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Profile::from_json(&bytes).is_err());
    }
}
