//! Bodies on their way: every frame is passed on as it comes, counted, and kept up to a limit: large pieces by reference,
//! small ones as copies.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::flight::{EndGuard, Flight};
use crate::grpc;
use crate::refusal::Refusal;
use crate::retry::{Resend, SpareHead};
use crate::spec::Retry;
use crate::upstream::Lease;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Reading it failed.
    #[error("reading the body failed: {0}")]
    Read(#[from] hyper::Error),
    /// No byte for too long.
    #[error("the body stalled")]
    Stalled,
    /// Over the limit.
    #[error("the body is over the limit")]
    TooLarge,
    /// The request has been sent again meanwhile: the rest of the body is the second sending's.
    #[error("the request was sent again")]
    Superseded,
}

/// Pieces up to this many bytes are copied. A reference would keep the whole read buffer behind it (8 KiB and more) for as
/// long as the tap or a copy holds it; measured, the copy costs no more CPU and a third less memory.
const COPIED_BYTES: usize = 4096;

/// The content type of streams of events.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// Bytes of a stream that was cut in which its last event is looked for.
const STREAM_BYTES: usize = 8 << 20;

/// A field's value to keep; what nearly all bodies are is not copied.
fn kept(value: &[u8]) -> Bytes {
    const JSON: &[u8] = b"application/json";
    if value == JSON { Bytes::from_static(JSON) } else { Bytes::copy_from_slice(value) }
}

/// What is kept of a body.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// Whether anything is to be kept.
    pub(crate) wanted: bool,
    /// Whether the body has been seen to its end.
    pub(crate) ended: bool,
    /// Whether it was longer than what may be kept.
    pub(crate) over: bool,
    kept: usize,
    body: record::Body,
}

impl Captured {
    /// Prepares to keep a body with these headers.
    pub(crate) fn begin(&mut self, headers: &HeaderMap) {
        let copy = |name| headers.get(name).map(|v: &http::HeaderValue| kept(v.as_bytes()));
        self.wanted = true;
        self.body.content_type = copy(CONTENT_TYPE);
        self.body.content_encoding = copy(CONTENT_ENCODING);
    }

    /// A whole body of JSON.
    pub(crate) fn json(bytes: Bytes) -> Self {
        let kept = bytes.len();
        let content_type = Some(Bytes::from_static(b"application/json"));
        let body = record::Body { content_type, ..record::Body::complete(bytes) };
        Self { wanted: true, ended: true, over: false, kept, body }
    }

    /// What was kept, as a body.
    pub(crate) fn body(&self) -> &record::Body {
        &self.body
    }

    /// Keeps one piece, unless the whole would be over `limit` bytes.
    pub(crate) fn push(&mut self, data: &Bytes, limit: usize) {
        self.body.total_bytes += data.len() as u64;
        if !self.wanted || self.over || data.is_empty() {
            return;
        }
        self.kept += data.len();
        if self.kept > limit {
            self.over = true;
            self.body.chunks = Vec::new();
            self.body.truncated = true;
        } else {
            let kept = if data.len() <= COPIED_BYTES { Bytes::copy_from_slice(data) } else { data.clone() };
            self.body.chunks.push(kept);
        }
    }

    /// Whether every byte has been kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended && !self.over
    }

    /// Whether it is a stream of events that has had its last one.
    fn is_ended_stream(&self) -> bool {
        let is_stream = self.body.content_type.as_deref().is_some_and(|kind| {
            kind.get(..EVENT_STREAM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM))
        });
        if !is_stream || self.over {
            return false;
        }
        // Inflated as far as it goes, where it is compressed.
        let plain = self.body.plain(STREAM_BYTES);
        plain.is_ok_and(|body| record::stream_has_ended(&body))
    }

    /// The pieces.
    pub(crate) fn chunks(&self) -> &[Bytes] {
        &self.body.chunks
    }

    /// Whether every byte that has come so far is kept.
    pub(crate) fn is_kept(&self) -> bool {
        !self.over && self.kept as u64 == self.body.total_bytes
    }

    /// Bytes kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// `content-type` of the message.
    pub(crate) fn content_type(&self) -> Option<Bytes> {
        self.body.content_type.clone()
    }

    /// `content-encoding` of the message.
    pub(crate) fn content_encoding(&self) -> Option<Bytes> {
        self.body.content_encoding.clone()
    }

    /// Moves the body out.
    pub(crate) fn take(&mut self) -> record::Body {
        std::mem::take(&mut self.body)
    }
}

