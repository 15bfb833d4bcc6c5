//! Generated files are up to date, and every example works.

use std::path::{Path, PathBuf};

use monitor::profile::{BuildRules, ProfileBuilder};
use serde_json::Value;
use stats::{BinningRule, RangeRule};

use crate::schema::{alternatives, type_of};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a generated file; writes it with `UPDATE_DOCS=1`.
fn check_generated(name: &str, content: &str) {
    let path = repository().join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == content, "{name} is stale: run `UPDATE_DOCS=1 cargo test -p config`");
}

#[test]
fn the_schema_is_up_to_date() {
    check_generated("docs/driftline.schema.json", &format!("{:#}\n", crate::json_schema()));
}

#[test]
fn the_reference_is_up_to_date() {
    check_generated("docs/configuration.md", &crate::reference_markdown());
}

/// The profile that examples name: made-up training data of 5 000 transactions.
#[test]
fn the_example_profile_is_up_to_date() {
    let rules = BuildRules {
        binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::Quantile },
        categories: 100,
    };
    let mut builder = ProfileBuilder::new(rules);
    // Marsaglia's xorshift: the same numbers everywhere.
    let mut state = 88_172_645_463_325_252u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for _ in 0..5_000 {
        // Rounded and made of sums alone, so that no platform's logarithm matters.
        let bell = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        builder.column("amount").push_number(((bell * 30.0 + 120.0).max(1.0) * 100.0).round() / 100.0);
        builder.column("age").push_number((18.0 + 60.0 * uniform() * uniform()).round());
        let country = ["DE", "DE", "DE", "FR", "FR", "IT", "ES", "PL"][(uniform() * 8.0) as usize];
        builder.column("country").push_text(country);
    }
    let profile = builder.finish("fraud", 1_767_225_600_000);
    check_generated("examples/fraud-baseline.json", &format!("{}\n", profile.to_json_pretty()));
}

#[test]
fn every_key_is_documented_and_every_kind_is_known() {
    fn walk(schema: &Value, path: &str, seen: &mut usize) {
        for allowed in alternatives(schema) {
            if let Some(kind) = allowed.get("x-kind").and_then(Value::as_str) {
                let refusal = crate::text::check(kind, "").expect_err("no kind takes an empty text");
                assert!(!refusal.message.contains("unknown kind"), "{path}: {kind}");
            }
            assert!(!type_of(&allowed).is_empty(), "{path}: {allowed}");
            for (key, property) in allowed.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                *seen += 1;
                let is_variant =
                    allowed.get("required").is_some_and(|keys| keys == &serde_json::json!([key]));
                let is_described = is_variant && allowed.get("description").is_some()
                    || property.get("description").is_some()
                    || alternatives(property).iter().any(|allowed| allowed.get("description").is_some());
                assert!(is_described, "{path}.{key} has no description");
                walk(property, &format!("{path}.{key}"), seen);
            }
            for key in ["items", "additionalProperties"] {
                if let Some(inner) = allowed.get(key).filter(|inner| inner.is_object()) {
                    walk(inner, &format!("{path}.{key}"), seen);
                }
            }
        }
    }
    let mut seen = 0;
    walk(&crate::json_schema(), "", &mut seen);
    assert!(seen > 80, "only {seen} keys were walked");
}

/// Every example, with the variables it needs.
fn examples() -> Vec<PathBuf> {
    let folder = repository().join("examples");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn every_example_loads_without_a_warning() {
    let names: Vec<String> =
        examples().iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "actuators",
            "canary",
            "data-capture",
            "fluent-bit",
            "follow",
            "full",
            "json-paths",
            "kafka",
            "llm",
            "logs",
            "minimal",
            "notify",
            "observe",
            "pairs",
            "profile",
            "retrain",
            "tail",
            "tenants",
            "tls"
        ]
    );
    for path in examples() {
        let loaded = crate::load(&path, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, Vec::<String>::new(), "{}", path.display());
    }
}

/// Every protocol has a page, and every configuration on one works.
#[test]
fn the_pages_of_the_protocols_load() {
    for protocol in record::Protocol::ALL {
        if protocol == record::Protocol::Auto {
            continue;
        }
        let page = repository().join(format!("docs/guide/protocols/{protocol}.md"));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        let configurations: Vec<&str> =
            text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!configurations.is_empty(), "{} has no configuration", page.display());
        assert!(configurations[0].contains(&format!("protocol: {protocol}\n")), "{}", page.display());
        for configuration in configurations {
            let warnings = super::good(configuration).warnings;
            assert!(warnings.is_empty(), "{}: {}", page.display(), warnings[0]);
        }
    }
}

