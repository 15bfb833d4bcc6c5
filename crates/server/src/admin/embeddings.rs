//! `POST /api/v1/models/{m}/embeddings`: an OpenAI body in, an OpenAI answer out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::llm::ProbeError;
use crate::plane::Plane;

/// Credentials for the version's server; `authorization` is for this API.
const UPSTREAM_AUTHORIZATION: &str = "x-upstream-authorization";

pub(super) async fn embeddings(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let routes = plane.gateway.routes();
    let route = routes.models.iter().find(|route| *route.name == *model);
    let route = route.ok_or_else(|| ApiError::unknown_model(&model))?;
    let Some(cache) = &plane.embeddings else {
        let message = "there is no embedding cache; configure one with `embedding_cache: {}`";
        return Err(ApiError::new(StatusCode::CONFLICT, "no_embedding_cache", message));
    };
    let standing = plane.routing.standing(&model);
    let active = standing.and_then(|standing| route.versions.iter().find(|v| v.name == standing.active));
    let active = active.ok_or_else(|| {
        let message = "the model has no version that could be asked";
        ApiError::new(StatusCode::CONFLICT, "no_version", message)
    })?;
    let tenant = route.tenant_header.as_ref().and_then(|name| headers.get(name));
    let tenant = tenant.map(axum::http::HeaderValue::as_bytes);
    let Some(session) = cache.ask(&model, &active.name, tenant, &bytes) else {
        let message =
            "expected the body of an embeddings request: `model` and `input`, a text, texts or token ids";
        return Err(ApiError::bad_request("bad_body", message));
    };
    let authorization = headers.get(UPSTREAM_AUTHORIZATION);
    let answer = plane.buyer.buy(session, &active.upstream, authorization).await.map_err(|error| {
        let status = match error {
            ProbeError::Late => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        ApiError::new(status, "upstream", error.to_string())
    })?;
    Ok((answer.status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response())
}