/// Fires when a body has had no byte for too long. Armed only while nothing is there.
#[derive(Debug, Default)]
struct Stall {
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Stall {
    fn poll(&mut self, cx: &mut Context<'_>, flight: &Flight) -> Poll<()> {
        let patience = flight.limits().idle_timeout;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if !self.waiting {
            self.waiting = true;
            sleep.as_mut().reset(Instant::now() + patience);
        }
        // A call is not idle while its other direction moves.
        while sleep.as_mut().poll(cx).is_ready() {
            match flight.call.as_ref().map(|call| call.due(patience)) {
                Some(due) if due > sleep.deadline() => sleep.as_mut().reset(due),
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

fn poll_incoming(
    inner: &mut Incoming,
    stall: &mut Stall,
    flight: &Flight,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    match Pin::new(inner).poll_frame(cx) {
        Poll::Ready(frame) => {
            stall.waiting = false;
            if let Some(call) = &flight.call {
                call.moves();
            }
            Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Read)))
        }
        Poll::Pending => {
            ready!(stall.poll(cx, flight));
            Poll::Ready(Some(Err(BodyError::Stalled)))
        }
    }
}

/// A client's body on its way to the upstream. Trailers are dropped, but for those of a gRPC call: nothing else that we
/// serve needs a client's, and they are a way to add headers behind everybody's back.
///
/// A second sending begins with what is kept of the first, and goes on where that one stopped.
#[derive(Debug)]
pub(crate) struct ForwardBody {
    flight: Rc<Flight>,
    stall: Stall,
    /// Which sending this is, from 0.
    sending: u8,
    /// Next kept piece, and how many there are.
    replay: (usize, usize),
    /// Bytes of the kept pieces that are left.
    replay_bytes: u64,
    /// Whether the kept pieces are all there is.
    is_all_kept: bool,
}

impl ForwardBody {
    pub(crate) fn new(inner: Incoming, flight: Rc<Flight>) -> Self {
        flight.request.borrow_mut().ended = inner.is_end_stream();
        *flight.incoming.borrow_mut() = Some(inner);
        Self {
            flight,
            stall: Stall::default(),
            sending: 0,
            replay: (0, 0),
            replay_bytes: 0,
            is_all_kept: false,
        }
    }

    /// The body from its first byte on; `None` when that is not kept any more.
    fn again(flight: &Rc<Flight>) -> Option<Self> {
        let request = flight.request.borrow();
        if !request.is_kept() {
            return None;
        }
        flight.resent.set(flight.resent.get().saturating_add(1));
        Some(Self {
            stall: Stall::default(),
            sending: flight.resent.get(),
            replay: (0, request.chunks().len()),
            replay_bytes: request.kept() as u64,
            is_all_kept: request.ended,
            flight: Rc::clone(flight),
        })
    }

    fn replayed(&mut self) -> Option<Frame<Bytes>> {
        let (next, end) = self.replay;
        let piece = (next < end).then(|| self.flight.request.borrow().chunks().get(next).cloned())??;
        self.replay.0 += 1;
        self.replay_bytes -= piece.len() as u64;
        Some(Frame::data(piece))
    }

    fn fail(&self, error: BodyError) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.flight.blame(match error {
            BodyError::Read(_) => Refusal::Framing("the request's body is malformed or incomplete"),
            BodyError::Stalled => Refusal::BodyTimeout,
            BodyError::TooLarge => Refusal::BodyTooLarge,
            BodyError::Superseded => return Some(Err(error)),
        });
        Some(Err(error))
    }

    fn pass(&self, frame: Frame<Bytes>, has_ended: bool) -> Option<Result<Frame<Bytes>, BodyError>> {
        let limits = self.flight.limits();
        let mut captured = self.flight.request.borrow_mut();
        if let Some(data) = frame.data_ref() {
            captured.push(data, limits.capture_bytes);
        }
        captured.ended = has_ended;
        let total = captured.body.total_bytes;
        drop(captured);
        if limits.body_bytes.is_some_and(|most| total > most) {
            return self.fail(BodyError::TooLarge);
        }
        Some(Ok(frame))
    }
}

impl Body for ForwardBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.sending != this.flight.resent.get() {
            return Poll::Ready(this.fail(BodyError::Superseded));
        }
        if let Some(frame) = this.replayed() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if this.is_all_kept {
            return Poll::Ready(None);
        }
        let mut incoming = this.flight.incoming.borrow_mut();
        let Some(inner) = incoming.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(poll_incoming(inner, &mut this.stall, &this.flight, cx));
        let has_ended = inner.is_end_stream();
        drop(incoming);
        Poll::Ready(match frame {
            Some(Ok(frame)) if frame.is_data() => this.pass(frame, has_ended),
            Some(Err(error)) => this.fail(error),
            rest => {
                this.flight.request.borrow_mut().ended = true;
                rest.filter(|_| this.flight.call.is_some())
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = || self.flight.incoming.borrow().as_ref().is_none_or(Incoming::is_end_stream);
        self.replay.0 >= self.replay.1 && (self.is_all_kept || has_ended())
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_all_kept {
            return SizeHint::with_exact(self.replay_bytes);
        }
        let rest = self.flight.incoming.borrow().as_ref().map(Incoming::size_hint);
        match rest.as_ref().and_then(SizeHint::exact) {
            Some(rest) => SizeHint::with_exact(rest + self.replay_bytes),
            None => SizeHint::default(),
        }
    }
}

impl Resend<ForwardBody> for Rc<Flight> {
    fn is_wanted(&self) -> bool {
        self.model().route.retry != Retry::Never
    }

    fn body(&self, head: &SpareHead) -> Option<ForwardBody> {
        if self.is_blamed() || !self.model().route.retry.allows(head) {
            return None;
        }
        let body = ForwardBody::again(self)?;
        self.version().counters.retries.fetch_add(1, Relaxed);
        Some(body)
    }
}

/// What the client gets.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Text of our own.
    Own(Option<Bytes>),
    /// Production's answer.
    Model(ModelBody),
}

/// Production's answer on its way to the client. Dropped before its end, it is an aborted exchange.
pub(crate) struct ModelBody {
    inner: Incoming,
    stall: Stall,
    end: Option<(EndGuard, Lease<ForwardBody>)>,
    flight: Rc<Flight>,
}

impl std::fmt::Debug for ModelBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl ModelBody {
    pub(crate) fn new(inner: Incoming, end: EndGuard, lease: Lease<ForwardBody>) -> Self {
        let flight = Rc::clone(end.flight());
        let mut body = Self { inner, stall: Stall::default(), end: Some((end, lease)), flight };
        body.finish_if_ended();
        body
    }

