//! CSV and TSV files: a first pass for the types, then batches.

mod dialect;
mod records;

use std::fs::File;
use std::io::{Seek, SeekFrom};

use record::value::{MISSING_TOKENS, Value, trim};

use crate::batch::Batch;
use crate::deliver::{Delivery, deliver};
use crate::error::{Error, excerpt};
use crate::number::{comma_number, has_dotted_thousands, has_thousands};
use crate::options::{Decimal, ReadOptions};
use crate::schema::{ColumnInfo, ColumnKind, Evidence, Schema, SkippedColumn};
use crate::table::{BATCH_BYTES, BATCH_ROWS};

use dialect::{Ambiguous, Asked, Dialect, sniff};
use records::Records;

/// Most columns a file may have: more is data in the wrong place.
pub(crate) const COLUMNS_MAX: usize = 20_000;

const HINT_HEADER: &str = "the first line must name the columns, each once";

/// Where a column of the schema is in a record, and how its cells are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    at: usize,
    decimal_comma: bool,
}

/// What the first pass found besides the schema.
pub(crate) struct Layout {
    dialect: Dialect,
    places: Vec<Place>,
}

/// An opened CSV file, from its header on.
pub(crate) struct CsvScan {
    file: String,
    records: Records<File>,
    options: ReadOptions,
    /// For each wanted column: its place in the record, and how to deliver it.
    wanted: Vec<(Place, Delivery)>,
}

/// What the first pass has seen in one column.
#[derive(Clone, Default)]
struct Seen {
    /// With a decimal point.
    evidence: Evidence,
    /// Texts that are numbers with a decimal comma.
    commas: u64,
    /// Of them, those whose comma cannot separate thousands.
    sure: u64,
    /// Other texts.
    others: u64,
    /// Numbers with a point.
    points: u64,
    /// Of them, those whose point may separate thousands.
    dotted: u64,
    /// Texts that are numbers with separated thousands.
    thousands: u64,
    /// Cells that are missing tokens, and the first of them.
    tokens: u64,
    token: Option<String>,
}

impl Seen {
    fn add(&mut self, line: u64, cell: &str, options: &ReadOptions) {
        let value = options.read(cell);
        match value {
            Value::Missing if options.missing.is_none() && MISSING_TOKENS.contains(&trim(cell)) => {
                self.tokens += 1;
                self.token.get_or_insert_with(|| trim(cell).to_owned());
            }
            Value::Text(text) => {
                self.thousands += u64::from(has_thousands(text));
                match comma_number(text) {
                    Some(number) => {
                        self.commas += 1;
                        self.sure += u64::from(number.sure);
                    }
                    None => self.others += 1,
                }
            }
            Value::Number(_) if cell.contains('.') => {
                self.points += 1;
                self.dotted += u64::from(has_dotted_thousands(trim(cell)));
            }
            _ => {}
        }
        self.evidence.value(line, value, cell);
    }

    /// Whether the column's numbers have a decimal comma.
    fn has_decimal_comma(&self, options: &ReadOptions, delimiter: u8) -> bool {
        let only_commas = self.commas > 0 && self.others == 0 && self.points == 0;
        match options.decimal {
            Some(Decimal::Comma) => only_commas,
            Some(Decimal::Point) => false,
            None => only_commas && self.sure > 0 && delimiter != b',',
        }
    }
}

