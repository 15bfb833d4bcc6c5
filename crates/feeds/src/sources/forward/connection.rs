//! One client of the forward protocol.

use std::io;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::chunks::{self, Key, Seen};
use super::handshake::{self, Nonce, PING_BYTES, Ping};
use super::message::{Message, MessageError, acknowledgement};
use super::room::{FREE_BYTES, Share};
use super::{Shared, SharedKey};
use crate::ObserverGone;
use crate::fluent::msgpack::{Broken, Frame};
use crate::sources::{Refused, Reject};

/// Free bytes of the buffer that a read gets at least.
const READ_BYTES: usize = 16 << 10;

/// Observations handed over at a time.
const BATCH: usize = 500;

/// Entries after which others get their turn.
const TURN: usize = 1_000;

/// Why a connection was closed by us, or broke.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("{0}")]
    Message(#[from] MessageError),
    #[error("a message is longer than {0} bytes (`max_frame`)")]
    TooLong(usize),
    #[error("too many large messages are under way; the client will try again")]
    NoRoom,
    #[error("a message took longer than {0:?} to come")]
    TooSlow(Duration),
    #[error("the client does not take its acknowledgement")]
    NotTaken,
    #[error("it ended inside a message")]
    Cut,
    #[error("the client does not know the `shared_key`, or sent no PING in time")]
    Stranger,
    #[error("the system has no randomness for a handshake")]
    NoNonce,
    #[error("a chunk came again while it was being counted; the client will try again")]
    UnderWay,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Gone(#[from] ObserverGone),
}

/// Takes messages until the client leaves or we have to stop.
pub(super) async fn serve(stream: TcpStream, shared: &Shared) -> Result<(), Closed> {
    stream.set_nodelay(true)?;
    let mut connection =
        Connection { stream, shared, buffer: Vec::new(), start: 0, share: Share::of(&shared.room) };
    if let Some(key) = &shared.spec.shared_key {
        connection.greet(key).await?;
    }
    let limit = shared.spec.max_frame_bytes;
    while let Some(frame) = connection.frame(limit, shared.patience.idle, shared.patience.frame).await? {
        let message = connection.buffer.get(frame).unwrap_or_default();
        shared.context.counters.read(message.len());
        if let Some(answer) = shared.take(message).await? {
            connection.write(&answer).await?;
        }
    }
    Ok(())
}

struct Connection<'s> {
    stream: TcpStream,
    shared: &'s Shared,
    /// What has come; before `start` it is done with.
    buffer: Vec<u8>,
    start: usize,
    share: Share,
}

impl Connection<'_> {
    async fn greet(&mut self, key: &SharedKey) -> Result<(), Closed> {
        let patience = self.shared.patience.handshake;
        let nonce = Nonce::new().ok_or(Closed::NoNonce)?;
        self.write(&nonce.helo()).await?;
        let frame = self.frame(PING_BYTES, patience, patience).await?.ok_or(Closed::Stranger)?;
        let message = self.buffer.get(frame).unwrap_or_default();
        let ping = Ping::read(message).ok_or(Closed::Stranger)?;
        if ping.is_valid(&nonce, key) {
            let pong = ping.accepted(&nonce, key, &self.shared.spec.hostname);
            return self.write(&pong).await;
        }
        self.write(&handshake::refused()).await?;
        Err(Closed::Stranger)
    }

    /// Where the next message stands in the buffer. `None`: the client has left, was silent for too long, or we stop.
    async fn frame(
        &mut self,
        limit: usize,
        idle: Duration,
        whole: Duration,
    ) -> Result<Option<Range<usize>>, Closed> {
        let mut frame = Frame::default();
        let idle_until = Instant::now() + idle;
        let mut whole_until = None;
        loop {
            let begun = self.buffer.get(self.start..).unwrap_or_default();
            if let Some(length) = frame.find(begun)? {
                if length > limit {
                    return Err(Closed::TooLong(limit));
                }
                let at = self.start;
                self.start += length;
                return Ok(Some(at..self.start));
            }
            if frame.at_least() > limit {
                return Err(Closed::TooLong(limit));
            }
            let is_between = begun.is_empty();
            let until = match is_between {
                true => idle_until,
                false => *whole_until.get_or_insert_with(|| Instant::now() + whole),
            };
            self.make_room()?;
            let read = tokio::select! {
                read = timeout_at(until, self.stream.read_buf(&mut self.buffer)) => read,
                () = self.shared.context.stopped() => return Ok(None),
            };
            match read {
                Ok(Ok(0)) | Err(_) if is_between => return Ok(None),
                Ok(Err(error)) if is_between && error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(None);
                }
                Ok(Ok(0)) => return Err(Closed::Cut),
                Ok(read) => drop(read?),
                Err(_) => return Err(Closed::TooSlow(whole)),
            }
        }
    }

    /// Makes room in the buffer for a read, and gives back what a large message took.
    fn make_room(&mut self) -> Result<(), Closed> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > FREE_BYTES {
            self.buffer = Vec::new();
            self.share.release();
        }
        let free = self.buffer.capacity() - self.buffer.len();
        if free < READ_BYTES {
            let wanted = (self.buffer.capacity() * 2).max(self.buffer.len() + READ_BYTES);
            if !self.share.grow_to(wanted) {
                return Err(Closed::NoRoom);
            }
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        Ok(())
    }

    async fn write(&mut self, answer: &[u8]) -> Result<(), Closed> {
        let written = timeout(self.shared.patience.write, self.stream.write_all(answer)).await;
        Ok(written.map_err(|_| Closed::NotTaken)??)
    }
}

