//! Belongs here: the inference log and where it goes. A place that is down must cost requests nothing.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::instance::{FREE_PORTS, Folder, Instance, collect};
use crate::support::loki::{Answer, Loki};
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_until, driftline};

const COPY_ALL: &str = "shadow: { version: v1, percent: 100 }";

fn log_metric(instance: &Instance, sink: &str, result: &str) -> f64 {
    let labels = [("sink", sink), ("result", result)];
    instance.metrics().value("driftline_log_records_total", &labels).unwrap_or_default()
}

fn dropped(instance: &Instance, sink: &str, reason: &str) -> f64 {
    let labels = [("sink", sink), ("reason", reason)];
    instance.metrics().value("driftline_log_dropped_total", &labels).unwrap_or_default()
}

fn ask(instance: &Instance, n: usize) {
    let mut client = instance.client();
    for n in 0..n {
        assert_eq!(rows::infer(&mut client, Some("acme"), &[ordinary(n)]).status(), 200);
    }
}

/// Every line of the files of a lane.
fn in_files(folder: &Folder, lane: &str) -> Vec<Value> {
    let prefix = format!("inference-{lane}-");
    let files = std::fs::read_dir(folder.path().join("log")).into_iter().flatten().flatten();
    let files = files.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix));
    let texts = files.map(|entry| std::fs::read_to_string(entry.path()).unwrap());
    texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn files_hold_a_record_for_every_inference_of_both_lanes() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(COPY_ALL, "logs: { files: { path: log } }\n"));
    ask(&instance, 20);
    await_until("all is written", DEADLINE, || log_metric(&instance, "files", "written") == 40.0);
    let (prod, shadow) = (in_files(&folder, "prod"), in_files(&folder, "shadow"));
    assert_eq!((prod.len(), shadow.len()), (20, 20));
    for (lane, version, records) in [("prod", "v2", &prod), ("shadow", "v1", &shadow)] {
        for record in records {
            assert_eq!((&record["lane"], &record["version"]), (&json!(lane), &json!(version)));
            assert_eq!((&record["model"], &record["tenant"]), (&json!("fraud"), &json!("acme")));
            assert_eq!(record["status"], 200);
            assert!(record["features"]["amount"].is_number() && record["prediction"].is_object(), "{record}");
            assert!(record["latency_ms"].as_f64() > Some(0.0), "{record}");
        }
    }
    let ids = |records: &[Value]| {
        let mut ids: Vec<String> = records.iter().map(|record| record["request_id"].to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&prod), ids(&shadow), "a request and its copy have one id");
    // What was logged can be read in again.
    let lines: Vec<String> = prod.iter().map(Value::to_string).collect();
    let answer = instance.call("POST", "/api/v1/observe", &[], lines.join("\n").as_bytes());
    assert_eq!(answer.json()["accepted"], 20, "{answer:?}");
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn standard_output_is_the_log_and_nothing_else() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", "logs: { stdout: true, lanes: [prod] }\n");
    folder.write("driftline.yaml", &format!("{FREE_PORTS}{yaml}"));
    let mut command = driftline(folder.path());
    let (reader, writer) = std::io::pipe().unwrap();
    let instance = Instance::spawn(command.arg("run").stdout(Stdio::from(writer)));
    drop(command);
    let output = collect(reader);
    ask(&instance, 7);
    await_until("all is written", DEADLINE, || log_metric(&instance, "stdout", "written") == 7.0);
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    let text = output.whole();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 7, "{text}");
}

fn with_loki(loki: &Loki, more: &str) -> String {
    format!(
        "logs:\n  lanes: [prod]\n  loki:\n    url: http://{}\n    batch_every: 10ms\n    labels: {{ env: test }}\n{more}",
        loki.address
    )
}

