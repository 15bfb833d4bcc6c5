//! Belongs here: whether the reference fits the traffic, looked at before there is traffic (`check --sample`) and while it passes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::receiver::Receiver;
use crate::support::rows::{self, INFER, ordinary, shifted};
use crate::support::{DEADLINE, await_until, finish, holds_for, run};

/// Training data with other names than requests have, and a label.
fn training() -> String {
    let row = |i: usize| {
        let row = ordinary(i);
        format!("{},{},m{},{}\n", row.amount, row.country, i % 7, usize::from(i.is_multiple_of(9)))
    };
    let rows: String = (0..2_000).map(row).collect();
    format!("Amount,Country,merchant,is_fraud\n{rows}")
}

/// A profile of [`training`], and a configuration of measured models that have it as their reference.
fn folder(models: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.write("train.csv", &training());
    let made = run(folder.path(), &["baseline", "train.csv", "-o", "other.json"]).expect(0);
    assert!(made.stderr.contains("`is_fraud` looks like a label"), "{}", made.stderr);
    let models: String =
        models.iter().map(|name| format!("  {name}: {{ baseline: other.json }}\n")).collect();
    folder.write("driftline.yaml", &format!("models:\n{models}"));
    folder
}

fn sampled(folder: &Folder, lines: &[Value], more: &[&str]) -> crate::support::Outcome {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    folder.write("requests.jsonl", &text);
    run(folder.path(), &[&["check", "--sample", "requests.jsonl"], more].concat())
}

