//! Belongs here: the files of `deploy/` as the programs that read them judge them, and the stack that is exported.

use std::path::Path;
use std::process::Command;

use crate::stack::{TOKEN, free_address, shipped};
use crate::support::instance::Folder;
use crate::support::{repository, require, run};

/// Runs a program that checks a file.
#[track_caller]
fn check(program: &Path, args: &[&str], folder: &Path) {
    let done = Command::new(program).args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{} {args:?}:\n{}{said}",
        program.display(),
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn prometheus_and_alertmanager_take_their_files_as_they_are() {
    let (Some(promtool), Some(amtool)) = (require("promtool"), require("amtool")) else { return };
    let deploy = repository().join("deploy");
    check(&promtool, &["check", "config", "prometheus.yml"], &deploy.join("prometheus"));
    check(&promtool, &["test", "rules", "driftline-recording.test.yml"], &deploy.join("prometheus"));
    check(&amtool, &["check-config", "alertmanager.yml"], &deploy.join("alertmanager"));
    let route = |labels: &[&str]| {
        let mut command = Command::new(&amtool);
        command.args(["config", "routes", "test", "--config.file", "alertmanager.yml"]).args(labels);
        let done = command.current_dir(deploy.join("alertmanager")).output().unwrap();
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    assert_eq!(route(&["severity=critical", "alertname=FeaturePSICritical"]), "driftline,slack");
    assert_eq!(route(&["severity=critical", "alertname=SomebodyElses"]), "slack");
    assert_eq!(route(&["severity=warning", "alertname=FeaturePSIHigh"]), "slack");
}

#[test]
fn nginx_takes_the_stacks_file() {
    let Some(nginx) = require("nginx") else { return };
    let folder = Folder::new();
    let here = folder.path().to_str().unwrap();
    folder.write("mirror-auth.conf", "proxy_set_header Authorization \"Bearer x\";\n");
    let config = shipped(
        "compose/nginx.conf",
        &[
            // First, because the folder may itself be below it.
            ("/tmp/", &format!("{here}/")),
            ("/run/secrets", here),
            ("listen 8080", &format!("listen {}", free_address())),
            ("model-v2:8000", "127.0.0.1:9"),
            ("observer:9464", "127.0.0.1:9"),
        ],
    );
    let file = folder.write("nginx.conf", &config);
    check(&nginx, &["-t", "-p", here, "-c", file.to_str().unwrap()], folder.path());
}

#[test]
fn envoy_takes_the_file_for_copies_in_kubernetes() {
    let Some(envoy) = require("envoy") else { return };
    let folder = Folder::new();
    let token = folder.write("token", TOKEN);
    let config = shipped(
        "kubernetes/examples/copies-envoy.yaml",
        &[("/etc/driftline-auth/token", token.to_str().unwrap())],
    );
    let file = folder.write("envoy.yaml", &config);
    check(&envoy, &["--mode", "validate", "-c", file.to_str().unwrap()], folder.path());
}

#[test]
fn the_configurations_of_the_stack_are_valid() {
    let folder = Folder::new();
    let here = folder.path().to_str().unwrap();
    folder.write("driftline-token", TOKEN);
    folder.write("privacy-key", "0123456789abcdef0123456789abcdef0123");
    for name in ["driftline.yaml", "observer.yaml"] {
        folder.write(name, &shipped(&format!("compose/{name}"), &[("/run/secrets", here)]));
        run(folder.path(), &["check", "-c", name]).expect(0);
    }
}

#[test]
fn a_stack_is_written_for_ones_own_configuration() {
    let folder = Folder::new();
    folder.write("fraud.yaml", "models: { fraud: { versions: { v1: 'http://v1:80' }, active: v1 } }\nalerts: { rules: { PSIAmber: { above: 0.15 } } }\n");
    let said = run(folder.path(), &["export", "compose", "-c", "fraud.yaml", "-o", "stack"]).expect(0).stderr;
    // What does not fit into a container is said: this one listens on loopback and has no token.
    assert!(said.contains("listen: 0.0.0.0:8080") && said.contains("driftline-token"), "{said}");
    assert!(folder.read("stack/compose.yaml").contains("fraud.yaml"));
    assert!(folder.read("stack/prometheus/driftline-rules.yml").contains("> 0.15 <= 0.2"));
    assert!(!folder.read("stack/alertmanager/alertmanager.yml").contains("credentials_file"));
    assert!(folder.read("stack/grafana/driftline.json").contains("0.15"));
    let done = Command::new("sh").arg("stack/init.sh").current_dir(folder.path()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(folder.read("stack/secrets/driftline-token").len() >= 32);
    // Without a folder the file goes to stdout, with the example models.
    let text = run(folder.path(), &["export", "compose"]).expect(0).stdout;
    assert!(text.contains("model-v2:"), "{text}");
}
