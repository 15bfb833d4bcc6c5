//! Calls that bring something in: Alertmanager's webhook, inference records.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use control::AlertmanagerWebhook;
use record::{Record, RecordLimits};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::clock::now_ms;
use crate::monitor_loop::Command;
use crate::plane::Plane;

/// Alertmanager's webhook, version "4". Answers 200 for a delivery that was understood, also when there was nothing to
/// do: any other answer would lose it or have it sent again.
pub(super) async fn alertmanager(
    State(plane): State<Arc<Plane>>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let webhook: AlertmanagerWebhook = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::bad_request("bad_body", format!("not an Alertmanager webhook of version \"4\": {error}"))
    })?;
    let outcome = plane.desk.controller().alertmanager(&webhook, now_ms())?;
    let mut moved = Vec::new();
    for decision in &outcome.decisions {
        let (worker, wanted) = (Arc::clone(&plane), decision.clone());
        let done = tokio::spawn(async move { worker.desk.carry_out(&wanted).await }).await;
        moved.push(
            json!({ "decision": decision.id, "model": &*decision.change.model, "to": &*decision.change.to,
            "moved": matches!(done, Ok(Ok(()))) }),
        );
    }
    Ok(Json(json!({ "alerts": outcome.alerts, "decisions": moved })))
}

/// Inference records: one object, an array or JSON lines.
pub(super) async fn observe(State(plane): State<Arc<Plane>>, bytes: Bytes) -> Result<Json<Value>, ApiError> {
    let records = Record::parse_many(&bytes, &RecordLimits::default())
        .map_err(|error| ApiError::bad_request("bad_record", error.to_string()))?;
    let unknown = {
        let settings = plane.settings();
        records
            .iter()
            .find(|record| !settings.models.iter().any(|m| *m.name == *record.model))
            .map(|r| r.model.clone())
    };
    if let Some(model) = unknown {
        return Err(ApiError::unknown_model(&model));
    }
    let counted = plane.monitor.ask(|reply| Command::Records { records, reply }).await?;
    match counted {
        Ok(n) => Ok(Json(json!({ "accepted": n }))),
        Err(message) => Err(ApiError::bad_request("bad_record", message)),
    }
}
