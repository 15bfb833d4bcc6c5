//! The handle: starts the threads, changes the routes, reads the counters, stops.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::counters::Counters;
use crate::error::GatewayError;
use crate::hooks::ShadowHooks;
use crate::listener;
use crate::metrics::GatewaySnapshot;
use crate::route::Compiled;
use crate::shadow::{Alive, ShadowGate, ShadowRunner};
use crate::spec::{GatewayConfig, RouteTable};
use crate::tap::Tap;
use crate::target::server_config;
use crate::worker::{self, Shared};

/// A thread and whether it is still at work.
type Thread = (Arc<AtomicBool>, JoinHandle<()>);

/// A running data plane: worker threads that serve, and one that sends copies. Dropped, it stops as by
/// [`Gateway::shutdown`].
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    local_addr: Option<SocketAddr>,
    closing: watch::Sender<bool>,
    threads: Mutex<Vec<Thread>>,
    /// One change of the routes at a time.
    changing: Mutex<()>,
}

impl Gateway {
    /// Binds the address, compiles the routes and starts the threads; traffic is taken when this returns.
    ///
    /// # Errors
    /// An address that cannot be bound, a certificate that cannot be used, a bad setting, a route that cannot be
    /// compiled. Each says what to do. Nothing runs then.
    pub fn start(config: GatewayConfig, routes: RouteTable, tap: Arc<dyn Tap>) -> Result<Self, GatewayError> {
        Self::start_with(config, routes, tap, ShadowHooks::default())
    }

    /// The same, with a say in what becomes of copies.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is for one gateway")]
    pub fn start_with(
        config: GatewayConfig,
        routes: RouteTable,
        tap: Arc<dyn Tap>,
        hooks: ShadowHooks,
    ) -> Result<Self, GatewayError> {
        check(&config)?;
        let tls = config.tls.as_ref().map(server_config).transpose()?.map(TlsAcceptor::from);
        // One shard for each worker, one for the shadow thread.
        let counters = Arc::new(Counters::new(config.workers + 1, config.listen));
        let compiled = Compiled::new(routes, &counters, None)?;
        let sockets = match config.listen {
            Some(address) => listener::bind(address, config.workers)?,
            None => Vec::new(),
        };
        let local_addr = sockets.first().map(std::net::TcpListener::local_addr).transpose();
        let local_addr = local_addr.map_err(GatewayError::Worker)?;
        let (shadow, inbox) = ShadowGate::new(&config.limits);
        let (closing, closed) = watch::channel(false);
        let runner = ShadowRunner {
            limits: config.limits,
            counters: Arc::clone(&counters),
            tap: Arc::clone(&tap),
            hooks,
            shard: config.workers,
            grace: config.shutdown_grace,
            closing: closed.clone(),
        };
        let shared = Arc::new(Shared {
            limits: config.limits,
            routes: ArcSwap::from_pointee(compiled),
            counters,
            tap,
            shadow,
            tls,
            grace: config.shutdown_grace,
        });
        let gateway =
            Self { shared, local_addr, closing, threads: Mutex::default(), changing: Mutex::new(()) };
        gateway.thread("shadow".into(), move |runtime| runtime.block_on(runner.run(inbox)))?;
        for (shard, socket) in sockets.into_iter().enumerate() {
            let (shared, closed) = (Arc::clone(&gateway.shared), closed.clone());
            gateway.thread(format!("gateway-{shard}"), move |runtime| {
                runtime.block_on(worker::run(shared, shard, socket, closed));
            })?;
        }
        Ok(gateway)
    }

    fn thread(
        &self,
        name: String,
        body: impl FnOnce(&LocalRuntime) + Send + 'static,
    ) -> Result<(), GatewayError> {
        let alive = Arc::new(AtomicBool::new(true));
        let guard = Alive(Arc::clone(&alive));
        let (started, ready) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            let _alive = guard;
            // The runtime belongs to its thread, so it is made there.
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    started.send(None).ok();
                    body(&runtime);
                }
                Err(error) => drop(started.send(Some(error))),
            }
        };
        let handle = std::thread::Builder::new().name(name).spawn(run).map_err(GatewayError::Worker)?;
        self.threads().push((alive, handle));
        match ready.recv() {
            Ok(Some(error)) => Err(GatewayError::Worker(error)),
            Ok(None) => Ok(()),
            Err(gone) => Err(GatewayError::Worker(std::io::Error::other(gone))),
        }
    }

    /// The address that takes traffic; with port 0 configured, the port that was free. `None` when none is taken.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.shared.routes.load().table)
    }

    /// Whether copies of a model's requests that go to this version reach it: false after several in a row that could not be sent
    /// or had no answer in time, until one has an answer again; `None` for a version that gets no copies.
    pub fn takes_copies(&self, model: &str, version: &str) -> Option<bool> {
        let routes = self.shared.routes.load();
        let model = routes.models.iter().find(|compiled| *compiled.route.name == *model)?;
        let shadow = model.shadows.iter().flatten().find(|shadow| *shadow.version == *version)?;
        Some(!shadow.circuit.is_open())
    }

    /// Puts other routes in force, all at once: the next request sees them, requests under way end on the old ones.
    /// Upstreams that have not changed keep their connections.
    ///
    /// # Errors
    /// A table that cannot be compiled; the old one then stays.
    pub fn set_routes(&self, routes: RouteTable) -> Result<(), GatewayError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.shared.routes.load_full();
        let compiled = Compiled::new(routes, &self.shared.counters, Some(&old))?;
        self.shared.routes.store(Arc::new(compiled));
        Ok(())
    }

    /// Every counter at this instant.
    pub fn snapshot(&self) -> GatewaySnapshot {
        self.shared.counters.snapshot()
    }

    /// Whether every worker and the shadow thread run.
    pub fn is_healthy(&self) -> bool {
        let threads = self.threads();
        !threads.is_empty() && threads.iter().all(|(alive, _)| alive.load(Relaxed))
    }

    /// Stops: takes no new connection, lets requests under way end for at most the grace period, and joins the threads.
    /// Blocks; from asynchronous code call it where blocking is allowed.
    /// Called again, it does nothing.
    pub fn shutdown(&self) {
        self.closing.send_replace(true);
        let threads: Vec<Thread> = self.threads().drain(..).collect();
        for (_, thread) in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the data plane had panicked");
            }
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn check(config: &GatewayConfig) -> Result<(), GatewayError> {
    let bad = |field, reason: &str| Err(GatewayError::Setting { field, reason: reason.into() });
    if config.workers == 0 || config.workers > 1024 {
        return bad("workers", "must be between 1 and 1024");
    }
    if config.limits.head_bytes < 1024 || config.limits.head_bytes > 1024 * 1024 {
        return bad("head_bytes", "must be between 1024 and 1048576");
    }
    if config.limits.head_fields == 0 || config.limits.head_fields > 1024 {
        return bad("head_fields", "must be between 1 and 1024");
    }
    if config.limits.connections == 0 {
        return bad("connections", "must be at least 1");
    }
    Ok(())
}
