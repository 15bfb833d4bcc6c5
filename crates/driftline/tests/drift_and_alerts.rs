//! Belongs here: from requests to numbers, from numbers to alerts, from alerts to where requests go.

use std::time::Duration;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::load::Drip;
use crate::support::model::Behaviour;
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_some, await_until, holds_for};

const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Long enough for every rule of these tests to fire.
const QUIET: Duration = Duration::from_secs(4);

/// Which version answers.
#[track_caller]
fn answered_by(client: &mut Client) -> String {
    let answer = rows::infer(client, None, &[ordinary(0)]);
    answer.header("x-model").unwrap().to_owned()
}

/// An instance that has learned from five tenants' ordinary traffic.
fn learned(folder: &Folder, yaml: &str) -> Instance {
    let instance = Instance::start(folder, yaml);
    let mut client = instance.client();
    for tenant in TENANTS {
        rows::send(&mut client, Some(tenant), LEARN / TENANTS.len(), ordinary);
    }
    instance.await_reference();
    for tenant in TENANTS {
        rows::send(&mut client, Some(tenant), WINDOW, ordinary);
        instance.await_requests("v2", "prod", tenant, WINDOW);
    }
    instance
}

fn no_alert(instance: &Instance) -> bool {
    let page = instance.metrics();
    page.sum("driftline_alert_state", &[]) == 0.0 && page.sum("driftline_rollbacks_total", &[]) == 0.0
}

fn tenants_red(instance: &Instance) -> f64 {
    instance.metrics().value("driftline_tenants_red", &[]).unwrap()
}

#[test]
fn one_tenant_alone_moves_nothing_and_three_roll_back() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", "").replace("FeaturePSICritical: { for: 2s", "FeaturePSICritical: { for: 6s");
    let instance = learned(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, Some("a"), WINDOW, shifted);
    await_until("one tenant is red", DEADLINE, || tenants_red(&instance) == 1.0);
    holds_for("one red tenant of five is no alert about the model", QUIET, || {
        instance.alert_state("FeaturePSICritical") == 0.0 && instance.alert_state("FeaturePSIHigh") == 0.0
    });
    await_until("it is told as what it is", DEADLINE, || instance.alert_state("TenantDrift") > 0.0);
    assert_eq!(answered_by(&mut client), "v2");

    rows::send(&mut client, Some("b"), WINDOW, shifted);
    rows::send(&mut client, Some("c"), WINDOW, shifted);
    let drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("the alert is pending", DEADLINE, || instance.alert_state("FeaturePSICritical") == 1.0);
    await_until("three tenants are red", DEADLINE, || tenants_red(&instance) == 3.0);
    assert_eq!(answered_by(&mut client), "v2", "nothing moves while the alert is pending");
    check_alert(&instance);
    await_until("the alert fires", DEADLINE, || instance.alert_state("FeaturePSICritical") == 2.0);
    await_until("traffic has moved", DEADLINE, || instance.active() == "v1");
    drop(drip);
    for _ in 0..20 {
        assert_eq!(answered_by(&mut client), "v1");
    }
    // An alert of a version that serves nobody is over.
    await_until("the alert ends", DEADLINE, || our_alert(&instance).is_none());
    check_decision(&instance);
    let page = instance.metrics();
    assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(1.0));
    assert_eq!(page.value("driftline_active_version", &[("version", "v1")]), Some(1.0));
    assert_eq!(page.value("driftline_active_version", &[("version", "v2")]), Some(0.0));
    // The drift is in the requests, so v1 has it as well; there is nowhere else to go.
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, shifted);
    }
    holds_for("no second rollback", QUIET, || {
        instance.metrics().sum("driftline_rollbacks_total", &[]) == 1.0 && instance.active() == "v1"
    });
}

/// The alert of the shifted feature, while it is pending or firing.
fn our_alert(instance: &Instance) -> Option<serde_json::Value> {
    let alerts = instance.get("/api/v1/alerts");
    let is_ours = |alert: &&serde_json::Value| {
        alert["alert"] == "FeaturePSICritical"
            && alert["labels"]["feature"] == "amount"
            && alert["labels"]["version"] == "v2"
    };
    alerts["alerts"].as_array().unwrap().iter().find(is_ours).cloned()
}

