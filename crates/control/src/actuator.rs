//! What carries a decision out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::DecisionKind;

/// Where a model's traffic is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Journal id of the decision: the same for a retry, so that an actuator can be idempotent.
    pub decision_id: i64,
    /// Whether it is a rollback.
    pub kind: DecisionKind,
    /// The model.
    pub model: Arc<str>,
    /// Version that clients got.
    pub from: Arc<str>,
    /// Version that clients are to get, all of them.
    pub to: Arc<str>,
    /// Whether `to` is the configured active version, so that a configured split applies again.
    pub restores_configuration: bool,
}

/// Why a change could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("`{actuator}` could not move `{model}` to `{to}`: {reason}")]
pub struct ActuatorError {
    /// Which actuator.
    pub actuator: String,
    /// The model.
    pub model: String,
    /// The version wanted.
    pub to: String,
    /// What went wrong and what to do.
    pub reason: String,
    /// Whether another try may help.
    pub retry: bool,
    /// How long whoever was asked wants to be left alone first.
    pub after: Option<Duration>,
}

/// How long a change is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Pause after the first failure; doubled after each.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// No further try begins later than this after the first.
    pub within: Duration,
}

/// The future of one attempt.
pub type ActuatorFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ActuatorError>> + Send + 'a>>;

/// The future of a rehearsal: what would be done.
pub type RehearsalFuture<'a> = Pin<Box<dyn Future<Output = Result<String, ActuatorError>> + Send + 'a>>;

/// Moves traffic somewhere: our own gateway, a parameter store, an endpoint's weights. Every method may be called again
/// with the same change and must then do no harm.
pub trait Actuator: Send + Sync + std::fmt::Debug {
    /// A short name for metrics and the journal.
    fn name(&self) -> &str;

    /// How long it is tried.
    fn patience(&self) -> Patience;

    /// Carries the change out.
    fn apply<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a>;

    /// Reads back that the change is in force.
    fn verify<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a>;

    /// Says what [`Actuator::apply`] would do now, and does nothing.
    fn rehearse<'a>(&'a self, change: &'a Change) -> RehearsalFuture<'a>;
}
