//! JSON lines: one JSON value a line, each a row.
//!
//! An object's keys are names, inner ones joined with dots; a list's columns take the profile's column names or `f0`,
//! `f1`, …; a scalar is the first column. In an answer names begin with `prediction`; if all rows use one name, it is
//! `prediction`. Blank lines don't count, and a value may go on over several lines.

use super::flatten::Flattener;
use super::reader::Reader;
use super::sink::Sink;
use super::{DecodeError, DecoderSpec};

/// Reads a body into the sink.
pub(crate) fn read(
    mut reader: Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    name: &mut String,
) -> Result<(), DecodeError> {
    let mut flattener = Flattener::new(spec, name, usize::MAX);
    let mut row = 0;
    while !reader.at_end()? {
        flattener.row(&mut reader, sink, row)?;
        row += 1;
    }
    sink.end(true)
}