/// Every configuration on a page about a source works.
#[test]
fn the_pages_of_the_sources_load() {
    let folder = repository().join("docs/guide/sources");
    for entry in std::fs::read_dir(folder).unwrap() {
        let page = entry.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        let configurations: Vec<&str> =
            text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!configurations.is_empty(), "{} has no configuration", page.display());
        // What begins otherwise is another program's.
        for configuration in configurations.iter().filter(|one| one.starts_with("admin:")) {
            let warnings = super::good(configuration).warnings;
            assert!(warnings.is_empty(), "{}: {}", page.display(), warnings[0]);
        }
    }
}

/// Every configuration on the pages about what alerts and decisions do works.
#[test]
fn the_pages_of_the_actions_load() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slack-url"), "https://hooks.slack.com/services/T0/B0/x").unwrap();
    for name in ["notifications", "actuators", "following", "retraining"] {
        let page = repository().join(format!("docs/guide/{name}.md"));
        let text = std::fs::read_to_string(&page).unwrap();
        let configurations: Vec<&str> =
            text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!configurations.is_empty(), "{name} has no configuration");
        for configuration in configurations {
            let loaded = crate::parse(configuration, "page.yaml", folder.path(), &|_| None);
            let loaded = loaded.unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert!(loaded.warnings.is_empty(), "{name}: {}", loaded.warnings[0]);
        }
    }
}

/// Every configuration on the pages about platforms works, those in values of the chart as well.
#[test]
fn the_pages_of_the_platforms_load() {
    // The profile that they name is there.
    let folder = repository().join("examples");
    for (name, actuators) in [
        ("sagemaker", &["sagemaker:"][..]),
        ("vertex", &["vertex:"]),
        ("terraform", &["terraform:"]),
        ("kubernetes", &["kserve:", "argo_rollouts:"]),
    ] {
        let page = repository().join(format!("docs/guide/platforms/{name}.md"));
        let text = std::fs::read_to_string(&page).unwrap();
        let mut loaded = String::new();
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let configuration = if let Some((_, below)) = block.split_once("\nconfig:\n") {
                below.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
            } else if block.starts_with("models:") || block.starts_with("# driftline.yaml") {
                block.to_owned()
            } else {
                // Another program's.
                continue;
            };
            let found = crate::parse(&configuration, "page.yaml", &folder, &|_| None);
            let found = found.unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert!(found.warnings.is_empty(), "{name}: {}", found.warnings[0]);
            loaded.push_str(&configuration);
        }
        for actuator in actuators {
            assert!(loaded.contains("actuators:") && loaded.contains(actuator), "{name}: no {actuator}");
        }
    }
}

/// The full example shows every key of the schema, set or commented out.
#[test]
fn the_full_example_is_full() {
    let text = std::fs::read_to_string(repository().join("examples/full.yaml")).unwrap();
    let reference = crate::reference_markdown();
    let keys =
        reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key);
    let missing: Vec<&str> = keys.filter(|key| !text.contains(&format!("{key}:"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What we accept, other programs accept by the schema, and what they refuse we refuse.
#[test]
fn the_schema_means_the_same_to_other_programs() {
    let validator = jsonschema::validator_for(&crate::json_schema()).unwrap();
    let valid = |json: Value| (validator.is_valid(&json), super::parse(&json.to_string()).is_ok());
    let model = |more: Value| {
        let mut model = serde_json::json!({ "versions": { "v1": "http://a:1" }, "active": "v1" });
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!({ "models": { "m": model } })
    };
    let accepted = [
        serde_json::json!({}),
        serde_json::json!({ "tenant": false, "window": 200, "shadow": { "version": "v1", "percent": 0.5 } }),
        serde_json::json!({ "shadow": [{ "version": "v1", "percent": 5, "sample_by": { "header": "x" }, "timeout": "1m30s" }] }),
        serde_json::json!({ "baseline": "previous-window", "binning": { "type": "quantile", "bins": 200 } }),
    ];
    for more in accepted {
        assert_eq!(valid(model(more.clone())), (true, true), "{more}");
    }
    let refused = [
        serde_json::json!({ "tenant": true }),
        serde_json::json!({ "window": 9 }),
        serde_json::json!({ "shadow": { "version": "v1", "percent": 101 } }),
        serde_json::json!({ "shadow": { "version": "v1", "percent": 1, "timeout": "5" } }),
        serde_json::json!({ "shadow": [] }),
        serde_json::json!({ "binning": { "bins": 1 } }),
        serde_json::json!({ "unknown": 1 }),
        serde_json::json!({ "protocol": "grpc" }),
        serde_json::json!({ "stable": null }),
        serde_json::json!({ "versions": {} }),
        serde_json::json!({ "versions": { "..": "http://a:1" }, "active": ".." }),
    ];
    for more in refused {
        let (schema, ours) = valid(model(more.clone()));
        // Names of map entries are checked by our own `x-kind`, which other programs do not know.
        assert!(!ours && (!schema || more.pointer("/versions/..").is_some()), "{more}: {schema}, {ours}");
    }
}
