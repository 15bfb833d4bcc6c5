//! Fluent Bit's `http` output.
//!
//! Fluent Bit takes 200 to 205 for done, tries again on 408, 429, 5xx and lost connections, and drops the whole chunk on any
//! other 4xx. So 200 is answered only when everything readable was counted; what passes by itself is 503; and 4xx, which
//! loses the chunk, only when nothing of it could be counted. A chunk that was counted and whose answer was lost comes
//! again: at least once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use feeds::fluent::{Events, InflateError, MediaType, Reading, inflate};
use feeds::sources::{Format, Reject, SourceCounters, SourceState};
use feeds::{Observation, Observer};
use record::{Lane, RecordDefaults};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::error::{ApiError, shown};
use crate::clock::now_ms;
use crate::monitor_loop::{Command, MonitorError};
use crate::observer::MonitorObserver;
use crate::plane::Plane;
use crate::sources::SourceView;

/// Bytes of a chunk after inflating it; Fluent Bit's own chunks have two million.
const INFLATED_BYTES: usize = 32 << 20;

/// Chunks that are read at a time; over it they are to come again.
const CHUNKS: usize = 4;

/// Observations handed to the monitor at a time.
const BATCH: usize = 500;

/// Records after which others get their turn.
const TURN: usize = 1_000;

/// Problems that an answer names.
const PROBLEMS_SHOWN: usize = 20;

/// Where chunks are taken.
pub(super) const PATH: &str = "/api/v1/fluentbit";

/// The header that Fluent Bit puts a chunk's tag into, with `header_tag FLUENT-TAG`.
const TAG: HeaderName = HeaderName::from_static("fluent-tag");

/// What the receiver remembers from chunk to chunk.
#[derive(Debug)]
pub(crate) struct FluentBit {
    room: Semaphore,
    counters: SourceCounters,
    logged_ms: AtomicI64,
    unlogged: AtomicU64,
}

impl Default for FluentBit {
    fn default() -> Self {
        Self {
            room: Semaphore::new(CHUNKS),
            counters: SourceCounters::new(),
            logged_ms: AtomicI64::new(0),
            unlogged: AtomicU64::new(0),
        }
    }
}

impl FluentBit {
    /// The receiver as a source; `None` until something has come.
    pub(crate) fn view(&self) -> Option<SourceView> {
        let status = self.counters.status();
        (status.state != SourceState::Starting).then(|| SourceView {
            name: Arc::from("fluentbit"),
            kind: "http",
            status,
        })
    }

    /// Says what is wrong with a chunk, at most once a minute.
    fn complain(&self, tag: &str, message: &str) {
        let (now, last) = (now_ms(), self.logged_ms.load(Relaxed));
        let due = now.saturating_sub(last) >= 60_000 || now < last;
        if due && self.logged_ms.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            let more = self.unlogged.swap(0, Relaxed);
            tracing::warn!(tag, more, "something from Fluent Bit was not counted: {message}");
        } else {
            self.unlogged.fetch_add(1, Relaxed);
        }
    }
}

/// What records that don't say it belong to, and where in a record the inference stands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    model: Option<Arc<str>>,
    version: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    #[serde(default)]
    lane: LaneName,
    #[serde(default)]
    format: FormatName,
    record_key: Option<String>,
    time_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LaneName {
    #[default]
    Prod,
    Shadow,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    #[default]
    Record,
    Json,
}

impl Options {
    fn reading(&self) -> Reading {
        let usual = Reading::default();
        Reading {
            format: match self.format {
                FormatName::Record => Format::Record,
                FormatName::Json => Format::Json,
            },
            record_key: self.record_key.clone().unwrap_or(usual.record_key),
            time_key: self.time_key.clone().unwrap_or(usual.time_key),
        }
    }

    /// A single model is understood.
    fn defaults(&self, plane: &Plane) -> Result<RecordDefaults, Failure> {
        let settings = plane.settings();
        let is_known = |model: &str| settings.models.iter().any(|known| *known.name == *model);
        if let Some(model) = self.model.as_deref().filter(|model| !is_known(model)) {
            return Err(Failure::UnknownModel(shown(model)));
        }
        let only = match settings.models.as_slice() {
            [only] => Some(Arc::clone(&only.name)),
            _ => None,
        };
        Ok(RecordDefaults {
            model: self.model.clone().or(only),
            version: self.version.clone(),
            tenant: self.tenant.clone(),
            lane: match self.lane {
                LaneName::Prod => Lane::Prod,
                LaneName::Shadow => Lane::Shadow,
            },
        })
    }
}

/// Why a chunk was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{CHUNKS} chunks are being read already: send it again")]
    Full,
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    #[error(
        "the chunk could not be received whole, or has more than {} bytes; Fluent Bit drops it",
        super::BODY_BYTES
    )]
    Body,
    #[error("{0}; Fluent Bit drops this chunk")]
    Inflate(#[from] InflateError),
    #[error(
        "expected `content-type` application/json, application/x-ndjson or application/msgpack; Fluent Bit drops this chunk"
    )]
    MediaType,
    #[error(
        "the query takes `model`, `version`, `tenant`, `lane`, `format`, `record_key` and `time_key`; Fluent Bit drops this chunk"
    )]
    Options,
    #[error("no model `{0}` is configured; Fluent Bit drops this chunk")]
    UnknownModel(String),
    #[error("nothing of the chunk was counted, Fluent Bit drops it: record {}: {}", .0.0, .0.1)]
    Nothing((usize, String)),
}

