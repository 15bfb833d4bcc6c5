//! Tests of the decoders from outside: bodies in, cells out.

mod binary;
mod compressed;
mod frames;
mod grpc;
mod hostile;
mod json;
mod kserve;
mod layouts;
mod llm;
mod messages;
mod openai;
mod pages;
mod properties;
mod prose;
mod sagemaker;
mod vertex;

use std::sync::Arc;

use super::tensors::{Scratch, Tensor};
use super::*;
use crate::{Body, Cell, CellValue, DecodedCell, Lane, Privacy};

/// Cells as text: one line a cell, `row name value`, sorted by row and name.
fn shown<'a>(cells: impl Iterator<Item = DecodedCell<'a>>) -> Vec<String> {
    let mut cells: Vec<_> = cells.collect();
    cells.sort_by(|a, b| (a.row, a.name).cmp(&(b.row, b.name)));
    let show = |cell: &DecodedCell<'_>| match cell.value {
        Cell::Number(number) => format!("{} {} {number}", cell.row, cell.name),
        Cell::Text(text) => format!("{} {} `{text}`", cell.row, cell.name),
        Cell::Missing => format!("{} {} -", cell.row, cell.name),
    };
    cells.iter().map(show).collect()
}

fn spec(protocol: Protocol) -> DecoderSpec {
    let privacy = Arc::new(Privacy::off());
    DecoderSpec { protocol, privacy, ..DecoderSpec::default() }
}

/// A decoder that shows what it reads: what privacy makes of it is a matter of its own.
fn plain() -> Decoder {
    Decoder::new(spec(Protocol::Auto))
}

