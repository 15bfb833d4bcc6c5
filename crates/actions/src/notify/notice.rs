//! What is told, before it has a form.

use std::sync::Arc;

use control::{Alert, Severity};
use serde::Serialize;

/// Alerts of a group that a message carries; the number of all of them is told.
pub(crate) const ALERTS_MAX: usize = 100;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Alerts fire.
    Firing,
    /// Alerts that fired are over, all of the group.
    Resolved,
    /// Traffic was moved.
    Moved,
    /// Traffic was to be moved and was not, or not everywhere.
    NotMoved,
    /// A rollback waits for somebody's approval.
    ApprovalWanted,
    /// A rollback is advised, or would have been made.
    Recommended,
    /// An alert does not roll back, and why.
    Blocked,
    /// A retraining was started, or could not be.
    Retraining,
    /// A model's reference does not fit its traffic: drift is not judged.
    NotArmed,
    /// It fits again.
    Armed,
}

impl NoticeKind {
    /// As it is written in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Moved => "moved",
            Self::NotMoved => "not_moved",
            Self::ApprovalWanted => "approval_wanted",
            Self::Recommended => "recommended",
            Self::Blocked => "blocked",
            Self::Retraining => "retraining",
            Self::NotArmed => "not_armed",
            Self::Armed => "armed",
        }
    }
}

/// A feature's part of a window's drift.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureShare {
    /// The feature.
    pub feature: Arc<str>,
    /// Its PSI.
    pub psi: f64,
    /// Its part of the sum over all features, 0 to 1.
    pub share: f64,
}

/// A link for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What stands on it.
    pub text: String,
    /// Where it leads.
    pub url: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// The same for messages about the same thing: the group of alerts, or the decision.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// The model.
    pub model: Arc<str>,
    /// The version, if it is about one.
    pub version: Option<Arc<str>>,
    /// One line.
    pub title: String,
    /// What there is to say, in sentences.
    pub text: String,
    /// Since when, unix milliseconds.
    pub since_ms: i64,
    /// When this was written, unix milliseconds.
    pub at_ms: i64,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// The features with the largest parts of the drift, the largest first.
    pub features: Vec<FeatureShare>,
    /// Where to look and what to do.
    pub links: Vec<Link>,
    /// The alerts behind it that fire, at most 100.
    pub alerts: Vec<Alert>,
    /// The alerts of the group that are over, at most 100.
    pub ended: Vec<Alert>,
}
