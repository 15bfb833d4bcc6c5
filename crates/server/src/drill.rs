//! The rollback drill: drifted observations and slow answers that no client ever sees.
//!
//! Synthetic rows are drawn from the reference with one share moved so that PSI reaches the wanted value, and go to the
//! monitor as the traffic of tenants named `drill-1`, `drill-2`, ...; synthetic latencies are added to the version's own.
//! Both are dropped again at the end. The rollback itself is real: real rules, real decision, real route.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::AlertState;
use gateway::LATENCY_BOUNDS_MS;
use monitor::ReferenceState;
use record::{FeatureValue, Lane, Record};
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::monitor_loop::Command;
use crate::plane::Plane;
use crate::signals::LatencyOverlay;

/// Pause between two injections.
const INJECT_EVERY: Duration = Duration::from_millis(100);

/// Synthetic rows per tenant and injection. A batch holds each bin's share to one row; a batch of a few rows would be left
/// to chance, and so would the PSI of a window that is made of such.
const ROWS_PER_INJECTION: usize = 50;

/// When a tenant's window is full, one injection in so many keeps it fresh: rules judge by new requests only.
const FRESHEN_EVERY: u64 = 5;

/// Synthetic answers per injection.
const ANSWERS_PER_INJECTION: u64 = 20;

/// How long clients are awaited where traffic was moved to; there may be none.
const AWAIT_CLIENTS_MS: i64 = 3_000;

/// How long their p95 is awaited when there are some.
const AWAIT_P95_MS: i64 = 30_000;

/// The promise: an alert this long after the change, milliseconds.
const ALERT_PROMISE_MS: i64 = 5 * 60_000;

/// How long the loops are awaited that see the end of what was made up.
const AWAIT_END_MS: i64 = 10_000;

/// The promise: traffic moved this long after the alert, milliseconds.
const MOVED_PROMISE_MS: i64 = 90_000;

/// What to inject.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DrillWish {
    /// PSI of the injected drift.
    psi: f64,
    /// Latency of the synthetic slow answers, milliseconds; 0 injects none.
    latency_ms: f64,
    /// Share of synthetic answers that fail, percent; 0 injects none.
    error_rate: f64,
    /// Leave traffic where the rollback put it.
    keep: bool,
    /// Give up after this, seconds.
    timeout_secs: u64,
}

impl Default for DrillWish {
    fn default() -> Self {
        Self { psi: 0.35, latency_ms: 530.0, error_rate: 0.0, keep: false, timeout_secs: 900 }
    }
}

/// Why a drill does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrillError {
    #[error("drills are switched off; set `drill: true` in the configuration")]
    NotEnabled,
    #[error("a drill of this model is running already")]
    Running,
    #[error("no such model is configured; `GET /api/v1/status` lists them")]
    UnknownModel,
    #[error("{0}")]
    NotPossible(String),
    #[error("{0}")]
    Invalid(String),
}

/// How far a drill is, with unix milliseconds of each step.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct DrillProgress {
    state: &'static str,
    version: String,
    stable: String,
    psi_wanted: f64,
    latency_ms: f64,
    /// Percent.
    error_rate: f64,
    injected_at_ms: i64,
    pending_at_ms: Option<i64>,
    fired_at_ms: Option<i64>,
    alert: Option<String>,
    moved_at_ms: Option<i64>,
    /// Every actuator has done its part and was read back.
    confirmed_at_ms: Option<i64>,
    /// What each actuator did.
    actuators: serde_json::Value,
    /// Requests of clients since the injection, and those of them that failed: 5xx, or no whole answer.
    requests: u64,
    requests_failed: u64,
    /// Requests when traffic moved.
    #[serde(skip)]
    requests_at_move: Option<u64>,
    recovered_at_ms: Option<i64>,
    restored_at_ms: Option<i64>,
    psi_seen: Option<f64>,
    p95_before_ms: Option<f64>,
    p95_drill_ms: Option<f64>,
    p95_after_ms: Option<f64>,
    rows_injected: u64,
    /// What the verdict is made of.
    checks: Vec<DrillCheck>,
    /// `passed`, `failed` or nothing yet.
    verdict: Option<&'static str>,
    detail: String,
}

