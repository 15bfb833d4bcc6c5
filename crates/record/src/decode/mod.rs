//! From an exchange's bodies to rows, without a JSON tree in between.
//!
//! Decoding runs for every request that passes, so it goes straight from the bytes to cells in buffers that are used
//! again: after warm-up it allocates nothing. What it meets was written by strangers: nesting, rows, cells and text
//! have limits, and every refusal is a [`DecodeError`] with a stable reason.
//!
//! In every protocol: a number over the range of an `f64` is missing and counted, integers above 2^53 are counted,
//! booleans are the categories `true` and `false`, null is missing, text stays text (`"12.5"` is no number), and of a
//! key given twice the last value counts, once.

mod auto;
mod binary;
mod error;
mod flatten;
mod json;
mod kserve_v1;
mod kserve_v2;
mod names;
mod path;
mod reader;
mod select;
mod sink;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use names::NameTable;
use reader::Reader;
use sink::{Side, Sink};

pub use error::{DecodeError, DecodeErrorKind};
pub use path::{Extract, Path, PathError};
pub(crate) use reader::{Kind, Number, ReadError, Reader as JsonReader, Scalar};

use crate::{Body, Decoded, Exchange};

/// How bodies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Recognised from the path and the body, request by request.
    #[default]
    Auto,
    /// KServe v1: `instances` and `predictions`.
    KserveV1,
    /// KServe v2 (Open Inference Protocol): `inputs` and `outputs`.
    KserveV2,
    /// Any JSON, by path or flattened.
    Json,
}

impl Protocol {
    /// The name in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::KserveV1 => "kserve-v1",
            Self::KserveV2 => "kserve-v2",
            Self::Json => "json",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol `{0}`: expected `auto`, `kserve-v1`, `kserve-v2` or `json`")]
pub struct UnknownProtocol(pub String);

impl std::str::FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        [Self::Auto, Self::KserveV1, Self::KserveV2, Self::Json]
            .into_iter()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

/// What one exchange may hold; over a limit it is refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Arrays and objects inside each other, at most 64. Default 32.
    pub max_depth: usize,
    /// Rows of a body. Default 10 000.
    pub max_rows: u32,
    /// Values of request and answer together. Default 100 000.
    pub max_cells: usize,
    /// Bytes of names and texts of request and answer together. Default 1 MiB.
    pub max_text_bytes: usize,
    /// Bytes of one name. Default 256.
    pub max_name_bytes: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_depth: 32,
            max_rows: 10_000,
            max_cells: 100_000,
            max_text_bytes: 1 << 20,
            max_name_bytes: 256,
        }
    }
}

/// How a model's bodies are decoded.
#[derive(Clone, Debug, Default)]
pub struct DecoderSpec {
    /// The protocol of its bodies.
    pub protocol: Protocol,
    /// Exactly these features, by path, whatever the protocol; empty for all that the body has.
    pub features: Vec<Extract>,
    /// Exactly these predictions, by path, whatever the protocol; empty for all that the answer has.
    pub predictions: Vec<Extract>,
    /// Names for columns that come without, in order: those of the reference profile.
    pub column_names: Vec<String>,
    /// Limits on one exchange.
    pub limits: DecodeLimits,
}

/// What became of an exchange whose request could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why there are no predictions: the answer could not be read, or its status is not 2xx.
    pub response_error: Option<DecodeError>,
}

/// Decodes exchanges, keeping its buffers from one to the next. One a thread.
#[derive(Debug, Default)]
pub struct Decoder {
    spec: DecoderSpec,
    features: select::Selector,
    predictions: select::Selector,
    body: Vec<u8>,
    name: String,
    feature_names: NameTable,
    prediction_names: NameTable,
    tensors: kserve_v2::Scratch,
    found: select::Found,
}

impl Decoder {
    /// A decoder for one model.
    pub fn new(mut spec: DecoderSpec) -> Self {
        // Places of text are 32 bits wide.
        spec.limits.max_text_bytes = spec.limits.max_text_bytes.min(u32::MAX as usize);
        Self {
            features: select::Selector::new(&spec.features, Side::Features),
            predictions: select::Selector::new(&spec.predictions, Side::Predictions),
            spec,
            ..Self::default()
        }
    }

