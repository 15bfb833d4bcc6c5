//! Rollbacks that wait for somebody's approval.
//!
//! ```text
//! open --approved--> a decision, as any other
//!   |--turned down--> rejected   \
//!   |--time is up---> expired     > its episodes are not proposed again
//!   \--alerts end, traffic moves, mode changes--> withdrawn
//! ```
//! A proposal is on disk before anybody hears of it, and survives a restart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Controller, Intent, SELF};
use crate::decide::Episode;
use crate::decision::{Decision, DecisionKind};
use crate::error::ControlError;
use crate::policy::RollbackMode;
use crate::store::{EventKind, NewEvent, audit, state};

use super::manual::{conflict, unchanged};
use super::news::News;

/// How far a proposal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalState {
    /// It waits.
    Open,
    /// Somebody approved it.
    Approved,
    /// Somebody turned it down.
    Rejected,
    /// Nobody approved it in time.
    Expired,
    /// It is pointless now.
    Withdrawn,
}

impl ProposalState {
    /// As it is stored and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A rollback that waits for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Ascending.
    pub id: i64,
    /// The model.
    pub model: Arc<str>,
    /// The version that clients get.
    pub from: Arc<str>,
    /// The version that they would get.
    pub to: Arc<str>,
    /// Why, in words.
    pub reason: String,
    /// The readings and alerts behind it.
    pub evidence: Value,
    /// The stretches of firing that it answers.
    pub episodes: Vec<Episode>,
    /// When it was made, unix milliseconds.
    pub at_ms: i64,
    /// Until when it can be approved, unix milliseconds, as far as the clock goes on evenly.
    pub expires_at_ms: i64,
    /// The same on the steady clock.
    pub until_steady_ms: u64,
    /// Whether our own rules see its alerts, so that their end is seen as well.
    pub watched: bool,
    /// What speaks against the stable version: why it is proposed and not done. Whoever approves it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// How far it has come.
    pub state: ProposalState,
}

/// What a proposal is made of.
pub(super) struct Draft {
    pub(super) model_idx: usize,
    pub(super) to: Arc<str>,
    pub(super) reason: String,
    pub(super) evidence: Value,
    pub(super) episodes: Vec<Episode>,
    pub(super) watched: bool,
    pub(super) warning: Option<String>,
}

impl Controller {
    /// Makes a proposal: on disk first.
    ///
    /// # Errors
    /// The store, and nothing happens then; the alert is judged again at the next step.
    pub(super) fn propose(
        &mut self,
        draft: Draft,
        now_ms: i64,
    ) -> Result<Proposal, crate::error::StoreError> {
        let entry = &self.models[draft.model_idx];
        let ms = entry.policy.approval_ms;
        let mut proposal = Proposal {
            id: 0,
            model: Arc::clone(&entry.policy.name),
            from: Arc::clone(&entry.active),
            to: draft.to,
            reason: audit::clip(&draft.reason).to_owned(),
            evidence: draft.evidence,
            episodes: draft.episodes,
            at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add_unsigned(ms),
            until_steady_ms: self.clock.steady_ms().saturating_add(ms),
            watched: draft.watched,
            warning: draft.warning,
            state: ProposalState::Open,
        };
        let steady_ms = self.clock.steady_ms();
        let written = self.store.write("store a proposal", |tx| {
            proposal.id = state::last_proposal(tx)? + 1;
            state::put_proposal(tx, &proposal)?;
            state::put_steady_ms(tx, steady_ms)?;
            audit::record(tx, &event(&proposal, SELF, "a rollback waits for approval", now_ms))
        });
        written.map_err(|error| self.count(error))?;
        self.models[draft.model_idx].proposal = Some(proposal.clone());
        self.tell(News::Proposed(proposal.clone()));
        Ok(proposal)
    }

