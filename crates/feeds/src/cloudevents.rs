//! `CloudEvents` of inferences, as KServe's logger makes them: one for a request, one for its answer, joined by `id`.
//!
//! In binary mode the attributes stand beside the data, in headers of the carrier (`ce-id` in HTTP, `ce_id` in Kafka) and
//! the data is the bytes as they were; in structured mode all of it is one JSON object with `data` or `data_base64`. The
//! carrier reads its headers; everything else is here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use record::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

const REQUEST: &str = "org.kubeflow.serving.inference.request";
const RESPONSE: &str = "org.kubeflow.serving.inference.response";

/// Longest id, bytes.
const ID_BYTES: usize = 256;

/// Most of a value that a message repeats, characters.
const SHOWN: usize = 64;

/// Why something is no event of an inference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Several events in one message.
    #[error("batches of events are not taken: send one event a call")]
    Batch,
    /// What is wrong, and with which attribute.
    #[error("{0}")]
    Bad(String),
}

/// Which half of an inference an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The request.
    Request,
    /// The answer, which had status 200: others are not sent.
    Answer,
}

/// What we use of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same for a request and its answer.
    pub id: String,
    /// Which of them it is.
    pub kind: EventKind,
    /// The inference service.
    pub model: Option<String>,
    /// When it came, unix milliseconds.
    pub at_ms: Option<i64>,
    /// JSON of the request headers that the logger passes on: name to values.
    metadata: Option<String>,
    /// Of the data. `None` for an answer: the logger puts the request's there.
    content_type: Option<String>,
    /// The bytes that were sent to the model, or that it answered.
    pub data: Bytes,
    /// Whether the data came as the message's own body, so that its `content-` headers are the data's.
    pub is_binary: bool,
}

impl Event {
    /// Reads a message. `attribute` gives an attribute from the carrier's headers; it is not asked in structured mode.
    ///
    /// # Errors
    /// It is no event of an inference.
    pub fn read(
        content_type: Option<&[u8]>,
        attribute: impl Fn(&str) -> Result<Option<String>, EventError>,
        data: Bytes,
    ) -> Result<Self, EventError> {
        let media_type = content_type.unwrap_or_default().split(|byte| *byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        if media_type.eq_ignore_ascii_case(b"application/cloudevents+json") {
            return Structured::parse(&data)?.event();
        }
        if media_type.get(..24).is_some_and(|start| start.eq_ignore_ascii_case(b"application/cloudevents-")) {
            return Err(EventError::Batch);
        }
        let attributes = Attributes {
            specversion: attribute("specversion")?,
            id: attribute("id")?,
            kind: attribute("type")?,
            model: attribute("inferenceservicename")?,
            time: attribute("time")?,
            metadata: attribute("metadata")?,
            content_type: content_type.and_then(|kind| std::str::from_utf8(kind).ok()).map(str::to_owned),
        };
        attributes.event(data, true)
    }

    /// The data as a body.
    pub fn body(&self) -> Body {
        let mut body = Body::complete(self.data.clone());
        body.content_type = self.content_type.as_deref().map(|kind| Bytes::copy_from_slice(kind.as_bytes()));
        body
    }

    /// A header of the request, where the logger passes it on, whatever the case of its name.
    pub fn logged_header(&self, name: &str) -> Option<Bytes> {
        let headers: BTreeMap<String, Vec<String>> = serde_json::from_str(self.metadata.as_deref()?).ok()?;
        let (_, values) = headers.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        if values.is_empty() { None } else { Some(Bytes::from(values.join(","))) }
    }
}

/// The attributes, from wherever they came.
#[derive(Debug, Default)]
struct Attributes {
    specversion: Option<String>,
    id: Option<String>,
    kind: Option<String>,
    model: Option<String>,
    time: Option<String>,
    metadata: Option<String>,
    content_type: Option<String>,
}

impl Attributes {
    fn event(self, data: Bytes, is_binary: bool) -> Result<Event, EventError> {
        let specversion = needed(self.specversion, "specversion")?;
        if !specversion.starts_with("1.") {
            return Err(bad(format!("`specversion` is `{}`: expected `1.0`", shown(&specversion))));
        }
        let id = needed(self.id, "id")?;
        if id.len() > ID_BYTES {
            return Err(bad(format!("`id` has {} bytes: at most {ID_BYTES} are allowed", id.len())));
        }
        let kind = match needed(self.kind, "type")?.as_str() {
            REQUEST => EventKind::Request,
            RESPONSE => EventKind::Answer,
            other => {
                let message = format!("`type` is `{}`: expected `{REQUEST}` or `{RESPONSE}`", shown(other));
                return Err(bad(message));
            }
        };
        let time = self.time.as_deref().map(|time| {
            time.parse::<jiff::Timestamp>()
                .map_err(|_| bad(format!("`time` is `{}`: expected RFC 3339", shown(time))))
        });
        Ok(Event {
            id,
            kind,
            model: self.model.filter(|model| !model.is_empty()),
            at_ms: time.transpose()?.map(jiff::Timestamp::as_millisecond),
            metadata: self.metadata,
            content_type: self.content_type.filter(|_| kind == EventKind::Request),
            data,
            is_binary,
        })
    }
}

fn needed(value: Option<String>, name: &str) -> Result<String, EventError> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
}

/// An attribute that has to be there is not.
pub fn missing(name: &str) -> EventError {
    bad(format!("attribute `{name}` is missing (a header in binary mode, a key in structured mode)"))
}

/// An event in structured mode. Attributes that we don't use are ignored.
#[derive(Debug, Deserialize)]
struct Structured<'a> {
    specversion: Option<String>,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    inferenceservicename: Option<String>,
    time: Option<String>,
    metadata: Option<String>,
    datacontenttype: Option<String>,
    /// As written: numbers stay what they were.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

impl<'a> Structured<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, EventError> {
        serde_json::from_slice(bytes).map_err(|error| {
            // The message of a wrong type quotes the value; only the place is repeated.
            bad(format!("not a CloudEvent in JSON, at line {} column {}", error.line(), error.column()))
        })
    }

    fn event(self) -> Result<Event, EventError> {
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => return Err(bad("both `data` and `data_base64` are given")),
            (None, None) => return Err(bad("neither `data` nor `data_base64` is given")),
            (None, Some(text)) => {
                STANDARD.decode(text).map_err(|error| bad(format!("`data_base64`: {error}")))?.into()
            }
            (Some(data), None) => plain(data, self.datacontenttype.as_deref())?,
        };
        let attributes = Attributes {
            specversion: self.specversion,
            id: self.id,
            kind: self.kind,
            model: self.inferenceservicename,
            time: self.time,
            metadata: self.metadata,
            content_type: self.datacontenttype,
        };
        attributes.event(data, false)
    }
}

/// `data` is JSON unless the event says that it is of another type; then a string holds the text itself.
fn plain(data: &RawValue, content_type: Option<&str>) -> Result<Bytes, EventError> {
    let is_json = content_type.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind.is_empty() || kind.ends_with("/json") || kind.ends_with("+json")
    });
    if is_json || !data.get().starts_with('"') {
        return Ok(Bytes::copy_from_slice(data.get().as_bytes()));
    }
    serde_json::from_str::<String>(data.get()).map(Bytes::from).map_err(|_| bad("`data` is not valid text"))
}

fn bad(message: impl Into<String>) -> EventError {
    EventError::Bad(message.into())
}

/// The beginning of a value, safe to repeat in a message.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).filter(|char| !char.is_control()).collect()
}

#[cfg(test)]
#[path = "cloudevents_tests.rs"]
mod tests;
