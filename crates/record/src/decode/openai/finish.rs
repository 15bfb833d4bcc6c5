//! Why an answer ended: one of the known words, never text of the answer's own.

use super::super::reader::{Kind, Reader};

/// The reasons that vendors document, and those of common servers.
const KNOWN: [&str; 20] = [
    "stop",
    "length",
    "tool_calls",
    "function_call",
    "content_filter",
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "completed",
    "incomplete",
    "max_output_tokens",
    "cancelled",
    "failed",
    "eos_token",
    "abort",
    "error",
];

/// A reason; any other word than the known ones is `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finish(&'static str);

impl Finish {
    /// Takes a value and gives it when it is a string that is not empty.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, super::DecodeError> {
        if reader.kind()? != Kind::String {
            reader.skip_value()?;
            return Ok(None);
        }
        let text = reader.string()?;
        if text.raw_len() == 0 {
            return Ok(None);
        }
        let longest = KNOWN.iter().map(|known| known.len()).max().unwrap_or(0);
        let known = (text.raw_len() <= longest).then(|| {
            let word = text.resolved();
            KNOWN.into_iter().find(|known| *known == word)
        });
        Ok(Some(Self(known.flatten().unwrap_or("other"))))
    }

    /// The word.
    pub(super) const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether the model or a filter refused.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self.0, "content_filter" | "refusal")
    }
}
