//! Starts, replaces and ends sinks, each on a thread of its own with its own event loop: one that hangs, in a write to
//! a full pipe or a lost disk, holds nobody up, not even the other sinks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::sinks::hub::Targets;
use crate::sinks::{
    LogDrop, LogFilter, LogFollower, QueueLimits, SinkContext, SinkKind, SinkOrder, SinkQueue, SinkStatus,
};

/// How long a sink that is being replaced may take to finish what it has in hand.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long a sink that was told to quit may take to stop before its thread is left to itself.
const QUIT: Duration = Duration::from_millis(500);

/// How often ends are looked for.
const LOOK: Duration = Duration::from_millis(5);

/// The inference log as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSpec {
    /// What is logged.
    pub filter: LogFilter,
    /// What may wait for each sink. Read when a sink appears for the first time; a change takes a restart.
    pub queue: QueueLimits,
    /// Where it goes; at most one of a kind.
    pub sinks: Vec<SinkKind>,
}

/// The running inference log.
#[derive(Debug)]
pub struct Logs {
    clock: fn() -> i64,
    targets: Arc<ArcSwap<Targets>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    running: Vec<Running>,
    /// Every queue there has been, also of sinks that are gone: their counts stay.
    queues: Vec<Arc<SinkQueue>>,
    /// Sinks that were taken out, while they end.
    ending: Vec<(&'static str, JoinHandle<()>)>,
    has_ended: bool,
}

/// A sink and its thread.
#[derive(Debug)]
struct Running {
    kind: SinkKind,
    order: watch::Sender<SinkOrder>,
    thread: JoinHandle<()>,
}

impl Logs {
    /// Starts the sinks. `clock` gives unix milliseconds.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(spec: &LogSpec, clock: fn() -> i64) -> std::io::Result<Self> {
        let logs = Self { clock, targets: Arc::default(), inner: Mutex::default() };
        logs.apply(spec)?;
        Ok(logs)
    }

    /// What gives it its lines.
    pub fn follower(&self) -> LogFollower {
        LogFollower::new(Arc::clone(&self.targets))
    }

