//! The signals of traffic: latencies, rates, volume and silence of every version and lane, from counters that only grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use control::{LaneCounts, LatencyHorizon, LatencyReading, Policy, RateHorizon, Signal, SignalReading};
use gateway::{GatewaySnapshot, LATENCY_BOUNDS_MS, LaneSnapshot};
use monitor::Readings;
use record::Lane;

use crate::observed::{self, ReadCounts};

/// The horizon that a fallen volume is compared with, milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// Signals that are measured over the policy's horizon whether a rule asks or not: metrics and the dashboard show them.
const ALWAYS: [Signal; 4] =
    [Signal::ErrorRate, Signal::RejectedRate, Signal::UnreadableRate, Signal::LatencyP95];

type LaneKey = (Arc<str>, Arc<str>, Lane);

/// Synthetic answers of running drills: cumulative counts per bucket that are added to a version's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyOverlay {
    pub(crate) counts: BTreeMap<(String, String), Vec<u64>>,
    /// Synthetic answers that are added to a version's own: those with 200, and those with 503.
    pub(crate) answers: BTreeMap<(String, String), (u64, u64)>,
    /// Drills that have ended, by model: the horizons of such a model begin anew, without what was added.
    pub(crate) ended: BTreeMap<String, u64>,
}

/// A model and its versions.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) model: Arc<str>,
    /// The version that clients get, or of a model that is only measured the one that served last.
    pub(crate) active: Arc<str>,
    pub(crate) versions: Vec<Arc<str>>,
}

/// What signals are made from.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) models: &'a [Served],
    pub(crate) traffic: &'a GatewaySnapshot,
    pub(crate) reads: &'a BTreeMap<observed::LaneKey, ReadCounts>,
    pub(crate) drilled: &'a LatencyOverlay,
    pub(crate) readings: &'a Readings,
    pub(crate) started_ms: i64,
}

/// Horizons of every lane.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    lanes: BTreeMap<LaneKey, Horizons>,
    drills_ended: BTreeMap<String, u64>,
    /// The version of each model that served at the last sample.
    active: BTreeMap<Arc<str>, Arc<str>>,
    /// Requests of each model so far, and when the last one was seen, unix milliseconds.
    last: BTreeMap<Arc<str>, (u64, i64)>,
}

/// One lane's horizons, by their length in milliseconds.
#[derive(Debug, Default)]
struct Horizons {
    rates: BTreeMap<u64, RateHorizon>,
    latencies: BTreeMap<u64, LatencyHorizon>,
}

impl Signals {
    /// Takes the counters at an instant.
    pub(crate) fn sample(&mut self, input: &Input<'_>, now: i64) {
        self.begin_anew(input);
        let wanted = wanted(input.policy);
        for lane in &input.traffic.lanes {
            let key = (Arc::from(&*lane.model), Arc::from(&*lane.version), lane.lane);
            let horizons = self.lanes.entry(key).or_default();
            horizons.keep(&wanted);
            let (counts, buckets) = with_drill(lane, input);
            for horizon in horizons.rates.values_mut() {
                horizon.push(now, &counts);
            }
            for horizon in horizons.latencies.values_mut() {
                horizon.push(now, &buckets);
            }
        }
        for model in input.models {
            self.note_requests(&model.model, input, now);
        }
    }

    /// What a version did before traffic was switched to it says nothing about it now; nor does what a drill added.
    fn begin_anew(&mut self, input: &Input<'_>) {
        if self.drills_ended != input.drilled.ended {
            let same = |model: &str| self.drills_ended.get(model) == input.drilled.ended.get(model);
            self.lanes.retain(|(model, ..), _| same(model));
            self.drills_ended.clone_from(&input.drilled.ended);
        }
        for Served { model, active, .. } in input.models {
            let before = self.active.insert(Arc::clone(model), Arc::clone(active));
            if before.is_some_and(|before| before != *active) {
                self.lanes.remove(&(Arc::clone(model), Arc::clone(active), Lane::Prod));
            }
        }
    }

    fn note_requests(&mut self, model: &Arc<str>, input: &Input<'_>, now: i64) {
        let lanes =
            input.traffic.lanes.iter().filter(|lane| *lane.model == **model && lane.lane == Lane::Prod);
        let requests: u64 = lanes.flat_map(|lane| &lane.by_code).map(|(_, n)| n).sum();
        let windows =
            input.readings.models.iter().filter(|one| one.model == *model).flat_map(|one| &one.windows);
        let counted =
            windows.filter(|window| window.lane == Lane::Prod).map(|window| window.last_at_ms).max();
        let known = self.last.get(model).copied();
        // The windows outlive a restart; the counters see what is in no window.
        let seen = (requests > known.map_or(0, |(before, _)| before)).then_some(now);
        let newest =
            [known.map(|(_, at)| at), seen, counted.map(|at| at.min(now))].into_iter().flatten().max();
        if let Some(at) = newest {
            self.last.insert(Arc::clone(model), (requests, at));
        }
    }

