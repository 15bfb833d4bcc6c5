//! Copies: how they leave the data plane, and the thread that sends them.
//!
//! A copy crosses by `try_send` into a bounded queue, under a budget of bytes, past a circuit breaker. The sending side
//! has a thread, an event loop and connections of its own: whatever a shadow does, it does to that thread alone.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::body::Captured;
use crate::circuit::{Admission, Circuit};
use crate::copy::{CopyBody, send};
use crate::counters::{CopyCounters, Counters};
use crate::executor::LocalExec;
use crate::flight::{CopyHead, Seen};
use crate::headers;
use crate::hooks::ShadowHooks;
use crate::route::{Compiled, CompiledModel, CompiledShadow};
use crate::spec::{Limits, Shadow};
use crate::tap::Tap;
use crate::target::Target;
use crate::upstream::Pool;

/// What a copy weighs beside its body: headers, and the queue's own.
const HEAD_WEIGHT: usize = 1024;

/// A request that is to be sent to a shadow.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) model: usize,
    pub(crate) shadow: usize,
    pub(crate) target: Arc<CompiledShadow>,
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) tenant: Option<Bytes>,
    pub(crate) request_id: Bytes,
    pub(crate) seen_path: Bytes,
    pub(crate) seen_headers: Vec<(Arc<str>, Bytes)>,
    pub(crate) content_type: Option<Bytes>,
    pub(crate) content_encoding: Option<Bytes>,
    probe: bool,
    ticket: Option<Ticket>,
}

impl Copy {
    /// A copy of a request for one shadow. The body is shared, not copied.
    pub(crate) fn new(
        compiled: Arc<Compiled>,
        (model, shadow): (usize, usize),
        target: Arc<CompiledShadow>,
        head: &CopyHead,
        seen: &Seen,
        request: &Captured,
    ) -> Self {
        let mut headers = head.headers.clone();
        headers.insert(headers::X_SHADOW, HeaderValue::from_static("true"));
        let spec = &compiled.models[model].route.shadows[shadow];
        if spec.strip_credentials {
            headers::strip_credentials(&mut headers);
        }
        for name in &spec.strip_headers {
            headers.remove(name);
        }
        Self {
            model,
            shadow,
            target,
            method: head.method.clone(),
            path: head.path.clone(),
            headers,
            body: request.chunks().to_vec(),
            bytes: request.kept(),
            tenant: seen.tenant.clone(),
            request_id: seen.request_id.clone(),
            seen_path: seen.path.clone(),
            seen_headers: seen.headers.clone(),
            content_type: request.content_type(),
            content_encoding: request.content_encoding(),
            probe: false,
            ticket: None,
            compiled,
        }
    }

    pub(crate) fn model(&self) -> &CompiledModel {
        &self.compiled.models[self.model]
    }

    pub(crate) fn shadow(&self) -> &CompiledShadow {
        &self.target
    }

    pub(crate) fn spec(&self) -> &Shadow {
        &self.model().route.shadows[self.shadow]
    }
}

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    Failed,
    Timeout,
    DroppedQueue,
    DroppedBytes,
    DroppedCircuit,
    DroppedBudget,
    /// The answer was known; nothing was sent.
    Known,
}

