//! What the journal holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::actuator::Change;

/// Which way traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionKind {
    /// To the stable version.
    Rollback,
    /// To another one, by a person.
    Promote,
}

/// What caused a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A firing alert.
    Alert,
    /// A person.
    Manual,
    /// An alert during a drill.
    Drill,
}

/// How far a decision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionState {
    /// Journaled; nothing has acted yet, or it is not known to have.
    Intended,
    /// Carried out, not read back yet.
    Applied,
    /// Read back: it is in force.
    Confirmed,
    /// Could not be carried out or read back.
    Failed,
    /// Overtaken by a later decision or by the configuration.
    Abandoned,
}

impl DecisionKind {
    /// As it is stored and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Promote => "promote",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Rollback, Self::Promote].into_iter().find(|one| one.as_str() == text)
    }
}

impl Trigger {
    /// The label value of `driftline_rollbacks_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Manual => "manual",
            Self::Drill => "drill",
        }
    }

    /// All of them, in the order of the metric.
    pub const ALL: [Self; 3] = [Self::Alert, Self::Manual, Self::Drill];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

impl DecisionState {
    /// As it is stored and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Applied => "applied",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Intended, Self::Applied, Self::Confirmed, Self::Failed, Self::Abandoned]
            .into_iter()
            .find(|one| one.as_str() == text)
    }

    /// Whether something is still to be done about it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Intended | Self::Applied)
    }
}

/// One decision to move a model's traffic, as the journal has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Journal id, ascending.
    pub id: i64,
    /// When it was made, unix milliseconds.
    pub at_ms: i64,
    /// The model.
    pub model: Arc<str>,
    /// Rollback or promote.
    pub kind: DecisionKind,
    /// What caused it.
    pub trigger: Trigger,
    /// What is to be done.
    pub change: Change,
    /// Who: `driftline`, `alertmanager` or the person's name.
    pub actor: String,
    /// Why, in words.
    pub reason: String,
    /// The readings and alerts behind it.
    pub evidence: serde_json::Value,
    /// How far it has come.
    pub state: DecisionState,
    /// When the state last changed, unix milliseconds.
    pub updated_at_ms: i64,
    /// When it was carried out, unix milliseconds.
    pub applied_at_ms: Option<i64>,
    /// What went wrong, or why it was abandoned.
    pub detail: Option<String>,
    /// The decision that this one overtakes, if one was being carried out: it must not be carried out any further.
    pub supersedes: Option<i64>,
}
