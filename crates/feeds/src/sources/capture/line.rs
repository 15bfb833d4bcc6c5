//! A line of a capture file: one call of an endpoint.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use record::{Body, Exchange, Lane, Pairing, RecordDefaults};
use serde::Deserialize;

use crate::sources::counters::Reject;
use crate::sources::format::Refused;

/// Where the model's decoder takes it from.
const PATH: &[u8] = b"/invocations";

/// What is not in the line.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) defaults: &'a RecordDefaults,
    pub(crate) version: Arc<str>,
    pub(crate) lane: Lane,
    /// Key of the tenant in the custom attributes.
    pub(crate) tenant_attribute: &'a str,
    /// The time of a line that has none, and the latest that one can have; unix milliseconds.
    pub(crate) now_ms: i64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "captureData")]
    data: Data<'a>,
    #[serde(borrow, default, rename = "eventMetadata")]
    event: Event<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "endpointInput")]
    input: Option<Side<'a>>,
    #[serde(borrow, rename = "endpointOutput")]
    output: Option<Side<'a>>,
}

#[derive(Deserialize)]
struct Side<'a> {
    #[serde(borrow, default, rename = "observedContentType")]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow, default)]
    encoding: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "eventId")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "inferenceId")]
    inference_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "inferenceTime")]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "customAttributes")]
    attributes: Option<Attributes<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Attributes<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

/// Reads a line.
///
/// # Errors
/// It is none of a capture file, or has an answer without its request. Says where, never what stood there.
pub(crate) fn read(line: &[u8], setting: &Setting<'_>) -> Result<Exchange, Refused> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(Refused { reason: Reject::Empty, message: "nothing in it".to_owned() });
    }
    let read: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        // The library's own words may repeat a value.
        let kind = if error.is_data() { "not a line of a capture file" } else { "not JSON" };
        malformed(format!("{kind}, at byte {} of the line", error.column()))
    })?;
    let Some(model) = setting.defaults.model.clone() else {
        let message = "a capture file names no model: give the source a `model`".to_owned();
        return Err(Refused { reason: Reject::NoModel, message });
    };
    let (request, response) = match (read.data.input, read.data.output) {
        (None, None) => return Err(malformed("neither `endpointInput` nor `endpointOutput`".to_owned())),
        (None, Some(_)) => {
            let message = "an answer without its request: let the endpoint capture both".to_owned();
            return Err(Refused { reason: Reject::Unpaired, message });
        }
        (Some(input), output) => (input, output),
    };
    // As where only requests are copied: an answer that nobody knows has no status.
    let status = if response.is_some() { 200 } else { 0 };
    let response = response.map_or_else(|| Ok(Body::default()), |side| body(side, "endpointOutput"))?;
    let Event { id, inference_id, time, attributes } = read.event;
    let tenant = attributes.as_ref().and_then(|all| tenant(all, setting.tenant_attribute));
    let tenant = tenant.or(setting.defaults.tenant.as_deref());
    let time =
        time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_millisecond);
    let request_id = inference_id.or(id).unwrap_or_default();
    Ok(Exchange {
        at_ms: time.filter(|time| *time >= 0).map_or(setting.now_ms, |time| time.min(setting.now_ms)),
        model,
        version: Arc::clone(&setting.version),
        lane: setting.lane,
        tenant: tenant.map(|tenant| Bytes::copy_from_slice(tenant.as_bytes())),
        request_id: Bytes::copy_from_slice(request_id.as_bytes()),
        status,
        latency_ms: f64::NAN,
        first_byte_ms: None,
        headers: Vec::new(),
        path: Bytes::from_static(PATH),
        request: body(request, "endpointInput")?,
        response,
        pairing: Pairing::Unknown,
    })
}

fn malformed(message: String) -> Refused {
    Refused { reason: Reject::Malformed, message }
}

fn body(side: Side<'_>, name: &str) -> Result<Body, Refused> {
    let encoding = side.encoding.as_deref().unwrap_or("BASE64");
    let (bytes, usual) = match encoding {
        "CSV" => (side.data.into_owned().into_bytes(), Some("text/csv")),
        "JSON" => (side.data.into_owned().into_bytes(), Some("application/json")),
        "BASE64" => {
            let decoded = STANDARD.decode(side.data.as_bytes());
            (decoded.map_err(|_| malformed(format!("`{name}.data` is no BASE64")))?, None)
        }
        _ => return Err(malformed(format!("`{name}.encoding` is none of CSV, JSON and BASE64"))),
    };
    let content_type = side.content_type.as_deref().filter(|text| !text.is_empty()).or(usual);
    Ok(Body {
        content_type: content_type.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        ..Body::complete(bytes)
    })
}

