//! From a record of Fluent Bit's to an inference.

use std::borrow::Cow;
use std::fmt;

use record::RecordDefaults;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer as _, de};
use serde_json::value::RawValue;

use super::{Event, malformed};
use crate::Observation;
use crate::sources::{Format, Refused};

/// Numbers above this are milliseconds, below it seconds: as seconds it lies 3 000 years ahead.
const MILLISECONDS_FROM: f64 = 1e11;

/// How Fluent Bit's records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What a record, or the text under [`Reading::record_key`], holds.
    pub format: Format,
    /// Key under which the inference stands, as text or as it is: `log` is where `tail` puts a line that it does not
    /// parse. A record without this key, or one that has `features` of its own, is the inference itself.
    pub record_key: String,
    /// Key of the time that Fluent Bit writes into records; used for those that don't say it under `ts`.
    pub time_key: String,
}

impl Default for Reading {
    fn default() -> Self {
        Self { format: Format::Record, record_key: "log".to_owned(), time_key: "date".to_owned() }
    }
}

impl Reading {
    /// The inferences of one record: one, or several when the text under the key holds several. A time that lies ahead
    /// of `now_ms` is taken for now.
    ///
    /// # Errors
    /// It holds none; the reason names no value.
    pub fn observe(
        &self,
        event: &Event<'_>,
        now_ms: i64,
        defaults: &RecordDefaults,
    ) -> Result<Vec<Observation>, Refused> {
        let outer = self.outer(&event.json)?;
        let at_ms = event.at_ms.or(outer.at_ms).unwrap_or(now_ms).min(now_ms);
        let inner = match outer.inner {
            Some(inner) if !(outer.has_features && self.format == Format::Record) => unwrapped(inner)?,
            _ => None,
        };
        self.format.read_as(inner.as_deref().unwrap_or(&event.json), at_ms, defaults)
    }

    fn outer<'a>(&self, json: &'a [u8]) -> Result<Outer<'a>, Refused> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let outer = reader.deserialize_map(Keys { reading: self });
        // The message of a wrong type would quote the value.
        outer
            .and_then(|outer| reader.end().map(|()| outer))
            .map_err(|error| malformed(format!("a record is no JSON object, at its byte {}", error.column())))
    }
}

/// The text or object under the key; anything else is not the inference.
fn unwrapped(inner: &RawValue) -> Result<Option<Cow<'_, [u8]>>, Refused> {
    let raw = inner.get();
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw)
            .map_err(|_| malformed("the text under the record's key is not valid"))?;
        return Ok(Some(Cow::Owned(text.into_bytes())));
    }
    Ok(raw.starts_with('{').then_some(Cow::Borrowed(raw.as_bytes())))
}

/// What we look at of a record.
#[derive(Default)]
struct Outer<'a> {
    has_features: bool,
    inner: Option<&'a RawValue>,
    at_ms: Option<i64>,
}

struct Keys<'r> {
    reading: &'r Reading,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Outer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outer = Outer::default();
        while let Some(key) = map.next_key_seed(Key)? {
            if key == self.reading.record_key {
                outer.inner = Some(map.next_value()?);
            } else if key == self.reading.time_key {
                outer.at_ms = time(map.next_value()?);
            } else {
                outer.has_features |= key == "features";
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(outer)
    }
}

/// A key, borrowed where it can be.
struct Key;

impl<'de> de::DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Every form of `json_date_format`: seconds with a fraction or without, milliseconds, ISO 8601, and Java's, which is
/// meant in UTC. `None` when it is none of them.
fn time(value: &RawValue) -> Option<i64> {
    let raw = value.get();
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).ok()?;
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(time.as_millisecond());
        }
        let written = format!("{}Z", text.replacen(' ', "T", 1));
        return written.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    }
    let number: f64 = raw.parse().ok()?;
    let ms = if number > MILLISECONDS_FROM { number } else { number * 1_000.0 };
    (ms >= 0.0 && ms.is_finite()).then(|| ms.round() as i64)
}