    /// Latencies over the policy's horizon.
    pub(crate) fn latencies(&self, policy: &Policy, now: i64) -> Vec<LatencyReading> {
        let reading = |((model, version, lane), horizons): (&LaneKey, &Horizons)| {
            let horizon = horizons.latencies.get(&policy.latency_horizon_ms.max(1_000))?;
            Some(horizon.reading(model, version, *lane, now))
        };
        self.lanes.iter().filter_map(reading).collect()
    }

    /// Every signal of every lane.
    pub(crate) fn read(&self, input: &Input<'_>, now: i64) -> Vec<SignalReading> {
        let wanted = wanted(input.policy);
        let mut readings = Vec::new();
        for ((model, version, lane), horizons) in &self.lanes {
            let of = (model, version, *lane);
            for (signal, horizon_ms) in &wanted {
                readings.extend(match signal.quantile() {
                    Some(_) => horizons
                        .latencies
                        .get(horizon_ms)
                        .and_then(|horizon| horizon.signal(of, *signal, now)),
                    None => horizons
                        .rates
                        .get(horizon_ms)
                        .and_then(|horizon| horizon.reading(of, *signal, horizons.rates.get(&HOUR_MS))),
                });
            }
        }
        for model in input.models {
            self.silence(model, input, now, &mut readings);
        }
        readings
    }

    /// How long nobody has asked a model that was asked before: of the version that serves; the others are not missed.
    fn silence(&self, served: &Served, input: &Input<'_>, now: i64, readings: &mut Vec<SignalReading>) {
        let Served { model, active, versions } = served;
        let Some((_, last)) = self.last.get(model) else { return };
        // Nobody could be heard while this process was not there.
        let ms = (now - *last).min(now - input.started_ms).max(0);
        let horizon_ms = input.policy.latency_horizon_ms.max(1_000);
        let others = versions.iter().filter(|version| *version != active);
        for (version, ms, n) in std::iter::once((active, ms, 1)).chain(others.map(|other| (other, 0, 0))) {
            let of = (model, version, Lane::Prod);
            readings.push(SignalReading::plain(of, Signal::NoTraffic, horizon_ms, ms as f64 / 1000.0, n));
        }
    }
}

/// The signals that are measured, with their horizons.
fn wanted(policy: &Policy) -> Vec<(Signal, u64)> {
    let mut wanted = policy.watched();
    wanted.extend(ALWAYS.map(|signal| (signal, policy.latency_horizon_ms.max(1_000))));
    wanted.into_iter().filter(|(signal, _)| *signal != Signal::NoTraffic).collect()
}

impl Horizons {
    /// Keeps the horizons that are wanted and begins those that are new.
    fn keep(&mut self, wanted: &[(Signal, u64)]) {
        let is_rate = |one: &&(Signal, u64)| one.0.quantile().is_none();
        let mut rates: Vec<u64> = wanted.iter().filter(is_rate).map(|(_, ms)| *ms).collect();
        if wanted.iter().any(|(signal, _)| *signal == Signal::Volume) {
            rates.push(HOUR_MS);
        }
        self.rates.retain(|ms, _| rates.contains(ms));
        for ms in rates {
            self.rates.entry(ms).or_insert_with(|| RateHorizon::new(ms));
        }
        let latencies: Vec<u64> = wanted.iter().filter(|one| !is_rate(one)).map(|(_, ms)| *ms).collect();
        self.latencies.retain(|ms, _| latencies.contains(ms));
        for ms in latencies {
            self.latencies.entry(ms).or_insert_with(|| LatencyHorizon::new(&LATENCY_BOUNDS_MS, ms));
        }
    }
}

