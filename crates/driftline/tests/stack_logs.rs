//! Belongs here: the way of the inference log through the Compose stack: Driftline's files, Fluent Bit, Loki, the dashboard's
//! panel. The files of `deploy/` with only addresses and folders changed. No package registry has the two programs, so this is
//! skipped without them, in CI as well.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::loki::configuration;
use crate::stack::{Gateway, Prometheus, STORY, Server, free_address, is_ready, shipped};
use crate::support::http::Client;
use crate::support::instance::Folder;
use crate::support::{await_some, await_until, if_installed, repository, require};

/// Personal data in a request, which must not get beyond the gateway.
const PLANTED: [&str; 3] = ["alice.canary@example.org", "4111111111111111", "203.0.113.77"];

/// Requests with it.
const SENT: usize = 200;

fn start_loki(program: &Path, folder: &Folder) -> (Server, SocketAddr) {
    let (http, grpc) = (free_address(), free_address());
    let data = folder.path().join("loki");
    let file = folder.write("loki.yaml", &configuration(&data, http.port(), grpc.port()));
    let mut command = Command::new(program);
    command.arg("-config.file").arg(file).env("TMPDIR", folder.path());
    let server = Server::start(&mut command);
    await_until("Loki is ready", STORY, || is_ready(http, "/ready"));
    (server, http)
}

/// Fluent Bit with the stack's file, reading the log below `folder`.
fn start_fluent_bit(program: &Path, folder: &Folder, loki: SocketAddr) -> (Server, SocketAddr) {
    let own = free_address();
    let logs = folder.path().join("logs");
    // As the volume: its database lies beside the files, and is needed before the first of them.
    std::fs::create_dir_all(&logs).unwrap();
    let config = shipped(
        "compose/fluent-bit.yaml",
        &[
            ("/var/log/driftline", &logs.display().to_string()),
            ("http_listen: 0.0.0.0", "http_listen: 127.0.0.1"),
            ("http_port: 2020", &format!("http_port: {}", own.port())),
            ("host: loki", &format!("host: {}", loki.ip())),
            ("port: 3100", &format!("port: {}", loki.port())),
        ],
    );
    let file = folder.write("fluent-bit.yaml", &config);
    let server = Server::start(Command::new(program).arg("-c").arg(file));
    await_until("Fluent Bit is ready", STORY, || is_ready(own, "/api/v2/metrics/prometheus"));
    (server, own)
}

