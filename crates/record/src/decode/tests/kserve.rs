//! KServe v1 and v2.

use super::*;

fn v2(inputs: &str) -> Result<Vec<String>, &'static str> {
    request(spec(Protocol::KserveV2), &format!(r#"{{"id":"r-42","inputs":[{inputs}]}}"#))
}

fn v2_answer(outputs: &str) -> Result<Vec<String>, &'static str> {
    response(spec(Protocol::KserveV2), &format!(r#"{{"model_name":"fraud","outputs":[{outputs}]}}"#))
}

#[test]
fn v2_the_documented_example() {
    let body = r#"{"id":"r-42","parameters":{"tenant":"eu"},
        "inputs":[{"name":"features","shape":[2,3],"datatype":"FP32","data":[1.0,2.0,3.0,4.0,5.0,6.0]},
                  {"name":"country","shape":[2],"datatype":"BYTES","data":["DE","FR"]}],
        "outputs":[{"name":"score"}]}"#;
    let rows = "0 country `DE`, 0 features.0 1, 0 features.1 2, 0 features.2 3, \
                1 country `FR`, 1 features.0 4, 1 features.1 5, 1 features.2 6";
    check(request(spec(Protocol::KserveV2), body), rows);
    let rows = "0 a 1, 0 b 2, 0 c 3, 0 country `DE`, 1 a 4, 1 b 5, 1 c 6, 1 country `FR`";
    check(request(named(Protocol::KserveV2, &["a", "b", "c"]), body), rows);
    // Names for another number of columns are not for these.
    check(
        request(named(Protocol::KserveV2, &["a", "b"]), body),
        "0 country `DE`, 0 features.0 1, 0 features.1 2, 0 features.2 3, \
         1 country `FR`, 1 features.0 4, 1 features.1 5, 1 features.2 6",
    );
    let answer = r#"{"model_name":"fraud","model_version":"7","id":"r-42",
        "outputs":[{"name":"score","shape":[2,1],"datatype":"FP32","data":[0.12,0.91]}]}"#;
    check(response(spec(Protocol::KserveV2), answer), "0 prediction 0.12, 1 prediction 0.91");
}

