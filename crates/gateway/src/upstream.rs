//! One thread's connections to one upstream: HTTP/1.1 kept alive and reused last in first out, HTTP/2 shared.
//!
//! Nothing here is shared between threads, so nothing is locked. A request is sent again when not a byte of it has been
//! written; and, once and on a new connection, when a reused one was closed before a byte of the answer and the request
//! may be sent twice (`retry`). The model may have acted on anything else.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header::HOST};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::executor::LocalExec;
use crate::io::Stream;
use crate::line::{HeardStream, IdleTime, Line};
use crate::retry::{PackedHead, Resend, SpareHead};
use crate::target::Target;

/// Idle connections kept for one upstream.
const MAX_IDLE: usize = 256;

/// Buffers kept for the heads of requests, and the largest that is.
const MAX_BUFFERS: usize = 64;
const BUFFER_BYTES: usize = 4096;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection; nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke, or what came was no answer.
    #[error("broken connection: {0}")]
    Broken(hyper::Error),
    /// The upstream does not speak HTTP/2.
    #[error("the upstream did not answer in HTTP/2")]
    NotHttp2,
}

/// What the upstream is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As the version is configured.
    Configured,
    /// HTTP/2 and nothing else: gRPC.
    Http2,
}

/// A connection that takes requests.
enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

struct Conn<B> {
    sender: Sender<B>,
    line: Rc<Line>,
}

struct Idle<B> {
    sender: http1::SendRequest<B>,
    line: Rc<Line>,
    since: Instant,
}

type Shared<B> = (http2::SendRequest<B>, Rc<Line>);

/// One thread's connections to one upstream.
pub(crate) struct Pool<B> {
    pub(crate) target: Arc<Target>,
    pub(crate) exec: LocalExec,
    idle: RefCell<Vec<Idle<B>>>,
    idle_time: IdleTime,
    /// Buffers for the heads of requests under way.
    buffers: RefCell<Vec<Vec<u8>>>,
    http2: RefCell<Option<Shared<B>>>,
    /// Held while an HTTP/2 connection is made: the others wait for it instead of making their own.
    connecting: tokio::sync::Mutex<()>,
    /// When connecting last failed.
    failed: Cell<Option<Instant>>,
}

/// The connection an answer is being read from; back in the pool when the answer has been read to its end.
pub(crate) struct Lease<B: Body + 'static> {
    pool: Rc<Pool<B>>,
    line: Rc<Line>,
    sender: Option<http1::SendRequest<B>>,
}

