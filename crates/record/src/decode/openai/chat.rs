//! Choices: of chat and of completions, whole or as deltas.

use super::super::reader::{Kind, Reader};
use super::finish::Finish;
use super::{content_chars, elements, is_said, members, whole};

type Result<T> = std::result::Result<T, super::DecodeError>;

/// Choices that are told apart; further ones are taken for the last.
const CHOICES: usize = 16;

/// Tool calls of a choice above which a number is not believed.
const MAX_TOOL_CALLS: u64 = 1_024;

/// Choices of one object or one chunk, or of all chunks so far.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// There was one.
    pub(super) any: bool,
    /// A message or a delta was there: tool calls are possible.
    pub(super) chat: bool,
    /// Characters of the answers' text.
    pub(super) chars: u64,
    /// Deltas that brought text.
    pub(super) deltas: u64,
    /// Why the last one that says so ended.
    pub(super) finish: Option<Finish>,
    tool_calls: [u64; CHOICES],
    refused: [bool; CHOICES],
}

/// What one message or delta holds.
#[derive(Clone, Copy, Default)]
struct Message {
    chars: u64,
    tool_calls: u64,
    refused: bool,
}

impl Choices {
    /// Takes an array of choices; the last of several arrays counts.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut choices = Self::default();
        elements(reader, |place, reader| choices.one(place, reader))?;
        Ok(choices)
    }

    /// Adds those of a chunk.
    pub(super) fn add(&mut self, more: &Self) {
        self.any |= more.any;
        self.chat |= more.chat;
        self.chars += more.chars;
        self.deltas += more.deltas;
        self.finish = more.finish.or(self.finish);
        for (count, seen) in self.tool_calls.iter_mut().zip(more.tool_calls) {
            *count = (*count).max(seen);
        }
        for (refused, seen) in self.refused.iter_mut().zip(more.refused) {
            *refused |= seen;
        }
    }

    /// Tool calls of all choices.
    pub(super) fn tool_calls(&self) -> u64 {
        self.tool_calls.iter().sum()
    }

    /// Choices that were refused, by the model or by a filter.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.iter().filter(|refused| **refused).count() as u64
    }

    fn one(&mut self, place: u64, reader: &mut Reader<'_>) -> Result<()> {
        let (mut index, mut message, mut finish) = (place, Message::default(), None);
        members(reader, |key, reader| {
            match key {
                "index" => index = whole(reader)?.unwrap_or(place),
                "finish_reason" => finish = Finish::read(reader)?,
                "text" => message.chars = content_chars(reader)?,
                "message" | "delta" => {
                    self.chat = true;
                    message = Message::read(reader)?;
                }
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        self.any = true;
        self.chars += message.chars;
        self.deltas += u64::from(message.chars > 0);
        self.finish = finish.or(self.finish);
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(CHOICES - 1);
        if let (Some(count), Some(refused)) = (self.tool_calls.get_mut(index), self.refused.get_mut(index)) {
            *count = (*count).max(message.tool_calls);
            *refused |= message.refused || finish.is_some_and(Finish::is_refusal);
        }
        Ok(())
    }
}

impl Message {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut message = Self::default();
        members(reader, |key, reader| {
            match key {
                "content" => message.chars = content_chars(reader)?,
                "refusal" => message.refused = is_said(reader)?,
                "tool_calls" => message.tool_calls = tool_calls(reader)?,
                // The older form, which holds one call.
                "function_call" => {
                    message.tool_calls = message.tool_calls.max(u64::from(reader.kind()? == Kind::Object));
                    reader.skip_value()?;
                }
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(message)
    }
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