/// Counts a copy exactly once and gives its bytes back. Dropped without a word (a shutdown), it counts as dropped.
#[derive(Debug)]
struct Ticket {
    link: Arc<Link>,
    counters: Arc<CopyCounters>,
    weight: usize,
    fate: Fate,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.held.fetch_sub(self.weight, Relaxed);
        let counter = match self.fate {
            Fate::Sent => &self.counters.sent,
            Fate::Failed => &self.counters.failed,
            Fate::Timeout => &self.counters.timeout,
            Fate::DroppedQueue => &self.counters.queue,
            Fate::DroppedBytes => &self.counters.bytes,
            Fate::DroppedCircuit => &self.counters.circuit,
            Fate::DroppedBudget => &self.counters.budget,
            Fate::Known => &self.counters.known,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// What both sides of the queue share.
#[derive(Debug)]
struct Link {
    held: AtomicUsize,
    budget: usize,
    anchor: Instant,
}

impl Link {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// The data plane's end of the queue.
#[derive(Debug)]
pub(crate) struct ShadowGate {
    link: Arc<Link>,
    queue: mpsc::Sender<Copy>,
}

impl ShadowGate {
    /// Both ends.
    pub(crate) fn new(limits: &Limits) -> (Self, ShadowInbox) {
        let (queue, copies) = mpsc::channel(limits.shadow_queue.max(1));
        let link =
            Arc::new(Link { held: AtomicUsize::new(0), budget: limits.shadow_bytes, anchor: Instant::now() });
        (Self { link: Arc::clone(&link), queue }, ShadowInbox { link, copies })
    }

    /// Hands a copy over, or counts why not and gives `false`. Never waits.
    pub(crate) fn offer(&self, mut copy: Copy) -> bool {
        let weight = copy.bytes + HEAD_WEIGHT;
        let held = self.link.held.fetch_add(weight, Relaxed);
        let counters = Arc::clone(&copy.model().copies);
        let mut ticket = Ticket { link: Arc::clone(&self.link), counters, weight, fate: Fate::DroppedQueue };
        match copy.shadow().circuit.admit(self.link.now_ms()) {
            Admission::Open => {
                ticket.fate = Fate::DroppedCircuit;
                return false;
            }
            admission => copy.probe = admission == Admission::Probe,
        }
        if held + weight > self.link.budget {
            ticket.fate = Fate::DroppedBytes;
            return false;
        }
        copy.ticket = Some(ticket);
        // A full queue gives the copy back; its ticket counts it.
        self.queue.try_send(copy).is_ok()
    }
}

/// The shadow thread's end of the queue.
#[derive(Debug)]
pub(crate) struct ShadowInbox {
    link: Arc<Link>,
    copies: mpsc::Receiver<Copy>,
}

/// What the shadow thread works with.
pub(crate) struct ShadowRunner {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tap: Arc<dyn Tap>,
    pub(crate) hooks: ShadowHooks,
    /// The shard of the counters that is this thread's.
    pub(crate) shard: usize,
    pub(crate) grace: Duration,
    pub(crate) closing: watch::Receiver<bool>,
}

type CopyPool = Rc<Pool<CopyBody>>;

impl ShadowRunner {
    /// Sends copies until the gateway closes, then waits for those in flight, at most the grace period.
    pub(crate) async fn run(self, mut inbox: ShadowInbox) {
        let most = self.limits.shadow_in_flight.max(1);
        let places = Arc::new(Semaphore::new(most));
        let exec = LocalExec::new(Arc::clone(&self.counters.panics));
        let mut pools: Vec<CopyPool> = Vec::new();
        let mut closing = self.closing.clone();
        let this = Rc::new(self);
        loop {
            let copy = tokio::select! {
                copy = inbox.copies.recv() => copy,
                _ = closing.wait_for(|closing| *closing) => None,
            };
            let Some(copy) = copy else { break };
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                _ = closing.wait_for(|closing| *closing) => break,
            };
            let Ok(place) = place else { break };
            let pool = pool_for(&mut pools, &copy, &exec);
            let (this, link) = (Rc::clone(&this), Arc::clone(&inbox.link));
            exec.spawn(async move {
                this.carry(copy, &pool, &link).await;
                drop(place);
            });
        }
        // Those still waiting are dropped and counted by their tickets.
        drop(inbox);
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        if tokio::time::timeout(this.grace, places.acquire_many(all)).await.is_err() {
            tracing::debug!("copies were still under way at the end of the grace period");
        }
    }

    async fn carry(&self, mut copy: Copy, pool: &CopyPool, link: &Link) {
        let Some(mut ticket) = copy.ticket.take() else { return };
        let circuit = Arc::clone(&copy.shadow().circuit);
        if circuit.is_open() && !copy.probe {
            ticket.fate = Fate::DroppedCircuit;
            return;
        }
        if !self.hooks.budget.admits(&copy.model().route.name, &copy.shadow().version) {
            ticket.fate = Fate::DroppedBudget;
            return;
        }
        // A panic on the way leaves this.
        ticket.fate = Fate::Failed;
        let (fate, unwell) = send(self, copy, pool).await;
        ticket.fate = fate;
        report(&circuit, fate, unwell, link.now_ms());
    }
}

fn report(circuit: &Circuit, fate: Fate, unwell: bool, now_ms: u64) {
    if unwell {
        circuit.failed(now_ms);
    } else if fate == Fate::Sent {
        circuit.succeeded();
    }
}

/// The pool of a copy's target. Pools of targets that no table uses any more go when a new one comes.
fn pool_for(pools: &mut Vec<CopyPool>, copy: &Copy, exec: &LocalExec) -> CopyPool {
    let target = &copy.shadow().target;
    if let Some(pool) = pools.iter().find(|pool| Arc::ptr_eq(&pool.target, target)) {
        return Rc::clone(pool);
    }
    let used = |target: &Arc<Target>| {
        copy.compiled.models.iter().flat_map(|m| &m.shadows).flatten().any(|s| Arc::ptr_eq(&s.target, target))
    };
    pools.retain(|pool| used(&pool.target));
    let pool = Pool::new(Arc::clone(target), exec.clone());
    pools.push(Rc::clone(&pool));
    pool
}

/// Says when a thread has ended, however it ended.
#[derive(Debug)]
pub(crate) struct Alive(pub(crate) Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Bytes that copies hold now.
#[cfg(test)]
fn held(gate: &ShadowGate) -> usize {
    gate.link.held.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_counts_once_and_gives_its_bytes_back() {
        let (gate, _inbox) = ShadowGate::new(&Limits::default());
        let counters = Arc::new(CopyCounters::default());
        gate.link.held.fetch_add(10, Relaxed);
        let ticket = Ticket {
            link: Arc::clone(&gate.link),
            counters: Arc::clone(&counters),
            weight: 10,
            fate: Fate::Timeout,
        };
        drop(ticket);
        assert_eq!(held(&gate), 0);
        assert_eq!(counters.timeout.load(Relaxed), 1);
    }
}