    /// Approves a proposal: the rollback is decided now, if it still makes sense. `note` is why, for the audit trail; it may
    /// be empty.
    ///
    /// # Errors
    /// An unknown model; a conflict when the proposal does not wait any more, or must not be carried out now.
    pub fn approve(
        &mut self,
        model: &str,
        id: i64,
        actor: &str,
        note: &str,
        now_ms: i64,
    ) -> Result<Decision, ControlError> {
        self.tick(now_ms);
        self.end_holds(now_ms);
        self.review_proposals(now_ms);
        let model_idx = self.model_idx(model)?;
        let proposal = self.open_proposal(model_idx, id)?;
        let entry = &self.models[model_idx];
        let refusal = if let Some(hold) = &entry.hold {
            Some(format!("{} holds it: release it first", hold.by))
        } else {
            let trouble = self.target_trouble(model_idx).filter(|_| proposal.warning.is_none());
            trouble.map(|why| format!("{why}; to switch all the same: `driftline rollback --force`"))
        };
        if let Some(reason) = refusal {
            return Err(conflict(model, reason));
        }
        let mut evidence = proposal.evidence.clone();
        if let Some(fields) = evidence.as_object_mut() {
            fields.insert("proposal".to_owned(), id.into());
        }
        let intent = Intent {
            model_idx,
            kind: DecisionKind::Rollback,
            trigger: self.trigger(model_idx),
            to: Arc::clone(&proposal.to),
            actor,
            reason: proposal.reason.clone(),
            evidence,
            episodes: proposal.episodes.clone(),
            webhook: None,
        };
        let (decision, error) = self.intend(intent, now_ms)?;
        if let Some(error) = error {
            tracing::error!(%error, decision = decision.id, "rolling back with a spare journal");
        }
        self.end_proposal(model_idx, ProposalState::Approved, actor, &noted("approved", note), now_ms);
        Ok(decision)
    }

    /// Turns a proposal down: its alerts do not propose again. `note` is why, for the audit trail; it may be empty.
    ///
    /// # Errors
    /// An unknown model; a conflict when the proposal does not wait any more.
    pub fn reject(
        &mut self,
        model: &str,
        id: i64,
        actor: &str,
        note: &str,
        now_ms: i64,
    ) -> Result<(), ControlError> {
        self.tick(now_ms);
        let model_idx = self.model_idx(model)?;
        self.open_proposal(model_idx, id)?;
        self.end_proposal(model_idx, ProposalState::Rejected, actor, &noted("turned down", note), now_ms);
        Ok(())
    }

    fn open_proposal(&self, model_idx: usize, id: i64) -> Result<Proposal, ControlError> {
        let entry = &self.models[model_idx];
        let found = entry.proposal.as_ref().filter(|proposal| proposal.id == id).cloned();
        found.ok_or_else(|| {
            let model = &entry.policy.name;
            let stored = self.store.read("read proposals", |conn| state::proposals(conn, model));
            let stored = stored.ok().and_then(|all| all.into_iter().find(|one| one.id == id));
            let said = |what: &str| format!("proposal {id} {what}");
            match stored.map(|one| one.state) {
                Some(ProposalState::Approved) => unchanged(model, said("is approved already")),
                Some(ProposalState::Rejected) => conflict(model, said("was turned down")),
                Some(ProposalState::Expired) => {
                    conflict(model, said("has expired: no approval came in time"))
                }
                Some(ProposalState::Withdrawn) => conflict(model, said("was withdrawn: it became pointless")),
                Some(ProposalState::Open) | None => conflict(model, said("does not wait for approval")),
            }
        })
    }

    /// Proposes what is not done because the stable version is in trouble itself: a person may know better. Once for the
    /// same alerts, and only where a person may decide.
    pub(super) fn propose_anyway(
        &mut self,
        model_idx: usize,
        reason: String,
        evidence: Value,
        episodes: Vec<Episode>,
        now_ms: i64,
    ) -> Result<(), crate::error::StoreError> {
        let entry = &self.models[model_idx];
        let mode = matches!(entry.policy.mode, RollbackMode::Automatic | RollbackMode::Approve);
        let known = entry.proposal.is_some() || episodes.iter().all(|one| entry.not_approved.contains(one));
        if !mode || known || entry.drill {
            return Ok(());
        }
        let (to, warning) = (Arc::clone(&entry.policy.stable), self.target_trouble(model_idx));
        let draft = Draft { model_idx, to, reason, evidence, episodes, watched: true, warning };
        self.propose(draft, now_ms).map(drop)
    }

