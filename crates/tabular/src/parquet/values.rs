//! Parquet values into the columns of a batch.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{AsBytes, DataType};
use record::value::{Value as Read, from_single};

use crate::batch::Column;
use crate::deliver::{Delivery, deliver};
use crate::options::ReadOptions;

use super::meaning::{Meaning, Unit};

/// Nanoseconds of a day.
const DAY_NANOS: i128 = 86_400_000_000_000;

/// One value, before it is known how the column is delivered.
enum Value<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Missing,
}

/// Reads `n_rows` rows into `out`.
pub(super) fn read(
    meaning: Meaning,
    max_def_level: i16,
    reader: &mut ColumnReader,
    n_rows: usize,
    out: &mut Out<'_>,
) -> Result<(), String> {
    let shape = Shape { max_def_level, n_rows };
    match reader {
        ColumnReader::BoolColumnReader(reader) => {
            shape.each(reader, out, |v| Ok(text(if *v { "true" } else { "false" })))
        }
        ColumnReader::Int32ColumnReader(reader) => match meaning {
            Meaning::Integer => shape.numbers(reader, out, |v| f64::from(*v)),
            Meaning::Unsigned => shape.numbers(reader, out, |v| f64::from(v.cast_unsigned())),
            _ => shape.each(reader, out, |v| Ok(integer(meaning, i64::from(*v)))),
        },
        ColumnReader::Int64ColumnReader(reader) => match meaning {
            Meaning::Integer => shape.numbers(reader, out, |v| *v as f64),
            Meaning::Unsigned => shape.numbers(reader, out, |v| v.cast_unsigned() as f64),
            _ => shape.each(reader, out, |v| Ok(integer(meaning, *v))),
        },
        ColumnReader::Int96ColumnReader(reader) => {
            shape.each(reader, out, |v| Ok(Value::Text(Cow::Owned(int96(v.data())))))
        }
        ColumnReader::FloatColumnReader(reader) => shape.numbers(reader, out, |v| from_single(*v)),
        ColumnReader::DoubleColumnReader(reader) => shape.numbers(reader, out, |v| *v),
        ColumnReader::ByteArrayColumnReader(reader) => {
            shape.each(reader, out, |v| bytes(meaning, v.as_bytes()))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            shape.each(reader, out, |v| bytes(meaning, v.as_bytes()))
        }
    }
}

struct Shape {
    max_def_level: i16,
    n_rows: usize,
}

impl Shape {
    /// Reads values and levels of exactly `n_rows` rows.
    fn load<T: DataType>(&self, reader: &mut ColumnReaderImpl<T>) -> Result<(Vec<T::T>, Vec<i16>), String> {
        let (mut values, mut levels) = (Vec::with_capacity(self.n_rows), Vec::new());
        let (n_records, _, _) = reader
            .read_records(self.n_rows, Some(&mut levels), None, &mut values)
            .map_err(|error| super::describe(&error))?;
        if n_records != self.n_rows {
            return Err("the column has fewer values than the file has rows".to_owned());
        }
        Ok((values, levels))
    }

    /// The fast path for plain numbers.
    fn numbers<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        out: &mut Out<'_>,
        number: impl Fn(&T::T) -> f64,
    ) -> Result<(), String> {
        let Column::Numbers(numbers) = &mut *out.column else {
            return self.each(reader, out, |value| Ok(Value::Number(number(value))));
        };
        let (values, levels) = self.load(reader)?;
        if values.len() == self.n_rows {
            numbers.extend(values.iter().map(number));
            return Ok(());
        }
        let mut present = values.iter();
        numbers.extend(levels.iter().map(|level| match *level == self.max_def_level {
            true => present.next().map_or(f64::NAN, &number),
            false => f64::NAN,
        }));
        Ok(())
    }

    fn each<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        out: &mut Out<'_>,
        convert: impl for<'v> Fn(&'v T::T) -> Result<Value<'v>, String>,
    ) -> Result<(), String> {
        let (values, levels) = self.load(reader)?;
        let mut present = values.iter();
        for row in 0..self.n_rows {
            let is_present = self.max_def_level == 0 || levels.get(row) == Some(&self.max_def_level);
            let value = if is_present { present.next() } else { None };
            match value {
                Some(value) => push(out, &convert(value)?)?,
                None => out.column.push_missing(),
            }
        }
        Ok(())
    }
}

