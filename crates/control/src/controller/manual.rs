//! What people do. A person wins: automatic rollback is held for the cool-down after it.

use std::sync::Arc;

use serde_json::json;

use super::step::firing_alert;
use super::{Controller, Intent};
use crate::alert::{Alert, AlertChange};
use crate::decision::{Decision, DecisionKind, Trigger};
use crate::error::ControlError;
use crate::policy::RollbackMode;
use crate::store::{EventKind, NewEvent, audit};

impl Controller {
    /// Sends every client of `model` to its stable version. A promotion that is still being carried out is overtaken.
    ///
    /// # Errors
    /// An unknown model; a conflict when a rollback is being carried out or clients get the stable version already.
    pub fn rollback(
        &mut self,
        model: &str,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.tick(now_ms);
        let model_idx = self.model_idx(model)?;
        let entry = &self.models[model_idx];
        match &entry.pending {
            Some(pending) if pending.kind == DecisionKind::Rollback => {
                let reason = format!("rollback {} is being carried out: wait for it", pending.id);
                return Err(conflict(model, reason));
            }
            None if entry.active == entry.policy.stable => {
                let reason = format!("clients already get the stable version `{}`", entry.active);
                return Err(conflict(model, reason));
            }
            _ => {}
        }
        let firing: Vec<_> =
            self.book.critical(&self.policy, model).into_iter().map(|(alert, _)| alert).collect();
        let intent = Intent {
            model_idx,
            kind: DecisionKind::Rollback,
            trigger: Trigger::Manual,
            to: Arc::clone(&entry.policy.stable),
            actor,
            reason: reason.to_owned(),
            evidence: self.evidence(model, &firing, &[]),
            episodes: firing.iter().map(|alert| firing_alert(alert).episode).collect(),
            webhook: None,
        };
        let (decision, error) = self.intend(intent, now_ms)?;
        if let Some(error) = error {
            tracing::error!(%error, decision = decision.id, "rolling back with a spare journal");
        }
        Ok(decision)
    }

    /// Sends every client of `model` to `version`; without one, to the configured active version if clients get another,
    /// else to the shadow's. Alerts about that version that an earlier rollback answered begin anew, so that the guard is
    /// up again after the cool-down.
    ///
    /// # Errors
    /// An unknown model or version; a conflict when a change is being carried out or clients get that version already;
    /// the store, and nothing happens then.
    pub fn promote(
        &mut self,
        model: &str,
        version: Option<&str>,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.tick(now_ms);
        let model_idx = self.model_idx(model)?;
        let to = self.promotable(model_idx, version)?;
        let intent = Intent {
            model_idx,
            kind: DecisionKind::Promote,
            trigger: Trigger::Manual,
            to: Arc::clone(&to),
            actor,
            reason: reason.to_owned(),
            evidence: json!({}),
            episodes: Vec::new(),
            webhook: None,
        };
        let (decision, _) = self.intend(intent, now_ms)?;
        let ended = self.begin_anew(model_idx, &to, now_ms);
        self.forget_ended(&ended);
        if !ended.is_empty() {
            self.save_alerts(&ended, now_ms);
        }
        Ok(decision)
    }

    fn promotable(&self, model_idx: usize, version: Option<&str>) -> Result<Arc<str>, ControlError> {
        let entry = &self.models[model_idx];
        let policy = &entry.policy;
        if policy.mode == RollbackMode::Frozen {
            return Err(conflict(
                &policy.name,
                "its mode is `frozen`: only a rollback is possible".to_owned(),
            ));
        }
        if let Some(pending) = &entry.pending {
            let reason =
                format!("{} {} is being carried out: wait for it", pending.kind.as_str(), pending.id);
            return Err(conflict(&policy.name, reason));
        }
        let to = match version {
            Some(version) => policy.versions.iter().find(|known| ***known == *version).ok_or_else(|| {
                let known: Vec<String> = policy.versions.iter().map(|known| format!("`{known}`")).collect();
                ControlError::UnknownVersion {
                    model: policy.name.to_string(),
                    version: audit::clip(version).to_owned(),
                    known: known.join(", "),
                }
            })?,
            None if entry.active != policy.active => &policy.active,
            None => policy.shadow.as_ref().ok_or_else(|| {
                let reason = "there is no shadow version to promote: name a version";
                conflict(&policy.name, reason.to_owned())
            })?,
        };
        if *to == entry.active {
            return Err(conflict(&policy.name, format!("clients already get `{to}`")));
        }
        Ok(Arc::clone(to))
    }

