//! Belongs here: the sequential detector over standard input.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::offline::flights;
use crate::support::instance::Folder;
use crate::support::{Outcome, driftline, finish};

/// `driftline detect` with a file as its standard input.
fn detect(folder: &Folder, args: &[&str], input: &str) -> Outcome {
    let input = File::open(folder.path().join(input)).unwrap();
    finish(driftline(folder.path()).arg("detect").args(args).stdin(Stdio::from(input)))
}

/// The flights before the change, then those after it, as one stream.
fn with_stream(folder: &Folder) -> usize {
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (before, after) = (read("before.csv"), read("after.csv"));
    let rows = before.lines().count() - 1;
    let body = after.split_once('\n').unwrap().1;
    folder.write("stream.csv", &format!("{before}{body}"));
    rows
}

#[test]
fn summer_is_found_within_a_hundred_flights_and_winter_is_quiet() {
    let folder = flights();
    let args = ["--reference", "reference.csv", "--exclude", "ts", "--format", "json"];
    let calm = detect(&folder, &args, "before.csv").expect(0);
    assert_eq!(calm.stdout, "", "{}", calm.stderr);

    let change = with_stream(&folder);
    let found = detect(&folder, &args, "stream.csv").expect(1);
    let first = found.stdout.lines().next().unwrap();
    let alarm: Value = serde_json::from_str(first).unwrap();
    let row = alarm["row"].as_u64().unwrap() as usize;
    assert!((change..change + 100).contains(&row), "{first}");
    let start = alarm["start"].as_u64().unwrap() as usize;
    assert!((change - 50..=row).contains(&start), "{first}");
    assert_eq!(alarm["event"], "alarm");
    // A size on fewer than a hundred rows would be chance; it follows once they are there.
    assert!(alarm["severity"].is_null() && alarm["features"][0]["psi_debiased"].is_null(), "{first}");
    let events: Vec<Value> = found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let measured = events.iter().find(|event| event["event"] == "measured").expect("after a hundred rows");
    assert_eq!(measured["row"].as_u64().unwrap() as usize, start + 99);
    assert_eq!(measured["severity"], "large", "{measured}");
    // Every feature that an alarm names within a hundred flights, and what happened to it.
    let mut named = BTreeMap::new();
    for line in found.stdout.lines() {
        let alarm: Value = serde_json::from_str(line).unwrap();
        if alarm["row"].as_u64().unwrap() as usize >= change + 100 {
            break;
        }
        for feature in alarm["features"].as_array().into_iter().flatten() {
            let text = |key: &str| feature[key].as_str().unwrap().to_owned();
            named.insert(text("feature"), text("direction"));
        }
    }
    assert!(named["temp"].contains("up") && named["dewp"].contains("up"), "{named:?}");
    for other in ["carrier", "origin", "hour", "distance"] {
        assert!(!named.contains_key(other), "{named:?}");
    }
}

#[test]
fn alarms_are_said_in_words_and_a_profile_serves_as_well() {
    let folder = flights();
    let change = with_stream(&folder);
    finish(driftline(folder.path()).args([
        "baseline",
        "reference.csv",
        "-o",
        "profile.json",
        "--binning",
        "quantile",
        "--exclude",
        "ts",
    ]))
    .expect(0);
    let found = detect(&folder, &["--reference", "profile.json", "--arl", "200000"], "stream.csv").expect(1);
    let first = found.stdout.lines().next().unwrap();
    assert!(first.starts_with("row ") && first.contains("drift since row "), "{first}");
    let row: usize = first.split([' ', ':']).nth(1).unwrap().parse().unwrap();
    assert!((change..change + 200).contains(&row), "{first}");
    assert!(found.stderr.contains("10000 rows"), "{}", found.stderr);
}

#[test]
fn json_lines_are_read_as_they_come() {
    let folder = Folder::new();
    let row = |i: usize, shift: usize| {
        format!(
            "{{\"amount\":{},\"who\":{{\"country\":\"{}\"}}}}\n",
            (i * 7_919) % 1_000 + shift,
            ["DE", "FR"][i * 31 % 7 % 2]
        )
    };
    let reference: String = (0..2_000).map(|i| row(i, 0)).collect();
    folder.write("reference.jsonl", &reference);
    let stream: String = (0..400).map(|i| row(i * 13, if i < 300 { 0 } else { 600 })).collect();
    let mut command = driftline(folder.path());
    command.args(["detect", "--reference", "reference.jsonl"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("not json\n{stream}").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let (said, noted) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(2), "the first line is neither JSON nor a header: {noted}");
    assert!(said.is_empty() && noted.contains("a CSV header is needed"), "{noted}");

    folder.write("stream.jsonl", &format!("{stream}not json\n"));
    let found = detect(&folder, &["--reference", "reference.jsonl"], "stream.jsonl").expect(1);
    assert!(found.stdout.contains("amount"), "{}", found.stdout);
    assert!(found.stderr.contains("line 401: not JSON"), "{}", found.stderr);
}

#[test]
fn mistakes_are_named() {
    let folder = flights();
    let refused = |args: &[&str], word: &str| {
        let outcome = detect(&folder, args, "before.csv").expect(2);
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    };
    refused(&[], "--reference");
    refused(&["--reference", "nowhere.csv"], "nowhere.csv");
    refused(&["--reference", "reference.csv", "--exclude", "tss"], "no such column");
    refused(&["--reference", "reference.csv", "--arl", "5"], "100 to 1e12");
    refused(&["--blocks"], "expected a header");
    folder.write("few.csv", "a,b\n1,2\n3,4\n");
    refused(&["--reference", "few.csv"], "at least 100 are needed");
}

#[test]
fn blocks_are_answered_one_line_each() {
    let folder = Folder::new();
    let block = |shift: usize| {
        let reference: String = (0..1_000).map(|i| format!("{}\n", (i * 7_919) % 997)).collect();
        let stream: String = (0..600).map(|i| format!("{}\n", (i * 104_729) % 997 + shift)).collect();
        format!("DRIFT1 1000 1 600 10000 n\n{reference}{stream}")
    };
    folder.write("blocks.txt", &format!("{}{}", block(0), block(500)));
    let answers = detect(&folder, &["--blocks"], "blocks.txt").expect(0);
    let rows: Vec<i64> = answers.stdout.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((rows.len(), rows[0]), (2, -1));
    assert!((5..60).contains(&rows[1]), "{rows:?}");
}
