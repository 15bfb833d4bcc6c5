//! What the reference of a feature makes the checks of its values expect.

use record::Cell;
use record::value::{self, Value};
use stats::detect::DetectorBins;
use stats::{Bins, NumericBins};

use super::counter::{KINDS, SHORT, kind};
use super::fault::Fault;
use crate::detector::DetectorReference;

/// A feature of whose values most are new is no category.
const MAX_UNSEEN: f64 = 0.5;

/// A run of one value needs this probability by chance, at most: it may begin with every row of weeks.
const RUN_CHANCE: f64 = 1e-12;

/// Shortest run of one value that is called constant.
pub(crate) const MIN_RUN: f64 = 50.0;

/// With a more frequent value in the reference, no run says anything.
const MAX_TOP: f64 = 0.999;

/// Probability by chance that as many different inputs have the reference's most frequent answer.
const INPUTS_CHANCE: f64 = 1e-6;

/// Fewest different inputs behind one and the same answer.
const MIN_INPUTS: f64 = 20.0;

/// A fault with a larger share in the reference may be usual with some of the tenants.
const EXPLAINED: f64 = 0.005;

/// Share that may lie outside a range which is cut at the detector's outermost edges.
const OUTSIDE_EDGES: f64 = 0.01;

/// Shares of the reference that fail each check, 0 to 1, and what its values are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    /// Rows of the reference.
    pub(crate) rows: u64,
    /// Rows without a value.
    pub(crate) missing: f64,
    /// Values of another type; `None` where the reference cannot say.
    pub(crate) types: Option<f64>,
    /// Values that may be of another type for all that the reference shows: those it takes for missing or new.
    pub(crate) types_at_most: f64,
    /// Categories that the reference has not seen, by Good and Turing's estimate; `None` for what is no category.
    pub(crate) unseen: Option<f64>,
    /// Numbers outside the range; `None` without a range.
    pub(crate) outside: Option<f64>,
    /// The share of the most frequent value among those that are there, at most.
    pub(crate) top: f64,
    /// How many rows in succession count as one.
    tau: f64,
    range: (f64, f64),
    /// Of a numeric feature: booleans are its values as well. Of a categorical one: numbers and booleans may be.
    words: bool,
    /// By kind of fault: see [`Self::usual`].
    usual: [u32; KINDS],
}

impl Expected {
    /// From a feature's bins and counts. `judged`: its values are compared at all.
    pub(crate) fn new(
        bins: &Bins,
        counts: &[u64],
        detector: Option<&DetectorReference>,
        judged: bool,
    ) -> Self {
        let rows = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let share = |count: u64| count as f64 / rows.max(1) as f64;
        let missing = share(counts.get(bins.missing()).copied().unwrap_or(0));
        let other = bins.other().and_then(|other| counts.get(other)).copied().unwrap_or(0);
        let range = match bins {
            Bins::Numeric(numeric) if judged => range(numeric, detector),
            _ => None,
        };
        let outside = range.map(|(_, covers)| match covers {
            true => (2.0 / (rows as f64 + 1.0)).min(1.0),
            false => OUTSIDE_EDGES,
        });
        let unseen = match bins {
            Bins::Categorical(categorical) if judged && rows > 0 => {
                // Rows whose category came once have, together, the probability of what has never come. Of the categories
                // that are not kept it is not known how often they came; all of them count as unseen here.
                let kept = counts.get(..categorical.categories().len()).unwrap_or_default();
                let once = kept.iter().filter(|count| **count == 1).count() as u64;
                Some(share(other.saturating_add(once))).filter(|share| *share <= MAX_UNSEEN)
            }
            _ => None,
        };
        let types_at_most = (missing + share(other)).min(1.0);
        let usual = [missing, missing, types_at_most, unseen.unwrap_or(0.0), outside.unwrap_or(0.0)];
        Self {
            rows,
            missing,
            types: None,
            types_at_most,
            unseen,
            outside,
            usual: usual.map(|share| usual_of(share, f64::from(SHORT))),
            top: if judged { top(bins, counts, detector) } else { 1.0 },
            tau: detector.map_or(1.0, |detector| detector.tau.max(1.0)),
            range: range.map_or((f64::NEG_INFINITY, f64::INFINITY), |(range, _)| range),
            words: words(bins, judged),
        }
    }

    /// The same with another share of values outside the range, where there is a range.
    pub(crate) fn with_outside(mut self, share: f64) -> Self {
        if let Some(outside) = &mut self.outside {
            *outside = share;
            if let Some(usual) = kind(Fault::Range).and_then(|kind| self.usual.get_mut(kind)) {
                *usual = usual_of(share, f64::from(SHORT));
            }
        }
        self
    }

