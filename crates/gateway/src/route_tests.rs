//! Matching and choosing.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::spec::{RouteMatch, SampleBy, Upstream, Version};

fn version(name: &str) -> Version {
    let upstream = Upstream {
        url: format!("http://{name}:80").parse().unwrap(),
        http2: false,
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        answer_timeout: Duration::from_secs(1),
        preserve_host: false,
        idle: None,
    };
    Version { name: name.into(), upstream }
}

fn route(name: &str, matches: RouteMatch, split: &[(usize, u32)]) -> ModelRoute {
    ModelRoute {
        name: name.into(),
        matches,
        versions: vec![version("a"), version("b"), version("c")],
        split: split.to_vec(),
        shadows: Vec::new(),
        tenant_header: None,
        tap: false,
        log_headers: Vec::new(),
        sticky_header: Some(HeaderName::from_static("x-user")),
        retry: crate::spec::Retry::default(),
    }
}

fn compiled(routes: impl IntoIterator<Item = ModelRoute>) -> Result<Compiled, GatewayError> {
    let table = RouteTable { models: routes.into_iter().map(Arc::new).collect(), generation: 1 };
    Compiled::new(table, &Counters::new(1, None), None)
}

fn prefix(prefix: &str) -> RouteMatch {
    RouteMatch { path_prefix: Some(prefix.into()), ..RouteMatch::default() }
}

fn user(name: &str) -> HeaderMap {
    [(HeaderName::from_static("x-user"), name.parse::<HeaderValue>().unwrap())].into_iter().collect()
}

#[test]
fn a_prefix_ends_at_a_segment() {
    let table = compiled([route("m", prefix("/fraud/"), &[(0, 1)])]).unwrap();
    for (path, takes) in
        [("/fraud", true), ("/fraud/", true), ("/fraud/x", true), ("/fraudulent", false), ("/", false)]
    {
        assert_eq!(table.find("t", path, &HeaderMap::new()).is_some(), takes, "{path}");
    }
}

#[test]
fn every_condition_must_hold_and_the_first_route_wins() {
    let by_host = RouteMatch { host: Some("A.example".into()), ..RouteMatch::default() };
    let by_header =
        RouteMatch { header: Some((HeaderName::from_static("x-user"), "eve".into())), ..prefix("/fraud") };
    let all = RouteMatch::default();
    let table = compiled([
        route("host", by_host, &[(0, 1)]),
        route("header", by_header, &[(0, 1)]),
        route("all", all, &[(0, 1)]),
    ])
    .unwrap();
    assert_eq!(table.find("a.EXAMPLE:8080", "/", &HeaderMap::new()), Some(0));
    assert_eq!(table.find("b.example", "/fraud", &user("eve")), Some(1));
    assert_eq!(table.find("b.example", "/fraud", &user("bob")), Some(2));
    assert_eq!(table.find("b.example", "/", &user("eve")), Some(2));
    assert_eq!(without_port("[::1]:80"), "[::1]");
}

#[test]
fn what_cannot_be_served_is_refused_with_the_models_name() {
    let shadow = |version, percent| Shadow {
        version: Some(version),
        noise: false,
        percent,
        sample_by: SampleBy::Random,
        honour_mark: false,
        strip_credentials: true,
        strip_headers: Vec::new(),
        timeout: Duration::from_secs(1),
        tap: false,
        methods: Vec::new(),
    };
    let good = || route("m", RouteMatch::default(), &[(0, 1)]);
    let bad = [
        ModelRoute { versions: Vec::new(), ..good() },
        ModelRoute { split: Vec::new(), ..good() },
        ModelRoute { split: vec![(3, 1)], ..good() },
        ModelRoute { split: vec![(0, 0)], ..good() },
        ModelRoute { versions: vec![version("a"), version("a")], ..good() },
        ModelRoute { shadows: vec![shadow(3, 5.0)], ..good() },
        ModelRoute { shadows: vec![shadow(1, 100.1)], ..good() },
        ModelRoute { shadows: vec![shadow(1, f64::NAN)], ..good() },
        ModelRoute { matches: prefix("fraud"), ..good() },
    ];
    for route in bad {
        let error = compiled([route.clone()]).unwrap_err().to_string();
        assert!(error.starts_with("model `m`: "), "{error} for {route:?}");
    }
    assert!(compiled([good(), good()]).is_err());
}

#[test]
fn unchanged_upstreams_keep_their_targets_across_tables_and_models() {
    let counters = Counters::new(1, None);
    let table = |routes: Vec<ModelRoute>| RouteTable {
        models: routes.into_iter().map(Arc::new).collect(),
        generation: 1,
    };
    let one = || route("m", RouteMatch::default(), &[(0, 1)]);
    let old = Compiled::new(table(vec![one()]), &counters, None).unwrap();
    let mut changed = one();
    changed.versions[1] = version("d");
    let new = Compiled::new(
        table(vec![changed, route("n", RouteMatch::default(), &[(0, 1)])]),
        &counters,
        Some(&old),
    )
    .unwrap();
    let target = |c: &Compiled, m: usize, v: usize| Arc::clone(&c.models[m].versions[v].target);
    assert!(Arc::ptr_eq(&target(&old, 0, 0), &target(&new, 0, 0)));
    assert!(!Arc::ptr_eq(&target(&old, 0, 1), &target(&new, 0, 1)));
    assert!(Arc::ptr_eq(&target(&new, 0, 0), &target(&new, 1, 0)));
}

#[test]
fn weights_are_met_with_and_without_a_key() {
    let table = compiled([route("m", RouteMatch::default(), &[(0, 90), (1, 9), (2, 1)])]).unwrap();
    for keyed in [true, false] {
        let mut hits = [0u32; 3];
        for i in 0..100_000 {
            let headers = if keyed { user(&format!("user-{i}")) } else { HeaderMap::new() };
            hits[table.models[0].choose(&headers)] += 1;
        }
        for (hits, share) in hits.iter().zip([0.9, 0.09, 0.01]) {
            let bound = 5.0 * f64::sqrt(share * (1.0 - share) * 1e5);
            assert!((f64::from(*hits) - share * 1e5).abs() < bound, "{hits} for {share}, keyed {keyed}");
        }
    }
}

proptest! {
    #[test]
    fn a_key_sticks(name in "[a-z0-9]{1,20}", weights in proptest::collection::vec(1u32..1000, 1..=3)) {
        let split: Vec<(usize, u32)> = weights.into_iter().enumerate().collect();
        let table = compiled([route("m", RouteMatch::default(), &split)]).unwrap();
        let first = table.models[0].choose(&user(&name));
        prop_assert!(first < split.len());
        prop_assert_eq!(table.models[0].choose(&user(&name)), first);
    }
}
