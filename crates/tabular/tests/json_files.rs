use crate::support::Value::{Boolean, Integer, Missing, Number, Text};
use crate::support::{content, open, refusal};

#[test]
fn absent_null_and_nested() {
    let text = concat!(
        r#"{"a":1,"b":{"c":"x"},"f":true,"l":[1,2],"n":"Infinity"}"#,
        "\n\n",
        r#"{"b":null,"a":2.5,"g":"","n":-3}"#,
        "\n",
        r#"{"g":"NaN","f":false,"n":"NaN"}"#,
    );
    let mut table = open("f.jsonl", text.as_bytes()).unwrap();
    let skipped: Vec<_> = table.schema().unwrap().skipped.iter().map(|s| s.name.clone()).collect();
    assert_eq!(skipped, ["l"]);
    let (header, rows) = content(&mut table).unwrap();
    assert_eq!(header, ["a:Number", "b.c:Text", "f:Boolean", "n:Number", "g:Empty"]);
    let text = |s: &str| Text(s.to_owned());
    assert_eq!(
        rows,
        [
            vec![Number(1.0), text("x"), Boolean(true), Number(f64::INFINITY), Missing],
            vec![Number(2.5), Missing, Missing, Number(-3.0), Missing],
            vec![Missing, Missing, Boolean(false), Missing, Missing],
        ]
    );
}

#[test]
fn integers_stay_integers() {
    let mut table = open("f.json", b"{\"x\":7}\n{\"x\":null}\n").unwrap();
    assert_eq!(content(&mut table).unwrap().1, [vec![Integer(7)], vec![Missing]]);
}

#[test]
fn what_is_refused_says_where_and_what_to_do() {
    for (bytes, expected) in [
        (&b""[..], "`f.jsonl`: the file is empty\nhint: write one JSON object a line"),
        (
            b"[{\"a\":1}]\n",
            "`f.jsonl` line 1: an array, not an object\nhint: write one object a line instead of an array",
        ),
        (
            b"{\"a\":1}\n{\n",
            "`f.jsonl` line 2: not a JSON object: EOF while parsing an object at column 1\nhint: an object must not be spread over lines",
        ),
        (
            b"{\"a\":NaN}\n",
            "`f.jsonl` line 1: not a JSON object: expected value at column 6\nhint: NaN and Infinity are no JSON",
        ),
        (b"{\"a\":1,\"a\":2}\n", "`f.jsonl` line 1: key `a` appears twice\n"),
        (b"{\"a\":{\"b\":1},\"a.b\":2}\n", "`f.jsonl` line 1: key `a.b` appears twice\n"),
        (b"\n7\n", "`f.jsonl` line 2: not a JSON object: invalid type: integer `7`, expected an object"),
        (b"{\"a\":\"\xfc\"}\n", "`f.jsonl` line 1: byte 7 is not UTF-8\n"),
        (b"{\"a\":[1]}\n", "`f.jsonl`: no object has a value that can be a column\n"),
        (b"{}\n{}\n", "`f.jsonl`: no object has a value that can be a column\n"),
    ] {
        let got = refusal("f.jsonl", bytes);
        assert!(got.starts_with(expected), "{got}");
        assert!(got.contains("\nhint: "), "{got}");
    }
    let mut long = b"{\"a\":\"".to_vec();
    long.resize(18 << 20, b'x');
    assert!(refusal("f.jsonl", &long).starts_with("`f.jsonl` line 1: the line is longer than 16 MiB"));
    let wide: String = (0..20_001).map(|i| format!("{{\"k{i}\":1}}\n")).collect();
    assert!(
        refusal("f.jsonl", wide.as_bytes())
            .starts_with("`f.jsonl` line 20001: more than 20000 different keys, `k20000`")
    );
}
