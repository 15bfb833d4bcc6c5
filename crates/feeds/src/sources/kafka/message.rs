//! From a message to observations: what its key and headers say, and what its value holds.
//!
//! What a message says itself goes first, then its key and headers, then what the source is configured with.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use record::{Body, Exchange, Lane, RecordDefaults};

use super::{Field, KafkaFormat, KafkaSourceSpec};
use crate::Observation;
use crate::cloudevents::{Event, EventError, EventKind};
use crate::join::{Half, Joined, Joins};
use crate::sources::{Refused, Reject, SourceContext};

/// Longest key or header that is taken for a name or an id, bytes.
const FIELD_BYTES: usize = 256;

/// First byte of what clients of a schema registry send: an id of four bytes and a binary document follow.
const REGISTRY_MAGIC: u8 = 0;

/// A message, wherever it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
    /// Its timestamp, unix milliseconds.
    pub(crate) at_ms: Option<i64>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            key: message.key(),
            value: message.payload(),
            headers: headers.filter_map(|header| Some((header.key, header.value?))).collect(),
            at_ms: message.timestamp().to_millis(),
        }
    }

    /// The first header of a name, whatever its case.
    fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// What key and headers say.
#[derive(Debug, Default, PartialEq)]
struct Said {
    model: Option<String>,
    version: Option<String>,
    tenant: Option<String>,
    lane: Option<Lane>,
    request_id: Option<String>,
}

