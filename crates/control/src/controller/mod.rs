//! Ties rules, alerts, decisions and the journal together. No threads, no clock: the caller passes `now` and carries
//! decisions out.
//!
//! # The life of a decision
//! It is on disk before anyone hears of it (`intended`). The caller makes the actuators carry it out and says so
//! ([`Controller::applied`]), reads it back and says so ([`Controller::confirmed`]), or gives up ([`Controller::failed`]).
//! After a crash at any of these points [`Controller::open`] hands it out again. There is one per model at a time; a
//! rollback overtakes a promotion that is still being carried out, nothing overtakes a rollback.
//!
//! # The states of a model
//! ```text
//!                 alert, approval or person              confirmed
//!   steady ------------------------------> rolling back -----------> rolled back
//!     ^  ^                                      | failed                  |
//!     |  |                                      v                         | a person promotes
//!     |  +--- the time is up --- cooling down <-+                         v
//!     |                               ^------------ confirmed ------- promoting
//!     |
//!     +--- released, or the time is up --- manual hold <--- a person holds it, in any state
//! ```
//! A change that is being carried out is shown before a hold, a hold before everything else. A rollback by a person is
//! possible in every state but while one is being carried out or the stable version is active; promotions wait for what is
//! being carried out, and are refused in mode `frozen`. In cool-down and under a hold alerts move nothing. Every transition
//! is a row of the table in `tests/machine.rs`.
//!
//! # When the disk fails
//! A rollback happens all the same: it is journaled in a file beside the database, or in the log if even that can't be
//! written. A promotion does not.

mod carry;
mod drill;
mod fault;
mod hold;
mod manual;
mod model;
mod news;
mod open;
mod proposal;
pub(crate) mod retrain;
mod serving;
mod status;
mod step;
mod target;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

pub use hold::Hold;
pub use model::{ModelPhase, ModelStatus};
pub use news::News;
pub use proposal::{Proposal, ProposalState};
pub use retrain::{RetrainState, Retraining};
pub use step::Step;
pub use webhook::{
    AlertmanagerAlert, AlertmanagerWebhook, WebhookAlertOutcome, WebhookOutcome, WebhookVerdict,
};

use crate::actuator::Change;
use crate::alert::AlertChange;
use crate::book::AlertBook;
use crate::clock::SteadyClock;
use crate::decide::Episode;
use crate::decision::{Decision, DecisionKind, DecisionState, Trigger};
use crate::error::{ControlError, StoreError};
use crate::policy::Policy;
use crate::store::{EventKind, NewEvent, Store, WebhookRow, audit, journal, state};
use model::{Changed, ModelEntry};

/// Who acts when nobody does.
pub(crate) const SELF: &str = "driftline";

/// Decides where traffic goes, and remembers why.
#[derive(Debug)]
pub struct Controller {
    store: Store,
    policy: Policy,
    clock: SteadyClock,
    book: AlertBook,
    models: Vec<ModelEntry>,
    next_id: i64,
    rollbacks: BTreeMap<(String, Trigger), u64>,
    tenants_red: BTreeMap<Arc<str>, usize>,
    /// Versions that the caller knows to be in trouble: model and version.
    unhealthy: BTreeSet<(String, String)>,
    /// Rules that have been judged about a model since the start.
    judged: BTreeSet<(String, Arc<str>)>,
    /// Steady time of the last step and of the last save.
    stepped_ms: u64,
    saved_ms: u64,
    now_ms: i64,
    store_errors: u64,
    /// Alerts that ended between two steps: the next one says so.
    ended: Vec<AlertChange>,
    /// What waits to be told.
    news: VecDeque<News>,
    trainings: retrain::TrainBook,
}

/// What a decision is made of.
struct Intent<'a> {
    model_idx: usize,
    kind: DecisionKind,
    trigger: Trigger,
    to: Arc<str>,
    actor: &'a str,
    reason: String,
    evidence: Value,
    /// Episodes that it answers.
    episodes: Vec<Episode>,
    /// The notification behind it.
    webhook: Option<WebhookRow>,
}

impl Controller {
    /// The history and the database behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The same, to write history.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Ends, and gives the store back.
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn tick(&mut self, now_ms: i64) {
        self.clock.advance(now_ms);
        self.now_ms = now_ms;
    }