type Sent<B> = Result<(Response<Incoming>, Lease<B>), SendError>;

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An empty pool.
    pub(crate) fn new(target: Arc<Target>, exec: LocalExec) -> Rc<Self> {
        let idle_time = IdleTime::new(target.upstream.idle);
        Rc::new(Self {
            target,
            exec,
            idle: RefCell::default(),
            idle_time,
            buffers: RefCell::default(),
            http2: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
            failed: Cell::new(None),
        })
    }

    /// Sends a request with an origin-form target and a `host`, and waits for the answer's head. `now` is about now.
    ///
    /// # Errors
    /// No connection, or a broken one.
    pub(crate) async fn send(
        self: &Rc<Self>,
        mut request: Request<B>,
        wire: Wire,
        now: Instant,
        resend: &impl Resend<B>,
    ) -> Sent<B> {
        let http2 = wire == Wire::Http2 || self.target.upstream.http2;
        let mut again = false;
        loop {
            let kept = if again { None } else { self.checkout(now, http2) };
            let is_reused = kept.is_some();
            let conn = match kept {
                Some(conn) => conn,
                // Boxed, because rare and large: every request would carry its room.
                None => Box::pin(self.connect(http2)).await.map_err(SendError::Connect)?,
            };
            if wire == Wire::Http2 && matches!(conn.sender, Sender::Http1(_)) {
                return Err(SendError::NotHttp2);
            }
            let spare = (is_reused && resend.is_wanted()).then(|| PackedHead::new(&request, self.buffer()));
            let heard = conn.line.heard();
            let (sent, lease) = self.send_on(conn, request).await;
            let mut failed = match sent {
                Ok(response) => {
                    if let Some(spare) = spare {
                        self.keep_buffer(spare.into_buffer());
                    }
                    return Ok((response, lease));
                }
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(unsent) if is_reused => request = unsent,
                _ => {
                    let error = failed.into_error();
                    let untouched = match &lease.sender {
                        Some(_) => lease.line.heard() == heard,
                        None => is_unanswered(&error),
                    };
                    let spare = spare.filter(|_| untouched).and_then(PackedHead::unpack);
                    let second = spare.and_then(|head| head.with_body(resend));
                    let Some(second) = second else { return Err(broken(error, wire, &lease.line)) };
                    tracing::debug!(%error, "sent again: the upstream closed a kept connection");
                    request = second;
                    again = true;
                }
            }
        }
    }

    async fn send_on(
        self: &Rc<Self>,
        conn: Conn<B>,
        mut request: Request<B>,
    ) -> (Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<B>>>, Lease<B>) {
        let http2 = matches!(conn.sender, Sender::Http2(_));
        shape(&mut request, http2, self.target.tls.is_some());
        let lease = |sender| Lease { pool: Rc::clone(self), line: Rc::clone(&conn.line), sender };
        match conn.sender {
            Sender::Http1(mut sender) => {
                let sent = sender.try_send_request(request).await;
                (sent, lease(Some(sender)))
            }
            Sender::Http2(mut sender) => {
                let sent = sender.try_send_request(request).await;
                if sent.is_err() && sender.is_closed() {
                    self.forget(&conn.line);
                }
                (sent, lease(None))
            }
        }
    }

    /// A buffer for a request's head.
    fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    fn keep_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < MAX_BUFFERS && buffer.capacity() <= BUFFER_BYTES {
            buffers.push(buffer);
        }
    }

    /// Takes a shared connection out of use, unless another has taken its place already.
    fn forget(&self, line: &Rc<Line>) {
        let mut shared = self.http2.borrow_mut();
        if shared.as_ref().is_some_and(|(_, of)| Rc::ptr_eq(of, line)) {
            shared.take();
        }
    }

    fn checkout(&self, now: Instant, http2: bool) -> Option<Conn<B>> {
        if http2 {
            let mut shared = self.http2.borrow_mut();
            if let Some((sender, line)) = shared.as_ref() {
                if !sender.is_closed() {
                    return Some(Conn { sender: Sender::Http2(sender.clone()), line: Rc::clone(line) });
                }
                shared.take();
            }
            if self.target.tls.is_none() || !self.target.upstream.http2 {
                return None;
            }
        }
        let limit = self.idle_time.limit();
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, line, since }) = idle.pop() {
            // Nothing is learned from the end of a connection that is ours to end.
            line.idle_since.set(None);
            if sender.is_ready() && now.saturating_duration_since(since) < limit {
                return Some(Conn { sender: Sender::Http1(sender), line });
            }
        }
        None
    }

    fn put_back(&self, sender: http1::SendRequest<B>, line: Rc<Line>, now: Instant) {
        let limit = self.idle_time.limit();
        if limit.is_zero() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        // The oldest are at the front: one look each time keeps a quiet upstream's connections from staying for ever.
        if idle.len() >= MAX_IDLE
            || idle.first().is_some_and(|oldest| now.saturating_duration_since(oldest.since) > limit)
        {
            idle.remove(0).line.idle_since.set(None);
        }
        line.idle_since.set(Some(now));
        idle.push(Idle { sender, line, since: now });
    }

    async fn connect(self: &Rc<Self>, http2: bool) -> io::Result<Conn<B>> {
        let patience = self.target.upstream.connect_timeout;
        if !http2 {
            return tokio::time::timeout(patience, self.open(false)).await?;
        }
        let began = Instant::now();
        let _alone = self.connecting.lock().await;
        if let Some(conn) = self.checkout(began, true) {
            return Ok(conn);
        }
        if self.failed.get().is_some_and(|at| at > began) {
            return Err(io::Error::other("another request has just failed to connect"));
        }
        let opened =
            tokio::time::timeout(patience, self.open(true)).await.unwrap_or_else(|late| Err(late.into()));
        match &opened {
            Ok(Conn { sender: Sender::Http2(sender), line }) => {
                *self.http2.borrow_mut() = Some((sender.clone(), Rc::clone(line)));
            }
            Ok(_) => {}
            Err(_) => self.failed.set(Some(Instant::now())),
        }
        opened
    }

    async fn open(self: &Rc<Self>, http2: bool) -> io::Result<Conn<B>> {
        let stream = open_stream(&self.target, http2).await?;
        let http2 = stream.negotiated_http2() || (http2 && self.target.tls.is_none());
        let line = Rc::new(Line::default());
        let io = TokioIo::new(HeardStream { stream, line: Rc::clone(&line) });
        if http2 {
            let (sender, connection) = http2::Builder::new(self.exec.clone())
                .timer(TokioTimer::new())
                .adaptive_window(true)
                .keep_alive_interval(Duration::from_secs(20))
                .handshake(io)
                .await
                .map_err(io::Error::other)?;
            self.exec.spawn(log_end(connection));
            return Ok(Conn { sender: Sender::Http2(sender), line });
        }
        let (mut sender, connection) = http1::Builder::new().handshake(io).await.map_err(io::Error::other)?;
        let (pool, of) = (Rc::downgrade(self), Rc::clone(&line));
        self.exec.spawn(async move {
            log_end(connection).await;
            if let (Some(since), Some(pool)) = (of.idle_since.get(), pool.upgrade()) {
                pool.idle_time.closed_after(since.elapsed());
            }
        });
        sender.ready().await.map_err(io::Error::other)?;
        Ok(Conn { sender: Sender::Http1(sender), line })
    }
}

