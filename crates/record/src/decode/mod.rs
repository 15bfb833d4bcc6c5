//! From an exchange's bodies to rows, without a JSON tree in between.
//!
//! Decoding runs for every request that passes, so it goes straight from the bytes to cells in buffers that are used
//! again: after warm-up it allocates nothing. What it meets was written by strangers: nesting, rows, cells and text
//! have limits, and every refusal is a [`DecodeError`] with a stable reason.
//!
//! In every protocol one value that cannot be read (a number that is none or over the range of an `f64`, text that is no
//! UTF-8 or too long) is missing and counted, and the rest of its row is measured. Integers above 2^53 are counted,
//! booleans are the categories `true` and `false`, null is missing, and of a key given twice the last value counts,
//! once. In JSON text stays text (`"12.5"` is no number); CSV has no types, so there what reads as a number is one.

mod auto;
mod binary;
mod body;
mod csv;
mod error;
mod flatten;
mod frames;
mod json;
mod json_lines;
mod kserve_grpc;
mod kserve_v1;
mod kserve_v2;
mod layout;
mod names;
mod openai;
mod path;
mod protocol;
mod reader;
mod select;
mod sink;
mod sse;
mod tensors;
#[cfg(test)]
mod tests;
mod wire;

use auto::Form;
use layout::{Layouts, Told};
use names::NameTable;
use reader::Reader;
use sink::{Side, Sink};

pub use error::{DecodeError, DecodeErrorKind};
pub use path::{Extract, Path, PathError};
pub use protocol::{Protocol, UnknownProtocol};
pub(crate) use reader::{Kind, Number, ReadError, Reader as JsonReader, Scalar};
pub use sse::has_ended as stream_has_ended;

use crate::{Decoded, Exchange};

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
    /// Bytes of a body after inflating, when it is compressed. Default 8 MiB.
    pub max_inflated_bytes: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_depth: 32,
            max_rows: 10_000,
            max_cells: 100_000,
            max_text_bytes: 1 << 20,
            max_name_bytes: 256,
            max_inflated_bytes: 8 << 20,
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
    /// What is made unreadable after decoding.
    pub privacy: std::sync::Arc<crate::Privacy>,
}

/// What became of an exchange whose request could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why there are no predictions: the answer could not be read, or its status is not 2xx.
    pub response_error: Option<DecodeError>,
}

/// What a request's body says about its answer's.
#[derive(Clone, Copy, Debug)]
struct RequestRead {
    protocol: Protocol,
    /// The body alone says so, and not the path or the configuration.
    is_guessed: bool,
}

