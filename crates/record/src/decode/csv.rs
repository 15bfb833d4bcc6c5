//! CSV: one row a line, after a header line where there is one.
//!
//! A first line is a header when it holds the profile's column names, in any order; and, with a line after it, when it holds
//! different names only and the next line has a number. In an answer, when there is a line more than the request has rows.
//! Its names are the columns' then. Without a header, columns take the profile's column names, position by position, or `f0`, `f1`, …; in an answer they are
//! `prediction.0`, `prediction.1`, …, and a single one is `prediction`. An answer of one line with as many fields as the
//! request has rows (two or more) holds one prediction a row.
//!
//! Fields follow RFC 4180: a comma between, quotes around what has commas, quotes (doubled) or line ends. Quotes say
//! nothing about a type: a field is read as [`crate::value`] says, an empty one and `NaN` are missing. Blank lines don't count; rows of different widths are an error.

use std::borrow::Cow;
use std::num::NonZero;

use super::flatten::push_index;
use super::reader::{Number, Scalar};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind, DecoderSpec};
use crate::CellValue;
use crate::value::{self, Value, read_any, trim};

type Result<T> = std::result::Result<T, DecodeError>;

/// Longest name that is taken from a header line, bytes.
const HEADER_NAME_BYTES: usize = 128;

/// The largest integer up to which every integer is an `f64`: 2^53.
const EXACT_INTEGER: u64 = 1 << 53;

/// Reads a body into the sink.
pub(crate) fn read(body: &[u8], sink: &mut Sink<'_>, spec: &DecoderSpec, name: &mut String) -> Result<()> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let message = format!("expected UTF-8 at byte {}", error.valid_up_to());
        DecodeError::new(DecodeErrorKind::Syntax, message)
    })?;
    let mut fields = Fields { text: text.strip_prefix('\u{feff}').unwrap_or(text), at: 0 };
    let batch = is_batch(fields, sink)?;
    let header = if batch { None } else { header(fields, sink, spec)? };
    if header.is_some() {
        fields.skip_blank_lines();
        while !fields.next_field()?.1 {}
    }
    let mut width = None;
    let mut row = 0;
    while fields.skip_blank_lines() {
        sink.row(row)?;
        let mut column = 0;
        loop {
            let (field, last) = fields.next_field()?;
            let value = value(&field, sink)?;
            if batch {
                sink.cell(u32::try_from(column).unwrap_or(u32::MAX), Side::Predictions.base(), value)?;
            } else {
                column_name(sink.side(), spec, header.as_deref(), column, name);
                sink.cell(row, name, value)?;
            }
            column += 1;
            if last {
                break;
            }
        }
        if *width.get_or_insert(column) != column {
            let message = format!("expected rows of the same width, found another one at byte {}", fields.at);
            return Err(DecodeError::new(DecodeErrorKind::Shape, message));
        }
        row += 1;
    }
    sink.end(true)
}

fn column_name(side: Side, spec: &DecoderSpec, header: Option<&[String]>, column: usize, name: &mut String) {
    name.clear();
    let own = header.and_then(|header| header.get(column));
    if side == Side::Predictions {
        name.push_str(Side::Predictions.base());
    }
    match (side, own.or_else(|| spec.column_names.get(column))) {
        (Side::Predictions, _) => match own {
            Some(own) => name.extend([".", own]),
            None => push_index(name, ".", column),
        },
        (Side::Features, Some(known)) => name.push_str(known),
        (Side::Features, None) => push_index(name, "f", column),
    }
}

/// The names of a header line, when the first line is one.
fn header(mut fields: Fields<'_>, sink: &Sink<'_>, spec: &DecoderSpec) -> Result<Option<Vec<String>>> {
    let mut names: Vec<String> = Vec::new();
    if !fields.skip_blank_lines() {
        return Ok(None);
    }
    loop {
        let (field, last) = fields.next_field()?;
        // Nearly every body without a header is known by its first number.
        if !is_name(&field) || names.iter().any(|known| known == field.trim_ascii()) {
            return Ok(None);
        }
        names.push(field.trim_ascii().to_owned());
        if last {
            break;
        }
    }
    let is_header = match sink.side() {
        Side::Features => {
            let is_known = |name: &String| spec.column_names.contains(name);
            names.iter().all(is_known) || next_line_has_a_number(fields)?
        }
        Side::Predictions => lines(fields)? == sink.request_rows(),
    };
    Ok(is_header.then_some(names))
}

