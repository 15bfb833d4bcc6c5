//! Belongs here: the rollback test against a running instance, and that nobody but the operator notices it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::prometheus::Sample;
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, Outcome, await_until, holds_for, run};

fn drill(instance: &Instance, folder: &Folder, more: &[&str]) -> Outcome {
    let admin = format!("http://{}", instance.admin);
    let timeout: &[&str] = if more.contains(&"--timeout") { &[] } else { &["--timeout", "90"] };
    run(folder.path(), &[&["drill", "--admin", &admin][..], timeout, more].concat())
}

/// An instance with a learned reference, full windows of production's own.
fn ready(models: &Pair, folder: &Folder) -> Instance {
    let instance = Instance::start(folder, &models.yaml("", "drill: true\n"));
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, Some("acme"), WINDOW, ordinary);
    instance.await_requests("v2", "prod", "acme", WINDOW);
    instance
}

/// Windows and what they say, without the shares of latency.
fn windows(instance: &Instance) -> Vec<String> {
    let page = instance.metrics();
    let mut lines: Vec<String> = ["requests", "psi", "js_divergence"]
        .into_iter()
        .flat_map(|name| page.all(name, &[]).map(|sample| format!("{sample:?}")).collect::<Vec<_>>())
        .collect();
    lines.sort();
    lines
}

#[test]
fn it_passes_and_leaves_no_trace() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    let before = windows(&instance);
    let served_before = models.v2.count() + models.v1.count();
    let outcome = drill(&instance, &folder, &["--psi", "0.35", "--latency-ms", "530"]).expect(0);
    let printed = &outcome.stdout;
    let steps = [
        "injection started",
        "alert pending",
        "alert fired: ",
        "traffic moved to v1",
        "latency recovered",
        "drill over: traffic back on v2",
        "change to alert: ",
        "alert to all traffic moved: ",
        "drill passed",
    ];
    let mut at = 0;
    for step in steps {
        at += printed[at..]
            .find(step)
            .unwrap_or_else(|| panic!("`{step}` is not where it should be in:\n{printed}"));
    }
    assert!(!printed.contains("FAILED"), "{printed}");
    assert_eq!(instance.model()["cooldown_until"], serde_json::Value::Null, "no cool-down is left");
    assert_eq!(models.v2.count() + models.v1.count(), served_before, "no model has seen anything of it");
    await_until("traffic is back", DEADLINE, || instance.active() == "v2");
    await_until("the windows are as they were", DEADLINE, || windows(&instance) == before);
    let page = instance.metrics();
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "drill")]), Some(1.0));
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(0.0));
    assert!(!instance.events("drill").is_empty());
    await_until("no alert is left", DEADLINE, || instance.metrics().sum("driftline_alert_state", &[]) == 0.0);
    holds_for("nothing that the drill left behind moves traffic", Duration::from_secs(4), || {
        instance.active() == "v2" && instance.metrics().sum("driftline_rollbacks_total", &[]) == 1.0
    });
}

#[test]
fn clients_notice_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, address) = (Arc::clone(&stop), instance.traffic);
    let clients = std::thread::spawn(move || {
        let mut client = Client::new(address);
        let mut n_answers = 0;
        while !stopped.load(Ordering::Relaxed) {
            let answer = rows::infer(&mut client, Some("acme"), &[ordinary(n_answers)]);
            assert_eq!(answer.status(), 200);
            let model = answer.header("x-model").unwrap().to_owned();
            let score = &answer.json()["outputs"][0]["data"][0];
            assert_eq!(score.as_f64(), Some(ordinary(n_answers).amount.rem_euclid(10.0) / 10.0));
            assert!(model == "v1" || model == "v2");
            n_answers += 1;
        }
        n_answers
    });
    let outcome = drill(&instance, &folder, &["--json"]).expect(0);
    stop.store(true, Ordering::Relaxed);
    assert!(clients.join().unwrap() > 20, "clients were there all the time");
    let result: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(result["verdict"], "passed", "{result:#}");
    assert!(result["moved_at_ms"].as_i64() >= result["fired_at_ms"].as_i64());
    assert!(result["fired_at_ms"].as_i64() > result["injected_at_ms"].as_i64());
    let p95_after = result["p95_after_ms"].as_f64().expect("clients were served after the move");
    assert!(p95_after < 530.0 * 0.9, "{result:#}");
    let psi = result["psi_seen"].as_f64().unwrap();
    assert!((0.2..0.8).contains(&psi), "0.35 was asked for, {psi} was seen");
    await_until("its tenants are gone", DEADLINE, || {
        let page = instance.metrics();
        let drilled =
            |sample: &Sample| sample.label("tenant").is_some_and(|tenant| tenant.starts_with("drill"));
        !page.samples.iter().any(drilled)
    });
}

