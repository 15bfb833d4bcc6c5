//! CSV and TSV files: a first pass for the types, then batches.

mod records;

use std::fs::File;
use std::io::{Seek, SeekFrom};

use crate::batch::{Batch, Column};
use crate::error::{Error, excerpt};
use crate::number::{Reading, format_number, read_cell};
use crate::schema::{ColumnInfo, ColumnKind, Evidence, Schema, SkippedColumn};
use crate::table::{BATCH_BYTES, BATCH_ROWS, FirstPass, ReadAs, Want};

use records::{Records, sniff};

/// Most columns a file may have: more is data in the wrong place.
pub(crate) const COLUMNS_MAX: usize = 20_000;

const HINT_HEADER: &str = "the first line must name the columns, each once";

/// An opened CSV file, from its header on.
pub(crate) struct CsvScan {
    file: String,
    records: Records<File>,
    /// For each wanted column: its place in the record, its type, and how to deliver it.
    wanted: Vec<(usize, ColumnKind, ReadAs)>,
}

/// Where the columns of the schema are in a record.
pub(crate) type Places = Vec<usize>;

/// Reads the whole file once and decides the columns.
pub(crate) fn first_pass(
    file: &str,
    handle: &File,
    tabs: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<FirstPass<Places>, Error> {
    let (mut records, header) = open(file, handle, tabs)?;
    let mut evidence = vec![Evidence::default(); header.len()];
    let mut n_rows = 0_u64;
    while records.read()? {
        let line = records.line();
        for (cell, seen) in records.cells().zip(&mut evidence) {
            match read_cell(cell) {
                Reading::Missing => {}
                Reading::Number { integer, .. } => seen.number(integer),
                Reading::Boolean(value) => seen.boolean(line, value),
                Reading::Text => seen.text(line, cell),
            }
        }
        n_rows += 1;
        if n_rows.is_multiple_of(BATCH_ROWS as u64) {
            progress(records.n_bytes());
        }
    }
    if n_rows == 0 {
        let what = "only a header, no rows";
        return Err(Error::NoData {
            file: file.to_owned(),
            what,
            hint: "add rows, or check the query that wrote the file",
        });
    }
    let (mut schema, mut places) = (Schema { n_rows, ..Schema::default() }, Places::new());
    for (place, (name, seen)) in header.into_iter().zip(evidence).enumerate() {
        if name.is_empty() {
            let reason = "has no name in the header (a row index?)";
            schema.skipped.push(SkippedColumn { name, reason });
        } else {
            schema.columns.push(seen.into_column(name));
            places.push(place);
        }
    }
    if schema.columns.is_empty() {
        return Err(line_error(file, 1, "the header names no column".to_owned(), HINT_HEADER));
    }
    Ok(FirstPass { schema, places })
}

fn open(file: &str, handle: &File, tabs: bool) -> Result<(Records<File>, Vec<String>), Error> {
    let read_error = |cause| Error::Read { file: file.to_owned(), cause };
    let mut handle = handle.try_clone().map_err(read_error)?;
    handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let start = sniff(&mut handle).map_err(read_error)?;
    handle.seek(SeekFrom::Start(start.n_skip)).map_err(read_error)?;
    let mut records = Records::new(file, handle, if tabs { b'\t' } else { start.delimiter });
    if !records.read()? {
        let (what, hint) = ("the file is empty", "the first line must name the columns, rows follow");
        return Err(Error::NoData { file: file.to_owned(), what, hint });
    }
    let header: Vec<String> = records.cells().map(|name| name.trim().to_owned()).collect();
    check_header(file, records.line(), &header)?;
    records.set_width(header.len());
    Ok((records, header))
}

fn check_header(file: &str, line: u64, header: &[String]) -> Result<(), Error> {
    if header.len() > COLUMNS_MAX {
        let what = format!("{} columns, at most {COLUMNS_MAX} are read", header.len());
        return Err(line_error(file, line, what, "is the table transposed?"));
    }
    let mut seen = std::collections::HashMap::new();
    for (at, name) in header.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if let Some(first) = seen.insert(name.as_str(), at) {
            let name = excerpt(name);
            let what = format!("the header names `{name}` twice, as columns {} and {}", first + 1, at + 1);
            return Err(line_error(file, line, what, "rename or remove one of them"));
        }
    }
    Ok(())
}

fn line_error(file: &str, line: u64, what: String, hint: &'static str) -> Error {
    Error::Line { file: file.to_owned(), line, what, hint }
}

impl CsvScan {
    pub(crate) fn open(
        file: &str,
        handle: &File,
        tabs: bool,
        columns: &[ColumnInfo],
        places: &Places,
        wants: &[Want],
    ) -> Result<Self, Error> {
        let (records, _) = open(file, handle, tabs)?;
        // `Table::scan` has checked the indexes.
        let wanted = wants
            .iter()
            .filter_map(|want| {
                Some((*places.get(want.column)?, columns.get(want.column)?.kind, want.read_as))
            })
            .collect();
        Ok(Self { file: file.to_owned(), records, wanted })
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.records.n_bytes()
    }

    /// Fills the batch; it stays empty at the end of the file.
    pub(crate) fn fill(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let start = self.records.n_bytes();
        while batch.n_rows < BATCH_ROWS
            && self.records.n_bytes() - start < BATCH_BYTES
            && self.records.read()?
        {
            for ((place, kind, read_as), column) in self.wanted.iter().zip(&mut batch.columns) {
                let cell = self.records.cell(*place);
                push(column, *kind, *read_as, cell).map_err(|value| Error::Changed {
                    file: self.file.clone(),
                    line: self.records.line(),
                    value,
                })?;
            }
            batch.n_rows += 1;
        }
        Ok(())
    }
}

/// Adds a cell to its column; the cell's text if it is not a number although the column is numeric.
fn push(column: &mut Column, kind: ColumnKind, read_as: ReadAs, cell: &str) -> Result<(), String> {
    match (column, read_cell(cell)) {
        (column, Reading::Missing) => column.push_missing(),
        (Column::Numbers(values), Reading::Number { value, .. }) => values.push(value),
        (Column::Numbers(_), _) => return Err(excerpt(cell)),
        (Column::Text(texts), Reading::Boolean(value)) if kind == ColumnKind::Boolean => {
            texts.push(Some(if value { "true" } else { "false" }));
        }
        (Column::Text(texts), Reading::Number { value, .. })
            if kind.is_numeric() && read_as == ReadAs::Text =>
        {
            texts.push(Some(&format_number(value)));
        }
        (Column::Text(texts), _) => texts.push(Some(cell)),
    }
    Ok(())
}
