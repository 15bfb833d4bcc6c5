//! Requests that another gateway copies here: nginx `mirror`, Envoy and Istio mirror policies, Gateway API `RequestMirror`.
//!
//! `/api/v1/mirror/MODEL/LANE/PATH`: the sender's own path follows the lane, so that the protocol is recognised as it is
//! behind our own gateway. The sender holds a client's connection until we answer, so the answer is given as soon as the
//! body has been read; decoding and counting happen on the monitor's thread. A copy has no answer: its features count,
//! and no prediction.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use config::{ModelSettings, Settings};
use gateway::{ModelRoute, Tap};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use record::{Body, Exchange, Lane};

use super::BODY_BYTES;
use super::error::ApiError;
use crate::clock::now_ms;
use crate::plane::Plane;

/// Where copies come in.
pub(super) const PREFIX: &str = "/api/v1/mirror/";

/// Longest version that a sender may name.
const VERSION_BYTES: usize = 64;

/// The version that a copy was served by, where it is not the one that the lane says.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-driftline-version");

/// Longest request id taken from a header, bytes.
const ID_BYTES: usize = 128;

/// A sender that has not sent its body by then has gone away: it had the whole body before it began.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Takes a copy. 204 says that it was read; whether it could be counted is in the metrics.
pub(super) async fn receive(
    State(plane): State<Arc<Plane>>,
    Extension(room): Extension<Arc<Room>>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let (parts, body) = request.into_parts();
    let settings = plane.settings();
    let target = Target::parse(parts.uri.path())?;
    let model = Model::find(&settings, &target.model)?;
    let version = version(&plane, &model, target.lane, &parts.headers)?;
    // Without a body there is no inference; these methods also pass without a token.
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut held = room.hold(settings.observe.queue_bytes);
    let read = tokio::time::timeout(BODY_TIME, read(body, settings.gateway.limits.capture_bytes, &mut held));
    let body = match read.await.unwrap_or(Err(NotKept::Aborted)) {
        Ok(body) => body,
        Err(why) => {
            plane.intake.skipped(model.name(), why.reason());
            return why.answer();
        }
    };
    if body.total_bytes > 0 && model.route.tap {
        let request = described(body, &parts.headers);
        let path = Bytes::copy_from_slice(target.path.as_bytes());
        plane.intake.offer_foreign(model.request(version, target.lane, &parts.headers, path, request));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What the path says.
#[derive(Debug, PartialEq)]
struct Target<'a> {
    model: Cow<'a, str>,
    lane: Lane,
    /// The path at the sender; `/` at least.
    path: &'a str,
}

impl<'a> Target<'a> {
    fn parse(path: &'a str) -> Result<Self, ApiError> {
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let (model, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let lane_end = rest.find('/').unwrap_or(rest.len());
        let (lane, path) = rest.split_at(lane_end);
        let model = percent_decode_str(model).decode_utf8().map_err(|_| {
            ApiError::bad_request("bad_model", "the model's name in the path is not valid UTF-8")
        })?;
        let lane = match lane {
            "prod" => Lane::Prod,
            "shadow" => Lane::Shadow,
            _ => {
                let message = "the path is `/api/v1/mirror/MODEL/LANE/…` and the lane `prod` or `shadow`";
                return Err(ApiError::bad_request("bad_lane", message));
            }
        };
        Ok(Self { model, lane, path: if path.is_empty() { "/" } else { path } })
    }
}

/// A configured model, as receivers of copies need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model<'a> {
    pub(super) settings: &'a ModelSettings,
    pub(super) route: &'a ModelRoute,
}

impl<'a> Model<'a> {
    pub(super) fn find(settings: &'a Settings, name: &str) -> Result<Self, ApiError> {
        let model = settings.models.iter().find(|model| *model.name == *name);
        let route = settings.routes.iter().find(|route| *route.name == *name);
        match (model, route) {
            (Some(settings), Some(route)) => Ok(Self { settings, route }),
            _ => Err(ApiError::unknown_model(name)),
        }
    }

    pub(super) fn name(&self) -> &'a Arc<str> {
        &self.settings.name
    }

    /// The version that clients get at present.
    pub(super) fn active(&self, plane: &Plane) -> Arc<str> {
        plane
            .routing
            .standing(&self.settings.name)
            .map_or_else(|| Arc::clone(&self.settings.active), |standing| standing.active)
    }

    /// The exchange of a request whose answer is not known: status 0.
    pub(super) fn request(
        &self,
        version: Arc<str>,
        lane: Lane,
        headers: &HeaderMap,
        path: Bytes,
        request: Body,
    ) -> Exchange {
        Exchange {
            at_ms: now_ms(),
            model: Arc::clone(self.name()),
            version,
            lane,
            tenant: self.route.tenant_header.as_ref().and_then(|name| tenant(headers, name)),
            request_id: request_id(headers),
            status: 0,
            // Until an answer comes.
            latency_ms: f64::NAN,
            first_byte_ms: None,
            headers: gateway::headers_for_log(&self.route.log_headers, headers),
            path,
            request,
            response: Body::default(),
            pairing: record::Pairing::Unknown,
        }
    }
}

