//! One copy on its way to a shadow, and what is read of the answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use record::{Exchange, Lane, Pairing};

use crate::body::Captured;
use crate::clock;
use crate::grpc;
use crate::known;
use crate::retry::{Resend, SpareHead};
use crate::shadow::{Copy, Fate, ShadowRunner};
use crate::spec::Retry;
use crate::upstream::{Pool, SendError, Wire};

/// A captured body, sent again.
#[derive(Debug)]
pub(crate) struct CopyBody {
    chunks: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl CopyBody {
    fn new(chunks: Vec<Bytes>) -> Self {
        let left = chunks.iter().map(|c| c.len() as u64).sum();
        Self { chunks: chunks.into_iter(), left }
    }
}

impl Body for CopyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.next();
        self.left -= next.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A copy's body for a second sending.
pub(crate) struct CopyAgain<'a> {
    pub(crate) copy: &'a Copy,
    pub(crate) body: &'a [Bytes],
}

impl Resend<CopyBody> for CopyAgain<'_> {
    fn is_wanted(&self) -> bool {
        self.copy.model().route.retry != Retry::Never
    }

    fn body(&self, head: &SpareHead) -> Option<CopyBody> {
        if !self.copy.model().route.retry.allows(head) {
            return None;
        }
        self.copy.shadow().counters.retries.fetch_add(1, Relaxed);
        Some(CopyBody::new(self.body.to_vec()))
    }
}

/// A shadow's answer, to its end or to the limit.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Captured,
    /// When the first byte of the body came.
    first_byte: Option<Instant>,
}

impl Answer {
    /// One that needed no shadow.
    pub(crate) fn known(body: Bytes) -> Self {
        Self { status: 200, body: Captured::json(body), first_byte: Some(Instant::now()) }
    }
}

/// When a copy was sent, and how long it took.
struct Times {
    at_ms: i64,
    began: Instant,
    latency: Duration,
}

pub(crate) enum Failure {
    Connect,
    Broken,
}

/// Sends a copy and reads the answer. Also says whether the shadow is unwell (no connection, or no answer in time).
pub(crate) async fn send(runner: &ShadowRunner, mut copy: Copy, pool: &Rc<Pool<CopyBody>>) -> (Fate, bool) {
    let (at_ms, began) = (clock::unix_ms(), Instant::now());
    let sent = record::Body {
        content_type: copy.content_type.take(),
        content_encoding: copy.content_encoding.take(),
        total_bytes: copy.bytes as u64,
        chunks: std::mem::take(&mut copy.body),
        truncated: false,
    };
    let limit = runner.limits.shadow_answer_bytes;
    let headers = std::mem::take(&mut copy.headers);
    // Whether the shadow was asked anything.
    let asked = Cell::new(false);
    // Noise is between two answers: one that is known already would agree with itself.
    let is_noise = copy.spec().noise;
    let session = if is_noise { None } else { runner.hooks.answers.begin(&known::question(&copy, &sent)) };
    let answering = async {
        match session {
            Some(mut session) => {
                let shadow = known::Shadow { copy: &copy, headers, pool, limit, asked: &asked };
                known::converse(session.as_mut(), &shadow, &sent).await
            }
            None => {
                asked.set(true);
                let again = CopyAgain { copy: &copy, body: &sent.chunks };
                ask(pool, request(&copy, headers, sent.chunks.clone()), &again, limit).await
            }
        }
    };
    let answer = tokio::time::timeout(copy.spec().timeout, answering).await;
    let times = Times { at_ms, began, latency: began.elapsed() };
    let (answer, fate, unwell) = match answer {
        Ok(Ok(answer)) => (Some(answer), if asked.get() { Fate::Sent } else { Fate::Known }, false),
        Ok(Err(Failure::Connect)) => (None, Fate::Failed, true),
        Ok(Err(Failure::Broken)) => (None, Fate::Failed, false),
        Err(_late) => (None, Fate::Timeout, asked.get()),
    };
    if fate != Fate::Known {
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        copy.shadow().counters.add(runner.shard, status, times.latency);
    }
    let nothing_sent = !asked.get() || matches!((fate, unwell), (Fate::Failed, true));
    observe(runner, &copy, sent, answer, &times, nothing_sent);
    (fate, unwell)
}