    fn finish(&mut self) {
        if let Some((end, lease)) = self.end.take() {
            self.flight.response.borrow_mut().ended = true;
            let now = std::time::Instant::now();
            lease.release(now);
            end.complete(now);
        }
    }

    /// The client or the upstream went away. A stream of events whose last one has passed is whole all the same: clients hang up
    /// then.
    fn cut(&mut self) {
        let Some((end, _)) = self.end.take() else { return };
        if self.flight.response.borrow().is_ended_stream() {
            self.flight.response.borrow_mut().ended = true;
            end.complete(std::time::Instant::now());
        }
    }

    fn finish_if_ended(&mut self) {
        if self.inner.is_end_stream() {
            self.finish();
        }
    }
}

impl Drop for ModelBody {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = match self.get_mut() {
            Self::Own(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Model(body) => body,
        };
        let limits = body.flight.limits();
        let frame = ready!(poll_incoming(&mut body.inner, &mut body.stall, &body.flight, cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
                    body.flight.answer_flows();
                    body.flight.response.borrow_mut().push(data, limits.capture_bytes);
                }
                if let (Some(_), Some(trailers)) = (&body.flight.call, frame.trailers_ref()) {
                    body.flight.status.set(grpc::status_of_trailers(trailers).unwrap_or(500));
                }
                body.finish_if_ended();
            }
            Some(Err(_)) => {
                body.flight.broke.set(true);
                body.cut();
            }
            None => body.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Model(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Model(body) => body.inner.size_hint(),
        }
    }
}
