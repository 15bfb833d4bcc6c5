//! A request for embeddings, taken apart: `{"model":"m","input":"text"|["a"]|[1,2]|[[1,2]],…}`.
//!
//! Every setting counts for the key but `user`, which changes no embedding; those this program has never heard of count
//! as well. `encoding_format` is `float` when it is not given; a setting that is null is not given.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::key::{Key, Keyer};

/// Inputs of one request; the vendors' own limit.
const MAX_INPUTS: usize = 2048;

/// A request that can be answered input by input.
#[derive(Debug)]
pub struct Question {
    /// All fields but `input`, as written.
    fields: BTreeMap<String, Box<RawValue>>,
    inputs: Vec<Input>,
}

/// One text, or one list of token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Input {
    Text(String),
    Tokens(Vec<u64>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Inputs {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u64>),
    TokenLists(Vec<Vec<u64>>),
}

impl Question {
    /// Reads a request's body. `None` when it is not of this form: it is then nobody's business here.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let inputs = match serde_json::from_str(fields.remove("input")?.get()).ok()? {
            Inputs::Text(text) => vec![Input::Text(text)],
            Inputs::Texts(texts) => texts.into_iter().map(Input::Text).collect(),
            Inputs::Tokens(tokens) if tokens.is_empty() => return None,
            Inputs::Tokens(tokens) => vec![Input::Tokens(tokens)],
            Inputs::TokenLists(lists) => lists.into_iter().map(Input::Tokens).collect(),
        };
        (1..=MAX_INPUTS).contains(&inputs.len()).then_some(Self { fields, inputs })
    }

    /// Inputs, at least one.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// The key of every input, in their order.
    pub(crate) fn keys(&self, mut keyer: Keyer) -> Vec<Key> {
        if !self.is_given("encoding_format") {
            keyer.add(b"encoding_format");
            keyer.add(b"\"float\"");
        }
        for (name, value) in &self.fields {
            if name == "user" || !self.is_given(name) {
                continue;
            }
            keyer.add(name.as_bytes());
            keyer.add(canonical(value).as_bytes());
        }
        self.inputs.iter().map(|input| input.key(keyer.clone())).collect()
    }

    /// A request for some of the inputs, everything else as written.
    pub(crate) fn only(&self, positions: &[usize]) -> Bytes {
        let mut body = String::from("{");
        for (name, value) in &self.fields {
            push_json(&mut body, name);
            body.push(':');
            body.push_str(value.get());
            body.push(',');
        }
        body.push_str("\"input\":[");
        for (place, position) in positions.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            match self.inputs.get(*position) {
                Some(Input::Text(text)) => push_json(&mut body, text),
                Some(Input::Tokens(tokens)) => push_json(&mut body, tokens),
                None => {}
            }
        }
        body.push_str("]}");
        body.into()
    }

    /// The model's name as the request has it, JSON.
    pub(crate) fn model(&self) -> &str {
        self.fields.get("model").map_or("null", |value| value.get())
    }

    /// The number of dimensions asked for.
    pub(crate) fn dimensions(&self) -> Option<usize> {
        serde_json::from_str(self.fields.get("dimensions")?.get()).ok()
    }

    /// How much of a request's tokens an input is likely to have: its length.
    pub(crate) fn weight(&self, position: usize) -> u64 {
        match self.inputs.get(position) {
            Some(Input::Text(text)) => text.chars().count() as u64,
            Some(Input::Tokens(tokens)) => tokens.len() as u64,
            None => 0,
        }
    }

    fn is_given(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| value.get() != "null")
    }
}

impl Input {
    fn key(&self, mut keyer: Keyer) -> Key {
        match self {
            Self::Text(text) => {
                keyer.add(b"text");
                keyer.add(text.as_bytes());
            }
            Self::Tokens(tokens) => {
                keyer.add(b"tokens");
                for token in tokens {
                    keyer.add(&token.to_be_bytes());
                }
            }
        }
        keyer.finish()
    }
}

/// A value without the freedom of how it is written: no spaces, escapes resolved.
fn canonical(value: &RawValue) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(value.get());
    parsed.map_or_else(|_| value.get().to_owned(), |parsed| parsed.to_string())
}

/// Appends JSON. What is written here cannot fail to be JSON.
fn push_json(out: &mut String, value: &(impl serde::Serialize + ?Sized)) {
    if let Ok(text) = serde_json::to_string(value) {
        out.push_str(&text);
    }
}