/// The copy with these headers and this body.
pub(crate) fn request(copy: &Copy, mut headers: HeaderMap, body: Vec<Bytes>) -> Request<CopyBody> {
    let target = &copy.shadow().target;
    let body = CopyBody::new(body);
    headers.insert(HOST, target.authority.clone());
    headers.remove(TRANSFER_ENCODING);
    if body.left > 0 || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.left));
    }
    let rewritten = target.rewrite(&copy.path, copy.model().stripped());
    let uri = Uri::from(rewritten.unwrap_or_else(|| copy.path.clone()));
    let mut request = Request::new(body);
    *request.method_mut() = copy.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Asks the shadow and reads its answer.
pub(crate) async fn ask(
    pool: &Rc<Pool<CopyBody>>,
    request: Request<CopyBody>,
    resend: &CopyAgain<'_>,
    limit: usize,
) -> Result<Answer, Failure> {
    let is_grpc = grpc::is_grpc(request.headers());
    let wire = if is_grpc { Wire::Http2 } else { Wire::Configured };
    let sent = pool.send(request, wire, Instant::now(), resend).await;
    let (response, lease) = sent.map_err(|error| match error {
        SendError::Connect(_) => Failure::Connect,
        SendError::Broken(_) | SendError::NotHttp2 => Failure::Broken,
    })?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Broken);
    }
    let http_status = status.as_u16();
    let mut status =
        if is_grpc { grpc::status_of_grpc(http_status, response.headers()) } else { http_status };
    let mut body = Captured::default();
    body.begin(response.headers());
    let mut incoming = response.into_body();
    let mut first_byte = None;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Failure::Broken)?;
        if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
            first_byte = first_byte.or_else(|| Some(Instant::now()));
            body.push(data, limit);
        }
        if let (true, Some(trailers)) = (is_grpc, frame.trailers_ref()) {
            status = grpc::status_of_trailers(trailers).unwrap_or(500);
        }
        if body.over {
            // Enough: without a release the connection is closed, and the rest never read.
            return Ok(Answer { status: http_status, body, first_byte });
        }
    }
    body.ended = true;
    lease.release(Instant::now());
    Ok(Answer { status, body, first_byte })
}

/// Tells the budget and the tap how a copy ended.
fn observe(
    runner: &ShadowRunner,
    copy: &Copy,
    request: record::Body,
    answer: Option<Answer>,
    times: &Times,
    nothing_sent: bool,
) {
    let route = &copy.model().route;
    let is_whole = answer.as_ref().is_some_and(|answer| answer.body.is_whole());
    let status = answer.as_ref().map(|answer| answer.status);
    let first_byte = answer.as_ref().and_then(|answer| answer.first_byte);
    let exchange = Exchange {
        at_ms: times.at_ms,
        model: Arc::clone(&route.name),
        version: Arc::clone(&copy.shadow().version),
        lane: Lane::Shadow,
        tenant: copy.tenant.clone(),
        request_id: copy.request_id.clone(),
        status: status.unwrap_or(0),
        latency_ms: times.latency.as_secs_f64() * 1e3,
        first_byte_ms: first_byte.map(|at| (at - times.began).as_secs_f64() * 1e3),
        headers: copy.seen_headers.clone(),
        path: copy.seen_path.clone(),
        request,
        response: answer.map(|mut answer| answer.body.take()).unwrap_or_default(),
        pairing: if copy.spec().noise { Pairing::Noise } else { Pairing::Unknown },
    };
    if !nothing_sent {
        runner.hooks.budget.ended(&exchange);
    }
    if !copy.spec().tap || status.is_none() {
        return;
    }
    if is_whole {
        runner.tap.offer(exchange);
    } else {
        runner.tap.skipped(&route.name, "capture_limit");
    }
}