/// Where the values of a column go.
pub(super) struct Out<'a> {
    pub(super) column: &'a mut Column,
    pub(super) delivery: Delivery,
    pub(super) options: &'a ReadOptions,
}

fn push(out: &mut Out<'_>, value: &Value<'_>) -> Result<(), String> {
    let read = match value {
        Value::Missing => Read::Missing,
        Value::Number(number) if number.is_nan() => Read::Missing,
        Value::Number(number) => Read::Number(*number),
        Value::Text(text) => match out.options.kept(text, out.delivery) {
            Some(kept) => Read::Text(kept),
            None => out.options.read(text),
        },
    };
    deliver(out.column, out.delivery, read).map_err(|_| match value {
        Value::Text(text) => format!("`{}` is not a number", crate::error::excerpt(text)),
        _ => "a value is not a number".to_owned(),
    })
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn integer(meaning: Meaning, value: i64) -> Value<'static> {
    let text = match meaning {
        Meaning::Decimal(scale) => return Value::Number(decimal(i128::from(value), scale)),
        Meaning::Nothing => return Value::Missing,
        Meaning::Date => date(value),
        Meaning::Time(unit) => time(value, unit),
        Meaning::Timestamp { unit, utc } => timestamp(i128::from(value) * unit.nanos(), utc),
        _ => None,
    };
    // A date outside of the calendar keeps its number, so that it still differs from others.
    Value::Text(Cow::Owned(text.unwrap_or_else(|| value.to_string())))
}

fn date(days: i64) -> Option<String> {
    let second = days.checked_mul(86_400)?;
    let datetime = Offset::UTC.to_datetime(Timestamp::from_second(second).ok()?);
    Some(Date::from(datetime).to_string())
}

fn time(since_midnight: i64, unit: Unit) -> Option<String> {
    let nanos = i128::from(since_midnight).checked_mul(unit.nanos())?;
    if !(0..DAY_NANOS).contains(&nanos) {
        return None;
    }
    let datetime = Offset::UTC.to_datetime(Timestamp::from_nanosecond(nanos).ok()?);
    Some(Time::from(datetime).to_string())
}

fn timestamp(nanos: i128, utc: bool) -> Option<String> {
    let stamp = Timestamp::from_nanosecond(nanos).ok()?;
    Some(if utc { stamp.to_string() } else { Offset::UTC.to_datetime(stamp).to_string() })
}

/// Nanoseconds of the day (two words, low first) and the Julian day.
fn int96(words: &[u32]) -> String {
    const JULIAN_DAY_OF_1970: i128 = 2_440_588;
    let [low, high, day] = *words else { return String::new() };
    let nanos_of_day = (i128::from(high) << 32) | i128::from(low);
    let nanos = (i128::from(day) - JULIAN_DAY_OF_1970) * DAY_NANOS + nanos_of_day;
    timestamp(nanos, false).unwrap_or_else(|| nanos.to_string())
}

fn bytes(meaning: Meaning, bytes: &[u8]) -> Result<Value<'_>, String> {
    Ok(match meaning {
        Meaning::Nothing => Value::Missing,
        Meaning::Decimal(scale) => Value::Number(big_decimal(bytes, scale)),
        Meaning::Float16 => Value::Number(float16(bytes)),
        Meaning::Uuid if bytes.len() == 16 => Value::Text(Cow::Owned(uuid(bytes))),
        Meaning::Text => match std::str::from_utf8(bytes) {
            Ok(valid) => text(valid),
            Err(_) => {
                return Err(format!(
                    "a value is not UTF-8: bytes `{}`",
                    hex(bytes.get(..16).unwrap_or(bytes))
                ));
            }
        },
        _ => match std::str::from_utf8(bytes) {
            Ok(valid) => text(valid),
            Err(_) => Value::Text(Cow::Owned(hex(bytes))),
        },
    })
}

