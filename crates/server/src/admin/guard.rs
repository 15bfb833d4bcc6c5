//! Who may call what.
//!
//! A call that changes something needs the bearer token as soon as one is configured; with none it must come from this
//! machine. A page on another origin can't make such a call, and a name that was rebound to this machine can't read.
//!
//! Receivers of copies are called by machines, which keep the `host` of the request that they copy (GoReplay) or make one up
//! (Envoy appends `-shadow`). Nothing can be read from a receiver, so there a foreign `host` is refused only beside the
//! headers that browsers send; and the token, which no page has, stands for both checks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::Settings;

use super::error::{ApiError, Why};
use super::fluentbit::PATH as FLUENTBIT;
use super::mirror::PREFIX as MIRROR;
use crate::clock::now_ms;
use crate::plane::Plane;
use crate::refused::RefusedCall;

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
    let receiver = receiver(request.uri().path());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let host = request.headers().get(header::HOST).cloned();
    let outcome = match receiver {
        Some(_) => check_copy(&mut request, peer, &settings),
        None => check_call(&request, peer, &settings),
    };
    let (response, is_ours) = match outcome {
        // Without a body there is no inference, whichever model the path names.
        Ok(Verdict::Nothing) => return StatusCode::NO_CONTENT.into_response(),
        Ok(Verdict::By(actor)) => {
            request.extensions_mut().insert(actor);
            (next.run(request).await, false)
        }
        Err(error) => (error.into_response(), true),
    };
    // Fluent Bit's own refusals are counted and logged where its chunks are read.
    if is_ours || (receiver.is_some_and(|what| what != "fluentbit") && response.status().as_u16() >= 400) {
        let why = why(&response);
        if receiver.is_some() {
            plane.refused.count(why.code);
        }
        let (reason, message) = (why.code, &*why.message);
        let what = receiver.unwrap_or("admin");
        let (method, host, path) = (&method, host.as_ref(), uri.path());
        plane.refused.log(&RefusedCall { what, peer, method, host, path, reason, message }, now_ms());
    }
    response
}

/// Why a response refuses; those that the framework made say it by their status.
fn why(response: &Response) -> Why {
    response.extensions().get::<Why>().cloned().unwrap_or_else(|| {
        let (code, message) = match response.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is over 16 MiB; send smaller pieces"),
            _ => ("other", "the call could not be understood"),
        };
        Why { code, message: message.into() }
    })
}

/// The receiver of copies or records at a path.
fn receiver(path: &str) -> Option<&'static str> {
    match path {
        FLUENTBIT => Some("fluentbit"),
        "/api/v1/observe" => Some("observe"),
        "/api/v1/cloudevents" => Some("cloudevents"),
        _ if path.starts_with(MIRROR) => Some("mirror"),
        _ => None,
    }
}

/// What the guard lets through.
enum Verdict {
    /// A call, and who made it.
    By(Actor),
    /// A copy without a body: nothing is left to do.
    Nothing,
}

fn check_call(request: &Request, peer: SocketAddr, settings: &Settings) -> Result<Verdict, ApiError> {
    let headers = request.headers();
    check_host(headers, peer.ip(), &settings.admin.allowed_hosts)?;
    let is_link = request.uri().path().starts_with(super::approve::PREFIX);
    if is_link && *request.method() == Method::POST {
        // The signature stands in for the token; the handler checks it.
        check_origin(headers)?;
        return Ok(Verdict::By(Actor(format!("approval link from {}", peer.ip()))));
    }
    let token = settings.admin.token.as_ref().map(config::Secret::expose);
    check_change(request.method(), headers, peer, token).map(Verdict::By)
}

/// Checks a call to a receiver.
fn check_copy(request: &mut Request, peer: SocketAddr, settings: &Settings) -> Result<Verdict, ApiError> {
    let token = settings.admin.token.as_ref().map(config::Secret::expose);
    // As it came: a password is sent by browsers on their own.
    let is_trusted = token.is_some_and(|token| check_token(request.headers(), token).is_ok());
    if is_trusted {
        return Ok(Verdict::By(by_token(peer)));
    }
    if let Err(error) = check_host(request.headers(), peer.ip(), &settings.admin.allowed_hosts) {
        if let Some(mark) = browser_mark(request.headers()) {
            return Err(foreign_copy(mark));
        }
        // What reads must not learn which models there are.
        if is_safe(request.method()) {
            let is_copy = request.uri().path().starts_with(MIRROR);
            return if is_copy { Ok(Verdict::Nothing) } else { Err(error) };
        }
    }
    unwrap_password(request);
    check_change(request.method(), request.headers(), peer, token).map(Verdict::By)
}

/// The first header that only browsers send, or that a page's call always has.
fn browser_mark(headers: &HeaderMap) -> Option<&str> {
    headers
        .keys()
        .find(|name| {
            matches!(**name, header::ORIGIN | header::REFERER | header::COOKIE)
                || name.as_str().starts_with("sec-")
        })
        .map(header::HeaderName::as_str)
}

fn foreign_copy(mark: &str) -> ApiError {
    let message = format!(
        "the `host` is not this machine's and `{mark}` looks like a browser: take `origin`, `referer`, `cookie` and \
         `sec-*` off the copies, send them with `auth.token`, or add the name to `admin.allowed_hosts`"
    );
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", message)
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

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn by_token(peer: SocketAddr) -> Actor {
    Actor(format!("token from {}", peer.ip()))
}

fn check_change(
    method: &Method,
    headers: &HeaderMap,
    peer: SocketAddr,
    token: Option<&str>,
) -> Result<Actor, ApiError> {
    if is_safe(method) {
        return Ok(Actor(String::new()));
    }
    check_origin(headers)?;
    match token {
        Some(token) => check_token(headers, token).map(|()| by_token(peer)),
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
        let message = "calls from pages of another origin are refused; if this is a copy of a browser's call, take \
                       `origin` and `sec-fetch-site` off it, or send it with `auth.token`";
        ApiError::new(StatusCode::FORBIDDEN, "cross_origin", message)
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
