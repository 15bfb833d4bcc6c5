//! Belongs here: what alerts and decisions do outside the process: who is told, what is switched, what is started, who is
//! asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::load::Drip;
use crate::support::receiver::Receiver;
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_some, await_until, driftline, finish, holds_for};

/// Three tenants whose traffic is ordinary, and the reference learned.
fn ready(instance: &Instance) -> Client {
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, ordinary);
        instance.await_requests("v2", "prod", tenant, WINDOW);
    }
    client
}

/// Drift that goes on until the answer is dropped.
fn drift(instance: &Instance, client: &mut Client) -> Drip {
    ["a", "b", "c"].iter().for_each(|tenant| rows::send(client, Some(tenant), WINDOW, shifted));
    Drip::start(instance, &["a", "b", "c"].map(Some), shifted)
}

/// A command against this instance.
fn command(folder: &Folder, instance: &Instance, args: &[&str]) -> crate::support::Outcome {
    finish(driftline(folder.path()).args(args).env("DRIFTLINE_ADMIN", format!("http://{}", instance.admin)))
}

#[test]
fn everybody_is_told_and_a_silent_one_holds_nothing_up() {
    let (models, folder) = (Pair::start(), Folder::new());
    let (slack, pager) = (Receiver::start("ok"), Receiver::start("{}"));
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    folder.write("slack-url", &format!("{}\n", slack.url("/services/T0/B0/topsecret")));
    let notify = format!(
        "notify:
  mlops: {{ slack: {{ webhook_url_file: slack-url }} }}
  oncall: {{ at_least: critical, pagerduty: {{ url: {}, routing_key: R0123456789 }} }}
  silent: {{ webhook: {{ url: 'http://{}/' }}, timeout: 60s }}
",
        pager.url(""),
        silent.local_addr().unwrap()
    );
    let yaml = models
        .yaml("", &notify)
        .replace("alerts:\n", "alerts:\n  group_wait: 300ms\n  dashboard_url: https://d.example/\n");
    let instance = Instance::start(&folder, &yaml);
    let mut client = ready(&instance);
    let _drift = drift(&instance, &mut client);
    await_until("traffic moves whoever is silent", DEADLINE, || instance.active() == "v1");
    let told = |what: &str| slack.bodies().into_iter().find(|body| body.contains(what));
    let firing = await_some("Slack hears of the alert", DEADLINE, || told("FeaturePSICritical: fraud v2"));
    for expected in [
        "amount: PSI",
        "Top features by contribution",
        "https://d.example/?page=drift&model=fraud&feature=amount&version=v2&range=6h",
        "feature-psi-critical.md",
    ] {
        assert!(firing.contains(expected), "`{expected}` is not in {firing}");
    }
    await_until("Slack hears of the rollback", DEADLINE, || told("rollback of fraud v2 -> v1").is_some());
    let events = || pager.seen().iter().map(crate::support::http::Message::json).collect::<Vec<Value>>();
    let trigger = await_some("the pager hears of it", DEADLINE, || {
        events().into_iter().find(|event| event["event_action"] == "trigger")
    });
    assert_eq!(trigger["dedup_key"], "driftline/fraud/v2/FeaturePSICritical");
    let page = instance.metrics();
    assert_eq!(page.value("driftline_notifier_up", &[("notifier", "mlops")]), Some(1.0));
    assert!(
        page.value("driftline_notifications_total", &[("notifier", "mlops"), ("result", "sent")])
            >= Some(2.0)
    );
    assert_eq!(
        page.value("driftline_notifications_total", &[("notifier", "silent"), ("result", "sent")]),
        Some(0.0)
    );
    let page = instance.call("GET", "/api/v1/status", &[], b"");
    for secret in ["topsecret", "R0123456789"] {
        assert!(!instance.log().contains(secret) && !page.text().contains(secret), "{secret}");
    }
}

/// What an HTTP router of one's own was told to do.
fn router() -> (Receiver, Arc<Mutex<String>>) {
    let active = Arc::new(Mutex::new("v2".to_owned()));
    let state = Arc::clone(&active);
    let receiver = Receiver::answering(move |message| {
        if message.method() == "PUT" {
            *state.lock().unwrap() = message.json()["to"].as_str().unwrap().to_owned();
        }
        (200, json!({ "active": *state.lock().unwrap() }).to_string())
    });
    (receiver, active)
}

fn router_yaml(router: &Receiver) -> String {
    let url = router.url("/models/{{ model }}");
    format!(
        "rollback:
  actuators:
    router:
      http: {{ url: '{url}', method: PUT, verify: {{ url: '{url}', contains: '\"active\":\"{{{{ to }}}}\"' }} }}
"
    )
}

