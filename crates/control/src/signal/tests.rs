//! The catalogue against everything that is made from it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::alert::kebab;
use crate::policy::{Condition, Policy, Rule, Severity};
use crate::prometheus::rules_yaml;
use crate::testing::policy;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `docs/guide/signals.md`.
fn reference() -> String {
    let mut text = String::from(
        "# Signals\n\n\
         Write a rule about any of these: `alerts.rules.NAME: { when: SIGNAL, above: LIMIT }`. This page is generated from the catalogue.\n\n\
         | `when` | is | unit | limits | kind | judged from |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for spec in &CATALOGUE {
        let unit = match spec.unit {
            Unit::Index => "-",
            Unit::Share => "0 to 1",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::PerSecond => "requests/s",
        };
        let limits: Vec<String> = spec.comparators.iter().map(|one| format!("`{}`", one.as_str())).collect();
        text.push_str(&format!(
            "| `{}` | {} | {unit} | {} | `{}` | {} |\n",
            spec.name,
            spec.summary,
            limits.join(", "),
            spec.kind.as_str(),
            spec.sample
        ));
    }
    text.push_str(
        "\n## Series for Prometheus\n\n| `when` | series | stored history |\n| --- | --- | --- |\n",
    );
    for spec in &CATALOGUE {
        let series: Vec<String> = spec.series.iter().map(|one| format!("`{one}`")).collect();
        let history = spec.history.map_or_else(|| "-".to_owned(), |one| format!("`{one}`"));
        text.push_str(&format!("| `{}` | {} | {history} |\n", spec.name, series.join(", ")));
    }
    text.push_str(
        "\n## Default rules\n\n| alert | condition | for | severity |\n| --- | --- | --- | --- |\n",
    );
    for rule in Policy::default_rules() {
        text.push_str(&format!(
            "| [`{}`](../runbooks/{}.md) | {} | {} | {} |\n",
            rule.name,
            kebab(&rule.name),
            rule.condition.describe(),
            crate::alert::duration(rule.for_ms),
            rule.severity.as_str()
        ));
    }
    text
}

#[test]
fn the_reference_is_current() {
    let path = repository().join("docs/guide/signals.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, reference()).expect("is written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == reference(), "`docs/guide/signals.md` is stale: UPDATE_DOCS=1 cargo test -p control");
}

#[test]
fn every_default_rule_has_a_runbook() {
    let index = std::fs::read_to_string(repository().join("docs/runbooks/README.md")).expect("is there");
    for rule in Policy::default_rules() {
        let file = format!("{}.md", kebab(&rule.name));
        let text =
            std::fs::read_to_string(repository().join("docs/runbooks").join(&file)).unwrap_or_default();
        assert!(text.starts_with(&format!("# {}\n", rule.name)), "docs/runbooks/{file}");
        assert!(index.contains(&format!("[{}]({file})", rule.name)), "{file} is not in the index");
    }
}

/// A rule for every signal and each of its comparators.
fn every_rule() -> Vec<Rule> {
    let mut rules = Vec::new();
    for spec in &CATALOGUE {
        for comparator in spec.comparators {
            let begin = Condition::of(spec.signal);
            let condition = match comparator {
                Comparator::Above => Condition { above: Some(spec.example), ..begin },
                Comparator::Below => Condition { below: Some(spec.example), ..begin },
                Comparator::UpTo => Condition { above: Some(0.1), up_to: Some(spec.example), ..begin },
                Comparator::Drop => Condition { drop: Some(0.5), ..begin },
                Comparator::AboveStable => {
                    Condition { above: Some(spec.example), above_stable: Some(1.5), ..begin }
                }
            };
            let name = format!("{}-{}", spec.name, comparator.as_str());
            let severity = Severity::Warning;
            rules.push(Rule { name, severity, condition, for_ms: 60_000, keep_firing_ms: 0 });
        }
    }
    rules
}

#[test]
fn every_signal_and_comparator_is_exported_with_its_series_and_words() {
    let rules = every_rule();
    for rule in &rules {
        let text = rules_yaml(&Policy { rules: vec![rule.clone()], ..policy() });
        for series in rule.condition.signal.spec().series {
            assert!(text.contains(series), "{}: no {series}", rule.name);
        }
        assert!(!range(&rule.condition).is_empty(), "{}", rule.name);
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules_yaml(&Policy { rules, ..policy() })).expect("is written");
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&file).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_signal_has_an_entry_in_its_place() {
    for (idx, spec) in CATALOGUE.iter().enumerate() {
        assert_eq!(spec.signal as usize, idx, "{}", spec.name);
        assert_eq!(Signal::parse(spec.name), Some(spec.signal));
        assert_eq!(serde_json::to_value(spec.signal).unwrap(), spec.name);
        assert!(!spec.summary.is_empty() && !spec.sample.is_empty(), "{}", spec.name);
        assert!(!spec.comparators.is_empty(), "{}", spec.name);
        assert!(!spec.series.is_empty(), "{} has no series", spec.name);
        assert!(spec.title.contains("{model}") && spec.title.contains("{version}"), "{}", spec.name);
        assert!(spec.text.contains("{value}") || spec.title.contains("{value}"), "{}", spec.name);
        assert!(spec.text.contains("{held}"), "{}", spec.name);
        let feature = spec.title.contains("{feature}");
        assert_eq!(feature, spec.about == About::Feature, "{}", spec.name);
        assert!((0.0..=spec.unit.most()).contains(&spec.example), "{}", spec.name);
    }
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
}