impl Failure {
    /// 503 for what passes: everything else loses the chunk.
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Monitor(_) => (StatusCode::SERVICE_UNAVAILABLE, "monitor"),
            Self::Body | Self::Inflate(InflateError::TooLong { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            Self::Inflate(InflateError::Unknown) | Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::UnknownModel(_) => (StatusCode::NOT_FOUND, "unknown_model"),
            Self::Inflate(InflateError::Broken) | Self::Options | Self::Nothing(_) => {
                (StatusCode::BAD_REQUEST, "bad_chunk")
            }
        }
    }

    fn count(&self, counters: &SourceCounters) {
        match self.status().0 {
            StatusCode::SERVICE_UNAVAILABLE => counters.failed(),
            StatusCode::PAYLOAD_TOO_LARGE => counters.reject(Reject::TooLarge),
            // Its records were counted one by one.
            _ if matches!(self, Self::Nothing(_)) => {}
            _ => counters.reject(Reject::Malformed),
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let (status, code) = failure.status();
        Self::new(status, code, failure.to_string())
    }
}

/// Takes one chunk.
pub(super) async fn receive(
    State(plane): State<Arc<Plane>>,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let receiver = &plane.fluentbit;
    receiver.counters.set_state(SourceState::Running);
    let tag = shown(text(&headers, &TAG).unwrap_or_default());
    match take(&plane, options, &headers, body).await {
        Ok(tally) => {
            if let Some((record, message)) = tally.problems.first() {
                receiver.complain(&tag, &format!("record {record}: {message}"));
            }
            Ok(Json(tally.answer()))
        }
        Err(failure) => {
            failure.count(&receiver.counters);
            receiver.complain(&tag, &failure.to_string());
            Err(failure.into())
        }
    }
}

async fn take(
    plane: &Plane,
    options: Result<Query<Options>, QueryRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Tally, Failure> {
    let receiver = &plane.fluentbit;
    let _place = receiver.room.try_acquire().map_err(|_| Failure::Full)?;
    let Query(options) = options.map_err(|_| Failure::Options)?;
    let (defaults, reading) = (options.defaults(plane)?, options.reading());
    let body = body.map_err(|_| Failure::Body)?;
    receiver.counters.read(body.len());
    let body = inflate(text(headers, &header::CONTENT_ENCODING), &body, INFLATED_BYTES)?;
    let media_type = MediaType::of(text(headers, &header::CONTENT_TYPE), &body);
    let Some(media_type) = media_type else {
        // Without a type, nothing is nothing in any of them.
        return if body.is_empty() { Ok(Tally::default()) } else { Err(Failure::MediaType) };
    };
    let mut tally = Tally::default();
    for (n, event) in Events::new(media_type, &body).enumerate() {
        match event.and_then(|event| reading.observe(&event, now_ms(), &defaults)) {
            Ok(observations) => tally.batch.extend(observations.into_iter().map(|one| (n + 1, one))),
            Err(refused) => {
                receiver.counters.reject(refused.reason);
                tally.problem(n + 1, refused.message);
            }
        }
        if tally.batch.len() >= BATCH {
            tally.settle(plane).await?;
        }
        if n % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    tally.settle(plane).await?;
    match tally.problems.first() {
        Some(first) if tally.accepted == 0 => Err(Failure::Nothing(first.clone())),
        _ => Ok(tally),
    }
}

/// What became of a chunk's records.
#[derive(Debug, Default)]
struct Tally {
    /// Not handed over yet, with the number of the record that each came from.
    batch: Vec<(usize, Observation)>,
    has_begun: bool,
    accepted: usize,
    rejected: usize,
    problems: Vec<(usize, String)>,
}

impl Tally {
    fn problem(&mut self, record: usize, message: String) {
        self.rejected += 1;
        if self.problems.len() < PROBLEMS_SHOWN {
            self.problems.push((record, message));
        }
    }

    /// Has the batch counted. Only the first may be refused for want of time: after it, giving up would have what was
    /// counted sent again.
    async fn settle(&mut self, plane: &Plane) -> Result<(), Failure> {
        let (numbers, batch): (Vec<usize>, Vec<Observation>) =
            std::mem::take(&mut self.batch).into_iter().unzip();
        if batch.is_empty() {
            return Ok(());
        }
        let counted = if std::mem::replace(&mut self.has_begun, true) {
            MonitorObserver(Arc::clone(&plane.monitor)).count(batch).await.map_err(|_| MonitorError::Gone)?
        } else {
            plane.monitor.ask(|reply| Command::Observations { batch, reply }).await?
        };
        plane.fluentbit.counters.counted(&counted);
        self.accepted += counted.accepted;
        for (index, message) in counted.rejected {
            self.problem(numbers.get(index).copied().unwrap_or_default(), message);
        }
        Ok(())
    }

    fn answer(&self) -> Value {
        let problem = |(record, message): &(usize, String)| json!({ "record": record, "message": message });
        let problems: Vec<Value> = self.problems.iter().map(problem).collect();
        json!({ "accepted": self.accepted, "rejected": self.rejected, "problems": problems })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // What is not text is no name that we know.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
