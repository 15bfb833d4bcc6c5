//! Sources: where inferences come from when it is not our own gateway.
//!
//! A source reads, makes [`Observation`]s, and gives them to the [`Observer`] in batches. It goes on when a batch was
//! counted: only then it commits an offset or saves a position. So a crash repeats at most the batch under way and loses
//! none (at least once), and a busy monitor slows sources down instead of losing what they bring.

mod capture;
mod container;
mod counters;
mod format;
mod forward;
mod kafka;
mod lines;
mod positions;
mod split;
mod stdin;
mod tail;
#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::sync::Arc;

use record::RecordDefaults;
use tokio::sync::watch;

use crate::{Counted, Observation, Observer, ObserverGone};

pub use capture::{BucketSpec, CapturePlace, CaptureSpec};
pub use counters::{Reject, SourceCounters, SourceState, SourceStatus};
pub use format::{Format, Refused};
pub use forward::{ForwardSpec, SharedKey};
pub use kafka::{Field, KafkaFormat, KafkaSourceSpec, Start};
pub use stdin::StdinSpec;
pub use tail::TailSpec;

/// A source as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// Its name: label of its metrics, key of its saved position.
    pub name: Arc<str>,
    /// What records that don't say it belong to.
    pub defaults: RecordDefaults,
    /// What it reads.
    pub kind: SourceKind,
}

/// What a source reads.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// JSON lines on standard input.
    Stdin(StdinSpec),
    /// Fluent Bit's forward protocol.
    Forward(ForwardSpec),
    /// Files of JSON lines.
    Tail(TailSpec),
    /// Data that SageMaker captured.
    DataCapture(CaptureSpec),
    /// Topics of Kafka.
    Kafka(Box<KafkaSourceSpec>),
}

impl SourceKind {
    /// The key it is configured with.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Stdin(_) => "stdin",
            Self::Forward(_) => "forward",
            Self::Tail(_) => "tail",
            Self::DataCapture(_) => "data_capture",
            Self::Kafka(_) => "kafka",
        }
    }
}

/// Why a source ended for good. What passes by itself (a broker that is away) is retried inside and only counted.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What it reads cannot be read.
    #[error("source `{source_name}`: {message}")]
    Failed {
        /// The source.
        source_name: Arc<str>,
        /// What happened, and what to do.
        message: String,
    },
    /// The process is ending.
    #[error(transparent)]
    Gone(#[from] ObserverGone),
}

/// What a running source works with.
#[derive(Clone)]
pub struct SourceContext {
    /// Its name.
    pub name: Arc<str>,
    /// What its inferences belong to when they don't say it.
    pub defaults: RecordDefaults,
    /// Takes what it brings.
    pub observer: Arc<dyn Observer>,
    /// Folder for saved positions; exists.
    pub state_dir: PathBuf,
    /// Turns true when it has to end: what was handed over is still waited for.
    pub stop: watch::Receiver<bool>,
    /// What it counts.
    pub counters: Arc<SourceCounters>,
    /// Unix milliseconds now.
    pub clock: fn() -> i64,
}

impl std::fmt::Debug for SourceContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceContext").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SourceContext {
    /// Has a batch counted, and counts what became of it. Ready when it is safe to forget where it came from.
    ///
    /// # Errors
    /// The process is ending; the batch was not counted.
    pub async fn count(&self, batch: Vec<Observation>) -> Result<Counted, ObserverGone> {
        if batch.is_empty() {
            return Ok(Counted::default());
        }
        let counted = self.observer.count(batch).await?;
        self.counters.counted(&counted);
        Ok(counted)
    }

    /// True once it has to end.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ready when it has to end.
    pub async fn stopped(&self) {
        // A sender that is gone means that the process is ending as well.
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }
}

/// Runs a source until it has nothing more to read or has to end.
///
/// # Errors
/// What it reads cannot be read at all; everything that may pass by itself is retried.
pub async fn run(kind: SourceKind, context: SourceContext) -> Result<(), SourceError> {
    context.counters.set_state(SourceState::Running);
    let ended = match kind {
        SourceKind::Stdin(spec) => stdin::run(&spec, &context).await,
        SourceKind::Forward(spec) => forward::run(&spec, &context).await,
        SourceKind::Tail(spec) => tail::run(&spec, &context).await,
        SourceKind::DataCapture(spec) => capture::run(&spec, &context).await,
        SourceKind::Kafka(spec) => kafka::run(&spec, &context).await,
    };
    context.counters.set_state(match &ended {
        Err(SourceError::Failed { .. }) => SourceState::Failed,
        Ok(()) | Err(SourceError::Gone(_)) => SourceState::Ended,
    });
    ended
}

/// Reads a message of the forward protocol: its entries and the bytes that they are in.
#[cfg(feature = "fuzzing")]
pub(crate) fn forward_message(bytes: &[u8], limit: usize) -> Option<(usize, usize)> {
    forward::entries_of(bytes, limit)
}

/// What the fuzz targets call.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed {
    pub(crate) use super::capture::{Setting, read_line};
    pub(crate) use super::split::{Piece, Place, Splitter};
}
