//! Belongs here: production's and the shadow's answers to the same requests, joined and compared.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::http::{Client, Message};
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, INFER, Row, ordinary};
use crate::support::{DEADLINE, await_until, run};

const PAIRS: &str = "/api/v1/models/fraud/pairs";

/// Sends a request under an id.
#[track_caller]
fn ask(client: &mut Client, id: &str, rows: &[Row]) -> Message {
    let fields = [("content-type", "application/json"), ("x-tenant-id", "acme"), ("x-request-id", id)];
    client.send("POST", INFER, &fields, rows::body(rows).to_string().as_bytes())
}

/// Sends `n` requests of one row, `r-0` and on.
#[track_caller]
fn ask_all(instance: &Instance, n: usize) {
    let mut client = instance.client();
    for n in 0..n {
        assert_eq!(ask(&mut client, &format!("r-{n}"), &[ordinary(n)]).status(), 200);
    }
}

fn total(instance: &Instance, version: &str, result: &str) -> f64 {
    instance.metrics().sum("driftline_pairs_total", &[("version", version), ("result", result)])
}

#[track_caller]
fn await_total(instance: &Instance, version: &str, result: &str, n: usize) {
    await_until(&format!("{n} {result} of {version}"), DEADLINE, || {
        total(instance, version, result) == n as f64
    });
}

/// The reading of a version's only prediction.
#[track_caller]
fn reading(instance: &Instance, version: &str) -> Value {
    let pairs = instance.get(&format!("{PAIRS}?version={version}"));
    pairs["versions"][0]["predictions"][0].clone()
}

#[test]
fn what_two_versions_disagree_about_is_measured_exactly() {
    let (models, folder) = (Pair::start(), Folder::new());
    models.v2.set(|model| model.score = |amount| amount / 100.0);
    models.v1.set(|model| {
        model.score = |amount| if amount >= 80.0 { amount / 100.0 - 0.25 } else { amount / 100.0 };
    });
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 100 }", ""));
    ask_all(&instance, 200);
    await_total(&instance, "v1", "disagree", 40);
    await_total(&instance, "v1", "agree", 160);
    let page = instance.metrics();
    let labels = [("model", "fraud"), ("version", "v1"), ("prediction", "prediction")];
    assert_eq!(page.value("driftline_pair_disagreement", &labels), Some(0.2));
    assert_eq!(page.value("driftline_pair_rows", &labels), Some(200.0));
    assert_eq!(page.value("driftline_pair_verdict", &labels), Some(1.0));
    let mean = page.value("driftline_pair_mean_difference", &labels).unwrap();
    assert!((mean + 0.05).abs() < 1e-9, "{mean}");
    let rank = page.value("driftline_pair_rank_correlation", &labels).unwrap();
    assert!((0.7..1.0).contains(&rank), "{rank}");
    assert_eq!(page.value("driftline_pair_kappa", &labels), None, "these are no classes");
    assert_eq!(page.value("driftline_pair_noise", &labels), None, "nobody measures it");

    let reading = reading(&instance, "v1");
    assert_eq!((&reading["n"], &reading["disagreements"]), (&json!(200), &json!(40)));
    assert_eq!((&reading["type"], &reading["verdict"]), (&json!("numeric"), &json!("fail")));
    let ends =
        [&reading["disagreement"]["low"], &reading["disagreement"]["high"]].map(|end| end.as_f64().unwrap());
    assert!(ends[0] > 0.15 && ends[0] < 0.2 && ends[1] > 0.2 && ends[1] < 0.27, "{ends:?}");
    let top = reading["top"].as_array().unwrap();
    assert_eq!(top.len(), 20);
    for pair in top {
        let id = pair["request_id"].as_str().unwrap().strip_prefix("r-").unwrap();
        let amount = ordinary(id.parse().unwrap()).amount;
        assert!(amount >= 80.0 && pair["prod"] == amount / 100.0 && pair["tenant"] == "acme", "{pair}");
    }
    let all = instance.get(&format!("{PAIRS}?limit=100"));
    assert_eq!(all["versions"][0]["predictions"][0]["top"].as_array().map(Vec::len), Some(40));
    assert_eq!(instance.call("GET", "/api/v1/models/nobody/pairs", &[], b"").status(), 404);

    assert_eq!(instance.model()["pairs"][0]["disagreements"], 40);
    let overview = instance.get("/api/v1/overview");
    assert_eq!(overview["models"][0]["pairs"][0]["verdict"], "fail", "{overview:#}");
    let admin = format!("http://{}", instance.admin);
    let status = run(folder.path(), &["status", "--admin", &admin]).expect(0);
    assert!(
        status.stdout.contains("fraud: v1 disagrees with v2 in 20.0 % of 200 pairs"),
        "{}",
        status.stdout
    );
}

