//! Whether to roll back. Pure: a state and the firing alerts in, a verdict out.
//!
//! The rows below are tried in order; the first that applies is the verdict.
//!
//! | firing critical alerts about the version that clients get | verdict |
//! | --- | --- |
//! | none | nothing |
//! | all of them handled by an earlier rollback | blocked: episode handled |
//! | some not handled, while a change of this model is being carried out | blocked: in progress |
//! | clients already get the stable version | blocked: already stable |
//! | automatic rollback is off | blocked: auto off |
//! | the mode is frozen | blocked: frozen |
//! | a person holds the model | blocked: held |
//! | the requests are broken, which explains what fires | blocked: data fault |
//! | the stable version is in trouble itself | blocked: target unhealthy |
//! | within the cool-down after a change of traffic, by a person or not | blocked: cool-down |
//! | the most rollbacks in the period are used up | blocked: limit reached (the caller then switches automatic rollback off) |
//! | the mode is observe | blocked: observe (what would have been done) |
//! | the mode is recommend | blocked: recommended (a person is told) |
//! | the mode is approve, and a proposal waits already | blocked: awaiting approval |
//! | the mode is approve, and a proposal about all of them was turned down or ran out | blocked: not approved |
//! | the mode is approve | propose to roll back |
//! | otherwise | roll back to the stable version |
//!
//! A rollback handles every episode that fires at that moment, so none of them ever causes a second one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::RollbackMode;

/// One stretch of firing of one alert.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Episode {
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// Since when it fires, unix milliseconds.
    pub since_ms: i64,
}

/// A firing critical alert, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringAlert {
    /// Name of the rule.
    pub name: String,
    /// The version it is about; `None` when it does not say, which is taken to be the one that clients get.
    pub version: Option<String>,
    /// Which stretch of firing this is.
    pub episode: Episode,
}

/// What is known about a model when the decision is made.
#[derive(Clone, Debug)]
pub struct ModelState<'a> {
    /// The version that clients get.
    pub active: &'a Arc<str>,
    /// Where a rollback goes.
    pub stable: &'a Arc<str>,
    /// Whether automatic rollback is switched on.
    pub auto_enabled: bool,
    /// Whether it acts or only says what it would do.
    pub mode: RollbackMode,
    /// What is left of the cool-down, milliseconds.
    pub cooldown_left_ms: u64,
    /// Automatic rollbacks in the current period.
    pub rollbacks: u32,
    /// The most that are allowed in a period.
    pub rollbacks_max: u32,
    /// Episodes that an earlier rollback answered.
    pub handled: &'a BTreeSet<Episode>,
    /// Whether a change of this model is being carried out.
    pub in_progress: bool,
    /// Whether the stable version is not known to be in trouble.
    pub target_healthy: bool,
    /// Whether a fault in the requests explains everything that fires.
    pub data_fault: bool,
    /// Whether a person holds the model where it is.
    pub held: bool,
    /// Whether a proposal waits for approval.
    pub proposed: bool,
    /// Episodes that a proposal was about which was turned down or ran out.
    pub not_approved: &'a BTreeSet<Episode>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing calls for anything.
    None,
    /// Send every client to `to`.
    Rollback {
        /// The stable version.
        to: Arc<str>,
        /// Every episode this answers: all that fire now.
        because: Vec<Episode>,
    },
    /// Ask whether every client may be sent to `to`.
    Propose {
        /// The stable version.
        to: Arc<str>,
        /// Every episode it would answer: all that fire now.
        because: Vec<Episode>,
    },
    /// An alert calls for a rollback that must not be.
    Blocked {
        /// Why not.
        reason: BlockReason,
        /// The episodes that are not answered.
        episodes: Vec<Episode>,
    },
}

/// Why an alert does not roll back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockReason {
    /// Clients already get the stable version.
    AlreadyStable,
    /// Traffic was changed a short while ago.
    Cooldown,
    /// The most rollbacks in the period are used up.
    LimitReached,
    /// Automatic rollback is switched off.
    AutoOff,
    /// The mode is observe: this says what would have been done.
    Observe,
    /// The stable version is in trouble itself.
    TargetUnhealthy,
    /// The requests are broken, which explains what fires: every version gets them.
    DataFault,
    /// An earlier rollback answered this stretch of firing.
    EpisodeHandled,
    /// A change of this model is being carried out.
    InProgress,
    /// The mode is frozen.
    Frozen,
    /// A person holds the model where it is.
    Held,
    /// The mode is recommend: a person is told.
    Recommended,
    /// A proposal waits for approval.
    AwaitingApproval,
    /// A proposal was turned down or ran out.
    NotApproved,
}

