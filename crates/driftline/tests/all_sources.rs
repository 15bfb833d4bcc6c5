//! Belongs here: the promise that inferences give the same readings whichever way they come in. Every way is a row of
//! [`WAYS`].

mod kafka;

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fluent_bit::{connect, dated, entry, forward_address, forwarded, post, send_chunk};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::s3::S3;
use crate::support::{DEADLINE, await_some, await_until, driftline, repository};

/// Flights that the reference is learned from, and those after them: too few for references of the three tenants' own, which begin
/// when somebody looks.
const LEARN: usize = 800;
const AFTER: usize = 500;

const MEASURED: &str = "models:
  flights:
    tenant: x-tenant-id
    baseline: { learn: 800 }
    window: 200
";

/// Where the model finds everything in a [`document`].
const PATHS: &str = "    features:
      paths: { hour: $.in.hour, distance: $.in.distance, temp: $.in.temp, delay: $.in.delay, carrier: $.in.carrier }
    prediction: { score: $.out.score }
";

/// A way in.
struct Way {
    name: &'static str,
    /// Whether it brings answers as well.
    predictions: bool,
    /// Brings the flights to an instance.
    bring: fn(&Folder, &[Value]) -> Option<Brought>,
}

/// An instance, and what has to stay there as long as it: a pipe, a server.
struct Brought {
    instance: Instance,
    _stays: Box<dyn Any>,
}

impl From<Instance> for Brought {
    fn from(instance: Instance) -> Self {
        Self { instance, _stays: Box::new(()) }
    }
}

const WAYS: [Way; 17] = [
    Way { name: "stdin", predictions: true, bring: stdin },
    Way { name: "tail", predictions: true, bring: tail },
    Way { name: "tail, any JSON", predictions: true, bring: tail_json },
    Way { name: "data capture in a folder", predictions: true, bring: capture_folder },
    Way { name: "data capture in a bucket", predictions: true, bring: capture_bucket },
    Way { name: "POST /api/v1/observe", predictions: true, bring: observe_api },
    Way {
        name: "CloudEvents",
        predictions: true,
        bring: |folder, flights| Some(events(folder, flights, true)),
    },
    Way {
        name: "KServe's logger",
        predictions: true,
        bring: |folder, flights| Some(events(folder, flights, false)),
    },
    Way { name: "Fluent Bit, json", predictions: true, bring: fluent_json },
    Way { name: "Fluent Bit, json_lines", predictions: true, bring: fluent_lines },
    Way { name: "Fluent Bit, json_stream", predictions: true, bring: fluent_stream },
    Way { name: "Fluent Bit, msgpack", predictions: true, bring: fluent_msgpack },
    Way { name: "forward", predictions: true, bring: forward },
    Way { name: "copies of requests", predictions: false, bring: mirror },
    Way { name: "Kafka, records", predictions: true, bring: kafka::records },
    Way { name: "Kafka, any JSON", predictions: true, bring: kafka::json },
    Way { name: "Kafka, CloudEvents", predictions: true, bring: kafka::events },
];

