//! Fluent's forward protocol: Fluent Bit and Fluentd send chunks over TCP and wait for an acknowledgement.
//!
//! A chunk that asks for it is acknowledged when its records were counted, not before; so a crash repeats chunks and
//! loses none. A chunk that comes again, because its acknowledgement was lost, is known by its id and counted as a
//! duplicate. What one client can take of the process is bounded: connections, bytes of a frame, bytes held by all of
//! them together, time without progress. Over a bound its connection is closed, which makes Fluent Bit try again later.
//!
//! Protocol: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>.

mod chunks;
mod connection;
mod handshake;
mod message;
mod room;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::chunks::Chunks;
use self::room::Room;
use super::lines::Complaint;
use super::{SourceContext, SourceError, SourceState};
use crate::fluent::Reading;

/// How long until an address that is taken is tried again.
const BIND_EVERY: Duration = Duration::from_secs(2);

/// Rest after the system could not give a connection: it is out of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A listener of the forward protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardSpec {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How records are read.
    pub reading: Reading,
    /// What clients have to know; without it everybody who reaches the address may send.
    pub shared_key: Option<SharedKey>,
    /// Our name in the handshake.
    pub hostname: String,
    /// Most connections at a time, from 1.
    pub max_connections: usize,
    /// Longest message, bytes, also after inflating it.
    pub max_frame_bytes: usize,
}

/// A key that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey(pub Box<str>);

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(***)")
    }
}

/// Times after which a client is given up.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the whole handshake.
    handshake: Duration,
    /// From a message's first byte to its last.
    frame: Duration,
    /// Between messages.
    idle: Duration,
    /// For taking an acknowledgement.
    write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            frame: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            write: Duration::from_secs(10),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    spec: ForwardSpec,
    context: SourceContext,
    patience: Patience,
    room: Arc<Room>,
    connections: Arc<Semaphore>,
    /// Messages that are inflated and read at a time.
    readers: Semaphore,
    chunks: Mutex<Chunks>,
    complaint: Mutex<Complaint>,
}

impl Shared {
    fn new(spec: ForwardSpec, context: SourceContext, patience: Patience) -> Self {
        Self {
            room: Arc::new(Room::for_frames_of(spec.max_frame_bytes)),
            connections: Arc::new(Semaphore::new(spec.max_connections)),
            readers: Semaphore::new(2),
            chunks: Mutex::default(),
            complaint: Mutex::default(),
            spec,
            context,
            patience,
        }
    }

    /// Says it now and then.
    fn complain(&self, message: &str) {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).say(&self.context, message);
    }

    /// Counts a connection that had to be closed.
    fn failed(&self, message: &str) {
        self.context.counters.failed();
        self.complain(message);
    }
}

/// Listens until it has to stop; what was received whole is counted then.
pub(super) async fn run(spec: &ForwardSpec, context: &SourceContext) -> Result<(), SourceError> {
    let Some(listener) = bind(spec.listen, context).await else { return Ok(()) };
    let address = listener.local_addr().unwrap_or(spec.listen);
    tracing::info!(source = %context.name, %address, "takes the forward protocol");
    serve(listener, Shared::new(spec.clone(), context.clone(), Patience::default())).await;
    Ok(())
}

/// `None`: it has to stop before the address was free.
async fn bind(address: SocketAddr, context: &SourceContext) -> Option<TcpListener> {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                context.counters.set_state(SourceState::Running);
                return Some(listener);
            }
            Err(error) => {
                context.counters.failed();
                context.counters.set_state(SourceState::Retrying);
                tracing::warn!(source = %context.name, %address, %error, "cannot listen; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BIND_EVERY) => {}
            () = context.stopped() => return None,
        }
    }
}

async fn serve(listener: TcpListener, shared: Shared) {
    let shared = Arc::new(shared);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note_panic(&shared, &ended);
                continue;
            }
            () = shared.context.stopped() => break,
        };
        match accepted {
            Ok((stream, _)) => admit(stream, &shared, &mut connections),
            Err(error) => {
                shared.failed(&format!("a connection cannot be accepted: {error}"));
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_panic(&shared, &ended);
    }
}

fn admit(stream: TcpStream, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
        let most = shared.spec.max_connections;
        shared.failed(&format!("a connection is closed: there are {most} already (`max_connections`)"));
        return;
    };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        if let Err(error) = connection::serve(stream, &shared).await {
            shared.failed(&format!("a connection is closed: {error}"));
        }
        drop(permit);
    });
}

fn note_panic(shared: &Shared, ended: &Result<(), tokio::task::JoinError>) {
    if ended.is_err() {
        shared.failed("a connection ended in a panic");
    }
}

/// Reads a message: its entries, and the bytes that they are in.
#[cfg(feature = "fuzzing")]
pub(super) fn entries_of(bytes: &[u8], limit: usize) -> Option<(usize, usize)> {
    let message = message::Message::read(bytes).ok()??;
    let inflated = message.inflated(limit).ok()?;
    Some((message.entries(&inflated).count(), inflated.len()))
}