fn check_alert(instance: &Instance) {
    let tenants = serde_json::json!(["a", "b", "c"]);
    let alert = await_some("the alert names its tenants", DEADLINE, || {
        our_alert(instance).filter(|alert| alert["tenants"] == tenants)
    });
    assert_eq!(alert["severity"], "critical");
    assert_eq!(alert["labels"]["model"], "fraud");
    assert_eq!(alert["n"], WINDOW);
    assert!(alert["value"].as_f64().unwrap() > 0.3);
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("amount"));
    assert!(alert["since"].as_str().unwrap().ends_with('Z'));
    let alerts = instance.get("/api/v1/alerts");
    let alerts = alerts["alerts"].as_array().unwrap();
    assert!(alerts.iter().all(|alert| alert["labels"]["feature"] != "country"), "{alerts:#?}");
}

fn check_decision(instance: &Instance) {
    let events = instance.events("rollback");
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0];
    assert_eq!(event["model"], "fraud");
    assert!(event["reason"].as_str().unwrap().contains("FeaturePSICritical"), "{event:#}");
    let decision = &instance.model()["last_decision"];
    assert_eq!(decision["trigger"], "alert");
    assert_eq!((&decision["from"], &decision["to"]), (&"v2".into(), &"v1".into()));
    assert_eq!(decision["state"], "confirmed");
    let evidence = decision["evidence"].to_string();
    for expected in ["FeaturePSICritical", "amount", "\"a\"", "\"b\"", "\"c\""] {
        assert!(evidence.contains(expected), "{expected} is not in {evidence}");
    }
    let data = event["data"].to_string();
    assert!(data.contains("amount"), "the event holds the evidence: {data}");
    let kinds = instance.events("alert");
    let fired = kinds.iter().any(|event| {
        event.to_string().contains("firing") && event.to_string().contains("FeaturePSICritical")
    });
    assert!(fired, "{kinds:#?}");
}

#[test]
fn too_few_requests_say_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), 90, shifted);
        instance.await_requests("v2", "prod", tenant, 90);
    }
    holds_for("ninety requests are no alert", QUIET, || no_alert(&instance) && tenants_red(&instance) == 0.0);
    let drift = instance.get("/api/v1/models/fraud/drift?tenant=a");
    assert_eq!(drift["features"][0]["verdict"], "inconclusive");
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), 20, shifted);
    }
    let _drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("more than a hundred are", DEADLINE, || instance.active() == "v1");
}

#[test]
fn a_model_without_tenants_is_judged_by_its_total() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("tenant: false", ""));
    let mut client = instance.client();
    rows::send(&mut client, Some("ignored"), LEARN, ordinary);
    instance.await_reference();
    holds_for("ordinary traffic is no alert", Duration::from_secs(2), || no_alert(&instance));
    rows::send(&mut client, Some("ignored"), WINDOW, shifted);
    let _drip = Drip::start(&instance, &[Some("ignored")], shifted);
    await_until("traffic has moved", DEADLINE, || instance.active() == "v1");
    let page = instance.metrics();
    assert_eq!(page.all("requests", &[("tenant", "ignored")]).count(), 0);
}

#[test]
fn slow_answers_roll_back() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    models.v2.set(|behaviour| behaviour.latency = Duration::from_millis(700));
    let address = instance.traffic;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                for n in 0..100 {
                    if answered_by(&mut client) == "v1" {
                        return n;
                    }
                }
                panic!("v2 still answers after a hundred requests");
            })
        })
        .collect();
    await_until("traffic has moved", DEADLINE, || instance.active() == "v1");
    for client in clients {
        assert!(client.join().unwrap() > 0, "v2 had answered before");
    }
    let decision = &instance.model()["last_decision"];
    assert_eq!(decision["trigger"], "alert");
    assert!(decision["reason"].as_str().unwrap().contains("LatencySpike"), "{decision:#}");
    let mut client = instance.client();
    assert_eq!(answered_by(&mut client), "v1");
    let page = instance.metrics();
    let slow = [("version", "v2"), ("lane", "prod"), ("le", "600.0")];
    assert_eq!(page.value("inference_latency_bucket", &slow), Some(0.0), "every answer of v2 took longer");
}

