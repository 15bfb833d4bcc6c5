//! JSON of no known protocol, flattened.
//!
//! Every scalar becomes a cell, its keys joined with dots; of an array inside a row the first
//! [`ARRAY_CELLS`] elements. Rows: an array of objects or of arrays, at the top or under the only top-level key, is a
//! batch. In an answer, an array there with as many elements as the request has rows (two or more) is a batch as well.
//! Everything else is one row. A single prediction is called `prediction`, several `prediction.NAME`.

use super::flatten::Flattener;
use super::reader::{Kind, Reader};
use super::sink::{Side, Sink};
use super::{DecodeError, DecoderSpec};

type Result<T> = std::result::Result<T, DecodeError>;

/// Elements of an array inside a row that become cells.
pub(crate) const ARRAY_CELLS: usize = 64;

/// Reads a body into the sink.
pub(crate) fn read(
    mut reader: Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    name: &mut String,
) -> Result<()> {
    let mut flattener = Flattener::new(spec, name, ARRAY_CELLS);
    match reader.kind()? {
        Kind::Array if is_batch(reader, sink)? => flattener.rows(&mut reader, sink)?,
        Kind::Object if holds_only_a_batch(reader, sink)? => {
            let mut first = reader.object()?;
            while reader.next_key(&mut first)?.is_some() {
                flattener.rows(&mut reader, sink)?;
            }
        }
        _ => flattener.row(&mut reader, sink, 0)?,
    }
    reader.finish()?;
    sink.end(true)
}

/// True when the array that comes next is rows.
fn is_batch(mut reader: Reader<'_>, sink: &Sink<'_>) -> Result<bool> {
    let mut first = reader.array()?;
    if !reader.next_element(&mut first)? {
        return Ok(false);
    }
    if matches!(reader.kind()?, Kind::Object | Kind::Array) {
        return Ok(true);
    }
    if sink.side() == Side::Features || sink.request_rows() < 2 {
        return Ok(false);
    }
    let mut elements = 0;
    loop {
        reader.skip_value()?;
        elements += 1;
        if !reader.next_element(&mut first)? {
            return Ok(elements == sink.request_rows());
        }
    }
}

/// True when the object that comes next has one key and rows under it.
fn holds_only_a_batch(mut reader: Reader<'_>, sink: &Sink<'_>) -> Result<bool> {
    let mut first = reader.object()?;
    if reader.next_key(&mut first)?.is_none() || reader.kind()? != Kind::Array || !is_batch(reader, sink)? {
        return Ok(false);
    }
    reader.skip_value()?;
    Ok(reader.next_key(&mut first)?.is_none())
}
