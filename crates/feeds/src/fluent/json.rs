//! Chunks in JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Event, RECORD_BYTES, malformed};
use crate::sources::{Refused, Reject};

/// An array of records, or records one after the other.
#[derive(Debug)]
pub(super) struct Values<'a> {
    body: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begin,
    /// Inside the array, behind a value.
    Array,
    Stream,
    Over,
}

/// Something else stands where a record, a comma or an end should.
struct Unexpected;

impl<'a> Values<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, state: State::Begin }
    }

    /// The next byte that is no white space; steps onto it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.body.get(self.at..)?;
        let skipped = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += skipped;
        rest.get(skipped).copied()
    }

    /// Steps to where the next record begins; false when there is none.
    fn advance(&mut self) -> Result<bool, Unexpected> {
        match (self.state, self.peek()) {
            (State::Over, _) | (State::Begin | State::Stream, None) => Ok(false),
            (State::Begin, Some(b'[')) => {
                self.at += 1;
                self.state = State::Array;
                if self.peek() == Some(b']') { self.close() } else { Ok(true) }
            }
            (State::Begin | State::Stream, Some(_)) => {
                self.state = State::Stream;
                Ok(true)
            }
            (State::Array, Some(b',')) => {
                self.at += 1;
                Ok(true)
            }
            (State::Array, Some(b']')) => self.close(),
            (State::Array, _) => Err(Unexpected),
        }
    }

    /// The array's end, which is the body's as well.
    fn close(&mut self) -> Result<bool, Unexpected> {
        self.at += 1;
        self.state = State::Over;
        if self.peek().is_none() { Ok(false) } else { Err(Unexpected) }
    }

    fn value(&mut self) -> Result<&'a [u8], Unexpected> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let Some(Ok(value)) = values.next() else { return Err(Unexpected) };
        self.at += values.byte_offset();
        Ok(value.get().as_bytes())
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Event<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = match self.advance() {
            Ok(false) => return None,
            Ok(true) => self.value(),
            Err(unexpected) => Err(unexpected),
        };
        Some(value.map_or_else(
            |Unexpected| {
                self.state = State::Over;
                let at = self.at + 1;
                Err(malformed(format!("not JSON at byte {at}: the rest of the chunk cannot be read")))
            },
            event,
        ))
    }
}

/// Records on a line each. A line that can't be read costs only itself.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Event<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                return Some(event(line));
            }
        }
        None
    }
}

fn event(json: &[u8]) -> Result<Event<'_>, Refused> {
    if json.len() > RECORD_BYTES {
        let message = format!("a record is longer than {RECORD_BYTES} bytes");
        return Err(Refused { reason: Reject::TooLarge, message });
    }
    Ok(Event { at_ms: None, json: Cow::Borrowed(json) })
}
