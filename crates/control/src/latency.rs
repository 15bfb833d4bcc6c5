//! Latency quantiles over the last minute, from histogram counts.
//!
//! Why: rules judge the p95 of *now*, histograms count since the start. How: counts are kept per second for the horizon,
//! and a quantile is taken from what was added between the oldest and the newest of them, which is what
//! `histogram_quantile(q, rate(bucket[horizon]))` does. The embedded rule and the exported one therefore agree.
//!
//! A histogram that counts less than before was reset (the process behind it restarted): all of it is then taken to
//! have started from zero.

use std::collections::VecDeque;
use std::sync::Arc;

use record::Lane;
use serde::Serialize;

use crate::signal::{Signal, SignalReading};

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

/// Keeps the counts of one histogram over a horizon and interpolates quantiles as `histogram_quantile` does.
///
/// Memory is bounded by one snapshot a second of the horizon.
#[derive(Clone, Debug)]
pub struct LatencyHorizon {
    bounds_ms: Vec<f64>,
    horizon_ms: i64,
    snapshots: VecDeque<Snapshot>,
    /// The counts as last pushed, to see a reset.
    last_raw: Vec<u64>,
    /// What was counted before the last reset.
    offset: Vec<u64>,
}

/// Counts per bucket since the first push, resets removed.
#[derive(Clone, Debug)]
struct Snapshot {
    at_ms: i64,
    counts: Vec<u64>,
}

/// What was added in the horizon.
struct Increase {
    counts: Vec<u64>,
    total: u64,
}

impl LatencyHorizon {
    /// `bounds_ms`: upper bounds of the buckets, ascending and finite; one more bucket above the last is understood.
    /// `horizon_ms`: how far back a quantile looks.
    pub fn new(bounds_ms: &[f64], horizon_ms: u64) -> Self {
        Self {
            bounds_ms: bounds_ms.to_vec(),
            horizon_ms: i64::try_from(horizon_ms).unwrap_or(i64::MAX),
            snapshots: VecDeque::new(),
            last_raw: Vec::new(),
            offset: vec![0; bounds_ms.len() + 1],
        }
    }

    /// Takes the histogram's counts at an instant.
    ///
    /// `counts`: one count per bucket, cumulative over time and *not* over buckets, the last one above every bound. A
    /// slice of another length says nothing about this histogram: it is not taken, and the answer is `false`.
    pub fn push(&mut self, at_ms: i64, counts: &[u64]) -> bool {
        if counts.len() != self.offset.len() {
            return false;
        }
        if self.last_raw.iter().zip(counts).any(|(last, now)| now < last) {
            for (offset, last) in self.offset.iter_mut().zip(&self.last_raw) {
                *offset = offset.saturating_add(*last);
            }
        }
        self.last_raw = counts.to_vec();
        let counts = counts.iter().zip(&self.offset).map(|(n, offset)| n.saturating_add(*offset)).collect();
        // A clock that was set back: what seems to lie in the future would otherwise hide everything to come.
        while self.snapshots.back().is_some_and(|last| last.at_ms > at_ms) {
            self.snapshots.pop_back();
        }
        if self.snapshots.len() > 1
            && self.snapshots.back().is_some_and(|last| last.at_ms.div_euclid(1000) == at_ms.div_euclid(1000))
        {
            self.snapshots.pop_back();
        }
        self.snapshots.push_back(Snapshot { at_ms, counts });
        let start = at_ms.saturating_sub(self.horizon_ms);
        while self.snapshots.front().is_some_and(|first| first.at_ms < start) {
            self.snapshots.pop_front();
        }
        true
    }

    /// The `q`-quantile, milliseconds, of what was counted in the horizon before `now_ms`; `None` when nothing was, or
    /// when `q` is not in 0..=1. Above the last bound the last bound is the answer.
    pub fn quantile(&self, q: f64, now_ms: i64) -> Option<f64> {
        let increase = self.increase(now_ms)?;
        if !(0.0..=1.0).contains(&q) || increase.total == 0 {
            return None;
        }
        let mut rank = q * increase.total as f64;
        let mut below = 0u64;
        for (idx, (&bound, &count)) in self.bounds_ms.iter().zip(&increase.counts).enumerate() {
            let within = below.saturating_add(count);
            if within as f64 >= rank {
                if idx == 0 && bound <= 0.0 {
                    return Some(bound);
                }
                let start = if idx == 0 { 0.0 } else { self.bounds_ms[idx - 1] };
                rank -= below as f64;
                return (count > 0).then(|| start + (bound - start) * (rank / count as f64));
            }
            below = within;
        }
        self.bounds_ms.last().copied()
    }

    /// Requests counted in the horizon before `now_ms`.
    pub fn count(&self, now_ms: i64) -> u64 {
        self.increase(now_ms).map_or(0, |increase| increase.total)
    }

    /// The time, milliseconds, that every answer of the horizon took at least, as far as buckets tell; `None` without one.
    pub fn fastest(&self, now_ms: i64) -> Option<f64> {
        let increase = self.increase(now_ms)?;
        let bucket = increase.counts.iter().position(|count| *count > 0)?;
        Some(if bucket == 0 { 0.0 } else { self.bounds_ms[bucket - 1] })
    }

