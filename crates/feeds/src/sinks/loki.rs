//! Push to Loki (`POST /loki/api/v1/push`, JSON).
//!
//! Labels are few and bounded: `service_name`, `lane`, `model`, `version` and what the configuration adds. Request id and
//! tenant are structured metadata. A batch is sent until Loki takes it, refuses it for good, or it is too old; meanwhile
//! lines wait in the queue, and what does not fit there is dropped and counted. One request is under way at a time.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::sinks::{BatchRule, LogDrop, LogStream, SinkContext, SinkError, Taken};

/// Path of the push, below the configured address.
const PATH: &str = "loki/api/v1/push";

/// Longest line that Loki takes by default.
const LINE_BYTES: usize = 256 * 1024;

/// Status of a tenant whose ingestion is blocked: looks like success, and is not.
const BLOCKED: u16 = 260;

/// Rest after a failure, at first and at most.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Longest `retry-after` that is followed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How often a refusal is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Loki as a sink.
#[derive(Clone, PartialEq, Eq)]
pub struct LokiSpec {
    /// Its address, without the path of the push.
    pub url: String,
    /// Sent as `x-scope-orgid`.
    pub tenant_id: Option<String>,
    /// User and password.
    pub basic_auth: Option<(String, String)>,
    /// Token.
    pub bearer: Option<String>,
    /// Further labels, the same for all lines.
    pub labels: Vec<(String, String)>,
    /// Whether pushes are compressed.
    pub gzip: bool,
    /// Bytes of a push.
    pub batch_bytes: usize,
    /// Longest wait for a push to fill.
    pub batch_every: Duration,
    /// Time for one push.
    pub timeout: Duration,
    /// How long a push is tried again.
    pub keep_trying: Duration,
}

impl std::fmt::Debug for LokiSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither passwords nor what an address may hold of them.
        f.debug_struct("LokiSpec").finish_non_exhaustive()
    }
}

/// What became of a push.
enum Answer {
    Taken,
    /// Not this batch, whoever asks again.
    Refused(LogDrop, String),
    /// Too large as it is.
    Split,
    /// Perhaps later, at the earliest after this.
    Later(Option<Duration>, String),
}

pub(super) async fn run(spec: &LokiSpec, context: &SinkContext) -> Result<(), SinkError> {
    let sender = Sender::new(spec)?;
    let mut told = Told::default();
    let rule = BatchRule { records: 10_000, bytes: spec.batch_bytes, age: spec.batch_every };
    while let Some(batch) = context.take(&rule).await {
        let (batch, long): (Vec<Taken>, Vec<Taken>) =
            batch.into_iter().partition(|taken| taken.line().json().len() <= LINE_BYTES);
        if !long.is_empty() {
            told.say(&format!("a line is longer than {LINE_BYTES} bytes"));
        }
        long.into_iter().for_each(|taken| taken.dropped(LogDrop::TooLong));
        sender.deliver(batch, context, &mut told).await;
    }
    Ok(())
}

struct Sender<'a> {
    spec: &'a LokiSpec,
    client: reqwest::Client,
    url: reqwest::Url,
}

