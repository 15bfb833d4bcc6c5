//! Belongs here: what `GET /metrics` and the health calls promise to Prometheus and to probes, for `run` without a file.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::prometheus::Page;
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_until, finish, require};

/// Metric, type, labels in the promised order.
const CONTRACT: [(&str, &str, &[&str]); 14] = [
    ("psi", "gauge", &["model", "version", "lane", "tenant", "feature", "reference"]),
    ("js_divergence", "gauge", &["model", "version", "lane", "tenant", "feature", "reference"]),
    ("requests", "gauge", &["model", "version", "lane", "tenant"]),
    ("inference_latency", "histogram", &["model", "version", "lane"]),
    ("driftline_requests_total", "counter", &["model", "version", "lane", "code"]),
    ("driftline_shadow_percent", "gauge", &["model"]),
    ("driftline_shadow_copies_total", "counter", &["model", "result"]),
    ("driftline_observations_dropped_total", "counter", &["model", "reason"]),
    ("driftline_tenants_red", "gauge", &["model"]),
    ("driftline_active_version", "gauge", &["model", "version"]),
    ("driftline_auto_rollback_enabled", "gauge", &["model"]),
    ("driftline_rollbacks_total", "counter", &["model", "trigger"]),
    ("driftline_alert_state", "gauge", &["alert", "model", "severity"]),
    ("driftline_build_info", "gauge", &["version", "revision"]),
];

/// Requests sent: the 1 000 that the reference is learned from, and a full window.
const REQUESTS: usize = 2_200;

/// Of these, requests that windows count: the reference is not compared with itself.
const MEASURED: usize = REQUESTS - 1_000;

struct Served {
    instance: Instance,
    prod: Model,
    shadow: Model,
    _folder: Folder,
}

/// Two models, every request copied, two tenants in turn; every answer compared with the model's own.
fn serve() -> Served {
    let folder = Folder::new();
    let (prod, shadow) = (Model::start("prod"), Model::start("shadow"));
    let twin = Model::start("prod");
    let mut direct = Client::new(twin.address);
    let (prod_url, shadow_url) = (prod.url(), shadow.url());
    let args = ["run", "--prod", &prod_url, "--shadow", &shadow_url, "--percent", "100"];
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let instance = Instance::with_args(&folder, &[&args[..], &ports].concat());
    let mut client = instance.client();
    for n in 0..REQUESTS {
        // A hundred rows in turn: both see every amount and country alike.
        let tenant = if n / 100 % 2 == 0 { "acme" } else { "globex" };
        let answer = rows::infer(&mut client, Some(tenant), &[ordinary(n)]);
        let expected = rows::infer(&mut direct, Some(tenant), &[ordinary(n)]);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.body, expected.body);
        // A copy that came after the reference was learned, of a request that came before, would count.
        if n + 1 == REQUESTS - MEASURED {
            let sent = n + 1;
            await_until("the reference is learned", DEADLINE, || instance.model()["rows"] == 2 * sent);
        }
        for (name, value) in &expected.fields {
            assert_eq!(answer.header(name), Some(value.as_str()), "{name}");
        }
    }
    await_until("every request and copy is measured", DEADLINE, || instance.model()["rows"] == 2 * REQUESTS);
    instance.await_requests("prod", "prod", "acme", MEASURED / 2);
    instance.await_requests("prod", "prod", "globex", MEASURED / 2);
    instance.await_requests("prod", "prod", "all", 1_000);
    instance.await_requests("shadow", "shadow", "all", 1_000);
    instance.await_reference();
    await_until(
        "psi of three features, three tenants, three pairs of window and reference",
        DEADLINE,
        || psi_series(&instance.metrics()) == 3 * 3 * 3,
    );
    Served { instance, prod, shadow, _folder: folder }
}

fn psi_series(page: &Page) -> usize {
    page.all("psi", &[("tenant", "all")]).count()
        + page.all("psi", &[("tenant", "acme")]).count()
        + page.all("psi", &[("tenant", "globex")]).count()
}

#[test]
fn every_metric_of_the_contract_is_there_in_both_formats() {
    let served = serve();
    let page = served.instance.metrics();
    for (name, kind, labels) in CONTRACT {
        assert_eq!(page.kind(name), Some(kind), "{name}");
        let sample_name = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        let samples: Vec<_> = page.all(&sample_name, &[]).collect();
        assert!(!samples.is_empty(), "{name} has no sample");
        for sample in samples {
            let names: Vec<&str> = sample.labels.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, labels, "{name}");
        }
    }
    check_values(&served, &page);
    check_formats(&served.instance);
    check_health(&served.instance);
}

