//! A worker: one thread, one event loop, its own listener and its own upstream connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::body::ForwardBody;
use crate::connection;
use crate::counters::Counters;
use crate::executor::LocalExec;
use crate::listener;
use crate::route::Compiled;
use crate::shadow::ShadowGate;
use crate::side::SideList;
use crate::spec::Limits;
use crate::tap::Tap;
use crate::upstream::Pool;

/// What all threads of a gateway share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) routes: ArcSwap<Compiled>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tap: Arc<dyn Tap>,
    pub(crate) shadow: ShadowGate,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) grace: Duration,
}

/// A route table as one worker sees it: with its own connections.
pub(crate) struct View {
    pub(crate) compiled: Arc<Compiled>,
    pools: Vec<Vec<Rc<Pool<ForwardBody>>>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("generation", &self.compiled.table.generation).finish_non_exhaustive()
    }
}

impl View {
    fn new(compiled: Arc<Compiled>, before: Option<&Self>, exec: &LocalExec) -> Self {
        let mut known: Vec<Rc<Pool<ForwardBody>>> = before.map_or_else(Vec::new, |b| b.pools.concat());
        let mut pools = Vec::with_capacity(compiled.models.len());
        for model in &compiled.models {
            let of_model = model.versions.iter().map(|version| {
                let same = known.iter().find(|pool| Arc::ptr_eq(&pool.target, &version.target)).cloned();
                same.unwrap_or_else(|| {
                    let pool = Pool::new(Arc::clone(&version.target), exec.clone());
                    known.push(Rc::clone(&pool));
                    pool
                })
            });
            pools.push(of_model.collect());
        }
        Self { compiled, pools }
    }

    /// The connections to one version of one model.
    pub(crate) fn pool(&self, model: usize, version: usize) -> &Rc<Pool<ForwardBody>> {
        &self.pools[model][version]
    }
}

/// One worker's own state.
pub(crate) struct Ctx {
    pub(crate) shared: Arc<Shared>,
    /// This worker's shard of the counters.
    pub(crate) shard: usize,
    pub(crate) exec: LocalExec,
    pub(crate) side: SideList,
    view: RefCell<Rc<View>>,
    /// Open connections of this worker.
    pub(crate) open: Cell<usize>,
    /// Whether the gateway closes.
    pub(crate) closed: Cell<bool>,
    /// Told to the connections when the gateway closes, and back when the last has gone.
    pub(crate) closing: Notify,
    pub(crate) all_closed: Notify,
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Ctx {
    /// A worker's state.
    pub(crate) fn new(shared: Arc<Shared>, shard: usize) -> Self {
        let exec = LocalExec::new(Arc::clone(&shared.counters.panics));
        let view = RefCell::new(Rc::new(View::new(shared.routes.load_full(), None, &exec)));
        Self {
            shared,
            shard,
            exec,
            side: SideList::default(),
            view,
            open: Cell::new(0),
            closed: Cell::new(false),
            closing: Notify::new(),
            all_closed: Notify::new(),
        }
    }

    /// The route table in force. Built anew only after a change.
    pub(crate) fn view(&self) -> Rc<View> {
        let current = self.shared.routes.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&view.compiled, &current) {
            *view = Rc::new(View::new(Arc::clone(&current), Some(&view), &self.exec));
        }
        Rc::clone(&view)
    }
}

/// Runs a worker until the gateway closes.
pub(crate) async fn run(
    shared: Arc<Shared>,
    shard: usize,
    socket: std::net::TcpListener,
    closing: watch::Receiver<bool>,
) {
    let ctx = Rc::new(Ctx::new(shared, shard));
    let side = Rc::clone(&ctx);
    ctx.exec.spawn(async move { side.side.run().await });
    listener::accept(&ctx, socket, closing).await;
    ctx.closed.set(true);
    ctx.closing.notify_waiters();
    let grace = ctx.shared.grace;
    if tokio::time::timeout(grace, connection::all_closed(&ctx)).await.is_err() {
        tracing::warn!(
            connections = ctx.open.get(),
            "connections were still open at the end of the grace period"
        );
    }
    ctx.side.finish();
}
