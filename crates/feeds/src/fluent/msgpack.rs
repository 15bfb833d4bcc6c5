//! msgpack, value by value and without a tree.
//!
//! A tree would take dozens of bytes for every byte of a hostile message. Here a value is its head: a number, a slice of
//! the input, or how many values follow. Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

/// Why bytes are no msgpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The bytes end inside a value.
    #[error("the msgpack ends inside a value")]
    Truncated,
    /// The one byte that the format never uses.
    #[error("a byte `c1`, which msgpack never uses")]
    NeverUsed,
}

/// One value, or the beginning of one with others in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero, or a signed form of something above it.
    Signed(i64),
    Float(f64),
    /// Text, not checked to be UTF-8.
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext(i8, &'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many pairs of values follow.
    Map(usize),
}

/// What a value's first bytes say about its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measure {
    /// Bytes of the marker and the length after it.
    head: usize,
    /// Bytes after the head that belong to this value alone.
    payload: usize,
    /// Values that follow and belong to it.
    children: u64,
}

/// Measures the value at the beginning. `None`: its head is not complete.
fn measure(bytes: &[u8]) -> Result<Option<Measure>, Broken> {
    let Some(&marker) = bytes.first() else { return Ok(None) };
    let fixed = |payload: usize, children: u64| Ok(Some(Measure { head: 1, payload, children }));
    let low = |mask: u8| usize::from(marker & mask);
    // With a length of `width` bytes after the marker.
    let long = |width: usize, then: fn(usize, usize) -> Measure| {
        Ok(bytes.get(1..=width).map(|length| then(1 + width, unsigned(length) as usize)))
    };
    let text = |head, payload| Measure { head, payload, children: 0 };
    let ext = |head, payload: usize| Measure { head, payload: payload.saturating_add(1), children: 0 };
    let array = |head, items| Measure { head, payload: 0, children: items as u64 };
    let map = |head, pairs| Measure { head, payload: 0, children: 2 * pairs as u64 };
    match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => fixed(0, 0),
        0x80..=0x8f => fixed(0, 2 * low(0x0f) as u64),
        0x90..=0x9f => fixed(0, low(0x0f) as u64),
        0xa0..=0xbf => fixed(low(0x1f), 0),
        0xc1 => Err(Broken::NeverUsed),
        0xc4 | 0xd9 => long(1, text),
        0xc5 | 0xda => long(2, text),
        0xc6 | 0xdb => long(4, text),
        0xc7 => long(1, ext),
        0xc8 => long(2, ext),
        0xc9 => long(4, ext),
        0xcc | 0xd0 => fixed(1, 0),
        0xcd | 0xd1 => fixed(2, 0),
        0xca | 0xce | 0xd2 => fixed(4, 0),
        0xcb | 0xcf | 0xd3 => fixed(8, 0),
        0xd4..=0xd8 => fixed(1 + (1 << (marker - 0xd4)), 0),
        0xdc => long(2, array),
        0xdd => long(4, array),
        0xde => long(2, map),
        0xdf => long(4, map),
    }
}

/// Big-endian, at most eight bytes.
fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Reads values one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value, or its beginning.
    pub(crate) fn head(&mut self) -> Result<Head<'a>, Broken> {
        let measure = measure(self.rest)?.ok_or(Broken::Truncated)?;
        let marker = self.rest.first().copied().ok_or(Broken::Truncated)?;
        let body = self.rest.get(measure.head..).ok_or(Broken::Truncated)?;
        let (payload, rest) = body.split_at_checked(measure.payload).ok_or(Broken::Truncated)?;
        // A value takes a byte at least: a claim of more than there are bytes is not followed.
        if measure.children > rest.len() as u64 {
            return Err(Broken::Truncated);
        }
        self.rest = rest;
        let signed = || {
            let shift = 64 - 8 * payload.len() as u32;
            (unsigned(payload) << shift).cast_signed() >> shift
        };
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(u64::from(marker)),
            0xe0..=0xff => Head::Signed(i64::from(marker.cast_signed())),
            0xc2 | 0xc3 => Head::Bool(marker == 0xc3),
            0xa0..=0xbf | 0xd9..=0xdb => Head::Str(payload),
            0xc4..=0xc6 => Head::Bin(payload),
            0xc7..=0xc9 | 0xd4..=0xd8 => {
                let (kind, data) = payload.split_first().ok_or(Broken::Truncated)?;
                Head::Ext(kind.cast_signed(), data)
            }
            0xca => Head::Float(f64::from(f32::from_bits(unsigned(payload) as u32))),
            0xcb => Head::Float(f64::from_bits(unsigned(payload))),
            0xcc..=0xcf => Head::Unsigned(unsigned(payload)),
            0xd0..=0xd3 => Head::Signed(signed()),
            0x90..=0x9f | 0xdc | 0xdd => Head::Array(measure.children as usize),
            0x80..=0x8f | 0xde | 0xdf => Head::Map((measure.children / 2) as usize),
            0xc0 | 0xc1 => Head::Nil,
        })
    }

    /// Steps over one whole value and gives its bytes. However deep it is, this takes no stack.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], Broken> {
        let mut frame = Frame::default();
        let length = frame.find(self.rest)?.ok_or(Broken::Truncated)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(value)
    }
}

/// Finds the end of one value in a buffer that grows, looking at each byte once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Where the next value's head is; may lie beyond the buffer.
    at: usize,
    /// Values still to come.
    pending: u64,
}

impl Default for Frame {
    fn default() -> Self {
        Self { at: 0, pending: 1 }
    }
}

impl Frame {
    /// The length of the value at the beginning of `buffer`, once it is there whole.
    pub(crate) fn find(&mut self, buffer: &[u8]) -> Result<Option<usize>, Broken> {
        while self.pending > 0 {
            let Some(rest) = buffer.get(self.at..) else { return Ok(None) };
            let Some(measure) = measure(rest)? else { return Ok(None) };
            self.at = self.at.saturating_add(measure.head).saturating_add(measure.payload);
            self.pending = (self.pending - 1).saturating_add(measure.children);
        }
        Ok((self.at <= buffer.len()).then_some(self.at))
    }

    /// The bytes that the value has at least, as far as is known.
    pub(crate) fn at_least(&self) -> usize {
        self.at.saturating_add(usize::try_from(self.pending).unwrap_or(usize::MAX))
    }
}
