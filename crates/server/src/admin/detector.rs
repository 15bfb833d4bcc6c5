//! The sequential detector: what it says, and that somebody took note.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use control::EventKind;
use monitor::{DetectorCounts, DetectorReading};
use serde_json::{Value, json};

use super::change::{Why, body};
use super::error::ApiError;
use super::guard::Actor;
use crate::clock::{now_ms, rfc3339};
use crate::monitor_loop::Command;
use crate::plane::Plane;

/// A detector as the API shows it.
pub(crate) fn shown(detector: &DetectorReading) -> Value {
    json!({
        "state": detector.phase.as_str(),
        "evidence_ratio": detector.evidence_ratio,
        "psi": detector.psi(),
        "requests": detector.rows,
        "requests_between_false_alarms": detector.arl0,
        "alarms": detector.alarms,
        "drift": detector.drift.as_ref().map(|drift| json!({
            "found_at": rfc3339(drift.since_ms),
            "requests_ago": drift.requests_ago,
            "too_small_to_matter": drift.notice,
            "text": drift.describe(),
            "features": drift.suspects,
        })),
    })
}

/// `GET /api/v1/models/{m}/detector/counts`: what the detectors of the versions have counted, for whoever adds up replicas;
/// `null` while there is no reference, and where nothing is watched.
pub(super) async fn counts(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
) -> Result<Json<Option<DetectorCounts>>, ApiError> {
    if !plane.settings().models.iter().any(|m| *m.name == *model) {
        return Err(ApiError::unknown_model(&model));
    }
    Ok(Json(plane.monitor.ask(|reply| Command::DetectorCounts { model, reply }).await?))
}

/// `POST /api/v1/models/{m}/detector/reset`: the evidence of every detector of the model is forgotten, and they watch on.
pub(super) async fn reset(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    if !plane.settings().models.iter().any(|m| *m.name == *model) {
        return Err(ApiError::unknown_model(&model));
    }
    let ask = |reply| Command::ResetDetectors { model: model.clone(), reply };
    let known = plane.monitor.ask(ask).await?;
    if known {
        let reason = format!("the detectors begin anew: {}", why.reason());
        let (actor, now) = (why.actor(&caller), now_ms());
        let kind = EventKind::Detector;
        plane.desk.controller().record_event(kind, Some(&model), &actor, &reason, json!({}), now);
    }
    Ok(Json(json!({ "model": model, "reset": known })))
}
