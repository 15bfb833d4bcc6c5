//! Belongs here: what other gateways send in. It must be measured as if it had passed through our own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::{Client, Message};
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::rows::{self, INFER, Row, ordinary, shifted};
use crate::support::{DEADLINE, await_until, repository, require};

const MIRROR: &str = "/api/v1/mirror/fraud/prod/v2/models/fraud/infer";
const EVENTS: &str = "/api/v1/cloudevents";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The traffic of these tests: the reference, then a window that has drifted, row by row.
fn traffic() -> impl Iterator<Item = Vec<Row>> {
    let learned = (0..LEARN / 50).map(|n| (n * 50..(n + 1) * 50).map(ordinary).collect());
    learned.chain((0..WINDOW).map(|n| vec![shifted(n)]))
}

fn send_traffic(client: &mut Client) {
    for rows in traffic() {
        assert_eq!(rows::infer(client, Some("acme"), &rows).status(), 200);
    }
}

/// Every drift series and `requests`, by labels, once all traffic has been counted.
fn readings(instance: &Instance, predictions: bool) -> BTreeMap<String, f64> {
    await_until("all is counted", DEADLINE, || instance.model()["rows"] == LEARN + WINDOW);
    instance.await_requests("v2", "prod", "acme", WINDOW);
    let page = instance.metrics();
    let drift = ["psi", "js_divergence", "requests"];
    let wanted = page.samples.iter().filter(|sample| {
        drift.contains(&&*sample.name) && (predictions || sample.label("feature") != Some("prediction"))
    });
    let readings: BTreeMap<String, f64> =
        wanted.map(|sample| (format!("{}{:?}", sample.name, sample.labels), sample.value)).collect();
    let psi = page.value("psi", &[("tenant", "acme"), ("feature", "amount"), ("lane", "prod")]);
    assert!(psi > Some(0.3), "the window has drifted: {psi:?}");
    readings
}

/// What the traffic gives when it passes through our own gateway.
fn through_our_gateway(predictions: bool) -> BTreeMap<String, f64> {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("auto_rollback: false", ""));
    send_traffic(&mut instance.client());
    readings(&instance, predictions)
}

fn dropped(instance: &Instance, reason: &str) -> f64 {
    instance.metrics().sum("driftline_observations_dropped_total", &[("reason", reason)])
}

/// Another gateway in front of a model; ended when dropped.
struct Other {
    child: Child,
    address: SocketAddr,
}

