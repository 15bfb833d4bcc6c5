//! What is wrong with a file is said in full: complete messages, one snapshot per kind.

use super::{parse, said, with};
use crate::{Flags, from_flags};

/// Compares with the stored messages; the cases stand in the messages already.
macro_rules! snapshot {
    ($said:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($said) })
    };
}

/// Cases and what is said about them, for a snapshot.
fn all(cases: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, text) in cases {
        out += &format!("=== {name}\n{}\n\n", said(text));
    }
    out
}

/// A case that is a good model with more keys.
fn model(name: &'static str, keys: &str) -> (&'static str, String) {
    (name, with(keys))
}

/// A case that is a good file with more keys at the top.
fn top(name: &'static str, keys: &str) -> (&'static str, String) {
    (name, format!("{keys}\n{}", with("")))
}

/// A case that is a whole file.
fn file(name: &'static str, text: &str) -> (&'static str, String) {
    (name, text.to_owned())
}

#[test]
fn not_yaml() {
    snapshot!(all(&[
        file("empty", ""),
        file("only a comment", "# nothing\n"),
        file("empty document", "---\n"),
        file("a scalar", "hello\n"),
        file("a list", "- a\n- b\n"),
        file("tabs", "models:\n\tfraud: 1\n"),
        file("unclosed bracket", "models: { fraud: [1, 2 }\n"),
        file("unclosed quote", "models:\n  fraud: \"abc\n"),
        file("bad indent", "models:\n  a: 1\n b: 2\n"),
        file("two documents", "models: {}\n---\nmodels: {}\n"),
        file("duplicate keys", "listen: 127.0.0.1:1\nmodels: {}\nlisten: 127.0.0.1:2\nmodels: {}\n"),
        file("a version twice", &with("").replace("v2: http://b:2", "v1: http://b:2")),
        file("merge key", "a: &a { x: 1 }\nmodels: { <<: *a }\n"),
        file("tag", "models: !!map {}\n"),
        file("list as key", "? [a, b]\n: c\n"),
        file("unknown alias", "models: *none\n"),
        file("deep", &"[".repeat(40)),
        file("variable in flow", &with("shadow: { version: ${V}, percent: 1 }")),
    ]));
}

#[test]
fn pairs_and_noise() {
    snapshot!(all(&[
        model("noise twice", "shadow: [{ role: noise, percent: 5 }, { role: noise, percent: 6 }]"),
        model("noise of another version", "shadow: { version: v2, role: noise, percent: 5 }"),
        model("noise that is only logged", "shadow: { mode: log-only, role: noise }"),
        model("noise without a share", "shadow: { role: noise }"),
        model("unknown role", "shadow: { version: v2, percent: 5, role: baseline }"),
        model("pairs true", "pairs: true"),
        model("negative tolerance", "pairs: { absolute_tolerance: -1 }"),
        model("tolerance not finite", "pairs: { relative_tolerance: .inf }"),
        model("disagreement in percent", "pairs: { max_disagreement: 5 }"),
        model("no time to wait", "pairs: { max_wait: 0s }"),
    ]));
}

#[test]
fn llm_routes() {
    snapshot!(all(&[
        model("a copy to nobody", "shadow: { percent: 5 }"),
        model("no share", "shadow: { version: v2 }"),
        model("logged twice", "shadow: [{ mode: log-only }, { mode: log-only, percent: 5 }]"),
        model("logging with a version", "shadow: { mode: log-only, version: v2 }"),
        model("logging with a budget", "shadow: { mode: log-only, budget: { tokens_per_day: 5 } }"),
        model("dollars without prices", "shadow: { version: v2, percent: 5, budget: { usd_per_day: 5 } }"),
        model("noise with a budget", "shadow: { role: noise, percent: 5, budget: { tokens_per_day: 5 } }"),
        model("no tokens", "shadow: { version: v2, percent: 5, budget: { tokens_per_day: 0 } }"),
        model("unknown mode", "shadow: { mode: log }"),
        top("a cache of nothing", "embedding_cache: { entries: 0 }"),
        top("unknown scope", "embedding_cache: { scope: everybody }"),
    ]));
}

