//! Tables in JSON, as data-frame libraries and model servers write them.
//!
//! | written as | by |
//! | --- | --- |
//! | `{"dataframe_split":{"columns":[..],"data":[[..]]}}`, with `index` or without; bare in older clients | MLflow, Databricks |
//! | `{"dataframe_records":[{..}]}` | MLflow, Databricks |
//! | `{"input_data":{"columns":[..],"index":[..],"data":[[..]]}}` or `{"input_data":[..]}` | Azure ML |
//! | `{"Inputs":{"data":[{..}]}}`, `{"data":[[..]],..}` | Azure ML |
//! | `{"examples":[{..}]}` | TensorFlow Serving's `:classify` and `:regress` |
//! | `{"inputs":{"a":[..],"b":[..]}}`, `{"inputs":[[..]]}` | TensorFlow Serving, MLflow |
//! | `{"data":{"names":[..],"ndarray":[[..]]}}`, `tensor` with `shape` and `values` | Seldon v1, both ways |
//! | `{"a":[..],"b":[..]}` | pandas' `to_dict("list")` |
//!
//! Each row is one inference. What stands beside the table (`client_request_id`, `params`, `signature_name`, `meta`) belongs to the
//! request and is no feature.

use super::flatten::{Flattener, push_index};
use super::reader::{Kind, Reader, Scalar};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind, DecoderSpec, kserve_v1};

type Result<T> = std::result::Result<T, DecodeError>;

/// Which table a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// `columns` and `data` at the top.
    Split,
    /// A table under a key that says so.
    Keyed,
    /// A list a column, at the top.
    Columns,
}

/// The table that a body's object holds, by its keys; `rows` is given for an answer: how many rows its request has.
pub(crate) fn find(mut reader: Reader<'_>, side: Side, rows: Option<u32>) -> Result<Option<Frame>> {
    let start = reader;
    let (mut columns, mut data, mut keyed) = (false, false, false);
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        let is_list = reader.kind()? == Kind::Array;
        columns |= key == "columns" && is_list;
        data |= key == "data" && is_list;
        keyed |= is_table(&key, reader, side)?;
        reader.skip_value()?;
    }
    Ok(match rows {
        _ if columns && data => Some(Frame::Split),
        _ if keyed => Some(Frame::Keyed),
        Some(rows) if rows > 1 && any_list_of(start, rows as usize)? => Some(Frame::Columns),
        _ => None,
    })
}

/// Whether a key of the top names a table and holds one.
fn is_table(key: &str, mut reader: Reader<'_>, side: Side) -> Result<bool> {
    let kind = reader.kind()?;
    let by_request = side == Side::Features;
    Ok(match key {
        "dataframe_split" if by_request => kind == Kind::Object,
        "dataframe_records" | "examples" if by_request => kind == Kind::Array && holds_rows(reader)?,
        "input_data" if by_request && kind == Kind::Array => holds_rows(reader)?,
        "input_data" if by_request && kind == Kind::Object => has_key(reader, &["data"])?,
        "Inputs" if by_request && kind == Kind::Object => table_of_inputs(reader)?.is_some(),
        "inputs" if by_request && kind == Kind::Array => holds_rows(reader)?,
        "inputs" if by_request && kind == Kind::Object => equal_lists(reader)?.is_some(),
        "data" if kind == Kind::Object => has_key(reader, &["ndarray", "tensor"])?,
        "data" if by_request && kind == Kind::Array => holds_rows(reader)?,
        _ => false,
    })
}

/// Reads a body into the sink; the reader stands at its object.
pub(crate) fn read(
    mut reader: Reader<'_>,
    frame: Frame,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    name: &mut String,
) -> Result<()> {
    match frame {
        Frame::Split => split(&mut reader, sink, spec, name)?,
        Frame::Keyed => keyed(&mut reader, sink, spec, name)?,
        Frame::Columns => columns(&mut reader, sink, spec, name)?,
    }
    reader.finish()?;
    sink.end(true)
}

