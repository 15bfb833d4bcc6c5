//! Start and stop of the whole.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use actions::Hub;
use arc_swap::ArcSwap;
use config::Settings;
use control::{Controller, Decision, Store};
use feeds::sinks::Logs;
use gateway::{Gateway, ShadowHooks, Tap};
use monitor::Engine;
use monitor::pairs::Pairs;
use record::Follower;
use tokio::sync::watch;

use crate::admin::{self, FluentBit};
use crate::approval::ApprovalKey;
use crate::clock::now_ms;
use crate::control_loop::{self, Heartbeat};
use crate::desk::{Desk, standings};
use crate::drill::Drills;
use crate::follow;
use crate::intake::Intake;
use crate::llm::{Buyer, Embeddings, LearningTap, Ledger};
use crate::monitor_loop::{Command, LoopSettings, MonitorHandle};
use crate::observed::Observed;
use crate::observer::MonitorObserver;
use crate::outside;
use crate::plane::{Plane, ReloadState};
use crate::reload;
use crate::routing::{OwnGateway, Routing};
use crate::snapshot::{self, SnapshotWriter};
use crate::sources::Sources;

/// Why the instance did not start. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder can't be used: locked by another instance, not writable, a broken database.
    #[error("the state folder `{folder}` cannot be used; name another with `store`, or mend this one")]
    Store {
        /// The folder.
        folder: String,
        /// What is wrong.
        source: control::StoreError,
    },
    /// The key of links that approve can't be read or made.
    #[error(
        "the key for approvals in `{folder}` cannot be used; mend the folder's rights, or remove `approval.key`"
    )]
    Key {
        /// The folder.
        folder: String,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The journal can't be read.
    #[error("the journal cannot be used")]
    Journal(#[from] control::ControlError),
    /// The data plane did not start.
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
    /// The admin address can't be bound.
    #[error(
        "the admin address `{address}` cannot be taken; choose another with `admin:` or `--admin`, or stop what holds it"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("thread `{name}` did not start")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        source: std::io::Error,
    },
}

/// What a source has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// Its name.
    pub name: String,
    /// Inferences that were counted.
    pub accepted: u64,
    /// What it brought that could not be counted.
    pub rejected: u64,
    /// Whether it gave up.
    pub failed: bool,
}

/// A running instance.
#[derive(Debug)]
pub struct App {
    plane: Arc<Plane>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    admin_addr: SocketAddr,
}

impl App {
    /// Starts everything. When it returns, traffic and admin calls are taken.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let folder = settings.store.folder.clone();
        let mut store = Store::open(&folder)
            .map_err(|source| StartError::Store { folder: folder.display().to_string(), source })?;
        store.set_keep_history(keep_history_ms(&settings));
        let admin_listener = bind_admin(settings.admin.listen)?;
        let (controller, resume) = Controller::open(store, settings.policy.clone(), now_ms())?;
        let (plane, admin_addr) = build(settings, controller, &admin_listener)?;
        let (stop, stopped) = watch::channel(false);
        plane.control_beat.beat(now_ms());
        let threads = vec![
            spawn_control(Arc::clone(&plane), resume, stopped.clone())?,
            spawn_admin(Arc::clone(&plane), admin_listener, stopped.clone())?,
            spawn_sources(&plane, stopped.clone())?,
            spawn_actions(&plane, stopped)?,
        ];
        tracing::info!(
            traffic = %plane.traffic_text(), admin = %admin_addr, folder = %folder.display(), "driftline is running"
        );
        Ok(Self { plane, stop, threads, admin_addr })
    }

    /// Where traffic is taken; `None` when it only observes.
    pub fn traffic_addr(&self) -> Option<SocketAddr> {
        self.plane.gateway.local_addr()
    }

    /// Where metrics, API and dashboard are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Ready when there were sources and every one has read all there was. Never without sources.
    pub async fn sources_ended(&self) {
        self.plane.sources.all_ended().await;
    }

    /// What each source has brought.
    pub fn sources(&self) -> Vec<SourceSummary> {
        let summary = |view: crate::sources::SourceView| SourceSummary {
            name: view.name.to_string(),
            accepted: view.status.accepted,
            rejected: view.status.rejected.iter().map(|(_, count)| count).sum(),
            failed: view.status.state == feeds::sources::SourceState::Failed,
        };
        self.plane.sources.views().into_iter().map(summary).collect()
    }

    /// Ends gracefully: running requests finish within the grace time, what was observed is counted, windows are saved.
    pub fn shutdown(self) {
        self.plane.stopping.store(true, Ordering::Relaxed);
        self.plane.gateway.shutdown();
        if self.stop.send(true).is_err() {
            tracing::debug!("the loops have ended already");
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a loop ended in a panic");
            }
        }
        self.plane.monitor.stop();
        self.plane.logs.finish(self.plane.settings().gateway.shutdown_grace);
        self.plane.ledger.save();
        if let Some(embeddings) = &self.plane.embeddings {
            embeddings.close();
        }
        tracing::info!("driftline has ended");
    }
}

