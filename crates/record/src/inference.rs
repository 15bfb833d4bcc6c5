//! A decoded inference, borrowed.

use std::sync::Arc;

use crate::{Decoded, Lane, Pairing};

/// One inference as it was counted, for whoever follows the windows: the inference log, the pairs.
///
/// Texts in `decoded` and `tenant` have been through the privacy rules already.
#[derive(Clone, Copy, Debug)]
pub struct Inference<'a> {
    /// When the request came, unix milliseconds.
    pub at_ms: i64,
    /// The model's name.
    pub model: &'a str,
    /// The version that answered.
    pub version: &'a str,
    /// Prod or shadow.
    pub lane: Lane,
    /// The tenant, unchecked.
    pub tenant: Option<&'a [u8]>,
    /// The request's id, empty when it has none; the same for a request and its copies.
    pub request_id: &'a [u8],
    /// HTTP status of the answer, when known.
    pub status: Option<u16>,
    /// Time to the answer's last byte, milliseconds, when known.
    pub latency_ms: Option<f64>,
    /// The request's headers that are logged.
    pub headers: &'a [LoggedHeader],
    /// Bytes of the request's body, when known.
    pub request_bytes: Option<u64>,
    /// Bytes of the answer's body, when known.
    pub response_bytes: Option<u64>,
    /// Whether another answer to the same request is to be expected.
    pub pairing: Pairing,
    /// Its rows; empty when they could not be read or there was no inference.
    pub decoded: &'a Decoded,
    /// Why rows or predictions are missing: the reason that the drop was counted under.
    pub problem: Option<&'static str>,
}

/// A request header as the log shows it: its name, and its value after the privacy rules; `None` for a value that is too
/// long for the log.
pub type LoggedHeader = (Arc<str>, Option<String>);

/// Sees every inference of the monitor, in order, on the monitor's thread: must return at once.
pub trait Follower: Send {
    /// One inference that was counted, or that could not be read.
    fn saw(&mut self, inference: &Inference<'_>);
}
