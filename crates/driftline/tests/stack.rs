//! Belongs here: the files of `deploy/` with the servers they are for. Only addresses, folders and durations are changed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_some, await_until, driftline, repository, require};

/// From the first request to the rollback, on a machine that is busy with other tests.
pub(crate) const STORY: Duration = Duration::from_secs(240);

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running program; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A file of `deploy/` with some of its text replaced; each replacement must have something to replace.
#[track_caller]
pub(crate) fn shipped(file: &str, replaced: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(repository().join("deploy").join(file)).unwrap();
    for (old, new) in replaced {
        assert!(text.contains(old), "`{old}` is not in deploy/{file}");
        text = text.replace(old, new);
    }
    text
}

pub(crate) fn is_ready(address: SocketAddr, path: &str) -> bool {
    TcpStream::connect(address).is_ok()
        && Client::new(address).try_send("GET", path, &[], b"").is_ok_and(|answer| answer.status() == 200)
}

/// Takes Slack's messages.
#[derive(Debug)]
struct Slack {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Value>>>,
}

impl Slack {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, messages) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Value>>>::default());
        let seen = Arc::clone(&messages);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || take(stream, &seen));
            }
        });
        Self { address, messages }
    }

    fn said(&self, words: &str) -> bool {
        self.messages.lock().unwrap().iter().any(|message| message.to_string().contains(words))
    }
}

