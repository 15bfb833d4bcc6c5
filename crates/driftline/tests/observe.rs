//! Belongs here: `driftline observe`, the probes without a gateway. What each source brings has a module of its own.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_until, driftline, finish, run};

const MEASURED: &str =
    "models:\n  fraud:\n    tenant: x-tenant-id\n    baseline: { learn: 200 }\n    window: 200\n";

/// A record as another program writes it, without model and version.
fn record(n: usize, amount: f64) -> Value {
    let country = if n.is_multiple_of(2) { "DE" } else { "FR" };
    json!({
        "request_id": format!("r-{n}"), "tenant": "acme", "latency_ms": 12.5,
        "features": { "amount": amount, "country": country }, "prediction": { "score": amount / 200.0 },
    })
}

fn counted(instance: &Instance) -> Value {
    instance.get("/api/v1/status")["sources"][0]["counted"].clone()
}

#[test]
fn standard_input_is_measured_to_its_end() {
    let folder = Folder::new();
    let yaml = format!("admin: 127.0.0.1:0\n{MEASURED}sources:\n  pipe:\n    version: v7\n    stdin: {{}}\n");
    folder.write("driftline.yaml", &yaml);
    let mut instance =
        Instance::spawn(driftline(folder.path()).arg("observe").stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut stdin = instance.stdin();
    for n in 0..200 {
        writeln!(stdin, "{}", record(n, (n % 100) as f64)).unwrap();
    }
    writeln!(stdin, "this is no record").unwrap();
    for n in 200..400 {
        writeln!(stdin, "{}", record(n, 80.0 + (n % 20) as f64)).unwrap();
    }
    await_until("all is counted", DEADLINE, || counted(&instance) == 400);
    instance.await_requests("v7", "prod", "acme", 200);
    let page = instance.metrics();
    let drift = page.value("psi", &[("feature", "amount"), ("tenant", "acme"), ("version", "v7")]);
    assert!(drift > Some(1.0), "{drift:?}");
    let brought =
        |result| page.value("driftline_source_records_total", &[("source", "pipe"), ("result", result)]);
    assert_eq!((brought("counted"), brought("malformed")), (Some(400.0), Some(1.0)));
    assert_eq!(page.value("driftline_source_up", &[("kind", "stdin")]), Some(1.0));
    let drift = instance.get("/api/v1/models/fraud/drift?tenant=acme");
    assert_eq!(
        (&drift["version"], &drift["requests"]),
        (&json!("v7"), &json!(200)),
        "the version that served last"
    );
    let latency = [("model", "fraud"), ("version", "v7"), ("lane", "prod")];
    assert_eq!(
        page.value("inference_latency_count", &latency),
        Some(400.0),
        "latencies that records bring count"
    );
    assert_eq!(page.value("driftline_requests_total", &latency), Some(400.0));
    drop(stdin);
    let (status, log) = instance.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("source `pipe`: 400 counted, 1 not"), "{log}");
}

#[test]
fn nothing_can_be_moved_where_nothing_passes() {
    let folder = Folder::new();
    let instance = Instance::observe(&folder, MEASURED);
    for (call, body) in [("rollback", json!({})), ("promote", json!({})), ("shadow", json!({ "percent": 5 }))]
    {
        let answer = instance.post(&format!("/api/v1/models/fraud/{call}"), &body);
        assert_eq!(answer.status(), 409, "{call}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "only_measured");
    }
    assert_eq!(instance.get("/api/v1/status")["listen"], Value::Null);
    assert_eq!(instance.call("GET", "/readyz", &[], b"").status(), 200);
    assert_eq!(instance.call("GET", "/", &[], b"").status(), 200);
    let answer = instance.post("/api/v1/observe", &json!({ "model": "fraud", "features": { "a": 1 } }));
    assert_eq!(answer.status(), 200, "the receivers work without a gateway: {answer:?}");
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn a_reload_brings_and_ends_sources() {
    let folder = Folder::new();
    let instance = Instance::observe(&folder, MEASURED);
    let with = format!("admin: 127.0.0.1:0\n{MEASURED}sources:\n  pipe:\n    stdin: {{}}\n");
    folder.write("driftline.yaml", &with);
    assert_eq!(instance.post("/api/v1/reload", &json!({})).status(), 200);
    // Its standard input is empty: the source ends, and with its only source the program.
    let (status, log) = instance.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("source `pipe`: 0 counted"), "{log}");
}

#[test]
fn run_needs_something_to_forward_to() {
    let folder = Folder::new();
    folder.write("driftline.yaml", MEASURED);
    let outcome = run(folder.path(), &["run"]).expect(2);
    assert!(outcome.stderr.contains("driftline observe"), "{}", outcome.stderr);
    let outcome = run(folder.path(), &["check"]).expect(0);
    assert!(outcome.stdout.contains("measured only"), "{}", outcome.stdout);
    let outcome = finish(driftline(folder.path()).args(["observe", "-c", "none.yaml"])).expect(2);
    assert!(outcome.stderr.contains("none.yaml"), "{}", outcome.stderr);
}

#[test]
fn copies_are_measured_under_the_version_they_name() {
    let folder = Folder::new();
    let instance = Instance::observe(&folder, MEASURED);
    let mirror = |fields: &[(&str, &str)], n: usize| {
        let body = json!({ "instances": [{ "amount": n, "country": "DE" }] }).to_string();
        let path = "/api/v1/mirror/fraud/prod/v1/models/fraud:predict";
        instance.call("POST", path, fields, body.as_bytes()).status()
    };
    for n in 0..300 {
        let json = ("content-type", "application/json");
        assert_eq!(mirror(&[json, ("x-driftline-version", "2026-11.b"), ("x-tenant-id", "acme")], n), 204);
    }
    instance.await_requests("2026-11.b", "prod", "acme", 100);
    assert_eq!(mirror(&[("x-driftline-version", "no version\u{e9}")], 0), 400);
    assert_eq!(mirror(&[], 0), 204, "without a name it belongs to `unknown`");
    instance.await_requests("unknown", "prod", "all", 1);
}
