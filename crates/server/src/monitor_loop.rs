//! The monitor's own thread: drains the intake, counts, publishes readings, writes window snapshots.
//!
//! One thread owns the [`Engine`]; everybody else sends it a [`Command`] or reads the published [`Readings`]. The loop
//! polls its queue instead of being woken by each request: a wake-up costs the data plane more than the observation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use config::Settings;
use feeds::{Counted, Observation};
use monitor::pairs::{PairReadings, Pairs, TopPairs};
use monitor::profile::Profile;
use monitor::{DetectorCounts, Engine, FeatureHistogram, ModelSpec, ObserveError, Readings};
use record::{Exchange, FeatureValue, Follower, Lane, Record};
use tokio::sync::oneshot;

use crate::clock::now_ms;
use crate::intake::Intake;
use crate::observed::Observed;
use crate::snapshot::SnapshotWriter;

/// Exchanges counted between two looks at the commands and the clock.
const BATCH: usize = 256;

/// How long the loop rests when nothing waits: short after work, longer when idle.
const REST_BUSY: Duration = Duration::from_millis(5);
const REST_IDLE: Duration = Duration::from_millis(50);

/// Commands that may wait for the loop.
const COMMANDS: usize = 256;

/// Rows of a drill: feature names and values.
pub(crate) type DrillRows = Vec<Vec<(Arc<str>, FeatureValue)>>;

/// What the monitor's thread can be asked.
pub(crate) enum Command {
    Configure {
        specs: Vec<ModelSpec>,
        settings: LoopSettings,
    },
    SetActive {
        model: Arc<str>,
        version: Arc<str>,
    },
    Observations {
        batch: Vec<Observation>,
        reply: oneshot::Sender<Counted>,
    },
    Histograms {
        model: String,
        version: String,
        lane: Lane,
        tenant: String,
        reply: oneshot::Sender<Option<Vec<FeatureHistogram>>>,
    },
    Profile {
        model: String,
        reply: oneshot::Sender<Option<Profile>>,
    },
    TopPairs {
        model: String,
        version: Option<String>,
        limit: usize,
        reply: oneshot::Sender<Vec<TopPairs>>,
    },
    ResetDetectors {
        model: String,
        reply: oneshot::Sender<bool>,
    },
    DetectorCounts {
        model: String,
        reply: oneshot::Sender<Option<DetectorCounts>>,
    },
    BeginDrill {
        model: String,
        /// The tenants that its rows are of.
        tenants: Vec<String>,
        reply: oneshot::Sender<bool>,
    },
    DrillRows {
        model: String,
        psi: f64,
        rows: usize,
        seed: u64,
        reply: oneshot::Sender<Option<DrillRows>>,
    },
    /// Rows of a drill: counted, but shown to nobody who follows; they are no inferences.
    DrillRecords {
        records: Vec<Record>,
        reply: oneshot::Sender<Counted>,
    },
    /// Puts the windows back; the answer: when that was done.
    EndDrill {
        model: String,
        reply: oneshot::Sender<i64>,
    },
    Stop,
}

/// The monitor is gone or has too much to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitorError {
    #[error("the monitor has too many commands waiting; try again")]
    Busy,
    #[error("the monitor's loop has ended; restart the process")]
    Gone,
}

/// How the rest of the process reaches the monitor.
#[derive(Debug)]
pub(crate) struct MonitorHandle {
    commands: SyncSender<Command>,
    shared: Arc<Published>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What the loop publishes.
#[derive(Debug, Default)]
pub(crate) struct Published {
    readings: ArcSwap<Readings>,
    pairs: ArcSwap<PairReadings>,
    beat_ms: AtomicI64,
    alive: AtomicBool,
    panics: AtomicU64,
    memory_bytes: AtomicU64,
    evaluation_us: AtomicU64,
}

/// Settings of the loop that are not the engine's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopSettings {
    pub(crate) evaluate_every: Duration,
    pub(crate) snapshot_every: Duration,
}

impl From<&Settings> for LoopSettings {
    fn from(settings: &Settings) -> Self {
        Self {
            evaluate_every: settings.observe.evaluate_every,
            snapshot_every: settings.store.snapshot_every,
        }
    }
}

