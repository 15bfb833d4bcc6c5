//! Binary tensors of KServe v2.

use super::*;

/// A request: the JSON part of `inputs` and the bytes behind it.
fn body(inputs: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(r#"{{"inputs":[{inputs}],"outputs":[{{"name":"score"}}]}}"#).into_bytes();
    body.extend_from_slice(bytes);
    body
}

/// A tensor's JSON.
fn tensor(name: &str, shape: &str, datatype: &str, bytes: usize) -> String {
    format!(
        r#"{{"name":"{name}","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{bytes}}}}}"#
    )
}

fn decoded(body: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    let path = b"/v2/models/fraud/infer";
    match plain().decode_request(path, body, &mut into) {
        Ok(()) => Ok(shown(into.features())),
        Err(error) => {
            assert_eq!((into.n_cells(), into.feature_rows()), (0, 0));
            Err(error.kind.as_str())
        }
    }
}

#[test]
fn the_documented_example() {
    let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.5].iter().flat_map(|n| n.to_le_bytes()).collect();
    let body = body(&tensor("features", "[2,3]", "FP32", 24), &bytes);
    let cells =
        "0 features.0 1, 0 features.1 2, 0 features.2 3, 1 features.0 4, 1 features.1 5, 1 features.2 6.5";
    check(decoded(&body), cells);
    // The same under another path: the body says what it is.
    let mut into = Decoded::new();
    plain().decode_request(b"/score", &body, &mut into).unwrap();
    assert_eq!(shown(into.features()).join(", "), cells);
}

