//! What may keep a copy from its shadow, and what the shadow need not be asked any more: decided elsewhere, asked here.
//!
//! Everything is called on the shadow thread and nowhere else: whatever it costs, no client waits for it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use record::{Body, Exchange};

/// Who is asked about copies; by default nobody has anything to say.
#[derive(Clone)]
pub struct ShadowHooks {
    /// Whether a copy may still be sent.
    pub budget: Arc<dyn ShadowBudget>,
    /// What is known already.
    pub answers: Arc<dyn ShadowAnswers>,
}

impl Default for ShadowHooks {
    fn default() -> Self {
        Self { budget: Arc::new(NoHooks), answers: Arc::new(NoHooks) }
    }
}

impl std::fmt::Debug for ShadowHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShadowHooks")
    }
}

/// A limit on what copies may cost.
pub trait ShadowBudget: Send + Sync + 'static {
    /// Whether this version may get another copy. A copy that may not is dropped and counted.
    fn admits(&self, model: &str, version: &str) -> bool;

    /// A copy that was sent has ended. Without an answer (none in time, a broken connection) its status is 0; an answer
    /// that was too long is cut.
    fn ended(&self, exchange: &Exchange);
}

/// Answers that have been paid for already.
pub trait ShadowAnswers: Send + Sync + 'static {
    /// A conversation about one copy; `None` when it asks for nothing that can be known.
    fn begin(&self, ask: &Ask<'_>) -> Option<Box<dyn AnswerSession>>;
}

/// A copy that is about to be sent.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The model.
    pub model: &'a str,
    /// The shadow's version.
    pub version: &'a str,
    /// The tenant as the request named it, unchecked.
    pub tenant: Option<&'a [u8]>,
    /// The request's method.
    pub method: &'a Method,
    /// Path of the request, without the query.
    pub path: &'a [u8],
    /// The request's body.
    pub body: &'a Body,
}

/// One copy's way to an answer: [`AnswerSession::next`] until there is one. Dropped at any time, when the copy's time is
/// over.
pub trait AnswerSession: Send {
    /// What to do next. May wait for others that ask the same; the copy's own timeout bounds it.
    fn next(&mut self) -> StepFuture<'_>;

    /// The shadow's answer to what was last sent. False when that answer is the copy's own answer, whatever it is.
    fn answered(&mut self, status: u16, body: &Body) -> bool;
}

/// See [`AnswerSession::next`].
pub type StepFuture<'a> = Pin<Box<dyn Future<Output = Step> + Send + 'a>>;

/// What a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request with this body, JSON, in the place of its own.
    Send(Bytes),
    /// The request as it is.
    AsIs,
    /// This is the answer, JSON.
    Known(Bytes),
}

/// Nothing is limited, nothing is known.
#[derive(Debug)]
struct NoHooks;

impl ShadowBudget for NoHooks {
    fn admits(&self, _model: &str, _version: &str) -> bool {
        true
    }

    fn ended(&self, _exchange: &Exchange) {}
}

impl ShadowAnswers for NoHooks {
    fn begin(&self, _ask: &Ask<'_>) -> Option<Box<dyn AnswerSession>> {
        None
    }
}
