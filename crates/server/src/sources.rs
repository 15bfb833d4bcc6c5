//! The sources: started, replaced on a reload, ended before the monitor.
//!
//! One thread with an event loop of its own runs them all, so that none of them can hold a request up.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use feeds::Observer;
use feeds::sources::{
    self, SourceContext, SourceCounters, SourceError, SourceSpec, SourceState, SourceStatus,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::now_ms;

/// Folder of saved positions, below the state folder.
const FOLDER: &str = "sources";

/// The configured sources and how they fare.
#[derive(Debug)]
pub(crate) struct Sources {
    wanted: watch::Sender<Vec<SourceSpec>>,
    known: Mutex<Vec<Known>>,
    /// How many have not ended; `None` until the first were started.
    at_work: watch::Sender<Option<usize>>,
    folder: PathBuf,
}

#[derive(Clone, Debug)]
struct Known {
    spec: SourceSpec,
    counters: Arc<SourceCounters>,
}

/// A source as shown: name, kind, and what it counted.
#[derive(Clone, Debug)]
pub(crate) struct SourceView {
    pub(crate) name: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) status: SourceStatus,
}

/// A source that was started.
struct Running {
    spec: SourceSpec,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sources {
    /// These sources, not started yet; positions are kept below the state folder.
    pub(crate) fn new(wanted: Vec<SourceSpec>, state_folder: &std::path::Path) -> Self {
        Self {
            wanted: watch::Sender::new(wanted),
            known: Mutex::default(),
            at_work: watch::Sender::new(None),
            folder: state_folder.join(FOLDER),
        }
    }

    /// Replaces the sources: those that did not change go on.
    pub(crate) fn configure(&self, wanted: Vec<SourceSpec>) {
        self.wanted.send_replace(wanted);
    }

    /// Every source and what it counted.
    pub(crate) fn views(&self) -> Vec<SourceView> {
        let view = |known: &Known| SourceView {
            name: Arc::clone(&known.spec.name),
            kind: known.spec.kind.as_str(),
            status: known.counters.status(),
        };
        self.known().iter().map(view).collect()
    }

    /// Ready when there were sources and every one has ended. Never without sources.
    pub(crate) async fn all_ended(&self) {
        let mut at_work = self.at_work.subscribe();
        loop {
            let is_over = *at_work.borrow_and_update() == Some(0) && !self.known().is_empty();
            if is_over || at_work.changed().await.is_err() {
                return;
            }
        }
    }

    /// Runs them until `stop` turns true; what they handed over last is counted then.
    pub(crate) async fn run(self: Arc<Self>, observer: Arc<dyn Observer>, mut stop: watch::Receiver<bool>) {
        let mut wanted = self.wanted.subscribe();
        let mut running: Vec<Running> = Vec::new();
        loop {
            let specs = wanted.borrow_and_update().clone();
            running = self.follow(running, specs, &observer).await;
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { break },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        for source in &running {
            source.stop.send_replace(true);
        }
        for source in running {
            end(source).await;
        }
    }

    /// Ends what is not wanted any more and starts what is new.
    async fn follow(
        self: &Arc<Self>,
        running: Vec<Running>,
        specs: Vec<SourceSpec>,
        observer: &Arc<dyn Observer>,
    ) -> Vec<Running> {
        let (kept, gone): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|source| specs.contains(&source.spec));
        for source in gone {
            source.stop.send_replace(true);
            let name = Arc::clone(&source.spec.name);
            end(source).await;
            self.known().retain(|known| known.spec.name != name);
        }
        let mut running = kept;
        for spec in specs {
            if running.iter().any(|source| source.spec == spec) {
                continue;
            }
            running.push(self.start(spec, observer));
        }
        self.count_at_work();
        running
    }

    fn start(self: &Arc<Self>, spec: SourceSpec, observer: &Arc<dyn Observer>) -> Running {
        let counters = Arc::new(SourceCounters::new());
        self.known().push(Known { spec: spec.clone(), counters: Arc::clone(&counters) });
        let (stop, stopped) = watch::channel(false);
        let context = SourceContext {
            name: Arc::clone(&spec.name),
            defaults: spec.defaults.clone(),
            observer: Arc::clone(observer),
            state_dir: self.folder.clone(),
            stop: stopped,
            counters: Arc::clone(&counters),
            clock: now_ms,
        };
        let (sources, kind, folder) = (Arc::clone(self), spec.kind.clone(), self.folder.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = std::fs::create_dir_all(&folder) {
                tracing::error!(folder = %folder.display(), %error, "positions cannot be kept");
            }
            let name = Arc::clone(&context.name);
            // A panic must not leave the source looking alive.
            let outcome = tokio::spawn(sources::run(kind, context)).await;
            match outcome {
                Ok(Ok(()) | Err(SourceError::Gone(_))) => {
                    tracing::info!(source = %name, "a source has ended");
                }
                Ok(Err(error)) => {
                    tracing::error!(source = %name, %error, "a source has given up");
                }
                Err(_) => {
                    counters.set_state(SourceState::Failed);
                    tracing::error!(source = %name, "a source ended in a panic");
                }
            }
            sources.count_at_work();
        });
        Running { spec, stop, task }
    }

    fn count_at_work(&self) {
        let has_ended = |known: &&Known| {
            matches!(known.counters.status().state, SourceState::Ended | SourceState::Failed)
        };
        let known = self.known();
        let at_work = known.len() - known.iter().filter(has_ended).count();
        drop(known);
        self.at_work.send_replace(Some(at_work));
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(source: Running) {
    if source.task.await.is_err() {
        tracing::error!(source = %source.spec.name, "a source's keeper ended in a panic");
    }
}
