//! JSON lines: one object a line, nested objects flattened with dots.

mod flatten;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use record::value::{Value as Read, boolean_key};

use crate::batch::{Batch, Column};
use crate::csv::COLUMNS_MAX;
use crate::deliver::{Delivery, deliver};
use crate::error::{Error, excerpt};
use crate::lines::{LineError, Lines, strip_terminator};
use crate::options::ReadOptions;
use crate::schema::{ColumnInfo, Evidence, Schema, SkippedColumn};
use crate::table::{BATCH_BYTES, BATCH_ROWS};

use flatten::{Value, flatten};

const HINT_OBJECT: &str = "write one JSON object a line: {\"amount\":12.5,\"country\":\"DE\"}";
const HINT_ARRAY: &str =
    "write one object a line instead of an array, for example: jq -c '.[]' in.json > out.jsonl";

struct Objects {
    file: String,
    lines: Lines<File>,
}

impl Objects {
    fn open(file: &str, handle: &File) -> Result<Self, Error> {
        let read_error = |cause| Error::Read { file: file.to_owned(), cause };
        let mut handle = handle.try_clone().map_err(read_error)?;
        handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
        Ok(Self { file: file.to_owned(), lines: Lines::new(handle) })
    }

    /// Calls `see` with every value of the next object; false at the end. `see` may refuse a value with a reason.
    fn next(&mut self, see: &mut dyn FnMut(&str, Value<'_>) -> Result<(), String>) -> Result<bool, Error> {
        loop {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => strip_terminator(line),
                Ok(None) => return Ok(false),
                Err(LineError::Io(cause)) => return Err(Error::Read { file: self.file.clone(), cause }),
                Err(LineError::TooLong) => {
                    return Err(self.error("the line is longer than 16 MiB".to_owned(), HINT_OBJECT));
                }
            };
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
            let Some(first) = line.first().copied() else { continue };
            let text = match std::str::from_utf8(line) {
                Ok(text) => text,
                Err(error) => {
                    let what = format!("byte {} is not UTF-8", error.valid_up_to() + 1);
                    return Err(self.error(what, "JSON is always UTF-8; convert the file with iconv"));
                }
            };
            if first == b'[' {
                return Err(self.error("an array, not an object".to_owned(), HINT_ARRAY));
            }
            return match flatten(text, see) {
                Ok(()) => Ok(true),
                Err(what) => {
                    let hint = hint(text);
                    Err(self.error(what, hint))
                }
            };
        }
    }

    fn error(&self, what: String, hint: &'static str) -> Error {
        Error::Line { file: self.file.clone(), line: self.lines.line(), what, hint }
    }
}

fn hint(text: &str) -> &'static str {
    if text == "{" || text.ends_with(',') {
        "an object must not be spread over lines: jq -c . in.json > out.jsonl"
    } else if text.contains("NaN") || text.contains("Infinity") {
        "NaN and Infinity are no JSON: write null, or \"Infinity\" and \"-Infinity\" in quotes"
    } else {
        HINT_OBJECT
    }
}

/// Columns in the order of their first appearance.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    indexes: HashMap<String, usize>,
}

impl Columns {
    /// The index of a name. `guess` is tried first: objects mostly repeat their keys in one order.
    fn index(&self, guess: usize, name: &str) -> Option<usize> {
        if self.names.get(guess).is_some_and(|known| known == name) {
            return Some(guess);
        }
        self.indexes.get(name).copied()
    }

    fn add(&mut self, name: &str) -> usize {
        let index = self.names.len();
        self.names.push(name.to_owned());
        self.indexes.insert(name.to_owned(), index);
        index
    }
}

