//! Belongs here: a large installation. 30 features, 50 tenants, 30 days of history: answers stay small, pages whole. How fast
//! they are is measured by `bench/dashboard`.

use control::{HistoryPoint, Metric, Series, Store};
use record::Lane;
use serde_json::{Map, Value, json};

use super::Running;
use crate::support::browser::Browser;
use crate::support::instance::Instance;
use crate::support::{DEADLINE, await_until};

const FEATURES: usize = 30;
const TENANTS: usize = 50;
const DAYS: i64 = 30;

/// No answer that the dashboard asks for is larger.
const BYTES_MAX: usize = 1_000_000;

fn series(metric: Metric, tenant: &str, feature: &str) -> Series {
    let text = str::to_owned;
    Series {
        model: text("fraud"),
        metric,
        version: text("v2"),
        lane: Lane::Prod,
        tenant: text(tenant),
        feature: text(feature),
    }
}

/// Two points a day of every tenant and one every half hour of the total, for 30 days.
fn fill_history(folder: &std::path::Path, now_ms: i64) {
    let mut store = Store::open(folder).unwrap();
    let value = |at: i64, feature: usize| ((at / 600_000 + feature as i64 * 7) % 50) as f64 / 200.0;
    for step in 0..DAYS * 48 {
        let at = now_ms - (DAYS * 48 - step) * 1_800_000;
        let mut points = Vec::new();
        let mut push = |tenant: &str| {
            for feature in 0..FEATURES {
                for metric in [Metric::Psi, Metric::JsDivergence] {
                    let series = series(metric, tenant, &format!("feature-{feature:02}"));
                    points.push(HistoryPoint { series, value: value(at, feature) });
                }
            }
        };
        push("all");
        if step % 24 == 0 {
            (0..TENANTS).for_each(|tenant| push(&format!("tenant-{tenant:02}")));
        }
        points.push(HistoryPoint { series: series(Metric::P95Ms, "all", ""), value: 10.0 });
        points.push(HistoryPoint { series: series(Metric::RequestsPerSecond, "all", ""), value: 100.0 });
        store.write_history(at, &points).unwrap();
    }
}

fn observe(instance: &Instance, rows_of_each: usize) {
    for tenant in 0..TENANTS {
        let record = |n: usize| {
            let features: Map<String, Value> = (0..FEATURES)
                .map(|feature| (format!("feature-{feature:02}"), json!((n * 37 + feature * 11) % 100)))
                .collect();
            json!({ "model": "fraud", "version": "v2", "lane": "prod", "tenant": format!("tenant-{tenant:02}"),
                    "features": features, "prediction": { "score": (n % 10) as f64 / 10.0 } })
        };
        let batch: Vec<Value> = (0..rows_of_each).map(record).collect();
        let answer = instance.post("/api/v1/observe", &Value::Array(batch));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

#[test]
fn a_large_installation_stays_small_and_whole() {
    let Running { models, folder, instance } = Running::start("");
    let (status, _) = instance.terminate();
    assert!(status.success());
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    fill_history(&folder.path().join("state"), now_ms);
    let instance = Instance::start(&folder, &models.yaml("", ""));
    // What the reference is learned from is in no window.
    observe(&instance, 20);
    instance.await_reference();
    observe(&instance, 20);
    await_until("all tenants are measured", DEADLINE, || {
        instance.get("/api/v1/models/fraud/tenants?version=v2")["tenants_known"] == json!(TENANTS)
    });
    let (from, to) = ((now_ms - DAYS * 86_400_000) / 1000, now_ms / 1000);
    for path in [
        "/api/v1/overview".to_owned(),
        "/api/v1/status".to_owned(),
        "/api/v1/alerts".to_owned(),
        "/api/v1/events?limit=1000".to_owned(),
        "/api/v1/models/fraud/drift?version=v2".to_owned(),
        "/api/v1/models/fraud/tenants?version=v2".to_owned(),
        "/api/v1/models/fraud/traffic".to_owned(),
        format!("/api/v1/models/fraud/grid?from={from}&to={to}&steps=400"),
        format!("/api/v1/models/fraud/grid?by=tenant&feature=feature-00&from={from}&to={to}&steps=400"),
        format!("/api/v1/models/fraud/history?feature=feature-00&from={from}&to={to}"),
    ] {
        let answer = instance.call("GET", &path, &[], b"");
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.body.len() < BYTES_MAX, "{path} is {} bytes", answer.body.len());
    }
    let grid = instance.get(&format!("/api/v1/models/fraud/grid?from={from}&to={to}&steps=96&version=v2"));
    let rows = grid["rows"].as_array().unwrap();
    assert!(rows.len() >= FEATURES, "{}", rows.len());
    let filled = rows[0]["values"].as_array().unwrap().iter().filter(|value| !value.is_null()).count();
    assert!(filled >= 90, "30 days are covered: {filled}");

    let Some(mut browser) = Browser::start() else { return };
    browser.open(&format!("http://{}/?range=30d", instance.admin));
    browser.await_true(
        "document.querySelector('.facts') && document.querySelectorAll('.chart canvas').length >= 2",
    );
    browser.is_clean();
    browser.open(&format!("http://{}/?page=drift&range=30d&version=v2", instance.admin));
    browser.await_text("main", "Chance explains up to");
    browser.await_true("document.querySelector('.chart canvas')");
    browser.screenshot("large-drift-1280-light");
    browser.open(&format!("http://{}/?page=tenants&feature=feature-00&version=v2&range=7d", instance.admin));
    browser.await_text("main", "tenant-00");
    browser.screenshot("large-tenants-1280-light");
    browser.is_clean();
}
