//! Belongs here: personal data in traffic must be found in nothing that leaves the process.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair};
use crate::support::http::Client;
use crate::support::instance::{FREE_PORTS, Folder, Instance, collect};
use crate::support::kafka::Broker;
use crate::support::loki::Loki;
use crate::support::{DEADLINE, await_until, driftline, run};

const EMAIL: &str = "alice.canary@example.org";
const PHONE: &str = "+4915112345678";
const CARD: &str = "4111111111111111";
/// Nineteen digits, of which an `f64` keeps sixteen.
const LONG_CARD: &str = "6212345678901234569";
const ADDRESS: &str = "203.0.113.77";
const TOKEN: &str = "CANARYTOKEN";
const NAMED_ASCII: &str = "CanaryName";
const NAMED: &str = "CanaryName Uenicode";

/// What must be found nowhere, in the forms in which it could leak.
fn planted() -> Vec<String> {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut forms: Vec<String> =
        [EMAIL, PHONE, CARD, LONG_CARD, ADDRESS, NAMED_ASCII, TOKEN].map(str::to_owned).into();
    forms.extend([EMAIL.replace('@', "%40"), EMAIL.replace('@', "\\u0040"), hex(EMAIL), hex(NAMED)]);
    // The long card as a float shows it, and the end of a phone number.
    forms.extend(["62123456789012", "6.21234567890123", "555-2671"].map(str::to_owned));
    forms
}

fn leaks(what: &str, bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    planted()
        .iter()
        .filter(|form| text.contains(&form.to_lowercase()))
        .map(|form| format!("{what}: {form}"))
        .collect()
}

/// One inference full of personal data.
fn ask(client: &mut Client, n: usize) {
    let body = json!({ "instances": [{
        "amount": n, "email": EMAIL, "note": format!("call {PHONE} or {ADDRESS}"), "card": 4_111_111_111_111_111_u64,
        "long": LONG_CARD.parse::<u64>().unwrap(), "phone": "(415) 555-2671",
        "person": { "name": NAMED }, EMAIL: 1.0,
    }] });
    let fields = [
        ("content-type", "application/json"),
        ("x-tenant-id", EMAIL),
        ("x-request-id", &*format!("{EMAIL}-{n}")),
        ("authorization", "Bearer CANARYTOKEN"),
        ("cookie", "who=CanaryName"),
        ("x-logged", EMAIL),
        ("x-logged", "Bearer CANARYTOKEN"),
        ("x-person", NAMED_ASCII),
        ("x-forwarded-for", ADDRESS),
    ];
    let path = format!("/v1/models/fraud:predict?who={EMAIL}");
    client.send("POST", &path, &fields, body.to_string().as_bytes());
    // What cannot be read holds it as well.
    client.send("POST", &path, &fields, format!("{{\"instances\": [{EMAIL} {CARD}").as_bytes());
}