/// A chunk that is being counted; it may come again unless it was counted to the end.
struct UnderWay<'s> {
    shared: &'s Shared,
    key: Key,
    is_counted: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut chunks = self.shared.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_counted { chunks.counted(self.key) } else { chunks.abandoned(self.key) }
    }
}

impl Shared {
    /// Counts a message; gives what the client waits for, if it does.
    async fn take(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Closed> {
        let message =
            Message::read(bytes).inspect_err(|_| self.context.counters.reject(Reject::Malformed))?;
        let Some(message) = message else { return Ok(None) };
        let answer = message.options.chunk.map(acknowledgement);
        if message.options.is_other_telemetry() {
            let message =
                "a message holds metrics or traces: let `match` choose the records alone".to_owned();
            self.refuse(&Refused { reason: Reject::Malformed, message });
            return Ok(answer);
        }
        let Some(key) = message.options.chunk.map(chunks::key) else {
            self.count(&message, false).await?;
            return Ok(answer);
        };
        let seen = self.chunks.lock().unwrap_or_else(PoisonError::into_inner).begin(key);
        match seen {
            Seen::UnderWay => return Err(Closed::UnderWay),
            Seen::Counted => self.count(&message, true).await?,
            Seen::New => {
                let mut under_way = UnderWay { shared: self, key, is_counted: false };
                self.count(&message, false).await?;
                under_way.is_counted = true;
            }
        }
        Ok(answer)
    }

    /// Counts a message's records; those of a chunk that has been counted are counted as duplicates alone.
    async fn count(&self, message: &Message<'_>, is_duplicate: bool) -> Result<(), Closed> {
        // The semaphore is never closed.
        let _turn = self.readers.acquire().await;
        let inflated = message
            .inflated(self.spec.max_frame_bytes)
            .inspect_err(|_| self.context.counters.reject(Reject::Malformed))?;
        let mut batch = Vec::new();
        for (n, event) in message.entries(&inflated).enumerate() {
            if is_duplicate {
                self.context.counters.reject(Reject::Duplicate);
            } else {
                let now = (self.context.clock)();
                match event.and_then(|event| self.spec.reading.observe(&event, now, &self.context.defaults)) {
                    Ok(observations) => batch.extend(observations),
                    Err(refused) => self.refuse(&refused),
                }
            }
            if batch.len() >= BATCH {
                self.hand_over(std::mem::take(&mut batch)).await?;
            }
            if n % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.hand_over(batch).await
    }

    async fn hand_over(&self, batch: Vec<crate::Observation>) -> Result<(), Closed> {
        let counted = self.context.count(batch).await?;
        if let Some((_, message)) = counted.rejected.first() {
            self.complain(message);
        }
        Ok(())
    }

    fn refuse(&self, refused: &Refused) {
        self.context.counters.reject(refused.reason);
        if refused.reason != Reject::Empty {
            self.complain(&refused.message);
        }
    }
}