/// One step of a drill against its limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DrillCheck {
    name: &'static str,
    /// What was measured; `None` when it did not come to that.
    value: Option<i64>,
    limit: i64,
    /// `ms` or `requests`.
    unit: &'static str,
    ok: bool,
}

impl DrillProgress {
    /// The steps against their limits. `restores`: traffic is to be back at the end.
    fn judge(&mut self, restores: bool) {
        let took = |from: Option<i64>, to: Option<i64>| Some(to?.saturating_sub(from?).max(0));
        let check = |name, value: Option<i64>, limit, unit| DrillCheck {
            name,
            value,
            limit,
            unit,
            ok: value.is_some_and(|value| value <= limit),
        };
        let lost = i64::try_from(self.requests_failed).unwrap_or(i64::MAX);
        self.checks = vec![
            check(
                "change to alert",
                took(Some(self.injected_at_ms), self.fired_at_ms),
                ALERT_PROMISE_MS,
                "ms",
            ),
            check(
                "alert to all traffic moved",
                took(self.fired_at_ms, self.confirmed_at_ms),
                MOVED_PROMISE_MS,
                "ms",
            ),
            check("requests lost", Some(lost), 0, "requests"),
        ];
        if restores && self.moved_at_ms.is_some() {
            let back = self.restored_at_ms.map(|_| 0);
            self.checks.push(check("traffic switched back", back, 0, "ms"));
        }
    }

    /// Why it failed, in words: the first failure that was seen, then every step that kept no limit.
    fn reasons(&self, failure: Option<String>) -> String {
        let wrong =
            self.checks.iter().filter(|check| !check.ok).map(|check| match (check.value, check.unit) {
                (None, _) => format!("{}: did not happen", check.name),
                (Some(value), "ms") => {
                    let secs = |ms: i64| ms as f64 / 1_000.0;
                    format!("{}: {:.1} s, limit {:.1} s", check.name, secs(value), secs(check.limit))
                }
                (Some(value), unit) => format!("{}: {value} {unit}, limit {}", check.name, check.limit),
            });
        failure.into_iter().chain(wrong).collect::<Vec<_>>().join("; ")
    }

    /// How far it came, when its time was up.
    fn stuck(&self, secs: u64) -> String {
        let number =
            |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.3}"));
        if self.fired_at_ms.is_none() {
            let (psi, p95) = (number(self.psi_seen), number(self.p95_drill_ms));
            return format!("no critical alert fired within {secs} s (PSI seen {psi}, p95 seen {p95} ms)");
        }
        let what = match (self.moved_at_ms, self.confirmed_at_ms) {
            (None, _) => "traffic was not switched",
            (Some(_), None) => "not every actuator has confirmed the switch",
            (Some(_), Some(_)) => "the latency of the stable version did not recover",
        };
        format!("{what} within {secs} s")
    }
}

/// The drills of this process.
#[derive(Debug, Default)]
pub(crate) struct Drills {
    state: Mutex<DrillState>,
}

#[derive(Debug, Default)]
struct DrillState {
    progress: HashMap<String, DrillProgress>,
    overlay: LatencyOverlay,
}

impl Drills {
    /// The synthetic latencies of the drills that run.
    pub(crate) fn latency_overlay(&self) -> LatencyOverlay {
        self.lock().overlay.clone()
    }

    /// Takes a model's synthetic latencies out again.
    fn end_overlay(&self, model: &str) {
        let mut state = self.lock();
        state.overlay.counts.retain(|(of, _), _| of != model);
        state.overlay.answers.retain(|(of, _), _| of != model);
        *state.overlay.ended.entry(model.to_owned()).or_default() += 1;
    }

    /// The last drill of a model.
    pub(crate) fn progress(&self, model: &str) -> Option<DrillProgress> {
        self.lock().progress.get(model).cloned()
    }

    fn update(&self, model: &str, change: impl FnOnce(&mut DrillProgress)) {
        if let Some(progress) = self.lock().progress.get_mut(model) {
            change(progress);
        }
    }

