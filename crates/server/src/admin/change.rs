//! Calls that change where traffic goes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use control::Decision;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::ApiError;
use super::guard::Actor;
use crate::clock::now_ms;
use crate::plane::Plane;
use crate::status;

/// A body that may be empty: every key has a default.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text).map_err(|error| {
        ApiError::bad_request("bad_body", format!("the body is not the JSON this call takes: {error}"))
    })
}

/// Why somebody does something, for the audit trail.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Why {
    reason: String,
    /// Who asks, in their own words; the token or address stands beside it.
    actor: String,
    version: Option<String>,
}

impl Why {
    fn actor(&self, caller: &Actor) -> String {
        if self.actor.is_empty() { caller.0.clone() } else { format!("{} ({})", self.actor, caller.0) }
    }

    fn reason(&self) -> &str {
        if self.reason.is_empty() { "no reason given" } else { &self.reason }
    }
}

pub(super) async fn rollback(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    if why.version.is_some() {
        let message = "a rollback goes to the model's `stable` version; use `/promote` to name a version";
        return Err(ApiError::bad_request("bad_body", message));
    }
    check_forwards(&plane, &model)?;
    let decision = plane.desk.controller().rollback(&model, &why.actor(&caller), why.reason(), now_ms())?;
    carry_out(&plane, &decision).await
}

pub(super) async fn promote(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    check_forwards(&plane, &model)?;
    let version = why.version.as_deref();
    let decision =
        plane.desk.controller().promote(&model, version, &why.actor(&caller), why.reason(), now_ms())?;
    carry_out(&plane, &decision).await
}

/// A model whose traffic goes elsewhere has nothing that could be moved here; to say otherwise would be a lie.
fn check_forwards(plane: &Plane, model: &str) -> Result<(), ApiError> {
    if !plane.moves_traffic(model) {
        let message = format!("no traffic of `{model}` goes through this instance: it is only measured here");
        return Err(ApiError::new(axum::http::StatusCode::CONFLICT, "only_measured", message));
    }
    Ok(())
}

async fn carry_out(plane: &Arc<Plane>, decision: &Decision) -> Result<Json<Value>, ApiError> {
    match plane.carry_out(decision).await {
        Ok(Ok(())) => Ok(Json(json!({ "decision": status::decision(decision), "state": "confirmed" }))),
        Ok(Err(reason)) => Err(ApiError::new(
            axum::http::StatusCode::BAD_GATEWAY,
            "not_moved",
            format!("traffic was not moved: {reason}"),
        )),
        Err(error) => {
            let message = format!("carrying the decision out broke off: {error}");
            Err(ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "broken_off", message))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Percent {
    percent: f64,
}

pub(super) async fn shadow(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted: Percent = body(&bytes)?;
    check_forwards(&plane, &model)?;
    plane.desk.set_shadow_percent(&model, wanted.percent, &caller.0)?;
    Ok(Json(json!({ "model": model, "percent": wanted.percent })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enabled {
    enabled: bool,
}

pub(super) async fn auto_rollback(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted: Enabled = body(&bytes)?;
    check_forwards(&plane, &model)?;
    plane.desk.controller().set_auto_rollback(&model, wanted.enabled, &caller.0, now_ms())?;
    Ok(Json(json!({ "model": model, "enabled": wanted.enabled })))
}

/// Changes nothing: whoever gets this far may change something.
pub(super) async fn token(Extension(caller): Extension<Actor>) -> Json<Value> {
    Json(json!({ "actor": caller.0 }))
}

pub(super) async fn reload(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Actor>,
) -> Result<Json<Value>, ApiError> {
    let report = crate::reload::reload(&plane, &caller.0).await?;
    Ok(Json(json!({ "reloaded": true, "warnings": report.warnings, "needs_restart": report.needs_restart })))
}
