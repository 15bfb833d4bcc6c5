//! Tenants and their own references, through the engine.

use record::{Lane, Record};

use crate::testing::{BASELINE, feed, number, profiled, record, spec, text};
use crate::{Engine, ReferenceSpec, Verdict, WindowReadings};

/// A row of a tenant, who always sends one category of its own and a number around a level of its own.
fn of(tenant: &str, level: f64, i: usize) -> Record {
    let x = level + (i * 7 % 10) as f64 / 10.0;
    let row = record([("x", number(x)), ("country", text(tenant))]);
    Record { tenant: Some(tenant.to_owned()), ..row }
}

const TENANTS: [&str; 4] = ["a", "b", "c", "d"];

/// `rows` rows, of the four tenants in turn.
fn in_turn(rows: usize) -> impl Iterator<Item = Record> {
    (0..rows).map(|i| of(TENANTS[i % 4], (i % 4) as f64, i))
}

fn engine() -> Engine {
    let mut engine = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 400 })]);
    engine.set_active("m", "v1");
    engine
}

/// Learned: the reference of all, and then that of each tenant.
fn taught(engine: &mut Engine) {
    feed(engine, in_turn(400));
    for _ in 0..10 {
        feed(engine, in_turn(200));
        engine.readings(0);
    }
}

fn window(engine: &mut Engine, tenant: &str) -> std::sync::Arc<WindowReadings> {
    // What was learned counts from the next look on.
    engine.readings(0);
    engine.window("v1", Lane::Prod, tenant).unwrap()
}

fn verdicts(window: &WindowReadings) -> Vec<Verdict> {
    window.features.iter().filter(|one| one.reference == BASELINE).map(|one| one.verdict).collect()
}

#[test]
fn customers_who_differ_from_each_other_have_not_drifted() {
    let mut engine = engine();
    feed(&mut engine, in_turn(400 + 600));
    let early = window(&mut engine, "a");
    assert!(early.of("country", BASELINE).unwrap().psi > 1.0, "shown against the reference of all");
    assert_eq!(verdicts(&early), [Verdict::Inconclusive; 2], "and not judged by it");
    assert_eq!(early.learning, Some((150, 200)));
    assert!(early.detector.is_none());
    taught(&mut engine);
    for tenant in TENANTS {
        let window = window(&mut engine, tenant);
        assert_eq!(verdicts(&window), [Verdict::Pass; 2], "{tenant}");
        assert_eq!((window.of("x", BASELINE).unwrap().reference_n, window.learning), (200, None));
        assert!(window.detector.as_ref().unwrap().drift.is_none());
    }
    assert_eq!(verdicts(&window(&mut engine, "all")), [Verdict::Pass; 2]);
}

#[test]
fn a_tenant_that_changes_is_seen_by_its_own_reference_where_the_total_hides_it() {
    let mut engine = engine();
    taught(&mut engine);
    // Now it sends what another one always sends.
    feed(
        &mut engine,
        in_turn(800).map(|row| match row.tenant.as_deref() {
            Some("a") => Record { features: of("b", 1.0, row.ts.unwrap_or(0) as usize).features, ..row },
            _ => row,
        }),
    );
    let changed = window(&mut engine, "a");
    assert_eq!(verdicts(&changed), [Verdict::Fail; 2]);
    assert!(changed.detector.as_ref().unwrap().drift.is_some());
    assert_eq!(verdicts(&window(&mut engine, "b")), [Verdict::Pass; 2]);
}

#[test]
fn a_mix_that_changes_is_no_drift_of_the_total() {
    let mut engine = engine();
    taught(&mut engine);
    let before = window(&mut engine, "all").of("country", BASELINE).unwrap().psi;
    assert!(before < 0.05, "{before}");
    // One customer sends nearly everything.
    feed(
        &mut engine,
        (0..800_usize).map(|i| {
            of(if i.is_multiple_of(10) { "b" } else { "a" }, f64::from((i as u32).is_multiple_of(10)), i)
        }),
    );
    let total = window(&mut engine, "all");
    assert_eq!(verdicts(&total), [Verdict::Pass; 2], "{:?}", total.features);
    // The same rows from nobody in particular are a drift.
    feed(&mut engine, (0..400).map(|i| Record { tenant: None, ..of("a", 0.0, i) }));
    assert_eq!(verdicts(&window(&mut engine, "all")), [Verdict::Fail; 2]);
}

#[test]
fn while_the_total_drifts_nobody_learns() {
    let mut engine = engine();
    feed(&mut engine, in_turn(400));
    for chunk in 0..40 {
        // From the 21st on everybody sends large numbers.
        let shift = if chunk < 20 { 0.0 } else { 3.0 };
        feed(&mut engine, (0..20).map(|i| of(TENANTS[i % 4], (i % 4) as f64 + shift, chunk * 20 + i)));
        engine.readings(0);
    }
    let total = window(&mut engine, "all");
    assert_eq!(total.of("x", BASELINE).unwrap().verdict, Verdict::Fail);
    let learning = window(&mut engine, "a");
    assert_eq!(learning.learning, Some((0, 200)), "of `x` nothing is left");
    assert_eq!(learning.of("x", BASELINE).unwrap().verdict, Verdict::Inconclusive);
    assert!(engine.snapshot().len() > 100);
}

