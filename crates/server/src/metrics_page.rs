//! Every metric of the contract, from one look at the running parts.

use std::collections::BTreeMap;

use control::SignalReading;
use embeddings::CacheSnapshot;
use feeds::sinks::SinkStatus;
use gateway::{CopySnapshot, GatewaySnapshot, LATENCY_BOUNDS_MS};
use monitor::pairs::PairReadings;
use monitor::{FeatureReading, Readings, Verdict, WindowReadings};
use record::Lane;

use crate::exposition::{Exposition, Format, Kind, single};
use crate::llm::metrics::{Accounts, embedding_cache, spending};
use crate::metrics_logs;
use crate::metrics_signals;
use crate::metrics_sources;
use crate::observed::{LaneKey, ReadCounts};
use crate::sources::SourceView;

/// What the page is made from.
#[derive(Debug)]
pub(crate) struct MetricsInput<'a> {
    pub(crate) gateway: GatewaySnapshot,
    pub(crate) readings: &'a Readings,
    /// The signals of traffic, and the horizon that the gauges show, milliseconds.
    pub(crate) signals: &'a [SignalReading],
    pub(crate) horizon_ms: u64,
    /// What reading measured requests brought.
    pub(crate) reads: BTreeMap<LaneKey, ReadCounts>,
    pub(crate) pairs: &'a PairReadings,
    pub(crate) models: Vec<ModelMetrics>,
    pub(crate) alerts: Vec<AlertMetrics>,
    /// Model, reason, count: the intake's and the decoder's drops together.
    pub(crate) dropped: Vec<(String, String, u64)>,
    /// Reason and count: refused calls to the receivers of copies.
    pub(crate) refused: Vec<(&'static str, u64)>,
    /// The inference log's sinks and what they counted.
    pub(crate) sinks: Vec<SinkStatus>,
    /// The sources and what they counted.
    pub(crate) sources: Vec<SourceView>,
    /// What the notifiers have done.
    pub(crate) notifiers: Vec<actions::NotifierStatus>,
    /// What the actuators have done.
    pub(crate) actuators: BTreeMap<String, crate::desk::ActuatorCount>,
    /// What shadows have spent.
    pub(crate) accounts: Accounts,
    /// The embedding cache, and answers of production's that it did not take.
    pub(crate) embeddings: Option<(CacheSnapshot, u64)>,
    /// Name, help, kind and value of the process's own figures.
    pub(crate) own: Vec<(&'static str, Kind, &'static str, f64)>,
    pub(crate) version: &'static str,
    pub(crate) revision: &'static str,
}

/// One model's control state.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(crate) model: String,
    pub(crate) versions: Vec<String>,
    pub(crate) active: String,
    pub(crate) stable: String,
    pub(crate) shadow_percent: f64,
    pub(crate) auto_rollback: bool,
    pub(crate) tenants_red: usize,
    /// Trigger and count.
    pub(crate) rollbacks: Vec<(&'static str, u64)>,
}

/// One alert's state.
#[derive(Debug)]
pub(crate) struct AlertMetrics {
    pub(crate) alert: String,
    pub(crate) model: String,
    pub(crate) severity: &'static str,
    pub(crate) state: u8,
}

