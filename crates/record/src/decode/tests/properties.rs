//! What holds for every body.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::reader::Kind;
use super::*;

/// A scalar as JSON together with the cell it must become.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| json!(number)),
        (-1_000_000_i64..1_000_000).prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
        any::<bool>().prop_map(|value| json!(value)),
        Just(Value::Null),
    ]
}

fn expected(row: usize, name: &str, value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{row} {name} {}", number.as_f64().unwrap()),
        Value::String(text) => format!("{row} {name} `{text}`"),
        Value::Bool(value) => format!("{row} {name} `{value}`"),
        _ => format!("{row} {name} -"),
    }
}

/// Rows of equal width.
fn rows() -> impl Strategy<Value = Vec<Vec<Value>>> {
    (1_usize..6)
        .prop_flat_map(|width| prop::collection::vec(prop::collection::vec(scalar(), width..=width), 1..6))
}

/// JSON of any form, and text that is nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let value = scalar().prop_recursive(6, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    (value, any::<prop::sample::Index>(), any::<Option<u8>>()).prop_map(|(value, at, byte)| {
        let mut body = serde_json::to_vec(&value).unwrap();
        if let Some(byte) = byte {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body
    })
}

fn key() -> impl Strategy<Value = String> {
    let words = "instances|predictions|inputs|outputs|name|shape|datatype|data|parameters|a|b|rows|messages|content|text|prompt|input|model|choices|delta|usage|finish_reason|tool_calls|index|embedding";
    prop_oneof![4 => words.prop_map(|word: String| word), 1 => any::<String>()]
}

fn decoders() -> Vec<Decoder> {
    let paths = extracts(&[("a", "$.a"), ("b", "$.rows[*].b"), ("c", "$.data[0]"), ("d", "$[*]")]);
    let mut decoders: Vec<_> = Protocol::ALL.map(|p| Decoder::new(spec(p))).into();
    decoders.push(Decoder::new(DecoderSpec {
        features: paths.clone(),
        predictions: paths,
        ..spec(Protocol::Auto)
    }));
    decoders
}

/// All cells and counts, in their order.
fn all(into: &Decoded) -> String {
    format!(
        "{:?} {:?} {} {} {} {}",
        into.features().collect::<Vec<_>>(),
        into.predictions().collect::<Vec<_>>(),
        into.feature_rows(),
        into.prediction_rows(),
        into.n_unreadable(),
        into.precision_loss(),
    )
}

/// Decodes a body as both sides with fresh and with used buffers: no panic, limits kept, the same outcome.
fn hold(body: &[u8]) {
    for decoder in &mut decoders() {
        let mut into = Decoded::new();
        let first = (
            decoder.decode_request(b"/", body, &mut into),
            decoder.decode_response(b"/", body, &mut into),
            all(&into),
        );
        for cell in into.features().chain(into.predictions()) {
            assert!(cell.row < into.feature_rows().max(into.prediction_rows()));
            assert!(!matches!(cell.value, Cell::Number(number) if !number.is_finite()));
        }
        let mut seen = std::collections::HashSet::new();
        assert!(into.features().all(|cell| seen.insert((cell.row, cell.name))), "a row counts a name twice");
        let again = (
            decoder.decode_request(b"/", body, &mut into),
            decoder.decode_response(b"/", body, &mut into),
            all(&into),
        );
        assert_eq!(first, again);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        hold(&body);
    }

    #[test]
    fn anything_nearly_json_is_decoded_or_refused(body in nearly_json()) {
        hold(&body);
    }

    #[test]
    fn the_reader_accepts_what_serde_json_accepts(body in nearly_json()) {
        let mut reader = Reader::new(&body, 64);
        let ours = reader.skip_value().is_ok() && reader.finish().is_ok();
        // The two differ on one thing: strings that are not UTF-8 are skipped unseen there.
        let theirs = std::str::from_utf8(&body).is_ok() && serde_json::from_slice::<IgnoredAny>(&body).is_ok();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn any_number_is_read_like_the_standard_library_reads_it(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
        let mut reader = Reader::new(text.as_bytes(), 1);
        prop_assert_eq!(reader.kind().unwrap(), Kind::Number);
        let reader::Scalar::Number(number) = reader.scalar().unwrap() else { panic!("a number") };
        prop_assert_eq!(number.value.to_bits(), text.parse::<f64>().unwrap().to_bits());
        reader.finish().unwrap();
    }

    #[test]
    fn any_string_is_read_like_serde_json_reads_it(text in "([a-zé😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud83d\\\\ude00){0,12}") {
        let body = format!("\"{text}\"");
        let reader::Scalar::Text(ours) = Reader::new(body.as_bytes(), 1).scalar().unwrap() else { panic!("a string") };
        // Half a surrogate pair alone is refused there and U+FFFD here.
        if let Ok(theirs) = serde_json::from_str::<String>(&body) {
            prop_assert_eq!(&*ours.resolved(), &*theirs);
        }
    }

    #[test]
    fn rows_survive_kserve_v1(rows in rows()) {
        let body = json!({ "instances": rows }).to_string();
        let cells = rows.iter().enumerate().flat_map(|(row, values)| {
            values.iter().enumerate().map(move |(column, value)| expected(row, &format!("f{column}"), value))
        });
        prop_assert_eq!(request(spec(Protocol::Auto), &body).unwrap(), cells.collect::<Vec<_>>());
    }

    #[test]
    fn rows_survive_kserve_v2(rows in rows()) {
        let width = rows[0].len();
        let tensors: Vec<Value> = (0..width).map(|column| {
            let data: Vec<&Value> = rows.iter().map(|row| &row[column]).collect();
            json!({ "name": format!("c{column}"), "shape": [rows.len()], "datatype": "FP64", "data": data })
        }).collect();
        let cells: Vec<String> = rows.iter().enumerate().flat_map(|(row, values)| {
            values.iter().enumerate().map(move |(column, value)| expected(row, &format!("c{column}"), value))
        }).collect();
        let body = json!({ "inputs": tensors }).to_string();
        prop_assert_eq!(&request(spec(Protocol::Auto), &body).unwrap(), &cells);

        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let one = json!({ "inputs": [{ "data": rows, "datatype": "FP64", "shape": [rows.len(), width], "name": "c0" }] });
        let named = DecoderSpec { column_names: names, ..spec(Protocol::Auto) };
        prop_assert_eq!(&request(named, &one.to_string()).unwrap(), &cells);
    }

    #[test]
    fn rows_survive_plain_json(rows in rows()) {
        let objects: Vec<Value> = rows.iter().map(|row| {
            row.iter().enumerate().map(|(column, value)| (format!("c{column}"), value.clone())).collect()
        }).collect();
        let cells: Vec<String> = rows.iter().enumerate().flat_map(|(row, values)| {
            values.iter().enumerate().map(move |(column, value)| expected(row, &format!("c{column}"), value))
        }).collect();
        prop_assert_eq!(&request(spec(Protocol::Auto), &json!(objects).to_string()).unwrap(), &cells);
        prop_assert_eq!(&request(spec(Protocol::Auto), &json!({ "rows": objects }).to_string()).unwrap(), &cells);

        let paths: Vec<(String, String)> =
            (0..rows[0].len()).map(|column| (format!("c{column}"), format!("$[*].c{column}"))).collect();
        let paths: Vec<(&str, &str)> = paths.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
        let by_path = DecoderSpec { features: extracts(&paths), ..spec(Protocol::Auto) };
        prop_assert_eq!(&request(by_path, &json!(objects).to_string()).unwrap(), &cells);
    }
}
