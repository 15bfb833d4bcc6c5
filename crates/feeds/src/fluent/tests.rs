use proptest::prelude::*;
use record::{FeatureValue, Lane, Record, RecordDefaults};
use rmpv::Value;

use super::testing::{entry, event_time, hex, packed, record};
use super::*;
use crate::Observation;
use crate::sources::Format;

const NOW: i64 = 1_900_000_000_000;

/// One record in the form that Fluent Bit 5.1 writes, byte for byte:
/// `{"model":"m1","features":{"amount":12.5,"n":1},"prediction":0.91}` at 1795376820.123.
const V2_ENTRY: &str = "
    92                          # entry: two
      dd 00000002               # its head, with a length of 32 bits
        d7 00 6b033eb4 0754d4c0 # EventTime: seconds, nanoseconds
        df 00000000             # no metadata
      df 00000003               # the record, a map with a length of 32 bits
        a5 6d6f64656c a2 6d31                    # model: m1
        a8 6665617475726573 82                   # features
          a6 616d6f756e74 cb 4029000000000000    #   amount: 12.5
          a1 6e 01                               #   n: 1
        aa 70726564696374696f6e cb 3fed1eb851eb851f # prediction: 0.91";

/// The same as before version 2: `[time, record]`, with `time_as_integer`.
const LEGACY_ENTRY: &str = "
    dd 00000002
      ce 6b033eb4
      df 00000002
        a5 6d6f64656c a2 6d31
        a8 6665617475726573 81 a6 616d6f756e74 cb 4029000000000000";

fn read_as(reading: &Reading, media_type: MediaType, body: &[u8]) -> Vec<Result<Record, Refused>> {
    let defaults = RecordDefaults { model: Some("fraud".into()), ..RecordDefaults::default() };
    let observe = |event: Event<'_>| reading.observe(&event, NOW, &defaults);
    Events::new(media_type, body)
        .flat_map(|event| match event.and_then(observe) {
            Ok(observations) => observations
                .into_iter()
                .map(|one| match one {
                    Observation::Record(record) => Ok(*record),
                    Observation::Exchange(_) => panic!("a record was wanted"),
                })
                .collect(),
            Err(refused) => vec![Err(refused)],
        })
        .collect()
}

fn read(media_type: MediaType, body: &[u8]) -> Vec<Result<Record, Refused>> {
    read_as(&Reading::default(), media_type, body)
}

fn good(media_type: MediaType, body: &[u8]) -> Vec<Record> {
    read(media_type, body).into_iter().map(Result::unwrap).collect()
}

fn amounts(records: &[Result<Record, Refused>]) -> Vec<Option<f64>> {
    let amount = |record: &Record| match record.features.get("amount") {
        Some(FeatureValue::Number(number)) => *number,
        _ => f64::NAN,
    };
    records.iter().map(|record| record.as_ref().ok().map(amount)).collect()
}

#[test]
fn an_entry_of_fluent_bit_5_is_read() {
    let [record] = &good(MediaType::Msgpack, &hex(V2_ENTRY))[..] else { panic!("one record") };
    assert_eq!((record.model.as_str(), record.ts), ("m1", Some(1_795_374_772_123)));
    assert_eq!(record.features["amount"], FeatureValue::Number(12.5));
    assert_eq!(record.features["n"], FeatureValue::Number(1.0));
    assert_eq!(record.prediction["prediction"], FeatureValue::Number(0.91));
}

#[test]
fn both_forms_of_entries_may_follow_each_other() {
    let body = [hex(V2_ENTRY), hex(LEGACY_ENTRY), hex(V2_ENTRY)].concat();
    let times: Vec<_> = good(MediaType::Msgpack, &body).iter().map(|record| record.ts).collect();
    assert_eq!(times, [Some(1_795_374_772_123), Some(1_795_374_772_000), Some(1_795_374_772_123)]);
}

