//! Why a body could not be read.
//!
//! A message says what was expected and at which byte, never what stood there: bodies are other people's data, and
//! messages end in logs.

/// The reason a body could not be read. [`DecodeErrorKind::as_str`] is the value of the `reason` label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeErrorKind {
    /// The captured bytes are not the whole body, or a stream of events ends before its end mark, or a gRPC message is
    /// shorter than its frame says.
    Truncated,
    /// The body is compressed in a way that is not read, or its compressed form is broken.
    ContentEncoding,
    /// The body inflates to more bytes than the limit.
    InflatedTooLong,
    /// The body does not begin like JSON, or paths are configured and it is CSV.
    NotJson,
    /// The body begins like JSON and breaks its grammar, `NaN` and unfinished bodies included; or a gRPC
    /// message breaks protobuf's wire format.
    Syntax,
    /// Arrays and objects inside each other, deeper than the limit.
    Depth,
    /// JSON, but not of the protocol's form: a tensor's shape and data disagree, a list stands where an object must.
    Shape,
    /// A tensor in bytes or protobuf of a datatype that is not known, or with text that is not UTF-8.
    BinaryTensor,
    /// More rows than the limit.
    TooManyRows,
    /// More cells than the limit.
    TooManyCells,
    /// A name over its limit, or more text than the limit.
    TextTooLong,
    /// None of the keys or paths that hold the values is there, or the content type is of a form that is not read.
    Unrecognised,
    /// No body, or a body without a single value.
    Empty,
    /// The answer's status is not 2xx.
    Status,
    /// The answer is an error object, or a stream has one in the middle, for all that its status is 2xx.
    UpstreamError,
    /// A gRPC call of another method than `ModelInfer`: a health check, metadata, a stream.
    NotInference,
}

impl DecodeErrorKind {
    /// Every kind, so that metrics can be registered before the first error.
    pub const ALL: [Self; 16] = [
        Self::Truncated,
        Self::ContentEncoding,
        Self::InflatedTooLong,
        Self::NotJson,
        Self::Syntax,
        Self::Depth,
        Self::Shape,
        Self::BinaryTensor,
        Self::TooManyRows,
        Self::TooManyCells,
        Self::TextTooLong,
        Self::Unrecognised,
        Self::Empty,
        Self::Status,
        Self::UpstreamError,
        Self::NotInference,
    ];

    /// The stable name, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::ContentEncoding => "content_encoding",
            Self::InflatedTooLong => "inflated_too_long",
            Self::NotJson => "not_json",
            Self::Syntax => "syntax",
            Self::Depth => "depth",
            Self::Shape => "shape",
            Self::BinaryTensor => "binary_tensor",
            Self::TooManyRows => "too_many_rows",
            Self::TooManyCells => "too_many_cells",
            Self::TextTooLong => "text_too_long",
            Self::Unrecognised => "unrecognised",
            Self::Empty => "empty",
            Self::Status => "status",
            Self::NotInference => "not_inference",
            Self::UpstreamError => "upstream_error",
        }
    }
}

impl std::fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A body that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// The reason, for counting.
    pub kind: DecodeErrorKind,
    /// What was expected and where; holds nothing of the body.
    pub message: String,
}

impl DecodeError {
    pub(crate) fn new(kind: DecodeErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
