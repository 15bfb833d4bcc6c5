//! Data that SageMaker captured at an endpoint: JSON lines below `endpoint/variant/yyyy/mm/dd/hh/`, in a bucket or a folder.
//!
//! Objects are listed in an interval and read in the order of their names, which is that of time. What was read of which
//! is saved when it was counted ([`book`]). An object that has grown is read on; one that was replaced, anew.

mod book;
mod line;
mod objects;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

use self::book::{Book, Series};
use self::objects::Found;
use super::lines::{Complaint, Lines};
use super::positions::{PositionFile, blocking};
use super::{Format, SourceContext, SourceError, SourceState};

#[cfg(feature = "fuzzing")]
pub(crate) use line::{Setting, read as read_line};
pub use store::{BucketSpec, CapturePlace};

/// Rest after a failure, at first and at most.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Failures in a row after which a source that does not follow gives up.
const TRIES: u32 = 5;

/// Objects that cannot be read in a row, after which the store itself is taken to be away.
const FAILURES: usize = 3;

/// Captured data as a source.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureSpec {
    /// Where it is.
    pub place: CapturePlace,
    /// Versions by the variant's name, where they have another.
    pub versions: Vec<(String, Arc<str>)>,
    /// Variants whose inferences are of the shadow lane.
    pub shadow: Vec<String>,
    /// Key of the tenant among the custom attributes.
    pub tenant_attribute: String,
    /// How far back the first start goes; `None` for everything there is.
    pub since: Option<Duration>,
    /// Time between two looks.
    pub poll: Duration,
    /// Whether it waits for more when it has read everything.
    pub follow: bool,
}

/// Why a pass ended early.
#[derive(Debug)]
enum Halt {
    /// It has to end.
    Stop,
    /// The store, or an object of it.
    Store(String),
    /// The source cannot go on.
    Source(SourceError),
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Reads until it has to stop; without `follow`, what there is.
pub(super) async fn run(spec: &CaptureSpec, context: &SourceContext) -> Result<(), SourceError> {
    let mut capture = Capture::open(spec, context)?;
    let (mut rest, mut failures) = (FIRST_REST, 0);
    loop {
        let pause = match capture.pass().await {
            Ok(()) if !spec.follow => return Ok(()),
            Ok(()) => {
                context.counters.set_state(SourceState::Running);
                (rest, failures) = (FIRST_REST, 0);
                spec.poll
            }
            Err(Halt::Stop) => return capture.commit().await,
            Err(Halt::Source(error)) => return Err(error),
            Err(Halt::Store(message)) => {
                context.counters.set_state(SourceState::Retrying);
                capture.failed(&message);
                failures += 1;
                if !spec.follow && failures >= TRIES {
                    return Err(SourceError::Failed { source_name: context.name.clone(), message });
                }
                let pause = rest;
                rest = (rest * 2).min(LONGEST_REST);
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.stopped() => return Ok(()),
        }
    }
}

struct Capture<'a> {
    spec: &'a CaptureSpec,
    context: &'a SourceContext,
    store: Arc<dyn ObjectStore>,
    root: Path,
    book: Book,
    file: PositionFile,
    lines: Lines<'a>,
    complaint: Complaint,
    told: String,
}

impl<'a> Capture<'a> {
    fn open(spec: &'a CaptureSpec, context: &'a SourceContext) -> Result<Self, SourceError> {
        let (store, root) = store::open(&spec.place).map_err(|error| SourceError::Failed {
            source_name: context.name.clone(),
            message: format!("the store cannot be used: {}", store::cause(&error)),
        })?;
        let file = PositionFile::of(context, "data_capture");
        let book = file.load(context)?.unwrap_or_default();
        Ok(Self {
            spec,
            context,
            store,
            root,
            book,
            file,
            lines: Lines::new(Format::Json, context),
            complaint: Complaint::default(),
            told: String::new(),
        })
    }

    /// Looks what there is and reads what is new.
    async fn pass(&mut self) -> Result<(), Halt> {
        let series = self.series().await?;
        if series.is_empty() {
            let root = &self.root;
            return Err(Halt::Store(format!(
                "below `{root}` is nothing of the form `endpoint/variant/yyyy/mm/dd/hh/`"
            )));
        }
        let mut failed = None;
        for prefix in series {
            let from = self.spec.since.map(|since| objects::hour_key(&prefix, (self.context.clock)(), since));
            self.book.entry(prefix.to_string()).or_insert_with(|| Series::new(from));
            loop {
                let (found, has_more) = self.list(&prefix).await?;
                let problem = self.read_all(&prefix, found).await?;
                self.forget(&prefix);
                self.commit().await?;
                failed = failed.or(problem);
                if !has_more || failed.is_some() {
                    break;
                }
            }
        }
        match failed {
            Some(problem) => Err(Halt::Store(problem)),
            None => Ok(()),
        }
    }

    /// Reads objects of a variant. What went wrong with some of them does not keep the others waiting.
    async fn read_all(&mut self, prefix: &Path, found: Vec<Found>) -> Result<Option<String>, Halt> {
        let mut lag: u64 = found.iter().map(|found| found.size).sum();
        let (mut problem, mut failures) = (None, 0);
        for found in found {
            self.context.counters.set_lag(lag);
            lag = lag.saturating_sub(found.size);
            match self.read(prefix, &found).await {
                Ok(()) => failures = 0,
                Err(Halt::Store(message)) => {
                    failures += 1;
                    problem.get_or_insert(message);
                    if failures == FAILURES {
                        break;
                    }
                }
                Err(halt) => return Err(halt),
            }
        }
        if problem.is_none() {
            self.context.counters.set_lag(lag);
        }
        Ok(problem)
    }

    fn forget(&mut self, prefix: &Path) {
        let now_ms = (self.context.clock)();
        let given_up = self.book.get_mut(prefix.as_ref()).map_or(0, |series| series.forget(now_ms));
        if given_up > 0 {
            self.failed(&format!("{given_up} objects below `{prefix}` could not be read and are given up"));
        }
    }

    /// Has what was taken counted, then saves where that ends.
    async fn commit(&mut self) -> Result<(), SourceError> {
        self.lines.flush().await?;
        let (file, book) = (self.file.clone(), self.book.clone());
        if let Err(error) = blocking(self.context, move || file.save(&book)).await? {
            self.failed(&format!("the positions cannot be saved: {error}"));
        }
        Ok(())
    }

    fn failed(&mut self, message: &str) {
        self.context.counters.failed();
        // Another cause is news.
        if self.told != message {
            self.complaint = Complaint::default();
            message.clone_into(&mut self.told);
        }
        self.complaint.say_unreadable(self.context, message);
    }
}