    fn add_answers(&self, model: &str, version: &str, latency_ms: f64, n_answers: u64) {
        let bucket = LATENCY_BOUNDS_MS.partition_point(|bound| *bound < latency_ms);
        let mut state = self.lock();
        let key = (model.to_owned(), version.to_owned());
        let counts = state.overlay.counts.entry(key).or_insert_with(|| vec![0; LATENCY_BOUNDS_MS.len() + 1]);
        if let Some(count) = counts.get_mut(bucket) {
            *count += n_answers;
        }
    }

    /// Adds synthetic answers, `fine` ones and `failed` ones.
    fn add_outcomes(&self, model: &str, version: &str, (fine, failed): (u64, u64)) {
        let mut state = self.lock();
        let counts = state.overlay.answers.entry((model.to_owned(), version.to_owned())).or_default();
        counts.0 += fine;
        counts.1 += failed;
    }

    fn lock(&self) -> MutexGuard<'_, DrillState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that a drill can run and starts it in the background.
pub(crate) async fn start(
    plane: &Arc<Plane>,
    model: &str,
    wish: DrillWish,
    actor: &str,
) -> Result<(), DrillError> {
    let settings = plane.settings();
    if !settings.drill.enabled {
        return Err(DrillError::NotEnabled);
    }
    if !(wish.psi.is_finite() && (0.0..=5.0).contains(&wish.psi)) {
        return Err(DrillError::Invalid("`psi` must be between 0 and 5".to_owned()));
    }
    if !(wish.latency_ms.is_finite() && (0.0..=60_000.0).contains(&wish.latency_ms)) {
        return Err(DrillError::Invalid("`latency_ms` must be between 0 and 60000".to_owned()));
    }
    if !(wish.error_rate.is_finite() && (0.0..=100.0).contains(&wish.error_rate)) {
        return Err(DrillError::Invalid("`error_rate` must be between 0 and 100 percent".to_owned()));
    }
    if wish.psi + wish.latency_ms + wish.error_rate <= 0.0 {
        let message = "nothing to inject: one of `psi`, `latency_ms` and `error_rate` must be above 0";
        return Err(DrillError::Invalid(message.to_owned()));
    }
    let mode = settings.policy.models.iter().find(|m| *m.name == *model).map(|m| m.mode);
    if let Some(mode) = mode.filter(|mode| *mode != control::RollbackMode::Automatic) {
        let message = format!("its mode is `{}`: a drill needs `automatic`", mode.as_str());
        return Err(DrillError::NotPossible(message));
    }
    let configured = settings.models.iter().find(|m| *m.name == *model).ok_or(DrillError::UnknownModel)?;
    let status = plane.desk.controller().models().into_iter().find(|one| *one.model == *model);
    let status = status.ok_or(DrillError::UnknownModel)?;
    let stable = configured.stable.to_string();
    if *status.active == *stable {
        let message = format!("`{stable}` is active and stable at once: there is nothing to roll back to");
        return Err(DrillError::NotPossible(message));
    }
    if let Some(reason) =
        plane.desk.controller().drill_refusal(model).map_err(|_| DrillError::UnknownModel)?
    {
        return Err(if status.drill { DrillError::Running } else { DrillError::NotPossible(reason) });
    }
    let readings = plane.monitor.readings();
    let reference = readings.models.iter().find(|m| *m.model == *model).map(|m| &m.reference);
    if let Some(ReferenceState::Learning { rows, wanted }) = reference {
        let message = format!(
            "the reference is still being learned ({rows} of {wanted} rows): there is nothing to drift from"
        );
        return Err(DrillError::NotPossible(message));
    }
    {
        let mut state = plane.drill.lock();
        if state.progress.get(model).is_some_and(|progress| progress.state == "running") {
            return Err(DrillError::Running);
        }
        let progress = DrillProgress {
            state: "running",
            version: status.active.to_string(),
            stable,
            psi_wanted: wish.psi,
            latency_ms: wish.latency_ms,
            error_rate: wish.error_rate,
            ..DrillProgress::default()
        };
        state.progress.insert(model.to_owned(), progress);
    }
    let drill = Drill {
        plane: Arc::clone(plane),
        model: model.to_owned(),
        version: status.active,
        traffic_before: traffic(plane, model),
        wish,
        actor: actor.to_owned(),
    };
    if let Err(reason) = drill.begin().await {
        drill.finish(Some(reason.clone())).await;
        return Err(DrillError::NotPossible(reason));
    }
    tokio::spawn(drill.run());
    Ok(())
}

/// What was injected of answers so far.
struct Outcomes {
    /// Requests of clients at the last injection.
    seen: u64,
    /// Failures that are not injected yet: less than one.
    owed: f64,
}

struct Drill {
    plane: Arc<Plane>,
    model: String,
    version: Arc<str>,
    wish: DrillWish,
    actor: String,
    /// Requests and failed ones when it began.
    traffic_before: (u64, u64),
}

/// Requests of clients so far, and those that failed.
fn traffic(plane: &Plane, model: &str) -> (u64, u64) {
    let snapshot = plane.gateway.snapshot();
    let lanes = snapshot.lanes.iter().filter(|lane| lane.model == model && lane.lane == Lane::Prod);
    let codes = lanes.flat_map(|lane| &lane.by_code);
    codes.fold((0, 0), |(all, failed), (code, count)| {
        (all + count, failed + if *code == 0 || *code >= 500 { *count } else { 0 })
    })
}

/// The name of a drill's tenant, counted from 1.
fn tenant_name(tenant: usize) -> String {
    format!("drill-{tenant}")
}

impl Drill {
    async fn begin(&self) -> Result<(), String> {
        let model = self.model.clone();
        let tenants = (1..=self.plane.settings().policy.tenants_red).map(tenant_name).collect();
        let ask = |reply| Command::BeginDrill { model, tenants, reply };
        if !self.plane.monitor.ask(ask).await.map_err(|error| error.to_string())? {
            return Err("the monitor knows no such model, or a drill of it is running".to_owned());
        }
        self.plane
            .desk
            .controller()
            .begin_drill(&self.model, &self.actor, now_ms())
            .map_err(|error| error.to_string())?;
        let before = self.p95(&self.version);
        self.plane.drill.update(&self.model, |progress| {
            progress.injected_at_ms = now_ms();
            progress.p95_before_ms = before;
        });
        Ok(())
    }

