//! One thread's connections to one upstream: HTTP/1.1 kept alive and reused last in first out, HTTP/2 shared.
//!
//! Nothing here is shared between threads, so nothing is locked. A request is sent again only when not a byte of it has
//! been written: the model may have acted on anything else.

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
use crate::target::Target;

/// Idle connections kept for one upstream.
const MAX_IDLE: usize = 256;
/// How long an idle connection may wait to be used again; servers mostly close after 60 s or more, and one that closes
/// earlier is noticed.
const IDLE: Duration = Duration::from_secs(45);

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection; nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke, or what came was no answer.
    #[error("broken connection: {0}")]
    Broken(hyper::Error),
}

/// A connection that takes requests.
enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

struct Idle<B> {
    sender: http1::SendRequest<B>,
    since: Instant,
}

/// One thread's connections to one upstream.
pub(crate) struct Pool<B> {
    pub(crate) target: Arc<Target>,
    exec: LocalExec,
    idle: RefCell<Vec<Idle<B>>>,
    http2: RefCell<Option<http2::SendRequest<B>>>,
    /// Held while an HTTP/2 connection is made: the others wait for it instead of making their own.
    connecting: tokio::sync::Mutex<()>,
    /// When connecting last failed.
    failed: Cell<Option<Instant>>,
}

/// The connection an answer is being read from; back in the pool when the answer has been read to its end.
pub(crate) struct Lease<B: Body + 'static> {
    pool: Rc<Pool<B>>,
    sender: Option<http1::SendRequest<B>>,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An empty pool.
    pub(crate) fn new(target: Arc<Target>, exec: LocalExec) -> Rc<Self> {
        Rc::new(Self {
            target,
            exec,
            idle: RefCell::default(),
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
        now: Instant,
    ) -> Result<(Response<Incoming>, Lease<B>), SendError> {
        loop {
            let (sender, reused) = match self.checkout(now) {
                Some(sender) => (sender, true),
                // Boxed, because rare and large: every request would carry its room.
                None => (Box::pin(self.connect()).await.map_err(SendError::Connect)?, false),
            };
            let (sent, lease) = self.send_on(sender, request).await;
            match sent {
                Ok(response) => return Ok((response, lease)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(SendError::Broken(failed.into_error())),
                },
            }
        }
    }

    async fn send_on(
        self: &Rc<Self>,
        sender: Sender<B>,
        mut request: Request<B>,
    ) -> (Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<B>>>, Lease<B>) {
        let http2 = matches!(sender, Sender::Http2(_));
        shape(&mut request, http2, self.target.tls.is_some());
        match sender {
            Sender::Http1(mut sender) => {
                let sent = sender.try_send_request(request).await;
                (sent, Lease { pool: Rc::clone(self), sender: Some(sender) })
            }
            Sender::Http2(mut sender) => {
                let sent = sender.try_send_request(request).await;
                if sent.is_err() {
                    self.http2.borrow_mut().take();
                }
                (sent, Lease { pool: Rc::clone(self), sender: None })
            }
        }
    }

    fn checkout(&self, now: Instant) -> Option<Sender<B>> {
        if self.target.upstream.http2 {
            let mut shared = self.http2.borrow_mut();
            if let Some(sender) = shared.as_ref() {
                if !sender.is_closed() {
                    return Some(Sender::Http2(sender.clone()));
                }
                shared.take();
            }
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, since }) = idle.pop() {
            if sender.is_ready() && now.saturating_duration_since(since) < IDLE {
                return Some(Sender::Http1(sender));
            }
        }
        None
    }

    fn put_back(&self, sender: http1::SendRequest<B>, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        // The oldest are at the front: one look each time keeps a quiet upstream's connections from staying for ever.
        if idle.len() >= MAX_IDLE
            || idle.first().is_some_and(|oldest| now.saturating_duration_since(oldest.since) > IDLE)
        {
            idle.remove(0);
        }
        idle.push(Idle { sender, since: now });
    }

    async fn connect(&self) -> io::Result<Sender<B>> {
        let patience = self.target.upstream.connect_timeout;
        if !self.target.upstream.http2 {
            return tokio::time::timeout(patience, self.open()).await?;
        }
        let began = Instant::now();
        let _alone = self.connecting.lock().await;
        if let Some(sender) = self.checkout(began) {
            return Ok(sender);
        }
        if self.failed.get().is_some_and(|at| at > began) {
            return Err(io::Error::other("another request has just failed to connect"));
        }
        let opened =
            tokio::time::timeout(patience, self.open()).await.unwrap_or_else(|late| Err(late.into()));
        match &opened {
            Ok(Sender::Http2(sender)) => *self.http2.borrow_mut() = Some(sender.clone()),
            Ok(Sender::Http1(_)) => {}
            Err(_) => self.failed.set(Some(Instant::now())),
        }
        opened
    }

    async fn open(&self) -> io::Result<Sender<B>> {
        let stream = open_stream(&self.target).await?;
        let http2 = stream.negotiated_http2() || (self.target.upstream.http2 && self.target.tls.is_none());
        let io = TokioIo::new(stream);
        if http2 {
            let (sender, connection) = http2::Builder::new(self.exec.clone())
                .timer(TokioTimer::new())
                .adaptive_window(true)
                .keep_alive_interval(Duration::from_secs(20))
                .handshake(io)
                .await
                .map_err(io::Error::other)?;
            self.exec.spawn(log_end(connection));
            return Ok(Sender::Http2(sender));
        }
        let (mut sender, connection) = http1::Builder::new().handshake(io).await.map_err(io::Error::other)?;
        self.exec.spawn(log_end(connection));
        sender.ready().await.map_err(io::Error::other)?;
        Ok(Sender::Http1(sender))
    }
}

async fn log_end(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an upstream's connection ended");
    }
}

async fn open_stream(target: &Target) -> io::Result<Stream> {
    let tcp = connect_any(target).await?;
    tcp.set_nodelay(true)?;
    match &target.tls {
        None => Ok(Stream::Plain(tcp)),
        Some((config, name)) => {
            let connector = TlsConnector::from(Arc::clone(config));
            let tls = connector.connect(ServerName::clone(name), tcp).await?;
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
fn shape<B>(request: &mut Request<B>, http2: bool, tls: bool) {
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
    /// The answer has been read to its end: the connection can serve another request as soon as this one's body is out.
    pub(crate) fn release(mut self, now: Instant) {
        let Some(mut sender) = self.sender.take() else { return };
        if sender.is_ready() {
            self.pool.put_back(sender, now);
        } else if !sender.is_closed() {
            let pool = Rc::clone(&self.pool);
            self.pool.exec.spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.put_back(sender, Instant::now());
                }
            });
        }
    }
}