#[test]
fn a_restart_keeps_references_and_whose_the_rows_are() {
    let mut engine = engine();
    taught(&mut engine);
    let mut again = self::engine();
    again.restore(&engine.snapshot()).unwrap();
    for tenant in ["all", "a", "d"] {
        let (before, after) = (window(&mut engine, tenant), window(&mut again, tenant));
        let shown = |window: &WindowReadings| format!("{:?} {:?}", window.features, window.detector);
        assert_eq!(shown(&before), shown(&after), "{tenant}");
    }
    feed(&mut again, in_turn(100));
    assert_eq!(verdicts(&window(&mut again, "a")), [Verdict::Pass; 2]);
}

#[test]
fn names_that_share_a_window_are_not_judged() {
    let mut spec = profiled();
    spec.tenants.limit = 1;
    let mut engine = Engine::new(vec![spec]);
    feed(&mut engine, (0..1_200).map(|i| of(TENANTS[i % 4], 0.0, i)));
    let others = window(&mut engine, "other");
    assert!(others.requests == 200 && others.learning.is_none());
    assert!(verdicts(&others).iter().all(|verdict| *verdict == Verdict::Inconclusive), "{others:?}");
}

#[test]
fn a_profile_with_tenants_judges_them_from_the_first_request_on() {
    let mut profile = (*crate::testing::profile()).clone();
    let feature = |counts: &[u64]| crate::profile::TenantFeature { counts: counts.to_vec(), detector: None };
    profile.tenants = vec![crate::profile::TenantProfile {
        name: "a".to_owned(),
        rows: 500,
        features: vec![feature(&[500, 0, 0, 0, 0]), feature(&[500, 0, 0, 0])],
    }];
    profile.check().unwrap();
    let mut engine =
        Engine::new(vec![spec(ReferenceSpec::Profile { profile: std::sync::Arc::new(profile), learn: 100 })]);
    let row = |tenant: &str, i: usize| Record {
        tenant: Some(tenant.to_owned()),
        ..record([("x", number((i % 10) as f64 / 10.0)), ("c", text("a"))])
    };
    feed(&mut engine, (0..150).flat_map(|i| [row("a", i), row("b", i)]));
    let known = window(&mut engine, "a");
    assert_eq!(verdicts(&known), [Verdict::Pass; 2]);
    assert_eq!((known.of("x", BASELINE).unwrap().reference_n, known.learning), (500, None));
    assert_eq!(verdicts(&window(&mut engine, "b")), [Verdict::Inconclusive; 2]);
    let mut again = self::engine();
    assert!(again.restore(&engine.snapshot()).unwrap().restored.is_empty(), "another reference");
}

#[test]
fn a_burst_that_nobody_looked_at_is_no_reference() {
    let mut engine = engine();
    feed(&mut engine, (0..400).map(|i| of("a", 0.0, i)));
    feed(&mut engine, (0..900).map(|i| of("a", 5.0, i)));
    for tenant in ["a", "all"] {
        let window = window(&mut engine, tenant);
        assert!(window.of("x", BASELINE).unwrap().psi > 1.0, "{window:?}");
    }
    assert_eq!(window(&mut engine, "all").of("x", BASELINE).unwrap().verdict, Verdict::Fail);
    assert_eq!(window(&mut engine, "a").of("x", BASELINE).unwrap().verdict, Verdict::Inconclusive);
}

#[test]
fn a_reference_grows_to_a_window_and_not_by_what_has_moved() {
    let mut spec = spec(ReferenceSpec::Learn { rows: 400 });
    spec.window = 1_000;
    let mut engine = Engine::new(vec![spec]);
    engine.set_active("m", "v1");
    let rows = |engine: &mut Engine| window(engine, "a").of("x", BASELINE).unwrap().reference_n;
    feed(&mut engine, in_turn(400));
    let mut seen = Vec::new();
    for _ in 0..8 {
        feed(&mut engine, in_turn(800));
        seen.push(rows(&mut engine));
    }
    seen.dedup();
    assert_eq!(seen, [200, 400, 800, 1_000]);
    let mut other = self::engine();
    taught(&mut other);
    assert_eq!(rows(&mut other), 200);
}

#[test]
fn a_total_of_which_some_tenants_are_known_is_as_it_was() {
    let mut engine = engine();
    // `a` sends half of the rows, and has a reference long before the others.
    let rows = |from: usize, n: usize| {
        (from..from + n)
            .map(|i| if i % 2 == 0 { of("a", 0.0, i) } else { of(TENANTS[1 + i / 2 % 3], 2.0, i) })
    };
    feed(&mut engine, rows(0, 400));
    for look in 0..30 {
        feed(&mut engine, rows(look * 40, 40));
        engine.readings(0);
        let total = engine.window("v1", Lane::Prod, "all").unwrap();
        let country = total.of("country", BASELINE).unwrap();
        assert!(country.psi < 0.2 || country.n < 100, "after {look}: {country:?}");
    }
}

#[test]
fn what_a_tenants_detector_has_found_stays_while_other_features_are_learned() {
    let mut spec = spec(ReferenceSpec::Learn { rows: 400 });
    spec.window = 1_000;
    let mut engine = Engine::new(vec![spec]);
    engine.set_active("m", "v1");
    feed(&mut engine, in_turn(400));
    for _ in 0..5 {
        feed(&mut engine, in_turn(200));
        engine.readings(0);
    }
    let row = |i: usize| match i % 4 {
        0 => Record { tenant: Some("a".to_owned()), ..of("a", 3.0, i) },
        other => of(TENANTS[other], other as f64, i),
    };
    let mut found = false;
    for look in 0..20 {
        feed(&mut engine, (look * 80..look * 80 + 80).map(row));
        let drift = window(&mut engine, "a").detector.as_ref().and_then(|one| one.drift.clone());
        assert!(drift.is_some() || !found, "found before look {look}, and lost");
        found = drift.is_some();
    }
    assert!(found);
}
