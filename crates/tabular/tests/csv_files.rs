use crate::support::Value::{Boolean, Integer, Missing, Number, Text};
use crate::support::{content, open, refusal};

fn rows(text: &str) -> (Vec<String>, Vec<Vec<crate::support::Value>>) {
    content(&mut open("f.csv", text.as_bytes()).unwrap()).unwrap()
}

fn text(s: &str) -> crate::support::Value {
    Text(s.to_owned())
}

#[test]
fn types_follow_from_every_cell() {
    let (header, rows) = rows("i,n,t,b,m,e\n1,1,a,True,1,\n-2,inf, b ,FALSE,NA,\n,-inf,nan,,2.5,NaN\n");
    assert_eq!(header, ["i:Integer", "n:Number", "t:Text", "b:Boolean", "m:Number", "e:Empty"]);
    assert_eq!(
        rows,
        [
            vec![Integer(1), Number(1.0), text("a"), Boolean(true), Number(1.0), Missing],
            vec![Integer(-2), Number(f64::INFINITY), text("b"), Boolean(false), Missing, Missing],
            vec![Missing, Number(f64::NEG_INFINITY), Missing, Missing, Number(2.5), Missing],
        ]
    );
}

#[test]
fn the_cell_that_makes_a_column_text_is_reported() {
    let mut table = open("f.csv", b"x\n1\nNA\nmany\n2\n").unwrap();
    let oddity = table.schema().unwrap().columns[0].oddity.clone().unwrap();
    assert_eq!((oddity.line, oddity.value.as_str(), oddity.n_texts, oddity.n_numbers), (4, "many", 1, 2));
}

#[test]
fn quotes() {
    let (_, rows) = rows("a,b\n\"x, \"\"y\"\"\",2\r\n\"two\nlines\",3\n5\" pipe,4\n");
    let first: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(first, [text("x, \"y\""), text("two\nlines"), text("5\" pipe")]);
}

#[test]
fn blank_lines_are_rows_only_where_they_are_a_missing_cell() {
    assert_eq!(rows("x\n1\n\n2\n\n").1, [vec![Integer(1)], vec![Missing], vec![Integer(2)], vec![Missing]]);
    assert_eq!(rows("x\n1\n\"\"\n").1, [vec![Integer(1)], vec![Missing]]);
    assert_eq!(rows("x,y\n1,2\n\n3,4\n\n").1.len(), 2);
}

#[test]
fn byte_order_mark_semicolons_and_tabs() {
    assert_eq!(rows("\u{feff}x;y\n1;2,5\n").0, ["x:Integer", "y:Number"]);
    let mut table = open("f.tsv", b"x\ty,z\n1\ta,b\n").unwrap();
    assert_eq!(content(&mut table).unwrap().0, ["x:Integer", "y,z:Text"]);
}

#[test]
fn a_column_without_a_name_is_left_out() {
    let mut table = open("f.csv", b",x\n0,5\n1,6\n").unwrap();
    assert_eq!(table.schema().unwrap().skipped.len(), 1);
    let (header, rows) = content(&mut table).unwrap();
    assert_eq!((header, rows), (vec!["x:Integer".to_owned()], vec![vec![Integer(5)], vec![Integer(6)]]));
}

#[test]
fn integers_beyond_2_to_the_53_are_rounded() {
    assert_eq!(rows("x\n9007199254740993\n").1, [vec![Integer(9_007_199_254_740_992)]]);
    assert_eq!(rows("x\n99999999999999999999\n").1, [vec![Number(1e20)]]);
}