/// Renders the page.
pub(crate) fn render(input: &MetricsInput<'_>, format: Format) -> String {
    let mut page = Exposition::new(format);
    drift(&mut page, input.readings);
    tenant_shares(&mut page, input.readings);
    crate::metrics_detectors::render(&mut page, input.readings);
    crate::pairs::render(&mut page, input.pairs);
    traffic(&mut page, &input.gateway);
    metrics_signals::render(&mut page, input.signals, input.horizon_ms);
    metrics_signals::silence(&mut page, input.signals);
    metrics_signals::observations(&mut page, &input.reads);
    metrics_signals::quality(&mut page, input.readings);
    refused(&mut page, input);
    upstreams(&mut page, &input.gateway);
    copies(&mut page, &input.gateway);
    spending(&mut page, &input.accounts);
    if let Some((cache, unlearned)) = &input.embeddings {
        embedding_cache(&mut page, cache, *unlearned);
    }
    models(&mut page, &input.models);
    alerts(&mut page, &input.alerts);
    dropped(&mut page, &input.dropped);
    unreadable(&mut page, input.readings);
    judged(&mut page, input.readings);
    metrics_logs::render(&mut page, &input.sinks);
    metrics_sources::render(&mut page, &input.sources);
    crate::metrics_actions::notifiers(&mut page, &input.notifiers);
    crate::metrics_actions::actuators(&mut page, &input.actuators);
    for (name, kind, help, value) in &input.own {
        single(&mut page, name, *kind, help, *value);
    }
    page.family("driftline_build_info", Kind::Gauge, "Always 1; the labels say what runs.");
    page.sample(&[("version", input.version), ("revision", input.revision)], 1.0);
    page.finish()
}

type DriftGauge = (&'static str, &'static str, fn(&FeatureReading) -> f64);

/// The gauges with one series per model, version, lane, tenant, feature and reference.
const DRIFT_GAUGES: [DriftGauge; 5] = [
    ("psi", "Population stability index of the window against its reference (natural logarithm).", |r| r.psi),
    (
        "js_divergence",
        "Jensen-Shannon divergence of the window against its reference (base 2, 0 to 1).",
        |r| r.js_divergence,
    ),
    (
        "driftline_psi_critical",
        "PSI that a window of this size exceeds by chance alone in alpha of cases.",
        |r| r.psi_critical,
    ),
    (
        "driftline_psi_debiased",
        "PSI of smoothed shares less what chance adds to it on average: the size of the difference.",
        |r| r.psi_debiased,
    ),
    (
        "driftline_drift_verdict",
        "1 more than noise; 0 no more than noise, or a fault of the data (missing values, another type); -1 too little data to say.",
        |r| match r.verdict {
            Verdict::Pass | Verdict::Fault => 0.0,
            Verdict::Fail => 1.0,
            Verdict::Inconclusive => -1.0,
        },
    ),
];

fn drift(page: &mut Exposition, readings: &Readings) {
    for (name, help, value) in DRIFT_GAUGES {
        page.family(name, Kind::Gauge, help);
        each_window(readings, |model, window| {
            // Without a usable reference there is no value: the series is absent, which no rule can mistake for a zero.
            for reading in window.features.iter().filter(|reading| reading.psi.is_finite()) {
                let labels = [
                    ("model", model),
                    ("version", &*window.version),
                    ("lane", window.lane.as_str()),
                    ("tenant", &*window.tenant),
                    ("feature", &*reading.feature),
                    ("reference", reading.reference.as_str()),
                ];
                page.sample(&labels, value(reading));
            }
        });
    }
    page.family("requests", Kind::Gauge, "Requests in the window behind psi and js_divergence.");
    each_window(readings, |model, window| {
        let labels = [
            ("model", model),
            ("version", &*window.version),
            ("lane", window.lane.as_str()),
            ("tenant", &*window.tenant),
        ];
        page.sample(&labels, window.requests as f64);
    });
}

/// What each tenant carries of its version's production rows.
fn tenant_shares(page: &mut Exposition, readings: &Readings) {
    page.family(
        "driftline_tenant_share",
        Kind::Gauge,
        "Share of a version's production rows that a tenant has sent, 0 to 1.",
    );
    for model in &readings.models {
        let prod = || model.windows.iter().filter(|window| window.lane == Lane::Prod);
        for window in prod().filter(|window| &*window.tenant != "all") {
            let total = prod().find(|one| one.version == window.version && &*one.tenant == "all");
            let rows = total.map_or(window.rows, |total| total.rows).max(1);
            let labels =
                [("model", &*model.model), ("version", &*window.version), ("tenant", &*window.tenant)];
            page.sample(&labels, (window.rows as f64 / rows as f64).min(1.0));
        }
    }
}

