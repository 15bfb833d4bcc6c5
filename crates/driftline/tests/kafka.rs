//! Belongs here: Kafka, read and written, against a real broker.

use std::collections::BTreeSet;

use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::instance::{Folder, Instance};
use crate::support::kafka::{Broker, Sent};
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_until, repository, run};

const MEASURED: &str =
    "models:\n  fraud:\n    tenant: x-tenant-id\n    baseline: { learn: 200 }\n    window: 200\n";

/// Quick rebalances, and a quick look for brokers and topics that come.
const QUICK: &str = "      settings: { session.timeout.ms: 6000, heartbeat.interval.ms: 300, topic.metadata.refresh.interval.ms: 300, reconnect.backoff.max.ms: 300 }\n";

fn source(broker: &Broker, more: &str) -> String {
    format!(
        "{MEASURED}sources:\n  events:\n    version: v7\n    kafka:\n      brokers: ['{}']\n      topics: [scored]\n      group: driftline\n      start: earliest\n{more}{QUICK}",
        broker.address()
    )
}

/// The n-th inference: the reference, then a window whose amounts have moved.
fn record(n: usize) -> Sent {
    let amount = if n < 200 { (n * 37 % 100) as f64 } else { 80.0 + (n * 37 % 20) as f64 };
    let value = json!({
        "request_id": format!("r-{n}"), "latency_ms": 12.5,
        "features": { "amount": amount, "country": if n.is_multiple_of(2) { "DE" } else { "FR" } },
        "prediction": { "score": amount / 200.0 },
    });
    Sent { key: Some("acme".to_owned()), value: Some(value.to_string()), ..Sent::default() }
}

fn records(range: std::ops::Range<usize>) -> Vec<Sent> {
    range.map(record).collect()
}

fn brought(instance: &Instance, result: &str) -> f64 {
    let labels = [("source", "events"), ("kind", "kafka"), ("result", result)];
    instance.metrics().value("driftline_source_records_total", &labels).unwrap_or_default()
}

fn figure(instance: &Instance, name: &str) -> Option<f64> {
    instance.metrics().value(name, &[("source", "events")])
}

#[track_caller]
fn await_counted(instance: &Instance, n: usize) {
    await_until(&format!("{n} are counted"), DEADLINE, || brought(instance, "counted") >= n as f64);
}

fn end(instance: Instance) -> String {
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    log
}

#[test]
fn a_topic_is_measured_and_a_restart_goes_on_where_it_ended() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("scored", 1);
    broker.send("scored", "zstd", &records(0..300));
    let folder = Folder::new();
    let yaml = source(&broker, "      key: tenant\n");
    let instance = Instance::observe(&folder, &yaml);
    await_counted(&instance, 300);
    broker.send("scored", "none", &records(300..400));
    await_counted(&instance, 400);
    instance.await_requests("v7", "prod", "acme", 200);
    let psi = [("feature", "amount"), ("tenant", "acme"), ("version", "v7")];
    assert!(instance.metrics().value("psi", &psi) > Some(1.0));
    await_until("nothing is left", DEADLINE, || figure(&instance, "driftline_source_lag") == Some(0.0));
    assert_eq!(figure(&instance, "driftline_source_up"), Some(1.0));
    end(instance);
    broker.send("scored", "gzip", &records(400..450));
    let instance = Instance::observe(&folder, &yaml);
    await_counted(&instance, 50);
    await_until("nothing is left", DEADLINE, || figure(&instance, "driftline_source_lag") == Some(0.0));
    assert_eq!(brought(&instance, "counted"), 50.0, "nothing twice");
    end(instance);
}

#[test]
fn poison_costs_only_itself() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("scored", 1);
    let value = |text: &str| Sent { value: Some(text.to_owned()), ..Sent::default() };
    let huge = format!("{{\"features\":{{\"a\":\"{}\"}}}}", "x".repeat(2 << 20));
    let tombstone = Sent { key: Some("k".to_owned()), ..Sent::default() };
    let framed = "\0\0\0\0\u{1}{}";
    let deep = "[".repeat(100_000);
    let lane = Sent { headers: vec![("x-lane", "canary".to_owned())], ..record(0) };
    let poison = [value("not json"), value(&huge), tombstone, value(framed), value(&deep), value("{}"), lane];
    let mut all = records(0..3);
    all.extend(poison);
    all.extend(records(3..6));
    broker.send("scored", "lz4", &all);
    let folder = Folder::new();
    let instance = Instance::observe(&folder, &source(&broker, "      headers: { lane: x-lane }\n"));
    let reasons = ["malformed", "too_large", "empty", "refused", "counted"];
    let all = || reasons.map(|result| brought(&instance, result));
    await_until("all is settled", DEADLINE, || all().iter().sum::<f64>() == 13.0);
    let [malformed, too_large, empty, _, counted] = all();
    assert!(counted >= 6.0 && malformed >= 4.0, "{:?}", all());
    assert_eq!((too_large, empty), (1.0, 1.0));
    let log = end(instance);
    let told = log.lines().filter(|line| line.contains("a message was not counted")).count();
    assert!((1..=3).contains(&told), "each reason once a minute: {log}");
}

