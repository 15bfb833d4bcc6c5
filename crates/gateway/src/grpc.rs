//! gRPC on its way: what it needs beyond HTTP/2.
//!
//! A call's outcome is not its HTTP status, which is 200 in every case, but `grpc-status` in its trailers, or in its head
//! when there is no message at all. Counters, copies and the tap go by an HTTP status made from it; what the client gets
//! is untouched. A call may stream for hours: its deadlines count from the last byte that moved, in either direction.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::refusal::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What `grpc-message` may not hold as it is: all but the printable characters of ASCII, and `%`.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// What only a call's exchange has to remember.
#[derive(Debug)]
pub(crate) struct Call {
    /// When a frame last passed, in either direction.
    moved: Cell<Instant>,
}

impl Call {
    /// A call that begins.
    pub(crate) fn new(now: Instant) -> Self {
        Self { moved: Cell::new(now) }
    }

    /// Notes that a frame passes.
    pub(crate) fn moves(&self) {
        self.moved.set(Instant::now());
    }

    /// When `patience` ends, counted from the last frame.
    pub(crate) fn due(&self, patience: Duration) -> tokio::time::Instant {
        (self.moved.get() + patience).into()
    }

    /// Waits for a future as long as frames pass; `None` when none did for `patience`.
    pub(crate) async fn until<F: Future>(
        &self,
        patience: Duration,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        let mut due = self.due(patience);
        loop {
            if let Ok(output) = tokio::time::timeout_at(due, future.as_mut()).await {
                return Some(output);
            }
            let later = self.due(patience);
            if later <= due {
                return None;
            }
            due = later;
        }
    }
}

/// Whether a message is gRPC's, in whatever format.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is_type(value.as_bytes()))
}

/// Whether a content type is gRPC's.
pub(crate) fn is_type(value: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((begin, rest)) = value.split_at_checked(GRPC.len()) else { return false };
    begin.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// The HTTP status (100 to 999) that a gRPC answer stands for, by its own HTTP status and the fields that hold its
/// `grpc-status`: those of the trailers, or of the head when it is all there is. A call that never says how it ended has
/// failed: 500.
pub fn status_of_grpc(http: u16, headers: &HeaderMap) -> u16 {
    if http == 200 { status_of_trailers(headers).unwrap_or(500) } else { http }
}

/// The status that trailers bring.
pub(crate) fn status_of_trailers(trailers: &HeaderMap) -> Option<u16> {
    let value = trailers.get(GRPC_STATUS)?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).map_or(500, http_status))
}

/// A gRPC status code as the HTTP status that stands for it.
const fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// The status code of a refusal.
const fn code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeadTimeout | Refusal::BodyTimeout | Refusal::AnswerTimeout => "4",
        Refusal::HeadTooLarge | Refusal::TargetTooLong | Refusal::BodyTooLarge => "8",
        Refusal::Method | Refusal::NoRoute | Refusal::GrpcOverHttp1 | Refusal::Upgrade(_) => "12",
        Refusal::Framing(_) | Refusal::Header(_) | Refusal::Loop => "13",
        Refusal::Unreachable | Refusal::BadAnswer | Refusal::NotHttp2 => "14",
    }
}

/// A refusal as gRPC's clients read it: a head that is the end as well.
pub(crate) fn refusal(refusal: Refusal) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code(refusal)));
    let text = format!("{}: {}", refusal.code(), refusal.message());
    let message: Cow<'_, str> = utf8_percent_encode(&text, ENCODED).into();
    // Encoded, it is printable ASCII and so a value; without it the status says enough.
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn statuses_stand_for_each_other() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_STATUS, HeaderValue::from_static(text));
            status_of_grpc(200, &headers)
        };
        for (code, status) in [
            ("0", 200),
            ("1", 499),
            ("9", 400),
            ("10", 409),
            ("16", 401),
            ("7", 403),
            ("14", 503),
            ("2", 500),
            ("x", 500),
        ] {
            assert_eq!(of(code), status, "{code}");
        }
        assert_eq!(status_of_grpc(200, &HeaderMap::new()), 500, "no status is a failure");
        assert_eq!(status_of_grpc(502, &HeaderMap::new()), 502);
    }

    #[test]
    fn refusals_have_a_status_and_a_message_and_no_body() {
        for (of, code) in [
            (Refusal::NoRoute, "12"),
            (Refusal::Unreachable, "14"),
            (Refusal::AnswerTimeout, "4"),
            (Refusal::BodyTooLarge, "8"),
            (Refusal::Header("50 % näh"), "13"),
        ] {
            let response = refusal(of);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], code);
            assert!(response.body().is_empty());
        }
        let message = refusal(Refusal::Header("50 % näh")).headers()["grpc-message"].clone();
        assert_eq!(message, "bad_header: 50 %25 n%C3%A4h");
    }
}
