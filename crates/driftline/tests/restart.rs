//! Belongs here: what outlives the process, however it ended, and what keeps two processes apart.

use std::time::Duration;

use serde_json::json;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::load::Drip;
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_until, holds_for, run};

/// An instance with a learned reference and a full window.
fn with_windows(models: &Pair, folder: &Folder) -> Instance {
    let instance = Instance::start(folder, &models.yaml("", ""));
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, Some("acme"), WINDOW, shifted);
    instance.await_requests("v2", "prod", "acme", WINDOW);
    instance
}

/// The first may have been on its way already; the second began after this call.
fn await_two_snapshots(folder: &Folder) {
    let snapshot = folder.path().join("state/windows.snapshot");
    let written = || std::fs::metadata(&snapshot).and_then(|file| file.modified()).ok();
    for what in ["the next snapshot", "the snapshot after it"] {
        let last = written();
        await_until(what, DEADLINE, || written() > last);
    }
}

fn amount_psi(instance: &Instance) -> Option<f64> {
    instance.metrics().value("psi", &[("tenant", "acme"), ("feature", "amount"), ("lane", "prod")])
}

fn windows_are_back(models: &Pair, folder: &Folder, expected: Option<f64>) {
    let instance = Instance::start(folder, &models.yaml("", ""));
    instance.await_requests("v2", "prod", "acme", WINDOW);
    assert_eq!(instance.model()["reference"]["state"], "ready");
    assert_eq!(instance.model()["reference"]["rows"], LEARN);
    let psi = amount_psi(&instance);
    assert!(psi.is_some() && psi == expected, "{psi:?}, it was {expected:?}");
    // They are live: ordinary traffic takes them back.
    rows::send(&mut instance.client(), Some("acme"), WINDOW, ordinary);
    await_until("the drift is over", DEADLINE, || amount_psi(&instance).is_some_and(|psi| psi < 0.1));
}

#[test]
fn windows_outlive_sigterm() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = with_windows(&models, &folder);
    let before = amount_psi(&instance);
    let (status, log) = instance.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    windows_are_back(&models, &folder, before);
}

#[test]
fn windows_outlive_sigkill() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = with_windows(&models, &folder);
    let before = amount_psi(&instance);
    await_two_snapshots(&folder);
    instance.kill();
    windows_are_back(&models, &folder, before);
}

#[test]
fn a_broken_snapshot_costs_windows_only() {
    let (models, folder) = (Pair::start(), Folder::new());
    with_windows(&models, &folder).terminate();
    folder.write("state/windows.snapshot", "not a snapshot");
    let instance = Instance::start(&folder, &models.yaml("", ""));
    assert!(instance.log().contains("windows start empty"), "{}", instance.log());
    assert_eq!(instance.model()["reference"]["state"], "learning");
    rows::send(&mut instance.client(), None, 10, ordinary);
}

#[test]
fn a_rollback_outlives_the_process() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    let reason = json!({ "reason": "before the restart" });
    assert_eq!(instance.post("/api/v1/models/fraud/rollback", &reason).status(), 200);
    assert_eq!(
        instance.post("/api/v1/models/fraud/auto-rollback", &json!({ "enabled": false })).status(),
        200
    );
    instance.kill();
    let instance = Instance::start(&folder, &models.yaml("", ""));
    assert_eq!(instance.active(), "v1");
    assert_eq!(answered_by(&instance), "v1");
    assert_eq!(instance.model()["auto_rollback"], false);
    assert_eq!(instance.events("rollback")[0]["reason"], "before the restart");
    assert_eq!(instance.metrics().value("driftline_active_version", &[("version", "v1")]), Some(1.0));
    assert_eq!(instance.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
    instance.terminate();
    let instance = Instance::start(&folder, &models.yaml("", ""));
    assert_eq!(answered_by(&instance), "v2");
}

#[test]
fn a_new_active_version_in_the_file_ends_a_rollback() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    assert_eq!(instance.post("/api/v1/models/fraud/rollback", &json!({})).status(), 200);
    instance.terminate();
    let v3 = format!("versions: {{ v3: {}, ", models.v2.url());
    let yaml = models.yaml("", "").replace("versions: { ", &v3).replace("active: v2", "active: v3");
    let instance = Instance::start(&folder, &yaml);
    assert_eq!(instance.active(), "v3");
    assert_eq!(answered_by(&instance), "v2", "v3 is the same server");
}

#[track_caller]
fn answered_by(instance: &Instance) -> String {
    let answer = rows::infer(&mut instance.client(), None, &[ordinary(0)]);
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.header("x-model").unwrap().to_owned()
}

#[test]
fn two_instances_in_one_folder_refuse_each_other() {
    let (models, folder) = (Pair::start(), Folder::new());
    let mut first = Instance::start(&folder, &models.yaml("", ""));
    let second = run(folder.path(), &["run"]).expect(2);
    assert!(second.stderr.contains("`state`"), "it names the folder: {}", second.stderr);
    assert!(first.is_running());
    assert_eq!(answered_by(&first), "v2");
    first.kill();
    let third = Instance::start(&folder, &models.yaml("", ""));
    assert_eq!(answered_by(&third), "v2");
}

