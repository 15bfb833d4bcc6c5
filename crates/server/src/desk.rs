//! Where decisions are carried out: journal, actuators, read back, journal again.
//!
//! Our own gateway comes first and alone: it is the fastest, and what it does cannot wait for anybody. Then everything
//! outside, at the same time: one that hangs holds no other up. Each is tried as long as its patience lasts, and only
//! while the decision is still wanted.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use control::{Actuator, Change, ControlError, Controller, Decision, DecisionKind, EventKind};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clock::now_ms;
use crate::monitor_loop::{Command, MonitorHandle};
use crate::routing::Routing;

/// Actuators beside our own gateway, by model.
pub(crate) type Outside = HashMap<Arc<str>, Vec<Arc<dyn Actuator>>>;

/// The controller behind its lock, and what carries its decisions out. The lock is never held across an await.
#[derive(Debug)]
pub(crate) struct Desk {
    controller: Mutex<Controller>,
    routing: Arc<Routing>,
    own: Arc<dyn Actuator>,
    outside: ArcSwap<Outside>,
    monitor: Arc<MonitorHandle>,
    journal_errors: AtomicU64,
    counts: Mutex<BTreeMap<String, ActuatorCount>>,
}

/// What an actuator has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ActuatorCount {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Time of its last change, seconds.
    pub(crate) last_secs: f64,
}

/// What came of one actuator.
#[derive(Clone, Debug)]
struct Outcome {
    actuator: String,
    failure: Option<String>,
    tries: u32,
    took: Duration,
}

impl Outcome {
    fn json(&self) -> Value {
        json!({
            "actuator": self.actuator, "done": self.failure.is_none(), "tries": self.tries,
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX), "detail": self.failure,
        })
    }

    fn words(&self) -> String {
        match &self.failure {
            None => format!("{} {} ms", self.actuator, self.took.as_millis()),
            Some(_) => format!("{} FAILED", self.actuator),
        }
    }
}