#[test]
fn traffic_stays_when_asked_to() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    let outcome = drill(&instance, &folder, &["--keep", "--latency-ms", "0"]).expect(0);
    assert!(!outcome.stdout.contains("traffic back"), "{}", outcome.stdout);
    assert_eq!(instance.active(), "v1");
}

#[test]
fn failures_are_drilled_as_well() {
    let (models, folder) = (Pair::start(), Folder::new());
    let quick = "    ErrorRateCritical: { for: 1s, keep_firing_for: 1s }\n";
    let yaml =
        models.yaml("", "drill: true\n").replace("    LatencySpike:", &format!("{quick}    LatencySpike:"));
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, None, WINDOW, ordinary);
    let only = ["--psi", "0", "--latency-ms", "0"];
    let outcome = drill(&instance, &folder, &[&only[..], &["--error-rate", "20"]].concat()).expect(0);
    assert!(outcome.stdout.contains("alert fired: ErrorRateCritical"), "{}", outcome.stdout);
    await_until("traffic is back", DEADLINE, || instance.active() == "v2");
    let nothing = drill(&instance, &folder, &only).expect(2);
    assert!(nothing.stderr.contains("nothing to inject"), "{}", nothing.stderr);
}

#[test]
fn a_failed_one_says_why_and_exits_1() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    // Below every critical limit.
    let more = ["--psi", "0.12", "--latency-ms", "0", "--timeout", "4"];
    let outcome = drill(&instance, &folder, &more).expect(1);
    assert!(outcome.stdout.contains("change to alert: did not happen"), "{}", outcome.stdout);
    assert!(
        outcome.stdout.contains("drill failed: no critical alert fired within 4 s"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn it_is_refused_while_something_real_is_going_on() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    assert_eq!(instance.post("/api/v1/models/fraud/rollback", &serde_json::json!({})).status(), 200);
    assert_eq!(instance.post("/api/v1/models/fraud/promote", &serde_json::json!({})).status(), 200);
    let refused = drill(&instance, &folder, &[]).expect(2);
    assert!(refused.stderr.contains("cool-down"), "{}", refused.stderr);
}

#[test]
fn it_is_refused_when_it_cannot_be() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    let refused = drill(&instance, &folder, &[]).expect(2);
    assert!(refused.stderr.contains("`drill: true`"), "{}", refused.stderr);
    drop(instance);

    let folder = Folder::new();
    let instance = Instance::start(&folder, &models.yaml("", "drill: true\n"));
    let learning = drill(&instance, &folder, &[]).expect(2);
    assert!(learning.stderr.contains("still being learned"), "{}", learning.stderr);
    rows::send(&mut instance.client(), None, LEARN, ordinary);
    instance.await_reference();
    drill(&instance, &folder, &["--psi", "nonsense"]).expect(2);
    let wild = drill(&instance, &folder, &["--psi", "1000"]).expect(2);
    assert!(wild.stderr.contains("`psi` must be between"), "{}", wild.stderr);
    drill(&instance, &folder, &["--model", "nobody"]).expect(2);
    assert_eq!(instance.active(), "v2");
    assert_eq!(instance.metrics().sum("driftline_rollbacks_total", &[]), 0.0);
}
