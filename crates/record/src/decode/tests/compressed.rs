//! Compressed bodies on their way through a whole exchange.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn zipped(bytes: &[u8]) -> Body {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    Body { content_encoding: Some("gzip".into()), ..Body::complete(encoder.finish().unwrap()) }
}

#[test]
fn both_sides_are_inflated() {
    let mut compressed = exchange("/score", "", 200, "");
    compressed.request = zipped(br#"{"a":1,"b":"x"}"#);
    compressed.response = zipped(br#"{"score":0.5}"#);
    let expected = ("0 a 1, 0 b `x`".to_owned(), "0 prediction 0.5".to_owned(), None);
    assert_eq!(decode(&compressed), expected);
    // In pieces as they were read.
    let whole = compressed.request.chunks[0].clone();
    compressed.request.chunks = vec![whole.slice(..7), whole.slice(7..)];
    assert_eq!(decode(&compressed), expected);
}

#[test]
fn a_body_over_the_limit_is_refused_on_its_side() {
    let limits = DecodeLimits { max_inflated_bytes: 1_000, ..DecodeLimits::default() };
    let mut decoder = Decoder::new(DecoderSpec { limits, ..spec(Protocol::Auto) });
    let mut into = Decoded::new();
    let mut exchange = exchange("/score", r#"{"a":1}"#, 200, r#"{"score":1}"#);
    let padded = format!("{}1", " ".repeat(1_000));
    exchange.response = zipped(padded.as_bytes());
    let outcome = decoder.decode(&exchange, &mut into).unwrap();
    assert_eq!(outcome.response_error.unwrap().kind, DecodeErrorKind::InflatedTooLong);
    assert_eq!(shown(into.features()), ["0 a 1"]);
    exchange.request = zipped(padded.as_bytes());
    assert_eq!(decoder.decode(&exchange, &mut into).unwrap_err().kind, DecodeErrorKind::InflatedTooLong);
    // What is not compressed is bounded by the capture alone.
    exchange.request = Body::complete(padded);
    assert!(decoder.decode(&exchange, &mut into).is_ok());
}
