//! Belongs here: unchanged traffic, however awkward, is never judged as drift, and a change still is.

use record::{FeatureValue, Record};

use crate::testing::{feed, number, record, spec, text};
use crate::{Engine, ReferenceSpec, Verdict};

/// SplitMix64, even over [0, 1).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

fn row(tenant: &str, x: FeatureValue) -> Record {
    Record { tenant: Some(tenant.to_owned()), ..record([("x", x)]) }
}

/// Learns 1 000 rows and counts looks at which a PSI above 0.2 was judged as more than chance, among all looks at 5 tenants.
fn judged_as_drift(rows: usize, mut x: impl FnMut(usize) -> FeatureValue) -> (usize, usize) {
    let mut spec = spec(ReferenceSpec::Learn { rows: 1_000 });
    (spec.window, spec.alpha, spec.limits.categories) = (1_000, 0.001, 100);
    let mut engine = Engine::new(vec![spec]);
    let (mut failed, mut large) = (0, 0);
    for i in 0..1_000 + rows {
        feed(&mut engine, [row(["a", "b", "c", "d", "e"][i % 5], x(i))]);
        if i < 1_000 || i % 40 > 0 {
            continue;
        }
        let readings = engine.readings(i as i64);
        for reading in readings.models[0].windows.iter().flat_map(|window| &window.features) {
            large += usize::from(reading.psi > 0.2 && reading.verdict != Verdict::Inconclusive);
            failed += usize::from(reading.psi > 0.2 && reading.verdict == Verdict::Fail);
        }
    }
    (failed, large)
}

#[test]
fn many_categories_are_no_drift_until_they_change() {
    for (categories, power) in [(50, 1.0), (100, 1.0), (500, 1.0), (500, 3.0)] {
        let mut chance = Chance(7 + categories);
        let mut draw = |from: u64| from + (chance.next().powf(power) * categories as f64) as u64;
        let (failed, large) = judged_as_drift(3_000, |_| text(&format!("c{}", draw(0))));
        assert_eq!(failed, 0, "{categories} categories, calm");
        assert!(
            large > 100,
            "{categories}: {large} numbers are above 0.2, so there is something to leave out"
        );
        let moved = |i: usize| if i < 1_000 { 0 } else { categories / 2 };
        let (failed, _) = judged_as_drift(3_000, |i| text(&format!("c{}", draw(moved(i)))));
        assert!(failed > 100, "{categories} categories, half of them new: {failed}");
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
    let (failed, _) = judged_as_drift(6_000, |_| slow(0.0));
    assert_eq!(failed, 0, "each row resembles the one before");
    let (failed, _) = judged_as_drift(6_000, |i| slow(if i < 1_000 { 0.0 } else { 2.0 }));
    assert!(failed > 100, "two standard deviations: {failed}");
}
