use proptest::prelude::*;
use record::FeatureValue;
use stats::{Bins, CategoricalBins};

use super::*;
use crate::readings::{ReferenceKind, ReferenceState, Verdict};
use crate::spec::{ReferenceSpec, TenantSpec};
use crate::testing::*;

fn learning(rows: usize) -> Engine {
    Engine::new(vec![spec(ReferenceSpec::Learn { rows })])
}

fn dropped(engine: &mut Engine, reason: &str) -> u64 {
    engine.readings(1).models[0].dropped.get(reason).copied().unwrap_or(0)
}

#[test]
fn every_row_of_a_batch_counts_and_an_absent_feature_is_missing() {
    let mut engine = Engine::new(vec![profiled()]);
    let request = r#"{"instances":[{"x":0.5,"c":"a"},{"x":3.5},{"c":"new","x":"1.5"},{"x":null,"c":"b"}]}"#;
    engine.observe(&exchange(request, r#"{"predictions":[1,2,3,4]}"#));
    assert_eq!(engine.counts("all", "x").unwrap(), [1, 1, 0, 1, 1]);
    assert_eq!(engine.counts("all", "c").unwrap(), [1, 1, 1, 1]);
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    assert_eq!((window.requests, window.last_at_ms), (4, 7));
    assert_eq!(engine.readings(0).models[0].rows, 4);
}

#[test]
fn columns_count_like_rows() {
    let mut engine = Engine::new(vec![profiled()]);
    let request = r#"{"inputs":[
        {"name":"c","shape":[3],"datatype":"BYTES","data":["a","b","a"]},
        {"name":"x","shape":[3],"datatype":"FP64","data":[0.5,1.5,9]}]}"#;
    let mut exchange = exchange(request, r#"{"outputs":[]}"#);
    exchange.path = "/v2/models/m/infer".into();
    engine.observe(&exchange);
    assert_eq!(engine.counts("all", "x").unwrap(), [1, 1, 0, 1, 0]);
    assert_eq!(engine.counts("all", "c").unwrap(), [2, 1, 0, 0]);
}

#[test]
fn a_bad_request_changes_nothing_but_its_counter() {
    let mut engine = Engine::new(vec![profiled()]);
    engine.observe(&exchange(r#"{"instances":[{"x":1},{"x":"#, "{}"));
    let readings = engine.readings(0);
    assert!(readings.models[0].windows.is_empty());
    assert_eq!(readings.models[0].dropped.values().sum::<u64>(), 1, "{:?}", readings.models[0].dropped);
    assert_eq!(engine.readings(0).models[0].rows, 0);
}

#[test]
fn refused_requests_and_failed_answers() {
    let mut engine = Engine::new(vec![profiled()]);
    let request = r#"{"instances":[{"x":1,"c":"a"}]}"#;
    for status in [401, 500] {
        engine.observe(&Exchange { status, ..exchange(request, r#"{"predictions":[1]}"#) });
    }
    engine.observe(&Exchange { request_id: "other".into(), ..exchange(request, "<html>") });
    assert_eq!(engine.counts("all", "x").unwrap().iter().sum::<u64>(), 2, "401 is no inference");
    assert_eq!((dropped(&mut engine, "refused"), dropped(&mut engine, "response")), (1, 1));
    let learning = engine.models[0].state.seen;
    assert_eq!(learning, [2, 0], "no prediction of either answer");

    let refused = Record { status: Some(429), ..usual(0) };
    assert_eq!(engine.observe_record(&refused).unwrap_err(), ObserveError::Refused { status: 429 });
    let unknown = Record { model: "other".to_owned(), ..usual(0) };
    assert!(matches!(engine.observe_record(&unknown), Err(ObserveError::UnknownModel { .. })));
    assert_eq!(engine.unknown_model(), 1);
}

#[test]
fn tenants_share_all_and_the_overflow_shares_other() {
    let mut spec = profiled();
    spec.tenants = TenantSpec { limit: 2, pinned: vec!["vip".to_owned()] };
    let mut engine = Engine::new(vec![spec]);
    let tenants = [Some("a"), Some("b"), Some("c"), Some("vip"), Some("all"), Some("x y"), Some(""), None];
    for tenant in tenants {
        feed(&mut engine, [Record { tenant: tenant.map(str::to_owned), ..usual(0) }]);
    }
    let requests = |tenant: &str, engine: &mut Engine| {
        engine.window("v1", Lane::Prod, tenant).map(|window| window.requests)
    };
    for (tenant, expected) in [
        ("all", Some(8)),
        ("a", Some(1)),
        ("b", None),
        ("other", Some(2)),
        ("vip", Some(1)),
        ("invalid", Some(2)),
    ] {
        assert_eq!(requests(tenant, &mut engine), expected, "{tenant}");
    }
    let readings = engine.readings(0);
    let first = &readings.models[0].windows[0];
    assert_eq!(&*first.tenant, "all");
}

#[test]
fn the_first_rows_become_the_reference_and_are_not_counted() {
    let mut engine = learning(150);
    feed(&mut engine, (0..150).map(|i| Record { lane: Lane::Shadow, ..usual(i) }));
    feed(&mut engine, (0..149).map(usual));
    let state = engine.readings(0).models[0].reference.clone();
    assert_eq!(state, ReferenceState::Learning { rows: 149, wanted: 150 });
    assert!(engine.profile("m").is_none() && engine.readings(0).models[0].windows.is_empty());

    // Two rows of one batch: the first is the last that is learned, the second the first that is counted.
    let request = r#"{"instances":[{"x":0,"c":"a"},{"x":3,"c":"b"}]}"#;
    engine.observe(&exchange(request, r#"{"predictions":[1,2]}"#));
    let profile = engine.profile("m").unwrap();
    assert_eq!((profile.name.as_str(), profile.rows, profile.created_at_ms), ("m", 150, 7));
    let names: Vec<_> = profile.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["c", "x", "prediction"]);
    assert!(profile.features.iter().all(|feature| feature.rows() == 150));
    assert_eq!(engine.counts("all", "x").unwrap(), [0, 0, 0, 1, 0]);
    let Bins::Numeric(x) = &profile.feature("x").unwrap().bins else { panic!() };
    assert_eq!(x.inner_edges(), [0.75, 1.5, 2.25]);
    assert_eq!(engine.window("v1", Lane::Prod, "all").unwrap().requests, 1);
}

#[test]
fn a_reference_that_moves_is_learned_anew() {
    let mut engine = learning(400);
    let row = |i: usize, outage: bool| {
        record([("x", number(if outage { 90.0 } else { (i * 7 % 5) as f64 })), ("c", text("a"))])
    };
    let reason = |engine: &mut Engine, name: &str| {
        let features = &engine.readings(0).models[0].features;
        features.iter().find(|feature| *feature.feature == *name).unwrap().reason
    };
    feed(&mut engine, (0..150).map(|i| row(i, true)));
    feed(&mut engine, (150..450).map(|i| row(i, false)));
    assert_eq!((reason(&mut engine, "x"), reason(&mut engine, "c")), ("moving", "judged"));
    feed(&mut engine, (450..700).map(|i| row(i, false)));
    assert_eq!(reason(&mut engine, "x"), "judged");
    let profile = engine.profile("m").unwrap();
    let Bins::Numeric(x) = &profile.feature("x").unwrap().bins else { panic!() };
    assert!(x.inner_edges().iter().all(|edge| *edge < 4.0), "no row of the outage is in it: {x:?}");
}

#[test]
fn a_feature_that_shows_late_learns_rows_of_its_own() {
    let mut engine = learning(100);
    feed(&mut engine, (0..60).map(|_| record([("x", number(1.0))])));
    feed(&mut engine, (0..99).map(|_| record([("x", number(1.0)), ("late", text("a"))])));
    assert!(engine.profile("m").unwrap().feature("late").is_none());
    feed(&mut engine, [record([("x", number(1.0))])]);
    assert_eq!(engine.profile("m").unwrap().feature("late").unwrap().counts, [99, 0, 1]);
    // One that shows after the learning as well.
    feed(&mut engine, (0..99).map(|_| record([("x", number(1.0)), ("later", number(2.0))])));
    assert!(engine.profile("m").unwrap().feature("later").is_none());
    feed(&mut engine, [record([("x", number(1.0))])]);
    assert_eq!(engine.profile("m").unwrap().feature("later").unwrap().counts, [0, 99, 0, 1]);
}

#[test]
fn what_a_profile_does_not_know_is_learned() {
    let mut engine = Engine::new(vec![profiled()]);
    feed(&mut engine, (0..150).map(usual));
    assert_eq!(engine.counts("all", "x").unwrap().iter().sum::<u64>(), 150, "counted from the first row");
    assert_eq!(
        engine.counts("all", "prediction").unwrap().iter().sum::<u64>(),
        50,
        "100 rows were learned from"
    );
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    assert_eq!(window.of("prediction", BASELINE).unwrap().reference_n, 100);
    let state = engine.readings(0).models[0].reference.clone();
    assert_eq!(
        state,
        ReferenceState::Ready { source: "profile", rows: 1_000, features: 3, at_ms: 5, growth: None }
    );
}

#[test]
fn a_window_judges_only_with_enough_rows_on_both_sides() {
    let mut engine = Engine::new(vec![profiled()]);
    let shifted = || (0..100).map(|_| record([("x", number(3.0)), ("c", text("b"))]));
    feed(&mut engine, shifted());
    let verdict = |engine: &mut Engine, feature: &str| {
        engine.window("v1", Lane::Prod, "all").unwrap().of(feature, BASELINE).unwrap().verdict
    };
    assert_eq!(verdict(&mut engine, "x"), Verdict::Inconclusive, "100 is not more than 100");
    feed(&mut engine, [usual(3)]);
    assert_eq!(verdict(&mut engine, "x"), Verdict::Fail);
    feed(&mut engine, (0..200).map(usual));
    assert_eq!(verdict(&mut engine, "x"), Verdict::Pass);

    let mut short = learning(99);
    feed(&mut short, (0..300).map(usual));
    assert_eq!(verdict(&mut short, "x"), Verdict::Inconclusive, "99 reference rows");
}

#[test]
fn the_shadow_lane_is_compared_with_the_active_versions_production() {
    let mut engine = Engine::new(vec![profiled()]);
    let shadow = |i| Record { lane: Lane::Shadow, version: Some("v2".to_owned()), ..usual(i) };
    feed(&mut engine, (0..200).map(usual));
    feed(&mut engine, (0..120).map(shadow));
    let find = |engine: &mut Engine| engine.window("v2", Lane::Shadow, "all").unwrap();
    assert!(find(&mut engine).of("x", ReferenceKind::Prod).is_none(), "no active version yet");
    engine.set_active("m", "v1");
    let window = find(&mut engine);
    for feature in ["x", "c", "prediction"] {
        let prod = window.of(feature, ReferenceKind::Prod).unwrap();
        assert_eq!((prod.n, prod.reference_n), (120, if feature == "prediction" { 100 } else { 200 }));
        assert_eq!(prod.verdict, Verdict::Pass, "{prod:?}");
    }
    // Production moves, the shadow's rows do not: only the comparison with production changes.
    feed(&mut engine, (0..200).map(|_| record([("x", number(3.0)), ("c", text("a"))])));
    let moved = find(&mut engine);
    assert_eq!(moved.of("x", ReferenceKind::Prod).unwrap().verdict, Verdict::Fail);
    assert_eq!(moved.of("x", BASELINE).unwrap().psi, window.of("x", BASELINE).unwrap().psi);
    assert!(engine.window("v1", Lane::Prod, "all").unwrap().of("x", ReferenceKind::Prod).is_none());
}

#[test]
fn the_previous_window_is_the_rows_just_before_the_current_ones() {
    let mut engine = Engine::new(vec![spec(ReferenceSpec::PreviousWindow)]);
    let row =
        |i: usize| Record { tenant: Some("t".to_owned()), ..record([("x", number((i / 10 % 8) as f64))]) };
    feed(&mut engine, (0..199).map(row));
    assert!(matches!(
        engine.readings(0).models[0].reference,
        ReferenceState::Learning { rows: 199, wanted: 200 }
    ));
    feed(&mut engine, (199..399).map(row));
    let reading = |engine: &mut Engine, tenant: &str| {
        engine.window("v1", Lane::Prod, tenant).unwrap().of("x", BASELINE).unwrap().clone()
    };
    let early = reading(&mut engine, "all");
    assert_eq!((early.n, early.reference_n, early.verdict), (200, 199, Verdict::Inconclusive));
    assert!(early.psi.is_nan(), "no number before the previous window is full");
    feed(&mut engine, (399..555).map(row));
    let bins = engine.profile("m").unwrap().feature("x").unwrap().bins.clone();
    let recount = |range: std::ops::Range<usize>| {
        let mut counts = vec![0; bins.slots()];
        let Bins::Numeric(numeric) = &bins else { panic!() };
        range.for_each(|i| counts[numeric.index((i / 10 % 8) as f64).unwrap()] += 1);
        counts
    };
    let expected = stats::distances(&bins, &recount(155..355), &recount(355..555)).unwrap();
    for tenant in ["all", "t"] {
        let now = reading(&mut engine, tenant);
        assert!(
            (now.psi - expected.psi).abs() < 1e-12 && expected.psi > 0.0,
            "{tenant}: {now:?} {expected:?}"
        );
        assert_eq!(now.reference_n, 200);
    }
}

#[test]
fn unchanged_windows_are_shared_between_readings() {
    let mut engine = Engine::new(vec![profiled()]);
    let of = |tenant: &str, i| Record { tenant: Some(tenant.to_owned()), ..usual(i) };
    feed(&mut engine, (0..300).map(|i| of(if i % 2 == 0 { "a" } else { "b" }, i)));
    let (a, b) =
        (engine.window("v1", Lane::Prod, "a").unwrap(), engine.window("v1", Lane::Prod, "b").unwrap());
    feed(&mut engine, [of("a", 1)]);
    assert!(!Arc::ptr_eq(&a, &engine.window("v1", Lane::Prod, "a").unwrap()));
    assert!(Arc::ptr_eq(&b, &engine.window("v1", Lane::Prod, "b").unwrap()));
    // A changed setting is computed at once.
    engine.configure(vec![ModelSpec { min_requests: 5_000, ..profiled() }]);
    let b = engine.window("v1", Lane::Prod, "b").unwrap();
    assert!(b.features.iter().all(|reading| reading.verdict == Verdict::Inconclusive));
}

#[test]
fn a_reload_keeps_what_still_means_the_same() {
    let mut engine = Engine::new(vec![profiled()]);
    feed(&mut engine, (0..50).map(usual));
    engine.configure(vec![ModelSpec { alpha: 0.1, ..profiled() }]);
    assert_eq!(engine.counts("all", "x").unwrap().iter().sum::<u64>(), 50);

    let mut other = (*profile()).clone();
    other.features[1].bins = CategoricalBins::new(vec!["a".to_owned(), "z".to_owned()]).unwrap().into();
    let changed = [
        ModelSpec { window: 100, ..profiled() },
        spec(ReferenceSpec::Profile { profile: Arc::new(other), learn: 100 }),
        ModelSpec { exclude: vec!["c".to_owned()], ..profiled() },
    ];
    for spec in changed {
        engine.configure(vec![profiled()]);
        feed(&mut engine, [usual(0)]);
        engine.configure(vec![spec]);
        assert!(engine.counts("all", "x").is_none());
        assert!(engine.readings(0).models[0].rows > 0, "counters go on");
    }
    feed(&mut engine, [usual(0)]);
    assert!(engine.counts("all", "c").is_none(), "excluded now");
    engine.configure(Vec::new());
    assert!(engine.readings(0).models.is_empty());
}

#[test]
fn outside_input_cannot_grow_features_or_versions() {
    let mut spec = spec(ReferenceSpec::Learn { rows: 100 });
    (spec.limits.features, spec.limits.versions) = (2, 2);
    let mut engine = Engine::new(vec![spec]);
    for i in 0..200 {
        feed(&mut engine, [record([("x", number(1.0)), (format!("f{i}").as_str(), number(1.0))])]);
    }
    assert_eq!(engine.profile("m").unwrap().features.len(), 2);
    assert_eq!(dropped(&mut engine, "feature_limit"), 199);

    let version = |name: &str| Record { version: Some(name.to_owned()), ..usual(0) };
    engine.readings(1);
    feed(&mut engine, [version("v2")]);
    let error = engine.observe_record(&version("v3")).unwrap_err();
    assert_eq!(error, ObserveError::VersionLimit { version: "v3".to_owned(), limit: 2 });
    assert_eq!(dropped(&mut engine, "version_limit"), 1);
    // After a day of silence the place is free, and the windows that come with it are empty.
    engine.readings(25 * 3_600_000);
    feed(&mut engine, [usual(0), version("v3")]);
    assert!(engine.window("v2", Lane::Prod, "all").is_none());
    assert_eq!(engine.window("v3", Lane::Prod, "all").unwrap().requests, 1);
}

#[test]
fn learning_holds_a_bounded_number_of_values() {
    let mut engine = learning(1_000);
    engine.models[0].rules.learn_values = 50;
    feed(&mut engine, (0..40).map(usual));
    assert_eq!(engine.profile("m").unwrap().rows, 17, "three features in 17 rows are the first above 50");
}

#[test]
fn an_observation_has_a_bounded_number_of_cells() {
    let engine = Engine::new(vec![profiled()]);
    let mut batch = Batch::default();
    assert!(batch.begin(&engine.models[0].state, Lane::Prod, 1_000_000, 1, false));
    assert!(!batch.begin(&engine.models[0].state, Lane::Prod, 1, 1_500_000, false));
}

#[test]
fn a_restored_version_is_not_taken_for_a_silent_one() {
    let spec = || {
        let mut spec = profiled();
        spec.limits.versions = 1;
        spec
    };
    let mut first = Engine::new(vec![spec()]);
    feed(&mut first, [usual(0)]);
    let mut engine = Engine::new(vec![spec()]);
    engine.restore(&first.snapshot()).unwrap();
    engine.readings(1_769_860_800_000);
    let other = Record { version: Some("v2".to_owned()), ..usual(0) };
    assert!(matches!(engine.observe_record(&other), Err(ObserveError::VersionLimit { .. })));
}

#[test]
fn only_chosen_features_are_measured() {
    let mut spec = profiled();
    (spec.include, spec.exclude) = (vec!["x".to_owned()], vec!["y".to_owned()]);
    let mut engine = Engine::new(vec![spec]);
    feed(&mut engine, (0..150).map(usual));
    let window = engine.window("v1", Lane::Prod, "all").unwrap();
    let names: Vec<_> = window.features.iter().map(|reading| &*reading.feature).collect();
    assert_eq!(names, ["x", "prediction"]);
}

#[test]
fn histograms_show_both_sides() {
    let mut engine = Engine::new(vec![profiled()]);
    feed(&mut engine, (0..120).map(usual));
    let histograms = engine.histograms("m", "v1", Lane::Prod, "all").unwrap();
    let [x, c] = [&histograms[0], &histograms[1]];
    assert_eq!((x.kind, x.labels.len(), x.edges.as_slice()), ("numeric", 5, [1.0, 2.0, 3.0].as_slice()));
    assert_eq!(
        (c.kind, c.labels.as_slice(), c.edges.len()),
        ("categorical", ["a", "b", "other", "missing"].map(String::from).as_slice(), 0)
    );
    assert_eq!((x.reference_counts[0], x.current_counts[0], x.contributions[0]), (250, 30, 0.0));
    assert!(engine.histograms("m", "v9", Lane::Prod, "all").is_none());
    assert!(engine.histograms("m", "v1", Lane::Shadow, "all").is_none());
    assert!(engine.histograms("m", "v1", Lane::Prod, "nobody").is_none());
}

#[test]
fn memory_follows_the_rows() {
    let mut engine = Engine::new(vec![profiled()]);
    let empty = engine.memory_bytes();
    feed(&mut engine, (0..400).map(|i| Record { tenant: Some(format!("t{}", i % 100)), ..usual(i) }));
    assert!(engine.memory_bytes() > empty + 100 * 2 * 4);
}

/// What a client may send for the features of [`profile`].
fn any_row() -> impl Strategy<Value = (Option<FeatureValue>, Option<FeatureValue>, u8)> {
    let value = prop_oneof![
        (-1.0..5.0).prop_map(FeatureValue::Number),
        prop::sample::select(vec!["a", "b", "zz", "2.5"]).prop_map(text),
        any::<bool>().prop_map(FeatureValue::Bool),
        Just(FeatureValue::Null),
    ];
    (prop::option::of(value.clone()), prop::option::of(value), 0u8..12)
}

fn cell(value: Option<&FeatureValue>) -> record::Cell<'_> {
    match value {
        Some(FeatureValue::Number(x)) => record::Cell::Number(*x),
        Some(FeatureValue::Card(x)) => record::Cell::Number(*x as f64),
        Some(FeatureValue::Text(text)) => record::Cell::Text(text),
        Some(FeatureValue::Bool(true)) => record::Cell::Text("true"),
        Some(FeatureValue::Bool(false)) => record::Cell::Text("false"),
        Some(FeatureValue::Null) | None => record::Cell::Missing,
    }
}

proptest! {
    #[test]
    fn readings_are_a_recount_of_the_last_rows(
        rows in prop::collection::vec(any_row(), 1..400),
        window in 1usize..150,
        limit in 0usize..6,
    ) {
        let mut spec = profiled();
        (spec.window, spec.tenants.limit) = (window, limit);
        let mut engine = Engine::new(vec![spec]);
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for (at, (x, c, tenant)) in rows.iter().enumerate() {
            let mut record = record([]);
            if let Some(x) = x { record.features.insert("x".to_owned(), x.clone()); }
            if let Some(c) = c { record.features.insert("c".to_owned(), c.clone()); }
            // A row without any feature is nothing that was observed.
            if x.is_none() && c.is_none() { record.features.insert("x".to_owned(), FeatureValue::Null); }
            record.tenant = (*tenant > 0).then(|| format!("t{tenant}"));
            feed(&mut engine, [record]);
            counted.push(("all", at));
        }
        let readings = engine.readings(0);
        let windows = &readings.models[0].windows;
        let all = windows.iter().find(|w| &*w.tenant == "all").unwrap();
        let judged = readings.models[0].features.iter().filter(|feature| feature.reason == "judged").count();
        let subjects = crate::chance::subjects_of(judged * windows.iter().filter(|w| w.rows > 100).count());
        for (place, feature) in profile().features.iter().enumerate() {
            let mut counts = vec![0u64; feature.bins.slots()];
            // Until requests have it for the first time, a feature of the profile is not seen yet.
            let has = |(x, c, _): &_| if place == 0 { Option::is_some(x) || Option::is_none(c) } else { Option::is_some(c) };
            let Some(first) = rows.iter().position(has) else {
                prop_assert!(all.of(&feature.name, BASELINE).is_none());
                continue;
            };
            let mut types = crate::fit::Types::Unknown;
            for (x, c, _) in &rows {
                types.see(&feature.bins, cell(if place == 0 { x.as_ref() } else { c.as_ref() }));
            }
            if types == crate::fit::Types::Differ {
                prop_assert!(all.of(&feature.name, BASELINE).is_none(), "no value was of the profile's type");
                continue;
            }
            for (_, at) in counted.iter().skip(first).rev().take(window) {
                let value = if place == 0 { rows[*at].0.as_ref() } else { rows[*at].1.as_ref() };
                counts[crate::profile::slot_of(&feature.bins, cell(value), &mut String::new())] += 1;
            }
            let expected = stats::distances(&feature.bins, &feature.counts, &counts).unwrap();
            let n = counts.iter().sum::<u64>();
            let reading = all.of(&feature.name, BASELINE).unwrap();
            prop_assert_eq!(reading.n, n);
            let of = |tenant: u8| rows.iter().filter(|(_, _, of)| *of == tenant).count();
            if (1..=u8::MAX).any(|tenant| of(tenant) >= 100) {
                // Its tenants have references of their own.
                continue;
            }
            prop_assert!((reading.psi - expected.psi).abs() < 1e-9);
            prop_assert!((reading.js_divergence - expected.js_divergence).abs() < 1e-9);
            let critical = stats::psi_critical(expected.bins, n, 1_000, 0.01 / subjects as f64).unwrap();
            prop_assert!((reading.psi_critical - critical).abs() < 1e-9 * critical);
            prop_assert!((reading.psi_noise - stats::psi_noise(expected.bins, n, 1_000)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_windows_of_all_hold_everybodys_rows(
        tenants in prop::collection::vec(0u8..20, 1..300),
        limit in 0usize..8,
    ) {
        let mut spec = profiled();
        (spec.window, spec.tenants.limit) = (10_000, limit);
        let mut engine = Engine::new(vec![spec]);
        for (i, tenant) in tenants.iter().enumerate() {
            let tenant = match tenant { 0 => "all".to_owned(), 1 => "b d".to_owned(), n => format!("t{n}") };
            feed(&mut engine, [Record { tenant: Some(tenant), ..usual(i) }]);
        }
        let readings = engine.readings(0);
        let windows = &readings.models[0].windows;
        let (all, others): (Vec<_>, Vec<_>) = windows.iter().partition(|w| &*w.tenant == "all");
        prop_assert_eq!(all[0].requests, tenants.len() as u64);
        prop_assert_eq!(others.iter().map(|w| w.requests).sum::<u64>(), tenants.len() as u64);
        prop_assert!(others.len() <= limit + 2);
        for feature in ["x", "c"] {
            let sum = |windows: &[&Arc<crate::WindowReadings>]| {
                let of = |w: &&Arc<crate::WindowReadings>| engine.counts(&w.tenant, feature).unwrap();
                windows.iter().map(of).reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect()).unwrap()
            };
            prop_assert_eq!(sum(&all), sum(&others));
        }
    }
}

#[test]
fn a_model_that_nobody_configured_is_named_without_personal_data() {
    let mut engine = Engine::default();
    let unknown = |model: &str| Record { model: model.to_owned(), ..Record::default() };
    let message = engine.observe_record(&unknown("alice@example.org")).unwrap_err().to_string();
    assert!(message.contains("sha256-") && !message.contains("alice"), "{message}");
    let message = engine.observe_record(&unknown(&"x".repeat(10_000))).unwrap_err().to_string();
    assert!(message.len() < 300, "{message}");
}

#[test]
fn versions_from_outside_are_looked_at_and_configured_ones_stay() {
    let spec = ModelSpec { versions: vec!["10.2.3.4".into()], ..profiled() };
    let mut engine = Engine::new(vec![spec]);
    for (version, stays) in
        [("v7", true), ("10.2.3.4", true), ("10.2.3.5", false), ("for-jane.doe@example.org", false)]
    {
        let mut record = usual(0);
        record.version = Some(version.to_owned());
        let seen = engine.observe_record(&record).unwrap().version.to_owned();
        assert_eq!(seen == version, stays, "{seen}");
        assert!(stays || (seen.contains("sha256-") && !seen.contains("example.org")), "{seen}");
        let mut exchange = exchange(r#"{"instances":[{"x":1}]}"#, r#"{"predictions":[1]}"#);
        exchange.version = version.into();
        assert_eq!(engine.observe(&exchange).unwrap().version, seen);
    }
    let readings = engine.readings(1);
    let shown = format!("{:?}", readings.models[0]);
    assert!(shown.contains("10.2.3.4") && !shown.contains("10.2.3.5") && !shown.contains("example.org"));
}

#[test]
fn a_card_that_is_too_long_for_a_float_is_hidden_in_a_record() {
    // One of ten in a row has a right check digit; as an `f64` all of them are the same number.
    let features: Vec<String> = (0..10).map(|n| format!(r#""x{n}":621234567890123456{n}"#)).collect();
    let body = format!(r#"{{"model":"m","features":{{{}}}}}"#, features.join(","));
    let records = Record::parse_many(body.as_bytes(), &record::RecordLimits::default()).unwrap();
    let mut engine = Engine::new(vec![profiled()]);
    let shown = |inference: record::Inference<'_>| -> Vec<String> {
        inference.decoded.features().map(|cell| format!("{:?}", cell.value)).collect()
    };
    let seen = shown(engine.observe_record(&records[0]).unwrap());
    let n_hidden = seen.iter().filter(|value| value.contains("sha256-")).count();
    assert_eq!(n_hidden, 1, "{seen:?}");
}

#[test]
fn a_version_that_becomes_active_starts_with_empty_windows() {
    let mut engine = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 100 })]);
    engine.set_active("m", "v2");
    let rows = |version: &str, lane| {
        let version = version.to_owned();
        (0..150).map(move |i| Record {
            version: Some(version.clone()),
            lane,
            tenant: Some("acme".to_owned()),
            ..usual(i)
        })
    };
    feed(&mut engine, rows("v2", Lane::Prod).chain(rows("v1", Lane::Shadow)).chain(rows("v2", Lane::Prod)));
    let stored = engine.snapshot();
    assert!(!engine.set_active("m", "v2"), "no change");
    assert!(engine.window("v2", Lane::Prod, "acme").is_some());
    assert!(engine.set_active("m", "v1"));
    assert!(engine.window("v2", Lane::Prod, "all").is_some(), "what it served can still be looked at");
    assert!(engine.window("v1", Lane::Shadow, "all").is_some(), "copies are counted on");
    assert!(engine.set_active("m", "v2"));
    for tenant in ["all", "acme"] {
        assert!(engine.window("v2", Lane::Prod, tenant).is_none(), "{tenant}: rows from before do not count");
    }

    let mut restarted = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 100 })]);
    restarted.restore(&stored).unwrap();
    assert!(!restarted.set_active("m", "v2"));
    assert!(restarted.window("v2", Lane::Prod, "all").is_some(), "a restart goes on");
    restarted.restore(&stored).unwrap();
    restarted.set_active("m", "v1");
    restarted.set_active("m", "v2");
    assert!(restarted.window("v2", Lane::Prod, "all").is_none());
}
