//! A walk through the tree that always knows its key path and its place.

use crate::problem::{Problem, Severity};
use crate::yaml::{Entry, Node, Place, Scalar, Source, Yaml};

/// A point in the tree: a node, or the nearest one above a key that is not there.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    node: Option<&'a Node>,
    /// Of the key; of the nearest existing node above when the key is absent.
    key_place: Place,
    path: String,
}

impl<'a> Cursor<'a> {
    /// The whole document.
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node: Some(node), key_place: node.place, path: String::new() }
    }

    /// The value under a key. When the key is absent the cursor still knows its path and stands where it is missing.
    pub(crate) fn key(&self, key: &str) -> Self {
        match self.node.and_then(|node| node.entry(key)) {
            Some(entry) => self.entry(entry),
            None => Self { node: None, key_place: self.key_place, path: self.path_of(key) },
        }
    }

    /// The value of an entry of this map, without looking for it: large maps are walked in one pass.
    pub(crate) fn entry(&self, entry: &'a Entry) -> Self {
        Self { node: Some(&entry.value), key_place: entry.key_place, path: self.path_of(&entry.key) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { quoted(key) } else { format!("{}.{}", self.path, quoted(key)) }
    }

    /// An item of a list, from 0.
    pub(crate) fn item(&self, index: usize) -> Self {
        let path = format!("{}[{index}]", self.path);
        match self.node.map(|node| &node.value) {
            Some(Yaml::List(items)) if index < items.len() => {
                Self { node: Some(&items[index]), key_place: items[index].place, path }
            }
            _ => Self { node: None, key_place: self.key_place, path },
        }
    }

    /// Whether there is a node.
    pub(crate) fn is_set(&self) -> bool {
        self.node.is_some()
    }

    /// A text that stands here as a message may show it: unexpanded when it came from a variable.
    pub(crate) fn shown(&self, text: &str) -> String {
        match self.scalar().and_then(|scalar| scalar.unexpanded.as_deref()) {
            Some(unexpanded) => crate::yaml::shorten(unexpanded),
            None => crate::yaml::shorten(text),
        }
    }

    /// Whether the value came from a variable: it must not be shown.
    pub(crate) fn is_expanded(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.unexpanded.is_some())
    }

    fn scalar(&self) -> Option<&'a Scalar> {
        match self.node.map(|node| &node.value) {
            Some(Yaml::Scalar(scalar)) => Some(scalar),
            _ => None,
        }
    }

    /// Where a key of a map stands.
    pub(crate) fn key_place(&self) -> Place {
        self.key_place
    }

    /// The place a message points at: a scalar itself, the key of anything larger.
    pub(crate) fn place(&self) -> Place {
        match self.node {
            Some(Node { value: Yaml::Scalar(_), place }) if place.end > place.start => *place,
            _ => self.key_place,
        }
    }

    /// The key path, `models.fraud.shadow[0].percent`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// A key as a path shows it.
fn quoted(key: &str) -> String {
    let is_word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if is_word { key.to_owned() } else { format!("\"{}\"", crate::yaml::shorten(key)) }
}

/// Collects problems at their places.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    hidden: Vec<Place>,
}

impl<'a> Sink<'a> {
    /// Collects problems of a text.
    pub(crate) fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new(), hidden: Vec::new() }
    }

    /// Adds an error at a cursor; the answer takes a hint.
    pub(crate) fn error(&mut self, at: &Cursor<'_>, message: impl Into<String>) -> Hinted<'_> {
        self.push(Severity::Error, at.place(), at.path(), message.into())
    }

    /// Adds an error at the cursor's key, not at its value.
    pub(crate) fn error_at_key(&mut self, at: &Cursor<'_>, message: impl Into<String>) -> Hinted<'_> {
        self.push(Severity::Error, at.key_place(), at.path(), message.into())
    }

    /// Adds a warning at a cursor.
    pub(crate) fn warning(&mut self, at: &Cursor<'_>, message: impl Into<String>) -> Hinted<'_> {
        self.push(Severity::Warning, at.place(), at.path(), message.into())
    }

    /// Adds an error at a place.
    pub(crate) fn error_at(&mut self, place: Place, path: &str, message: impl Into<String>) -> Hinted<'_> {
        self.push(Severity::Error, place, path, message.into())
    }

    fn push(&mut self, severity: Severity, place: Place, path: &str, message: String) -> Hinted<'_> {
        self.problems.push(self.source.problem(severity, place, path.to_owned(), message));
        Hinted(self.problems.last_mut())
    }

    /// Hides a value that turned out to be one nobody knows: it may be a secret.
    pub(crate) fn hide(&mut self, node: &Node) {
        match &node.value {
            Yaml::Scalar(_) => self.hidden.push(node.place),
            Yaml::List(items) => items.iter().for_each(|item| self.hide(item)),
            Yaml::Map(entries) => entries.iter().for_each(|entry| self.hide(&entry.value)),
        }
    }

    /// What was collected.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// What was collected, and what must not be shown.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Place>) {
        (self.problems, self.hidden)
    }
}

/// The problem that was just added.
pub(crate) struct Hinted<'a>(Option<&'a mut Problem>);

impl Hinted<'_> {
    /// Says what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) {
        self.maybe_hint(Some(hint.into()));
    }

    /// Says what to do about it, if anything is known.
    pub(crate) fn maybe_hint(self, hint: Option<String>) {
        if let Some(problem) = self.0 {
            problem.hint = hint;
        }
    }
}
