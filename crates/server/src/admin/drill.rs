//! The rollback drill over the API.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::change::body;
use super::error::ApiError;
use super::guard::Actor;
use crate::drill::{DrillError, DrillWish};
use crate::plane::Plane;

impl From<DrillError> for ApiError {
    fn from(error: DrillError) -> Self {
        let (status, code) = match error {
            DrillError::NotEnabled => (StatusCode::FORBIDDEN, "drill_not_enabled"),
            DrillError::Running => (StatusCode::CONFLICT, "drill_running"),
            DrillError::UnknownModel => (StatusCode::NOT_FOUND, "unknown_model"),
            DrillError::NotPossible(_) => (StatusCode::CONFLICT, "drill_not_possible"),
            DrillError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
        };
        Self::new(status, code, error.to_string())
    }
}

pub(super) async fn start(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let wish: DrillWish = body(&bytes)?;
    crate::drill::start(&plane, &model, wish, &caller.0).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "model": model, "drill": plane.drill.progress(&model) }))))
}

pub(super) async fn progress(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
) -> Result<Json<Value>, ApiError> {
    match plane.drill.progress(&model) {
        Some(progress) => Ok(Json(json!({ "model": model, "drill": progress }))),
        None => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_drill",
            "no drill has run for this model since the start",
        )),
    }
}
