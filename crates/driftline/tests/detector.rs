//! Belongs here: the sequential detector of a running instance, from requests to the alert and back.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::instance::{Folder, Instance, collect};
use crate::support::load::Drip;
use crate::support::rows::{self, Row, ordinary, shifted};
use crate::support::{DEADLINE, await_some, await_until, driftline, holds_for, run};

fn detector(instance: &Instance) -> Value {
    instance.get("/api/v1/models/fraud/drift")["detector"].clone()
}

#[test]
fn a_drift_is_found_named_told_and_taken_note_of() {
    let (models, folder) = (Pair::start(), Folder::new());
    let rules = "    DriftDetected: { keep_firing_for: 1s }\n    LatencySpike:";
    // A window that these requests never fill: no PSI of it says anything.
    let yaml =
        models.yaml("", "").replace("    LatencySpike:", rules).replace("window: 200", "window: 100000");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    rows::send(&mut client, None, WINDOW, ordinary);
    await_until("the detector watches", DEADLINE, || detector(&instance)["state"] == "armed");
    assert_eq!(instance.alert_state("DriftDetected"), 0.0);

    rows::send(&mut client, None, 64, shifted);
    let drift = await_some("the drift is found", DEADLINE, || {
        let found = detector(&instance);
        (found["state"] == "drifted").then(|| found["drift"].clone())
    });
    let text = drift["text"].as_str().unwrap();
    assert!(text.contains("amount") && text.contains("requests ago"), "{drift:#}");
    assert!(drift["features"][0]["psi"].as_f64().unwrap() > 0.1, "{drift:#}");
    await_until("the alert fires", DEADLINE, || instance.alert_state("DriftDetected") == 2.0);
    let alerts = instance.get("/api/v1/alerts");
    let alert = alerts["alerts"].as_array().unwrap().iter().find(|a| a["alert"] == "DriftDetected").unwrap();
    assert_eq!((&alert["severity"], &alert["measure"]), (&"warning".into(), &"drift".into()));
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("amount"), "{alert:#}");
    let page = instance.metrics();
    let total = [("model", "fraud"), ("version", "v2"), ("lane", "prod"), ("tenant", "all")];
    assert_eq!(page.value("driftline_detector_state", &total), Some(2.0));
    assert_eq!(page.value("driftline_detector_alarms_total", &total), Some(1.0));
    assert!(page.value("driftline_detector_psi", &total).unwrap() > 0.1);
    assert_eq!(
        page.value("driftline_detector_arl0_requests", &total).map(|arl0| arl0 >= 10_000.0),
        Some(true)
    );
    let amount = [("feature", "amount"), ("reference", "baseline"), ("tenant", "all")];
    assert!(page.value("driftline_psi_debiased", &amount).unwrap() > 0.0);
    assert!(page.value("driftline_psi_p_value", &amount).unwrap() < 0.01);

    // A restart forgets nothing of it.
    instance.terminate();
    let instance = Instance::start(&folder, &yaml);
    await_until("the drift is known again", DEADLINE, || detector(&instance)["state"] == "drifted");
    assert_eq!(detector(&instance)["drift"]["features"][0]["feature"], drift["features"][0]["feature"]);

    let why = json!({ "reason": "the campaign is wanted", "actor": "ann" });
    assert_eq!(instance.post("/api/v1/models/fraud/detector/reset", &why).json()["reset"], true);
    await_until("it watches again", DEADLINE, || detector(&instance)["state"] == "armed");
    let events = instance.events("detector");
    assert!(events[0].to_string().contains("the campaign is wanted"), "{events:#?}");
    await_until("the alert is over", DEADLINE, || instance.alert_state("DriftDetected") == 0.0);
    let unknown = instance.post("/api/v1/models/other/detector/reset", &json!({}));
    assert_eq!(unknown.status(), 404);
}

#[test]
fn one_tenants_drift_is_its_own_and_is_no_drift_of_the_model() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", "").replace("window: 200", "window: 100000");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    let tenants = ["a", "b", "c", "d"];
    for tenant in tenants {
        rows::send(&mut client, Some(tenant), LEARN / tenants.len(), ordinary);
    }
    instance.await_reference();
    for tenant in tenants {
        rows::send(&mut client, Some(tenant), WINDOW, ordinary);
    }
    await_until("tenants have references of their own", DEADLINE, || {
        let told = instance.get("/api/v1/models/fraud/tenants");
        let rows = told["tenants"].as_array().unwrap();
        rows.len() == tenants.len() && rows.iter().all(|one| one["learning"].is_null())
    });
    rows::send(&mut client, Some("a"), WINDOW, shifted);
    let state = |tenant: &str| {
        instance.metrics().value("driftline_detector_state", &[("tenant", tenant), ("lane", "prod")])
    };
    await_until("a's drift is found", DEADLINE, || state("a") == Some(2.0));
    assert_eq!(state("b"), Some(1.0));
    let quiet = std::time::Duration::from_secs(2);
    holds_for("one of four is no alert", quiet, || instance.alert_state("DriftDetected") == 0.0);
    for tenant in ["b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, shifted);
    }
    let _drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("three are", DEADLINE, || instance.alert_state("DriftDetected") == 2.0);
}

/// Ordinary rows, but that amounts are 60 and above: a dozen are a quarter of the evidence that an alarm needs, two dozen
/// are fifty times as much.
fn large(n: usize) -> Row {
    Row { amount: 60.0 + (n * 37 % 40) as f64, ..ordinary(n) }
}

#[test]
fn what_no_replica_finds_alone_is_found_in_the_sum_of_their_counts() {
    let models = Pair::start();
    let folders = [Folder::new(), Folder::new()];
    let rows: String = (0..2_000).map(ordinary).map(|r| format!("{},{}\n", r.amount, r.country)).collect();
    let replicas = folders.each_ref().map(|folder| {
        folder.write("reference.csv", &format!("amount,country\n{rows}"));
        run(folder.path(), &["baseline", "reference.csv", "-o", "profile.json", "--unordered"]).expect(0);
        let yaml = models.yaml("", "").replace("baseline: {", "baseline: { file: profile.json,");
        Instance::start(folder, &yaml)
    });
    let mut clients = replicas.each_ref().map(Instance::client);
    for (replica, client) in replicas.iter().zip(&mut clients) {
        rows::send(client, None, WINDOW, ordinary);
        await_until("it watches", DEADLINE, || detector(replica)["state"] == "armed");
    }

    let urls = replicas.each_ref().map(|replica| format!("http://{}", replica.admin)).join(",");
    let mut child = driftline(folders[0].path()).args(["detect", "--merge", &urls]).spawn().unwrap();
    let said = collect(child.stdout.take().unwrap());
    let noted = collect(child.stderr.take().unwrap());
    await_until("the sum is watched", DEADLINE, || noted.so_far().contains("2 features of `fraud`"));
    for client in &mut clients {
        rows::send(client, None, 12, large);
    }
    let line =
        await_some("the sum has drifted", DEADLINE, || said.so_far().lines().next().map(str::to_owned));
    assert!(line.starts_with("row ") && line.contains("amount"), "{line}");
    for replica in &replicas {
        assert_eq!(detector(replica)["state"], "armed", "{:#}", detector(replica));
    }
    let sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(1), "{}", noted.whole());
}