#[test]
fn automatic_rollback_can_be_off() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = learned(&folder, &models.yaml("auto_rollback: false", ""));
    let mut client = instance.client();
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, shifted);
    }
    let drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("the alert fires", DEADLINE, || instance.alert_state("FeaturePSICritical") == 2.0);
    await_until("it says why it does nothing", DEADLINE, || !instance.events("blocked").is_empty());
    drop(drip);
    let blocked = instance.events("blocked");
    assert_eq!(blocked.len(), 1, "{blocked:#?}");
    assert_eq!(instance.model()["blocked"], "auto_off");
    holds_for("nothing moves", Duration::from_secs(1), || answered_by(&mut client) == "v2");
    assert_eq!(instance.metrics().sum("driftline_rollbacks_total", &[]), 0.0);
    let switched =
        instance.post("/api/v1/models/fraud/auto-rollback", &serde_json::json!({ "enabled": true }));
    assert_eq!(switched.status(), 200);
    await_until("switched on while the alert fires, it acts", DEADLINE, || answered_by(&mut client) == "v1");
    assert_eq!(instance.events("toggle").len(), 1);
}

#[test]
fn an_observer_only_says_what_it_would_do() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = learned(&folder, &models.yaml("", "rollback: { mode: observe }\n"));
    let mut client = instance.client();
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, shifted);
    }
    let _drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("it says what it would do", DEADLINE, || !instance.events("blocked").is_empty());
    let reason = instance.events("blocked")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("would have rolled back from `v2` to `v1`"), "{reason}");
    assert_eq!(answered_by(&mut client), "v2");
}

/// The causes of a rollback are not gone with it: whoever promotes again gets the cool-down, then the guard again, until
/// the rollbacks of the period are used up.
#[test]
fn a_promoted_version_that_still_drifts_is_rolled_back_until_the_limit() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("tenant: false", "rollback: { cooldown: 3s, max: 2 }\n");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    let promote = || {
        let answer = instance.post("/api/v1/models/fraud/promote", &serde_json::json!({}));
        assert_eq!(answer.status(), 200, "{answer:?}");
    };
    let _drip = Drip::start(&instance, &[None], shifted);
    for n_rollbacks in [1.0, 2.0] {
        rows::send(&mut client, None, WINDOW, shifted);
        await_until("traffic has moved", DEADLINE, || instance.active() == "v1");
        let page = instance.metrics();
        assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(n_rollbacks));
        promote();
        assert_eq!(instance.active(), "v2");
        rows::send(&mut client, None, WINDOW, shifted);
        holds_for("a person's decision stands for the cool-down", Duration::from_secs(1), || {
            instance.active() == "v2"
        });
    }
    rows::send(&mut client, None, WINDOW, shifted);
    await_until("automatic rollback switches itself off", DEADLINE, || {
        instance.model()["auto_rollback"] == false
    });
    assert_eq!(instance.active(), "v2");
    let toggle = &instance.events("toggle")[0];
    assert!(toggle["reason"].as_str().unwrap().contains("used up"), "{toggle:#}");
}

#[test]
fn an_alert_ends_with_its_cause() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("tenant: false\nauto_rollback: false", ""));
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, None, WINDOW, shifted);
    let drip = Drip::start(&instance, &[None], shifted);
    await_until("the alert fires", DEADLINE, || instance.alert_state("FeaturePSICritical") == 2.0);
    drop(drip);
    rows::send(&mut client, None, WINDOW, ordinary);
    // What the detector has found is over only after thousands of requests.
    let windows = ["PSIAmber", "FeaturePSIHigh", "FeaturePSICritical"];
    await_until("it is over", DEADLINE, || windows.iter().all(|alert| instance.alert_state(alert) == 0.0));
    let reasons: Vec<String> =
        instance.events("alert").iter().map(|event| event["reason"].to_string()).collect();
    let about = |word: &str| {
        reasons.iter().filter(|reason| reason.contains("FeaturePSICritical") && reason.contains(word)).count()
    };
    assert_eq!((about("fires"), about("is over")), (1, 1), "{reasons:#?}");
}

