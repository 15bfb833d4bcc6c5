//! Belongs here: what counts for a decision, and what does not: rows from before a switch, silence, the alerts of idle versions.

use std::time::Duration;

use serde_json::json;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_until, holds_for};

const COOLDOWN: Duration = Duration::from_secs(3);

/// An instance with a learned reference and a short cool-down.
fn ready(models: &Pair, folder: &Folder) -> Instance {
    let instance = Instance::start(folder, &models.yaml("rollback: { cooldown: 3s }", ""));
    rows::send(&mut instance.client(), None, LEARN, ordinary);
    instance.await_reference();
    instance
}

fn rollbacks(instance: &Instance) -> f64 {
    instance.metrics().sum("driftline_rollbacks_total", &[])
}

fn rolls_back_on_drift(instance: &Instance, n: f64) {
    let mut client = instance.client();
    await_until("drift rolls back", DEADLINE, || {
        rows::send(&mut client, None, 40, shifted);
        rollbacks(instance) == n
    });
    await_until("v1 is active", DEADLINE, || instance.active() == "v1");
}

#[test]
fn a_promotion_is_judged_by_what_it_serves_then() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    rolls_back_on_drift(&instance, 1.0);
    await_until("the alerts of v2 end", DEADLINE, || instance.alert_state("FeaturePSICritical") == 0.0);
    let answer = instance.post("/api/v1/models/fraud/promote", &json!({}));
    assert_eq!(answer.json()["message"], "switched traffic of fraud from v1 to v2");
    let mut client = instance.client();
    holds_for("calm traffic rolls nothing back", COOLDOWN * 3, || {
        rows::send(&mut client, None, 20, ordinary);
        rollbacks(&instance) == 1.0 && instance.active() == "v2"
    });
    rolls_back_on_drift(&instance, 2.0);
}

#[test]
fn rows_from_before_a_switch_do_not_come_back_with_a_restart() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    rolls_back_on_drift(&instance, 1.0);
    assert_eq!(instance.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
    drop(instance);
    let instance = Instance::with_args(&folder, &["run"]);
    assert_eq!(instance.active(), "v2");
    let mut client = instance.client();
    holds_for("calm traffic rolls nothing back", COOLDOWN * 3, || {
        rows::send(&mut client, None, 20, ordinary);
        instance.active() == "v2"
    });
}

#[test]
fn a_burst_with_silence_after_it_moves_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = ready(&models, &folder);
    rows::send(&mut instance.client(), None, WINDOW, ordinary);
    instance.await_requests("v2", "prod", "all", WINDOW);
    rows::send(&mut instance.client(), None, WINDOW, shifted);
    await_until("the alert is pending", DEADLINE, || instance.alert_state("FeaturePSICritical") > 0.0);
    holds_for("silence fires nothing", Duration::from_secs(6), || {
        instance.alert_state("FeaturePSICritical") == 1.0 && instance.active() == "v2"
    });
}

#[test]
fn asked_twice_nothing_moves_twice() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 5 }", ""));
    let call = |path: &str, body: serde_json::Value| {
        let answer = instance.post(&format!("/api/v1/models/fraud/{path}"), &body);
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    };
    let said = call("promote", json!({}));
    assert_eq!((said["changed"].as_bool(), said["active"].as_str()), (Some(false), Some("v2")), "{said}");
    assert!(said["message"].as_str().unwrap().starts_with("v2 is active already"), "{said}");
    assert_eq!(instance.active(), "v2", "the version that gets copies is not promoted unasked");
    for (path, body) in [
        ("rollback", json!({})),
        ("promote", json!({ "to": "v2" })),
        ("shadow", json!({ "percent": 7 })),
        ("auto-rollback", json!({ "enabled": false })),
    ] {
        assert_eq!(call(path, body.clone())["changed"], true, "{path}");
        let again = call(path, body);
        assert_eq!(again["changed"], false, "{path}: {again}");
        assert!(again["message"].as_str().unwrap().contains("already"), "{again}");
    }
    assert_eq!(call("release", json!({}))["message"], "fraud is not held");
    assert_eq!(call("hold", json!({}))["changed"], true);
    assert!(call("hold", json!({}))["message"].as_str().unwrap().contains("replaces the hold"));
    assert_eq!(call("release", json!({}))["changed"], true);
}

#[test]
fn a_stable_version_that_no_copy_reaches_is_no_place_to_go() {
    let (models, folder) = (Pair::start(), Folder::new());
    // v1 is gone: nothing listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = models.yaml("shadow: { version: v1, percent: 100 }", "");
    let instance = Instance::start(&folder, &yaml.replace(&models.v1.url(), &format!("http://{dead}")));
    rows::send(&mut instance.client(), None, LEARN, ordinary);
    instance.await_reference();
    let mut client = instance.client();
    await_until("it is said why nothing moves", DEADLINE, || {
        rows::send(&mut client, None, 40, shifted);
        instance.model()["blocked"] == "target_unhealthy"
    });
    assert_eq!((instance.active().as_str(), rollbacks(&instance)), ("v2", 0.0));
}