impl Other {
    fn start(mut command: Command, address: SocketAddr) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let other = Self { child, address };
        await_until("the other gateway answers", DEADLINE, || TcpStream::connect(address).is_ok());
        other
    }

    /// nginx with `deploy/nginx/mirror.conf`.
    fn nginx(program: &Path, folder: &Folder, model: SocketAddr, driftline: SocketAddr) -> Self {
        let address = free_address();
        let mirror = shipped("deploy/nginx/mirror.conf", address, model, driftline);
        // One that is not held up by a busy machine: the test is of what is counted.
        folder.write("mirror.conf", &mirror.replace("100ms", "20s").replace("50ms", "20s"));
        let here = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("{what}_temp_path {here}/{what};\n"))
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {here}/nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off;\n{temporary}include mirror.conf; }}\n"
        );
        let file = folder.write("nginx.conf", &config);
        let mut command = Command::new(program);
        command.arg("-c").arg(file).arg("-p").arg(folder.path());
        Self::start(command, address)
    }

    /// Envoy with `deploy/envoy/mirror.yaml`.
    fn envoy(program: &Path, folder: &Folder, model: SocketAddr, driftline: SocketAddr) -> Self {
        let (address, copies) = (free_address(), free_address());
        let mirror = shipped("deploy/envoy/mirror.yaml", address, model, driftline);
        let mirror = mirror.replace("port_value: 8081", &format!("port_value: {}", copies.port()));
        let file = folder.write("envoy.yaml", &mirror);
        let mut command = Command::new(program);
        command.arg("-c").arg(file).args(["--disable-hot-restart", "--concurrency", "1"]);
        Self::start(command, address)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A file of the repository with its places filled in, each of which must be there.
fn shipped(file: &str, listen: SocketAddr, model: SocketAddr, driftline: SocketAddr) -> String {
    let mut text = std::fs::read_to_string(repository().join(file)).unwrap();
    for (port, address) in [("8080", listen), ("8000", model), ("9464", driftline)] {
        for form in ["127.0.0.1:{}", "port_value: {}"] {
            text = text.replace(&form.replace("{}", port), &form.replace("{}", &address.port().to_string()));
        }
        assert!(text.contains(&address.port().to_string()), "{file} has no place for {port}");
    }
    text
}

/// Sends the traffic through another gateway; what its copies give is what our own gateway gives.
fn check_other(start: fn(&Path, &Folder, SocketAddr, SocketAddr) -> Other, program: &Path) {
    let (models, folder) = (Pair::start(), Folder::new());
    let served = Model::start("served");
    let instance = Instance::start(&folder, &models.yaml("auto_rollback: false", ""));
    let other = start(program, &folder, served.address, instance.admin);
    let mut client = Client::new(other.address);
    // What is no inference passes as well, and what a browser adds does not keep a copy away.
    assert_eq!(client.send("GET", "/v2/models/fraud", &[], b"").status(), 200);
    for (n, rows) in traffic().enumerate() {
        if n == LEARN / 50 {
            // Copies are not held in order; which rows are learned must not be left to chance.
            instance.await_reference();
        }
        let fields = [
            ("content-type", "application/json"),
            ("x-tenant-id", "acme"),
            ("origin", "http://page.example"),
            ("authorization", "Bearer client"),
            ("x-driftline-version", "v1"),
        ];
        let body = rows::body(&rows).to_string();
        let answer = client.send("POST", &format!("{INFER}?n={n}"), &fields, body.as_bytes());
        assert_eq!((answer.status(), answer.header("x-model")), (200, Some("served")), "{answer:?}");
    }
    assert_eq!(readings(&instance, true), through_our_gateway(false), "copies have no predictions");
    assert_eq!(dropped(&instance, "response"), 0.0);
    assert_eq!((models.v1.count(), models.v2.count()), (0, 0), "a copy goes no further");
    instance.kill();
    for n in 0..20 {
        assert_eq!(rows::infer(&mut client, None, &[ordinary(n)]).status(), 200, "without Driftline");
    }
}

#[test]
fn copies_from_nginx_give_the_same_readings() {
    let Some(program) = require("nginx") else { return };
    check_other(Other::nginx, &program);
}

#[test]
fn copies_from_envoy_give_the_same_readings() {
    let Some(program) = require("envoy") else { return };
    check_other(Other::envoy, &program);
}

/// Sends an event of KServe's logger.
fn event(client: &mut Client, structured: bool, id: &str, kind: &str, body: &Value) -> Message {
    let kind = format!("org.kubeflow.serving.inference.{kind}");
    let metadata = json!({ "X-Tenant-Id": ["acme"] }).to_string();
    if structured {
        let event = json!({
            "specversion": "1.0", "id": id, "type": kind, "source": "pod", "inferenceservicename": "fraud",
            "time": "2026-01-31T12:00:00Z", "component": "predictor", "metadata": metadata, "data": body,
        });
        let fields = [("content-type", "application/cloudevents+json")];
        return client.send("POST", EVENTS, &fields, event.to_string().as_bytes());
    }
    let metadata = metadata.replace('"', "%22");
    let fields = [
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-type", &kind),
        ("ce-source", "http://localhost:9081/"),
        ("ce-time", "2026-01-31T12:00:00Z"),
        ("ce-inferenceservicename", "fraud"),
        ("ce-namespace", "default"),
        ("ce-component", "predictor"),
        ("ce-endpoint", ""),
        ("ce-metadata", &metadata),
        ("content-type", "application/json"),
    ];
    client.send("POST", EVENTS, &fields, body.to_string().as_bytes())
}

/// The answer that the models of these tests give.
fn scores(rows: &[Row]) -> Value {
    let scores: Vec<f64> = rows.iter().map(|row| row.amount.rem_euclid(10.0) / 10.0).collect();
    json!({ "outputs": [{ "name": "score", "datatype": "FP64", "shape": [rows.len()], "data": scores }] })
}

#[test]
fn events_in_both_modes_give_the_same_readings() {
    let expected = through_our_gateway(true);
    for structured in [false, true] {
        let (models, folder) = (Pair::start(), Folder::new());
        let instance = Instance::start(&folder, &models.yaml("auto_rollback: false", ""));
        let mut client = Client::new(instance.admin);
        let mut duplicates = 0;
        for (n, rows) in traffic().enumerate() {
            let id = format!("event-{n}");
            let mut halves = [("request", rows::body(&rows)), ("response", scores(&rows))];
            if n % 2 == 1 {
                halves.reverse();
            }
            for (kind, body) in &halves {
                assert_eq!(event(&mut client, structured, &id, kind, body).status(), 200);
            }
            if n % 10 == 0 {
                duplicates += 1;
                assert_eq!(event(&mut client, structured, &id, "request", &halves[0].1).status(), 200);
            }
        }
        assert_eq!(readings(&instance, true), expected, "structured: {structured}");
        assert_eq!(dropped(&instance, "duplicate"), f64::from(duplicates));
        assert_eq!(dropped(&instance, "unpaired"), 0.0);
    }
}

#[test]
fn a_request_without_its_answer_counts_at_the_end() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("auto_rollback: false", "");
    let instance = Instance::start(&folder, &yaml);
    rows::send(&mut instance.client(), None, LEARN, ordinary);
    instance.await_reference();
    let mut client = Client::new(instance.admin);
    for n in 0..WINDOW {
        let body = rows::body(&[shifted(n)]);
        assert_eq!(event(&mut client, false, &format!("alone-{n}"), "request", &body).status(), 200);
    }
    drop(client);
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    let instance = Instance::start(&folder, &yaml);
    instance.await_requests("v2", "prod", "acme", WINDOW);
    let page = instance.metrics();
    let psi = |feature| page.value("psi", &[("tenant", "acme"), ("feature", feature)]);
    assert!(psi("amount") > Some(0.3));
    assert_eq!(psi("prediction"), None, "there was none");
}

