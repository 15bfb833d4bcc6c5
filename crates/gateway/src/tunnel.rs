//! Connections that have left HTTP: bytes both ways, unread, until both sides have ended or neither has said anything for too
//! long. What passes is neither copied nor measured.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use crate::counters::Counters;
use crate::io::Stream;
use crate::timer::Timer;
use crate::worker::Ctx;

/// Bytes on their way in one direction.
const BUFFER: usize = 16 * 1024;
/// How long a tunnel may be silent once the gateway closes.
const QUIET: Duration = Duration::from_secs(1);

/// The upstream's side of a tunnel, and what is owed to the client before it begins.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) upstream: Stream,
    /// The head of the upstream's `101`, and what it sent after it.
    pub(crate) head: Vec<u8>,
    pub(crate) counted: Counted,
}

/// Counts a tunnel while it is open.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Counters>);

impl Counted {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.tunnels.fetch_add(1, Relaxed);
        counters.tunnels_total.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Relaxed);
    }
}

/// One direction.
struct Pipe {
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    has_ended: bool,
    needs_flush: bool,
    is_shut: bool,
}

impl Pipe {
    fn new() -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, begin: 0, end: 0, has_ended: false, needs_flush: false, is_shut: false }
    }

    /// Moves what can be moved; ready when the reader's end has been passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut Stream, &mut Stream),
        moved: &mut Instant,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.is_shut {
                return Poll::Ready(Ok(()));
            }
            if self.begin == self.end && !self.has_ended {
                let mut buf = ReadBuf::new(&mut self.buffer);
                match Pin::new(&mut *from).poll_read(cx, &mut buf)? {
                    Poll::Pending => {
                        if self.needs_flush {
                            ready!(Pin::new(&mut *to).poll_flush(cx))?;
                            self.needs_flush = false;
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(()) => {
                        (self.begin, self.end) = (0, buf.filled().len());
                        self.has_ended = self.end == 0;
                        *moved = Instant::now();
                    }
                }
            }
            if self.begin < self.end {
                let wrote = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer[self.begin..self.end]))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.begin += wrote;
                self.needs_flush = true;
                *moved = Instant::now();
            } else if self.has_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_shut = true;
            }
        }
    }
}

/// Carries bytes between the two until both have ended. `early` came from the client behind its request.
///
/// # Errors
/// A side that broke, or a silence of [`crate::Limits::tunnel_timeout`].
pub(crate) async fn run(
    ctx: &Rc<Ctx>,
    mut client: Stream,
    switched: Switched,
    early: &[u8],
) -> io::Result<()> {
    let Switched { mut upstream, head, counted: _counted } = switched;
    let limits = &ctx.shared.limits;
    timeout(limits.idle_timeout, client.write_all(&head)).await??;
    timeout(limits.idle_timeout, client.flush()).await??;
    timeout(limits.idle_timeout, upstream.write_all(early)).await??;
    let mut closing = pin!(ctx.closing.notified());
    closing.as_mut().enable();
    let (mut up, mut down, mut timer) = (Pipe::new(), Pipe::new(), Timer::default());
    let mut moved = Instant::now();
    poll_fn(|cx| {
        let sent = up.poll(cx, (&mut client, &mut upstream), &mut moved)?;
        let came = down.poll(cx, (&mut upstream, &mut client), &mut moved)?;
        if sent.is_ready() && came.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let is_closing = ctx.closed.get() || closing.as_mut().poll(cx).is_ready();
        if is_closing {
            ctx.closed.set(true);
        }
        let patience = match (is_closing, sent.is_ready() || came.is_ready()) {
            (true, _) => QUIET,
            // One side has gone: the other may finish what it has to say.
            (false, true) => limits.idle_timeout.min(limits.tunnel_timeout),
            (false, false) => limits.tunnel_timeout,
        };
        ready!(timer.poll(cx, moved + patience));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
