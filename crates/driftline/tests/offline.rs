//! Belongs here: commands that read files and write text, with nothing running.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::support::instance::Folder;
use crate::support::{driftline, finish, repository, require, run};

/// The flights' three phases as files of their own, without the columns that are no features.
pub(crate) fn flights() -> Folder {
    let folder = Folder::new();
    let text = std::fs::read_to_string(repository().join("testdata/flights.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let phase = header.split(',').position(|column| column == "phase").unwrap();
    let without_phase = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        let phase = cells.remove(phase).to_owned();
        (phase, cells.join(","))
    };
    let (_, header) = without_phase(header);
    let rows: Vec<(String, String)> = lines.map(without_phase).collect();
    for name in ["reference", "before", "after"] {
        let own: Vec<&str> =
            rows.iter().filter(|(phase, _)| phase == name).map(|(_, row)| row.as_str()).collect();
        assert!(own.len() >= 4_000, "{name}");
        folder.write(&format!("{name}.csv"), &format!("{header}\n{}\n", own.join("\n")));
    }
    folder
}

/// `driftline compare` of a phase with the reference.
fn compare<'a>(reference: &'a str, current: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["compare", "--reference", reference, "--current", current, "--exclude", "ts"][..], more].concat()
}

#[test]
fn compare_finds_what_the_weather_did() {
    let folder = flights();
    let table = run(folder.path(), &compare("reference.csv", "after.csv", &[])).expect(0);
    insta::assert_snapshot!("compare_table", table.stdout);
    let calm =
        run(folder.path(), &compare("reference.csv", "before.csv", &["--fail-on", "psi>0.2"])).expect(0);
    assert!(calm.stdout.contains("0 of 12 features drifted"), "{}", calm.stdout);
    run(folder.path(), &compare("reference.csv", "after.csv", &["--fail-on", "psi>0.2"])).expect(1);
    run(folder.path(), &compare("reference.csv", "after.csv", &["--fail-on", "psi>20"])).expect(0);
    run(folder.path(), &compare("reference.csv", "after.csv", &["--fail-on", "psi>20 or js_divergence>0.9"]))
        .expect(1);
    let refused =
        run(folder.path(), &compare("reference.csv", "after.csv", &["--fail-on", "psy>0.2"])).expect(2);
    assert!(refused.stderr.contains("unknown metric"), "{}", refused.stderr);
}

#[test]
fn compare_writes_the_promised_json() {
    let folder = flights();
    let args = compare("reference.csv", "after.csv", &["--format", "json"]);
    let report: Value = serde_json::from_str(&run(folder.path(), &args).expect(0).stdout).unwrap();
    assert_eq!(report["rows"], serde_json::json!({ "reference": 6_000, "current": 6_000 }));
    assert_eq!(report["drifted"], serde_json::json!(["temp", "dewp", "humid", "wind_speed", "visib"]));
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(repository().join("testdata/flights.json")).unwrap())
            .unwrap();
    let features = report["features"].as_array().unwrap();
    assert_eq!(features.len(), 12);
    for feature in features {
        let name = feature["feature"].as_str().unwrap();
        let keys = ["psi", "js_divergence", "js_distance", "missing_reference", "missing_current"];
        assert!(keys.iter().all(|key| feature[*key].is_f64()), "{feature:#}");
        assert!(feature["drifted"].is_boolean());
        let numeric = feature["type"] == "numeric";
        for key in ["ks", "ks_p_value", "wasserstein"] {
            assert_eq!(feature[key].is_f64(), numeric, "{key} of {feature:#}");
            assert_eq!(feature[key].is_null(), !numeric, "{key} of {feature:#}");
        }
        let expected = &expected["after"][name];
        let psi = if numeric { "psi_equal_width" } else { "psi" };
        for (key, expected_key) in
            [("psi", psi), ("js_divergence", "js_divergence"), ("ks", "ks"), ("wasserstein", "wasserstein")]
        {
            if let Some(wanted) = expected[expected_key].as_f64() {
                let got = feature[key].as_f64().unwrap();
                assert!(
                    (got - wanted).abs() <= 1e-9 * wanted.abs(),
                    "{name} {key}: {got} instead of {wanted}"
                );
            }
        }
    }
}

#[test]
fn compare_writes_pages_and_tickets() {
    let folder = flights();
    let html =
        run(folder.path(), &compare("reference.csv", "after.csv", &["--format", "html"])).expect(0).stdout;
    assert!(html.starts_with("<!doctype html>") || html.starts_with("<!DOCTYPE html>"), "{}", &html[..80]);
    assert!(html.contains("wind_speed") && !html.contains("<script"), "a page without scripts");
    let markdown = run(folder.path(), &compare("reference.csv", "after.csv", &["--format", "markdown"]))
        .expect(0)
        .stdout;
    assert!(markdown.contains("| temp | numeric |"), "{markdown}");
}