/// One of the two events of an inference, in binary mode.
fn event(kind: &str, id: usize, value: &Value) -> Sent {
    let kind = format!("org.kubeflow.serving.inference.{kind}");
    let at =
        format!("2026-01-31T12:00:{:02}.{}Z", id % 60, if kind.ends_with("request") { 100 } else { 125 });
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_type", kind),
        ("ce_id", format!("i-{id}")),
        ("ce_time", at),
        ("ce_source", "pod-1".to_owned()),
        ("ce_inferenceservicename", "fraud".to_owned()),
        ("ce_metadata", json!({ "X-Tenant-Id": ["acme"] }).to_string()),
        ("content-type", "application/json".to_owned()),
    ];
    Sent { key: Some(format!("i-{id}")), value: Some(value.to_string()), headers: headers.to_vec() }
}

#[test]
fn cloud_events_of_requests_and_answers_are_joined() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("scored", 2);
    let mut events = Vec::new();
    for n in 0..260 {
        let request = event("request", n, &json!({ "instances": [{ "amount": n, "country": "DE" }] }));
        let answer = event("response", n, &json!({ "predictions": [{ "score": 0.5 }] }));
        // In any order.
        events.extend(if n % 3 == 0 { [answer, request] } else { [request, answer] });
    }
    // Structured, twice, and one whose answer never comes.
    let data = json!({ "instances": [{ "amount": 7, "country": "DE" }] });
    let whole = |kind: &str, data: &Value| {
        json!({ "specversion": "1.0", "id": "s-1", "type": format!("org.kubeflow.serving.inference.{kind}"),
            "source": "x", "inferenceservicename": "fraud", "data": data })
        .to_string()
    };
    for (kind, data) in [("request", &data), ("response", &json!({ "predictions": [{ "score": 0.1 }] }))] {
        let content_type = "application/cloudevents+json; charset=UTF-8".to_owned();
        let headers = vec![("content-type", content_type)];
        events.push(Sent { key: None, value: Some(whole(kind, data)), headers });
    }
    events.push(events[0].clone());
    events.push(event("request", 1_000, &data));
    broker.send("scored", "snappy", &events);
    let folder = Folder::new();
    let more = "      format: cloudevents\n      join: 5s\n      headers: { tenant: x-tenant-id }\n";
    let instance = Instance::observe(&folder, &source(&broker, more));
    await_counted(&instance, 262);
    assert_eq!((brought(&instance, "counted"), brought(&instance, "duplicate")), (262.0, 1.0));
    let page = instance.metrics();
    let lane = [("model", "fraud"), ("version", "v7"), ("lane", "prod")];
    let answered = [&lane[..], &[("code", "200")]].concat();
    assert_eq!(page.value("driftline_requests_total", &answered), Some(261.0));
    await_until("its tenant is known", DEADLINE, || {
        instance.metrics().value("requests", &[("version", "v7"), ("tenant", "acme")]) > Some(0.0)
    });
    end(instance);
}

/// Records of many keys, over all partitions.
fn spread(range: std::ops::Range<usize>) -> Vec<Sent> {
    range.map(|n| Sent { key: Some(format!("k-{n}")), ..record(n) }).collect()
}

/// What both have counted.
fn both(first: &Instance, second: &Instance) -> f64 {
    brought(first, "counted") + brought(second, "counted")
}

/// How often an instance got partitions.
fn assignments(instance: &Instance) -> usize {
    instance.log().matches("assigned source=events partitions=[(").count()
}

/// The first ends, and the second has everything that comes then, or that comes when it `has_all` partitions.
fn take_over(broker: &Broker, first: Instance, second: Instance, mut made: usize, has_all: bool) {
    let (by_first, before) = (brought(&first, "counted"), assignments(&second));
    let log = end(first);
    if has_all {
        await_until("the second has all partitions", DEADLINE, || assignments(&second) > before);
    }
    broker.send("scored", "none", &spread(made..made + 100));
    made += 100;
    await_until("the second takes over", DEADLINE, || by_first + brought(&second, "counted") >= made as f64);
    assert_once(by_first + brought(&second, "counted"), made, &[log, second.log()]);
    end(second);
}