#[test]
fn loki_gets_labels_metadata_and_every_line_through_trouble() {
    let trouble = [
        Answer::Say("429 Too Many Requests\r\nRetry-After: 1"),
        Answer::Say("500 Internal Server Error"),
        Answer::Close,
        Answer::Say("503 Service Unavailable"),
        Answer::Hang,
    ];
    let loki = Loki::start(&trouble);
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", &with_loki(&loki, "    timeout: 300ms\n")));
    ask(&instance, 30);
    await_until("all is delivered", DEADLINE, || log_metric(&instance, "loki", "written") == 30.0);
    assert_eq!(log_metric(&instance, "loki", "dropped"), 0.0);
    let taken = loki.taken();
    assert_eq!(taken.len(), 30, "each once");
    for (labels, line, metadata) in &taken {
        let expected = json!({
            "env": "test", "lane": "prod", "model": "fraud", "service_name": "fraud", "version": "v2",
        });
        assert_eq!(*labels, expected);
        assert_eq!(line["request_id"], metadata["request_id"]);
        assert_eq!(metadata["tenant"], "acme");
    }
    assert!(instance.log().contains("loki does not take the inference log"), "{}", instance.log());
}

#[test]
fn what_loki_refuses_is_dropped_by_reason_and_the_rest_goes_on() {
    for (status, reason) in
        [("400 Bad Request", "rejected"), ("260 Blocked", "blocked"), ("401 Unauthorized", "unauthorized")]
    {
        let loki = Loki::start(&[Answer::Say(status)]);
        let (models, folder) = (Pair::start(), Folder::new());
        let instance = Instance::start(&folder, &models.yaml("", &with_loki(&loki, "")));
        ask(&instance, 1);
        await_until("the first is dropped", DEADLINE, || dropped(&instance, "loki", reason) == 1.0);
        ask(&instance, 1);
        await_until("the second is taken", DEADLINE, || log_metric(&instance, "loki", "written") == 1.0);
        assert_eq!(loki.taken().len(), 1);
    }
}

#[test]
fn a_push_that_is_too_large_is_halved() {
    let loki = Loki::start(&[Answer::Say("413 Payload Too Large"), Answer::Say("413 Payload Too Large")]);
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = with_loki(&loki, "    batch_every: 2s\n").replace("    batch_every: 10ms\n", "");
    let instance = Instance::start(&folder, &models.yaml("", &yaml));
    ask(&instance, 8);
    await_until("all is delivered", DEADLINE, || log_metric(&instance, "loki", "written") == 8.0);
    assert_eq!((loki.taken().len(), log_metric(&instance, "loki", "dropped")), (8, 0.0));
}

#[test]
fn a_loki_that_is_gone_costs_requests_nothing_and_every_line_is_accounted_for() {
    let (models, folder) = (Pair::start(), Folder::new());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let logs = format!(
        "logs:\n  queue: 10\n  lanes: [prod]\n  loki: {{ url: 'http://{gone}', batch_every: 10ms }}\n"
    );
    let instance = Instance::start(&folder, &models.yaml("", &logs));
    ask(&instance, 50);
    await_until("what has no room is dropped", DEADLINE, || {
        let page = instance.metrics();
        let waits = page.value("driftline_log_queue_records", &[("sink", "loki")]).unwrap_or_default();
        dropped(&instance, "loki", "queue_full") + waits == 50.0 && instance.model()["rows"] == 50
    });
    assert_eq!(instance.metrics().value("driftline_log_up", &[("sink", "loki")]), Some(0.0));
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("the inference log ends before everything was written"), "{log}");
}

#[test]
fn a_reload_brings_and_ends_places() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    ask(&instance, 3);
    await_until("what came before is measured", DEADLINE, || instance.model()["rows"] == 3);
    let with = format!("{FREE_PORTS}{}", models.yaml("", "logs: { files: { path: log }, lanes: [prod] }\n"));
    let without = folder.read("driftline.yaml");
    folder.write("driftline.yaml", &with);
    assert_eq!(instance.post("/api/v1/reload", &json!({})).status(), 200);
    ask(&instance, 4);
    await_until("what came since is written", DEADLINE, || log_metric(&instance, "files", "written") == 4.0);
    folder.write("driftline.yaml", &without);
    assert_eq!(instance.post("/api/v1/reload", &json!({})).status(), 200);
    ask(&instance, 5);
    await_until("all are measured", DEADLINE, || instance.model()["rows"] == 12);
    assert_eq!(in_files(&folder, "prod").len(), 4);
}

