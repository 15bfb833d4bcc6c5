//! Answers: one JSON object, or a stream of events that is added up.
//!
//! `usage` is optional in both; in a stream it is there only when the client asked for it, in a chunk without choices.
//! An `error` object is no answer, also in the middle of a stream. A stream that ends without `[DONE]` and without a
//! finish reason was cut.

use super::super::reader::{Kind, Number, Reader};
use super::super::sink::Sink;
use super::super::{DecodeError, DecodeErrorKind, sse};
use super::{begin, content_chars, elements, members, name, number, put_count, put_number};
use crate::{CellValue, TextRange};

type Result<T> = std::result::Result<T, DecodeError>;

/// Choices whose tool calls are told apart; further ones are taken for the last.
const CHOICES: usize = 16;

/// Tool calls of a choice above which a number is not believed.
const MAX_TOOL_CALLS: u64 = 1_024;

/// Choices of one object or one chunk.
#[derive(Default)]
struct Choices {
    any: bool,
    /// A message or a delta was there: tool calls are possible.
    chat: bool,
    chars: u64,
    tool_calls: [u64; CHOICES],
    finish_reason: Option<TextRange>,
}

/// What has been read of an answer.
#[derive(Default)]
struct Answer {
    choices: Choices,
    prompt_tokens: Option<Number>,
    completion_tokens: Option<Number>,
    /// Embeddings and the length of the first.
    embeddings: Option<(u64, Option<u64>)>,
}

/// Reads an answer into the sink.
pub(super) fn read(body: &[u8], max_depth: usize, sink: &mut Sink<'_>) -> Result<()> {
    let mut answer = Answer::default();
    if !sse::begins_like(body) {
        object(body, max_depth, sink, &mut answer)?;
        return put(&answer, sink);
    }
    let mut done = false;
    sse::for_each(body, |data| {
        done = data.trim_ascii() == b"[DONE]";
        if !done && !data.trim_ascii().is_empty() {
            object(data, max_depth, sink, &mut answer)?;
        }
        Ok::<_, DecodeError>(done)
    })?;
    if !done && answer.choices.finish_reason.is_none() {
        let message = "the stream ends without `[DONE]` or a finish reason";
        return Err(DecodeError::new(DecodeErrorKind::Truncated, message));
    }
    put(&answer, sink)
}

fn put(answer: &Answer, sink: &mut Sink<'_>) -> Result<()> {
    let choices = &answer.choices;
    let tokens = [
        ("prediction.prompt_tokens", answer.prompt_tokens),
        ("prediction.completion_tokens", answer.completion_tokens),
    ];
    let usage = tokens.iter().any(|(_, number)| number.is_some());
    if !choices.any && answer.embeddings.is_none() && !usage {
        let message = "expected the key `choices`, `data` or `usage`";
        return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
    }
    sink.row(0)?;
    for (name, number) in tokens {
        if let Some(number) = number {
            put_number(sink, name, number)?;
        }
    }
    if let Some(reason) = choices.finish_reason {
        sink.cell(0, "prediction.finish_reason", CellValue::Text(reason))?;
    }
    if choices.any {
        put_count(sink, "prediction.completion_chars", choices.chars)?;
    }
    if choices.chat {
        put_count(sink, "prediction.tool_calls", choices.tool_calls.iter().sum())?;
    }
    if let Some((count, dimensions)) = answer.embeddings {
        put_count(sink, "prediction.embeddings", count)?;
        if let Some(dimensions) = dimensions {
            put_count(sink, "prediction.dimensions", dimensions)?;
        }
    }
    Ok(())
}