    async fn run(self) {
        let deadline = now_ms() + i64::try_from(self.wish.timeout_secs).unwrap_or(900).saturating_mul(1000);
        let mut seed = 0;
        let mut outcomes = Outcomes { seen: self.traffic_before.0, owed: 0.0 };
        let failure = loop {
            if self.plane.stopping.load(std::sync::atomic::Ordering::Relaxed) {
                break Some("the process is ending".to_owned());
            }
            if now_ms() > deadline {
                let progress = self.plane.drill.progress(&self.model).unwrap_or_default();
                break Some(progress.stuck(self.wish.timeout_secs));
            }
            let moved =
                self.plane.drill.progress(&self.model).is_some_and(|progress| progress.moved_at_ms.is_some());
            if !moved && let Err(reason) = self.inject(seed).await {
                break Some(reason);
            }
            if !moved {
                self.inject_outcomes(&mut outcomes);
            }
            seed += 1;
            if self.observe() {
                break None;
            }
            tokio::time::sleep(INJECT_EVERY).await;
        };
        self.finish(failure).await;
    }

    /// Answers of which the wanted share fails, at least as many as clients get: their own dilute nothing.
    fn inject_outcomes(&self, outcomes: &mut Outcomes) {
        if self.wish.error_rate <= 0.0 {
            return;
        }
        let requests = traffic(&self.plane, &self.model).0;
        let real = requests.saturating_sub(std::mem::replace(&mut outcomes.seen, requests));
        let share = self.wish.error_rate / 100.0;
        let base = real.max(ANSWERS_PER_INJECTION);
        let (fine, failing) = if share < 1.0 {
            (base - real, base as f64 * share / (1.0 - share))
        } else {
            (0, base as f64 * 100.0)
        };
        outcomes.owed += failing;
        let failed = outcomes.owed as u64;
        outcomes.owed -= failed as f64;
        self.plane.drill.add_outcomes(&self.model, &self.version, (fine, failed));
    }

