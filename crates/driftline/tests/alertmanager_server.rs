//! Belongs here: the whole way through real servers: Prometheus judges by the exported rules, Alertmanager sends its
//! webhook, traffic moves.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::fraud::{LEARN, Pair, WINDOW};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_until, require, run};

const TOKEN: &str = "0123456789abcdef0123";

/// A server that is ended when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &Path, folder: &Folder, args: &[&str]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(args).arg(format!("--web.listen-address={address}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, address };
        await_until("the server is ready", DEADLINE, || {
            let answer = Client::new(address).try_send("GET", "/-/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status() == 200)
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn from_prometheus_through_alertmanager_to_the_gateway() {
    let (Some(prometheus), Some(alertmanager)) = (require("prometheus"), require("prometheus-alertmanager"))
    else {
        return;
    };
    let (models, folder) = (Pair::start(), Folder::new());
    // Our own rules are far too slow to be the ones that move anything.
    let yaml = models
        .yaml("", &format!("auth: {{ token: {TOKEN} }}\n"))
        .replace("FeaturePSICritical: { for: 2s, keep_firing_for: 1s }", "FeaturePSICritical: { for: 1h }");
    let instance = Instance::start(&folder, &yaml);
    run(folder.path(), &["export", "prometheus-rules", "-c", "driftline.yaml", "-o", "exported.yml"])
        .expect(0);
    // The rules as they are exported, only sooner.
    let rules =
        folder.read("exported.yml").replace("interval: 15s", "interval: 1s").replace("for: 1h", "for: 1s");
    folder.write("rules.yml", &rules);
    folder.write(
        "alertmanager.yml",
        &format!(
            "route: {{ receiver: driftline, group_by: [alertname, model], group_wait: 0s, group_interval: 1s, repeat_interval: 3s }}
receivers:
  - name: driftline
    webhook_configs:
      - url: http://{}/api/v1/alertmanager
        send_resolved: true
        http_config: {{ authorization: {{ credentials: {TOKEN} }} }}
",
            instance.admin
        ),
    );
    let args = ["--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address="];
    let alertmanager = Server::start(&alertmanager, &folder, &args);
    folder.write(
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [rules.yml]
alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{}'] }}] }}] }}
scrape_configs:
  - job_name: driftline
    static_configs: [{{ targets: ['{}'] }}]
",
            alertmanager.address, instance.admin
        ),
    );
    let args = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--rules.alert.resend-delay=1s"];
    let _prometheus = Server::start(&prometheus, &folder, &args);

    let mut client = instance.client();
    rows::send(&mut client, None, LEARN, ordinary);
    instance.await_reference();
    for tenant in ["a", "b", "c"] {
        rows::send(&mut client, Some(tenant), WINDOW, ordinary);
        instance.await_requests("v2", "prod", tenant, WINDOW);
    }
    let changed = Instant::now();
    ["a", "b", "c"].iter().for_each(|tenant| rows::send(&mut client, Some(tenant), WINDOW, shifted));
    await_until("traffic moves", DEADLINE, || instance.active() == "v1");
    eprintln!("change to traffic moved, through Prometheus and Alertmanager: {:?}", changed.elapsed());
    let event = &instance.events("rollback")[0];
    assert_eq!(
        (event["actor"].as_str(), event["data"]["trigger"].as_str()),
        (Some("alertmanager"), Some("alert"))
    );
    assert_eq!(event["data"]["evidence"]["notification"]["labels"]["alertname"], "FeaturePSICritical");
    // It goes on firing, and Alertmanager repeats itself every three seconds: once is enough.
    let posts = || {
        let page = Client::new(alertmanager.address).send("GET", "/metrics", &[], b"");
        let line = "alertmanager_notifications_total{integration=\"webhook\"} ";
        let count = page.text().lines().find_map(|text| text.strip_prefix(line)?.parse::<f64>().ok());
        count.unwrap_or_default()
    };
    let before = posts();
    await_until("it is repeated twice", DEADLINE, || posts() >= before + 2.0);
    let page = instance.metrics();
    assert_eq!(page.sum("driftline_rollbacks_total", &[]), 1.0);
    let answered = page.sum("driftline_requests_total", &[("lane", "prod")]);
    assert_eq!(
        answered,
        page.sum("driftline_requests_total", &[("lane", "prod"), ("code", "200")]),
        "none is lost"
    );
}