#[test]
fn a_rollback_reaches_everything_and_is_read_back() {
    let (models, folder) = (Pair::start(), Folder::new());
    let (router, active) = router();
    let instance = Instance::start(&folder, &models.yaml("", &router_yaml(&router)));
    let rehearsed = command(&folder, &instance, &["rollback", "--dry-run"]).expect(0);
    assert!(rehearsed.stdout.contains("gateway would send every client to `v1`"), "{}", rehearsed.stdout);
    assert!(rehearsed.stdout.contains("router would PUT with the body"), "{}", rehearsed.stdout);
    assert_eq!(
        (instance.active().as_str(), active.lock().unwrap().as_str()),
        ("v2", "v2"),
        "nothing is done"
    );
    let mut client = ready(&instance);
    let _drift = drift(&instance, &mut client);
    await_until("traffic moves here", DEADLINE, || instance.active() == "v1");
    await_until("and there", DEADLINE, || *active.lock().unwrap() == "v1");
    await_until("it is confirmed", DEADLINE, || instance.model()["last_decision"]["state"] == "confirmed");
    let put = router.seen().into_iter().find(|message| message.method() == "PUT").unwrap();
    assert_eq!(put.path(), "/models/fraud");
    assert_eq!(put.header("idempotency-key"), Some("driftline-fraud-1"));
    let evidence = await_some("what was done is written down", DEADLINE, || {
        instance.events("rollback").into_iter().find(|event| event["data"]["actuators"].is_array())
    });
    let names: Vec<&Value> =
        evidence["data"]["actuators"].as_array().unwrap().iter().map(|one| &one["actuator"]).collect();
    assert_eq!(names, ["gateway", "router"]);
    let page = instance.metrics();
    let done = |actuator| {
        page.value("driftline_actuator_changes_total", &[("actuator", actuator), ("result", "done")])
    };
    assert_eq!((done("gateway"), done("router")), (Some(1.0), Some(1.0)));
    command(&folder, &instance, &["promote"]).expect(0);
    assert_eq!((instance.active().as_str(), active.lock().unwrap().as_str()), ("v2", "v2"));
}

#[test]
fn what_fails_out_there_is_said_and_clients_are_safe_here() {
    let (models, folder) = (Pair::start(), Folder::new());
    let broken = Receiver::answering(|_| (503, "busy".to_owned()));
    let slack = Receiver::start("ok");
    let yaml = router_yaml(&broken).replace("    router:\n", "    router:\n      keep_trying: 1s\n");
    let notify = format!("notify: {{ mlops: {{ slack: {{ webhook_url: '{}' }} }} }}\n", slack.url("/x"));
    let instance = Instance::start(&folder, &models.yaml("", &(yaml + &notify)));
    let failed = command(&folder, &instance, &["rollback"]).expect(2);
    assert!(
        failed.stderr.contains("`router` could not move `fraud` to `v1`: status 503: busy"),
        "{}",
        failed.stderr
    );
    assert_eq!(instance.active(), "v1", "our own gateway has moved");
    let model = instance.model();
    assert_eq!(model["last_decision"]["state"], "failed");
    await_until("people hear of it", DEADLINE, || slack.bodies().iter().any(|body| body.contains("FAILED")));
    assert_eq!(
        instance
            .metrics()
            .value("driftline_actuator_changes_total", &[("actuator", "router"), ("result", "failed")]),
        Some(1.0)
    );
}

#[test]
fn a_model_whose_traffic_goes_elsewhere_is_moved_by_its_actuators() {
    let folder = Folder::new();
    let (router, active) = router();
    let yaml = format!(
        "models:
  fraud: {{ elsewhere: [v2, v1], active: v2, stable: v1, baseline: {{ learn: {LEARN} }}, window: {WINDOW} }}
alerts:
  evaluate_every: 100ms
  rules: {{ FeaturePSICritical: {{ for: 1s }} }}
store: state
{}",
        router_yaml(&router)
    );
    let instance = Instance::observe(&folder, &yaml);
    let record = |n: usize, row: fn(usize) -> rows::Row, tenant: &str| {
        let row = row(n);
        json!({ "model": "fraud", "version": "v2", "tenant": tenant, "features": { "amount": row.amount, "country": row.country } })
    };
    let send = |n: usize, row: fn(usize) -> rows::Row| {
        for tenant in ["a", "b", "c"] {
            let records: Vec<Value> = (0..n).map(|n| record(n, row, tenant)).collect();
            assert_eq!(instance.post("/api/v1/observe", &Value::Array(records)).status(), 200);
        }
    };
    send(LEARN, ordinary);
    instance.await_reference();
    send(WINDOW, shifted);
    await_until("the actuator moves it", DEADLINE, || {
        send(1, shifted);
        *active.lock().unwrap() == "v1"
    });
    await_until("it is confirmed", DEADLINE, || instance.active() == "v1");
    assert_eq!(instance.metrics().value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(1.0));
}

