//! Belongs here: a real Prometheus that scrapes the program and judges by the exported rules.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::load::Drip;
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_some, await_until, require, run};

/// A running Prometheus; ended when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes `target` every second with the rules of `rules.yml`.
    fn start(program: &Path, folder: &Folder, target: SocketAddr) -> Self {
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [rules.yml]
scrape_configs:
  - job_name: driftline
    static_configs: [{{ targets: ['{target}'] }}]
"
        );
        folder.write("prometheus.yml", &config);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = std::process::Command::new(program);
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
        command.arg(format!("--web.listen-address={address}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let prometheus = Self { child, address };
        await_until("Prometheus is ready", DEADLINE, || {
            let answer = Client::new(address).try_send("GET", "/-/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status() == 200)
        });
        prometheus
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = Client::new(self.address).send("GET", path, &[], b"");
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()["data"].clone()
    }

    /// Alerts of a name, as Prometheus has them.
    fn alerts(&self, name: &str) -> Vec<Value> {
        let mut alerts = self.get("/api/v1/alerts")["alerts"].as_array().unwrap().clone();
        alerts.retain(|alert| alert["labels"]["alertname"] == name);
        alerts
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn prometheus_fires_when_the_embedded_rules_do() {
    let Some(program) = require("prometheus") else { return };
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("auto_rollback: false", ""));
    run(folder.path(), &["export", "prometheus-rules", "-c", "driftline.yaml", "-o", "exported.yml"])
        .expect(0);
    // Only how often it looks; what it looks for stays.
    folder.write("rules.yml", &folder.read("exported.yml").replace("interval: 15s", "interval: 1s"));
    let prometheus = Prometheus::start(&program, &folder, instance.admin);

    let mut client = instance.client();
    let tenants = ["a", "b", "c", "d"];
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    for tenant in tenants {
        rows::send(&mut client, Some(tenant), WINDOW, ordinary);
        instance.await_requests("v2", "prod", tenant, WINDOW);
    }
    await_until("a scrape without an error", DEADLINE, || {
        let target = prometheus.get("/api/v1/targets")["activeTargets"][0].clone();
        target["health"] == "up" && target["lastError"] == ""
    });

    rows::send(&mut client, Some("a"), WINDOW, shifted);
    await_until("Prometheus sees one drifted tenant", DEADLINE, || {
        let drifted =
            prometheus.get("/api/v1/query?query=psi%7Btenant%3D%22a%22%2Cfeature%3D%22amount%22%7D%3E0.3");
        drifted["result"].as_array().unwrap().len() == 1
    });
    assert!(prometheus.alerts("FeaturePSICritical").is_empty(), "one of four is no alert");
    for tenant in ["b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, shifted);
    }
    let _drip = Drip::start(&instance, &["a", "b", "c"].map(Some), shifted);
    await_until("the embedded rule fires", DEADLINE, || instance.alert_state("FeaturePSICritical") == 2.0);
    let alert = await_some("the exported rule fires", DEADLINE, || {
        prometheus.alerts("FeaturePSICritical").into_iter().find(|alert| alert["state"] == "firing")
    });
    let labels = &alert["labels"];
    assert_eq!(
        (&labels["model"], &labels["feature"], &labels["severity"]),
        (&"fraud".into(), &"amount".into(), &"critical".into())
    );
    assert_eq!(prometheus.alerts("FeaturePSICritical").len(), 1, "no other feature");
    let rules = prometheus.get("/api/v1/rules");
    for rule in
        rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}