/// Nothing counts twice. But librdkafka's own cluster refuses commits while members join, which Kafka does not; then it is said.
#[track_caller]
fn assert_once(counted: f64, made: usize, logs: &[String]) {
    let is_said = logs.iter().any(|log| log.contains("positions could not be committed"));
    assert!(counted == made as f64 || is_said && counted > made as f64, "{counted} of {made}: {logs:?}");
}

#[test]
fn two_instances_share_a_topic_and_one_takes_over_from_the_other() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("scored", 4);
    // This broker leaves a cooperative rebalance hanging, and refuses commits during another one, which Kafka does not:
    // so the group is an eager one, and everything is committed while a member comes or goes.
    let yaml =
        source(&broker, "").replace("settings: {", "settings: { partition.assignment.strategy: range,");
    let folders = [Folder::new(), Folder::new()];
    let first = Instance::observe(&folders[0], &yaml);
    broker.send("scored", "none", &spread(0..400));
    await_counted(&first, 400);
    await_until("all is committed", DEADLINE, || broker.committed("scored", "driftline") == 400);
    let second = Instance::observe(&folders[1], &yaml);
    await_until("the second has partitions", DEADLINE, || assignments(&second) > 0);
    broker.send("scored", "none", &spread(400..1_000));
    await_until("all is counted", DEADLINE, || both(&first, &second) >= 1_000.0);
    assert_eq!(both(&first, &second), 1_000.0, "nothing twice");
    assert!(brought(&second, "counted") > 0.0, "it has a share");
    await_until("all is committed", DEADLINE, || broker.committed("scored", "driftline") == 1_000);
    take_over(&broker, first, second, 1_000, true);
}

#[test]
fn partitions_move_one_by_one_under_traffic_and_nothing_is_lost_or_repeated() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("scored", 4, 1).unwrap();
    let broker = Broker::at(&cluster.bootstrap_servers());
    let folders = [Folder::new(), Folder::new()];
    let yaml = source(&broker, "");
    let first = Instance::observe(&folders[0], &yaml);
    let mut made = 400;
    broker.send("scored", "none", &spread(0..made));
    await_counted(&first, made);
    let second = Instance::observe(&folders[1], &yaml);
    await_until("the second has a share", DEADLINE, || {
        broker.send("scored", "none", &spread(made..made + 20));
        made += 20;
        brought(&second, "counted") > 0.0
    });
    await_until("all is counted", DEADLINE, || both(&first, &second) >= made as f64);
    assert_once(both(&first, &second), made, &[first.log(), second.log()]);
    take_over(&broker, first, second, made, false);
}

#[test]
fn killed_it_loses_nothing_and_repeats_at_most_what_was_not_committed() {
    // librdkafka's own cluster: the broker of the other tests does not notice that a member has died.
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("scored", 2, 1).unwrap();
    let broker = Broker::at(&cluster.bootstrap_servers());
    broker.send("scored", "none", &records(0..5_000));
    let folder = Folder::new();
    let instance = Instance::observe(&folder, &source(&broker, ""));
    await_counted(&instance, 500);
    instance.kill();
    let left = 6_000.0 - broker.committed("scored", "driftline") as f64;
    broker.send("scored", "none", &records(5_000..6_000));
    let instance = Instance::observe(&folder, &source(&broker, ""));
    await_until(&format!("{left} are counted"), DEADLINE, || brought(&instance, "counted") >= left);
    await_until("nothing is left", DEADLINE, || figure(&instance, "driftline_source_lag") == Some(0.0));
    assert_eq!(brought(&instance, "counted"), left, "from the position on, nothing skipped, nothing twice");
    end(instance);
}

#[test]
fn a_broker_that_is_away_is_waited_for_at_the_start_and_later() {
    let Some(mut broker) = Broker::prepare() else { return };
    let folder = Folder::new();
    let instance = Instance::observe(&folder, &source(&broker, ""));
    await_until("it says that it waits", DEADLINE, || instance.log().contains("the brokers cannot be read"));
    assert_eq!(figure(&instance, "driftline_source_up"), Some(0.0));
    assert_eq!(instance.call("GET", "/readyz", &[], b"").status(), 200);
    broker.up();
    broker.topic("scored", 1);
    broker.send("scored", "none", &records(0..50));
    await_counted(&instance, 50);
    await_until("it is up", DEADLINE, || figure(&instance, "driftline_source_up") == Some(1.0));
    broker.down();
    await_until("it is down", DEADLINE, || figure(&instance, "driftline_source_up") == Some(0.0));
    broker.up();
    broker.send("scored", "none", &records(50..80));
    await_counted(&instance, 80);
    assert!(figure(&instance, "driftline_source_errors_total") > Some(0.0));
    end(instance);
}

