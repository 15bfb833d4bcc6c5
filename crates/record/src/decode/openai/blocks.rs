//! Answers made of blocks: Anthropic's messages and OpenAI's responses, whole or as events.
//!
//! Both say with a `type` what a block is. What only events bring is added up; the object at the end of a stream of
//! OpenAI's holds the whole answer once more and takes the place of the sum.

use super::super::reader::{Kind, Reader};
use super::{content_chars, elements, is_said, members};

type Result<T> = std::result::Result<T, super::DecodeError>;

/// Longest type that matters.
const LONGEST_TYPE: usize = 40;

/// What blocks hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blocks {
    /// There was an answer of this kind.
    pub(super) any: bool,
    pub(super) chars: u64,
    /// Deltas that brought text.
    pub(super) deltas: u64,
    pub(super) tool_calls: u64,
    pub(super) refused: bool,
}

/// What a block or an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Type {
    #[default]
    Other,
    Text,
    ToolCall,
    Refusal,
    /// The end of a stream.
    End,
}

impl Type {
    /// Takes the value of `type`.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.kind()? != Kind::String {
            reader.skip_value()?;
            return Ok(Self::Other);
        }
        let text = reader.string()?;
        if text.raw_len() > LONGEST_TYPE {
            return Ok(Self::Other);
        }
        Ok(match &*text.resolved() {
            "text" | "output_text" | "text_delta" | "response.output_text.delta" => Self::Text,
            "tool_use" | "server_tool_use" | "function_call" | "custom_tool_call" => Self::ToolCall,
            "refusal" | "response.refusal.delta" => Self::Refusal,
            "message_stop" => Self::End,
            _ => Self::Other,
        })
    }
}

impl Blocks {
    /// Takes an array of blocks (`content`) or of items that hold some (`output`); `None` when it is no array.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let mut blocks = Self { any: true, ..Self::default() };
        let count = elements(reader, |_, reader| {
            blocks.add(&Self::one(reader)?);
            Ok(())
        })?;
        Ok(count.map(|_| blocks))
    }

    /// Takes one block, item, or delta.
    pub(super) fn one(reader: &mut Reader<'_>) -> Result<Self> {
        let mut block = Self::default();
        let (mut kind, mut chars, mut refused) = (Type::Other, 0, false);
        members(reader, |key, reader| {
            match key {
                "type" => kind = Type::read(reader)?,
                "text" => chars = content_chars(reader)?,
                "refusal" => refused = is_said(reader)?,
                "content" if reader.kind()? == Kind::Array => {
                    block = Self::read(reader)?.unwrap_or_default();
                }
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        match kind {
            Type::Text => block.chars += chars,
            Type::ToolCall => block.tool_calls += 1,
            Type::Refusal => block.refused |= refused,
            _ => {}
        }
        Ok(block)
    }

    /// Adds what an event brought.
    pub(super) fn add(&mut self, more: &Self) {
        self.any |= more.any;
        self.chars += more.chars;
        self.deltas += more.deltas;
        self.tool_calls += more.tool_calls;
        self.refused |= more.refused;
    }

    /// Takes the whole answer's place, if there is anything in it: the deltas were told before.
    pub(super) fn replace(&mut self, whole: Self) {
        if whole.chars + whole.tool_calls > 0 || whole.refused {
            *self = Self { deltas: self.deltas, ..whole };
        }
        self.any |= whole.any;
    }
}
