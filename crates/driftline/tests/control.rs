//! Belongs here: people and Alertmanager changing where traffic goes, over the API and with the commands.

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::instance::{Folder, Instance};
use crate::support::load::Load;
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, Outcome, await_some, await_until, driftline, finish};

const TOKEN: &str = "0123456789abcdef0123";

struct Running {
    models: Pair,
    folder: Folder,
    instance: Instance,
}

fn start(model: &str, rest: &str) -> Running {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(model, rest));
    Running { models, folder, instance }
}

impl Running {
    /// A command against this instance.
    #[track_caller]
    fn command(&self, args: &[&str]) -> Outcome {
        finish(
            driftline(self.folder.path())
                .args(args)
                .env("DRIFTLINE_ADMIN", format!("http://{}", self.instance.admin)),
        )
    }

    #[track_caller]
    fn answered_by(&self) -> String {
        let answer = rows::infer(&mut self.instance.client(), None, &[ordinary(0)]);
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.header("x-model").unwrap().to_owned()
    }
}

fn error_code(answer: &crate::support::http::Message) -> String {
    let error = answer.json()["error"].clone();
    assert!(!error["message"].as_str().unwrap().is_empty());
    error["code"].as_str().unwrap().to_owned()
}

#[test]
fn rollback_and_promote_by_command() {
    let running = start("", "");
    assert_eq!(running.answered_by(), "v2");
    let done = running.command(&["rollback", "--reason", "scores look wrong"]).expect(0);
    assert_eq!(done.stdout, "switched traffic of fraud from v2 to v1 (decision 1)\n");
    assert_eq!(running.answered_by(), "v1");
    let again = running.command(&["rollback"]).expect(0);
    assert_eq!(again.stdout, "fraud: v1 is active already\n");
    let event = &running.instance.events("rollback")[0];
    assert_eq!(event["reason"], "scores look wrong");
    assert_eq!(event["actor"], "tester (local 127.0.0.1)");
    assert_eq!(event["model"], "fraud");
    assert!(event["at"].as_str().unwrap().ends_with('Z'));

    let done = running.command(&["promote", "--model", "fraud"]).expect(0);
    assert_eq!(done.stdout, "switched traffic of fraud from v1 to v2 (decision 2)\n");
    assert_eq!(running.answered_by(), "v2");
    let page = running.instance.metrics();
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "manual")]), Some(1.0));
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(0.0));
    running.command(&["promote", "--version", "v3"]).expect(2);
    running.command(&["promote", "--version", "v1"]).expect(0);
    assert_eq!(running.answered_by(), "v1");
    assert_eq!(running.instance.events("promote").len(), 2);
}

#[test]
fn no_request_is_lost_while_traffic_moves() {
    let running = start("shadow: { version: v1, percent: 50 }", "");
    let load = Load::start(&running.instance);
    for _ in 0..10 {
        for (verb, to) in [("rollback", "v1"), ("promote", "v2")] {
            let answer = running.instance.post(&format!("/api/v1/models/fraud/{verb}"), &json!({}));
            assert_eq!(
                (answer.status(), answer.json()["state"].as_str()),
                (200, Some("confirmed")),
                "{answer:?}"
            );
            assert_eq!(running.answered_by(), to, "the next request sees it");
            load.goes_on();
        }
    }
    load.stop();
    let page = running.instance.metrics();
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "manual")]), Some(10.0));
    let prod = [("lane", "prod")];
    let fine = [("lane", "prod"), ("code", "200")];
    assert_eq!(page.sum("driftline_requests_total", &prod), page.sum("driftline_requests_total", &fine));
}

#[test]
fn status_by_command() {
    let running = start("shadow: { version: v1, percent: 12.5 }", "");
    let table = running.command(&["status"]).expect(0);
    for expected in ["fraud", "v2", "v1", "12.5", "on", "learning 0/1000", "traffic on 127.0.0.1:"] {
        assert!(table.stdout.contains(expected), "`{expected}` is not in:\n{}", table.stdout);
    }
    assert!(!table.stdout.contains('\x1b'), "colour only on a terminal");
    let json = running.command(&["status", "--format", "json", "--model", "fraud"]).expect(0);
    let status: Value = serde_json::from_str(&json.stdout).unwrap();
    let model = &status["models"][0];
    assert_eq!(model["active"], "v2");
    assert_eq!(model["stable"], "v1");
    assert_eq!(model["shadow_percent"], 12.5);
    assert_eq!(model["auto_rollback"], true);
    assert_eq!(model["versions"], json!(["v2", "v1"]));
    let unknown = running.command(&["status", "--model", "nobody"]).expect(2);
    assert!(unknown.stderr.contains("no model `nobody` runs there; there are: fraud"), "{}", unknown.stderr);
    let address = running.instance.admin;
    drop(running.instance);
    let mut nobody = driftline(running.folder.path());
    let nobody = finish(nobody.args(["status", "--admin", &format!("http://{address}")])).expect(2);
    assert!(nobody.stderr.contains(&address.to_string()), "{}", nobody.stderr);
}