#[test]
fn classes_have_kappa_and_batches_are_compared_row_by_row() {
    let (models, folder) = (Pair::start(), Folder::new());
    models.v2.set(|model| model.score = |amount| f64::from(u8::from(amount >= 50.0)));
    models.v1.set(|model| model.score = |amount| f64::from(u8::from(amount >= 60.0)));
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 100 }", ""));
    let mut client = instance.client();
    for n in 0..2 {
        let rows: Vec<Row> = (n * 100..(n + 1) * 100).map(ordinary).collect();
        assert_eq!(ask(&mut client, &format!("batch-{n}"), &rows).status(), 200);
    }
    await_total(&instance, "v1", "disagree", 2);
    let reading = reading(&instance, "v1");
    assert_eq!((&reading["n"], &reading["disagreements"]), (&json!(200), &json!(20)), "rows, not requests");
    let kappa = reading["kappa"].as_f64().unwrap();
    assert!((kappa - 0.8).abs() < 1e-9, "0.9 agree, 0.5 by chance: {kappa}");
    assert_eq!(instance.get(PAIRS)["versions"][0]["pairs"], 2);
}

#[test]
fn a_side_that_fails_or_does_not_answer_is_no_disagreement() {
    let (models, folder) = (Pair::start(), Folder::new());
    let pairs = "shadow: { version: v1, percent: 100, timeout: 200ms }\npairs: { max_wait: 1s }";
    let instance = Instance::start(&folder, &models.yaml(pairs, ""));
    let mut client = instance.client();
    models.v1.set(|model| model.status = 503);
    for n in 0..5 {
        assert_eq!(ask(&mut client, &format!("shadow-{n}"), &[ordinary(n)]).status(), 200);
    }
    await_total(&instance, "v1", "failed_shadow", 5);
    models.v1.set(|model| model.status = 200);
    models.v2.set(|model| model.status = 500);
    for n in 0..5 {
        assert_eq!(ask(&mut client, &format!("prod-{n}"), &[ordinary(n)]).status(), 500);
    }
    await_total(&instance, "v1", "failed_prod", 5);
    models.v2.set(|model| model.status = 200);
    models.v1.set(|model| model.latency = Duration::from_secs(2));
    for n in 0..3 {
        assert_eq!(ask(&mut client, &format!("slow-{n}"), &[ordinary(n)]).status(), 200);
    }
    await_until("copies that were not answered leave production's answer alone", DEADLINE, || {
        let late = instance.metrics().sum("driftline_shadow_copies_total", &[("result", "timeout")]);
        late > 0.0 && total(&instance, "v2", "unpaired") >= late
    });
    await_until("nothing waits any more", DEADLINE, || instance.get(PAIRS)["waiting"] == 0);
    assert_eq!(total(&instance, "v1", "disagree") + total(&instance, "v1", "agree"), 0.0);
    assert!(instance.get(PAIRS)["versions"].as_array().unwrap().is_empty());
}

