//! One exchange while it is under way: what its two bodies and its end have to know of each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use hyper::body::Incoming;

use crate::body::Captured;
use crate::grpc::Call;
use crate::guard::Busy;
use crate::refusal::Refusal;
use crate::route::{CompiledModel, CompiledVersion};
use crate::spec::Limits;
use crate::worker::{Ctx, View};

/// What an exchange is counted as whose client hung up, as nginx does: no fault of the server's.
const CLIENT_GONE: u16 = 499;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Production's answer went out whole.
    Complete,
    /// We answered: production could not.
    Ours,
    /// Bytes that are not HTTP go both ways.
    Switched,
    /// Client or upstream went away before the end.
    Aborted,
}

/// What the tap and the copies need to know of a request; only made when there is one of them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) at_ms: i64,
    pub(crate) tenant: Option<Bytes>,
    pub(crate) request_id: Bytes,
    /// Path without the query, as the client asked.
    pub(crate) path: Bytes,
    /// Headers for the log.
    pub(crate) headers: Vec<(Arc<str>, Bytes)>,
}

/// A request that was drawn for copying, before it is known whether it may be.
#[derive(Debug)]
pub(crate) struct CopyHead {
    /// Indexes into the model's shadows.
    pub(crate) shadows: Vec<usize>,
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    /// The client's headers with what belongs to this hop.
    pub(crate) headers: HeaderMap,
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) ctx: Rc<Ctx>,
    pub(crate) view: Rc<View>,
    pub(crate) model: usize,
    pub(crate) version: usize,
    pub(crate) started: Instant,
    pub(crate) seen: Option<Seen>,
    /// Whether the client asks for a WebSocket.
    pub(crate) is_upgrade: bool,
    /// Set for a gRPC call.
    pub(crate) call: Option<Call>,
    pub(crate) copy: RefCell<Option<Box<CopyHead>>>,
    /// Whether a shadow that only logs has drawn it.
    pub(crate) logged: Cell<bool>,
    pub(crate) request: RefCell<Captured>,
    pub(crate) response: RefCell<Captured>,
    pub(crate) status: Cell<u16>,
    pub(crate) latency_ms: Cell<f64>,
    /// When the first byte of the answer's body passed; noted only for the tap.
    pub(crate) first_byte_ms: Cell<Option<f64>>,
    pub(crate) outcome: Cell<Outcome>,
    /// Whether the upstream's answer broke off.
    pub(crate) broke: Cell<bool>,
    /// Until the end.
    busy: RefCell<Option<Busy>>,
    /// Why the request's body failed, if it did.
    blame: Cell<Option<Refusal>>,
    /// What is still to come of the client's body; here, so that a second sending can go on with it.
    pub(crate) incoming: RefCell<Option<Incoming>>,
    /// How often the request has been sent again.
    pub(crate) resent: Cell<u8>,
}

impl Flight {
    /// An exchange that begins; `seen` is `None` when nobody wants to know of it.
    pub(crate) fn new(
        ctx: Rc<Ctx>,
        view: Rc<View>,
        busy: Busy,
        (model, version): (usize, usize),
        started: Instant,
        seen: Option<Seen>,
    ) -> Self {
        Self {
            ctx,
            view,
            model,
            version,
            started,
            seen,
            is_upgrade: false,
            call: None,
            copy: RefCell::default(),
            logged: Cell::new(false),
            request: RefCell::default(),
            response: RefCell::default(),
            status: Cell::new(0),
            latency_ms: Cell::new(0.0),
            first_byte_ms: Cell::new(None),
            outcome: Cell::new(Outcome::Aborted),
            broke: Cell::new(false),
            busy: RefCell::new(Some(busy)),
            blame: Cell::new(None),
            incoming: RefCell::default(),
            resent: Cell::new(0),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.ctx.shared.limits
    }

    pub(crate) fn model(&self) -> &CompiledModel {
        &self.view.compiled.models[self.model]
    }

    pub(crate) fn version(&self) -> &CompiledVersion {
        &self.model().versions[self.version]
    }

    /// Notes that bytes of the answer's body are there: the first time, and only when somebody wants to know.
    pub(crate) fn answer_flows(&self) {
        if self.seen.is_some() && self.first_byte_ms.get().is_none() {
            self.first_byte_ms.set(Some(self.started.elapsed().as_secs_f64() * 1e3));
        }
    }

    /// Remembers that the client's body is what went wrong.
    pub(crate) fn blame(&self, refusal: Refusal) {
        self.blame.set(Some(refusal));
    }

    /// Whether the client's body is what went wrong.
    pub(crate) fn is_blamed(&self) -> bool {
        self.blame.get().is_some()
    }

    /// What the client is told when the upstream's connection broke.
    pub(crate) fn blamed(&self) -> Refusal {
        self.blame.get().unwrap_or(Refusal::BadAnswer)
    }

    fn end(self: Rc<Self>, outcome: Outcome, now: Instant) {
        let latency = now - self.started;
        let status = match outcome {
            Outcome::Aborted if self.broke.get() => 0,
            Outcome::Aborted => CLIENT_GONE,
            Outcome::Complete | Outcome::Ours | Outcome::Switched => self.status.get(),
        };
        self.version().counters.add(self.ctx.shard, status, latency);
        if let Some(busy) = self.busy.borrow_mut().take() {
            busy.end(now);
        }
        self.outcome.set(outcome);
        self.latency_ms.set(latency.as_secs_f64() * 1e3);
        if self.seen.is_some() {
            let ctx = Rc::clone(&self.ctx);
            ctx.side.push(self);
        }
    }
}

/// Ends an exchange exactly once; dropped without a word, as aborted.
#[derive(Debug)]
pub(crate) struct EndGuard(Option<Rc<Flight>>);

impl EndGuard {
    pub(crate) fn new(flight: Rc<Flight>) -> Self {
        Self(Some(flight))
    }

    pub(crate) fn flight(&self) -> &Rc<Flight> {
        self.0.as_ref().expect("invariant: only `complete`, `refused` and `drop`, which consume, empty it")
    }

    /// Production's answer went out whole.
    pub(crate) fn complete(mut self, now: Instant) {
        if let Some(flight) = self.0.take() {
            flight.end(Outcome::Complete, now);
        }
    }

    /// The connection has left HTTP: counted as its `101`, and not measured.
    pub(crate) fn switched(mut self) {
        if let Some(flight) = self.0.take() {
            flight.status.set(101);
            flight.end(Outcome::Switched, Instant::now());
        }
    }

    /// We answered with `refusal`.
    pub(crate) fn refused(mut self, refusal: Refusal) {
        if let Some(flight) = self.0.take() {
            flight.incoming.borrow_mut().take();
            flight.status.set(refusal.status().as_u16());
            flight.end(Outcome::Ours, Instant::now());
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            flight.end(Outcome::Aborted, Instant::now());
        }
    }
}
