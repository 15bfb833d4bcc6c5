//! One measurement of traffic, whatever its signal is.

use std::sync::Arc;

use record::Lane;
use serde::Serialize;

use super::Signal;

/// Requests of which every one must show the same before fewer than `min_requests` are enough to judge by.
pub(crate) const UNANIMOUS_MIN: u64 = 20;

/// A signal of one model's version and lane over a horizon.
///
/// Both lanes are measured, so that a version and the one that gets copies of the same requests can be compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalReading {
    /// The model.
    pub model: Arc<str>,
    /// The version that answered.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// Which signal.
    pub signal: Signal,
    /// How far back it looks, milliseconds.
    pub horizon_ms: u64,
    /// The value in the signal's unit.
    pub value: f64,
    /// Requests behind it.
    pub n: u64,
    /// Requests counted so far, whatever the horizon: what does not grow has nothing new to say.
    pub total: u64,
    /// Of a share: how many of the newest requests in a row are hits, as far as is known.
    pub in_a_row: u64,
    /// Of a share the lower end of Wilson's 95 % interval; of a latency the time that every answer took at least; else `value`.
    pub lower: f64,
    /// Of a share the upper end of Wilson's 95 % interval; else `value`.
    pub upper: f64,
    /// What it was before, for signals that are compared with their own past.
    pub before: Option<f64>,
    /// The reading in words, with the most frequent cause.
    pub detail: Option<String>,
}

impl SignalReading {
    /// A share of `n` requests, `hits` of them; `None` without requests.
    pub fn share(
        (model, version, lane): (&Arc<str>, &Arc<str>, Lane),
        signal: Signal,
        horizon_ms: u64,
        hits: u64,
        n: u64,
    ) -> Option<Self> {
        let share = stats::wilson(hits, n)?;
        Some(Self {
            model: Arc::clone(model),
            version: Arc::clone(version),
            lane,
            signal,
            horizon_ms,
            value: share.value,
            n,
            total: 0,
            in_a_row: if hits == n { n } else { 0 },
            lower: share.low,
            upper: share.high,
            before: None,
            detail: None,
        })
    }

    /// A number that has no interval.
    pub fn plain(
        (model, version, lane): (&Arc<str>, &Arc<str>, Lane),
        signal: Signal,
        horizon_ms: u64,
        value: f64,
        n: u64,
    ) -> Self {
        Self {
            model: Arc::clone(model),
            version: Arc::clone(version),
            lane,
            signal,
            horizon_ms,
            value,
            n,
            total: 0,
            in_a_row: 0,
            lower: value,
            upper: value,
            before: None,
            detail: None,
        }
    }

    /// Whether the value is above `limit` beyond chance, from enough requests: more than `min_requests` of which the lower end
    /// (of a latency the quantile) is above, or at least 20: hits in a row, answers that were all slower. `None`: this many requests do not say.
    pub fn is_above(&self, limit: f64, min_requests: u64) -> Option<bool> {
        if !self.value.is_finite() || self.n == 0 {
            return None;
        }
        let is_share = self.signal.spec().unit == super::Unit::Share;
        let unanimous = if is_share { self.in_a_row } else { self.n * u64::from(self.lower >= limit) };
        if unanimous >= UNANIMOUS_MIN && self.value > limit {
            return Some(true);
        }
        let enough = self.n > min_requests;
        let beyond = if is_share { self.lower > limit } else { self.value > limit };
        if enough && beyond {
            return Some(true);
        }
        // A share can be told to be small from fewer requests than it takes to tell that it is large.
        let enough_to_clear = if is_share { self.n >= UNANIMOUS_MIN.min(min_requests + 1) } else { enough };
        (enough_to_clear && self.value <= limit).then_some(false)
    }

    /// The same for a value below `limit`.
    pub fn is_below(&self, limit: f64, min_requests: u64) -> Option<bool> {
        if !self.value.is_finite() || self.n <= min_requests {
            return None;
        }
        if self.upper < limit {
            return Some(true);
        }
        (self.value >= limit).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errors(hits: u64, n: u64) -> SignalReading {
        let (model, version) = ("fraud".into(), "v2".into());
        SignalReading::share((&model, &version, Lane::Prod), Signal::ErrorRate, 60_000, hits, n).unwrap()
    }

    fn p95(value: f64, fastest: f64, n: u64) -> SignalReading {
        let (model, version) = ("fraud".into(), "v2".into());
        let plain =
            SignalReading::plain((&model, &version, Lane::Prod), Signal::LatencyP95, 60_000, value, n);
        SignalReading { lower: fastest, ..plain }
    }

    #[test]
    fn a_share_is_above_when_chance_does_not_explain_it() {
        for (hits, n, expected) in [
            (20, 20, Some(true)),
            (19, 19, None),
            (19, 20, None),
            (15, 101, Some(true)),
            (6, 101, None),
            (5, 101, Some(false)),
            (0, 20, Some(false)),
            (0, 19, None),
            (800, 10_000, Some(true)),
            (520, 10_000, None),
            (500, 10_000, Some(false)),
        ] {
            assert_eq!(errors(hits, n).is_above(0.05, 100), expected, "{hits} of {n}");
        }
    }

    #[test]
    fn a_latency_needs_a_sample_too() {
        for (value, fastest, n, expected) in [
            (900.0, 750.0, 1, None),
            (900.0, 750.0, 19, None),
            (900.0, 750.0, 20, Some(true)),
            (900.0, 500.0, 20, Some(true)),
            (900.0, 400.0, 20, None),
            (900.0, 0.0, 100, None),
            (900.0, 0.0, 101, Some(true)),
            (500.0, 0.0, 101, Some(false)),
            (500.0, 0.0, 100, None),
        ] {
            assert_eq!(
                p95(value, fastest, n).is_above(500.0, 100),
                expected,
                "{value} ms, {fastest} at least, of {n}"
            );
        }
    }

    proptest! {
        #[test]
        fn more_errors_never_turn_an_alarm_off(n in 1_u64..5_000, share in 0.0_f64..1.0, limit in 0.001_f64..0.9) {
            let hits = (n as f64 * share) as u64;
            if errors(hits, n).is_above(limit, 100) == Some(true) {
                prop_assert_eq!(errors((hits + 1).min(n), n).is_above(limit, 100), Some(true));
            }
            if errors(hits, n).is_above(limit, 100) == Some(false) {
                prop_assert_ne!(errors(hits.saturating_sub(1), n).is_above(limit, 100), Some(true));
            }
        }
    }
}
