//! An observer that remembers what it was given, for the sources' tests.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use record::RecordDefaults;
use tokio::sync::watch;

use super::{SourceContext, SourceCounters};
use crate::{Counted, Observation, Observer, ObserverGone};

/// A source's surroundings.
pub(crate) struct Bench {
    seen: Arc<Seen>,
    counters: Arc<SourceCounters>,
    model: &'static str,
    /// Ends the source.
    pub(crate) stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Observation>>);

impl Observer for Seen {
    fn count(
        &self,
        batch: Vec<Observation>,
    ) -> Pin<Box<dyn Future<Output = Result<Counted, ObserverGone>> + Send + '_>> {
        let counted = Counted { accepted: batch.len(), rejected: Vec::new() };
        self.0.lock().unwrap().extend(batch);
        Box::pin(std::future::ready(Ok(counted)))
    }
}

impl Bench {
    /// Surroundings whose inferences belong to `model` when they don't say it.
    pub(crate) fn new(model: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self {
            seen: Arc::default(),
            counters: Arc::new(SourceCounters::new()),
            model,
            stop,
            stopped,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// What the source works with.
    pub(crate) fn context(&self) -> SourceContext {
        SourceContext {
            name: Arc::from("test"),
            defaults: RecordDefaults { model: Some(Arc::from(self.model)), ..RecordDefaults::default() },
            observer: Arc::<Seen>::clone(&self.seen),
            state_dir: PathBuf::from(self.folder.path()),
            stop: self.stopped.clone(),
            counters: Arc::clone(&self.counters),
            clock: || 1_000,
        }
    }

    /// What was counted.
    pub(crate) fn seen(&self) -> Vec<Observation> {
        self.seen.0.lock().unwrap().clone()
    }

    /// The models of what was counted.
    pub(crate) fn models(&self) -> Vec<String> {
        self.seen().iter().map(|one| one.model().to_owned()).collect()
    }
}
