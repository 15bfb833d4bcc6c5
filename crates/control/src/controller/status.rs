//! What there is to see.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Controller;
use super::model::ModelStatus;
use crate::alert::{Alert, AlertState};
use crate::decision::Trigger;
use crate::error::ControlError;
use crate::policy::Severity;
use crate::store::{Event, EventKind, audit};

/// Events in one answer at most.
const EVENTS_PER_ANSWER_MAX: usize = 1_000;

impl Controller {
    /// Every pending or firing alert.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts = self.book.alerts(&self.policy);
        self.mark_drills(&mut alerts);
        alerts
    }

    /// The worst state per rule and model, those with no alert included: name of the rule, model, severity, state.
    pub fn alert_states(&self) -> Vec<(String, Arc<str>, Severity, AlertState)> {
        let alerts = self.alerts();
        let mut worst: BTreeMap<(&str, &str), AlertState> = BTreeMap::new();
        for alert in &alerts {
            let Some(model) = alert.labels.get("model") else { continue };
            let state = worst.entry((&alert.name, model)).or_default();
            *state = (*state).max(alert.state);
        }
        let mut out = Vec::new();
        for rule in &self.policy.rules {
            for model in &self.policy.models {
                let state = worst.get(&(rule.name.as_str(), &*model.name)).copied().unwrap_or_default();
                out.push((rule.name.clone(), Arc::clone(&model.name), rule.severity, state));
            }
        }
        out
    }

    /// Every model, in the order of the configuration.
    pub fn models(&self) -> Vec<ModelStatus> {
        let status = |(idx, entry): (usize, &super::model::ModelEntry)| {
            entry.status(self.now_ms, self.clock.steady_ms(), self.target_trouble(idx))
        };
        self.models.iter().enumerate().map(status).collect()
    }

    /// Tenants of a model that are red for any feature, by the mildest drift rule of severity warning or above.
    pub fn tenants_red(&self, model: &str) -> usize {
        self.tenants_red.get(model).copied().unwrap_or(0)
    }

    /// Rollbacks carried out since the journal began, per model and trigger; every trigger of a configured model is there.
    pub fn rollbacks_total(&self) -> BTreeMap<(String, Trigger), u64> {
        let mut totals = self.rollbacks.clone();
        for entry in &self.models {
            for trigger in Trigger::ALL {
                totals.entry((entry.policy.name.to_string(), trigger)).or_insert(0);
            }
        }
        totals
    }

    /// Rules that have said nothing at all about a model since the start: name of the rule and model. A rule that stays
    /// here under traffic matches nothing, and guards nothing.
    pub fn never_judged(&self) -> Vec<(String, Arc<str>)> {
        let mut out = Vec::new();
        for rule in &self.policy.rules {
            for model in &self.policy.models {
                if !self.judged.contains(&(rule.name.clone(), Arc::clone(&model.name))) {
                    out.push((rule.name.clone(), Arc::clone(&model.name)));
                }
            }
        }
        out
    }

    /// Alerts refused since the start because there were too many of one rule about one model.
    pub const fn alerts_refused(&self) -> u64 {
        self.book.refused()
    }

    /// Writes that the store has refused since the start.
    pub const fn store_errors(&self) -> u64 {
        self.store_errors
    }

    /// Steps of the wall clock that were not believed since the start.
    pub const fn clock_steps_refused(&self) -> u64 {
        self.clock.steps_refused()
    }

    /// Puts an entry into the audit trail. An error is counted and logged.
    pub fn record_event(
        &mut self,
        kind: EventKind,
        model: Option<&str>,
        actor: &str,
        reason: &str,
        data: Value,
        now_ms: i64,
    ) {
        self.write_event(kind, model, actor, reason, data, now_ms);
    }

    /// At most `limit` (and 1 000) entries of the audit trail, newest first; with `before_id` those before it.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn events(&self, limit: usize, before_id: Option<i64>) -> Result<Vec<Event>, ControlError> {
        let limit = limit.min(EVENTS_PER_ANSWER_MAX);
        Ok(self.store.read("read events", |conn| audit::list(conn, limit, before_id))?)
    }
}
