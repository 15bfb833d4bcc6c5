//! KServe v1 and TensorFlow Serving: `{"instances":[…]}` answered by `{"predictions":[…]}`, and the columnar variant
//! `inputs` and `outputs`.
//!
//! Every instance is a row. A list's columns take the profile's column names, position by position, or `f0`, `f1`, …;
//! a list inside is flattened (`f0.1`); an object's keys are the names, inner objects with dots; a scalar is the first
//! column. In the columnar variant an object holds a list per column (all of the same length), and a bare list is read
//! like `instances`. Predictions are read alike with names under `prediction`; if all rows use one name, it is
//! `prediction`. A key given twice: the last one counts.

use super::flatten::Flattener;
use super::reader::{Kind, Reader};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind, DecoderSpec};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads a body into the sink.
pub(crate) fn read(
    mut reader: Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    name: &mut String,
) -> Result<()> {
    let (by_row, by_column) = match sink.side() {
        Side::Features => ("instances", "inputs"),
        Side::Predictions => ("predictions", "outputs"),
    };
    let mut flattener = Flattener::new(spec, name, usize::MAX);
    let mut found = false;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if *key != *by_row && *key != *by_column {
            sink.skip_value(&mut reader)?;
            continue;
        }
        found = true;
        sink.restart();
        if *key == *by_column && reader.kind()? == Kind::Object {
            columns(&mut reader, sink, &mut flattener)?;
        } else {
            rows(&mut reader, sink, &mut flattener)?;
        }
    }
    reader.finish()?;
    if !found {
        let message = format!("expected the key `{by_row}` or `{by_column}`");
        return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
    }
    sink.end(true)
}

fn rows(reader: &mut Reader<'_>, sink: &mut Sink<'_>, flattener: &mut Flattener<'_>) -> Result<()> {
    match reader.kind()? {
        Kind::Array => flattener.rows(reader, sink),
        other => Err(shape(reader, &format!("expected an array of rows, found {}", other.described()))),
    }
}

/// `{"a":[1,2],"b":[[3],[4]]}`: a list a column, its elements by row. A scalar is a column of one row.
pub(crate) fn columns(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    flattener: &mut Flattener<'_>,
) -> Result<()> {
    let mut agreed = None;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        let base = sink.side().base();
        sink.check_name(base.len() + 1 + key.len())?;
        flattener.name.clear();
        flattener.name.push_str(base);
        if !base.is_empty() {
            flattener.name.push('.');
        }
        flattener.name.push_str(&key);
        let rows = column(reader, sink, flattener)?;
        if *agreed.get_or_insert(rows) != rows {
            return Err(shape(reader, "columns of different lengths"));
        }
    }
    Ok(())
}

fn column(reader: &mut Reader<'_>, sink: &mut Sink<'_>, flattener: &mut Flattener<'_>) -> Result<u32> {
    if reader.kind()? != Kind::Array {
        sink.row(0)?;
        flattener.value(reader, sink, 0)?;
        return Ok(1);
    }
    let mut first = reader.array()?;
    let mut row = 0;
    while reader.next_element(&mut first)? {
        sink.row(row)?;
        flattener.value(reader, sink, row)?;
        row += 1;
    }
    Ok(row)
}

fn shape(reader: &Reader<'_>, problem: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Shape, format!("{problem}, at byte {}", reader.position()))
}
