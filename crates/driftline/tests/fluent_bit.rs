//! Belongs here: what Fluent Bit sends, over HTTP and by its forward protocol, byte for byte as version 5.1 does. The program itself is in
//! no registry; its bytes were recorded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::support::http::Message;
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_some, await_until, repository};

const RECEIVER: &str = "/api/v1/fluentbit";
const LEARN: usize = 200;
const ALL: usize = 2 * LEARN;

/// 2026-11-22T19:47:00Z, the seconds of every record.
const SECONDS: u32 = 1_795_376_820;

const MEASURED: &str =
    "models:\n  fraud:\n    tenant: x-tenant-id\n    baseline: { learn: 200 }\n    window: 200\n";

/// The n-th inference: the reference, then a window whose amounts have moved.
fn record(n: usize) -> Value {
    let amount = if n < LEARN { (n * 37 % 100) as f64 } else { 80.0 + (n * 37 % 20) as f64 };
    let stadt = if n.is_multiple_of(2) { "Köln" } else { "Paris" };
    json!({
        "model": "fraud", "version": "v7", "tenant": "acme", "latency_ms": 12.5,
        "features": { "amount": amount, "stadt": stadt, "vip": n.is_multiple_of(3) },
        "prediction": { "score": amount / 200.0 },
    })
}

fn records() -> impl Iterator<Item = Value> {
    (0..ALL).map(record)
}

/// As `format: json` writes a record: `date` first, what is not ASCII escaped.
pub(crate) fn dated(record: &Value) -> String {
    let text = record.to_string().replace('ö', "\\u00f6");
    format!("{{\"date\":{SECONDS}.123,{}", &text[1..])
}

/// msgpack as Fluent Bit writes it: its own lengths where they matter, the shortest elsewhere.
fn pack(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => {
            out.push(0xcb);
            out.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::String(text) => pack_text(text, out),
        Value::Array(items) => {
            out.push(0xdd);
            out.extend((items.len() as u32).to_be_bytes());
            items.iter().for_each(|item| pack(item, out));
        }
        Value::Object(members) => {
            out.push(0xdf);
            out.extend((members.len() as u32).to_be_bytes());
            for (key, value) in members {
                pack_text(key, out);
                pack(value, out);
            }
        }
    }
}

fn pack_text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length => out.extend([0xd9, u8::try_from(length).unwrap()]),
    }
    out.extend(text.as_bytes());
}

/// `[[EventTime, {}], record]`.
pub(crate) fn entry(record: &Value) -> Vec<u8> {
    let mut out = vec![0x92, 0x92, 0xd7, 0x00];
    out.extend(SECONDS.to_be_bytes());
    out.extend(123_000_000_u32.to_be_bytes());
    out.extend([0xdf, 0, 0, 0, 0]);
    pack(record, &mut out);
    out
}

/// `[seconds, record]`, of `retain_metadata_in_forward_mode false` and `time_as_integer true`.
fn plain_entry(record: &Value) -> Vec<u8> {
    let mut out = vec![0xdd, 0, 0, 0, 2, 0xce];
    out.extend(SECONDS.to_be_bytes());
    pack(record, &mut out);
    out
}

/// `[tag, [entry, …], {"chunk": id, "size": n, "fluent_signal": 0}]`.
pub(crate) fn forwarded(entries: &[Vec<u8>], chunk: &str) -> Vec<u8> {
    let mut out = vec![0x93];
    pack_text("pred.app", &mut out);
    out.push(0xdc);
    out.extend(u16::try_from(entries.len()).unwrap().to_be_bytes());
    out.extend(entries.concat());
    out.push(0x83);
    pack_text("chunk", &mut out);
    pack_text(chunk, &mut out);
    pack_text("size", &mut out);
    out.push(0xcd);
    out.extend(u16::try_from(entries.len()).unwrap().to_be_bytes());
    pack_text("fluent_signal", &mut out);
    out.push(0x00);
    out
}

fn observe(folder: &Folder, rest: &str) -> Instance {
    Instance::observe(folder, &format!("{MEASURED}{rest}"))
}

/// Posted as Fluent Bit's `http` output does.
pub(crate) fn post(instance: &Instance, content_type: &str, more: &[(&str, &str)], body: &[u8]) -> Message {
    let fields = [("content-type", content_type), ("user-agent", "Fluent-Bit"), ("fluent-tag", "pred.app")];
    instance.call("POST", RECEIVER, &[&fields[..], more].concat(), body)
}