#[test]
fn headers_that_are_asked_for_are_logged_for_both_lanes_and_no_others() {
    let (models, folder) = (Pair::start(), Folder::new());
    let logs = "logs: { files: { path: log }, headers: [content-type, x-source, x-user, x-none] }\nprivacy: { fields: [headers.x-user] }\n";
    let instance = Instance::start(&folder, &models.yaml(COPY_ALL, logs));
    let mut client = instance.client();
    let body = json!({ "instances": [{ "amount": 1.0 }] }).to_string();
    let fields = [
        ("content-type", "application/json"),
        ("x-source", "batch of alice.canary@example.org"),
        ("x-source", "second"),
        ("x-user", "u-1"),
        ("x-other", "never"),
        ("authorization", "Bearer CANARYTOKEN"),
    ];
    client.send("POST", "/v1/models/fraud:predict", &fields, body.as_bytes());
    await_until("all is written", DEADLINE, || log_metric(&instance, "files", "written") == 2.0);
    for lane in ["prod", "shadow"] {
        let record = in_files(&folder, lane).remove(0);
        let headers = record["headers"].as_object().unwrap();
        assert_eq!(headers.len(), 3, "{record}");
        assert_eq!(headers["content-type"], "application/json");
        let source = headers["x-source"].as_str().unwrap();
        assert!(source.starts_with("batch of sha256-") && source.ends_with(", second"), "{source}");
        assert!(headers["x-user"].as_str().unwrap().starts_with("sha256-"), "{record}");
    }
    // A copy that somebody else's gateway made, and an event of KServe's logger, bring theirs.
    let mirror = "/api/v1/mirror/fraud/prod/v1/models/fraud:predict";
    assert_eq!(instance.call("POST", mirror, &fields, body.as_bytes()).status(), 204);
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-type", "org.kubeflow.serving.inference.request"),
        ("ce-inferenceservicename", "fraud"),
        ("ce-metadata", r#"{"X-Source":["kserve"],"Authorization":["Bearer CANARYTOKEN"]}"#),
        ("content-type", "application/json"),
        ("x-source", "the agent's own"),
    ];
    assert_eq!(instance.call("POST", "/api/v1/cloudevents", &event, body.as_bytes()).status(), 200);
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    let sources: Vec<Value> =
        in_files(&folder, "prod").iter().map(|record| record["headers"]["x-source"].clone()).collect();
    assert_eq!(sources.len(), 3, "{sources:?}");
    assert!(sources.contains(&json!("kserve")) && sources[0] == sources[1], "{sources:?}");
    let all = [in_files(&folder, "prod"), in_files(&folder, "shadow")].concat();
    assert!(!json!(all).to_string().contains("CANARYTOKEN") && !json!(all).to_string().contains("never"));
}

#[test]
fn compressed_pushes_and_files_hold_the_same_lines() {
    let loki = Loki::start(&[Answer::Say("500 Internal Server Error")]);
    let (models, folder) = (Pair::start(), Folder::new());
    let logs = format!(
        "{}    compression: gzip\n    tenant_id: ml\n  files: {{ path: log, compression: gzip }}\n",
        with_loki(&loki, "")
    );
    let instance = Instance::start(&folder, &models.yaml("", &logs));
    ask(&instance, 20);
    await_until("all is delivered", DEADLINE, || log_metric(&instance, "loki", "written") == 20.0);
    assert_eq!(loki.taken().len(), 20);
    assert_eq!(in_files(&folder, "prod").len(), 20, "an open file is plain");
}