fn keyed(reader: &mut Reader<'_>, sink: &mut Sink<'_>, spec: &DecoderSpec, name: &mut String) -> Result<()> {
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if !is_table(&key, *reader, sink.side())? {
            sink.skip_value(reader)?;
            continue;
        }
        sink.restart();
        match (&*key, reader.kind()?) {
            ("data", Kind::Object) => seldon(reader, sink, spec, name)?,
            ("dataframe_split" | "input_data", Kind::Object) => split(reader, sink, spec, name)?,
            ("Inputs", _) => inputs(reader, sink, spec, name)?,
            (_, Kind::Object) => {
                kserve_v1::columns(reader, sink, &mut Flattener::new(spec, name, usize::MAX))?;
            }
            _ => Flattener::new(spec, name, usize::MAX).rows(reader, sink)?,
        }
    }
    Ok(())
}

/// `{"columns":["a","b"],"index":[0],"data":[[1,2]]}`, keys in any order.
fn split(reader: &mut Reader<'_>, sink: &mut Sink<'_>, spec: &DecoderSpec, name: &mut String) -> Result<()> {
    let names = names_under(*reader, &["columns"])?;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        match &*key {
            "data" if reader.kind()? == Kind::Array => {
                sink.restart();
                rows(reader, sink, spec, &names, name)?;
            }
            // Not noted as a value: of a body with other names this is not the layout.
            "columns" => reader.skip_value()?,
            _ => sink.skip_value(reader)?,
        }
    }
    Ok(())
}

/// `{"names":["a","b"],"ndarray":[[1,2]]}`, or `"tensor":{"shape":[1,2],"values":[1,2]}`.
fn seldon(reader: &mut Reader<'_>, sink: &mut Sink<'_>, spec: &DecoderSpec, name: &mut String) -> Result<()> {
    let names = names_under(*reader, &["names"])?;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        match (&*key, reader.kind()?) {
            ("ndarray", Kind::Array) => {
                sink.restart();
                if holds_rows(*reader)? || list_length(*reader)? != names.len() {
                    rows(reader, sink, spec, &names, name)?;
                } else {
                    row(reader, sink, spec, (&names, 0), name)?;
                }
            }
            ("tensor", Kind::Object) => {
                sink.restart();
                tensor(reader, sink, spec, &names, name)?;
            }
            ("names", _) => reader.skip_value()?,
            _ => sink.skip_value(reader)?,
        }
    }
    Ok(())
}

/// Values in row-major order; every dimension after the first makes columns.
fn tensor(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    names: &[Option<String>],
    name: &mut String,
) -> Result<()> {
    let start = *reader;
    let shape = shape_of(start)?;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if key != "values" || reader.kind()? != Kind::Array {
            // The shape decides what the values are: it is no value of its own.
            reader.skip_value()?;
            continue;
        }
        let count = list_length(*reader)?;
        let rows = shape.unwrap_or(count.min(1));
        if rows == 0 || count % rows != 0 {
            return Err(shape_error(reader, "a tensor whose `values` do not fill its `shape`"));
        }
        let width = (count / rows).max(1);
        let (mut first, mut at) = (reader.array()?, 0);
        while reader.next_element(&mut first)? {
            let (row, column) = (u32::try_from(at / width).unwrap_or(u32::MAX), at % width);
            sink.row(row)?;
            name_column(sink.side(), spec, names, (column, width), name);
            value(reader, sink, spec, row, name)?;
            at += 1;
        }
    }
    Ok(())
}

/// The first dimension of a tensor.
fn shape_of(mut reader: Reader<'_>) -> Result<Option<usize>> {
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if key != "shape" || reader.kind()? != Kind::Array {
            reader.skip_value()?;
            continue;
        }
        let mut first = reader.array()?;
        if !reader.next_element(&mut first)? || reader.kind()? != Kind::Number {
            return Ok(None);
        }
        let Scalar::Number(number) = reader.scalar()? else { return Ok(None) };
        let is_whole =
            number.value >= 0.0 && number.value <= f64::from(u32::MAX) && number.value.fract() == 0.0;
        return Ok(is_whole.then_some(number.value as usize));
    }
    Ok(None)
}

