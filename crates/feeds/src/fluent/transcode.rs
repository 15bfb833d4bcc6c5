//! A record in msgpack, rewritten as JSON.

use super::msgpack::{Broken, Cursor, Head};
use super::{RECORD_BYTES, malformed};
use crate::sources::{Refused, Reject};

/// Arrays and maps inside each other.
const DEPTH: usize = 32;

/// Writes the value as JSON.
///
/// # Errors
/// It is broken, too deep, or longer than a record may be.
pub(super) fn to_json(value: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    write(&mut Cursor::new(value), DEPTH, &mut out)?;
    Ok(out)
}

fn write(cursor: &mut Cursor<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    if out.len() > RECORD_BYTES {
        let message = format!("a record is longer than {RECORD_BYTES} bytes");
        return Err(Refused { reason: Reject::TooLarge, message });
    }
    match cursor.head().map_err(broken)? {
        // What is not said is missing, and so is what only another program could read.
        Head::Nil | Head::Ext(..) => out.extend_from_slice(b"null"),
        Head::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Head::Unsigned(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Head::Signed(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Head::Float(number) => float(number, out),
        Head::Str(text) | Head::Bin(text) => string(text, out),
        Head::Array(items) => {
            let depth = deeper(depth)?;
            out.push(b'[');
            for item in 0..items {
                if item > 0 {
                    out.push(b',');
                }
                write(cursor, depth, out)?;
            }
            out.push(b']');
        }
        Head::Map(pairs) => {
            let depth = deeper(depth)?;
            out.push(b'{');
            for pair in 0..pairs {
                if pair > 0 {
                    out.push(b',');
                }
                key(cursor, out)?;
                out.push(b':');
                write(cursor, depth, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn key(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    match cursor.head().map_err(broken)? {
        Head::Str(text) | Head::Bin(text) => string(text, out),
        _ => return Err(malformed("a key of a map is not text")),
    }
    Ok(())
}

/// JSON has no word for what is not finite; a number beyond every `f64` is read as just that.
fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        let mut buffer = Vec::new();
        let written = serde_json::to_writer(&mut buffer, &number);
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        out.extend_from_slice(&buffer);
    } else {
        out.extend_from_slice(if number < 0.0 { b"-1e999" } else { b"1e999" });
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &String::from_utf8_lossy(text));
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

fn deeper(depth: usize) -> Result<usize, Refused> {
    depth
        .checked_sub(1)
        .ok_or_else(|| malformed(format!("more than {DEPTH} arrays and maps inside each other")))
}

fn broken(error: Broken) -> Refused {
    malformed(error.to_string())
}
