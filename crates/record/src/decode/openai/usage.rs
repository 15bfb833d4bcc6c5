//! Token counts, as the vendors give them.
//!
//! OpenAI's `prompt_tokens` include the cached ones; Anthropic's `input_tokens` do not, so what was read from and written
//! to its cache is added: `prompt_tokens` means the same everywhere. Completion tokens include those of reasoning.

use super::super::reader::{Number, Reader};
use super::{members, number};

type Result<T> = std::result::Result<T, super::DecodeError>;

/// What has been read of usage objects; in a stream a later one stands for an earlier one, number by number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    prompt: Option<Number>,
    completion: Option<Number>,
    total: Option<Number>,
    cached: Option<Number>,
    reasoning: Option<Number>,
    /// Anthropic's: beside the prompt's.
    cache_read: Option<Number>,
    cache_created: Option<Number>,
}

impl Usage {
    /// Takes a `usage` object; what is no object is skipped.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        members(reader, |key, reader| {
            match key {
                "prompt_tokens" | "input_tokens" => keep(&mut self.prompt, reader)?,
                "completion_tokens" | "output_tokens" => keep(&mut self.completion, reader)?,
                "total_tokens" => keep(&mut self.total, reader)?,
                "cache_read_input_tokens" => keep(&mut self.cache_read, reader)?,
                "cache_creation_input_tokens" => keep(&mut self.cache_created, reader)?,
                "prompt_tokens_details" | "input_tokens_details" => {
                    detail(reader, "cached_tokens", &mut self.cached)?;
                }
                "completion_tokens_details" | "output_tokens_details" => {
                    detail(reader, "reasoning_tokens", &mut self.reasoning)?;
                }
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Whether any of the two counts is there.
    pub(super) fn is_any(&self) -> bool {
        self.prompt.is_some() || self.completion.is_some()
    }

    /// Tokens of the answer.
    pub(super) fn completion(&self) -> Option<f64> {
        self.completion.map(|number| number.value)
    }

    /// Every count with its name, those that are not there left out.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, Number)> {
        let beside = [self.cache_read, self.cache_created];
        let prompt = self.prompt.map(|prompt| beside.into_iter().flatten().fold(prompt, sum));
        let total = self.total.or_else(|| Some(sum(prompt?, self.completion?)));
        [
            ("prediction.prompt_tokens", prompt),
            ("prediction.completion_tokens", self.completion),
            ("prediction.total_tokens", total),
            ("prediction.cached_tokens", self.cached.or(self.cache_read)),
            ("prediction.reasoning_tokens", self.reasoning),
        ]
        .into_iter()
        .filter_map(|(name, number)| Some((name, number?)))
    }
}

fn keep(into: &mut Option<Number>, reader: &mut Reader<'_>) -> Result<()> {
    *into = number(reader)?.or(*into);
    Ok(())
}

fn detail(reader: &mut Reader<'_>, wanted: &str, into: &mut Option<Number>) -> Result<()> {
    members(reader, |key, reader| if key == wanted { keep(into, reader) } else { Ok(reader.skip_value()?) })?;
    Ok(())
}

fn sum(a: Number, b: Number) -> Number {
    Number { value: a.value + b.value, inexact_integer: a.inexact_integer.or(b.inexact_integer) }
}