impl Desk {
    pub(crate) fn new(
        controller: Controller,
        routing: Arc<Routing>,
        own: Arc<dyn Actuator>,
        outside: Outside,
        monitor: Arc<MonitorHandle>,
    ) -> Self {
        Self {
            controller: Mutex::new(controller),
            routing,
            own,
            outside: ArcSwap::from_pointee(outside),
            monitor,
            journal_errors: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    /// The controller, for short synchronous calls.
    pub(crate) fn controller(&self) -> MutexGuard<'_, Controller> {
        // A panic while the lock was held has been reported; the controller's state is in the journal as well.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the journal could not be written.
    pub(crate) fn journal_errors(&self) -> u64 {
        self.journal_errors.load(Ordering::Relaxed)
    }

    pub(crate) fn count_journal_error(&self) {
        self.journal_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// What every actuator has done.
    pub(crate) fn counts(&self) -> BTreeMap<String, ActuatorCount> {
        self.lock_counts().clone()
    }

    /// Takes other actuators.
    pub(crate) fn configure(&self, outside: Outside) {
        self.outside.store(Arc::new(outside));
    }

    /// Whether traffic of a model can be moved from here at all.
    pub(crate) fn can_move(&self, model: &str) -> bool {
        self.routing.forwards(model) || self.outside.load().get(model).is_some_and(|all| !all.is_empty())
    }

    fn outside(&self, model: &str) -> Vec<Arc<dyn Actuator>> {
        self.outside.load().get(model).cloned().unwrap_or_default()
    }

    /// Carries out a decision that is journaled as intended. Every actuator applies and is read back; the journal says
    /// how far it got, so that a restart completes it.
    pub(crate) async fn carry_out(self: &Arc<Self>, decision: &Decision) -> Result<(), String> {
        let model = &decision.change.model;
        let mut outcomes = Vec::new();
        let forwards = self.routing.forwards(model);
        if forwards {
            let outcome = self.with_retries(self.own.as_ref(), decision).await;
            if outcome.failure.is_none() {
                self.moved(decision);
            }
            outcomes.push(outcome);
        }
        let outside = self.outside(model);
        if !forwards && outside.is_empty() {
            let reason =
                format!("no traffic of `{model}` goes through here, and no actuator is configured for it");
            return Err(self.failed(decision, reason));
        }
        outcomes.extend(self.everybody(outside, decision).await);
        self.report(decision, &outcomes);
        let failures: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.failure.as_deref()).collect();
        if !failures.is_empty() {
            return Err(self.failed(decision, failures.join("; ")));
        }
        if !forwards {
            self.moved(decision);
        }
        self.journal(|controller| controller.confirmed(decision.id, now_ms()));
        let change = &decision.change;
        tracing::info!(
            decision = decision.id, %model, from = %change.from, to = %change.to,
            trigger = decision.trigger.as_str(), reason = %decision.reason, "traffic moved"
        );
        Ok(())
    }

    /// Everything outside at the same time.
    async fn everybody(
        self: &Arc<Self>,
        outside: Vec<Arc<dyn Actuator>>,
        decision: &Decision,
    ) -> Vec<Outcome> {
        let mut tasks = JoinSet::new();
        for actuator in outside {
            let (desk, decision) = (Arc::clone(self), decision.clone());
            tasks.spawn(async move { desk.with_retries(actuator.as_ref(), &decision).await });
        }
        let mut outcomes = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            outcomes.push(ended.unwrap_or_else(|error| Outcome {
                actuator: "unknown".to_owned(),
                failure: Some(format!("an actuator broke off: {error}")),
                tries: 1,
                took: Duration::ZERO,
            }));
        }
        outcomes.sort_by(|a, b| a.actuator.cmp(&b.actuator));
        outcomes
    }

    /// The new version serves. Its windows are told first: what they hold from before is not judged.
    fn moved(&self, decision: &Decision) {
        self.monitor.deliver(Command::SetActive {
            model: Arc::clone(&decision.change.model),
            version: Arc::clone(&decision.change.to),
        });
        self.journal(|controller| controller.applied(decision.id, now_ms()));
    }

    fn failed(&self, decision: &Decision, reason: String) -> String {
        tracing::error!(
            decision = decision.id, model = %decision.change.model, to = %decision.change.to, reason,
            "traffic not moved, or not everywhere"
        );
        self.journal(|controller| match controller.failed(decision.id, &reason, now_ms()) {
            // A later decision has taken its place and says what came of this one.
            Err(ControlError::NotPending { .. }) => Ok(()),
            other => other,
        });
        reason
    }

    /// The evidence of what was done: counters, and an entry of the audit trail when there was more than our own gateway.
    fn report(&self, decision: &Decision, outcomes: &[Outcome]) {
        let mut counts = self.lock_counts();
        for outcome in outcomes {
            let count = counts.entry(outcome.actuator.clone()).or_default();
            match outcome.failure {
                None => count.done += 1,
                Some(_) => count.failed += 1,
            }
            count.last_secs = outcome.took.as_secs_f64();
        }
        drop(counts);
        if outcomes.len() < 2 && outcomes.iter().all(|outcome| outcome.actuator == self.own.name()) {
            return;
        }
        let words: Vec<String> = outcomes.iter().map(Outcome::words).collect();
        let kind = match decision.kind {
            DecisionKind::Rollback => EventKind::Rollback,
            DecisionKind::Promote => EventKind::Promote,
        };
        let data = json!({
            "decision_id": decision.id, "actuators": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        });
        let reason = format!("carried out: {}", words.join(", "));
        let actor = &decision.actor;
        self.controller().record_event(kind, Some(&decision.change.model), actor, &reason, data, now_ms());
    }

    /// Tries until it is done, the error says that another try is no use, its patience is over, or a later decision has
    /// taken its place.
    async fn with_retries(&self, actuator: &dyn Actuator, decision: &Decision) -> Outcome {
        let (began, patience) = (Instant::now(), actuator.patience());
        let (mut pause, mut tries) = (patience.first, 0);
        let failure = loop {
            if !self.controller().is_pending(decision.id) {
                break Some("a later decision has taken its place".to_owned());
            }
            tries += 1;
            let outcome = match actuator.apply(&decision.change).await {
                Ok(()) => actuator.verify(&decision.change).await,
                Err(error) => Err(error),
            };
            let Err(error) = outcome else { break None };
            let wait = error.after.unwrap_or_default().max(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            if !error.retry || began.elapsed() + wait > patience.within {
                break Some(error.to_string());
            }
            tracing::warn!(decision = decision.id, tries, %error, "not in force yet; trying again");
            sleep(wait).await;
            pause = (pause * 2).min(patience.longest);
        };
        Outcome { actuator: actuator.name().to_owned(), failure, tries, took: began.elapsed() }
    }

    /// What every actuator would do, without doing it.
    pub(crate) async fn rehearse(&self, change: &Change) -> Vec<(String, Result<String, String>)> {
        let mut said = Vec::new();
        let own = self.routing.forwards(&change.model).then(|| Arc::clone(&self.own));
        for actuator in own.into_iter().chain(self.outside(&change.model)) {
            let outcome = actuator.rehearse(change).await.map_err(|error| error.to_string());
            said.push((actuator.name().to_owned(), outcome));
        }
        said
    }

    /// Sets the share of copies while running.
    pub(crate) fn set_shadow_percent(
        &self,
        model: &str,
        percent: f64,
        actor: &str,
    ) -> Result<(), ControlError> {
        self.controller().set_shadow_percent(model, percent, actor, now_ms())?;
        let stand = |standing: &mut crate::routing::Standing| standing.shadow_percent = Some(percent);
        if let Err(error) = self.routing.stand(&Arc::from(model), stand) {
            tracing::error!(model, %error, "share of copies journaled but not set");
        }
        Ok(())
    }

    fn lock_counts(&self) -> MutexGuard<'_, BTreeMap<String, ActuatorCount>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self, write: impl FnOnce(&mut Controller) -> Result<(), ControlError>) {
        if let Err(error) = write(&mut self.controller()) {
            self.count_journal_error();
            // Traffic safety comes before bookkeeping: the change stands, and the log keeps what the journal could not.
            tracing::error!(%error, "journal not written; the change of traffic stands");
        }
    }
}

/// What each model stands at, from the controller's restored state.
pub(crate) fn standings(controller: &Controller) -> HashMap<Arc<str>, crate::routing::Standing> {
    controller
        .models()
        .into_iter()
        .map(|status| {
            let as_configured = status.active == status.configured_active;
            let standing = crate::routing::Standing {
                active: status.active,
                as_configured,
                shadow_percent: override_of(controller, &status.model, status.shadow_percent),
            };
            (status.model, standing)
        })
        .collect()
}

/// The share of copies, when it is not the configured one.
fn override_of(controller: &Controller, model: &str, percent: f64) -> Option<f64> {
    let configured = controller.policy().models.iter().find(|policy| *policy.name == *model)?.shadow_percent;
    (percent.total_cmp(&configured).is_ne()).then_some(percent)
}