/// Decodes exchanges, keeping its buffers from one to the next. One a thread.
#[derive(Debug, Default)]
pub struct Decoder {
    spec: DecoderSpec,
    features: select::Selector,
    predictions: select::Selector,
    body: body::Scratch,
    name: String,
    feature_names: NameTable,
    prediction_names: NameTable,
    tensors: tensors::Scratch,
    message: Vec<u8>,
    found: select::Found,
    request_layouts: Layouts,
    answer_layouts: Layouts,
    /// Of the exchange that is being decoded.
    timing: openai::Timing,
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
        let content_type = exchange.request.content_type.as_deref();
        auto::check_call(self.spec.protocol, &exchange.path, content_type)?;
        let mut scratch = std::mem::take(&mut self.body);
        let limit = self.spec.limits.max_inflated_bytes;
        let max_depth = self.spec.limits.max_depth;
        let answers = |rows| {
            let body = exchange.response.plain(limit);
            body.is_ok_and(|body| frames::answers_rows(&body, max_depth, rows))
        };
        let read = body::whole(&exchange.request, &mut scratch, limit)
            .and_then(|body| self.read_request(&exchange.path, content_type, body, &answers, into));
        self.timing = openai::Timing::of(exchange);
        let outcome = read.map(|read| Outcome {
            response_error: self.read_answer(exchange, read, &mut scratch, into).err(),
        });
        self.timing = openai::Timing::default();
        scratch.release();
        body::release(&mut self.message);
        self.body = scratch;
        self.spec.privacy.apply(into);
        outcome
    }

    /// Decodes a request's body into `into`, which is cleared first. Without a content type the path and the body tell
    /// its form.
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
        let read = self.read_request(path, None, body, &|_| false, into).map(|_| ());
        self.spec.privacy.apply(into);
        read
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
        let protocol = auto::settled(self.spec.protocol, path);
        let read = self.read_response(protocol, None, body, into);
        self.spec.privacy.apply(into);
        read
    }

    fn read_answer(
        &mut self,
        exchange: &Exchange,
        request: RequestRead,
        scratch: &mut body::Scratch,
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        if !(200..300).contains(&exchange.status) {
            return Err(DecodeError::new(
                DecodeErrorKind::Status,
                format!("the answer's status is {}", exchange.status),
            ));
        }
        let body = body::whole(&exchange.response, scratch, self.spec.limits.max_inflated_bytes)?;
        let content_type = exchange.response.content_type.as_deref();
        let read = self.read_response(request.protocol, content_type, body, into);
        match read {
            // A chat by its request only: other services than OpenAI's answer in forms of their own.
            Err(error) if request.is_guessed && error.kind != DecodeErrorKind::UpstreamError => {
                let other = self.read_response(Protocol::Auto, content_type, body, into);
                other.map_err(|_| error)
            }
            read => read,
        }
    }

    /// Reads a request and says which protocol its answer is in. `answers` says whether the answer has so many rows.
    fn read_request(
        &mut self,
        path: &[u8],
        content_type: Option<&[u8]>,
        body: &[u8],
        answers: &dyn Fn(u32) -> bool,
        into: &mut Decoded,
    ) -> Result<RequestRead, DecodeError> {
        let protocol = auto::settled(self.spec.protocol, path);
        let read = self.read(Side::Features, protocol, content_type, body, answers, into);
        if read.is_err() {
            into.clear();
        }
        // A request in plain JSON or CSV says nothing about its answer's form; one of a protocol does.
        let form = read?;
        let is_guessed = form == Form::Openai && protocol != Protocol::Openai;
        let protocol = match (protocol, form) {
            (Protocol::Auto, Form::KserveV1) => Protocol::KserveV1,
            (Protocol::Auto, Form::KserveV2) => Protocol::KserveV2,
            (_, Form::Openai) => Protocol::Openai,
            (protocol, _) => protocol,
        };
        Ok(RequestRead { protocol, is_guessed })
    }

    fn read_response(
        &mut self,
        protocol: Protocol,
        content_type: Option<&[u8]>,
        body: &[u8],
        into: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let read = self.read(Side::Predictions, protocol, content_type, body, &|_| false, into);
        if read.is_err() {
            into.clear_predictions();
        }
        read.map(|_| ())
    }

    /// Reads one side's body and says which form it had. Where bytes are no UTF-8 only the values that hold them are lost.
    fn read(
        &mut self,
        side: Side,
        protocol: Protocol,
        content_type: Option<&[u8]>,
        body: &[u8],
        answers: &dyn Fn(u32) -> bool,
        into: &mut Decoded,
    ) -> Result<Form, DecodeError> {
        let form = auto::form(protocol, content_type, body)?;
        match self.read_as(form, side, body, (answers, false), into) {
            Err(error) if error.kind == DecodeErrorKind::Syntax && form != Form::Grpc => {
                let repaired = String::from_utf8_lossy(body);
                if matches!(repaired, std::borrow::Cow::Borrowed(_)) {
                    return Err(error);
                }
                self.read_as(form, side, repaired.as_bytes(), (answers, true), into).map_err(|_| error)
            }
            read => read,
        }
    }

    fn read_as(
        &mut self,
        form: Form,
        side: Side,
        body: &[u8],
        (answers, is_repaired): (&dyn Fn(u32) -> bool, bool),
        into: &mut Decoded,
    ) -> Result<Form, DecodeError> {
        let (selector, names, layouts) = match side {
            Side::Features => (&self.features, &mut self.feature_names, &mut self.request_layouts),
            Side::Predictions => (&self.predictions, &mut self.prediction_names, &mut self.answer_layouts),
        };
        let mut sink = Sink::new(side, into, names, &self.spec);
        sink.is_repaired = is_repaired;
        let by_path = !selector.is_empty();
        match form {
            Form::Csv | Form::Grpc if by_path => {
                let message = "paths are configured, which lead into JSON, and the body is CSV or gRPC";
                return Err(DecodeError::new(DecodeErrorKind::NotJson, message));
            }
            Form::Grpc => {
                let (tensors, message) = (&mut self.tensors, &mut self.message);
                return kserve_grpc::read(body, &mut sink, &self.spec, tensors, message, &mut self.name)
                    .map(|()| form);
            }
            Form::Csv => return csv::read(body, &mut sink, &self.spec, &mut self.name).map(|()| form),
            Form::Openai if !by_path => {
                return openai::read(body, self.spec.limits.max_depth, self.timing, &mut sink).map(|()| form);
            }
            _ => {}
        }
        let mut reader = Reader::new(body, self.spec.limits.max_depth);
        let told = Told { form, request_rows: sink.request_rows() };
        let covered = !by_path && Layouts::cover(form, body);
        if covered {
            if let Some(form) = layouts.read(told, reader, &mut sink) {
                return Ok(form);
            }
            sink.notes = layouts.take_notes();
        }
        reader.begin()?;
        let form = match form {
            Form::Detect => auto::by_body(reader, &mut sink, &self.spec, answers)?,
            known => known,
        };
        if by_path {
            selector.read(reader, &mut sink, &mut self.found)?;
            return Ok(form);
        }
        let (spec, name) = (&self.spec, &mut self.name);
        let read = match form {
            Form::KserveV1 => kserve_v1::read(reader, &mut sink, spec, name),
            Form::KserveV2 => kserve_v2::read(reader, body, &mut sink, spec, &mut self.tensors, name),
            Form::JsonLines => json_lines::read(reader, &mut sink, spec, name),
            Form::Frame(frame) => frames::read(reader, frame, &mut sink, spec, name),
            Form::Openai => openai::read(body, spec.limits.max_depth, self.timing, &mut sink),
            _ => json::read(reader, &mut sink, spec, name),
        };
        if covered {
            let notes = std::mem::take(&mut sink.notes);
            match read {
                Ok(()) => layouts.learn(told, body, form, notes, &sink),
                Err(_) => layouts.give_back(notes),
            }
        }
        read.map(|()| form)
    }
}