#[test]
fn every_datatype() {
    let text = [&5_u32.to_le_bytes()[..], "Zoë".as_bytes(), b"!", &0_u32.to_le_bytes()].concat();
    for (datatype, bytes, expected) in [
        ("BOOL", vec![1, 0], "0 a `true`, 1 a `false`"),
        ("UINT8", vec![255, 7], "0 a 255, 1 a 7"),
        ("INT8", vec![255, 7], "0 a -1, 1 a 7"),
        ("UINT16", vec![255, 255, 1, 0], "0 a 65535, 1 a 1"),
        ("INT16", vec![255, 255, 1, 0], "0 a -1, 1 a 1"),
        ("UINT32", [u32::MAX, 1].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 4294967295, 1 a 1"),
        ("INT32", [i32::MIN, 1].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a -2147483648, 1 a 1"),
        (
            "UINT64",
            [1_u64 << 60, 1].iter().flat_map(|n| n.to_le_bytes()).collect(),
            "0 a 1152921504606847000, 1 a 1",
        ),
        ("INT64", [-5_i64, 1].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a -5, 1 a 1"),
        ("FP16", [0x3c00_u16, 0xc500].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 1, 1 a -5"),
        ("BF16", [0x3fc0_u16, 0x7fc0].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 1.5, 1 a -"),
        ("FP32", [0.5_f32, f32::INFINITY].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 0.5, 1 a -"),
        ("fp64", [0.1_f64, -2.0].iter().flat_map(|n| n.to_le_bytes()).collect(), "0 a 0.1, 1 a -2"),
        ("BYTES", text, "0 a `Zoë!`, 1 a ``"),
    ] {
        check(decoded(&body(&tensor("a", "[2]", datatype, bytes.len()), &bytes)), expected);
    }
}

#[test]
fn rounded_and_infinite_values_are_counted() {
    let bytes: Vec<u8> = [u64::MAX, 1 << 53].iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut into = Decoded::new();
    let mut decoder = plain();
    decoder.decode_request(b"/", &body(&tensor("a", "[2]", "UINT64", 16), &bytes), &mut into).unwrap();
    assert_eq!((into.precision_loss(), into.n_unreadable()), (1, 0));
    let bytes = f64::NAN.to_le_bytes();
    decoder.decode_request(b"/", &body(&tensor("a", "[1]", "FP64", 8), &bytes), &mut into).unwrap();
    assert_eq!((into.precision_loss(), into.n_unreadable()), (0, 1));
}

#[test]
fn binary_and_json_tensors_mix() {
    let json = r#"{"name":"j","shape":[2],"datatype":"FP32","data":[10,20]}"#;
    let (a, b) = (tensor("a", "[2]", "UINT8", 2), tensor("b", "[2,1]", "INT16", 4));
    let cells = "0 a 1, 0 b 3, 0 j 10, 1 a 2, 1 b 4, 1 j 20";
    check(decoded(&body(&format!("{a},{json},{b}"), &[1, 2, 3, 0, 4, 0])), cells);
    // White space may end the JSON part.
    check(decoded(&body(&format!("{a},{json},{b}"), b" \n\x01\x02\x03\x00\x04\x00")), cells);
}

#[test]
fn answers_are_read_alike() {
    let mut answer = br#"{"model_name":"m","outputs":[{"name":"s","shape":[2,1],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#.to_vec();
    answer.extend([0.25_f32, 0.5].iter().flat_map(|n| n.to_le_bytes()));
    let mut into = Decoded::new();
    plain().decode_response(b"/v2/models/m/infer", &answer, &mut into).unwrap();
    assert_eq!(shown(into.predictions()).join(", "), "0 prediction 0.25, 1 prediction 0.5");
}

#[test]
fn sizes_that_disagree_are_refused() {
    let bytes = |length: u32, text: &[u8]| [&length.to_le_bytes()[..], text].concat();
    let both =
        r#"{"name":"a","shape":[1],"datatype":"UINT8","data":[1],"parameters":{"binary_data_size":1}}"#;
    let json = r#"{"name":"a","shape":[1],"datatype":"UINT8","data":[1]}"#;
    for (inputs, bytes, expected) in [
        (tensor("a", "[2]", "FP32", 8), vec![0; 7], "error shape"),
        (tensor("a", "[2]", "FP32", 8), vec![0; 9], "error shape"),
        (tensor("a", "[2]", "FP32", 8), vec![], "error shape"),
        (tensor("a", "[2]", "FP32", 7), vec![0; 7], "error shape"),
        (tensor("a", "[3]", "FP32", 8), vec![0; 8], "error shape"),
        (tensor("a", "[9007199254740992]", "FP32", 8), vec![0; 8], "error shape"),
        (tensor("a", "[2]", "FP32", usize::MAX), vec![0; 8], "error shape"),
        (tensor("a", "[1]", "BYTES", 7), bytes(4, b"abc"), "error shape"),
        (tensor("a", "[1]", "BYTES", 7), bytes(2, b"abc"), "error shape"),
        (tensor("a", "[2]", "BYTES", 7), bytes(3, b"abc"), "error shape"),
        (tensor("a", "[1]", "BYTES", 7), bytes(u32::MAX, b"abc"), "error shape"),
        (tensor("a", "[1]", "BYTES", 3), vec![0; 3], "error shape"),
        (tensor("a", "[1]", "BYTES", 6), bytes(2, b"\xff\xfe"), "0 a -"),
        (tensor("a", "[1]", "FP8", 1), vec![0], "error binary_tensor"),
        (tensor("a", "[200000]", "UINT8", 200_000), vec![0; 200_000], "error too_many_cells"),
        (both.to_owned(), vec![1], "error shape"),
        (json.to_owned(), vec![1], "error syntax"),
        (
            r#"{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":-1}}"#.to_owned(),
            vec![1],
            "error shape",
        ),
        (
            r#"{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":"1"}}"#.to_owned(),
            vec![1],
            "error shape",
        ),
    ] {
        check(decoded(&body(&inputs, &bytes)), expected);
    }
}

#[test]
fn tensors_of_an_earlier_body_are_forgotten() {
    let mut decoder = Decoder::new(spec(Protocol::KserveV2));
    let mut into = Decoded::new();
    let broken = body(&tensor("a", "[2]", "FP32", 8), &[0; 7]);
    assert!(decoder.decode_request(b"/", &broken, &mut into).is_err());
    let error = decoder.decode_request(b"/", br#"{"x":1} x"#, &mut into).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Syntax);
}

proptest::proptest! {
    #[test]
    fn any_bytes_behind_any_datatype_are_read_or_refused(
        kind in 0_usize..14,
        rows in 0_u64..6,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        let kinds = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"];
        let inputs = tensor("a", &format!("[{rows}]"), kinds[kind], bytes.len());
        if let Ok(cells) = decoded(&body(&inputs, &bytes)) {
            proptest::prop_assert_eq!(cells.len() as u64, rows);
        }
    }

    #[test]
    fn doubles_survive(numbers in proptest::collection::vec(-1e300_f64..1e300, 1..20)) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let inputs = tensor("a", &format!("[{}]", numbers.len()), "FP64", bytes.len());
        let mut into = Decoded::new();
        plain().decode_request(b"/", &body(&inputs, &bytes), &mut into).unwrap();
        let found: Vec<_> = into.features().map(|cell| cell.value).collect();
        proptest::prop_assert_eq!(found, numbers.iter().map(|n| Cell::Number(*n)).collect::<Vec<_>>());
    }
}
