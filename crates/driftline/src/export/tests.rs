//! The generated files of `deploy/` are what the program writes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

/// Compares a file of the repository with what is generated; `UPDATE_DOCS=1` writes it.
fn generated(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == text,
        "deploy/{file} is not what the program writes: UPDATE_DOCS=1 cargo test -p driftline --bin driftline export"
    );
}

#[test]
fn the_files_of_deploy_are_what_is_exported() {
    let policy = config::default_policy();
    generated("alertmanager/alertmanager.yml", &alertmanager::alertmanager_yaml(&policy, true));
    generated("grafana/driftline.json", &dashboard::dashboard_json(&policy));
    generated("compose/compose.yaml", &compose::compose_yaml(compose::Form::Repository).unwrap());
    // The chart can't reach files outside of its folder.
    generated("kubernetes/driftline/files/driftline-rules.yml", &control::rules_yaml(&policy));
    generated("kubernetes/driftline/files/driftline.json", &dashboard::dashboard_json(&policy));
}

fn dashboard(policy: &Policy) -> Value {
    serde_json::from_str(&dashboard::dashboard_json(policy)).unwrap()
}

#[test]
fn panels_stand_beside_each_other_and_have_ids_of_their_own() {
    let dashboard = dashboard(&config::default_policy());
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(of("x") + of("w") <= 24, "{panel}");
        for cell in
            (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "`{}` covers another panel", panel["title"]);
        }
    }
}

#[test]
fn colours_begin_where_the_policy_says() {
    let gauge = |policy: &Policy| {
        let dashboard = dashboard(policy);
        let panels = dashboard["panels"].as_array().unwrap();
        let gauge = panels.iter().find(|panel| panel["type"] == "gauge").unwrap();
        let steps = gauge["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap().clone();
        let step = |step: &Value| (step["color"].as_str().unwrap().to_owned(), step["value"].as_f64());
        steps.iter().map(step).collect::<Vec<_>>()
    };
    let mut policy = config::default_policy();
    let step = |color: &str, value| (color.to_owned(), value);
    assert_eq!(gauge(&policy), [step("green", None), step("orange", Some(0.1)), step("red", Some(0.2))]);
    policy.rules.retain(|rule| rule.name == "FeaturePSICritical");
    assert_eq!(gauge(&policy)[2], step("red", Some(0.3)));
}

#[test]
fn a_stack_of_ones_own_has_no_example_models() {
    let own = compose::compose_yaml(compose::Form::Own(Path::new("/srv/models/fraud.yaml"))).unwrap();
    assert!(own.contains("run, -c, \"/etc/driftline/fraud.yaml\""), "{own}");
    assert!(own.contains("source: \"/srv/models\", target: /etc/driftline"), "{own}");
    for absent in ["example", "kafka", "nginx", "#[", "../", "build:", "@"] {
        assert!(!own.contains(absent), "`{absent}` in:\n{own}");
    }
    let demo = compose::compose_yaml(compose::Form::Demo).unwrap();
    assert!(demo.contains("model-v2") && !demo.contains("build:") && !demo.contains("../"), "{demo}");
    assert!(compose::compose_yaml(compose::Form::Own(Path::new("/srv/\"x/fraud.yaml"))).is_err());
}
