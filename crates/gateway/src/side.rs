//! The side branch: what happens to an exchange once it has ended. The only place where copies are made and the tap is
//! called.
//!
//! Ended exchanges wait in a list that the worker drains between requests, after the answer has gone to the socket:
//! not even the few microseconds spent here are the client's. The list needs no bound of its own, it is emptied before
//! the worker waits for its sockets again.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::Instant;

use record::{Exchange, Lane, Pairing};

use crate::flight::{Flight, Outcome};
use crate::shadow::Copy;

/// One exchange in so many has its side branch measured.
const MEASURE_EVERY: u32 = 64;

/// Exchanges that have ended and wait for their side branch.
#[derive(Debug, Default)]
pub(crate) struct SideList {
    ended: RefCell<Vec<Rc<Flight>>>,
    waker: RefCell<Option<Waker>>,
    turn: Cell<u32>,
}

impl SideList {
    /// Adds an exchange and wakes the drain.
    pub(crate) fn push(&self, flight: Rc<Flight>) {
        self.ended.borrow_mut().push(flight);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Drains for ever.
    pub(crate) async fn run(&self) {
        let mut batch = Vec::new();
        loop {
            std::future::poll_fn(|cx| {
                let mut ended = self.ended.borrow_mut();
                if ended.is_empty() {
                    *self.waker.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut *ended, &mut batch);
                Poll::Ready(())
            })
            .await;
            self.drain(&mut batch);
        }
    }

    /// Takes what is left when the worker ends.
    pub(crate) fn finish(&self) {
        let mut rest = std::mem::take(&mut *self.ended.borrow_mut());
        self.drain(&mut rest);
    }

    fn drain(&self, batch: &mut Vec<Rc<Flight>>) {
        for flight in batch.drain(..) {
            let turn = self.turn.get().wrapping_add(1);
            self.turn.set(turn);
            let began = turn.is_multiple_of(MEASURE_EVERY).then(Instant::now);
            let counters = &flight.ctx.shared.counters;
            // A tap that panics loses one exchange, not the worker.
            if catch_unwind(AssertUnwindSafe(|| take(&flight))).is_err() {
                counters.panics.fetch_add(1, Relaxed);
            }
            if let Some(began) = began {
                counters.overhead(began.elapsed());
            }
        }
    }
}

fn take(flight: &Flight) {
    let route = &flight.model().route;
    let tap = &flight.ctx.shared.tap;
    match flight.outcome.get() {
        Outcome::Ours | Outcome::Switched => {}
        Outcome::Aborted => {
            if route.tap {
                tap.skipped(&route.name, "aborted");
            }
        }
        Outcome::Complete => {
            let pairing = match copy(flight) {
                0 => Pairing::Alone,
                copies => Pairing::Copied(copies),
            };
            if route.tap {
                observe(flight, pairing);
            }
        }
    }
}

/// Sends copies of an exchange whose request production took as authenticated and whose answer went out whole. Says how
/// many are under way to shadows whose answers are read.
fn copy(flight: &Flight) -> u8 {
    let Some(head) = flight.copy.borrow_mut().take() else { return 0 };
    if is_unauthenticated(flight) {
        return 0;
    }
    let model = flight.model();
    let request = flight.request.borrow();
    if !request.is_whole() {
        model.copies.capture.fetch_add(head.shadows.len() as u64, Relaxed);
        return 0;
    }
    let Some(seen) = &flight.seen else { return 0 };
    let mut n_answers = 0_u8;
    for &shadow in &head.shadows {
        let spec = &model.route.shadows[shadow];
        if spec.noise && spec.version != Some(flight.version) {
            continue;
        }
        let Some(target) = &model.shadows[shadow] else { continue };
        let compiled = Arc::clone(&flight.view.compiled);
        let copy = Copy::new(compiled, (flight.model, shadow), Arc::clone(target), &head, seen, &request);
        if flight.ctx.shared.shadow.offer(copy) && spec.tap {
            n_answers = n_answers.saturating_add(1);
        }
    }
    n_answers
}

fn is_unauthenticated(flight: &Flight) -> bool {
    matches!(flight.status.get(), 401 | 403)
}

fn observe(flight: &Flight, pairing: Pairing) {
    let (tap, route) = (&flight.ctx.shared.tap, &flight.model().route);
    let (mut request, mut response) = (flight.request.borrow_mut(), flight.response.borrow_mut());
    let Some(seen) = &flight.seen else { return };
    if request.over || response.over {
        tap.skipped(&route.name, "capture_limit");
        return;
    }
    if !request.ended {
        tap.skipped(&route.name, "aborted");
        return;
    }
    let exchange = Exchange {
        at_ms: seen.at_ms,
        model: Arc::clone(&route.name),
        version: Arc::clone(&flight.version().name),
        lane: Lane::Prod,
        tenant: seen.tenant.clone(),
        request_id: seen.request_id.clone(),
        status: flight.status.get(),
        latency_ms: flight.latency_ms.get(),
        first_byte_ms: flight.first_byte_ms.get(),
        headers: seen.headers.clone(),
        path: seen.path.clone(),
        request: request.take(),
        response: response.take(),
        pairing,
    };
    // Bodies are shared, not copied.
    let logged = (flight.logged.get() && !is_unauthenticated(flight)).then(|| exchange.clone());
    tap.offer(exchange);
    if let Some(logged) = logged {
        flight.model().copies.logged.fetch_add(1, Relaxed);
        tap.offer(Exchange { lane: Lane::Shadow, pairing: Pairing::Alone, ..logged });
    }
}