/// Every drift series by its labels once this process has counted so many.
fn readings(instance: &Instance, rows: usize) -> BTreeMap<String, f64> {
    await_until("all is counted", DEADLINE, || instance.model()["rows"] == rows);
    instance.await_requests("v7", "prod", "acme", LEARN);
    let page = instance.metrics();
    let wanted = ["psi", "js_divergence", "requests", "inference_latency_count"];
    let readings: BTreeMap<String, f64> = page
        .samples
        .iter()
        .filter(|sample| wanted.contains(&&*sample.name))
        .map(|sample| (format!("{}{:?}", sample.name, sample.labels), sample.value))
        .collect();
    let psi = page.value("psi", &[("feature", "amount"), ("tenant", "acme")]);
    assert!(psi > Some(1.0), "the window has drifted: {psi:?}");
    readings
}

/// What `POST /api/v1/observe` makes of the same inferences.
fn expected() -> BTreeMap<String, f64> {
    let folder = Folder::new();
    let instance = observe(&folder, "");
    let answer = instance.post("/api/v1/observe", &records().collect());
    assert_eq!(answer.json()["accepted"], ALL, "{answer:?}");
    readings(&instance, ALL)
}

fn brought(instance: &Instance, result: &str) -> f64 {
    instance.metrics().sum("driftline_source_records_total", &[("result", result)])
}

#[test]
fn every_format_over_http_gives_the_readings_of_observe() {
    let expected = expected();
    let dated: Vec<String> = records().map(|record| dated(&record)).collect();
    let tailed: Vec<String> =
        records().map(|line| json!({ "date": SECONDS, "log": line.to_string() }).to_string()).collect();
    let packed: Vec<u8> = records().flat_map(|record| entry(&record)).collect();
    let mixed: Vec<u8> = records()
        .enumerate()
        .flat_map(|(n, record)| if n % 2 == 0 { entry(&record) } else { plain_entry(&record) })
        .collect();
    let bodies: [(&str, Vec<u8>); 6] = [
        ("application/json", format!("[{}]", dated.join(",")).into_bytes()),
        ("application/x-ndjson", format!("{}\n", dated.join("\n")).into_bytes()),
        ("application/json", dated.concat().into_bytes()),
        ("application/json", format!("[{}]", tailed.join(",")).into_bytes()),
        ("application/msgpack", packed),
        ("application/msgpack", mixed),
    ];
    for (n, (content_type, body)) in bodies.iter().enumerate() {
        let folder = Folder::new();
        let instance = observe(&folder, "");
        let answer = post(&instance, content_type, &[], body);
        assert_eq!(answer.status(), 200, "{n}: {answer:?}");
        assert_eq!(answer.json(), json!({ "accepted": ALL, "rejected": 0, "problems": [] }), "{n}");
        assert_eq!(readings(&instance, ALL), expected, "{n}");
        assert_eq!(brought(&instance, "counted"), ALL as f64);
    }
}

#[test]
fn only_what_cannot_be_counted_is_refused_for_good() {
    let folder = Folder::new();
    let instance = observe(&folder, "");
    let half = br#"[{"features":{"a":1}},{"nothing":"of ours"},{"model":"unknown","features":{"a":1}}]"#;
    let answer = post(&instance, "application/json", &[], half);
    assert_eq!((answer.status(), answer.json()["accepted"].as_u64()), (200, Some(1)), "{answer:?}");
    assert_eq!(answer.json()["rejected"], 2, "{answer:?}");
    assert_eq!(answer.json()["problems"][1]["record"], 3, "{answer:?}");
    let too_long = vec![b' '; (16 << 20) + 1];
    for (content_type, encoding, body, status) in [
        ("application/json", "", &b"[broken"[..], 400),
        ("application/json", "", br#"[{"nothing":"of ours"}]"#, 400),
        ("application/msgpack", "", b"\xc1", 400),
        ("application/json", "gzip", b"not gzip", 400),
        ("application/json", "br", b"[]", 415),
        ("text/plain", "", b"[]", 415),
        ("application/json", "", &too_long, 413),
        ("application/json", "", b"[]", 200),
    ] {
        let encoding: &[(&str, &str)] =
            if encoding.is_empty() { &[] } else { &[("content-encoding", encoding)] };
        let answer = post(&instance, content_type, encoding, body);
        assert_eq!(answer.status(), status, "{content_type} {answer:?}");
        if status != 200 {
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("Fluent Bit drops"), "{message}");
        }
    }
    let unknown = instance.call("POST", "/api/v1/fluentbit?model=none", &[], b"[]");
    assert_eq!(unknown.status(), 404, "{unknown:?}");
    assert_eq!((brought(&instance, "counted"), brought(&instance, "refused")), (1.0, 1.0));
    assert_eq!(brought(&instance, "too_large"), 1.0);
    let log = instance.log();
    assert!(log.contains("pred.app") && log.contains("from Fluent Bit was not counted"), "{log}");
    assert!(!log.contains("of ours"), "values stay out of the log: {log}");
}

