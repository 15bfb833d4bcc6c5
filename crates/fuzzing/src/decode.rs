//! Bodies through the decoder.

use std::sync::Arc;

use bytes::Bytes;
use record::{
    Body, DecodeLimits, Decoded, Decoder, DecoderSpec, Exchange, Extract, Lane, Pairing, Privacy, Protocol,
};

/// Paths that calls come by.
const PATHS: [&str; 12] = [
    "",
    "/invocations",
    "/v1/models/m:predict",
    "/v2/models/m/infer",
    "/inference.GRPCInferenceService/ModelInfer",
    "/v1/projects/p/locations/l/endpoints/1:predict",
    "/v1/projects/p/locations/l/endpoints/1:rawPredict",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/responses",
];

const TYPES: [Option<&str>; 7] = [
    None,
    Some("application/json"),
    Some("text/csv"),
    Some("application/jsonlines"),
    Some("application/octet-stream"),
    Some("application/grpc"),
    Some("text/event-stream"),
];

const ENCODINGS: [Option<&str>; 3] = [None, Some("gzip"), Some("deflate")];

/// Small, so that they are reached.
const LIMITS: DecodeLimits = DecodeLimits {
    max_depth: 8,
    max_rows: 50,
    max_cells: 400,
    max_text_bytes: 4_096,
    max_name_bytes: 64,
    max_inflated_bytes: 1 << 16,
};

/// Decodes an exchange: a byte each for path, content types, encodings and the spec, two for the request's length, then
/// request and answer.
///
/// # Panics
/// When the result is over a limit, differs when it is made again, or is not empty after an error.
pub fn decode(protocol: Protocol, data: &[u8]) {
    let Some((exchange, choice)) = exchange(data) else { return };
    let mut decoder = Decoder::new(spec(protocol, choice));
    let (mut first, mut second) = (Decoded::new(), Decoded::new());
    let outcome = decoder.decode(&exchange, &mut first);
    assert!(first.feature_rows() <= LIMITS.max_rows, "{}", first.feature_rows());
    assert!(first.prediction_rows() <= LIMITS.max_rows, "{}", first.prediction_rows());
    assert!(first.n_cells() <= LIMITS.max_cells, "{}", first.n_cells());
    assert!(first.text_bytes() <= LIMITS.max_text_bytes, "{}", first.text_bytes());
    for cell in first.features().chain(first.predictions()) {
        if let record::Cell::Number(number) = cell.value {
            assert!(number.is_finite(), "{}", cell.name);
        }
    }
    match &outcome {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(first.n_cells(), 0, "{error}");
        }
        Ok(outcome) if outcome.response_error.is_some() => assert_eq!(first.predictions().count(), 0),
        Ok(_) => {}
    }
    // With what the first run left behind, and without.
    let again = decoder.decode(&exchange, &mut second);
    assert_eq!(format!("{outcome:?} {}", shown(&first)), format!("{again:?} {}", shown(&second)));
    let fresh = Decoder::new(spec(protocol, choice)).decode(&exchange, &mut second);
    assert_eq!(format!("{outcome:?} {}", shown(&first)), format!("{fresh:?} {}", shown(&second)));
}

/// What was read; not where its texts lie, which depends on what was tried before.
fn shown(decoded: &Decoded) -> String {
    let (features, predictions): (Vec<_>, Vec<_>) =
        (decoded.features().collect(), decoded.predictions().collect());
    let rows = (decoded.feature_rows(), decoded.prediction_rows());
    format!("{rows:?} {features:?} {predictions:?} {} {}", decoded.n_unreadable(), decoded.precision_loss())
}

fn spec(protocol: Protocol, choice: u8) -> DecoderSpec {
    let extract = |path: &str| Extract {
        name: path.to_owned(),
        path: path.parse().unwrap_or_else(|error| panic!("{error}")),
    };
    let by_path = choice & 1 == 1;
    DecoderSpec {
        protocol,
        features: if by_path { vec![extract("$.a"), extract("$.list[*].b")] } else { Vec::new() },
        predictions: if by_path { vec![extract("$.score"), extract("$[0].c")] } else { Vec::new() },
        column_names: if choice & 2 == 2 { vec!["x".to_owned(), "y".to_owned()] } else { Vec::new() },
        limits: LIMITS,
        privacy: Arc::new(Privacy::off()),
    }
}

fn exchange(data: &[u8]) -> Option<(Exchange, u8)> {
    let (&[path, types, encodings, choice, high, low], bodies) = data.split_first_chunk::<6>()?;
    let length = usize::from(u16::from_be_bytes([high, low])).min(bodies.len());
    let (request, answer) = bodies.split_at(length);
    let pick = |list: &[Option<&'static str>], at: u8| {
        list.get(usize::from(at) % list.len())
            .copied()
            .flatten()
            .map(|text| Bytes::from_static(text.as_bytes()))
    };
    let body = |bytes: &[u8], content_type, content_encoding| Body {
        content_type: pick(&TYPES, content_type),
        content_encoding: pick(&ENCODINGS, content_encoding),
        ..Body::complete(Bytes::copy_from_slice(bytes))
    };
    let exchange = Exchange {
        at_ms: 0,
        model: Arc::from("m"),
        version: Arc::from("v"),
        lane: Lane::Prod,
        tenant: None,
        request_id: Bytes::new(),
        status: 200,
        latency_ms: 100.0,
        first_byte_ms: Some(10.0),
        headers: Vec::new(),
        path: Bytes::from_static(
            PATHS.get(usize::from(path) % PATHS.len()).copied().unwrap_or_default().as_bytes(),
        ),
        request: body(request, types & 15, encodings & 15),
        response: body(answer, types >> 4, encodings >> 4),
        pairing: Pairing::Unknown,
    };
    Some((exchange, choice))
}