/// What it is, method and path, fields, body, the answer's status.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);

#[test]
fn what_is_no_copy_is_answered_and_counts_nowhere() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", "limits: { capture_bytes: 64KiB }\n"));
    let mut client = Client::new(instance.admin);
    let body = rows::body(&[ordinary(0)]).to_string();
    let body = body.as_bytes();
    let large = vec![b'1'; 65 * 1024];
    let cases: [Case<'_>; 13] = [
        ("an unknown model", "POST /api/v1/mirror/nobody/prod/x", &JSON, body, 404),
        ("an unknown lane", "POST /api/v1/mirror/fraud/canary/x", &JSON, body, 400),
        ("no lane", "POST /api/v1/mirror/fraud", &JSON, body, 400),
        ("no shadow", "POST /api/v1/mirror/fraud/shadow/x", &JSON, body, 400),
        ("no model", "POST /api/v1/mirror//prod/x", &JSON, body, 404),
        ("a name that is no text", "POST /api/v1/mirror/%ff/prod/x", &JSON, body, 400),
        ("an unknown version", &format!("POST {MIRROR}"), &[("x-driftline-version", "v9")], body, 400),
        ("no body", &format!("GET {MIRROR}"), &[], b"", 204),
        ("a body where there is none", &format!("OPTIONS {MIRROR}"), &JSON, body, 204),
        ("an empty body", &format!("POST {MIRROR}"), &JSON, b"", 204),
        ("a large body", &format!("PUT {MIRROR}"), &JSON, &large, 204),
        ("a page of another origin", &format!("POST {MIRROR}"), &[("origin", "http://a.example")], body, 403),
        ("a rebound name", &format!("POST {MIRROR}"), &[("host", "a.example"), ("cookie", "a=b")], body, 421),
    ];
    for (what, target, fields, body, status) in cases {
        let (method, path) = target.split_once(' ').unwrap();
        let answer = client.send(method, path, fields, body);
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
        if status >= 400 {
            assert!(answer.json()["error"]["message"].is_string(), "{what}");
        }
    }
    assert_eq!(dropped(&instance, "capture_limit"), 1.0);
    for garbage in [&b"not json"[..], b"\xff\xfe\x00", "[".repeat(60_000).as_bytes()] {
        assert_eq!(client.send("POST", MIRROR, &JSON, garbage).status(), 204, "it is not looked into");
    }
    await_until("what can't be read is counted", DEADLINE, || {
        instance.metrics().sum("driftline_observations_dropped_total", &[]) == 4.0
    });
    assert_eq!(instance.model()["rows"], 0);
    let named = [JSON[0], ("x-driftline-version", "v1"), ("x-tenant-id", "a"), ("x-tenant-id", "b")];
    assert_eq!(client.send("POST", MIRROR, &named, body).status(), 204);
    await_until("the next is measured", DEADLINE, || instance.model()["rows"] == 1);
    assert_eq!(instance.metrics().sum("driftline_panics_total", &[]), 0.0);
}

