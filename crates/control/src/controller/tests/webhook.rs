//! Alertmanager's notifications: repeats, replays, what is not ours.

use serde_json::{Value, json};

use super::Rig;
use crate::controller::{Controller, WebhookOutcome, WebhookVerdict};
use crate::decide::BlockReason;
use crate::error::ControlError;
use crate::signal::Kind;
use crate::store::{EventKind, Store};
use crate::testing::policy;

const START: &str = "2026-08-20T10:00:00.123Z";
const LATER: &str = "2026-08-20T11:00:00Z";

fn alert(status: &str, fingerprint: &str, starts_at: &str, labels: &Value) -> Value {
    json!({
        "status": status, "labels": labels, "annotations": {"summary": "PSI 0.31"}, "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint,
    })
}

fn critical() -> Value {
    json!({"alertname": "FeaturePSICritical", "severity": "critical", "model": "fraud", "version": "v2"})
}

fn notification(alerts: &[Value]) -> Value {
    json!({
        "receiver": "driftline", "status": "firing", "notification_reason": "first notification", "alerts": alerts,
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "routeLabels": {},
        "externalURL": "http://alertmanager", "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0,
    })
}

fn send(controller: &mut Controller, body: &Value, now: i64) -> WebhookOutcome {
    let webhook = serde_json::from_value(body.clone()).expect("is a notification");
    controller.alertmanager(&webhook, now).expect("is taken")
}

fn outcomes(outcome: &WebhookOutcome) -> Vec<(WebhookVerdict, Option<i64>)> {
    outcome.alerts.iter().map(|alert| (alert.outcome.clone(), alert.decision_id)).collect()
}

#[test]
fn ten_times_the_same_is_one_transition() {
    let mut rig = Rig::new();
    let body = notification(&[alert("firing", "b2c1f6a0d3e4f567", START, &critical())]);
    let first = send(&mut rig.controller, &body, 1);
    assert_eq!(outcomes(&first), [(WebhookVerdict::Decided, Some(1))]);
    assert_eq!(first.decisions.len(), 1);
    assert_eq!(first.decisions[0].actor, "alertmanager");
    assert_eq!(first.decisions[0].reason, "FeaturePSICritical: PSI 0.31");
    for repeat in 0..9 {
        if repeat == 4 {
            rig.carry(&first.decisions[0]);
        }
        let again = send(&mut rig.controller, &body, 2 + repeat);
        assert!(again.decisions.is_empty());
        assert_eq!(outcomes(&again), [(WebhookVerdict::Repeated, Some(1))], "the same decision");
    }
    assert_eq!(rig.events(EventKind::Rollback).len(), 1);
}

#[test]
fn a_replay_does_nothing_after_the_end_the_next_day_or_a_restart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let open = |now| {
        let store = Store::open(folder.path()).expect("opens");
        let controller = Controller::open(store, policy(), now).expect("opens").0;
        Rig { controller, now }
    };
    let firing = notification(&[alert("firing", "f1", START, &critical())]);
    let resolved = notification(&[alert("resolved", "f1", START, &critical())]);
    let mut rig = open(0);
    let decision = send(&mut rig.controller, &firing, 1).decisions.remove(0);
    rig.carry(&decision);
    assert_eq!(outcomes(&send(&mut rig.controller, &resolved, 2)), [(WebhookVerdict::Resolved, Some(1))]);
    let promote = rig.controller.promote("fraud", None, "ada", "fixed", 3).expect("promotes");
    rig.carry(&promote);
    drop(rig);
    let mut rig = open(86_400_000);
    rig.drift("v2", 0.0, 700);
    assert_eq!(outcomes(&send(&mut rig.controller, &firing, rig.now)), [(WebhookVerdict::Repeated, Some(1))]);
    assert_eq!(rig.active(), "v2");
    let mut other_group = firing.clone();
    other_group["groupKey"] = json!("{}:{other}");
    assert_eq!(send(&mut rig.controller, &other_group, rig.now).alerts[0].outcome, WebhookVerdict::Repeated);
    let new = notification(&[alert("firing", "f1", LATER, &critical())]);
    assert_eq!(send(&mut rig.controller, &new, rig.now).decisions.len(), 1, "a new episode counts");
    let old = send(&mut rig.controller, &firing, rig.now);
    assert_eq!(old.alerts[0].outcome, WebhookVerdict::Repeated, "older than the last one answered");
}

