//! Live updates for the dashboard: server-sent events.
//!
//! Once every two seconds one task makes the overview and hands it to whoever listens. A listener holds the newest one and
//! nothing else, so a slow one costs nothing; there are at most [`STREAMS_MAX`] of them, and all end when the instance does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::error::ApiError;
use crate::overview;
use crate::plane::Plane;

/// Listeners at one time.
const STREAMS_MAX: usize = 64;

/// Distance of two messages.
const EVERY: Duration = Duration::from_secs(2);

/// Where listeners get their messages.
#[derive(Debug)]
pub(super) struct Feed {
    newest: watch::Sender<Arc<str>>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Feed {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Self {
        Self {
            newest: watch::Sender::new(Arc::from("")),
            places: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop,
        }
    }

    /// Makes messages while anybody listens; never ends by itself.
    pub(super) async fn run(&self, plane: &Plane) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.newest.receiver_count() > 0 {
                self.newest.send_replace(message(plane));
            }
        }
    }
}

fn message(plane: &Plane) -> Arc<str> {
    Arc::from(overview::overview(plane).to_string())
}

pub(super) async fn overview(State(plane): State<Arc<Plane>>) -> Json<Value> {
    Json(overview::overview(&plane))
}

/// One listener. Dropping it, which a closed connection does, gives its place back.
struct Listener {
    first: Option<Arc<str>>,
    newest: watch::Receiver<Arc<str>>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    State(plane): State<Arc<Plane>>,
    Extension(feed): Extension<Arc<Feed>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // Another page can't read it, but it could hold places.
    if matches!(
        headers.get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes),
        Some(b"cross-site" | b"same-site")
    ) {
        let message = "live updates are for this instance's own pages";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_origin", message));
    }
    let place = Arc::clone(&feed.places).try_acquire_owned().map_err(|_| {
        let message =
            format!("{STREAMS_MAX} live views are open already; close one, or ask `/api/v1/overview`");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message)
    })?;
    let mut newest = feed.newest.subscribe();
    newest.mark_unchanged();
    let listener = Listener { first: Some(message(&plane)), newest, stop: feed.stop.clone(), _place: place };
    Ok(Sse::new(stream::unfold(listener, next)))
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    let text = match listener.first.take() {
        Some(first) => first,
        None => tokio::select! {
            changed = listener.newest.changed() => {
                changed.ok()?;
                Arc::clone(&listener.newest.borrow_and_update())
            }
            // A closed channel means that the process is ending as well.
            _ = listener.stop.wait_for(|stop| *stop) => return None,
        },
    };
    let event = Event::default().event("overview").retry(EVERY).data(&*text);
    Some((Ok(event), listener))
}
