//! Tables in JSON and CSV with a header line: each row is one inference with its own prediction.

use super::*;

/// Features, predictions and the problem of an exchange under a path.
fn both(path: &str, request: &str, answer: &str) -> (String, String, Option<&'static str>) {
    decode(&exchange(path, request, 200, answer))
}

const ROWS: &str = "0 age 31, 0 region `n`, 1 age 47, 1 region `s`";
const TWO: &str = "0 prediction 0.25, 1 prediction 0.75";

#[test]
fn the_orientations_of_data_frames_are_rows() {
    let split = r#""columns":["age","region"],"data":[[31,"n"],[47,"s"]]"#;
    for (path, request) in [
        ("/invocations", format!(r#"{{"dataframe_split":{{{split}}}}}"#)),
        ("/invocations", format!(r#"{{"dataframe_split":{{"index":[0,1],{split}}},"params":{{"a":1}}}}"#)),
        ("/invocations", r#"{"dataframe_split":{"data":[[31,"n"],[47,"s"]],"columns":["age","region"]}}"#.to_owned()),
        ("/score", format!(r#"{{"input_data":{{"index":[0,1],{split}}},"params":{{}}}}"#)),
        ("/score", r#"{"input_data":[{"age":31,"region":"n"},{"age":47,"region":"s"}]}"#.to_owned()),
        ("/score", r#"{"Inputs":{"data":[{"age":31,"region":"n"},{"age":47,"region":"s"}]},"GlobalParameters":1}"#.to_owned()),
        ("/score", r#"{"data":[{"age":31,"region":"n"},{"age":47,"region":"s"}],"method":"predict"}"#.to_owned()),
        ("/invocations", format!("{{{split}}}")),
        ("/invocations", format!(r#"{{"index":["x","y"],{split}}}"#)),
        ("/invocations", r#"{"dataframe_records":[{"age":31,"region":"n"},{"age":47,"region":"s"}],"client_request_id":"7"}"#.to_owned()),
        ("/v1/models/m:regress", r#"{"signature_name":"s","examples":[{"age":31,"region":"n"},{"age":47,"region":"s"}]}"#.to_owned()),
        ("/invocations", r#"{"inputs":{"age":[31,47],"region":["n","s"]},"params":{}}"#.to_owned()),
        ("/v1/models/m:predict", r#"{"signature_name":"s","inputs":{"age":[31,47],"region":["n","s"]}}"#.to_owned()),
        ("/any", r#"{"age":[31,47],"region":["n","s"]}"#.to_owned()),
        ("/api/v1.0/predictions", r#"{"data":{"names":["age","region"],"ndarray":[[31,"n"],[47,"s"]]},"meta":{"tags":{}}}"#.to_owned()),
    ] {
        let (features, predictions, problem) = both(path, &request, r#"{"predictions":[0.25,0.75]}"#);
        assert_eq!((&*features, &*predictions, problem), (ROWS, TWO, None), "{request}");
    }
}

#[test]
fn a_table_written_alike_is_read_by_its_own_names() {
    let mut decoder = plain();
    let mut into = Decoded::new();
    for (body, expected) in [
        (r#"{"dataframe_split":{"columns":["a","b"],"data":[[1,2]]}}"#, ["0 a 1", "0 b 2"]),
        (r#"{"dataframe_split":{"columns":["a","b"],"data":[[3,4]]}}"#, ["0 a 3", "0 b 4"]),
        (r#"{"dataframe_split":{"columns":["b","a"],"data":[[5,6]]}}"#, ["0 a 6", "0 b 5"]),
    ] {
        decoder.decode_request(b"/", body.as_bytes(), &mut into).unwrap();
        assert_eq!(shown(into.features()), expected, "{body}");
    }
}

#[test]
fn seldon_answers_like_it_is_asked() {
    let asked = r#"{"data":{"names":["a","b"],"tensor":{"shape":[2,2],"values":[1,2,3,4]}}}"#;
    for (answer, expected) in [
        (
            r#"{"data":{"names":["p"],"ndarray":[[0.25],[0.75]]},"meta":{}}"#,
            "0 prediction 0.25, 1 prediction 0.75",
        ),
        (
            r#"{"data":{"names":["p"],"tensor":{"shape":[2,1],"values":[0.25,0.75]}}}"#,
            "0 prediction 0.25, 1 prediction 0.75",
        ),
        (
            r#"{"data":{"tensor":{"values":[0.25,0.75],"shape":[2,1]}}}"#,
            "0 prediction 0.25, 1 prediction 0.75",
        ),
        (
            r#"{"data":{"names":["t:0","t:1"],"ndarray":[[0.1,0.9],[0.2,0.8]]}}"#,
            "0 prediction.t:0 0.1, 0 prediction.t:1 0.9, 1 prediction.t:0 0.2, 1 prediction.t:1 0.8",
        ),
        (r#"{"data":{"ndarray":["x","y"]}}"#, "0 prediction `x`, 1 prediction `y`"),
    ] {
        let (features, predictions, problem) = both("/api/v1.0/predictions", asked, answer);
        assert_eq!(features, "0 a 1, 0 b 2, 1 a 3, 1 b 4");
        assert_eq!((&*predictions, problem), (expected, None), "{answer}");
    }
    check(
        request(spec(Protocol::Auto), r#"{"data":{"tensor":{"shape":[2,2],"values":[1,2,3]}}}"#),
        "error shape",
    );
    check(request(spec(Protocol::Auto), r#"{"data":{"names":["a","b"],"ndarray":[1,2]}}"#), "0 a 1, 0 b 2");
    check(request(spec(Protocol::Auto), r#"{"data":{"ndarray":[]}}"#), "error empty");
}

#[test]
fn a_list_a_column_is_rows_when_the_answer_or_the_profile_agrees() {
    let asked = r#"{"lon":[-1.5,-2.5],"age":[52,34]}"#;
    let rows = "0 age 52, 0 lon -1.5, 1 age 34, 1 lon -2.5";
    let one = "0 age.0 52, 0 age.1 34, 0 lon.0 -1.5, 0 lon.1 -2.5";
    for (answer, features, predictions) in [
        (r#"{"value":[10.5,20.5]}"#, rows, "0 prediction 10.5, 1 prediction 20.5"),
        (r#"[10.5,20.5]"#, rows, "0 prediction 10.5, 1 prediction 20.5"),
        (
            r#"{"label":["a","b"],"score":[1,2],"model":"m"}"#,
            rows,
            "0 prediction.label `a`, 0 prediction.score 1, 1 prediction.label `b`, 1 prediction.score 2",
        ),
        (r#"{"distance":0.5}"#, one, "0 prediction 0.5"),
    ] {
        let found = both("/score", asked, answer);
        assert_eq!(found, (features.to_owned(), predictions.to_owned(), None), "{answer}");
        // And not by what a body like it was before.
        let mut decoder = plain();
        let mut into = Decoded::new();
        for (answer, features) in [(r#"{"d":0.5}"#, one), (answer, features)] {
            decoder.decode(&exchange("/score", asked, 200, answer), &mut into).unwrap();
            assert_eq!(shown(into.features()).join(", "), features);
        }
    }
    check(request(named(Protocol::Auto, &["lon", "age"]), asked), rows);
    check(request(spec(Protocol::Auto), r#"{"features":[1,2]}"#), "0 features.0 1, 0 features.1 2");
}

#[test]
fn a_header_line_is_no_inference() {
    let csv = |body: &str, columns: &[&str]| {
        let mut exchange = exchange("/invocations", body, 200, "");
        exchange.request.content_type = Some("text/csv".into());
        let mut into = Decoded::new();
        match Decoder::new(named(Protocol::Auto, columns)).decode(&exchange, &mut into) {
            Ok(_) => shown(into.features()).join(", "),
            Err(error) => format!("error {}", error.kind),
        }
    };
    for (body, columns, expected) in [
        ("age,region\n31,n\n", &["age", "region"][..], "0 age 31, 0 region `n`"),
        ("age,region\n31,n\n", &[], "0 age 31, 0 region `n`"),
        ("region,age\nn,31\n", &["age", "region"], "0 age 31, 0 region `n`"),
        ("\u{feff}\"age\", region\r\n31,n\r\n47,s", &[], "0 age 31, 0 region `n`, 1 age 47, 1 region `s`"),
        ("kind,region\nx,n\n", &["kind", "region"], "0 kind `x`, 0 region `n`"),
        // All text, and names that nobody knows: rows.
        ("x,n\ny,s\n", &["kind", "region"], "0 kind `x`, 0 region `n`, 1 kind `y`, 1 region `s`"),
        ("n,n\n1,2\n", &[], "0 f0 `n`, 0 f1 `n`, 1 f0 1, 1 f1 2"),
        ("31,n\n47,s\n", &["age", "region"], "0 age 31, 0 region `n`, 1 age 47, 1 region `s`"),
        ("n,31\n", &[], "0 f0 `n`, 0 f1 31"),
        ("age,region\n", &["age", "region"], "error empty"),
    ] {
        assert_eq!(csv(body, columns), expected, "{body}");
    }
}

#[test]
fn classes_of_triton_are_a_class_and_a_score() {
    let answer = |shape: &str, data: &str| {
        let body =
            format!(r#"{{"outputs":[{{"name":"o","datatype":"BYTES","shape":{shape},"data":{data}}}]}}"#);
        response(spec(Protocol::KserveV2), &body)
    };
    for (shape, data, expected) in [
        ("[1,1]", r#"["12.5:1:DOG"]"#, "0 prediction `DOG`, 0 prediction.score 12.5"),
        (
            "[2,1]",
            r#"["0.9:1:DOG","1e-3:0:CAT"]"#,
            "0 prediction `DOG`, 0 prediction.score 0.9, 1 prediction `CAT`, 1 prediction.score 0.001",
        ),
        (
            "[1,2]",
            r#"["12.5:1","2.5:0"]"#,
            "0 prediction.0 `1`, 0 prediction.0.score 12.5, 0 prediction.1 `0`, 0 prediction.1.score 2.5",
        ),
        ("[1]", r#"["5:7:dog: big"]"#, "0 prediction `dog: big`, 0 prediction.score 5"),
        ("[1]", r#"["12:30:45"]"#, "0 prediction `12:30:45`"),
        ("[2]", r#"["0.9:1:DOG","none"]"#, "0 prediction `0.9:1:DOG`, 1 prediction `none`"),
        ("[1]", r#"["a:1:b"]"#, "0 prediction `a:1:b`"),
    ] {
        check(answer(shape, data), expected);
    }
}
