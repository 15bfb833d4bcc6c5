//! The models and the clients of one row: traffic that is well, and then the failure.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::table::Fault;
use crate::support::http::Client;
use crate::support::model::{Behaviour, Model};

/// Rows before the failure: predictions are learned from the first 1 000, and a window is full of others.
pub(super) const CALM: usize = 2_400;

/// Rows of a request before the failure.
const CALM_BATCH: usize = 20;

/// Pause of a client after a request, so that a rule's time is not thousands of requests.
const PAUSE: Duration = Duration::from_millis(3);

/// Over how long the first requests of all clients are spread.
const SPREAD: Duration = Duration::from_secs(1);

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(3_600);

const PATH: &str = "/v1/models/delay:predict";
const TENANTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// `v2` is active and fails, `v1` is stable and does not.
#[derive(Debug)]
pub(super) struct Models {
    v1: Model,
    v2: Mutex<Option<Model>>,
}

impl Models {
    pub(super) fn start() -> Self {
        let score = |sum: f64| 1.0 / (1.0 + ((1_200.0 - sum) / 600.0).exp());
        let model = |name| Model::with(name, Behaviour { score, ..Behaviour::default() });
        Self { v1: model("v1"), v2: Mutex::new(Some(model("v2"))) }
    }

    /// Of `v1` and of `v2`.
    pub(super) fn urls(&self) -> (String, String) {
        (self.v1.url(), self.v2.lock().unwrap().as_ref().unwrap().url())
    }

    fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        if let Some(v2) = &*self.v2.lock().unwrap() {
            v2.set(change);
        }
    }
}

/// What the clients share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    fault: Fault,
    models: Models,
    rows: Vec<Value>,
    stop: AtomicBool,
    /// Requests that may be sent.
    allowed: AtomicUsize,
    taken: AtomicUsize,
    answered: AtomicUsize,
    last_status: AtomicU16,
}

/// Clients whose traffic is well at first.
#[derive(Debug)]
pub(super) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(super) fn new(address: SocketAddr, fault: Fault, models: Models, rows: Vec<Value>) -> Self {
        let shared = Shared {
            address,
            fault,
            models,
            rows,
            stop: AtomicBool::new(false),
            allowed: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            last_status: AtomicU16::new(0),
        };
        Self { shared: Arc::new(shared), threads: Vec::new() }
    }

    /// Sends [`CALM`] rows; each is answered.
    pub(super) fn send_calm(&self) {
        let mut client = Client::new(self.shared.address);
        for n in 0..CALM / CALM_BATCH {
            let rows: Vec<Value> = (0..CALM_BATCH).map(|at| self.shared.row(n * CALM_BATCH + at)).collect();
            assert_eq!(self.shared.send(&mut client, n, &rows), Some(200));
        }
    }

    /// From now on something is wrong. Nothing is sent until [`Clients::allow`].
    pub(super) fn begin_fault(&mut self) {
        let shared = &self.shared;
        match shared.fault {
            Fault::Dead => drop(shared.models.v2.lock().unwrap().take()),
            Fault::Slow(ms) => shared.models.set(|behaviour| behaviour.latency = Duration::from_millis(ms)),
            Fault::Hang => shared.models.set(|behaviour| behaviour.latency = FOR_EVER),
            Fault::Constant => shared.models.set(|behaviour| behaviour.score = |_| 0.5),
            _ => {}
        }
        // They begin one after the other, so that those who wait for the time limit do not all end at once.
        let n_clients = shared.fault.clients();
        for n in 0..n_clients {
            let (shared, delay) = (Arc::clone(shared), SPREAD * n as u32 / n_clients as u32);
            self.threads.push(std::thread::spawn(move || {
                std::thread::sleep(delay);
                shared.work();
            }));
        }
    }

    /// Requests with the failure that may be sent, in all.
    pub(super) fn allow(&self, n: usize) {
        self.shared.allowed.store(n, Ordering::SeqCst);
    }

    /// Requests with the failure that were answered.
    pub(super) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// The status of the newest answer.
    pub(super) fn last_status(&self) -> u16 {
        self.shared.last_status.load(Ordering::SeqCst)
    }

    /// Ends them.
    pub(super) fn stop(self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

impl Shared {
    /// A client: takes the next request while there is one that may be sent.
    fn work(&self) {
        let mut client = Client::new(self.address);
        while !self.stop.load(Ordering::SeqCst) {
            let allowed = self.allowed.load(Ordering::SeqCst);
            let take = |n: usize| (n < allowed).then_some(n + 1);
            if let Ok(n) = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
                if let Some(status) = self.send_wrong(&mut client, n) {
                    self.last_status.store(status, Ordering::SeqCst);
                }
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The n-th request with the failure.
    fn send_wrong(&self, client: &mut Client, n: usize) -> Option<u16> {
        let mut at = n;
        match self.fault {
            Fault::Status { code, every } => {
                self.models
                    .set(|behaviour| behaviour.status = if n.is_multiple_of(every) { code } else { 200 });
            }
            Fault::Repeat(times) => at /= times,
            _ => {}
        }
        let mut row = self.row(CALM + at);
        match self.fault {
            Fault::Requests(change) => change(&mut row),
            Fault::OneTenant(change) if n.is_multiple_of(TENANTS.len()) => change(&mut row),
            _ => {}
        }
        self.send(client, n, &[row])
    }

    fn row(&self, n: usize) -> Value {
        self.rows[n % self.rows.len()].clone()
    }

    /// The status of the answer, if there is one.
    fn send(&self, client: &mut Client, n: usize, rows: &[Value]) -> Option<u16> {
        let body = json!({ "instances": rows }).to_string();
        let tenant = TENANTS[n % TENANTS.len()];
        let fields = [("content-type", "application/json"), ("x-tenant-id", tenant)];
        client.try_send("POST", PATH, &fields, body.as_bytes()).ok().map(|answer| answer.status())
    }
}