#[test]
fn an_end_that_overtakes_its_beginning_closes_it() {
    let mut rig = Rig::new();
    let resolved = notification(&[alert("resolved", "f1", START, &critical())]);
    let firing = notification(&[alert("firing", "f1", START, &critical())]);
    send(&mut rig.controller, &resolved, 1);
    assert_eq!(outcomes(&send(&mut rig.controller, &firing, 2)), [(WebhookVerdict::Repeated, None)]);
}

#[test]
fn what_is_blocked_for_now_is_judged_again_when_repeated() {
    let mut rig = Rig::new();
    rig.controller.set_auto_rollback("fraud", false, "ada", 0).expect("is known");
    let body = notification(&[alert("firing", "f1", START, &critical())]);
    for _ in 0..3 {
        let outcome = send(&mut rig.controller, &body, 1);
        assert_eq!(outcomes(&outcome), [(WebhookVerdict::Blocked(BlockReason::AutoOff), None)]);
    }
    assert_eq!(rig.events(EventKind::Blocked).len(), 1, "said once");
    rig.controller.set_auto_rollback("fraud", true, "ada", 2).expect("is known");
    assert_eq!(send(&mut rig.controller, &body, 3).decisions.len(), 1);
}

#[test]
fn an_alert_that_may_not_move_traffic_moves_none_from_outside_either() {
    let mut policy = policy();
    policy.rollback_on.remove(&Kind::Latency);
    let mut rig = Rig::with(policy);
    let slow =
        json!({"alertname": "LatencySpike", "severity": "critical", "model": "fraud", "version": "v2"});
    let outcome = send(&mut rig.controller, &notification(&[alert("firing", "a", START, &slow)]), 1);
    let ignored = WebhookVerdict::Ignored("`rollback.on` leaves out alerts of this kind");
    assert_eq!(outcomes(&outcome), [(ignored, None)]);
    let own = json!({"alertname": "RevenueDown", "severity": "critical", "model": "fraud"});
    let outcome = send(&mut rig.controller, &notification(&[alert("firing", "b", START, &own)]), 2);
    assert_eq!(outcomes(&outcome)[0].0, WebhookVerdict::Decided, "a rule of one's own");
}

#[test]
fn a_rollback_answers_notifications_that_were_waiting() {
    let mut rig = Rig::new();
    rig.controller.set_auto_rollback("fraud", false, "ada", 0).expect("is known");
    let body = notification(&[alert("firing", "f1", START, &critical())]);
    send(&mut rig.controller, &body, 1);
    let decision = rig.controller.rollback("fraud", "ada", "by hand", 2).expect("rolls back");
    rig.carry(&decision);
    let promote = rig.controller.promote("fraud", None, "ada", "fixed", 3).expect("promotes");
    rig.carry(&promote);
    rig.controller.set_auto_rollback("fraud", true, "ada", 4).expect("is known");
    rig.drift("v2", 0.0, 700);
    let repeat = send(&mut rig.controller, &body, rig.now);
    assert_eq!(outcomes(&repeat), [(WebhookVerdict::Repeated, Some(decision.id))]);
}

