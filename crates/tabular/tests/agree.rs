use crate::support::{Cells, Value, content, open, parquet};

/// The same rows, written by hand in each format.
#[test]
fn three_formats_one_table() {
    let csv = "amount,country,visits,vip,c.age,at\n\
        12.5,DE,3,True,40,2013-02-27T21:49:00Z\n\
        ,FR,,False,,\n\
        inf,\"Zürich, CH\",9007199254740993,,7,2013-02-27T21:49:00Z\n";
    let json = concat!(
        r#"{"amount":12.5,"country":"DE","visits":3,"vip":true,"c":{"age":40},"at":"2013-02-27T21:49:00Z"}"#,
        "\n",
        r#"{"country":"FR","vip":false,"c":null}"#,
        "\n",
        r#"{"amount":"Infinity","country":"Zürich, CH","visits":9007199254740993,"c":{"age":7},"at":"2013-02-27T21:49:00Z"}"#,
        "\n",
    );
    let schema = "message m {
        optional double amount;
        optional binary country (STRING);
        optional int64 visits;
        optional boolean vip;
        required group c { optional int32 age; }
        optional int64 at (TIMESTAMP(MILLIS,true));
    }";
    let at = Some(1_362_001_740_000);
    let columns = [
        Cells::Doubles(vec![Some(12.5), None, Some(f64::INFINITY)]),
        Cells::texts(&[Some("DE"), Some("FR"), Some("Zürich, CH")]),
        Cells::Int64s(vec![Some(3), None, Some(9_007_199_254_740_993)]),
        Cells::Bools(vec![Some(true), Some(false), None]),
        Cells::Int32s(vec![Some(40), None, Some(7)]),
        Cells::Int64s(vec![at, None, at]),
    ];
    let expected = content(&mut open("f.csv", csv.as_bytes()).unwrap()).unwrap();
    assert_eq!(expected.1[1][0], Value::Missing);
    assert_eq!(expected.1[0][3], Value::Boolean(true));
    assert_eq!(content(&mut open("f.jsonl", json.as_bytes()).unwrap()).unwrap(), expected);
    assert_eq!(content(&mut open("f.parquet", &parquet(schema, &[&columns])).unwrap()).unwrap(), expected);
}