/// Everything an instance shows, writes and keeps while and after it served personal data.
fn everything(privacy: &str) -> Vec<String> {
    let (models, folder, loki) = (Pair::start(), Folder::new(), Loki::start(&[]));
    let broker = Broker::start();
    let kafka = broker.as_ref().map(|broker| {
        broker.topic("log", 1);
        format!(
            "  kafka: {{ brokers: ['{}'], topic: log, key: tenant, batch_every: 10ms }}\n",
            broker.address()
        )
    });
    let more = format!(
        "{privacy}logs:\n  headers: [content-type, x-logged, x-person]\n  stdout: true\n  files: {{ path: log }}\n  loki: {{ url: 'http://{}', batch_every: 10ms }}\n{}",
        loki.address,
        kafka.unwrap_or_default()
    );
    let yaml = models.yaml("shadow: { version: v1, percent: 100 }", &more);
    folder.write("driftline.yaml", &format!("{FREE_PORTS}{yaml}"));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = driftline(folder.path());
    command.arg("run").env(
        "RUST_LOG",
        "driftline=trace,server=trace,gateway=trace,feeds=trace,control=trace,monitor=trace",
    );
    let instance = Instance::spawn(command.stdout(Stdio::from(writer)));
    drop(command);
    let output = collect(reader);
    let mut client = instance.client();
    (0..LEARN + 120).for_each(|n| ask(&mut client, n));
    let record = json!({ "model": "fraud", "tenant": EMAIL, "request_id": EMAIL,
        "features": { "email": EMAIL, "amount": 1.0 }, "prediction": { "who": EMAIL } });
    let answers = [
        instance.post("/api/v1/observe", &record),
        instance.post("/api/v1/observe", &json!({ "model": "fraud", "features": { "email": [EMAIL] } })),
        instance.call("POST", "/api/v1/cloudevents", &[("ce-id", EMAIL)], EMAIL.as_bytes()),
        instance.post(
            "/api/v1/observe",
            &json!({ "model": "fraud", "version": format!("v-{EMAIL}"), "features": {} }),
        ),
        instance.post("/api/v1/observe", &json!({ "model": EMAIL, "features": {} })),
        instance.call("POST", &format!("/api/v1/mirror/fraud/{EMAIL}/x"), &[], EMAIL.as_bytes()),
        instance.call("GET", &format!("/api/v1/models/{EMAIL}/drift"), &[], b""),
        instance.post(&format!("/api/v1/models/{EMAIL}/rollback"), &json!({})),
        client.send("POST", "/nowhere", &[("x-logged", EMAIL)], EMAIL.as_bytes()),
    ];
    await_until("all is counted", DEADLINE, || {
        instance.model()["rows"].as_u64() >= Some(2 * (LEARN as u64 + 120))
    });
    await_until("all is logged", DEADLINE, || {
        instance.metrics().sum("driftline_log_queue_records", &[]) == 0.0 && !loki.taken().is_empty()
    });
    let mut found = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        found.extend(leaks(&format!("answer {index}"), answer.text().as_bytes()));
    }
    let drift = "/api/v1/models/fraud/drift?tenant=";
    let pages = [
        "/",
        "/metrics",
        "/api/v1/status",
        "/api/v1/overview",
        "/api/v1/alerts",
        "/api/v1/events",
        "/api/v1/models/fraud/profile",
        "/api/v1/models/fraud/pairs",
        "/api/v1/models/fraud/tenants",
        "/api/v1/models/fraud/traffic",
        "/api/v1/models/fraud/grid",
        "/api/v1/models/fraud/drift",
        "/api/v1/models/fraud/drift?tenant=other",
        "/api/v1/models/fraud/history?metric=psi&feature=amount",
        "/readyz",
        "/healthz",
    ];
    for page in pages {
        found.extend(leaks(page, instance.call("GET", page, &[], b"").text().as_bytes()));
    }
    let tenant = instance.get("/api/v1/models/fraud/drift").to_string();
    found.extend(leaks(drift, tenant.as_bytes()));
    let pushes: Vec<Value> = loki.pushes().into_iter().map(|(_, push)| push).collect();
    found.extend(leaks("loki", Value::from(pushes).to_string().as_bytes()));
    let admin = format!("http://{}", instance.admin);
    let status = run(folder.path(), &["status", "--admin", &admin]).expect(0);
    found.extend(leaks("driftline status", format!("{}{}", status.stdout, status.stderr).as_bytes()));
    for (key, value) in broker.iter().flat_map(|broker| broker.stored("log")) {
        found.extend(leaks("kafka", value.as_bytes()));
        found.extend(leaks("kafka key", key.unwrap_or_default().as_bytes()));
    }
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    found.extend(leaks("stderr", log.as_bytes()));
    found.extend(leaks("stdout", output.whole().as_bytes()));
    for part in ["state", "log"] {
        for entry in std::fs::read_dir(folder.path().join(part)).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                found.extend(leaks(
                    &entry.path().display().to_string(),
                    &std::fs::read(entry.path()).unwrap(),
                ));
            }
        }
    }
    found
}

const FIELDS: &str = "privacy:\n  fields: [person.*, headers.x-person]\n";

#[test]
fn what_was_planted_is_found_nowhere() {
    assert_eq!(everything(FIELDS), Vec::<String>::new());
}

#[test]
fn nor_with_a_key() {
    let key = "  key: 9f1c3f7e5b8d4a2f6c0e1d3b5a79886f4e2d1c0b\n";
    assert_eq!(everything(&format!("{FIELDS}{key}")), Vec::<String>::new());
}

/// The same search, where nothing is hashed: a search that finds nothing here would prove nothing there.
#[test]
fn the_search_finds_what_is_there() {
    let found = everything("privacy: { detectors: [] }\n");
    let kafka = if crate::support::require("noida-db").is_some() { "kafka key" } else { "loki" };
    for place in ["loki", kafka, "stdout", "log/", "profile", "drift", "snapshot", "/metrics"] {
        assert!(found.iter().any(|leak| leak.contains(place)), "{place}: {found:?}");
    }
}

#[test]
fn hashed_categories_meet_the_hashed_categories_of_the_profile() {
    let folder = Folder::new();
    let rows: String = (0..400).map(|n| format!("{},user{}@example.org\n", n % 50, n % 4)).collect();
    folder.write("train.csv", &format!("amount,email\n{rows}"));
    crate::support::run(folder.path(), &["baseline", "train.csv", "-o", "base.json"]).expect(0);
    let yaml = "models: { fraud: { baseline: base.json, window: 200 } }\nprivacy: { key: 9f1c3f7e5b8d4a2f6c0e1d3b5a79886f4e2d1c0b }\n";
    let instance = Instance::observe(&folder, yaml);
    for n in 0..200 {
        let record = json!({ "model": "fraud", "features": { "amount": n % 50, "email": format!("USER{}@example.org", n % 4) } });
        assert_eq!(instance.post("/api/v1/observe", &record).status(), 200);
    }
    instance.await_requests("unknown", "prod", "all", 200);
    let page = instance.metrics();
    let psi = |feature| page.value("psi", &[("feature", feature), ("tenant", "all")]);
    assert!(psi("email") < Some(0.01), "the same people: {:?}", psi("email"));
    let refused = crate::support::run(folder.path(), &["check"]).expect(0);
    assert!(refused.stderr.is_empty(), "{}", refused.stderr);
    folder.write("driftline.yaml", &yaml.replace("9f1c3f7e5b8d4a2f6c0e1d3b5a79886f4e2d1c0b", "short"));
    let refused = crate::support::run(folder.path(), &["check"]).expect(2);
    assert!(refused.stderr.contains("32 bytes") && !refused.stderr.contains("short }"), "{}", refused.stderr);
}
