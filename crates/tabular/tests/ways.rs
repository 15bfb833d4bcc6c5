//! The same values by every way in fall into the same bins. The tests stand here because files, decoders, records and profiles
//! all can be reached, and none of them depends on another.

use monitor::profile::{BuildRules, ColumnBuilder, slot_of};
use proptest::prelude::*;
use record::{Cell, Decoded, Decoder, DecoderSpec, Record, RecordLimits};
use serde_json::{Value as Json, json};
use stats::{BinningRule, Bins, RangeRule};
use tabular::{Column, ReadAs, Table, Want};

use crate::support::{Cells, open, parquet};

const RULES: BuildRules =
    BuildRules { binning: BinningRule::EqualWidth { bins: 5, range: RangeRule::MinMax }, categories: 100 };

/// One value: as CSV writes it, and what it is.
#[derive(Clone, Debug)]
struct Spelled {
    csv: String,
    typed: Typed,
}

#[derive(Clone, Debug)]
enum Typed {
    Missing,
    Number(f64),
    Boolean(bool),
    /// Digits with their zeros.
    Code(&'static str),
    Text,
}

fn spelled(choices: &'static [(&'static str, Typed)]) -> impl Strategy<Value = Spelled> {
    let blanks = prop::sample::select(vec!["", "", " ", "\u{a0}", "  "]);
    (prop::sample::select(choices), blanks.clone(), blanks).prop_map(|((text, typed), before, after)| {
        Spelled { csv: format!("{before}{text}{after}"), typed: typed.clone() }
    })
}

fn missing() -> impl Strategy<Value = Spelled> {
    let tokens = ["", "NA", "N/A", "n/a", "null", "NULL", "NaN", "nan", "None", "-", "<NA>", "#N/A"];
    prop::sample::select(tokens.to_vec())
        .prop_map(|text| Spelled { csv: text.to_owned(), typed: Typed::Missing })
}

fn or_missing(value: impl Strategy<Value = Spelled>) -> impl Strategy<Value = Spelled> {
    prop_oneof![4 => value, 1 => missing()]
}

fn number() -> impl Strategy<Value = Spelled> {
    spelled(&[
        ("0.5", Typed::Number(0.5)),
        (".5", Typed::Number(0.5)),
        ("1", Typed::Number(1.0)),
        ("1.0", Typed::Number(1.0)),
        ("+1", Typed::Number(1.0)),
        ("-3", Typed::Number(-3.0)),
        ("1e3", Typed::Number(1000.0)),
        ("0.7", Typed::Number(0.7)),
        ("9007199254740993", Typed::Number(9_007_199_254_740_992.0)),
        ("inf", Typed::Number(f64::INFINITY)),
        ("-Infinity", Typed::Number(f64::NEG_INFINITY)),
        ("1e400", Typed::Number(f64::INFINITY)),
    ])
}

fn boolean() -> impl Strategy<Value = Spelled> {
    spelled(&[
        ("true", Typed::Boolean(true)),
        ("True", Typed::Boolean(true)),
        ("TRUE", Typed::Boolean(true)),
        ("1", Typed::Boolean(true)),
        ("1.0", Typed::Boolean(true)),
        ("false", Typed::Boolean(false)),
        ("False", Typed::Boolean(false)),
        ("0", Typed::Boolean(false)),
    ])
}

fn code() -> impl Strategy<Value = Spelled> {
    spelled(&[
        ("02139", Typed::Code("02139")),
        ("00501", Typed::Code("00501")),
        ("10001", Typed::Code("10001")),
    ])
}

fn category() -> impl Strategy<Value = Spelled> {
    spelled(&[
        ("Private", Typed::Text),
        ("State-gov", Typed::Text),
        ("?", Typed::Text),
        ("1", Typed::Text),
        ("1.0", Typed::Text),
        ("Zürich, \"CH\"", Typed::Text),
        ("TRUE", Typed::Text),
    ])
}

const NAMES: [&str; 4] = ["number", "flag", "zip", "kind"];

type Row = [Spelled; 4];

fn table() -> impl Strategy<Value = Vec<Row>> {
    let row = (or_missing(number()), or_missing(boolean()), or_missing(code()), or_missing(category()));
    prop::collection::vec(row.prop_map(|(a, b, c, d)| [a, b, c, d]), 1..40)
}

fn csv(rows: &[Row], header: bool) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(NAMES).unwrap();
    }
    for row in rows {
        writer.write_record(row.iter().map(|cell| &cell.csv)).unwrap();
    }
    writer.into_inner().unwrap()
}

