//! What Fluent Bit sends: chunks of records, as JSON or msgpack, over HTTP or its forward protocol.
//!
//! A chunk holds many records, and a retry brings all of them again; so one record that can't be read costs only
//! itself. Whatever a record came in, it is read from JSON: msgpack is rewritten first, one record at a time, so that
//! there is one reader with one set of limits. Nothing is allocated by a length that a sender only claims.

mod entries;
mod inflate;
mod json;
pub(crate) mod msgpack;
mod reading;
#[cfg(test)]
pub(crate) mod testing;
mod transcode;

use std::borrow::Cow;

pub use inflate::{InflateError, inflate};
pub use reading::Reading;

pub(crate) use entries::Entries;

use crate::sources::{Refused, Reject};

/// Longest record, bytes of its JSON.
const RECORD_BYTES: usize = 1 << 20;

/// One record of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its time, unix milliseconds, where it stands beside the record.
    pub at_ms: Option<i64>,
    /// The record.
    pub json: Cow<'a, [u8]>,
}

/// What a body of Fluent Bit's `http` output is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `format: json`, an array; or `format: json_stream`, objects one after the other.
    Json,
    /// `format: json_lines`.
    JsonLines,
    /// `format: msgpack`.
    Msgpack,
}

impl MediaType {
    /// By the `content-type`; without one, by the first byte. `None` when it is another one.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Option<Self> {
        let name = content_type.map(|name| name.split(';').next().unwrap_or_default().trim());
        let is = |names: &[&str]| {
            names.iter().any(|known| name.is_some_and(|name| name.eq_ignore_ascii_case(known)))
        };
        match name {
            None | Some("") => match body.trim_ascii_start().first() {
                Some(b'{' | b'[') => Some(Self::Json),
                Some(_) => Some(Self::Msgpack),
                None => None,
            },
            _ if is(&["application/json"]) => Some(Self::Json),
            _ if is(&["application/x-ndjson", "application/ndjson", "application/jsonl"]) => {
                Some(Self::JsonLines)
            }
            _ if is(&["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"]) => {
                Some(Self::Msgpack)
            }
            _ => None,
        }
    }
}

/// The records of a body, in order. After something that hides where the next record begins, they end.
#[derive(Debug)]
pub struct Events<'a>(Kind<'a>);

#[derive(Debug)]
enum Kind<'a> {
    Json(json::Values<'a>),
    JsonLines(json::Lines<'a>),
    Msgpack(Entries<'a>),
}

impl<'a> Events<'a> {
    /// Of an inflated body.
    pub fn new(media_type: MediaType, body: &'a [u8]) -> Self {
        Self(match media_type {
            MediaType::Json => Kind::Json(json::Values::new(body)),
            MediaType::JsonLines => Kind::JsonLines(json::Lines::new(body)),
            MediaType::Msgpack => Kind::Msgpack(Entries::packed(body)),
        })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Json(values) => values.next(),
            Kind::JsonLines(lines) => lines.next(),
            Kind::Msgpack(entries) => entries.next(),
        }
    }
}

fn malformed(message: impl Into<String>) -> Refused {
    Refused { reason: Reject::Malformed, message: message.into() }
}

#[cfg(test)]
mod tests;
