//! One client connection: TLS or not, HTTP/2 or HTTP/1 by its first bytes, served until it ends.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout};

use crate::exchange::{self, Client};
use crate::framing::Framing;
use crate::guard::{Activity, Busy, Deadlines, Guard, Owed, Socket};
use crate::io::Stream;
use crate::notices::{self, Peer, Unserved};
use crate::tunnel;
use crate::worker::Ctx;

/// Largest read buffer of a connection, bytes (larger if heads may be).
const BUFFER: usize = 64 * 1024;
/// Header fields that the HTTP library takes without being told. Told of any number it clears a list of that
/// length for each request; a lower bound is the guard's to keep.
const USUAL_FIELDS: usize = 100;
/// Requests of one HTTP/2 connection at the same time.
const STREAMS: u32 = 128;
/// Flow-control windows of HTTP/2, bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The library refuses larger lists of header fields by itself and without a word, so it gets more than is allowed: the
/// limit is kept, counted and logged by the exchange.
const LIST_ROOM: usize = 4;
/// Streams that a client may make us reset before the connection is closed.
const RESETS: usize = 64;
/// After a refusal the client is read on for a moment: closing with unread bytes would reset the connection and destroy
/// the refusal on its way.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 64 * 1024;

/// Counts a connection while it is open.
struct Open(Rc<Ctx>);

impl Drop for Open {
    fn drop(&mut self) {
        let ctx = &self.0;
        ctx.shared.counters.connections.fetch_sub(1, Relaxed);
        ctx.open.set(ctx.open.get() - 1);
        if ctx.open.get() == 0 {
            ctx.all_closed.notify_waiters();
        }
    }
}

/// Waits until the worker has no connection.
pub(crate) async fn all_closed(ctx: &Ctx) {
    while ctx.open.get() > 0 {
        ctx.all_closed.notified().await;
    }
}