fn each_window(readings: &Readings, mut visit: impl FnMut(&str, &WindowReadings)) {
    for model in &readings.models {
        for window in &model.windows {
            visit(&model.model, window);
        }
    }
}

fn traffic(page: &mut Exposition, gateway: &GatewaySnapshot) {
    page.family(
        "inference_latency",
        Kind::Histogram,
        "Time from a request's head to its answer's end, milliseconds.",
    );
    for lane in &gateway.lanes {
        let labels = [("model", &*lane.model), ("version", &*lane.version), ("lane", lane.lane.as_str())];
        page.histogram(&labels, &LATENCY_BOUNDS_MS, &lane.latency.buckets, lane.latency.sum_ms);
    }
    page.family(
        "driftline_requests_total",
        Kind::Counter,
        "Requests by answer; code 0 is an answer that broke off, 499 a client that hung up.",
    );
    for lane in &gateway.lanes {
        for (code, count) in &lane.by_code {
            let code = code.to_string();
            let labels = [
                ("model", &*lane.model),
                ("version", &*lane.version),
                ("lane", lane.lane.as_str()),
                ("code", code.as_str()),
            ];
            page.sample(&labels, *count as f64);
        }
    }
}

fn refused(page: &mut Exposition, input: &MetricsInput<'_>) {
    page.family(
        "driftline_refused_total",
        Kind::Counter,
        "Requests and connections that Driftline itself refused, and copies that its receivers refused, by reason.",
    );
    for (reason, count) in input.gateway.refused.iter().chain(&input.refused) {
        page.sample(&[("reason", reason)], *count as f64);
    }
}

fn upstreams(page: &mut Exposition, gateway: &GatewaySnapshot) {
    page.family(
        "driftline_upstream_retries_total",
        Kind::Counter,
        "Requests and copies sent again because the version closed a kept connection before a byte of the answer.",
    );
    let mut retries: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for lane in &gateway.lanes {
        *retries.entry((&lane.model, &lane.version)).or_default() += lane.retries;
    }
    for ((model, version), count) in retries {
        page.sample(&[("model", model), ("version", version)], count as f64);
    }
}

fn copies(page: &mut Exposition, gateway: &GatewaySnapshot) {
    page.family("driftline_shadow_copies_total", Kind::Counter, "Copies by what became of them.");
    for (model, copies) in &gateway.copies {
        for (result, count) in [
            ("sent", copies.sent),
            ("dropped", copies.dropped),
            ("failed", copies.failed),
            ("timeout", copies.timeout),
        ] {
            page.sample(&[("model", model), ("result", result)], count as f64);
        }
    }
    page.family(
        "driftline_shadow_drops_total",
        Kind::Counter,
        "Dropped copies by the bound that was reached.",
    );
    for (model, copies) in &gateway.copies {
        for (reason, count) in drop_reasons(copies) {
            page.sample(&[("model", model), ("reason", reason)], count as f64);
        }
    }
    for (name, help, value) in NOT_SENT {
        page.family(name, Kind::Counter, help);
        for (model, copies) in &gateway.copies {
            page.sample(&[("model", model)], value(copies) as f64);
        }
    }
}

type CopyCounter = (&'static str, &'static str, fn(&CopySnapshot) -> u64);

/// What was drawn for a shadow and needed no copy.
const NOT_SENT: [CopyCounter; 2] = [
    (
        "driftline_shadow_logged_total",
        "Requests that a shadow with `mode: log-only` took: nothing was sent.",
        |copies| copies.logged,
    ),
    (
        "driftline_shadow_known_total",
        "Copies whose whole answer was in the embedding cache: nothing was sent.",
        |copies| copies.known,
    ),
];