/// Reads the whole file once and decides the columns.
pub(crate) fn first_pass(
    file: &str,
    handle: &File,
    options: &ReadOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Schema, Error> {
    let mut objects = Objects::open(file, handle)?;
    let mut columns = Columns::default();
    let mut evidence: Vec<Evidence> = Vec::new();
    let mut last_row: Vec<u64> = Vec::new();
    let mut n_rows = 0_u64;
    loop {
        let line = objects.lines.line() + 1;
        let mut guess = 0;
        let more = objects.next(&mut |name, value| {
            let index = match columns.index(guess, name) {
                Some(index) => index,
                None if columns.names.len() == COLUMNS_MAX => {
                    return Err(format!(
                        "more than {COLUMNS_MAX} different keys, `{}` is the next",
                        excerpt(name)
                    ));
                }
                None => {
                    evidence.push(Evidence::default());
                    last_row.push(u64::MAX);
                    columns.add(name)
                }
            };
            guess = index + 1;
            if let Some(last) = last_row.get_mut(index) {
                if *last == n_rows {
                    return Err(format!("key `{}` appears twice", excerpt(name)));
                }
                *last = n_rows;
            }
            if let Some(seen) = evidence.get_mut(index) {
                observe(seen, line, &value, options);
            }
            Ok(())
        })?;
        if !more {
            break;
        }
        n_rows += 1;
        if n_rows.is_multiple_of(BATCH_ROWS as u64) {
            progress(objects.lines.n_bytes());
        }
    }
    finish(file, n_rows, columns.names, evidence)
}

fn observe(seen: &mut Evidence, line: u64, value: &Value<'_>, options: &ReadOptions) {
    match value {
        Value::Missing => {}
        Value::Number { value, raw } => seen.number(*value, raw),
        Value::Boolean(value) => seen.value(line, Read::Boolean(*value), boolean_key(*value)),
        Value::Text(text) => match options.read(text) {
            Read::Number(number) => seen.spelled(number),
            Read::Code(_) => seen.spelled(f64::NAN),
            read => seen.value(line, read, text),
        },
        Value::List => seen.lists += 1,
    }
}

fn finish(file: &str, n_rows: u64, names: Vec<String>, evidence: Vec<Evidence>) -> Result<Schema, Error> {
    if n_rows == 0 {
        let what = "the file is empty";
        return Err(Error::NoData { file: file.to_owned(), what, hint: HINT_OBJECT });
    }
    // A key that is null in some rows and an object in others is the object's fields.
    let parents: Vec<String> =
        names.iter().filter_map(|name| name.rsplit_once('.')).map(|(parent, _)| parent.to_owned()).collect();
    let mut schema = Schema { n_rows, ..Schema::default() };
    for (name, seen) in names.into_iter().zip(evidence) {
        let is_parent =
            || parents.iter().any(|parent| *parent == name || parent.starts_with(&format!("{name}.")));
        if seen.lists > 0 {
            schema.skipped.push(SkippedColumn { name, reason: "holds lists" });
        } else if !(seen.is_empty() && is_parent()) {
            schema.columns.push(seen.into_column(name));
        }
    }
    if schema.columns.is_empty() {
        let what = "no object has a value that can be a column";
        return Err(Error::NoData { file: file.to_owned(), what, hint: HINT_OBJECT });
    }
    Ok(schema)
}

/// An opened file, from its first row on.
pub(crate) struct JsonScan {
    objects: Objects,
    /// Names of the wanted columns.
    columns: Columns,
    /// For each wanted column, how to deliver it.
    wanted: Vec<Delivery>,
    options: ReadOptions,
}

impl JsonScan {
    pub(crate) fn open(
        file: &str,
        handle: &File,
        columns: &[ColumnInfo],
        options: &ReadOptions,
        wants: &[(usize, Delivery)],
    ) -> Result<Self, Error> {
        let objects = Objects::open(file, handle)?;
        let mut names = Columns::default();
        let mut wanted = Vec::new();
        // `Table::scan` has checked the indexes.
        for (delivery, column) in
            wants.iter().filter_map(|(at, delivery)| Some((delivery, columns.get(*at)?)))
        {
            names.add(&column.name);
            wanted.push(*delivery);
        }
        Ok(Self { objects, columns: names, wanted, options: options.clone() })
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.objects.lines.n_bytes()
    }

    /// Fills the batch; it stays empty at the end of the file.
    pub(crate) fn fill(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let start = self.n_bytes();
        while batch.n_rows < BATCH_ROWS && self.n_bytes() - start < BATCH_BYTES {
            let (names, wanted, out) = (&self.columns, &self.wanted, &mut batch.columns);
            let options = &self.options;
            let mut guess = 0;
            let more = self.objects.next(&mut |name, value| {
                let Some(index) = names.index(guess, name) else { return Ok(()) };
                guess = index + 1;
                match (out.get_mut(index), wanted.get(index)) {
                    (Some(column), Some(delivery)) => push(column, *delivery, &value, options),
                    _ => Ok(()),
                }
            })?;
            if !more {
                break;
            }
            batch.n_rows += 1;
            for column in &mut batch.columns {
                if column.len() < batch.n_rows {
                    column.push_missing();
                }
            }
        }
        Ok(())
    }
}

fn push(
    column: &mut Column,
    delivery: Delivery,
    value: &Value<'_>,
    options: &ReadOptions,
) -> Result<(), String> {
    let changed = || "a value has another type than before: the file changed while it was read".to_owned();
    let read = match value {
        Value::Missing => Read::Missing,
        Value::Number { value, .. } => Read::Number(*value),
        Value::Boolean(value) => Read::Boolean(*value),
        Value::Text(text) => match options.kept(text, delivery) {
            Some(kept) => Read::Text(kept),
            None => options.read(text),
        },
        Value::List => return Err(changed()),
    };
    deliver(column, delivery, read).map_err(|_| changed())
}
