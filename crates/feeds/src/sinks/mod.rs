//! Sinks: where the inference log goes.
//!
//! [`LogFollower`] sits on the monitor's thread, writes each inference once as a line of JSON and offers it to one
//! bounded queue a sink. Nothing is waited for there: a sink that is behind loses lines, counted by reason. Each sink
//! works off its [`SinkQueue`] on a thread of its own ([`Logs`]), as a loop around [`SinkContext::take`], and says of
//! every line what became of it. So `offered = written + dropped + queued`, always.

mod archive;
mod context;
mod files;
mod hub;
mod kafka;
mod line;
mod loki;
mod queue;
mod runner;
mod stdout;
#[cfg(test)]
mod testing;

pub use context::{BatchRule, SinkContext, SinkOrder};
pub use files::FilesSpec;
pub use hub::{LogFilter, LogFollower};
pub use kafka::{Compression, KafkaKey, KafkaSinkSpec};
pub use line::{LogLine, LogStream};
pub use loki::LokiSpec;
pub use queue::{LogDrop, QueueLimits, SinkQueue, SinkStatus, Taken};
pub use runner::{LogSpec, Logs};

/// A sink as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    /// JSON lines on standard output.
    Stdout,
    /// JSON lines in files that are rotated and removed when they are old.
    Files(FilesSpec),
    /// Push to Loki.
    Loki(Box<LokiSpec>),
    /// A topic of Kafka.
    Kafka(Box<KafkaSinkSpec>),
}

impl SinkKind {
    /// The key it is configured with, its name in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Files(_) => "files",
            Self::Loki(_) => "loki",
            Self::Kafka(_) => "kafka",
        }
    }
}

/// Why a sink gave up for good. What passes by itself (a full disk, a server that is away) is retried inside.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nobody reads what is written any more.
    #[error("standard output is closed")]
    Closed(#[source] std::io::Error),
    /// It cannot be set up as configured.
    #[error("{0}")]
    Setup(String),
}

/// Runs a sink until its context tells it to end.
///
/// # Errors
/// It cannot go on; everything that may pass by itself is retried.
pub async fn run(kind: SinkKind, context: SinkContext) -> Result<(), SinkError> {
    match kind {
        SinkKind::Stdout => stdout::run(&context).await,
        SinkKind::Files(spec) => {
            files::run(&spec, &context).await;
            Ok(())
        }
        SinkKind::Loki(spec) => loki::run(&spec, &context).await,
        SinkKind::Kafka(spec) => kafka::run(&spec, &context).await,
    }
}
