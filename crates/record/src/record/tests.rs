//! Records in and out.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Body, DecodeErrorKind, Decoder};

const EXAMPLE: &str = r#"{"ts":"2026-01-31T12:00:00.123Z","model":"fraud","version":"v2","lane":"prod","tenant":"acme","request_id":"r-1","status":200,"latency_ms":12.3,"features":{"amount":12.5,"country":"DE"},"prediction":{"score":0.93},"request_bytes":812,"response_bytes":96}"#;

fn parse(body: &str) -> Result<Vec<Record>, RecordError> {
    Record::parse_many(body.as_bytes(), &RecordLimits::default())
}

fn features(values: &[(&str, FeatureValue)]) -> BTreeMap<String, FeatureValue> {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn written(record: &Record) -> String {
    let mut out = Vec::new();
    record.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_documented_record_goes_in_and_out_unchanged() {
    let records = parse(EXAMPLE).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].ts, Some(1_769_860_800_123));
    assert_eq!(records[0].lane, Lane::Prod);
    assert_eq!(records[0].prediction, features(&[("score", FeatureValue::Number(0.93))]));
    assert_eq!(written(&records[0]), EXAMPLE);
}

#[test]
fn one_an_array_or_lines() {
    let record = r#"{"model":"m","features":{"a":1}}"#;
    for (body, count) in [
        (record.to_owned(), 1),
        (format!(" [{record} , {record}]\n"), 2),
        (format!("{record}\n{record}\r\n\n{record}\n"), 3),
        ("[]".to_owned(), 0),
    ] {
        assert_eq!(parse(&body).unwrap().len(), count, "{body}");
    }
}

#[test]
fn only_model_and_features_are_needed() {
    let body = r#"{"x":[{}],"features":{"n":1,"t":"x","b":true,"z":null,"n":2,"big":1e400},"model":"m","version":null,"prediction":0.5}"#;
    let expected = Record {
        model: "m".to_owned(),
        features: features(&[
            ("n", FeatureValue::Number(2.0)),
            ("t", FeatureValue::Text("x".to_owned())),
            ("b", FeatureValue::Bool(true)),
            ("z", FeatureValue::Null),
            ("big", FeatureValue::Number(f64::INFINITY)),
        ]),
        prediction: features(&[("prediction", FeatureValue::Number(0.5))]),
        ..Record::default()
    };
    assert_eq!(parse(body).unwrap(), [expected]);
}

