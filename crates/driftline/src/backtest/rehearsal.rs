//! Engine and controller on the records' time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use config::Settings;
use control::{
    AlertTransition, Controller, LaneCounts, LatencyHorizon, News, Policy, RateHorizon, Severity, Signal,
    SignalReading, Store,
};
use gateway::LATENCY_BOUNDS_MS;
use monitor::{Engine, ObserveError};
use record::{Lane, Record};

/// While nothing comes rules are judged this seldom: only durations pass.
const IDLE_STEP_MS: i64 = 60_000;

/// Answers of so many models, versions and lanes are kept.
const MAX_LANES: usize = 1_000;

/// What would have happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// An alert fires or is over.
    Alert { name: String, severity: Severity, fires: bool, text: String },
    /// Traffic goes to another version.
    Rollback { from: String, to: String, reason: String },
    /// An alert calls for a rollback that is not made, or waits for approval.
    NotMoved { text: String },
    /// A training is started.
    Retrain { trainer: String, reason: String },
}

/// Something that would have happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) at_ms: i64,
    pub(super) model: String,
    pub(super) what: What,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// Records counted.
    pub(super) records: u64,
    /// Those that were not, by reason.
    pub(super) skipped: BTreeMap<String, u64>,
    /// The records' first and last time.
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: i64,
    /// By model and alert: how often it fired.
    pub(super) alerts: BTreeMap<(String, String), u64>,
    /// By model.
    pub(super) rollbacks: BTreeMap<String, u64>,
}

impl Summary {
    /// How often alerts fired, all together.
    pub(super) fn fired(&self) -> u64 {
        self.alerts.values().sum()
    }
}

type LaneKey = (Arc<str>, Arc<str>, Lane);

/// The answers of one version and lane.
struct LaneSoFar {
    /// Latencies since the start, per bucket.
    buckets: Vec<u64>,
    answers: LaneCounts,
    latencies: Vec<(Signal, LatencyHorizon)>,
    rates: Vec<(Signal, RateHorizon)>,
}

/// Where events go.
pub(super) type Tell<'a> = dyn FnMut(&Event) -> Result<()> + 'a;

/// A policy that is tried on what was recorded.
pub(super) struct Rehearsal {
    engine: Engine,
    policy: Policy,
    controller: Option<Controller>,
    /// The version that clients get, by model.
    active: HashMap<Arc<str>, Arc<str>>,
    /// When production's last request of a model came.
    last_ms: HashMap<Arc<str>, i64>,
    lanes: HashMap<LaneKey, LaneSoFar>,
    every_ms: i64,
    now_ms: i64,
    summary: Summary,
}

impl Rehearsal {
    pub(super) fn new(settings: &Settings, every: Duration) -> Self {
        let mut engine = Engine::new(settings.monitor.clone());
        let mut active = HashMap::new();
        for model in &settings.models {
            engine.set_active(&model.name, &model.active);
            active.insert(Arc::from(&*model.name), Arc::from(&*model.active));
        }
        Self {
            engine,
            policy: settings.policy.clone(),
            controller: None,
            active,
            last_ms: HashMap::new(),
            lanes: HashMap::new(),
            every_ms: every.as_millis() as i64,
            now_ms: 0,
            summary: Summary::default(),
        }
    }

