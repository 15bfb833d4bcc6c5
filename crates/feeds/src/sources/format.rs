//! What a message, a line or a file's row holds.

use bytes::Bytes;
use record::{Body, Exchange, Record, RecordDefaults, RecordLimits};

use super::SourceContext;
use super::counters::Reject;
use crate::Observation;

/// How what a source brings is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Inference records: one, an array, or JSON lines.
    #[default]
    Record,
    /// Any JSON, read by the model's own `features` and `prediction` paths, both in the one document.
    Json,
}

/// Why something could not be read; `message` says where, never what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it is counted under.
    pub reason: Reject,
    /// Place and problem.
    pub message: String,
}

impl Format {
    /// Reads one message. `at_ms` is its time when it says none.
    ///
    /// # Errors
    /// It is not in this format; then nothing of it is counted.
    pub fn read(self, body: &[u8], at_ms: i64, context: &SourceContext) -> Result<Vec<Observation>, Refused> {
        self.read_as(body, at_ms, &context.defaults)
    }

    /// Like [`Format::read`], for what comes in by other ways than a source.
    ///
    /// # Errors
    /// As there.
    pub fn read_as(
        self,
        body: &[u8],
        at_ms: i64,
        defaults: &RecordDefaults,
    ) -> Result<Vec<Observation>, Refused> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Refused { reason: Reject::Empty, message: "nothing in it".to_owned() });
        }
        match self {
            Self::Record => records(body, at_ms, defaults),
            Self::Json => document(body, at_ms, defaults).map(|one| vec![one]),
        }
    }
}

fn records(body: &[u8], at_ms: i64, defaults: &RecordDefaults) -> Result<Vec<Observation>, Refused> {
    let records = Record::parse_many_with(body, &RecordLimits::default(), defaults);
    let records =
        records.map_err(|error| Refused { reason: Reject::Malformed, message: error.to_string() })?;
    Ok(records
        .into_iter()
        .map(|mut record| {
            record.ts.get_or_insert(at_ms);
            Observation::Record(Box::new(record))
        })
        .collect())
}

fn document(body: &[u8], at_ms: i64, defaults: &RecordDefaults) -> Result<Observation, Refused> {
    let Some(model) = defaults.model.clone() else {
        let message = "a document of this format names no model: give the source a `model`".to_owned();
        return Err(Refused { reason: Reject::NoModel, message });
    };
    let bytes = Bytes::copy_from_slice(body);
    let json = || Body {
        content_type: Some(Bytes::from_static(b"application/json")),
        ..Body::complete(bytes.clone())
    };
    Ok(Observation::Exchange(Box::new(Exchange {
        at_ms,
        model,
        version: defaults.version.clone().unwrap_or_default(),
        lane: defaults.lane,
        tenant: defaults.tenant.as_deref().map(|tenant| Bytes::copy_from_slice(tenant.as_bytes())),
        request_id: Bytes::new(),
        status: 200,
        latency_ms: f64::NAN,
        first_byte_ms: None,
        headers: Vec::new(),
        path: Bytes::new(),
        request: json(),
        response: json(),
        pairing: record::Pairing::Unknown,
    })))
}
