//! KServe v2, the Open Inference Protocol: tensors with name, shape, datatype and data.
//!
//! Keys come in any order, so a tensor's values wait in a scratch until its object ends; `tensors` makes rows of them.
//!
//! Values: numbers as they are, BOOL and JSON booleans as the categories `true` and `false`, strings as categories
//! whatever the datatype says. A key given twice: the last one counts. A tensor with `binary_data_size` has its values
//! after the JSON (see `binary`); both kinds may stand in one body.

use super::binary::{self, Datatype};
use super::reader::{Kind, Reader, Scalar};
use super::sink::{Side, Sink};
use super::tensors::{Binary, Scratch, Shape, Tensor, emit};
use super::{DecodeError, DecodeErrorKind, DecoderSpec};
use crate::{CellValue, TextRange};

type Result<T> = std::result::Result<T, DecodeError>;

/// What is known of a tensor while its object is being read.
#[derive(Default)]
struct Draft {
    name: Option<TextRange>,
    shape: Option<Shape>,
    /// First value in the scratch and number of values.
    data: Option<(usize, usize)>,
    datatype: Option<Datatype>,
    /// `binary_data_size`.
    binary: Option<u64>,
}

/// Reads a body into the sink; the reader stands at its beginning.
pub(crate) fn read(
    mut reader: Reader<'_>,
    body: &[u8],
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    scratch: &mut Scratch,
    name: &mut String,
) -> Result<()> {
    let wanted = match sink.side() {
        Side::Features => "inputs",
        Side::Predictions => "outputs",
    };
    let mut found = false;
    scratch.tensors.clear();
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if *key == *wanted {
            found = true;
            tensors(&mut reader, sink, scratch)?;
        } else {
            sink.skip_value(&mut reader)?;
        }
    }
    if scratch.tensors.iter().all(|tensor| tensor.binary.is_none()) || !found {
        reader.finish()?;
    }
    if !found {
        let message = format!("expected the key `{wanted}`");
        return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
    }
    binaries(body, reader.position(), sink, scratch)?;
    emit(sink, spec, scratch, name)?;
    sink.end(false)
}

fn tensors(reader: &mut Reader<'_>, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    scratch.clear();
    if reader.kind()? != Kind::Array {
        return Err(shape(reader, "expected an array of tensors"));
    }
    let mut first = reader.array()?;
    while reader.next_element(&mut first)? {
        let tensor = tensor(reader, sink, scratch)?;
        scratch.tensors.push(tensor);
    }
    Ok(())
}

fn tensor(reader: &mut Reader<'_>, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<Tensor> {
    if reader.kind()? != Kind::Object {
        return Err(shape(reader, "expected a tensor object"));
    }
    let mut draft = Draft::default();
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        match &*key {
            "name" if reader.kind()? == Kind::String => draft.name = Some(sink.keep_name(reader.string()?)?),
            "datatype" if reader.kind()? == Kind::String => {
                draft.datatype = Datatype::named(&reader.string()?.resolved());
            }
            "name" | "datatype" => return Err(shape(reader, "expected a string")),
            "shape" => draft.shape = Some(dimensions(reader)?),
            "data" => draft.data = Some(data(reader, sink, scratch)?),
            "parameters" => draft.binary = binary_size(reader)?,
            _ => sink.skip_value(reader)?,
        }
    }
    finish_tensor(reader, sink, scratch, &draft)
}

fn finish_tensor(
    reader: &Reader<'_>,
    sink: &mut Sink<'_>,
    scratch: &mut Scratch,
    draft: &Draft,
) -> Result<Tensor> {
    let name = draft.name.ok_or_else(|| shape(reader, "a tensor without `name` ends"))?;
    let Shape { batch, product, .. } =
        draft.shape.ok_or_else(|| shape(reader, "a tensor without `shape` ends"))?;
    let (start, count) = match (draft.data, draft.binary) {
        (Some(data), None) => data,
        (None, Some(bytes)) => return binary_tensor(reader, draft.datatype, name, (batch, product), bytes),
        (None, None) => return Err(shape(reader, "a tensor without `data` ends")),
        (Some(_), Some(_)) => {
            return Err(shape(reader, "a tensor with both `data` and `binary_data_size` ends"));
        }
    };
    if u64::try_from(count) != Ok(product) {
        return Err(shape(
            reader,
            &format!("shape asks for {product} values, data has {count}, in a tensor that ends"),
        ));
    }
    if draft.datatype == Some(Datatype::Bool) {
        sink.notes.booleans(start, count);
        for cell in scratch.cells.iter_mut().skip(start).take(count) {
            if let CellValue::Number(number) = *cell {
                *cell = sink.boolean(number != 0.0)?;
            }
        }
    }
    Ok(Tensor { name, batch, start, count, binary: None })
}

