//! Belongs here: recorded inferences through a policy.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::instance::Folder;
use crate::support::rows::{Row, ordinary, shifted};
use crate::support::run;

const CONFIG: &str = "models:
  fraud:
    versions: { v2: http://127.0.0.1:9, v1: http://127.0.0.1:9 }
    active: v2
    stable: v1
    baseline: { learn: 1000 }
retrain:
  night: { http: { url: http://127.0.0.1:9/train } }
";

/// One record, the `n`th second of a day.
fn line(n: usize, row: &Row, latency_ms: f64) -> String {
    let at = format!("2026-01-31T{:02}:{:02}:{:02}Z", n / 3_600, n / 60 % 60, n % 60);
    let features = json!({ "amount": row.amount, "country": row.country });
    json!({ "ts": at, "model": "fraud", "version": "v2", "features": features, "latency_ms": latency_ms })
        .to_string()
}

/// 2 000 ordinary requests, one a second, then as many that are shifted.
fn lines() -> String {
    let row = |n: usize| if n < 2_000 { ordinary(n) } else { shifted(n) };
    (0..4_000).fold(String::new(), |mut text, n| {
        // Writing to a String cannot fail.
        let _ok = writeln!(text, "{}", line(n, &row(n), 5.0));
        text
    })
}

fn packed(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

fn events<'a>(document: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    document["events"].as_array().unwrap().iter().filter(move |event| event["event"] == kind)
}

#[test]
fn what_was_recorded_is_played_to_the_policy() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    std::fs::write(folder.path().join("records.jsonl.gz"), packed(&lines())).unwrap();
    let outcome = run(folder.path(), &["backtest", "records.jsonl.gz", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&document["records"], &document["skipped"]), (&json!(4_000), &json!({})));
    let firing: Vec<&Value> = events(&document, "firing").collect();
    let first = firing[0];
    assert_eq!((&first["alert"], &first["model"]), (&json!("DriftDetected"), &json!("fraud")));
    assert!(first["text"].as_str().unwrap().contains("amount"), "{first:#}");
    // The first shifted request is the 2 000th: 33 min 20 s after midnight.
    assert!(first["at"].as_str().unwrap().starts_with("2026-01-31T00:33:"), "{first:#}");
    assert!(firing.iter().any(|event| event["alert"] == "FeaturePSICritical"), "{firing:#?}");
    let rollbacks: Vec<&Value> = events(&document, "rollback").collect();
    assert_eq!(rollbacks.len(), 1, "a rollback answers everything that fires: {rollbacks:#?}");
    assert_eq!((&rollbacks[0]["from"], &rollbacks[0]["to"]), (&json!("v2"), &json!("v1")));
    assert!(rollbacks[0]["at"].as_str().unwrap() > first["at"].as_str().unwrap());
    assert_eq!(events(&document, "retrain").count(), 1);
    assert_eq!(document["rollbacks"], json!({ "fraud": 1 }));

    let text = run(folder.path(), &["backtest", "records.jsonl.gz"]).expect(1).stdout;
    assert!(text.contains("fraud: DriftDetected (warning) fires: `fraud` v2: amount"), "{text}");
    assert!(text.contains("fraud: ROLLBACK v2 -> v1"), "{text}");
    assert!(text.contains("4000 records from 2026-01-31T00:00:00Z"), "{text}");
    assert!(text.contains("fraud: 1 rollbacks"), "{text}");
}

#[test]
fn another_policy_would_have_done_something_else() {
    let folder = Folder::new();
    let rules =
        "alerts: { rules: { FeaturePSICritical: { above: 99 }, DriftCritical: { enabled: false } } }\n";
    folder.write("driftline.yaml", &format!("{CONFIG}{rules}"));
    folder.write("records.jsonl", &lines());
    let outcome = run(folder.path(), &["backtest", "records.jsonl", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(events(&document, "rollback").count(), 0);
    assert!(events(&document, "firing").any(|event| event["alert"] == "FeaturePSIHigh"));
}

#[test]
fn mixed_records_have_no_drift_left() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    folder.write("records.jsonl", &lines());
    let run =
        || run(folder.path(), &["backtest", "--shuffle", "--seed", "7", "records.jsonl"]).expect(0).stdout;
    let text = run();
    assert!(text.contains("No alert would have fired."), "{text}");
    assert_eq!(text, run(), "one seed, one order");
}

#[test]
fn slow_answers_are_played_as_well() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    let slow = |n: usize| if n < 1_500 { 20.0 } else { 700.0 };
    let text: String = (0..2_000).map(|n| line(n, &ordinary(n), slow(n)) + "\n").collect();
    folder.write("records.jsonl", &text);
    let outcome = run(folder.path(), &["backtest", "records.jsonl", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let alerts: Vec<&Value> = events(&document, "firing").map(|event| &event["alert"]).collect();
    // What was recorded does not follow the rollback: the version stays slow and the rule fires anew, moving nothing.
    assert!(!alerts.is_empty() && alerts.iter().all(|alert| **alert == "LatencySpike"), "{alerts:?}");
    assert_eq!(events(&document, "rollback").count(), 1);

    // A record that names no version belongs to the active one, its latency too.
    folder.write("records.jsonl", &text.replace(r#","version":"v2""#, ""));
    let outcome = run(folder.path(), &["backtest", "records.jsonl", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let rollback = events(&document, "rollback").next().unwrap();
    assert_eq!((&rollback["from"], &rollback["to"]), (&json!("v2"), &json!("v1")));
}

#[test]
fn refused_requests_are_answers_as_well() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    let status = |n: usize| if n > 1_200 && n.is_multiple_of(2) { 422 } else { 200 };
    // Those that are served stay ordinary.
    let mut served = 0;
    let with = |n: usize| {
        let mut record: Value = serde_json::from_str(&line(n, &ordinary(served), 5.0)).unwrap();
        record["status"] = json!(status(n));
        served += usize::from(status(n) == 200);
        format!("{record}\n")
    };
    folder.write("records.jsonl", &(0..2_000).map(with).collect::<String>());
    // At one request a second a minute holds too few of them.
    folder.write("driftline.yaml", &format!("{CONFIG}alerts: {{ min_requests: 30 }}\n"));
    let outcome = run(folder.path(), &["backtest", "records.jsonl", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(events(&document, "firing").any(|event| event["alert"] == "RejectedHigh"), "{document:#}");
    assert_eq!(events(&document, "rollback").count(), 0);
    assert_eq!(document["skipped"]["a refused request"], 399);
}

#[test]
fn silence_is_played_as_well() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    // Ten minutes without a request.
    let at = |n: usize| if n < 1_200 { n } else { n + 600 };
    folder.write(
        "records.jsonl",
        &(0..1_300).map(|n| line(at(n), &ordinary(n), 5.0) + "\n").collect::<String>(),
    );
    let outcome = run(folder.path(), &["backtest", "records.jsonl", "--format", "json"]).expect(1);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let alerts: Vec<_> = events(&document, "firing").map(|event| (&event["alert"], &event["at"])).collect();
    let [(alert, at)] = alerts[..] else { panic!("{alerts:?}") };
    assert_eq!(alert, "TrafficStopped");
    // Five minutes after the last one, at 00:19:59.
    assert_eq!(at, "2026-01-31T00:24:59Z");
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    folder.write(
        "records.jsonl",
        "{\"model\":\"fraud\",\"features\":{\"amount\":1}}\nno json\n{\"model\":\"other\",\"features\":{}}\n",
    );
    let outcome = run(folder.path(), &["backtest", "records.jsonl"]).expect(0);
    assert!(outcome.stderr.contains("`records.jsonl`, line 2: not counted"), "{}", outcome.stderr);
    for expected in ["not counted, no record: 1", "not counted, the model is not configured: 1", "1 records"]
    {
        assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
    }
    let missing = run(folder.path(), &["backtest", "nowhere.jsonl"]).expect(2);
    assert!(missing.stderr.contains("cannot read `nowhere.jsonl`"), "{}", missing.stderr);
    let broken = run(folder.path(), &["backtest", "-c", "none.yaml", "records.jsonl"]).expect(2);
    assert!(broken.stderr.contains("none.yaml"), "{}", broken.stderr);
}

/// Ordinary requests, one a second.
fn calm_lines(rows: usize) -> String {
    (0..rows).map(|n| line(n, &ordinary(n), 5.0) + "\n").collect()
}

#[test]
fn calm_runs_say_how_often_a_policy_is_wrong() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    folder.write("records.jsonl", &calm_lines(5_000));
    let args = ["backtest", "records.jsonl", "--calm", "4", "--seed", "9", "--every", "15s"];
    let text = run(folder.path(), &args).expect(0).stdout;
    assert_eq!(text, run(folder.path(), &args).expect(0).stdout, "one seed, one order");
    // 4 000 seconds of each run come after the reference was learned.
    assert!(
        text.starts_with("4 runs of 5000 records (1.0 a second): 0.2 days judged in all, seeds 9 to 12\n"),
        "{text}"
    );
    assert!(text.contains("fraud: mixed by blocks of "), "{text}");
    let document =
        run(folder.path(), &[&args[..], &["--format", "json", "--block", "25"]].concat()).expect(0).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["blocks"][0]["records"], 25);
    let seeds: Vec<u64> =
        document["runs"].as_array().unwrap().iter().map(|run| run["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [9, 10, 11, 12]);
    for kind in ["criticals", "rollbacks"] {
        assert_eq!((&document[kind]["times"], &document[kind]["per_30_days"]), (&json!(0), &json!(0.0)));
        // The rule of three: 3 divided by the time.
        let (days, below) =
            (document["days"].as_f64().unwrap(), document[kind]["per_30_days_below"].as_f64().unwrap());
        assert!((days - 4.0 * 3_999.0 / 86_400.0).abs() < 1e-6, "{days}");
        assert!((below - 3.0 / days * 30.0).abs() < 0.01 * below, "{below}");
    }
}

#[test]
fn a_policy_that_is_too_eager_shows_in_calm_runs() {
    let folder = Folder::new();
    let rule = "alerts: { rules: { Eager: { when: psi_raw, above: 0.001, for: 1s, severity: critical } } }\n";
    folder.write("driftline.yaml", &format!("{CONFIG}{rule}"));
    folder.write("records.jsonl", &calm_lines(3_000));
    let args = ["backtest", "records.jsonl", "--calm", "3", "--every", "15s"];
    let text = run(folder.path(), &args).expect(1).stdout;
    assert!(text.contains("fraud: Eager (critical)"), "{text}");
    assert!(text.contains("seed 1: 2026-01-31T00:"), "{text}");
    let document = run(folder.path(), &[&args[..], &["--format", "json"]].concat()).expect(1).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    let rolled_back: Vec<&Value> =
        document["runs"].as_array().unwrap().iter().map(|run| &run["rollbacks"]).collect();
    assert_eq!((rolled_back, &document["rollbacks"]["runs"]), (vec![&json!(1); 3], &json!(3)));
}

#[test]
fn calm_runs_need_enough_records() {
    let folder = Folder::new();
    folder.write("driftline.yaml", CONFIG);
    let refused = |args: &[&str], words: &[&str]| {
        let outcome = run(folder.path(), &[&["backtest", "records.jsonl"], args].concat()).expect(2);
        assert!(words.iter().all(|word| outcome.stderr.contains(word)), "{}", outcome.stderr);
    };
    folder.write("records.jsonl", &calm_lines(1_500));
    refused(
        &["--calm", "2"],
        &["too few records", "`fraud` has 1500 records of production and needs 2000", "learned"],
    );
    folder.write("records.jsonl", &calm_lines(2_500));
    refused(&["--calm", "2", "--block", "500"], &["5 blocks", "at least 10", "Use up to 250"]);
    refused(&["--calm", "0"], &["0 is not in"]);
    refused(&["--calm", "2", "--shuffle"], &["cannot be used with"]);
    refused(&["--seed", "2"], &["required"]);
    refused(&["--block", "20"], &["--calm"]);
    folder.write(
        "records.jsonl",
        &calm_lines(2_500).replace("\"ts\":\"2026-01-31T", "\"request_id\":\"2026-01-31T"),
    );
    refused(&["--calm", "2"], &["no times"]);
}