/// Reads the whole file once and decides the columns. `assumed` gets what was assumed.
pub(crate) fn first_pass(
    file: &str,
    handle: &File,
    tabs: bool,
    options: &ReadOptions,
    assumed: &mut Vec<String>,
    progress: &mut dyn FnMut(u64),
) -> Result<(Schema, Layout), Error> {
    let dialect = look(file, handle, Asked { delimiter: options.delimiter, tabs })?;
    let (mut records, header) = open(file, handle, &dialect)?;
    let mut seen = vec![Seen::default(); header.len()];
    let mut n_rows = 0_u64;
    while records.read()? {
        let line = records.line();
        for (cell, seen) in records.cells().zip(&mut seen) {
            seen.add(line, cell, options);
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
    let (mut schema, mut places) = (Schema { n_rows, ..Schema::default() }, Vec::new());
    let commas: Vec<bool> =
        seen.iter().map(|seen| seen.has_decimal_comma(options, dialect.delimiter)).collect();
    say(file, &dialect, options, &header, &seen, &commas, assumed);
    let any_comma = commas.contains(&true);
    for (at, ((name, seen), decimal_comma)) in header.into_iter().zip(seen).zip(commas).enumerate() {
        if name.is_empty() {
            let reason = "has no name in the header (a row index?)";
            schema.skipped.push(SkippedColumn { name, reason });
            continue;
        }
        let column = if decimal_comma {
            ColumnInfo { name, kind: ColumnKind::Number, oddity: None }
        } else if any_comma && options.decimal.is_none() && seen.points > 0 && seen.points == seen.dotted {
            // `1.234` beside `1,5`: a thousand, or not.
            ColumnInfo { name, kind: ColumnKind::Text, oddity: None }
        } else {
            seen.evidence.into_column(name)
        };
        schema.columns.push(column);
        places.push(Place { at, decimal_comma });
    }
    if schema.columns.is_empty() {
        let line = dialect.lines_skipped + 1;
        return Err(line_error(file, line, "the header names no column".to_owned(), HINT_HEADER));
    }
    Ok((schema, Layout { dialect, places }))
}

/// What was assumed about the file, in one sentence, and what could not be told.
fn say(
    file: &str,
    dialect: &Dialect,
    options: &ReadOptions,
    header: &[String],
    seen: &[Seen],
    commas: &[bool],
    assumed: &mut Vec<String>,
) {
    let named = |at: usize| header.get(at).map_or_else(String::new, |name| format!("`{}`", excerpt(name)));
    let chosen = |is: &dyn Fn(usize, &Seen) -> bool| {
        let all = seen.iter().enumerate().filter(|(at, seen)| is(*at, seen) && named(*at) != "``");
        all.map(|(at, _)| named(at)).collect::<Vec<_>>()
    };
    let is_comma = |at: usize| commas.get(at) == Some(&true);
    let mut parts = dialect.assumed.clone();
    let with_commas = chosen(&|at, _| is_comma(at));
    if options.decimal.is_none() && !with_commas.is_empty() {
        parts.push(format!("with decimal commas in {}", some(&with_commas)));
    }
    if !parts.is_empty() {
        assumed.push(format!(
            "`{file}` is read as CSV {}; use --delimiter and --decimal to overrule",
            parts.join(", ")
        ));
    }
    let tokens: Vec<&str> = {
        let mut all: Vec<&str> = seen.iter().filter_map(|seen| seen.token.as_deref()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    if !tokens.is_empty() {
        let n: u64 = seen.iter().map(|seen| seen.tokens).sum();
        let (tokens, columns) = (tokens.join("`, `"), some(&chosen(&|_, seen| seen.tokens > 0)));
        assumed.push(format!(
            "`{file}`: `{tokens}` in {columns} means missing ({n} cells); use --na to overrule"
        ));
    }
    if options.decimal.is_some() {
        return;
    }
    let unsure = chosen(&|at, seen| {
        !is_comma(at) && seen.commas > 0 && seen.others == 0 && (seen.sure == 0 || dialect.delimiter == b',')
    });
    let thousands = chosen(&|at, seen| {
        let grouped = seen.thousands > 0 && seen.others > 0 && seen.thousands >= seen.others;
        !is_comma(at) && grouped
    });
    let dotted = chosen(&|at, seen| {
        !is_comma(at) && commas.contains(&true) && seen.points > 0 && seen.points == seen.dotted
    });
    for (columns, why) in [
        (
            unsure,
            "commas in its numbers may be decimal signs or separate thousands; if they are decimal signs use --decimal ,",
        ),
        (thousands, "its numbers have separated thousands; write them without separators"),
        (
            dotted,
            "its points may separate thousands, because other columns have decimal commas; use --decimal . or --decimal ,",
        ),
    ] {
        if !columns.is_empty() {
            assumed.push(format!("`{file}`: {} is read as text: {why}", some(&columns)));
        }
    }
}

/// Up to four names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.get(SHOWN..) {
        None | Some([]) => names.join(", "),
        Some(rest) => format!("{} and {} more", names[..SHOWN].join(", "), rest.len()),
    }
}

fn look(file: &str, handle: &File, asked: Asked) -> Result<Dialect, Error> {
    let read_error = |cause| Error::Read { file: file.to_owned(), cause };
    let mut handle = handle.try_clone().map_err(read_error)?;
    handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
    sniff(&mut handle, asked).map_err(read_error)?.map_err(|Ambiguous { line, what }| {
        line_error(file, line, what, "name the delimiter, for example: --delimiter ';' or --delimiter tab")
    })
}

fn open(file: &str, handle: &File, dialect: &Dialect) -> Result<(Records<File>, Vec<String>), Error> {
    let read_error = |cause| Error::Read { file: file.to_owned(), cause };
    let mut handle = handle.try_clone().map_err(read_error)?;
    handle.seek(SeekFrom::Start(dialect.n_skip)).map_err(read_error)?;
    let mut records = Records::new(file, handle, dialect.delimiter, dialect.lines_skipped);
    if !records.read()? {
        let (what, hint) = ("the file is empty", "the first line must name the columns, rows follow");
        return Err(Error::NoData { file: file.to_owned(), what, hint });
    }
    let mut header: Vec<String> = records.cells().map(|name| trim(name).to_owned()).collect();
    if dialect.row_names {
        header.insert(0, String::new());
    }
    if let Some(first) = header.first_mut().filter(|_| dialect.commented_header) {
        *first = trim(first.trim_start_matches('#')).to_owned();
    }
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
        layout: &Layout,
        options: &ReadOptions,
        wants: &[(usize, Delivery)],
    ) -> Result<Self, Error> {
        let (records, _) = open(file, handle, &layout.dialect)?;
        // `Table::scan` has checked the indexes.
        let wanted = wants
            .iter()
            .filter_map(|(column, delivery)| Some((*layout.places.get(*column)?, *delivery)))
            .collect();
        Ok(Self { file: file.to_owned(), records, options: options.clone(), wanted })
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
            for ((place, delivery), column) in self.wanted.iter().zip(&mut batch.columns) {
                let cell = self.records.cell(place.at);
                let value = match self.options.read(cell) {
                    Value::Text(text) if place.decimal_comma => {
                        comma_number(text).map_or(Value::Text(text), |number| Value::Number(number.value))
                    }
                    value => value,
                };
                deliver(column, *delivery, value).map_err(|_| Error::Changed {
                    file: self.file.clone(),
                    line: self.records.line(),
                    value: excerpt(cell),
                })?;
            }
            batch.n_rows += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed() {
        let names: Vec<String> = (0..6).map(|i| format!("`{i}`")).collect();
        assert_eq!(some(&names), "`0`, `1`, `2`, `3` and 2 more");
        assert_eq!(some(&names[..1]), "`0`");
    }
}
