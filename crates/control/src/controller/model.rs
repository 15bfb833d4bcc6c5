//! What is known of one model.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use monitor::Readings;
use record::Lane;
use serde::Serialize;

use super::fault::DataFault;
use super::hold::Hold;
use super::proposal::Proposal;
use super::target::Measured;
use crate::alert::Alert;
use crate::book::{Instance, Key};
use crate::decide::{BlockReason, Episode};
use crate::decision::{Decision, DecisionKind};
use crate::policy::{ModelPolicy, RollbackMode};
use crate::store::ModelRow;

/// Reports of blocked rollbacks remembered per model, so that each is made once.
const REPORTED_MAX: usize = 1_000;

/// Alerts of a version that traffic was taken from stand for this long, milliseconds of steady time: messages that group them
/// are sent first, and end then.
const LINGER_MS: u64 = 30_000;

/// Requests that were under way when traffic moved may still end on the old version for this long, milliseconds.
const STRAGGLERS_MS: i64 = 10_000;

/// What a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelPhase {
    /// Nothing is going on.
    Steady,
    /// A rollback is being carried out.
    RollingBack,
    /// Clients get the stable version in place of the configured one.
    RolledBack,
    /// Traffic was changed a short while ago: no automatic rollback yet.
    CoolingDown,
    /// A promotion is being carried out.
    Promoting,
    /// A person holds it where it is.
    ManualHold,
}

/// One model, for people and metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelStatus {
    /// The model.
    pub model: Arc<str>,
    /// The version that clients get.
    pub active: Arc<str>,
    /// The version that the configuration wants clients to get.
    pub configured_active: Arc<str>,
    /// Where a rollback goes.
    pub stable: Arc<str>,
    /// Whether automatic rollback is switched on.
    pub auto_rollback: bool,
    /// Whether it acts or only says what it would do.
    pub mode: RollbackMode,
    /// Share of copies, percent.
    pub shadow_percent: f64,
    /// What it is doing.
    pub state: ModelPhase,
    /// The decision that is being carried out.
    pub pending: Option<Decision>,
    /// The newest decision that is not being carried out any more.
    pub last: Option<Decision>,
    /// Until when no automatic rollback happens, unix milliseconds, as far as the clock goes on evenly.
    pub cooldown_until_ms: Option<i64>,
    /// Why the last alert did not roll back, while it fires.
    pub blocked: Option<BlockReason>,
    /// Automatic rollbacks that count towards the limit.
    pub rollbacks_in_period: u32,
    /// Whether a drill is running.
    pub drill: bool,
    /// Who holds it where it is.
    pub hold: Option<Hold>,
    /// Until when, unix milliseconds, as far as the clock goes on evenly; `None` also for a hold without end.
    pub hold_until_ms: Option<i64>,
    /// The rollback that waits for approval.
    pub proposal: Option<Proposal>,
    /// What speaks against the stable version now, in words.
    pub target_trouble: Option<String>,
}

/// A change of traffic, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) at_ms: i64,
    pub(super) steady_ms: u64,
}

/// What a drill puts back.
#[derive(Debug, Default)]
pub(super) struct BeforeDrill {
    /// The last change of traffic.
    pub(super) changed: Option<Changed>,
    /// When the active version began to serve.
    pub(super) activated_ms: Option<i64>,
    /// The alerts about the model.
    pub(super) alerts: Vec<(Key, Instance)>,
}

/// One model inside the controller.
#[derive(Debug)]
pub(super) struct ModelEntry {
    pub(super) policy: ModelPolicy,
    pub(super) active: Arc<str>,
    pub(super) auto_enabled: bool,
    pub(super) shadow_percent: Option<f64>,
    pub(super) changed: Option<Changed>,
    pub(super) armed_steady_ms: u64,
    pub(super) pending: Option<Decision>,
    pub(super) last: Option<Decision>,
    /// Automatic rollbacks, on the steady clock, oldest first.
    pub(super) rollbacks: VecDeque<u64>,
    pub(super) handled: BTreeSet<Episode>,
    pub(super) reported: BTreeSet<(Episode, BlockReason)>,
    pub(super) blocked: Option<BlockReason>,
    pub(super) drill: bool,
    pub(super) hold: Option<Hold>,
    pub(super) proposal: Option<Proposal>,
    /// Episodes whose proposal was turned down or ran out.
    pub(super) not_approved: BTreeSet<Episode>,
    /// What the running drill puts back.
    pub(super) before_drill: BeforeDrill,
    /// When the active version began to serve, where that is known, unix milliseconds.
    pub(super) activated_ms: Option<i64>,
    /// The last measurement of the stable version.
    pub(super) measured: Option<Measured>,
    /// The last fault in the requests.
    pub(super) data_fault: Option<DataFault>,
    /// While opening: the configuration names another `active` than when the model was stored.
    pub(super) edited: bool,
}

