//! Calls that only look.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use monitor::{FeatureHistogram, FeatureReading, Fit, ModelReadings, WindowReadings};
use record::Lane;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, shown};
use crate::clock::rfc3339;
use crate::exposition::Format;
use crate::monitor_loop::Command;
use crate::plane::Plane;
use crate::status::{self, not_judged};

/// Most events a call returns.
const EVENTS_MAX: usize = 1_000;

/// Bytes after which a call returns no further events: `before` asks for them.
const EVENTS_BYTES: usize = 768 * 1024;

pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn readyz(State(plane): State<Arc<Plane>>) -> Response {
    let problems = status::problems(&plane);
    let code = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if problems.is_empty() { "ready" } else { "not ready" };
    (code, Json(json!({ "status": word, "problems": problems }))).into_response()
}

pub(super) async fn metrics(State(plane): State<Arc<Plane>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    ([(header::CONTENT_TYPE, format.content_type())], status::metrics(&plane, format)).into_response()
}

pub(super) async fn status(State(plane): State<Arc<Plane>>) -> Json<Value> {
    Json(status::status(&plane))
}

pub(super) async fn alerts(State(plane): State<Arc<Plane>>) -> Json<Value> {
    let alerts = plane.desk.controller().alerts();
    Json(json!({ "alerts": alerts.iter().map(status::alert).collect::<Vec<_>>() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    #[serde(default = "events_default")]
    limit: usize,
    before: Option<i64>,
}

fn events_default() -> usize {
    100
}

pub(super) async fn events(
    State(plane): State<Arc<Plane>>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Value>, ApiError> {
    let events = plane.desk.controller().events(query.limit.clamp(1, EVENTS_MAX), query.before)?;
    let mut room = EVENTS_BYTES;
    let mut shown: Vec<Value> = Vec::new();
    for event in events.iter().map(status::event) {
        let size = event.to_string().len();
        if size > room && !shown.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        shown.push(event);
    }
    Ok(Json(json!({ "events": shown })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DriftQuery {
    #[serde(default = "all")]
    tenant: String,
    version: Option<String>,
    #[serde(default)]
    lane: Lane,
    /// Only this one.
    feature: Option<String>,
    /// Whether histograms come along.
    #[serde(default = "yes")]
    histograms: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn all() -> String {
    "all".to_owned()
}

pub(super) async fn drift(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Query(query): Query<DriftQuery>,
) -> Result<Json<Value>, ApiError> {
    let readings = plane.monitor.readings();
    let of_model =
        readings.models.iter().find(|m| *m.model == *model).ok_or_else(|| ApiError::unknown_model(&model))?;
    let version = match query.version {
        Some(version) => version,
        None => default_version(&plane, &model, query.lane),
    };
    let window = of_model
        .windows
        .iter()
        .find(|w| *w.version == *version && w.lane == query.lane && *w.tenant == *query.tenant);
    let Some(window) = window else {
        return Ok(Json(empty_drift(of_model, &version, query.lane, &query.tenant)));
    };
    let ask = |reply| Command::Histograms {
        model: model.clone(),
        version: version.clone(),
        lane: query.lane,
        tenant: query.tenant.clone(),
        reply,
    };
    let histograms =
        if query.histograms { plane.monitor.ask(ask).await?.unwrap_or_default() } else { Vec::new() };
    Ok(Json(full_drift(of_model, window, &histograms, query.feature.as_deref(), readings.at_ms)))
}

/// Pairs shown of a prediction when the caller does not say how many.
const TOP_DEFAULT: usize = 20;

/// Most pairs shown of a prediction.
const TOP_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairsQuery {
    version: Option<String>,
    #[serde(default = "top_default")]
    limit: usize,
}

fn top_default() -> usize {
    TOP_DEFAULT
}

pub(super) async fn pairs(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Query(query): Query<PairsQuery>,
) -> Result<Json<Value>, ApiError> {
    if !plane.settings().models.iter().any(|m| *m.name == *model) {
        return Err(ApiError::unknown_model(&model));
    }
    let (model_name, version) = (model.clone(), query.version.clone());
    let limit = query.limit.min(TOP_MAX);
    let ask = |reply| Command::TopPairs { model: model_name, version, limit, reply };
    let top = plane.monitor.ask(ask).await?;
    let readings = plane.monitor.pairs();
    Ok(Json(crate::pairs::full(&readings, &model, query.version.as_deref(), &top)))
}

/// The version to show when none is named: the active one, on the shadow lane the first that gets copies. Of a model that
/// is only measured, the one that served last.
pub(super) fn default_version(plane: &Plane, model: &str, lane: Lane) -> String {
    if let Some(version) = plane.measured_version(model, lane) {
        return version.to_string();
    }
    let routes = plane.gateway.routes();
    let route = routes.models.iter().find(|route| *route.name == *model);
    let shadow = route.and_then(|route| {
        let copied = route.shadows.iter().filter(|shadow| !shadow.noise).find_map(|shadow| shadow.version);
        route.versions.get(copied?)
    });
    match (lane, shadow) {
        (Lane::Shadow, Some(version)) => version.name.to_string(),
        _ => plane.routing.standing(model).map(|standing| standing.active.to_string()).unwrap_or_default(),
    }
}

fn empty_drift(model: &ModelReadings, version: &str, lane: Lane, tenant: &str) -> Value {
    json!({
        "model": &*model.model, "version": shown(version), "lane": lane, "tenant": shown(tenant),
        "requests": 0, "reference": model.reference, "features": [],
        "not_judged": not_judged(model), "fit": model.fit,
        "not_armed": model.fit.as_ref().and_then(Fit::problem),
    })
}

fn full_drift(
    model: &ModelReadings,
    window: &WindowReadings,
    histograms: &[FeatureHistogram],
    only: Option<&str>,
    at_ms: i64,
) -> Value {
    let features: Vec<Value> = window
        .features
        .iter()
        .filter(|reading| only.is_none_or(|only| *reading.feature == *only))
        .map(|reading| {
            let histogram =
                histograms.iter().find(|h| h.feature == reading.feature && h.reference == reading.reference);
            feature(reading, histogram)
        })
        .collect();
    json!({
        "model": &*model.model, "version": &*window.version, "lane": window.lane, "tenant": &*window.tenant,
        "requests": window.requests, "at": rfc3339(at_ms), "last_request_at": rfc3339(window.last_at_ms),
        "reference": model.reference, "features": features,
        "not_judged": not_judged(model), "fit": model.fit,
        "not_armed": model.fit.as_ref().and_then(Fit::problem),
        "detector": window.detector.as_ref().map(super::detector::shown),
    })
}

fn feature(reading: &FeatureReading, histogram: Option<&FeatureHistogram>) -> Value {
    json!({
        "feature": &*reading.feature,
        "reference": reading.reference,
        "type": histogram.map(|h| h.kind),
        "psi": reading.psi,
        "js_divergence": reading.js_divergence,
        "js_distance": reading.js_divergence.max(0.0).sqrt(),
        "psi_critical": reading.psi_critical,
        "psi_noise": reading.psi_noise,
        "psi_debiased": reading.psi_debiased,
        "psi_p_value": reading.psi_p_value(),
        "verdict": reading.verdict,
        "change": reading.change,
        "n": reading.n,
        "reference_n": reading.reference_n,
        "histogram": histogram.map(|h| json!({
            "labels": h.labels, "edges": h.edges, "reference": h.reference_counts, "current": h.current_counts,
            "psi_contributions": h.contributions,
        })),
    })
}

pub(super) async fn profile(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
) -> Result<Response, ApiError> {
    if !plane.settings().models.iter().any(|m| *m.name == *model) {
        return Err(ApiError::unknown_model(&model));
    }
    let ask = |reply| Command::Profile { model: model.clone(), reply };
    match plane.monitor.ask(ask).await? {
        Some(profile) => {
            let body = profile.to_json_pretty();
            Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
        }
        None => {
            let message = "the reference is still being learned; `GET /api/v1/status` shows how far";
            Err(ApiError::new(StatusCode::CONFLICT, "learning", message))
        }
    }
}
