//! The admin API: metrics, health, control.
//!
//! - `GET /healthz` -- 200 while the process can answer
//! - `GET /readyz` -- 200 when every loop runs and traffic is taken, 503 with the reasons otherwise
//! - `GET /metrics` -- Prometheus text or OpenMetrics
//! - `GET /`, `/ui/...` -- the dashboard
//! - `GET /api/v1/status`, `/overview`, `/stream`, `/alerts`, `/events`
//! - `GET /api/v1/models/{m}/drift`, `/tenants`, `/traffic`, `/pairs`, `/history`, `/grid`, `/profile`,
//!   `/detector/counts`
//! - `POST /api/v1/token` -- says whether the token is the right one
//! - `POST /api/v1/models/{m}/rollback`, `/promote`, `/shadow`, `/auto-rollback`, `/hold`, `/release`, `/approve`,
//!   `/reject`, `/retrain`, `/embeddings`, `/detector/reset`, `/drill` (and `GET` for its progress)
//! - `/approve/{model}/{proposal}` -- the page behind a signed link
//! - `POST /api/v1/alertmanager`, `/observe`, `/cloudevents`, `/fluentbit`, `/reload`
//! - any method under `/api/v1/mirror/{model}/{lane}/` -- requests that another gateway copies

mod approve;
mod assets;
mod change;
mod cloudevents;
pub(crate) mod detector;
mod drill;
mod embeddings;
mod error;
mod fluentbit;
mod guard;
mod history;
mod ingest;
mod live;
mod mirror;
mod read;
mod tenants;

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

/// What a page from here may do: load our own files, talk to us, nothing else. No script or style inside of markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Serves until `stop` turns true.
pub(crate) async fn serve(plane: Arc<Plane>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let joins = Arc::new(Joins::default());
    let sweeper = tokio::spawn(cloudevents::sweep(Arc::clone(&plane), Arc::clone(&joins)));
    let feed = Arc::new(live::Feed::new(stop.clone()));
    let fed = Arc::clone(&plane);
    let feeder = tokio::spawn({
        let feed = Arc::clone(&feed);
        async move { feed.run(&fed).await }
    });
    let service = router(Arc::clone(&plane), Arc::clone(&joins), feed)
        .into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        // A closed channel means that the process is ending as well.
        drop(stop.wait_for(|stop| *stop).await);
    };
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener has ended");
    }
    sweeper.abort();
    feeder.abort();
    cloudevents::settle(&plane.intake, joins.finish());
}

fn router(plane: Arc<Plane>, joins: Arc<Joins>, feed: Arc<live::Feed>) -> Router {
    let models = Router::new()
        .route("/drift", get(read::drift))
        .route("/pairs", get(read::pairs))
        .route("/history", get(history::history))
        .route("/grid", get(history::grid))
        .route("/tenants", get(tenants::tenants))
        .route("/traffic", get(tenants::traffic))
        .route("/profile", get(read::profile))
        .route("/rollback", post(change::rollback))
        .route("/promote", post(change::promote))
        .route("/shadow", post(change::shadow))
        .route("/embeddings", post(embeddings::embeddings))
        .route("/auto-rollback", post(change::auto_rollback))
        .route("/hold", post(change::hold))
        .route("/release", post(change::release))
        .route("/approve", post(approve::approve))
        .route("/reject", post(approve::reject))
        .route("/retrain", post(change::retrain))
        .route("/detector/reset", post(detector::reset))
        .route("/detector/counts", get(detector::counts))
        .route("/drill", get(drill::progress).post(drill::start));
    Router::new()
        .route("/", get(assets::index))
        .route("/ui/{*path}", get(assets::file))
        .route("/approve/{model}/{proposal}", get(approve::show).post(approve::decide))
        .route("/healthz", get(read::healthz))
        .route("/readyz", get(read::readyz))
        .route("/metrics", get(read::metrics))
        .route("/api/v1/status", get(read::status))
        .route("/api/v1/overview", get(live::overview))
        .route("/api/v1/stream", get(live::stream).layer(Extension(feed)))
        .route("/api/v1/token", post(change::token))
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
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing is told to others. Our own pages keep theirs: with `no-referrer` a browser names the origin of a form as
        // `null`, and the button of the approval page would be taken for another site's.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The dashboard's files say themselves how they may be kept.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
