//! One copy on its way to a shadow, and what is read of the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use record::{Exchange, Lane};

use crate::body::Captured;
use crate::clock;
use crate::shadow::{Copy, Fate, ShadowRunner};
use crate::upstream::{Pool, SendError};

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

/// A shadow's whole answer.
struct Answer {
    status: u16,
    body: Captured,
    /// When the first byte of the body came.
    first_byte: Option<Instant>,
}

/// When a copy was sent, and how long it took.
struct Times {
    at_ms: i64,
    began: Instant,
    latency: Duration,
}

enum Failure {
    Connect,
    Broken,
}

/// Sends a copy and reads the answer. Also says whether the shadow is unwell (no connection, or no answer in time).
pub(crate) async fn send(runner: &ShadowRunner, mut copy: Copy, pool: &Rc<Pool<CopyBody>>) -> (Fate, bool) {
    let at_ms = clock::unix_ms();
    let began = Instant::now();
    let sent = copy.body.clone();
    let request = request(&mut copy);
    let limit = runner.limits.shadow_answer_bytes;
    let answer = tokio::time::timeout(copy.spec().timeout, ask(pool, request, limit)).await;
    let latency = began.elapsed();
    let shadow = copy.shadow();
    match answer {
        Ok(Ok(answer)) => {
            shadow.counters.add(runner.shard, answer.status, latency);
            if copy.spec().tap {
                observe(runner, &copy, sent, answer, &Times { at_ms, began, latency });
            }
            (Fate::Sent, false)
        }
        Ok(Err(failure)) => {
            shadow.counters.add(runner.shard, 0, latency);
            (Fate::Failed, matches!(failure, Failure::Connect))
        }
        Err(_late) => {
            shadow.counters.add(runner.shard, 0, latency);
            (Fate::Timeout, true)
        }
    }
}

fn request(copy: &mut Copy) -> Request<CopyBody> {
    let mut headers = std::mem::take(&mut copy.headers);
    let target = &copy.shadow().target;
    headers.insert(HOST, target.authority.clone());
    headers.remove(TRANSFER_ENCODING);
    if copy.bytes > 0 || headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(copy.bytes));
    }
    let rewritten = target.rewrite(&copy.path, copy.model().stripped());
    let uri = Uri::from(rewritten.unwrap_or_else(|| copy.path.clone()));
    let mut request = Request::new(CopyBody::new(std::mem::take(&mut copy.body)));
    *request.method_mut() = copy.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

async fn ask(pool: &Rc<Pool<CopyBody>>, request: Request<CopyBody>, limit: usize) -> Result<Answer, Failure> {
    let (response, lease) = pool.send(request, Instant::now()).await.map_err(|error| match error {
        SendError::Connect(_) => Failure::Connect,
        SendError::Broken(_) => Failure::Broken,
    })?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Broken);
    }
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
        if body.over {
            // Enough: without a release the connection is closed, and the rest never read.
            return Ok(Answer { status: status.as_u16(), body, first_byte });
        }
    }
    body.ended = true;
    lease.release(Instant::now());
    Ok(Answer { status: status.as_u16(), body, first_byte })
}

fn observe(runner: &ShadowRunner, copy: &Copy, sent: Vec<Bytes>, mut answer: Answer, times: &Times) {
    let route = &copy.model().route;
    if !answer.body.is_whole() {
        runner.tap.skipped(&route.name, "capture_limit");
        return;
    }
    runner.tap.offer(Exchange {
        at_ms: times.at_ms,
        model: Arc::clone(&route.name),
        version: Arc::clone(&copy.shadow().version),
        lane: Lane::Shadow,
        tenant: copy.tenant.clone(),
        request_id: copy.request_id.clone(),
        status: answer.status,
        latency_ms: times.latency.as_secs_f64() * 1e3,
        first_byte_ms: answer.first_byte.map(|at| (at - times.began).as_secs_f64() * 1e3),
        path: copy.seen_path.clone(),
        request: record::Body {
            content_type: copy.content_type.clone(),
            content_encoding: copy.content_encoding.clone(),
            total_bytes: copy.bytes as u64,
            chunks: sent,
            truncated: false,
        },
        response: answer.body.take(),
    });
}
