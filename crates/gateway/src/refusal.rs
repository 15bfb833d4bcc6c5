//! Answers that we give ourselves: each refusal owns its status, its code and its text.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

/// Why a request is not answered by production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bytes cannot be framed with certainty; the text says where.
    Framing(&'static str),
    /// A header that is not allowed to be what it is.
    Header(&'static str),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body stalled.
    BodyTimeout,
    /// Head over `head_bytes` or `head_fields`.
    HeadTooLarge,
    /// Request target too long.
    TargetTooLong,
    /// Body over `body_bytes`.
    BodyTooLarge,
    /// `CONNECT` or `TRACE`.
    Method,
    /// No model takes it.
    NoRoute,
    /// It has passed too many gateways.
    Loop,
    /// No connection to the version.
    Unreachable,
    /// The version's connection broke, or it answered what cannot be an answer.
    BadAnswer,
    /// No answer in time.
    AnswerTimeout,
    /// The version does not speak HTTP/2, which the request needs.
    NotHttp2,
    /// A gRPC call that came over HTTP/1.
    GrpcOverHttp1,
    /// An upgrade that is not passed through.
    Upgrade(&'static str),
}

impl Refusal {
    /// How many there are: the length of a table indexed by [`Self::index`].
    pub(crate) const COUNT: usize = 16;

    /// Position in a table of counters.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Framing(_) => 0,
            Self::Header(_) => 1,
            Self::HeadTimeout => 2,
            Self::BodyTimeout => 3,
            Self::HeadTooLarge => 4,
            Self::TargetTooLong => 5,
            Self::BodyTooLarge => 6,
            Self::Method => 7,
            Self::NoRoute => 8,
            Self::Loop => 9,
            Self::Unreachable => 10,
            Self::BadAnswer => 11,
            Self::AnswerTimeout => 12,
            Self::NotHttp2 => 13,
            Self::GrpcOverHttp1 => 14,
            Self::Upgrade(_) => 15,
        }
    }

    /// The codes in the order of [`Self::index`].
    pub(crate) const CODES: [&'static str; Self::COUNT] = [
        "bad_framing",
        "bad_header",
        "head_timeout",
        "body_timeout",
        "head_too_large",
        "target_too_long",
        "body_too_large",
        "method_not_allowed",
        "no_route",
        "loop_detected",
        "upstream_unreachable",
        "bad_upstream_answer",
        "upstream_timeout",
        "upstream_not_http2",
        "grpc_over_http1",
        "bad_upgrade",
    ];

    /// The machine-readable code.
    pub(crate) const fn code(self) -> &'static str {
        Self::CODES[self.index()]
    }

    /// The status the client gets.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Framing(_) | Self::Header(_) => StatusCode::BAD_REQUEST,
            Self::Upgrade(_) => StatusCode::NOT_IMPLEMENTED,
            Self::GrpcOverHttp1 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Unreachable | Self::BadAnswer | Self::NotHttp2 => StatusCode::BAD_GATEWAY,
            Self::AnswerTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The text; never anything the client or an upstream sent.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Framing(what) | Self::Header(what) | Self::Upgrade(what) => what,
            Self::HeadTimeout => "the request's head did not arrive in time",
            Self::BodyTimeout => "the request's body stalled",
            Self::HeadTooLarge => "the request's head is over the limit",
            Self::TargetTooLong => "the request's target is over the limit",
            Self::BodyTooLarge => "the request's body is over the limit",
            Self::Method => "the method is not served",
            Self::NoRoute => "no model is served at this address",
            Self::Loop => "the request has passed through too many gateways",
            Self::Unreachable => "the model cannot be reached",
            Self::BadAnswer => "the model's connection broke before an answer",
            Self::AnswerTimeout => "the model did not answer in time",
            Self::NotHttp2 => "the model did not answer in HTTP/2, which gRPC needs",
            Self::GrpcOverHttp1 => "gRPC needs HTTP/2 and came over HTTP/1",
        }
    }

    /// What an operator can do about it.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Framing(_) => {
                "two servers could read it differently: repair the client or proxy that sent it"
            }
            Self::Header(_) => "repair the client or proxy that sent it",
            Self::HeadTimeout => "slow client, or raise `limits.head_timeout`",
            Self::BodyTimeout => "slow client, or raise `limits.idle_timeout`",
            Self::HeadTooLarge => {
                "raise `limits.head_bytes` or `limits.head_fields`, or send less (cookies, mostly)"
            }
            Self::TargetTooLong => "send the data in the body; a target may have 8 KiB",
            Self::BodyTooLarge => "raise `limits.body_bytes`, or send less",
            Self::Method => "CONNECT and TRACE are never served",
            Self::NoRoute => "look at `models.*.route`, or at the client's path and host",
            Self::Loop => "a version's URL leads back to a gateway: look at `models.*.versions`",
            Self::Unreachable => "start the version, or correct its URL under `models.*.versions`",
            Self::BadAnswer => "look at the version's own log",
            Self::AnswerTimeout => "the version is slow or stuck; `timeout` of the version is the limit",
            Self::NotHttp2 => "the version must serve gRPC at this URL, in HTTP/2",
            Self::GrpcOverHttp1 => "a proxy in front must pass gRPC on in HTTP/2 (nginx: `grpc_pass`)",
            Self::Upgrade(_) => "only WebSockets are passed through",
        }
    }

    /// Whether the connection cannot be trusted for another request.
    pub(crate) const fn closes(self) -> bool {
        matches!(
            self,
            Self::Framing(_)
                | Self::Header(_)
                | Self::HeadTimeout
                | Self::BodyTimeout
                | Self::HeadTooLarge
                | Self::TargetTooLong
                | Self::BodyTooLarge
                | Self::Upgrade(_)
        )
    }

    fn json(self) -> String {
        format!(r#"{{"error":{{"code":"{}","message":"{}"}}}}"#, self.code(), self.message())
    }

    /// The answer as hyper sends it.
    pub(crate) fn response(self, http2: bool) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.closes() && !http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self == Self::Method {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        response
    }

    /// The answer as bytes, for a connection that hyper has already given up. Always closes.
    pub(crate) fn http1(self) -> String {
        let (status, body) = (self.status(), self.json());
        format!(
            "HTTP/1.1 {} {}\r\n{CONTENT_TYPE}: application/json\r\n{CONTENT_LENGTH}: {}\r\n{CONNECTION}: close\r\n\r\n{body}",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error"),
            body.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_answer_is_one_whole_http_message_with_json() {
        let text = Refusal::Framing("two lengths").http1();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(body, r#"{"error":{"code":"bad_framing","message":"two lengths"}}"#);
    }

    #[test]
    fn a_missing_route_leaves_the_connection_open_and_http2_never_sees_connection() {
        assert!(Refusal::NoRoute.response(false).headers().get(CONNECTION).is_none());
        assert!(Refusal::Framing("x").response(false).headers().get(CONNECTION).is_some());
        assert!(Refusal::Framing("x").response(true).headers().get(CONNECTION).is_none());
    }
}