/// As a client writes that knows types; what JSON has no word for is a string.
fn typed(cell: &Spelled) -> Json {
    match &cell.typed {
        Typed::Missing => Json::Null,
        Typed::Number(number) if number.is_infinite() => {
            json!(if *number > 0.0 { "Infinity" } else { "-Infinity" })
        }
        Typed::Number(number) => json!(number),
        Typed::Boolean(value) => json!(value),
        Typed::Code(code) => json!(code),
        Typed::Text => json!(cell.csv),
    }
}

/// As a client writes that knows nothing but text.
fn text(cell: &Spelled) -> Json {
    json!(cell.csv)
}

/// As a careless client writes: numbers for booleans and codes.
fn careless(cell: &Spelled) -> Json {
    match &cell.typed {
        Typed::Boolean(value) => json!(u8::from(*value)),
        Typed::Code(code) => json!(code.parse::<u32>().unwrap()),
        _ => typed(cell),
    }
}

fn object(row: &Row, write: fn(&Spelled) -> Json) -> Json {
    Json::Object(NAMES.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), write(cell))).collect())
}

/// The bins of each column, from the training file.
fn reference(table: &mut Table) -> Vec<Bins> {
    let kinds: Vec<bool> =
        table.schema().unwrap().columns.iter().map(|column| column.kind.is_numeric()).collect();
    let wants: Vec<Want> =
        (0..kinds.len()).map(|column| Want { column, read_as: ReadAs::Declared }).collect();
    let mut builders = vec![ColumnBuilder::default(); kinds.len()];
    let mut scan = table.scan(&wants).unwrap();
    while let Some(batch) = scan.next_batch().unwrap() {
        for (builder, column) in builders.iter_mut().zip(batch.columns()) {
            match column {
                Column::Numbers(numbers) => numbers.iter().for_each(|number| builder.push_number(*number)),
                Column::Text(texts) => texts.iter().for_each(|text| match text {
                    Some(text) => builder.push_keys(text, 1),
                    None => builder.push_missing(1),
                }),
            }
        }
    }
    builders.into_iter().map(|builder| builder.finish("f", &RULES).bins).collect()
}

type Counts = Vec<Vec<u64>>;

fn count(bins: &[Bins], cells: &mut dyn Iterator<Item = (usize, Cell<'_>)>) -> Counts {
    let mut counts: Counts = bins.iter().map(|bins| vec![0; bins.slots()]).collect();
    let mut scratch = String::new();
    for (column, cell) in cells {
        counts[column][slot_of(&bins[column], cell, &mut scratch)] += 1;
    }
    counts
}

/// A file's counts, read as the reference's types ask for.
fn of_file(bins: &[Bins], mut table: Table) -> Counts {
    let schema = table.schema().unwrap().clone();
    let wants: Vec<Want> = NAMES
        .iter()
        .zip(bins)
        .map(|(name, bins)| Want {
            column: schema.position(name).unwrap(),
            read_as: if bins.is_ordered() { ReadAs::Numbers } else { ReadAs::Text },
        })
        .collect();
    let mut scan = table.scan(&wants).unwrap();
    let mut totals: Counts = bins.iter().map(|bins| vec![0; bins.slots()]).collect();
    while let Some(batch) = scan.next_batch().unwrap() {
        let cells = batch.columns().iter().enumerate().flat_map(|(at, column)| -> Vec<(usize, Cell<'_>)> {
            match column {
                Column::Numbers(numbers) => {
                    numbers.iter().map(|number| (at, Cell::Number(*number))).collect()
                }
                Column::Text(texts) => {
                    texts.iter().map(|text| (at, text.map_or(Cell::Missing, Cell::Text))).collect()
                }
            }
        });
        let counts = count(bins, &mut cells.collect::<Vec<_>>().into_iter());
        for (total, count) in totals.iter_mut().zip(counts) {
            total.iter_mut().zip(count).for_each(|(total, n)| *total += n);
        }
    }
    totals
}

fn of_decoded(bins: &[Bins], decoded: &[Decoded]) -> Counts {
    let cells = decoded.iter().flat_map(Decoded::features);
    let column = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
    count(bins, &mut cells.map(|cell| (column(cell.name), cell.value)).collect::<Vec<_>>().into_iter())
}

fn of_requests(bins: &[Bins], path: &str, bodies: impl Iterator<Item = Vec<u8>>) -> Counts {
    let names = NAMES.map(str::to_owned).to_vec();
    let mut decoder = Decoder::new(DecoderSpec { column_names: names, ..DecoderSpec::default() });
    let decoded = bodies.map(|body| {
        let mut into = Decoded::new();
        decoder.decode_request(path.as_bytes(), &body, &mut into).unwrap();
        into
    });
    of_decoded(bins, &decoded.collect::<Vec<_>>())
}

fn of_records(bins: &[Bins], rows: &[Row], write: fn(&Spelled) -> Json) -> Counts {
    let decoded = rows.iter().map(|row| {
        let body = json!({"model": "m", "features": object(row, write)}).to_string();
        let records = Record::parse_many(body.as_bytes(), &RecordLimits::default()).unwrap();
        let mut into = Decoded::new();
        records[0].fill(&mut into, false);
        into
    });
    of_decoded(bins, &decoded.collect::<Vec<_>>())
}

fn parquet_file(rows: &[Row]) -> Vec<u8> {
    let schema = "message m {
        optional double number;
        optional boolean flag;
        optional binary zip (STRING);
        optional binary kind (STRING);
    }";
    let column = |at: usize| rows.iter().map(move |row| &row[at]);
    let number = |cell: &Spelled| if let Typed::Number(number) = cell.typed { Some(number) } else { None };
    let flag = |cell: &Spelled| if let Typed::Boolean(value) = cell.typed { Some(value) } else { None };
    let bytes = |cell: &Spelled| Some(cell.csv.as_bytes().to_vec());
    let columns = [
        Cells::Doubles(column(0).map(number).collect()),
        Cells::Bools(column(1).map(flag).collect()),
        Cells::Bytes(column(2).map(bytes).collect()),
        Cells::Bytes(column(3).map(bytes).collect()),
    ];
    parquet(schema, &[&columns])
}