#[test]
fn not_what_the_schema_says() {
    snapshot!(all(&[
        file("no models", "listen: 127.0.0.1:8080\n"),
        file("models empty", "models: {}\n"),
        file("model empty", "models: { m: {} }\n"),
        file("model without value", "models:\n  m:\n"),
        top("unknown key", "lisen: 127.0.0.1:80"),
        top("a key of later versions", "privacy: { hash: [user] }"),
        model("unknown key of a model", "shaddow: { version: v2, percent: 5 }"),
        model("unknown key of a shadow", "shadow: { version: v2, percentage: 5 }"),
        model("key without value", "protocol:"),
        model("percent", "shadow: { version: v2, percent: 100.5 }"),
        model("percent not finite", "shadow: { version: v2, percent: .inf }"),
        model("percent quoted", "shadow: { version: v2, percent: \"5\" }"),
        model("percent text", "shadow: { version: v2, percent: some }"),
        model("shadows", "shadow: []"),
        model("sample_by", "shadow: { version: v2, percent: 1, sample_by: tennant }"),
        model("sample_by header", "shadow: { version: v2, percent: 1, sample_by: { header: 'a b' } }"),
        model("method", "shadow: { version: v2, percent: 1, methods: [post, TRACE] }"),
        model("protocol", "protocol: kserve_v2"),
        model("window number", "window: 9.5"),
        model("window small", "window: 9"),
        model("window kind", "window: [1]"),
        model("bins", "binning: { bins: 201 }"),
        model("tenant true", "tenant: true"),
        model("JSON path", "prediction: $.a[*"),
        model("bad bool", "auto_rollback: yes"),
        model("route", "route: fraud"),
        model("empty route", "route: {}"),
        model("two route headers", "route: { header: { a: x, b: y } }"),
        model("negative weight", "split: { v1: -1 }"),
        top("port", "listen: 127.0.0.1:70000"),
        top("only a port", "listen: 8080"),
        top("name", "listen: myhost:80"),
        top("duration without unit", "shutdown_grace: 5"),
        top("duration zero", "alerts: { evaluate_every: 0s }"),
        top("size", "limits: { capture_bytes: 1Mb, head_bytes: 12 }"),
        top("negative", "limits: { connections: -5, tenants: 0 }"),
        top("threshold", "alerts: { rules: { FeaturePSIHigh: { above: -1 }, PSIAmber: { above: .nan } } }"),
        top("alert name", "alerts: { rules: { my-rule: { when: psi, above: 1 } } }"),
        top("severity", "alerts: { rules: { FeaturePSIHigh: { severity: warn } } }"),
        file("names", "models: { ../etc: { versions: { 'a b': http://a:1 }, active: x } }\n"),
        file(
            "URLs",
            "models: { m: { versions: { a: ftp://x, b: http://, c: host:80, d: 'http://h:0', e: 'http://h?x' }, active: a } }\n"
        ),
    ]));
}