#[test]
fn nothing_that_is_decoded_shows_personal_data() {
    let mut decoder = Decoder::default();
    let (mut into, request) = (Decoded::new(), br#"{"who":"alice@example.org"}"#);
    decoder.decode_request(b"/", request, &mut into).unwrap();
    let seen = |into: &Decoded| {
        shown(into.features()).into_iter().chain(shown(into.predictions())).collect::<String>()
    };
    assert!(seen(&into).contains("sha256-") && !seen(&into).contains("alice"), "{}", seen(&into));
    decoder.decode_response(b"/", request, &mut into).unwrap();
    assert!(seen(&into).matches("sha256-").count() == 2 && !seen(&into).contains("alice"), "{}", seen(&into));
}

/// As an `f64` these are other numbers, with other check digits.
#[test]
fn cards_that_are_too_long_for_a_float_are_hidden_in_every_form() {
    const CARDS: [u64; 3] = [6_212_345_678_901_234_568, 62_123_456_789_012_347, 9_792_030_000_000_000];
    fn right(number: u64) -> u64 {
        (0..10).map(|digit| number / 10 * 10 + digit).find(|number| crate::privacy::is_card(*number)).unwrap()
    }
    for card in CARDS.map(right) {
        let tensor = |datatype: &str| {
            let head = format!(
                r#"{{"inputs":[{{"name":"a","shape":[1],"datatype":"{datatype}","parameters":{{"binary_data_size":8}}}}]}}"#
            );
            [head.as_bytes(), &card.to_le_bytes()].concat()
        };
        let int64 = i64::try_from(card).is_ok().then(|| tensor("INT64"));
        let bodies: Vec<Vec<u8>> = [
            Some(format!(r#"{{"a":{card}}}"#).into_bytes()),
            Some(format!(r#"{{"instances":[[1,{card}]]}}"#).into_bytes()),
            Some(format!("{{\"a\":{card}}}\n{{\"a\":1}}").into_bytes()),
            Some(
                format!(r#"{{"inputs":[{{"name":"a","shape":[1],"datatype":"INT64","data":[{card}]}}]}}"#)
                    .into_bytes(),
            ),
            Some(format!("1,{card},x").into_bytes()),
            Some(tensor("UINT64")),
            int64,
        ]
        .into_iter()
        .flatten()
        .collect();
        for body in bodies {
            let (mut decoder, mut into) = (Decoder::default(), Decoded::new());
            let kind = match body.first() {
                Some(b'1') => Some("text/csv".into()),
                _ => body.contains(&b'\n').then(|| "application/jsonlines".into()),
            };
            let mut exchange = exchange("/", "", 200, "");
            exchange.request = Body::complete(body.clone());
            exchange.request.content_type.clone_from(&kind);
            decoder.decode(&exchange, &mut into).unwrap();
            let cells = shown(into.features()).join(", ");
            let shown = String::from_utf8_lossy(&body);
            assert_eq!(cells.matches("`sha256-").count(), 1, "{shown}: {cells}");
            // Without the detector it is the number that it was.
            plain().decode(&exchange, &mut into).unwrap();
            let cells = into.features().filter(|cell| cell.value == Cell::Number(card as f64)).count();
            assert_eq!(cells, 1, "{shown}");
        }
    }
}

fn named(protocol: Protocol, columns: &[&str]) -> DecoderSpec {
    DecoderSpec { column_names: columns.iter().map(ToString::to_string).collect(), ..spec(protocol) }
}

fn extracts(paths: &[(&str, &str)]) -> Vec<Extract> {
    let extract =
        |(name, path): &(&str, &str)| Extract { name: (*name).to_owned(), path: path.parse().unwrap() };
    paths.iter().map(extract).collect()
}

/// A request's cells, or the error's reason.
fn request(spec: DecoderSpec, body: &str) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    match Decoder::new(spec).decode_request(b"/", body.as_bytes(), &mut into) {
        Ok(()) => Ok(shown(into.features())),
        Err(error) => {
            assert_eq!((into.n_cells(), into.feature_rows()), (0, 0), "an error leaves nothing: {body}");
            Err(error.kind.as_str())
        }
    }
}

/// An answer's cells, or the error's reason.
fn response(spec: DecoderSpec, body: &str) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    match Decoder::new(spec).decode_response(b"/", body.as_bytes(), &mut into) {
        Ok(()) => Ok(shown(into.predictions())),
        Err(error) => {
            assert_eq!((into.n_cells(), into.prediction_rows()), (0, 0), "an error leaves nothing: {body}");
            Err(error.kind.as_str())
        }
    }
}

/// Compares a body's cells with lines given in one text, separated by commas.
#[track_caller]
fn check(found: Result<Vec<String>, &'static str>, expected: &str) {
    let found = match found {
        Ok(lines) => lines.join(", "),
        Err(reason) => format!("error {reason}"),
    };
    assert_eq!(found, expected);
}

fn exchange(path: &str, request: &str, status: u16, response: &str) -> Exchange {
    Exchange {
        at_ms: 0,
        model: "m".into(),
        version: "v1".into(),
        lane: Lane::Prod,
        tenant: None,
        request_id: "r".into(),
        status,
        latency_ms: 1.0,
        first_byte_ms: None,
        headers: Vec::new(),
        path: path.to_owned().into(),
        request: Body::complete(request.to_owned()),
        response: Body::complete(response.to_owned()),
        pairing: crate::Pairing::Unknown,
    }
}

/// The same with content types.
fn typed(path: &str, request: (&str, &str), response: (&str, &str)) -> Exchange {
    let mut exchange = exchange(path, request.1, 200, response.1);
    exchange.request.content_type = Some(request.0.to_owned().into());
    exchange.response.content_type = Some(response.0.to_owned().into());
    exchange
}

/// Features, predictions and the answer's reason.
fn decode(exchange: &Exchange) -> (String, String, Option<&'static str>) {
    let mut into = Decoded::new();
    let outcome = plain().decode(exchange, &mut into).unwrap();
    let reason = outcome.response_error.map(|error| error.kind.as_str());
    (shown(into.features()).join(", "), shown(into.predictions()).join(", "), reason)
}

#[test]
fn protocols_have_names() {
    for protocol in Protocol::ALL {
        assert_eq!(protocol.as_str().parse(), Ok(protocol));
        assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
        assert_eq!(serde_json::from_str::<Protocol>(&format!("\"{protocol}\"")).unwrap(), protocol);
    }
    assert!("kserve".parse::<Protocol>().unwrap_err().to_string().contains("`kserve-v2`"));
}

#[test]
fn auto_goes_by_path_then_by_body() {
    let v2 = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}]}"#;
    let v2_answer = r#"{"outputs":[{"name":"s","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;
    let v1 = r#"{"instances":[[1,2]]}"#;
    for (path, body, answer, features) in [
        ("/v2/models/m/infer", v2, v2_answer, "0 a 1"),
        ("/x/v2/models/m/versions/3/infer", v2, v2_answer, "0 a 1"),
        ("/score", v2, v2_answer, "0 a 1"),
        ("/v1/models/m:predict", v1, r#"{"predictions":[0.5]}"#, "0 f0 1, 0 f1 2"),
        ("/score", v1, r#"{"predictions":[0.5]}"#, "0 f0 1, 0 f1 2"),
        ("/score", r#"{"a":1}"#, r#"{"score":0.5}"#, "0 a 1"),
        ("/invocations", r#"{"a":1}"#, r#"{"predictions":[0.5]}"#, "0 a 1"),
        ("/score", r#"{"inputs":"text"}"#, "0.5", "0 inputs `text`"),
        ("/v1/models/m:predict", r#"{"inputs":{"a":[1]}}"#, r#"{"outputs":[0.5]}"#, "0 a 1"),
    ] {
        let expected = (features.to_owned(), "0 prediction 0.5".to_owned(), None);
        assert_eq!(decode(&exchange(path, body, 200, answer)), expected, "{path} {body}");
    }
}

#[test]
fn a_path_that_promises_a_protocol_is_held_to_it() {
    for (path, body) in [("/v2/models/m/infer", r#"{"a":1}"#), ("/v1/models/m:predict", r#"{"a":1}"#)] {
        let error = plain().decode_request(path.as_bytes(), body.as_bytes(), &mut Decoded::new());
        assert_eq!(error.unwrap_err().kind, DecodeErrorKind::Unrecognised);
    }
}

#[test]
fn an_answer_that_cannot_be_read_leaves_the_features() {
    for (status, answer, reason) in [
        (500, r#"{"error":"boom"}"#, "status"),
        (404, r#"{"score":1}"#, "status"),
        (200, "", "empty"),
        (200, "<html>", "not_json"),
        (200, r#"{"score":NaX}"#, "syntax"),
        (200, r#"{"a":1,"score":"#, "syntax"),
        (200, "{}", "empty"),
    ] {
        let found = decode(&exchange("/score", r#"{"a":1}"#, status, answer));
        assert_eq!(found, ("0 a 1".to_owned(), String::new(), Some(reason)), "{answer}");
    }
}

#[test]
fn a_body_that_is_not_whole_or_compressed_is_refused() {
    let whole = exchange("/score", r#"{"a":1}"#, 200, r#"{"score":1}"#);
    let mut into = Decoded::new();
    let mut decoder = plain();

    let mut cut = whole.clone();
    cut.request.truncated = true;
    assert_eq!(decoder.decode(&cut, &mut into).unwrap_err().kind, DecodeErrorKind::Truncated);
    let mut cut = whole.clone();
    cut.response.truncated = true;
    let outcome = decoder.decode(&cut, &mut into).unwrap();
    assert_eq!(outcome.response_error.unwrap().kind, DecodeErrorKind::Truncated);

    let mut zipped = whole.clone();
    zipped.request.content_encoding = Some("br".into());
    assert_eq!(decoder.decode(&zipped, &mut into).unwrap_err().kind, DecodeErrorKind::ContentEncoding);
    assert_eq!(into.n_cells(), 0);
    zipped.request.content_encoding = Some("Identity".into());
    assert!(decoder.decode(&zipped, &mut into).is_ok());
}

#[test]
fn a_body_in_pieces_is_one_body() {
    let mut pieces = exchange("/score", "", 200, r#"{"score":1}"#);
    pieces.request.chunks = [r#"{"a"#, r#"b":1"#, "}"].map(bytes::Bytes::from).to_vec();
    assert_eq!(decode(&pieces).0, "0 ab 1");
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        DecodeErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), DecodeErrorKind::ALL.len());
}
