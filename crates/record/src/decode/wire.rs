//! Protobuf's wire format, field by field, borrowed from the message.
//!
//! No message type is known here and nothing is allocated: who reads a message walks its fields, as often as needed,
//! and opens those that hold messages. Nesting is therefore as deep as the reader's code and no deeper. Groups, which
//! proto3 does not have, are an error.

use super::{DecodeError, DecodeErrorKind};

type Result<T> = std::result::Result<T, DecodeError>;

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// A string, bytes, a message, or packed values.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a field that must have some.
    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(broken("a field is of another type than it should be")),
        }
    }

    /// The text of a string field.
    pub(crate) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| broken("a string is not UTF-8"))
    }
}

/// The fields of a message, in the order in which they were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag =
            u32::try_from(varint(&mut self.rest)?).map_err(|_| broken("a field's number is too large"))?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).unwrap_or(usize::MAX);
                let (bytes, rest) = self
                    .rest
                    .split_at_checked(length)
                    .ok_or_else(|| broken("a field is longer than its message"))?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.fixed()?),
            _ => return Err(broken("a field is of a type that is not read")),
        };
        match tag >> 3 {
            0 => Err(broken("a field has the number 0")),
            number => Ok(Some((number, value))),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (value, rest) =
            self.rest.split_first_chunk().ok_or_else(|| broken("a field is longer than its message"))?;
        self.rest = rest;
        Ok(*value)
    }
}

/// Takes a number off the front: seven bits a byte, lowest first, ten bytes at most.
pub(crate) fn varint(from: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (at, byte) in from.iter().enumerate().take(10) {
        // Of the tenth byte only one bit has room.
        if at == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *from = from.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(broken("a number does not end"))
}

pub(crate) fn broken(problem: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::Syntax, format!("not a message of protobuf: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_seven_bits_a_byte() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x96, 0x01], 150),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], u64::MAX),
        ] {
            let mut rest = bytes;
            assert_eq!(varint(&mut rest), Ok(value));
            assert!(rest.is_empty());
        }
        for bytes in
            [&[][..], &[0x80], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(varint(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn every_type_of_field_is_walked_and_groups_are_refused() {
        let message = [
            &[0x08, 0x05][..],
            &[0x12, 0x02, b'h', b'i'],
            &[0x1d, 1, 0, 0, 0],
            &[0x21, 1, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let mut fields = Fields::new(&message);
        let mut found = Vec::new();
        while let Some(field) = fields.next().unwrap() {
            found.push(field);
        }
        assert_eq!(
            found,
            [
                (1, Value::Varint(5)),
                (2, Value::Bytes(b"hi")),
                (3, Value::Fixed32([1, 0, 0, 0])),
                (4, Value::Fixed64([1, 0, 0, 0, 0, 0, 0, 0])),
            ]
        );
        for bad in [&[0x0b][..], &[0x0c], &[0x0e], &[0x00, 0x00], &[0x12, 0x05, 1], &[0x1d, 1], &[0x21, 1, 2]]
        {
            assert!(Fields::new(bad).next().is_err(), "{bad:?}");
        }
    }
}