fn rows(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    names: &[Option<String>],
    name: &mut String,
) -> Result<()> {
    let (mut first, mut at) = (reader.array()?, 0);
    while reader.next_element(&mut first)? {
        row(reader, sink, spec, (names, at), name)?;
        at += 1;
    }
    Ok(())
}

fn row(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    (names, row): (&[Option<String>], u32),
    name: &mut String,
) -> Result<()> {
    if reader.kind()? == Kind::Object {
        return Flattener::new(spec, name, usize::MAX).row(reader, sink, row);
    }
    sink.row(row)?;
    if reader.kind()? != Kind::Array {
        name_column(sink.side(), spec, names, (0, 1), name);
        return value(reader, sink, spec, row, name);
    }
    let (mut first, mut column) = (reader.array()?, 0);
    while reader.next_element(&mut first)? {
        name_column(sink.side(), spec, names, (column, 2), name);
        value(reader, sink, spec, row, name)?;
        column += 1;
    }
    Ok(())
}

fn value(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    row: u32,
    name: &mut String,
) -> Result<()> {
    Flattener::new(spec, name, usize::MAX).value(reader, sink, row)
}

/// The name of a column of `width`: the table's own, else the profile's, else its number.
fn name_column(
    side: Side,
    spec: &DecoderSpec,
    names: &[Option<String>],
    (column, width): (usize, usize),
    name: &mut String,
) {
    name.clear();
    let own = names.get(column).and_then(Option::as_deref);
    match (side, own) {
        (Side::Features, Some(own)) => name.push_str(own),
        (Side::Features, None) => match spec.column_names.get(column) {
            Some(known) => name.push_str(known),
            None => push_index(name, "f", column),
        },
        (Side::Predictions, own) => {
            name.push_str(side.base());
            match own {
                Some(own) => name.extend([".", own]),
                None if width > 1 => push_index(name, ".", column),
                None => {}
            }
        }
    }
}

/// A list a column; what is no list of the number of rows is no column.
fn columns(
    reader: &mut Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    name: &mut String,
) -> Result<()> {
    // Which keys are columns hangs on the other body as well, which no layout remembers.
    sink.notes.spoil();
    if sink.side() == Side::Features {
        return kserve_v1::columns(reader, sink, &mut Flattener::new(spec, name, usize::MAX));
    }
    let rows = sink.request_rows() as usize;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if reader.kind()? != Kind::Array || list_length(*reader)? != rows {
            reader.skip_value()?;
            continue;
        }
        let (mut first, mut row) = (reader.array()?, 0);
        while reader.next_element(&mut first)? {
            sink.row(row)?;
            sink.check_name(key.len())?;
            name.clear();
            name.extend([sink.side().base(), ".", &key]);
            value(reader, sink, spec, row, name)?;
            row += 1;
        }
    }
    Ok(())
}

/// `{"Inputs":{"data":[{..}]}}`: the first list of rows under whatever name.
fn inputs(reader: &mut Reader<'_>, sink: &mut Sink<'_>, spec: &DecoderSpec, name: &mut String) -> Result<()> {
    let table = table_of_inputs(*reader)?;
    let (mut first, mut at) = (reader.object()?, 0);
    while reader.next_key(&mut first)?.is_some() {
        if table == Some(at) {
            Flattener::new(spec, name, usize::MAX).rows(reader, sink)?;
        } else {
            sink.skip_value(reader)?;
        }
        at += 1;
    }
    Ok(())
}

/// Which key of an object holds rows.
fn table_of_inputs(mut reader: Reader<'_>) -> Result<Option<usize>> {
    let (mut first, mut at) = (reader.object()?, 0);
    while reader.next_key(&mut first)?.is_some() {
        if reader.kind()? == Kind::Array && holds_rows(reader)? {
            return Ok(Some(at));
        }
        reader.skip_value()?;
        at += 1;
    }
    Ok(None)
}

/// Whether the object that comes next has one of these keys.
fn has_key(mut reader: Reader<'_>, keys: &[&str]) -> Result<bool> {
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if keys.contains(&&*key) {
            return Ok(true);
        }
        reader.skip_value()?;
    }
    Ok(false)
}

