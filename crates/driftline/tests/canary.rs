//! Belongs here: real traffic shared out between versions, routes, and the listener's own TLS.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::json;

use crate::support::fraud::Pair;
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, finish, repository, require};

#[track_caller]
fn answered_by(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> String {
    let body = rows::body(&[ordinary(0)]).to_string();
    let answer = client.send("POST", path, fields, body.as_bytes());
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.header("x-model").unwrap().to_owned()
}

#[test]
fn a_split_of_ninety_to_ten_roughly_holds() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("split: { v1: 90, v2: 10 }", ""));
    let mut client = instance.client();
    for _ in 0..2_000 {
        answered_by(&mut client, INFER, &[]);
    }
    // Six standard deviations of a binomial distribution: 200 plus and minus 80.
    let n_canary = models.v2.count();
    assert!((120..=280).contains(&n_canary), "{n_canary} of 2000 instead of about 200");
    assert_eq!(models.v1.count() + n_canary, 2_000);
    let page = instance.metrics();
    let counted =
        page.value("driftline_requests_total", &[("version", "v2"), ("lane", "prod"), ("code", "200")]);
    assert_eq!(counted, Some(n_canary as f64));
}

#[test]
fn a_rollback_overrides_the_split_and_promote_brings_it_back() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("split: { v1: 50, v2: 50 }", ""));
    let mut client = instance.client();
    let mut share = || (0..200).filter(|_| answered_by(&mut client, INFER, &[]) == "v2").count();
    assert!((40..=160).contains(&share()));
    assert_eq!(instance.post("/api/v1/models/fraud/rollback", &json!({})).status(), 200);
    assert_eq!(share(), 0);
    assert_eq!(instance.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
    assert!((40..=160).contains(&share()));
}

#[test]
fn a_sticky_header_keeps_a_client_on_one_version() {
    let (models, folder) = (Pair::start(), Folder::new());
    let yaml = models.yaml("split: { v1: 50, v2: 50 }\nsticky: x-user-id", "");
    let home: BTreeMap<String, String> = {
        let instance = Instance::start(&folder, &yaml);
        let mut client = instance.client();
        let mut home = BTreeMap::new();
        for round in 0..5 {
            for user in 0..60 {
                let user = format!("user-{user}");
                let version = answered_by(&mut client, INFER, &[("x-user-id", &user)]);
                let first = home.entry(user.clone()).or_insert_with(|| version.clone());
                assert_eq!(*first, version, "{user} in round {round}");
            }
        }
        home
    };
    let n_canary = home.values().filter(|version| *version == "v2").count();
    assert!((10..=50).contains(&n_canary), "{n_canary} of 60 users instead of about 30");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    for (user, version) in &home {
        let again = answered_by(&mut client, INFER, &[("x-user-id", user)]);
        assert_eq!(again, *version, "{user} after a restart");
    }
}

#[test]
fn models_share_a_listener_by_path_and_header() {
    let (fraud, churn, folder) = (Model::start("fraud"), Model::start("churn"), Folder::new());
    let yaml = format!(
        "models:
  churn:
    versions: {{ only: {} }}
    active: only
    route: {{ header: {{ x-model: churn }} }}
    auto_rollback: false
  fraud:
    versions: {{ only: {} }}
    active: only
    route: {{ path: /fraud, strip_prefix: true }}
    auto_rollback: false
",
        churn.url(),
        fraud.url()
    );
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    assert_eq!(answered_by(&mut client, &format!("/fraud{INFER}"), &[]), "fraud");
    assert_eq!(fraud.seen()[0].path(), INFER, "the prefix is taken off");
    assert_eq!(answered_by(&mut client, INFER, &[("x-model", "churn")]), "churn");
    let nobody = client.send("POST", "/fraudulent", &[], b"{}");
    assert_eq!(nobody.status(), 404, "{nobody:?}");
    let page = instance.metrics();
    assert_eq!(page.sum("driftline_requests_total", &[("model", "fraud")]), 1.0);
    assert_eq!(page.sum("driftline_requests_total", &[("model", "churn")]), 1.0);
    assert_eq!(page.value("driftline_unrouted_total", &[]), Some(1.0));
}

#[test]
fn tls_with_the_example_certificates() {
    let Some(curl) = require("curl") else { return };
    let tls = repository().join("examples/tls");
    let (models, folder) = (Pair::start(), Folder::new());
    let rest =
        format!("tls: {{ cert_file: {0}/test-server.crt, key_file: {0}/test-server.key }}\n", tls.display());
    let instance = Instance::start(&folder, &models.yaml("", &rest));
    let url = format!("https://localhost:{}{INFER}", instance.traffic.port());
    let body = rows::body(&[ordinary(0)]).to_string();
    for version in ["--http1.1", "--http2"] {
        let mut command = Command::new(&curl);
        command.args([
            "-sS",
            version,
            "--resolve",
            &format!("localhost:{}:127.0.0.1", instance.traffic.port()),
        ]);
        command.arg("--cacert").arg(tls.join("test-ca.crt")).args(["-d", &body, "-D", "-", &url]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let outcome = finish(&mut command).expect(0);
        assert!(outcome.stdout.contains(" 200"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("x-model: v2"), "{}", outcome.stdout);
    }
    let plain = Client::new(instance.traffic).try_send("POST", INFER, &[], body.as_bytes());
    assert!(plain.is_err(), "plain HTTP is not answered: {plain:?}");
    await_until("both requests are counted", DEADLINE, || {
        instance.metrics().sum("driftline_requests_total", &[("lane", "prod"), ("code", "200")]) == 2.0
    });
}