fn log_metric(instance: &Instance, result: &str) -> f64 {
    let labels = [("sink", "kafka"), ("result", result)];
    instance.metrics().value("driftline_log_records_total", &labels).unwrap_or_default()
}

fn with_log(broker: &Broker, more: &str) -> String {
    format!(
        "logs:\n{more}  kafka:\n    brokers: ['{}']\n    topic: scored\n    batch_every: 10ms\n    settings: {{ reconnect.backoff.max.ms: 300 }}\n",
        broker.address()
    )
}

#[test]
fn the_inference_log_goes_through_kafka_and_is_measured_again() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("scored", 3);
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("shadow: { version: v1, percent: 100 }", &with_log(&broker, ""));
    let gateway = Instance::start(&folder, &yaml);
    let mut client = gateway.client();
    for n in 0..60 {
        assert_eq!(rows::infer(&mut client, Some("acme"), &[ordinary(n)]).status(), 200);
    }
    await_until("all is written", DEADLINE, || log_metric(&gateway, "written") == 120.0);
    let stored = broker.stored("scored");
    let ids: BTreeSet<_> = stored.iter().map(|(key, _)| key.clone().unwrap()).collect();
    assert_eq!((stored.len(), ids.len()), (120, 60), "a request and its copy have one key");
    for (key, value) in &stored {
        let record: Value = serde_json::from_str(value).unwrap();
        assert_eq!(record["request_id"].as_str(), key.as_deref());
        assert_eq!((&record["model"], &record["tenant"]), (&json!("fraud"), &json!("acme")));
    }
    end(gateway);
    let folder = Folder::new();
    let instance = Instance::observe(&folder, &source(&broker, ""));
    await_counted(&instance, 120);
    let page = instance.metrics();
    for (version, lane) in [("v2", "prod"), ("v1", "shadow")] {
        let labels = [("version", version), ("lane", lane), ("code", "200")];
        assert_eq!(page.value("driftline_requests_total", &labels), Some(60.0), "{labels:?}");
    }
    end(instance);
}

#[test]
fn a_log_whose_broker_is_down_costs_requests_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    broker.topic("scored", 1);
    broker.down();
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("", &with_log(&broker, "  lanes: [prod]\n  queue: 50\n"));
    let gateway = Instance::start(&folder, &yaml);
    let mut client = gateway.client();
    for n in 0..200 {
        assert_eq!(rows::infer(&mut client, Some("acme"), &[ordinary(n)]).status(), 200);
    }
    await_until("what does not fit is dropped", DEADLINE, || log_metric(&gateway, "dropped") == 150.0);
    assert_eq!(gateway.metrics().value("driftline_log_up", &[("sink", "kafka")]), Some(0.0));
    broker.up();
    await_until("the rest arrives", DEADLINE, || log_metric(&gateway, "written") == 50.0);
    assert_eq!(broker.stored("scored").len(), 50);
    end(gateway);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_and_no_password_is() {
    let folder = Folder::new();
    let example = std::fs::read_to_string(repository().join("examples/kafka.yaml")).unwrap();
    folder.write("driftline.yaml", &example);
    folder.write("kafka-password", "hunter2hunter2\n");
    let outcome = run(folder.path(), &["check"]).expect(0);
    assert!(!outcome.stdout.contains("hunter2") && !outcome.stderr.contains("hunter2"));
    let bad = "models: { fraud: {} }\nsources:\n  a:\n    kafka:\n      brokers: ['http://x']\n      topics: ['a b']\n      group: g\n      sasl: { username: u, password: hunter2hunter2, mechanism: scram-sha-256 }\n      tls: {}\n      settings: { group.id: x, no.such: 1, session.timeout.ms: soon, sasl.password: hunter2hunter2 }\n";
    folder.write("driftline.yaml", bad);
    let outcome = run(folder.path(), &["check"]).expect(2);
    for said in [
        "host:port",
        "expected a topic",
        "`group.id`",
        "`no.such`",
        "`session.timeout.ms`",
        "`sasl.password`",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
    if !cfg!(feature = "kafka-tls") {
        assert!(
            outcome.stderr.contains("no TLS for Kafka") && outcome.stderr.contains("no SCRAM"),
            "{}",
            outcome.stderr
        );
    }
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
}