/// Serves an accepted connection beside the others.
pub(crate) fn spawn(ctx: &Rc<Ctx>, stream: TcpStream, peer: SocketAddr) {
    ctx.open.set(ctx.open.get() + 1);
    let open = Open(Rc::clone(ctx));
    ctx.exec.spawn(async move {
        if let Err(error) = serve(&open.0, stream, peer).await {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    });
}

async fn serve(ctx: &Rc<Ctx>, tcp: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut closing = pin!(ctx.closing.notified());
    // What is rare or short is boxed, so that an open connection does not carry its room.
    let greeted = tokio::select! {
        greeted = Box::pin(greet(ctx, tcp, peer)) => greeted?,
        () = &mut closing => return Ok(()),
    };
    let ip = peer.ip().to_canonical();
    let peer = HeaderValue::from_str(&ip.to_string()).map_err(io::Error::other)?;
    let tls = ctx.shared.tls.is_some();
    let Greeted { socket, guard, activity, http2 } = greeted;
    let of = Rc::clone(&activity);
    let client = Rc::new(Client { ctx: Rc::clone(ctx), activity, peer, tls, timer: RefCell::default() });
    if http2 {
        return Box::pin(serve_http2(ctx, guard, client, closing)).await;
    }
    let (result, rest) = serve_http1(ctx, guard, client, closing).await;
    if let Some(switched) = of.switched.take() {
        let (Some(stream), Some(rest)) = (socket.into_stream(), rest) else { return result };
        return Box::pin(tunnel::run(ctx, stream, *switched, &rest)).await;
    }
    match socket.owed() {
        Some(owed) => Box::pin(refuse(ctx, owed, ip)).await,
        None => result,
    }
}

/// A connection whose protocol is known.
struct Greeted {
    socket: Rc<Socket>,
    guard: Guard,
    activity: Rc<Activity>,
    http2: bool,
}

/// TLS if configured, and the first bytes.
async fn greet(ctx: &Ctx, tcp: TcpStream, peer: SocketAddr) -> io::Result<Greeted> {
    tcp.set_nodelay(true)?;
    let limits = &ctx.shared.limits;
    let stream = match &ctx.shared.tls {
        None => Stream::Plain(tcp),
        Some(acceptor) => {
            let accepted = timeout(limits.head_timeout, acceptor.accept(tcp)).await.map_err(io::Error::from);
            let tls = accepted.flatten().inspect_err(|error| {
                ctx.shared.counters.tls_errors.fetch_add(1, Relaxed);
                notices::turned_away(&ctx.shared.counters, Unserved::TlsHandshake, peer, error);
            })?;
            Stream::Tls(Box::new(tls.into()))
        }
    };
    let activity = Rc::new(Activity {
        running: Cell::new(0),
        last: Cell::new(Instant::now()),
        switched: RefCell::default(),
    });
    let framing = Framing::new(limits.head_bytes, limits.head_fields);
    let deadlines = Deadlines { head: limits.head_timeout, write: limits.idle_timeout };
    let socket = Socket::new(stream);
    let mut guard = Guard::new(Rc::clone(&socket), framing, Rc::clone(&activity), deadlines);
    let http2 = guard.speaks_http2().await?;
    Ok(Greeted { socket, guard, activity, http2 })
}

/// Fires when the gateway closes.
type Closing<'a, 'b> = Pin<&'a mut Notified<'b>>;

/// Also gives what the client has sent behind the last request, if the connection may leave HTTP there.
async fn serve_http1(
    ctx: &Rc<Ctx>,
    guard: Guard,
    client: Rc<Client>,
    closing: Closing<'_, '_>,
) -> (io::Result<()>, Option<Vec<u8>>) {
    let limits = &ctx.shared.limits;
    let service = service_fn(move |request: Request<Incoming>| {
        let (client, busy) = (Rc::clone(&client), Busy::new(&client.activity));
        exchange::serve(client, request, busy)
    });
    let mut builder = http1::Builder::new();
    if limits.head_fields > USUAL_FIELDS {
        builder.max_headers(limits.head_fields);
    }
    let mut connection = builder
        .max_buf_size(limits.head_bytes.max(BUFFER))
        // What production sent is what the client gets.
        .auto_date_header(false)
        // The guard keeps the deadlines of heads.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(guard), service);
    let ended = until_closed(ctx, Pin::new(&mut connection), closing, http1::Connection::graceful_shutdown);
    let result = ended.await;
    let parts = connection.into_parts();
    (result, parts.io.into_inner().into_rest(&parts.read_buf))
}

/// Serves a connection to its end, and tells it once when the gateway closes.
async fn until_closed<C>(
    ctx: &Ctx,
    mut connection: Pin<&mut C>,
    mut closing: Closing<'_, '_>,
    tell: impl Fn(Pin<&mut C>),
) -> io::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    // Polled once, so that this task is woken; afterwards a look at the flag costs less than a poll.
    let mut woken = false;
    let mut told = false;
    poll_fn(|cx| {
        if !woken {
            woken = true;
            if closing.as_mut().poll(cx).is_ready() {
                ctx.closed.set(true);
            }
        }
        if !told && ctx.closed.get() {
            told = true;
            tell(connection.as_mut());
        }
        connection.as_mut().poll(cx).map_err(io::Error::other)
    })
    .await
}

/// Writes the refusal of a message that was never handed on, and closes so that the client can read it.
async fn refuse(ctx: &Ctx, owed: Owed, peer: IpAddr) -> io::Result<()> {
    let Owed { mut stream, refusal, target } = owed;
    notices::refused(&ctx.shared.counters, refusal, Peer::Ip(peer), &target);
    timeout(LINGER, stream.write_all(refusal.http1().as_bytes())).await??;
    timeout(LINGER, stream.shutdown()).await??;
    let mut rest = [0; 4096];
    let mut read = 0;
    let drain = async {
        while read < LINGER_BYTES {
            match stream.read(&mut rest).await {
                Ok(0) | Err(_) => break,
                Ok(n) => read += n,
            }
        }
    };
    // Late or not, the connection is closed now.
    timeout(LINGER, drain).await.ok();
    Ok(())
}

async fn serve_http2(
    ctx: &Rc<Ctx>,
    guard: Guard,
    client: Rc<Client>,
    closing: Closing<'_, '_>,
) -> io::Result<()> {
    let limits = &ctx.shared.limits;
    let service = service_fn(move |request: Request<Incoming>| {
        let (client, busy) = (Rc::clone(&client), Busy::new(&client.activity));
        exchange::serve(client, request, busy)
    });
    let connection = http2::Builder::new(ctx.exec.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head_bytes.saturating_mul(LIST_ROOM)).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_local_error_reset_streams(RESETS)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .auto_date_header(false)
        .serve_connection(TokioIo::new(guard), service);
    until_closed(ctx, pin!(connection), closing, http2::Connection::graceful_shutdown).await
}