fn drop_reasons(copies: &CopySnapshot) -> [(&'static str, u64); 5] {
    [
        ("queue_full", copies.dropped_queue),
        ("bytes", copies.dropped_bytes),
        ("capture_limit", copies.dropped_capture),
        ("circuit_open", copies.dropped_circuit),
        ("budget", copies.dropped_budget),
    ]
}

type ModelGauge = (&'static str, &'static str, fn(&ModelMetrics) -> f64);

fn models(page: &mut Exposition, models: &[ModelMetrics]) {
    let gauges: [ModelGauge; 3] = [
        ("driftline_shadow_percent", "Share of requests copied to the shadow, as set now, 0 to 100.", |m| {
            m.shadow_percent
        }),
        ("driftline_tenants_red", "Tenants whose drift alert condition holds.", |m| m.tenants_red as f64),
        ("driftline_auto_rollback_enabled", "1 when a critical alert rolls back by itself.", |m| {
            f64::from(u8::from(m.auto_rollback))
        }),
    ];
    for (name, help, value) in gauges {
        page.family(name, Kind::Gauge, help);
        for model in models {
            page.sample(&[("model", &model.model)], value(model));
        }
    }
    page.family("driftline_active_version", Kind::Gauge, "1 for the version that clients get.");
    for model in models {
        for version in &model.versions {
            let active = f64::from(u8::from(*version == model.active));
            page.sample(&[("model", &model.model), ("version", version)], active);
        }
    }
    page.family("driftline_stable_version", Kind::Gauge, "1 for the version that a rollback goes to.");
    for model in models {
        for version in &model.versions {
            let stable = f64::from(u8::from(*version == model.stable));
            page.sample(&[("model", &model.model), ("version", version)], stable);
        }
    }
    page.family("driftline_rollbacks_total", Kind::Counter, "Rollbacks by what set them off.");
    for model in models {
        for (trigger, count) in &model.rollbacks {
            page.sample(&[("model", &model.model), ("trigger", trigger)], *count as f64);
        }
    }
}

fn alerts(page: &mut Exposition, alerts: &[AlertMetrics]) {
    page.family("driftline_alert_state", Kind::Gauge, "Embedded rules: 0 inactive, 1 pending, 2 firing.");
    for alert in alerts {
        let labels = [("alert", &*alert.alert), ("model", &*alert.model), ("severity", alert.severity)];
        page.sample(&labels, f64::from(alert.state));
    }
}

fn judged(page: &mut Exposition, readings: &Readings) {
    page.family(
        "driftline_feature_judged",
        Kind::Gauge,
        "1 for a feature whose drift is judged; 0, with the reason, for one that is not: identifier, time, text (values that never \
         come again), not_seen (in the reference, in no request), type_differs (no value \
         was of the profile's type), learning.",
    );
    for model in &readings.models {
        for feature in &model.features {
            let value = if feature.reason == "judged" { 1.0 } else { 0.0 };
            let labels =
                [("model", &*model.model), ("feature", &*feature.feature), ("reason", feature.reason)];
            page.sample(&labels, value);
        }
    }
    page.family(
        "driftline_armed",
        Kind::Gauge,
        "1 while the reference fits the traffic; 0 when requests have less than half of the profile's features, or most of them with values of \
         another type, and no drift is judged.",
    );
    for model in &readings.models {
        let armed = model.fit.as_ref().is_none_or(|fit| fit.armed);
        page.sample(&[("model", &*model.model)], if armed { 1.0 } else { 0.0 });
    }
}

fn unreadable(page: &mut Exposition, readings: &Readings) {
    page.family(
        "driftline_values_unreadable_total",
        Kind::Counter,
        "Values that could not be read and count as missing, by feature and reason (not_finite, not_utf8, text_too_long); \
         the rest of their row is measured.",
    );
    for model in &readings.models {
        for (feature, counts) in &model.unreadable {
            for (reason, count) in counts {
                page.sample(
                    &[("model", &model.model), ("feature", feature), ("reason", reason)],
                    *count as f64,
                );
            }
        }
    }
}

fn dropped(page: &mut Exposition, dropped: &[(String, String, u64)]) {
    page.family(
        "driftline_observations_dropped_total",
        Kind::Counter,
        "Requests that were served and not measured, by reason.",
    );
    for (model, reason, count) in dropped {
        page.sample(&[("model", model), ("reason", reason)], *count as f64);
    }
}
