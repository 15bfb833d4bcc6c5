//! Stands between a client's socket and the HTTP library: framing, deadlines, the HTTP/2 preface.
//!
//! Bytes are read straight into the library's buffer and scanned there, so the check costs no copy. On a violation
//! the library is handed what was certain and then an error; the connection's task writes the refusal itself, and the
//! origin never sees a byte of the bad message. Deadlines are armed only when the socket has nothing for us, so a
//! request that arrives whole costs no timer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::framing::{Framing, Violation};
use crate::io::Stream;
use crate::notices;
use crate::refusal::Refusal;
use crate::timer::Timer;
use crate::tunnel::Switched;

/// The connection preface of HTTP/2, RFC 9113 section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection may be idle between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the exchanges of a connection and its guard tell each other.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Exchanges under way.
    pub(crate) running: Cell<u32>,
    /// When the last one began or ended.
    pub(crate) last: Cell<Instant>,
    /// Set by the exchange that has ended the connection's HTTP.
    pub(crate) switched: RefCell<Option<Box<Switched>>>,
}

/// One exchange under way on a connection, from the moment its head is handed on to its end.
#[derive(Debug)]
pub(crate) struct Busy(Rc<Activity>);

impl Busy {
    pub(crate) fn new(activity: &Rc<Activity>) -> Self {
        activity.running.set(activity.running.get() + 1);
        Self(Rc::clone(activity))
    }

    /// Ends it at `now`.
    pub(crate) fn end(self, now: std::time::Instant) {
        self.0.last.set(now.into());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

/// Deadlines of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// A whole head, from its first byte (the first head: from the connection's start).
    pub(crate) head: Duration,
    /// A write that makes no progress.
    pub(crate) write: Duration,
}

/// What outlives the HTTP library's part of a connection: the socket, and the refusal that is still owed to it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: RefCell<Stream>,
    owed: Cell<Option<Refusal>>,
    /// Target of the request that is refused, as far as it is known.
    target: RefCell<Vec<u8>>,
}

/// A refusal that is still to be written.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) stream: Stream,
    pub(crate) refusal: Refusal,
    pub(crate) target: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(stream: Stream) -> Rc<Self> {
        Rc::new(Self { stream: RefCell::new(stream), owed: Cell::new(None), target: RefCell::default() })
    }

    /// The socket and the refusal, when the library is done with it.
    pub(crate) fn owed(self: Rc<Self>) -> Option<Owed> {
        let refusal = self.owed.get()?;
        let socket = Rc::into_inner(self)?;
        Some(Owed { stream: socket.stream.into_inner(), refusal, target: socket.target.into_inner() })
    }

    /// The socket alone, when the library is done with it.
    pub(crate) fn into_stream(self: Rc<Self>) -> Option<Stream> {
        Some(Rc::into_inner(self)?.stream.into_inner())
    }
}

/// The guarded socket.
#[derive(Debug)]
pub(crate) struct Guard {
    socket: Rc<Socket>,
    /// `None` for HTTP/2, which frames itself.
    framing: Option<Framing>,
    /// Bytes read while looking for the preface.
    prefix: Vec<u8>,
    violation: Option<Violation>,
    activity: Rc<Activity>,
    deadlines: Deadlines,
    head_began: Option<Instant>,
    read_timer: Timer,
    write_timer: Timer,
    /// When a write that has begun to wait is given up.
    write_due: Option<Instant>,
}

impl Guard {
    /// A guard at the beginning of a connection.
    pub(crate) fn new(
        socket: Rc<Socket>,
        framing: Framing,
        activity: Rc<Activity>,
        deadlines: Deadlines,
    ) -> Self {
        let head_began = Some(Instant::now());
        Self {
            socket,
            framing: Some(framing),
            prefix: Vec::new(),
            violation: None,
            activity,
            deadlines,
            head_began,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            write_due: None,
        }
    }