/// The lane's version, or the one that the sender names. Only configured ones: the header could be a client's, copied.
fn version(plane: &Plane, model: &Model<'_>, lane: Lane, headers: &HeaderMap) -> Result<Arc<str>, ApiError> {
    if model.route.versions.is_empty() {
        return measured_version(model, headers);
    }
    if let Some(named) = headers.get(VERSION_HEADER) {
        let known = model.settings.versions.iter().find(|version| version.as_bytes() == named.as_bytes());
        return known.map(Arc::clone).ok_or_else(|| {
            let message = format!("`{VERSION_HEADER}` names none of the model's `versions`");
            ApiError::bad_request("unknown_version", message)
        });
    }
    match lane {
        Lane::Prod => Ok(model.active(plane)),
        Lane::Shadow => {
            let mut candidates = model.settings.shadows.iter().filter(|shadow| !shadow.noise);
            let shadow = candidates.find_map(|shadow| shadow.version.clone());
            shadow.ok_or_else(|| {
                let message = format!(
                    "the model has no `shadow`: configure one, or name the version in `{VERSION_HEADER}`"
                );
                ApiError::bad_request("no_shadow", message)
            })
        }
    }
}

/// The version of a model that is only measured: whatever the sender names, in the characters that names may have. How
/// many there can be is the monitor's to say.
fn measured_version(model: &Model<'_>, headers: &HeaderMap) -> Result<Arc<str>, ApiError> {
    let Some(named) = headers.get(VERSION_HEADER) else { return Ok(Arc::clone(&model.settings.active)) };
    let is_name = |text: &&str| {
        (1..=VERSION_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    named.to_str().ok().filter(is_name).map(Arc::from).ok_or_else(|| {
        let message = format!(
            "`{VERSION_HEADER}` is no version: expected 1 to {VERSION_BYTES} letters, digits, `_`, `-` and `.`"
        );
        ApiError::bad_request("unknown_version", message)
    })
}

/// The tenant as the request names it, unchecked. A field given twice is one value with a comma, as in all of HTTP; no
/// tenant is called that, so it counts as `invalid`.
fn tenant(headers: &HeaderMap, name: &HeaderName) -> Option<Bytes> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if values.is_empty() { None } else { Some(Bytes::from(values.join(&b','))) }
}

fn request_id(headers: &HeaderMap) -> Bytes {
    let id = headers.get("x-request-id").map(HeaderValue::as_bytes);
    id.filter(|id| id.len() <= ID_BYTES).map(Bytes::copy_from_slice).unwrap_or_default()
}

/// The body with what its message says about it.
pub(super) fn described(body: Body, headers: &HeaderMap) -> Body {
    let field = |name| headers.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Body {
        content_type: field(header::CONTENT_TYPE),
        content_encoding: field(header::CONTENT_ENCODING),
        ..body
    }
}

/// Bytes of the bodies that are being read at present, over all connections.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicUsize);

impl Room {
    /// A place for one body; all of them together hold `max_bytes`.
    fn hold(&self, max_bytes: usize) -> Held<'_> {
        Held { room: self, bytes: 0, max_bytes }
    }
}

/// One body's part of the room; given back when dropped.
#[derive(Debug)]
struct Held<'a> {
    room: &'a Room,
    bytes: usize,
    max_bytes: usize,
}

