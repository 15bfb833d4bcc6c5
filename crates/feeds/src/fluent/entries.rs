//! Entries: records in msgpack, each with its time.
//!
//! Two forms are in use: `[time, record]`, and since Fluent Bit 2 `[[time, metadata], record]`. A time is a number of
//! seconds or the extension `EventTime` (type 0: seconds and nanoseconds, 32 bits each). Fluent Bit writes groups as
//! entries whose times are -1 (begin) and -2 (end); they hold no record of ours.

use std::borrow::Cow;

use super::msgpack::{Broken, Cursor, Head};
use super::{Event, malformed, transcode};
use crate::sources::Refused;

/// The seconds of a group's begin and end as an unsigned number.
const GROUP_MARKS: std::ops::RangeInclusive<u32> = u32::MAX - 1..=u32::MAX;

/// Seconds that are no time of this calendar any more: the year 10000.
const SECONDS_MAX: f64 = 253_402_300_800.0;

/// Entries one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    cursor: Cursor<'a>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// As many as there are.
    Packed,
    /// One whose time and record stand beside each other.
    Single,
    Over,
}

impl<'a> Entries<'a> {
    /// Entries without anything around them.
    pub(crate) fn packed(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes), state: State::Packed }
    }

    /// One entry: a time, and the record after it.
    pub(crate) fn single(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes), state: State::Single }
    }

    fn over(&mut self, error: Broken) -> Refused {
        self.state = State::Over;
        malformed(format!("the rest of the chunk cannot be read: {error}"))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Event<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match self.state {
                State::Over => return None,
                State::Single => {
                    self.state = State::Over;
                    timed(&mut self.cursor)
                }
                State::Packed if self.cursor.is_at_end() => return None,
                State::Packed => match self.cursor.skip() {
                    Ok(value) => entry(value),
                    Err(error) => return Some(Err(self.over(error))),
                },
            };
            if let Some(found) = found.transpose() {
                return Some(found);
            }
        }
    }
}

fn entry(value: &[u8]) -> Result<Option<Event<'static>>, Refused> {
    let mut cursor = Cursor::new(value);
    match cursor.head() {
        Ok(Head::Array(items)) if items >= 2 => timed(&mut cursor),
        _ => Err(malformed("an entry is not an array of a time and a record")),
    }
}

/// A time and a record. `None`: the mark of a group.
fn timed(cursor: &mut Cursor<'_>) -> Result<Option<Event<'static>>, Refused> {
    let broken = |error: Broken| malformed(error.to_string());
    let mut head = Cursor::new(cursor.skip().map_err(broken)?);
    let time = match head.head().map_err(broken)? {
        Head::Array(items) if items >= 1 => time(head.head().map_err(broken)?)?,
        other => time(other)?,
    };
    let Time::At(at_ms) = time else { return Ok(None) };
    let record = cursor.skip().map_err(broken)?;
    Ok(Some(Event { at_ms, json: Cow::Owned(transcode::to_json(record)?) }))
}

enum Time {
    At(Option<i64>),
    Group,
}

fn time(head: Head<'_>) -> Result<Time, Refused> {
    let seconds = match head {
        Head::Nil => return Ok(Time::At(None)),
        Head::Unsigned(seconds) => seconds as f64,
        Head::Signed(seconds) => seconds as f64,
        Head::Float(seconds) => seconds,
        Head::Ext(0, &[a, b, c, d, e, f, g, h]) => {
            let seconds = u32::from_be_bytes([a, b, c, d]);
            if GROUP_MARKS.contains(&seconds) {
                return Ok(Time::Group);
            }
            let ms = u32::from_be_bytes([e, f, g, h]) / 1_000_000;
            return Ok(Time::At(Some(i64::from(seconds) * 1_000 + i64::from(ms))));
        }
        _ => return Err(malformed("the time of an entry is neither a number nor an `EventTime`")),
    };
    if seconds == -1.0 || seconds == -2.0 {
        return Ok(Time::Group);
    }
    let is_time = (0.0..SECONDS_MAX).contains(&seconds);
    Ok(Time::At(is_time.then(|| (seconds * 1_000.0).round() as i64)))
}