/// A tensor whose values are read when the JSON has ended.
fn binary_tensor(
    reader: &Reader<'_>,
    datatype: Option<Datatype>,
    name: TextRange,
    (batch, product): (Option<u64>, u64),
    bytes: u64,
) -> Result<Tensor> {
    let datatype = datatype.ok_or_else(|| {
        let message = format!("a binary tensor of no known datatype ends at byte {}", reader.position());
        DecodeError::new(DecodeErrorKind::BinaryTensor, message)
    })?;
    // No body is longer than memory: a size that does not fit is one that no body has.
    let fits =
        |number: u64| usize::try_from(number).map_err(|_| shape(reader, "a tensor that is too large ends"));
    let binary = Some(Binary { datatype, bytes: fits(bytes)? });
    Ok(Tensor { name, batch, start: 0, count: fits(product)?, binary })
}

/// Reads the values that follow the JSON, which ends at `json_end`.
fn binaries(body: &[u8], json_end: usize, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    let sizes = scratch.tensors.iter().filter_map(|tensor| tensor.binary).map(|binary| binary.bytes);
    let Some(total) = sizes.reduce(usize::saturating_add) else {
        return Ok(());
    };
    let after = body.get(json_end..).unwrap_or_default();
    let gap = after.len().checked_sub(total).and_then(|at| after.split_at_checked(at));
    let Some((_, mut rest)) = gap.filter(|(gap, _)| gap.iter().all(u8::is_ascii_whitespace)) else {
        let message = format!("binary tensors ask for {total} bytes, {} follow the JSON", after.len());
        return Err(DecodeError::new(DecodeErrorKind::Shape, message));
    };
    for tensor in &mut scratch.tensors {
        if let Some(binary) = tensor.binary.take() {
            let (bytes, after) = rest.split_at_checked(binary.bytes).unwrap_or((rest, &[]));
            rest = after;
            tensor.start = scratch.cells.len();
            binary::read(binary.datatype, bytes, tensor.count, sink, &mut scratch.cells)?;
        }
    }
    Ok(())
}

fn dimensions(reader: &mut Reader<'_>) -> Result<Shape> {
    if reader.kind()? != Kind::Array {
        return Err(shape(reader, "expected an array of dimensions"));
    }
    let mut dimensions = Shape::new();
    let mut first = reader.array()?;
    while reader.next_element(&mut first)? {
        let dimension = match reader.kind()? {
            Kind::Number => reader.scalar()?,
            _ => return Err(shape(reader, "expected a dimension")),
        };
        let dimension =
            whole(&dimension).ok_or_else(|| shape(reader, "expected a whole dimension, 0 or more,"))?;
        dimensions.push(dimension).ok_or_else(|| shape(reader, "a shape that is too large"))?;
    }
    Ok(dimensions)
}

/// Values of a flat or nested array; the answer is the first one's place and their number.
fn data(reader: &mut Reader<'_>, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<(usize, usize)> {
    if reader.kind()? != Kind::Array {
        return Err(shape(reader, "expected an array of values"));
    }
    let start = scratch.cells.len();
    let floor = reader.depth();
    let mut first = reader.array()?;
    while reader.depth() > floor {
        if !reader.next_element(&mut first)? {
            first = false;
            continue;
        }
        match reader.kind()? {
            Kind::Array => first = reader.array()?,
            Kind::Object => return Err(shape(reader, "expected a value, found an object")),
            _ => {
                sink.check_cells(scratch.cells.len() + 1)?;
                let value = sink.read_value(reader)?;
                scratch.cells.push(value);
            }
        }
    }
    Ok((start, scratch.cells.len() - start))
}

/// `binary_data_size` of a tensor's parameters: its data follows the JSON as so many bytes.
fn binary_size(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    if reader.kind()? != Kind::Object {
        reader.skip_value()?;
        return Ok(None);
    }
    let mut size = None;
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if key != "binary_data_size" {
            reader.skip_value()?;
            continue;
        }
        size = match reader.kind()? {
            Kind::Number => whole(&reader.scalar()?),
            _ => None,
        };
        if size.is_none() {
            return Err(shape(reader, "expected a whole `binary_data_size`, 0 or more,"));
        }
    }
    Ok(size)
}

/// A number that is whole and not negative.
fn whole(scalar: &Scalar<'_>) -> Option<u64> {
    match scalar {
        Scalar::Number(n) if n.value >= 0.0 && n.value.fract() == 0.0 && n.inexact_integer.is_none() => {
            Some(n.value as u64)
        }
        _ => None,
    }
}

fn shape(reader: &Reader<'_>, problem: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Shape, format!("{problem} at byte {}", reader.position()))
}
