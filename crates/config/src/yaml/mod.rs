//! YAML text to a tree that knows where everything stands.
//!
//! Built from parser events and not from a ready-made tree, because every node needs its place, both places of a
//! duplicate key are wanted, and the bounds (depth, nodes, aliases) must hold while the text is read, not after.

mod cursor;
mod events;
mod expand;
mod mask;
mod source;

pub(crate) use cursor::{Cursor, Sink};
pub(crate) use events::read_tree;
pub(crate) use expand::expand;
pub(crate) use mask::{mask_text, mask_tree};
pub(crate) use source::Source;

/// Where something stands in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// First character, counted over the whole text.
    pub(crate) start: usize,
    /// One past the last character.
    pub(crate) end: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Yaml,
}

/// The three kinds of YAML values.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A single value, not typed yet: what it is depends on the key it stands under.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// The value after `${…}` has been expanded.
    pub(crate) text: String,
    /// The value before, when it was expanded: the only form that messages may show.
    pub(crate) unexpanded: Option<String>,
    /// Written without quotes.
    pub(crate) plain: bool,
    /// Never shown.
    pub(crate) secret: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// The entry of a map, if this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Yaml::Scalar(_) | Yaml::List(_) => None,
        }
    }
}

impl Scalar {
    /// The value as a message may show it: shortened, unexpanded, and not at all when it is a secret.
    pub(crate) fn shown(&self) -> Option<String> {
        if self.secret {
            return None;
        }
        Some(shorten(self.unexpanded.as_deref().unwrap_or(&self.text)))
    }
}

/// A text for a message: at most 60 characters, control characters replaced.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String =
        text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
