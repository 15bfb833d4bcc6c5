//! KServe v2 over gRPC: `ModelInferRequest` and `ModelInferResponse` of `inference.GRPCInferenceService`.
//!
//! A body is one frame: a byte that says whether the message is compressed, four bytes of length, the message. The
//! message is walked where it lies, twice: once for the tensors, once for the bytes that belong to them, because fields
//! come in any order. Values stand in `contents`, by type, or in `raw_*_contents`, one entry a tensor in the layout of
//! `binary`; never in both. `tensors` makes the rows, the same as for JSON.

use super::binary::{self, Datatype};
use super::reader::Scalar;
use super::sink::{Side, Sink};
use super::tensors::{Binary, Scratch, Shape, Tensor, emit};
use super::wire::{Fields, Value, broken, varint};
use super::{DecodeError, DecodeErrorKind, DecoderSpec, body};

type Result<T> = std::result::Result<T, DecodeError>;

/// Bytes before a message.
const FRAME_HEAD: usize = 5;

/// `inputs` and `outputs`.
const TENSORS: u32 = 5;

/// Reads a body into the sink. A compressed message is inflated into `inflated`.
pub(crate) fn read(
    body: &[u8],
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    scratch: &mut Scratch,
    inflated: &mut Vec<u8>,
    name: &mut String,
) -> Result<()> {
    let message = message(body, inflated, spec.limits.max_inflated_bytes)?;
    scratch.clear();
    tensors(message, sink, scratch)?;
    let raw = match sink.side() {
        Side::Features => 7,
        Side::Predictions => 6,
    };
    raw_contents(message, raw, sink, scratch)?;
    emit(sink, spec, scratch, name)?;
    sink.end(false)
}

/// The message of a body that must be one frame.
fn message<'a>(body: &'a [u8], inflated: &'a mut Vec<u8>, limit: usize) -> Result<&'a [u8]> {
    let Some((head, rest)) = body.split_first_chunk::<FRAME_HEAD>() else {
        let kind = if body.is_empty() { DecodeErrorKind::Empty } else { DecodeErrorKind::Truncated };
        return Err(DecodeError::new(kind, format!("{} bytes are no gRPC message", body.len())));
    };
    let [compressed, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let Some((message, after)) = rest.split_at_checked(length) else {
        let message = format!("a gRPC message of {length} bytes has only {}", rest.len());
        return Err(DecodeError::new(DecodeErrorKind::Truncated, message));
    };
    if !after.is_empty() {
        return Err(shape("the call sent more than one gRPC message"));
    }
    match compressed {
        0 => Ok(message),
        1 => {
            body::inflate_message(message, inflated, limit)?;
            Ok(inflated)
        }
        _ => Err(shape("a gRPC frame begins with neither 0 nor 1")),
    }
}

fn tensors(message: &[u8], sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == TENSORS {
            // A tensor without values takes room as well.
            sink.check_cells(scratch.tensors.len() + 1)?;
            let tensor = tensor(value.bytes()?, sink, scratch)?;
            scratch.tensors.push(tensor);
        }
    }
    Ok(())
}

/// A tensor's head and the values of its `contents`.
fn tensor(message: &[u8], sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<Tensor> {
    let (mut name, mut datatype, mut dimensions) = ("", "", Shape::new());
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => name = value.text()?,
            2 => datatype = value.text()?,
            3 => dimension(value, &mut dimensions)?,
            _ => {}
        }
    }
    let datatype = Datatype::named(datatype)
        .ok_or_else(|| DecodeError::new(DecodeErrorKind::BinaryTensor, "a tensor is of no known datatype"))?;
    let start = scratch.cells.len();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == 5 {
            contents(value.bytes()?, datatype, sink, scratch)?;
        }
    }
    sink.check_name(name.len())?;
    let name = sink.keep_str(name)?;
    let Shape { batch, product, .. } = dimensions;
    let count = scratch.cells.len() - start;
    if count == 0 {
        let count = usize::try_from(product).map_err(|_| shape("a shape is too large"))?;
        let binary = Some(Binary { datatype, bytes: 0 });
        return Ok(Tensor { name, batch, start, count, binary });
    }
    if u64::try_from(count) != Ok(product) {
        return Err(shape(format!("shape asks for {product} values, contents has {count}")));
    }
    Ok(Tensor { name, batch, start, count, binary: None })
}

/// One dimension, or several that are packed.
fn dimension(value: Value<'_>, dimensions: &mut Shape) -> Result<()> {
    let mut push = |number: u64| {
        let dimension = u64::try_from(number.cast_signed()).map_err(|_| shape("a dimension is negative"))?;
        dimensions.push(dimension).ok_or_else(|| shape("a shape is too large"))
    };
    match value {
        Value::Varint(number) => push(number),
        value => {
            let mut packed = value.bytes()?;
            while !packed.is_empty() {
                push(varint(&mut packed)?)?;
            }
            Ok(())
        }
    }
}

