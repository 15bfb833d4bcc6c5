//! Reading records.
//!
//! With the decoders' own reader: a record from outside deserves the same limits as a body, and a number over the range
//! of an `f64` must become a missing value instead of refusing a whole file. Names of keys and features stand in the
//! messages, values never.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FeatureValue, PREDICTION, Record};
use crate::Lane;
use crate::decode::{JsonReader as Reader, Kind, Number, ReadError, Scalar};

type Result<T> = std::result::Result<T, RecordError>;

/// Bytes of a name that a message quotes.
const QUOTED_BYTES: usize = 64;

/// Records that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct RecordError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

/// What a body of records may hold; over a limit it is refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Records of a body. Default 10 000.
    pub max_records: usize,
    /// Features of a record; predictions alike. Default 1 000.
    pub max_features: usize,
    /// Bytes of a name. Default 256.
    pub max_name_bytes: usize,
    /// Bytes of a text. Default 64 KiB.
    pub max_text_bytes: usize,
    /// Arrays and objects inside each other, at most 64. Default 32.
    pub max_depth: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            max_records: 10_000,
            max_features: 1_000,
            max_name_bytes: 256,
            max_text_bytes: 64 << 10,
            max_depth: 32,
        }
    }
}

/// What records belong to when they don't say it themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordDefaults {
    /// Their model; without it a record has to name one.
    pub model: Option<Arc<str>>,
    /// Their version.
    pub version: Option<Arc<str>>,
    /// Their tenant.
    pub tenant: Option<Arc<str>>,
    /// Their lane; prod unless said.
    pub lane: Lane,
}

impl RecordDefaults {
    fn record(&self) -> Record {
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        Record {
            model: text(&self.model).unwrap_or_default(),
            version: text(&self.version),
            tenant: text(&self.tenant),
            lane: self.lane,
            ..Record::default()
        }
    }
}

/// See [`Record::parse_many_with`].
pub(crate) fn parse_many(
    body: &[u8],
    limits: &RecordLimits,
    defaults: &RecordDefaults,
) -> Result<Vec<Record>> {
    let mut parser = Parser { body, limits, defaults, reader: Reader::new(body, limits.max_depth) };
    let mut records = Vec::new();
    if parser.at_end()? {
        return Err(parser.error("the body is empty: expected a record, an array of records or JSON lines"));
    }
    if parser.kind()? != Kind::Array {
        while !parser.at_end()? {
            parser.record(&mut records)?;
        }
        return Ok(records);
    }
    let mut first = parser.take(Reader::array)?;
    while parser.take(|reader| reader.next_element(&mut first))? {
        parser.record(&mut records)?;
    }
    if !parser.at_end()? {
        return Err(parser.error("expected the end of the body after the array of records"));
    }
    Ok(records)
}

struct Parser<'a, 'l> {
    body: &'a [u8],
    limits: &'l RecordLimits,
    defaults: &'l RecordDefaults,
    reader: Reader<'a>,
}