/// Whether the array that comes next begins with an object or an array, and not with a tensor or a message.
fn holds_rows(mut reader: Reader<'_>) -> Result<bool> {
    let mut first = reader.array()?;
    if !reader.next_element(&mut first)? {
        return Ok(false);
    }
    Ok(match reader.kind()? {
        Kind::Array => true,
        Kind::Object => !has_key(reader, &["datatype"])?,
        _ => false,
    })
}

/// The length of the lists that an object holds, when it holds nothing else and all are of one length.
fn equal_lists(mut reader: Reader<'_>) -> Result<Option<u32>> {
    let mut agreed = None;
    let mut first = reader.object()?;
    while reader.next_key(&mut first)?.is_some() {
        if reader.kind()? != Kind::Array {
            return Ok(None);
        }
        let length = list_length(reader)?;
        if length == 0 || *agreed.get_or_insert(length) != length {
            return Ok(None);
        }
        reader.skip_value()?;
    }
    Ok(agreed.and_then(|length| u32::try_from(length).ok()))
}

/// The rows of an object that may be a list a column: two keys or more, each with a list of scalars, all of one length.
/// `known` says whether all keys are columns of the profile.
pub(crate) fn list_columns(mut reader: Reader<'_>, spec: &DecoderSpec) -> Result<Option<ListColumns>> {
    let (mut keys, mut known, mut agreed) = (0_u32, true, None);
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        known = known && spec.column_names.iter().any(|column| *column == *key);
        if reader.kind()? != Kind::Array {
            return Ok(None);
        }
        let mut length = 0_u32;
        let mut first = reader.array()?;
        while reader.next_element(&mut first)? {
            if matches!(reader.kind()?, Kind::Object | Kind::Array) {
                return Ok(None);
            }
            reader.skip_value()?;
            length += 1;
        }
        if length == 0 || *agreed.get_or_insert(length) != length {
            return Ok(None);
        }
        keys += 1;
    }
    Ok(agreed.filter(|_| keys > 1).map(|rows| ListColumns { rows, known }))
}

/// What may be a list a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListColumns {
    /// The length of every list.
    pub(crate) rows: u32,
    /// Whether every key is a column of the profile.
    pub(crate) known: bool,
}

/// Whether an answer has `rows` rows: a list of so many at its top or under one of its keys.
pub(crate) fn answers_rows(body: &[u8], max_depth: usize, rows: u32) -> bool {
    let mut reader = Reader::new(body, max_depth);
    let rows = rows as usize;
    let found = match reader.begin() {
        Ok(Kind::Array) => list_length(reader).map(|length| length == rows),
        Ok(Kind::Object) => any_list_of(reader, rows),
        _ => return false,
    };
    found.unwrap_or(false)
}

fn any_list_of(mut reader: Reader<'_>, rows: usize) -> Result<bool> {
    let mut first = reader.object()?;
    while reader.next_key(&mut first)?.is_some() {
        if reader.kind()? == Kind::Array && list_length(reader)? == rows {
            return Ok(true);
        }
        reader.skip_value()?;
    }
    Ok(false)
}

fn list_length(mut reader: Reader<'_>) -> Result<usize> {
    let (mut first, mut length) = (reader.array()?, 0);
    while reader.next_element(&mut first)? {
        reader.skip_value()?;
        length += 1;
    }
    Ok(length)
}

/// The names in a list under a key; a name that is no string (pandas numbers columns without names) is `None`.
fn names_under(mut reader: Reader<'_>, keys: &[&str]) -> Result<Vec<Option<String>>> {
    let mut names = Vec::new();
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if !keys.contains(&&*key) || reader.kind()? != Kind::Array {
            reader.skip_value()?;
            continue;
        }
        names.clear();
        let mut first = reader.array()?;
        while reader.next_element(&mut first)? {
            names.push(match reader.kind()? {
                Kind::String => Some(reader.string()?.resolved().into_owned()),
                _ => {
                    reader.skip_value()?;
                    None
                }
            });
        }
    }
    Ok(names)
}

fn shape_error(reader: &Reader<'_>, problem: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Shape, format!("{problem}, at byte {}", reader.position()))
}