    /// Ends what the drill raised: left pending, it could fire on what is left of the drill and move real traffic.
    fn end_alerts_of_drill(&mut self, idx: usize, now_ms: i64) {
        let (model, began_ms) = (Arc::clone(&self.models[idx].policy.name), self.models[idx].drill_began_ms);
        let mut ended = Vec::new();
        for version in self.models[idx].policy.versions.clone() {
            let raised = |alert: &Alert| alert.since_ms >= began_ms;
            ended.extend(self.book.begin_anew(&self.policy, (&model, &version), raised, now_ms));
        }
        self.forget_ended(&ended);
        if !ended.is_empty() {
            self.save_alerts(&ended, now_ms);
        }
    }

    fn begin_anew(&mut self, model_idx: usize, version: &str, now_ms: i64) -> Vec<AlertChange> {
        let entry = &self.models[model_idx];
        let handled = &entry.handled;
        self.book.begin_anew(
            &self.policy,
            (&entry.policy.name, version),
            |alert| handled.contains(&firing_alert(alert).episode),
            now_ms,
        )
    }

    /// Switches automatic rollback on or off. Switching it on begins the count of rollbacks in the period anew.
    ///
    /// # Errors
    /// An unknown model.
    pub fn set_auto_rollback(
        &mut self,
        model: &str,
        enabled: bool,
        actor: &str,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        let steady_ms = self.clock.steady_ms();
        let entry = &mut self.models[idx];
        if enabled && !entry.auto_enabled {
            entry.armed_steady_ms = steady_ms.saturating_add(1);
        }
        entry.auto_enabled = enabled;
        let event = NewEvent {
            at_ms: now_ms,
            kind: EventKind::Toggle,
            model: Some(model),
            actor,
            reason: if enabled { "automatic rollback on" } else { "automatic rollback off" },
            data: json!({ "enabled": enabled }),
            decision_id: None,
        };
        self.save_model(idx, Some(&event));
        Ok(())
    }

    /// Sets the share of copies. It holds until the configuration names another share.
    ///
    /// # Errors
    /// An unknown model; a share that is not a number from 0 to 100.
    pub fn set_shadow_percent(
        &mut self,
        model: &str,
        percent: f64,
        actor: &str,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(ControlError::InvalidPercent { percent });
        }
        let entry = &mut self.models[idx];
        let was = entry.shadow_percent.unwrap_or(entry.policy.shadow_percent);
        entry.shadow_percent = Some(percent);
        let reason = format!("share of copies {was} % -> {percent} %");
        let event = NewEvent {
            at_ms: now_ms,
            kind: EventKind::Shadow,
            model: Some(model),
            actor,
            reason: &reason,
            data: json!({ "from": was, "percent": percent }),
            decision_id: None,
        };
        self.save_model(idx, Some(&event));
        Ok(())
    }

    /// From now on rollbacks of `model` that alerts cause carry the trigger `drill`, and do not count towards the limit.
    ///
    /// # Errors
    /// An unknown model; a conflict when a drill is running.
    pub fn begin_drill(&mut self, model: &str, actor: &str, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if std::mem::replace(&mut self.models[idx].drill, true) {
            return Err(conflict(model, "a drill is running: wait for its end".to_owned()));
        }
        self.models[idx].changed_before_drill = self.models[idx].changed;
        self.models[idx].drill_began_ms = now_ms;
        self.write_event(
            EventKind::Drill,
            Some(model),
            actor,
            "drill began",
            json!({ "running": true }),
            now_ms,
        );
        Ok(())
    }

    /// Ends a drill; nothing happens when none is running.
    ///
    /// # Errors
    /// An unknown model.
    pub fn end_drill(&mut self, model: &str, actor: &str, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if std::mem::replace(&mut self.models[idx].drill, false) {
            let entry = &mut self.models[idx];
            // A drill that put traffic back leaves no cool-down behind: the next alert may be a real one.
            if entry.active == entry.policy.active && entry.pending.is_none() {
                entry.changed = entry.changed_before_drill;
            }
            self.end_alerts_of_drill(idx, now_ms);
            self.write_event(
                EventKind::Drill,
                Some(model),
                actor,
                "drill ended",
                json!({ "running": false }),
                now_ms,
            );
        }
        Ok(())
    }

    /// What probes say about a version. A rollback never goes to a stable version known to be in trouble.
    pub fn set_version_health(&mut self, model: &str, version: &str, healthy: bool) {
        let known =
            self.models.iter().any(|entry| *entry.policy.name == *model && entry.has_version(version));
        let key = (model.to_owned(), version.to_owned());
        if healthy {
            self.unhealthy.remove(&key);
        } else if known {
            self.unhealthy.insert(key);
        }
    }
}

pub(super) fn conflict(model: &str, reason: String) -> ControlError {
    ControlError::Conflict { model: model.to_owned(), reason }
}
