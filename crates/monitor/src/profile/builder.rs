//! Profiles from columns in memory: what live learning and the offline commands share.
//!
//! Which type a column has:
//!
//! - Digits with a leading zero (`01234`) and otherwise whole numbers: categorical, they are codes.
//! - More numbers than texts: numeric, however few distinct numbers there are. Texts among them count as the number they
//!   spell, otherwise as missing.
//! - Otherwise categorical, numbers as their shortest decimal text. Strings are not guessed to be numbers: `01234` is a
//!   postcode. 0 and 1 among nothing but booleans are booleans.
//! - Nothing but missing values: categorical with no category, so that the first value ever seen falls into `other`.

use std::collections::HashMap;

use record::value::{self, Value, shortest};
use stats::{BinningRule, Bins, CategoricalBins, MAX_BINS, NumericBins};

use super::{FeatureProfile, Profile};

/// Distinct texts a column remembers while it is built; later ones belong to `other`.
pub const MAX_DISTINCT_TEXTS: usize = 10_000;

/// Longest text that can be a category, in bytes; longer ones belong to `other`.
pub const MAX_TEXT_BYTES: usize = 256;

/// Most categories of a feature; with `other` and `missing` its slots fit into a byte.
const MAX_CATEGORIES: usize = 250;

/// How columns become bins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildRules {
    /// How edges of numbers are cut. At most 254 bins.
    pub binning: BinningRule,
    /// Categories kept, 1 to 250; rarer ones belong to `other`.
    pub categories: usize,
}

/// One column's values on their way to bins. Numbers are kept (8 bytes each), texts only counted.
#[derive(Clone, Debug, Default)]
pub struct ColumnBuilder {
    numbers: Vec<f64>,
    texts: HashMap<Box<str>, u64>,
    /// Texts that were not remembered.
    others: u64,
    missing: u64,
}

impl ColumnBuilder {
    /// Adds a number; one that is not finite is missing, as in a live window.
    pub fn push_number(&mut self, x: f64) {
        if x.is_finite() {
            self.numbers.push(x);
        } else {
            self.missing += 1;
        }
    }

    /// Adds a text as [`record::value`] reads it: a missing token is missing, a number's text is the number's shortest one.
    pub fn push_text(&mut self, text: &str) {
        self.push_texts(text, 1);
    }

    /// [`Self::push_text`], `count` times.
    pub fn push_texts(&mut self, text: &str, count: u64) {
        let mut scratch = String::new();
        match value::read(text).key(&mut scratch) {
            Some(key) => self.push_keys(key, count),
            None => self.missing += count,
        }
    }

    /// Adds a text `count` times that is a key already, of a file that was read with missing tokens of its own. The keys of
    /// infinities are missing.
    pub fn push_keys(&mut self, text: &str, count: u64) {
        if matches!(text, "inf" | "-inf") {
            self.missing += count;
        } else if let Some(known) = self.texts.get_mut(text) {
            *known += count;
        } else if text.len() <= MAX_TEXT_BYTES && self.texts.len() < MAX_DISTINCT_TEXTS {
            self.texts.insert(text.into(), count);
        } else {
            self.others += count;
        }
    }

    /// Adds `count` values whose texts are not known any more; they belong to `other`.
    pub fn push_others(&mut self, count: u64) {
        self.others += count;
    }

    /// Adds `count` rows without a value.
    pub fn push_missing(&mut self, count: u64) {
        self.missing += count;
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.numbers.len() as u64 + self.text_rows() + self.missing
    }

    /// Cuts the bins and counts the values into them.
    pub fn finish(mut self, name: impl Into<String>, rules: &BuildRules) -> FeatureProfile {
        let mostly_numbers = self.numbers.len() as u64 > self.text_rows();
        let numeric = if mostly_numbers && !self.has_codes() { self.fit_numeric(rules) } else { None };
        match numeric {
            Some(bins) => self.count_numeric(name.into(), bins),
            None => self.count_categorical(name.into(), rules),
        }
    }

