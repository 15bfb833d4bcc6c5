//! Answers: one JSON object, or a stream of events that is added up.
//!
//! `usage` is optional in both; in a stream of chat it is there only when the client asked for it, in a chunk without
//! choices. An `error` object is no answer, also in the middle of a stream. A stream that ends without an end mark and
//! without a finish reason was cut.

use super::super::reader::{Kind, Reader};
use super::super::sink::Sink;
use super::super::{DecodeError, DecodeErrorKind, sse};
use super::blocks::{Blocks, Type};
use super::chat::Choices;
use super::finish::Finish;
use super::timing::Timing;
use super::usage::Usage;
use super::vectors::Vectors;
use super::{begin, content_chars, members, put_count, put_number, put_value};
use crate::CellValue;

type Result<T> = std::result::Result<T, DecodeError>;

/// Objects inside each other in which parts of an answer are looked for: an event, and the answer it holds.
const LEVELS: usize = 2;

/// What has been read of an answer.
#[derive(Default)]
struct Answer {
    choices: Choices,
    blocks: Blocks,
    usage: Usage,
    vectors: Option<Vectors>,
    /// Of an answer made of blocks.
    finish: Option<Finish>,
    is_stream: bool,
    /// The end mark was there.
    is_done: bool,
}

/// One object: a whole answer, a chunk, or an event.
#[derive(Default)]
struct Part {
    choices: Choices,
    blocks: Blocks,
    /// The blocks of the answer that an event holds.
    whole: Option<Blocks>,
    finish: Option<Finish>,
    kind: Type,
    delta_chars: u64,
    is_error: bool,
}

/// Reads an answer into the sink.
pub(super) fn read(body: &[u8], max_depth: usize, timing: Timing, sink: &mut Sink<'_>) -> Result<()> {
    let mut answer = Answer { is_stream: sse::begins_like(body), ..Answer::default() };
    if !answer.is_stream {
        object(body, max_depth, &mut answer)?;
        return put(&answer, timing, sink);
    }
    sse::for_each(body, |data| {
        if data.trim_ascii() == b"[DONE]" {
            answer.is_done = true;
        } else if !data.trim_ascii().is_empty() {
            object(data, max_depth, &mut answer)?;
        }
        Ok::<_, DecodeError>(answer.is_done)
    })?;
    if !answer.is_done && answer.choices.finish.is_none() && answer.finish.is_none() {
        let message = "the stream ends without `[DONE]` or a finish reason";
        return Err(DecodeError::new(DecodeErrorKind::Truncated, message));
    }
    put(&answer, timing, sink)
}

fn put(answer: &Answer, timing: Timing, sink: &mut Sink<'_>) -> Result<()> {
    let (choices, blocks) = (&answer.choices, &answer.blocks);
    let text = choices.any || blocks.any;
    if !text && answer.vectors.is_none() && !answer.usage.is_any() {
        let message = "expected the key `choices`, `content`, `output`, `data` or `usage`";
        return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
    }
    sink.row(0)?;
    for (name, number) in answer.usage.named() {
        put_number(sink, name, number)?;
    }
    if let Some(reason) = choices.finish.or(answer.finish) {
        let reason = sink.keep_str(reason.as_str())?;
        sink.cell(0, "prediction.finish_reason", CellValue::Text(reason))?;
    }
    if text {
        put_count(sink, "prediction.completion_chars", choices.chars + blocks.chars)?;
        let refused = blocks.refused || answer.finish.is_some_and(Finish::is_refusal);
        put_count(sink, "prediction.refusals", choices.refusals() + u64::from(refused))?;
    }
    if choices.chat || blocks.any {
        put_count(sink, "prediction.tool_calls", choices.tool_calls() + blocks.tool_calls)?;
    }
    let deltas = (answer.is_stream && text).then_some(choices.deltas + blocks.deltas);
    if let Some(deltas) = deltas {
        put_count(sink, "prediction.content_deltas", deltas)?;
    }
    if let Some(vectors) = &answer.vectors {
        put_vectors(vectors, sink)?;
    }
    for (name, value) in timing.probes(deltas, answer.usage.completion()) {
        put_value(sink, name, value)?;
    }
    Ok(())
}

