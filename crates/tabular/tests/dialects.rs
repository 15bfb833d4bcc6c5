//! CSV as other programs write it, packed files, encodings, and several files as one table.

use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use tabular::{Decimal, ReadOptions, Table};

use crate::support::Value::{Integer, Missing, Number, Text};
use crate::support::{Value, content, open, refusal};

fn read(bytes: &[u8], options: &ReadOptions) -> (Vec<String>, Vec<Vec<Value>>, Vec<String>) {
    let mut table = Table::from_reader_with("f.csv", &mut &*bytes, options).unwrap();
    let (header, rows) = content(&mut table).unwrap();
    (header, rows, table.notes().to_vec())
}

fn recognised(text: &str) -> (Vec<String>, Vec<Vec<Value>>, Vec<String>) {
    read(text.as_bytes(), &ReadOptions::default())
}

fn text(s: &str) -> Value {
    Text(s.to_owned())
}

#[test]
fn excel_with_decimal_commas() {
    let (header, rows, notes) =
        recognised("sep=;\r\nDatum;\"Betrag, EUR\";Art\r\n01.01.2026;1,5;A\r\n02.01.2026;-2;B\r\n");
    assert_eq!(header, ["Datum:Text", "Betrag, EUR:Number", "Art:Text"]);
    assert_eq!(rows[0], [text("01.01.2026"), Number(1.5), text("A")]);
    assert_eq!(
        notes,
        [
            "`f.csv` is read as CSV separated by `;`, as its line `sep=` says, with decimal commas in `Betrag, EUR`; use --delimiter and --decimal to overrule"
        ]
    );
}

#[test]
fn commas_that_may_be_thousands_are_not_guessed() {
    let (header, _, notes) = recognised("a;b\n1,234;x\n2,345;y\n");
    assert_eq!(header, ["a:Text", "b:Text"]);
    assert!(
        notes.iter().any(|note| note.contains("`a` is read as text") && note.contains("--decimal ,")),
        "{notes:?}"
    );
    let comma = ReadOptions { decimal: Some(Decimal::Comma), ..ReadOptions::default() };
    assert_eq!(read(b"a;b\n1,234;x\n", &comma).1, [vec![Number(1.234), text("x")]]);
    let (header, _, notes) = recognised("a,b\n\"1,234.50\",x\n\"2,345.00\",y\n");
    assert_eq!(header, ["a:Text", "b:Text"]);
    assert!(notes.iter().any(|note| note.contains("separated thousands")), "{notes:?}");
    let (header, _, notes) = recognised("a;b\n1,5;1.234\n2,5;5.678\n");
    assert_eq!(header, ["a:Number", "b:Text"]);
    assert!(notes.iter().any(|note| note.contains("points may separate thousands")), "{notes:?}");
    assert_eq!(recognised("a;b\n1,5;1.25\n2,5;5.678\n").0, ["a:Number", "b:Number"]);
}

#[test]
fn options_overrule() {
    let options = ReadOptions { delimiter: Some(b','), ..ReadOptions::default() };
    assert_eq!(read(b"a;b\nx;y\n", &options).0, ["a;b:Text"]);
    let options =
        ReadOptions { missing: Some(vec!["?".to_owned(), "-999".to_owned()]), ..ReadOptions::default() };
    let (header, rows, _) = read(b"a,country\n?,NA\n-999,DE\n3,\n", &options);
    assert_eq!(header, ["a:Integer", "country:Text"]);
    assert_eq!(rows, [vec![Missing, text("NA")], vec![Missing, text("DE")], vec![Integer(3), Missing]]);
    let options =
        ReadOptions { encoding: Some(tabular::parse_encoding("latin1").unwrap()), ..ReadOptions::default() };
    assert_eq!(read(b"a,b\nZ\xfcrich,1\n", &options).1, [vec![text("Zürich"), Integer(1)]]);
}

#[test]
fn comments_row_names_and_pipes() {
    let (header, rows, notes) = recognised("# exported 2026\n# by x\na|b\n1|x\n");
    assert_eq!(
        (header, rows),
        (vec!["a:Integer".to_owned(), "b:Text".to_owned()], vec![vec![Integer(1), text("x")]])
    );
    assert!(notes[0].contains("separated by `|`, without the 2 comment lines"), "{notes:?}");
    let (header, rows, _) = recognised("\"a\",\"b\"\n\"1\",5,x\n\"2\",6,y\n");
    assert_eq!(
        (header, rows[0].clone()),
        (vec!["a:Integer".to_owned(), "b:Text".to_owned()], vec![Integer(5), text("x")])
    );
    assert_eq!(recognised("#id,x\n1,2\n").0, ["id:Integer", "x:Integer"]);
    assert_eq!(
        refusal("f.csv", b"# c\na,b\n1,2\n1\n").lines().next(),
        Some("`f.csv` line 4: 1 cell where the header has 2")
    );
}