fn take(stream: TcpStream, seen: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut stream, mut line) = (stream, String::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        seen.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// Driftline between the example models and the example's clients, all as in the Compose stack.
pub(crate) struct Gateway {
    pub(crate) instance: Instance,
    _models: [Server; 2],
}

impl Gateway {
    pub(crate) fn start(folder: &Folder) -> Self {
        let here = folder.path().to_str().unwrap();
        let (v1, v2) = (free_address(), free_address());
        let model = |version: &str, address: SocketAddr| {
            let listen = address.to_string();
            let args = ["example", "model", "--version", version, "--listen", &listen];
            let server = Server::start(driftline(folder.path()).args(args));
            await_until("the model is ready", STORY, || is_ready(address, "/v2/health/ready"));
            server
        };
        let models = [model("v1", v1), model("v2", v2)];
        let yaml = shipped(
            "compose/driftline.yaml",
            &[
                ("0.0.0.0:8080", "127.0.0.1:0"),
                ("0.0.0.0:9464", "127.0.0.1:0"),
                ("model-v1:8000", &v1.to_string()),
                ("model-v2:8000", &v2.to_string()),
                ("/run/secrets", here),
                ("/var/lib/driftline", &format!("{here}/state")),
                ("/var/log/driftline", &format!("{here}/logs")),
            ],
        );
        folder.write("driftline-token", TOKEN);
        folder.write("privacy-key", "0123456789abcdef0123456789abcdef0123");
        folder.write("driftline.yaml", &yaml);
        Self { instance: Instance::with_args(folder, &["run"]), _models: models }
    }

    /// Winter's flights for some seconds, then July's.
    pub(crate) fn clients(&self, folder: &Folder, calm: &str) -> Server {
        let to = format!("http://{}", self.instance.traffic);
        let args = ["example", "traffic", "--to", &to, "--rps", "150", "--calm", calm, "--drift", "3600"];
        Server::start(driftline(folder.path()).args(args))
    }
}

pub(crate) struct Prometheus {
    address: SocketAddr,
    _server: Server,
}

impl Prometheus {
    /// With the stack's file; `more` are further addresses to replace in it.
    pub(crate) fn start(
        program: &Path,
        folder: &Folder,
        driftline: SocketAddr,
        alertmanager: SocketAddr,
        more: &[(&str, &str)],
    ) -> Self {
        let address = free_address();
        let [driftline, alertmanager, own] = [driftline, alertmanager, address].map(|to| format!("['{to}']"));
        let replaced = [
            ("_interval: 5s", "_interval: 1s"),
            ("[driftline:9464]", &*driftline),
            ("[alertmanager:9093]", &alertmanager),
            ("[localhost:9090]", &own),
        ];
        let config = shipped("prometheus/prometheus.yml", &[&replaced, more].concat());
        folder.write("prometheus.yml", &config);
        // Latency keeps its three minutes: on a busy machine it would be first.
        let rules = [("interval: 15s", "interval: 1s"), ("for: 2m", "for: 2s"), ("for: 5m", "for: 5s")];
        folder.write("driftline-rules.yml", &shipped("prometheus/driftline-rules.yml", &rules));
        folder.write(
            "driftline-recording.yml",
            &shipped("prometheus/driftline-recording.yml", &[("interval: 15s", "interval: 1s")]),
        );
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
        command.args([format!("--web.listen-address={address}"), "--rules.alert.resend-delay=1s".to_owned()]);
        let server = Server::start(&mut command);
        await_until("Prometheus is ready", DEADLINE, || is_ready(address, "/-/ready"));
        Self { address, _server: server }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = Client::new(self.address).send("GET", path, &[], b"");
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        answer.json()["data"].clone()
    }

    fn rules(&self) -> Vec<Value> {
        let data = self.get("/api/v1/rules");
        data["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }

    /// Series that a query gives, now or since an instant.
    pub(crate) fn series(&self, expr: &str, since: Option<u64>) -> usize {
        let query = utf8_percent_encode(expr, NON_ALPHANUMERIC);
        let path = match since {
            None => format!("/api/v1/query?query={query}"),
            Some(start) => {
                format!("/api/v1/query_range?query={query}&start={start}&end={}&step=5", unix_seconds())
            }
        };
        self.get(&path)["result"].as_array().map_or(0, Vec::len)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn start_alertmanager(
    program: &Path,
    folder: &Folder,
    address: SocketAddr,
    driftline: SocketAddr,
    slack: SocketAddr,
) -> Server {
    folder.write("slack-url", &format!("http://{slack}/services/x"));
    let config = shipped(
        "alertmanager/alertmanager.yml",
        &[
            ("/etc/alertmanager/secrets", folder.path().to_str().unwrap()),
            ("driftline:9464", &driftline.to_string()),
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_wait: 5s", "group_wait: 1s"),
            ("group_interval: 10s", "group_interval: 1s"),
        ],
    );
    folder.write("alertmanager.yml", &config);
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args([
        "--config.file=alertmanager.yml",
        "--storage.path=am",
        "--cluster.listen-address=",
    ]);
    command.arg(format!("--web.listen-address={address}"));
    let server = Server::start(&mut command);
    await_until("Alertmanager is ready", DEADLINE, || is_ready(address, "/-/ready"));
    server
}

#[test]
fn drift_fires_in_prometheus_and_alertmanager_has_driftline_roll_back() {
    let (Some(prometheus), Some(alertmanager)) = (require("prometheus"), require("prometheus-alertmanager"))
    else {
        return;
    };
    let folder = Folder::new();
    let (gateway, slack, alerts_to, start) =
        (Gateway::start(&folder), Slack::start(), free_address(), unix_seconds());
    let admin = gateway.instance.admin;
    let _alertmanager = start_alertmanager(&alertmanager, &folder, alerts_to, admin, slack.address);
    let prometheus = Prometheus::start(&prometheus, &folder, admin, alerts_to, &[]);
    let _clients = gateway.clients(&folder, "20");

    await_until("the targets are up", DEADLINE, || {
        ["driftline", "alertmanager", "prometheus"]
            .iter()
            .all(|job| prometheus.series(&format!("up{{job=\"{job}\"}} == 1"), None) == 1)
    });
    assert_eq!(gateway.instance.active(), "v2");
    // The embedded rule waits two minutes, as shipped; the exported one two seconds here, so that this is Alertmanager's doing.
    await_some("the drift rule fires", STORY, || {
        let alerts = prometheus.get("/api/v1/alerts")["alerts"].as_array().unwrap().clone();
        alerts
            .into_iter()
            .find(|alert| alert["labels"]["alertname"] == "FeaturePSICritical" && alert["state"] == "firing")
    });
    let fired = Instant::now();
    await_until("traffic is back on v1", DEADLINE, || gateway.instance.active() == "v1");
    assert!(fired.elapsed() < Duration::from_secs(90), "{:?}", fired.elapsed());
    let rollback = gateway.instance.events("rollback").pop().unwrap();
    assert!(rollback.to_string().contains("FeaturePSICritical"), "{rollback:#}");
    await_until("Slack is told", DEADLINE, || {
        slack.said("FeaturePSICritical on flights v2") && slack.said("#mlops")
    });
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
    every_panel_has_data(&prometheus, start);
}

/// Every query of the dashboard, with what Grafana would put in for its variables.
fn every_panel_has_data(prometheus: &Prometheus, start: u64) {
    let dashboard: Value = serde_json::from_str(&shipped("grafana/driftline.json", &[])).unwrap();
    let filled = |expr: &Value| {
        let mut expr = expr.as_str().unwrap().to_owned();
        for (name, value) in [
            ("$__rate_interval", "30s"),
            ("$model", "flights"),
            ("$version", ".*"),
            ("$tenant", "all"),
            ("$feature", ".*"),
        ] {
            expr = expr.replace(name, value);
        }
        expr
    };
    let mut asked: Vec<(String, Vec<String>, bool)> = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "logs") {
        let targets: Vec<&Value> = panel["targets"].as_array().into_iter().flatten().collect();
        let queries: Vec<String> = targets.iter().map(|target| filled(&target["expr"])).collect();
        if !queries.is_empty() {
            asked.push((panel["title"].to_string(), queries, targets[0]["range"] == true));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        asked.push((annotation["name"].to_string(), vec![filled(&annotation["expr"])], true));
    }
    assert!(asked.len() > 20, "{asked:?}");
    for (title, queries, is_range) in asked {
        // Where nothing was dropped there is no reason to show; another query of the panel has something.
        await_until(&format!("{title} has data: {queries:?}"), DEADLINE, || {
            let found: Vec<usize> =
                queries.iter().map(|expr| prometheus.series(expr, is_range.then_some(start))).collect();
            found.iter().any(|&n| n > 0)
        });
    }
}
