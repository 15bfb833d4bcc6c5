//! One inference as data.
//!
//! The gateway sees an [`Exchange`]: a request and its answer as bytes. A [`Decoder`] turns it into [`Decoded`]: rows of
//! features and rows of predictions, with no generic JSON tree in between. A [`Record`] is the same inference in the
//! public form that files, `POST /api/v1/observe` and other programs use.
//!
//! No clock and no I/O here: times are unix milliseconds that the caller passes in.

mod decode;
mod decoded;
mod exchange;
mod inference;
mod lane;
mod privacy;
mod record;
pub mod value;

pub use decode::stream_has_ended;
pub use decode::{
    DecodeError, DecodeErrorKind, DecodeLimits, Decoder, DecoderSpec, Extract, Outcome, Path, PathError,
    Protocol, UnknownProtocol,
};
pub use decoded::{Cell, CellValue, Decoded, DecodedCell, TextRange, Unreadable};
pub use exchange::{Body, Exchange, Pairing};
pub use inference::{Follower, Inference, LoggedHeader};
pub use lane::Lane;
pub use privacy::{Detectors, Privacy, PrivacyKey, PrivacySpec};
pub use record::{FeatureValue, LineWriter, Record, RecordDefaults, RecordError, RecordLimits};
