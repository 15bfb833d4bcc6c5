//! What people do. A person wins: automatic rollback is held for the cool-down after it.

use std::sync::Arc;

use serde_json::json;

use super::step::firing_alert;
use super::{Controller, Intent};
use crate::decision::{Decision, DecisionKind, Trigger};
use crate::error::ControlError;
use crate::policy::RollbackMode;
use crate::store::{EventKind, NewEvent, audit};

impl Controller {
    /// Switches `model` to its stable version. A promotion that is still being carried out is overtaken.
    ///
    /// # Errors
    /// An unknown model; a conflict when a rollback is being carried out; [`ControlError::Unchanged`] when the stable version
    /// is active; [`ControlError::TargetUnhealthy`] when it is measurably bad itself.
    pub fn rollback(
        &mut self,
        model: &str,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.roll_back(model, actor, reason, false, now_ms)
    }

    /// The same, whatever speaks against the stable version.
    ///
    /// # Errors
    /// As [`Controller::rollback`], but never [`ControlError::TargetUnhealthy`].
    pub fn force_rollback(
        &mut self,
        model: &str,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.roll_back(model, actor, reason, true, now_ms)
    }

    fn roll_back(
        &mut self,
        model: &str,
        actor: &str,
        reason: &str,
        force: bool,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.tick(now_ms);
        let model_idx = self.model_idx(model)?;
        let trouble = self.target_trouble(model_idx).filter(|_| !force);
        let entry = &self.models[model_idx];
        match &entry.pending {
            Some(pending) if pending.kind == DecisionKind::Rollback => {
                let reason = format!("rollback {} is being carried out: wait for it", pending.id);
                return Err(conflict(model, reason));
            }
            None if entry.active == entry.policy.stable => {
                return Err(unchanged(model, format!("{} is active already", entry.active)));
            }
            _ => {}
        }
        if let Some(why) = trouble {
            let (model, version) = (model.to_owned(), entry.policy.stable.to_string());
            return Err(ControlError::TargetUnhealthy { model, version, why });
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

    /// Switches `model` to `version`; without one, to the version that the configuration makes active. It is judged by the
    /// requests that it serves from then on, so that the guard is up again after the cool-down. The version that gets copies
    /// is only promoted by its name: whoever promotes twice must not put a candidate in front of every client.
    ///
    /// # Errors
    /// An unknown model or version; a conflict when a change is being carried out; [`ControlError::Unchanged`] when that
    /// version is active; the store, and nothing happens then.
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
            trigger: if self.models[model_idx].drill { Trigger::Drill } else { Trigger::Manual },
            to: Arc::clone(&to),
            actor,
            reason: reason.to_owned(),
            evidence: json!({}),
            episodes: Vec::new(),
            webhook: None,
        };
        Ok(self.intend(intent, now_ms)?.0)
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
            None => &policy.active,
        };
        if *to == entry.active {
            let mut reason = format!("{to} is active already");
            if let (None, Some(shadow)) = (version, policy.shadow.as_ref().filter(|shadow| *shadow != to)) {
                reason
                    .push_str(&format!("; name a version to switch to another one (copies go to {shadow})"));
            }
            return Err(unchanged(&policy.name, reason));
        }
        Ok(Arc::clone(to))
    }

    /// Switches automatic rollback on or off. Switching it on begins the count of rollbacks in the period anew.
    ///
    /// # Errors
    /// An unknown model; [`ControlError::Unchanged`] when it is so already.
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
        if enabled == entry.auto_enabled {
            let state = if enabled { "on" } else { "off" };
            return Err(unchanged(model, format!("automatic rollback is {state} already")));
        }
        if enabled {
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
    /// An unknown model; a share that is not a number from 0 to 100; [`ControlError::Unchanged`] when it is so already.
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
        if was == percent {
            return Err(unchanged(model, format!("{percent} % of requests are copied already")));
        }
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

pub(super) fn unchanged(model: &str, reason: String) -> ControlError {
    ControlError::Unchanged { model: model.to_owned(), reason }
}
