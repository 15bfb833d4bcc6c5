//! Belongs here: the shipped configurations of Loki and of Fluent Bit that feeds it, and the real programs where they are
//! installed. No package registry has either, so these tests are skipped without them, in CI as well.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_some, await_until, finish, if_installed, repository};

/// Keeps a program from outliving its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(repository().join("deploy").join(name)).unwrap()
}

/// The selector, priority and period of every rule of retention.
fn retention(text: &str) -> Vec<(String, u32, String)> {
    let rules = text.lines().filter_map(|line| line.trim().strip_prefix("- {selector: '"));
    let rule = |line: &str| {
        let (selector, rest) = line.split_once("', priority: ")?;
        let (priority, period) = rest.trim_end_matches('}').split_once(", period: ")?;
        Some((selector.to_owned(), priority.parse().ok()?, period.to_owned()))
    };
    rules.map(|line| rule(line).unwrap_or_else(|| panic!("no rule: {line}"))).collect()
}

#[test]
fn retention_goes_by_labels_that_are_written() {
    let loki = shipped("loki/loki.yaml");
    let expected = [("{lane=\"shadow\"}", 10, "720h"), ("{lane=\"prod\"}", 5, "2160h")];
    let expected: Vec<_> = expected
        .map(|(selector, priority, period)| (selector.to_owned(), priority, period.to_owned()))
        .into();
    assert_eq!(retention(&loki), expected);
    // Without these retention is off, or the program does not start.
    for needed in
        ["retention_enabled: true", "delete_request_store: filesystem", "period: 24h", "schema: v13"]
    {
        assert!(loki.contains(needed), "{needed}");
    }
    let fluent_bit = shipped("fluent-bit/fluent-bit.yaml");
    let labels = fluent_bit.lines().find_map(|line| line.trim().strip_prefix("labels: ")).unwrap();
    for label in ["lane=$lane", "model=$model", "version=$version"] {
        assert!(labels.split(", ").any(|one| one == label), "{label}: {labels}");
    }
    let removed = fluent_bit.lines().find_map(|line| line.trim().strip_prefix("remove_keys: ")).unwrap();
    assert_eq!(removed, "lane,model,version,request_id", "what is a label needs no place in the line");
}

/// The shipped configuration, for a test: free ports, and everything below `folder`.
///
/// The places that are replaced are counted whether Loki is installed or not.
pub(crate) fn configuration(folder: &Path, port: u16, grpc: u16) -> String {
    let text = shipped("loki/loki.yaml");
    for (place, count) in [("/loki", 4), ("3100", 1), ("9096", 1)] {
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        assert_eq!(lines.map(|line| line.matches(place).count()).sum::<usize>(), count, "{place}");
    }
    text.replace("/loki", &folder.display().to_string())
        .replace("3100", &port.to_string())
        .replace("9096", &grpc.to_string())
        .replace("0.0.0.0", "127.0.0.1")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_shipped_configuration_can_be_moved() {
    let text = configuration(Path::new("/elsewhere"), 1, 2);
    assert!(text.contains("http_listen_port: 1") && text.contains("working_directory: /elsewhere/compactor"));
}

#[test]
fn the_real_loki_takes_the_shipped_configuration() {
    let Some(program) = if_installed("loki") else { return };
    let file = repository().join("deploy/loki/loki.yaml");
    let outcome = finish(
        Command::new(program)
            .arg("-verify-config")
            .arg("-config.file")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn the_real_fluent_bit_takes_the_shipped_configuration() {
    let Some(program) = if_installed("fluent-bit") else { return };
    let file = repository().join("deploy/fluent-bit/fluent-bit.yaml");
    let outcome = finish(
        Command::new(program)
            .arg("--dry-run")
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn the_real_loki_gives_back_what_was_pushed_by_its_labels() {
    let Some(program) = if_installed("loki") else { return };
    let (models, folder, data) = (Pair::start(), Folder::new(), tempfile::tempdir().unwrap());
    let port = free_port();
    let file = data.path().join("loki.yaml");
    std::fs::write(&file, configuration(data.path(), port, free_port())).unwrap();
    let mut command = Command::new(program);
    command.arg("-config.file").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().unwrap());
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    await_until("loki listens", DEADLINE, || std::net::TcpStream::connect(address).is_ok());
    let logs = format!(
        "logs:\n  loki: {{ url: 'http://{address}', batch_every: 10ms, compression: gzip, labels: {{ env: test }} }}\n"
    );
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 100 }", &logs));
    let mut client = instance.client();
    for n in 0..20 {
        let body = json!({ "instances": [{ "amount": n, "email": "alice.canary@example.org" }] }).to_string();
        let fields = [("content-type", "application/json"), ("x-tenant-id", "acme")];
        client.send("POST", "/v1/models/fraud:predict", &fields, body.as_bytes());
    }
    let written = || {
        let labels = [("sink", "loki"), ("result", "written")];
        instance.metrics().value("driftline_log_records_total", &labels)
    };
    await_until("all is taken", DEADLINE, || written() == Some(40.0));
    for (lane, version) in [("prod", "v2"), ("shadow", "v1")] {
        // {lane="…",version="…",model="fraud",env="test"}
        let query = format!(
            "%7Blane%3D%22{lane}%22%2Cversion%3D%22{version}%22%2Cmodel%3D%22fraud%22%2Cenv%3D%22test%22%7D"
        );
        let path = format!("/loki/api/v1/query_range?query={query}&limit=100&since=1h");
        let streams = await_some("all can be asked for", DEADLINE, || {
            let answer = Client::new(address).send("GET", &path, &[], b"");
            let streams = answer.json()["data"]["result"].as_array().cloned().unwrap_or_default();
            let values = |stream: &Value| stream["values"].as_array().map_or(0, Vec::len);
            (streams.iter().map(values).sum::<usize>() == 20).then_some(streams)
        });
        let text = json!(streams).to_string();
        assert!(text.contains("sha256-") && !text.contains("alice"), "{text}");
        assert!(streams.iter().all(|stream| stream["stream"]["service_name"] == "fraud"), "{text}");
    }
}
