//! The bounded way from the data plane to the monitor: never blocks, counts what it drops.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use crossbeam_queue::ArrayQueue;
use gateway::Tap;
use record::Exchange;

/// Why an exchange was not observed, before the monitor saw it.
const REASONS: [&str; 7] =
    ["queue_full", "queue_bytes", "capture_limit", "aborted", "panic", "unpaired", "duplicate"];

/// Bytes charged for an exchange beside its bodies: names, ids, the queue's slot.
const EXCHANGE_OVERHEAD_BYTES: usize = 512;

/// An exchange that waits to be measured.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) exchange: Exchange,
    /// Somebody else's gateway carried it; ours has not counted it.
    pub(crate) is_foreign: bool,
}

/// A queue of exchanges with a bound on their number and on the bytes they hold.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: ArrayQueue<Waiting>,
    bytes: AtomicUsize,
    max_bytes: usize,
    dropped: RwLock<HashMap<Box<str>, [AtomicU64; REASONS.len()]>>,
}

impl Intake {
    /// `capacity` exchanges (at least one) and `max_bytes` bytes at the most; drops are counted for `models`.
    pub(crate) fn new<'a>(capacity: usize, max_bytes: usize, models: impl Iterator<Item = &'a str>) -> Self {
        let intake = Self {
            queue: ArrayQueue::new(capacity.max(1)),
            bytes: AtomicUsize::new(0),
            max_bytes,
            dropped: RwLock::default(),
        };
        intake.add_models(models);
        intake
    }

    /// Makes room for the counters of models that a reload brought.
    pub(crate) fn add_models<'a>(&self, models: impl Iterator<Item = &'a str>) {
        let mut dropped = self.dropped.write().unwrap_or_else(PoisonError::into_inner);
        for model in models {
            dropped.entry(model.into()).or_default();
        }
    }

    /// The oldest exchange, if there is one.
    pub(crate) fn pop(&self) -> Option<Waiting> {
        let waiting = self.queue.pop()?;
        self.bytes.fetch_sub(charge(&waiting.exchange), Ordering::Relaxed);
        Some(waiting)
    }

    /// Takes an exchange that somebody else's gateway carried.
    pub(crate) fn offer_foreign(&self, exchange: Exchange) {
        self.take(exchange, true);
    }

    fn take(&self, exchange: Exchange, is_foreign: bool) {
        let charge = charge(&exchange);
        if self.bytes.fetch_add(charge, Ordering::Relaxed) + charge > self.max_bytes {
            self.bytes.fetch_sub(charge, Ordering::Relaxed);
            self.count_drop(&exchange.model, "queue_bytes");
            return;
        }
        if let Err(waiting) = self.queue.push(Waiting { exchange, is_foreign }) {
            self.bytes.fetch_sub(charge, Ordering::Relaxed);
            self.count_drop(&waiting.exchange.model, "queue_full");
        }
    }

    /// Exchanges waiting.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Places in all.
    pub(crate) fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Counts one that was not observed.
    pub(crate) fn count_drop(&self, model: &str, reason: &'static str) {
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);
        let slot = REASONS.iter().position(|known| *known == reason);
        if let (Some(counters), Some(slot)) = (dropped.get(model), slot)
            && let Some(counter) = counters.get(slot)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops so far: model, reason, count. Every reason is listed, also at zero.
    pub(crate) fn dropped(&self) -> Vec<(String, &'static str, u64)> {
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = dropped
            .iter()
            .flat_map(|(model, counters)| {
                REASONS
                    .iter()
                    .zip(counters)
                    .map(|(reason, counter)| (model.to_string(), *reason, counter.load(Ordering::Relaxed)))
            })
            .collect();
        list.sort();
        list
    }
}

impl Tap for Intake {
    fn offer(&self, exchange: Exchange) {
        self.take(exchange, false);
    }

    fn skipped(&self, model: &str, reason: &'static str) {
        self.count_drop(model, reason);
    }
}

fn charge(exchange: &Exchange) -> usize {
    EXCHANGE_OVERHEAD_BYTES
        + exchange.header_bytes()
        + exchange.request.captured_bytes()
        + exchange.response.captured_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use record::{Body, Lane};

    use super::*;

    fn exchange(body: &'static str) -> Exchange {
        Exchange {
            at_ms: 0,
            model: Arc::from("m"),
            version: Arc::from("v"),
            lane: Lane::Prod,
            tenant: None,
            request_id: Bytes::new(),
            status: 200,
            latency_ms: 1.0,
            first_byte_ms: None,
            headers: Vec::new(),
            path: Bytes::new(),
            request: Body::complete(body),
            response: Body::default(),
            pairing: record::Pairing::Unknown,
        }
    }

    fn drops(intake: &Intake, reason: &str) -> u64 {
        intake.dropped().iter().filter(|(_, r, _)| *r == reason).map(|(_, _, count)| count).sum()
    }

    #[test]
    fn what_goes_in_comes_out_or_is_counted() {
        let intake = Intake::new(2, usize::MAX, ["m"].into_iter());
        for _ in 0..5 {
            intake.offer(exchange("body"));
        }
        assert_eq!(intake.len(), 2);
        assert_eq!(drops(&intake, "queue_full"), 3);
        assert!(intake.pop().is_some());
        assert!(intake.pop().is_some());
        assert!(intake.pop().is_none());
        assert_eq!(intake.bytes(), 0);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let intake = Intake::new(100, EXCHANGE_OVERHEAD_BYTES + 10, ["m"].into_iter());
        intake.offer(exchange("0123456789"));
        intake.offer(exchange("0"));
        assert_eq!(drops(&intake, "queue_bytes"), 1);
        assert!(intake.pop().is_some());
        intake.offer(exchange("0"));
        assert_eq!(intake.len(), 1);
    }

    #[test]
    fn unknown_models_are_not_remembered() {
        let intake = Intake::new(1, usize::MAX, ["m"].into_iter());
        intake.skipped("stranger", "aborted");
        intake.skipped("m", "aborted");
        assert!(intake.dropped().iter().all(|(model, ..)| model == "m"));
        assert_eq!(drops(&intake, "aborted"), 1);
    }
}