#[test]
fn every_way_gives_the_readings_of_the_gateway() {
    let flights = flights();
    let expected = through_the_gateway(&flights);
    for Way { name, predictions, bring } in WAYS {
        let folder = Folder::new();
        let Some(Brought { instance, _stays }) = bring(&folder, &flights) else { continue };
        let mut expected = expected.clone();
        if !predictions {
            expected.retain(|labels, _| !labels.contains("\"prediction\""));
        }
        await_until(&format!("{name}: every flight is counted"), DEADLINE, || {
            instance.model()["rows"] == flights.len()
        });
        // Readings are made once in a while.
        let began = Instant::now();
        loop {
            let differences = differences(&readings(&instance), &expected);
            if differences.is_empty() {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(15),
                "{name}: {differences:#?}\n{}",
                instance.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What differs by more than 1e-12, with both values.
fn differences(
    found: &BTreeMap<String, f64>,
    expected: &BTreeMap<String, f64>,
) -> BTreeMap<String, (Option<f64>, Option<f64>)> {
    let labels = found.keys().chain(expected.keys());
    let both = labels.map(|label| (label.clone(), (found.get(label).copied(), expected.get(label).copied())));
    both.filter(|(_, (a, b))| !matches!((a, b), (Some(a), Some(b)) if (a - b).abs() <= 1e-12)).collect()
}

/// Every drift series and window of production, by labels.
fn readings(instance: &Instance) -> BTreeMap<String, f64> {
    let page = instance.metrics();
    let wanted = page.samples.iter().filter(|sample| {
        ["psi", "js_divergence", "requests"].contains(&&*sample.name) && sample.label("lane") == Some("prod")
    });
    wanted.map(|sample| (format!("{} {:?}", sample.name, sample.labels), sample.value)).collect()
}

/// Flights of the bundled data, as records of three tenants.
fn flights() -> Vec<Value> {
    let text = fs::read_to_string(repository().join("testdata/flights.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines.filter_map(|line| {
        let row: BTreeMap<&str, &str> = names.iter().copied().zip(line.split(',')).collect();
        let number = |name: &str| row[name].parse::<f64>().ok();
        let hour = number("hour")?;
        let [distance, temp, delay] = [number("distance")?, number("temp")?, number("dep_delay")?];
        Some(json!({
            "model": "flights", "version": "v2", "tenant": row["origin"],
            "features": {
                "hour": hour, "distance": distance, "temp": temp, "delay": delay, "carrier": row["carrier"],
            },
            // What the model of these tests answers.
            "prediction": { "score": (hour.rem_euclid(10.0) / 10.0) },
        }))
    });
    let rows: Vec<Value> = rows.collect();
    let (learned, after) = (&rows[..LEARN], &rows[rows.len() - AFTER..]);
    let mut flights = [learned, after].concat();
    // A way that has a source a tenant has to keep the order; it has to wait once a run only.
    flights.chunks_mut(100).for_each(|flights| flights.sort_by(|a, b| tenant(a).cmp(tenant(b))));
    flights
}

fn tenant(flight: &Value) -> &str {
    flight["tenant"].as_str().unwrap()
}

/// A request of KServe v2; the model of these tests scores its first number.
fn request(flight: &Value) -> Value {
    let input = |name: &str| {
        let value = &flight["features"][name];
        let datatype = if value.is_string() { "BYTES" } else { "FP64" };
        json!({ "name": name, "datatype": datatype, "shape": [1], "data": [value] })
    };
    let inputs = ["hour", "distance", "temp", "delay", "carrier"].map(input);
    json!({ "inputs": inputs })
}

fn answer(flight: &Value) -> Value {
    let score = &flight["prediction"]["score"];
    json!({ "outputs": [{ "name": "score", "datatype": "FP64", "shape": [1], "data": [score] }] })
}

fn through_the_gateway(flights: &[Value]) -> BTreeMap<String, f64> {
    let (model, folder) = (Model::start("v2"), Folder::new());
    let served = format!("{MEASURED}    versions: {{ v2: '{}' }}\n    active: v2\n", model.url());
    let instance = Instance::start(&folder, &served);
    let mut client = instance.client();
    for flight in flights {
        let fields = [("content-type", "application/json"), ("x-tenant-id", tenant(flight))];
        let body = request(flight).to_string();
        let answer = client.send("POST", "/v2/models/flights/infer", &fields, body.as_bytes());
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    await_until("every flight is counted", DEADLINE, || instance.model()["rows"] == flights.len());
    // Readings are made once in a while; they are those of the end when they do not change any more.
    let settled = await_some("the readings settle", DEADLINE, || {
        let readings = readings(&instance);
        let again = || self::readings(&instance) == readings;
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(2_500) {
            if !again() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(readings)
    });
    let windows = |tenant: &str| {
        settled
            .iter()
            .find(|(labels, _)| labels.starts_with("requests") && labels.contains(tenant))
            .map(|(_, n)| *n)
    };
    for tenant in ["\"all\"", "\"EWR\"", "\"JFK\"", "\"LGA\""] {
        assert!(windows(tenant) > Some(100.0), "{tenant}: {settled:?}");
    }
    assert!(
        settled.values().any(|value| *value > 0.2 && *value < 100.0),
        "something has drifted: {settled:?}"
    );
    settled
}

fn observe(folder: &Folder, sources: &str) -> Instance {
    Instance::observe(folder, &yaml(sources))
}

/// A model that is only measured.
fn yaml(sources: &str) -> String {
    format!("{MEASURED}    active: v2\n{sources}")
}

/// Lines of records.
fn lines(flights: &[Value]) -> String {
    flights.iter().map(|flight| format!("{flight}\n")).collect()
}

fn stdin(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    folder.write(
        "driftline.yaml",
        &format!("admin: 127.0.0.1:0\n{}", yaml("sources: { pipe: { stdin: {} } }\n")),
    );
    let mut command = driftline(folder.path());
    let mut instance = Instance::spawn(command.arg("observe").stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut stdin = instance.stdin();
    stdin.write_all(lines(flights).as_bytes()).unwrap();
    Some(Brought { instance, _stays: Box::new(stdin) })
}

fn tail(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    fs::write(folder.path().join("a.jsonl"), lines(flights)).unwrap();
    Some(observe(folder, "sources: { files: { tail: { paths: ['*.jsonl'] } } }\n").into())
}

fn tail_json(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    // A document says no tenant, so every tenant has a source of its own.
    let sources: String = flights
        .iter()
        .map(tenant)
        .collect::<std::collections::BTreeSet<_>>()
        .iter()
        .enumerate()
        .map(|(n, tenant)| {
            format!("  t{n}: {{ tenant: {tenant}, tail: {{ paths: ['{tenant}.jsonl'], poll: 10ms, format: json }} }}\n")
        })
        .collect();
    let instance = observe(folder, &format!("{PATHS}sources:\n{sources}"));
    // One after the other, run by run of a tenant: so the order stays.
    let mut counted = 0;
    for run in flights.chunk_by(|a, b| a["tenant"] == b["tenant"]) {
        let text: String = run.iter().map(|flight| format!("{}\n", document(flight))).collect();
        let path = folder.path().join(format!("{}.jsonl", tenant(&run[0])));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        counted += run.len();
        await_until("a run is counted", DEADLINE, || instance.model()["rows"] == counted);
    }
    Some(instance.into())
}

/// An inference in a form of its own, read by paths.
fn document(flight: &Value) -> Value {
    json!({ "in": flight["features"], "out": flight["prediction"] })
}

/// A call as SageMaker captures it.
fn captured(flight: &Value) -> Value {
    json!({
        "captureData": {
            "endpointInput": {
                "observedContentType": "application/json", "mode": "INPUT", "encoding": "JSON",
                "data": json!({ "instances": [flight["features"]] }).to_string(),
            },
            "endpointOutput": {
                "observedContentType": "application/json", "mode": "OUTPUT", "encoding": "JSON",
                "data": json!({ "predictions": [flight["prediction"]] }).to_string(),
            },
        },
        "eventMetadata": {
            "eventId": "1", "inferenceTime": "2026-01-31T12:00:00Z",
            "customAttributes": [format!("tenant={}", tenant(flight))],
        },
        "eventVersion": "0",
    })
}

/// Keys and contents of capture files.
fn captures(flights: &[Value]) -> impl Iterator<Item = (String, String)> {
    flights.chunks(120).enumerate().map(|(n, flights)| {
        let lines = flights.iter().map(|flight| format!("{}\n", captured(flight))).collect();
        (format!("flights/v2/2026/01/31/{:02}/{:02}-00-000-a.jsonl", n / 3, n % 3), lines)
    })
}

fn capture_folder(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    for (key, lines) in captures(flights) {
        let path = folder.path().join("captures").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines).unwrap();
    }
    Some(observe(folder, "sources: { captured: { data_capture: { folder: captures } } }\n").into())
}

fn capture_bucket(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let s3 = S3::start(&S3::installed()?, S3::free_address(), &[]);
    s3.put("/captures", "");
    captures(flights).for_each(|(key, lines)| s3.put(&format!("/captures/{key}"), &lines));
    let source = format!(
        "sources: {{ captured: {{ data_capture: {{ s3: 's3://captures', endpoint: 'http://{}' }} }} }}\n",
        s3.address
    );
    folder.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{}", yaml(&source)));
    let mut command = driftline(folder.path());
    let instance = Instance::spawn(S3::credentials(&mut command).arg("observe").stdout(Stdio::null()));
    Some(Brought { instance, _stays: Box::new(s3) })
}

fn observe_api(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let instance = observe(folder, "");
    for flights in flights.chunks(400) {
        let answer = instance.post("/api/v1/observe", &json!(flights));
        assert_eq!(answer.json()["accepted"], flights.len(), "{answer:?}");
    }
    Some(instance.into())
}

/// Requests and answers as events, in structured or in binary mode, which is that of KServe's logger.
fn events(folder: &Folder, flights: &[Value], structured: bool) -> Brought {
    let instance = observe(folder, "");
    let mut client = Client::new(instance.admin);
    for (n, flight) in flights.iter().enumerate() {
        for (kind, body) in [("request", request(flight)), ("response", answer(flight))] {
            let kind = format!("org.kubeflow.serving.inference.{kind}");
            let id = n.to_string();
            let metadata = json!({ "X-Tenant-Id": [tenant(flight)] }).to_string();
            let answer = if structured {
                let event = json!({
                    "specversion": "1.0", "id": id, "type": kind, "source": "pod", "inferenceservicename": "flights",
                    "time": "2026-01-31T12:00:00Z", "component": "predictor", "metadata": metadata, "data": body,
                });
                let fields = [("content-type", "application/cloudevents+json")];
                client.send("POST", "/api/v1/cloudevents", &fields, event.to_string().as_bytes())
            } else {
                let metadata = metadata.replace('"', "%22");
                let fields = [
                    ("ce-specversion", "1.0"),
                    ("ce-id", &*id),
                    ("ce-type", &kind),
                    ("ce-source", "http://localhost:9081/"),
                    ("ce-time", "2026-01-31T12:00:00Z"),
                    ("ce-inferenceservicename", "flights"),
                    ("ce-namespace", "default"),
                    ("ce-component", "predictor"),
                    ("ce-metadata", &metadata),
                    ("content-type", "application/json"),
                ];
                client.send("POST", "/api/v1/cloudevents", &fields, body.to_string().as_bytes())
            };
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
    }
    instance.into()
}

fn fluent(folder: &Folder, content_type: &str, bodies: impl Iterator<Item = Vec<u8>>) -> Option<Brought> {
    let instance = observe(folder, "");
    for body in bodies {
        let answer = post(&instance, content_type, &[], &body);
        assert_eq!((answer.status(), &answer.json()["rejected"]), (200, &json!(0)), "{answer:?}");
    }
    Some(instance.into())
}

/// Chunks of dated records, joined by a text.
fn dated_chunks<'a>(flights: &'a [Value], between: &'a str) -> impl Iterator<Item = String> + 'a {
    flights.chunks(300).map(move |flights| flights.iter().map(dated).collect::<Vec<_>>().join(between))
}

fn fluent_json(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    fluent(
        folder,
        "application/json",
        dated_chunks(flights, ",").map(|chunk| format!("[{chunk}]").into_bytes()),
    )
}

fn fluent_lines(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    fluent(folder, "application/x-ndjson", dated_chunks(flights, "\n").map(String::into_bytes))
}

fn fluent_stream(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    fluent(folder, "application/json", dated_chunks(flights, "").map(String::into_bytes))
}

fn fluent_msgpack(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let chunks = flights.chunks(300).map(|flights| flights.iter().flat_map(entry).collect());
    fluent(folder, "application/msgpack", chunks)
}

fn forward(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let instance = observe(folder, "sources: { fluent: { forward: { listen: '127.0.0.1:0' } } }\n");
    let mut stream = connect(forward_address(&instance));
    for (n, flights) in flights.chunks(50).enumerate() {
        let entries: Vec<Vec<u8>> = flights.iter().map(entry).collect();
        let id = format!("{n:022}==");
        send_chunk(&mut stream, &id, &forwarded(&entries, &id));
    }
    Some(instance.into())
}

fn mirror(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let instance = observe(folder, "");
    let mut client = Client::new(instance.admin);
    for flight in flights {
        let fields = [
            ("content-type", "application/json"),
            ("x-tenant-id", tenant(flight)),
            ("x-driftline-version", "v2"),
        ];
        let path = "/api/v1/mirror/flights/prod/v2/models/flights/infer";
        let body = request(flight).to_string();
        assert_eq!(client.send("POST", path, &fields, body.as_bytes()).status(), 204);
    }
    Some(instance.into())
}