    /// Counts one record; what falls due before it happens first. A record without a time, or from before the last one,
    /// belongs to the last one's time.
    pub(super) fn play(&mut self, record: &Record, tell: &mut Tell<'_>) -> Result<()> {
        let at_ms = record.ts.unwrap_or(self.now_ms).max(self.now_ms);
        match self.summary.first_ms {
            None => {
                self.begin(at_ms)?;
                self.summary.first_ms = Some(at_ms);
            }
            Some(_) => self.advance(at_ms, tell)?,
        }
        self.summary.last_ms = at_ms;
        match self.engine.observe_record(record) {
            Ok(inference) => {
                // A record without a version belongs to the one that clients get.
                let version = inference.version.into();
                self.summary.records += 1;
                self.count_answer(record, version);
            }
            Err(error) => {
                // A refused request has no features to count, but it is an answer.
                if matches!(error, ObserveError::Refused { .. }) {
                    let active = self.active.get(record.model.as_str()).cloned();
                    let version = record.version.as_deref().map(Arc::from).or(active);
                    self.count_answer(record, version.unwrap_or_default());
                }
                *self.summary.skipped.entry(reason(&error).to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Judges once more, at the end of the records.
    pub(super) fn end(mut self, unreadable: u64, tell: &mut Tell<'_>) -> Result<Summary> {
        if self.summary.first_ms.is_some() {
            self.advance(self.now_ms + self.every_ms, tell)?;
        }
        if unreadable > 0 {
            self.summary.skipped.insert("no record".to_owned(), unreadable);
        }
        Ok(self.summary)
    }

    fn begin(&mut self, at_ms: i64) -> Result<()> {
        let store = Store::in_memory().context("cannot make a store in memory")?;
        let (controller, _) = Controller::open(store, self.policy.clone(), at_ms).context("the policy")?;
        self.controller = Some(controller);
        self.now_ms = at_ms;
        self.engine.readings(at_ms);
        Ok(())
    }

    /// Judges at every tick up to `at_ms`.
    fn advance(&mut self, at_ms: i64, tell: &mut Tell<'_>) -> Result<()> {
        while at_ms - self.now_ms >= self.every_ms {
            let idle = at_ms - self.now_ms > 2 * IDLE_STEP_MS;
            self.now_ms += if idle { IDLE_STEP_MS.max(self.every_ms) } else { self.every_ms };
            self.judge(tell)?;
        }
        Ok(())
    }

    fn judge(&mut self, tell: &mut Tell<'_>) -> Result<()> {
        let now_ms = self.now_ms;
        let Some(controller) = &mut self.controller else { return Ok(()) };
        let readings = self.engine.readings(now_ms);
        let mut signals: Vec<SignalReading> = self
            .lanes
            .iter_mut()
            .flat_map(|((model, version, lane), so_far)| so_far.signals((model, version, *lane), now_ms))
            .collect();
        signals.extend(silences(&self.policy, &self.active, &self.last_ms, now_ms));
        let step = controller.step(now_ms, &readings, &signals);
        let mut events = Vec::new();
        for change in &step.changes {
            let fires = match change.transition {
                AlertTransition::Firing => true,
                AlertTransition::Resolved => false,
                AlertTransition::Pending | AlertTransition::Cancelled => continue,
            };
            let (alert, model) =
                (&change.alert, change.alert.labels.get("model").cloned().unwrap_or_default());
            if fires {
                *self.summary.alerts.entry((model.clone(), alert.name.clone())).or_default() += 1;
            }
            let (name, text) = (alert.name.clone(), alert.annotations.summary.clone());
            let what = What::Alert { name, severity: alert.severity, fires, text };
            events.push(Event { at_ms: now_ms, model, what });
        }
        for decision in step.decisions {
            controller.applied(decision.id, now_ms)?;
            controller.confirmed(decision.id, now_ms)?;
            let change = &decision.change;
            self.engine.set_active(&change.model, &change.to);
            self.active.insert(Arc::from(&*change.model), Arc::from(&*change.to));
            *self.summary.rollbacks.entry(change.model.to_string()).or_default() += 1;
            let (from, to) = (change.from.to_string(), change.to.to_string());
            let what = What::Rollback { from, to, reason: decision.reason.clone() };
            events.push(Event { at_ms: now_ms, model: change.model.to_string(), what });
        }
        for news in controller.take_news() {
            let (model, what) = match news {
                News::Blocked { change, text, .. } => (change.model.to_string(), What::NotMoved { text }),
                News::Proposed(proposal) => {
                    let text = format!("a rollback waits for approval: {}", proposal.reason);
                    (proposal.model.to_string(), What::NotMoved { text })
                }
                News::ProposalEnded(_) => continue,
                News::Retrain(retraining) => {
                    let what = What::Retrain {
                        trainer: retraining.trainer.to_string(),
                        reason: retraining.reason.clone(),
                    };
                    (retraining.model.to_string(), what)
                }
            };
            events.push(Event { at_ms: now_ms, model, what });
        }
        events.iter().try_for_each(tell)
    }

    fn count_answer(&mut self, record: &Record, version: Arc<str>) {
        let key: LaneKey = (record.model.as_str().into(), version, record.lane);
        if self.lanes.len() >= MAX_LANES && !self.lanes.contains_key(&key) {
            return;
        }
        if record.lane == Lane::Prod {
            self.last_ms.insert(key.0.clone(), self.now_ms.max(record.ts.unwrap_or(0)));
        }
        let policy = &self.policy;
        let lane = self.lanes.entry(key).or_insert_with(|| LaneSoFar::new(policy));
        let code = record.status.unwrap_or(200);
        match lane.answers.by_code.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => lane.answers.by_code.push((code, 1)),
        }
        let Some(ms) = record.latency_ms.filter(|ms| ms.is_finite()) else { return };
        let bucket =
            LATENCY_BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(LATENCY_BOUNDS_MS.len());
        lane.buckets[bucket] += 1;
    }
}

impl LaneSoFar {
    fn new(policy: &Policy) -> Self {
        let (latencies, rates): (Vec<_>, Vec<_>) =
            policy.watched().into_iter().partition(|(signal, _)| signal.quantile().is_some());
        let latency = |(signal, ms): (Signal, u64)| (signal, LatencyHorizon::new(&LATENCY_BOUNDS_MS, ms));
        Self {
            buckets: vec![0; LATENCY_BOUNDS_MS.len() + 1],
            answers: LaneCounts::default(),
            latencies: latencies.into_iter().map(latency).collect(),
            rates: rates.into_iter().map(|(signal, ms)| (signal, RateHorizon::new(ms))).collect(),
        }
    }

    /// The signals at an instant.
    fn signals(&mut self, of: (&Arc<str>, &Arc<str>, Lane), now_ms: i64) -> Vec<SignalReading> {
        let mut signals = Vec::new();
        for (signal, horizon) in &mut self.latencies {
            horizon.push(now_ms, &self.buckets);
            signals.extend(horizon.signal(of, *signal, now_ms));
        }
        for (signal, horizon) in &mut self.rates {
            horizon.push(now_ms, &self.answers);
            signals.extend(horizon.reading(of, *signal, None));
        }
        signals
    }
}

/// How long there has been no request to each model's active version.
fn silences(
    policy: &Policy,
    active: &HashMap<Arc<str>, Arc<str>>,
    last_ms: &HashMap<Arc<str>, i64>,
    now_ms: i64,
) -> Vec<SignalReading> {
    let horizon_ms = policy.latency_horizon_ms.max(1_000);
    let silence = |(model, last): (&Arc<str>, &i64)| {
        let secs = (now_ms - last).max(0) as f64 / 1_000.0;
        let of = (model, active.get(model)?, Lane::Prod);
        Some(SignalReading::plain(of, Signal::NoTraffic, horizon_ms, secs, 1))
    };
    last_ms.iter().filter_map(silence).collect()
}

/// Why a record was not counted, as a word for the summary.
const fn reason(error: &ObserveError) -> &'static str {
    match error {
        ObserveError::UnknownModel { .. } => "the model is not configured",
        ObserveError::VersionLimit { .. } => "too many versions",
        ObserveError::VersionTooLong { .. } => "the version's name is too long",
        ObserveError::Refused { .. } => "a refused request",
    }
}