    /// Whether the column holds codes: digits with leading zeros among whole numbers.
    fn has_codes(&self) -> bool {
        self.texts.keys().any(|text| matches!(value::read_any(text), Value::Code(_)))
            && self.numbers.iter().all(|x| *x >= 0.0 && x.fract() == 0.0)
    }

    fn text_rows(&self) -> u64 {
        self.texts.values().sum::<u64>() + self.others
    }

    /// `None` when there is no number.
    fn fit_numeric(&mut self, rules: &BuildRules) -> Option<NumericBins> {
        for (text, count) in &self.texts {
            match value::number(text) {
                Some(x) => self.numbers.extend((0..*count).map(|_| x)),
                None => self.missing += count,
            }
        }
        self.texts.clear();
        self.missing += std::mem::take(&mut self.others);
        self.numbers.sort_unstable_by(f64::total_cmp);
        NumericBins::fit(&self.numbers, within_a_byte(rules.binning)).ok()
    }

    fn count_numeric(self, name: String, bins: NumericBins) -> FeatureProfile {
        let mut counts = vec![0; bins.len() + 1];
        for x in &self.numbers {
            counts[bins.index(*x).unwrap_or(bins.len())] += 1;
        }
        counts[bins.len()] += self.missing;
        FeatureProfile::new(name, bins, counts)
    }

    fn count_categorical(mut self, name: String, rules: &BuildRules) -> FeatureProfile {
        let mut scratch = String::new();
        for x in std::mem::take(&mut self.numbers) {
            self.push_keys(shortest(x, &mut scratch), 1);
        }
        if self.others == 0 {
            value::merge_booleans(&mut self.texts);
        }
        let texts = self.texts.iter().map(|(text, count)| (&**text, *count));
        let bins = CategoricalBins::fit(texts, rules.categories.clamp(1, MAX_CATEGORIES))
            .expect("invariant: at least one category may be kept");
        let mut counts = vec![0; bins.len() + 1];
        for (text, count) in &self.texts {
            counts[bins.index(text)] += count;
        }
        counts[bins.other()] += self.others;
        counts[bins.len()] += self.missing;
        FeatureProfile::new(name, Bins::Categorical(bins), counts)
    }
}

/// The rule with at most as many bins as a live window has room for, and at least two.
fn within_a_byte(rule: BinningRule) -> BinningRule {
    match rule {
        BinningRule::EqualWidth { bins, range } => {
            BinningRule::EqualWidth { bins: bins.clamp(2, MAX_BINS), range }
        }
        BinningRule::Quantile { bins } => BinningRule::Quantile { bins: bins.clamp(2, MAX_BINS) },
    }
}

/// A profile's columns, in the order in which they were first named.
#[derive(Clone, Debug)]
pub struct ProfileBuilder {
    rules: BuildRules,
    columns: Vec<(String, ColumnBuilder)>,
    places: HashMap<String, usize>,
}

impl ProfileBuilder {
    /// No column yet.
    pub fn new(rules: BuildRules) -> Self {
        Self { rules, columns: Vec::new(), places: HashMap::new() }
    }

    /// The column of this name, added when it is new. The caller bounds how many there are.
    pub fn column(&mut self, name: &str) -> &mut ColumnBuilder {
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            self.columns.push((name.to_owned(), ColumnBuilder::default()));
            self.places.insert(name.to_owned(), self.columns.len() - 1);
            self.columns.len() - 1
        });
        &mut self.columns[place].1
    }

    /// The profile. Columns shorter than the longest are filled up with missing values.
    pub fn finish(self, name: impl Into<String>, created_at_ms: i64) -> Profile {
        let rows = self.columns.iter().map(|(_, column)| column.rows()).max().unwrap_or(0);
        let features = self
            .columns
            .into_iter()
            .map(|(name, mut column)| {
                column.push_missing(rows - column.rows());
                column.finish(name, &self.rules)
            })
            .collect();
        Profile { name: name.into(), created_at_ms, rows, features, tenants: Vec::new() }
    }
}
