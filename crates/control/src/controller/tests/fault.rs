//! Broken requests: what follows from them moves no traffic.

use monitor::{Check, QualityReading, Readings};
use record::Lane;

use super::Rig;
use crate::decision::Decision;
use crate::store::EventKind;
use crate::testing::drift;

/// Readings in which the predictions drift, with `missing` of the values of `amount`.
fn broken(at_ms: i64, missing: f64) -> Readings {
    let mut readings = drift(at_ms, "v2", 0.35);
    readings.models[0].quality.push(QualityReading {
        version: "v2".into(),
        lane: Lane::Prod,
        tenant: "all".into(),
        feature: "amount".into(),
        check: Check::Missing,
        ratio: missing,
        reference_ratio: 0.0,
        n: 200,
        since_ms: None,
        reference_n: 1_000,
        has_failed: true,
    });
    readings
}

fn steps(rig: &mut Rig, secs: i64, missing: f64) -> Vec<Decision> {
    let end = rig.now + secs * 1000;
    let mut decisions = Vec::new();
    while rig.now < end {
        rig.now += 15_000;
        decisions.extend(rig.controller.step(rig.now, &broken(rig.now, missing), &[]).decisions);
    }
    decisions
}

#[test]
fn drift_that_follows_from_broken_requests_moves_nothing() {
    let mut rig = Rig::new();
    assert_eq!(steps(&mut rig, 600, 1.0), []);
    assert_eq!(
        rig.events(EventKind::Blocked),
        ["no rollback to `v1`, which gets the same requests: `amount`: 100% missing (training 0%)"]
    );
    assert_eq!(steps(&mut rig, 600, 0.0), [], "windows still hold what was predicted then");
}

#[test]
fn a_few_broken_requests_explain_nothing() {
    let mut rig = Rig::new();
    assert_eq!(steps(&mut rig, 150, 0.1).len(), 1);
}