impl<'a> Parser<'a, '_> {
    /// Reads one record onto the list.
    fn record(&mut self, records: &mut Vec<Record>) -> Result<()> {
        if self.kind()? != Kind::Object {
            let found = self.kind()?.described();
            return Err(self.error(&format!("expected a record, found {found}")));
        }
        if records.len() >= self.limits.max_records {
            let max = self.limits.max_records;
            return Err(self.error(&format!("more than {max} records: send them in several bodies")));
        }
        let start = self.reader;
        let mut record = self.defaults.record();
        let (mut has_model, mut has_features) = (self.defaults.model.is_some(), false);
        let mut first = self.take(Reader::object)?;
        while let Some(key) = self.take(|reader| reader.next_key(&mut first))? {
            self.member(&key, &mut record)?;
            has_model |= key == "model";
            has_features |= key == "features";
        }
        for (has, key) in [(has_model, "model"), (has_features, "features")] {
            if !has {
                self.reader = start;
                return Err(self.error(&format!("the record has no `{key}`")));
            }
        }
        records.push(record);
        Ok(())
    }

    fn member(&mut self, key: &str, record: &mut Record) -> Result<()> {
        match key {
            "ts" => record.ts = self.time()?,
            "model" => record.model = self.model()?,
            "version" => record.version = self.text(key)?,
            "lane" => record.lane = self.lane()?,
            "tenant" => record.tenant = self.text(key)?,
            "request_id" => record.request_id = self.text(key)?,
            "status" => record.status = self.integer(key)?,
            "latency_ms" => record.latency_ms = self.latency()?,
            "features" => record.features = self.features()?,
            "prediction" => record.prediction = self.prediction()?,
            "request_bytes" => record.request_bytes = self.integer(key)?,
            "response_bytes" => record.response_bytes = self.integer(key)?,
            _ => self.take(Reader::skip_value)?,
        }
        Ok(())
    }

    fn model(&mut self) -> Result<String> {
        let at = self.value_start()?;
        match self.text("model")? {
            Some(model) if !model.is_empty() => Ok(model),
            _ => Err(self.error_at(at, "`model` is empty: expected the model's name")),
        }
    }

    fn lane(&mut self) -> Result<Lane> {
        let at = self.value_start()?;
        match self.text("lane")?.as_deref() {
            None | Some("prod") => Ok(Lane::Prod),
            Some("shadow") => Ok(Lane::Shadow),
            Some(_) => Err(self.error_at(at, "`lane` is neither `prod` nor `shadow`")),
        }
    }

    fn time(&mut self) -> Result<Option<i64>> {
        let at = self.value_start()?;
        let Some(text) = self.text("ts")? else {
            return Ok(None);
        };
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Some(time.as_millisecond())),
            Err(_) => Err(self.error_at(at, "`ts` is no RFC 3339 time like `2026-01-31T12:00:00.123Z`")),
        }
    }

    /// A string or null.
    fn text(&mut self, key: &str) -> Result<Option<String>> {
        let at = self.value_start()?;
        match self.kind()? {
            Kind::Null => self.take(Reader::skip_value).map(|()| None),
            Kind::String => {
                let text = self.take(Reader::string)?;
                if text.raw_len() > self.limits.max_text_bytes {
                    let max = self.limits.max_text_bytes;
                    return Err(self.error_at(at, &format!("`{key}` has more than {max} bytes")));
                }
                Ok(Some(text.resolved().into_owned()))
            }
            other => Err(self.error(&format!("`{key}` is {}: expected a string", other.described()))),
        }
    }

    /// A number or null.
    fn number(&mut self, key: &str) -> Result<Option<Number>> {
        match self.kind()? {
            Kind::Null => self.take(Reader::skip_value).map(|()| None),
            Kind::Number => match self.take(Reader::scalar)? {
                Scalar::Number(number) => Ok(Some(number)),
                _ => Ok(None),
            },
            other => Err(self.error(&format!("`{key}` is {}: expected a number", other.described()))),
        }
    }

    /// A whole number from 0, or null.
    fn integer<T: TryFrom<u64>>(&mut self, key: &str) -> Result<Option<T>> {
        let at = self.value_start()?;
        let Some(number) = self.number(key)? else {
            return Ok(None);
        };
        let whole = number.value >= 0.0 && number.value.fract() == 0.0 && number.inexact_integer.is_none();
        match T::try_from(number.value as u64) {
            Ok(integer) if whole => Ok(Some(integer)),
            _ => Err(self.error_at(at, &format!("`{key}` is no whole number in range"))),
        }
    }

    fn latency(&mut self) -> Result<Option<f64>> {
        let at = self.value_start()?;
        match self.number("latency_ms")? {
            Some(number) if number.value >= 0.0 && number.value.is_finite() => Ok(Some(number.value)),
            Some(_) => Err(self.error_at(at, "`latency_ms` is negative or out of range")),
            None => Ok(None),
        }
    }

    fn features(&mut self) -> Result<BTreeMap<String, FeatureValue>> {
        match self.kind()? {
            Kind::Object => self.values("feature"),
            other => Err(self.error(&format!("`features` is {}: expected an object", other.described()))),
        }
    }

    /// An object, one value or null.
    fn prediction(&mut self) -> Result<BTreeMap<String, FeatureValue>> {
        match self.kind()? {
            Kind::Object => self.values("prediction"),
            Kind::Null => self.take(Reader::skip_value).map(|()| BTreeMap::new()),
            _ => {
                let value = self.value("prediction", PREDICTION)?;
                Ok(BTreeMap::from([(PREDICTION.to_owned(), value)]))
            }
        }
    }

    fn values(&mut self, what: &str) -> Result<BTreeMap<String, FeatureValue>> {
        let mut values = BTreeMap::new();
        let mut first = self.take(Reader::object)?;
        while let Some(name) = self.take(|reader| reader.next_key(&mut first))? {
            if name.is_empty() {
                return Err(self.error(&format!("a {what} without a name")));
            }
            if name.len() > self.limits.max_name_bytes {
                let max = self.limits.max_name_bytes;
                return Err(self.error(&format!("a {what}'s name has more than {max} bytes")));
            }
            let value = self.value(what, &name)?;
            values.insert(name.into_owned(), value);
            if values.len() > self.limits.max_features {
                let max = self.limits.max_features;
                return Err(self.error(&format!("more than {max} {what}s in a record")));
            }
        }
        Ok(values)
    }

    fn value(&mut self, what: &str, name: &str) -> Result<FeatureValue> {
        let at = self.value_start()?;
        let kind = self.kind()?;
        if matches!(kind, Kind::Object | Kind::Array) {
            let (name, kind) = (quoted(name), kind.described());
            return Err(self.error(&format!(
                "{what} `{name}` is {kind}: expected a number, a string, a boolean or null"
            )));
        }
        match self.take(Reader::scalar)? {
            Scalar::Number(number) if number.value.is_finite() => Ok(number_or_card(number)),
            // Counted as not readable where the record is counted.
            Scalar::Number(number) => Ok(FeatureValue::Number(number.value)),
            Scalar::Null => Ok(FeatureValue::Null),
            Scalar::Bool(value) => Ok(FeatureValue::Bool(value)),
            Scalar::Text(text) if text.raw_len() > self.limits.max_text_bytes => {
                let (name, max) = (quoted(name), self.limits.max_text_bytes);
                Err(self.error_at(at, &format!("{what} `{name}` has more than {max} bytes")))
            }
            Scalar::Text(text) => Ok(FeatureValue::Text(text.resolved().into_owned())),
        }
    }

    fn kind(&mut self) -> Result<Kind> {
        self.take(Reader::kind)
    }

    fn at_end(&mut self) -> Result<bool> {
        self.take(Reader::at_end)
    }

    /// Where the next value starts.
    fn value_start(&mut self) -> Result<usize> {
        self.kind()?;
        Ok(self.reader.position())
    }

    /// Does a step of the reader and gives its error a line and a column.
    fn take<T>(
        &mut self,
        step: impl FnOnce(&mut Reader<'a>) -> std::result::Result<T, ReadError>,
    ) -> Result<T> {
        step(&mut self.reader).map_err(|error| self.error_at(error.at, &error.problem))
    }

    fn error(&self, problem: &str) -> RecordError {
        self.error_at(self.reader.position(), problem)
    }

    fn error_at(&self, at: usize, problem: &str) -> RecordError {
        let before = self.body.get(..at).unwrap_or(self.body);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        RecordError { line, column, problem: problem.to_owned() }
    }
}

/// A number. What may be a card's keeps the digits that an `f64` would lose.
fn number_or_card(number: Number) -> FeatureValue {
    match number.long_card() {
        Some(card) => FeatureValue::Card(card),
        None => FeatureValue::Number(number.value),
    }
}

/// A name for a message, at most [`QUOTED_BYTES`] long and without control characters.
fn quoted(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars() {
        if shown.len() + c.len_utf8() > QUOTED_BYTES {
            shown.push('…');
            break;
        }
        shown.push(if c.is_control() { '\u{fffd}' } else { c });
    }
    shown
}
