//! Bytes in and out: little-endian numbers, lengths before what has a length.

use super::RestoreError;

#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A length; everything counted here is bounded far below 2^32.
    pub(super) fn len(&mut self, len: usize) {
        self.u32(len as u32);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Bytes of a known number, written by `fill`, with their length before them.
    pub(super) fn block(&mut self, fill: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.u64(0);
        fill(self);
        let len = (self.0.len() - at - 8) as u64;
        self.0[at..at + 8].copy_from_slice(&len.to_le_bytes());
    }
}

/// Reads what [`Writer`] wrote, and never beyond the end.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

type Read<T> = Result<T, RestoreError>;

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Read<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(RestoreError::Corrupt { what: "a length" })?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Read<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn signature(&mut self) -> Read<[u8; 32]> {
        self.array()
    }

    /// How many things of at least `bytes` bytes each follow; refused when so many cannot.
    pub(super) fn len(&mut self, bytes: usize) -> Read<usize> {
        let len = self.u32()? as usize;
        if len.saturating_mul(bytes) > self.0.len() {
            return Err(RestoreError::Corrupt { what: "a number of entries" });
        }
        Ok(len)
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let len = self.len(1)?;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| RestoreError::Corrupt { what: "a text" })
    }

    pub(super) fn block(&mut self) -> Read<Self> {
        let len = usize::try_from(self.u64()?).map_err(|_| RestoreError::Corrupt { what: "a length" })?;
        Ok(Self(self.bytes(len)?))
    }

    pub(super) fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(RestoreError::Corrupt { what: "the end" }) }
    }
}