    /// Drifted rows for as many tenants as the quorum wants, and slow answers.
    async fn inject(&self, seed: u64) -> Result<(), String> {
        let settings = self.plane.settings();
        let window = settings.monitor.iter().find(|m| *m.name == *self.model).map_or(1_000, |m| m.window);
        let full = seed as usize * ROWS_PER_INJECTION > window;
        let is_due = !full || seed.is_multiple_of(FRESHEN_EVERY);
        let tenants = if is_due && self.wish.psi > 0.0 { settings.policy.tenants_red } else { 0 };
        for tenant in 1..=tenants {
            let (model, psi) = (self.model.clone(), self.wish.psi);
            let seed = seed * 1_000 + tenant as u64;
            let ask = |reply| Command::DrillRows { model, psi, rows: ROWS_PER_INJECTION, seed, reply };
            let rows = self.plane.monitor.ask(ask).await.map_err(|error| error.to_string())?;
            let Some(rows) = rows else {
                return Err("the reference has no feature that can be shifted".to_owned());
            };
            let records: Vec<Record> = rows.into_iter().map(|row| self.record(row, tenant)).collect();
            let counted = self
                .plane
                .monitor
                .ask(|reply| Command::DrillRecords { records, reply })
                .await
                .map_err(|error| error.to_string())?;
            if let Some((_, message)) = counted.rejected.into_iter().next() {
                return Err(message);
            }
            self.plane
                .drill
                .update(&self.model, |progress| progress.rows_injected += counted.accepted as u64);
        }
        if self.wish.latency_ms > 0.0 {
            let answers = ANSWERS_PER_INJECTION;
            self.plane.drill.add_answers(&self.model, &self.version, self.wish.latency_ms, answers);
        }
        Ok(())
    }

    fn record(&self, row: Vec<(Arc<str>, FeatureValue)>, tenant: usize) -> Record {
        let (mut features, mut prediction) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in row {
            match name.strip_prefix("prediction") {
                Some("") => drop(prediction.insert(name.to_string(), value)),
                Some(rest) if rest.starts_with('.') => {
                    drop(prediction.insert(rest.trim_start_matches('.').to_owned(), value));
                }
                _ => drop(features.insert(name.to_string(), value)),
            }
        }
        Record {
            ts: Some(now_ms()),
            model: self.model.clone(),
            version: Some(self.version.to_string()),
            lane: Lane::Prod,
            tenant: Some(tenant_name(tenant)),
            features,
            prediction,
            ..Record::default()
        }
    }

    /// Looks how far things are; true when all is over.
    fn observe(&self) -> bool {
        let alerts = self.plane.desk.controller().alerts();
        let now = now_ms();
        let pending = alerts.iter().any(|alert| self.is_ours(alert) && alert.state != AlertState::Inactive);
        let fired = alerts.iter().find(|alert| self.is_ours(alert) && alert.state == AlertState::Firing);
        let status = self.plane.desk.controller().models().into_iter().find(|one| *one.model == *self.model);
        let moved = status.as_ref().is_some_and(|status| status.active != self.version);
        let confirmed = moved && status.as_ref().is_some_and(|status| status.pending.is_none());
        let p95_now = self.p95(&self.version);
        let p95_active = status.and_then(|status| self.p95(&status.active));
        let psi_seen = self.psi();
        let (requests, failed) = traffic(&self.plane, &self.model);
        let actuators = confirmed.then(|| self.actuators()).flatten();
        let mut done = false;
        self.plane.drill.update(&self.model, |progress| {
            if pending {
                progress.pending_at_ms.get_or_insert(now);
            }
            if let Some(alert) = fired {
                progress.fired_at_ms.get_or_insert(now);
                progress.alert.get_or_insert_with(|| alert.name.clone());
            }
            progress.requests = requests.saturating_sub(self.traffic_before.0);
            progress.requests_failed = failed.saturating_sub(self.traffic_before.1);
            if confirmed {
                progress.confirmed_at_ms.get_or_insert(now);
                progress.actuators = actuators.unwrap_or_default();
            }
            if moved {
                progress.fired_at_ms.get_or_insert(now);
                let moved_for_ms = now - *progress.moved_at_ms.get_or_insert(now);
                progress.p95_after_ms = p95_active;
                let served = progress.requests - *progress.requests_at_move.get_or_insert(progress.requests);
                let recovered = match p95_active {
                    Some(p95) => self.wish.latency_ms <= 0.0 || p95 < self.wish.latency_ms * 0.9,
                    None => moved_for_ms >= if served > 0 { AWAIT_P95_MS } else { AWAIT_CLIENTS_MS },
                };
                if recovered {
                    progress.recovered_at_ms.get_or_insert(now);
                }
                done = recovered && confirmed;
            } else {
                progress.p95_drill_ms = p95_now;
                progress.psi_seen = psi_seen;
            }
        });
        done
    }