fn check_values(served: &Served, page: &Page) {
    let all_requests = REQUESTS as f64;
    assert_eq!(served.prod.count(), REQUESTS);
    assert_eq!(served.shadow.count(), REQUESTS);
    for (version, lane) in [("prod", "prod"), ("shadow", "shadow")] {
        let of = [("version", version), ("lane", lane)];
        assert_eq!(
            page.sum("driftline_requests_total", &[&of[..], &[("code", "200")]].concat()),
            all_requests
        );
        assert_eq!(page.value("inference_latency_count", &of), Some(all_requests));
        let infinite = [&of[..], &[("le", "+Inf")]].concat();
        assert_eq!(page.value("inference_latency_bucket", &infinite), Some(all_requests));
        assert!(page.value("inference_latency_sum", &of).unwrap() > 0.0);
        for (tenant, n) in [("all", 1_000), ("acme", MEASURED / 2), ("globex", MEASURED / 2)] {
            let labels = [&of[..], &[("tenant", tenant)]].concat();
            let counted =
                page.value("requests", &labels).unwrap_or_else(|| panic!("no requests for {labels:?}"));
            // A copy can come after the reference has been learned whose original came before.
            let late = if lane == "shadow" && tenant != "all" { 20.0 } else { 0.0 };
            assert!((counted - n as f64).abs() <= late, "{labels:?}: {counted}");
            for feature in ["amount", "country", "prediction"] {
                let labels = [&labels[..], &[("feature", feature), ("reference", "baseline")]].concat();
                let psi = page.value("psi", &labels).unwrap_or_else(|| panic!("no psi for {labels:?}"));
                let js = page.value("js_divergence", &labels).unwrap();
                assert!((0.0..0.05).contains(&psi) && (0.0..0.01).contains(&js), "{labels:?}: {psi}, {js}");
            }
        }
    }
    for feature in ["amount", "country", "prediction"] {
        let labels = [("lane", "shadow"), ("reference", "prod"), ("feature", feature), ("tenant", "all")];
        assert!(page.value("psi", &labels).unwrap() < 0.05, "{labels:?}");
    }
    let copies = |result| page.value("driftline_shadow_copies_total", &[("result", result)]);
    assert_eq!(
        ["sent", "dropped", "failed", "timeout"].map(copies),
        [Some(all_requests), Some(0.0), Some(0.0), Some(0.0)]
    );
    assert_eq!(page.value("driftline_shadow_percent", &[]), Some(100.0));
    assert_eq!(page.value("driftline_active_version", &[("version", "prod")]), Some(1.0));
    assert_eq!(page.value("driftline_active_version", &[("version", "shadow")]), Some(0.0));
    assert_eq!(page.sum("driftline_observations_dropped_total", &[]), 0.0);
    assert_eq!(page.sum("driftline_panics_total", &[]), 0.0);
    for trigger in ["alert", "manual", "drill"] {
        assert_eq!(page.value("driftline_rollbacks_total", &[("trigger", trigger)]), Some(0.0));
    }
    assert_eq!(page.value("driftline_build_info", &[]), Some(1.0));
}

fn check_formats(instance: &Instance) {
    let plain = instance.call("GET", "/metrics", &[], b"");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    // What Prometheus 3 sends.
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let open = instance.call("GET", "/metrics", &[("accept", accept)], b"");
    let content_type = open.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
    assert!(open.text().ends_with("\n# EOF\n"));
    assert!(!plain.text().contains("# EOF"));
    assert!(
        open.text().contains("# TYPE driftline_requests counter\n"),
        "a counter's family has no `_total`"
    );
    if let Some(promtool) = require("promtool") {
        check_with(&promtool, plain.text());
    }
}

/// promtool's findings are about style as well; those it has on the contract's own names are known.
pub(crate) fn check_with(promtool: &Path, metrics: &str) {
    let mut command = Command::new(promtool);
    let mut child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    // 1 is a text that cannot be read, 3 a matter of style.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    let unknown: Vec<&str> =
        said.lines().filter(|line| !line.contains("driftline_evaluation_microseconds")).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn check_health(instance: &Instance) {
    assert_eq!(instance.get("/healthz")["status"], "ok");
    assert_eq!(instance.get("/readyz")["status"], "ready");
    let page = instance.call("GET", "/", &[], b"");
    assert_eq!(page.status(), 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn it_is_ready_before_the_first_request_and_ends_by_itself() {
    let folder = Folder::new();
    let prod = Model::start("prod");
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let instance = Instance::with_args(&folder, &[&["run", "--prod", &prod.url()][..], &ports].concat());
    check_health(&instance);
    let page = instance.metrics();
    assert_eq!(page.value("driftline_active_version", &[]), Some(1.0));
    let (status, log) = instance.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(folder.path().join("driftline-data").is_dir());
}

#[test]
fn an_address_in_use_is_named() {
    let folder = Folder::new();
    let prod = Model::start("prod");
    let taken = prod.address.to_string();
    for (listen, admin) in [(taken.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", taken.as_str())] {
        let mut command = crate::support::driftline(folder.path());
        let outcome =
            finish(command.args(["run", "--prod", &prod.url(), "--listen", listen, "--admin", admin]));
        let outcome = outcome.expect(2);
        assert!(outcome.stderr.contains(&taken), "{}", outcome.stderr);
    }
}
