//! One line of the inference log on its way to the sinks.

use std::sync::Arc;

use record::Lane;

/// What lines of one kind have in common: few of them, so they may be labels and names of files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogStream {
    /// The model's name.
    pub model: Arc<str>,
    /// The version that answered.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
}

/// One inference record. Every sink holds the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When the request came, unix milliseconds.
    pub at_ms: i64,
    /// Model, version and lane.
    pub stream: Arc<LogStream>,
    /// The JSON, then the request's id, then the tenant, in one allocation.
    bytes: Box<[u8]>,
    json: usize,
    request_id: usize,
}

impl LogLine {
    /// A line. `json` is one JSON object without line breaks; the other two may be empty.
    pub fn new(at_ms: i64, stream: Arc<LogStream>, json: &[u8], request_id: &[u8], tenant: &[u8]) -> Self {
        let bytes = [json, request_id, tenant].concat().into_boxed_slice();
        Self { at_ms, stream, bytes, json: json.len(), request_id: request_id.len() }
    }

    /// The record: one JSON object, no line break at its end.
    pub fn json(&self) -> &[u8] {
        self.bytes.get(..self.json).unwrap_or_default()
    }

    /// The request's id, empty when it has none. Any bytes.
    pub fn request_id(&self) -> &[u8] {
        self.bytes.get(self.json..self.json + self.request_id).unwrap_or_default()
    }

    /// The tenant, empty when there is none. Any bytes.
    pub fn tenant(&self) -> &[u8] {
        self.bytes.get(self.json + self.request_id..).unwrap_or_default()
    }

    /// What it counts for in bounds on bytes.
    pub fn charge(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}
