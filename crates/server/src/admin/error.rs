//! Errors of the admin API: one type that owns its status and its JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::{ControlError, StoreError};
use serde_json::json;

use crate::monitor_loop::MonitorError;
use crate::reload::ReloadError;

/// A refusal: status, stable code, message for people.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn unknown_model(model: &str) -> Self {
        let message = format!("no model `{}` is configured; `GET /api/v1/status` lists them", shown(model));
        Self::new(StatusCode::NOT_FOUND, "unknown_model", message)
    }
}

/// A name from outside as a message may show it: cut, and without personal data.
pub(crate) fn shown(name: &str) -> String {
    let cut: String = name.chars().take(80).collect();
    record::Privacy::default().name(&cut).into_owned()
}

/// Why an answer refuses, for whoever sees it on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Why {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(Why { code: self.code, message: self.message });
        response
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        let (status, code) = match &error {
            ControlError::UnknownModel { .. } => (StatusCode::NOT_FOUND, "unknown_model"),
            ControlError::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown_version"),
            ControlError::Conflict { .. } | ControlError::NotPending { .. } => {
                (StatusCode::CONFLICT, "conflict")
            }
            ControlError::Unchanged { .. } => (StatusCode::CONFLICT, "unchanged"),
            ControlError::TargetUnhealthy { .. } => (StatusCode::CONFLICT, "target_unhealthy"),
            ControlError::InvalidPercent { .. } => (StatusCode::BAD_REQUEST, "invalid_percent"),
            ControlError::Webhook { .. } => (StatusCode::BAD_REQUEST, "bad_webhook"),
            ControlError::Policy { .. } | ControlError::Store(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "journal")
            }
        };
        let message = match &error {
            ControlError::UnknownModel { model, known } => {
                ControlError::UnknownModel { model: shown(model), known: known.clone() }.to_string()
            }
            other => other.to_string(),
        };
        Self::new(status, code, message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(ControlError::from(error))
    }
}

impl From<MonitorError> for ApiError {
    fn from(error: MonitorError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "monitor", error.to_string())
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        let (status, code) = match &error {
            ReloadError::NoFile => (StatusCode::CONFLICT, "no_file"),
            ReloadError::Problems(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_configuration"),
            ReloadError::Refused(_) => (StatusCode::CONFLICT, "refused"),
        };
        Self::new(status, code, error.to_string())
    }
}
