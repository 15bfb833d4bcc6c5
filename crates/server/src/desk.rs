//! Where decisions are carried out: journal, actuators, read back, journal again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::{Actuator, ControlError, Controller, Decision};
use tokio::time::sleep;

use crate::clock::now_ms;
use crate::monitor_loop::{Command, MonitorHandle};
use crate::routing::Routing;

/// Tries per actuator before a decision counts as failed.
const ATTEMPTS: u32 = 5;

/// Pause before the second try; doubled after each.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The controller behind its lock, and what carries its decisions out. The lock is never held across an await.
#[derive(Debug)]
pub(crate) struct Desk {
    controller: Mutex<Controller>,
    routing: Arc<Routing>,
    actuators: Vec<Arc<dyn Actuator>>,
    monitor: Arc<MonitorHandle>,
    journal_errors: std::sync::atomic::AtomicU64,
}

impl Desk {
    pub(crate) fn new(
        controller: Controller,
        routing: Arc<Routing>,
        actuators: Vec<Arc<dyn Actuator>>,
        monitor: Arc<MonitorHandle>,
    ) -> Self {
        Self {
            controller: Mutex::new(controller),
            routing,
            actuators,
            monitor,
            journal_errors: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// The controller, for short synchronous calls.
    pub(crate) fn controller(&self) -> MutexGuard<'_, Controller> {
        // A panic while the lock was held has been reported; the controller's state is in the journal as well.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the journal could not be written.
    pub(crate) fn journal_errors(&self) -> u64 {
        self.journal_errors.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn count_journal_error(&self) {
        self.journal_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Carries out a decision that is journaled as intended. Every actuator applies and is read back; the journal says
    /// how far it got, so that a restart completes it.
    pub(crate) async fn carry_out(&self, decision: &Decision) -> Result<(), String> {
        for actuator in &self.actuators {
            if let Err(reason) = self.with_retries(actuator.as_ref(), decision).await {
                tracing::error!(
                    decision = decision.id, model = %decision.change.model, to = %decision.change.to, actuator = actuator.name(),
                    reason, "traffic not moved"
                );
                self.journal(|controller| controller.failed(decision.id, &reason, now_ms()));
                return Err(reason);
            }
        }
        self.journal(|controller| {
            controller.applied(decision.id, now_ms())?;
            controller.confirmed(decision.id, now_ms())
        });
        let change = &decision.change;
        self.monitor.deliver(Command::SetActive {
            model: Arc::clone(&change.model),
            version: Arc::clone(&change.to),
        });
        tracing::info!(
            decision = decision.id, model = %change.model, from = %change.from, to = %change.to,
            trigger = decision.trigger.as_str(), reason = %decision.reason, "traffic moved"
        );
        Ok(())
    }

    /// Tries until it is done, the error says that another try is no use, or a later decision has taken its place.
    async fn with_retries(&self, actuator: &dyn Actuator, decision: &Decision) -> Result<(), String> {
        let mut pause = FIRST_BACKOFF;
        let mut attempt = 1;
        loop {
            if !self.controller().is_pending(decision.id) {
                return Err("a later decision has taken its place".to_owned());
            }
            let outcome = match actuator.apply(&decision.change).await {
                Ok(()) => actuator.verify(&decision.change).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if error.retry && attempt < ATTEMPTS => {
                    tracing::warn!(decision = decision.id, attempt, %error, "actuator failed; trying again");
                    sleep(pause).await;
                    pause *= 2;
                    attempt += 1;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
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
