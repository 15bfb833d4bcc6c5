//! Belongs here: data that breaks, named in the words of an alert after tens of requests, and data that does not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fraud::{LEARN, Pair};
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_some, await_until, holds_for};

/// Requests after which a break must have been named, beside those that the rule's duration takes.
const TENS: usize = 40;

/// A number in [0, 1) that looks like chance.
fn chance(i: usize, salt: u64) -> f64 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The features of a usual request: a number, a category, a long tail, a heavy tail, a feature that nine of ten do not have.
fn features(i: usize) -> Value {
    let country = ["DE", "FR", "IT", "US"][(chance(i, 2) * 4.0) as usize];
    let mut features = json!({
        "amount": (chance(i, 1) * 1e4).round() / 100.0,
        "country": country,
        "merchant": format!("m{}", (1.0 / (0.002 + chance(i, 3))) as u32),
        "income": (1e3 / (1.0 - chance(i, 4))).round(),
    });
    if chance(i, 5) < 0.1 {
        features["coupon"] = json!(chance(i, 6));
    }
    features
}

fn record(i: usize, features: &Value) -> Value {
    json!({ "model": "fraud", "version": "v2", "features": features, "prediction": { "score": chance(i, 7) } })
}

fn with(i: usize, feature: &str, value: Value) -> Value {
    let mut features = features(i);
    features[feature] = value;
    features
}

fn without(i: usize, feature: &str) -> Value {
    let mut features = features(i);
    features.as_object_mut().unwrap().remove(feature);
    features
}