fn put_vectors(vectors: &Vectors, sink: &mut Sink<'_>) -> Result<()> {
    put_count(sink, "prediction.embeddings", vectors.count)?;
    if let Some(dimensions) = vectors.dimensions {
        put_count(sink, "prediction.dimensions", dimensions)?;
    }
    if let Some(norm) = vectors.norm() {
        put_value(sink, "prediction.embedding_norm", norm)?;
    }
    Ok(())
}

/// Adds an object: the whole answer, a chunk of it, or an event.
fn object(body: &[u8], max_depth: usize, answer: &mut Answer) -> Result<()> {
    let mut reader = begin(body, max_depth)?;
    let mut part = Part::default();
    fields(&mut reader, LEVELS, answer, &mut part)?;
    reader.finish()?;
    if part.is_error {
        return Err(DecodeError::new(DecodeErrorKind::UpstreamError, "the answer is an error"));
    }
    part.settle();
    answer.choices.add(&part.choices);
    answer.blocks.add(&part.blocks);
    if let Some(whole) = part.whole {
        answer.blocks.replace(whole);
    }
    answer.finish = part.finish.or(answer.finish);
    answer.is_done |= part.kind == Type::End;
    Ok(())
}

/// Reads the keys of an object; `levels` is how many objects may hold each other from here on.
fn fields(reader: &mut Reader<'_>, levels: usize, answer: &mut Answer, part: &mut Part) -> Result<()> {
    members(reader, |key, reader| {
        match key {
            "choices" => part.choices = Choices::read(reader)?,
            "usage" => answer.usage.read(reader)?,
            "data" => answer.vectors = Vectors::read(reader)?.or(answer.vectors),
            "error" => {
                part.is_error |= reader.kind()? != Kind::Null;
                reader.skip_value()?;
            }
            "type" if levels == LEVELS => part.kind = Type::read(reader)?,
            "content" | "output" => part.whole = Blocks::read(reader)?.or(part.whole),
            "content_block" => part.blocks = Blocks::one(reader)?,
            "stop_reason" => part.finish = Finish::read(reader)?.or(part.finish),
            "status" => part.finish = ended(Finish::read(reader)?).or(part.finish),
            "incomplete_details" => part.finish = reason(reader)?.or(part.finish),
            "delta" => delta(reader, part)?,
            "message" | "response" if levels > 1 && reader.kind()? == Kind::Object => {
                fields(reader, levels - 1, answer, part)?;
            }
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    Ok(())
}

/// A status that is an end.
fn ended(status: Option<Finish>) -> Option<Finish> {
    status.filter(|status| matches!(status.as_str(), "completed" | "incomplete" | "cancelled"))
}

/// `{"reason":"max_output_tokens"}`.
fn reason(reader: &mut Reader<'_>) -> Result<Option<Finish>> {
    let mut reason = None;
    members(reader, |key, reader| {
        if key == "reason" {
            reason = Finish::read(reader)?;
            return Ok(());
        }
        Ok(reader.skip_value()?)
    })?;
    Ok(reason)
}

/// What an event adds: a string (OpenAI's responses) or an object (Anthropic's messages).
fn delta(reader: &mut Reader<'_>, part: &mut Part) -> Result<()> {
    if reader.kind()? == Kind::String {
        part.delta_chars = content_chars(reader)?;
        return Ok(());
    }
    let mut ahead = *reader;
    members(&mut ahead, |key, reader| {
        if key == "stop_reason" {
            part.finish = Finish::read(reader)?.or(part.finish);
            return Ok(());
        }
        Ok(reader.skip_value()?)
    })?;
    let block = Blocks::one(reader)?;
    part.blocks.add(&Blocks { deltas: u64::from(block.chars > 0), ..block });
    Ok(())
}

impl Part {
    /// Gives a text delta its meaning: the event's type may stand behind it.
    fn settle(&mut self) {
        match self.kind {
            Type::Text => {
                self.blocks.any = true;
                self.blocks.chars += self.delta_chars;
                self.blocks.deltas += u64::from(self.delta_chars > 0);
            }
            Type::Refusal => self.blocks.refused |= self.delta_chars > 0,
            _ => {}
        }
    }
}
