//! Beginning, with what a former process left, and taking a new policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::{Changed, ModelEntry};
use super::proposal::ProposalState;
use super::{Controller, SELF};
use crate::alert::AlertChange;
use crate::book::AlertBook;
use crate::clock::SteadyClock;
use crate::decision::{Decision, DecisionState};
use crate::error::ControlError;
use crate::policy::{ModelPolicy, Policy};
use crate::store::{EventKind, NewEvent, Store, audit, journal, state};

impl Controller {
    /// Goes on from what is stored. The second answer: decisions that a former process did not get done. They are to be
    /// carried out now (again, if need be), as those of [`Controller::step`].
    ///
    /// The version that clients got last is the active one as long as the configuration names the same `active` as then;
    /// an operator who edits it wins, and an event says so.
    ///
    /// # Errors
    /// When the policy contradicts itself or the state can't be read.
    pub fn open(store: Store, policy: Policy, now_ms: i64) -> Result<(Self, Vec<Decision>), ControlError> {
        check(&policy)?;
        let steady_ms = store.read("read its clock", state::steady_ms)?;
        let mut controller = Self {
            next_id: store.read("read the journal", journal::last_id)? + 1,
            rollbacks: store
                .read("count rollbacks", journal::rollbacks)?
                .into_iter()
                .map(|(model, trigger, n)| ((model, trigger), n))
                .collect(),
            store,
            policy: Policy { models: Vec::new(), ..policy.clone() },
            clock: SteadyClock::resume(now_ms, steady_ms),
            book: AlertBook::default(),
            models: Vec::new(),
            tenants_red: Default::default(),
            unhealthy: BTreeSet::new(),
            judged: BTreeSet::new(),
            stepped_ms: steady_ms,
            saved_ms: steady_ms,
            now_ms,
            store_errors: 0,
            ended: Vec::new(),
            news: Default::default(),
            trainings: Default::default(),
        };
        controller.trainings = controller.store.read("read when trainings were started", state::trainings)?;
        controller.book.restore(controller.store.read("read alerts", state::alerts)?);
        controller.take_models(&policy.models, now_ms)?;
        controller.policy = policy;
        let ended = controller.book.keep_unchanged(&controller.policy, now_ms);
        controller.alerts_ended(ended, now_ms);
        let resume = controller.resume(now_ms)?;
        let ids: Vec<i64> = resume.iter().map(|decision| decision.id).collect();
        controller.write_event(EventKind::Start, None, SELF, "started", json!({ "resumed": ids }), now_ms);
        Ok((controller, resume))
    }

    /// Takes a new policy. States of unchanged rules are kept, alerts of others end. The answer: the alerts that ended.
    ///
    /// A model whose configured `active` has changed follows the configuration at once; what was being carried out for it
    /// is abandoned.
    ///
    /// # Errors
    /// When the policy contradicts itself or a model's stored state can't be read; the former one stays in force then.
    pub fn configure(&mut self, policy: Policy, now_ms: i64) -> Result<Vec<AlertChange>, ControlError> {
        check(&policy)?;
        self.tick(now_ms);
        self.take_models(&policy.models, now_ms)?;
        self.policy = policy;
        let ended = self.book.keep_unchanged(&self.policy, now_ms);
        self.judged.retain(|(rule, model)| {
            self.policy.rules.iter().any(|known| known.name == *rule)
                && self.policy.models.iter().any(|known| known.name == *model)
        });
        self.tenants_red.retain(|model, _| self.policy.models.iter().any(|known| known.name == *model));
        self.alerts_ended(ended.clone(), now_ms);
        Ok(ended)
    }

    /// Builds the entries of the policy's models from those there are and what is stored.
    fn take_models(&mut self, policies: &[ModelPolicy], now_ms: i64) -> Result<(), ControlError> {
        let rows = self.store.read("read models", state::models)?;
        let handled = self.store.read("read episodes", state::handled)?;
        let steady_ms = self.clock.steady_ms();
        let mut fresh = Vec::new();
        for policy in
            policies.iter().filter(|policy| !self.models.iter().any(|one| one.policy.name == policy.name))
        {
            let row = rows.iter().find(|row| *row.model == *policy.name);
            let mut entry = row.map_or_else(
                || ModelEntry::new(policy.clone()),
                |row| ModelEntry::restored(policy.clone(), row),
            );
            let since = steady_ms.saturating_sub(policy.max_rollbacks_per_ms);
            let read = self.store.read("read the journal", |conn| {
                Ok((
                    journal::automatic_since(conn, &policy.name, since)?,
                    journal::last_of(conn, &policy.name)?,
                ))
            })?;
            entry.rollbacks = read.0.into();
            entry.activated_ms = entry.activation(read.1.as_ref());
            entry.last = read.1.filter(|decision| !decision.state.is_open());
            let own = handled.iter().filter(|(model, _)| **model == *policy.name);
            entry.handled = own.map(|(_, episode)| episode.clone()).collect();
            let proposals = self.store.read("read proposals", |conn| state::proposals(conn, &policy.name))?;
            for proposal in proposals {
                match proposal.state {
                    ProposalState::Open => entry.proposal = Some(proposal),
                    ProposalState::Rejected | ProposalState::Expired => {
                        entry.not_approved.extend(proposal.episodes);
                    }
                    ProposalState::Approved | ProposalState::Withdrawn => {}
                }
            }
            fresh.push((entry, row.map(|row| row.active.clone())));
        }
        let mut known = std::mem::take(&mut self.models);
        for policy in policies {
            if let Some(idx) = known.iter().position(|entry| entry.policy.name == policy.name) {
                let entry = known.swap_remove(idx);
                self.adopt(entry, policy.clone(), now_ms);
            } else if let Some(idx) = fresh.iter().position(|(entry, _)| entry.policy.name == policy.name) {
                let (entry, was) = fresh.swap_remove(idx);
                self.add(entry, was, now_ms);
            }
        }
        for mut gone in known {
            if let Some(pending) = gone.pending.take() {
                self.abandon(pending, "the model is not configured any more", now_ms);
            }
        }
        Ok(())
    }

