//! A decoder that has seen bodies written alike gives what one gives that has seen nothing.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What both sides of a body become, errors included.
fn outcome(decoder: &mut Decoder, path: &str, body: &[u8]) -> String {
    let mut into = Decoded::new();
    let request = decoder.decode_request(path.as_bytes(), body, &mut into);
    let answer = decoder.decode_response(path.as_bytes(), body, &mut into);
    format!(
        "{request:?} {answer:?} {:?} {:?} {} {} {} {}",
        into.features().collect::<Vec<_>>(),
        into.predictions().collect::<Vec<_>>(),
        into.feature_rows(),
        into.prediction_rows(),
        into.n_unreadable(),
        into.precision_loss(),
    )
}

/// Decodes bodies one after the other with one decoder, and each with a new one.
fn agree(spec: &DecoderSpec, path: &str, bodies: &[&[u8]]) {
    let mut seasoned = Decoder::new(spec.clone());
    for body in bodies {
        let fresh = outcome(&mut Decoder::new(spec.clone()), path, body);
        let text = String::from_utf8_lossy(body);
        assert_eq!(outcome(&mut seasoned, path, body), fresh, "{path} {text}");
    }
}

fn plain_specs() -> impl Iterator<Item = DecoderSpec> {
    let named = named(Protocol::Auto, &["x", "y"]);
    [Protocol::Auto, Protocol::KserveV1, Protocol::KserveV2, Protocol::Json, Protocol::Sagemaker]
        .into_iter()
        .map(spec)
        .chain([named])
}

#[test]
fn what_differs_is_parsed() {
    let tensors = |kind: &str, first: &str, second: &str| {
        format!(
            r#"{{"id":"7","inputs":[{{"name":"a","datatype":"{kind}","shape":[2],"data":[{first},{second}]}}],"outputs":[{{"name":"a","datatype":"{kind}","shape":[2],"data":[{first},{second}]}}]}}"#
        )
    };
    let values = [
        "1",
        "0",
        "-0.5",
        "1e400",
        "9007199254740993",
        "null",
        "true",
        "\"x\"",
        "\"\\u00e4\\n\"",
        "01",
        ".5",
        "{}",
        "[1]",
        "",
    ];
    for kind in ["FP64", "BOOL", "BYTES"] {
        let bodies: Vec<String> =
            values.iter().flat_map(|a| ["2", "false", a].map(|b| tensors(kind, a, b))).collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
        for spec in plain_specs() {
            agree(&spec, "/v2/models/m/infer", &bodies);
            agree(&spec, "/score", &bodies);
        }
    }
}

#[test]
fn the_structure_around_the_values_may_change() {
    let bodies = [
        r#"{"a":1,"b":"x"}"#,
        r#"{"a":2,"b":"y"}"#,
        r#"{"a": 3,"b":"y"} "#,
        r#"{"a":3,"a":4,"b":5}"#,
        r#"{"a":4,"a":5,"b":6}"#,
        r#"{"a":3,"b":5,"c":7}"#,
        r#"{"a":3,"b":{"c":7}}"#,
        r#"{"a":3,"b":"y"}x"#,
        r#"{"a":3,"b":"y""#,
        r#"{"a":1,"b":"z"}"#,
        "[1,2]",
        "[3,4]",
        "[[3,4]]",
        "[[3,4],[5,6]]",
        "[[3,4],[5,7]]",
        r#"{"predictions":[1],"instances":[[1,2]]}"#,
        r#"{"predictions":[2],"instances":[[3,4]]}"#,
        r#"{"predictions":[2],"instances":[[3,4]],"instances":[[5,6]]}"#,
        r#"{"predictions":[2],"instances":[[3,4]],"instances":[[5,7]]}"#,
        "7",
        "8",
        "\"a\"",
        "",
    ];
    let bodies = bodies.map(str::as_bytes);
    for spec in plain_specs() {
        agree(&spec, "/score", &bodies);
    }
    let mut lines = Decoder::new(spec(Protocol::Auto));
    let exchange = |body: &str| {
        let content_type = Some("application/jsonlines".into());
        let mut exchange = exchange("/", "", 200, "");
        exchange.request = Body { content_type, ..Body::complete(body.to_owned()) };
        exchange
    };
    let mut into = Decoded::new();
    for (body, cells) in [("1\n2\n", 2), ("12\n3\n", 2), ("1\n23", 2), ("12", 1), ("1 2 3", 3)] {
        lines.decode(&exchange(body), &mut into).unwrap();
        assert_eq!(into.features().count(), cells, "{body}");
    }
}

#[test]
fn limits_hold_for_bodies_written_alike() {
    let limits = DecodeLimits { max_text_bytes: 8, ..DecodeLimits::default() };
    let tight = DecoderSpec { limits, ..spec(Protocol::Auto) };
    agree(&tight, "/", &[br#"{"a":"xy"}"#, br#"{"a":"xyzuvw"}"#, br#"{"a":"xyzuvwab"}"#, br#"{"a":"z"}"#]);
}

/// A body, and the same with other scalars in some places.
fn alike() -> impl Strategy<Value = Vec<Value>> {
    let scalar = || {
        prop_oneof![
            (-1_000_i64..1_000).prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            "[a-zé\"\\\\]{0,4}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ]
    };
    let keys = "instances|predictions|inputs|outputs|name|shape|datatype|data|a|b";
    let body = scalar().prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((keys, inner), 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    (body, prop::collection::vec(prop::collection::vec((any::<bool>(), scalar()), 1..8), 1..4)).prop_map(
        |(body, changes)| {
            let mut bodies = vec![body.clone()];
            for changes in changes {
                let (mut body, mut changes) = (body.clone(), changes.into_iter().cycle());
                change(&mut body, &mut changes);
                bodies.push(body);
            }
            bodies
        },
    )
}

fn change(value: &mut Value, with: &mut impl Iterator<Item = (bool, Value)>) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| change(element, with)),
        Value::Object(members) => members.values_mut().for_each(|member| change(member, with)),
        scalar => {
            if let Some((true, other)) = with.next() {
                *scalar = other;
            }
        }
    }
}

proptest! {
    #[test]
    fn bodies_written_alike_are_decoded_as_if_they_were_not(
        bodies in alike(),
        hit in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut texts: Vec<Vec<u8>> = bodies.iter().map(|body| serde_json::to_vec(body).unwrap()).collect();
        let mut damaged = texts[0].clone();
        let at = hit.0.index(damaged.len());
        damaged[at] = hit.1;
        texts.insert(1, damaged);
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        for spec in plain_specs() {
            agree(&spec, "/", &texts);
        }
    }
}

#[test]
fn a_body_written_alike_is_not_parsed_again() {
    let mut decoder = Decoder::new(spec(Protocol::Auto));
    let mut into = Decoded::new();
    let mut missed = |body: &str| {
        decoder.decode_request(b"/", body.as_bytes(), &mut into).unwrap();
        decoder.request_layouts.missed()
    };
    assert_eq!(missed(r#"{"id":"a","a":1,"c":"DE"}"#), 1);
    assert_eq!(missed(r#"{"id":"bcd","a":-2.5e3,"c":"\u00e4"}"#), 0);
    assert_eq!(missed(r#"{"id":"a", "a":1,"c":"DE"}"#), 1, "a space more");
    assert_eq!(missed(r#"{"id":"a","a":null,"c":true}"#), 0, "both are known");
    assert_eq!(missed(r#"{"id":"b", "a":7,"c":"FR"}"#), 0, "both are known");
}