/// Everything as strings.
fn parquet_strings(rows: &[Row]) -> Vec<u8> {
    let schema = "message m {
        optional binary number (STRING);
        optional binary flag (STRING);
        optional binary zip (STRING);
        optional binary kind (STRING);
    }";
    let columns: Vec<Cells> = (0..NAMES.len())
        .map(|at| Cells::Bytes(rows.iter().map(|row| Some(row[at].csv.as_bytes().to_vec())).collect()))
        .collect();
    parquet(schema, &[&columns])
}

fn tensors(rows: &[Row], write: fn(&Spelled) -> Json, datatypes: [&str; 4]) -> Vec<u8> {
    let tensor = |(at, name): (usize, &&str)| {
        let data: Vec<Json> = rows.iter().map(|row| write(&row[at])).collect();
        json!({"name": name, "shape": [rows.len()], "datatype": datatypes[at], "data": data})
    };
    let inputs: Vec<Json> = NAMES.iter().enumerate().map(tensor).collect();
    json!({ "inputs": inputs }).to_string().into_bytes()
}

fn lines(rows: &[Row], write: fn(&Spelled) -> Json) -> Vec<u8> {
    rows.iter().flat_map(|row| format!("{}\n", object(row, write)).into_bytes()).collect()
}

proptest! {
    #[test]
    fn every_way_in_gives_the_same_counts(rows in table()) {
        let bins = reference(&mut open("t.csv", &csv(&rows, true)).unwrap());
        let expected = of_file(&bins, open("t.csv", &csv(&rows, true)).unwrap());
        let file = |name: &str, bytes: &[u8]| of_file(&bins, open(name, bytes).unwrap());
        prop_assert_eq!(&file("t.jsonl", &lines(&rows, typed)), &expected, "JSON lines");
        prop_assert_eq!(&file("t.jsonl", &lines(&rows, text)), &expected, "JSON lines of strings");
        prop_assert_eq!(&file("t.parquet", &parquet_file(&rows)), &expected, "Parquet");
        prop_assert_eq!(&file("t.parquet", &parquet_strings(&rows)), &expected, "Parquet of strings");
        for write in [typed, text, careless] {
            let bodies = rows.iter().map(|row| object(row, write).to_string().into_bytes());
            prop_assert_eq!(&of_requests(&bins, "/", bodies), &expected, "JSON requests");
            prop_assert_eq!(&of_records(&bins, &rows, write), &expected, "records");
        }
        let one = csv(&rows, false);
        prop_assert_eq!(&of_requests(&bins, "/invocations", std::iter::once(one)), &expected, "a CSV request");
        let tensor = |write, datatypes| of_requests(&bins, "/v2/models/m/infer", std::iter::once(tensors(&rows, write, datatypes)));
        prop_assert_eq!(&tensor(typed, ["FP64", "BOOL", "BYTES", "BYTES"]), &expected, "tensors");
        prop_assert_eq!(&tensor(text, ["BYTES"; 4]), &expected, "tensors of text");
        prop_assert_eq!(&tensor(careless, ["FP64", "INT64", "INT64", "BYTES"]), &expected, "tensors of numbers");
    }
}
