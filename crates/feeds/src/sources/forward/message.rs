//! One message: a tag, entries in one of four modes, options.
//!
//! | mode | message |
//! | --- | --- |
//! | Message | `[tag, time, record, options?]` |
//! | Forward | `[tag, [entry, …], options?]` |
//! | PackedForward | `[tag, bytes of entries, options?]` |
//! | CompressedPackedForward | `[tag, compressed bytes of entries, {"compressed": "gzip", …}]` |

use std::borrow::Cow;

use crate::fluent::msgpack::{Broken, Cursor, Head};
use crate::fluent::{Entries, InflateError, inflate};

/// A message that can't be understood; the next one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("a message is no array that begins with a tag: does the client speak the forward protocol?")]
    NotForward,
    #[error("a message has neither a time and a record, nor entries")]
    NoEntries,
    #[error("a message's options are no map")]
    Options,
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("entries: {0}")]
    Inflate(#[from] InflateError),
}

/// A message, its entries not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    body: Body<'a>,
    pub(super) options: Options<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Body<'a> {
    /// A time and a record.
    Single(&'a [u8]),
    /// Entries one after the other.
    Packed(&'a [u8]),
}

/// The options that mean something to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options<'a> {
    /// Id of the chunk; the client waits for its acknowledgement.
    pub(super) chunk: Option<&'a [u8]>,
    /// How the entries are compressed.
    compressed: Option<&'a [u8]>,
    /// What kind of telemetry it is: 0 for logs; Fluent Bit also sends metrics (1) and traces (2).
    signal: u64,
}

impl Options<'_> {
    /// Metrics, traces: nothing of ours, in forms of their own.
    pub(super) fn is_other_telemetry(&self) -> bool {
        self.signal != 0
    }
}

impl<'a> Message<'a> {
    /// Reads a whole message. `None` for a heartbeat, which is nil.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, MessageError> {
        let mut cursor = Cursor::new(bytes);
        let items = match cursor.head()? {
            Head::Nil => return Ok(None),
            Head::Array(items) => items,
            _ => return Err(MessageError::NotForward),
        };
        if items == 0 || !matches!(cursor.head()?, Head::Str(_) | Head::Bin(_)) {
            return Err(MessageError::NotForward);
        }
        if items == 1 {
            return Err(MessageError::NoEntries);
        }
        let mut second = Cursor::new(cursor.skip()?);
        let body = match second.head()? {
            Head::Str(entries) | Head::Bin(entries) => Body::Packed(entries),
            Head::Array(_) => Body::Packed(second.rest()),
            Head::Nil | Head::Unsigned(_) | Head::Signed(_) | Head::Float(_) | Head::Ext(..)
                if items >= 3 =>
            {
                // The time is the first of the two.
                let mut pair = Cursor::new(bytes);
                pair.head()?;
                pair.skip()?;
                cursor.skip()?;
                Body::Single(pair.rest())
            }
            _ => return Err(MessageError::NoEntries),
        };
        let before_options = if matches!(body, Body::Single(_)) { 3 } else { 2 };
        let options = if items > before_options { Options::read(&mut cursor)? } else { Options::default() };
        Ok(Some(Self { body, options }))
    }

    /// The bytes of the entries, at most `limit` of them.
    pub(super) fn inflated(&self, limit: usize) -> Result<Cow<'a, [u8]>, MessageError> {
        let (Body::Single(bytes) | Body::Packed(bytes)) = self.body;
        let encoding = match self.options.compressed {
            None | Some(b"text") => return Ok(Cow::Borrowed(bytes)),
            Some(_) if matches!(self.body, Body::Single(_)) => return Ok(Cow::Borrowed(bytes)),
            // Only ASCII names an encoding; anything else is unknown.
            Some(name) => std::str::from_utf8(name).map_err(|_| InflateError::Unknown)?,
        };
        Ok(inflate(Some(encoding), bytes, limit)?)
    }

    /// The entries in these bytes of [`Message::inflated`].
    pub(super) fn entries<'b>(&self, inflated: &'b [u8]) -> Entries<'b> {
        match self.body {
            Body::Single(_) => Entries::single(inflated),
            Body::Packed(_) => Entries::packed(inflated),
        }
    }
}

impl<'a> Options<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, MessageError> {
        let pairs = match cursor.head()? {
            Head::Map(pairs) => pairs,
            Head::Nil => 0,
            _ => return Err(MessageError::Options),
        };
        let mut options = Self::default();
        for _ in 0..pairs {
            let key = Cursor::new(cursor.skip()?).head()?;
            let value = Cursor::new(cursor.skip()?).head()?;
            match (key, value) {
                (Head::Str(b"chunk"), Head::Str(id) | Head::Bin(id)) => options.chunk = Some(id),
                (Head::Str(b"compressed"), Head::Str(name)) => options.compressed = Some(name),
                (Head::Str(b"fluent_signal"), Head::Unsigned(signal)) => options.signal = signal,
                _ => {}
            }
        }
        Ok(options)
    }
}

/// `{"ack": chunk}`.
pub(super) fn acknowledgement(chunk: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81, 0xa3, b'a', b'c', b'k'];
    push_str(&mut out, chunk);
    out
}

/// Appends a text.
pub(super) fn push_str(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=255 => out.extend([0xd9, length as u8]),
        length => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
