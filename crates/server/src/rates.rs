//! Traffic of the last minute, from counters that only grow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use control::{TrafficReading, is_error};
use gateway::{GatewaySnapshot, LaneSnapshot};
use record::Lane;

/// How far back rates look, milliseconds.
const HORIZON_MS: i64 = 60_000;

/// Shortest distance of two samples, milliseconds.
const EVERY_MS: i64 = 2_000;

type LaneKey = (Arc<str>, Arc<str>, Lane);

/// Counters at an instant.
#[derive(Debug)]
struct Sample {
    at_ms: i64,
    lanes: BTreeMap<LaneKey, Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
}

/// Samples of the last minute, at most one every two seconds.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    /// Takes the counters at an instant. A clock that was set back begins anew.
    pub(crate) fn sample(&self, traffic: &GatewaySnapshot, at_ms: i64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match samples.back().map(|last| at_ms - last.at_ms) {
            Some(since) if since < 0 => samples.clear(),
            Some(since) if since < EVERY_MS => return,
            _ => {}
        }
        // One older than the horizon stays, so that the horizon is covered as a whole.
        while samples.get(1).is_some_and(|second| second.at_ms <= at_ms - HORIZON_MS) {
            samples.pop_front();
        }
        let lanes = traffic.lanes.iter().map(|lane| (key(lane), counts(lane))).collect();
        samples.push_back(Sample { at_ms, lanes });
    }

    /// Requests and errors per lane over the last minute, or the time since the start. Lanes without requests are not there.
    pub(crate) fn read(&self) -> Vec<TrafficReading> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(oldest), Some(newest)) = (samples.front(), samples.back()) else { return Vec::new() };
        let seconds = (newest.at_ms - oldest.at_ms) as f64 / 1000.0;
        if seconds <= 0.0 {
            return Vec::new();
        }
        let of_lane = |((model, version, lane), now): (&LaneKey, &Counts)| {
            let key = (Arc::clone(model), Arc::clone(version), *lane);
            let then = oldest.lanes.get(&key).copied().unwrap_or_default();
            let requests = now.requests.saturating_sub(then.requests);
            let errors = now.errors.saturating_sub(then.errors);
            let (model, version, lane) = key;
            (requests > 0).then(|| TrafficReading {
                model,
                version,
                lane,
                per_second: requests as f64 / seconds,
                error_rate: errors as f64 / requests as f64,
            })
        };
        newest.lanes.iter().filter_map(of_lane).collect()
    }
}

fn key(lane: &LaneSnapshot) -> LaneKey {
    (Arc::from(&*lane.model), Arc::from(&*lane.version), lane.lane)
}

fn counts(lane: &LaneSnapshot) -> Counts {
    let requests = lane.by_code.iter().map(|(_, n)| n).sum();
    let errors = lane.by_code.iter().filter(|(code, _)| is_error(*code)).map(|(_, n)| n).sum();
    Counts { requests, errors }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(fine: u64, broken: u64, gone: u64) -> GatewaySnapshot {
        let lane = LaneSnapshot {
            model: "m".to_owned(),
            version: "v".to_owned(),
            by_code: vec![(0, gone), (200, fine), (503, broken)],
            ..LaneSnapshot::default()
        };
        GatewaySnapshot { lanes: vec![lane], ..GatewaySnapshot::default() }
    }

    #[test]
    fn a_rate_is_what_was_added_in_the_last_minute() {
        let rates = Rates::default();
        assert_eq!(rates.read(), []);
        for second in 0..=300_u64 {
            let broken = second.saturating_sub(240);
            rates.sample(&traffic(second * 9, broken, broken), second as i64 * 1000);
        }
        let [reading] = rates.read().try_into().expect("one lane");
        assert!((reading.per_second - 11.0).abs() < 0.2, "{reading:?}");
        assert!((reading.error_rate - 2.0 / 11.0).abs() < 0.01, "{reading:?}");
        assert!(rates.0.lock().expect("not poisoned").len() <= 32);
    }

    #[test]
    fn without_news_there_is_no_rate_and_a_clock_set_back_begins_anew() {
        let rates = Rates::default();
        rates.sample(&traffic(5, 0, 0), 100_000);
        rates.sample(&traffic(5, 0, 0), 110_000);
        assert_eq!(rates.read(), []);
        rates.sample(&traffic(50, 0, 0), 10_000);
        assert_eq!(rates.read(), []);
        rates.sample(&traffic(70, 0, 0), 20_000);
        assert_eq!(rates.read()[0].per_second, 2.0);
    }
}