impl SpareHead {
    fn with_body<B>(self, resend: &impl Resend<B>) -> Option<Request<B>> {
        let mut request = Request::new(resend.body(&self)?);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(request)
    }
}

/// Whether a request on a shared connection was left without a word about it. A reset of its stream is a word, but for the
/// one that says that nothing was done (RFC 9113, section 8.7).
fn is_unanswered(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_none_or(|error| !error.is_reset() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

fn broken(error: hyper::Error, wire: Wire, line: &Line) -> SendError {
    // A server of HTTP/1 answers HTTP/2's first bytes with an error, or hangs up.
    if line.speaks_http1() && error_of_http2(&error) || (wire == Wire::Http2 && line.heard() == 0) {
        SendError::NotHttp2
    } else {
        SendError::Broken(error)
    }
}

fn error_of_http2(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<h2::Error>)
}

async fn log_end(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an upstream's connection ended");
    }
}

/// A stream of bytes to the upstream; over TLS HTTP/2 is offered only when it is wanted.
pub(crate) async fn open_stream(target: &Target, http2: bool) -> io::Result<Stream> {
    let tcp = connect_any(target).await?;
    tcp.set_nodelay(true)?;
    match &target.tls {
        None => Ok(Stream::Plain(tcp)),
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(if http2 { &tls.http2 } else { &tls.http1 }));
            let tls = connector.connect(ServerName::clone(&tls.name), tcp).await?;
            Ok(Stream::Tls(Box::new(tls.into())))
        }
    }
}

async fn connect_any(target: &Target) -> io::Result<TcpStream> {
    if let Ok(ip) = target.host.parse() {
        return TcpStream::connect(SocketAddr::new(ip, target.port)).await;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((target.host.as_str(), target.port)).await? {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// HTTP/1.1 wants the target in origin form and a `host`; HTTP/2 the authority in the target and no `host`. Works from
/// either form, because a request may be shaped twice.
pub(crate) fn shape<B>(request: &mut Request<B>, http2: bool, tls: bool) {
    if http2 {
        *request.version_mut() = Version::HTTP_2;
        if let Some(host) = request.headers_mut().remove(HOST) {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Authority::try_from(host.as_bytes()).ok();
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        }
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str());
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        if let Ok(host) = host {
            request.headers_mut().insert(HOST, host);
        }
    }
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Of a connection that serves one answer and no more.
    pub(crate) fn single(pool: &Rc<Pool<B>>) -> Self {
        Self { pool: Rc::clone(pool), line: Rc::default(), sender: None }
    }

    /// Reads what the answer's head says about how long the connection is kept.
    pub(crate) fn keep_alive(&self, value: &HeaderValue) {
        self.pool.idle_time.told(value);
    }

    /// The answer has been read to its end: the connection can serve another request as soon as this one's body is out.
    pub(crate) fn release(mut self, now: Instant) {
        let Some(mut sender) = self.sender.take() else { return };
        if sender.is_ready() {
            self.pool.put_back(sender, self.line, now);
        } else if !sender.is_closed() {
            let (pool, line) = (Rc::clone(&self.pool), self.line);
            self.pool.exec.spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.put_back(sender, line, Instant::now());
                }
            });
        }
    }
}
