//! Bodies that are meant to hurt.

use super::*;

const ALL: [Protocol; 8] = Protocol::ALL;

/// Those whose bodies are JSON, or may be.
const JSON: [Protocol; 7] = [
    Protocol::Auto,
    Protocol::KserveV1,
    Protocol::KserveV2,
    Protocol::Sagemaker,
    Protocol::Vertex,
    Protocol::Openai,
    Protocol::Json,
];

#[test]
fn numbers_that_are_none_are_missing_and_counted() {
    for word in ["NaN", "Infinity", "-Infinity", "nan", "-NaN", "inf", "-inf", "INF", "1e400"] {
        let mut decoder = plain();
        let mut into = Decoded::new();
        for (body, name) in [
            (format!(r#"{{"a":{word},"b":1}}"#), "a"),
            (format!(r#"{{"instances":[[{word},1]]}}"#), "f0"),
            (
                format!(r#"{{"inputs":[{{"name":"t","shape":[1,2],"datatype":"FP32","data":[{word},1]}}]}}"#),
                "t.0",
            ),
        ] {
            // The second time by its layout.
            for _ in 0..2 {
                decoder.decode_request(b"/", body.as_bytes(), &mut into).unwrap();
                assert_eq!(shown(into.features())[0], format!("0 {name} -"), "{body}");
                let why: Vec<_> = into.unreadable().collect();
                assert_eq!(why, [(name, crate::Unreadable::NotFinite)], "{body}");
            }
        }
        let answer = format!(r#"{{"predictions":[{word}]}}"#);
        check(response(spec(Protocol::KserveV1), &answer), "0 prediction -");
    }
    check(request(spec(Protocol::Auto), r#"[NaN,1]"#), "0 f0 -, 0 f1 1");
}

#[test]
fn numbers_that_are_not_json() {
    for word in ["NaX", "Infinite", "in", "-", "--1", "+1", "01", ".5", "1.", "1e", "0x1", "-", "1_0"] {
        check(request(spec(Protocol::Json), &format!(r#"{{"a":{word}}}"#)), "error syntax");
        check(request(spec(Protocol::KserveV1), &format!(r#"{{"instances":[[{word}]]}}"#)), "error syntax");
        check(response(spec(Protocol::KserveV1), &format!(r#"{{"predictions":[{word}]}}"#)), "error syntax");
    }
}

#[test]
fn numbers_over_the_range_are_infinite_and_counted() {
    let digits = "9".repeat(400);
    let mut decoder = plain();
    let mut into = Decoded::new();
    let body = format!(r#"{{"a":1e400,"b":-1e400,"c":{digits},"d":1e308,"e":1e-400}}"#);
    decoder.decode_request(b"/", body.as_bytes(), &mut into).unwrap();
    assert_eq!(shown(into.features()), ["0 a -", "0 b -", "0 c -", &format!("0 d {}", 1e308), "0 e 0"]);
    assert_eq!(into.n_unreadable(), 3);
    decoder.decode_request(b"/", b"1", &mut into).unwrap();
    assert_eq!(into.n_unreadable(), 0);
}

#[test]
fn integers_that_are_not_exact_are_counted() {
    let mut into = Decoded::new();
    for (number, value, counted) in [
        ("9007199254740992", 9_007_199_254_740_992.0, 0),
        ("9007199254740993", 9_007_199_254_740_992.0, 1),
        ("18446744073709551615", 18_446_744_073_709_551_615.0, 1),
        ("-9223372036854775809", -9_223_372_036_854_775_809.0, 1),
        ("123456789012345678901234567890", 1.234_567_890_123_456_8e29, 1),
        ("0.12345678901234567890", 0.123_456_789_012_345_68, 0),
        ("-0.0", 0.0, 0),
        ("5e-324", 5e-324, 0),
        ("1.7976931348623157e308", f64::MAX, 0),
        ("0.1", 0.1, 0),
        ("-12.5E+1", -125.0, 0),
        ("0.000000000000000000000001", 1e-24, 0),
    ] {
        plain().decode_request(b"/", number.as_bytes(), &mut into).unwrap();
        let cell = into.features().next().unwrap();
        assert_eq!((cell.value, into.precision_loss()), (Cell::Number(value), counted), "{number}");
    }
}

#[test]
fn values_of_another_type_stay_what_they_are() {
    let body = r#"{"n":null,"t":true,"l":[],"o":{},"e":"","q":"12.5","c":"1,5","i":"١٢","s":" 7 "}"#;
    check(
        request(spec(Protocol::Json), body),
        "0 c `1,5`, 0 e ``, 0 i `١٢`, 0 n -, 0 q `12.5`, 0 s ` 7 `, 0 t `true`",
    );
}

/// Nesting that would overflow the stack of anything that recurses.
#[test]
fn deep_nesting_is_refused_on_a_small_stack() {
    let deep = [
        format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)),
        "[".repeat(200_000),
        format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000)),
        format!("{}1{}", r#"[{"a":"#.repeat(100_000), "}]".repeat(100_000)),
    ];
    let mut bodies = deep.to_vec();
    for body in &deep {
        for (before, after) in [
            (r#"{"instances":["#, "]}"),
            (r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":["#, "]}]}"),
            (r#"{"inputs":[{"shape":[1],"x":"#, "}]}"),
            (r#"{"skipped":"#, "}"),
            (r#"{"rows":["#, "]}"),
        ] {
            bodies.push(format!("{before}{body}{after}"));
        }
    }
    let test = move || {
        for max_depth in [1, 32, 64, usize::MAX] {
            for (protocol, paths) in
                JSON.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)])
            {
                let mut spec = spec(protocol);
                spec.limits.max_depth = max_depth;
                if paths {
                    spec.features = extracts(&[("x", &format!("$.rows[*]{}", "[0]".repeat(300)))]);
                }
                let mut decoder = Decoder::new(spec);
                for body in &bodies {
                    let error =
                        decoder.decode_request(b"/", body.as_bytes(), &mut Decoded::new()).unwrap_err();
                    // A protocol may stop earlier, at an object where a value must stand.
                    let early = matches!(error.kind, DecodeErrorKind::Shape | DecodeErrorKind::Syntax);
                    assert!(error.kind == DecodeErrorKind::Depth || early, "{error}");
                    assert!(error.message.len() < 200);
                }
                let error =
                    decoder.decode_request(b"/", deep[0].as_bytes(), &mut Decoded::new()).unwrap_err();
                let expected = match protocol {
                    Protocol::KserveV1 | Protocol::KserveV2 | Protocol::Vertex if !paths => {
                        DecodeErrorKind::Syntax
                    }
                    Protocol::Openai if !paths => DecodeErrorKind::Shape,
                    _ => DecodeErrorKind::Depth,
                };
                assert_eq!(error.kind, expected);
            }
        }
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(test).unwrap().join().unwrap();
}

#[test]
fn nesting_within_the_limit_is_read() {
    let body = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(request(spec(Protocol::Json), &body(32)).is_ok());
    check(request(spec(Protocol::Json), &body(33)), "error depth");
}

#[test]
fn limits_hold_in_every_protocol() {
    let limits = DecodeLimits {
        max_rows: 3,
        max_cells: 6,
        max_text_bytes: 40,
        max_name_bytes: 8,
        max_depth: 8,
        ..DecodeLimits::default()
    };
    let tensor = |name: &str, count: usize| {
        let data = vec!["1"; count].join(",");
        format!(r#"{{"inputs":[{{"name":"{name}","shape":[{count}],"datatype":"FP32","data":[{data}]}}]}}"#)
    };
    let rows = |count: usize, row: &str| format!(r#"{{"instances":[{}]}}"#, vec![row; count].join(","));
    let long = "x".repeat(41);
    for (body, expected) in [
        (tensor("a", 3), "0 a 1, 1 a 1, 2 a 1"),
        (tensor("a", 4), "error too_many_rows"),
        (tensor("a", 7), "error too_many_cells"),
        (tensor("abcdefghi", 1), "error text_too_long"),
        (rows(3, "1"), "0 f0 1, 1 f0 1, 2 f0 1"),
        (rows(4, "1"), "error too_many_rows"),
        (rows(4, "{}"), "error too_many_rows"),
        (rows(3, "[1,2,3]"), "error too_many_cells"),
        (rows(1, r#"{"abcdefghi":1}"#), "error text_too_long"),
        (rows(1, r#"{"abcd":{"efgh":1}}"#), "error text_too_long"),
        (rows(1, &format!(r#""{long}""#)), "0 f0 -"),
        (r#"{"a":[1,2,3,4,5,6,7]}"#.to_owned(), "error too_many_cells"),
        (r#"[{"a":1},{"a":1},{"a":1},{"a":1}]"#.to_owned(), "error too_many_rows"),
        (format!(r#"{{"a":"{long}"}}"#), "0 a -"),
        (format!(r#"{{"a":"{long}","b":1}}"#), "0 a -, 0 b 1"),
    ] {
        check(request(DecoderSpec { limits: limits.clone(), ..spec(Protocol::Auto) }, &body), expected);
    }
    for (body, expected) in
        [(r#"{"r":[1,2,3]}"#, "error too_many_cells"), (r#"{"r":[1]}"#, "0 a 1, 0 b -, 0 c -")]
    {
        let features = extracts(&[("a", "$.r[*]"), ("b", "$.b"), ("c", "$.c")]);
        let spec = DecoderSpec { features, limits: limits.clone(), ..spec(Protocol::Auto) };
        check(request(spec, body), expected);
    }
}

#[test]
fn a_million_names_do_not_stay() {
    let mut decoder = plain();
    let mut into = Decoded::new();
    for batch in 0..20 {
        let names: Vec<String> = (0..1_000).map(|name| format!(r#""n{batch}-{name}":1"#)).collect();
        decoder.decode_request(b"/", format!("{{{}}}", names.join(",")).as_bytes(), &mut into).unwrap();
        assert_eq!(into.n_features(), 1_000);
    }
    assert!(decoder.feature_names.len() <= 6_000);
}

#[test]
fn messages_hold_nothing_of_the_body() {
    let mut errors = 0;
    for body in [
        r#"{"secret":"secret""#,
        r#"{"secret":secret}"#,
        r#"{"instances":{"secret":1}}"#,
        r#"{"inputs":[{"name":"secret","shape":["secret"],"data":["secret"]}]}"#,
        r#"{"inputs":[{"name":"secret","shape":[2],"data":["secret"]}]}"#,
        "secret",
        "{\"secret\":\"\u{1}\"}",
    ] {
        for protocol in ALL {
            let mut into = Decoded::new();
            if let Err(error) = Decoder::new(spec(protocol)).decode_request(b"/", body.as_bytes(), &mut into)
            {
                errors += 1;
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }
    assert!(errors >= 20, "{errors} errors");
}

#[test]
fn bytes_that_are_not_utf_8_cost_the_value_that_holds_them() {
    let mut into = Decoded::new();
    for _ in 0..2 {
        let body = b"{\"a\":\"x\xffy\",\"b\":\"z\",\"c\":1}";
        plain().decode_request(b"/", body, &mut into).unwrap();
        assert_eq!(shown(into.features()), ["0 a -", "0 b `z`", "0 c 1"]);
        assert_eq!(into.unreadable().collect::<Vec<_>>(), [("a", crate::Unreadable::NotUtf8)]);
    }
    for body in [&b"{\"a\":1}\xff"[..], b"{\"a\":1,\xff"] {
        let error = plain().decode_request(b"/", body, &mut into).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Syntax);
        assert!(error.message.contains("UTF-8"), "{error}");
    }
    let error = plain().decode_request(b"/", b"\xff", &mut into).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::NotJson);
}