    /// Ends proposals that nobody approved in time, and those that are pointless now.
    pub(super) fn review_proposals(&mut self, now_ms: i64) {
        for idx in 0..self.models.len() {
            let Some(proposal) = self.models[idx].proposal.clone() else { continue };
            if proposal.until_steady_ms <= self.clock.steady_ms() {
                self.end_proposal(idx, ProposalState::Expired, SELF, "no approval came in time", now_ms);
            } else if let Some(why) = self.pointless(idx, &proposal) {
                self.end_proposal(idx, ProposalState::Withdrawn, SELF, why, now_ms);
            }
        }
    }

    fn pointless(&self, idx: usize, proposal: &Proposal) -> Option<&'static str> {
        let entry = &self.models[idx];
        if entry.pending.is_some() || entry.active != proposal.from || entry.policy.stable != proposal.to {
            return Some("traffic is moved otherwise");
        }
        let may = match entry.policy.mode {
            RollbackMode::Approve => true,
            RollbackMode::Automatic => proposal.warning.is_some(),
            RollbackMode::Recommend | RollbackMode::Observe | RollbackMode::Frozen => false,
        };
        if !may {
            return Some("the mode was changed");
        }
        if proposal.warning.is_some() && self.target_trouble(idx).is_none() {
            return Some("nothing speaks against the stable version any more");
        }
        let fires = |episode: &Episode| {
            let critical = self.book.critical(&self.policy, &proposal.model);
            critical.iter().any(|(alert, _)| {
                alert.fingerprint == episode.fingerprint && alert.since_ms == episode.since_ms
            })
        };
        (proposal.watched && !proposal.episodes.iter().any(fires)).then_some("its alerts are over")
    }

    /// An alert that Alertmanager saw is over: what was proposed for it alone is withdrawn.
    pub(super) fn episode_over(&mut self, idx: usize, fingerprint: &str, now_ms: i64) {
        let Some(proposal) = self.models[idx].proposal.as_mut().filter(|proposal| !proposal.watched) else {
            return;
        };
        proposal.episodes.retain(|episode| episode.fingerprint != fingerprint);
        if proposal.episodes.is_empty() {
            self.end_proposal(idx, ProposalState::Withdrawn, "alertmanager", "its alerts are over", now_ms);
        }
    }

    fn end_proposal(&mut self, idx: usize, state: ProposalState, actor: &str, why: &str, now_ms: i64) {
        let Some(mut proposal) = self.models[idx].proposal.take() else { return };
        proposal.state = state;
        if matches!(state, ProposalState::Rejected | ProposalState::Expired) {
            self.models[idx].not_approved.extend(proposal.episodes.iter().cloned());
        }
        self.write_or_log("store a proposal", |tx| {
            state::put_proposal(tx, &proposal)?;
            audit::record(tx, &event(&proposal, actor, why, now_ms))
        });
        if state != ProposalState::Approved {
            self.tell(News::ProposalEnded(proposal));
        }
    }
}

/// What was done, and why if somebody said so.
fn noted(what: &str, note: &str) -> String {
    if note.is_empty() { what.to_owned() } else { format!("{what}: {note}") }
}

fn event<'a>(proposal: &'a Proposal, actor: &'a str, reason: &'a str, now_ms: i64) -> NewEvent<'a> {
    NewEvent {
        at_ms: now_ms,
        kind: EventKind::Approval,
        model: Some(&proposal.model),
        actor,
        reason,
        data: json!({
            "proposal": proposal.id,
            "state": proposal.state,
            "from": proposal.from,
            "to": proposal.to,
            "why": proposal.reason,
            "expires_at_ms": proposal.expires_at_ms,
        }),
        decision_id: None,
    }
}