impl Held<'_> {
    /// Takes room for more bytes; false when there is none.
    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.room.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.max_bytes
    }

    fn clear(&mut self) {
        self.room.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Why a body was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotKept {
    /// The connection ended first, or took too long.
    Aborted,
    /// Over what any call may send; the rest was not read.
    TooLarge,
    /// Over the capture limit.
    Limit,
    /// Too many bytes are being read at once.
    NoRoom,
}

impl NotKept {
    /// The reason it is counted under.
    fn reason(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::TooLarge | Self::Limit => "capture_limit",
            Self::NoRoom => "queue_bytes",
        }
    }

    /// What the sender is told: 204 as long as its connection can be used again.
    fn answer(self) -> Result<StatusCode, ApiError> {
        match self {
            Self::Limit | Self::NoRoom => Ok(StatusCode::NO_CONTENT),
            Self::Aborted => {
                let message =
                    "the copy's body did not come to its end within 10 s; look at the sender's timeouts";
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "aborted", message))
            }
            Self::TooLarge => {
                let message = format!("the copy is over {BODY_BYTES} bytes; copy smaller requests only");
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message))
            }
        }
    }
}

/// Reads a body to its end, so that the connection can be used again, and keeps it if it has at most `limit` bytes.
async fn read(mut body: HttpBody, limit: usize, held: &mut Held<'_>) -> Result<Body, NotKept> {
    let mut kept = Ok(Body::default());
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NotKept::Aborted)?.into_data() else { continue };
        total += data.len();
        if total > BODY_BYTES {
            return Err(NotKept::TooLarge);
        }
        let Ok(whole) = &mut kept else { continue };
        if total > limit || !held.grow(data.len()) {
            kept = Err(if total > limit { NotKept::Limit } else { NotKept::NoRoom });
            held.clear();
        } else if !data.is_empty() {
            whole.total_bytes = total as u64;
            whole.chunks.push(data);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_path_follows_the_lane() {
        let parse = |path: &'static str| Target::parse(path);
        let target = |model, lane, path| Target { model: Cow::Borrowed(model), lane, path };
        assert_eq!(
            parse("/api/v1/mirror/fraud/prod/v2/models/fraud/infer").unwrap(),
            target("fraud", Lane::Prod, "/v2/models/fraud/infer")
        );
        assert_eq!(parse("/api/v1/mirror/a%20b/shadow").unwrap(), target("a b", Lane::Shadow, "/"));
        assert_eq!(parse("/api/v1/mirror/a/prod//x").unwrap(), target("a", Lane::Prod, "//x"));
        for bad in ["a", "a/", "a/canary/x", "%ff/prod/x", "a/PROD", "/prod/x/y"] {
            let path = format!("{PREFIX}{bad}");
            let parsed = Target::parse(&path);
            assert!(parsed.is_err() || parsed.unwrap().model.is_empty(), "{bad}");
        }
    }

    #[test]
    fn a_tenant_named_twice_is_nobodys() {
        let name = HeaderName::from_static("x-tenant-id");
        let mut headers = HeaderMap::new();
        assert_eq!(tenant(&headers, &name), None);
        headers.append(&name, "a".parse().unwrap());
        assert_eq!(tenant(&headers, &name).as_deref(), Some(&b"a"[..]));
        headers.append(&name, "b".parse().unwrap());
        assert_eq!(tenant(&headers, &name).as_deref(), Some(&b"a,b"[..]));
    }

    #[tokio::test]
    async fn a_body_over_a_limit_is_read_and_not_kept() {
        let room = Room::default();
        let reading = async |bytes: usize| {
            let mut held = room.hold(20);
            let kept = read(HttpBody::from(vec![b'x'; bytes]), 30, &mut held).await;
            kept.map(|body| (body.captured_bytes(), body.total_bytes, held.room.0.load(Ordering::Relaxed)))
        };
        assert_eq!(reading(20).await, Ok((20, 20, 20)));
        assert_eq!(reading(31).await, Err(NotKept::Limit));
        assert_eq!(reading(21).await, Err(NotKept::NoRoom));
        assert_eq!(reading(BODY_BYTES + 1).await, Err(NotKept::TooLarge));
        assert_eq!(reading(0).await, Ok((0, 0, 0)));
        let mut other = room.hold(20);
        assert!(other.grow(15));
        assert_eq!(reading(10).await, Err(NotKept::NoRoom), "the room is everybody's");
        drop(other);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
