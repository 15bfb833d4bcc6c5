//! One request and its answer, as bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::Lane;

/// One request and its answer as the gateway saw them, not decoded yet.
///
/// Cheap to make on the request path: names are shared, bodies are reference-counted pieces of what was read.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the request's head had been read, unix milliseconds.
    pub at_ms: i64,
    /// The model that the route chose.
    pub model: Arc<str>,
    /// The version that answered.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// The tenant as the request named it, unchecked; `None` when the request names none.
    pub tenant: Option<Bytes>,
    /// The request's id (`x-request-id`), the same for a request and its copies.
    pub request_id: Bytes,
    /// HTTP status of the answer.
    pub status: u16,
    /// From the request's head read to the answer's last byte, milliseconds.
    pub latency_ms: f64,
    /// From the request's head read to the answer's first body byte, milliseconds; `None` when nobody noted it.
    pub first_byte_ms: Option<f64>,
    /// The request's headers that the inference log was asked for, unchecked; empty when it was asked for none.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Path of the request, without the query.
    pub path: Bytes,
    /// The request's body.
    pub request: Body,
    /// The answer's body.
    pub response: Body,
    /// Whether another answer to the same request is to be expected.
    pub pairing: Pairing,
}

impl Exchange {
    /// Bytes that its kept headers hold.
    pub fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Whether an answer has a partner: another answer to the same request, from the other lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairing {
    /// Nobody said: it waits for one.
    #[default]
    Unknown,
    /// There is none: the request was not copied, or nothing was sent to a shadow.
    Alone,
    /// This is production's answer, and so many copies of its request are under way to shadows.
    Copied(u8),
    /// This is a second answer of the version that answered the client. It measures how much the version disagrees with
    /// itself, and counts in no window.
    Noise,
}

/// A captured body: the pieces in the order they were read.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// `content-type` of the message, if it had one.
    pub content_type: Option<Bytes>,
    /// `content-encoding` of the message, if it had one (`identity` counts as none).
    pub content_encoding: Option<Bytes>,
    /// The captured pieces, in order. Empty when `truncated`.
    pub chunks: Vec<Bytes>,
    /// Bytes that went through, captured or not.
    pub total_bytes: u64,
    /// True when the body was over the capture limit or ended early: `chunks` then don't hold the whole of it.
    pub truncated: bool,
}

impl Body {
    /// A complete body in one piece.
    pub fn complete(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { total_bytes: bytes.len() as u64, chunks: vec![bytes], ..Self::default() }
    }

    /// The captured bytes as one slice; copied into `scratch` only when there is more than one piece.
    pub fn contiguous<'a>(&'a self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self.chunks.as_slice() {
            [] => &[],
            [one] => one,
            many => {
                scratch.clear();
                for chunk in many {
                    scratch.extend_from_slice(chunk);
                }
                scratch
            }
        }
    }

    /// Bytes held by the captured pieces.
    pub fn captured_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}
