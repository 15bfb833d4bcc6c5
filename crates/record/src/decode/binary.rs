//! Tensors as bytes: the binary extension of KServe v2.
//!
//! The body is the JSON part followed by the tensors' bytes in the order of the tensors, without gaps. Where the bytes
//! begin is told by `Inference-Header-Content-Length`, and twice more by the body itself: the JSON object ends at its
//! brace, and the tensors' sizes count back from the body's end. The two must meet, with only white space in between,
//! so the header is not needed and a message that lost it on its way is still read.
//!
//! Everything is little-endian. A BYTES element is a length of four bytes and as many bytes, which must be UTF-8.

use std::num::NonZero;

use super::reader::{Number, Scalar};
use super::sink::Sink;
use super::{DecodeError, DecodeErrorKind};
use crate::CellValue;

type Result<T> = std::result::Result<T, DecodeError>;

/// Integers above this may be rounded as an `f64`.
const EXACT_INTEGER: u64 = 1 << 53;

/// What a tensor's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    /// By its name in the protocol; case does not matter.
    pub(crate) fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Datatype); 14] = [
            ("BOOL", Datatype::Bool),
            ("UINT8", Datatype::Uint8),
            ("UINT16", Datatype::Uint16),
            ("UINT32", Datatype::Uint32),
            ("UINT64", Datatype::Uint64),
            ("INT8", Datatype::Int8),
            ("INT16", Datatype::Int16),
            ("INT32", Datatype::Int32),
            ("INT64", Datatype::Int64),
            ("FP16", Datatype::Fp16),
            ("BF16", Datatype::Bf16),
            ("FP32", Datatype::Fp32),
            ("FP64", Datatype::Fp64),
            ("BYTES", Datatype::Bytes),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, datatype)| *datatype)
    }

    /// Bytes of an element; `None` when every element has its own length.
    const fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

/// Appends the `count` values of a tensor's bytes.
pub(crate) fn read(
    datatype: Datatype,
    bytes: &[u8],
    count: usize,
    sink: &mut Sink<'_>,
    cells: &mut Vec<CellValue>,
) -> Result<()> {
    let Some(size) = datatype.size() else {
        return texts(bytes, count, sink, cells);
    };
    if count.checked_mul(size) != Some(bytes.len()) {
        return Err(shape(format!(
            "shape asks for {count} values of {size} bytes, {} bytes are there",
            bytes.len()
        )));
    }
    sink.check_cells(cells.len().saturating_add(count))?;
    for element in bytes.chunks_exact(size) {
        let value = match datatype {
            Datatype::Bool => Scalar::Bool(element.first().is_some_and(|byte| *byte != 0)),
            _ => Scalar::Number(number(datatype, element)),
        };
        let value = sink.value(value)?;
        cells.push(value);
    }
    Ok(())
}

/// An element as a number; `element` has the datatype's size.
pub(crate) fn number(datatype: Datatype, element: &[u8]) -> Number {
    let mut raw = [0; 8];
    for (to, from) in raw.iter_mut().zip(element) {
        *to = *from;
    }
    let bits = u64::from_le_bytes(raw);
    let signed = |bits: u64, width: u32| (bits << (64 - width)) as i64 >> (64 - width);
    let value = match datatype {
        Datatype::Int8 => signed(bits, 8) as f64,
        Datatype::Int16 => signed(bits, 16) as f64,
        Datatype::Int32 => signed(bits, 32) as f64,
        Datatype::Int64 => bits as i64 as f64,
        Datatype::Fp16 => half(bits as u16),
        Datatype::Bf16 => f64::from(f32::from_bits((bits as u32) << 16)),
        Datatype::Fp32 => crate::value::from_single(f32::from_bits(bits as u32)),
        Datatype::Fp64 => f64::from_bits(bits),
        Datatype::Bool
        | Datatype::Uint8
        | Datatype::Uint16
        | Datatype::Uint32
        | Datatype::Uint64
        | Datatype::Bytes => bits as f64,
    };
    let inexact_integer = match datatype {
        Datatype::Int64 => (bits as i64).unsigned_abs(),
        Datatype::Uint64 => bits,
        _ => 0,
    };
    let inexact_integer = NonZero::new(inexact_integer).filter(|magnitude| magnitude.get() > EXACT_INTEGER);
    Number { value, inexact_integer }
}

/// IEEE 754 binary16: 1 bit sign, 5 bits exponent with bias 15, 10 bits fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2_f64.powi(-24),
        0x1f if bits & 0x3ff == 0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2_f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

fn texts(bytes: &[u8], count: usize, sink: &mut Sink<'_>, cells: &mut Vec<CellValue>) -> Result<()> {
    let mut rest = bytes;
    for _ in 0..count {
        sink.check_cells(cells.len().saturating_add(1))?;
        let (length, after) =
            rest.split_first_chunk().ok_or_else(|| shape("a BYTES tensor ends before its last element"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (element, after) = after
            .split_at_checked(length)
            .ok_or_else(|| shape("an element of a BYTES tensor is longer than the tensor"))?;
        cells.push(sink.bytes_value(element));
        rest = after;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(shape(format!("{} bytes follow the last element of a BYTES tensor", rest.len())))
    }
}

fn shape(message: impl Into<String>) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Shape, message)
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves_are_read_like_the_standard_says() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x0400, 6.103_515_625e-5),
            (0x3555, 0.333_251_953_125),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
