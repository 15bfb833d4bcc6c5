//! Calls that bring something in: Alertmanager's webhook, inference records.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use control::AlertmanagerWebhook;
use feeds::Observation;
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
    // All are begun before the first is waited for: they are journaled, and the caller may hang up.
    let begun: Vec<_> =
        outcome.decisions.iter().map(|decision| (decision, plane.carry_out(decision))).collect();
    let mut moved = Vec::new();
    for (decision, task) in begun {
        let done = task.await;
        moved.push(
            json!({ "decision": decision.id, "model": &*decision.change.model, "to": &*decision.change.to,
            "moved": matches!(done, Ok(Ok(()))) }),
        );
    }
    Ok(Json(json!({ "alerts": outcome.alerts, "decisions": moved })))
}

/// Problems that an answer names.
const REJECTED_SHOWN: usize = 20;

/// Inference records: one object, an array or JSON lines. A record that can't be counted costs only itself.
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
    let batch = records.into_iter().map(|record| Observation::Record(Box::new(record))).collect();
    let counted = plane.monitor.ask(|reply| Command::Observations { batch, reply }).await?;
    match counted.rejected.first() {
        Some((index, message)) if counted.accepted == 0 => {
            Err(ApiError::bad_request("bad_record", format!("record {}: {message}", index + 1)))
        }
        _ => {
            let rejected = counted.rejected.iter().take(REJECTED_SHOWN);
            let rejected: Vec<Value> =
                rejected.map(|(index, message)| json!({ "record": index + 1, "message": message })).collect();
            let n_rejected = counted.rejected.len();
            Ok(Json(json!({ "accepted": counted.accepted, "rejected": n_rejected, "problems": rejected })))
        }
    }
}
