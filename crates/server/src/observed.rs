//! Answers that did not pass our own gateway: how many, and how long they took, as far as whoever saw them says so.
//!
//! The gateway counts its own traffic on the request path. What sources and receivers bring is counted here, in the same
//! buckets, so that the latency of a model beside somebody else's gateway is judged by the same rules.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway::{GatewaySnapshot, LATENCY_BOUNDS_MS, LaneSnapshot};
use record::{Inference, Lane, Record};

/// Lanes that are remembered; the versions of a model that are measured have a bound of their own.
const LANES: usize = 10_000;

/// Different status codes of a lane; all codes there are in use fit.
const CODES: usize = 100;

/// Status that a record stands for when it says none: it has an answer.
const ANSWERED: u16 = 200;

/// Model, version and lane.
pub(crate) type LaneKey = (String, String, Lane);

/// Counters by model, version and lane.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    carried: Mutex<BTreeMap<LaneKey, LaneCounts>>,
    read: Mutex<BTreeMap<LaneKey, ReadCounts>>,
}

/// Requests that were measured, by what reading them brought. All traffic counts, whoever carried it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadCounts {
    /// Their features could be read.
    pub(crate) read: u64,
    /// They could not.
    pub(crate) unreadable: u64,
    /// The answer began well and held an error of the server's.
    pub(crate) failed: u64,
}

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
        self.carried(model, version, lane, status, latency_ms);
    }

    /// Counts a record whose request was refused: it is no inference, and an answer all the same.
    pub(crate) fn count_refused(&self, record: &Record, version: &str) {
        self.carried(&record.model, version, record.lane, record.status, record.latency_ms);
    }

    fn carried(&self, model: &str, version: &str, lane: Lane, status: Option<u16>, latency_ms: Option<f64>) {
        let mut lanes = self.lock();
        let Some(counts) = entry(&mut lanes, model, version, lane) else { return };
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

    /// Counts what reading a measured request brought. Requests that are no inference, and refused ones, do not count.
    pub(crate) fn count_read(&self, inference: &Inference<'_>) {
        let Inference { model, version, lane, problem, .. } = *inference;
        if matches!(problem, Some("refused" | "not_inference" | "empty")) {
            return;
        }
        let mut lanes = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = entry(&mut lanes, model, version, lane) else { return };
        match problem {
            None | Some("response") => counts.read += 1,
            Some("upstream_error") => counts.failed += 1,
            Some(_) => counts.unreadable += 1,
        }
    }

    /// What reading measured requests brought so far.
    pub(crate) fn reads(&self) -> BTreeMap<LaneKey, ReadCounts> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LaneKey, LaneCounts>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane's counters; `None` when there are too many lanes.
fn entry<'a, T: Default>(
    lanes: &'a mut BTreeMap<LaneKey, T>,
    model: &str,
    version: &str,
    lane: Lane,
) -> Option<&'a mut T> {
    let key = (model.to_owned(), version.to_owned(), lane);
    if lanes.len() >= LANES && !lanes.contains_key(&key) {
        return None;
    }
    Some(lanes.entry(key).or_default())
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
    fn what_could_not_be_read_is_counted_and_what_is_no_inference_is_not() {
        let (observed, decoded) = (Observed::default(), Decoded::new());
        let problems =
            [None, Some("response"), Some("syntax"), Some("upstream_error"), Some("refused"), Some("empty")];
        for problem in problems {
            observed.count_read(&Inference { problem, ..inference(&decoded, Some(200), None) });
        }
        let reads: Vec<ReadCounts> = observed.reads().into_values().collect();
        assert_eq!(reads, [ReadCounts { read: 2, unreadable: 1, failed: 1 }]);
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
