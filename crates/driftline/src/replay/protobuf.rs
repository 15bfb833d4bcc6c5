//! A row as `ModelInferRequest` of `inference.GRPCInferenceService`, in its gRPC frame.
//!
//! Protobuf has no null: a missing number is NaN, and a missing text or boolean has no tensor at all.

use bytes::Bytes;
use tabular::{Cell, ColumnKind};

/// Fields with a length: number in the upper bits, 2 below.
const fn tag(field: u8) -> u8 {
    field << 3 | 2
}

/// Appends a field of bytes: a string, a message, packed numbers.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(tag(number));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a cell's tensor, of the shape `[1]`, to a message's fields.
pub(super) fn push_tensor(out: &mut Vec<u8>, name: &str, cell: Cell<'_>, kind: ColumnKind) {
    let is_number = matches!(kind, ColumnKind::Integer | ColumnKind::Number);
    let mut contents = Vec::new();
    let datatype = match cell {
        Cell::Integer(value) => {
            let mut packed = Vec::new();
            varint(&mut packed, value.cast_unsigned());
            field(&mut contents, 3, &packed);
            "INT64"
        }
        Cell::Boolean(value) => {
            field(&mut contents, 1, &[u8::from(value)]);
            "BOOL"
        }
        Cell::Text(text) => {
            field(&mut contents, 8, text.as_bytes());
            "BYTES"
        }
        Cell::Number(value) => {
            field(&mut contents, 7, &value.to_le_bytes());
            "FP64"
        }
        Cell::Missing if is_number => {
            field(&mut contents, 7, &f64::NAN.to_le_bytes());
            "FP64"
        }
        Cell::Missing => return,
    };
    let mut tensor = Vec::new();
    field(&mut tensor, 1, name.as_bytes());
    field(&mut tensor, 2, datatype.as_bytes());
    field(&mut tensor, 3, &[1]);
    field(&mut tensor, 5, &contents);
    field(out, 5, &tensor);
}

/// The request with these tensors in its frame.
pub(super) fn request(model: &str, tensors: &[u8]) -> Bytes {
    let mut message = Vec::new();
    field(&mut message, 1, model.as_bytes());
    message.extend_from_slice(tensors);
    // A row of 4 GiB is none.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    Bytes::from([&[0], &length[..], &message].concat())
}