/// The value of a key in `k=v` attributes; callers put several into one text as well.
fn tenant<'a>(attributes: &'a Attributes<'_>, key: &str) -> Option<&'a str> {
    let texts = match attributes {
        Attributes::One(text) => std::slice::from_ref(text),
        Attributes::Many(texts) => texts,
    };
    texts
        .iter()
        .flat_map(|text| text.split([',', ';']))
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(key))
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_json(line: &Value) -> Result<Exchange, Refused> {
        let defaults = RecordDefaults { model: Some(Arc::from("fraud")), ..RecordDefaults::default() };
        let setting = Setting {
            defaults: &defaults,
            version: Arc::from("AllTraffic"),
            lane: Lane::Prod,
            tenant_attribute: "tenant",
            now_ms: 4_000_000_000_000,
        };
        read(line.to_string().as_bytes(), &setting)
    }

    fn captured() -> Value {
        json!({
            "captureData": {
                "endpointInput": { "observedContentType": "text/csv", "mode": "INPUT", "data": "132,25,113.2", "encoding": "CSV" },
                "endpointOutput": { "observedContentType": "text/csv; charset=utf-8", "mode": "OUTPUT", "data": "MC4wMTE2", "encoding": "BASE64" },
            },
            "eventMetadata": {
                "eventId": "8f45e35c", "inferenceId": "r-42", "customAttributes": ["trace=1;tenant=acme"],
                "inferenceTime": "2026-07-30T13:36:30Z",
            },
            "eventVersion": "0",
        })
    }

    #[test]
    fn a_line_is_an_exchange() {
        let exchange = read_json(&captured()).unwrap();
        assert_eq!(exchange.request.chunks, [Bytes::from_static(b"132,25,113.2")]);
        assert_eq!(exchange.response.chunks, [Bytes::from_static(b"0.0116")]);
        assert_eq!(exchange.response.content_type.as_deref(), Some(&b"text/csv; charset=utf-8"[..]));
        assert_eq!(exchange.tenant.as_deref(), Some(&b"acme"[..]));
        assert_eq!((&exchange.request_id[..], exchange.status), (&b"r-42"[..], 200));
        assert_eq!(exchange.at_ms, 1_785_418_590_000);
    }

    #[test]
    fn a_request_alone_is_measured_and_an_answer_alone_is_not() {
        let mut line = captured();
        let data = line["captureData"].as_object_mut().unwrap();
        let input = data.remove("endpointInput").unwrap();
        let output = data.clone();
        assert_eq!(read_json(&line).unwrap_err().reason, Reject::Unpaired);
        line["captureData"] = json!({ "endpointInput": input });
        let exchange = read_json(&line).unwrap();
        assert_eq!((exchange.status, exchange.response.captured_bytes()), (0, 0));
        assert!(output.contains_key("endpointOutput"));
    }

    #[test]
    fn what_is_no_line_is_refused_without_a_word_of_it() {
        let mut wrong = vec![json!({}), json!([]), json!({ "captureData": {} }), json!("secret")];
        for (place, value) in
            [("data", json!({ "secret": 1 })), ("encoding", json!("secret")), ("data", json!("secret!"))]
        {
            let mut line = captured();
            line["captureData"]["endpointOutput"][place] = value;
            wrong.push(line);
        }
        for line in wrong {
            let refused = read_json(&line).unwrap_err();
            assert_eq!(refused.reason, Reject::Malformed, "{line}");
            assert!(!refused.message.contains("secret"), "{refused:?}");
        }
    }

    #[test]
    fn what_need_not_be_there_need_not() {
        let exchange = read_json(&json!({ "captureData": { "endpointInput": { "data": "MQ==" } } })).unwrap();
        assert_eq!(exchange.request.chunks, [Bytes::from_static(b"1")]);
        assert_eq!((exchange.at_ms, exchange.tenant), (4_000_000_000_000, None));
    }
}