/// Sends records, some tens in a request.
fn observe(instance: &Instance, records: &[Value]) {
    for records in records.chunks(50) {
        let answer = instance.post("/api/v1/observe", &json!(records));
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

/// Two models whose data rules need seconds in place of minutes.
fn yaml(models: &Pair) -> String {
    let rules = "  rules:
    DataQuality: { for: 300ms, keep_firing_for: 300ms }
    PredictionFrozen: { for: 300ms, keep_firing_for: 300ms }
    DriftDetected: { enabled: false }
    DriftCritical: { enabled: false }";
    models.yaml("", "").replace("  rules:", rules)
}

/// An instance that has learned usual requests, and its next request.
fn learned(models: &Pair, folder: &Folder) -> (Instance, usize) {
    let instance = Instance::start(folder, &yaml(models));
    let usual: Vec<Value> = (0..LEARN + 400).map(|i| record(i, &features(i))).collect();
    observe(&instance, &usual);
    instance.await_reference();
    (instance, LEARN + 400)
}

/// The rules that fire or are about to, with their feature and words.
fn alerts(instance: &Instance) -> Vec<(String, String, String)> {
    let shown = instance.get("/api/v1/alerts");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |alert: &Value| {
        (text(&alert["alert"]), text(&alert["labels"]["feature"]), text(&alert["annotations"]["summary"]))
    };
    shown["alerts"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn every_break_is_named_after_tens_of_requests() {
    type Break = (&'static str, fn(usize) -> Value, &'static str);
    let breaks: [Break; 8] = [
        ("amount", |i| with(i, "amount", Value::Null), "`amount`: 100% missing since"),
        ("amount", |i| with(i, "amount", json!("N/A")), "`amount`: 100% missing since"),
        ("amount", |i| without(i, "amount"), "`amount`: 100% of requests without it since"),
        (
            "amount",
            |i| {
                let mut features = without(i, "amount");
                features["total"] = json!(chance(i, 1));
                features
            },
            "; new in requests: `total`",
        ),
        (
            "amount",
            |i| with(i, "amount", json!(format!("{:.2}", chance(i, 1) * 100.0))),
            "`amount`: 100% of another type",
        ),
        ("country", |i| with(i, "country", json!(i % 4)), "`country`: 100% of another type since"),
        (
            "amount",
            |i| with(i, "amount", json!(chance(i, 1) * 1e4 + 101.0)),
            "`amount`: 100% outside the range of training",
        ),
        ("amount", |i| with(i, "amount", json!(12.5)), "`amount`: 100% one and the same value since"),
    ];
    let models = Pair::start();
    for (feature, broken, words) in breaks {
        let folder = Folder::new();
        let (instance, first) = learned(&models, &folder);
        let about_data = |(alert, _, _): &(String, String, String)| alert == "DataQuality";
        assert!(!alerts(&instance).iter().any(about_data), "before {words}");
        let mut next = first;
        let mut send = |n: usize| {
            let records: Vec<Value> = (next..next + n).map(|i| record(i, &broken(i))).collect();
            observe(&instance, &records);
            next += n;
        };
        send(TENS + if words.contains("same value") { 20 } else { 0 });
        let named = await_some(words, DEADLINE, || {
            // The rule's duration runs on requests.
            send(1);
            alerts(&instance).into_iter().find(|(alert, _, _)| alert == "DataQuality")
        });
        assert_eq!(named.1, feature);
        assert!(named.2.contains(words), "{named:?}");
        await_until("it fires", DEADLINE, || {
            send(1);
            instance.alert_state("DataQuality") == 2.0
        });
        let page = instance.metrics();
        assert!(page.sum("driftline_quality_ratio", &[("feature", feature), ("tenant", "all")]) >= 0.7);
        assert_eq!(page.sum("driftline_rollbacks_total", &[]), 0.0, "{words}");
        assert_eq!(instance.active(), "v2", "{words}");
    }
}

#[test]
fn missing_values_are_no_drift_and_the_alert_ends_when_they_are_there_again() {
    let (models, folder) = (Pair::start(), Folder::new());
    let (instance, first) = learned(&models, &folder);
    let send = |range: std::ops::Range<usize>, broken: bool| {
        let features = |i: usize| if broken { with(i, "amount", Value::Null) } else { features(i) };
        let records: Vec<Value> = range.map(|i| record(i, &features(i))).collect();
        observe(&instance, &records);
    };
    send(first..first + 300, true);
    let mut next = first + 300;
    holds_for("no rule about drift holds", Duration::from_secs(4), || {
        send(next..next + 5, true);
        next += 5;
        let of_amount = |(_, feature, _): &&(String, String, String)| feature == "amount";
        alerts(&instance).iter().filter(of_amount).all(|(alert, _, _)| alert == "DataQuality")
    });
    assert_eq!(instance.alert_state("DataQuality"), 2.0);
    await_until("it ends", DEADLINE, || {
        send(next..next + 50, false);
        next += 50;
        instance.alert_state("DataQuality") == 0.0
    });
}

#[test]
fn usual_requests_raise_nothing() {
    let (models, folder) = (Pair::start(), Folder::new());
    let (instance, first) = learned(&models, &folder);
    let mut next = first;
    holds_for("nothing is wrong", Duration::from_secs(6), || {
        let records: Vec<Value> = (next..next + 50).map(|i| record(i, &features(i))).collect();
        observe(&instance, &records);
        next += 50;
        let found = alerts(&instance);
        let about_data = |alert: &str| alert == "DataQuality" || alert == "PredictionFrozen";
        found.iter().all(|(alert, _, _)| !about_data(alert)) && instance.active() == "v2"
    });
}

#[test]
fn a_frozen_prediction_rolls_back_and_a_request_that_is_repeated_does_not() {
    let (models, folder) = (Pair::start(), Folder::new());
    // A request that is repeated is another distribution.
    let yaml = yaml(&models).replace(
        "FeaturePSICritical: { for: 2s, keep_firing_for: 1s }",
        "FeaturePSICritical: { enabled: false }",
    );
    assert!(yaml.contains("FeaturePSICritical: { enabled: false }"));
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    rows::send(&mut client, None, LEARN + 200, ordinary);
    instance.await_reference();
    holds_for("the same request is answered in the same way", Duration::from_secs(3), || {
        rows::send(&mut client, None, 10, |_| ordinary(7));
        let found = alerts(&instance);
        found.iter().all(|(alert, _, _)| alert != "PredictionFrozen") && instance.active() == "v2"
    });
    models.v2.set(|model| model.score = |_| 0.5);
    await_until("traffic has moved", DEADLINE, || {
        rows::send(&mut client, None, 60, ordinary);
        instance.active() == "v1"
    });
    let event = instance.events("rollback").remove(0);
    assert!(event.to_string().contains("PredictionFrozen"), "{event}");
}
