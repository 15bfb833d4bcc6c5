//! Who may call what.
//!
//! A call that changes something needs the bearer token as soon as one is configured; with none it must come from this
//! machine. A page on another origin can't make such a call, and a name that was rebound to this machine can't read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ApiError;
use super::fluentbit::PATH as FLUENTBIT;
use crate::clock::now_ms;
use crate::plane::Plane;

/// Who made a change, for the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Actor(pub(crate) String);

/// Checks every call; runs before the handlers.
pub(crate) async fn guard(
    State(plane): State<Arc<Plane>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let settings = plane.settings();
    let token = settings.admin.token.as_ref().map(config::Secret::expose);
    unwrap_password(&mut request);
    let is_link = request.uri().path().starts_with(super::approve::PREFIX);
    let outcome = check_host(request.headers(), peer.ip(), &settings.admin.allowed_hosts).and_then(|()| {
        if is_link && *request.method() == Method::POST {
            // The signature stands in for the token; the handler checks it.
            return check_origin(request.headers())
                .map(|()| Actor(format!("approval link from {}", peer.ip())));
        }
        check_change(request.method(), request.headers(), peer, token)
    });
    match outcome {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(error) => {
            log_refusal(peer, request.method(), request.uri().path());
            error.into_response()
        }
    }
}

/// When a refusal was last logged, unix milliseconds.
static LOGGED_MS: AtomicI64 = AtomicI64::new(0);

/// Refusals since then.
static UNLOGGED: AtomicU64 = AtomicU64::new(0);

/// One line a second at the most: a gateway whose copies are refused would fill the disk.
fn log_refusal(peer: SocketAddr, method: &Method, path: &str) {
    let (now, last) = (now_ms(), LOGGED_MS.load(Ordering::Relaxed));
    let due = now.saturating_sub(last) >= 1_000 || now < last;
    if due && LOGGED_MS.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        let more = UNLOGGED.swap(0, Ordering::Relaxed);
        tracing::warn!(%peer, %method, path, more, "admin call refused");
    } else {
        UNLOGGED.fetch_add(1, Ordering::Relaxed);
    }
}

/// A browser on this machine that was led here by a rebound name shows that name in `host`.
fn check_host(headers: &HeaderMap, peer: IpAddr, allowed: &[String]) -> Result<(), ApiError> {
    if !peer.is_loopback() {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_own_name(host) || allowed.iter().any(|name| name.eq_ignore_ascii_case(without_port(host))) {
        return Ok(());
    }
    let message = "this `host` is not served here; add the name to `admin.allowed_hosts` if it should be";
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", message))
}

fn is_own_name(host: &str) -> bool {
    let name = without_port(host);
    name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Fluent Bit's `http_user` and `http_passwd` are HTTP's Basic scheme: there the token is the password, whoever the
/// user. Nowhere else, because a browser would keep it and send it by itself.
fn unwrap_password(request: &mut Request) {
    if request.uri().path() != FLUENTBIT {
        return;
    }
    let headers = request.headers_mut();
    let header::Entry::Occupied(mut given) = headers.entry(header::AUTHORIZATION) else { return };
    let bearer =
        password(given.get()).and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    // More than one stays more than one, and is refused.
    if let Some(bearer) = bearer.filter(|_| given.iter().count() == 1) {
        given.insert(bearer);
    }
}

/// The password of `Basic BASE64(user:password)`.
fn password(value: &HeaderValue) -> Option<String> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

fn check_change(
    method: &Method,
    headers: &HeaderMap,
    peer: SocketAddr,
    token: Option<&str>,
) -> Result<Actor, ApiError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(Actor(String::new()));
    }
    check_origin(headers)?;
    match token {
        Some(token) => check_token(headers, token).map(|()| Actor(format!("token from {}", peer.ip()))),
        None if peer.ip().is_loopback() => Ok(Actor(format!("local {}", peer.ip()))),
        None => {
            let message = "changes are taken from this machine only until `auth.token` is configured";
            Err(ApiError::new(StatusCode::FORBIDDEN, "local_only", message))
        }
    }
}

