//! Plain JSON, flattened and by path.

use super::*;

#[test]
fn flattened_requests() {
    let long: Vec<String> = (0..70).map(|n| n.to_string()).collect();
    let long = format!(r#"{{"v":[{}]}}"#, long.join(","));
    assert_eq!(request(spec(Protocol::Json), &long).unwrap().len(), 64);
    for (body, expected) in [
        (
            r#"{"a":1,"b":{"c":"x","d":null},"e":[true,2]}"#,
            "0 a 1, 0 b.c `x`, 0 b.d -, 0 e.0 `true`, 0 e.1 2",
        ),
        (r#"[{"a":1},{"a":2}]"#, "0 a 1, 1 a 2"),
        (r#"{"rows":[{"a":1},{"a":2}]}"#, "0 a 1, 1 a 2"),
        (r#"{"rows":[[1,2],[3,4]]}"#, "0 f0 1, 0 f1 2, 1 f0 3, 1 f1 4"),
        (r#"{"rows":[{"a":1},{"a":2}],"x":1}"#, "0 rows.0.a 1, 0 rows.1.a 2, 0 x 1"),
        ("[1,2]", "0 f0 1, 0 f1 2"),
        ("7", "0 f0 7"),
        (r#"{"a":1,"a":2}"#, "0 a 2"),
        (r#"{"":1}"#, "0 _ 1"),
        (r#"{"a":{},"b":[]}"#, "error empty"),
        ("{}", "error empty"),
        ("[]", "error empty"),
        ("", "error empty"),
        ("  \n", "error empty"),
        ("a,b\n1,2", "error not_json"),
        ("\u{feff}{}", "error not_json"),
        ("1,2", "error syntax"),
    ] {
        check(request(spec(Protocol::Json), body), expected);
    }
}

#[test]
fn flattened_answers() {
    for (body, expected) in [
        ("0.5", "0 prediction 0.5"),
        (r#""fraud""#, "0 prediction `fraud`"),
        (r#"{"score":0.5}"#, "0 prediction 0.5"),
        (r#"{"a":{"b":0.5}}"#, "0 prediction 0.5"),
        (r#"{"score":0.5,"label":"x"}"#, "0 prediction.label `x`, 0 prediction.score 0.5"),
        ("[0.5]", "0 prediction 0.5"),
        ("[0.5,0.6]", "0 prediction.0 0.5, 0 prediction.1 0.6"),
        (r#"[{"score":1},{"score":2}]"#, "0 prediction 1, 1 prediction 2"),
    ] {
        check(response(spec(Protocol::Json), body), expected);
    }
}

#[test]
fn an_answer_with_a_value_a_row_is_a_batch() {
    let rows = r#"[{"a":1},{"a":2}]"#;
    for answer in ["[0.5,0.6]", r#"{"scores":[0.5,0.6]}"#] {
        assert_eq!(decode(&exchange("/", rows, 200, answer)).1, "0 prediction 0.5, 1 prediction 0.6");
    }
    let other = decode(&exchange("/", rows, 200, "[0.5,0.6,0.7]")).1;
    assert_eq!(other, "0 prediction.0 0.5, 0 prediction.1 0.6, 0 prediction.2 0.7");
}

#[test]
fn exactly_the_selected_features() {
    let body = r#"{"user":{"age":30,"odd name":"x"},"rows":[{"amount":1,"tags":[5,6]},{"tags":7},{"amount":null}],"n":[[8,9]]}"#;
    for (paths, expected) in [
        (&[("age", "$.user.age")][..], "0 age 30"),
        (&[("o", "user['odd name']"), ("n", "$.n[0][1]")], "0 n 9, 0 o `x`"),
        (&[("amount", "$.rows[*].amount")], "0 amount 1, 1 amount -, 2 amount -"),
        (
            &[("age", "$.user.age"), ("t", "$.rows[*].tags[1]")],
            "0 age 30, 0 t 6, 1 age 30, 1 t -, 2 age 30, 2 t -",
        ),
        (
            &[("first", "$.rows[0].amount"), ("each", "$.rows[*].amount")],
            "0 each 1, 0 first 1, 1 each -, 1 first 1, 2 each -, 2 first 1",
        ),
        (&[("same", "$.user.age"), ("again", "$.user.age")], "0 again 30, 0 same 30"),
        // Not a scalar, or not there: missing.
        (&[("user", "$.user"), ("none", "$.none")], "0 none -, 0 user -"),
        (&[("none", "$.user.none.deeper")], "error unrecognised"),
        (&[("n", "$.n[7]")], "error unrecognised"),
        (&[("root", "$")], "0 root -"),
    ] {
        let spec = DecoderSpec { features: extracts(paths), ..spec(Protocol::Auto) };
        check(request(spec, body), expected);
    }
}

#[test]
fn a_selected_prediction_is_named_after_the_contract() {
    for (paths, body, expected) in [
        (&[("score", "$.s")][..], r#"{"s":1,"t":2}"#, "0 prediction 1"),
        (
            &[("score", "$.s"), ("prediction.t", "$.t")],
            r#"{"s":1,"t":2}"#,
            "0 prediction.score 1, 0 prediction.t 2",
        ),
        (&[("score", "$")], "0.5", "0 prediction 0.5"),
        (&[("score", "$[*].s")], r#"[{"s":1},{"s":2}]"#, "0 prediction 1, 1 prediction 2"),
    ] {
        let spec = DecoderSpec { predictions: extracts(paths), ..spec(Protocol::Auto) };
        check(response(spec, body), expected);
    }
}

#[test]
fn a_selected_key_given_twice_counts_once() {
    let spec = DecoderSpec { features: extracts(&[("a", "$.a")]), ..spec(Protocol::Auto) };
    check(request(spec, r#"{"a":1,"a":2}"#), "0 a 2");
}
