//! Files that are in order mean what they say.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use control::{Condition, Kind, RollbackMode, Scope, Severity, Signal};
use gateway::SampleBy;
use monitor::{PairSpec, ReferenceSpec};
use stats::{BinningRule, RangeRule};

use super::{SMALLEST, good, with};
use crate::{Flags, from_flags};

#[test]
fn the_smallest_file_with_all_its_defaults() {
    let loaded = good(SMALLEST);
    assert_eq!(loaded.warnings, []);
    let settings = loaded.settings;
    assert_eq!(settings.gateway.listen, Some("127.0.0.1:8080".parse::<SocketAddr>().unwrap()));
    assert_eq!(settings.admin.listen, "127.0.0.1:9464".parse::<SocketAddr>().unwrap());
    assert!(settings.admin.token.is_none() && !settings.drill.enabled && settings.gateway.tls.is_none());
    assert_eq!(settings.gateway.limits, gateway::Limits::default());
    assert!(settings.gateway.workers >= 1);
    assert_eq!(settings.store.folder, Path::new("./driftline-data"));
    assert_eq!(settings.store.snapshot_every, Duration::from_secs(5));
    assert_eq!(settings.observe.evaluate_every, Duration::from_secs(1));

    let route = &settings.routes[0];
    assert_eq!(&*route.name, "fraud");
    assert_eq!(route.matches, gateway::RouteMatch::default());
    assert_eq!(route.versions.iter().map(|version| &*version.name).collect::<Vec<_>>(), ["v2", "v1"]);
    assert_eq!(route.versions[0].upstream.url, "http://model-v2:8080");
    assert_eq!(route.split, [(0, 1)]);
    assert_eq!(route.tenant_header.as_ref().unwrap(), "x-tenant-id");
    assert_eq!(route.shadows.len(), 1);
    let shadow = &route.shadows[0];
    assert_eq!((shadow.version, shadow.percent, &shadow.sample_by), (Some(1), 5.0, &SampleBy::Random));
    assert!(shadow.honour_mark && shadow.tap && !shadow.strip_credentials);
    assert_eq!(shadow.timeout, Duration::from_secs(5));

    let model = &settings.models[0];
    assert_eq!((&*model.active, &*model.stable, model.auto_rollback), ("v2", "v1", true));
    let spec = &settings.monitor[0];
    assert_eq!((spec.window, spec.min_requests, spec.tenants.limit), (1_000, 100, 1_000));
    assert!(matches!(spec.reference, ReferenceSpec::Learn { rows: 1_000 }));
    assert_eq!(spec.binning, BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax });

    assert_eq!(settings.policy.rules, control::Policy::default_rules());
    let policy = &settings.policy.models[0];
    assert_eq!(
        (policy.shadow.as_deref(), policy.shadow_percent, policy.mode),
        (Some("v1"), 5.0, RollbackMode::Automatic)
    );
    assert_eq!(
        (policy.cooldown_ms, policy.max_rollbacks, policy.max_rollbacks_per_ms),
        (600_000, 3, 86_400_000)
    );
    assert_eq!((settings.policy.min_requests, settings.policy.tenants_red), (100, 3));
}

