//! Lines of JSON, in batches.

use super::counters::Reject;
use super::format::{Format, Refused};
use super::{SourceContext, SourceError};
use crate::Observation;

/// Longest line; a longer one is skipped and counted.
pub(crate) const LINE_BYTES: usize = 1 << 20;

/// Observations handed over at a time, and bytes that they were read from.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Lines on their way to the observer.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    format: Format,
    context: &'a SourceContext,
    batch: Vec<Observation>,
    bytes: usize,
    complaint: Complaint,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(format: Format, context: &'a SourceContext) -> Self {
        Self { format, context, batch: Vec::new(), bytes: 0, complaint: Complaint::default() }
    }

    /// Takes one line, without its line break. What can't be read is counted, and said now and then.
    pub(crate) fn take(&mut self, line: &[u8]) {
        self.context.counters.read(line.len() + 1);
        if line.len() > LINE_BYTES {
            self.refuse(&too_long());
            return;
        }
        match self.format.read(line, (self.context.clock)(), self.context) {
            Ok(observations) => {
                self.batch.extend(observations);
                self.bytes += line.len();
            }
            Err(refused) => self.refuse(&refused),
        }
    }

    /// Takes what somebody else has read from so many bytes.
    pub(crate) fn add(&mut self, observation: Observation, bytes: usize) {
        self.batch.push(observation);
        self.bytes += bytes;
    }

    /// Counts a line that could not be taken.
    pub(crate) fn refuse(&mut self, refused: &Refused) {
        self.context.counters.reject(refused.reason);
        if refused.reason != Reject::Empty {
            self.complaint.say(self.context, &refused.message);
        }
    }

    /// Whether it is time to hand the batch over.
    pub(crate) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Hands over what was taken; ready when it was counted.
    ///
    /// # Errors
    /// The process is ending.
    pub(crate) async fn flush(&mut self) -> Result<(), SourceError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let counted = self.context.count(batch).await?;
        if let Some((_, message)) = counted.rejected.first() {
            self.complaint.say(self.context, message);
        }
        Ok(())
    }
}

/// A line that is too long.
pub(crate) fn too_long() -> Refused {
    Refused { reason: Reject::TooLarge, message: format!("a line is longer than {LINE_BYTES} bytes") }
}

/// Says what is wrong with what a source brings, at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    last: Option<std::time::Instant>,
    kept_back: u64,
}

impl Complaint {
    pub(crate) fn say(&mut self, context: &SourceContext, message: &str) {
        self.tell(context, "something was not counted", message);
    }

    /// Says what cannot be read and is tried again.
    pub(crate) fn say_unreadable(&mut self, context: &SourceContext, message: &str) {
        self.tell(context, "something cannot be read; it is tried again", message);
    }

    fn tell(&mut self, context: &SourceContext, what: &str, message: &str) {
        let now = std::time::Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last).as_secs() < 60) {
            self.kept_back += 1;
            return;
        }
        tracing::warn!(
            source = %context.name, also_since_the_last = self.kept_back,
            "{what}: {message}"
        );
        (self.last, self.kept_back) = (Some(now), 0);
    }
}
