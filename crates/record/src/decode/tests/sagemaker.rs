//! SageMaker containers: CSV, JSON and JSON lines.

use proptest::prelude::*;

use super::*;

const CSV: &str = "text/csv";
const LINES: &str = "application/jsonlines";
const JSON: &str = "application/json";

fn cells(content_type: &str, body: &str, columns: &[&str]) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    let mut decoder = Decoder::new(named(Protocol::Auto, columns));
    match decoder.decode(&typed("/invocations", (content_type, body), (JSON, "1")), &mut into) {
        Ok(_) => Ok(shown(into.features())),
        Err(error) => {
            assert_eq!(into.n_cells(), 0);
            Err(error.kind.as_str())
        }
    }
}

/// The predictions for a request of two rows.
fn predictions(content_type: &str, body: &str) -> String {
    let found = decode(&typed("/endpoints/fraud/invocations", (CSV, "1,2\n3,4\n"), (content_type, body)));
    assert_eq!(found.0, "0 f0 1, 0 f1 2, 1 f0 3, 1 f1 4");
    found.2.map_or(found.1, |reason| format!("error {reason}"))
}

#[test]
fn the_documented_requests() {
    let rows = "0 f0 1.5, 0 f1 16, 0 f2 14, 0 f3 23, 1 f0 -2, 1 f1 100.2, 1 f2 15.2, 1 f3 9.2";
    let body = "1.5,16.0,14,23.0\n-2.0,100.2,15.2,9.2";
    for content_type in
        [CSV, "text/csv;label_size=0", "Text/CSV; charset=utf-8", "", "application/octet-stream"]
    {
        check(cells(content_type, body, &[]), rows);
    }
    check(
        cells(CSV, "132,25,113.2", &["account", "day", "amount"]),
        "0 account 132, 0 amount 113.2, 0 day 25",
    );
    check(cells(CSV, "1,2,3", &["a"]), "0 a 1, 0 f1 2, 0 f2 3");
    let json = r#"{"instances":[{"features":[1.5,16.0]},{"features":[-2.0,100.2]}]}"#;
    let rows = "0 features.0 1.5, 0 features.1 16, 1 features.0 -2, 1 features.1 100.2";
    check(cells(JSON, json, &[]), rows);
    check(cells("", json, &[]), rows);
    check(cells(LINES, "{\"features\":[1.5,16.0]}\n{\"features\":[-2.0,100.2]}", &[]), rows);
}