#[test]
fn a_sample_of_requests_is_compared_before_there_is_traffic() {
    let folder = folder(&["fraud"]);
    let fits: Vec<Value> = (0..60)
        .map(|i| json!({ "Amount": i, "Country": "DE", "merchant": "m1", "order": format!("A-{i}") }))
        .collect();
    let outcome = sampled(&folder, &fits, &[]).expect(0);
    for part in
        ["fraud: armed", "60 read", "3 of 4", "not seen   is_fraud", "unknown    order", "order (identifier)"]
    {
        assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
    }
    let renamed = json!({ "instances": [{ "amount": 1.5, "country": "DE", "shop": "m1" }] });
    let outcome = sampled(&folder, std::slice::from_ref(&renamed), &[]).expect(1);
    for part in ["fraud: NOT ARMED", "0 of 4", "Amount -> amount", "Country -> country", "unknown    amount"]
    {
        assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
    }
    let report: Value =
        serde_json::from_str(&sampled(&folder, &[renamed], &["--format", "json"]).expect(1).stdout).unwrap();
    assert_eq!((&report["armed"], &report["models"][0]["fit"]["matched"]), (&json!(false), &json!(0)));
    // A single feature of another type is said; most of them are another table.
    let mut typed = json!({ "Amount": "high", "Country": "DE", "merchant": "m1" });
    let outcome = sampled(&folder, std::slice::from_ref(&typed), &[]).expect(0);
    assert!(
        outcome.stdout.contains("Amount (numbers in the profile, text in requests)"),
        "{}",
        outcome.stdout
    );
    typed["Country"] = json!(3);
    let outcome = sampled(&folder, &[typed], &[]).expect(1);
    assert!(
        outcome.stdout.contains("Country (categories in the profile, numbers in requests)"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn what_cannot_be_read_in_a_sample_is_said_with_its_line() {
    let folder = folder(&["fraud"]);
    folder.write("bad.jsonl", "\n{\"Amount\": 1, \"Country\"\n{\"Amount\": 1, \"Country\": \"DE\"}\n{}\n");
    let outcome = run(folder.path(), &["check", "--sample", "bad.jsonl"]).expect(0);
    assert!(
        outcome.stdout.contains("1 read") && outcome.stdout.contains("2 not read; first in line 2:"),
        "{}",
        outcome.stdout
    );
    for (content, expected) in [("", "no request of any model"), ("nonsense {\n", "no request could be read")]
    {
        folder.write("bad.jsonl", content);
        let outcome = run(folder.path(), &["check", "--sample", "bad.jsonl"]).expect(1);
        assert!(outcome.stdout.contains(expected), "{content:?}: {}", outcome.stdout);
    }
    let outcome = run(folder.path(), &["check", "--sample", "nowhere.jsonl"]).expect(2);
    assert!(outcome.stderr.contains("nowhere.jsonl"), "{}", outcome.stderr);
}

#[test]
fn a_data_file_and_bodies_in_csv_are_samples_too() {
    let folder = folder(&["fraud"]);
    let outcome = run(folder.path(), &["check", "--sample", "train.csv"]).expect(0);
    assert!(outcome.stdout.contains("2000 read") && outcome.stdout.contains("4 of 4"), "{}", outcome.stdout);
    folder.write("today.csv", "Amount;Country;shop\n1,5;DE;m1\n2,5;FR;m2\n");
    let outcome = run(folder.path(), &["check", "--sample", "today.csv"]).expect(0);
    for part in ["2 read", "2 of 4", "unknown    shop"] {
        assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
    }
    // Without names columns are taken in the order of the profile.
    for (bodies, code, expected) in
        [("1.5,DE,m1,0\n2,FR,m2,1\n", 0, "4 of 4"), ("DE,7,m1,x\n", 1, "Amount (numbers in")]
    {
        folder.write("bodies.txt", bodies);
        let outcome = run(folder.path(), &["check", "--sample", "bodies.txt"]).expect(code);
        assert!(outcome.stdout.contains(expected), "{bodies}: {}", outcome.stdout);
    }
}

#[test]
fn bodies_belong_to_the_model_that_is_named_and_records_to_their_own() {
    let folder = folder(&["fraud", "churn"]);
    let body = json!({ "Amount": 1, "Country": "DE", "merchant": "m1" });
    let outcome = sampled(&folder, std::slice::from_ref(&body), &[]).expect(2);
    assert!(
        outcome.stderr.contains("--model") && outcome.stderr.contains("fraud, churn"),
        "{}",
        outcome.stderr
    );
    let outcome = sampled(&folder, std::slice::from_ref(&body), &["--model", "churn"]).expect(0);
    assert!(
        outcome.stdout.contains("fraud: no request") && outcome.stdout.contains("churn: armed"),
        "{}",
        outcome.stdout
    );
    let outcome = sampled(&folder, std::slice::from_ref(&body), &["--model", "chrn"]).expect(2);
    assert!(outcome.stderr.contains("fraud, churn"), "{}", outcome.stderr);
    let records = [
        json!({ "model": "fraud", "features": body }),
        json!({ "model": "churn", "features": { "q": 1 } }),
        json!({ "model": "other", "features": body }),
    ];
    let outcome = sampled(&folder, &records, &[]).expect(1);
    for part in ["fraud: armed", "churn: NOT ARMED", "line 3: not counted: model `other`"] {
        assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
    }
}

/// Sends rows under names of our own.
fn send_named(client: &mut Client, names: [&str; 3], n: usize) {
    for i in 0..n {
        let row = ordinary(i);
        let body = json!({ "inputs": [
            { "name": names[0], "datatype": "FP64", "shape": [1], "data": [row.amount] },
            { "name": names[1], "datatype": "BYTES", "shape": [1], "data": [row.country] },
            { "name": names[2], "datatype": "BYTES", "shape": [1], "data": ["m1"] },
        ] });
        let answer = client.post(INFER, &body);
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

#[test]
fn a_profile_of_other_columns_is_told_once_and_judges_nothing() {
    let (models, receiver) = (Pair::start(), Receiver::start("ok"));
    let folder = folder(&["fraud"]);
    let notify = format!("notify: {{ hook: {{ webhook: {{ url: '{}' }} }} }}\n", receiver.url("/"));
    let yaml = models.yaml("", &notify).replace("{ learn: 1000 }", "other.json");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, 300, ordinary);
    let kinds = |wanted: &str| {
        let bodies = receiver.bodies();
        let kind = |body: &String| serde_json::from_str::<Value>(body).unwrap()["kind"].clone();
        bodies.iter().filter(|body| kind(body) == wanted).cloned().collect::<Vec<String>>()
    };
    await_until("it is told", DEADLINE, || kinds("not_armed").len() == 1);
    let told = &kinds("not_armed")[0];
    for part in ["is not armed", "`Amount`", "`Amount` -> `amount`", "`is_fraud`"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(instance.log().contains("not armed"), "{}", instance.log());
    assert_eq!(instance.metrics().sum("driftline_armed", &[]), 0.0);
    let drift = instance.get("/api/v1/models/fraud/drift");
    assert_eq!(drift["fit"]["pairs"][0], json!({ "profile": "Amount", "traffic": "amount" }), "{drift:#}");
    let admin = format!("http://{}", instance.admin);
    let status =
        finish(crate::support::driftline(folder.path()).args(["status", "--admin", &admin])).expect(0);
    for part in ["fraud: NOT ARMED", "fraud: not judged: ", "Amount (in no request)"] {
        assert!(status.stdout.contains(part), "{part} is not in\n{}", status.stdout);
    }
    let health = instance.get("/api/v1/overview")["models"][0]["health"].clone();
    assert_eq!(health["level"], "watch", "{health}");
    holds_for("drift of other columns is none", Duration::from_secs(4), || {
        rows::send(&mut client, None, 50, shifted);
        instance.alert_state("FeaturePSICritical") == 0.0 && instance.active() == "v2"
    });
    assert_eq!(kinds("not_armed").len(), 1, "once");
    send_named(&mut client, ["Amount", "Country", "merchant"], 20);
    await_until("the names are there", DEADLINE, || kinds("armed").len() == 1);
    assert_eq!(instance.metrics().sum("driftline_armed", &[]), 1.0);
}
