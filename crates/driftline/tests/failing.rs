//! Belongs here: servers that fail, refuse, are slow or are not asked any more, and what is done about it.

use std::time::Duration;

use serde_json::json;

use crate::support::fraud::Pair;
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_until, holds_for};

/// Rules that need seconds instead of minutes.
const FAST: &str = "
    ErrorRateHigh: { for: 1s, keep_firing_for: 1s, over: 10s }
    ErrorRateCritical: { for: 1s, keep_firing_for: 1s }
    RejectedHigh: { for: 1s, keep_firing_for: 1s }
    TrafficStopped: { for: 3s, keep_firing_for: 1s }";

fn started(models: &Pair, folder: &Folder) -> Instance {
    Instance::start(folder, &models.yaml("", "").replace("  rules:", &format!("  rules:{FAST}")))
}

/// Sends requests until something is so.
fn ask_until(what: &str, client: &mut Client, mut condition: impl FnMut() -> bool) {
    await_until(what, DEADLINE, || {
        rows::infer(client, None, &[ordinary(0)]);
        condition()
    });
}

/// The sentence and the level of the dashboard.
fn health(instance: &Instance) -> (String, String) {
    let health = &instance.get("/api/v1/overview")["models"][0]["health"];
    (health["level"].as_str().unwrap().to_owned(), health["text"].as_str().unwrap().to_owned())
}

#[test]
fn a_dead_model_is_seen_and_left() {
    let (mut models, folder) = (Pair::start(), Folder::new());
    let instance = started(&models, &folder);
    let mut client = instance.client();
    for _ in 0..30 {
        assert_eq!(rows::infer(&mut client, None, &[ordinary(0)]).status(), 200);
    }
    models.v2 = crate::support::model::Model::start("elsewhere");
    ask_until("it is said that requests fail", &mut client, || health(&instance).0 == "bad");
    ask_until("traffic goes to v1", &mut client, || instance.active() == "v1");
    assert_eq!(rows::infer(&mut client, None, &[ordinary(0)]).status(), 200);
    let rollback = &instance.events("rollback")[0];
    let reason = rollback["reason"].as_str().unwrap();
    assert!(
        reason.contains("ErrorRateCritical") && reason.contains("failed in the last 10 s (502"),
        "{reason}"
    );
    let page = instance.metrics();
    assert!(page.value("driftline_error_ratio", &[("version", "v2"), ("lane", "prod")]).unwrap() > 0.0);
    // The version that serves now is judged by what it answers now.
    ask_until("nothing is wrong with v1", &mut client, || {
        instance.metrics().value("driftline_error_ratio", &[("version", "v1")]) == Some(0.0)
    });
}

#[test]
fn a_few_failures_are_a_warning_and_more_are_critical() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = started(&models, &folder);
    let mut client = instance.client();
    let mut send = |every: usize| {
        for n in 0..50 {
            models.v2.set(|behaviour| behaviour.status = if n % every == 0 { 500 } else { 200 });
            rows::infer(&mut client, None, &[ordinary(n)]);
        }
    };
    await_until("2 % are a warning", DEADLINE, || {
        send(50);
        instance.alert_state("ErrorRateHigh") == 2.0
    });
    assert_eq!((instance.alert_state("ErrorRateCritical"), instance.active().as_str()), (0.0, "v2"));
    await_until("20 % roll back", DEADLINE, || {
        send(5);
        instance.active() == "v1"
    });
}

#[test]
fn what_clients_send_wrong_is_said_and_moves_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = started(&models, &folder);
    let mut client = instance.client();
    models.v2.set(|behaviour| behaviour.status = 422);
    ask_until("requests are refused", &mut client, || instance.alert_state("RejectedHigh") == 2.0);
    holds_for("no rollback", Duration::from_secs(2), || instance.active() == "v2");
    assert_eq!(instance.alert_state("ErrorRateCritical"), 0.0);
    let (level, text) = health(&instance);
    assert!(level == "watch" && text.contains("were refused in the last 10 s (422)"), "{level}: {text}");
}

#[test]
fn a_slow_request_now_and_then_is_no_reason_to_go() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = started(&models, &folder);
    let mut client = instance.client();
    models.v2.set(|behaviour| behaviour.latency = Duration::from_millis(700));
    for n in 0..5 {
        rows::infer(&mut client, None, &[ordinary(n)]);
    }
    holds_for("few slow answers are no alert", Duration::from_secs(3), || {
        instance.alert_state("LatencySpike") == 0.0 && instance.active() == "v2"
    });
}

#[test]
fn traffic_that_stops_is_missed() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = started(&models, &folder);
    let mut client = instance.client();
    holds_for("nobody has asked yet", Duration::from_secs(4), || {
        instance.alert_state("TrafficStopped") == 0.0
    });
    rows::infer(&mut client, None, &[ordinary(0)]);
    await_until("traffic has stopped", DEADLINE, || instance.alert_state("TrafficStopped") == 2.0);
    let (level, text) = health(&instance);
    assert!(level == "watch" && text.contains("no request for"), "{level}: {text}");
    ask_until("it is back", &mut client, || instance.alert_state("TrafficStopped") == 0.0);
    assert_eq!(instance.active(), "v2");
}

#[test]
fn what_others_carried_is_judged_by_its_status() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", "").replace("  rules:", &format!("  rules:{FAST}"));
    let instance = Instance::observe(&folder, &yaml);
    let send = |status: u16| {
        let record =
            json!({ "model": "fraud", "version": "v2", "status": status, "features": { "amount": 1.0 } });
        instance.post("/api/v1/observe", &json!(vec![record; 10]));
    };
    send(200);
    await_until("failures are seen", DEADLINE, || {
        send(503);
        instance.alert_state("ErrorRateCritical") == 2.0
    });
    await_until("refusals are seen", DEADLINE, || {
        send(422);
        instance.alert_state("RejectedHigh") == 2.0
    });
}
