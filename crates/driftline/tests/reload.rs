//! Belongs here: a changed file, put in force under load without a failed request, or not at all.

use std::time::Duration;

use serde_json::json;

use crate::support::fraud::Pair;
use crate::support::instance::{FREE_PORTS, Folder, Instance};
use crate::support::load::Load;
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, holds_for};

fn write(folder: &Folder, yaml: &str) {
    folder.write("driftline.yaml", &format!("{FREE_PORTS}{yaml}"));
}

fn successful(instance: &Instance) -> Option<f64> {
    instance.metrics().value("driftline_config_last_reload_successful", &[])
}

fn percent(instance: &Instance) -> Option<f64> {
    instance.metrics().value("driftline_shadow_percent", &[])
}

const SHADOW: &str = "shadow: { version: v1, percent: 5 }";

#[test]
fn a_changed_file_is_in_force_without_a_failed_request() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(SHADOW, ""));
    let load = Load::start(&instance);
    load.goes_on();

    write(&folder, &models.yaml(&SHADOW.replace('5', "50"), ""));
    await_until("the new share of copies", DEADLINE, || percent(&instance) == Some(50.0));
    load.goes_on();

    write(
        &folder,
        &models.yaml(SHADOW, "").replace("active: v2", "active: v1").replace("stable: v1", "stable: v2"),
    );
    await_until("the new active version", DEADLINE, || instance.active() == "v1");
    let before = models.v1.count();
    load.goes_on();
    assert!(models.v1.count() > before + 40, "requests go to v1");

    write(&folder, &models.yaml("split: { v1: 50, v2: 50 }", ""));
    await_until("both answer", DEADLINE, || {
        let page = instance.metrics();
        let of = |version| page.sum("driftline_requests_total", &[("version", version), ("lane", "prod")]);
        let (v1, v2) = (of("v1"), of("v2"));
        load.goes_on();
        let page = instance.metrics();
        let of = |version| page.sum("driftline_requests_total", &[("version", version), ("lane", "prod")]);
        of("v1") > v1 + 5.0 && of("v2") > v2 + 5.0
    });
    load.stop();
    await_until("it says so", DEADLINE, || successful(&instance) == Some(1.0));
    let codes = instance.metrics();
    let all = codes.sum("driftline_requests_total", &[("lane", "prod")]);
    assert_eq!(codes.sum("driftline_requests_total", &[("lane", "prod"), ("code", "200")]), all);
    let mut reloads = instance.events("reload");
    let moved: Vec<_> = reloads
        .extract_if(.., |event| event["model"] == "fraud")
        .map(|event| event["data"].clone())
        .collect();
    assert_eq!(moved, [json!({ "from": "v1", "to": "v2" }), json!({ "from": "v2", "to": "v1" })]);
    assert_eq!(reloads.len(), 3, "{reloads:#?}");
    assert!(reloads.iter().all(|event| event["actor"] == "file"), "{reloads:#?}");
}

#[test]
fn a_broken_file_leaves_the_old_one_in_force() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(SHADOW, ""));
    assert_eq!(successful(&instance), Some(1.0));
    let load = Load::start(&instance);
    write(&folder, &models.yaml("shadow: { version: v9, percent: 500 }", ""));
    await_until("the file is found to be broken", DEADLINE, || successful(&instance) == Some(0.0));
    let configuration = instance.get("/api/v1/status")["configuration"].clone();
    assert_eq!(configuration["last_reload_ok"], false);
    let message = configuration["message"].as_str().unwrap();
    for expected in ["v9", "percent", "driftline.yaml:"] {
        assert!(message.contains(expected), "`{expected}` is not in {message}");
    }
    assert_eq!(percent(&instance), Some(5.0));
    let refused = instance.post("/api/v1/reload", &json!({}));
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.json()["error"]["code"], "bad_configuration");
    load.goes_on();
    assert_eq!(instance.get("/readyz")["status"], "ready");

    write(&folder, "not: [yaml");
    load.goes_on();
    write(&folder, &models.yaml(&SHADOW.replace('5', "7"), ""));
    await_until("a good file is taken again", DEADLINE, || successful(&instance) == Some(1.0));
    assert_eq!(percent(&instance), Some(7.0));
    assert_eq!(instance.get("/api/v1/status")["configuration"]["message"], "");
    load.stop();
}

#[test]
fn sighup_and_the_api_read_the_file_at_once() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(SHADOW, ""));
    instance.signal("HUP");
    await_until("it was read again", DEADLINE, || instance.events("reload").len() == 1);
    assert_eq!(instance.events("reload")[0]["actor"], "sighup");
    let answer = instance.post("/api/v1/reload", &json!({}));
    assert_eq!((answer.status(), answer.json()["reloaded"].as_bool()), (200, Some(true)));
    assert_eq!(instance.events("reload").len(), 2);
    assert_eq!(instance.metrics().value("driftline_config_reloads_total", &[]), Some(2.0));
    holds_for("an unchanged file is not read again", Duration::from_millis(2_500), || {
        instance.events("reload").len() == 2
    });
}