    /// What each actuator did for the drill's rollback, from the audit trail.
    fn actuators(&self) -> Option<serde_json::Value> {
        let controller = self.plane.desk.controller();
        let id = controller.models().into_iter().find(|one| *one.model == *self.model)?.last?.id;
        let events = controller.events(50, None).ok()?;
        let of_it = events
            .into_iter()
            .find(|event| event.data["decision_id"] == id && event.data["actuators"].is_array());
        of_it.map(|event| event.data["actuators"].clone())
    }

    /// A critical alert of the drilled model.
    fn is_ours(&self, alert: &control::Alert) -> bool {
        alert.severity == control::Severity::Critical
            && alert.labels.get("model").is_some_and(|model| *model == self.model)
            && alert.labels.get("version").is_some_and(|version| **version == *self.version)
    }

    fn p95(&self, version: &str) -> Option<f64> {
        let latency = self.plane.latency.load();
        latency
            .iter()
            .find(|reading| {
                *reading.model == *self.model && *reading.version == *version && reading.lane == Lane::Prod
            })
            .and_then(|reading| reading.p95_ms)
    }

    /// The largest PSI among the drill's own tenants.
    fn psi(&self) -> Option<f64> {
        let readings = self.plane.monitor.readings();
        let model = readings.models.iter().find(|m| *m.model == *self.model)?;
        model
            .windows
            .iter()
            .filter(|window| window.tenant.starts_with("drill-"))
            .flat_map(|window| &window.features)
            .map(|reading| reading.psi)
            .max_by(f64::total_cmp)
    }

    /// Switches traffic back unless it is to stay, puts back what was measured, and judges. The controller takes the drill for
    /// running until nobody sees any more of what was made up: what is left must not count as real.
    async fn finish(&self, failure: Option<String>) {
        self.plane.drill.end_overlay(&self.model);
        let moved =
            self.plane.drill.progress(&self.model).is_some_and(|progress| progress.moved_at_ms.is_some());
        if moved && !self.wish.keep {
            self.restore().await;
        }
        let model = self.model.clone();
        let put_back = self.plane.monitor.ask(|reply| Command::EndDrill { model, reply }).await;
        let since = put_back.unwrap_or_else(|error| {
            tracing::warn!(model = self.model, %error, "the windows still hold the drill's rows");
            now_ms()
        });
        self.await_loops(since.max(now_ms())).await;
        // The control loop may have been in the middle of a step.
        self.await_loops(now_ms()).await;
        if let Err(error) = self.plane.desk.controller().end_drill(&self.model, &self.actor, now_ms()) {
            tracing::warn!(model = self.model, %error, "the drill's end is not in the audit trail");
        }
        self.plane.drill.update(&self.model, |progress| {
            progress.judge(!self.wish.keep);
            let passed = failure.is_none() && progress.checks.iter().all(|check| check.ok);
            progress.verdict = Some(if passed { "passed" } else { "failed" });
            progress.detail = if passed { String::new() } else { progress.reasons(failure) };
            progress.state = "finished";
        });
    }

    /// Waits until both loops have run after `since`.
    async fn await_loops(&self, since: i64) {
        while now_ms() < since + AWAIT_END_MS
            && (self.plane.monitor.readings().at_ms <= since || self.plane.control_beat.last() <= since)
        {
            tokio::time::sleep(INJECT_EVERY).await;
        }
    }

    async fn restore(&self) {
        let decision = self.plane.desk.controller().promote(
            &self.model,
            Some(&*self.version),
            &self.actor,
            "drill ended",
            now_ms(),
        );
        match decision {
            Ok(decision) => {
                if matches!(self.plane.carry_out(&decision).await, Ok(Ok(()))) {
                    self.plane.drill.update(&self.model, |progress| progress.restored_at_ms = Some(now_ms()));
                }
            }
            Err(error) => {
                tracing::error!(model = self.model, %error, "the drill could not switch traffic back");
            }
        }
    }
}
