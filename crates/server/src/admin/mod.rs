//! The admin API: metrics, health, control.
//!
//! - `GET /healthz` -- 200 while the process can answer
//! - `GET /readyz` -- 200 when every loop runs and traffic is taken, 503 with the reasons otherwise
//! - `GET /metrics` -- Prometheus text or OpenMetrics
//! - `GET /` -- a page with what runs and where to look
//! - `GET /api/v1/status`, `/alerts`, `/events`, `/models/{m}/drift`, `/models/{m}/pairs`, `/models/{m}/history`, `/models/{m}/profile`
//! - `POST /api/v1/models/{m}/rollback`, `/promote`, `/shadow`, `/auto-rollback`, `/embeddings`, `/drill` (and `GET` for its progress)
//! - `POST /api/v1/alertmanager`, `/observe`, `/cloudevents`, `/fluentbit`, `/reload`
//! - any method under `/api/v1/mirror/{model}/{lane}/` -- requests that another gateway copies

mod change;
mod cloudevents;
mod drill;
mod embeddings;
mod error;
mod fluentbit;
mod guard;
mod ingest;
mod mirror;
mod page;
mod read;

pub(crate) use fluentbit::FluentBit;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::plane::Plane;
use feeds::join::Joins;

/// Bytes of a call's body; over it the caller gets 413.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Serves until `stop` turns true.
pub(crate) async fn serve(plane: Arc<Plane>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let joins = Arc::new(Joins::default());
    let sweeper = tokio::spawn(cloudevents::sweep(Arc::clone(&plane), Arc::clone(&joins)));
    let service =
        router(Arc::clone(&plane), Arc::clone(&joins)).into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        // A closed channel means that the process is ending as well.
        drop(stop.wait_for(|stop| *stop).await);
    };
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener has ended");
    }
    sweeper.abort();
    cloudevents::settle(&plane.intake, joins.finish());
}

fn router(plane: Arc<Plane>, joins: Arc<Joins>) -> Router {
    let models = Router::new()
        .route("/drift", get(read::drift))
        .route("/pairs", get(read::pairs))
        .route("/history", get(read::history))
        .route("/profile", get(read::profile))
        .route("/rollback", post(change::rollback))
        .route("/promote", post(change::promote))
        .route("/shadow", post(change::shadow))
        .route("/embeddings", post(embeddings::embeddings))
        .route("/auto-rollback", post(change::auto_rollback))
        .route("/drill", get(drill::progress).post(drill::start));
    Router::new()
        .route("/", get(page::overview))
        .route("/style.css", get(page::style))
        .route("/healthz", get(read::healthz))
        .route("/readyz", get(read::readyz))
        .route("/metrics", get(read::metrics))
        .route("/api/v1/status", get(read::status))
        .route("/api/v1/alerts", get(read::alerts))
        .route("/api/v1/events", get(read::events))
        .route("/api/v1/alertmanager", post(ingest::alertmanager))
        .route("/api/v1/observe", post(ingest::observe))
        .route(fluentbit::PATH, post(fluentbit::receive).put(fluentbit::receive))
        .route("/api/v1/cloudevents", post(cloudevents::receive).layer(Extension(joins)))
        .route(
            "/api/v1/mirror/{*target}",
            any(mirror::receive).layer(Extension(Arc::<mirror::Room>::default())),
        )
        .route("/api/v1/reload", post(change::reload))
        .nest("/api/v1/models/{model}", models)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&plane), guard::guard))
        .layer(middleware::map_response(secure_headers))
        .with_state(plane)
}

async fn unknown() -> error::ApiError {
    error::ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

async fn wrong_method() -> error::ApiError {
    error::ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this path does not take this method",
    )
}

async fn secure_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
