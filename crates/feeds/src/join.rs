//! Requests and answers that arrive as separate events, put together by their id.
//!
//! The two halves come in any order, twice, or not at all. Each id has one entry from its first half on, for
//! [`JoinLimits::max_age`]; after that a request without its answer still counts for its features, and an answer without
//! its request is given up. Entries stand in the order of their first half, so that age, number and bytes are all kept in
//! bounds by taking from the front. An entry whose halves have met stays until its age is over: that is how a duplicate
//! is known.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use record::{Body, Exchange};

/// Bytes charged for an entry beside its body: the key, names, places in the map and the order.
const ENTRY_BYTES: usize = 512;

/// How much may wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinLimits {
    /// Ids that are known at a time, those whose halves have met included.
    pub entries: usize,
    /// Bytes that they hold.
    pub bytes: usize,
    /// How long an id is known after its first half.
    pub max_age: Duration,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self { entries: 65_536, bytes: 64 * 1024 * 1024, max_age: Duration::from_secs(60) }
    }
}

/// One of the two events of an inference.
#[derive(Debug)]
pub enum Half {
    /// The request, with all that is known from it; its status is 0.
    Request(Box<Exchange>),
    /// The answer of a request that succeeded.
    Answer {
        /// Its body.
        body: Body,
        /// When it was given, unix milliseconds.
        at_ms: i64,
    },
}

impl Half {
    fn bytes(&self) -> usize {
        match self {
            Self::Request(exchange) => exchange.request.captured_bytes() + exchange.header_bytes(),
            Self::Answer { body, .. } => body.captured_bytes(),
        }
    }
}

/// What became of a half, now or because room or time was over.
#[derive(Debug)]
pub enum Joined {
    /// To be counted: a whole exchange, or a request whose answer never came (status 0).
    Exchange(Box<Exchange>),
    /// An answer of this model whose request never came.
    Unpaired(Arc<str>),
    /// A half of this model that was there already.
    Duplicate(Arc<str>),
}

/// Halves that wait for their other half.
#[derive(Debug, Default)]
pub struct Joins {
    limits: JoinLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Arc<Key>, Known>,
    /// Every entry once, by the arrival of its first half.
    order: VecDeque<Arc<Key>>,
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    model: Arc<str>,
    id: Box<str>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    /// The half that waits; `None` once both have met.
    waits: Option<Half>,
}