    /// Takes over new settings. Sinks whose settings are the same go on; one whose settings changed is replaced, and its
    /// successor writes what still waits; what waits for one that is gone is dropped and counted. Waits for nothing.
    ///
    /// # Errors
    /// A thread could not be started; that sink's lines wait until the next call.
    pub fn apply(&self, spec: &LogSpec) -> std::io::Result<()> {
        let mut inner = self.lock();
        if inner.has_ended {
            return Ok(());
        }
        let mut old = std::mem::take(&mut inner.running);
        let mut queues = Vec::new();
        let mut failed = None;
        for kind in &spec.sinks {
            let queue = inner.queue(kind.as_str(), spec.queue);
            queues.push(Arc::clone(&queue));
            let before =
                old.iter().position(|sink| sink.kind.as_str() == kind.as_str()).map(|at| old.remove(at));
            if before.as_ref().is_some_and(|before| before.kind == *kind) {
                inner.running.extend(before);
                continue;
            }
            let ending = inner.ending(kind.as_str());
            let first = move || {
                if let Some(before) = before {
                    before.end(SinkOrder::HandOver, HAND_OVER);
                }
                if ending.is_some_and(|ending| ending.join().is_err()) {
                    tracing::error!("the end of a sink panicked");
                }
            };
            match Running::start(kind, queue, self.clock, first) {
                Ok(sink) => inner.running.push(sink),
                Err(error) => failed = Some(error),
            }
        }
        self.targets.store(Arc::new(Targets { filter: spec.filter, queues }));
        for gone in old {
            let sink = gone.kind.as_str();
            let queue = inner.queue(sink, spec.queue);
            let ending = std::thread::Builder::new().name("log-end".to_owned()).spawn(move || {
                gone.end(SinkOrder::Finish, HAND_OVER);
                queue.close();
                queue.drop_waiting(LogDrop::Ended);
            });
            match ending {
                Ok(ending) => inner.ending.push((sink, ending)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What every sink has counted, also those that are gone.
    pub fn status(&self) -> Vec<SinkStatus> {
        self.lock().queues.iter().map(|queue| queue.status()).collect()
    }

    /// Ends every sink: what waits is written if that takes no longer than `grace`; the rest is dropped, counted and
    /// said. Blocks.
    pub fn finish(&self, grace: Duration) {
        let mut inner = self.lock();
        inner.has_ended = true;
        let running = std::mem::take(&mut inner.running);
        let queues = inner.queues.clone();
        drop(inner);
        self.targets.store(Arc::default());
        running.iter().for_each(|sink| sink.tell(SinkOrder::Finish));
        wait(grace, || running.iter().all(|sink| sink.thread.is_finished()));
        running.iter().for_each(|sink| sink.tell(SinkOrder::Quit));
        wait(QUIT, || running.iter().all(|sink| sink.thread.is_finished()));
        for queue in queues {
            let in_hand_or_waiting = queue.queued();
            queue.drop_waiting(LogDrop::Ended);
            if in_hand_or_waiting > 0 {
                tracing::warn!(
                    sink = queue.sink(),
                    records = in_hand_or_waiting,
                    "the inference log ends before everything was written"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The queue of a sink, made when there is none.
    fn queue(&mut self, sink: &'static str, limits: QueueLimits) -> Arc<SinkQueue> {
        if let Some(known) = self.queues.iter().find(|queue| queue.sink() == sink) {
            return Arc::clone(known);
        }
        let queue = SinkQueue::new(sink, limits);
        self.queues.push(Arc::clone(&queue));
        queue
    }

    /// The end, under way, of a sink that was taken out before.
    fn ending(&mut self, sink: &str) -> Option<JoinHandle<()>> {
        self.ending.retain(|(_, ending)| !ending.is_finished());
        let at = self.ending.iter().position(|(name, _)| *name == sink)?;
        Some(self.ending.remove(at).1)
    }
}

impl Running {
    /// Starts a sink; on its thread `first` comes first: the end of the one before it.
    fn start(
        kind: &SinkKind,
        queue: Arc<SinkQueue>,
        clock: fn() -> i64,
        first: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (order, told) = watch::channel(SinkOrder::Run);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = SinkContext { queue, order: told, clock };
        let (sink, name) = (kind.clone(), format!("log-{}", kind.as_str()));
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            first();
            context.queue.reopen();
            let until_the_end = AssertUnwindSafe(|| runtime.block_on(main(sink, context.clone())));
            let has_panicked = catch_unwind(until_the_end).is_err();
            // What a sink left running (the compression of a file) is not waited for.
            runtime.shutdown_background();
            if has_panicked {
                give_up(&context.queue, "it panicked: please report this");
            }
        })?;
        Ok(Self { kind: kind.clone(), order, thread })
    }

    fn tell(&self, order: SinkOrder) {
        self.order.send_replace(order);
    }

    /// Tells it to end, and waits: until it has or, when it takes longer than `grace`, has quit.
    fn end(self, order: SinkOrder, grace: Duration) {
        self.tell(order);
        wait(grace, || self.thread.is_finished());
        self.tell(SinkOrder::Quit);
        if self.thread.join().is_err() {
            tracing::error!(sink = self.kind.as_str(), "a sink's thread ended in a panic");
        }
    }
}

/// Runs a sink until it ends, gives up or is told to quit.
async fn main(kind: SinkKind, context: SinkContext) {
    let mut order = context.order.clone();
    let queue = Arc::clone(&context.queue);
    let quit = async {
        if order.wait_for(|order| *order == SinkOrder::Quit).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = quit => {}
        ended = super::run(kind, context) => if let Err(error) = ended {
            give_up(&queue, &error.to_string());
        },
    }
}

fn give_up(queue: &Arc<SinkQueue>, reason: &str) {
    tracing::error!(sink = queue.sink(), reason, "the inference log does not go there any more");
    queue.close();
    queue.drop_waiting(LogDrop::Closed);
}

/// Waits until something holds, at most for `time`.
fn wait(time: Duration, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + time;
    while !holds() && Instant::now() < deadline {
        std::thread::sleep(LOOK);
    }
}
