//! Names and texts that come with answers, each kept once and limited in number.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Longest text that is kept whole, in bytes. Longer ones keep their beginning and a hash of the whole.
const MAX_TEXT_BYTES: usize = 128;

/// Versions over the limit.
const OTHER: &str = "other";

/// How many of each there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) versions: usize,
    pub(crate) predictions: usize,
    /// Texts that are shared between answers; later ones are kept by each answer for itself.
    pub(crate) texts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { versions: 32, predictions: 64, texts: 1_024 }
    }
}

/// One model's names.
#[derive(Debug)]
pub(crate) struct Names {
    versions: Vec<Arc<str>>,
    predictions: Vec<Arc<str>>,
    texts: HashSet<Arc<str>>,
    limits: Limits,
    other: Arc<str>,
    hasher: RandomState,
    /// Predictions that were not compared because their name was one too many.
    pub(crate) over_limit: u64,
}

impl Names {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            versions: Vec::new(),
            predictions: Vec::new(),
            texts: HashSet::new(),
            limits,
            other: OTHER.into(),
            hasher: RandomState::new(),
            over_limit: 0,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// These names under another limit; names that are there stay.
    pub(crate) fn with_versions(mut self, versions: usize) -> Self {
        self.limits.versions = versions;
        self
    }

    /// A version's name, or `other` when it is one too many.
    pub(crate) fn version(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.versions.iter().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        if self.versions.len() >= self.limits.versions {
            return Arc::clone(&self.other);
        }
        self.versions.push(name.into());
        self.versions[self.versions.len() - 1].clone()
    }

    /// The number of a prediction's name; `None` and counted when it is one too many.
    pub(crate) fn prediction(&mut self, name: &str) -> Option<u16> {
        if let Some(known) = self.predictions.iter().position(|known| **known == *name) {
            return u16::try_from(known).ok();
        }
        if self.predictions.len() >= self.limits.predictions {
            self.over_limit += 1;
            return None;
        }
        self.predictions.push(name.into());
        u16::try_from(self.predictions.len() - 1).ok()
    }

    /// The name of a number that [`Names::prediction`] gave.
    pub(crate) fn prediction_name(&self, number: u16) -> Arc<str> {
        self.predictions.get(usize::from(number)).unwrap_or(&self.other).clone()
    }

    /// A predicted text. Two are equal exactly when the texts were, but for a collision of 64-bit hashes.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if text.len() > MAX_TEXT_BYTES {
            let end = text.floor_char_boundary(MAX_TEXT_BYTES - 24);
            return format!("{}... ({:016x})", &text[..end], self.hasher.hash_one(text)).into();
        }
        let kept: Arc<str> = text.into();
        if self.texts.len() < self.limits.texts {
            self.texts.insert(Arc::clone(&kept));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_long_texts_stay_different() {
        let mut names = Names::new(Limits { versions: 2, predictions: 1, texts: 1 });
        assert_eq!([&*names.version("a"), &*names.version("b"), &*names.version("c")], ["a", "b", "other"]);
        assert_eq!(
            (names.prediction("p"), names.prediction("q"), names.prediction("p")),
            (Some(0), None, Some(0))
        );
        assert_eq!((names.over_limit, &*names.prediction_name(0)), (1, "p"));
        assert!(Arc::ptr_eq(&names.text("yes"), &names.text("yes")));
        assert_eq!((&*names.text("no"), names.texts.len()), ("no", 1));
        let long = |end: &str| "ä".repeat(200) + end;
        let (first, again, second) = (names.text(&long("1")), names.text(&long("1")), names.text(&long("2")));
        assert!(first == again && first != second && first.len() <= MAX_TEXT_BYTES);
    }
}