/// A lane's counts with what a drill adds to them.
fn with_drill(lane: &LaneSnapshot, input: &Input<'_>) -> (LaneCounts, Vec<u64>) {
    let key = (lane.model.clone(), lane.version.clone());
    let mut buckets = lane.latency.buckets.clone();
    let mut by_code = lane.by_code.clone();
    if lane.lane == Lane::Prod {
        if let Some(overlay) = input.drilled.counts.get(&key) {
            buckets.iter_mut().zip(overlay).for_each(|(count, added)| *count += added);
        }
        if let Some((fine, failed)) = input.drilled.answers.get(&key) {
            by_code.extend([(200, *fine), (503, *failed)]);
        }
    }
    let reads = input.reads.get(&(key.0, key.1, lane.lane)).copied().unwrap_or_default();
    let counts = LaneCounts {
        by_code,
        failed_inside: reads.failed,
        observed: reads.read + reads.unreadable + reads.failed,
        unreadable: reads.unreadable,
    };
    (counts, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model `m` with the versions `v1` and `v2`, and its counters.
    struct Rig {
        policy: Policy,
        signals: Signals,
        served: Vec<Served>,
        traffic: GatewaySnapshot,
        readings: Readings,
        started_ms: i64,
    }

    impl Rig {
        fn new() -> Self {
            let versions = vec!["v1".into(), "v2".into()];
            Self {
                policy: config::default_policy(),
                signals: Signals::default(),
                served: vec![Served { model: "m".into(), active: "v2".into(), versions }],
                traffic: GatewaySnapshot::default(),
                readings: Readings::default(),
                started_ms: 0,
            }
        }

        fn count(&mut self, version: &str, lane: Lane, code: u16, n: u64) {
            let is_it = |one: &&mut LaneSnapshot| one.version == version && one.lane == lane;
            if self.traffic.lanes.iter_mut().find(is_it).is_none() {
                let mut fresh = LaneSnapshot {
                    model: "m".to_owned(),
                    version: version.to_owned(),
                    lane,
                    ..LaneSnapshot::default()
                };
                fresh.latency.buckets = vec![0; LATENCY_BOUNDS_MS.len() + 1];
                self.traffic.lanes.push(fresh);
            }
            let lane = self.traffic.lanes.iter_mut().find(is_it).expect("is there");
            match lane.by_code.iter_mut().find(|(known, _)| *known == code) {
                Some((_, count)) => *count += n,
                None => lane.by_code.push((code, n)),
            }
            lane.latency.buckets[3] += n;
        }

        fn look(&mut self, now: i64) -> Vec<SignalReading> {
            let input = Input {
                policy: &self.policy,
                models: &self.served,
                traffic: &self.traffic,
                reads: &BTreeMap::new(),
                drilled: &LatencyOverlay::default(),
                readings: &self.readings,
                started_ms: self.started_ms,
            };
            self.signals.sample(&input, now);
            self.signals.read(&input, now)
        }
    }

    fn of(readings: &[SignalReading], signal: Signal, version: &str, lane: Lane) -> Option<SignalReading> {
        let is_it =
            |one: &&SignalReading| one.signal == signal && &*one.version == version && one.lane == lane;
        readings.iter().filter(is_it).min_by_key(|one| one.horizon_ms).cloned()
    }

    #[test]
    fn both_lanes_are_measured() {
        let mut rig = Rig::new();
        for (version, lane) in [("v2", Lane::Prod), ("v1", Lane::Shadow)] {
            rig.count(version, lane, 200, 0);
        }
        rig.look(0);
        rig.count("v2", Lane::Prod, 503, 30);
        rig.count("v2", Lane::Prod, 200, 70);
        rig.count("v1", Lane::Shadow, 200, 50);
        let readings = rig.look(1_000);
        let prod = of(&readings, Signal::ErrorRate, "v2", Lane::Prod).expect("is measured");
        assert_eq!((prod.value, prod.n, prod.horizon_ms), (0.3, 100, 60_000));
        let shadow = of(&readings, Signal::ErrorRate, "v1", Lane::Shadow).expect("is measured");
        assert_eq!((shadow.value, shadow.n), (0.0, 50));
        assert!(of(&readings, Signal::LatencyP95, "v1", Lane::Shadow).is_some());
    }

    #[test]
    fn a_version_is_judged_by_what_it_served_after_it_became_active() {
        let mut rig = Rig::new();
        rig.count("v1", Lane::Prod, 503, 0);
        rig.look(0);
        rig.count("v1", Lane::Prod, 503, 100);
        assert!(of(&rig.look(1_000), Signal::ErrorRate, "v1", Lane::Prod).is_some());
        rig.served[0].active = "v1".into();
        assert_eq!(of(&rig.look(2_000), Signal::ErrorRate, "v1", Lane::Prod), None);
        rig.count("v1", Lane::Prod, 200, 10);
        let after = of(&rig.look(3_000), Signal::ErrorRate, "v1", Lane::Prod).expect("is measured");
        assert_eq!((after.value, after.n), (0.0, 10));
    }

    #[test]
    fn silence_is_that_of_the_version_that_serves() {
        let mut rig = Rig::new();
        assert_eq!(of(&rig.look(500_000), Signal::NoTraffic, "v2", Lane::Prod), None, "never asked");
        rig.count("v2", Lane::Prod, 200, 1);
        rig.look(600_000);
        let secs = |readings: &[SignalReading], version| {
            of(readings, Signal::NoTraffic, version, Lane::Prod).map(|one| one.value)
        };
        let readings = rig.look(910_000);
        assert_eq!((secs(&readings, "v2"), secs(&readings, "v1")), (Some(310.0), Some(0.0)));
        rig.count("v1", Lane::Prod, 200, 1);
        assert_eq!(secs(&rig.look(911_000), "v2"), Some(0.0), "the model was asked");
        rig.count("v2", Lane::Shadow, 200, 1);
        assert_eq!(secs(&rig.look(921_000), "v2"), Some(10.0), "copies are no requests");
    }

    #[test]
    fn after_a_restart_silence_begins_with_the_process() {
        let mut rig = Rig::new();
        rig.signals.last.insert("m".into(), (0, 1_000));
        rig.started_ms = 10_000_000;
        let silent = of(&rig.look(10_060_000), Signal::NoTraffic, "v2", Lane::Prod).expect("there were some");
        assert_eq!(silent.value, 60.0);
    }
}
