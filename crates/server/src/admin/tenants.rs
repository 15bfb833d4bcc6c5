//! A model's tenants and its traffic, as tables.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use gateway::LATENCY_BOUNDS_MS;
use monitor::{FeatureReading, Verdict, WindowReadings};
use record::Lane;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, shown};
use super::read::default_version;
use crate::clock::{now_ms, rfc3339};
use crate::overview::{self, Limits};
use crate::plane::Plane;

/// Tenants that an answer names; those with the highest PSI.
const TENANTS_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantsQuery {
    version: Option<String>,
    #[serde(default)]
    lane: Lane,
    /// PSI of this feature instead of the worst one.
    feature: Option<String>,
}

/// Every tenant with its worst feature.
pub(super) async fn tenants(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Query(query): Query<TenantsQuery>,
) -> Result<Json<Value>, ApiError> {
    let readings = plane.monitor.readings();
    let read =
        readings.models.iter().find(|m| *m.model == *model).ok_or_else(|| ApiError::unknown_model(&model))?;
    let version = query.version.unwrap_or_else(|| default_version(&plane, &model, query.lane));
    let settings = plane.settings();
    let limits = overview::limits(&settings.policy);
    let mut rows: Vec<(f64, Value)> = overview::of_tenants(read, &version, query.lane)
        .map(|window| row(window, query.feature.as_deref(), &limits))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (known, left_out) = (rows.len(), rows.len().saturating_sub(TENANTS_MAX));
    let red = plane.desk.controller().tenants_red(&model);
    let total = overview::total(read, &version, query.lane);
    Ok(Json(json!({
        "model": model, "version": shown(&version), "lane": query.lane, "at": rfc3339(readings.at_ms),
        "min_requests": settings.policy.min_requests,
        "quorum": settings.policy.tenants_red, "tenants_red": red, "tenants_known": known,
        "total": total.map(|window| row(window, query.feature.as_deref(), &limits).1),
        "tenants": rows.into_iter().take(TENANTS_MAX).map(|(_, row)| row).collect::<Vec<_>>(),
        "left_out": left_out,
    })))
}

/// A tenant's row and what it is sorted by.
fn row(window: &Arc<WindowReadings>, feature: Option<&str>, limits: &Limits) -> (f64, Value) {
    let features = overview::baseline(window);
    let judged = |above: f64| {
        let is_over = |f: &&&FeatureReading| f.psi > above && f.verdict == Verdict::Fail;
        features.iter().filter(is_over).count()
    };
    let red = judged(limits.red);
    let chosen = match feature {
        Some(name) => features.iter().find(|f| *f.feature == *name),
        None => features.iter().max_by(|a, b| a.psi.total_cmp(&b.psi)),
    };
    let value = json!({
        "tenant": &*window.tenant,
        "requests": window.requests,
        "last_request_at": rfc3339(window.last_at_ms),
        "feature": chosen.map(|f| &*f.feature),
        "psi": chosen.map(|f| f.psi),
        "js_divergence": chosen.map(|f| f.js_divergence),
        "psi_critical": chosen.map(|f| f.psi_critical),
        "verdict": chosen.map(|f| f.verdict),
        "learning": window.learning.map(|(rows, wanted)| json!({ "rows": rows, "wanted": wanted })),
        "features_red": red,
        "features_amber": judged(limits.amber) - red,
    });
    (chosen.map_or(f64::NEG_INFINITY, |f| f.psi), value)
}

/// Latencies, status codes and copies, by version and lane.
pub(super) async fn traffic(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !plane.settings().models.iter().any(|m| *m.name == *model) {
        return Err(ApiError::unknown_model(&model));
    }
    let traffic = plane.traffic();
    let mut lanes = overview::lanes(&plane, &model, &traffic, &plane.rates.read());
    let ours = traffic.lanes.iter().filter(|lane| lane.model == model);
    for (shown, lane) in lanes.iter_mut().zip(ours) {
        shown["latency"] = json!({
            "buckets": lane.latency.buckets, "sum_ms": lane.latency.sum_ms, "count": lane.latency.count,
        });
        let codes = lane.by_code.iter().map(|(code, n)| json!({ "code": code, "requests": n }));
        shown["codes"] = codes.collect();
    }
    Ok(Json(json!({
        "model": model, "at": rfc3339(now_ms()), "bounds_ms": LATENCY_BOUNDS_MS, "lanes": lanes,
        "copies": overview::copies_of(&traffic, &model),
    })))
}
