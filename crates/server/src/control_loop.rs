//! The control thread: once a tick it looks at readings and latencies, steps the rules and carries decisions out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use control::{AlertChange, LatencyHorizon, LatencyReading};
use gateway::{GatewaySnapshot, LATENCY_BOUNDS_MS};
use monitor::Readings;
use record::Lane;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::clock::now_ms;
use crate::outside;
use crate::plane::Plane;
use crate::told;

/// How often the series of the history are written: once in every 15 seconds of the clock, so that none goes without a point.
const HISTORY_EVERY_MS: i64 = 15_000;

/// Runs until `stop` turns true. Its heartbeat goes to [`Heartbeat`].
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut latencies = Latencies::default();
    let mut written = None;
    let mut period = plane.settings().observe.evaluate_every;
    let mut tick = ticker(period);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        step(&plane, &mut latencies).await;
        let now = now_ms();
        let readings = plane.monitor.readings();
        let slot = (readings.at_ms > 0).then(|| readings.at_ms.div_euclid(HISTORY_EVERY_MS));
        if slot.is_some() && slot != written {
            written = slot;
            write_history(&plane, &readings, now);
        }
        plane.ledger.save();
        plane.control_beat.beat(now);
        let wanted = plane.settings().observe.evaluate_every;
        if wanted != period {
            period = wanted;
            tick = ticker(period);
        }
    }
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

async fn step(plane: &Arc<Plane>, latencies: &mut Latencies) {
    let now = now_ms();
    let horizon_ms = plane.settings().policy.latency_horizon_ms;
    let drilled = plane.drill.latency_overlay();
    let traffic = plane.traffic();
    plane.rates.sample(&traffic, now);
    let readings = latencies.read(&traffic, &drilled, horizon_ms, now);
    let readings = Arc::new(readings);
    plane.latency.store(Arc::clone(&readings));
    let step = plane.desk.controller().step(now, &plane.monitor.readings(), &readings);
    for change in &step.changes {
        log_change(change);
    }
    let readings = plane.monitor.readings();
    plane.hub.alerts(&step.changes, |model, version| told::top_features(&readings, model, version));
    for error in &step.errors {
        plane.desk.count_journal_error();
        tracing::error!(%error, "alert states or events not written; rules go on");
    }
    let news = plane.desk.controller().take_news();
    news.into_iter().for_each(|news| outside::take(plane, news));
    for decision in step.decisions {
        // On a task of its own: what is out there may take its time, and the rules go on. A failure is journaled, logged
        // and told; it is not tried again for the same alert.
        drop(plane.carry_out(&decision));
    }
}

fn log_change(change: &AlertChange) {
    let alert = &change.alert;
    tracing::warn!(
        alert = %alert.name, severity = alert.severity.as_str(), change = ?change.transition, value = alert.value,
        labels = ?alert.labels, tenants = ?alert.tenants, "alert"
    );
}

fn write_history(plane: &Plane, readings: &Readings, now: i64) {
    let latency = plane.latency.load_full();
    let mut controller = plane.desk.controller();
    let written = controller.store_mut().record_readings(readings, &latency, &plane.rates.read());
    let outcome = written.and_then(|write| {
        plane.history_dropped.fetch_add(write.dropped, Ordering::Relaxed);
        controller.store_mut().prune_history(now)
    });
    if let Err(error) = outcome {
        plane.history_errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "history not written; its series will have a gap");
    }
}

/// Latency horizons per model, version and lane.
#[derive(Debug, Default)]
struct Latencies {
    horizons: BTreeMap<(Arc<str>, Arc<str>, Lane), LatencyHorizon>,
    horizon_ms: u64,
    drills_ended: BTreeMap<String, u64>,
}

/// Synthetic latencies of running drills: cumulative counts per bucket that are added to a version's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyOverlay {
    pub(crate) counts: BTreeMap<(String, String), Vec<u64>>,
    /// Drills that have ended, by model: the horizons of such a model begin anew, without what was added.
    pub(crate) ended: BTreeMap<String, u64>,
}

impl Latencies {
    fn read(
        &mut self,
        snapshot: &GatewaySnapshot,
        drilled: &LatencyOverlay,
        horizon_ms: u64,
        now: i64,
    ) -> Vec<LatencyReading> {
        if self.horizon_ms != horizon_ms {
            self.horizons.clear();
            self.horizon_ms = horizon_ms;
        }
        if self.drills_ended != drilled.ended {
            let same = |model: &str| self.drills_ended.get(model) == drilled.ended.get(model);
            self.horizons.retain(|(model, ..), _| same(model));
            self.drills_ended.clone_from(&drilled.ended);
        }
        let mut readings = Vec::with_capacity(snapshot.lanes.len());
        for lane in &snapshot.lanes {
            let (model, version): (Arc<str>, Arc<str>) = (Arc::from(&*lane.model), Arc::from(&*lane.version));
            let mut counts = lane.latency.buckets.clone();
            let overlay = drilled.counts.get(&(lane.model.clone(), lane.version.clone()));
            if let (Lane::Prod, Some(overlay)) = (lane.lane, overlay) {
                for (count, added) in counts.iter_mut().zip(overlay) {
                    *count += added;
                }
            }
            let horizon = self
                .horizons
                .entry((Arc::clone(&model), Arc::clone(&version), lane.lane))
                .or_insert_with(|| LatencyHorizon::new(&LATENCY_BOUNDS_MS, horizon_ms));
            horizon.push(now, &counts);
            readings.push(LatencyReading {
                model,
                version,
                lane: lane.lane,
                requests: horizon.count(now),
                p50_ms: horizon.quantile(0.5, now),
                p95_ms: horizon.quantile(0.95, now),
                p99_ms: horizon.quantile(0.99, now),
            });
        }
        readings
    }
}

/// When a loop last ran, so that a dead one is noticed.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat(AtomicI64);

impl Heartbeat {
    pub(crate) fn beat(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Whether the loop ran in the last `limit_ms`.
    pub(crate) fn is_alive(&self, now: i64, limit_ms: i64) -> bool {
        now.saturating_sub(self.0.load(Ordering::Relaxed)) < limit_ms
    }
}