/// Calls that may wait for the history at one time.
const HISTORY_READERS: usize = 64;

/// How long series are kept.
pub(crate) fn keep_history_ms(settings: &Settings) -> i64 {
    i64::try_from(settings.store.keep_history.as_millis()).unwrap_or(i64::MAX)
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| StartError::Admin { address, source })
}

fn build(
    settings: Settings,
    controller: Controller,
    admin_listener: &std::net::TcpListener,
) -> Result<(Arc<Plane>, SocketAddr), StartError> {
    let admin_addr = admin_listener
        .local_addr()
        .map_err(|source| StartError::Admin { address: settings.admin.listen, source })?;
    let standings = standings(&controller);
    let models = settings.models.iter().map(|model| &*model.name);
    let intake = Arc::new(Intake::new(settings.observe.queue, settings.observe.queue_bytes, models));
    let observed = Arc::new(Observed::default());
    let logs = Logs::start(&settings.logs, now_ms);
    let logs = logs.map_err(|source| StartError::Thread { name: "log", source })?;
    let monitor =
        Arc::new(start_monitor(&settings, Arc::clone(&intake), Arc::clone(&observed), logs.follower())?);
    for (model, standing) in &standings {
        monitor
            .deliver(Command::SetActive { model: Arc::clone(model), version: Arc::clone(&standing.active) });
    }
    let embeddings = start_embeddings(&settings)?;
    let tap = tap(&intake, embeddings.as_ref());
    let table = Routing::first_table(&settings.routes, &standings);
    let ledger = Arc::new(Ledger::open(&settings.store.folder, &settings.models));
    let mut hooks = ShadowHooks { budget: Arc::<Ledger>::clone(&ledger), ..ShadowHooks::default() };
    if let Some(embeddings) = &embeddings {
        hooks.answers = Arc::<Embeddings>::clone(embeddings);
    }
    let gateway = Arc::new(Gateway::start_with(settings.gateway.clone(), table, tap, hooks)?);
    let routing = Arc::new(Routing::new(Arc::clone(&gateway), settings.routes.clone(), standings));
    let own = Arc::new(OwnGateway::new(Arc::clone(&routing)));
    let approval_key = ApprovalKey::open(&settings.store.folder)
        .map_err(|source| StartError::Key { folder: settings.store.folder.display().to_string(), source })?;
    let hub = Arc::new(Hub::new(
        settings.notify.clone(),
        settings.grouping,
        &controller.alerts(),
        &settings.store.folder,
        now_ms,
    ));
    let history = controller.store().reader().map_err(control::ControlError::from)?;
    let (others, trainers) = (outside::actuators(&settings), outside::trainers(&settings));
    let desk = Arc::new(Desk::new(controller, Arc::clone(&routing), own, others, Arc::clone(&monitor)));
    let plane = Plane {
        config_file: settings.file.clone(),
        observed,
        logs,
        sources: Arc::new(Sources::new(settings.sources.clone(), &settings.store.folder)),
        fluentbit: FluentBit::default(),
        refused: crate::refused::Refused::default(),
        settings: ArcSwap::from_pointee(settings),
        gateway,
        intake,
        monitor,
        routing,
        desk,
        hub,
        trainers: ArcSwap::from_pointee(trainers),
        approval_key,
        drill: Drills::default(),
        ledger,
        embeddings,
        buyer: Buyer::default(),
        latency: ArcSwap::default(),
        signals: ArcSwap::default(),
        rates: crate::rates::Rates::default(),
        control_beat: Heartbeat::default(),
        started_ms: now_ms(),
        history_errors: AtomicU64::new(0),
        history_dropped: AtomicU64::new(0),
        history: Mutex::new(history),
        history_readers: tokio::sync::Semaphore::new(HISTORY_READERS),
        reload: ReloadState {
            last_ok: AtomicBool::new(true),
            last_ok_ms: AtomicI64::new(now_ms()),
            reloads: AtomicU64::new(0),
            message: ArcSwap::default(),
            lock: tokio::sync::Mutex::new(()),
        },
        stopping: AtomicBool::new(false),
    };
    Ok((Arc::new(plane), admin_addr))
}