impl<'a> Sender<'a> {
    fn new(spec: &'a LokiSpec) -> Result<Self, SinkError> {
        // Already set by another part of the process is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let setup = |error: &dyn std::fmt::Display| SinkError::Setup(format!("loki: {error}"));
        let mut headers = HeaderMap::new();
        if let Some(tenant) = &spec.tenant_id {
            headers.insert("x-scope-orgid", HeaderValue::from_str(tenant).map_err(|error| setup(&error))?);
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(spec.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| setup(&error.without_url()))?;
        let base = spec.url.trim_end_matches('/');
        let url = format!("{base}/{PATH}").parse().map_err(|error| setup(&error))?;
        Ok(Self { spec, client, url })
    }

    /// Sends a batch until something has become of every line; halves that are still too large are halved again.
    async fn deliver(&self, batch: Vec<Taken>, context: &SinkContext, told: &mut Told) {
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            if batch.is_empty() {
                continue;
            }
            match self.until_settled(&batch, context, told).await {
                Answer::Taken => batch.into_iter().for_each(Taken::written),
                Answer::Split if batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    waiting.extend([second, batch]);
                }
                Answer::Split => {
                    told.say("a single line is too large for the server");
                    batch.into_iter().for_each(|taken| taken.dropped(LogDrop::TooLong));
                }
                Answer::Refused(reason, message) => {
                    told.say(&message);
                    batch.into_iter().for_each(|taken| taken.dropped(reason));
                }
                Answer::Later(_, message) => {
                    told.say(&message);
                    batch.into_iter().for_each(|taken| taken.dropped(LogDrop::Expired));
                }
            }
        }
    }

    /// Sends until the answer is final; `Later` when it was tried for too long.
    async fn until_settled(&self, batch: &[Taken], context: &SinkContext, told: &mut Told) -> Answer {
        let body = Bytes::from(body(batch, &self.spec.labels).to_string());
        // Once, however often it is sent.
        let body = if self.spec.gzip { gzip(&body) } else { body };
        let (began, mut rest) = (Instant::now(), FIRST_REST);
        loop {
            let answer = self.push(body.clone()).await;
            let is_up = matches!(answer, Answer::Taken | Answer::Split);
            if context.queue.set_up(is_up) && is_up {
                tracing::info!("loki takes the inference log again");
            }
            let Answer::Later(after, message) = answer else { return answer };
            if began.elapsed() >= self.spec.keep_trying {
                return Answer::Later(None, message);
            }
            told.say(&message);
            // Half of the rest is drawn: instances that failed together do not come back together.
            let jittered = rest.mul_f64(0.5 + fastrand::f64() / 2.0);
            pause(context, after.unwrap_or_default().max(jittered)).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    async fn push(&self, body: Bytes) -> Answer {
        let mut request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        if self.spec.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        if let Some((user, password)) = &self.spec.basic_auth {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(token) = &self.spec.bearer {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            // The answer's body says nothing that we need, and may have no end: it is not read.
            Ok(answer) => judge(answer.status(), answer.headers()),
            Err(error) => Answer::Later(None, format!("no answer: {}", kind(&error))),
        }
    }
}

/// The bytes as gzip. Fast: the sink's thread has the next push to make.
fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("invariant: writing to memory cannot fail").into()
}

/// Waits whatever orders come; only an end breaks it off, by dropping the sink.
async fn pause(context: &SinkContext, time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        context.rest(left).await;
        // An order that is already known would make `rest` return at once for ever.
        tokio::task::yield_now().await;
    }
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Answer {
    let code = status.as_u16();
    let message = format!("it answered with status {code}");
    match code {
        BLOCKED => Answer::Refused(LogDrop::Blocked, format!("ingestion is blocked (status {code})")),
        200..=299 => Answer::Taken,
        413 => Answer::Split,
        401 | 403 => Answer::Refused(LogDrop::Unauthorized, format!("not allowed (status {code})")),
        408 | 429 | 500..=599 => Answer::Later(retry_after(headers), message),
        _ => Answer::Refused(LogDrop::Rejected, message),
    }
}

/// Seconds; a date is not followed, servers of this kind send none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// The push of a batch: one stream a model, version and lane.
fn body(batch: &[Taken], labels: &[(String, String)]) -> Value {
    let mut index: HashMap<*const LogStream, usize> = HashMap::new();
    let mut streams: Vec<(Arc<LogStream>, Vec<Value>)> = Vec::new();
    for (place, taken) in batch.iter().enumerate() {
        let line = taken.line();
        let at = *index.entry(Arc::as_ptr(&line.stream)).or_insert_with(|| {
            streams.push((Arc::clone(&line.stream), Vec::new()));
            streams.len() - 1
        });
        let text = String::from_utf8_lossy(line.json());
        // Loki takes equal lines of one instant for one. The rows of a batch may be equal, so each has an instant of its own
        // within its millisecond; sent again, it has the same.
        let nanoseconds = (i128::from(line.at_ms) * 1_000_000 + (place % 1_000_000) as i128).to_string();
        let mut metadata = serde_json::Map::new();
        for (key, value) in [("request_id", line.request_id()), ("tenant", line.tenant())] {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), String::from_utf8_lossy(value).into());
            }
        }
        streams[at].1.push(json!([nanoseconds, text, metadata]));
    }
    let streams: Vec<Value> = streams
        .into_iter()
        .map(|(stream, values)| {
            let mut set: serde_json::Map<String, Value> =
                labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            set.entry("service_name").or_insert_with(|| stream.model.as_ref().into());
            set.insert("lane".to_owned(), stream.lane.as_str().into());
            set.insert("model".to_owned(), stream.model.as_ref().into());
            set.insert("version".to_owned(), stream.version.as_ref().into());
            json!({ "stream": set, "values": values })
        })
        .collect();
    json!({ "streams": streams })
}

/// Tells of trouble once in a while.
#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    kept_back: u64,
}

impl Told {
    fn say(&mut self, message: &str) {
        if self.last.is_some_and(|last| last.elapsed() < TELL_EVERY) {
            self.kept_back += 1;
            return;
        }
        tracing::warn!(
            also_since_the_last = self.kept_back,
            "loki does not take the inference log: {message}"
        );
        (self.last, self.kept_back) = (Some(Instant::now()), 0);
    }
}

#[cfg(test)]
mod tests {
    use record::Lane;

    use super::*;
    use crate::sinks::testing::{context, line, line_of};

    #[test]
    fn the_body_of_a_push() {
        let (context, _orders) = context();
        context.queue.try_push(line("{\"a\":1}"));
        context.queue.try_push(line_of(Lane::Shadow, "{\"b\":\"\\u00e9\"}"));
        let batch: Vec<Taken> = std::iter::from_fn(|| context.queue.pop()).collect();
        let expected = json!({ "streams": [
            { "stream": { "env": "test", "service_name": "fraud", "lane": "prod", "model": "fraud", "version": "v2" },
              "values": [["1769860800000000000", "{\"a\":1}", { "request_id": "r-1", "tenant": "acme" }]] },
            { "stream": { "env": "test", "service_name": "fraud", "lane": "shadow", "model": "fraud", "version": "v2" },
              "values": [["1769860800000000001", "{\"b\":\"\\u00e9\"}", { "request_id": "r-1", "tenant": "acme" }]] },
        ] });
        assert_eq!(body(&batch, &[("env".to_owned(), "test".to_owned())]), expected);
    }

    #[test]
    fn what_each_status_means() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let said = |code: u16| match judge(StatusCode::from_u16(code).unwrap(), &headers) {
            Answer::Taken => "taken".to_owned(),
            Answer::Split => "split".to_owned(),
            Answer::Refused(reason, _) => reason.as_str().to_owned(),
            Answer::Later(after, _) => format!("later {:?}", after.unwrap()),
        };
        let table = [
            (204, "taken"),
            (200, "taken"),
            (260, "blocked"),
            (301, "rejected"),
            (400, "rejected"),
            (401, "unauthorized"),
            (403, "unauthorized"),
            (404, "rejected"),
            (413, "split"),
            (429, "later 7s"),
            (500, "later 7s"),
            (503, "later 7s"),
        ];
        table.into_iter().for_each(|(code, expected)| assert_eq!(said(code), expected, "{code}"));
    }
}
