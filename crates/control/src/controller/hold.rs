//! A person's hand on a model: nothing moves its traffic but people, until it is taken away or the time is up.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::manual::unchanged;
use super::{Controller, SELF};
use crate::error::ControlError;
use crate::store::{EventKind, NewEvent, audit};

/// Who holds a model, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, unix milliseconds.
    pub since_ms: i64,
    /// Until when, on the steady clock; without it until it is released.
    pub until_steady_ms: Option<u64>,
}

impl Controller {
    /// Holds a model where it is: no alert and no approved proposal moves its traffic. Held already, the new one counts.
    ///
    /// # Errors
    /// An unknown model.
    pub fn hold(
        &mut self,
        model: &str,
        for_ms: Option<u64>,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        let until = for_ms.map(|ms| self.clock.steady_ms().saturating_add(ms));
        self.models[idx].hold = Some(Hold {
            by: audit::clip(actor).to_owned(),
            reason: audit::clip(reason).to_owned(),
            since_ms: now_ms,
            until_steady_ms: until,
        });
        self.save_hold(idx, true, actor, reason, now_ms);
        Ok(())
    }

    /// Releases a held model.
    ///
    /// # Errors
    /// An unknown model; [`ControlError::Unchanged`] when it is not held.
    pub fn release(
        &mut self,
        model: &str,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        if self.models[idx].hold.take().is_none() {
            return Err(unchanged(model, format!("{model} is not held")));
        }
        self.save_hold(idx, false, actor, reason, now_ms);
        Ok(())
    }

    /// Lets go of models whose time is up.
    pub(super) fn end_holds(&mut self, now_ms: i64) {
        let steady_ms = self.clock.steady_ms();
        for idx in 0..self.models.len() {
            let until = self.models[idx].hold.as_ref().and_then(|hold| hold.until_steady_ms);
            if until.is_some_and(|until| until <= steady_ms) {
                self.models[idx].hold = None;
                self.save_hold(idx, false, SELF, "the time of the hold is up", now_ms);
            }
        }
    }

    fn save_hold(&mut self, idx: usize, held: bool, actor: &str, reason: &str, now_ms: i64) {
        let name = Arc::clone(&self.models[idx].policy.name);
        let event = NewEvent {
            at_ms: now_ms,
            kind: EventKind::Hold,
            model: Some(&name),
            actor,
            reason,
            data: json!({ "held": held }),
            decision_id: None,
        };
        self.save_model(idx, Some(&event));
    }
}
