//! From rows to readings: every kind of fault, and traffic that has none.

use record::{FeatureValue, Lane, Record};

use crate::profile::{BuildRules, ProfileBuilder};
use crate::testing::{number, record, spec, text};
use crate::{Check, Engine, ModelSpec, QualityReading, ReferenceSpec, Verdict};

/// Rows that a reference is learned from.
const LEARN: usize = 1_000;

/// A number in [0, 1) that looks like chance.
fn chance(i: usize, salt: u64) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn country(i: usize) -> FeatureValue {
    text(["DE", "FR", "IT", "US"][(chance(i, 2) * 4.0) as usize])
}

/// A row with numbers, categories, a long tail, a heavy tail, a sparse feature and answers.
fn row(i: usize) -> Record {
    let heavy = 10.0 / (1.0 - chance(i, 3));
    let merchant = format!("m{}", (1.0 / (0.001 + chance(i, 4))) as u64);
    let sparse = if chance(i, 5) < 0.9 { FeatureValue::Null } else { number(chance(i, 6)) };
    let mut row = record([
        ("amount", number((chance(i, 1) * 1e4).round() / 100.0)),
        ("country", country(i)),
        ("heavy", number(heavy)),
        ("merchant", text(&merchant)),
        ("sparse", sparse),
        ("flag", FeatureValue::Bool(chance(i, 7) < 0.3)),
    ]);
    if i.is_multiple_of(3) {
        row.features.remove("flag");
    }
    row.prediction.insert("score".to_owned(), number(chance(i, 8)));
    row.prediction.insert("label".to_owned(), text(if chance(i, 9) < 0.05 { "yes" } else { "no" }));
    row.ts = Some(i as i64);
    row
}

fn learning() -> ModelSpec {
    ModelSpec { window: 500, ..spec(ReferenceSpec::Learn { rows: LEARN }) }
}

fn feed(engine: &mut Engine, rows: impl IntoIterator<Item = Record>) {
    for row in rows {
        engine.observe_record(&row).unwrap();
    }
}

/// An engine that has learned and seen usual rows since; the next row is number 3 000.
fn learned() -> Engine {
    let mut engine = Engine::new(vec![learning()]);
    engine.set_active("m", "v1");
    feed(&mut engine, (0..3_000).map(row));
    assert_eq!(failing(&mut engine), []);
    engine
}

fn quality(engine: &mut Engine) -> Vec<QualityReading> {
    engine.readings(1).models.remove(0).quality
}

/// What fails beyond 5 % of the reference, as the default rule has it.
fn failing(engine: &mut Engine) -> Vec<(String, Check)> {
    let fails = |one: &QualityReading| one.excess().is_some_and(|excess| excess > 0.05);
    let found = quality(engine).into_iter().filter(fails);
    found.map(|one| (one.feature.to_string(), one.check)).collect()
}

fn only(engine: &mut Engine, feature: &str, check: Check) -> QualityReading {
    let found = quality(engine);
    let of = |one: &&QualityReading| *one.feature == *feature && one.check == check && *one.tenant == *"all";
    found.iter().find(of).cloned().unwrap_or_else(|| panic!("{feature} {check:?}: {found:#?}"))
}

/// Usual rows from number 3 000 on with one feature changed.
fn changed(n: usize, feature: &'static str, value: impl Fn(usize) -> Option<FeatureValue>) -> Vec<Record> {
    let with = |i: usize| {
        let mut row = row(i);
        match value(i) {
            Some(value) => row.features.insert(feature.to_owned(), value),
            None => row.features.remove(feature),
        };
        row
    };
    (3_000..3_000 + n).map(with).collect()
}

