//! Privacy over decoded rows, for every request that passes.
//!
//! Names come back request after request in the same order, so what a name means (named, personal data itself, neither)
//! is decided once and found again by a guess and one comparison. A number costs a comparison, a text one pass.

use std::collections::HashMap;
use std::sync::Arc;

use super::Privacy;
use crate::{CellValue, Decoded, TextRange};

/// Names kept; above it they are forgotten and decided again.
const KEPT_NAMES: usize = 4_096;

/// Applies a [`Privacy`] to decoded rows, remembering the names it has met. One a thread.
#[derive(Debug, Default)]
pub struct Redactor {
    privacy: Arc<Privacy>,
    features: Names,
    predictions: Names,
    /// The text of a cell while it is replaced.
    scratch: String,
}

#[derive(Debug, Default)]
struct Names {
    known: Vec<Known>,
    by_name: HashMap<Arc<str>, usize>,
    guess: usize,
    /// The last name's place in the text, and its number.
    last: Option<(TextRange, usize)>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    named: bool,
    /// What is shown instead, when the name itself is personal data.
    shown: Option<Arc<str>>,
}

impl Redactor {
    /// A redactor with no names yet.
    pub fn new(privacy: Arc<Privacy>) -> Self {
        Self { privacy, ..Self::default() }
    }

    /// The rules that it applies.
    pub fn privacy(&self) -> &Arc<Privacy> {
        &self.privacy
    }

    /// Replaces personal data in values and names. Done again, it changes nothing.
    pub fn apply(&mut self, decoded: &mut Decoded) {
        self.side(true, decoded);
        self.side(false, decoded);
    }

    fn side(&mut self, features: bool, decoded: &mut Decoded) {
        let Self { privacy, features: of_features, predictions, scratch } = self;
        let names = if features { of_features } else { predictions };
        names.begin();
        // An only prediction is called `prediction`; the name it had counts as well.
        let original = decoded.only_prediction().filter(|_| !features);
        let all_named = original.is_some_and(|name| privacy.is_named(decoded.text(name)));
        for at in 0..decoded.side_len(features) {
            let Some((name, value)) = decoded.cell(features, at) else { break };
            let known = names.find(privacy, decoded, name);
            let named = all_named || known.named;
            if let Some(shown) = &known.shown {
                let shown = decoded.intern(shown);
                decoded.rename(features, at, shown);
            }
            let field = &*known.name;
            let hashed = match value {
                CellValue::Missing => None,
                CellValue::Number(number) if named || privacy.detects_number(number) => {
                    Some(privacy.pseudonym(field, &(number + 0.0).to_string()))
                }
                CellValue::Number(_) => None,
                CellValue::Text(range) if named => {
                    scratch.clear();
                    scratch.push_str(decoded.text(range));
                    Some(privacy.pseudonym(field, scratch))
                }
                CellValue::Text(range) => privacy.detected(field, decoded.text(range)),
            };
            if let Some(hashed) = hashed {
                let value = decoded.intern_checked(&hashed);
                decoded.replace(features, at, value);
            }
        }
    }
}

impl Privacy {
    /// Replaces personal data in decoded rows. Where it is done often, a [`Redactor`] is faster.
    pub fn apply(self: &Arc<Self>, decoded: &mut Decoded) {
        Redactor::new(Arc::clone(self)).apply(decoded);
    }
}

impl Names {
    fn begin(&mut self) {
        if self.known.len() > KEPT_NAMES {
            self.known.clear();
            self.by_name.clear();
        }
        self.guess = 0;
        self.last = None;
    }

    fn find(&mut self, privacy: &Privacy, decoded: &Decoded, range: TextRange) -> &Known {
        if let Some((last, at)) = self.last
            && last == range
        {
            return &self.known[at];
        }
        let name = decoded.text(range);
        let guess = if self.guess < self.known.len() { self.guess } else { 0 };
        let at = match self.known.get(guess) {
            Some(known) if *known.name == *name => guess,
            _ => match self.by_name.get(name) {
                Some(at) => *at,
                None => self.insert(privacy, name),
            },
        };
        self.guess = at + 1;
        self.last = Some((range, at));
        &self.known[at]
    }

    fn insert(&mut self, privacy: &Privacy, name: &str) -> usize {
        let at = self.known.len();
        let name: Arc<str> = Arc::from(name);
        self.by_name.insert(Arc::clone(&name), at);
        let shown = privacy.detected("", &name).map(Arc::from);
        self.known.push(Known { named: privacy.is_named(&name), shown, name });
        at
    }
}