#[test]
fn requests_that_are_not_copied_wait_for_nobody() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 0 }", ""));
    ask_all(&instance, 50);
    await_until("all are measured", DEADLINE, || instance.model()["rows"] == 50);
    let pairs = instance.get(PAIRS);
    assert_eq!((&pairs["enabled"], &pairs["waiting"]), (&json!(true), &json!(0)));
    assert_eq!(pairs["results"], json!({}));
}

/// Never the same twice, nor near.
fn never_the_same(_amount: f64) -> f64 {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    2f64.powi(CALLS.fetch_add(1, Ordering::SeqCst) as i32)
}

#[test]
fn the_noise_of_the_version_that_answers_stands_beside_the_candidate() {
    let (models, folder) = (Pair::start(), Folder::new());
    models.v2.set(|model| model.score = never_the_same);
    models.v1.set(|model| model.score = |amount| -1.0 - amount);
    let shadows = "shadow:\n  - { version: v1, percent: 100 }\n  - { role: noise, percent: 100 }";
    let instance = Instance::start(&folder, &models.yaml(shadows, "limits: { shadow_queue: 1000 }\n"));
    ask_all(&instance, 150);
    let both = [("v1", "disagree"), ("v2", "disagree")];
    for (version, result) in both {
        await_total(&instance, version, result, 150);
    }
    await_until("both have been read", DEADLINE, || reading(&instance, "v1")["noise"]["n"] == 150);
    let candidate = reading(&instance, "v1");
    assert_eq!(candidate["disagreement"]["value"], 1.0);
    assert_eq!((&candidate["noise"]["value"], &candidate["excess"]["value"]), (&json!(1.0), &json!(0.0)));
    assert_eq!(candidate["verdict"], "pass", "no more than the version disagrees with itself");
    let page = instance.metrics();
    for version in ["v1", "v2"] {
        assert_eq!(page.value("driftline_pair_noise", &[("version", version)]), Some(1.0));
    }
    assert_eq!(page.value("driftline_pair_disagreement", &[("version", "v2")]), None, "v2 is no candidate");
    assert_eq!(page.value("driftline_shadow_copies_total", &[("result", "sent")]), Some(300.0));
    assert_eq!(models.v2.count(), 300, "once for the client, once for the noise");
    assert_eq!(page.value("requests", &[("version", "v2"), ("lane", "shadow"), ("tenant", "all")]), None);
    assert_eq!(page.value("driftline_shadow_percent", &[]), Some(100.0), "the candidate's share");

    assert_eq!(instance.post("/api/v1/models/fraud/rollback", &json!({ "reason": "test" })).status(), 200);
    assert_eq!(instance.active(), "v1");
    let before = models.v1.count();
    ask_all(&instance, 20);
    await_total(&instance, "v1", "agree", 20);
    assert_eq!(models.v1.count() - before, 40, "the noise follows the version that answers");
    assert_eq!(models.v2.count(), 300, "and the candidate is paused");
    assert_eq!(instance.metrics().value("driftline_pair_noise", &[("version", "v1")]), Some(0.0));
    assert_eq!(instance.post("/api/v1/models/fraud/shadow", &json!({ "percent": 0 })).status(), 200);
    ask_all(&instance, 5);
    // Their ids and rows came before: they are retries, and count once.
    let retries =
        || instance.metrics().value("driftline_observations_dropped_total", &[("reason", "duplicate")]);
    await_until("all are measured", DEADLINE, || retries() == Some(5.0));
    assert_eq!(instance.model()["rows"], 170 + 150);
    assert_eq!(models.v1.count() - before, 45, "no copies means no noise either");
}

/// An inference record.
fn record(lane: &str, id: Option<&str>, score: f64) -> Value {
    let version = if lane == "prod" { "v2" } else { "v1" };
    json!({
        "model": "fraud", "version": version, "lane": lane, "request_id": id, "tenant": "acme",
        "features": { "amount": 1.0 }, "prediction": { "score": score },
    })
}

