//! The inference record: one inference in the public form.
//!
//! Files, `POST /api/v1/observe`, Kafka and Loki all carry this form, one JSON object an inference. Only `model` and
//! `features` are required on the way in; unknown keys are ignored, because other programs add their own.

mod line;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

pub use line::LineWriter;
pub use parse::{RecordDefaults, RecordError, RecordLimits};

use crate::{Cell, CellValue, Decoded, Exchange, Lane, Unreadable};

/// The prediction's name when there is only one, and what the names of several begin with.
const PREDICTION: &str = "prediction";

/// The value of a feature or prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FeatureValue {
    /// A finite number.
    Number(f64),
    /// A whole number over 2^53 that reads like a payment card's, to its last digit.
    Card(u64),
    /// A category.
    Text(String),
    /// A category as well: `true` or `false`.
    Bool(bool),
    /// Missing.
    Null,
}

/// One inference.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Record {
    /// When it was served, unix milliseconds; RFC 3339 on the wire.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time")]
    pub ts: Option<i64>,
    /// The model's name.
    pub model: String,
    /// The version that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Prod or shadow; prod when not said.
    pub lane: Lane,
    /// The tenant, unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The request's id; the rows of a batch share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// HTTP status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Time to the answer's last byte, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// The features by name.
    pub features: BTreeMap<String, FeatureValue>,
    /// The predictions by name, without the `prediction.` that names in metrics begin with.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prediction: BTreeMap<String, FeatureValue>,
    /// Bytes of the request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// Bytes of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
}

impl Record {
    /// Reads one record, an array of records or JSON lines: all of them or none.
    ///
    /// # Errors
    /// When the body is not that; the error says line, column and what to change.
    pub fn parse_many(body: &[u8], limits: &RecordLimits) -> Result<Vec<Self>, RecordError> {
        parse::parse_many(body, limits, &RecordDefaults::default())
    }

    /// Like [`Record::parse_many`]; what records don't say about themselves is taken from `defaults`.
    ///
    /// # Errors
    /// As there.
    pub fn parse_many_with(
        body: &[u8],
        limits: &RecordLimits,
        defaults: &RecordDefaults,
    ) -> Result<Vec<Self>, RecordError> {
        parse::parse_many(body, limits, defaults)
    }

    /// Appends the record as one line of JSON, without a line break at its end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let written = serde_json::to_writer(out, self);
        debug_assert!(written.is_ok(), "a record has only string keys, and writing to memory cannot fail");
    }

    /// Writes the record as the only row of `into`, which is cleared first.
    ///
    /// A single prediction is called `prediction`, several `prediction.NAME`. What may be a payment card's number is text,
    /// for privacy to find, when `cards` are looked for, and a number like others when not.
    pub fn fill(&self, into: &mut Decoded, cards: bool) {
        into.clear();
        for (name, value) in &self.features {
            let value = keep(value, into, cards);
            let name = into.intern(name);
            into.push_feature(0, name, value);
        }
        for (name, value) in &self.prediction {
            let value = keep(value, into, cards);
            let name = match self.prediction.len() {
                1 => into.intern(PREDICTION),
                _ => into.intern_with(|text| text.extend([PREDICTION, ".", name])),
            };
            into.push_prediction(0, name, value);
        }
    }

    /// The records of a decoded exchange, one a row of features.
    pub fn from_decoded(exchange: &Exchange, decoded: &Decoded) -> Vec<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let row = Self {
            ts: Some(exchange.at_ms),
            model: exchange.model.as_ref().to_owned(),
            version: Some(exchange.version.as_ref().to_owned()),
            lane: exchange.lane,
            tenant: exchange.tenant.as_deref().map(text),
            request_id: Some(text(&exchange.request_id)).filter(|id| !id.is_empty()),
            status: Some(exchange.status),
            latency_ms: Some(exchange.latency_ms),
            request_bytes: Some(exchange.request.total_bytes),
            response_bytes: Some(exchange.response.total_bytes),
            ..Self::default()
        };
        let mut records = vec![row; decoded.feature_rows() as usize];
        for cell in decoded.features() {
            if let Some(record) = records.get_mut(cell.row as usize) {
                record.features.insert(cell.name.to_owned(), cell.value.into());
            }
        }
        for cell in decoded.predictions() {
            if let Some(record) = records.get_mut(cell.row as usize) {
                let name = cell.name.strip_prefix(PREDICTION).and_then(|rest| rest.strip_prefix('.'));
                record.prediction.insert(name.unwrap_or(cell.name).to_owned(), cell.value.into());
            }
        }
        records
    }
}

impl From<Cell<'_>> for FeatureValue {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Number(number) => Self::Number(number),
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Missing => Self::Null,
        }
    }
}

fn keep(value: &FeatureValue, into: &mut Decoded, cards: bool) -> CellValue {
    match value {
        FeatureValue::Number(number) if number.is_finite() => CellValue::Number(*number),
        FeatureValue::Number(_) => into.not_read(Unreadable::NotFinite),
        FeatureValue::Card(number) if cards => CellValue::Text(into.intern_card(*number)),
        FeatureValue::Card(number) => CellValue::Number(*number as f64),
        FeatureValue::Text(text) => CellValue::Text(into.intern(text)),
        FeatureValue::Bool(value) => CellValue::Text(into.intern(if *value { "true" } else { "false" })),
        FeatureValue::Null => CellValue::Missing,
    }
}

/// RFC 3339 in UTC; a time outside the calendar (years -9999 to 9999) is written as null.
fn write_time<S: Serializer>(ts: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ts.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        Some(time) => serializer.collect_str(&time),
        None => serializer.serialize_none(),
    }
}
