//! Requests that want to leave HTTP: WebSockets are passed through as tunnels, what would let a client speak past us in
//! another HTTP is left out (RFC 9110, section 7.8, lets a server ignore it), anything else is refused.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::body::ForwardBody;
use crate::headers;
use crate::io::Stream;
use crate::refusal::Refusal;
use crate::tunnel::{Counted, Switched};
use crate::upstream::{Lease, Pool, SendError, open_stream, shape};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADES: HeaderValue = HeaderValue::from_static("upgrade");

/// Whether a request with an `upgrade` asks for a WebSocket.
///
/// # Errors
/// A refusal that says what is wrong with the upgrade.
pub(crate) fn is_websocket(parts: &Parts) -> Result<bool, Refusal> {
    // HTTP/1.0 has no upgrades, and HTTP/2 has them elsewhere.
    if parts.version != Version::HTTP_11 {
        return Ok(false);
    }
    let is_http = |token: &[u8]| {
        token.eq_ignore_ascii_case(b"h2c") || token.eq_ignore_ascii_case(b"h2") || is_tls_or_http(token)
    };
    if !tokens(&parts.headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case(b"websocket")) {
        return if tokens(&parts.headers, &UPGRADE).all(is_http) {
            Ok(false)
        } else {
            Err(Refusal::Upgrade("only `upgrade: websocket` is passed through"))
        };
    }
    if !tokens(&parts.headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Err(Refusal::Upgrade(
            "`upgrade: websocket` without `connection: upgrade`: a proxy in front must pass both on",
        ));
    }
    if parts.method != Method::GET {
        return Err(Refusal::Upgrade("an upgrade to a WebSocket is a GET"));
    }
    let length = parts.headers.get(CONTENT_LENGTH);
    if parts.headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return Err(Refusal::Upgrade("an upgrade with a body"));
    }
    Ok(true)
}

fn is_tls_or_http(token: &[u8]) -> bool {
    let name = token.split(|&b| b == b'/').next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"tls") || name.eq_ignore_ascii_case(b"http")
}

fn tokens<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|t| !t.is_empty())
}

/// Puts back what ends at a hop and begins anew behind this one.
pub(crate) fn renew(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, UPGRADES);
    headers.insert(UPGRADE, WEBSOCKET);
}

/// What became of an upgrade.
pub(crate) enum Asked {
    Switched(Box<Switched>),
    /// The upstream stays with HTTP.
    Answer(Response<Incoming>, Lease<ForwardBody>),
}

type Ended = Result<http1::Parts<TokioIo<Stream>>, hyper::Error>;

/// Asks the upstream, on a connection of its own, in HTTP/1.
///
/// # Errors
/// No connection, a broken one, or `None` for a `101` that is no WebSocket's.
pub(crate) async fn ask(
    pool: &Rc<Pool<ForwardBody>>,
    mut request: Request<ForwardBody>,
    counted: Counted,
) -> Result<Asked, Option<SendError>> {
    let target = &pool.target;
    shape(&mut request, false, target.tls.is_some());
    let opening = tokio::time::timeout(target.upstream.connect_timeout, open_stream(target, false));
    let opened = opening.await.unwrap_or_else(|late| Err(late.into()));
    let stream = opened.map_err(SendError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(SendError::Broken)?;
    let (ended, has_ended) = oneshot::channel::<Ended>();
    pool.exec.spawn(async move {
        // Nobody waits for it when the upstream stayed with HTTP.
        ended.send(connection.without_shutdown().await).ok();
    });
    let response = sender.send_request(request).await.map_err(SendError::Broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Asked::Answer(response, Lease::single(pool)));
    }
    let is_websocket = |token: &[u8]| token.eq_ignore_ascii_case(b"websocket");
    if !tokens(response.headers(), &UPGRADE).all(is_websocket) || !response.headers().contains_key(UPGRADE) {
        return Err(None);
    }
    let parts = has_ended.await.map_err(|_| None)?.map_err(SendError::Broken)?;
    let (upstream, head) =
        (parts.io.into_inner(), switching(response.into_parts().0.headers, &parts.read_buf));
    Ok(Asked::Switched(Box::new(Switched { upstream, head, counted })))
}

/// The answer as the client gets it, and what the upstream has sent behind it.
fn switching(mut answer: HeaderMap, early: &Bytes) -> Vec<u8> {
    headers::strip_answer(&mut answer);
    renew(&mut answer);
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in &answer {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(early);
    head
}

/// Ends the HTTP library's part of a connection whose tunnel stands ready.
#[derive(Debug, thiserror::Error)]
#[error("the connection was upgraded")]
pub(crate) struct Upgraded;

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(fields: &[(&'static str, &'static str)]) -> Result<bool, Refusal> {
        let mut request = Request::get("/ws");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        is_websocket(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_whole_requests_for_a_websocket_are_upgraded() {
        let websocket = ("upgrade", "WebSocket");
        assert_eq!(asks(&[websocket, ("connection", "keep-alive, Upgrade")]), Ok(true));
        assert_eq!(asks(&[("upgrade", "h2c, websocket"), ("connection", "upgrade")]), Ok(true));
        assert_eq!(asks(&[websocket, ("connection", "upgrade"), ("content-length", "0")]), Ok(true));
        for refused in [
            &[websocket][..],
            &[websocket, ("connection", "close")],
            &[websocket, ("connection", "upgrade"), ("content-length", "5")],
            &[websocket, ("connection", "upgrade"), ("transfer-encoding", "chunked")],
            &[("upgrade", "spdy/3.1"), ("connection", "upgrade")],
            &[("upgrade", "h2c, irc"), ("connection", "upgrade")],
        ] {
            assert!(matches!(asks(refused), Err(Refusal::Upgrade(_))), "{refused:?}");
        }
    }

    #[test]
    fn other_kinds_of_http_are_ignored() {
        for token in ["h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0", "h2c, TLS/1.2"] {
            assert_eq!(
                asks(&[("upgrade", token), ("connection", "upgrade, http2-settings")]),
                Ok(false),
                "{token}"
            );
        }
    }

    #[test]
    fn a_switch_keeps_what_is_the_protocols() {
        let mut answer = HeaderMap::new();
        for (name, value) in [
            ("connection", "Upgrade, x-hop"),
            ("x-hop", "1"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "k"),
        ] {
            answer.insert(name, HeaderValue::from_static(value));
        }
        let text = String::from_utf8(switching(answer, &Bytes::from_static(b"early"))).unwrap();
        let (head, early) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(early, "early");
        let mut lines: Vec<&str> = head.lines().collect();
        lines[1..].sort_unstable();
        assert_eq!(
            lines,
            [
                "HTTP/1.1 101 Switching Protocols",
                "connection: upgrade",
                "sec-websocket-accept: k",
                "upgrade: websocket"
            ]
        );
    }
}
