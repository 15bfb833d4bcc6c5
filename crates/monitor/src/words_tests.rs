use std::sync::Arc;

use record::{Lane, Record};
use stats::{BinningRule, RangeRule};

use crate::profile::{BuildRules, Profile, ProfileBuilder};
use crate::testing::{BASELINE, feed, number, record, spec, text};
use crate::{DetectorReference, Engine, ReferenceSpec};

/// `amount` from 1 to 834 (most of them small), `country` one of three, `score` even over [0, 1); 2 000 rows.
fn trained() -> Engine {
    let mut builder = ProfileBuilder::new(BuildRules {
        binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax },
        categories: 100,
    });
    let rows: Vec<(f64, &str, f64)> = (0..2_000).map(|i| row(i, 1.0)).collect();
    for (amount, country, score) in &rows {
        builder.column("amount").push_number(*amount);
        builder.column("country").push_text(country);
        builder.column("score").push_number(*score);
    }
    let mut profile: Profile = builder.finish("training", 5);
    for feature in &mut profile.features {
        let cell = |(amount, country, score): &'_ (f64, &'static str, f64)| match feature.name.as_str() {
            "amount" => record::Cell::Number(*amount),
            "country" => record::Cell::Text(country),
            _ => record::Cell::Number(*score),
        };
        let cells: Vec<record::Cell<'_>> = rows.iter().map(cell).collect();
        feature.detector = DetectorReference::of_rows(feature.name != "country", cells.into_iter());
        if let Some(detector) = &mut feature.detector {
            detector.tau = 1.0;
        }
    }
    Engine::new(vec![spec(ReferenceSpec::Profile { profile: Arc::new(profile), learn: 100 })])
}

fn row(i: usize, factor: f64) -> (f64, &'static str, f64) {
    let part = (i * 7_919 % 2_003) as f64 / 2_003.0;
    let amount = (1.0 + part.powi(4) * 833.0) * factor;
    (amount, ["DE", "FR", "US"][i * 31 % 7 % 3], (i * 4_001 % 1_009) as f64 / 1_009.0)
}

fn send(engine: &mut Engine, n: usize, change: impl Fn(usize, &mut (f64, &'static str, f64))) {
    let one = |i: usize| -> Record {
        let mut values = row(i + 17, 1.0);
        change(i, &mut values);
        let (amount, country, score) = values;
        record([("amount", number(amount)), ("country", text(country)), ("score", number(score))])
    };
    feed(engine, (0..n).map(one));
}

/// What the window and the detector say of a feature.
fn said(engine: &mut Engine, feature: &str) -> [Option<String>; 2] {
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    let drift = window.detector.as_ref().and_then(|detector| detector.drift.clone());
    let suspects = drift.map(|drift| drift.suspects).unwrap_or_default();
    let suspect = suspects.into_iter().find(|one| *one.feature == *feature).map(|one| one.change);
    [window.of(feature, BASELINE).and_then(|reading| reading.change.clone()), suspect]
}

#[test]
fn another_unit_is_named_with_its_factor() {
    let mut engine = trained();
    send(&mut engine, 400, |_, row| row.0 *= 100.0);
    for said in said(&mut engine, "amount").into_iter().flatten() {
        assert!(
            said.starts_with("amount: about 100 times larger (median 5") && said.ends_with("): unit?"),
            "{said}"
        );
    }
    assert!(said(&mut engine, "amount").iter().all(Option::is_some), "{:?}", said(&mut engine, "amount"));
    assert_eq!(said(&mut engine, "country"), [None, None], "it is as it was");
}

#[test]
fn a_new_category_is_named() {
    let mut engine = trained();
    send(&mut engine, 400, |i, row| {
        if i.is_multiple_of(5) {
            row.1 = "XX";
        }
    });
    let [window, detector] = said(&mut engine, "country");
    assert_eq!(window.as_deref(), Some("country: `XX` is 20 % (training 0 %)"));
    assert!(detector.is_some_and(|said| said.starts_with("country: `XX` is ")));
}

#[test]
fn values_beyond_the_training_are_named_with_how_far_they_reach() {
    let mut engine = trained();
    send(&mut engine, 2_000, |i, row| {
        if i % 20 == 7 {
            row.0 = 900.0 + i as f64 * 500.0;
        }
    });
    let [window, detector] = said(&mut engine, "amount");
    for said in [&window, &detector].into_iter().flatten() {
        assert!(said.starts_with("amount: 5 % above the training maximum of 83"), "{said}");
        assert!(said.contains("(now up to 9"), "{said}");
    }
    assert!(detector.is_some(), "{window:?}");
}

#[test]
fn a_score_that_is_always_the_same_is_named() {
    let mut engine = trained();
    send(&mut engine, 400, |_, row| row.2 = 0.5);
    let [window, detector] = said(&mut engine, "score");
    assert_eq!(window.as_deref(), Some("score: always 0.5"));
    assert_eq!(detector.as_deref(), Some("score: always 0.5"));
}