impl Joins {
    /// Nothing waits yet.
    pub fn new(limits: JoinLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes a half and says what is settled by it.
    pub fn add(&self, model: &Arc<str>, id: &str, half: Half, now: Instant) -> Vec<Joined> {
        let mut state = self.lock();
        let mut settled = Vec::new();
        state.expire(now, self.limits.max_age, &mut settled);
        let key = Arc::new(Key { model: Arc::clone(model), id: id.into() });
        state.take(key, half, now, &mut settled);
        while state.order.len() > self.limits.entries || state.bytes > self.limits.bytes {
            if !state.drop_oldest(&mut settled) {
                break;
            }
        }
        settled
    }

    /// What has waited too long.
    pub fn expire(&self, now: Instant) -> Vec<Joined> {
        let mut settled = Vec::new();
        self.lock().expire(now, self.limits.max_age, &mut settled);
        settled
    }

    /// Everything that waits: nothing more will come.
    pub fn finish(&self) -> Vec<Joined> {
        let (mut settled, mut state) = (Vec::new(), self.lock());
        while state.drop_oldest(&mut settled) {}
        settled
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, key: Arc<Key>, half: Half, now: Instant, settled: &mut Vec<Joined>) {
        match self.entries.entry(Arc::clone(&key)) {
            Entry::Vacant(place) => {
                self.bytes += ENTRY_BYTES + half.bytes();
                place.insert(Known { since: now, waits: Some(half) });
                self.order.push_back(key);
            }
            Entry::Occupied(mut place) => {
                let waits = &mut place.get_mut().waits;
                match (waits.take(), half) {
                    (Some(first @ Half::Request(_)), Half::Request(_))
                    | (Some(first @ Half::Answer { .. }), Half::Answer { .. }) => {
                        *waits = Some(first);
                        settled.push(Joined::Duplicate(Arc::clone(&key.model)));
                    }
                    (Some(first), second) => {
                        self.bytes -= first.bytes();
                        settled.extend(join(first, second).map(Joined::Exchange));
                    }
                    (None, _) => settled.push(Joined::Duplicate(Arc::clone(&key.model))),
                }
            }
        }
    }

    fn expire(&mut self, now: Instant, max_age: Duration, settled: &mut Vec<Joined>) {
        let is_old = |known: &Known| now.saturating_duration_since(known.since) >= max_age;
        while self.order.front().and_then(|key| self.entries.get(key)).is_some_and(is_old) {
            self.drop_oldest(settled);
        }
    }

    /// Forgets the oldest entry; false when there is none.
    fn drop_oldest(&mut self, settled: &mut Vec<Joined>) -> bool {
        let Some(key) = self.order.pop_front() else { return false };
        let waits = self.entries.remove(&key).and_then(|known| known.waits);
        self.bytes -= ENTRY_BYTES + waits.as_ref().map_or(0, Half::bytes);
        match waits {
            Some(Half::Request(exchange)) => settled.push(Joined::Exchange(exchange)),
            Some(Half::Answer { .. }) => settled.push(Joined::Unpaired(Arc::clone(&key.model))),
            None => {}
        }
        true
    }
}

/// The exchange of two different halves. Only answers with status 200 are sent as events.
fn join(first: Half, second: Half) -> Option<Box<Exchange>> {
    match (first, second) {
        (Half::Request(mut exchange), Half::Answer { body, at_ms })
        | (Half::Answer { body, at_ms }, Half::Request(mut exchange)) => {
            exchange.status = 200;
            exchange.latency_ms = at_ms.saturating_sub(exchange.at_ms).max(0) as f64;
            exchange.response = body;
            Some(exchange)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use record::Lane;

    use super::*;

    const MODEL: &str = "m";

    fn request(body: &'static str) -> Half {
        Half::Request(Box::new(Exchange {
            at_ms: 1_000,
            model: Arc::from(MODEL),
            version: Arc::from("v"),
            lane: Lane::Prod,
            tenant: None,
            request_id: Bytes::new(),
            status: 0,
            latency_ms: 0.0,
            first_byte_ms: None,
            headers: Vec::new(),
            path: Bytes::new(),
            request: Body::complete(body),
            response: Body::default(),
            pairing: record::Pairing::Unknown,
        }))
    }

    fn answer(body: &'static str) -> Half {
        Half::Answer { body: Body::complete(body), at_ms: 1_012 }
    }

    /// `request/answer` for an exchange, the name for what is no exchange.
    fn shown(settled: Vec<Joined>) -> Vec<String> {
        let show = |joined| match joined {
            Joined::Exchange(exchange) => {
                let text = |body: &Body| String::from_utf8(body.chunks.concat()).unwrap();
                format!("{} {}/{}", exchange.status, text(&exchange.request), text(&exchange.response))
            }
            Joined::Unpaired(_) => "unpaired".to_owned(),
            Joined::Duplicate(_) => "duplicate".to_owned(),
        };
        settled.into_iter().map(show).collect()
    }

    struct Bench {
        joins: Joins,
        model: Arc<str>,
        start: Instant,
    }

    impl Bench {
        fn new(limits: JoinLimits) -> Self {
            Self { joins: Joins::new(limits), model: Arc::from(MODEL), start: Instant::now() }
        }

        fn add(&self, id: &str, half: Half, secs: u64) -> Vec<String> {
            shown(self.joins.add(&self.model, id, half, self.start + Duration::from_secs(secs)))
        }

        fn expire(&self, secs: u64) -> Vec<String> {
            shown(self.joins.expire(self.start + Duration::from_secs(secs)))
        }

        fn is_empty(&self) -> bool {
            let state = self.joins.lock();
            state.entries.is_empty() && state.order.is_empty() && state.bytes == 0
        }
    }

    #[test]
    fn halves_meet_in_either_order_and_once() {
        let bench = Bench::new(JoinLimits::default());
        assert!(bench.add("a", request("q"), 0).is_empty());
        assert_eq!(bench.add("a", answer("r"), 1), ["200 q/r"]);
        assert!(bench.add("b", answer("r2"), 1).is_empty());
        assert_eq!(bench.add("b", answer("r3"), 1), ["duplicate"]);
        assert_eq!(bench.add("b", request("q2"), 1), ["200 q2/r2"], "the first of two equal halves counts");
        assert_eq!(bench.add("a", request("q"), 2), ["duplicate"]);
        assert_eq!(bench.add("a", answer("r"), 2), ["duplicate"]);
        assert!(bench.expire(100).is_empty());
        assert!(bench.is_empty());
    }

    #[test]
    fn a_request_alone_counts_when_its_time_is_over_and_an_answer_alone_does_not() {
        let bench = Bench::new(JoinLimits::default());
        bench.add("a", request("q"), 0);
        bench.add("b", answer("r"), 10);
        assert!(bench.expire(59).is_empty());
        assert_eq!(bench.expire(60), ["0 q/"]);
        assert_eq!(bench.expire(70), ["unpaired"]);
        assert!(bench.is_empty());
        bench.add("a", answer("late"), 71);
        assert_eq!(shown(bench.joins.finish()), ["unpaired"]);
        assert!(bench.is_empty());
    }

    #[test]
    fn over_a_limit_the_oldest_gives_way() {
        let bench = Bench::new(JoinLimits { entries: 2, ..JoinLimits::default() });
        bench.add("a", request("q1"), 0);
        bench.add("b", request("q2"), 0);
        assert_eq!(bench.add("c", request("q3"), 0), ["0 q1/"]);
        assert_eq!(bench.add("b", answer("r2"), 0), ["200 q2/r2"]);

        let bench = Bench::new(JoinLimits { bytes: 2 * ENTRY_BYTES + 10, ..JoinLimits::default() });
        bench.add("a", answer("01234"), 0);
        bench.add("b", request("01234"), 0);
        assert!(bench.add("b", answer("0123456789012345"), 0).len() == 1, "a pair holds nothing");
        assert_eq!(bench.add("c", request("0123456"), 0), ["unpaired"]);
        assert_eq!(bench.add("d", request("0123456789012345678901234567890"), 0), ["0 0123456/"]);
        bench.joins.finish();
        assert!(bench.is_empty());
    }

    #[test]
    fn models_do_not_share_ids() {
        let bench = Bench::new(JoinLimits::default());
        bench.add("a", request("q"), 0);
        let other = bench.joins.add(&Arc::from("other"), "a", answer("r"), bench.start);
        assert!(other.is_empty());
        assert_eq!(shown(bench.joins.finish()), ["0 q/", "unpaired"]);
    }

    #[test]
    fn latency_is_the_time_between_the_halves() {
        let bench = Bench::new(JoinLimits::default());
        bench.add("a", request("q"), 0);
        let settled = bench.joins.add(&bench.model, "a", answer("r"), bench.start);
        assert!(matches!(&settled[..], [Joined::Exchange(exchange)] if exchange.latency_ms == 12.0));
    }
}
