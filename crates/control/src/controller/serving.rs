//! Only what serves is judged, and only by what it has served since it became active.
//!
//! Alerts of a version that traffic was taken from end as inactive: they say nothing about what clients get now. Those of a
//! version that has become active end as well: its windows start empty, and so does the judgement.

use std::collections::HashMap;
use std::sync::Arc;

use monitor::Readings;

use super::Controller;
use super::model::ModelEntry;
use crate::alert::{Alert, AlertChange};
use crate::decision::{Decision, DecisionState};
use crate::evaluate::{Evaluation, Subject};

impl Controller {
    /// Ends the alerts of versions that do not serve, and those that a version has from before it became active. Says nothing
    /// about either.
    pub(super) fn judge_what_serves(
        &mut self,
        evaluation: &mut Evaluation,
        readings: &Readings,
        now_ms: i64,
    ) -> Vec<AlertChange> {
        let entries: HashMap<&str, &ModelEntry> =
            self.models.iter().map(|entry| (&*entry.policy.name, entry)).collect();
        let active: HashMap<&str, &Arc<str>> = readings
            .models
            .iter()
            .filter_map(|model| Some((&*model.model, model.active.as_ref()?)))
            .collect();
        let at_ms = readings.at_ms.min(now_ms);
        let counts = |subject: &Subject| {
            entries.get(&*subject.model).is_none_or(|entry| {
                let is_active = subject.version == entry.active;
                let early = entry.is_ahead_of(at_ms, active.get(&*subject.model).copied());
                !(entry.is_idle(&subject.version, readings) || is_active && early)
            })
        };
        evaluation.holding.retain(|held| counts(&held.subject));
        evaluation.clear.retain(|(_, subject)| counts(subject));
        let steady_ms = self.clock.steady_ms();
        let idle = |model: &str, version: &str, since_ms: i64| {
            entries.get(model).is_some_and(|entry| {
                let before = |activated| *entry.active == *version && since_ms <= activated;
                let gone = || entry.has_lingered(steady_ms) && entry.is_idle(version, readings);
                entry.activated_ms.is_some_and(before) || gone()
            })
        };
        self.book.end_inactive(&self.policy, idle, now_ms)
    }

    /// Forgets and stores alerts that ended between two steps; the next step says so.
    pub(super) fn alerts_ended(&mut self, ended: Vec<AlertChange>, now_ms: i64) {
        if !ended.is_empty() {
            self.forget_ended(&ended);
            self.save_alerts(&ended, now_ms);
            self.ended.extend(ended);
        }
    }

    /// Marks alerts of models in a drill.
    pub(super) fn mark_drills<'a>(&self, alerts: impl IntoIterator<Item = &'a mut Alert>) {
        for alert in alerts {
            let model = alert.labels.get("model").map(String::as_str);
            let drill = |entry: &ModelEntry| entry.drill && model == Some(&*entry.policy.name);
            if !alert.drill && self.models.iter().any(drill) {
                alert.mark_drill();
            }
        }
    }
}

impl ModelEntry {
    /// When the active version began to serve, by the newest decision of the journal.
    pub(super) fn activation(&self, newest: Option<&Decision>) -> Option<i64> {
        let done = |decision: &&Decision| {
            matches!(decision.state, DecisionState::Applied | DecisionState::Confirmed)
                && decision.change.to == self.active
        };
        newest.filter(done).and_then(|decision| decision.applied_at_ms)
    }
}