#[test]
fn a_wrong_record_says_where_and_what() {
    let good = r#"{"model":"m","features":{}}"#;
    for (body, line, column, problem) in [
        (String::new(), 1, 1, "the body is empty"),
        ("x".to_owned(), 1, 1, "expected a value"),
        ("7".to_owned(), 1, 1, "expected a record, found a number"),
        (format!("{good}\n[{good}]"), 2, 1, "expected a record, found an array"),
        (format!("[{good}] 1"), 1, 31, "expected the end of the body"),
        (format!("[{good}"), 1, 29, "found the end of the body"),
        (format!("{good}\n{{\"model\":\"m\""), 2, 13, "expected `,` or `}`, found the end of the body"),
        (format!("{good}\n  {{\"model\":\"m\"}}"), 2, 3, "the record has no `features`"),
        (r#"{"features":{}}"#.to_owned(), 1, 1, "the record has no `model`"),
        (r#"{"model":7}"#.to_owned(), 1, 10, "`model` is a number: expected a string"),
        (r#"{"model":""}"#.to_owned(), 1, 10, "`model` is empty"),
        (r#"{"model":null}"#.to_owned(), 1, 10, "`model` is empty"),
        (r#"{"features":[1]}"#.to_owned(), 1, 13, "`features` is an array: expected an object"),
        (r#"{"features":{"a":[1]}}"#.to_owned(), 1, 18, "feature `a` is an array"),
        (r#"{"features":{"a":{}}}"#.to_owned(), 1, 18, "feature `a` is an object"),
        (r#"{"features":{"":1}}"#.to_owned(), 1, 17, "a feature without a name"),
        (r#"{"features":{"a":NaX}}"#.to_owned(), 1, 18, "expected a value"),
        (r#"{"prediction":[1]}"#.to_owned(), 1, 15, "prediction `prediction` is an array"),
        (r#"{"ts":"yesterday"}"#.to_owned(), 1, 7, "`ts` is no RFC 3339 time"),
        (r#"{"ts":1769860800}"#.to_owned(), 1, 7, "`ts` is a number: expected a string"),
        (r#"{"lane":"test"}"#.to_owned(), 1, 9, "`lane` is neither"),
        (r#"{"status":70000}"#.to_owned(), 1, 11, "`status` is no whole number in range"),
        (r#"{"status":200.5}"#.to_owned(), 1, 11, "`status` is no whole number in range"),
        (r#"{"latency_ms":-1}"#.to_owned(), 1, 15, "`latency_ms` is negative"),
        (r#"{"request_bytes":"1"}"#.to_owned(), 1, 18, "`request_bytes` is a string: expected a number"),
    ] {
        let error = parse(&body).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{body}: {error}");
        assert!(error.problem.contains(problem), "{body}: {error}");
    }
}

#[test]
fn limits_hold() {
    let limits =
        RecordLimits { max_records: 2, max_features: 2, max_name_bytes: 4, max_text_bytes: 4, max_depth: 3 };
    let one = |features: &str| format!(r#"{{"model":"m","features":{{{features}}}}}"#);
    let three = vec![one(""); 3].join("\n");
    for (body, problem) in [
        (three, "more than 2 records"),
        (one(r#""a":1,"b":2,"c":3"#), "more than 2 features"),
        (one(r#""abcde":1"#), "more than 4 bytes"),
        (one(r#""a":"abcde""#), "feature `a` has more than 4 bytes"),
        (r#"{"model":"abcde"}"#.to_owned(), "`model` has more than 4 bytes"),
        (r#"{"x":[[[]]]}"#.to_owned(), "more than 3 arrays and objects in each other"),
    ] {
        let error = Record::parse_many(body.as_bytes(), &limits).unwrap_err();
        assert!(error.problem.contains(problem), "{error}");
    }
}

#[test]
fn a_record_fills_one_row() {
    let body = r#"{"model":"m","features":{"a":1,"b":true,"c":"x","d":null},"prediction":{"s":2,"t":"y"}}"#;
    let mut into = Decoded::new();
    let name = into.intern("old");
    into.push_feature(5, name, CellValue::Missing);
    parse(body).unwrap()[0].fill(&mut into, true);
    assert_eq!((into.feature_rows(), into.prediction_rows()), (1, 1));
    let cells: Vec<_> =
        into.features().chain(into.predictions()).map(|cell| (cell.name, cell.value)).collect();
    assert_eq!(
        cells,
        [
            ("a", Cell::Number(1.0)),
            ("b", Cell::Text("true")),
            ("c", Cell::Text("x")),
            ("d", Cell::Missing),
            ("prediction.s", Cell::Number(2.0)),
            ("prediction.t", Cell::Text("y")),
        ]
    );
    parse(EXAMPLE).unwrap()[0].fill(&mut into, true);
    assert_eq!(into.predictions().map(|cell| cell.name).collect::<Vec<_>>(), ["prediction"]);
}

#[test]
fn a_batch_is_a_record_a_row() {
    let exchange = Exchange {
        at_ms: 1_769_860_800_123,
        model: "fraud".into(),
        version: "v2".into(),
        lane: Lane::Shadow,
        tenant: Some(Bytes::from_static(b"ac\xffme")),
        request_id: Bytes::from_static(b"r-1"),
        status: 200,
        latency_ms: 12.5,
        first_byte_ms: None,
        headers: Vec::new(),
        path: Bytes::from_static(b"/v1/models/fraud:predict"),
        request: Body::complete(r#"{"instances":[{"a":1,"b":"x"},{"a":null}]}"#),
        response: Body::complete(r#"{"predictions":[{"s":1,"t":2},{"s":3,"t":4}]}"#),
        pairing: crate::Pairing::Unknown,
    };
    let mut into = Decoded::new();
    let outcome = Decoder::default().decode(&exchange, &mut into).unwrap();
    assert_eq!(outcome.response_error.map(|error| error.kind), None::<DecodeErrorKind>);
    let records = Record::from_decoded(&exchange, &into);
    let head = r#"{"ts":"2026-01-31T12:00:00.123Z","model":"fraud","version":"v2","lane":"shadow","tenant":"ac�me","request_id":"r-1","status":200,"latency_ms":12.5,"#;
    let tail = r#","request_bytes":42,"response_bytes":45}"#;
    let expected = [
        format!(r#"{head}"features":{{"a":1.0,"b":"x"}},"prediction":{{"s":1.0,"t":2.0}}{tail}"#),
        format!(r#"{head}"features":{{"a":null}},"prediction":{{"s":3.0,"t":4.0}}{tail}"#),
    ];
    assert_eq!(records.iter().map(written).collect::<Vec<_>>(), expected);
}

#[test]
fn a_single_prediction_keeps_its_name() {
    let mut exchange_row = Decoded::new();
    let name = exchange_row.intern("a");
    exchange_row.push_feature(0, name, CellValue::Number(1.0));
    let name = exchange_row.intern("prediction");
    exchange_row.push_prediction(0, name, CellValue::Number(0.5));
    let exchange = Exchange {
        at_ms: i64::MAX,
        model: "m".into(),
        version: "v".into(),
        lane: Lane::Prod,
        tenant: None,
        request_id: Bytes::new(),
        status: 200,
        latency_ms: 1.0,
        first_byte_ms: None,
        headers: Vec::new(),
        path: Bytes::new(),
        request: Body::default(),
        response: Body::default(),
        pairing: crate::Pairing::Unknown,
    };
    let record = Record::from_decoded(&exchange, &exchange_row).remove(0);
    assert_eq!(record.prediction, features(&[("prediction", FeatureValue::Number(0.5))]));
    assert_eq!(record.request_id, None);
    assert!(written(&record).starts_with(r#"{"ts":null,"model":"m""#), "a time outside the calendar is null");
}

fn value() -> impl Strategy<Value = FeatureValue> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(FeatureValue::Number),
        any::<String>().prop_map(FeatureValue::Text),
        any::<bool>().prop_map(FeatureValue::Bool),
        Just(FeatureValue::Null),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _records = Record::parse_many(&body, &RecordLimits::default());
    }

    #[test]
    fn any_record_survives_the_wire(
        ts in prop::option::of(0_i64..4_000_000_000_000),
        model in ".{1,20}",
        tenant in any::<Option<String>>(),
        latency_ms in prop::option::of(0.0..1e9),
        names in prop::collection::btree_map(".{1,20}", value(), 0..5),
        prediction in prop::collection::btree_map(".{1,20}", value(), 0..3),
        request_bytes in prop::option::of(0_u64..1 << 53),
    ) {
        let record =
            Record { ts, model, tenant, latency_ms, features: names, prediction, request_bytes, ..Record::default() };
        let line = written(&record);
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(parse(&line).unwrap(), vec![record]);
    }
}