#[test]
fn v2_tensors() {
    for (inputs, expected) in [
        // Any order of keys, data flat or nested.
        (r#"{"data":[1,2],"shape":[2],"datatype":"FP32","name":"a"}"#, "0 a 1, 1 a 2"),
        (r#"{"name":"a","shape":[2,1],"datatype":"FP32","data":[[1],[2]]}"#, "0 a 1, 1 a 2"),
        (
            r#"{"name":"a","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]}"#,
            "0 a.0 1, 0 a.1 2, 1 a.0 3, 1 a.1 4",
        ),
        (
            r#"{"name":"a","shape":[1,2,2],"datatype":"FP32","data":[1,2,3,4]}"#,
            "0 a.0 1, 0 a.1 2, 0 a.2 3, 0 a.3 4",
        ),
        (r#"{"name":"a","shape":[],"datatype":"FP32","data":[1]}"#, "0 a 1"),
        // A batch only if all agree on dimension 0.
        (
            r#"{"name":"a","shape":[1],"datatype":"FP32","data":[1]},{"name":"b","shape":[1],"datatype":"FP32","data":[2]}"#,
            "0 a 1, 0 b 2",
        ),
        (
            r#"{"name":"a","shape":[2],"datatype":"FP32","data":[1,2]},{"name":"b","shape":[1],"datatype":"FP32","data":[3]}"#,
            "0 a.0 1, 0 a.1 2, 0 b 3",
        ),
        // Kinds of values.
        (
            r#"{"name":"a","shape":[4],"datatype":"BOOL","data":[true,false,1,0]}"#,
            "0 a `true`, 1 a `false`, 2 a `true`, 3 a `false`",
        ),
        (r#"{"data":[0,1],"name":"a","shape":[2],"datatype":"BOOL"}"#, "0 a `false`, 1 a `true`"),
        (
            r#"{"name":"a","shape":[4],"datatype":"FP32","data":[null,"x",-0.5e1,7]}"#,
            "0 a -, 1 a `x`, 2 a -5, 3 a 7",
        ),
        (
            r#"{"name":"a","shape":[1],"datatype":"BYTES","data":["\u00e9\n\ud83d\ude00\ud800"]}"#,
            "0 a `é\n😀\u{fffd}`",
        ),
        (r#"{"n\u0061me":"a","shape":[1],"datatype":"FP32","data":[1],"x":{"y":[{}]}}"#, "0 a 1"),
        (r#"{"name":"","shape":[1],"datatype":"FP32","data":[1]}"#, "0 _ 1"),
        // A key given twice: the last counts.
        (
            r#"{"name":"a","name":"b","shape":[9],"shape":[1],"datatype":"FP32","data":[1,2],"data":[3]}"#,
            "0 b 3",
        ),
        // Wrong.
        (r#"{"name":"a","shape":[3],"datatype":"FP32","data":[1,2]}"#, "error shape"),
        (r#"{"name":"a","shape":[1],"datatype":"FP32","data":[1,2]}"#, "error shape"),
        (r#"{"name":"a","shape":[-1],"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":"a","shape":[1.5],"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":"a","shape":["1"],"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":"a","shape":1,"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":"a","shape":[4294967296,4294967296,2],"datatype":"FP32","data":[1]}"#, "error shape"),
        (
            r#"{"name":"a","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"datatype":"FP32","data":[1]}"#,
            "error shape",
        ),
        (r#"{"name":"a","datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"shape":[1],"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":7,"shape":[1],"datatype":"FP32","data":[1]}"#, "error shape"),
        (r#"{"name":"a","shape":[1],"datatype":"FP32"}"#, "error shape"),
        (r#"{"name":"a","shape":[1],"datatype":"FP32","data":1}"#, "error shape"),
        (r#"{"name":"a","shape":[1],"datatype":"FP32","data":[{}]}"#, "error shape"),
        (r#"{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}"#, "error shape"),
        (r#"{"name":"a","shape":[0],"datatype":"FP32","data":[]}"#, "error empty"),
        (
            r#"{"name":"a","shape":[1],"datatype":"FP32","data":[1]},{"name":"a","shape":[1],"datatype":"FP32","data":[1]}"#,
            "error shape",
        ),
        ("7", "error shape"),
        ("", "error empty"),
    ] {
        check(v2(inputs), expected);
    }
}

#[test]
fn v2_bodies() {
    let tensor = r#"{"name":"a","shape":[1],"datatype":"FP32","data":[1]}"#;
    for (body, expected) in [
        (format!(r#"{{"inputs":[{tensor}]}}"#), "0 a 1"),
        (format!(r#"{{"inputs":[{tensor},{tensor}],"inputs":[{tensor}]}}"#), "0 a 1"),
        (format!(r#"{{"inputs":{tensor}}}"#), "error shape"),
        (format!(r#"{{"inputs":[{tensor}]}} x"#), "error syntax"),
        (format!(r#"{{"inputs":[{tensor}]"#), "error syntax"),
        (format!(r#"{{"inputs":[{tensor},]}}"#), "error syntax"),
        (r#"{"outputs":[]}"#.to_owned(), "error unrecognised"),
        ("[]".to_owned(), "error syntax"),
        (r#"{"inputs":[{"name":"a","shape":[1],"data":[1e400]}]}"#.to_owned(), "0 a -"),
    ] {
        check(request(spec(Protocol::KserveV2), &body), expected);
    }
}

#[test]
fn v2_answers() {
    for (outputs, expected) in [
        (r#"{"name":"s","shape":[2],"datatype":"FP32","data":[1,2]}"#, "0 prediction 1, 1 prediction 2"),
        (
            r#"{"name":"s","shape":[1,2],"datatype":"FP32","data":[1,2]}"#,
            "0 prediction.0 1, 0 prediction.1 2",
        ),
        (
            r#"{"name":"s","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"l","shape":[1],"datatype":"BYTES","data":["x"]}"#,
            "0 prediction.l `x`, 0 prediction.s.0 1, 0 prediction.s.1 2",
        ),
        (r#"{"name":"s","shape":[1],"datatype":"FP32","data":[NaN]}"#, "0 prediction -"),
    ] {
        check(v2_answer(outputs), expected);
    }
    check(response(spec(Protocol::KserveV2), r#"{"error":"boom"}"#), "error unrecognised");
}

#[test]
fn v1_instances() {
    for (body, expected) in [
        (r#"{"instances":[[1,2.5],[3,"x"]]}"#, "0 f0 1, 0 f1 2.5, 1 f0 3, 1 f1 `x`"),
        (r#"{"instances":[[1,[2,[3]]]]}"#, "0 f0 1, 0 f1.0 2, 0 f1.1.0 3"),
        (
            r#"{"signature_name":"s","instances":[{"a":1,"b":{"c":true,"d":[1,2]}}]}"#,
            "0 a 1, 0 b.c `true`, 0 b.d.0 1, 0 b.d.1 2",
        ),
        (r#"{"instances":[1,null,"x"]}"#, "0 f0 1, 1 f0 -, 2 f0 `x`"),
        (r#"{"instances":[{"a":1},{},{"a":2}]}"#, "0 a 1, 2 a 2"),
        (r#"{"instances":[{"a":1,"b":5,"a":2}]}"#, "0 a 2, 0 b 5"),
        (r#"{"instances":[{"a":{"b":1},"a.b":2}]}"#, "0 a.b 2"),
        (r#"{"instances":[[1],[2]],"instances":[[3]]}"#, "0 f0 3"),
        (r#"{"inputs":{"a":[1,2],"b":[[3],[4]]}}"#, "0 a 1, 0 b.0 3, 1 a 2, 1 b.0 4"),
        (r#"{"inputs":{"a":7}}"#, "0 a 7"),
        (r#"{"inputs":[[1,2]]}"#, "0 f0 1, 0 f1 2"),
        (r#"{"inputs":{"a":[1,2],"b":[3]}}"#, "error shape"),
        (r#"{"instances":{"a":1}}"#, "error shape"),
        (r#"{"instances":[]}"#, "error empty"),
        (r#"{"instances":[{}]}"#, "error empty"),
        (r#"{"predictions":[1]}"#, "error unrecognised"),
        (r#"{"instances":[[1,2}]"#, "error syntax"),
    ] {
        check(request(spec(Protocol::KserveV1), body), expected);
    }
    check(
        request(named(Protocol::KserveV1, &["age", "pay"]), r#"{"instances":[[1,[2,3],4]]}"#),
        "0 age 1, 0 f2 4, 0 pay.0 2, 0 pay.1 3",
    );
}

#[test]
fn v1_rows_without_cells_are_counted() {
    let mut into = Decoded::new();
    let body = br#"{"instances":[{"a":1},{},{}]}"#;
    Decoder::new(spec(Protocol::KserveV1)).decode_request(b"/", body, &mut into).unwrap();
    assert_eq!((into.feature_rows(), into.n_features()), (3, 1));
}

#[test]
fn v1_predictions() {
    for (body, expected) in [
        (r#"{"predictions":[0.1,0.9]}"#, "0 prediction 0.1, 1 prediction 0.9"),
        (r#"{"predictions":[[0.1],[0.9]]}"#, "0 prediction 0.1, 1 prediction 0.9"),
        (r#"{"predictions":[[0.1,0.9]]}"#, "0 prediction.0 0.1, 0 prediction.1 0.9"),
        (r#"{"predictions":[{"score":0.5}]}"#, "0 prediction 0.5"),
        (r#"{"predictions":[{"score":0.5,"label":"x"}]}"#, "0 prediction.label `x`, 0 prediction.score 0.5"),
        (r#"{"outputs":{"score":[0.5,0.6]}}"#, "0 prediction 0.5, 1 prediction 0.6"),
        (r#"{"outputs":{"s":[0.5],"l":["x"]}}"#, "0 prediction.l `x`, 0 prediction.s 0.5"),
        (r#"{"error":"boom"}"#, "error unrecognised"),
        (r#"{"predictions":[]}"#, "error empty"),
    ] {
        check(response(spec(Protocol::KserveV1), body), expected);
    }
}
