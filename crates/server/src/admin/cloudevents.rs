//! KServe's logger: one CloudEvent for a request, one for its answer, joined by `id`.
//!
//! Binary mode carries the attributes in `ce-` headers and the bytes as they were; structured mode is one JSON object with
//! `data` or `data_base64`. The agent sends each event once, in any order, and takes only 200 for success, so everything
//! that was understood is answered 200 at once; what became of it is in the metrics. Answers other than 200 are never
//! logged by the agent: such a request counts alone when [`JoinLimits::max_age`] is over.
//!
//! [`JoinLimits::max_age`]: crate::join::JoinLimits::max_age

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::Tap;
use percent_encoding::percent_decode_str;
use record::{Body, Lane};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{ApiError, shown};
use super::mirror::{Model, described};
use crate::clock::now_ms;
use crate::intake::Intake;
use crate::join::{Half, Joined, Joins};
use crate::plane::Plane;

const REQUEST: &str = "org.kubeflow.serving.inference.request";
const RESPONSE: &str = "org.kubeflow.serving.inference.response";

/// Longest id, bytes.
const ID_BYTES: usize = 256;

/// How often requests without an answer are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Takes one event.
pub(super) async fn receive(
    State(plane): State<Arc<Plane>>,
    Extension(joins): Extension<Arc<Joins>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let event = Event::read(&headers, bytes)?;
    let settings = plane.settings();
    let model = Model::find(&settings, &event.model)?;
    if event.data.len() > settings.gateway.limits.capture_bytes {
        plane.intake.skipped(model.name(), "capture_limit");
        return Ok(Json(json!({ "accepted": false, "reason": "capture_limit" })));
    }
    if model.route.tap {
        let now = now_ms();
        // A clock that is ahead must not place observations in the future.
        let at_ms = event.at_ms.map_or(now, |at_ms| at_ms.min(now));
        let half = event.half(&plane, &model, &headers, at_ms);
        settle(&plane.intake, joins.add(model.name(), &event.id, half, Instant::now()));
    }
    Ok(Json(json!({ "accepted": true })))
}

/// Counts requests whose answer has not come, for as long as the process runs.
pub(super) async fn sweep(plane: Arc<Plane>, joins: Arc<Joins>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        settle(&plane.intake, joins.expire(Instant::now()));
    }
}

/// Hands on what is settled: exchanges to the monitor, the rest to the counters.
pub(super) fn settle(intake: &Intake, settled: Vec<Joined>) {
    for joined in settled {
        match joined {
            Joined::Exchange(exchange) => intake.offer_foreign(*exchange),
            Joined::Unpaired(model) => intake.skipped(&model, "unpaired"),
            Joined::Duplicate(model) => intake.skipped(&model, "duplicate"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
}

/// What we use of an event.
#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    kind: Kind,
    model: String,
    at_ms: Option<i64>,
    /// JSON of the request headers that the logger passes on: name to values.
    metadata: Option<String>,
    /// Of the data. `None` for an answer: the agent puts the request's there.
    content_type: Option<String>,
    data: Bytes,
    /// Whether the data came as the message's own body, so that its `content-` headers are the data's.
    is_binary: bool,
}

impl Event {
    fn read(headers: &HeaderMap, bytes: Bytes) -> Result<Self, ApiError> {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if media_type.eq_ignore_ascii_case(b"application/cloudevents+json") {
            return Structured::parse(&bytes)?.event();
        }
        if media_type.get(..24).is_some_and(|start| start.eq_ignore_ascii_case(b"application/cloudevents-")) {
            let message = "batches of events are not taken: send one event a call";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "batch", message));
        }
        Attributes::of_headers(headers)?.event(bytes, true)
    }

    fn half(&self, plane: &Plane, model: &Model<'_>, headers: &HeaderMap, at_ms: i64) -> Half {
        let mut body = Body::complete(self.data.clone());
        if self.is_binary {
            body = described(body, headers);
        }
        body.content_type = self.content_type.as_deref().map(|kind| Bytes::copy_from_slice(kind.as_bytes()));
        if self.kind == Kind::Response {
            return Half::Answer { body, at_ms };
        }
        // The agent does not pass the path on; the body says which protocol it is in.
        let mut exchange = model.request(model.active(plane), Lane::Prod, headers, Bytes::new(), body);
        exchange.at_ms = at_ms;
        exchange.request_id = Bytes::copy_from_slice(self.id.as_bytes());
        if let (Some(name), Some(metadata)) = (&model.route.tenant_header, &self.metadata) {
            exchange.tenant = logged_header(metadata, name.as_str()).or(exchange.tenant);
        }
        Half::Request(Box::new(exchange))
    }
}