/// `unscaled / 10^scale`, correctly rounded: through the decimal's text where a division of floats could be off.
fn decimal(unscaled: i128, scale: i32) -> f64 {
    const EXACT_MAX: u128 = 1 << 53;
    if unscaled.unsigned_abs() <= EXACT_MAX && (0..=22).contains(&scale) {
        return unscaled as f64 / 10_f64.powi(scale);
    }
    format!("{unscaled}e{}", -i64::from(scale)).parse().unwrap_or(f64::NAN)
}

/// Big-endian two's complement of any length.
fn big_decimal(bytes: &[u8], scale: i32) -> f64 {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    if bytes.len() <= 16 {
        let start = if negative { -1_i128 } else { 0 };
        return decimal(bytes.iter().fold(start, |value, b| (value << 8) | i128::from(*b)), scale);
    }
    // More than 38 digits: the float's rounding dwarfs that of the sum.
    let start = if negative { -1.0 } else { 0.0 };
    bytes.iter().fold(start, |value, b| value * 256.0 + f64::from(*b)) / 10_f64.powi(scale)
}

/// IEEE 754 half precision, little-endian.
fn float16(bytes: &[u8]) -> f64 {
    let [low, high] = *bytes else { return f64::NAN };
    let bits = u16::from_le_bytes([low, high]);
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    };
    if bits & 0x8000 != 0 { -size } else { size }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        // Writing to a String cannot fail.
        write!(text, "{b:02x}").ok();
        text
    })
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = hex(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601() {
        assert_eq!(date(15_763).as_deref(), Some("2013-02-27"));
        assert_eq!(date(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(date(i64::from(i32::MAX)), None);
        assert_eq!(time(78_540_000, Unit::Millis).as_deref(), Some("21:49:00"));
        assert_eq!(time(-1, Unit::Millis), None);
        let nanos = 1_362_001_740_000_000_000;
        assert_eq!(timestamp(nanos, true).as_deref(), Some("2013-02-27T21:49:00Z"));
        assert_eq!(timestamp(nanos + 5_000_000, false).as_deref(), Some("2013-02-27T21:49:00.005"));
        assert_eq!(int96(&[0, 0, 2_440_589]), "1970-01-02T00:00:00");
    }

    #[test]
    fn decimals_round_once() {
        assert_eq!(decimal(12_345, 2), 123.45);
        assert_eq!(decimal(-5, 0), -5.0);
        assert_eq!(decimal(1_234_567_890_123_456_789_012, 4), 123_456_789_012_345_678.901_2);
        assert_eq!(big_decimal(&[0xff, 0xff], 1), -0.1);
        assert_eq!(big_decimal(&[0x04, 0xd2], 2), 12.34);
        let mut long = [0_u8; 20];
        long[19] = 7;
        assert_eq!(big_decimal(&long, 0), 7.0);
        assert_eq!(big_decimal(&[0xff; 20], 0), -1.0);
    }

    #[test]
    fn halves() {
        for (bits, expected) in
            [(0x3c00_u16, 1.0), (0xc000, -2.0), (0x7bff, 65_504.0), (0x0001, 2_f64.powi(-24))]
        {
            assert_eq!(float16(&bits.to_le_bytes()), expected);
        }
        assert_eq!(float16(&0xfc00_u16.to_le_bytes()), f64::NEG_INFINITY);
        assert!(float16(&0x7e00_u16.to_le_bytes()).is_nan());
    }

    #[test]
    fn uuids_and_bytes() {
        let id: Vec<u8> = (0..16).collect();
        assert_eq!(uuid(&id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert!(matches!(bytes(Meaning::Bytes, b"\xff\x00"), Ok(Value::Text(text)) if text == "ff00"));
        assert!(bytes(Meaning::Text, b"\xff").is_err());
    }
}
