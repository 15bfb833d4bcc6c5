use crate::support::Value::{Boolean, Integer, Missing, Number, Text};
use crate::support::{Cells, content, open, parquet, refusal};

fn text(s: &str) -> crate::support::Value {
    Text(s.to_owned())
}

#[test]
fn every_type_with_nulls_over_two_row_groups() {
    let schema = "message m {
        optional boolean b;
        optional int32 i;
        optional int64 u (INTEGER(64,false));
        optional int96 t96;
        optional float f;
        optional double d;
        optional binary s (STRING);
        optional binary raw;
        optional fixed_len_byte_array(2) dec (DECIMAL(4,1));
        optional int64 dec64 (DECIMAL(10,2));
        optional int32 day (DATE);
        optional int64 at (TIMESTAMP(MICROS,true));
        optional int64 local (TIMESTAMP(MILLIS,false));
        optional int32 clock (TIME(MILLIS,true));
        optional fixed_len_byte_array(16) id (UUID);
    }";
    let first: Vec<Cells> = vec![
        Cells::Bools(vec![Some(true), None]),
        Cells::Int32s(vec![Some(-7), None]),
        Cells::Int64s(vec![Some(-1), None]),
        Cells::Int96s(vec![Some([0, 0, 2_440_588]), None]),
        Cells::Floats(vec![Some(0.5), None]),
        Cells::Doubles(vec![Some(f64::NAN), None]),
        Cells::texts(&[Some(""), None]),
        Cells::Bytes(vec![Some(vec![0xff]), None]),
        Cells::Fixed(vec![Some(vec![0xff, 0xf6]), None]),
        Cells::Int64s(vec![Some(1999), None]),
        Cells::Int32s(vec![Some(15_763), None]),
        Cells::Int64s(vec![Some(1_362_001_740_000_000), None]),
        Cells::Int64s(vec![Some(1_362_001_740_250), None]),
        Cells::Int32s(vec![Some(1000), None]),
        Cells::Fixed(vec![Some((0..16).collect()), None]),
    ];
    let bytes = parquet(schema, &[&first, &first]);
    let mut table = open("f.parquet", &bytes).unwrap();
    assert_eq!(table.row_count_hint(), Some(4));
    let (header, rows) = content(&mut table).unwrap();
    let kinds: Vec<&str> = header.iter().map(|h| h.split(':').nth(1).unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "Boolean", "Integer", "Integer", "Text", "Number", "Number", "Text", "Text", "Number", "Number",
            "Text", "Text", "Text", "Text", "Text"
        ]
    );
    let present = vec![
        Boolean(true),
        Integer(-7),
        Number(18_446_744_073_709_551_615.0),
        text("1970-01-01T00:00:00"),
        Number(0.5),
        Missing,
        Missing,
        text("ff"),
        Number(-1.0),
        Number(19.99),
        text("2013-02-27"),
        text("2013-02-27T21:49:00Z"),
        text("2013-02-27T21:49:00.25"),
        text("00:00:01"),
        text("00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ];
    let missing = vec![Missing; 15];
    assert_eq!(rows, [present.clone(), missing.clone(), present, missing]);
}

#[test]
fn structs_are_flattened_and_lists_left_out() {
    let schema = "message m {
        required int32 x;
        optional group customer { optional int32 age; }
        optional group tags (LIST) { repeated group list { optional int32 element; } }
    }";
    let bytes = parquet(
        schema,
        &[&[
            Cells::Int32s(vec![Some(1), Some(2)]),
            Cells::Levels(vec![2, 0], vec![42]),
            Cells::Lists(vec![3, 3, 0], vec![0, 1, 0], vec![5, 6]),
        ]],
    );
    let mut table = open("no extension", &bytes).unwrap();
    assert_eq!(table.schema().unwrap().skipped[0].name, "tags");
    let (header, rows) = content(&mut table).unwrap();
    assert_eq!(header, ["x:Integer", "customer.age:Integer"]);
    assert_eq!(rows, [[Integer(1), Integer(42)], [Integer(2), Missing]]);
}

#[test]
fn numbers_can_be_read_as_text() {
    let schema = "message m { optional double d; optional int64 i; }";
    let cells =
        [Cells::Doubles(vec![Some(7.0), Some(f64::NAN), None]), Cells::Int64s(vec![Some(7), None, Some(8)])];
    let mut table = open("f.parquet", &parquet(schema, &[&cells])).unwrap();
    let wants = [0, 1].map(|column| tabular::Want { column, read_as: tabular::ReadAs::Text });
    let mut got = Vec::new();
    table
        .for_each_batch(&wants, &mut |batch| {
            for column in batch.columns() {
                let tabular::Column::Text(texts) = column else { panic!("asked for text") };
                got.push(texts.iter().map(|t| t.map(str::to_owned)).collect::<Vec<_>>());
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(got, [[some("7"), None, None], [some("7"), None, some("8")]]);
}

#[test]
fn what_is_refused_says_where_and_what_to_do() {
    let no_rows = parquet("message m { required int32 x; }", &[]);
    assert_eq!(
        refusal("f.parquet", &no_rows),
        "`f.parquet`: the file has columns and no rows\nhint: check the query that wrote the file"
    );
    assert!(refusal("f.parquet", b"a,b\n1,2\n").contains("the file does not begin with `PAR1`"));
    let good = parquet("message m { optional binary s (STRING); }", &[&[Cells::texts(&[Some("x"), None])]]);
    let cut = refusal("f.parquet", &good[..good.len() - 3]);
    assert!(cut.contains("hint: check that the file is complete"), "{cut}");
    let binary = [Cells::Bytes(vec![Some(vec![0x61, 0xff])])];
    let bad_text = parquet("message m { optional binary s (STRING); }", &[&binary]);
    assert_eq!(
        refusal("f.parquet", &bad_text),
        "`f.parquet` column `s`: a value is not UTF-8: bytes `61ff`\nhint: leave the column out with --exclude, or write the file again"
    );
    let lists = parquet("message m { repeated int32 x; }", &[&[Cells::Lists(vec![1], vec![0], vec![1])]]);
    assert!(refusal("f.parquet", &lists).contains("no column holds single values"));
}

/// Damage anywhere ends in a table or an error, never in a panic.
#[test]
fn damaged_files_are_refused_or_read() {
    let schema = "message m { optional double d; optional binary s (STRING); required boolean b; }";
    let cells = [
        Cells::Doubles((0..50).map(|i| (i % 7 != 0).then_some(f64::from(i))).collect()),
        Cells::texts(&["a", "b", "c", "d", "e"].map(Some).repeat(10)),
        Cells::Bools((0..50).map(|i| Some(i % 3 == 0)).collect()),
    ];
    let good = parquet(schema, &[&cells]);
    let mut refused = 0;
    for at in 4..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            refused += u32::from(open("f.parquet", &bad).and_then(|mut table| content(&mut table)).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}