#[test]
fn a_profile_stands_for_its_file() {
    let folder = flights();
    let args = [
        "baseline",
        "reference.csv",
        "-o",
        "profile.json",
        "--name",
        "flights",
        "--exclude",
        "ts,dep_delay,late",
    ];
    run(folder.path(), &args).expect(0);
    let profile: Value = serde_json::from_str(&folder.read("profile.json")).unwrap();
    assert_eq!((&profile["name"], &profile["rows"]), (&"flights".into(), &6_000.into()));
    let psi = |reference: &str| {
        let more = ["--format", "json", "--only", "temp,carrier,hour"];
        let mut args = compare(reference, "after.csv", &more);
        args.retain(|arg| *arg != "--exclude" && *arg != "ts");
        let report: Value = serde_json::from_str(&run(folder.path(), &args).expect(0).stdout).unwrap();
        let features = report["features"].as_array().unwrap().clone();
        features.iter().map(|f| (f["feature"].to_string(), f["psi"].as_f64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(psi("profile.json"), psi("reference.csv"));
    run(folder.path(), &compare("profile.json", "after.csv", &["--fail-on", "psi>0.2"])).expect(1);
    run(folder.path(), &compare("profile.json", "before.csv", &["--fail-on", "psi>0.2"])).expect(0);
    let again = run(folder.path(), &args).expect(2);
    assert!(again.stderr.contains("--force"), "a profile is not overwritten by accident: {}", again.stderr);
    run(folder.path(), &[&args[..], &["--force"]].concat()).expect(0);
}

#[test]
fn compare_says_what_is_wrong_with_a_file() {
    let folder = Folder::new();
    folder.write("a.csv", "x,y\n1,2\n3,4\n");
    folder.write("ragged.csv", "x,y\n1,2\n3\n");
    folder.write("empty.csv", "");
    folder.write("other.csv", "p,q\n1,2\n");
    for (reference, current, expected) in [
        ("nowhere.csv", "a.csv", "nowhere.csv"),
        ("a.csv", "ragged.csv", "ragged.csv"),
        ("empty.csv", "a.csv", "empty"),
        ("a.csv", "other.csv", "x"),
    ] {
        let outcome =
            run(folder.path(), &["compare", "--reference", reference, "--current", current]).expect(2);
        assert!(outcome.stderr.contains(expected), "{reference} {current}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{reference} {current}: {}", outcome.stdout);
    }
}

const GOOD: &str = "models:\n  fraud:\n    versions: { v2: 'http://a:1', v1: 'http://b:1' }\n    active: v2\n    stable: v1\n";

#[test]
fn check_finds_every_problem_with_its_place() {
    let folder = Folder::new();
    folder.write("driftline.yaml", GOOD);
    let fine = run(folder.path(), &["check"]).expect(0);
    assert_eq!(fine.stdout, "`driftline.yaml` is valid: 1 model\n");
    let bad = "listen: 127.0.0.1:99999
models:
  fraud:
    versions: { v2: 'http://a:1', v1: 'ftp://b' }
    actve: v2
    shadow: { version: v9, percent: 500 }
alerts:
  tenants_red: -1
";
    folder.write("bad.yaml", bad);
    let outcome = run(folder.path(), &["check", "-c", "bad.yaml"]).expect(2);
    insta::assert_snapshot!("check_bad", outcome.stderr);
    assert!(outcome.stdout.is_empty());
    for place in ["bad.yaml:1:9", "bad.yaml:4:", "bad.yaml:5:5", "bad.yaml:6:", "bad.yaml:8:16"] {
        assert!(outcome.stderr.contains(place), "{place} is not in\n{}", outcome.stderr);
    }
    folder.write("broken.yaml", "models: [unclosed\n");
    let broken = run(folder.path(), &["check", "-c", "broken.yaml"]).expect(2);
    assert!(broken.stderr.contains("broken.yaml:"), "{}", broken.stderr);
    let missing = run(folder.path(), &["check", "-c", "nowhere.yaml"]).expect(2);
    assert!(missing.stderr.contains("nowhere.yaml"), "{}", missing.stderr);
    let not_run = run(folder.path(), &["run", "-c", "bad.yaml"]).expect(2);
    assert_eq!(not_run.stderr, outcome.stderr, "`run` says the same");
    assert!(!folder.path().join("driftline-data").exists());
}

#[test]
fn every_example_is_valid() {
    let examples = repository().join("examples");
    let mut n_examples = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let mut command = driftline(&examples);
            // Examples may ask for variables; any value will do.
            command.arg("check").arg("-c").arg(&path).env("DRIFTLINE_TOKEN", "0123456789abcdef0123");
            finish(&mut command).expect(0);
            n_examples += 1;
        }
    }
    assert!(n_examples >= 5, "{n_examples} examples");
}

#[test]
fn secrets_of_the_file_are_not_shown() {
    let folder = Folder::new();
    let secret = "a-token-that-nobody-may-see";
    folder.write("driftline.yaml", &format!("{GOOD}auth: {{ token: {secret}, tokn: {secret} }}\n"));
    let outcome = run(folder.path(), &["check"]).expect(2);
    assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("tokn"), "{}", outcome.stderr);
}