/// Requests with personal data in features, tenant and a header, from a client of its own.
fn ask_with_personal_data(gateway: &Gateway) {
    let [mail, card, address] = PLANTED;
    let input = |name: &str, datatype: &str, value: Value| json!({ "name": name, "datatype": datatype, "shape": [1], "data": [value] });
    let mut client = gateway.instance.client();
    for n in 0..SENT {
        let inputs = [
            input("distance", "FP64", json!(300 + n)),
            input("contact", "BYTES", json!(mail)),
            input("card", "BYTES", json!(card)),
        ];
        let body = json!({ "id": format!("canary-{n}"), "inputs": inputs }).to_string();
        let fields =
            [("content-type", "application/json"), ("x-tenant-id", mail), ("x-forwarded-for", address)];
        let answer = client.send("POST", "/v2/models/flights/infer", &fields, body.as_bytes());
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

/// What a query gives over the last hour.
fn streams(loki: SocketAddr, query: &str) -> Vec<Value> {
    let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
    let path = format!("/loki/api/v1/query_range?query={query}&limit=5000&since=1h");
    let answer = Client::new(loki).send("GET", &path, &[], b"");
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()["data"]["result"].as_array().cloned().unwrap_or_default()
}

fn lines(streams: &[Value]) -> usize {
    streams.iter().map(|stream| stream["values"].as_array().map_or(0, Vec::len)).sum()
}

/// The labels that Loki keeps an index of.
fn label_names(loki: SocketAddr) -> BTreeSet<String> {
    let answer = Client::new(loki).send("GET", "/loki/api/v1/labels?since=1h", &[], b"").json();
    let names = answer["data"].as_array().cloned().unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The query of the dashboard's panel with what Grafana puts in for its variables.
fn panel_query() -> String {
    let dashboard: Value = serde_json::from_str(&shipped("grafana/driftline.json", &[])).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let logs: Vec<&Value> = panels.iter().filter(|panel| panel["type"] == "logs").collect();
    assert_eq!(logs.len(), 1, "one panel shows the log");
    let query = logs[0]["targets"][0]["expr"].as_str().unwrap();
    query.replace("$model", "flights").replace("$version", ".*")
}

#[test]
fn the_panels_query_asks_for_labels_that_fluent_bit_sets() {
    let config = std::fs::read_to_string(repository().join("deploy/compose/fluent-bit.yaml")).unwrap();
    let labels = config.lines().find_map(|line| line.trim().strip_prefix("labels: ")).unwrap();
    let set: BTreeSet<&str> =
        labels.split(", ").filter_map(|one| one.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(set, BTreeSet::from(["job", "lane", "model", "service_name", "version"]));
    let query = panel_query();
    let selector = query.strip_prefix('{').and_then(|rest| rest.split_once('}')).unwrap().0;
    for matcher in selector.split(", ") {
        let name = matcher.split(['=', '~', '!']).next().unwrap();
        assert!(set.contains(name), "{name} of {query}");
    }
}

#[test]
fn records_arrive_in_loki_with_their_labels_and_without_personal_data() {
    let (Some(loki), Some(fluent_bit), Some(prometheus)) =
        (if_installed("loki"), if_installed("fluent-bit"), require("prometheus"))
    else {
        return;
    };
    let folder = Folder::new();
    let (_loki, loki) = start_loki(&loki, &folder);
    let gateway = Gateway::start(&folder);
    let (_fluent_bit, fluent_bit) = start_fluent_bit(&fluent_bit, &folder, loki);
    let targets = [("[loki:3100]", loki), ("[fluent-bit:2020]", fluent_bit)];
    let targets = targets.map(|(place, address)| (place, format!("['{address}']")));
    let targets: Vec<(&str, &str)> = targets.iter().map(|(place, address)| (*place, &**address)).collect();
    let prometheus =
        Prometheus::start(&prometheus, &folder, gateway.instance.admin, free_address(), &targets);
    ask_with_personal_data(&gateway);
    let _clients = gateway.clients(&folder, "3600");

    await_until("both are up for Prometheus", STORY, || {
        ["loki", "fluent-bit"]
            .iter()
            .all(|job| prometheus.series(&format!("up{{job=\"{job}\"}} == 1"), None) == 1)
    });
    for (lane, version) in [("prod", "v2"), ("shadow", "v1")] {
        let query =
            format!("{{job=\"driftline\", lane=\"{lane}\", model=\"flights\", version=\"{version}\"}}");
        let found = await_some(&format!("records of {lane}"), STORY, || {
            let found = streams(loki, &query);
            (lines(&found) >= 20).then_some(found)
        });
        for stream in &found {
            assert_eq!(stream["stream"]["service_name"], "flights", "{stream:#}");
            for value in stream["values"].as_array().unwrap() {
                let record: Value = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
                assert!(record["features"].is_object() && record["ts"].is_string(), "{record:#}");
                for label in ["lane", "model", "version", "request_id"] {
                    assert!(record[label].is_null(), "{label} is no part of the line: {record:#}");
                }
            }
        }
    }
    // Every request of the client with personal data has a record; none shows what was planted.
    let hashed = await_some("the records with personal data", STORY, || {
        let found = streams(loki, "{lane=\"prod\"} |= \"contact\"");
        (lines(&found) == SENT).then_some(found)
    });
    let everything = json!([hashed, streams(loki, "{job=\"driftline\"}")]).to_string();
    assert!(everything.contains("sha256-") || everything.contains("hmac-"), "{everything:.2000}");
    for planted in PLANTED {
        assert!(!everything.contains(planted), "{planted} is in Loki");
    }
    let labels = label_names(loki);
    for label in ["lane", "model", "version"] {
        assert!(labels.contains(label), "{labels:?}");
    }
    for label in ["request_id", "tenant"] {
        assert!(!labels.contains(label), "{label} would make a stream of each of its values: {labels:?}");
    }
    assert!(lines(&streams(loki, &panel_query())) > 0, "the dashboard's panel has lines");
    // 30 days for the shadow's, 90 for production's.
    let config = Client::new(loki).send("GET", "/config", &[], b"").text().to_owned();
    for needed in ["retention_enabled: true", "period: 30d", "period: 90d"] {
        assert!(config.contains(needed), "{needed}:\n{config}");
    }
}
