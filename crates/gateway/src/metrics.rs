//! What the data plane counts. Atomics only; read by whoever renders them.

/// Upper bounds of the latency histograms' buckets, milliseconds. The last bucket is `+Inf`.
pub const LATENCY_BOUNDS_MS: [f64; 20] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 750.0,
    1000.0, 2500.0, 5000.0, 10_000.0,
];

/// One latency histogram at an instant; counts are cumulative since the start and not cumulative over buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencySnapshot {
    /// Observations per bucket: `LATENCY_BOUNDS_MS.len() + 1` many, the last above every bound.
    pub buckets: Vec<u64>,
    /// Sum of the observations, milliseconds.
    pub sum_ms: f64,
    /// Number of observations.
    pub count: u64,
}

/// The counters of one model, version and lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneSnapshot {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// Prod or shadow.
    pub lane: record::Lane,
    /// Finished requests by HTTP status code; 0 is an answer that broke off, 499 a client that hung up.
    pub by_code: Vec<(u16, u64)>,
    /// Latency of the finished ones.
    pub latency: LatencySnapshot,
    /// Requests that were sent again because a kept connection was closed before a byte of the answer.
    pub retries: u64,
}

/// Results of copies of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopySnapshot {
    /// An answer came back.
    pub sent: u64,
    /// Not sent, because a bound was reached (by reason below).
    pub dropped: u64,
    /// Connection refused or reset, bad answer.
    pub failed: u64,
    /// No whole answer in time.
    pub timeout: u64,
    /// Of `dropped`: queue full, bytes full, body over the capture limit, shadow's circuit open, budget used up.
    pub dropped_queue: u64,
    /// See above.
    pub dropped_bytes: u64,
    /// See above.
    pub dropped_capture: u64,
    /// See above.
    pub dropped_circuit: u64,
    /// See above.
    pub dropped_budget: u64,
    /// Exchanges that were offered to the tap on the shadow lane, with nothing sent. Not among the copies.
    pub logged: u64,
    /// Copies whose answer was known already, with nothing sent. Not among the results above.
    pub known: u64,
}

/// Upper bounds of the buckets of [`OverheadSnapshot`], microseconds. The last bucket is `+Inf`.
pub const OVERHEAD_BOUNDS_US: [f64; 14] =
    [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// What the side branch (offering to the tap, making copies) costs the data plane; every 64th exchange is measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverheadSnapshot {
    /// Observations per bucket: `OVERHEAD_BOUNDS_US.len() + 1` many, the last above every bound.
    pub buckets: Vec<u64>,
    /// Sum of the observations, microseconds.
    pub sum_us: f64,
    /// Number of observations.
    pub count: u64,
}

/// Every counter of a gateway at an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewaySnapshot {
    /// One entry a model, version and lane that was ever configured, in that order.
    pub lanes: Vec<LaneSnapshot>,
    /// Results of copies by model.
    pub copies: Vec<(String, CopySnapshot)>,
    /// Open client connections.
    pub connections: usize,
    /// Open tunnels: client connections that were upgraded to WebSockets. Also among `connections`.
    pub tunnels: usize,
    /// Tunnels that were ever opened.
    pub tunnels_total: u64,
    /// Requests and connections that were not served, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Requests that no model takes (also counted in `refused`).
    pub unrouted: u64,
    /// Panics that ended one request or connection.
    pub panics: u64,
    /// What the side branch costs.
    pub overhead: OverheadSnapshot,
}