    /// Finds out whether the client speaks HTTP/2, and switches the framing check off if so.
    ///
    /// # Errors
    /// The socket's, or that nothing came in time.
    pub(crate) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let mut http2 = self.socket.stream.borrow().negotiated_http2();
        if !http2 {
            let deadline = Instant::now() + self.deadlines.head;
            http2 = tokio::time::timeout_at(deadline, self.read_preface()).await??;
        }
        if http2 {
            self.framing = None;
        }
        Ok(http2)
    }

    /// What the client has sent and nobody has looked at: `read` is what the library had read. `None` when the connection
    /// cannot leave HTTP here: something was wrong in what was read, or an answer is not out yet.
    pub(crate) fn into_rest(self, read: &[u8]) -> Option<Vec<u8>> {
        let is_clean = self.violation.is_none() && self.write_due.is_none();
        is_clean.then(|| [read, &self.prefix].concat())
    }

    fn poll_socket(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.stream.borrow_mut()).poll_read(cx, buf)
    }

    async fn read_preface(&mut self) -> io::Result<bool> {
        // Room for most heads, so that the usual request is not cut in two here.
        let mut bytes = [0; 4096];
        let mut seen = 0;
        while seen < PREFACE.len() {
            let read = poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut bytes[seen..]);
                ready!(self.poll_socket(cx, &mut buf))?;
                Poll::Ready(Ok::<_, io::Error>(buf.filled().len()))
            })
            .await?;
            seen += read;
            let first = seen.min(PREFACE.len());
            if read == 0 || bytes[..first] != PREFACE[..first] {
                self.prefix = bytes[..seen].to_vec();
                return Ok(false);
            }
        }
        self.prefix = bytes[..seen].to_vec();
        Ok(true)
    }

    /// Says nothing until the violation is due, then fails.
    fn deliver_violation(&self) -> Poll<io::Result<()>> {
        match self.violation {
            // The answer to the request before it is still being written: this read is only the library's watch for
            // the client going away. It asks again when it wants the next head.
            Some(v) if !v.in_body && self.activity.running.get() > 0 => Poll::Pending,
            Some(_) if self.write_due.is_some() => Poll::Pending,
            Some(v) => {
                if !v.in_body {
                    // The head was never handed on: nobody else will answer it.
                    self.socket.owed.set(Some(v.refusal));
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, FramingError)))
            }
            None => Poll::Ready(Ok(())),
        }
    }

    /// Checks what has been read into `buf` from `start` on and cuts it at the first violation.
    fn check(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let Some(framing) = &mut self.framing else { return };
        if let Err(violation) = framing.scan(&buf.filled()[start..]) {
            if let Some(head) = violation.head {
                let target = notices::target_of(&buf.filled()[start + head..]);
                self.socket.target.replace(target.to_vec());
            }
            buf.set_filled(start + violation.clean);
            self.violation = Some(violation);
        } else if self.head_began.is_some() && !framing.in_head() {
            self.head_began = None;
        }
    }

    /// Ready when the connection has been silent for too long: `true` in the middle of a head.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(framing) = &self.framing else { return Poll::Pending };
        if framing.in_head() && self.head_began.is_none() {
            self.head_began = Some(Instant::now());
        }
        if let Some(began) = self.head_began {
            ready!(self.read_timer.poll(cx, began + self.deadlines.head));
            return Poll::Ready(framing.in_head());
        }
        if !framing.is_between() {
            // A body: its reader has a deadline of its own.
            return Poll::Pending;
        }
        let since = if self.activity.running.get() > 0 { Instant::now() } else { self.activity.last.get() };
        ready!(self.read_timer.poll(cx, since + KEEP_ALIVE));
        Poll::Ready(false)
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.violation.is_some() {
                return this.deliver_violation();
            }
            let start = buf.filled().len();
            if this.prefix.is_empty() {
                match this.poll_socket(cx, buf) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => {
                        if ready!(this.poll_silence(cx)) {
                            let refusal = Refusal::HeadTimeout;
                            this.violation =
                                Some(Violation { clean: 0, refusal, in_body: false, head: None });
                            continue;
                        }
                        return Poll::Ready(Ok(()));
                    }
                }
            } else {
                let take = this.prefix.len().min(buf.remaining());
                buf.put_slice(&this.prefix[..take]);
                this.prefix.drain(..take);
            }
            let read = buf.filled().len() - start;
            this.check(buf, start);
            // Nothing left of what was read: the library must not take it for the end of the stream.
            if read == 0 || buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Guard {
    fn after_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_due = None;
            return result;
        }
        let due = *self.write_due.get_or_insert_with(|| Instant::now() + self.deadlines.write);
        ready!(self.write_timer.poll(cx, due));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut *this.socket.stream.borrow_mut()).poll_write(cx, buf);
        this.after_write(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut *this.socket.stream.borrow_mut()).poll_write_vectored(cx, bufs);
        this.after_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().socket.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.owed.get().is_some() {
            // The refusal is written first, by the connection's task.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.get_mut().socket.stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// The mark of a framing violation inside an error.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be framed with certainty")]
pub(crate) struct FramingError;
