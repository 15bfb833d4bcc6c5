//! The control thread: once a tick it looks at readings and latencies, steps the rules and carries decisions out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use control::AlertChange;
use monitor::Readings;
use record::Lane;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::armed::{self, Armed};
use crate::clock::now_ms;
use crate::outside;
use crate::plane::Plane;
use crate::signals::{Input, Served, Signals};
use crate::told;

/// How often the series of the history are written: once in every 15 seconds of the clock, so that none goes without a point.
const HISTORY_EVERY_MS: i64 = 15_000;

/// Runs until `stop` turns true. Its heartbeat goes to [`Heartbeat`].
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut measured = Signals::default();
    let mut armed = Armed::default();
    let mut written = None;
    let mut period = plane.settings().observe.evaluate_every;
    let mut tick = ticker(period);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        step(&plane, &mut measured).await;
        let now = now_ms();
        let readings = plane.monitor.readings();
        armed::tell(&plane, armed.look(&readings, &drilled(&plane), now));
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

async fn step(plane: &Arc<Plane>, measured: &mut Signals) {
    let now = now_ms();
    let traffic = plane.traffic();
    plane.rates.sample(&traffic, now);
    let input = Input {
        policy: &plane.settings().policy,
        models: &models(plane),
        traffic: &traffic,
        reads: &plane.observed.reads(),
        drilled: &plane.drill.latency_overlay(),
        readings: &plane.monitor.readings(),
        started_ms: plane.started_ms,
    };
    measured.sample(&input, now);
    plane.latency.store(Arc::new(measured.latencies(input.policy, now)));
    let signals = Arc::new(measured.read(&input, now));
    plane.signals.store(Arc::clone(&signals));
    tell_reach(plane);
    let step = plane.desk.controller().step(now, input.readings, &signals);
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

/// Tells the controller which versions copies do not reach: traffic must not go there.
fn tell_reach(plane: &Plane) {
    for model in &plane.settings().policy.models {
        for version in &model.versions {
            let reached = plane.gateway.takes_copies(&model.name, version).unwrap_or(true);
            plane.desk.controller().set_version_health(&model.name, version, reached);
        }
    }
}

/// Models of which a drill runs.
fn drilled(plane: &Plane) -> Vec<Arc<str>> {
    let models = plane.desk.controller().models();
    models.into_iter().filter(|status| status.drill).map(|status| status.model).collect()
}

/// The versions of each model, the one that serves first.
fn models(plane: &Plane) -> Vec<Served> {
    let statuses = plane.desk.controller().models();
    let settings = plane.settings();
    let served = statuses.into_iter().map(|status| {
        let configured = settings.models.iter().find(|model| model.name == status.model);
        Served {
            active: plane.measured_version(&status.model, Lane::Prod).unwrap_or(status.active),
            versions: configured.map(|model| model.versions.clone()).unwrap_or_default(),
            model: status.model,
        }
    });
    served.collect()
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

/// When a loop last ran, so that a dead one is noticed.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat(AtomicI64);

impl Heartbeat {
    pub(crate) fn beat(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// When it last ran, unix milliseconds.
    pub(crate) fn last(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the loop ran in the last `limit_ms`.
    pub(crate) fn is_alive(&self, now: i64, limit_ms: i64) -> bool {
        now.saturating_sub(self.0.load(Ordering::Relaxed)) < limit_ms
    }
}