impl ModelEntry {
    /// A model as the configuration has it, nothing stored.
    pub(super) fn new(policy: ModelPolicy) -> Self {
        Self {
            active: Arc::clone(&policy.active),
            auto_enabled: policy.auto_rollback,
            policy,
            shadow_percent: None,
            changed: None,
            armed_steady_ms: 0,
            pending: None,
            last: None,
            rollbacks: VecDeque::new(),
            handled: BTreeSet::new(),
            reported: BTreeSet::new(),
            blocked: None,
            drill: false,
            hold: None,
            proposal: None,
            not_approved: BTreeSet::new(),
            before_drill: BeforeDrill::default(),
            activated_ms: None,
            measured: None,
            data_fault: None,
            edited: false,
        }
    }

    /// A model as it was stored. What was decided at run time holds as long as the configuration says what it said then.
    pub(super) fn restored(policy: ModelPolicy, row: &ModelRow) -> Self {
        let mut entry = Self::new(policy);
        if row.configured_auto_rollback == entry.policy.auto_rollback {
            entry.auto_enabled = row.auto_enabled;
        }
        entry.armed_steady_ms = row.armed_steady_ms;
        entry.changed = row
            .changed_at_ms
            .zip(row.changed_steady_ms)
            .map(|(at_ms, steady_ms)| Changed { at_ms, steady_ms });
        if row.configured_shadow_percent == entry.policy.shadow_percent {
            entry.shadow_percent = row.shadow_percent;
        }
        entry.hold.clone_from(&row.hold);
        entry.edited = *row.configured_active != *entry.policy.active;
        if !entry.edited
            && let Some(active) = entry.policy.versions.iter().find(|version| ***version == *row.active)
        {
            entry.active = Arc::clone(active);
        }
        entry
    }

    pub(super) fn row(&self) -> ModelRow {
        ModelRow {
            model: self.policy.name.to_string(),
            configured_active: self.policy.active.to_string(),
            active: self.active.to_string(),
            configured_auto_rollback: self.policy.auto_rollback,
            auto_enabled: self.auto_enabled,
            configured_shadow_percent: self.policy.shadow_percent,
            shadow_percent: self.shadow_percent,
            changed_at_ms: self.changed.map(|changed| changed.at_ms),
            changed_steady_ms: self.changed.map(|changed| changed.steady_ms),
            armed_steady_ms: self.armed_steady_ms,
            hold: self.hold.clone(),
        }
    }

    pub(super) fn has_version(&self, version: &str) -> bool {
        self.policy.versions.iter().any(|known| **known == *version)
    }

    /// What is left of the cool-down, milliseconds.
    pub(super) fn cooldown_left_ms(&self, steady_ms: u64) -> u64 {
        self.changed.map_or(0, |changed| {
            self.policy.cooldown_ms.saturating_sub(steady_ms.saturating_sub(changed.steady_ms))
        })
    }