#[test]
fn automatic_rollback_by_command() {
    let running = start("", "");
    let enabled = || running.instance.metrics().value("driftline_auto_rollback_enabled", &[]);
    assert_eq!(enabled(), Some(1.0));
    let off = running.command(&["auto-rollback", "off"]).expect(0);
    assert_eq!(off.stdout, "fraud: automatic rollback is off\n");
    assert_eq!(enabled(), Some(0.0));
    running.command(&["auto-rollback", "on", "--model", "fraud"]).expect(0);
    assert_eq!(enabled(), Some(1.0));
    assert_eq!(running.instance.events("toggle").len(), 2);
    running.command(&["auto-rollback", "maybe"]).expect(2);
}

#[test]
fn the_share_of_copies_changes_while_running() {
    let running = start("shadow: { version: v1, percent: 0 }", "");
    let mut client = running.instance.client();
    rows::send(&mut client, None, 500, ordinary);
    assert_eq!(running.models.v1.count(), 0);
    let set =
        |percent: Value| running.instance.post("/api/v1/models/fraud/shadow", &json!({ "percent": percent }));
    assert_eq!(set(json!(100)).status(), 200);
    assert_eq!(running.instance.metrics().value("driftline_shadow_percent", &[]), Some(100.0));
    rows::send(&mut client, None, 500, ordinary);
    await_until("ten copies", DEADLINE, || running.models.v1.count() == 10);
    for bad in [json!(101), json!(-1), json!("5"), json!(null)] {
        assert_eq!(set(bad.clone()).status(), 400, "{bad}");
    }
    assert_eq!(running.instance.metrics().value("driftline_shadow_percent", &[]), Some(100.0));
    let event = &running.instance.events("shadow")[0];
    assert!(event["actor"].as_str().unwrap().contains("127.0.0.1"), "{event:#}");
}