impl BlockReason {
    /// The label value, as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyStable => "already_stable",
            Self::Cooldown => "cooldown",
            Self::LimitReached => "limit_reached",
            Self::AutoOff => "auto_off",
            Self::Observe => "observe",
            Self::TargetUnhealthy => "target_unhealthy",
            Self::DataFault => "data_fault",
            Self::EpisodeHandled => "episode_handled",
            Self::InProgress => "in_progress",
            Self::Frozen => "frozen",
            Self::Held => "held",
            Self::Recommended => "recommended",
            Self::AwaitingApproval => "awaiting_approval",
            Self::NotApproved => "not_approved",
        }
    }

    /// The same for people, behind "no rollback:".
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::AlreadyStable => "clients get it already",
            Self::Cooldown => "traffic was moved only a short while ago (cool-down)",
            Self::LimitReached => "the automatic rollbacks of this period are used up",
            Self::AutoOff => "automatic rollback is switched off",
            Self::Observe => "the mode is observe, a dry run",
            Self::TargetUnhealthy => "it is in trouble itself",
            Self::DataFault => "the requests are broken, and it gets the same",
            Self::EpisodeHandled => "this alert was acted upon before",
            Self::InProgress => "a change is being carried out",
            Self::Frozen => "the mode is frozen",
            Self::Held => "a person holds the model where it is",
            Self::Recommended => "the mode is recommend: a person has to do it",
            Self::AwaitingApproval => "a proposal waits for approval",
            Self::NotApproved => "it was not approved",
        }
    }
}

/// Decides about one model.
pub fn decide(state: &ModelState<'_>, firing: &[FiringAlert]) -> Verdict {
    let about_active =
        |alert: &&FiringAlert| alert.version.as_deref().is_none_or(|version| version == &**state.active);
    let episodes: Vec<Episode> =
        firing.iter().filter(about_active).map(|alert| alert.episode.clone()).collect();
    if episodes.is_empty() {
        return Verdict::None;
    }
    let open: Vec<Episode> =
        episodes.iter().filter(|episode| !state.handled.contains(*episode)).cloned().collect();
    let fresh = open.iter().any(|episode| !state.not_approved.contains(episode));
    if let Some(reason) = blocked(state, open.is_empty(), fresh) {
        let episodes = if open.is_empty() { episodes } else { open };
        return Verdict::Blocked { reason, episodes };
    }
    // Every episode that fires now is answered, those about other versions too.
    let because = firing.iter().map(|alert| alert.episode.clone()).collect();
    let to = Arc::clone(state.stable);
    if state.mode == RollbackMode::Approve {
        return Verdict::Propose { to, because };
    }
    Verdict::Rollback { to, because }
}

