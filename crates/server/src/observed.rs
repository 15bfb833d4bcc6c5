//! Answers that did not pass our own gateway: how many, and how long they took, as far as whoever saw them says so.
//!
//! The gateway counts its own traffic on the request path. What sources and receivers bring is counted here, in the same
//! buckets, so that the latency of a model beside somebody else's gateway is judged by the same rules.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway::{GatewaySnapshot, LATENCY_BOUNDS_MS, LaneSnapshot};
use record::{Inference, Lane};

/// Lanes that are remembered; the versions of a model that are measured have a bound of their own.
const LANES: usize = 10_000;

/// Different status codes of a lane; all codes there are in use fit.
const CODES: usize = 100;

/// Status that a record stands for when it says none: it has an answer.
const ANSWERED: u16 = 200;

/// Counters by model, version and lane.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<BTreeMap<(String, String, Lane), LaneCounts>>);

#[derive(Debug)]
struct LaneCounts {
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    sum_ms: f64,
    count: u64,
}

impl Default for LaneCounts {
    fn default() -> Self {
        Self { by_code: BTreeMap::new(), buckets: [0; LATENCY_BOUNDS_MS.len() + 1], sum_ms: 0.0, count: 0 }
    }
}

impl Observed {
    /// Counts an inference that somebody else's gateway carried.
    pub(crate) fn count(&self, inference: &Inference<'_>) {
        let Inference { model, version, lane, status, latency_ms, .. } = *inference;
        let mut lanes = self.lock();
        let key = (model.to_owned(), version.to_owned(), lane);
        if lanes.len() >= LANES && !lanes.contains_key(&key) {
            return;
        }
        let counts = lanes.entry(key).or_default();
        let code = status.unwrap_or(ANSWERED);
        if counts.by_code.len() < CODES || counts.by_code.contains_key(&code) {
            *counts.by_code.entry(code).or_default() += 1;
        }
        if let Some(ms) = latency_ms.filter(|ms| *ms >= 0.0 && ms.is_finite()) {
            let bucket = LATENCY_BOUNDS_MS.partition_point(|bound| *bound < ms);
            counts.buckets[bucket] += 1;
            counts.sum_ms += ms;
            counts.count += 1;
        }
    }

    /// Adds what was counted here to what the gateway counted.
    pub(crate) fn add_to(&self, gateway: &mut GatewaySnapshot) {
        for ((model, version, lane), counts) in &*self.lock() {
            let is_it = |known: &&mut LaneSnapshot| {
                known.model == *model && known.version == *version && known.lane == *lane
            };
            match gateway.lanes.iter_mut().find(is_it) {
                Some(known) => counts.add_to(known),
                None => {
                    let mut fresh = LaneSnapshot {
                        model: model.clone(),
                        version: version.clone(),
                        lane: *lane,
                        ..LaneSnapshot::default()
                    };
                    fresh.latency.buckets = vec![0; LATENCY_BOUNDS_MS.len() + 1];
                    counts.add_to(&mut fresh);
                    gateway.lanes.push(fresh);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String, Lane), LaneCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneCounts {
    fn add_to(&self, lane: &mut LaneSnapshot) {
        for (code, count) in &self.by_code {
            match lane.by_code.iter_mut().find(|(known, _)| known == code) {
                Some((_, known)) => *known += count,
                None => lane.by_code.push((*code, *count)),
            }
        }
        lane.latency.buckets.iter_mut().zip(&self.buckets).for_each(|(known, count)| *known += count);
        lane.latency.sum_ms += self.sum_ms;
        lane.latency.count += self.count;
    }
}

#[cfg(test)]
mod tests {
    use record::Decoded;

    use super::*;

    fn inference(decoded: &Decoded, status: Option<u16>, latency_ms: Option<f64>) -> Inference<'_> {
        Inference {
            at_ms: 0,
            model: "m",
            version: "v",
            lane: Lane::Prod,
            tenant: None,
            request_id: b"",
            status,
            latency_ms,
            request_bytes: None,
            response_bytes: None,
            headers: &[],
            pairing: record::Pairing::Unknown,
            decoded,
            problem: None,
        }
    }

    #[test]
    fn what_others_carried_stands_beside_what_we_carried() {
        let (observed, decoded) = (Observed::default(), Decoded::new());
        for latency in [Some(0.5), Some(1.0), Some(1e9), None, Some(f64::NAN), Some(-1.0)] {
            observed.count(&inference(&decoded, None, latency));
        }
        observed.count(&inference(&decoded, Some(503), None));
        let ours = LaneSnapshot {
            model: "m".to_owned(),
            version: "v".to_owned(),
            by_code: vec![(200, 10)],
            latency: gateway::LatencySnapshot {
                buckets: vec![1; LATENCY_BOUNDS_MS.len() + 1],
                sum_ms: 2.0,
                count: 21,
            },
            ..LaneSnapshot::default()
        };
        for (mut snapshot, base) in [
            (GatewaySnapshot::default(), (0, 0, 0.0)),
            (GatewaySnapshot { lanes: vec![ours], ..GatewaySnapshot::default() }, (10, 1, 2.0)),
        ] {
            observed.add_to(&mut snapshot);
            let [lane] = snapshot.lanes.as_slice() else { panic!("{snapshot:?}") };
            assert_eq!(lane.by_code, [(200, base.0 + 6), (503, 1)]);
            assert_eq!(lane.latency.buckets.first(), Some(&(base.1 + 2)));
            assert_eq!(lane.latency.buckets.last(), Some(&(base.1 + 1)));
            assert!((lane.latency.sum_ms - (base.2 + 1e9 + 1.5)).abs() < 1e-6);
        }
    }
}