#[test]
fn the_drift_answer_has_both_histograms() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = learned(&folder, &models.yaml("auto_rollback: false", ""));
    rows::send(&mut instance.client(), Some("a"), WINDOW, shifted);
    let sent = LEARN + (TENANTS.len() + 1) * WINDOW;
    await_until("all of it is measured", DEADLINE, || instance.model()["rows"] == sent);
    await_until("one tenant is red", DEADLINE, || tenants_red(&instance) == 1.0);
    let drift = instance.get("/api/v1/models/fraud/drift?tenant=a");
    assert_eq!(
        (&drift["tenant"], &drift["version"], &drift["lane"]),
        (&"a".into(), &"v2".into(), &"prod".into())
    );
    assert_eq!(drift["requests"], WINDOW);
    let features = drift["features"].as_array().unwrap();
    let names: Vec<&str> = features.iter().map(|feature| feature["feature"].as_str().unwrap()).collect();
    assert_eq!(names, ["amount", "country", "prediction"]);
    let sum = |value: &serde_json::Value| {
        value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).sum::<f64>()
    };
    for feature in features {
        let histogram = &feature["histogram"];
        assert_eq!(sum(&histogram["reference"]), WINDOW as f64, "the tenant's own: {feature:#}");
        assert_eq!(sum(&histogram["current"]), WINDOW as f64, "{feature:#}");
        let psi = feature["psi"].as_f64().unwrap();
        assert!((sum(&histogram["psi_contributions"]) - psi).abs() < 1e-9, "{feature:#}");
        let n_bins = histogram["labels"].as_array().unwrap().len();
        assert_eq!(histogram["current"].as_array().unwrap().len(), n_bins);
    }
    assert_eq!(features[0]["type"], "numeric");
    assert_eq!(features[0]["verdict"], "fail");
    assert_eq!(features[1]["type"], "categorical");
    assert_eq!(features[1]["verdict"], "pass");
    check_amount(&features[0]);
    let nobody = instance.get("/api/v1/models/fraud/drift?tenant=nobody");
    assert_eq!(nobody["requests"], 0);
    assert_eq!(instance.call("GET", "/api/v1/models/fraud/drift?lane=sideways", &[], b"").status(), 400);
    let profile = instance.get("/api/v1/models/fraud/profile");
    assert_eq!(profile["features"].as_array().unwrap().len(), 3, "{profile:#}");
}

/// The numbers of the formula itself: all 200 rows in the last two of ten bins that held a tenth of the tenant's rows each.
fn check_amount(feature: &serde_json::Value) {
    let floor: f64 = 1e-4;
    let expected = 8.0 * (floor - 0.1) * (floor / 0.1).ln() + 2.0 * (0.5 - 0.1) * (0.5_f64 / 0.1).ln();
    let psi = feature["psi"].as_f64().unwrap();
    assert!((psi - expected).abs() < 1e-9 * expected, "{psi} is not {expected}");
}

#[test]
fn a_shadow_that_answers_differently_shows_against_production() {
    let models = Pair::start();
    models
        .v1
        .set(|behaviour: &mut Behaviour| behaviour.score = |amount| 0.5 + amount.rem_euclid(10.0) / 20.0);
    let folder = Folder::new();
    let yaml = models.yaml("shadow: { version: v1, percent: 100 }", "");
    let instance = learned(&folder, &yaml);
    let labels = |feature: &'static str, tenant: &'static str| {
        [
            ("version", "v1"),
            ("lane", "shadow"),
            ("tenant", tenant),
            ("feature", feature),
            ("reference", "prod"),
        ]
    };
    await_until("the copies are measured", DEADLINE, || {
        instance.metrics().value("requests", &[("lane", "shadow"), ("tenant", "all")]) == Some(WINDOW as f64)
    });
    await_until("the predictions differ", DEADLINE, || {
        instance.metrics().value("psi", &labels("prediction", "all")).is_some_and(|psi| psi > 1.0)
    });
    let page = instance.metrics();
    assert!(page.value("psi", &labels("amount", "all")).unwrap() < 0.05, "the sample is fair");
    assert!(page.value("psi", &labels("prediction", "a")).unwrap() > 1.0);
    holds_for("a shadow moves no traffic", QUIET, || no_alert(&instance));
}