    /// A model that comes in: `was` is the version that clients got when it was last here.
    fn add(&mut self, mut entry: ModelEntry, was: Option<String>, now_ms: i64) {
        let was = was.filter(|was| **was != *entry.active);
        if was.is_some() {
            entry.changed = Some(Changed { at_ms: now_ms, steady_ms: self.clock.steady_ms() });
            entry.activated_ms = Some(now_ms);
        }
        self.models.push(entry);
        self.settle(was.as_deref(), now_ms);
    }

    /// A model that stays, with new settings.
    fn adopt(&mut self, mut entry: ModelEntry, policy: ModelPolicy, now_ms: i64) {
        let was = entry.active.to_string();
        let edited = entry.policy.active != policy.active;
        if entry.policy.shadow_percent != policy.shadow_percent {
            entry.shadow_percent = None;
        }
        if entry.policy.auto_rollback != policy.auto_rollback {
            entry.auto_enabled = policy.auto_rollback;
        }
        entry.policy = policy;
        if edited || !entry.has_version(&was) {
            entry.active = std::sync::Arc::clone(&entry.policy.active);
        }
        let lost = |decision: &Decision| {
            edited || !entry.has_version(&decision.change.to) || !entry.has_version(&decision.change.from)
        };
        let pending = if entry.pending.as_ref().is_some_and(lost) { entry.pending.take() } else { None };
        if *entry.active != *was {
            entry.activated_ms = Some(now_ms);
        }
        let moved = *entry.active != *was || pending.is_some();
        if moved {
            entry.changed = Some(Changed { at_ms: now_ms, steady_ms: self.clock.steady_ms() });
        }
        self.models.push(entry);
        if let Some(pending) = pending {
            self.abandon(pending, "the configuration was changed", now_ms);
        }
        self.settle(moved.then_some(was.as_str()), now_ms);
    }

    /// Stores the model that was pushed last, and says so when the configuration moved its traffic.
    fn settle(&mut self, was: Option<&str>, now_ms: i64) {
        let Some(idx) = self.models.len().checked_sub(1) else { return };
        let name = std::sync::Arc::clone(&self.models[idx].policy.name);
        let active = std::sync::Arc::clone(&self.models[idx].active);
        let reason = format!("the configuration makes `{active}` active");
        let event = was.map(|was| NewEvent {
            at_ms: now_ms,
            kind: EventKind::Reload,
            model: Some(&name),
            actor: "configuration",
            reason: &reason,
            data: json!({ "from": was, "to": active }),
            decision_id: None,
        });
        self.save_model(idx, event.as_ref());
    }

    /// Sorts decisions that a former process left: those that still make sense are handed out.
    fn resume(&mut self, now_ms: i64) -> Result<Vec<Decision>, ControlError> {
        let left = self.store.read("read the journal", journal::open)?;
        let mut resume = Vec::new();
        for (idx, decision) in left.iter().enumerate() {
            let overtaken = left[idx + 1..].iter().any(|later| later.model == decision.model);
            let entry = self.models.iter_mut().find(|entry| entry.policy.name == decision.model);
            let current = entry.filter(|entry| !entry.edited && entry.has_version(&decision.change.to));
            match current {
                Some(entry) if !overtaken => {
                    entry.pending = Some(decision.clone());
                    resume.push(decision.clone());
                }
                _ => self.abandon(
                    decision.clone(),
                    "the configuration or a later decision overtook it",
                    now_ms,
                ),
            }
        }
        for entry in &mut self.models {
            entry.edited = false;
        }
        Ok(resume)
    }

    fn abandon(&mut self, mut decision: Decision, why: &str, now_ms: i64) {
        decision.state = DecisionState::Abandoned;
        decision.updated_at_ms = now_ms;
        decision.detail = Some(why.to_owned());
        let steady_ms = self.clock.steady_ms();
        self.write_or_log("abandon a decision", |tx| journal::put(tx, &decision, steady_ms));
        if let Some(entry) = self.models.iter_mut().find(|entry| entry.policy.name == decision.model) {
            entry.last = Some(decision);
        }
    }

    pub(super) fn write_event(
        &mut self,
        kind: EventKind,
        model: Option<&str>,
        actor: &str,
        reason: &str,
        data: Value,
        now_ms: i64,
    ) {
        let event = NewEvent { at_ms: now_ms, kind, model, actor, reason, data, decision_id: None };
        let result = self.store.write("record an event", |tx| audit::record(tx, &event));
        if let Err(error) = result {
            let error = self.count(error);
            tracing::error!(%error, kind = kind.as_str(), reason, "an event is not stored");
        }
    }
}

/// Refuses a policy that contradicts itself.
fn check(policy: &Policy) -> Result<(), ControlError> {
    let mut rules = BTreeSet::new();
    let mut models = BTreeSet::new();
    let refuse = |reason: String| Err(ControlError::Policy { reason });
    for rule in &policy.rules {
        if !rules.insert(&rule.name) {
            return refuse(format!("two rules are named `{}`", rule.name));
        }
    }
    for model in &policy.models {
        if !models.insert(&model.name) {
            return refuse(format!("two models are named `{}`", model.name));
        }
        for (role, version) in [("active", &model.active), ("stable", &model.stable)] {
            if !model.versions.contains(version) {
                return refuse(format!(
                    "`{}`: the {role} version `{version}` is not among its versions",
                    model.name
                ));
            }
        }
    }
    Ok(())
}
