//! Requests: `messages` (chat), `prompt` (completions) or `input` (embeddings, responses), and the settings beside them.
//! What stands beside them as `system` or `instructions` is prompt as well.

use super::super::reader::{Kind, Number, Reader};
use super::super::sink::Sink;
use super::super::{DecodeError, DecodeErrorKind};
use super::{begin, content_chars, elements, members, name, number, put_count, put_number};
use crate::{CellValue, TextRange};

type Result<T> = std::result::Result<T, DecodeError>;

/// What the model is given.
#[derive(Clone, Copy, Default)]
struct Given {
    chars: u64,
    /// Tokens given as ids instead of text.
    tokens: u64,
    /// Messages, prompts or inputs.
    count: u64,
}

/// What has been read of a request.
#[derive(Default)]
struct Request {
    messages: Option<Given>,
    /// Characters of `system` and `instructions`.
    system_chars: u64,
    /// Tools that the model may call.
    tools: Option<u64>,
    /// `prompt` and `input`.
    inputs: Option<Given>,
    model: Option<TextRange>,
    max_tokens: Option<Number>,
    temperature: Option<Number>,
    dimensions: Option<Number>,
    stream: Option<bool>,
    /// The request could ask for a stream.
    streams: bool,
}

/// Reads a request into the sink.
pub(super) fn read(body: &[u8], max_depth: usize, sink: &mut Sink<'_>) -> Result<()> {
    let mut reader = begin(body, max_depth)?;
    let mut request = Request::default();
    members(&mut reader, |key, reader| {
        match key {
            "messages" => {
                request.messages = Some(messages(reader)?);
                request.streams = true;
            }
            "contents" => request.messages = Some(messages(reader)?),
            "prompt" => {
                request.inputs = Some(inputs(reader)?);
                request.streams = true;
            }
            "input" => request.inputs = Some(inputs(reader)?),
            "model" => request.model = name(reader, sink)?,
            "system" | "instructions" | "systemInstruction" | "system_instruction" => {
                request.system_chars = content_chars(reader)?;
            }
            "tools" => request.tools = elements(reader, |_, reader| Ok(reader.skip_value()?))?,
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                // Both may stand there, one of them null.
                request.max_tokens = number(reader)?.or(request.max_tokens);
            }
            "temperature" => request.temperature = number(reader)?,
            "dimensions" => request.dimensions = number(reader)?,
            "stream" => request.stream = boolean(reader)?,
            _ => reader.skip_value()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    put(&request, sink)
}

fn put(request: &Request, sink: &mut Sink<'_>) -> Result<()> {
    let (given, counted) = match (request.messages, request.inputs) {
        (Some(given), _) => (given, "messages"),
        (None, Some(given)) => (given, "inputs"),
        (None, None) => {
            let message = "expected the key `messages`, `prompt` or `input`";
            return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
        }
    };
    sink.row(0)?;
    put_count(sink, "prompt_chars", given.chars + request.system_chars)?;
    if given.tokens > 0 {
        put_count(sink, "prompt_tokens", given.tokens)?;
    }
    put_count(sink, counted, given.count)?;
    if let Some(tools) = request.tools {
        put_count(sink, "tools", tools)?;
    }
    if let Some(model) = request.model {
        sink.cell(0, "model", CellValue::Text(model))?;
    }
    for (name, setting) in [
        ("max_tokens", request.max_tokens),
        ("temperature", request.temperature),
        ("dimensions", request.dimensions),
    ] {
        if let Some(setting) = setting {
            put_number(sink, name, setting)?;
        }
    }
    if request.stream.is_some() || request.streams {
        let stream = sink.boolean(request.stream.unwrap_or(false))?;
        sink.cell(0, "stream", stream)?;
    }
    Ok(())
}

fn messages(reader: &mut Reader<'_>) -> Result<Given> {
    let mut chars = 0;
    let count = elements(reader, |_, reader| {
        chars += message_chars(reader)?;
        Ok(())
    })?;
    let count = count.ok_or_else(|| {
        let message = format!("expected an array of messages before byte {}", reader.position());
        DecodeError::new(DecodeErrorKind::Shape, message)
    })?;
    Ok(Given { chars, tokens: 0, count })
}

/// Characters of a message's `content`.
fn message_chars(reader: &mut Reader<'_>) -> Result<u64> {
    let mut chars = 0;
    members(reader, |key, reader| {
        // Gemini's messages have `parts`.
        if matches!(key, "content" | "parts") {
            chars = content_chars(reader)?;
            return Ok(());
        }
        Ok(reader.skip_value()?)
    })?;
    Ok(chars)
}

/// A text, a list of texts, a list of token ids, a list of such lists, or a list of messages.
fn inputs(reader: &mut Reader<'_>) -> Result<Given> {
    let mut given = Given { count: 1, ..Given::default() };
    match reader.kind()? {
        Kind::String => given.chars = reader.string()?.chars(),
        Kind::Array => {
            let mut ids = 0;
            let count = elements(reader, |_, reader| {
                match reader.kind()? {
                    Kind::String => given.chars += reader.string()?.chars(),
                    Kind::Array => {
                        given.tokens += elements(reader, |_, reader| Ok(reader.skip_value()?))?.unwrap_or(0);
                    }
                    Kind::Number => {
                        ids += 1;
                        reader.skip_value()?;
                    }
                    _ => given.chars += message_chars(reader)?,
                }
                Ok(())
            })?;
            given.tokens += ids;
            // Bare ids are one prompt.
            given.count = count.unwrap_or(0) - ids + ids.min(1);
        }
        _ => {
            reader.skip_value()?;
            given.count = 0;
        }
    }
    Ok(given)
}

fn boolean(reader: &mut Reader<'_>) -> Result<Option<bool>> {
    if reader.kind()? != Kind::Bool {
        reader.skip_value()?;
        return Ok(None);
    }
    Ok(matches!(reader.scalar()?, super::Scalar::Bool(true)).into())
}