#[test]
fn the_token_comes_as_a_header_or_as_a_password() {
    let folder = Folder::new();
    let instance = observe(&folder, "auth: { token: 0123456789abcdef }\n");
    let body = br#"[{"features":{"a":1}}]"#;
    for (value, status) in [
        ("Bearer 0123456789abcdef", 200),
        // fluent:0123456789abcdef
        ("Basic Zmx1ZW50OjAxMjM0NTY3ODlhYmNkZWY=", 200),
        ("Basic Zmx1ZW50Ondyb25n", 401),
        ("Bearer wrong", 401),
    ] {
        let answer = post(&instance, "application/json", &[("authorization", value)], body);
        assert_eq!(answer.status(), status, "{value}: {answer:?}");
    }
}

/// Where the source listens, from its log.
pub(crate) fn forward_address(instance: &Instance) -> SocketAddr {
    await_some("the source listens", DEADLINE, || {
        let log = instance.log();
        let line = log.lines().find(|line| line.contains("takes the forward protocol"))?;
        line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
    })
}

/// Sends a chunk and waits for its acknowledgement.
pub(crate) fn send_chunk(stream: &mut TcpStream, chunk: &str, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut expected = vec![0x81];
    pack_text("ack", &mut expected);
    pack_text(chunk, &mut expected);
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn chunks_of_the_forward_protocol_give_the_readings_of_observe_and_survive_a_restart() {
    let expected = expected();
    let folder = Folder::new();
    let source = "store: { path: state, snapshot_every: 100ms }\nsources: { fluent: { forward: { listen: '127.0.0.1:0' } } }\n";
    let records: Vec<Value> = records().collect();
    let chunks: Vec<(String, Vec<u8>)> = records
        .chunks(50)
        .enumerate()
        .map(|(n, records)| {
            let entries: Vec<Vec<u8>> = records
                .iter()
                .map(|record| if n % 2 == 0 { entry(record) } else { plain_entry(record) })
                .collect();
            let id = format!("{n:022}==");
            (id.clone(), forwarded(&entries, &id))
        })
        .collect();

    let instance = observe(&folder, source);
    let mut stream = connect(forward_address(&instance));
    for (id, message) in &chunks[..3] {
        send_chunk(&mut stream, id, message);
    }
    // An acknowledgement that was lost: the chunk comes again, on another connection.
    send_chunk(&mut connect(forward_address(&instance)), &chunks[1].0, &chunks[1].1);
    assert_eq!((brought(&instance, "counted"), brought(&instance, "duplicate")), (150.0, 50.0));
    // A chunk that is cut off is not counted and comes again after the restart.
    stream.write_all(&chunks[3].1[..1_000]).unwrap();
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");

    let instance = observe(&folder, source);
    let mut stream = connect(forward_address(&instance));
    for (id, message) in &chunks[3..] {
        send_chunk(&mut stream, id, message);
    }
    let mut found = readings(&instance, ALL - 150);
    // Counted since the start of the process, as Prometheus expects of a counter.
    let latency = |readings: &mut BTreeMap<String, f64>| {
        readings.retain(|name, _| !name.starts_with("inference_latency_count"));
    };
    let mut expected = expected;
    latency(&mut found);
    latency(&mut expected);
    assert_eq!(found, expected);
    assert_eq!(brought(&instance, "counted"), 250.0);
}

#[test]
fn a_hostile_client_holds_nobody_up() {
    let folder = Folder::new();
    let instance = observe(
        &folder,
        "sources: { fluent: { forward: { listen: '127.0.0.1:0', max_connections: 10 } } }\n",
    );
    let address = forward_address(&instance);
    let slow: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(&[0x92, 0xa1, b't', 0xc6, 0x00, 0x10, 0x00, 0x00, 1, 2, 3]).unwrap();
            stream
        })
        .collect();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xc1; 100], &[0xdd, 0xff, 0xff, 0xff, 0xff]] {
        let mut stream = connect(address);
        stream.write_all(garbage).unwrap();
        // Closed or reset, but never answered.
        assert!(!matches!(stream.read(&mut [0; 10]), Ok(1..)));
    }
    send_chunk(&mut connect(address), "id", &forwarded(&[entry(&record(1))], "id"));
    assert_eq!(brought(&instance, "counted"), 1.0);
    drop(slow);
    let errors = instance.metrics().value("driftline_source_errors_total", &[("source", "fluent")]);
    assert!(errors >= Some(3.0), "{errors:?}");
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn the_shipped_configuration_speaks_to_the_shipped_example() {
    let shipped = std::fs::read_to_string(repository().join("deploy/fluent-bit/fluent-bit.yaml")).unwrap();
    let example = std::fs::read_to_string(repository().join("examples/fluent-bit.yaml")).unwrap();
    for (theirs, ours) in
        [("port: 9464", "127.0.0.1:9464"), ("port: 24224", "127.0.0.1:24224"), ("model=fraud", "fraud:")]
    {
        assert!(shipped.contains(theirs) && example.contains(ours), "{theirs}");
    }
    assert!(shipped.contains(&format!("uri: {RECEIVER}?")), "{shipped}");
}
