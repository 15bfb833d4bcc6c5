//! Belongs here: files of JSON lines that are written, rotated, truncated, and read again after a kill.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::{Value, json};

use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_until, driftline, finish, holds_for};

const MEASURED: &str = "models:\n  fraud:\n    baseline: { learn: 200 }\n    window: 200\n";

fn yaml(more: &str) -> String {
    format!(
        "{MEASURED}sources:\n  files:\n    version: v7\n    tail: {{ paths: [log/*], poll: 10ms{more} }}\n"
    )
}

fn line(n: usize) -> String {
    format!("{}\n", json!({ "request_id": n.to_string(), "features": { "amount": n % 100 } }))
}

fn append(folder: &Folder, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn add(folder: &Folder, name: &str, lines: std::ops::Range<usize>) {
    append(folder, name, &lines.map(line).collect::<String>());
}

fn counted(instance: &Instance) -> usize {
    let page = instance.metrics();
    page.value("driftline_source_records_total", &[("result", "counted")]).unwrap_or_default() as usize
}

/// Waits until so many lines are counted and their position is saved; and nothing more comes.
#[track_caller]
fn await_counted(instance: &Instance, n: usize) {
    await_until(&format!("{n} are counted"), DEADLINE, || {
        counted(instance) >= n && instance.metrics().value("driftline_source_lag", &[]) == Some(0.0)
    });
    holds_for("no line is counted twice", std::time::Duration::from_millis(100), || counted(instance) == n);
}

#[test]
fn rotation_and_truncation_cost_no_line_and_double_none() {
    let folder = Folder::new();
    add(&folder, "log/a.jsonl", 0..300);
    let instance = Instance::observe(&folder, &yaml(""));
    await_counted(&instance, 300);
    add(&folder, "log/a.jsonl", 300..400);
    let path = |name: &str| folder.path().join("log").join(name);
    fs::rename(path("a.jsonl"), path("a.jsonl.1")).unwrap();
    add(&folder, "log/a.jsonl", 400..450);
    add(&folder, "log/a.jsonl.1", 450..460);
    await_counted(&instance, 460);
    // As `copytruncate` does.
    add(&folder, "log/a.jsonl", 460..470);
    fs::copy(path("a.jsonl"), path("a.jsonl.2")).unwrap();
    fs::write(path("a.jsonl"), "").unwrap();
    await_counted(&instance, 470);
    add(&folder, "log/a.jsonl", 470..480);
    append(&folder, "log/a.jsonl", "{\"features\":{\"amount\":1}");
    await_until("the lines before the unfinished one are counted", DEADLINE, || counted(&instance) == 480);
    append(&folder, "log/a.jsonl", "}\n\u{fffd}\n");
    await_counted(&instance, 481);
    instance.await_requests("v7", "prod", "all", 200);
    let page = instance.metrics();
    let malformed = [("source", "files"), ("kind", "tail"), ("result", "malformed")];
    assert_eq!(page.value("driftline_source_records_total", &malformed), Some(1.0));
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn after_a_kill_it_goes_on_behind_the_last_line_that_was_saved() {
    let folder = Folder::new();
    add(&folder, "log/a.jsonl", 0..1000);
    let instance = Instance::observe(&folder, &yaml(""));
    await_counted(&instance, 1000);
    instance.kill();
    // What happens while it is down.
    add(&folder, "log/a.jsonl", 1000..1500);
    fs::rename(folder.path().join("log/a.jsonl"), folder.path().join("log/a.jsonl.1")).unwrap();
    add(&folder, "log/a.jsonl", 1500..1700);
    let instance = Instance::observe(&folder, &yaml(""));
    await_counted(&instance, 700);
    instance.kill();

    // And in the middle of reading: the saved position says how many lines are to come.
    const MORE: usize = 60_000;
    add(&folder, "log/b.jsonl", 0..MORE);
    let instance = Instance::observe(&folder, &yaml(""));
    await_until("it has begun", DEADLINE, || counted(&instance) > 0);
    let seen = counted(&instance);
    instance.kill();
    let position = fs::read_to_string(folder.path().join("driftline-data/sources/files.tail.json")).unwrap();
    let position: Value = serde_json::from_str(&position).unwrap();
    let is_it = |one: &&Value| one["path"].as_str().unwrap().ends_with("b.jsonl");
    let saved = position.as_array().unwrap().iter().find(is_it);
    let offset = saved.map_or(0, |one| one["mark"]["place"]["offset"].as_u64().unwrap()) as usize;
    let text = fs::read_to_string(folder.path().join("log/b.jsonl")).unwrap();
    let before = text[..offset].lines().count();
    assert!(text[..offset].is_empty() || text[..offset].ends_with('\n'), "a position between two lines");
    assert!(before + 500 >= seen, "at most a batch was counted and not saved: {seen}, {before}");
    let instance = Instance::observe(&folder, &yaml(""));
    await_counted(&instance, MORE - before);
}

#[test]
fn a_log_of_inferences_is_read_back_to_its_end() {
    let folder = Folder::new();
    let writing = format!("{MEASURED}logs: {{ files: {{ path: log }} }}\n");
    let instance = Instance::observe(&folder, &writing);
    let records: Vec<Value> = (0..250)
        .map(|n| json!({ "model": "fraud", "version": "v3", "features": { "amount": n % 100 } }))
        .collect();
    assert_eq!(instance.post("/api/v1/observe", &json!(records)).status(), 200);
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");

    let reader = Folder::new();
    fs::rename(folder.path().join("log"), reader.path().join("log")).unwrap();
    reader.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{}", yaml(", follow: false")));
    for expected in ["250 counted, 0 not", "0 counted, 0 not"] {
        let outcome = finish(driftline(reader.path()).arg("observe")).expect(0);
        assert!(outcome.stderr.contains(&format!("source `files`: {expected}")), "{}", outcome.stderr);
    }
}

#[test]
fn its_own_log_and_what_is_no_pattern_are_refused() {
    let folder = Folder::new();
    let own = format!("{}logs: {{ files: {{ path: ./log }} }}\n", yaml(""));
    folder.write("driftline.yaml", &own);
    let outcome = finish(driftline(folder.path()).arg("check")).expect(2);
    assert!(
        outcome.stderr.contains("reads the inference log that this instance writes"),
        "{}",
        outcome.stderr
    );
    folder.write("driftline.yaml", &yaml("").replace("log/*", "'log/***'"));
    let outcome = finish(driftline(folder.path()).arg("check")).expect(2);
    assert!(outcome.stderr.contains("no pattern"), "{}", outcome.stderr);
    folder.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{}", yaml(", follow: false")));
    let outcome = finish(driftline(folder.path()).arg("observe")).expect(1);
    assert!(outcome.stderr.contains("no file to read"), "{}", outcome.stderr);
}
