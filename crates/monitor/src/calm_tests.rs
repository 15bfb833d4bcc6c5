//! Belongs here: unchanged traffic, however awkward, is never judged as drift, and a change still is.

use record::{FeatureValue, Record};

use crate::testing::{Chance, feed, number, record, spec, text};
use crate::{Engine, ReferenceSpec, Verdict};

fn row(tenant: &str, x: FeatureValue) -> Record {
    Record { tenant: Some(tenant.to_owned()), ..record([("x", x)]) }
}

/// Seen while rows went by, over 5 tenants and their total.
#[derive(Debug, Default)]
struct Seen {
    /// PSIs above 0.2 that were judged as more than chance.
    failed: usize,
    /// Detectors that have raised an alarm, and the largest drift that they see.
    alarms: usize,
    drift: f64,
}

/// The rows that are learned from: the first 1 000, then as many of each tenant.
const LEARNED: usize = 6_000;

/// Learns, and looks at the next `rows`.
fn look_at(rows: usize, mut x: impl FnMut(usize) -> FeatureValue) -> Seen {
    let mut spec = spec(ReferenceSpec::Learn { rows: 1_000 });
    (spec.window, spec.alpha, spec.limits.categories) = (1_000, 0.001, 100);
    let (mut engine, mut seen) = (Engine::new(vec![spec]), Seen::default());
    for i in 0..LEARNED + rows {
        feed(&mut engine, [row(["a", "b", "c", "d", "e"][i % 5], x(i))]);
        if i % if i < LEARNED { 200 } else { 40 } > 0 {
            continue;
        }
        let readings = engine.readings(i as i64);
        if i < LEARNED {
            continue;
        }
        for reading in readings.models[0].windows.iter().flat_map(|window| &window.features) {
            seen.failed += usize::from(reading.psi > 0.2 && reading.verdict == Verdict::Fail);
        }
    }
    let readings = engine.readings(0);
    for detector in readings.models[0].windows.iter().filter_map(|window| window.detector.as_ref()) {
        seen.alarms += usize::from(detector.alarms > 0);
        seen.drift = seen.drift.max(detector.psi());
    }
    seen
}

#[test]
fn many_categories_are_no_drift_until_they_change() {
    let even = [20, 50, 60, 100, 150, 200, 300, 500, 1_000].map(|categories| (categories, 1.0));
    let tailed = [(100, 2.0), (300, 2.0), (200, 3.0), (500, 3.0), (1_000, 5.0), (5_000, 5.0)];
    let mut alarms = 0;
    for (categories, power) in even.into_iter().chain(tailed) {
        let what = format!("{categories} categories, power {power}");
        let mut chance = Chance(7 + categories);
        let mut draw =
            |from: u64| text(&format!("c{}", from + (chance.next().powf(power) * categories as f64) as u64));
        let calm = look_at(3_000, |_| draw(0));
        assert_eq!(calm.failed, 0, "{what}: {calm:?}");
        assert!(calm.drift < 0.1, "{what}: {calm:?}");
        alarms += calm.alarms;
        let moved = look_at(1_000, |i| draw(if i < LEARNED { 0 } else { categories / 2 }));
        assert_eq!(moved.alarms, 6, "{what}: {moved:?}");
        // Among many even categories only some have bins, and these are too rare for a PSI to mean anything.
        assert!(power < 2.0 && categories > 100 || moved.failed > 10, "{what}: {moved:?}");
    }
    assert!(alarms <= 1, "{alarms} of 90 detectors were wrong in 3 000 rows");
}

#[test]
fn rows_that_are_sent_again_and_again_are_no_large_drift() {
    for seed in 0..6 {
        let mut chance = Chance(11 + seed);
        let values: Vec<f64> = (0..LEARNED + 600).map(|_| chance.normal()).collect();
        // Learned from rows of their own, then each row five times.
        let row =
            |i: usize| number(if i < LEARNED { values[i] } else { values[LEARNED + (i - LEARNED) / 5] });
        for rows in [120, 160, 200, 300, 600, 3_000] {
            let seen = look_at(rows, row);
            assert_eq!(seen.failed, 0, "{rows} rows, seed {seed}: {seen:?}");
            assert!(seen.drift <= 0.25, "{rows} rows, seed {seed}: {seen:?}");
        }
    }
}

#[test]
fn rows_that_hang_together_are_no_drift_until_they_change() {
    let mut chance = Chance(3);
    let mut level = 0.0;
    let mut slow = move |shift: f64| {
        level = 0.9 * level + (1.0_f64 - 0.81).sqrt() * chance.normal();
        number(level + shift)
    };
    let calm = look_at(6_000, |_| slow(0.0));
    assert!(
        calm.failed == 0 && calm.alarms <= 1 && calm.drift < 0.1,
        "each row resembles the one before: {calm:?}"
    );
    let moved = look_at(6_000, |i| slow(if i < LEARNED { 0.0 } else { 2.0 }));
    assert!(moved.failed > 100, "two standard deviations: {moved:?}");
}

#[test]
fn a_new_field_of_one_customer_and_then_of_all_moves_nothing() {
    let mut chance = Chance(29);
    let mut spec = spec(ReferenceSpec::Learn { rows: 1_000 });
    (spec.window, spec.alpha) = (1_000, 0.001);
    let mut engine = Engine::new(vec![spec]);
    engine.set_active("m", "v1");
    let mut reasons = Vec::new();
    for i in 0..16_000 {
        let tenant = ["a", "b", "c", "d", "e"][i % 5];
        let mut row = row(tenant, number(chance.normal()));
        // One begins while the reference is learned, the others follow much later.
        if tenant == "a" && i >= 900 || i >= 9_000 {
            row.features.insert("promo".to_owned(), number((chance.next() * 100.0).floor()));
        }
        feed(&mut engine, [row]);
        if i % 50 > 0 {
            continue;
        }
        let readings = engine.readings(i as i64);
        let model = &readings.models[0];
        let promo = model.features.iter().find(|feature| &*feature.feature == "promo");
        if let Some(promo) = promo.filter(|promo| reasons.last() != Some(&promo.reason)) {
            reasons.push(promo.reason);
        }
        if reasons.last() == Some(&"new_field") && i >= 1_000 {
            let new = model.quality.iter().find(|one| one.check == crate::Check::New).unwrap();
            assert_eq!(&*new.feature, "promo");
        }
        for window in &model.windows {
            let failed: Vec<_> = window.features.iter().filter(|one| one.verdict == Verdict::Fail).collect();
            let counts = || engine.histograms("m", "v1", record::Lane::Prod, &window.tenant);
            assert!(failed.is_empty(), "row {i}, {}: {failed:?} {:?}", window.tenant, counts());
            let alarms = window.detector.as_ref().map_or(0, |detector| detector.alarms);
            assert_eq!(alarms, 0, "row {i}, {}: {:?}", window.tenant, window.detector);
        }
    }
    assert_eq!(reasons, ["new_field", "judged"]);
}