impl MonitorHandle {
    /// Starts the thread. `engine` has been restored already.
    pub(crate) fn start(
        engine: Engine,
        pairs: Pairs,
        intake: Arc<Intake>,
        snapshots: SnapshotWriter,
        followers: Vec<Box<dyn Follower>>,
        observed: Arc<Observed>,
        settings: LoopSettings,
    ) -> std::io::Result<Self> {
        let (commands, receiver) = sync_channel(COMMANDS);
        let shared = Arc::new(Published::default());
        shared.alive.store(true, Ordering::Relaxed);
        shared.beat_ms.store(now_ms(), Ordering::Relaxed);
        let mut monitor_loop = MonitorLoop {
            engine,
            pairs,
            intake,
            snapshots,
            followers,
            observed,
            settings,
            shared: Arc::clone(&shared),
        };
        let published = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| monitor_loop.run(&receiver)));
            published.alive.store(false, Ordering::Relaxed);
            if outcome.is_err() {
                tracing::error!("the monitor's loop has died; drift is not measured any more");
            }
        })?;
        Ok(Self { commands, shared, thread: std::sync::Mutex::new(Some(thread)) })
    }

    /// The newest readings.
    pub(crate) fn readings(&self) -> Arc<Readings> {
        self.shared.readings.load_full()
    }

    /// The newest readings of pairs.
    pub(crate) fn pairs(&self) -> Arc<PairReadings> {
        self.shared.pairs.load_full()
    }

    /// False when the thread has died or has been stuck for ten seconds.
    pub(crate) fn is_healthy(&self) -> bool {
        let stuck_ms = now_ms().saturating_sub(self.shared.beat_ms.load(Ordering::Relaxed));
        self.shared.alive.load(Ordering::Relaxed) && stuck_ms < 10_000
    }

    /// Exchanges whose counting panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Estimate of the memory that windows and references hold.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.shared.memory_bytes.load(Ordering::Relaxed)
    }

    /// How long the last evaluation of every window took, microseconds.
    pub(crate) fn evaluation_us(&self) -> u64 {
        self.shared.evaluation_us.load(Ordering::Relaxed)
    }

    /// Sends a command without waiting.
    pub(crate) fn send(&self, command: Command) -> Result<(), MonitorError> {
        self.try_send(command).map_err(|(_, error)| error)
    }

    /// Like [`MonitorHandle::send`]; a command that was not taken comes back.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), (Command, MonitorError)> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) => (command, MonitorError::Busy),
            TrySendError::Disconnected(command) => (command, MonitorError::Gone),
        })
    }

    /// Sends a command that must arrive; waits while others are before it. The loop always reads on.
    pub(crate) fn deliver(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::error!(
                "the monitor's loop has ended: it does not hear of a change; restart the process"
            );
        }
    }

    /// Sends a command that has an answer, and waits for it.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, MonitorError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.map_err(|_| MonitorError::Gone)
    }

    /// Ends the loop: what waits in the intake is still counted, the last snapshot written.
    pub(crate) fn stop(&self) {
        // A full queue of commands empties by itself; the loop always reads on.
        if self.commands.send(Command::Stop).is_err() {
            return;
        }
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the monitor's thread ended in a panic");
        }
    }
}

struct MonitorLoop {
    engine: Engine,
    pairs: Pairs,
    intake: Arc<Intake>,
    snapshots: SnapshotWriter,
    /// See every inference after it was counted.
    followers: Vec<Box<dyn Follower>>,
    observed: Arc<Observed>,
    settings: LoopSettings,
    shared: Arc<Published>,
}

