//! Latency quantiles over the last minute, from cumulative histogram counts.

use std::collections::VecDeque;
use std::sync::Arc;

use record::Lane;
use serde::Serialize;

/// Latency of one model's version and lane over the horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyReading {
    /// The model.
    pub model: Arc<str>,
    /// The version.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// Requests in the horizon.
    pub requests: u64,
    /// Median, milliseconds; `None` without requests.
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
}

/// Keeps cumulative counts of one histogram over a horizon and interpolates quantiles as `histogram_quantile` does.
#[derive(Clone, Debug)]
pub struct LatencyHorizon {
    bounds_ms: Vec<f64>,
    horizon_ms: u64,
    snapshots: VecDeque<(i64, Vec<u64>)>,
}
