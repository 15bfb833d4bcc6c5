//! The signals of traffic and the checks of the data.

use std::collections::BTreeMap;

use control::{Signal, SignalReading, quality_excess};
use monitor::Readings;

use crate::exposition::{Exposition, Kind};
use crate::observed::{LaneKey, ReadCounts};

/// The gauges of shares, over the policy's horizon.
const SHARES: [(Signal, &str, &str); 3] = [
    (
        Signal::ErrorRate,
        "driftline_error_ratio",
        "Share of requests that the server failed within the horizon, 0 to 1: 5xx, timeouts, failed connections.",
    ),
    (
        Signal::RejectedRate,
        "driftline_rejected_ratio",
        "Share of requests that the server refused within the horizon, 0 to 1: 4xx but for 401, 403, 407, 408, 429, 499.",
    ),
    (
        Signal::UnreadableRate,
        "driftline_unreadable_ratio",
        "Share of measured requests within the horizon whose body could not be read, 0 to 1.",
    ),
];

/// Writes them.
pub(crate) fn render(page: &mut Exposition, signals: &[SignalReading], horizon_ms: u64) {
    for (signal, name, help) in SHARES {
        page.family(name, Kind::Gauge, help);
        let readings = signals.iter().filter(|one| one.signal == signal && one.horizon_ms == horizon_ms);
        for one in readings {
            let labels = [("model", &*one.model), ("version", &*one.version), ("lane", one.lane.as_str())];
            page.sample(&labels, one.value);
        }
    }
}

/// Seconds without a request, of the version that serves.
pub(crate) fn silence(page: &mut Exposition, signals: &[SignalReading]) {
    let help = "Time since the last request of a model that had some, seconds; of the version that serves.";
    page.family("driftline_silence_seconds", Kind::Gauge, help);
    for one in signals.iter().filter(|one| one.signal == Signal::NoTraffic && one.n > 0) {
        page.sample(&[("model", &one.model), ("version", &one.version)], one.value);
    }
}

/// What reading measured requests brought.
pub(crate) fn observations(page: &mut Exposition, reads: &BTreeMap<LaneKey, ReadCounts>) {
    let help = "Measured requests: read, unreadable, or failed by an error event inside a good answer.";
    page.family("driftline_observations_total", Kind::Counter, help);
    for ((model, version, lane), counts) in reads {
        for (result, count) in
            [("read", counts.read), ("unreadable", counts.unreadable), ("failed", counts.failed)]
        {
            let labels =
                [("model", &**model), ("version", version), ("lane", lane.as_str()), ("result", result)];
            page.sample(&labels, count as f64);
        }
    }
}

type QualityGauge = (&'static str, &'static str, fn(&monitor::QualityReading) -> Option<f64>);

/// The checks of the data on the prod lane.
pub(crate) fn quality(page: &mut Exposition, readings: &Readings) {
    let of_prod = || {
        let all = readings.models.iter().flat_map(|model| model.quality.iter().map(move |one| (model, one)));
        all.filter(|(_, one)| one.lane == record::Lane::Prod && one.is_news())
    };
    let families: [QualityGauge; 2] = [
        ("driftline_quality_ratio", "Share of values that fail a check of the data, 0 to 1.", |one| {
            Some(one.ratio)
        }),
        (
            "driftline_quality_excess",
            "By how much a check fails beyond the reference at least, 0 to 1; 0 is no more than chance.",
            quality_excess,
        ),
    ];
    for (name, help, value) in families {
        page.family(name, Kind::Gauge, help);
        for (model, one) in of_prod() {
            let Some(value) = value(one) else { continue };
            let labels = [
                ("model", &*model.model),
                ("version", &*one.version),
                ("tenant", &*one.tenant),
                ("feature", &*one.feature),
                ("check", one.check.as_str()),
            ];
            page.sample(&labels, value);
        }
    }
}