    /// A quantile as a signal; `None` of a signal that is none, and without requests.
    pub fn signal(
        &self,
        of: (&Arc<str>, &Arc<str>, Lane),
        signal: Signal,
        now_ms: i64,
    ) -> Option<SignalReading> {
        let value = self.quantile(signal.quantile()?, now_ms)?;
        let horizon_ms = u64::try_from(self.horizon_ms).unwrap_or(u64::MAX);
        let plain = SignalReading::plain(of, signal, horizon_ms, value, self.count(now_ms));
        let total = self.snapshots.back().map_or(0, |last| last.counts.iter().sum());
        Some(SignalReading { lower: self.fastest(now_ms).unwrap_or(0.0), total, ..plain })
    }

    /// The reading of a model's version and lane at `now_ms`.
    pub fn reading(&self, model: &Arc<str>, version: &Arc<str>, lane: Lane, now_ms: i64) -> LatencyReading {
        LatencyReading {
            model: Arc::clone(model),
            version: Arc::clone(version),
            lane,
            requests: self.count(now_ms),
            p50_ms: self.quantile(0.50, now_ms),
            p95_ms: self.quantile(0.95, now_ms),
            p99_ms: self.quantile(0.99, now_ms),
        }
    }

    /// The difference between the oldest and the newest snapshot inside the horizon; `None` with fewer than two.
    fn increase(&self, now_ms: i64) -> Option<Increase> {
        let start = now_ms.saturating_sub(self.horizon_ms);
        let mut inside = self.snapshots.iter().filter(|one| one.at_ms >= start && one.at_ms <= now_ms);
        let first = inside.next()?;
        let last = inside.next_back()?;
        let counts: Vec<u64> =
            last.counts.iter().zip(&first.counts).map(|(last, first)| last.saturating_sub(*first)).collect();
        let total = counts.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        Some(Increase { counts, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 4] = [10.0, 20.0, 50.0, 100.0];

    fn filled(counts: &[u64]) -> LatencyHorizon {
        let mut horizon = LatencyHorizon::new(&BOUNDS, 60_000);
        assert!(horizon.push(0, &[0; 5]));
        assert!(horizon.push(30_000, counts));
        horizon
    }

    #[test]
    fn interpolates_as_histogram_quantile_does() {
        // cumulative over buckets: 10, 40, 90, 100, 100
        let horizon = filled(&[10, 30, 50, 10, 0]);
        assert_eq!(horizon.count(30_000), 100);
        assert_eq!(horizon.quantile(0.5, 30_000), Some(20.0 + 30.0 * (10.0 / 50.0)));
        assert_eq!(horizon.quantile(0.95, 30_000), Some(75.0));
        assert_eq!(horizon.quantile(0.05, 30_000), Some(5.0));
        assert_eq!(horizon.quantile(1.0, 30_000), Some(100.0));
        assert_eq!(horizon.quantile(1.1, 30_000), None);
        assert_eq!(horizon.quantile(f64::NAN, 30_000), None);
    }

    #[test]
    fn above_the_last_bound_the_last_bound_is_the_answer() {
        assert_eq!(filled(&[0, 0, 0, 1, 99]).quantile(0.95, 30_000), Some(100.0));
    }

    #[test]
    fn no_requests_are_no_quantile() {
        let horizon = filled(&[0; 5]);
        assert_eq!(horizon.quantile(0.95, 30_000), None);
        assert_eq!(horizon.count(30_000), 0);
        assert_eq!(LatencyHorizon::new(&BOUNDS, 60_000).quantile(0.5, 0), None);
    }

    #[test]
    fn what_is_older_than_the_horizon_does_not_count() {
        let mut horizon = filled(&[0, 0, 0, 0, 100]);
        for second in 31..=120 {
            assert!(horizon.push(second * 1000, &[second as u64, 0, 0, 0, 100]));
        }
        assert_eq!(horizon.count(120_000), 60);
        assert!(horizon.quantile(0.95, 120_000).is_some_and(|p95| p95 <= 10.0));
        assert_eq!(horizon.quantile(0.95, 500_000), None, "no news is no quantile");
    }

    #[test]
    fn the_fastest_answer_took_at_least_its_buckets_lower_bound() {
        assert_eq!(filled(&[0, 0, 3, 9, 0]).fastest(30_000), Some(20.0));
        assert_eq!(filled(&[1, 0, 3, 9, 0]).fastest(30_000), Some(0.0));
        assert_eq!(filled(&[0, 0, 0, 0, 9]).fastest(30_000), Some(100.0));
        assert_eq!(filled(&[0; 5]).fastest(30_000), None);
    }

    #[test]
    fn a_reset_counts_from_zero() {
        let mut horizon = filled(&[10, 0, 0, 0, 0]);
        assert!(horizon.push(31_000, &[0, 3, 0, 0, 0]));
        assert!(horizon.push(32_000, &[0, 5, 0, 0, 0]));
        assert_eq!(horizon.count(32_000), 15);
    }

    #[test]
    fn memory_is_bounded_and_a_clock_set_back_does_not_blind() {
        let mut horizon = LatencyHorizon::new(&BOUNDS, 60_000);
        for tick in 0..10_000u64 {
            assert!(horizon.push(tick as i64 * 50, &[tick, 0, 0, 0, 0]));
        }
        assert!(horizon.snapshots.len() <= 62, "{}", horizon.snapshots.len());
        assert!(horizon.push(100_000, &[10_000, 0, 0, 0, 0]));
        assert!(horizon.push(101_000, &[10_007, 0, 0, 0, 0]));
        assert_eq!(horizon.count(101_000), 7);
    }

    #[test]
    fn counts_of_another_shape_are_not_taken() {
        let mut horizon = filled(&[1, 0, 0, 0, 0]);
        assert!(!horizon.push(31_000, &[1, 2]));
        assert_eq!(horizon.count(31_000), 1);
    }
}
