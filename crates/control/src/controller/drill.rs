//! A drill: a rollback that alerts cause with made-up data. It leaves no trace but its entries in the audit trail and the
//! journal: no cool-down, no alert, nothing that counts towards the limit.

use serde_json::json;

use super::Controller;
use super::manual::conflict;
use super::model::BeforeDrill;
use crate::alert::AlertState;
use crate::error::ControlError;
use crate::policy::Severity;
use crate::store::EventKind;

impl Controller {
    /// From now on rollbacks of `model` that alerts cause carry the trigger `drill`, and do not count towards the limit; its
    /// alerts say that they are a drill.
    ///
    /// # Errors
    /// An unknown model; a conflict when a drill could not be told from what is going on: see [`Controller::drill_refusal`].
    pub fn begin_drill(&mut self, model: &str, actor: &str, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if let Some(reason) = self.drill_refusal(model)? {
            return Err(conflict(model, reason));
        }
        let alerts = self.book.about(model);
        let entry = &mut self.models[idx];
        entry.drill = true;
        entry.before_drill = BeforeDrill { changed: entry.changed, activated_ms: entry.activated_ms, alerts };
        let data = json!({ "running": true });
        self.write_event(EventKind::Drill, Some(model), actor, "drill began", data, now_ms);
        Ok(())
    }

    /// Why a drill of `model` cannot begin now, if so: another one runs, a change is being carried out, the model is held or
    /// in its cool-down, or a real alert of severity warning or above is pending or firing.
    ///
    /// # Errors
    /// An unknown model.
    pub fn drill_refusal(&self, model: &str) -> Result<Option<String>, ControlError> {
        let idx = self.model_idx(model)?;
        let entry = &self.models[idx];
        let left_ms = entry.cooldown_left_ms(self.clock.steady_ms());
        if entry.drill {
            return Ok(Some("a drill is running: wait for its end".to_owned()));
        }
        if let Some(pending) = &entry.pending {
            let kind = pending.kind.as_str();
            return Ok(Some(format!("{kind} {} is being carried out: wait for it", pending.id)));
        }
        if let Some(hold) = &entry.hold {
            return Ok(Some(format!("{} holds the model: release it first", hold.by)));
        }
        if !entry.auto_enabled {
            return Ok(Some("automatic rollback is off: switch it on first".to_owned()));
        }
        if left_ms > 0 {
            let secs = left_ms.div_ceil(1_000);
            return Ok(Some(format!("the cool-down after the last switch of traffic lasts {secs} s more")));
        }
        let alerts = self.book.alerts(&self.policy);
        let real = alerts.iter().find(|alert| {
            alert.severity >= Severity::Warning && alert.labels.get("model").is_some_and(|of| **of == *model)
        });
        Ok(real.map(|alert| {
            let state = if alert.state == AlertState::Firing { "firing" } else { "pending" };
            format!("a real alert is {state}: {}: {}", alert.name, alert.annotations.summary)
        }))
    }

    /// Ends a drill; nothing happens when none is running.
    ///
    /// # Errors
    /// An unknown model.
    pub fn end_drill(&mut self, model: &str, actor: &str, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if !self.models[idx].drill {
            return Ok(());
        }
        let before = std::mem::take(&mut self.models[idx].before_drill);
        let mut ended = self.book.put_back(&self.policy, model, before.alerts, now_ms);
        self.mark_drills(ended.iter_mut().map(|change| &mut change.alert));
        let entry = &mut self.models[idx];
        entry.drill = false;
        // A drill that put traffic back leaves no cool-down behind: the next alert may be a real one.
        if entry.active == entry.policy.active && entry.pending.is_none() {
            (entry.changed, entry.activated_ms) = (before.changed, before.activated_ms);
        }
        self.save_model(idx, None);
        self.alerts_ended(ended, now_ms);
        let data = json!({ "running": false });
        self.write_event(EventKind::Drill, Some(model), actor, "drill ended", data, now_ms);
        Ok(())
    }
}