impl MonitorLoop {
    fn run(&mut self, commands: &Receiver<Command>) {
        let mut next_evaluation = Instant::now();
        let mut next_snapshot = Instant::now() + self.settings.snapshot_every;
        let mut rest = REST_BUSY;
        loop {
            let n_counted = self.drain();
            let now = Instant::now();
            if now >= next_evaluation {
                self.evaluate();
                next_evaluation = now + self.settings.evaluate_every;
            }
            if now >= next_snapshot {
                self.snapshots.offer(self.engine.snapshot());
                next_snapshot = now + self.settings.snapshot_every;
            }
            rest = match n_counted {
                BATCH => Duration::ZERO,
                0 => (rest * 2).clamp(REST_BUSY, REST_IDLE),
                _ => REST_BUSY,
            };
            match commands.recv_timeout(rest) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => {
                    if self.obey(command) {
                        next_snapshot = Instant::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        while self.drain() > 0 {}
        self.evaluate();
        self.snapshots.finish(self.engine.snapshot());
    }

    /// Counts up to [`BATCH`] exchanges; a panic costs that one exchange.
    fn drain(&mut self) -> usize {
        for n_counted in 0..BATCH {
            let Some(waiting) = self.intake.pop() else { return n_counted };
            // Counted by reason where it was dropped.
            self.observe(&waiting.exchange, waiting.is_foreign).ok();
        }
        BATCH
    }

    /// Counts an exchange and shows it to those who follow; gives the reason when it was not counted.
    fn observe(&mut self, exchange: &Exchange, is_foreign: bool) -> Result<(), &'static str> {
        let Self { engine, pairs, followers, observed, .. } = self;
        let counting = || match engine.observe(exchange) {
            None => Err("unknown_model"),
            Some(inference) => {
                pairs.saw(&inference);
                followers.iter_mut().for_each(|follower| follower.saw(&inference));
                if is_foreign && inference.status.is_some() {
                    observed.count(&inference);
                }
                observed.count_read(&inference);
                // An answer that can't be read leaves the features counted.
                inference
                    .problem
                    .filter(|problem| !matches!(*problem, "response" | "upstream_error"))
                    .map_or(Ok(()), Err)
            }
        };
        catch_unwind(AssertUnwindSafe(counting)).unwrap_or_else(|_| {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            self.intake.count_drop(&exchange.model, "panic");
            tracing::error!(model = %exchange.model, "counting an exchange panicked; it is dropped");
            Err("panic")
        })
    }

    fn evaluate(&mut self) {
        let start = Instant::now();
        let readings = self.engine.readings(now_ms());
        self.shared.readings.store(Arc::new(readings));
        self.pairs.tick(now_ms());
        self.shared.pairs.store(Arc::new(self.pairs.readings()));
        self.shared.beat_ms.store(now_ms(), Ordering::Relaxed);
        let memory_bytes = self.engine.memory_bytes() + self.pairs.memory_bytes();
        self.shared.memory_bytes.store(memory_bytes as u64, Ordering::Relaxed);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.evaluation_us.store(micros, Ordering::Relaxed);
    }

    /// Carries a command out. An asker that has gone away is not an error. True when what is stored must not wait: rows from
    /// before a switch of traffic must not come back after a crash.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Configure { specs, settings } => {
                self.pairs.configure(&specs);
                self.engine.configure(specs);
                self.settings = settings;
            }
            Command::SetActive { model, version } => {
                self.pairs.set_active(&model, &version);
                return self.engine.set_active(&model, &version);
            }
            Command::Observations { batch, reply } => drop(reply.send(self.count(&batch))),
            Command::Histograms { model, version, lane, tenant, reply } => {
                drop(reply.send(self.engine.histograms(&model, &version, lane, &tenant)));
            }
            Command::Profile { model, reply } => drop(reply.send(self.engine.profile(&model))),
            Command::TopPairs { model, version, limit, reply } => {
                drop(reply.send(self.pairs.top(&model, version.as_deref(), limit)));
            }
            Command::ResetDetectors { model, reply } => drop(reply.send(self.engine.reset_detectors(&model))),
            Command::DetectorCounts { model, reply } => {
                drop(reply.send(self.engine.detector_counts(&model)));
            }
            Command::BeginDrill { model, tenants, reply } => {
                // Nobody waits any more when the drill was given up.
                let _answered = reply.send(self.engine.begin_drill(&model, &tenants).is_ok());
            }
            Command::DrillRows { model, psi, rows, seed, reply } => {
                drop(reply.send(self.engine.drill_rows(&model, psi, rows, seed)));
            }
            Command::DrillRecords { records, reply } => {
                let outcomes = records.iter().map(|record| match self.engine.observe_record(record) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.to_string()),
                });
                drop(reply.send(collect(outcomes)));
            }
            Command::EndDrill { model, reply } => {
                self.engine.end_drill(&model);
                reply.send(now_ms()).ok();
            }
            Command::Stop => {}
        }
        false
    }

    fn count(&mut self, batch: &[Observation]) -> Counted {
        collect(batch.iter().map(|observation| match observation {
            Observation::Exchange(exchange) => {
                self.observe(exchange, true).map_err(|reason| format!("not counted: {reason}"))
            }
            Observation::Record(record) => self.observe_record(record),
        }))
    }

    fn observe_record(&mut self, record: &Record) -> Result<(), String> {
        let Self { engine, pairs, followers, observed, .. } = self;
        let counting = || {
            let inference = match engine.observe_record(record) {
                Ok(inference) => inference,
                Err(error) => {
                    if let (ObserveError::Refused { .. }, Some(version)) = (&error, engine.version_of(record))
                    {
                        observed.count_refused(record, &version);
                    }
                    return Err(error.to_string());
                }
            };
            pairs.saw(&inference);
            observed.count(&inference);
            observed.count_read(&inference);
            followers.iter_mut().for_each(|follower| follower.saw(&inference));
            Ok(())
        };
        catch_unwind(AssertUnwindSafe(counting)).unwrap_or_else(|_| {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            self.intake.count_drop(&record.model, "panic");
            tracing::error!(model = %record.model, "counting a record panicked; it is dropped");
            Err("counting it panicked".to_owned())
        })
    }
}

fn collect(outcomes: impl Iterator<Item = Result<(), String>>) -> Counted {
    let mut counted = Counted::default();
    for (index, outcome) in outcomes.enumerate() {
        match outcome {
            Ok(()) => counted.accepted += 1,
            Err(reason) => counted.rejected.push((index, reason)),
        }
    }
    counted
}