/// The attributes, from wherever they came.
#[derive(Debug, Default)]
struct Attributes {
    specversion: Option<String>,
    id: Option<String>,
    kind: Option<String>,
    model: Option<String>,
    time: Option<String>,
    metadata: Option<String>,
    content_type: Option<String>,
}

impl Attributes {
    fn of_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let field = |name: &str| -> Result<Option<String>, ApiError> {
            let Some(value) = headers.get(name) else { return Ok(None) };
            let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
            text.map(|text| Some(text.into_owned()))
                .ok_or_else(|| bad(format!("header `{name}` is not percent-encoded UTF-8")))
        };
        Ok(Self {
            specversion: field("ce-specversion")?,
            id: field("ce-id")?,
            kind: field("ce-type")?,
            model: field("ce-inferenceservicename")?,
            time: field("ce-time")?,
            metadata: field("ce-metadata")?,
            content_type: headers
                .get(header::CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .map(str::to_owned),
        })
    }

    fn event(self, data: Bytes, is_binary: bool) -> Result<Event, ApiError> {
        let needed = |value: Option<String>, name: &str| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| {
                bad(format!(
                    "attribute `{name}` is missing (header `ce-{name}`, or a key in structured mode)"
                ))
            })
        };
        let specversion = needed(self.specversion, "specversion")?;
        if !specversion.starts_with("1.") {
            return Err(bad(format!("`specversion` is `{}`: expected `1.0`", shown(&specversion))));
        }
        let id = needed(self.id, "id")?;
        if id.len() > ID_BYTES {
            return Err(bad(format!("`id` has {} bytes: at most {ID_BYTES} are allowed", id.len())));
        }
        let kind = match needed(self.kind, "type")?.as_str() {
            REQUEST => Kind::Request,
            RESPONSE => Kind::Response,
            other => {
                let message = format!("`type` is `{}`: expected `{REQUEST}` or `{RESPONSE}`", shown(other));
                return Err(bad(message));
            }
        };
        let model = needed(self.model, "inferenceservicename")?;
        let time = self.time.as_deref().map(|time| {
            time.parse::<jiff::Timestamp>()
                .map_err(|_| bad(format!("`time` is `{}`: expected RFC 3339", shown(time))))
        });
        let at_ms = time.transpose()?.map(jiff::Timestamp::as_millisecond);
        let content_type = self.content_type.filter(|_| kind == Kind::Request);
        Ok(Event { id, kind, model, at_ms, metadata: self.metadata, content_type, data, is_binary })
    }
}

/// An event in structured mode. Attributes that we don't use are ignored.
#[derive(Debug, Deserialize)]
struct Structured<'a> {
    specversion: Option<String>,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    inferenceservicename: Option<String>,
    time: Option<String>,
    metadata: Option<String>,
    datacontenttype: Option<String>,
    /// As written: numbers stay what they were.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

impl<'a> Structured<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(bytes).map_err(|error| {
            // The message of a wrong type quotes the value; only the place is repeated.
            bad(format!("not a CloudEvent in JSON, at line {} column {}", error.line(), error.column()))
        })
    }

    fn event(self) -> Result<Event, ApiError> {
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => return Err(bad("both `data` and `data_base64` are given")),
            (None, None) => return Err(bad("neither `data` nor `data_base64` is given")),
            (None, Some(text)) => {
                STANDARD.decode(text).map_err(|error| bad(format!("`data_base64`: {error}")))?.into()
            }
            (Some(data), None) => plain(data, self.datacontenttype.as_deref())?,
        };
        let attributes = Attributes {
            specversion: self.specversion,
            id: self.id,
            kind: self.kind,
            model: self.inferenceservicename,
            time: self.time,
            metadata: self.metadata,
            content_type: self.datacontenttype,
        };
        attributes.event(data, false)
    }
}

/// `data` is JSON unless the event says that it is of another type; then a string holds the text itself.
fn plain(data: &RawValue, content_type: Option<&str>) -> Result<Bytes, ApiError> {
    let is_json = content_type.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind.is_empty() || kind.ends_with("/json") || kind.ends_with("+json")
    });
    if is_json || !data.get().starts_with('"') {
        return Ok(Bytes::copy_from_slice(data.get().as_bytes()));
    }
    serde_json::from_str::<String>(data.get()).map(Bytes::from).map_err(|_| bad("`data` is not valid text"))
}

/// A header's value in the logger's `{"X-Foo":["v"]}`, whatever the case of its name.
fn logged_header(metadata: &str, name: &str) -> Option<Bytes> {
    let headers: BTreeMap<String, Vec<String>> = serde_json::from_str(metadata).ok()?;
    let (_, values) = headers.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    if values.is_empty() { None } else { Some(Bytes::from(values.join(","))) }
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("bad_event", message)
}

#[cfg(test)]
#[path = "cloudevents_tests.rs"]
mod tests;