    /// How it decodes.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// Decodes both bodies of an exchange into `into`, which is cleared first.
    ///
    /// An answer that can't be read leaves the features in place and no predictions; [`Outcome`] says why.
    ///
    /// # Errors
    /// When the request can't be read; `into` is then empty.
    pub fn decode(&mut self, exchange: &Exchange, into: &mut Decoded) -> Result<Outcome, DecodeError> {
        into.clear();
        let mut scratch = std::mem::take(&mut self.body);
        let protocol = whole_body(&exchange.request, &mut scratch)
            .and_then(|body| self.read_request(&exchange.path, body, into));
        let outcome = protocol.map(|protocol| Outcome {
            response_error: self.read_answer(exchange, protocol, &mut scratch, into).err(),
        });
        self.body = scratch;
        outcome
    }

    /// Decodes a request's body into `into`, which is cleared first.
    ///
    /// # Errors
    /// When the body can't be read; `into` is then empty.
    pub fn decode_request(
        &mut self,
        path: &[u8],
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        into.clear();
        self.read_request(path, body, into).map(|_| ())
    }

    /// Decodes an answer's body into `into`, whose predictions are cleared first. `path` is the request's.
    ///
    /// # Errors
    /// When the body can't be read; `into` then has no predictions.
    pub fn decode_response(
        &mut self,
        path: &[u8],
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let protocol = match self.spec.protocol {
            Protocol::Auto => auto::by_path(path).unwrap_or(Protocol::Auto),
            fixed => fixed,
        };
        self.read_response(protocol, body, into)
    }

    fn read_answer(
        &mut self,
        exchange: &Exchange,
        protocol: Protocol,
        scratch: &mut Vec<u8>,
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        if !(200..300).contains(&exchange.status) {
            return Err(DecodeError::new(
                DecodeErrorKind::Status,
                format!("the answer's status is {}", exchange.status),
            ));
        }
        // A request in plain JSON says nothing about its answer's form.
        let protocol = match (self.spec.protocol, protocol) {
            (Protocol::Auto, Protocol::Json) => Protocol::Auto,
            (_, protocol) => protocol,
        };
        let body = whole_body(&exchange.response, scratch)?;
        self.read_response(protocol, body, into)
    }

    /// Reads a request and says which protocol it was in.
    fn read_request(
        &mut self,
        path: &[u8],
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<Protocol, DecodeError> {
        let protocol = match self.spec.protocol {
            Protocol::Auto => auto::by_path(path).unwrap_or(Protocol::Auto),
            fixed => fixed,
        };
        let read = self.read(Side::Features, protocol, body, into);
        if read.is_err() {
            into.clear();
        }
        read
    }

    fn read_response(
        &mut self,
        protocol: Protocol,
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let read = self.read(Side::Predictions, protocol, body, into);
        if read.is_err() {
            into.clear_predictions();
        }
        read.map(|_| ())
    }

    /// Reads one side's body and says which protocol it was in.
    fn read(
        &mut self,
        side: Side,
        protocol: Protocol,
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<Protocol, DecodeError> {
        let (selector, names) = match side {
            Side::Features => (&self.features, &mut self.feature_names),
            Side::Predictions => (&self.predictions, &mut self.prediction_names),
        };
        let mut sink = Sink::new(side, into, names, &self.spec.limits);
        let mut reader = Reader::new(body, self.spec.limits.max_depth);
        reader.begin()?;
        let protocol = match protocol {
            Protocol::Auto => auto::by_body(reader, side)?,
            known => known,
        };
        if !selector.is_empty() {
            selector.read(reader, &mut sink, &mut self.found)?;
            return Ok(protocol);
        }
        match protocol {
            Protocol::KserveV1 => kserve_v1::read(reader, &mut sink, &self.spec, &mut self.name)?,
            Protocol::KserveV2 => {
                kserve_v2::read(reader, body, &mut sink, &self.spec, &mut self.tensors, &mut self.name)?;
            }
            Protocol::Auto | Protocol::Json => json::read(reader, &mut sink, &self.spec, &mut self.name)?,
        }
        Ok(protocol)
    }
}

/// The bytes of a body that was captured whole and is not compressed.
fn whole_body<'a>(body: &'a Body, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    if body.truncated {
        return Err(DecodeError::new(
            DecodeErrorKind::Truncated,
            format!("{} of {} bytes were captured", body.captured_bytes(), body.total_bytes),
        ));
    }
    if body.content_encoding.as_ref().is_some_and(|encoding| !is_identity(encoding)) {
        return Err(DecodeError::new(DecodeErrorKind::ContentEncoding, "the body is compressed"));
    }
    Ok(body.contiguous(scratch))
}

fn is_identity(encoding: &[u8]) -> bool {
    let encoding = encoding.trim_ascii();
    encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
}
