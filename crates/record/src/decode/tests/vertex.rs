//! Vertex AI.

use super::*;

const PREDICT: &str = "/v1/projects/p/locations/r/endpoints/7:predict";
const RAW: &str = "/v1/projects/p/locations/r/endpoints/7:rawPredict";

#[test]
fn the_documented_example() {
    let request = r#"{"instances":[{"amount":12.5,"country":"DE"}],"parameters":{"threshold":0.5}}"#;
    let answer = r#"{"predictions":[{"score":0.91}],"deployedModelId":"1234567890123456789",
        "model":"projects/1/locations/eu/models/9","modelVersionId":"3","modelDisplayName":"fraud","metadata":{}}"#;
    for path in [PREDICT, RAW, "/endpoints/7:predict", "/v1/predict:predict"] {
        let expected = ("0 amount 12.5, 0 country `DE`".to_owned(), "0 prediction 0.91".to_owned(), None);
        assert_eq!(decode(&exchange(path, request, 200, answer)), expected, "{path}");
    }
}

#[test]
fn predict_is_held_to_instances_and_raw_predict_is_not() {
    let body = br#"{"amount":12.5}"#;
    let mut into = Decoded::new();
    for protocol in [Protocol::Auto, Protocol::Vertex] {
        let mut decoder = Decoder::new(spec(protocol));
        let error = decoder.decode_request(PREDICT.as_bytes(), body, &mut into).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Unrecognised);
        decoder.decode_request(RAW.as_bytes(), body, &mut into).unwrap();
        assert_eq!(shown(into.features()), ["0 amount 12.5"]);
        decoder.decode_response(RAW.as_bytes(), br#"{"score":0.5}"#, &mut into).unwrap();
        assert_eq!(shown(into.predictions()), ["0 prediction 0.5"]);
    }
    let csv = typed(RAW, ("text/csv", "1,2"), ("application/json", "[0.5]"));
    assert_eq!(decode(&csv), ("0 f0 1, 0 f1 2".to_owned(), "0 prediction 0.5".to_owned(), None));
}

#[test]
fn errors_are_no_predictions() {
    let error = r#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[]}}"#;
    let found = decode(&exchange(PREDICT, r#"{"instances":[1]}"#, 429, error));
    assert_eq!(found.2, Some("status"));
    let found = decode(&exchange(PREDICT, r#"{"instances":[1]}"#, 200, error));
    assert_eq!(found.2, Some("unrecognised"));
}