#[test]
fn what_is_plain_says_nothing() {
    assert!(recognised("a,b\n1,x\n").2.is_empty());
    let mut table = open("f.tsv", b"a\tb\n1\t2\n").unwrap();
    table.schema().unwrap();
    assert!(table.notes().is_empty());
}

fn packed(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name.ends_with("gz") {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    } else {
        zstd::encode_all(bytes, 1).unwrap()
    }
}

#[test]
fn packed_files() {
    for name in ["f.csv.gz", "f.csv.zst", "f.gz", "f.tsv.gz"] {
        let plain = if name.contains("tsv") { &b"a\tb\n1\tx\n"[..] } else { b"a,b\n1,x\n" };
        let got = content(&mut open(name, &packed(name, plain)).unwrap()).unwrap();
        assert_eq!(got.1, [vec![Integer(1), text("x")]], "{name}");
    }
    let lines = packed("gz", b"{\"a\":1}\n");
    assert_eq!(content(&mut open("f.jsonl.gz", &lines).unwrap()).unwrap().1, [vec![Integer(1)]]);
    let whole = packed("gz", "a,b\n1,x\n".repeat(100).as_bytes());
    let cut = refusal("f.csv.gz", &whole[..whole.len() - 9]);
    assert!(cut.starts_with("`f.csv.gz`: cannot unpack gzip"), "{cut}");
}

#[test]
fn wide_characters() {
    for big in [false, true] {
        for mark in ["", "\u{feff}"] {
            let text = format!("{mark}größe;b\r\n1,5;東京\r\n2,5;x\r\n");
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect();
            let (header, rows, _) = read(&bytes, &ReadOptions::default());
            assert_eq!(header, ["größe:Number", "b:Text"], "{big} {mark:?}");
            assert_eq!(rows[0][0], Number(1.5));
        }
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn together(path: &Path) -> Result<(Vec<String>, Vec<Vec<Value>>), tabular::Error> {
    content(&mut Table::open(path)?)
}

#[test]
fn files_of_a_folder_are_one_table() {
    let folder = folder(&[
        ("part-1.csv", "b,a\nx,1.5\n"),
        ("part-0.csv", "a,b\n1,\n2,y\n"),
        ("_SUCCESS", ""),
        (".hidden", "?"),
    ]);
    let expected =
        vec![vec![Number(1.0), Missing], vec![Number(2.0), text("y")], vec![Number(1.5), text("x")]];
    for path in [folder.path().to_owned(), folder.path().join("part-*.csv")] {
        let (header, rows) = together(&path).unwrap();
        assert_eq!((header, rows), (vec!["a:Number".to_owned(), "b:Text".to_owned()], expected.clone()));
    }
    let mut table = Table::open(folder.path()).unwrap();
    assert_eq!(table.schema().unwrap().n_rows, 3);
    assert!(table.notes()[0].ends_with("2 files are read as one table"));
}

#[test]
fn codes_stay_codes_where_one_file_has_no_leading_zero() {
    let folder = folder(&[("0.csv", "zip\n10001\n"), ("1.csv", "zip\n02139\n10001\n")]);
    let (header, rows) = together(folder.path()).unwrap();
    assert_eq!(header, ["zip:Text"]);
    assert_eq!(rows, [vec![text("10001")], vec![text("02139")], vec![text("10001")]]);
}

#[test]
fn files_that_differ_are_refused_by_name() {
    let columns = folder(&[("0.csv", "a,b\n1,2\n"), ("1.csv", "a,c\n1,2\n")]);
    let error = together(columns.path()).unwrap_err().to_string();
    assert!(
        error.contains("1.csv`: its columns differ from those of") && error.contains("`b` missing `c` added"),
        "{error}"
    );
    let formats = folder(&[("0.csv", "a,b\n1,2\n"), ("1.jsonl", "{\"a\":1}\n")]);
    let error = together(formats.path()).unwrap_err().to_string();
    assert!(error.contains("1.jsonl`: its format differs"), "{error}");
    let none = together(&columns.path().join("*.parquet")).unwrap_err().to_string();
    assert!(none.contains("no file is there"), "{none}");
}

/// A cell that any delimiter may stand in, and how CSV writes it.
fn cell() -> impl Strategy<Value = String> {
    "x[a-z,;|\t \"]{0,6}"
}

proptest! {
    /// A file is read right or refused, and never cut at another character than it was written with.
    #[test]
    fn never_cut_wrong(
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
        width in 2_usize..5,
        cells in prop::collection::vec(cell(), 8..40),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        let header: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
        writer.write_record(&header).unwrap();
        let rows: Vec<&[String]> = cells.chunks_exact(width).collect();
        for row in &rows {
            writer.write_record(*row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        if let Ok((names, got)) = open("f.csv", &bytes).and_then(|mut table| content(&mut table)) {
            prop_assert_eq!(names.len(), width);
            let expected: Vec<Vec<Value>> =
                rows.iter().map(|row| row.iter().map(|cell| text(cell.trim())).collect()).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