/// Envoy appends `-shadow` to the host of a copy, GoReplay keeps the client's.
#[test]
fn copies_keep_the_host_of_what_they_copy() {
    let folder = Folder::new();
    let instance = Instance::observe(&folder, "models: { fraud: {} }\n");
    let path = "/api/v1/mirror/fraud/prod/score";
    let hosts = ["fraud.prod.svc.cluster.local-shadow", "fraud.example.com:8080", "[2001:db8::1]:80", "a_b"];
    for host in hosts {
        let fields = [
            JSON[0],
            ("host", host),
            ("user-agent", "Envoy/HC"),
            ("authorization", "Bearer client"),
            ("x-envoy-internal", "true"),
        ];
        assert_eq!(instance.call("POST", path, &fields, b"{\"a\":1}").status(), 204, "{host}");
    }
    let record = br#"{"model":"fraud","features":{"a":2}}"#;
    let fields = [JSON[0], ("host", "fraud.example.com")];
    assert_eq!(instance.call("POST", "/api/v1/observe", &fields, record).status(), 200);
    await_until("all are measured", DEADLINE, || instance.model()["rows"] == hosts.len() + 1);
    // What is not a receiver can be read from, and keeps its names to itself.
    for (method, other) in [
        ("GET", "/api/v1/status"),
        ("POST", "/api/v1/reload"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/observe"),
    ] {
        assert_eq!(instance.call(method, other, &fields, b"").status(), 421, "{method} {other}");
    }
    // Nor does a receiver say which models there are.
    for model in ["fraud", "nobody"] {
        let path = format!("/api/v1/mirror/{model}/prod/score");
        assert_eq!(instance.call("GET", &path, &fields, b"").status(), 204);
    }
}

/// A page whose name was rebound to this machine, or of another origin, can make no copy: each mark of a browser is enough.
#[test]
fn pages_cannot_send_copies_unless_they_know_the_token() {
    let body = b"{\"a\":1}";
    let marks = [
        ("origin", "http://fraud.example.com"),
        ("origin", "null"),
        ("referer", "http://fraud.example.com/"),
        ("cookie", "session=1"),
        ("sec-fetch-site", "same-origin"),
        ("sec-ch-ua", "browser"),
    ];
    let paths =
        ["/api/v1/mirror/fraud/prod/x", "/api/v1/observe", "/api/v1/cloudevents", "/api/v1/fluentbit"];
    let folder = Folder::new();
    let instance = Instance::observe(&folder, "models: { fraud: {} }\n");
    for path in paths {
        for mark in marks {
            let answer = instance.call("POST", path, &[JSON[0], ("host", "fraud.example.com"), mark], body);
            assert_eq!(answer.status(), 421, "{path} {mark:?}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("admin.allowed_hosts") && message.contains(mark.0), "{message}");
        }
        assert_eq!(
            instance.call("POST", path, &[JSON[0], marks[0]], body).status(),
            403,
            "another origin, {path}"
        );
    }
    let refused = |reason: &str| instance.metrics().value("driftline_refused_total", &[("reason", reason)]);
    assert_eq!((refused("host_not_allowed"), refused("cross_origin")), (Some(24.0), Some(4.0)));
    // Said once, with the place and what to do.
    let log = instance.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("host_not_allowed")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in
        ["mirror", "fraud.example.com", "/api/v1/mirror/fraud/prod/x", "127.0.0.1", "admin.allowed_hosts"]
    {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    // Copies of browsers' calls, from a sender that has the token.
    let token = "0123456789abcdef0123456789abcdef";
    let folder = Folder::new();
    let instance =
        Instance::observe(&folder, &format!("models: {{ fraud: {{}} }}\nauth: {{ token: {token} }}\n"));
    let bearer = format!("Bearer {token}");
    let fields =
        |authorization| [JSON[0], ("host", "fraud.example.com"), marks[0], ("authorization", authorization)];
    assert_eq!(instance.call("POST", paths[0], &fields(&*bearer), body).status(), 204);
    assert_eq!(instance.call("POST", paths[0], &fields("Bearer client"), body).status(), 421);
    assert_eq!(instance.call("POST", paths[0], &[JSON[0], ("host", "a-shadow")], body).status(), 401);
}

#[test]
fn refused_copies_are_counted_by_reason_and_logged_once() {
    let folder = Folder::new();
    let instance = Instance::observe(&folder, "models: { fraud: {} }\n");
    let large = vec![b' '; 17 << 20];
    for (path, body, reason) in [
        ("/api/v1/mirror/nobody/prod/x?secret=1", &b"{}"[..], "unknown_model"),
        ("/api/v1/mirror/fraud/canary/x", b"{}", "bad_lane"),
        ("/api/v1/observe", b"{", "bad_record"),
        ("/api/v1/cloudevents", b"{}", "bad_event"),
        ("/api/v1/observe", &large, "too_large"),
    ] {
        for _ in 0..3 {
            // A refusal may come before the body has been written as a whole.
            drop(Client::new(instance.admin).try_send("POST", path, &JSON, body));
        }
        let counted = || instance.metrics().value("driftline_refused_total", &[("reason", reason)]);
        await_until(reason, DEADLINE, || counted() == Some(3.0));
        let log = instance.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains(&format!("reason=\"{reason}\""))).collect();
        assert_eq!(lines.len(), 1, "{reason}: {log}");
        assert!(
            lines[0].contains(path.split('?').next().unwrap()) && !lines[0].contains("secret"),
            "{}",
            lines[0]
        );
    }
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", "limits: { capture_bytes: 64KiB }\n"));
    let mut client = Client::new(instance.admin);
    let structured = [("content-type", "application/cloudevents+json")];
    let typed = |kind: &str, model: &str| {
        json!({ "specversion": "1.0", "id": "1", "type": kind, "inferenceservicename": model, "data": {} })
            .to_string()
    };
    let response = "org.kubeflow.serving.inference.response";
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        ("no event", JSON, "{}".to_owned(), 400),
        ("no json", structured, "{\"id\":".to_owned(), 400),
        ("another type", structured, typed("org.example.paid", "fraud"), 400),
        ("an unknown model", structured, typed(response, "nobody"), 404),
        ("depth", structured, deep, 400),
        ("a batch", [("content-type", "application/cloudevents-batch+json")], "[]".to_owned(), 415),
    ];
    for (what, fields, body, status) in cases {
        let answer = client.send("POST", EVENTS, &fields, body.as_bytes());
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().len() > 10, "{what}: {answer:?}");
    }
    let large = json!({ "inputs": "x".repeat(65 * 1024) });
    let answer = event(&mut client, false, "large", "request", &large);
    assert_eq!((answer.status(), &answer.json()["accepted"]), (200, &json!(false)));
    assert_eq!(dropped(&instance, "capture_limit"), 1.0);
    assert_eq!(event(&mut client, true, "garbage", "request", &json!("text")).status(), 200);
    assert_eq!(event(&mut client, true, "garbage", "response", &json!(7)).status(), 200);
    assert_eq!(instance.metrics().sum("driftline_panics_total", &[]), 0.0);
    assert_eq!(instance.get("/readyz")["status"], "ready");
}

#[test]
fn with_a_token_copies_and_events_need_it() {
    let (models, folder) = (Pair::start(), Folder::new());
    let token = "0123456789abcdef0123456789abcdef";
    let instance = Instance::start(&folder, &models.yaml("", &format!("auth: {{ token: {token} }}\n")));
    let mut client = Client::new(instance.admin);
    let body = rows::body(&[ordinary(0)]).to_string();
    assert_eq!(client.send("POST", MIRROR, &JSON, body.as_bytes()).status(), 401);
    assert_eq!(event(&mut client, false, "1", "request", &json!({})).status(), 401);
    let bearer = format!("Bearer {token}");
    let fields = [JSON[0], ("authorization", &*bearer)];
    assert_eq!(client.send("POST", MIRROR, &fields, body.as_bytes()).status(), 204);
    await_until("the copy is measured", DEADLINE, || instance.model()["rows"] == 1);
}