/// Reads messages of a source.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    spec: &'a KafkaSourceSpec,
    context: &'a SourceContext,
    joins: Joins,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(spec: &'a KafkaSourceSpec, context: &'a SourceContext) -> Self {
        Self { spec, context, joins: Joins::new(spec.join) }
    }

    /// What is to be counted now that this message is here.
    pub(crate) fn read(&self, message: &Incoming<'_>, now: Instant) -> Result<Vec<Observation>, Refused> {
        let value = message.value.ok_or_else(|| refused(Reject::Empty, "a tombstone"))?;
        if value.len() > self.spec.max_message_bytes {
            let limit = self.spec.max_message_bytes;
            return Err(refused(Reject::TooLarge, format!("a message is longer than {limit} bytes")));
        }
        let said = self.said(message)?;
        let clock = (self.context.clock)();
        // A clock that is ahead must not place observations in the future.
        let at_ms = message.at_ms.map_or(clock, |at_ms| at_ms.min(clock));
        match self.spec.format {
            KafkaFormat::Plain(_) if value.first() == Some(&REGISTRY_MAGIC) => {
                let why = "it is framed for a schema registry (first byte 0): only plain JSON is read";
                Err(refused(Reject::Malformed, why))
            }
            KafkaFormat::Plain(format) => {
                let id = said.request_id.clone();
                let mut observations = format.read_as(value, at_ms, &self.defaults(said))?;
                if let Some(id) = id {
                    observations.iter_mut().for_each(|one| name(one, &id));
                }
                Ok(observations)
            }
            KafkaFormat::CloudEvents => self.event(message, value, said, at_ms, now),
        }
    }

    /// Requests whose answer has not come in time.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Observation> {
        self.settled(self.joins.expire(now))
    }

    /// Whatever still waits: nothing more will come.
    pub(crate) fn finish(&self) -> Vec<Observation> {
        self.settled(self.joins.finish())
    }

    fn event(
        &self,
        message: &Incoming<'_>,
        value: &[u8],
        said: Said,
        at_ms: i64,
        now: Instant,
    ) -> Result<Vec<Observation>, Refused> {
        let attribute = |name: &str| {
            let Some(value) = message.header(&format!("ce_{name}")) else { return Ok(None) };
            let text = std::str::from_utf8(value);
            text.map(|text| Some(text.to_owned()))
                .map_err(|_| EventError::Bad(format!("header `ce_{name}` is not UTF-8")))
        };
        let event = Event::read(message.header("content-type"), attribute, Bytes::copy_from_slice(value))
            .map_err(|error| refused(Reject::Malformed, error.to_string()))?;
        let clock = (self.context.clock)();
        let at_ms = event.at_ms.map_or(at_ms, |at_ms| at_ms.min(clock));
        let mut body = event.body();
        if event.is_binary {
            body.content_encoding = message.header("content-encoding").map(Bytes::copy_from_slice);
        }
        let tenant_header = self.spec.headers.iter().find(|(field, _)| *field == Field::Tenant);
        let logged_tenant = tenant_header.and_then(|(_, name)| event.logged_header(name));
        let has_tenant = said.tenant.is_some();
        let defaults = self.defaults(said);
        let model = event.model.as_deref().map(Arc::from).or_else(|| defaults.model.clone());
        let Some(model) = model.filter(|model: &Arc<str>| model.len() <= FIELD_BYTES) else {
            let why = "an event names no model: map one to the key or a header, or give the source a `model`";
            return Err(refused(Reject::NoModel, why));
        };
        let half = match event.kind {
            EventKind::Answer => Half::Answer { body, at_ms },
            EventKind::Request => {
                let mut exchange = request(&model, &defaults, body, at_ms);
                if let Some(tenant) = logged_tenant.filter(|_| !has_tenant) {
                    exchange.tenant = Some(tenant);
                }
                exchange.request_id = Bytes::copy_from_slice(event.id.as_bytes());
                Half::Request(Box::new(exchange))
            }
        };
        Ok(self.settled(self.joins.add(&model, &event.id, half, now)))
    }

    fn settled(&self, settled: Vec<Joined>) -> Vec<Observation> {
        let mut observations = Vec::new();
        for joined in settled {
            match joined {
                Joined::Exchange(exchange) => observations.push(Observation::Exchange(exchange)),
                Joined::Unpaired(_) => self.context.counters.reject(Reject::Unpaired),
                Joined::Duplicate(_) => self.context.counters.reject(Reject::Duplicate),
            }
        }
        observations
    }

    /// What key and headers say. An empty one says nothing.
    fn said(&self, message: &Incoming<'_>) -> Result<Said, Refused> {
        let mut said = Said::default();
        let headers = self.spec.headers.iter();
        let headers = headers.map(|(field, name)| (*field, message.header(name), name.as_str()));
        let key = self.spec.key.map(|field| (field, message.key, ""));
        for (field, value, header) in headers.chain(key) {
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let wrong = |what: &str| {
                let place =
                    if header.is_empty() { "the key".to_owned() } else { format!("header `{header}`") };
                refused(Reject::Malformed, format!("{place} {what}"))
            };
            if value.len() > FIELD_BYTES {
                return Err(wrong(&format!("is longer than {FIELD_BYTES} bytes")));
            }
            let text = std::str::from_utf8(value).map_err(|_| wrong("is not UTF-8"))?;
            let place = match field {
                Field::Model => &mut said.model,
                Field::Version => &mut said.version,
                Field::Tenant => &mut said.tenant,
                Field::RequestId => &mut said.request_id,
                Field::Lane => {
                    let lane = match text {
                        "prod" => Lane::Prod,
                        "shadow" => Lane::Shadow,
                        _ => return Err(wrong("is no lane: expected `prod` or `shadow`")),
                    };
                    said.lane.get_or_insert(lane);
                    continue;
                }
            };
            place.get_or_insert_with(|| text.to_owned());
        }
        Ok(said)
    }

    fn defaults(&self, said: Said) -> RecordDefaults {
        let configured = &self.context.defaults;
        let first = |said: Option<String>, configured: &Option<Arc<str>>| {
            said.map(Arc::from).or_else(|| configured.clone())
        };
        RecordDefaults {
            model: first(said.model, &configured.model),
            version: first(said.version, &configured.version),
            tenant: first(said.tenant, &configured.tenant),
            lane: said.lane.unwrap_or(configured.lane),
        }
    }
}

/// A request whose answer is not known yet.
fn request(model: &Arc<str>, defaults: &RecordDefaults, body: Body, at_ms: i64) -> Exchange {
    Exchange {
        at_ms,
        model: Arc::clone(model),
        version: defaults.version.clone().unwrap_or_default(),
        lane: defaults.lane,
        tenant: defaults.tenant.as_deref().map(|tenant| Bytes::copy_from_slice(tenant.as_bytes())),
        request_id: Bytes::new(),
        status: 0,
        latency_ms: f64::NAN,
        first_byte_ms: None,
        path: Bytes::new(),
        headers: Vec::new(),
        request: body,
        response: Body::default(),
        pairing: record::Pairing::Unknown,
    }
}

/// Gives an inference that names none its request's id.
fn name(observation: &mut Observation, id: &str) {
    match observation {
        Observation::Record(record) => {
            record.request_id.get_or_insert_with(|| id.to_owned());
        }
        Observation::Exchange(exchange) if exchange.request_id.is_empty() => {
            exchange.request_id = Bytes::copy_from_slice(id.as_bytes());
        }
        Observation::Exchange(_) => {}
    }
}

fn refused(reason: Reject, message: impl Into<String>) -> Refused {
    Refused { reason, message: message.into() }
}
