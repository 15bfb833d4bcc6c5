//! What the caller says about decisions it carries out.

use std::sync::Arc;

use super::{Controller, decision_event};
use crate::decision::{Decision, DecisionKind, DecisionState};
use crate::error::ControlError;
use crate::store::{audit, journal, state};

impl Controller {
    /// Whether a decision is still to be carried out. To be asked before each attempt: what was overtaken must not act.
    pub fn is_pending(&self, id: i64) -> bool {
        self.pending_idx(id).is_ok()
    }

    /// The change was carried out: clients get the new version. Saying it twice does no harm.
    ///
    /// # Errors
    /// [`ControlError::NotPending`], or that it could not be stored; it counts all the same then.
    pub fn applied(&mut self, id: i64, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.pending_idx(id)?;
        self.apply(idx, now_ms);
        self.write_progress(idx, None)
    }

    /// The change was read back: it is in force.
    ///
    /// # Errors
    /// [`ControlError::NotPending`], or that it could not be stored; it counts all the same then.
    pub fn confirmed(&mut self, id: i64, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.pending_idx(id)?;
        self.apply(idx, now_ms);
        self.finish(idx, DecisionState::Confirmed, None, now_ms)
    }

    /// The change could not be carried out, or not be read back, and no more attempts are made. Clients then get what
    /// they got before, unless it had been applied.
    ///
    /// # Errors
    /// [`ControlError::NotPending`], or that it could not be stored; it counts all the same then.
    pub fn failed(&mut self, id: i64, detail: &str, now_ms: i64) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.pending_idx(id)?;
        self.finish(idx, DecisionState::Failed, Some(audit::clip(detail).to_owned()), now_ms)
    }

    fn pending_idx(&self, id: i64) -> Result<usize, ControlError> {
        let is = |decision: &Decision| decision.id == id;
        self.models
            .iter()
            .position(|entry| entry.pending.as_ref().is_some_and(is))
            .ok_or(ControlError::NotPending { id })
    }

    /// Takes an intended change as carried out.
    fn apply(&mut self, idx: usize, now_ms: i64) {
        let entry = &mut self.models[idx];
        let Some(decision) = entry.pending.as_mut().filter(|one| one.state == DecisionState::Intended) else {
            return;
        };
        decision.state = DecisionState::Applied;
        decision.applied_at_ms = Some(now_ms);
        decision.updated_at_ms = now_ms;
        entry.active = Arc::clone(&decision.change.to);
        entry.activated_ms = Some(now_ms);
        if decision.kind == DecisionKind::Rollback {
            let key = (decision.model.to_string(), decision.trigger);
            *self.rollbacks.entry(key).or_insert(0) += 1;
        }
    }

    fn finish(
        &mut self,
        idx: usize,
        state: DecisionState,
        detail: Option<String>,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        let entry = &mut self.models[idx];
        if let Some(mut decision) = entry.pending.take() {
            decision.state = state;
            decision.detail = detail;
            decision.updated_at_ms = now_ms;
            entry.last = Some(decision);
        }
        let failed = (state == DecisionState::Failed).then_some(now_ms);
        self.write_progress(idx, failed)
    }

    /// Stores the model and the decision that is, or was, being carried out for it. A failure is an event of its own.
    fn write_progress(&mut self, idx: usize, failed_at_ms: Option<i64>) -> Result<(), ControlError> {
        let entry = &self.models[idx];
        let Some(decision) = entry.pending.clone().or_else(|| entry.last.clone()) else { return Ok(()) };
        let row = entry.row();
        let steady_ms = self.clock.steady_ms();
        let written = self.store.write("journal how far a decision has come", |tx| {
            journal::put(tx, &decision, steady_ms)?;
            state::put_model(tx, &row)?;
            if let Some(now_ms) = failed_at_ms {
                let reason = format!("failed: {}", decision.detail.as_deref().unwrap_or("no reason given"));
                let mut event = decision_event(&decision, now_ms);
                event.reason = &reason;
                audit::record(tx, &event)?;
            }
            Ok(())
        });
        written.map_err(|error| {
            self.spare(&decision);
            ControlError::from(self.count(error))
        })
    }
}