#[test]
fn what_is_refused_says_where_and_what_to_do() {
    for (bytes, expected) in [
        (&b""[..], "`f.csv`: the file is empty\nhint: the first line must name the columns, rows follow"),
        (b"\n\n", "`f.csv`: the file is empty\nhint: the first line must name the columns, rows follow"),
        (b"a,b\n", "`f.csv`: only a header, no rows\nhint: add rows, or check the query that wrote the file"),
        (
            b"a,b,a\n1,2,3\n",
            "`f.csv` line 1: the header names `a` twice, as columns 1 and 3\nhint: rename or remove one of them",
        ),
        (
            b",\n1,2\n",
            "`f.csv` line 1: the header names no column\nhint: the first line must name the columns, each once",
        ),
        (
            b"a,b\n1,2\n1,2,3\n",
            "`f.csv` line 3: 3 cells where the header has 2\nhint: quote cells that contain the delimiter, or name the delimiter with --delimiter; a decimal comma also splits cells",
        ),
        (
            b"a,b\n1,2\n\n1\n",
            "`f.csv` line 4: 1 cell where the header has 2\nhint: the line may be cut off; missing values still need their delimiters",
        ),
        (
            b"a,b\nx,\"y\nz,1\n",
            "`f.csv` line 2: a quoted cell begins in this record and is not closed\nhint: close the quote, and write a quote inside a quoted cell twice",
        ),
        (
            b"a,b\nZ\xfcrich,1\n",
            "`f.csv` line 2: byte 2 is not UTF-8, after `Z`\nhint: name the file's encoding, for example: --encoding windows-1252",
        ),
        (
            b"a,b\n\"Z\xfcrich\",1\n",
            "`f.csv` line 2: byte 2 is not UTF-8, after `Z`\nhint: name the file's encoding, for example: --encoding windows-1252",
        ),
        (
            b"\xff\xfea\0",
            "`f.csv`: only a header, no rows\nhint: add rows, or check the query that wrote the file",
        ),
        (
            b"\xff\xfea\0\0\xd8\n\0",
            "`f.csv` line 1: a character is not UTF-16LE\nhint: name the file's encoding, for example: --encoding windows-1252",
        ),
        (
            b"a,b;c\nx,2;3\ny,z;3\n",
            "`f.csv` line 1: the delimiter is ambiguous: `,` gives 2 columns, `;` gives 2 columns in every line, from `a,b;c` on\nhint: name the delimiter, for example: --delimiter ';' or --delimiter tab",
        ),
    ] {
        assert_eq!(refusal("f.csv", bytes), expected);
    }
}

#[test]
fn long_lines_and_wide_headers_are_refused() {
    let mut long = b"a\n".to_vec();
    long.resize(18 << 20, b'x');
    assert!(refusal("f.csv", &long).starts_with("`f.csv` line 2: the line is longer than 16 MiB"));
    let wide = (0..20_001).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    assert!(
        refusal("f.csv", wide.as_bytes())
            .starts_with("`f.csv` line 1: 20001 columns, at most 20000 are read")
    );
}

#[test]
fn names_and_paths_that_are_refused() {
    let missing = tabular::Table::open(std::path::Path::new("no/such.csv")).unwrap_err().to_string();
    assert!(
        missing.starts_with("cannot open `no/such.csv`: ") && missing.contains("hint: check the path"),
        "{missing}"
    );
    assert!(refusal("f.xlsx", b"x").contains("the format cannot be told"));
    let folder = tempfile::tempdir().unwrap();
    assert!(tabular::Table::open(folder.path()).unwrap_err().to_string().contains("no file is there"));
}

#[test]
fn streams_are_sniffed() {
    let mut csv = tabular::Table::from_reader("standard input", &mut &b"x\n1\n"[..]).unwrap();
    assert_eq!((csv.format(), csv.schema().unwrap().n_rows), (tabular::Format::Csv, 1));
    let mut json = tabular::Table::from_reader("standard input", &mut &b"{\"x\":1}\n"[..]).unwrap();
    assert_eq!((json.format(), json.schema().unwrap().n_rows), (tabular::Format::JsonLines, 1));
}

#[test]
fn progress_reaches_the_end_and_columns_can_be_chosen() {
    use std::sync::{Arc, Mutex};
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut text = "a,b\n".to_owned();
    (0..20_000).for_each(|i| text.push_str(&format!("{i},x{i}\n")));
    let mut table = open("f.csv", text.as_bytes()).unwrap();
    let log = Arc::clone(&seen);
    table.on_progress(move |progress| log.lock().unwrap().push(progress));
    assert_eq!(table.row_count_hint(), None);
    let wants = [1, 0].map(|column| tabular::Want { column, read_as: tabular::ReadAs::Text });
    let mut last = String::new();
    let mut n_batches = 0;
    table
        .for_each_batch(&wants, &mut |batch| {
            n_batches += 1;
            let tabular::Column::Text(texts) = &batch.columns()[1] else { panic!("asked for text") };
            last = texts.get(batch.n_rows() - 1).unwrap().to_owned();
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((n_batches, last.as_str(), table.row_count_hint()), (3, "19999", Some(20_000)));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|p| p.done <= p.total));
    assert_eq!(seen.last().map(|p| (p.done, p.total)), Some((text.len() as u64, text.len() as u64)));
    let far = [tabular::Want { column: 9, read_as: tabular::ReadAs::Text }];
    assert!(table.scan(&far).unwrap_err().to_string().ends_with("has 2 columns, there is none with index 9"));
}