/// The field of `InferTensorContents` that holds a datatype's values; `None` for those that are only sent raw.
const fn field_of(datatype: Datatype) -> Option<u32> {
    match datatype {
        Datatype::Bool => Some(1),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Some(2),
        Datatype::Int64 => Some(3),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Some(4),
        Datatype::Uint64 => Some(5),
        Datatype::Fp32 => Some(6),
        Datatype::Fp64 => Some(7),
        Datatype::Bytes => Some(8),
        Datatype::Fp16 | Datatype::Bf16 => None,
    }
}

fn contents(message: &[u8], datatype: Datatype, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    let wanted = field_of(datatype);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            _ if wanted == Some(field) => values(value, datatype, sink, scratch)?,
            1..=7 if value == Value::Bytes(&[]) => {}
            1..=8 => return Err(shape("contents holds values of another type than the datatype")),
            _ => {}
        }
    }
    Ok(())
}

/// One value, or several that are packed.
fn values(value: Value<'_>, datatype: Datatype, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    match (datatype, value) {
        (Datatype::Bytes, value) => {
            sink.check_cells(scratch.cells.len() + 1)?;
            let cell = sink.bytes_value(value.bytes()?);
            scratch.cells.push(cell);
            Ok(())
        }
        (Datatype::Fp32, Value::Bytes(packed)) => fixed(packed, 4, datatype, sink, scratch),
        (Datatype::Fp64, Value::Bytes(packed)) => fixed(packed, 8, datatype, sink, scratch),
        (Datatype::Fp32, Value::Fixed32(bytes)) => fixed(&bytes, 4, datatype, sink, scratch),
        (Datatype::Fp64, Value::Fixed64(bytes)) => fixed(&bytes, 8, datatype, sink, scratch),
        (Datatype::Fp32 | Datatype::Fp64, _) => Err(broken("a number is of another type than it should be")),
        (_, Value::Varint(number)) => integer(number, datatype, sink, scratch),
        (_, value) => {
            let mut packed = value.bytes()?;
            while !packed.is_empty() {
                integer(varint(&mut packed)?, datatype, sink, scratch)?;
            }
            Ok(())
        }
    }
}

/// Packed numbers of a fixed size, laid out as in a raw tensor.
fn fixed(
    packed: &[u8],
    size: usize,
    datatype: Datatype,
    sink: &mut Sink<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    if !packed.len().is_multiple_of(size) {
        return Err(broken("packed numbers end within one"));
    }
    binary::read(datatype, packed, packed.len() / size, sink, &mut scratch.cells)
}

fn integer(number: u64, datatype: Datatype, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    sink.check_cells(scratch.cells.len() + 1)?;
    // The narrow types travel as 32 bits, and `int32` fills a varint's upper ones with its sign.
    let narrow = &number.to_le_bytes()[..4];
    let scalar = match datatype {
        Datatype::Bool => Scalar::Bool(number != 0),
        Datatype::Int64 | Datatype::Uint64 => Scalar::Number(binary::number(datatype, &number.to_le_bytes())),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => {
            Scalar::Number(binary::number(Datatype::Int32, narrow))
        }
        _ => Scalar::Number(binary::number(Datatype::Uint32, narrow)),
    };
    let value = sink.value(scalar)?;
    scratch.cells.push(value);
    Ok(())
}

/// Gives the tensors the values of the `raw` fields, the first to the first.
fn raw_contents(message: &[u8], raw: u32, sink: &mut Sink<'_>, scratch: &mut Scratch) -> Result<()> {
    let Scratch { tensors, cells } = scratch;
    let mut waiting = tensors.iter_mut();
    let mut fields = Fields::new(message);
    let mut found = false;
    while let Some((field, value)) = fields.next()? {
        if field != raw {
            continue;
        }
        found = true;
        let tensor = waiting.next().ok_or_else(|| shape("there are more raw contents than tensors"))?;
        let Some(Binary { datatype, .. }) = tensor.binary.take() else {
            return Err(shape("a tensor has contents, and raw contents are there too"));
        };
        tensor.start = cells.len();
        binary::read(datatype, value.bytes()?, tensor.count, sink, cells)?;
    }
    if found && waiting.next().is_some() {
        return Err(shape("there are fewer raw contents than tensors"));
    }
    match tensors.iter().find(|tensor| tensor.binary.is_some() && tensor.count > 0) {
        Some(tensor) => Err(shape(format!("shape asks for {} values, none are there", tensor.count))),
        None => Ok(()),
    }
}

fn shape(message: impl Into<String>) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Shape, message)
}
