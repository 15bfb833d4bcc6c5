//! One connection to an upstream, as far as its bytes have been heard.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::Stream;

/// What is known of a connection beside the HTTP library, which keeps no account of the bytes it has read.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Bytes that have come.
    heard: Cell<u64>,
    /// Whether the first of them were those of an HTTP/1 answer.
    http1: Cell<bool>,
    /// Since when the connection waits in the pool.
    pub(crate) idle_since: Cell<Option<Instant>>,
}

impl Line {
    /// Bytes that have come so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// Whether the upstream answered in HTTP/1.
    pub(crate) fn speaks_http1(&self) -> bool {
        self.http1.get()
    }

    fn note(&self, bytes: &[u8]) {
        if self.heard.get() == 0 {
            self.http1.set(bytes.starts_with(b"HTTP/"));
        }
        self.heard.set(self.heard.get() + bytes.len() as u64);
    }
}

/// A stream that notes on its line what comes.
#[derive(Debug)]
pub(crate) struct HeardStream {
    pub(crate) stream: Stream,
    pub(crate) line: Rc<Line>,
}

impl AsyncRead for HeardStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.line.note(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeardStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// How long connections may wait in the pool when nothing is known of the upstream; servers mostly close after 60 s or
/// more.
const USUAL: Duration = Duration::from_secs(45);

/// Nothing shorter is learned from connections that were closed: a restart closes all of them, however young. A request
/// that meets such a close is sent again.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long an upstream keeps connections that have no request: set, told by the upstream, or learned from its closes.
#[derive(Debug)]
pub(crate) struct IdleTime {
    set: Option<Duration>,
    told: Cell<Duration>,
    learned: Cell<Duration>,
}

impl IdleTime {
    /// `set` is the configured time.
    pub(crate) fn new(set: Option<Duration>) -> Self {
        Self { set, told: Cell::new(USUAL), learned: Cell::new(USUAL) }
    }

    /// How long a connection may wait.
    pub(crate) fn limit(&self) -> Duration {
        self.set.unwrap_or_else(|| self.told.get().min(self.learned.get()))
    }

    /// Reads an answer's `keep-alive`.
    pub(crate) fn told(&self, keep_alive: &HeaderValue) {
        if let Some(timeout) = timeout_of(keep_alive) {
            self.told.set(before(timeout));
        }
    }

    /// The upstream has closed a connection that had waited for `age`.
    pub(crate) fn closed_after(&self, age: Duration) {
        if age >= SHORTEST {
            self.learned.set(self.learned.get().min(before(age).max(SHORTEST)));
        }
    }
}

/// Ends early enough: the upstream's clock began before ours, by the time that the answer was on its way.
fn before(time: Duration) -> Duration {
    time - (time / 2).min(Duration::from_secs(1)).max(time / 5)
}

/// `timeout=5, max=100`
fn timeout_of(keep_alive: &HeaderValue) -> Option<Duration> {
    let parameters = keep_alive.to_str().ok()?.split(',');
    let timeout =
        parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"'))
        })?;
    let seconds: u32 = timeout.parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_upstream_says_how_long_it_waits() {
        for (value, limit) in [
            ("timeout=5", 4_000),
            ("timeout=72", 45_000),
            ("max=100, Timeout = 2", 1_000),
            ("timeout=\"20\"", 16_000),
            ("timeout=0", 0),
            ("timeout=-1", 45_000),
            ("timeout=99999999999999999999", 45_000),
            ("max=5", 45_000),
            ("", 45_000),
        ] {
            let idle = IdleTime::new(None);
            idle.told(&HeaderValue::from_static(value));
            assert_eq!(idle.limit(), ms(limit), "{value}");
        }
    }

    #[test]
    fn closes_are_learned_from_unless_the_connection_was_young_or_the_time_is_set() {
        let idle = IdleTime::new(None);
        idle.closed_after(ms(3));
        assert_eq!(idle.limit(), ms(45_000), "a restart closes young connections as well");
        idle.closed_after(ms(5_000));
        assert_eq!(idle.limit(), ms(4_000));
        idle.closed_after(ms(1_200));
        assert_eq!(idle.limit(), ms(1_000));
        idle.closed_after(ms(30_000));
        assert_eq!(idle.limit(), ms(1_000), "the shortest counts");
        let idle = IdleTime::new(Some(ms(20_000)));
        idle.closed_after(ms(5_000));
        idle.told(&HeaderValue::from_static("timeout=5"));
        assert_eq!(idle.limit(), ms(20_000));
    }

    #[test]
    fn the_first_bytes_say_what_the_upstream_speaks() {
        let line = Line::default();
        line.note(b"HTTP/1.1 400 Bad Request");
        assert!(line.speaks_http1());
        line.note(b"x");
        assert_eq!(line.heard(), 25);
        let line = Line::default();
        line.note(b"\0\0\x12\x04");
        line.note(b"HTTP/");
        assert!(!line.speaks_http1());
    }
}
