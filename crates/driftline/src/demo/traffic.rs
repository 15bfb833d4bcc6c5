//! The demo's clients: flights as requests through the gateway, at a constant rate whatever the answers take.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Uri};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::http_client::{Answer, HttpClient};
use crate::replay::pace::Schedule;
use crate::replay::tally::LatencySketch;

/// The customers, whose requests come in turn.
pub(super) const TENANTS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];

/// Header that names the customer.
pub(super) const TENANT_HEADER: &str = "x-tenant-id";

/// Time for an answer; none takes so long unless something is broken.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked at whether requests have ended.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Requests under way, in seconds of traffic; a slow v2 needs 0.6.
const IN_FLIGHT_SECONDS: f64 = 4.0;

/// What clients have seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Requests that went out.
    pub(super) sent: u64,
    /// Numbers of those that have not ended; as many as there are places.
    pub(super) under_way: BTreeSet<u64>,
    /// Whole answers.
    pub(super) answered: u64,
    /// Answers that were not 2xx.
    pub(super) errors: u64,
    /// Requests without a whole answer, or never sent because too many were under way.
    pub(super) lost: u64,
    /// The first error or loss.
    pub(super) first_problem: Option<String>,
    /// Since the first request of July was sent.
    pub(super) changed_at: Option<Instant>,
    /// When the first answer of v1 to a client arrived.
    pub(super) first_v1_at: Option<Instant>,
    /// Answers of v2 to requests sent before the change.
    pub(super) before: LatencySketch,
    /// Answers of v2 to requests sent after it.
    pub(super) during: LatencySketch,
    /// Answers of v1.
    pub(super) after: LatencySketch,
}

/// Clients at work.
#[derive(Debug)]
pub(super) struct Traffic {
    client: HttpClient,
    url: Uri,
    rps: f64,
    is_july: AtomicBool,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

impl Traffic {
    /// To the gateway at `url`, `rps` requests a second.
    pub(super) fn new(url: Uri, rps: f64) -> Arc<Self> {
        Arc::new(Self {
            client: HttpClient::new(TIMEOUT),
            url,
            rps,
            is_july: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            seen: Mutex::default(),
        })
    }

    /// What clients have seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// From now on July's flights.
    pub(super) fn july(&self) {
        self.season(true);
    }

    /// From now on July's flights, or winter's again.
    pub(super) fn season(&self, is_july: bool) {
        self.is_july.store(is_july, Ordering::Relaxed);
    }

    /// No more requests; those under way go on.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until [`Self::end`]; returns when every request under way has ended. Both lists begin anew at their ends.
    pub(super) async fn run(self: Arc<Self>, mut winter: Vec<Bytes>, mut july: Vec<Bytes>, seed: u64) {
        let mut random = Rng::with_seed(seed);
        random.shuffle(&mut winter);
        random.shuffle(&mut july);
        let (mut winter, mut july) = (winter.iter().cycle(), july.iter().cycle());
        let places = (self.rps * IN_FLIGHT_SECONDS).ceil() as u32 + 16;
        let under_way = Arc::new(Semaphore::new(places as usize));
        let schedule = Schedule::new(Instant::now(), Some(self.rps));
        for (number, tenant) in (0..).zip(TENANTS.into_iter().cycle()) {
            if let Some(due) = schedule.due(number) {
                tokio::time::sleep_until(due.into()).await;
            }
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let is_july = self.is_july.load(Ordering::Relaxed);
            let Some(body) = (if is_july { july.next() } else { winter.next() }) else { break };
            match Arc::clone(&under_way).try_acquire_owned() {
                Ok(place) => {
                    let (traffic, body) = (Arc::clone(&self), body.clone());
                    tokio::spawn(async move {
                        traffic.send(number, tenant, body, is_july).await;
                        drop(place);
                    });
                }
                Err(_) => self.lost(|| format!("more than {places} requests were under way")),
            }
        }
        // Every place is free again when nothing is under way.
        drop(under_way.acquire_many(places).await);
    }

    async fn send(&self, number: u64, tenant: &str, body: Bytes, is_july: bool) {
        let sent_at = Instant::now();
        {
            let mut seen = self.lock();
            seen.sent += 1;
            seen.under_way.insert(number);
            if is_july {
                seen.changed_at.get_or_insert(sent_at);
            }
        }
        let headers = [("content-type", "application/json"), (TENANT_HEADER, tenant)];
        match self.client.send(Method::POST, &self.url, &headers, body).await {
            Ok(answer) => self.lock().answered(&answer, sent_at, is_july),
            Err(error) => self.lost(|| format!("{error:#}")),
        }
        self.lock().under_way.remove(&number);
    }

    /// What clients have seen once every request that is under way now has ended, well or not.
    pub(super) async fn settled(&self) -> Seen {
        let last = self.seen().under_way.last().copied();
        loop {
            let seen = self.seen();
            if seen.has_ended(last) {
                return seen;
            }
            tokio::time::sleep(SETTLE_LOOK_EVERY).await;
        }
    }

    fn lost(&self, why: impl FnOnce() -> String) {
        let mut seen = self.lock();
        seen.lost += 1;
        seen.first_problem.get_or_insert_with(why);
    }
}

impl Seen {
    /// Whether every request up to this number has ended.
    fn has_ended(&self, last: Option<u64>) -> bool {
        match (self.under_way.first(), last) {
            (Some(first), Some(last)) => *first > last,
            _ => true,
        }
    }

    fn answered(&mut self, answer: &Answer, sent_at: Instant, is_july: bool) {
        self.answered += 1;
        if !answer.status.is_success() {
            self.errors += 1;
            let text = || format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            self.first_problem.get_or_insert_with(text);
            return;
        }
        let took = sent_at.elapsed();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if body["model_version"] == "v1" {
            self.first_v1_at.get_or_insert_with(Instant::now);
            self.after.add(took);
        } else if is_july {
            self.during.add(took);
        } else {
            self.before.add(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_under_way_then_is_waited_for() {
        let ended = |under_way: &[u64], last| {
            let under_way = under_way.iter().copied().collect();
            Seen { under_way, ..Seen::default() }.has_ended(last)
        };
        assert!(!ended(&[3, 4], Some(4)));
        assert!(!ended(&[4, 5], Some(4)));
        assert!(ended(&[5, 6], Some(4)));
        assert!(ended(&[], Some(4)));
        assert!(ended(&[7], None));
    }
}