/// A rollback is asked for and the process killed at once, at another instant each time. Afterwards it has happened or
/// it has not, and status, requests and journal agree.
#[test]
fn killed_while_rolling_back_it_is_one_or_the_other() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", "");
    let mut moved = 0;
    for round in 0_u64..8 {
        let instance = Instance::start(&folder, &yaml);
        assert_eq!(instance.active(), "v2");
        let before = instance.events("rollback").len();
        let admin = instance.admin;
        let asking = std::thread::spawn(move || {
            // The answer may never come: the process dies meanwhile.
            let call = Client::new(admin).try_send("POST", "/api/v1/models/fraud/rollback", &[], b"{}");
            call.is_ok_and(|answer| answer.status() == 200)
        });
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..2_500) + round * 100));
        instance.kill();
        let promised = asking.join().unwrap();

        let instance = Instance::start(&folder, &yaml);
        // A decision that was journaled and not confirmed is carried out at the start.
        await_until("nothing is left half-way", DEADLINE, || instance.model()["pending_decision"].is_null());
        let active = instance.active();
        let decisions = instance.events("rollback").len() - before;
        assert_eq!(answered_by(&instance), active, "round {round}");
        match active.as_str() {
            "v1" => assert_eq!(decisions, 1, "round {round}"),
            "v2" => assert!(
                decisions == 0 && !promised,
                "round {round}: {decisions} decisions, promised: {promised}"
            ),
            other => panic!("round {round}: {other}"),
        }
        if active == "v1" {
            moved += 1;
            assert_eq!(instance.model()["last_decision"]["state"], "confirmed");
            assert_eq!(instance.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
        }
        instance.terminate();
    }
    eprintln!("{moved} of 8 rollbacks had been journaled before the end");
}

#[test]
fn what_was_learned_outlives_sigkill() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    rows::send(&mut instance.client(), None, LEARN / 2, ordinary);
    await_until("half is learned", DEADLINE, || instance.model()["reference"]["rows"] == LEARN / 2);
    await_two_snapshots(&folder);
    instance.kill();
    let instance = Instance::start(&folder, &models.yaml("", ""));
    await_until("half is learned still", DEADLINE, || instance.model()["reference"]["rows"] == LEARN / 2);
    rows::send(&mut instance.client(), None, LEARN / 2, ordinary);
    instance.await_reference();
}

#[test]
fn an_alert_goes_on_counting_after_a_crash() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models
        .yaml("tenant: false", "")
        .replace("FeaturePSICritical: { for: 2s", "FeaturePSICritical: { for: 4s");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, None, WINDOW, shifted);
    await_until("the alert is pending", DEADLINE, || instance.alert_state("FeaturePSICritical") == 1.0);
    await_two_snapshots(&folder);
    instance.kill();
    let instance = Instance::start(&folder, &yaml);
    holds_for("without a request nothing fires", Duration::from_secs(5), || instance.active() == "v2");
    let _drip = Drip::start(&instance, &[None], shifted);
    await_until("it fires with the next requests", DEADLINE, || instance.active() == "v1");
    assert_eq!(instance.metrics().value("driftline_rollbacks_total", &[("trigger", "alert")]), Some(1.0));
    assert_eq!(answered_by(&instance), "v1");
}

#[test]
fn the_share_of_copies_outlives_the_process() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("shadow: { version: v1, percent: 5 }", "");
    let instance = Instance::start(&folder, &yaml);
    assert_eq!(instance.post("/api/v1/models/fraud/shadow", &json!({ "percent": 33 })).status(), 200);
    instance.kill();
    let instance = Instance::start(&folder, &yaml);
    assert_eq!(instance.metrics().value("driftline_shadow_percent", &[]), Some(33.0));
    instance.terminate();
    let instance = Instance::start(&folder, &yaml.replace("percent: 5", "percent: 7"));
    assert_eq!(
        instance.metrics().value("driftline_shadow_percent", &[]),
        Some(7.0),
        "a changed file counts again"
    );
}

#[test]
fn requests_under_way_are_answered_before_the_end() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance =
        Instance::start(&folder, &models.yaml("", "").replace("shutdown_grace: 2s", "shutdown_grace: 20s"));
    models.v2.set(|behaviour| behaviour.latency = Duration::from_secs(1));
    let address = instance.traffic;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || rows::infer(&mut Client::new(address), None, &[ordinary(0)]).status())
        })
        .collect();
    await_until("all are under way", DEADLINE, || models.v2.count() == 8);
    let (status, log) = instance.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert!(std::net::TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (models, folder) = (Pair::start(), Folder::new());
    let mut instance =
        Instance::start(&folder, &models.yaml("", "").replace("shutdown_grace: 2s", "shutdown_grace: 10m"));
    models.v2.set(|behaviour| behaviour.latency = Duration::from_secs(300));
    let address = instance.traffic;
    // Ends with the connection.
    let client = std::thread::spawn(move || Client::new(address).try_send("POST", "/", &[], b"{}").is_err());
    await_until("a request is under way", DEADLINE, || models.v2.count() == 1);
    instance.signal("TERM");
    await_until("it says what a second signal does", DEADLINE, || {
        instance.log().contains("once more to end at once")
    });
    assert!(instance.is_running());
    instance.signal("TERM");
    await_until("it has ended", DEADLINE, || !instance.is_running());
    assert!(client.join().unwrap(), "the request was broken off");
}