#[test]
fn answers_that_others_bring_are_joined() {
    let folder = Folder::new();
    let yaml = "models:\n  fraud:\n    pairs: { absolute_tolerance: 0.5, max_wait: 1s }\nalerts: { evaluate_every: 100ms }\n";
    let instance = Instance::observe(&folder, yaml);
    let bring = |records: &[Value]| {
        let answer = instance.post("/api/v1/observe", &json!(records));
        assert_eq!(answer.status(), 200, "{answer:?}");
    };
    bring(&[record("prod", Some("a"), 1.0), record("shadow", Some("a"), 1.4)]);
    bring(&[record("shadow", Some("b"), 1.0), record("prod", Some("b"), 3.0)]);
    bring(&[record("prod", None, 1.0), record("shadow", None, 3.0), record("prod", Some(""), 1.0)]);
    bring(&[record("prod", Some("alone"), 1.0), record("prod", Some("alone"), 2.0)]);
    for (version, result, n) in [
        ("v1", "agree", 1),
        ("v1", "disagree", 1),
        ("v2", "no_id", 2),
        ("v1", "no_id", 1),
        ("v2", "duplicate", 1),
        ("v2", "unpaired", 1),
    ] {
        await_total(&instance, version, result, n);
    }
    let top = &reading(&instance, "v1")["top"];
    assert_eq!(
        (&top[0]["request_id"], &top[0]["prod"], &top[0]["shadow"]),
        (&json!("b"), &json!(3.0), &json!(1.0))
    );
    assert_eq!(reading(&instance, "v1")["verdict"], "inconclusive");
}

#[test]
fn events_and_records_make_pairs_and_mirrored_requests_do_not() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 0 }", ""));
    let mut client = Client::new(instance.admin);
    let body = rows::body(&[ordinary(0)]).to_string();
    let mirrored = [("content-type", "application/json"), ("x-request-id", "mirrored")];
    let mirror = "/api/v1/mirror/fraud/prod/v2/models/fraud/infer";
    assert_eq!(client.send("POST", mirror, &mirrored, body.as_bytes()).status(), 204);
    let answer = json!({ "outputs": [{ "name": "score", "datatype": "FP64", "shape": [1], "data": [0.5] }] });
    for (kind, body) in [("request", body), ("response", answer.to_string())] {
        let kind = format!("org.kubeflow.serving.inference.{kind}");
        let fields = [
            ("ce-specversion", "1.0"),
            ("ce-id", "event"),
            ("ce-type", &*kind),
            ("ce-source", "pod"),
            ("ce-inferenceservicename", "fraud"),
            ("content-type", "application/json"),
        ];
        assert_eq!(client.send("POST", "/api/v1/cloudevents", &fields, body.as_bytes()).status(), 200);
    }
    let shadow = [record("shadow", Some("event"), 0.5), record("shadow", Some("mirrored"), 0.5)];
    assert_eq!(instance.post("/api/v1/observe", &json!(shadow)).status(), 200);
    await_total(&instance, "v1", "agree", 1);
    await_until("all are measured", DEADLINE, || instance.model()["rows"] == 4);
    for result in ["failed_prod", "failed_shadow", "rows", "disagree", "unpaired"] {
        assert_eq!(total(&instance, "v1", result), 0.0, "{result}");
    }
}

#[test]
fn pairs_can_be_off() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("shadow: { version: v1, percent: 100 }\npairs: false", "");
    let instance = Instance::start(&folder, &yaml);
    ask_all(&instance, 5);
    await_until("both lanes are measured", DEADLINE, || instance.model()["rows"] == 10);
    assert_eq!(instance.get(PAIRS), json!({ "model": "fraud", "enabled": false, "versions": [] }));
    assert_eq!(instance.metrics().all("driftline_pairs_total", &[]).count(), 0);
}
