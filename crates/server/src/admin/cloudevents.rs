//! KServe's logger: one CloudEvent for a request, one for its answer, joined by `id`.
//!
//! The agent sends each event once, in any order, and takes only 200 for success, so everything that was understood is
//! answered 200 at once; what became of it is in the metrics. Answers other than 200 are never logged by the agent: such
//! a request counts alone when [`JoinLimits::max_age`] is over.
//!
//! [`JoinLimits::max_age`]: feeds::join::JoinLimits::max_age

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::{Extension, Json};
use feeds::cloudevents::{Event, EventError, EventKind, missing};
use feeds::join::{Half, Joined, Joins};
use gateway::Tap;
use percent_encoding::percent_decode_str;
use record::Lane;
use serde_json::{Value, json};

use super::error::ApiError;
use super::mirror::{Model, described};
use crate::clock::now_ms;
use crate::intake::Intake;
use crate::plane::Plane;

/// How often requests without an answer are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Takes one event.
pub(super) async fn receive(
    State(plane): State<Arc<Plane>>,
    Extension(joins): Extension<Arc<Joins>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let event = read(&headers, bytes)?;
    let settings = plane.settings();
    let name = event.model.as_deref().ok_or_else(|| missing("inferenceservicename"))?;
    let model = Model::find(&settings, name)?;
    if event.data.len() > settings.gateway.limits.capture_bytes {
        plane.intake.skipped(model.name(), "capture_limit");
        return Ok(Json(json!({ "accepted": false, "reason": "capture_limit" })));
    }
    if model.route.tap {
        let now = now_ms();
        // A clock that is ahead must not place observations in the future.
        let at_ms = event.at_ms.map_or(now, |at_ms| at_ms.min(now));
        let half = half(&event, &plane, &model, &headers, at_ms);
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

/// Over HTTP an attribute is a `ce-` header, its value percent-encoded.
fn read(headers: &HeaderMap, bytes: Bytes) -> Result<Event, EventError> {
    let attribute = |name: &str| {
        let Some(value) = headers.get(format!("ce-{name}")) else { return Ok(None) };
        let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
        text.map(|text| Some(text.into_owned()))
            .ok_or_else(|| EventError::Bad(format!("header `ce-{name}` is not percent-encoded UTF-8")))
    };
    Event::read(headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes), attribute, bytes)
}

fn half(event: &Event, plane: &Plane, model: &Model<'_>, headers: &HeaderMap, at_ms: i64) -> Half {
    let mut body = event.body();
    if event.is_binary {
        body.content_encoding = described(record::Body::default(), headers).content_encoding;
    }
    if event.kind == EventKind::Answer {
        return Half::Answer { body, at_ms };
    }
    // The agent does not pass the path on; the body says which protocol it is in.
    let mut exchange = model.request(model.active(plane), Lane::Prod, headers, Bytes::new(), body);
    exchange.at_ms = at_ms;
    exchange.request_id = Bytes::copy_from_slice(event.id.as_bytes());
    if let Some(name) = &model.route.tenant_header {
        exchange.tenant = event.logged_header(name.as_str()).or(exchange.tenant);
    }
    // The message's own headers are the agent's.
    let wanted = model.route.log_headers.iter();
    exchange.headers = wanted
        .filter_map(|(name, shown)| Some((Arc::clone(shown), event.logged_header(name.as_str())?)))
        .collect();
    Half::Request(Box::new(exchange))
}

impl From<EventError> for ApiError {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Batch => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "batch", error.to_string()),
            EventError::Bad(message) => Self::bad_request("bad_event", message),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use axum::response::IntoResponse;

    use super::*;

    fn headers(changes: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "i-1"),
            ("ce-type", "org.kubeflow.serving.inference.request"),
            ("ce-inferenceservicename", "fraud"),
            ("content-type", "application/json"),
        ]
        .iter()
        .chain(changes)
        {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn attributes_are_percent_encoded_headers() {
        let event = read(
            &headers(&[("ce-id", "caf%C3%A9"), ("ce-metadata", "%7B%22X-Foo%22:%5B%22v%22%5D%7D")]),
            Bytes::from_static(b"{}"),
        )
        .unwrap();
        assert_eq!((&*event.id, event.model.as_deref()), ("café", Some("fraud")));
        assert_eq!(event.logged_header("x-foo").as_deref(), Some(&b"v"[..]));
        assert!(read(&headers(&[("ce-id", "%ff")]), Bytes::new()).is_err());
    }

    #[test]
    fn a_refusal_is_a_400_that_names_the_attribute() {
        let error = ApiError::from(read(&headers(&[("ce-id", "")]), Bytes::new()).unwrap_err());
        assert!(format!("{error:?}").contains("`id`"), "{error:?}");
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
        let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
        let error = ApiError::from(read(&batch, Bytes::new()).unwrap_err());
        assert_eq!(error.into_response().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