    fn model_idx(&self, model: &str) -> Result<usize, ControlError> {
        self.models.iter().position(|entry| *entry.policy.name == *model).ok_or_else(|| {
            let known = self.models.iter().map(|entry| format!("`{}`", entry.policy.name));
            ControlError::UnknownModel {
                model: audit::clip(model).to_owned(),
                known: known.collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// Makes a decision: journals it, then takes it into account. A rollback stands even when the journal can't be
    /// written; the error comes with it then. Of a promotion nothing happens in that case.
    fn intend(
        &mut self,
        intent: Intent<'_>,
        now_ms: i64,
    ) -> Result<(Decision, Option<StoreError>), StoreError> {
        let steady_ms = self.clock.steady_ms();
        let decision = self.draft(&intent, now_ms);
        let overtaken = self.models[intent.model_idx].pending.clone().map(|mut overtaken| {
            overtaken.state = DecisionState::Abandoned;
            overtaken.updated_at_ms = now_ms;
            overtaken.detail = Some(format!("overtaken by decision {}", decision.id));
            overtaken
        });
        let mut row = self.models[intent.model_idx].row();
        (row.changed_at_ms, row.changed_steady_ms) = (Some(now_ms), Some(steady_ms));
        let written = self.store.write("journal a decision", |tx| {
            if let Some(overtaken) = &overtaken {
                journal::put(tx, overtaken, steady_ms)?;
            }
            journal::put(tx, &decision, steady_ms)?;
            state::put_steady_ms(tx, steady_ms)?;
            state::put_model(tx, &row)?;
            state::put_handled(tx, &decision.model, &intent.episodes)?;
            if decision.kind == DecisionKind::Rollback {
                state::answer_webhooks(tx, &decision.model, decision.id)?;
            }
            if let Some(webhook) = &intent.webhook {
                state::put_webhook(
                    tx,
                    &WebhookRow { decision_id: Some(decision.id), ..webhook.clone() },
                    now_ms,
                )?;
            }
            audit::record(tx, &decision_event(&decision, now_ms))
        });
        let error = match written {
            Ok(()) => None,
            Err(error) if decision.kind == DecisionKind::Promote => return Err(self.count(error)),
            Err(error) => {
                self.spare(&decision);
                Some(self.count(error))
            }
        };
        self.next_id += 1;
        let entry = &mut self.models[intent.model_idx];
        entry.changed = Some(Changed { at_ms: now_ms, steady_ms });
        if decision.kind == DecisionKind::Rollback && decision.trigger == Trigger::Alert {
            entry.count_rollback(steady_ms);
        }
        entry.handled.extend(intent.episodes);
        if overtaken.is_some() {
            entry.last = overtaken;
        }
        entry.pending = Some(decision.clone());
        Ok((decision, error))
    }

    fn draft(&self, intent: &Intent<'_>, now_ms: i64) -> Decision {
        let entry = &self.models[intent.model_idx];
        // A promotion that is being carried out may have moved clients already.
        let from = match &entry.pending {
            Some(pending) => &pending.change.to,
            None => &entry.active,
        };
        Decision {
            id: self.next_id,
            at_ms: now_ms,
            model: Arc::clone(&entry.policy.name),
            kind: intent.kind,
            trigger: intent.trigger,
            change: Change {
                kind: intent.kind,
                decision_id: self.next_id,
                model: Arc::clone(&entry.policy.name),
                from: Arc::clone(from),
                to: Arc::clone(&intent.to),
                restores_configuration: intent.to == entry.policy.active,
            },
            actor: audit::clip(intent.actor).to_owned(),
            reason: audit::clip(&intent.reason).to_owned(),
            evidence: intent.evidence.clone(),
            state: DecisionState::Intended,
            updated_at_ms: now_ms,
            applied_at_ms: None,
            detail: None,
            supersedes: entry.pending.as_ref().map(|pending| pending.id),
        }
    }

    /// Journals a decision without the database, in the log if nothing else is left.
    fn spare(&self, decision: &Decision) {
        if let Err(error) = self.store.spare_journal(decision) {
            let text = serde_json::to_string(decision).unwrap_or_default();
            tracing::error!(%error, decision = text, "the decision could be journaled nowhere but here");
        }
    }

    /// Counts an error of the store on its way.
    fn count(&mut self, error: StoreError) -> StoreError {
        self.store_errors += 1;
        error
    }

    /// Writes what is not worth failing for; an error is counted and logged.
    fn write_or_log(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
    ) {
        if let Err(error) = self.store.write(what, work) {
            let error = self.count(error);
            tracing::error!(%error, "state is not stored");
        }
    }

    fn save_model(&mut self, idx: usize, event: Option<&NewEvent<'_>>) {
        let row = self.models[idx].row();
        self.write_or_log("store a model's state", |tx| {
            state::put_model(tx, &row)?;
            event.map_or(Ok(()), |event| audit::record(tx, event))
        });
    }
}

fn decision_event(decision: &Decision, now_ms: i64) -> NewEvent<'_> {
    NewEvent {
        at_ms: now_ms,
        kind: match decision.kind {
            DecisionKind::Rollback => EventKind::Rollback,
            DecisionKind::Promote => EventKind::Promote,
        },
        model: Some(&decision.model),
        actor: &decision.actor,
        reason: &decision.reason,
        data: json!({
            "from": decision.change.from,
            "to": decision.change.to,
            "trigger": decision.trigger,
            "supersedes": decision.supersedes,
            "evidence": decision.evidence,
        }),
        decision_id: Some(decision.id),
    }
}