#[test]
fn exported_rules_are_rules() {
    let folder = Folder::new();
    let default = run(folder.path(), &["export", "prometheus-rules"]).expect(0).stdout;
    let rules = "alerts:\n  tenants_red: 5\n  rules:\n    FeaturePSICritical: { above: 0.4, for: 7m }\n    PSIAmber: { enabled: false }\n";
    folder.write("driftline.yaml", &format!("{GOOD}{rules}"));
    run(folder.path(), &["export", "prometheus-rules", "-c", "driftline.yaml", "-o", "own.yml"]).expect(0);
    let own = folder.read("own.yml");
    for alert in ["FeaturePSIHigh", "FeaturePSICritical", "LatencySpike"] {
        assert!(default.contains(alert) && own.contains(alert), "{alert}");
    }
    assert!(default.contains("PSIAmber") && !own.contains("PSIAmber"));
    assert!(own.contains("> 0.4") && own.contains("7m") && !own.contains("> 0.3"), "{own}");
    folder.write("default.yml", &default);
    let Some(promtool) = require("promtool") else { return };
    for file in ["default.yml", "own.yml"] {
        let mut command = std::process::Command::new(&promtool);
        command.args(["check", "rules", file]).current_dir(folder.path());
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped())).expect(0);
    }
}

#[test]
fn the_schema_is_a_schema() {
    let folder = Folder::new();
    let schema: Value =
        serde_json::from_str(&run(folder.path(), &["export", "json-schema"]).expect(0).stdout).unwrap();
    assert_eq!(schema["type"], "object");
    for key in ["listen", "admin", "models", "alerts", "rollback", "store", "limits", "auth", "tls"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

const COMMANDS: [&str; 14] = [
    "run",
    "demo",
    "compare",
    "detect",
    "baseline",
    "replay",
    "drill",
    "check",
    "export",
    "status",
    "rollback",
    "promote",
    "auto-rollback",
    "completions",
];

#[test]
fn every_help_has_an_example() {
    let folder = Folder::new();
    let help = run(folder.path(), &["--help"]).expect(0).stdout;
    insta::assert_snapshot!("help", help);
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the help");
        let outcome = run(folder.path(), &[command, "--help"]).expect(0);
        let example =
            outcome.stdout.split("Example").nth(1).unwrap_or_else(|| panic!("{command} shows no example"));
        assert!(example.contains(&format!("driftline {command}")), "{command}: {example}");
    }
    let version = run(folder.path(), &["--version"]).expect(0).stdout;
    assert_eq!(version, format!("driftline {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_known_exits_2() {
    let folder = Folder::new();
    for args in [
        &["frobnicate"][..],
        &[],
        &["run", "--frob"],
        &["compare"],
        &["export", "nonsense"],
        &["completions", "cmd"],
    ] {
        let outcome = run(folder.path(), args).expect(2);
        assert!(!outcome.stderr.is_empty() && outcome.stdout.is_empty(), "{args:?}: {outcome:?}");
    }
    for command in COMMANDS {
        let outcome = run(folder.path(), &[command, "--frob"]).expect(2);
        assert!(outcome.stderr.contains("--frob"), "{command}: {}", outcome.stderr);
    }
    let nothing = run(folder.path(), &["run"]).expect(2);
    assert!(nothing.stderr.contains("driftline.yaml"), "{}", nothing.stderr);
    let both = run(folder.path(), &["run", "--prod", "http://a", "-c", "x.yaml"]).expect(2);
    assert!(both.stderr.contains("--config"), "{}", both.stderr);
    let orphan = run(folder.path(), &["run", "--prod", "http://a", "--percent", "5"]).expect(2);
    assert!(orphan.stderr.contains("--shadow"), "{}", orphan.stderr);
}

#[test]
fn completions_know_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(folder.path(), &["completions", shell]).expect(0).stdout;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn a_closed_stdin_is_no_panic() {
    let folder = Folder::new();
    folder.write("a.csv", "x\n1\n2\n");
    let from_stdin = run(folder.path(), &["compare", "--reference", "a.csv", "--current", "-"]).expect(2);
    assert!(from_stdin.stderr.contains("standard input"), "{}", from_stdin.stderr);
    for redirect in ["<&-", "</dev/null"] {
        let script = format!("\"$0\" compare --reference a.csv --current - {redirect}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_driftline")]).current_dir(folder.path());
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped())).expect(2);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = flights();
    let cases: [&[&str]; 6] = [
        &["export", "json-schema"],
        &["completions", "bash"],
        &["export", "prometheus-rules"],
        &["--help"],
        &["compare", "--reference", "reference.csv", "--current", "after.csv", "--format", "html"],
        &["baseline", "reference.csv", "-o", "-"],
    ];
    for args in cases {
        let mut child = driftline(folder.path()).args(args).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(status.code(), Some(0), "{args:?}: {said}");
    }
}
