use std::path::PathBuf;

use monitor::profile::BuildRules;
use serde_json::{Value, json};
use stats::{BinningRule, Bins, RangeRule};

use super::super::summary::ROWS_MAX;
use super::*;

const RULES: BuildRules =
    BuildRules { binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax }, categories: 250 };

fn read(document: &Value) -> (Result<Profile>, Vec<String>) {
    let mut notes = Vec::new();
    let summary = Summary::new("fraud".to_owned(), RULES, &[], &mut notes);
    (profile(document.to_string().as_bytes(), summary), notes)
}

fn one(name: &str, rows: f64, statistics: Value) -> Value {
    let mut feature = statistics;
    feature["name"] = json!(name);
    json!({ "version": 0, "dataset": { "item_count": rows }, "features": [feature] })
}

fn numbers(present: f64, kll: &Value) -> Value {
    json!({ "inferred_type": "Fractional", "numerical_statistics": {
        "common": { "num_present": present, "num_missing": 0.0 }, "min": 0.0, "max": 10.0, "distribution": { "kll": kll } } })
}

#[test]
fn a_value_of_a_level_stands_for_its_rows() {
    let kll = json!({ "sketch": { "parameters": { "c": 0.64, "k": 8.0 }, "data": [[0.5, 9.5], [2.5], [4.5, 4.6]] } });
    let (made, notes) = read(&one("amount", 14.0, numbers(12.0, &kll)));
    let feature = &made.unwrap().features[0];
    // 0 and 10 are known to be the ends; two rows have no value.
    assert_eq!(feature.counts, [1, 0, 2, 0, 8, 0, 0, 0, 0, 1, 2]);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn buckets_are_taken_where_the_sketch_does_not_hold_all() {
    let buckets: Vec<Value> = (0..10)
        .map(|n| json!({ "lower_bound": f64::from(n), "upper_bound": f64::from(n + 1), "count": f64::from(n) }))
        .collect();
    let kll = json!({ "buckets": buckets, "sketch": { "data": [[1.0]] } });
    let (made, notes) = read(&one("amount", 45.0, numbers(45.0, &kll)));
    assert!(notes[0].contains("so its buckets are taken"), "{notes:?}");
    let feature = &made.unwrap().features[0];
    let Bins::Numeric(bins) = &feature.bins else { panic!("{feature:?}") };
    assert_eq!((bins.len(), feature.rows()), (10, 45));
    let least = json!({ "buckets": buckets[..5] });
    let error = format!("{:#}", read(&one("amount", 45.0, numbers(45.0, &least))).0.unwrap_err());
    assert!(error.contains("feature `amount`: there are 45 values"), "{error}");
}

#[test]
fn values_that_are_not_named_belong_to_other() {
    let statistics = json!({ "inferred_type": "String", "string_statistics": {
        "common": { "num_present": 90, "num_missing": 10 }, "distinct_count": 40.0,
        "distribution": { "categorical": { "buckets": [{ "value": "DE", "count": 50 }, { "value": "FR", "count": 30 }] } } } });
    let (made, _) = read(&one("country", 100.0, statistics));
    let feature = &made.unwrap().features[0];
    let Bins::Categorical(bins) = &feature.bins else { panic!("{feature:?}") };
    assert_eq!(bins.categories(), ["DE", "FR"]);
    assert_eq!(feature.counts, [50, 30, 10, 10]);
}

#[test]
fn a_large_data_set_is_thinned_out_and_keeps_its_shares() {
    let level = 20;
    let mut data = vec![json!([]); level];
    data.push(json!([1.5, 2.5, 2.6, 8.5]));
    let rows = f64::from(4 << level);
    let (made, notes) = read(&one("amount", rows, numbers(rows, &json!({ "sketch": { "data": data } }))));
    let made = made.unwrap();
    assert!(notes[0].contains("are taken for"), "{notes:?}");
    let counts = &made.features[0].counts;
    assert!(made.rows <= ROWS_MAX && counts.iter().sum::<u64>() == made.rows, "{made:?}");
    let share = |bin: usize| counts[bin] as f64 / made.rows as f64;
    assert!((share(2) - 0.5).abs() < 1e-5 && (share(8) - 0.25).abs() < 1e-5, "{counts:?}");
}

#[test]
fn what_is_no_such_document_is_refused_with_its_place() {
    let refused = |document: &Value| format!("{:#}", read(document).0.unwrap_err());
    assert!(refused(&json!({ "rows": [] })).contains("no statistics.json of SageMaker Model Monitor"));
    let nothing =
        json!({ "dataset": { "item_count": 3 }, "features": [{ "name": "a", "inferred_type": "Unknown" }] });
    let (made, notes) = read(&nothing);
    assert!(made.is_err() && notes[0].contains("`a` is left out"), "{notes:?}");
    for (rows, present) in [(-1.0, 1.0), (2.5, 1.0), (1.0, 2.0), (1.0, 1e300)] {
        let sketch = json!({ "sketch": { "data": [[1.0, 2.0]] } });
        refused(&one("a", rows, numbers(present, &sketch)));
    }
    let mut twice = json!({ "dataset": { "item_count": 2 }, "features": [
        numbers(2.0, &json!({ "sketch": { "data": [[1.0, 2.0]] } })), numbers(2.0, &json!({ "sketch": { "data": [[1.0, 2.0]] } })) ] });
    (0..2).for_each(|n| twice["features"][n]["name"] = json!("a"));
    assert!(refused(&twice).contains('a'));
}

#[test]
fn thousands_of_levels_are_no_number() {
    let kll = json!({ "sketch": { "data": vec![json!([1.0]); 4_000] } });
    assert!(read(&one("a", 5.0, numbers(5.0, &kll))).0.is_err());
    let huge = json!({ "buckets": [{ "lower_bound": -1e308, "upper_bound": 1e308, "count": 5.0 }] });
    assert!(read(&one("a", 5.0, numbers(5.0, &huge))).0.is_err());
}

#[test]
fn the_rows_themselves_give_nearly_the_same() {
    let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let mut notes = Vec::new();
    let file = std::fs::read(testdata.join("sagemaker-statistics.json")).unwrap();
    let exclude = ["origin".to_owned()];
    let made = profile(&file, Summary::new("flights".to_owned(), RULES, &exclude, &mut notes)).unwrap();
    assert_eq!(notes, [""; 0]);
    let names: Vec<&str> = made.features.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["temp", "dewp", "visib", "distance", "carrier"]);
    let mut columns: Vec<ColumnBuilder> = names.iter().map(|_| ColumnBuilder::default()).collect();
    let mut rows = csv::Reader::from_path(testdata.join("flights.csv")).unwrap();
    let header = rows.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|one| one == name).unwrap();
    for row in rows.records().map(Result::unwrap).filter(|row| row[place("phase")] == *"reference") {
        for (name, column) in names.iter().zip(&mut columns) {
            match (&row[place(name)], *name) {
                ("", _) => column.push_missing(1),
                (text, "carrier") => column.push_text(text),
                (text, _) => column.push_number(text.parse().unwrap()),
            }
        }
    }
    for (column, made) in columns.into_iter().zip(&made.features) {
        let exact = column.finish(&made.name, &RULES);
        assert_eq!(made.rows(), 6_000);
        assert_eq!(made.missing(), exact.missing(), "{}", made.name);
        if made.name == "carrier" {
            let (Bins::Categorical(named), Bins::Categorical(all)) = (&made.bins, &exact.bins) else {
                panic!()
            };
            assert_eq!(named.categories().len(), 10, "the others are `other`");
            for category in named.categories() {
                assert_eq!(
                    made.counts[named.index(category)],
                    exact.counts[all.index(category)],
                    "{category}"
                );
            }
            continue;
        }
        assert_eq!(made.bins, exact.bins, "{}: both ends are known", made.name);
        for (a, b) in made.counts.iter().zip(&exact.counts) {
            // The rank of a sketch with k = 200 is off by 1.3 %.
            let apart = (*a as f64 - *b as f64).abs() / 6_000.0;
            assert!(apart < 0.027, "{}: {:?} {:?}", made.name, made.counts, exact.counts);
        }
    }
}
