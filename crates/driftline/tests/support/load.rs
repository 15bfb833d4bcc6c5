//! Clients that send all the time, and fail at the first request that does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::Client;
use super::instance::Instance;
use super::rows::{self, INFER, Row, ordinary};
use super::{DEADLINE, await_until};

/// Pause between two rounds of a [`Drip`].
const EVERY: Duration = Duration::from_millis(50);

/// Four clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(instance: &Instance) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let address = instance.traffic;
        let clients = (0..4).map(|_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                let body = rows::body(&[ordinary(0)]).to_string();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.send("POST", INFER, &[], body.as_bytes());
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// Waits for some more requests, so that what was changed is under load.
    pub(crate) fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        await_until("requests go on", DEADLINE, || {
            self.answered.load(Ordering::Relaxed) > before + 50
                || self.clients.iter().any(JoinHandle::is_finished)
        });
    }

    /// Ends them; every request was answered with 200.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        assert!(self.answered.load(Ordering::Relaxed) > 100);
    }
}

/// A client that sends a few rows of each tenant all the time until it is dropped: rules judge by new requests only.
#[derive(Debug)]
pub(crate) struct Drip {
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

impl Drip {
    pub(crate) fn start(
        instance: &Instance,
        tenants: &[Option<&'static str>],
        row: fn(usize) -> Row,
    ) -> Self {
        let (stop, address, tenants) = (Arc::new(AtomicBool::new(false)), instance.traffic, tenants.to_vec());
        let stopped = Arc::clone(&stop);
        let client = std::thread::spawn(move || {
            let mut client = Client::new(address);
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                tenants.iter().for_each(|tenant| drop(rows::infer(&mut client, *tenant, &[row(n)])));
                std::thread::sleep(EVERY);
            }
        });
        Self { stop, client: Some(client) }
    }
}

impl Drop for Drip {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.client.take().map(JoinHandle::join);
    }
}