#[test]
fn values_are_typed_by_their_keys() {
    let settings = good(
        "
models:
  1.0:
    versions: { 1.10: http://a:1, no: http://b:2 }
    active: 1.10
    stable: no
    tenant: { pinned: [007, yes, 1e3] }
",
    )
    .settings;
    let versions: Vec<&str> = settings.models[0].versions.iter().map(|version| &**version).collect();
    assert_eq!((&*settings.models[0].name, versions), ("1.0", vec!["1.10", "no"]));
    assert_eq!(settings.monitor[0].tenants.pinned, ["007", "yes", "1e3"]);
}

#[test]
fn variables_are_expanded_and_typed_again() {
    let text =
        with("shadow: { version: v2, percent: \"${PCT}\" }\nwindow: ${NONE:-500}\nroute: /${NONE:-a}$$b");
    let settings =
        good(&format!("listen: 127.0.0.1:${{PORT:-81}}\nauth:\n  token: ${{TOKEN}}\n{text}")).settings;
    assert_eq!(settings.routes[0].shadows[0].percent, 7.5);
    assert_eq!(settings.monitor[0].window, 500);
    assert_eq!(settings.routes[0].matches.path_prefix.as_deref(), Some("/a$b"));
    assert_eq!(settings.gateway.listen.map(|listen| listen.port()), Some(81));
    assert_eq!(settings.admin.token.as_ref().unwrap().expose(), "Hidden-Token-0123456789");
    assert!(!format!("{settings:?}").contains("Hidden-Token"));
}

#[test]
fn splits_shadows_and_routes() {
    let text = with("
split: { v1: 95, v2: 5 }
sticky: x-user
route: { path: /fraud/, host: A.Example.com, header: { X-Kind: card }, strip_prefix: true }
tenant: false
shadow:
  - { version: v2, percent: 0.5, sample_by: request-id, methods: [POST], strip_headers: [X-A], timeout: 250ms, observe: false }
  - { version: v1, percent: 100, sample_by: { header: x-user }, strip_credentials: true, honour_mark: false }
");
    let settings = good(&text).settings;
    let route = &settings.routes[0];
    assert_eq!(route.split, [(0, 95), (1, 5)]);
    assert_eq!(route.sticky_header.as_ref().unwrap(), "x-user");
    assert_eq!(route.matches.path_prefix.as_deref(), Some("/fraud"));
    assert_eq!(route.matches.host.as_deref(), Some("a.example.com"));
    assert_eq!(
        route.matches.header.as_ref().map(|(name, value)| (name.as_str(), &**value)),
        Some(("x-kind", "card"))
    );
    assert!(route.matches.strip_prefix && route.tenant_header.is_none());
    let [first, second] = &route.shadows[..] else { panic!("two shadows") };
    assert_eq!((first.percent, &first.sample_by, first.tap), (0.5, &SampleBy::RequestId, false));
    assert_eq!(
        (first.timeout, first.methods.len(), first.strip_headers.len()),
        (Duration::from_millis(250), 1, 1)
    );
    assert!(matches!(&second.sample_by, SampleBy::Header(header) if header == "x-user"));
    assert!(second.strip_credentials && !second.honour_mark);
}

#[test]
fn llm_routes() {
    let settings = good(&format!("embedding_cache: {{}}\n{}", with("shadow: { mode: log-only }"))).settings;
    let shadow = &settings.routes[0].shadows[0];
    assert_eq!((shadow.version, shadow.percent), (None, 100.0));
    assert_eq!((&settings.models[0].shadows[0].version, &settings.policy.models[0].shadow), (&None, &None));
    let cache = settings.embedding_cache.unwrap();
    assert_eq!(
        (cache.entries, cache.bytes, cache.persist, cache.share_all),
        (100_000, 256 << 20, true, false)
    );

    let budget = "budget: { tokens_per_day: 1000, usd_per_day: 2.5, usd_per_million_prompt_tokens: 3, usd_per_million_completion_tokens: 15 }";
    let text = with(&format!(
        "shadow: [{{ mode: log-only, percent: 20, sample_by: request-id }}, {{ version: v2, percent: 5, {budget} }}]"
    ));
    let settings =
        good(&format!("embedding_cache: {{ bytes: 1MiB, scope: all, persist: false, entries: 9 }}\n{text}"))
            .settings;
    assert_eq!(
        settings.routes[0].shadows.iter().map(|shadow| shadow.version).collect::<Vec<_>>(),
        [None, Some(1)]
    );
    assert_eq!(settings.policy.models[0].shadow.as_deref(), Some("v2"));
    let budget = settings.models[0].shadows[1].budget.unwrap();
    assert_eq!((budget.tokens_per_day, budget.usd_per_day), (Some(1000), Some(2.5)));
    assert_eq!((budget.usd_per_million_prompt_tokens, budget.usd_per_million_completion_tokens), (3.0, 15.0));
    assert!(settings.models[0].shadows[0].budget.is_none());
    let cache = settings.embedding_cache.unwrap();
    assert_eq!((cache.entries, cache.bytes, cache.persist, cache.share_all), (9, 1 << 20, false, true));
}

#[test]
fn measuring() {
    let text = with(
        "
protocol: json
features: { include: [amount, age], exclude: [id], paths: { amount: '$.rows[*].amount', age: age } }
prediction: { score: $.score }
baseline: { learn: 500 }
binning: { type: quantile, bins: 20 }
window: { size: 200, min_requests: 50, significance: 0.001 }
tenant: { header: x-org, limit: 5, pinned: [acme] }
auto_rollback: false
",
    );
    let loaded = good(&format!(
        "{text}limits: {{ features: 10, categories: 20, capture_bytes: 2MiB, body_bytes: 5000 }}\n"
    ));
    let spec = &loaded.settings.monitor[0];
    assert_eq!((spec.window, spec.min_requests, spec.alpha), (200, 50, 0.001));
    assert_eq!(spec.decoder.protocol, record::Protocol::Json);
    let names: Vec<&str> = spec.decoder.features.iter().map(|extract| &*extract.name).collect();
    assert_eq!((names, spec.decoder.predictions[0].name.as_str()), (vec!["amount", "age"], "score"));
    assert!(matches!(spec.reference, ReferenceSpec::Learn { rows: 500 }));
    assert_eq!(spec.binning, BinningRule::Quantile { bins: 20 });
    assert_eq!((spec.tenants.limit, &spec.tenants.pinned[..]), (5, &["acme".to_owned()][..]));
    assert_eq!((spec.limits.features, spec.limits.categories), (10, 20));
    assert_eq!(
        (&spec.include[..], &spec.exclude[..]),
        (&["amount".to_owned(), "age".to_owned()][..], &["id".to_owned()][..])
    );
    assert!(!loaded.settings.models[0].auto_rollback);
    assert_eq!(loaded.settings.gateway.limits.capture_bytes, 2 << 20);
    assert_eq!(loaded.settings.gateway.limits.body_bytes, Some(5000));
    let spec = &good(&with("baseline: previous-window\nfeatures: [a]")).settings.monitor[0];
    assert!(matches!(spec.reference, ReferenceSpec::PreviousWindow));
    assert_eq!(spec.include, ["a"]);
}

#[test]
fn rules_are_changed_switched_off_and_added() {
    let text = with("");
    let settings = good(&format!(
        "{text}
rollback: {{ mode: observe, cooldown: 1m, max: 1, per: 1h }}
alerts:
  tenants_red: 5
  rules:
    FeaturePSIHigh: {{ above: 0.25, for: 0s }}
    PSIAmber: {{ enabled: false }}
    SlowModel: {{ when: latency_p95, above: 900, severity: critical, for: 30s }}
    Band: {{ when: psi, above: 0.1, up_to: 0.3, keep_firing_for: 2m }}
    DriftDetected: {{ severity: critical, for: 10m }}
    DriftCritical: {{ enabled: false }}
    Found: {{ when: drift }}
"
    ))
    .settings;
    let rules = &settings.policy.rules;
    let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
    let own = names.iter().position(|name| *name == "SlowModel").expect("is there");
    assert_eq!(
        names[..5],
        ["FeaturePSIHigh", "FeaturePSICritical", "LatencySpike", "TenantDrift", "DriftDetected"]
    );
    assert_eq!(names[own..], ["SlowModel", "Band", "Found"]);
    let rules = [&rules[..3], &rules[4..5], &rules[own..]].concat();
    assert_eq!((rules[3].severity, rules[3].for_ms), (Severity::Critical, 600_000));
    assert_eq!(rules[6].condition, Condition::above(Signal::Drift, 0.0));
    let rules = [&rules[..3], &rules[4..]].concat();
    assert_eq!(rules[0].condition, Condition::above(Signal::Psi, 0.25));
    assert_eq!((rules[0].for_ms, rules[0].severity), (0, Severity::Warning));
    assert_eq!(rules[3].condition, Condition::above(Signal::LatencyP95, 900.0));
    assert_eq!(
        (rules[3].for_ms, rules[3].keep_firing_ms, rules[3].severity),
        (30_000, 60_000, Severity::Critical)
    );
    assert_eq!(rules[4].condition, Condition { up_to: Some(0.3), ..Condition::above(Signal::Psi, 0.1) });
    assert_eq!((rules[4].for_ms, rules[4].keep_firing_ms), (300_000, 120_000));
    let model = &settings.policy.models[0];
    assert_eq!((model.mode, model.cooldown_ms, model.max_rollbacks), (RollbackMode::Observe, 60_000, 1));
    assert_eq!((settings.policy.tenants_red, model.max_rollbacks_per_ms), (5, 3_600_000));
}

#[test]
fn every_signal_can_be_configured() {
    let text = format!("{SMALLEST}rollback: {{ on: [errors, quality] }}\nalerts:\n  rules:\n");
    let rules: String = control::CATALOGUE
        .iter()
        .map(|spec| {
            format!("    R{}: {{ when: {}, above: {} }}\n", spec.signal as usize, spec.name, spec.example)
        })
        .collect();
    let more = "    Raw: { when: psi_raw, above: 0.5, of: prediction }
    FeaturePSIHigh: { when: psi_raw }
    Falls: { when: volume, drop: 0.5, over: 10m }
    Worse: { when: error_rate, above: 0.01, above_stable: 1.5 }
    Types: { when: quality, check: type }
    Quiet: { when: no_traffic, for: 10m }
";
    let policy = good(&format!("{text}{rules}{more}")).settings.policy;
    let condition = |name: &str| policy.rule(name).expect("is there").condition;
    for spec in &control::CATALOGUE {
        let name = format!("R{}", spec.signal as usize);
        assert_eq!(condition(&name), Condition::above(spec.signal, spec.example));
    }
    assert_eq!((condition("Raw").of, condition("Raw").signal), (Scope::Prediction, Signal::PsiRaw));
    assert_eq!(condition("FeaturePSIHigh"), Condition::above(Signal::PsiRaw, 0.2));
    let falls = Condition { drop: Some(0.5), over_ms: Some(600_000), ..Condition::of(Signal::Volume) };
    assert_eq!(condition("Falls"), falls);
    assert_eq!((condition("Worse").above, condition("Worse").above_stable), (Some(0.01), Some(1.5)));
    assert_eq!(
        (condition("Types").check, condition("Types").above),
        (Some(monitor::Check::Type), Some(0.05))
    );
    assert_eq!(condition("Quiet").above, Some(0.0));
    assert_eq!(policy.rollback_on, [Kind::Errors, Kind::Quality].into());
}

#[test]
fn the_detector_is_on_unless_it_is_switched_off() {
    let detector = |model: &str| {
        let text = format!("models: {{ m: {{ versions: {{ v: http://a:1 }}, active: v, {model} }} }}\n");
        good(&text).settings.monitor[0].detector.clone()
    };
    assert_eq!(detector("auto_rollback: false"), monitor::DetectorSpec::default());
    assert!(!detector("auto_rollback: false, detector: false").enabled);
    let own = detector("auto_rollback: false, detector: { false_alarm_every: 7d, tenants: 0, strict: true }");
    assert_eq!((own.false_alarm_every.as_secs(), own.tenants, own.strict), (604_800, 0, true));
}

#[test]
fn anchors_can_be_used() {
    let settings = good("
models:
  a: { versions: { v1: http://a:1, v2: http://b:2 }, active: v1, stable: v2, route: /a, window: &window { size: 300 } }
  b: { versions: { v1: http://c:1, v2: http://d:2 }, active: v1, stable: v2, route: /b, window: *window }
").settings;
    assert_eq!(settings.monitor.iter().map(|spec| spec.window).collect::<Vec<_>>(), [300, 300]);
}

#[test]
fn several_models_are_tried_in_the_order_written() {
    let settings = good(
        "
models:
  z: { versions: { v: http://a:1 }, active: v, auto_rollback: false, route: /m/z }
  a: { versions: { v: http://a:1 }, active: v, auto_rollback: false, route: /m }
  c: { versions: { v: http://a:1 }, active: v, auto_rollback: false }
",
    )
    .settings;
    assert_eq!(settings.routes.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["z", "a", "c"]);
}

#[test]
fn a_token_file_is_read_without_its_line_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "0123456789abcdef\r\n").unwrap();
    let file = folder.path().join("driftline.yaml");
    std::fs::write(&file, with("") + "auth: { token_file: token }\n").unwrap();
    let loaded = crate::load(&file, &|_| None).unwrap();
    assert_eq!(loaded.settings.admin.token.unwrap().expose(), "0123456789abcdef");
    assert_eq!(loaded.settings.file.as_deref(), Some(&*file));
}

#[test]
fn flags_make_one_model() {
    let flags = Flags {
        prod: "http://a:1/$x".to_owned(),
        shadow: Some("http://b:2".to_owned()),
        stable: Some("http://c:3".to_owned()),
        percent: Some(12.5),
        listen: Some("127.0.0.1:0".to_owned()),
        admin: Some("127.0.0.1:0".to_owned()),
        model: Some("my-model".to_owned()),
        ..Flags::default()
    };
    let loaded =
        from_flags(&flags, &|name| (name == "DRIFTLINE_TOKEN").then(|| "0123456789abcdef".to_owned()))
            .unwrap();
    assert_eq!(loaded.warnings, []);
    let model = &loaded.settings.models[0];
    assert_eq!((&*model.name, &*model.active, &*model.stable), ("my-model", "prod", "stable"));
    assert_eq!((model.shadows[0].version.as_deref(), model.shadows[0].percent), (Some("shadow"), 12.5));
    assert_eq!(loaded.settings.routes[0].versions[0].upstream.url, "http://a:1/$x");
    assert!(loaded.settings.admin.token.is_some() && loaded.settings.file.is_none());

    let only = Flags { prod: "http://a:1".to_owned(), ..Flags::default() };
    let loaded = from_flags(&only, &|_| None).unwrap();
    assert_eq!((&*loaded.settings.models[0].name, loaded.settings.routes[0].shadows.len()), ("default", 0));
    assert!(loaded.warnings[0].message.contains("nowhere to go"), "{}", loaded.warnings[0]);
}

#[test]
fn pairs_are_on_where_copies_are_sent() {
    let pairs = |keys: &str| good(&with(keys)).settings.monitor[0].pairs;
    assert_eq!(pairs("shadow: { version: v2, percent: 5 }"), Some(PairSpec::default()));
    assert_eq!(pairs("shadow: { mode: log-only }"), None);
    assert_eq!(pairs("shadow: { version: v2, percent: 5, observe: false }"), None);
    assert_eq!(pairs("shadow: { version: v2, percent: 5 }\npairs: false"), None);
    assert_eq!(pairs("protocol: auto"), None);
    assert_eq!(pairs("pairs: {}"), Some(PairSpec::default()));
    let own = pairs(
        "pairs: { absolute_tolerance: 0.5, relative_tolerance: 0, max_disagreement: 0.2, max_wait: 2s }",
    );
    let expected = PairSpec {
        absolute_tolerance: 0.5,
        relative_tolerance: 0.0,
        max_disagreement: 0.2,
        max_wait: Duration::from_secs(2),
    };
    assert_eq!(own, Some(expected));
}

#[test]
fn noise_is_copied_to_the_version_that_answers() {
    for noise in ["{ role: noise, percent: 2 }", "{ version: v1, role: noise, percent: 2 }"] {
        let loaded = good(&with(&format!("shadow: [{noise}, {{ version: v2, percent: 5 }}]")));
        assert_eq!(loaded.warnings, []);
        let shadows = &loaded.settings.routes[0].shadows;
        let shown: Vec<_> =
            shadows.iter().map(|shadow| (shadow.version, shadow.noise, shadow.percent)).collect();
        assert_eq!(shown, [(Some(0), true, 2.0), (Some(1), false, 5.0)]);
        let policy = &loaded.settings.policy.models[0];
        assert_eq!((policy.shadow.as_deref(), policy.shadow_percent), (Some("v2"), 5.0), "the candidate's");
    }
}

#[test]
fn headers_of_the_log_go_with_the_routes_and_only_when_there_is_a_log() {
    let headers = |logs: &str| {
        let loaded = good(&format!("{SMALLEST}\nlogs: {logs}\n"));
        let headers = loaded.settings.routes[0].log_headers.iter();
        headers.map(|(name, shown)| format!("{name} {shown}")).collect::<Vec<_>>()
    };
    let list = "headers: [Content-Type, x-request-source]";
    let expected = ["content-type content-type", "x-request-source x-request-source"];
    assert_eq!(headers(&format!("{{ stdout: true, {list} }}")), expected);
    assert_eq!(headers(&format!("{{ {list} }}")), Vec::<String>::new());
    assert_eq!(headers("{ stdout: true }"), Vec::<String>::new());
}
