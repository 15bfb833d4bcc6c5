use proptest::prelude::*;

use crate::support::{Value, content, open};

#[derive(Clone, Debug)]
struct Row {
    number: Option<f64>,
    text: Option<String>,
    flag: Option<bool>,
}

fn row() -> impl Strategy<Value = Row> {
    let number = any::<f64>().prop_filter("a number", |v| !v.is_nan());
    // Texts no CSV reader could take for a number, a boolean or a missing value.
    let text = "x[ -~\u{e9}\u{4e1c}\n\r,\";]{0,12}";
    (prop::option::of(number), prop::option::of(text), prop::option::of(any::<bool>()))
        .prop_map(|(number, text, flag)| Row { number, text, flag })
}

/// What any format should give back.
fn expected(rows: &[Row]) -> Vec<Vec<Value>> {
    let or_missing = |value: Option<Value>| value.unwrap_or(Value::Missing);
    rows.iter()
        .map(|row| {
            vec![
                or_missing(row.number.map(Value::Number)),
                or_missing(row.text.as_deref().map(|text| Value::Text(text.trim().to_owned()))),
                or_missing(row.flag.map(Value::Boolean)),
            ]
        })
        .collect()
}

/// Integers only would make the column an integer one, which the test does not want.
fn as_numbers(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let as_number = |value| if let Value::Integer(i) = value { Value::Number(i as f64) } else { value };
    rows.into_iter().map(|row| row.into_iter().map(as_number).collect()).collect()
}

proptest! {
    #[test]
    fn csv(rows in prop::collection::vec(row(), 1..40)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["number", "text", "flag"]).unwrap();
        for row in &rows {
            let number = row.number.map(|v| v.to_string()).unwrap_or_default();
            let flag = row.flag.map(|v| v.to_string()).unwrap_or_default();
            writer.write_record([number, row.text.clone().unwrap_or_default(), flag]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let (_, got) = content(&mut open("f.csv", &bytes).unwrap()).unwrap();
        prop_assert_eq!(as_numbers(got), expected(&rows));
    }

    #[test]
    fn json_lines(rows in prop::collection::vec(row(), 1..40)) {
        let mut bytes = b"{\"number\":1e0,\"text\":\"x\",\"flag\":true}\n".to_vec();
        for row in &rows {
            let number = row.number.map(|v| match v {
                f64::INFINITY => serde_json::json!("Infinity"),
                f64::NEG_INFINITY => serde_json::json!("-Infinity"),
                _ => serde_json::json!(v),
            });
            let object = serde_json::json!({"text": row.text, "number": number, "flag": row.flag});
            serde_json::to_writer(&mut bytes, &object).unwrap();
            bytes.push(b'\n');
        }
        let (_, got) = content(&mut open("f.jsonl", &bytes).unwrap()).unwrap();
        prop_assert_eq!(&as_numbers(got)[1..], &expected(&rows)[..]);
    }

    /// Whatever is in a file, reading it ends in a table or an error.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\{\\}\\[\\]\":,;a0.\n\r\\\\ -]{0,80}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            for name in ["f.csv", "f.tsv", "f.jsonl", "f.parquet"] {
                if let Ok(mut table) = open(name, bytes) {
                    content(&mut table).ok();
                }
            }
        }
    }
}