#[test]
fn every_format_of_json_is_read() {
    let array = br#"[{"date":1795376820.123,"model":"m1","features":{"amount":1}},{"date":1795376820.5,"features":{"amount":2}}]"#;
    let stream = br#"{"date":1795376820.123,"model":"m1","features":{"amount":1}}{"date":1795376820.5,"features":{"amount":2}}"#;
    let lines = b"{\"date\":1795376820.123,\"model\":\"m1\",\"features\":{\"amount\":1}}\n{\"date\":1795376820.5,\"features\":{\"amount\":2}}\n";
    for (media_type, body) in [
        (MediaType::Json, &array[..]),
        (MediaType::Json, &stream[..]),
        (MediaType::Json, &lines[..]),
        (MediaType::JsonLines, &lines[..]),
    ] {
        let records = good(media_type, body);
        let seen: Vec<_> = records.iter().map(|record| (record.model.as_str(), record.ts)).collect();
        assert_eq!(seen, [("m1", Some(1_795_376_820_123)), ("fraud", Some(1_795_376_820_500))]);
    }
}

#[test]
fn every_form_of_the_date_is_a_time() {
    for (date, ms) in [
        ("1795376820.123", 1_795_376_820_123),
        ("1795376820", 1_795_376_820_000),
        ("1795376820123", 1_795_376_820_123),
        (r#""2026-11-22T19:47:00.123000Z""#, 1_795_376_820_123),
        (r#""2026-11-22 19:47:00.123000""#, 1_795_376_820_123),
        ("9999999999", NOW),
        ("-5", NOW),
        ("true", NOW),
        (r#""soon""#, NOW),
    ] {
        let body = format!(r#"{{"date":{date},"features":{{"amount":1}}}}"#);
        assert_eq!(good(MediaType::Json, body.as_bytes())[0].ts, Some(ms), "{date}");
    }
    let own = br#"{"date":1795376820,"ts":"2026-01-31T12:00:00Z","features":{}}"#;
    assert_eq!(good(MediaType::Json, own)[0].ts, Some(1_769_860_800_000), "the record's own time wins");
}

#[test]
fn a_line_that_tail_did_not_parse_is_read_under_its_key() {
    let text = r#"{"date":1795376820,"log":"{\"model\":\"m1\",\"features\":{\"amount\":3,\"stadt\":\"K\u00f6ln\"}}"}"#;
    let [record] = &good(MediaType::Json, text.as_bytes())[..] else { panic!("one record") };
    assert_eq!((record.model.as_str(), record.ts), ("m1", Some(1_795_376_820_000)));
    assert_eq!(record.features["stadt"], FeatureValue::Text("Köln".to_owned()));
    let object = br#"{"log":{"features":{"amount":4}}}"#;
    assert_eq!(amounts(&read(MediaType::Json, object)), [Some(4.0)]);
    let both = br#"{"log":"a text of the record's own","features":{"amount":5}}"#;
    assert_eq!(amounts(&read(MediaType::Json, both)), [Some(5.0)]);
    let elsewhere = Reading { record_key: "payload".to_owned(), ..Reading::default() };
    let payload = br#"{"topic":"t","payload":{"features":{"amount":6}}}"#;
    assert_eq!(amounts(&read_as(&elsewhere, MediaType::Json, payload)), [Some(6.0)]);
}

#[test]
fn any_json_is_left_to_the_models_paths() {
    let reading = Reading { format: Format::Json, ..Reading::default() };
    let defaults =
        RecordDefaults { model: Some("fraud".into()), lane: Lane::Shadow, ..RecordDefaults::default() };
    let event = Event { at_ms: Some(7), json: Cow::Borrowed(br#"{"date":1,"log":"{\"in\":{\"a\":1}}"}"#) };
    let found = reading.observe(&event, NOW, &defaults).unwrap();
    let [Observation::Exchange(exchange)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((exchange.at_ms, exchange.lane), (7, Lane::Shadow));
    assert_eq!(exchange.request.chunks.concat(), br#"{"in":{"a":1}}"#);
}

#[test]
fn a_record_that_cannot_be_read_costs_only_itself() {
    let array = br#"[{"features":{"amount":1}},7,{"x":1},{"features":{"amount":2}}]"#;
    assert_eq!(amounts(&read(MediaType::Json, array)), [Some(1.0), None, None, Some(2.0)]);
    let lines = b"{\"features\":{\"amount\":1}}\nbroken {\n\n{\"features\":{\"amount\":2}}";
    assert_eq!(amounts(&read(MediaType::JsonLines, lines)), [Some(1.0), None, Some(2.0)]);
    let entries = [
        packed(&entry(1, record(1.0))),
        packed(&Value::from("no entry")),
        packed(&Value::Array(vec![Value::from("no time"), record(9.0)])),
        packed(&entry(1, Value::Map(vec![(Value::from(1), Value::from(1))]))),
        packed(&entry(1, record(2.0))),
    ];
    assert_eq!(
        amounts(&read(MediaType::Msgpack, &entries.concat())),
        [Some(1.0), None, None, None, Some(2.0)]
    );
}

#[test]
fn what_hides_the_next_record_ends_the_chunk_and_is_told_once() {
    for (media_type, body) in [
        (MediaType::Json, br#"[{"features":{"amount":1}},{"features":{"#.to_vec()),
        (MediaType::Json, br#"[{"features":{"amount":1}} {"features":{"amount":2}}]"#.to_vec()),
        (MediaType::Json, br#"[{"features":{"amount":1}}] x"#.to_vec()),
        (MediaType::Json, br#"[{"features":{"amount":1}},]"#.to_vec()),
        (MediaType::Json, br#"{"features":{"amount":1}}}"#.to_vec()),
        (MediaType::Msgpack, [hex(LEGACY_ENTRY), vec![0xc1, 0x92]].concat()),
        (MediaType::Msgpack, [hex(LEGACY_ENTRY), hex(V2_ENTRY)[..40].to_vec()].concat()),
    ] {
        let found = read(media_type, &body);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].is_ok() && found[1].is_err(), "{found:?}");
    }
}

#[test]
fn empty_chunks_hold_nothing() {
    for (media_type, body) in [
        (MediaType::Json, &b""[..]),
        (MediaType::Json, b" [ ] \n"),
        (MediaType::JsonLines, b"\n\n"),
        (MediaType::Msgpack, b""),
    ] {
        assert_eq!(read(media_type, body), [], "{media_type:?}");
    }
}

#[test]
fn marks_of_groups_are_no_records() {
    let mark = |time: Value| {
        packed(&Value::Array(vec![Value::Array(vec![time, Value::Map(vec![])]), Value::Map(vec![])]))
    };
    let body = [
        mark(event_time(u32::MAX, 0)),
        packed(&entry(1, record(1.0))),
        mark(event_time(u32::MAX - 1, 0)),
        mark(Value::from(-1)),
        mark(Value::from(-2)),
        mark(Value::from(-1.0)),
    ];
    assert_eq!(amounts(&read(MediaType::Msgpack, &body.concat())), [Some(1.0)]);
}

#[test]
fn times_are_read_from_every_type() {
    for (time, ms) in [
        (event_time(1_795_376_820, 999_999_999), Some(1_795_376_820_999)),
        (Value::from(1_795_376_820_u64), Some(1_795_376_820_000)),
        (Value::from(1_795_376_820.25), Some(1_795_376_820_250)),
        (Value::Nil, None),
        (Value::from(-7), None),
        (Value::from(1e300), None),
        (Value::from(f64::NAN), None),
    ] {
        let body = packed(&Value::Array(vec![time.clone(), record(1.0)]));
        let event = Events::new(MediaType::Msgpack, &body).next().unwrap().unwrap();
        assert_eq!(event.at_ms, ms, "{time:?}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_taken_on_to_be_counted() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let [record] = &good(MediaType::Msgpack, &packed(&entry(1, record(number))))[..] else { panic!() };
        let read = &record.features["amount"];
        assert!(matches!(read, FeatureValue::Number(read) if !read.is_finite()), "{read:?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let mut deep = Value::from(1);
    for _ in 0..100 {
        deep = Value::Array(vec![deep]);
    }
    let deep = packed(&entry(1, Value::Map(vec![(Value::from("x"), deep)])));
    assert_eq!(
        amounts(&read(MediaType::Msgpack, &[deep, packed(&entry(1, record(2.0)))].concat())),
        [None, Some(2.0)]
    );
    // A million arrays inside each other take no stack.
    let abyss = [&[0x91; 1_000_000][..], &[0xc0]].concat();
    assert!(read(MediaType::Msgpack, &abyss)[0].is_err());
    let brackets = vec![b'['; 1_000_000];
    assert!(read(MediaType::Json, &brackets)[0].is_err());
    let long = Value::Map(vec![(Value::from("x"), Value::from("\u{1}".repeat(300_000)))]);
    let refused = read(MediaType::Msgpack, &packed(&entry(1, Value::Array(vec![long; 3]))));
    assert_eq!(refused[0].as_ref().unwrap_err().reason, Reject::TooLarge);
    // A claim of four billion items in five bytes.
    let claim = [0x92, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(read(MediaType::Msgpack, &claim).len(), 1);
}

#[test]
fn the_type_of_a_body_is_told_by_its_header_or_its_first_byte() {
    for (content_type, body, expected) in [
        (Some("application/json; charset=utf-8"), "", Some(MediaType::Json)),
        (Some("Application/X-NDJSON"), "", Some(MediaType::JsonLines)),
        (Some("application/msgpack"), "", Some(MediaType::Msgpack)),
        (Some("text/plain"), "{}", None),
        (None, " [", Some(MediaType::Json)),
        (None, "\u{1}", Some(MediaType::Msgpack)),
        (None, "", None),
    ] {
        assert_eq!(MediaType::of(content_type, body.as_bytes()), expected, "{content_type:?} {body:?}");
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // What the test reads JSON with is exact for these.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<i16>().prop_map(|number| Value::from(f32::from(number) / 8.0)),
        ".{0,40}".prop_map(Value::from),
        "[a-z]{0,300}".prop_map(|text| Value::Binary(text.into_bytes())),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((".{0,9}".prop_map(Value::from), inner), 0..20).prop_map(Value::Map),
        ]
    })
}

/// What a value is in JSON, by a way of its own.
fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Ext(..) => serde_json::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Integer(number) => {
            number.as_u64().map(Into::into).or_else(|| number.as_i64().map(Into::into)).unwrap()
        }
        Value::F32(number) => f64::from(*number).into(),
        Value::F64(number) => (*number).into(),
        Value::String(text) => text.as_str().unwrap().into(),
        Value::Binary(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), as_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

proptest! {
    #[test]
    fn whatever_another_encoder_writes_comes_out_as_json(record in value()) {
        let body = packed(&entry(7, record.clone()));
        let event = Events::new(MediaType::Msgpack, &body).next().unwrap().unwrap();
        let found: serde_json::Value = serde_json::from_slice(&event.json).unwrap();
        let (found, expected) = (format!("{found:?}"), format!("{:?}", as_json(&record)));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_value_ends_where_its_encoder_ended_it(value in value(), cut in any::<prop::sample::Index>()) {
        let bytes = packed(&value);
        let cut = cut.index(bytes.len());
        let mut frame = msgpack::Frame::default();
        prop_assert_eq!(frame.find(&bytes[..cut]), Ok(None));
        prop_assert!(frame.at_least() <= bytes.len());
        prop_assert_eq!(frame.find(&[&bytes[..], b"more"].concat()), Ok(Some(bytes.len())));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for media_type in [MediaType::Json, MediaType::JsonLines, MediaType::Msgpack] {
            prop_assert!(read(media_type, &bytes).len() <= bytes.len());
        }
    }

    #[test]
    fn a_changed_byte_never_takes_the_reader_down(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = [hex(V2_ENTRY), hex(LEGACY_ENTRY)].concat();
        let at = at.index(body.len());
        body[at] = byte;
        prop_assert!(!read(MediaType::Msgpack, &body).is_empty());
    }
}