/// Whether a field may be a column's name: it begins with a letter or `_`, and is no number, no boolean and no
/// token of a missing value.
fn is_name(field: &str) -> bool {
    let field = field.trim_ascii();
    let begins = field.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    begins && field.len() <= HEADER_NAME_BYTES && matches!(value::read(field), Value::Text(_))
}

fn next_line_has_a_number(mut fields: Fields<'_>) -> Result<bool> {
    if !fields.skip_blank_lines() {
        return Ok(false);
    }
    loop {
        let (field, last) = fields.next_field()?;
        if field.trim_ascii().parse::<f64>().is_ok() {
            return Ok(true);
        }
        if last {
            return Ok(false);
        }
    }
}

fn lines(mut fields: Fields<'_>) -> Result<u32> {
    let mut lines = 0_u32;
    while fields.skip_blank_lines() {
        while !fields.next_field()?.1 {}
        lines = lines.saturating_add(1);
    }
    Ok(lines)
}

/// True for an answer whose only line has one field for each of the request's rows.
fn is_batch(mut fields: Fields<'_>, sink: &Sink<'_>) -> Result<bool> {
    if sink.side() == Side::Features || sink.request_rows() < 2 || !fields.skip_blank_lines() {
        return Ok(false);
    }
    let mut count = 1;
    while !fields.next_field()?.1 {
        count += 1;
    }
    Ok(count == sink.request_rows() && !fields.skip_blank_lines())
}

/// A cell's value as [`crate::value`] reads it. Only what surely is a number becomes one: a code keeps its zeros, and a
/// missing token may be a category of the reference, which is not known here.
fn value(field: &str, sink: &mut Sink<'_>) -> Result<CellValue> {
    match read_any(field) {
        Value::Missing if trim(field).is_empty() => Ok(CellValue::Missing),
        // NaN, which is counted.
        Value::Missing => sink.value(Scalar::Number(Number { value: f64::NAN, inexact_integer: None })),
        Value::Number(value) => {
            let digits = trim(field).trim_start_matches(['+', '-']);
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let magnitude = plain.then(|| digits.parse().unwrap_or(u64::MAX));
            let inexact_integer =
                magnitude.filter(|magnitude| *magnitude > EXACT_INTEGER).and_then(NonZero::new);
            sink.value(Scalar::Number(Number { value, inexact_integer }))
        }
        Value::Boolean(value) => sink.boolean(value),
        Value::Code(text) | Value::Text(text) => Ok(sink.str_value(text)),
    }
}

/// The fields that are left.
#[derive(Clone, Copy)]
struct Fields<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    /// Goes to the next line that has something; false at the end.
    fn skip_blank_lines(&mut self) -> bool {
        while let Some(b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.peek().is_some()
    }

    /// Takes a field, and true when it is its line's last.
    fn next_field(&mut self) -> Result<(Cow<'a, str>, bool)> {
        let field = if self.peek() == Some(b'"') { self.quoted()? } else { Cow::Borrowed(self.bare()) };
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok((field, false))
            }
            None | Some(b'\r' | b'\n') => Ok((field, true)),
            Some(_) => Err(self.expected("`,` or the end of the line")),
        }
    }

    fn bare(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find([',', '\r', '\n']).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at + 1;
        let mut doubled = false;
        loop {
            let rest = self.text.get(self.at + 1..).unwrap_or_default();
            let Some(end) = rest.find('"') else {
                return Err(self.expected("a field's closing `\"`"));
            };
            self.at += 1 + end;
            if rest.as_bytes().get(end + 1) != Some(&b'"') {
                break;
            }
            doubled = true;
            self.at += 1;
        }
        let inner = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(if doubled { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn expected(&self, what: &str) -> DecodeError {
        DecodeError::new(DecodeErrorKind::Syntax, format!("expected {what} at byte {}", self.at))
    }
}