fn start_embeddings(settings: &Settings) -> Result<Option<Arc<Embeddings>>, StartError> {
    let Some(cache) = &settings.embedding_cache else { return Ok(None) };
    let failed = |source| StartError::Thread { name: "embeddings", source };
    Embeddings::start(cache, &settings.store.folder).map(Arc::new).map(Some).map_err(failed)
}

fn tap(intake: &Arc<Intake>, embeddings: Option<&Arc<Embeddings>>) -> Arc<dyn Tap> {
    let intake = Arc::clone(intake);
    match embeddings {
        Some(embeddings) => Arc::new(LearningTap { intake, embeddings: Arc::clone(embeddings) }),
        None => intake,
    }
}

/// The monitor with the windows of the last run, as far as they still fit.
fn start_monitor(
    settings: &Settings,
    intake: Arc<Intake>,
    observed: Arc<Observed>,
    log: feeds::sinks::LogFollower,
) -> Result<MonitorHandle, StartError> {
    let folder = &settings.store.folder;
    let mut engine = Engine::new(settings.monitor.clone());
    match snapshot::read(folder) {
        Ok(Some(bytes)) => match engine.restore(&bytes) {
            Ok(report) => tracing::info!(?report, "windows of the last run are back"),
            Err(error) => tracing::warn!(%error, "the stored windows can't be used; windows start empty"),
        },
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the stored windows can't be read; windows start empty"),
    }
    let thread = |name| move |source| StartError::Thread { name, source };
    let writer = SnapshotWriter::start(folder).map_err(thread("snapshot"))?;
    let pairs = Pairs::new(&settings.monitor);
    let followers: Vec<Box<dyn Follower>> = vec![Box::new(log)];
    MonitorHandle::start(engine, pairs, intake, writer, followers, observed, LoopSettings::from(settings))
        .map_err(thread("monitor"))
}

fn spawn_control(
    plane: Arc<Plane>,
    resume: Vec<Decision>,
    stop: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    // Before anything else: a SIGHUP that nobody listens for ends the process.
    spawn_prepared("control", reload::hangups, move |hangups| async move {
        for decision in resume {
            tracing::warn!(
                decision = decision.id, model = %decision.change.model, to = %decision.change.to,
                "a decision of the last run was not confirmed; it is carried out now"
            );
            // A failure is journaled, logged and told.
            drop(plane.carry_out(&decision));
        }
        let left = plane.desk.controller().open_retrainings();
        match left {
            // Under the same key: whoever has taken it already does not take it twice.
            Ok(left) => left.into_iter().for_each(|training| outside::start_training(&plane, training)),
            Err(error) => tracing::error!(%error, "trainings of the last run are not looked at"),
        }
        let reloads = tokio::spawn(reload::watch(Arc::clone(&plane), hangups, stop.clone()));
        let follows = tokio::spawn(follow::run(Arc::clone(&plane), stop.clone()));
        control_loop::run(plane, stop).await;
        reloads.abort();
        follows.abort();
    })
}

fn spawn_sources(plane: &Arc<Plane>, stop: watch::Receiver<bool>) -> Result<JoinHandle<()>, StartError> {
    let (sources, monitor) = (Arc::clone(&plane.sources), Arc::clone(&plane.monitor));
    spawn("sources", move || sources.run(Arc::new(MonitorObserver(monitor)), stop))
}

fn spawn_actions(plane: &Arc<Plane>, stop: watch::Receiver<bool>) -> Result<JoinHandle<()>, StartError> {
    let hub = Arc::clone(&plane.hub);
    spawn("actions", move || async move { hub.run(stop).await })
}

fn spawn_admin(
    plane: Arc<Plane>,
    listener: std::net::TcpListener,
    stop: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    spawn("admin", move || async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => admin::serve(plane, listener, stop).await,
            Err(error) => tracing::error!(%error, "the admin listener did not start"),
        }
    })
}

/// A thread with an event loop of its own: what one does never holds another up.
fn spawn<F>(
    name: &'static str,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError>
where
    F: Future<Output = ()>,
{
    spawn_prepared(name, || Ok(()), move |()| main())
}

/// The same; `prepare` is done within the event loop before the thread exists, and what it gives goes to `main`.
fn spawn_prepared<T, F>(
    name: &'static str,
    prepare: impl FnOnce() -> std::io::Result<T>,
    main: impl FnOnce(T) -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError>
where
    T: Send + 'static,
    F: Future<Output = ()>,
{
    let failed = move |source| StartError::Thread { name, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let prepared = {
        let _entered = runtime.enter();
        prepare().map_err(failed)?
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(async move { main(prepared).await }))
        .map_err(failed)
}