    /// Of a number in a numeric feature.
    #[inline]
    pub(super) fn range_fault(&self, x: f64) -> Fault {
        if x < self.range.0 || x > self.range.1 { Fault::Range } else { Fault::None }
    }

    /// The smallest and the largest number of the reference; `None` where it may have had others.
    pub(crate) fn whole_range(&self) -> Option<(f64, f64)> {
        let by_chance = (2.0 / (self.rows as f64 + 1.0)).min(1.0);
        (self.outside == Some(by_chance)).then_some(self.range)
    }

    /// Whether booleans are values of a numeric feature.
    pub(super) fn has_words(&self) -> bool {
        self.words
    }

    /// Of a value in none of the categories.
    pub(super) fn unknown(&self, cell: Cell<'_>) -> Fault {
        let is_word = match cell {
            Cell::Number(_) => true,
            Cell::Text(text) => matches!(value::read(text), Value::Boolean(_)),
            Cell::Missing => false,
        };
        if is_word && !self.words { Fault::Type } else { Fault::Unseen }
    }

    /// Whether a kind of fault is part of the reference, in more than a few rows.
    pub(super) fn has(&self, kind: usize) -> bool {
        let share = match kind {
            0 | 1 => self.missing,
            2 => self.types.unwrap_or(self.types_at_most),
            3 => self.unseen.unwrap_or(1.0),
            _ => return false,
        };
        share > EXPLAINED
    }

    /// Rows in succession with one value that are no chance any more; `None` where any number of them may be.
    pub(crate) fn run(&self) -> Option<f64> {
        let run = (RUN_CHANCE.ln() / self.top.ln()).ceil();
        (self.top < MAX_TOP).then(|| (run.max(MIN_RUN) * self.tau).ceil())
    }

    /// Different inputs with one answer that are no chance any more.
    pub(crate) fn inputs(&self) -> f64 {
        (INPUTS_CHANCE.ln() / self.top.ln()).ceil().max(MIN_INPUTS)
    }

    /// Of the short block's rows, up to so many fail a kind of check ([`super::counter::kind`]) by chance.
    #[inline]
    pub(super) fn usual(&self, kind: usize) -> u32 {
        self.usual.get(kind).copied().unwrap_or(0)
    }
}

/// Of `rows` values, up to so many fail by chance where a share does.
fn usual_of(share: f64, rows: f64) -> u32 {
    (rows * share + 2.5 * (rows * share * (1.0 - share)).sqrt()).floor().max(0.0) as u32
}

/// The range of the reference, and whether it has all of its values inside. A robust range, from which outliers were left out,
/// is widened to the detector's outermost edges: at most a hundredth of the reference lies beyond them.
fn range(bins: &NumericBins, detector: Option<&DetectorReference>) -> Option<((f64, f64), bool)> {
    let (low, high) = bins.range()?;
    let edges: &[f64] = match detector.map(|detector| &detector.bins) {
        Some(DetectorBins::Ordered(bins)) if !bins.is_constant() => bins.inner_edges(),
        Some(DetectorBins::Values(values)) => values,
        _ => &[],
    };
    let first = edges.first().copied().unwrap_or(low);
    let last = edges.last().copied().unwrap_or(high);
    // The edge above the largest value, where that has a bin of its own, is the next float.
    let covers = first >= low && last <= high.next_up();
    Some(((low.min(first), high.max(last)), covers))
}

/// The largest share of one bin among the values that are there: no value can have a larger one. The detector's bins are
/// finer, and have one for each frequent value.
fn top(bins: &Bins, counts: &[u64], detector: Option<&DetectorReference>) -> f64 {
    let counts = detector.map_or(counts, |detector| &detector.counts);
    let missing = detector.map_or(bins.missing(), |detector| detector.bins.missing());
    let values = counts.get(..missing).unwrap_or_default();
    let total: f64 = values.iter().map(|count| *count as f64).sum();
    let most = values.iter().max().copied().unwrap_or(0);
    if total > 0.0 { ((most as f64 + 1.0) / total).min(1.0) } else { 1.0 }
}

fn words(bins: &Bins, judged: bool) -> bool {
    match bins {
        Bins::Numeric(numeric) => numeric.range().is_none_or(|(low, high)| low >= 0.0 && high <= 1.0),
        Bins::Categorical(categorical) => {
            let is_word = |category: &String| {
                matches!(value::read_any(category), Value::Number(_) | Value::Code(_) | Value::Boolean(_))
            };
            let categories = categorical.categories();
            // Without categories it is not known what its values are.
            !judged || categories.is_empty() || categories.iter().any(is_word)
        }
    }
}