/// Adds an object, the whole answer or a chunk of it.
fn object(body: &[u8], max_depth: usize, sink: &mut Sink<'_>, answer: &mut Answer) -> Result<()> {
    let mut reader = begin(body, max_depth)?;
    let mut choices = Choices::default();
    let mut error = false;
    members(&mut reader, |key, reader| {
        match key {
            "choices" => {
                choices = Choices::default();
                elements(reader, |place, reader| choice(place, reader, sink, &mut choices))?;
            }
            "usage" => usage(reader, answer)?,
            "data" => answer.embeddings = embeddings(reader)?.or(answer.embeddings),
            "error" => {
                error = reader.kind()? != Kind::Null;
                reader.skip_value()?;
            }
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    if error {
        return Err(DecodeError::new(DecodeErrorKind::Unrecognised, "the answer is an error"));
    }
    answer.choices.add(&choices);
    Ok(())
}

impl Choices {
    fn add(&mut self, more: &Self) {
        self.any |= more.any;
        self.chat |= more.chat;
        self.chars += more.chars;
        self.finish_reason = more.finish_reason.or(self.finish_reason);
        for (count, seen) in self.tool_calls.iter_mut().zip(more.tool_calls) {
            *count = (*count).max(seen);
        }
    }
}

fn choice(place: u64, reader: &mut Reader<'_>, sink: &mut Sink<'_>, choices: &mut Choices) -> Result<()> {
    let (mut index, mut chars, mut tool_calls) = (place, 0, 0);
    members(reader, |key, reader| {
        match key {
            "index" => index = whole(reader)?.unwrap_or(place),
            "finish_reason" => choices.finish_reason = name(reader, sink)?.or(choices.finish_reason),
            "text" => chars = content_chars(reader)?,
            "message" | "delta" => {
                choices.chat = true;
                (chars, tool_calls) = message(reader)?;
            }
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    choices.any = true;
    choices.chars += chars;
    let index = usize::try_from(index).unwrap_or(usize::MAX).min(CHOICES - 1);
    if let Some(count) = choices.tool_calls.get_mut(index) {
        *count = (*count).max(tool_calls);
    }
    Ok(())
}

/// Characters and tool calls of a message or a delta.
fn message(reader: &mut Reader<'_>) -> Result<(u64, u64)> {
    let (mut chars, mut calls) = (0, 0);
    members(reader, |key, reader| {
        match key {
            "content" => chars = content_chars(reader)?,
            "tool_calls" => calls = tool_calls(reader)?,
            // The older form, which holds one call.
            "function_call" => {
                calls = calls.max(u64::from(reader.kind()? == Kind::Object));
                reader.skip_value()?;
            }
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    Ok((chars, calls))
}

/// Tool calls so far: a delta says with `index` which one it goes on with.
fn tool_calls(reader: &mut Reader<'_>) -> Result<u64> {
    let mut calls = 0;
    elements(reader, |place, reader| {
        let mut index = place;
        members(reader, |key, reader| {
            if key == "index" {
                index = whole(reader)?.unwrap_or(place);
                return Ok(());
            }
            Ok(reader.skip_value()?)
        })?;
        if index < MAX_TOOL_CALLS {
            calls = calls.max(index + 1);
        }
        Ok(())
    })?;
    Ok(calls)
}

fn usage(reader: &mut Reader<'_>, answer: &mut Answer) -> Result<()> {
    members(reader, |key, reader| {
        match key {
            "prompt_tokens" => answer.prompt_tokens = number(reader)?.or(answer.prompt_tokens),
            "completion_tokens" => answer.completion_tokens = number(reader)?.or(answer.completion_tokens),
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    Ok(())
}

/// The number of embeddings, and how long the first one is.
fn embeddings(reader: &mut Reader<'_>) -> Result<Option<(u64, Option<u64>)>> {
    let mut dimensions = None;
    let count = elements(reader, |place, reader| {
        members(reader, |key, reader| {
            if key != "embedding" || place > 0 {
                return Ok(reader.skip_value()?);
            }
            dimensions = match reader.kind()? {
                // Base64 of floats of four bytes.
                Kind::String => {
                    let text = reader.string()?.resolved();
                    Some(text.trim_end_matches('=').len() as u64 * 3 / 4 / 4)
                }
                _ => elements(reader, |_, reader| Ok(reader.skip_value()?))?,
            };
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(count.map(|count| (count, dimensions)))
}

/// Takes a value and gives it when it is a whole number, 0 or more.
fn whole(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    let number = number(reader)?.filter(|number| number.value >= 0.0 && number.value.fract() == 0.0);
    Ok(number.map(|number| number.value as u64))
}