/// Browsers send `origin` with every call that changes something; programs send none.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = || {
        ApiError::new(StatusCode::FORBIDDEN, "cross_origin", "calls from pages of another origin are refused")
    };
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if matches!(text(header::HeaderName::from_static("sec-fetch-site")), Some("cross-site" | "same-site")) {
        return Err(refused());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let authority =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    if authority.is_some() && authority == text(header::HOST) { Ok(()) } else { Err(refused()) }
}

fn check_token(headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let Some(value) = first.filter(|_| second.is_none()) else {
        return refused("this call needs `authorization: Bearer TOKEN`, once");
    };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, given))
            if scheme.eq_ignore_ascii_case(b"bearer ") && equal(given, token.as_bytes()) =>
        {
            Ok(())
        }
        _ => refused("the bearer token is not the configured one"),
    }
}

/// Compares without telling by its duration where the first difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(a.len() ^ b.len(), |sum, (x, y)| sum | usize::from(x ^ y));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:50000";
    const REMOTE: &str = "10.1.2.3:50000";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn allowed(peer: &str, pairs: &[(&'static str, &str)], token: Option<&str>) -> bool {
        check_change(&Method::POST, &headers(pairs), peer.parse().unwrap(), token).is_ok()
    }

    #[test]
    fn without_a_token_only_this_machine_may_change() {
        assert!(allowed(LOCAL, &[("host", "127.0.0.1:9464")], None));
        assert!(!allowed(REMOTE, &[("host", "driftline:9464")], None));
    }

    #[test]
    fn with_a_token_everybody_needs_it() {
        let token = Some("0123456789abcdef");
        assert!(!allowed(LOCAL, &[], token));
        assert!(!allowed(LOCAL, &[("authorization", "Bearer 0123456789abcdeX")], token));
        assert!(!allowed(LOCAL, &[("authorization", "Bearer 0123456789abcdef0")], token));
        assert!(!allowed(LOCAL, &[("authorization", "Basic 0123456789abcdef")], token));
        assert!(!allowed(LOCAL, &[("authorization", "é")], token));
        assert!(allowed(REMOTE, &[("authorization", "bearer 0123456789abcdef")], token));
        let twice = [("authorization", "Bearer 0123456789abcdef"), ("authorization", "Bearer x")];
        let mut map = headers(&twice[..1]);
        map.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(check_change(&Method::POST, &map, REMOTE.parse().unwrap(), token).is_err());
    }

    #[test]
    fn fluent_bit_may_give_the_token_as_a_password() {
        let unwrapped = |path: &str, value: &str| {
            let request = Request::post(path).header(header::AUTHORIZATION, value);
            let mut request = request.body(axum::body::Body::empty()).unwrap();
            unwrap_password(&mut request);
            request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned()
        };
        // fluent:0123456789abcdef, and a password that holds a colon.
        let basic = "Basic Zmx1ZW50OjAxMjM0NTY3ODlhYmNkZWY=";
        assert_eq!(unwrapped(FLUENTBIT, basic), "Bearer 0123456789abcdef");
        assert_eq!(unwrapped(FLUENTBIT, "basic dTphOmI="), "Bearer a:b");
        assert_eq!(unwrapped("/api/v1/reload", basic), basic);
        for other in ["Basic", "Basic !", "Basic dQ==", "Bearer x", "Digest Zmx1"] {
            assert_eq!(unwrapped(FLUENTBIT, other), other);
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let own = [("host", "127.0.0.1:9464"), ("origin", "http://127.0.0.1:9464")];
        assert!(allowed(LOCAL, &own, None));
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:9464.evil.example", "http://127.0.0.1"]
        {
            assert!(!allowed(LOCAL, &[("host", "127.0.0.1:9464"), ("origin", origin)], None), "{origin}");
        }
        assert!(!allowed(LOCAL, &[("sec-fetch-site", "cross-site")], None));
    }

    #[test]
    fn rebound_names_are_refused_on_this_machine() {
        let check = |host, peer: &str, names: &[String]| {
            check_host(&headers(&[("host", host)]), peer.parse::<SocketAddr>().unwrap().ip(), names).is_ok()
        };
        assert!(check("localhost:9464", LOCAL, &[]));
        assert!(check("[::1]:9464", LOCAL, &[]));
        assert!(!check("evil.example:9464", LOCAL, &[]));
        assert!(check("drift.example", LOCAL, &["drift.example".to_owned()]));
        assert!(check("driftline:9464", REMOTE, &[]));
    }
}
