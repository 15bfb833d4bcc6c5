//! What the tests of chunks share.

use std::io::Write;

use rmpv::Value;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes from hexadecimal digits; white space and what follows a `#` is left out.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap().bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Written by another implementation of msgpack.
pub(crate) fn packed(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).unwrap();
    out
}

/// Fluent Bit's `EventTime`.
pub(crate) fn event_time(seconds: u32, nanoseconds: u32) -> Value {
    Value::Ext(0, [seconds.to_be_bytes(), nanoseconds.to_be_bytes()].concat())
}

/// A record of one feature.
pub(crate) fn record(amount: f64) -> Value {
    Value::Map(vec![(
        Value::from("features"),
        Value::Map(vec![(Value::from("amount"), Value::from(amount))]),
    )])
}

/// An entry as Fluent Bit 5 writes it.
pub(crate) fn entry(seconds: u32, record: Value) -> Value {
    let head = Value::Array(vec![event_time(seconds, 123_000_000), Value::Map(Vec::new())]);
    Value::Array(vec![head, record])
}
