//! OpenAI-style chat, completions, responses and embeddings, and Anthropic's messages, as numbers.
//!
//! What people write and what models answer is never a feature: texts are counted in characters, and of the rest only
//! settings, token counts and the names of the model and of the finish reason are read. A setting of another type than
//! it should have is left out, so that no text gets in that way either.
//!
//! A request and its answer are one row each, whatever the number of choices.

mod answer;
mod blocks;
mod chat;
mod finish;
mod request;
mod timing;
mod usage;
mod vectors;

use super::reader::{Kind, Number, Reader, Scalar};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind};
use crate::TextRange;

pub(crate) use timing::Timing;

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads a body into the sink; `timing` is an answer's.
pub(crate) fn read(body: &[u8], max_depth: usize, timing: Timing, sink: &mut Sink<'_>) -> Result<()> {
    match sink.side() {
        Side::Features => request::read(body, max_depth, sink)?,
        Side::Predictions => answer::read(body, max_depth, timing, sink)?,
    }
    sink.end(false)
}

/// A reader at a body's object.
fn begin(body: &[u8], max_depth: usize) -> Result<Reader<'_>> {
    let mut reader = Reader::new(body, max_depth);
    match reader.begin()? {
        Kind::Object => Ok(reader),
        other => {
            let message = format!("expected an object, found {}", other.described());
            Err(DecodeError::new(DecodeErrorKind::Shape, message))
        }
    }
}

/// Calls `each` with every key of an object; it takes the value. What is no object is skipped, and the answer is false.
fn members(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(&str, &mut Reader<'_>) -> Result<()>,
) -> Result<bool> {
    if reader.kind()? != Kind::Object {
        reader.skip_value()?;
        return Ok(false);
    }
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        each(&key, reader)?;
    }
    Ok(true)
}

/// Calls `each` with every element's place; it takes the element. What is no array is skipped, and the answer is `None`.
fn elements(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(u64, &mut Reader<'_>) -> Result<()>,
) -> Result<Option<u64>> {
    if reader.kind()? != Kind::Array {
        reader.skip_value()?;
        return Ok(None);
    }
    let mut count = 0;
    let mut first = reader.array()?;
    while reader.next_element(&mut first)? {
        each(count, reader)?;
        count += 1;
    }
    Ok(Some(count))
}

/// Takes a value and gives it when it is a number.
fn number(reader: &mut Reader<'_>) -> Result<Option<Number>> {
    if reader.kind()? != Kind::Number {
        reader.skip_value()?;
        return Ok(None);
    }
    match reader.scalar()? {
        Scalar::Number(number) => Ok(Some(number)),
        _ => Ok(None),
    }
}

/// Takes a value and keeps it when it is a string that is not empty: the name of something, with the limits of names.
fn name(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Result<Option<TextRange>> {
    if reader.kind()? != Kind::String {
        reader.skip_value()?;
        return Ok(None);
    }
    let text = reader.string()?;
    if text.raw_len() == 0 { Ok(None) } else { sink.keep_name(text).map(Some) }
}

/// Takes a value and says whether it is a text that is not empty.
fn is_said(reader: &mut Reader<'_>) -> Result<bool> {
    if reader.kind()? == Kind::String {
        return Ok(reader.string()?.raw_len() > 0);
    }
    reader.skip_value()?;
    Ok(false)
}

/// Takes a value and gives it when it is a whole number, 0 or more.
fn whole(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    let number = number(reader)?.filter(|number| number.value >= 0.0 && number.value.fract() == 0.0);
    Ok(number.map(|number| number.value as u64))
}

/// Takes a message's content, a string or an array of parts, and counts the characters of its text.
fn content_chars(reader: &mut Reader<'_>) -> Result<u64> {
    match reader.kind()? {
        Kind::String => Ok(reader.string()?.chars()),
        Kind::Array => {
            let mut chars = 0;
            elements(reader, |_, reader| {
                chars += part_chars(reader)?;
                Ok(())
            })?;
            Ok(chars)
        }
        _ => reader.skip_value().map(|()| 0).map_err(DecodeError::from),
    }
}

/// `{"type":"text","text":"…"}`; images, audio and other parts count nothing.
fn part_chars(reader: &mut Reader<'_>) -> Result<u64> {
    if reader.kind()? == Kind::String {
        return Ok(reader.string()?.chars());
    }
    let mut chars = 0;
    members(reader, |key, reader| {
        if key == "text" && reader.kind()? == Kind::String {
            chars = reader.string()?.chars();
            return Ok(());
        }
        Ok(reader.skip_value()?)
    })?;
    Ok(chars)
}

/// Writes a count.
fn put_count(sink: &mut Sink<'_>, name: &str, count: u64) -> Result<()> {
    put_value(sink, name, count as f64)
}

fn put_value(sink: &mut Sink<'_>, name: &str, value: f64) -> Result<()> {
    put_number(sink, name, Number { value, inexact_integer: None })
}

fn put_number(sink: &mut Sink<'_>, name: &str, number: Number) -> Result<()> {
    let value = sink.value(Scalar::Number(number))?;
    sink.cell(0, name, value)
}