#[test]
fn what_needs_a_restart_is_said() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(SHADOW, ""));
    write(&folder, &models.yaml(SHADOW, "workers: 1\nlimits: { head_bytes: 8KiB }\n"));
    // Whoever comes first, this call or the look at the file: one of them says it.
    let answer = instance.post("/api/v1/reload", &json!({}));
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.json()["needs_restart"].is_array(), "{answer:?}");
    await_until("the log says what needs a restart", DEADLINE, || {
        instance.log().contains(r#"these changes need a restart keys=["workers", "limits"]"#)
    });
}

#[test]
fn without_a_file_there_is_nothing_to_read() {
    let (models, folder) = (Pair::start(), Folder::new());
    let url = models.v2.url();
    let args = ["run", "--prod", &url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let instance = Instance::with_args(&folder, &args);
    let answer = instance.post("/api/v1/reload", &json!({}));
    assert_eq!((answer.status(), answer.json()["error"]["code"].as_str()), (409, Some("no_file")));
    rows::send(&mut instance.client(), None, 50, ordinary);
}

#[test]
fn windows_go_on_when_only_traffic_changes() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml(SHADOW, ""));
    let mut client = instance.client();
    rows::send(&mut client, None, 1_000, ordinary);
    instance.await_reference();
    rows::send(&mut client, Some("acme"), 150, ordinary);
    instance.await_requests("v2", "prod", "acme", 150);
    write(&folder, &models.yaml(&SHADOW.replace('5', "9"), ""));
    await_until("the new share of copies", DEADLINE, || percent(&instance) == Some(9.0));
    rows::send(&mut client, Some("acme"), 10, ordinary);
    instance.await_requests("v2", "prod", "acme", 160);
    assert_eq!(instance.model()["reference"]["state"], "ready");
}

#[test]
fn a_model_can_come_and_go() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("route: { header: { x-for: fraud } }", ""));
    let mut client = instance.client();
    let body = rows::body(&[ordinary(0)]).to_string();
    let mut ask = |model: &str| {
        let answer = client.send("POST", INFER, &[("x-for", model)], body.as_bytes());
        (answer.status(), answer.header("x-model").map(ToOwned::to_owned))
    };
    assert_eq!(ask("fraud"), (200, Some("v2".to_owned())));
    assert_eq!(ask("churn").0, 404);
    let churn = format!(
        "models:\n  churn:\n    versions: {{ only: {} }}\n    active: only\n    auto_rollback: false\n    route: {{ header: {{ x-for: churn }} }}\n",
        models.v1.url()
    );
    write(&folder, &models.yaml("route: { header: { x-for: fraud } }", "").replace("models:\n", &churn));
    await_until("the new model is there", DEADLINE, || {
        instance.metrics().value("driftline_active_version", &[("model", "churn")]) == Some(1.0)
    });
    assert_eq!(ask("churn"), (200, Some("v1".to_owned())));
    assert_eq!(ask("fraud"), (200, Some("v2".to_owned())));
    let rows_of = |instance: &Instance, model: &str| {
        let status = instance.get("/api/v1/status");
        let models = status["models"].as_array().unwrap();
        models.iter().find(|entry| entry["model"] == model).and_then(|entry| entry["rows"].as_u64())
    };
    await_until("it is measured", DEADLINE, || rows_of(&instance, "churn") == Some(1));
    await_until("the other goes on", DEADLINE, || rows_of(&instance, "fraud") == Some(2));
    let pointless = instance.post("/api/v1/models/churn/rollback", &json!({})).json();
    assert_eq!(
        (&pointless["changed"], &pointless["message"]),
        (&json!(false), &json!("only is active already"))
    );

    write(&folder, &churn);
    await_until("the old model is gone", DEADLINE, || ask("fraud").0 == 404);
    await_until("with what was known of it", DEADLINE, || rows_of(&instance, "fraud").is_none());
    assert_eq!(ask("churn"), (200, Some("v1".to_owned())));
    await_until("its numbers are gone", DEADLINE, || {
        instance.call("GET", "/api/v1/models/fraud/drift", &[], b"").status() == 404
    });
    let page = instance.metrics();
    let left: Vec<_> =
        page.all("psi", &[("model", "fraud")]).chain(page.all("requests", &[("model", "fraud")])).collect();
    assert!(left.is_empty(), "{left:?}");
    for name in ["driftline_active_version", "driftline_tenants_red", "driftline_alert_state"] {
        assert_eq!(page.all(name, &[("model", "fraud")]).count(), 0, "{name}");
    }
    assert_eq!(instance.get("/readyz")["status"], "ready");
}

#[test]
fn sighup_without_a_file_is_answered_and_ends_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let prod = models.v2.url();
    let args =
        ["run", "--prod", &prod, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"];
    let mut instance = Instance::with_args(&folder, &args);
    instance.signal("HUP");
    await_until("it says that there is no file", DEADLINE, || {
        instance.log().contains("without a configuration file")
    });
    assert!(instance.is_running());
    for line in instance.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not a JSON line: {line}");
    }
}
