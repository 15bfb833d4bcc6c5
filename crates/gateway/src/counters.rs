//! What the data plane counts: atomics that many threads add to and one reads.
//!
//! Every thread adds to a shard of its own, so that no counter's cache line travels between cores on a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use record::Lane;

use crate::metrics::{
    CopySnapshot, GatewaySnapshot, LATENCY_BOUNDS_MS, LaneSnapshot, LatencySnapshot, OVERHEAD_BOUNDS_US,
    OverheadSnapshot,
};
use crate::notices::Notices;
use crate::refusal::Refusal;

/// Codes with a place of their own; the others share a table that is made when the first of them is seen.
const COMMON: [u16; 24] = [
    0, 200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 413, 422, 429, 499, 500,
    502, 503, 504,
];
const RARE: u8 = u8::MAX;
const SLOT: [u8; 600] = {
    let mut table = [RARE; 600];
    let mut i = 0;
    while i < COMMON.len() {
        table[COMMON[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// One thread's part. The alignment keeps two shards off one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    codes: [AtomicU64; COMMON.len()],
    buckets: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// Counters of one model, version and lane.
#[derive(Debug)]
pub(crate) struct LaneCounters {
    model: Arc<str>,
    version: Arc<str>,
    lane: Lane,
    shards: Box<[Shard]>,
    rare: OnceLock<Box<[AtomicU64]>>,
    /// Requests sent a second time.
    pub(crate) retries: AtomicU64,
}

impl LaneCounters {
    fn new(model: Arc<str>, version: Arc<str>, lane: Lane, shards: usize) -> Self {
        let shards = (0..shards).map(|_| Shard::default()).collect();
        Self { model, version, lane, shards, rare: OnceLock::new(), retries: AtomicU64::new(0) }
    }

    /// Counts one finished exchange; `status` 0 is one that ended without an answer.
    pub(crate) fn add(&self, shard: usize, status: u16, latency: Duration) {
        let shard = &self.shards[shard];
        match SLOT.get(usize::from(status)) {
            Some(&slot) if slot != RARE => shard.codes[usize::from(slot)].fetch_add(1, Relaxed),
            _ => {
                let rare = self.rare.get_or_init(|| (0..1000).map(|_| AtomicU64::new(0)).collect());
                rare[usize::from(status).min(999)].fetch_add(1, Relaxed)
            }
        };
        let ms = latency.as_secs_f64() * 1e3;
        let bucket =
            LATENCY_BOUNDS_MS.iter().position(|&bound| ms <= bound).unwrap_or(LATENCY_BOUNDS_MS.len());
        shard.buckets[bucket].fetch_add(1, Relaxed);
        shard.sum_us.fetch_add(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn snapshot(&self) -> LaneSnapshot {
        let sum = |of: &dyn Fn(&Shard) -> u64| self.shards.iter().map(of).sum::<u64>();
        let mut by_code: Vec<(u16, u64)> =
            COMMON.iter().enumerate().map(|(i, &code)| (code, sum(&|s| s.codes[i].load(Relaxed)))).collect();
        if let Some(rare) = self.rare.get() {
            by_code.extend((0u16..).zip(rare.iter().map(|n| n.load(Relaxed))));
        }
        by_code.retain(|&(_, n)| n > 0);
        by_code.sort_unstable();
        let buckets: Vec<u64> =
            (0..=LATENCY_BOUNDS_MS.len()).map(|i| sum(&|s| s.buckets[i].load(Relaxed))).collect();
        let sum_ms = sum(&|s| s.sum_us.load(Relaxed)) as f64 / 1e3;
        let latency = LatencySnapshot { count: buckets.iter().sum(), buckets, sum_ms };
        let (model, version) = (self.model.as_ref().into(), self.version.as_ref().into());
        let retries = self.retries.load(Relaxed);
        LaneSnapshot { model, version, lane: self.lane, by_code, latency, retries }
    }
}

/// Results of the copies of one model.
#[derive(Debug, Default)]
pub(crate) struct CopyCounters {
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timeout: AtomicU64,
    pub(crate) queue: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) capture: AtomicU64,
    pub(crate) circuit: AtomicU64,
    pub(crate) budget: AtomicU64,
    pub(crate) logged: AtomicU64,
    pub(crate) known: AtomicU64,
}

impl CopyCounters {
    fn snapshot(&self) -> CopySnapshot {
        let [queue, bytes, capture, circuit, budget] =
            [&self.queue, &self.bytes, &self.capture, &self.circuit, &self.budget].map(|n| n.load(Relaxed));
        CopySnapshot {
            sent: self.sent.load(Relaxed),
            dropped: queue + bytes + capture + circuit + budget,
            failed: self.failed.load(Relaxed),
            timeout: self.timeout.load(Relaxed),
            dropped_queue: queue,
            dropped_bytes: bytes,
            dropped_capture: capture,
            dropped_circuit: circuit,
            dropped_budget: budget,
            logged: self.logged.load(Relaxed),
            known: self.known.load(Relaxed),
        }
    }
}

/// Model, version, and whether it is the shadow lane.
type LaneKey = (Arc<str>, Arc<str>, bool);

/// Every counter of a gateway.
#[derive(Debug)]
pub(crate) struct Counters {
    shards: usize,
    lanes: Mutex<BTreeMap<LaneKey, Arc<LaneCounters>>>,
    copies: Mutex<BTreeMap<Arc<str>, Arc<CopyCounters>>>,
    refused: [AtomicU64; Refusal::COUNT],
    /// When reasons were last logged.
    pub(crate) notices: Notices,
    /// Open tunnels, and how many there have been.
    pub(crate) tunnels: AtomicUsize,
    pub(crate) tunnels_total: AtomicU64,
    /// Connections closed because there were too many.
    pub(crate) over_connections: AtomicU64,
    /// Failed `accept`s.
    pub(crate) accept_errors: AtomicU64,
    /// Failed TLS handshakes.
    pub(crate) tls_errors: AtomicU64,
    /// Open client connections.
    pub(crate) connections: AtomicUsize,
    /// Panics of tasks.
    pub(crate) panics: Arc<AtomicU64>,
    overhead: [AtomicU64; OVERHEAD_BOUNDS_US.len() + 1],
    overhead_sum_ns: AtomicU64,
}

impl Counters {
    /// Counters with one shard a thread, of a gateway that listens there.
    pub(crate) fn new(shards: usize, listen: Option<SocketAddr>) -> Self {
        Self {
            shards,
            notices: Notices::new(listen),
            tunnels: AtomicUsize::new(0),
            tunnels_total: AtomicU64::new(0),
            lanes: Mutex::default(),
            copies: Mutex::default(),
            refused: Default::default(),
            over_connections: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            tls_errors: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            panics: Arc::default(),
            overhead: Default::default(),
            overhead_sum_ns: AtomicU64::new(0),
        }
    }

    /// The counters of a lane; the same ones every time. Called when a route table is compiled, not on a request.
    pub(crate) fn lane(&self, model: &Arc<str>, version: &Arc<str>, lane: Lane) -> Arc<LaneCounters> {
        let key = (Arc::clone(model), Arc::clone(version), lane == Lane::Shadow);
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(LaneCounters::new(Arc::clone(model), Arc::clone(version), lane, self.shards));
        Arc::clone(lanes.entry(key).or_insert_with(new))
    }

    /// The counters of a model's copies; the same ones every time.
    pub(crate) fn copies(&self, model: &Arc<str>) -> Arc<CopyCounters> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(copies.entry(Arc::clone(model)).or_default())
    }

    /// Counts a request that was not answered by production.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refused[refusal.index()].fetch_add(1, Relaxed);
    }

    /// Counts what one side branch cost.
    pub(crate) fn overhead(&self, took: Duration) {
        let us = took.as_secs_f64() * 1e6;
        let bucket = OVERHEAD_BOUNDS_US.iter().position(|&b| us <= b).unwrap_or(OVERHEAD_BOUNDS_US.len());
        self.overhead[bucket].fetch_add(1, Relaxed);
        self.overhead_sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Everything at an instant.
    pub(crate) fn snapshot(&self) -> GatewaySnapshot {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = |n: &AtomicU64| n.load(Relaxed);
        let mut refused: Vec<(&'static str, u64)> =
            Refusal::CODES.iter().copied().zip(self.refused.iter().map(counted)).collect();
        refused.push(("connections", counted(&self.over_connections)));
        refused.push(("accept", counted(&self.accept_errors)));
        refused.push(("tls_handshake", counted(&self.tls_errors)));
        let buckets: Vec<u64> = self.overhead.iter().map(counted).collect();
        GatewaySnapshot {
            lanes: lanes.values().map(|lane| lane.snapshot()).collect(),
            copies: copies.iter().map(|(model, c)| (model.as_ref().into(), c.snapshot())).collect(),
            connections: self.connections.load(Relaxed),
            tunnels: self.tunnels.load(Relaxed),
            tunnels_total: counted(&self.tunnels_total),
            refused,
            unrouted: counted(&self.refused[Refusal::NoRoute.index()]),
            panics: counted(&self.panics),
            overhead: OverheadSnapshot {
                count: buckets.iter().sum(),
                buckets,
                sum_us: counted(&self.overhead_sum_ns) as f64 / 1e3,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up_and_rare_codes_are_kept() {
        let counters = Counters::new(2, None);
        let lane = counters.lane(&"m".into(), &"v".into(), Lane::Prod);
        lane.add(0, 200, Duration::from_millis(1));
        lane.add(1, 200, Duration::from_millis(30));
        lane.add(1, 418, Duration::from_secs(20));
        lane.add(0, 0, Duration::ZERO);
        let snapshot = counters.snapshot();
        let lane = &snapshot.lanes[0];
        assert_eq!(lane.by_code, vec![(0, 1), (200, 2), (418, 1)]);
        assert_eq!(lane.latency.count, 4);
        assert_eq!((lane.latency.buckets[0], lane.latency.buckets[5], lane.latency.buckets[20]), (2, 1, 1));
        assert!((lane.latency.sum_ms - 20_031.0).abs() < 1e-9);
    }

    #[test]
    fn a_lane_keeps_its_counters_when_it_is_compiled_again() {
        let counters = Counters::new(1, None);
        let (model, version) = ("m".into(), "v".into());
        counters.lane(&model, &version, Lane::Prod).add(0, 200, Duration::ZERO);
        counters.lane(&model, &version, Lane::Prod).add(0, 200, Duration::ZERO);
        assert_eq!(counters.snapshot().lanes[0].by_code, vec![(200, 2)]);
    }
}