#[test]
fn what_does_not_go_together() {
    snapshot!(all(&[
        file("active", "models: { m: { versions: { blue: http://a:1, green: http://b:1 }, active: geen, stable: red } }\n"),
        file("stable left out", "models: { m: { versions: { v1: http://a:1 }, active: v1 } }\n"),
        model("shadow version", "shadow: { version: v3, percent: 5 }"),
        model("shadow is active", "shadow: { version: v1, percent: 5 }"),
        model("shadow twice", "shadow: [{ version: v2, percent: 5 }, { version: v2, percent: 6 }]"),
        model("split version", "split: { v1: 1, v9: 2 }"),
        model("split zero", "split: { v1: 0, v2: 0 }"),
        model("split without active", "split: { v2: 100 }"),
        model("sample by no tenant", "tenant: false\nshadow: { version: v2, percent: 1, sample_by: tenant }"),
        model("window never judges", "window: 100"),
        model("window and its own minimum", "window: { size: 50, min_requests: 50 }"),
        model("window smaller than alerts need", "window: { size: 60, min_requests: 20 }"),
        file("previous window", &(with("window: 90\nbaseline: previous-window") + "alerts: { min_requests: 50 }\n")),
        model("learn too little", "baseline: { learn: 99 }"),
        model("strip_prefix", "route: { host: a, strip_prefix: true }"),
        model("range", "binning: { type: quantile, range: iqr }"),
        model("features twice", "features: { include: [a, a, ''], exclude: [a] }"),
        model("pinned", "tenant: { limit: 1, pinned: [all, acme] }"),
        model("baseline missing", "baseline: none.json"),
        model("baseline is no profile", "baseline: Cargo.toml"),
        file("catch-all first", "
models:
  a: { versions: { v: http://a:1 }, active: v, auto_rollback: false }
  b: { versions: { v: http://b:1 }, active: v, auto_rollback: false, route: /b }
"),
        file("same route", "
models:
  a: { versions: { v: http://a:1 }, active: v, auto_rollback: false, route: /x }
  b: { versions: { v: http://b:1 }, active: v, auto_rollback: false, route: { path: /x/y, host: h } }
"),
        file("own address", "
listen: 0.0.0.0:8080
models: { m: { versions: { a: http://localhost:8080, b: http://127.0.0.1:9464, c: http://10.0.0.1:8080 }, active: a, stable: b } }
"),
        top("listen is admin", "listen: 0.0.0.0:9464"),
        top("admin without token", "admin: 0.0.0.0:9464"),
        top("unknown alert", "alerts: { rules: { FeaturePSIHi: { above: 1 }, Mine: { above: 1 } } }"),
        top("new alert", "alerts: { rules: { Mine: { when: psi }, Yours: { when: latency_p95, above: 1, up_to: 2 } } }"),
        top("empty band", "alerts: { rules: { PSIAmber: { above: 0.2 }, FeaturePSIHigh: { when: latency_p95 } } }"),
        top("nothing critical", "alerts: { rules: { FeaturePSICritical: { enabled: false }, DriftCritical: { enabled: false }, ErrorRateCritical: { enabled: false }, PredictionFrozen: { severity: warning }, LatencySpike: { severity: info } } }"),
        top("nothing that moves traffic", "rollback: { on: [rejected] }"),
        top("rules that make no sense", "alerts: { rules: { A: { when: psi, below: 1 }, B: { when: error_rate, above: 5 }, C: { when: volume, above: 1, check: type, of: features }, D: { when: psi, above: 1, over: 1m }, E: { when: no_traffic, for: 0s }, F: { when: quality, check: odd }, G: { when: latency_p95 }, H: { when: latency, above: 5 } } }"),
        top("thresholds of nothing", "alerts: { rules: { A: { when: psi, above: 0 }, B: { when: latency_p95, above: 0 }, C: { when: drift, above: 0, up_to: 1 } } }"),
        model("detector", "detector: true"),
        model("detector's settings", "detector: { false_alarm_every: 1m, min_effect: 2, windows: 3 }"),
        model("nothing stands still", "baseline: previous-window, detector: { tenants: 3 }"),
        top("certificates", "tls: { cert_file: none.crt, key_file: Cargo.toml }"),
    ]));
}

#[test]
fn secrets_and_variables() {
    let cases = [
        top("short token", "auth: { token: Hidden-1 }"),
        top("token with a space", "auth: { token: Hidden but long enough }"),
        top("both", "auth: { token: Hidden-0123456789, token_file: Cargo.toml }"),
        top("token file missing", "auth: { token_file: none }"),
        top("token file is a folder", "auth: { token_file: src }"),
        top("token file is no token", "auth: { token_file: Cargo.toml }"),
        top("misspelt", "auth: { tokn: Hidden-0123456789 }"),
        top("unknown key", "slck: Hidden-0123456789"),
        top("wrong kind", "auth: [Hidden-0123456789]"),
        top("wrong place", "token: Hidden-0123456789"),
        top("beside a mistake", "auth: { token: Hidden-0123456789, tokens: Hidden, x: 1 }"),
        file("not YAML", "auth:\n  token: \"Hidden\nmodels: {\n"),
        file("block", "auth:\n  token: |\n    Hidden\n   Hidden\nmodels: {}\n"),
        top("empty variable", "auth:\n  token: ${EMPTY}"),
        top("user and password", "alerts: { dashboard_url: 'https://me:Hidden@host/' }"),
        file(
            "upstream with password",
            "models: { m: { versions: { a: 'http://me:Hidden@host' }, active: b } }\n",
        ),
        top("unset", "listen: ${NONE}\nadmin: ${1A}"),
        top("unclosed", "listen: ${NONE"),
        top(
            "content is never shown",
            "listen: ${WORD}\ndrill: ${WORD}\nstore: { snapshot_every: \"${WORD}\" }",
        ),
        model(
            "nor in what is checked later",
            "shadow:\n  version: ${WORD}\n  percent: ${WORD}\nfeatures:\n  - ${WORD}\n  - ${WORD}",
        ),
        model("nor as a file", "baseline: ${WORD}"),
    ];
    let said = all(&cases);
    assert!(!said.contains("Hidden"), "{said}");
    snapshot!(said);
}

#[test]
fn flags() {
    let flags = Flags {
        prod: "model:8080".to_owned(),
        shadow: Some("http://b:2".to_owned()),
        percent: Some(f64::NAN),
        listen: Some(":80".to_owned()),
        baseline: Some("none.json".into()),
        ..Flags::default()
    };
    let wrong = from_flags(&flags, &|_| None).unwrap_err().to_string();
    let lonely = Flags { prod: "http://a:1".to_owned(), percent: Some(5.0), ..Flags::default() };
    let lonely = from_flags(&lonely, &|_| None).unwrap_err().to_string();
    snapshot!(format!("{wrong}\n\n=== percent alone\n{lonely}"));
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let text: String = (0..250).map(|n| format!("k{n}: 1\n")).collect();
    let problems = parse(&text).unwrap_err();
    assert_eq!(problems.n_errors(), 251);
    assert!(problems.to_string().ends_with("and 151 more problems"));
}

#[test]
fn headers_that_carry_credentials_are_never_logged() {
    for name in [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x-amz-security-token",
        "x-goog-iap-jwt-assertion",
        "x-auth-request-email",
        "x-csrf-token",
        "x-session-id",
        "x-forwarded-client-cert",
        "x-hub-signature-256",
        "x-client-secret",
    ] {
        let said = said(&format!("logs: {{ stdout: true, headers: [content-type, {name}] }}\n{}", with("")));
        let expected = format!("error: logs.headers[1]: `{}` carries credentials", name.to_lowercase());
        assert!(said.starts_with(&expected), "{said}");
    }
    let twice = said(&format!("logs: {{ stdout: true, headers: [x-a, X-A] }}\n{}", with("")));
    assert!(twice.starts_with("error: logs.headers[1]: `x-a` is named twice"), "{twice}");
}

#[test]
fn sources_that_read_what_others_have_written() {
    let source = |keys: &str| format!("sources: {{ one: {{ {keys} }} }}\n");
    let capture = |keys: &str| source(&format!("data_capture: {{ {keys} }}"));
    snapshot!(all(&[
        top("no pattern", &source("tail: { paths: [a.log, 'b/***'] }")),
        top("no path", &source("tail: { paths: [] }")),
        top(
            "its own log",
            &format!("{}logs: {{ files: {{ path: ./log }} }}", source("tail: { paths: ['log/**/*'] }"))
        ),
        top("neither bucket nor folder", &capture("poll: 1m")),
        top("bucket and folder", &capture("s3: 's3://bucket/x', folder: x")),
        top("no bucket", &capture("s3: 'https://bucket.s3.amazonaws.com/x'")),
        top("a folder with dots", &capture("folder: ../captures")),
        top("an endpoint in the open", &capture("s3: 's3://bucket', endpoint: 'http://minio:9000'")),
        top("two kinds", &source("stdin: {}, tail: { paths: [a] }")),
    ]));
}

#[test]
fn what_acts_out_there() {
    snapshot!(all(&[
        top("a notifier of no kind", "notify: { a: { at_least: info } }"),
        top(
            "a notifier of two kinds",
            "notify: { a: { slack: { webhook_url: 'https://a/b' }, teams: { webhook_url: 'https://a/b' } } }"
        ),
        top("slack without an address", "notify: { a: { slack: {} } }"),
        top(
            "slack as a webhook and as a bot",
            "notify: { a: { slack: { webhook_url: 'https://a/b', channel: C1 } } }"
        ),
        top("a bot without a channel", "notify: { a: { slack: { token: xoxb-topsecret } } }"),
        top("a bot without a token", "notify: { a: { slack: { channel: 'C1 C2' } } }"),
        top("slack with a bad address", "notify: { a: { slack: { webhook_url: 'ftp://topsecret' } } }"),
        top("a webhook with a bad address", "notify: { a: { webhook: { url: 'ftp://topsecret' } } }"),
        top("a template", "notify: { a: { webhook: { url: 'https://a/b', body: '{{ title' } } }"),
        top("another model", "notify: { a: { models: [n], slack: { webhook_url: 'https://a/b' } } }"),
        top("mail", "notify: { a: { email: { host: h, username: u, from: nobody, to: [a@b.c] } } }"),
        model("an actuator of no kind", "rollback: { actuators: { a: {} } }"),
        model("a name that is taken", "rollback: { actuators: { gateway: { command: { argv: [a] } } } }"),
        model(
            "a version that is not there",
            "rollback: { actuators: { a: { versions: { v9: x }, command: { argv: [a] } } } }"
        ),
        model(
            "a value that is not there",
            "rollback: { actuators: { a: { ssm: { value: '{{ toname }}' } } } }"
        ),
        model("no program", "rollback: { actuators: { a: { command: { argv: [] } } } }"),
        model("two sources to follow", "follow: { file: a, ssm: {} }"),
        model("a name for no version", "follow: { file: a, names: { x: v9 } }"),
        model("versions here and elsewhere", "elsewhere: [v1]"),
        top("a trainer of no kind", "retrain: { a: {} }"),
        top("no such alert", "retrain: { a: { alerts: [FeaturePSIHihg], http: { url: 'https://a/b' } } }"),
        top("nothing to give", "retrain: { a: { sagemaker: { pipeline: p, parameters: { M: modle } } } }"),
        top(
            "two logins",
            "retrain: { a: { airflow: { url: 'http://a:1', dag: d, token: t, username: u, password: p } } }"
        ),
    ]));
}
