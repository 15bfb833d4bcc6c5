//! Answers with embeddings: checked before they are kept, put together again from what is kept.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::question::Question;

/// An embedding as it was received, JSON: an array of numbers, or a string of base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) embedding: Arc<str>,
    /// Its share of the tokens that were paid for.
    pub(crate) tokens: u32,
}

#[derive(Deserialize)]
struct Raw {
    data: Vec<Item>,
    usage: Option<Usage>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Box<RawValue>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
}

/// An answer's embeddings, in the order of `positions`; `None` when it is not one whole embedding of one length for
/// each: garbage is never kept.
pub(crate) fn read(body: &[u8], question: &Question, positions: &[usize]) -> Option<Vec<Entry>> {
    let raw: Raw = serde_json::from_slice(body).ok()?;
    if raw.error.is_some() || raw.data.len() != positions.len() {
        return None;
    }
    let mut found: Vec<Option<Box<RawValue>>> = positions.iter().map(|_| None).collect();
    let mut length = question.dimensions();
    for (place, item) in raw.data.into_iter().enumerate() {
        let dimensions = dimensions(item.embedding.get())?;
        if *length.get_or_insert(dimensions) != dimensions {
            return None;
        }
        let slot = found.get_mut(item.index.unwrap_or(place))?;
        if slot.replace(item.embedding).is_some() {
            return None;
        }
    }
    let weights: Vec<u64> = positions.iter().map(|position| question.weight(*position)).collect();
    let tokens = shares(raw.usage.map_or(0, |usage| usage.prompt_tokens), &weights);
    let entry = |(embedding, tokens): (Option<Box<RawValue>>, u32)| {
        Some(Entry { embedding: embedding?.get().into(), tokens })
    };
    found.into_iter().zip(tokens).map(entry).collect()
}

/// The length of an embedding in JSON; `None` when it is none.
pub(crate) fn dimensions(text: &str) -> Option<usize> {
    if text.starts_with('"') {
        let encoded: String = serde_json::from_str(text).ok()?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (floats, rest) = bytes.as_chunks::<4>();
        let is_whole = rest.is_empty() && floats.iter().all(|float| f32::from_le_bytes(*float).is_finite());
        return (is_whole && !floats.is_empty()).then_some(floats.len());
    }
    // Numbers over the range of an `f64` are refused by the parser.
    let numbers: Vec<f64> = serde_json::from_str(text).ok()?;
    (!numbers.is_empty()).then_some(numbers.len())
}

/// Tokens by weight, whole and adding up: what rounding leaves goes to the first ones.
fn shares(tokens: u64, weights: &[u64]) -> Vec<u32> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    let share = |weight: u64| (u128::from(tokens) * u128::from(weight)).checked_div(sum).unwrap_or(0);
    let whole: Vec<u64> =
        weights.iter().map(|weight| u64::try_from(share(*weight)).unwrap_or(u64::MAX)).collect();
    let mut left = tokens.saturating_sub(whole.iter().sum());
    // Less than one each is left, unless nothing has a weight.
    let each = if sum == 0 { left } else { 1 };
    let cut = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
    whole
        .into_iter()
        .map(|whole| {
            let more = left.min(each);
            left -= more;
            cut(whole + more)
        })
        .collect()
}

/// An answer in the vendor's form. Of the tokens only those that were bought for it are in `prompt_tokens`; the others
/// are `saved_tokens`.
pub(crate) fn assemble(question: &Question, entries: &[Entry], bought: u64, saved: u64) -> Bytes {
    let length: usize = entries.iter().map(|entry| entry.embedding.len() + 64).sum();
    let mut body = String::with_capacity(length + 256);
    body.push_str("{\"object\":\"list\",\"data\":[");
    for (index, entry) in entries.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let written = write!(
            body,
            "{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{}}}",
            entry.embedding
        );
        debug_assert!(written.is_ok(), "a string takes everything");
    }
    let written = write!(
        body,
        "],\"model\":{},\"usage\":{{\"prompt_tokens\":{bought},\"total_tokens\":{bought},\"saved_tokens\":{saved}}}}}",
        question.model()
    );
    debug_assert!(written.is_ok(), "a string takes everything");
    body.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(body: &str) -> Question {
        Question::parse(body.as_bytes()).unwrap()
    }

    fn kept(question: &Question, answer: &str) -> Option<Vec<(String, u32)>> {
        let positions: Vec<usize> = (0..question.len()).collect();
        let entries = read(answer.as_bytes(), question, &positions)?;
        Some(entries.into_iter().map(|entry| (entry.embedding.to_string(), entry.tokens)).collect())
    }

    #[test]
    fn whole_answers_are_kept_as_received() {
        let two = question(r#"{"input":["abcd","ef"],"model":"m"}"#);
        let answer = r#"{"data":[{"index":1,"embedding":[1e-1, 2]},{"index":0,"embedding":[0.10, -3]}],"usage":{"prompt_tokens":7}}"#;
        let expected = [("[0.10, -3]".to_owned(), 5), ("[1e-1, 2]".to_owned(), 2)];
        assert_eq!(kept(&two, answer).unwrap(), expected);
        let one = question(r#"{"input":"a","dimensions":2,"encoding_format":"base64"}"#);
        let answer = r#"{"data":[{"embedding":"AAAAAAAAgD8="}]}"#;
        assert_eq!(kept(&one, answer).unwrap(), [("\"AAAAAAAAgD8=\"".to_owned(), 0)]);
    }

    #[test]
    fn garbage_is_not_kept() {
        let two = question(r#"{"input":["a","b"],"dimensions":2}"#);
        for answer in [
            "",
            "{}",
            "<html>",
            r#"{"data":[]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":2,"embedding":[1,2]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2,3]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,null]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,1e400]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":"?"}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":"AAAAAAAAwH8="}]}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,2]}],"error":{"message":"x"}}"#,
            r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,2]}]"#,
        ] {
            assert_eq!(kept(&two, answer), None, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up(tokens in 0_u64..1_000_000, weights in prop::collection::vec(0_u64..10_000, 1..50)) {
            let shares = shares(tokens, &weights);
            prop_assert_eq!(shares.len(), weights.len());
            let sum: u64 = shares.iter().copied().map(u64::from).sum();
            prop_assert_eq!(sum, tokens);
        }

        #[test]
        fn what_is_assembled_is_read_again(embeddings in prop::collection::vec(prop::collection::vec(-1e6..1e6_f64, 3), 1..9)) {
            let inputs: Vec<String> = (0..embeddings.len()).map(|n| n.to_string()).collect();
            let question = question(&serde_json::json!({ "input": inputs, "model": "m\"x" }).to_string());
            let entries: Vec<Entry> = embeddings
                .iter()
                .map(|e| Entry { embedding: serde_json::to_string(e).unwrap().into(), tokens: 0 })
                .collect();
            let body = assemble(&question, &entries, 0, 9);
            let positions: Vec<usize> = (0..entries.len()).collect();
            prop_assert_eq!(read(&body, &question, &positions).unwrap(), entries);
        }
    }
}
