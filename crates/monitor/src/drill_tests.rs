use record::{Lane, Record};
use stats::{CategoricalBins, NumericBins};

use super::*;
use crate::ReferenceSpec;
use crate::profile::{FeatureProfile, Profile};
use crate::readings::ReferenceKind;
use crate::testing::*;

fn drilled(engine: &mut Engine, psi: f64, rows: usize) -> Vec<f64> {
    for row in engine.drill_rows("m", psi, rows, 7).unwrap() {
        engine.observe_record(&record(row.iter().map(|(name, value)| (&**name, value.clone())))).unwrap();
    }
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    window.features.iter().map(|reading| reading.psi).collect()
}

#[test]
fn drilled_rows_drift_as_far_as_asked() {
    for target in [0.0, 0.12, 0.35, 1.5] {
        let mut engine = Engine::new(vec![crate::ModelSpec { window: 1_000, ..profiled() }]);
        for psi in drilled(&mut engine, target, 1_000) {
            assert!((psi - target).abs() < 0.01, "{target}: {psi}");
        }
    }
}

#[test]
fn many_small_draws_drift_as_far_as_one_large_one() {
    let mut engine = Engine::new(vec![crate::ModelSpec { window: 3_000, ..profiled() }]);
    for seed in 0..1_000 {
        for row in engine.drill_rows("m", 0.35, 3, seed).unwrap() {
            engine.observe_record(&record(row.iter().map(|(name, value)| (&**name, value.clone())))).unwrap();
        }
    }
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    for reading in &window.features {
        assert!((reading.psi - 0.35).abs() < 0.03, "{reading:?}");
    }
}

#[test]
fn at_most_three_features_move_and_odd_ones_are_left_alone() {
    let feature = |name: &str, bins: Bins, counts: &[u64]| FeatureProfile::new(name, bins, counts.to_vec());
    let numeric = || Bins::from(NumericBins::equal_width(0.0, 3.0, 3).unwrap());
    let only_missing = Bins::from(CategoricalBins::new(Vec::new()).unwrap());
    let constant = Bins::from(NumericBins::equal_width(5.0, 5.0, 10).unwrap());
    let profile = Profile {
        name: String::new(),
        created_at_ms: 0,
        rows: 100,
        features: vec![
            feature("empty", only_missing, &[0, 100]),
            feature("constant", constant, &[0, 100, 0, 0]),
            feature("a", numeric(), &[30, 30, 30, 10]),
            feature("b", numeric(), &[90, 5, 5, 0]),
            feature("c", numeric(), &[5, 90, 5, 0]),
            feature("none", numeric(), &[0, 0, 0, 0]),
        ],
        tenants: Vec::new(),
    };
    let reference = ReferenceSpec::Profile { profile: profile.into(), learn: 0 };
    let mut engine = Engine::new(vec![crate::ModelSpec { window: 1_000, ..spec(reference) }]);
    let psi = drilled(&mut engine, 0.35, 1_000);
    let moved: Vec<bool> = psi.iter().map(|psi| (psi - 0.35).abs() < 0.02).collect();
    assert_eq!(moved[..5], [false, true, true, true, false], "{psi:?}");
    assert!(psi[0] < 0.01 && psi[4] < 0.01, "{psi:?}");
}

#[test]
fn the_seed_alone_decides_the_order() {
    let engine = Engine::new(vec![profiled()]);
    let rows = |seed| engine.drill_rows("m", 0.35, 300, seed).unwrap();
    assert_eq!(rows(1), rows(1));
    assert_ne!(rows(1), rows(2));
}

#[test]
fn what_cannot_be_reached_is_refused() {
    let engine = Engine::new(vec![profiled()]);
    for target in [f64::NAN, -0.1, f64::INFINITY, 1e6] {
        assert!(engine.drill_rows("m", target, 10, 1).is_none(), "{target}");
    }
    assert!(engine.drill_rows("nobody", 0.3, 10, 1).is_none());
    let learning = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 10 })]);
    assert!(learning.drill_rows("m", 0.3, 10, 1).is_none(), "no reference yet");
    assert_eq!(engine.drill_rows("m", 0.3, 0, 1), Some(Vec::new()));
}

#[test]
fn a_drill_leaves_no_trace() {
    let mut engine = Engine::new(vec![profiled()]);
    for i in 0..250 {
        engine.observe_record(&usual(i)).unwrap();
    }
    let (before, stored) = (engine.window("v1", Lane::Prod, "all").unwrap(), engine.snapshot());
    engine.begin_drill("m", &[]).unwrap();
    assert_eq!(engine.begin_drill("m", &[]), Err(DrillError::Running { model: "m".to_owned() }));
    drilled(&mut engine, 0.5, 150);
    engine.observe_record(&Record { tenant: Some("drill".to_owned()), ..usual(0) }).unwrap();
    let during = engine.window("v1", Lane::Prod, "all").unwrap();
    let psi = |window: &crate::WindowReadings| window.of("x", ReferenceKind::Baseline).unwrap().psi;
    assert!(psi(&during) > psi(&before) + 0.1);
    assert_eq!(engine.snapshot(), stored, "a snapshot in a drill is that from before");
    engine.end_drill("m");
    engine.end_drill("m");
    assert_eq!(engine.snapshot(), stored);
    assert_eq!(psi(&engine.window("v1", Lane::Prod, "all").unwrap()), psi(&before));
    assert!(engine.window("v1", Lane::Prod, "drill").is_none());
    assert!(engine.begin_drill("nobody", &[]).is_err());
}