fn blocked(state: &ModelState<'_>, all_handled: bool, fresh: bool) -> Option<BlockReason> {
    let approve = state.mode == RollbackMode::Approve;
    let reasons = [
        (all_handled, BlockReason::EpisodeHandled),
        (state.in_progress, BlockReason::InProgress),
        (state.active == state.stable, BlockReason::AlreadyStable),
        (!state.auto_enabled, BlockReason::AutoOff),
        (state.mode == RollbackMode::Frozen, BlockReason::Frozen),
        (state.held, BlockReason::Held),
        (state.data_fault, BlockReason::DataFault),
        (!state.target_healthy, BlockReason::TargetUnhealthy),
        (state.cooldown_left_ms > 0, BlockReason::Cooldown),
        (state.rollbacks >= state.rollbacks_max, BlockReason::LimitReached),
        (state.mode == RollbackMode::Observe, BlockReason::Observe),
        (state.mode == RollbackMode::Recommend, BlockReason::Recommended),
        (approve && state.proposed, BlockReason::AwaitingApproval),
        (approve && !fresh, BlockReason::NotApproved),
    ];
    reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state in which a rollback is due, changed by one row of the table.
    struct Row {
        active: &'static str,
        auto_enabled: bool,
        mode: RollbackMode,
        cooldown_left_ms: u64,
        rollbacks: u32,
        handled: &'static [&'static str],
        in_progress: bool,
        target_healthy: bool,
        data_fault: bool,
        held: bool,
        proposed: bool,
        not_approved: &'static [&'static str],
        /// Fingerprint and version of the alerts that fire.
        firing: &'static [(&'static str, Option<&'static str>)],
    }

    const DUE: Row = Row {
        active: "v2",
        auto_enabled: true,
        mode: RollbackMode::Automatic,
        cooldown_left_ms: 0,
        rollbacks: 2,
        handled: &[],
        in_progress: false,
        target_healthy: true,
        data_fault: false,
        held: false,
        proposed: false,
        not_approved: &[],
        firing: &[("a", Some("v2"))],
    };

    fn episode(fingerprint: &str) -> Episode {
        Episode { fingerprint: fingerprint.to_owned(), since_ms: 7 }
    }

    /// `none`, `rollback to VERSION for FINGERPRINTS` or `REASON for FINGERPRINTS`.
    fn verdict(row: &Row) -> String {
        let firing: Vec<FiringAlert> = row
            .firing
            .iter()
            .map(|(fingerprint, version)| FiringAlert {
                name: "FeaturePSICritical".to_owned(),
                version: version.map(str::to_owned),
                episode: episode(fingerprint),
            })
            .collect();
        let state = ModelState {
            active: &row.active.into(),
            stable: &"v1".into(),
            auto_enabled: row.auto_enabled,
            mode: row.mode,
            cooldown_left_ms: row.cooldown_left_ms,
            rollbacks: row.rollbacks,
            rollbacks_max: 3,
            handled: &row.handled.iter().map(|fingerprint| episode(fingerprint)).collect(),
            in_progress: row.in_progress,
            target_healthy: row.target_healthy,
            data_fault: row.data_fault,
            held: row.held,
            proposed: row.proposed,
            not_approved: &row.not_approved.iter().map(|fingerprint| episode(fingerprint)).collect(),
        };
        let names = |episodes: Vec<Episode>| {
            episodes.into_iter().map(|one| one.fingerprint).collect::<Vec<_>>().join(",")
        };
        match decide(&state, &firing) {
            Verdict::None => "none".to_owned(),
            Verdict::Rollback { to, because } => format!("rollback to {to} for {}", names(because)),
            Verdict::Propose { to, because } => format!("propose {to} for {}", names(because)),
            Verdict::Blocked { reason, episodes } => format!("{} for {}", reason.as_str(), names(episodes)),
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let (observe, approve) = (RollbackMode::Observe, RollbackMode::Approve);
        let cases = [
            (DUE, "rollback to v1 for a"),
            (Row { firing: &[], ..DUE }, "none"),
            (Row { firing: &[("a", Some("v1"))], ..DUE }, "none"),
            (Row { firing: &[("a", Some("v3"))], ..DUE }, "none"),
            (Row { firing: &[("a", None)], ..DUE }, "rollback to v1 for a"),
            (Row { firing: &[("a", Some("v2")), ("b", Some("v1"))], ..DUE }, "rollback to v1 for a,b"),
            (Row { in_progress: true, ..DUE }, "in_progress for a"),
            (Row { in_progress: true, handled: &["a"], ..DUE }, "episode_handled for a"),
            (Row { handled: &["a"], ..DUE }, "episode_handled for a"),
            (Row { handled: &["a"], firing: &[("a", None), ("b", None)], ..DUE }, "rollback to v1 for a,b"),
            (
                Row { handled: &["a"], firing: &[("a", None), ("b", None)], auto_enabled: false, ..DUE },
                "auto_off for b",
            ),
            (Row { active: "v1", firing: &[("a", Some("v1"))], ..DUE }, "already_stable for a"),
            (Row { auto_enabled: false, ..DUE }, "auto_off for a"),
            (Row { auto_enabled: false, cooldown_left_ms: 1, ..DUE }, "auto_off for a"),
            (Row { target_healthy: false, ..DUE }, "target_unhealthy for a"),
            (Row { target_healthy: false, cooldown_left_ms: 1, ..DUE }, "target_unhealthy for a"),
            (Row { data_fault: true, cooldown_left_ms: 1, ..DUE }, "data_fault for a"),
            (Row { data_fault: true, held: true, ..DUE }, "held for a"),
            (Row { cooldown_left_ms: 1, ..DUE }, "cooldown for a"),
            (Row { cooldown_left_ms: 1, rollbacks: 3, ..DUE }, "cooldown for a"),
            (Row { rollbacks: 3, ..DUE }, "limit_reached for a"),
            (Row { rollbacks: 4, mode: observe, ..DUE }, "limit_reached for a"),
            (Row { mode: observe, ..DUE }, "observe for a"),
            (Row { held: true, ..DUE }, "held for a"),
            (Row { held: true, mode: approve, target_healthy: false, ..DUE }, "held for a"),
            (Row { mode: RollbackMode::Frozen, held: true, ..DUE }, "frozen for a"),
            (Row { mode: RollbackMode::Frozen, auto_enabled: false, ..DUE }, "auto_off for a"),
            (Row { mode: RollbackMode::Recommend, ..DUE }, "recommended for a"),
            (Row { mode: RollbackMode::Recommend, cooldown_left_ms: 1, ..DUE }, "cooldown for a"),
            (Row { mode: approve, ..DUE }, "propose v1 for a"),
            (Row { mode: approve, proposed: true, ..DUE }, "awaiting_approval for a"),
            (Row { mode: approve, not_approved: &["a"], ..DUE }, "not_approved for a"),
            (
                Row { mode: approve, not_approved: &["a"], firing: &[("a", None), ("b", None)], ..DUE },
                "propose v1 for a,b",
            ),
            (Row { mode: approve, rollbacks: 3, ..DUE }, "limit_reached for a"),
            (Row { proposed: true, not_approved: &["a"], ..DUE }, "rollback to v1 for a"),
        ];
        for (idx, (row, expected)) in cases.iter().enumerate() {
            assert_eq!(verdict(row), *expected, "row {idx}");
        }
    }
}