#[test]
fn with_a_token_changes_need_it() {
    let running = start("", &format!("auth: {{ token: {TOKEN} }}\n"));
    let path = "/api/v1/models/fraud/rollback";
    let call = |fields: &[(&str, &str)]| running.instance.call("POST", path, fields, b"{}");
    let refused = call(&[]);
    assert_eq!((refused.status(), error_code(&refused).as_str()), (401, "unauthorized"));
    assert_eq!(call(&[("authorization", "Bearer 0123456789abcdef0124")]).status(), 401);
    assert_eq!(call(&[("authorization", TOKEN)]).status(), 401);
    assert_eq!(running.answered_by(), "v2");
    for read in ["/metrics", "/api/v1/status", "/api/v1/events", "/healthz"] {
        assert_eq!(running.instance.call("GET", read, &[], b"").status(), 200, "{read}");
    }
    assert_eq!(call(&[("authorization", &format!("Bearer {TOKEN}"))]).status(), 200);
    assert_eq!(running.answered_by(), "v1");

    let refused = running.command(&["promote"]).expect(2);
    assert!(refused.stderr.contains("401"), "{}", refused.stderr);
    running.folder.write("token", &format!("{TOKEN}\n"));
    running.command(&["promote", "--token-file", "token"]).expect(0);
    assert_eq!(running.answered_by(), "v2");
    let mut command = driftline(running.folder.path());
    command.args(["rollback", "--admin", &running.instance.admin.to_string()]).env("DRIFTLINE_TOKEN", TOKEN);
    finish(&mut command).expect(0);
    assert_eq!(running.answered_by(), "v1");
    assert!(!running.instance.log().contains(TOKEN), "no secret in the log");
    for path in ["/api/v1/status", "/api/v1/events", "/metrics"] {
        let answer = running.instance.call("GET", path, &[], b"");
        assert!(!answer.text().contains(TOKEN), "no secret in {path}");
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let running = start("", "");
    let path = "/api/v1/models/fraud/rollback";
    let call = |method: &str, fields: &[(&str, &str)]| running.instance.call(method, path, fields, b"");
    let refused = call("POST", &[("origin", "http://evil.example")]);
    assert_eq!((refused.status(), error_code(&refused).as_str()), (403, "cross_origin"));
    assert_eq!(call("POST", &[("sec-fetch-site", "cross-site")]).status(), 403);
    assert_eq!(call("POST", &[("origin", "null")]).status(), 403);
    let preflight =
        call("OPTIONS", &[("origin", "http://evil.example"), ("access-control-request-method", "POST")]);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
    let rebound = running.instance.call("GET", "/api/v1/status", &[("host", "evil.example:9464")], b"");
    assert_eq!((rebound.status(), error_code(&rebound).as_str()), (421, "host_not_allowed"));
    assert_eq!(running.answered_by(), "v2");
    let own = format!("http://{}", running.instance.admin);
    assert_eq!(call("POST", &[("origin", &own), ("sec-fetch-site", "same-origin")]).status(), 200);
    assert_eq!(running.answered_by(), "v1");
}

#[test]
fn what_is_not_there_says_so_in_json() {
    let running = start("", "");
    let cases: [(&str, &str, &[u8], u16, &str); 9] = [
        ("POST", "/api/v1/models/nobody/rollback", b"", 404, "unknown_model"),
        ("POST", "/api/v1/models/nobody/shadow", b"{\"percent\":1}", 404, "unknown_model"),
        ("GET", "/api/v1/models/nobody/drift", b"", 404, "unknown_model"),
        ("GET", "/api/v1/models/nobody/history", b"", 404, "unknown_model"),
        ("POST", "/api/v1/models/fraud/promote", b"{\"version\":\"v9\"}", 404, "unknown_version"),
        ("POST", "/api/v1/models/fraud/promote", b"{\"versoin\":\"v1\"}", 400, "bad_body"),
        ("POST", "/api/v1/models/fraud/rollback", b"not json", 400, "bad_body"),
        ("GET", "/api/v2/status", b"", 404, "not_found"),
        ("DELETE", "/api/v1/status", b"", 405, "method_not_allowed"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = running.instance.call(method, path, &[], body);
        assert_eq!((answer.status(), error_code(&answer).as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
    }
    assert_eq!(running.answered_by(), "v2");
}

#[test]
fn history_is_told_or_refused() {
    let running = start("auto_rollback: false", "");
    let mut client = running.instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    running.instance.await_reference();
    rows::send(&mut client, Some("acme"), WINDOW, ordinary);
    for query in [
        "metric=psi&feature=amount&tenant=acme",
        "metric=js_divergence&feature=amount",
        "metric=requests",
        "metric=p95_ms",
    ] {
        let path = format!("/api/v1/models/fraud/history?{query}&version=v2&step=15s");
        let point = await_some(&format!("the first point of {query}"), DEADLINE, || {
            // Latencies are those of the last seconds.
            rows::send(&mut client, Some("acme"), 1, ordinary);
            running.instance.get(&path)["points"].as_array().and_then(|points| points.last().cloned())
        });
        assert!(
            point[0].as_str().unwrap().ends_with('Z') && point[1].as_f64() >= Some(0.0),
            "{query}: {point}"
        );
    }
    for bad in ["metric=nonsense", "from=yesterday", "step=-1", "from=2000&to=1000"] {
        let path = format!("/api/v1/models/fraud/history?{bad}");
        assert_eq!(running.instance.call("GET", &path, &[], b"").status(), 400, "{bad}");
    }
}

/// What Alertmanager 0.34 sends.
fn notification(status: &str, starts_at: &str, labels: &Value) -> Value {
    json!({
        "receiver": "driftline", "status": status, "notification_reason": "first notification",
        "alerts": [{
            "status": status, "labels": labels, "annotations": { "summary": "PSI 0.41" }, "startsAt": starts_at,
            "endsAt": if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-08-20T11:00:00Z" },
            "generatorURL": "http://prometheus:9090/graph?g0.expr=psi", "fingerprint": "b2c1f6a0d3e4f567",
        }],
        "groupLabels": { "alertname": "FeaturePSICritical" }, "commonLabels": labels, "commonAnnotations": {},
        "routeLabels": {}, "externalURL": "http://alertmanager:9093", "version": "4",
        "groupKey": "{}/{severity=\"critical\"}:{alertname=\"FeaturePSICritical\"}", "truncatedAlerts": 0,
    })
}

#[test]
fn alertmanager_rolls_back_once() {
    let running = start("", "");
    let deliver = |body: &Value| running.instance.post("/api/v1/alertmanager", body);
    let rollbacks = || running.instance.metrics().sum("driftline_rollbacks_total", &[]);
    let labels = json!({ "alertname": "FeaturePSICritical", "severity": "critical", "model": "fraud", "feature": "amount" });
    let mild = json!({ "alertname": "FeaturePSIHigh", "severity": "warning", "model": "fraud" });
    let foreign = json!({ "alertname": "FeaturePSICritical", "severity": "critical", "model": "nobody" });
    for labels in [&mild, &foreign] {
        assert_eq!(deliver(&notification("firing", "2026-08-20T10:00:00.123Z", labels)).status(), 200);
    }
    assert_eq!(deliver(&notification("resolved", "2026-08-20T09:00:00Z", &labels)).status(), 200);
    assert_eq!((running.answered_by().as_str(), rollbacks()), ("v2", 0.0));

    let firing = notification("firing", "2026-08-20T10:00:00.123Z", &labels);
    let answer = deliver(&firing);
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.json()["alerts"][0]["outcome"], "decided", "{}", answer.json());
    assert_eq!((running.answered_by().as_str(), rollbacks()), ("v1", 1.0));
    let event = &running.instance.events("rollback")[0];
    assert_eq!(event["actor"], "alertmanager");
    // Alertmanager repeats what still fires, and both of two replicas send it.
    for _ in 0..3 {
        assert_eq!(deliver(&firing).json()["alerts"][0]["outcome"], "repeated");
    }
    assert_eq!(rollbacks(), 1.0);
    assert_eq!(deliver(&notification("resolved", "2026-08-20T10:00:00.123Z", &labels)).status(), 200);
    assert_eq!((running.answered_by().as_str(), rollbacks()), ("v1", 1.0));
    running.command(&["promote"]).expect(0);
    assert_eq!(deliver(&firing).status(), 200);
    assert_eq!(
        (running.answered_by().as_str(), rollbacks()),
        ("v2", 1.0),
        "an old notification does nothing"
    );
}

#[test]
fn notifications_that_are_none_are_refused() {
    let running = start("", "");
    let other_version = json!({ "version": "3", "alerts": [] }).to_string();
    for body in
        [&b"garbage"[..], b"", b"[]", b"{}", b"{\"version\":\"4\"}", b"\xff\xfe", other_version.as_bytes()]
    {
        let answer = running.instance.call("POST", "/api/v1/alertmanager", &[], body);
        assert_eq!(answer.status(), 400, "{:?}: {answer:?}", String::from_utf8_lossy(body));
        assert!(!error_code(&answer).is_empty());
    }
    let empty = json!({ "version": "4", "alerts": [] });
    assert_eq!(running.instance.post("/api/v1/alertmanager", &empty).status(), 200);
    assert_eq!(running.answered_by(), "v2");
}

#[test]
fn records_are_taken_as_object_array_and_lines() {
    let running = start("", "");
    rows::send(&mut running.instance.client(), None, LEARN, ordinary);
    running.instance.await_reference();
    let record = |n: usize| json!({ "model": "fraud", "features": { "amount": n, "country": "DE" }, "prediction": { "score": 0.5 } });
    let observe = |body: &[u8]| running.instance.call("POST", "/api/v1/observe", &[], body);
    let one = observe(record(1).to_string().as_bytes());
    assert_eq!((one.status(), one.json()["accepted"].as_u64()), (200, Some(1)), "{one:?}");
    let array = Value::Array((0..10).map(record).collect()).to_string();
    assert_eq!(observe(array.as_bytes()).json()["accepted"], 10);
    let lines: String = (0..10).map(|n| format!("{}\n", record(n))).collect();
    assert_eq!(observe(lines.as_bytes()).json()["accepted"], 10);
    running.instance.await_requests("v2", "prod", "all", 21);
    for (body, status) in [
        (&b"garbage"[..], 400),
        (b"{\"model\":\"fraud\"}", 400),
        (b"{\"model\":\"nobody\",\"features\":{\"a\":1}}", 404),
        (b"{\"model\":\"fraud\",\"features\":{\"a\":[1]}}", 400),
    ] {
        let answer = observe(body);
        assert_eq!(answer.status(), status, "{:?}: {answer:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_record_that_cannot_be_counted_costs_only_itself() {
    let running = start("", "");
    let observe = |body: &str| running.instance.call("POST", "/api/v1/observe", &[], body.as_bytes());
    let good = r#"{"model":"fraud","features":{"amount":1.5}}"#;
    let refused = r#"{"model":"fraud","status":403,"features":{"amount":1.5}}"#;
    let answer = observe(&[good, refused, good].join("\n"));
    let told = answer.json();
    assert_eq!((answer.status(), &told["accepted"], &told["rejected"]), (200, &json!(2), &json!(1)));
    assert_eq!(told["problems"][0]["record"], 2);
    let answer = observe(refused);
    assert_eq!((answer.status(), error_code(&answer).as_str()), (400, "bad_record"));
    assert_eq!(observe("{\"model\":").status(), 400);
}