#[test]
fn a_list_of_just_the_profiles_columns_takes_their_names() {
    let rows = "0 amount 1.5, 0 day 16, 1 amount -2, 1 day 100.2";
    let columns = ["amount", "day"];
    let json = r#"{"instances":[{"features":[1.5,16.0]},{"features":[-2.0,100.2]}]}"#;
    check(cells(JSON, json, &columns), rows);
    check(cells(LINES, "{\"features\":[1.5,16.0]}\n{\"features\":[-2.0,100.2]}", &columns), rows);
    for (body, expected) in [
        (r#"{"instances":[{"features":[1,2,3]}]}"#, "0 features.0 1, 0 features.1 2, 0 features.2 3"),
        (r#"{"instances":[{"features":[1,2],"id":3}]}"#, "0 features.0 1, 0 features.1 2, 0 id 3"),
        (r#"{"instances":[{"features":[1,[2]]}]}"#, "0 features.0 1, 0 features.1.0 2"),
        (r#"{"instances":[{"features":[1,null]}]}"#, "0 amount 1, 0 day -"),
        (r#"{"instances":[{"features":7}]}"#, "0 features 7"),
    ] {
        check(cells(JSON, body, &columns), expected);
    }
    assert!(cells(JSON, r#"{"instances":[{"features":[1,2]"#, &columns).is_err());
}

#[test]
fn csv_fields() {
    for (body, expected) in [
        ("1\n", "0 f0 1"),
        ("1,\"a,b\",x y", "0 f0 1, 0 f1 `a,b`, 0 f2 `x y`"),
        ("\"say \"\"hi\"\"\",2", "0 f0 `say \"hi\"`, 0 f1 2"),
        ("\"two\r\nlines\",2\r\n", "0 f0 `two\r\nlines`, 0 f1 2"),
        ("\"12.5\", 7 ,\"\"", "0 f0 12.5, 0 f1 7, 0 f2 -"),
        ("1,,3", "0 f0 1, 0 f1 -, 0 f2 3"),
        (",", "0 f0 -, 0 f1 -"),
        ("true,False,-,1e3", "0 f0 `true`, 0 f1 `false`, 0 f2 `-`, 0 f3 1000"),
        ("NaN,inf,1e400", "0 f0 -, 0 f1 -, 0 f2 -"),
        ("02139, NA ,1.0", "0 f0 `02139`, 0 f1 `NA`, 0 f2 1"),
        ("\n\r\n1\n\n2\n\n", "0 f0 1, 1 f0 2"),
        ("1\r2\r", "0 f0 1, 1 f0 2"),
        ("\u{feff}1,2", "0 f0 1, 0 f1 2"),
        ("größe,😀", "0 f0 `größe`, 0 f1 `😀`"),
        ("1,2\n3", "error shape"),
        ("1\n2,3", "error shape"),
        ("\"a", "error syntax"),
        ("\"a\"b,1", "error syntax"),
        ("\"a\"\"", "error syntax"),
        ("", "error empty"),
        ("\n\r\n", "error empty"),
    ] {
        check(cells(CSV, body, &[]), expected);
    }
    let mut into = Decoded::new();
    let mut bytes = typed("/invocations", (CSV, ""), (CSV, "1"));
    bytes.request.chunks = vec![bytes::Bytes::from_static(b"1,\xff")];
    plain().decode(&bytes, &mut into).unwrap();
    assert_eq!(shown(into.features()), ["0 f0 1", "0 f1 -"]);
}

#[test]
fn csv_counts_what_is_not_exact() {
    let mut into = Decoded::new();
    let body = "9007199254740992,9007199254740993,-9007199254740993,99999999999999999999,0.1,inf,NaN";
    plain().decode_request(b"/invocations", body.as_bytes(), &mut into).unwrap();
    assert_eq!((into.precision_loss(), into.n_unreadable()), (3, 2));
}

#[test]
fn json_lines() {
    for (body, expected) in [
        ("{\"a\":1}\n{\"a\":2,\"b\":\"x\"}\n", "0 a 1, 1 a 2, 1 b `x`"),
        ("[1,2]\r\n[3,4]", "0 f0 1, 0 f1 2, 1 f0 3, 1 f1 4"),
        ("\n1\n\n2\n", "0 f0 1, 1 f0 2"),
        ("{\"a\":{\"b\":[true]}}", "0 a.b.0 `true`"),
        ("{\"a\":1}\n{\"a\":", "error syntax"),
        ("{\"a\":1}\nx", "error syntax"),
        ("x", "error not_json"),
        ("", "error empty"),
        ("{}\n{}", "error empty"),
    ] {
        for content_type in [LINES, "application/x-jsonlines", "application/x-ndjson; charset=utf-8"] {
            check(cells(content_type, body, &[]), expected);
        }
    }
    check(cells(LINES, "[1,2]\n[3,4]", &["x", "y"]), "0 x 1, 0 y 2, 1 x 3, 1 y 4");
}

#[test]
fn answers() {
    for (content_type, body, expected) in [
        (CSV, "0.5\n0.25\n", "0 prediction 0.5, 1 prediction 0.25"),
        ("text/csv; charset=utf-8", "0.5,0.25", "0 prediction 0.5, 1 prediction 0.25"),
        ("text/plain", "0.5,0.25", "0 prediction 0.5, 1 prediction 0.25"),
        (
            CSV,
            "0.5,a\n0.25,b",
            "0 prediction.0 0.5, 0 prediction.1 `a`, 1 prediction.0 0.25, 1 prediction.1 `b`",
        ),
        (CSV, "1,2,3", "0 prediction.0 1, 0 prediction.1 2, 0 prediction.2 3"),
        (JSON, r#"{"predictions":[{"score":0.9},{"score":0.8}]}"#, "0 prediction 0.9, 1 prediction 0.8"),
        (JSON, "[0.9,0.8]", "0 prediction 0.9, 1 prediction 0.8"),
        (LINES, "{\"score\":0.9}\n{\"score\":0.8}", "0 prediction 0.9, 1 prediction 0.8"),
        (
            LINES,
            "{\"score\":0.9,\"label\":\"x\"}\n{\"score\":0.8,\"label\":\"y\"}",
            "0 prediction.label `x`, 0 prediction.score 0.9, 1 prediction.label `y`, 1 prediction.score 0.8",
        ),
        ("text/html", "<html>", "error unrecognised"),
        (CSV, "", "error empty"),
        (CSV, "0.5\n0.25,1", "error shape"),
        // Content types that are those of the framework and not of the body.
        (JSON, "0.5\n0.25", "0 prediction 0.5, 1 prediction 0.25"),
        ("text/html", "[0.9,0.8]", "0 prediction 0.9, 1 prediction 0.8"),
        ("text/html; charset=utf-8", r#"{"value":[0.9,0.8]}"#, "0 prediction 0.9, 1 prediction 0.8"),
        ("text/html", "0.5\n0.25\n", "0 prediction 0.5, 1 prediction 0.25"),
        (CSV, r#"{"predictions":[0.5,0.25]}"#, "0 prediction 0.5, 1 prediction 0.25"),
        // A line more than the request has rows.
        (CSV, "score\n0.5\n0.25\n", "0 prediction 0.5, 1 prediction 0.25"),
        (
            CSV,
            "label,p\na,0.5\nb,0.25\n",
            "0 prediction.label `a`, 0 prediction.p 0.5, 1 prediction.label `b`, 1 prediction.p 0.25",
        ),
    ] {
        assert_eq!(predictions(content_type, body), expected, "{content_type} {body}");
    }
}

#[test]
fn other_content_types_are_refused_by_their_name() {
    for content_type in ["text/libsvm", "application/x-recordio-protobuf", "application/x-npy"] {
        check(cells(content_type, "1 2:3", &[]), "error unrecognised");
    }
}

#[test]
fn csv_and_json_lines_go_by_content_type_under_any_path() {
    let found = decode(&typed("/score", (CSV, "1,2"), (LINES, "{\"score\":0.5}")));
    assert_eq!(found, ("0 f0 1, 0 f1 2".to_owned(), "0 prediction 0.5".to_owned(), None));
}

#[test]
fn paths_do_not_lead_into_csv() {
    let features = extracts(&[("a", "$.a")]);
    let mut decoder = Decoder::new(DecoderSpec { features, ..spec(Protocol::Auto) });
    let error = decoder.decode(&typed("/invocations", (CSV, "1"), (CSV, "1")), &mut Decoded::new());
    assert_eq!(error.unwrap_err().kind, DecodeErrorKind::NotJson);
}

#[test]
fn limits_hold() {
    let limits = DecodeLimits {
        max_rows: 3,
        max_cells: 6,
        max_text_bytes: 40,
        max_name_bytes: 8,
        ..DecodeLimits::default()
    };
    let long = "x".repeat(41);
    for (content_type, body, expected) in [
        (CSV, "1\n2\n3", None),
        (CSV, "1\n2\n3\n4", Some(DecodeErrorKind::TooManyRows)),
        (CSV, "1,2,3\n4,5,6\n7,8,9", Some(DecodeErrorKind::TooManyCells)),
        (CSV, "1,2,3,4,5,6,7", Some(DecodeErrorKind::TooManyCells)),
        (CSV, &long, None),
        (LINES, "1\n2\n3\n4", Some(DecodeErrorKind::TooManyRows)),
        (LINES, "{}\n{}\n{}\n{}", Some(DecodeErrorKind::TooManyRows)),
        (LINES, "[1,2,3]\n[4,5,6]\n[7]", Some(DecodeErrorKind::TooManyCells)),
    ] {
        let mut decoder = Decoder::new(DecoderSpec { limits: limits.clone(), ..spec(Protocol::Auto) });
        let exchange = typed("/invocations", (content_type, body), (CSV, ""));
        let found = decoder.decode(&exchange, &mut Decoded::new());
        assert_eq!(found.err().map(|error| error.kind), expected, "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), kind in 0_usize..3) {
        let mut exchange = typed("/invocations", ([CSV, LINES, ""][kind], ""), ([CSV, LINES, ""][kind], ""));
        exchange.request = Body { chunks: vec![body.clone().into()], ..exchange.request };
        exchange.response = Body { chunks: vec![body.into()], ..exchange.response };
        let mut into = Decoded::new();
        let decoded = plain().decode(&exchange, &mut into);
        prop_assert_eq!(decoded.is_ok(), into.n_features() > 0);
        for cell in into.features().chain(into.predictions()) {
            prop_assert!(!matches!(cell.value, Cell::Number(number) if !number.is_finite()));
        }
    }

    #[test]
    fn rows_survive_csv(rows in (1_usize..5).prop_flat_map(|width| {
        prop::collection::vec(prop::collection::vec("[a-zé\",\n\r]{1,8}", width..=width), 1..5)
    })) {
        let quoted = |text: &String| format!("\"{}\"", text.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let body = rows.iter().map(line).collect::<Vec<_>>().join("\r\n");
        let expected: Vec<String> = rows.iter().enumerate().flat_map(|(row, texts)| {
            texts.iter().enumerate().map(move |(column, text)| match text.trim_ascii() {
                "" | "inf" | "nan" | "infinity" => format!("{row} f{column} -"),
                text => format!("{row} f{column} `{text}`"),
            })
        }).collect();
        prop_assert_eq!(cells(CSV, &body, &[]), Ok(expected));
    }
}