#[test]
fn one_rollback_answers_every_alert_of_the_model() {
    let mut rig = Rig::new();
    let body =
        notification(&[alert("firing", "f1", START, &critical()), alert("firing", "f2", START, &critical())]);
    let outcome = send(&mut rig.controller, &body, 1);
    assert_eq!(outcome.decisions.len(), 1);
    assert_eq!(outcomes(&outcome), [(WebhookVerdict::Decided, Some(1)), (WebhookVerdict::Decided, Some(1))]);
    rig.carry(&outcome.decisions[0]);
    let late = notification(&[alert("firing", "f3", LATER, &critical())]);
    let ignored = WebhookVerdict::Ignored("clients do not get this version");
    assert_eq!(outcomes(&send(&mut rig.controller, &late, 2)), [(ignored, None)]);
    let promote = rig.controller.promote("fraud", None, "ada", "fixed", 3).expect("promotes");
    rig.carry(&promote);
    rig.drift("v2", 0.0, 700);
    for body in [body, late] {
        let repeat = send(&mut rig.controller, &body, rig.now);
        assert!(repeat.decisions.is_empty(), "a repeat after the cool-down rolls nothing back");
    }
}

#[test]
fn embedded_rule_and_notification_are_one_rollback() {
    let mut rig = Rig::new();
    let body = notification(&[alert("firing", "f1", START, &critical())]);
    let decision = send(&mut rig.controller, &body, 1).decisions.remove(0);
    rig.carry(&decision);
    assert_eq!(rig.drift("v2", 0.35, 3_600), [], "v2 answers nobody any more");
}

#[test]
fn what_is_not_ours_is_ignored() {
    let mut rig = Rig::new();
    let with = |name: &str, value: Value| {
        let mut labels = critical();
        labels[name] = value;
        alert("firing", "f1", START, &labels)
    };
    let mut nameless = critical();
    nameless.as_object_mut().expect("is an object").remove("model");
    let body = notification(&[
        with("severity", json!("warning")),
        with("model", json!("churn")),
        alert("firing", "f1", START, &nameless),
        alert("firing", "f1", "yesterday", &critical()),
        alert("unknown", "f1", START, &critical()),
        with("version", json!("v1")),
    ]);
    let outcome = send(&mut rig.controller, &body, 1);
    assert!(outcome.decisions.is_empty());
    assert!(
        outcome.alerts.iter().all(|alert| matches!(alert.outcome, WebhookVerdict::Ignored(_))),
        "{outcome:?}"
    );
}

#[test]
fn another_version_is_refused_and_floods_are_bounded() {
    let mut rig = Rig::new();
    let mut body = notification(&[]);
    body["version"] = json!("5");
    let webhook = serde_json::from_value(body).expect("is a notification");
    let error = rig.controller.alertmanager(&webhook, 1).expect_err("is refused");
    assert!(matches!(error, ControlError::Webhook { .. }), "{error}");
    let many: Vec<Value> =
        (0..1_005).map(|idx| alert("firing", &format!("f{idx}"), START, &json!({}))).collect();
    let outcome = send(&mut rig.controller, &notification(&many), 2);
    assert_eq!((outcome.alerts.len(), outcome.not_seen), (1_000, 5));
}

#[test]
fn a_decision_is_handed_out_even_when_the_store_fails_after_it() {
    let mut rig = Rig::new();
    let break_store = "CREATE TRIGGER broken BEFORE INSERT ON webhook WHEN new.fingerprint = 'f2'
                       BEGIN SELECT raise(ABORT, 'disk'); END";
    rig.controller.store.write("break", |tx| tx.execute_batch(break_store)).expect("breaks");
    let [one, two] = ["f1", "f2"].map(|fingerprint| alert("firing", fingerprint, START, &critical()));
    let outcome = send(&mut rig.controller, &notification(&[one, two.clone()]), 1);
    assert_eq!((outcome.decisions.len(), outcome.alerts.len(), outcome.not_seen), (1, 1, 1));
    let alone = serde_json::from_value(notification(&[two])).expect("is a notification");
    assert!(matches!(rig.controller.alertmanager(&alone, 2), Err(ControlError::Store(_))), "to be repeated");
}
