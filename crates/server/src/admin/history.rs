//! The stored history: one series, or many side by side.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use control::{GRID_STEPS_MAX, GridBy, GridQuery, GridRow, HistoryQuery, Metric, StoreError};
use record::Lane;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, shown};
use crate::clock::{now_ms, rfc3339};
use crate::plane::Plane;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    #[serde(default = "psi")]
    metric: String,
    #[serde(default)]
    feature: String,
    #[serde(default = "super::read::all")]
    tenant: String,
    #[serde(default)]
    lane: Lane,
    version: Option<String>,
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

fn psi() -> String {
    "psi".to_owned()
}

/// How far back a history goes when `from` is not given.
const HISTORY_DEFAULT_MS: i64 = 3_600_000;

/// Distance of its points when `step` is not given.
const HISTORY_STEP_MS: i64 = 15_000;

pub(super) async fn history(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Query(query): Query<HistoryParams>,
) -> Result<Json<Value>, ApiError> {
    known_model(&plane, &model)?;
    let range = Range::read(query.from.as_deref(), query.to.as_deref())?;
    let step_ms = query.step.as_deref().map_or(Ok(None), |text| duration(text).map(Some))?;
    let metric = metric_named(&query.metric)?;
    let wanted = HistoryQuery {
        model: model.clone(),
        metric,
        feature: query.feature.clone(),
        tenant: query.tenant.clone(),
        lane: query.lane,
        version: query.version.clone(),
        from_ms: range.from_ms,
        to_ms: range.to_ms,
        step_ms: step_ms.unwrap_or(HISTORY_STEP_MS),
    };
    let points = read_aside(&plane, move |plane| plane.history(&wanted)).await?;
    let points: Vec<Value> = points.iter().map(|(at, value)| json!([rfc3339(*at), value])).collect();
    Ok(Json(json!({
        "model": model, "metric": metric, "feature": query.feature, "tenant": query.tenant, "lane": query.lane,
        "version": query.version, "from": rfc3339(range.from_ms), "to": rfc3339(range.to_ms), "points": points,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GridParams {
    #[serde(default = "psi")]
    metric: String,
    #[serde(default = "by_feature")]
    by: String,
    #[serde(default)]
    feature: String,
    #[serde(default = "super::read::all")]
    tenant: String,
    #[serde(default)]
    lane: Lane,
    version: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(default = "steps_default")]
    steps: i64,
    #[serde(default)]
    fit: bool,
}

fn by_feature() -> String {
    "feature".to_owned()
}

fn steps_default() -> i64 {
    120
}

/// Series side by side: a heatmap's rows, or versions to be laid over each other.
pub(super) async fn grid(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Query(query): Query<GridParams>,
) -> Result<Json<Value>, ApiError> {
    known_model(&plane, &model)?;
    let range = Range::read(query.from.as_deref(), query.to.as_deref())?;
    let metric = metric_named(&query.metric)?;
    let by = match query.by.as_str() {
        "feature" => GridBy::Feature,
        "tenant" => GridBy::Tenant,
        "version" => GridBy::Version,
        _ => return Err(ApiError::bad_request("bad_by", "`by` must be feature, tenant or version")),
    };
    if !(1..=GRID_STEPS_MAX).contains(&query.steps) {
        let message = format!("`steps` must be 1 to {GRID_STEPS_MAX}");
        return Err(ApiError::bad_request("bad_steps", message));
    }
    let wanted = GridQuery {
        model: model.clone(),
        metric,
        by,
        feature: query.feature,
        tenant: query.tenant,
        lane: query.lane,
        version: query.version,
        from_ms: range.from_ms,
        to_ms: range.to_ms,
        steps: query.steps,
        fit: query.fit,
    };
    let grid = read_aside(&plane, move |plane| plane.grid(&wanted)).await?;
    let rows: Vec<Value> = grid.rows.iter().map(|row| grid_row(by, row)).collect();
    Ok(Json(json!({
        "model": model, "metric": metric, "by": query.by, "start": rfc3339(grid.start_ms),
        "step_seconds": grid.step_ms / 1000, "steps": grid.steps, "rows": rows, "left_out": grid.left_out,
    })))
}

fn grid_row(by: GridBy, row: &GridRow) -> Value {
    let key = match by {
        GridBy::Feature => "feature",
        GridBy::Tenant => "tenant",
        GridBy::Version => "version",
    };
    let values: Vec<Option<f64>> = row.values.iter().map(|value| value.map(brief)).collect();
    let mut out = json!({ key: row.name, "values": values });
    if let Some(lane) = row.lane {
        out["lane"] = json!(lane);
    }
    out
}

/// Four significant places are more than a picture shows, and less to send.
fn brief(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// Reads the history beside the event loop, so that a long range holds no other call up.
async fn read_aside<T: Send + 'static>(
    plane: &Arc<Plane>,
    read: impl FnOnce(&Plane) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let Ok(_place) = plane.history_readers.try_acquire() else {
        let message = "too many histories are being read; try again";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message));
    };
    let shared = Arc::clone(plane);
    match tokio::task::spawn_blocking(move || read(&shared)).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => {
            let message = format!("reading the history broke off: {error}");
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "broken_off", message))
        }
    }
}

fn known_model(plane: &Plane, model: &str) -> Result<(), ApiError> {
    let is_known = plane.settings().models.iter().any(|m| *m.name == *model);
    if is_known { Ok(()) } else { Err(ApiError::unknown_model(model)) }
}

fn metric_named(name: &str) -> Result<Metric, ApiError> {
    Metric::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
        ApiError::bad_request("bad_metric", format!("`metric` must be one of {}", known.join(", ")))
    })
}

/// From when to when, unix milliseconds.
struct Range {
    from_ms: i64,
    to_ms: i64,
}

impl Range {
    fn read(from: Option<&str>, to: Option<&str>) -> Result<Self, ApiError> {
        let to_ms = to.map_or_else(|| Ok(now_ms()), |text| instant("to", text))?;
        let before = || Ok(to_ms.saturating_sub(HISTORY_DEFAULT_MS));
        let from_ms = from.map_or_else(before, |text| instant("from", text))?;
        if from_ms >= to_ms {
            return Err(ApiError::bad_request("bad_range", "`from` must be before `to`"));
        }
        Ok(Self { from_ms, to_ms })
    }
}

/// RFC 3339 or unix seconds.
fn instant(key: &str, text: &str) -> Result<i64, ApiError> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok((seconds * 1000.0) as i64);
    }
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|_| {
        ApiError::bad_request(
            "bad_time",
            format!("`{key}` must be RFC 3339 or unix seconds, not `{}`", shown(text)),
        )
    })
}

/// `15s`, `5m` or plain seconds.
fn duration(text: &str) -> Result<i64, ApiError> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(i64::from(seconds) * 1000);
    }
    text.parse::<jiff::SignedDuration>()
        .ok()
        .map(|step| step.as_millis() as i64)
        .filter(|step| *step > 0)
        .ok_or_else(|| {
            ApiError::bad_request(
                "bad_step",
                format!("`step` must be a duration such as `15s`, not `{}`", shown(text)),
            )
        })
}