#[test]
fn every_fault_has_its_name_after_tens_of_rows() {
    type Change = (&'static str, fn(usize) -> Option<FeatureValue>, Check);
    let changes: [Change; 13] = [
        ("amount", |_| Some(FeatureValue::Null), Check::Missing),
        ("amount", |_| Some(text("N/A")), Check::Missing),
        ("amount", |_| Some(text("")), Check::Missing),
        ("amount", |_| None, Check::Absent),
        ("amount", |i| Some(text(&format!("{:.2}", chance(i, 1) * 100.0))), Check::Type),
        ("amount", |_| Some(text("12.5 EUR")), Check::Type),
        ("amount", |_| Some(FeatureValue::Bool(true)), Check::Type),
        ("country", |i| Some(number((i % 7) as f64)), Check::Type),
        ("country", |_| Some(text("XX")), Check::Unseen),
        ("country", |i| Some(text(["de", "fr"][i % 2])), Check::Unseen),
        ("amount", |i| Some(number(chance(i, 1) * 1e4 + 200.0)), Check::Range),
        ("amount", |_| Some(number(-1.0)), Check::Range),
        ("flag", |_| Some(FeatureValue::Null), Check::Missing),
    ];
    for (feature, value, check) in changes {
        let mut engine = learned();
        feed(&mut engine, changed(30, feature, value));
        let found = failing(&mut engine);
        assert!(found.contains(&(feature.to_owned(), check)), "{feature} {check:?}: {found:?}");
        assert!(found.iter().all(|(name, _)| name == feature), "{feature} {check:?}: {found:?}");
        let reading = only(&mut engine, feature, check);
        if feature != "flag" {
            assert_eq!(
                (reading.ratio, reading.n, reading.since_ms),
                (1.0, 30, Some(3_000)),
                "{feature} {check:?}"
            );
        }
    }
}

#[test]
fn the_first_fault_of_a_row_gives_the_words() {
    let mut engine = learned();
    feed(&mut engine, changed(60, "amount", |_| None));
    assert_eq!(failing(&mut engine)[0], ("amount".to_owned(), Check::Absent));
}

#[test]
fn one_value_again_and_again_is_constant() {
    let mut engine = learned();
    feed(&mut engine, changed(49, "amount", |_| Some(number(12.5))));
    assert_eq!(failing(&mut engine), []);
    feed(&mut engine, changed(5, "amount", |_| Some(number(12.5))));
    assert_eq!(failing(&mut engine), [("amount".to_owned(), Check::Constant)]);
    let reading = only(&mut engine, "amount", Check::Constant);
    assert_eq!((reading.ratio, reading.n, reading.since_ms), (1.0, 54, Some(3_000)));
    feed(&mut engine, (3_000..3_060).map(row));
    assert_eq!(failing(&mut engine), []);
    assert!(only(&mut engine, "amount", Check::Constant).excess() == Some(0.0), "told that it is over");
}

fn frozen(i: usize) -> Record {
    let mut row = row(i);
    row.prediction.insert("score".to_owned(), number(0.5));
    row.prediction.insert("label".to_owned(), text("no"));
    row
}

#[test]
fn a_frozen_answer_is_constant_and_a_request_that_is_repeated_is_not() {
    let mut engine = learned();
    feed(&mut engine, (3_000..3_060).map(frozen));
    assert_eq!(
        failing(&mut engine),
        [("prediction.score".to_owned(), Check::Constant)],
        "`no` 60 times is no news"
    );
    feed(&mut engine, (3_060..4_000).map(frozen));
    assert!(failing(&mut engine).contains(&("prediction.label".to_owned(), Check::Constant)));

    let mut engine = learned();
    feed(&mut engine, (0..2_000).map(|_| row(5)));
    let found = failing(&mut engine);
    assert!(found.iter().all(|(name, _)| !name.starts_with("prediction")), "{found:?}");
}

#[test]
fn an_answer_that_names_the_version_is_not_frozen() {
    let mut engine = Engine::new(vec![learning()]);
    engine.set_active("m", "v1");
    let tagged = |i: usize| {
        let version = if i.is_multiple_of(2) { "v1" } else { "v2" };
        let mut row = Record { version: Some(version.to_owned()), ..row(i) };
        row.prediction.insert("by".to_owned(), text(version));
        row
    };
    feed(&mut engine, (0..3_000).map(tagged));
    assert_eq!(failing(&mut engine), []);
}

#[test]
fn usual_rows_fail_nothing() {
    let mut engine = learned();
    for i in 3_000..40_000 {
        engine.observe_record(&row(i)).unwrap();
        if i.is_multiple_of(25) {
            assert_eq!(failing(&mut engine), [], "row {i}");
        }
    }
}

#[test]
fn tenants_that_differ_from_each_other_fail_nothing() {
    let mut engine = Engine::new(vec![learning()]);
    let of = |i: usize| {
        let tenant = i / 7 % 10;
        let mut row = Record { tenant: Some(format!("t{tenant}")), ..row(i) };
        if tenant == 3 {
            row.features.insert("country".to_owned(), text("PL"));
            row.features.remove("amount");
        }
        if tenant == 4 {
            row.features.insert("amount".to_owned(), text("12.5"));
            row.prediction.insert("score".to_owned(), number(0.0));
        }
        row
    };
    for i in 0..20_000 {
        engine.observe_record(&of(i)).unwrap();
        if i.is_multiple_of(50) {
            assert_eq!(failing(&mut engine), [], "row {i}");
        }
    }
    // One of them loses a feature.
    let broken = |i: usize| {
        let mut row = of(i);
        if row.tenant.as_deref() == Some("t5") {
            row.features.insert("amount".to_owned(), FeatureValue::Null);
        }
        row
    };
    feed(&mut engine, (20_000..20_400).map(broken));
    let found = quality(&mut engine);
    let fails = found.iter().filter(|one| one.excess().is_some_and(|excess| excess > 0.05));
    let names: Vec<_> = fails.map(|one| (&*one.tenant, &*one.feature, one.check)).collect();
    assert_eq!(names, [("t5", "amount", Check::Missing)]);
}

#[test]
fn another_mix_of_tenants_is_no_fault_and_a_break_of_all_is() {
    let mut engine = Engine::new(vec![learning()]);
    let of = |i: usize, share: f64| {
        let few = chance(i, 20) < share;
        let tenant = if few { "few".to_owned() } else { format!("t{}", i % 5) };
        let mut row = Record { tenant: Some(tenant), ..row(i) };
        if few {
            row.features.remove("amount");
        }
        row
    };
    feed(&mut engine, (0..3_000).map(|i| of(i, 0.1)));
    for i in 3_000..6_000 {
        engine.observe_record(&of(i, 0.8)).unwrap();
        if i.is_multiple_of(50) {
            assert_eq!(failing(&mut engine), [], "row {i}");
        }
    }
    let broken = |i: usize| {
        let mut row = of(i, 0.2);
        row.features.insert("amount".to_owned(), FeatureValue::Null);
        row
    };
    feed(&mut engine, (6_000..6_040).map(broken));
    assert_eq!(failing(&mut engine)[0], ("amount".to_owned(), Check::Missing));
    assert_eq!(&*only(&mut engine, "amount", Check::Missing).tenant, "all");
}

#[test]
fn alerts_can_end_after_a_restart() {
    let mut engine = learned();
    let clear = |engine: &mut Engine| {
        let found = quality(engine);
        let of_amount = found.iter().filter(|one| &*one.feature == "amount" && one.excess() == Some(0.0));
        of_amount.map(|one| one.check).collect::<Vec<_>>()
    };
    let all = [Check::Absent, Check::Missing, Check::Type, Check::Range, Check::Constant];
    assert_eq!(clear(&mut engine), all);
    let failed: Vec<_> = quality(&mut engine).into_iter().filter(|one| one.has_failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_nightly_batch_of_one_tenant_freezes_nothing() {
    let mut engine = Engine::new(vec![learning()]);
    let of = |i: usize, tenant: &str| Record { tenant: Some(tenant.to_owned()), ..row(i) };
    feed(&mut engine, (0..3_000).map(|i| of(i, if i.is_multiple_of(2) { "a" } else { "b" })));
    let batch = |i: usize| Record { tenant: Some("a".to_owned()), ..frozen(i) };
    feed(&mut engine, (3_000..5_000).map(batch));
    assert_eq!(failing(&mut engine), []);
    let all = |i: usize| Record {
        tenant: Some(if i.is_multiple_of(2) { "a" } else { "b" }.to_owned()),
        ..frozen(i)
    };
    feed(&mut engine, (5_000..5_100).map(all));
    assert!(failing(&mut engine).contains(&("prediction.score".to_owned(), Check::Constant)));
}

/// A profile of numbers and categories, as a training file gives it.
fn from_a_file() -> ModelSpec {
    let binning = stats::BinningRule::EqualWidth { bins: 10, range: stats::RangeRule::MinMax };
    let mut builder = ProfileBuilder::new(BuildRules { binning, categories: 100 });
    for i in 0..LEARN {
        builder.column("amount").push_number(chance(i, 1) * 100.0);
        builder.column("country").push_text(["DE", "FR", "IT", "US"][i % 4]);
    }
    let profile = std::sync::Arc::new(builder.finish("m", 5));
    ModelSpec { window: 500, ..spec(ReferenceSpec::Profile { profile, learn: 100 }) }
}

fn typed(i: usize, spelled: bool) -> Record {
    let amount = chance(i, 1) * 100.0;
    let amount = if spelled { text(&amount.to_string()) } else { number(amount) };
    Record { ts: Some(i as i64), ..record([("amount", amount), ("country", country(i))]) }
}

#[test]
fn clients_that_always_sent_strings_are_fine_and_one_that_begins_to_is_not() {
    let mut engine = Engine::new(vec![from_a_file()]);
    feed(&mut engine, (0..500).map(|i| typed(i, true)));
    assert_eq!(failing(&mut engine), []);
    let mut engine = Engine::new(vec![from_a_file()]);
    feed(&mut engine, (0..500).map(|i| typed(i, i.is_multiple_of(5))));
    assert_eq!(failing(&mut engine), [], "one of five clients");
    let mut engine = Engine::new(vec![from_a_file()]);
    feed(&mut engine, (0..100).map(|i| typed(i, false)));
    assert_eq!(failing(&mut engine), []);
    feed(&mut engine, (100..130).map(|i| typed(i, true)));
    assert_eq!(failing(&mut engine), [("amount".to_owned(), Check::Type)]);
    let mut engine = Engine::new(vec![from_a_file()]);
    feed(&mut engine, (0..40).map(|i| record([("amount", text("cheap")), ("country", country(i))])));
    assert_eq!(
        failing(&mut engine),
        [("amount".to_owned(), Check::Type)],
        "no number from the first request on"
    );
}

#[test]
fn what_the_reference_does_not_have_is_new() {
    let mut engine = Engine::new(vec![from_a_file()]);
    engine.set_active("m", "v1");
    let with = |i: usize| {
        let mut row = typed(i, false);
        row.features.insert("channel".to_owned(), text("web"));
        row
    };
    feed(&mut engine, (0..40).map(with));
    let new = only(&mut engine, "channel", Check::New);
    assert_eq!((new.ratio, new.n, new.lane), (1.0, 40, Lane::Prod));
    feed(&mut engine, (0..40).map(|i| record([("amout", number(chance(i, 1))), ("country", country(i))])));
    assert_eq!(failing(&mut engine)[0], ("amount".to_owned(), Check::Absent), "renamed");
}

#[test]
fn values_that_are_missing_are_no_drift() {
    let mut engine = learned();
    feed(&mut engine, changed(500, "amount", |_| Some(FeatureValue::Null)));
    // The verdict of the window, and whether the detector names the feature.
    let found = |engine: &mut Engine, feature: &str| {
        let readings = engine.readings(1);
        let window = &readings.models[0].windows[0];
        let reading = window.features.iter().find(|reading| *reading.feature == *feature).unwrap();
        let drift = window.detector.as_ref().unwrap().drift.as_ref().map(crate::DriftReading::describe);
        (reading.verdict, drift.is_some_and(|drift| drift.contains(feature)))
    };
    assert_eq!(found(&mut engine, "amount"), (Verdict::Fault, false));
    let mut engine = learned();
    feed(&mut engine, changed(500, "country", |i| Some(number((i % 7) as f64))));
    assert_eq!(found(&mut engine, "country"), (Verdict::Fault, false));
    let mut engine = learned();
    feed(&mut engine, changed(500, "amount", |i| Some(number(80.0 + chance(i, 1) * 20.0))));
    assert_eq!(found(&mut engine, "amount"), (Verdict::Fail, true));
}