#[test]
fn a_rollback_waits_for_a_link_to_be_followed_and_the_button_pressed() {
    let (models, folder) = (Pair::start(), Folder::new());
    let slack = Receiver::start("ok");
    let notify = format!(
        "notify: {{ mlops: {{ slack: {{ webhook_url: '{}' }} }} }}
public_url: https://driftline.example
auth: {{ token: 0123456789abcdef0123 }}
",
        slack.url("/x")
    );
    let instance = Instance::start(&folder, &models.yaml("rollback: { mode: approve }", &notify));
    let mut client = ready(&instance);
    let _drift = drift(&instance, &mut client);
    let asked = await_some("somebody is asked", DEADLINE, || {
        slack.bodies().into_iter().find(|body| body.contains("Roll back fraud v2 -> v1?"))
    });
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let button = asked["blocks"].as_array().unwrap().iter().find(|block| block["type"] == "actions").unwrap();
    let url = button["elements"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix("https://driftline.example").unwrap();
    let get = |path: &str| instance.call("GET", path, &[], b"");
    let page = get(path);
    assert_eq!(page.status(), 200);
    assert!(page.text().contains("Clients of <b>fraud</b> would get <b>v1</b>"), "{}", page.text());
    holds_for("looking does nothing", Duration::from_millis(500), || instance.active() == "v2");
    let forged = path.replace("/approve/fraud/1?", "/approve/fraud/2?");
    assert_eq!((get(&forged).status(), get(&path.replace("s=", "s=0")).status()), (403, 403));
    let press = |path: &str, fields: &[(&str, &str)]| {
        instance.call("POST", &format!("{path}&do=approve"), fields, b"")
    };
    assert_eq!(press(&forged, &[]).status(), 403);
    assert_eq!(press(path, &[("origin", "http://evil.example")]).status(), 403);
    assert_eq!(instance.active(), "v2");
    let pressed = press(path, &[]);
    assert_eq!(pressed.status(), 200, "{pressed:?}");
    assert_eq!(instance.active(), "v1");
    assert_eq!(press(path, &[]).status(), 409, "once");
    let event = &instance.events("rollback")[0];
    assert_eq!(event["actor"], "approval link from 127.0.0.1");
    assert_eq!(event["data"]["trigger"], "alert");
}

#[test]
fn approve_reject_and_hold_by_command() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("rollback: { mode: approve, cooldown: 1s }", ""));
    let mut client = ready(&instance);
    let nothing = command(&folder, &instance, &["approve"]).expect(2);
    assert!(nothing.stderr.contains("no rollback of `fraud` waits for approval"), "{}", nothing.stderr);
    let _drift = drift(&instance, &mut client);
    let waits = || !instance.model()["proposal"].is_null();
    await_until("a rollback is proposed", DEADLINE, waits);
    command(&folder, &instance, &["hold", "--minutes", "10", "--reason", "load test"]).expect(0);
    assert_eq!(instance.model()["state"], "manual_hold");
    let held = command(&folder, &instance, &["approve"]).expect(2);
    assert!(held.stderr.contains("holds it: release it first"), "{}", held.stderr);
    command(&folder, &instance, &["release"]).expect(0);
    let done = command(&folder, &instance, &["approve"]).expect(0);
    assert!(done.stdout.starts_with("switched traffic of fraud from v2 to v1"), "{}", done.stdout);
    assert_eq!(instance.events("hold").len(), 2);
}

#[test]
fn drift_starts_a_training_once() {
    let (models, folder) = (Pair::start(), Folder::new());
    let trainer = Receiver::answering(|message| {
        (200, json!({ "dag_run_id": message.json()["dag_run_id"], "state": "queued" }).to_string())
    });
    let retrain = format!(
        "retrain:
  airflow: {{ airflow: {{ url: '{}', dag: retrain, token: jwt-0123456789 }} }}
public_url: https://driftline.example
",
        trainer.url("")
    );
    let instance = Instance::start(&folder, &models.yaml("auto_rollback: false", &retrain));
    let mut client = ready(&instance);
    let _drift = drift(&instance, &mut client);
    let call = await_some("Airflow is called", DEADLINE, || trainer.seen().pop());
    assert_eq!(call.path(), "/api/v2/dags/retrain/dagRuns");
    let conf = &call.json()["conf"];
    assert_eq!((&conf["model"], &conf["window"]["requests"].is_u64()), (&json!("fraud"), &true));
    assert_eq!(conf["features"][0]["feature"], "amount");
    assert_eq!(conf["profile"]["url"], "https://driftline.example/api/v1/models/fraud/profile");
    await_until("it is written down", DEADLINE, || {
        instance.events("retrain").iter().any(|event| event["data"]["state"] == "started")
    });
    await_until("both rules fire", DEADLINE, || {
        ["FeaturePSIHigh", "FeaturePSICritical"].iter().all(|alert| instance.alert_state(alert) == 2.0)
    });
    holds_for("once", Duration::from_secs(2), || trainer.seen().len() == 1);
    let by_hand = command(&folder, &instance, &["retrain", "--reason", "new data"]).expect(0);
    assert!(
        by_hand.stdout.starts_with("fraud: airflow is being told to start drift-fraud-"),
        "{}",
        by_hand.stdout
    );
    await_until("by hand as well", DEADLINE, || trainer.seen().len() == 2);
    assert!(!instance.log().contains("jwt-0123456789"));
}