    /// Automatic rollbacks that count towards the limit.
    pub(super) fn rollbacks_in_period(&self, steady_ms: u64) -> u32 {
        let start = steady_ms.saturating_sub(self.policy.max_rollbacks_per_ms);
        let counts = |at: &&u64| **at >= start && **at >= self.armed_steady_ms;
        u32::try_from(self.rollbacks.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Remembers an automatic rollback; those that can't count any more go.
    pub(super) fn count_rollback(&mut self, steady_ms: u64) {
        let start = steady_ms.saturating_sub(self.policy.max_rollbacks_per_ms);
        while self.rollbacks.front().is_some_and(|at| *at < start) {
            self.rollbacks.pop_front();
        }
        self.rollbacks.push_back(steady_ms);
    }

    /// Whether this is the first report of this kind about the episode.
    pub(super) fn report_once(&mut self, episode: &Episode, reason: BlockReason) -> bool {
        if self.reported.len() >= REPORTED_MAX {
            self.reported.clear();
        }
        self.reported.insert((episode.clone(), reason))
    }

    /// Forgets an alert that is over.
    pub(super) fn forget(&mut self, fingerprint: &str) {
        self.handled.retain(|episode| episode.fingerprint != fingerprint);
        self.not_approved.retain(|episode| episode.fingerprint != fingerprint);
        self.reported.retain(|(episode, _)| episode.fingerprint != fingerprint);
    }

    /// Whether `version` does not serve: another one is active, and no request has come to it since traffic was switched.
    /// Where requests are split, every version of the split serves.
    pub(super) fn is_idle(&self, version: &str, readings: &Readings) -> bool {
        let Some(changed) = self.changed.filter(|_| *self.active != *version) else { return false };
        if self.pending.as_ref().is_some_and(|pending| *pending.change.from == *version) {
            return false;
        }
        let windows = readings
            .models
            .iter()
            .filter(|model| model.model == self.policy.name)
            .flat_map(|model| &model.windows);
        let newest = windows
            .filter(|window| window.lane == Lane::Prod && *window.version == *version)
            .map(|window| window.last_at_ms)
            .max();
        newest.is_none_or(|newest| newest <= changed.at_ms.saturating_add(STRAGGLERS_MS))
    }

    /// Whether alerts of an idle version have stood for long enough after the switch.
    pub(super) fn has_lingered(&self, steady_ms: u64) -> bool {
        self.changed.is_none_or(|changed| steady_ms.saturating_sub(changed.steady_ms) >= LINGER_MS)
    }

    /// Whether readings of `at_ms` were made before the active version began to serve, or by windows that do not know it yet.
    pub(super) fn is_ahead_of(&self, at_ms: i64, windows_of: Option<&Arc<str>>) -> bool {
        self.activated_ms.is_some_and(|activated| at_ms <= activated)
            || windows_of.is_some_and(|active| *active != self.active)
    }

    /// Whether an alert is about the version that a rollback would go to: no reason to go there.
    pub(super) fn is_about_target(&self, alert: &Alert) -> bool {
        self.active != self.policy.stable
            && alert.labels.get("version").is_some_and(|version| **version == *self.policy.stable)
    }

    fn phase(&self, steady_ms: u64) -> ModelPhase {
        match &self.pending {
            Some(decision) if decision.kind == DecisionKind::Rollback => ModelPhase::RollingBack,
            Some(_) => ModelPhase::Promoting,
            None if self.hold.is_some() => ModelPhase::ManualHold,
            None if self.active == self.policy.stable && self.active != self.policy.active => {
                ModelPhase::RolledBack
            }
            None if self.cooldown_left_ms(steady_ms) > 0 => ModelPhase::CoolingDown,
            None => ModelPhase::Steady,
        }
    }

    /// The state for people, at `now_ms` on the wall clock and `steady_ms` on the steady one.
    pub(super) fn status(&self, now_ms: i64, steady_ms: u64, target_trouble: Option<String>) -> ModelStatus {
        let left = self.cooldown_left_ms(steady_ms);
        ModelStatus {
            model: Arc::clone(&self.policy.name),
            active: Arc::clone(&self.active),
            configured_active: Arc::clone(&self.policy.active),
            stable: Arc::clone(&self.policy.stable),
            auto_rollback: self.auto_enabled,
            mode: self.policy.mode,
            shadow_percent: self.shadow_percent.unwrap_or(self.policy.shadow_percent),
            state: self.phase(steady_ms),
            pending: self.pending.clone(),
            last: self.last.clone(),
            cooldown_until_ms: (left > 0).then(|| now_ms.saturating_add_unsigned(left)),
            blocked: self.blocked,
            rollbacks_in_period: self.rollbacks_in_period(steady_ms),
            drill: self.drill,
            hold_until_ms: self
                .hold
                .as_ref()
                .and_then(|hold| hold.until_steady_ms)
                .map(|until| now_ms.saturating_add_unsigned(until.saturating_sub(steady_ms))),
            hold: self.hold.clone(),
            proposal: self.proposal.clone(),
            target_trouble,
        }
    }
}
