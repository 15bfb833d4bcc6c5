//! Ordered bins of a numeric feature.
//!
//! Only the inner edges decide: the bin of `x` is the number of inner edges at or below it. A constant reference `c`
//! needs no special case: its edges are `c` and the next float above, which makes the bins `< c`, `= c`, `> c`.

use super::labels;
use super::{BinningRule, BinsError, MAX_OFFLINE_BINS, RangeRule};
use crate::ordered::Ordered;
use crate::quantile::{quantile, quantile_of, quantile_ranks};

/// Up to this many edges, counting all of them is faster than a binary search.
const COUNTED_EDGES: usize = 32;

/// Frozen bins of a numeric feature: ascending inner edges, and the range they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct NumericBins {
    /// Inner edges, strictly ascending; bin `i` is `[inner[i - 1], inner[i])`.
    inner: Vec<f64>,
    range: Option<(f64, f64)>,
    constant: bool,
}

// === impl NumericBins ===

impl NumericBins {
    /// `bins` bins of one width between the finite numbers `lo <= hi`: inner edges `lo + ((hi - lo) * i) / bins`.
    /// Values outside fall into the edge bins. `lo == hi` gives the three bins `< lo`, `= lo`, `> lo`.
    ///
    /// Where the range holds fewer floats than bins, equal edges are removed: no bin has zero width.
    ///
    /// # Errors
    ///
    /// [`BinsError::BinCount`] outside 2 to [`MAX_OFFLINE_BINS`], [`BinsError::Range`] for a reversed or infinite
    /// range.
    pub fn equal_width(lo: f64, hi: f64, bins: usize) -> Result<Self, BinsError> {
        check_count(bins)?;
        check_range(lo, hi)?;
        if lo == hi {
            return Ok(Self::constant(lo));
        }
        let mut inner: Vec<f64> = (1..bins).map(|i| equal_width_edge(lo, hi, i, bins)).collect();
        inner.dedup();
        Ok(Self { inner, range: Some((lo, hi)), constant: false })
    }

    /// Bins with inner edges at the quantiles `i / bins` (type 7) of ascending finite numbers; equal edges are
    /// removed, so ties give fewer bins.
    ///
    /// # Errors
    ///
    /// [`BinsError::BinCount`], [`BinsError::NoFiniteValues`] for an empty slice, [`BinsError::NotFinite`],
    /// [`BinsError::NotSorted`].
    pub fn quantile(sorted_finite: &[f64], bins: usize) -> Result<Self, BinsError> {
        check_count(bins)?;
        check_sample(sorted_finite)?;
        Self::quantile_of(&sorted_finite, bins)
    }

    /// [`Self::quantile`] of a sample that may be held in another way. Where it does not know the ranks of a quantile
    /// ([`Self::quantile_ranks`]), there is no edge.
    ///
    /// # Errors
    ///
    /// [`BinsError::BinCount`], [`BinsError::NoFiniteValues`] for an empty sample.
    pub fn quantile_of(sample: &impl Ordered, bins: usize) -> Result<Self, BinsError> {
        check_count(bins)?;
        let last = sample.rows().saturating_sub(1);
        let range = sample.at(0).zip(sample.at(last)).ok_or(BinsError::NoFiniteValues)?;
        let mut inner: Vec<f64> = levels(bins).filter_map(|level| quantile_of(sample, level)).collect();
        // Rounding in the interpolation may put an edge one float below its predecessor.
        inner.sort_unstable_by(f64::total_cmp);
        inner.dedup();
        Ok(Self { inner, range: Some(range), constant: false })
    }

    /// The ranks that [`Self::quantile_of`] asks for in a sample of `rows` numbers.
    #[must_use]
    pub fn quantile_ranks(rows: usize, bins: usize) -> Vec<usize> {
        levels(bins).filter_map(|level| quantile_ranks(rows, level)).flatten().collect()
    }

    /// Bins from inner edges already known, such as the quantiles of a sketch. Equal neighbours are removed.
    ///
    /// # Errors
    ///
    /// [`BinsError::NoEdges`], [`BinsError::NotFinite`], [`BinsError::EdgesNotAscending`], or
    /// [`BinsError::BinCount`] if more than [`MAX_OFFLINE_BINS`] bins remain.
    pub fn from_quantile_edges(mut edges: Vec<f64>) -> Result<Self, BinsError> {
        edges.dedup();
        check_edges(&edges)?;
        Ok(Self { inner: edges, range: None, constant: false })
    }

    /// Bins as a stored profile has them: the original range and the inner edges ([`Self::range`],
    /// [`Self::inner_edges`]). For a constant (`lo == hi`), no edges or the edges `c` and the next float above
    /// give the bins `< c`, `= c`, `> c`.
    ///
    /// # Errors
    ///
    /// [`BinsError::Range`], [`BinsError::NoEdges`], [`BinsError::NotFinite`], [`BinsError::EdgesNotAscending`],
    /// [`BinsError::BinCount`].
    pub fn from_edges(lo: f64, hi: f64, inner: Vec<f64>) -> Result<Self, BinsError> {
        check_range(lo, hi)?;
        if lo == hi {
            let constant = Self::constant(lo);
            if inner.is_empty() || inner == constant.inner {
                return Ok(constant);
            }
        }
        check_edges(&inner)?;
        Ok(Self { inner, range: Some((lo, hi)), constant: false })
    }

    /// Bins by a rule, from the ascending finite numbers of the reference.
    ///
    /// A robust range of width zero (more than half of the values alike) falls back to smallest and largest value.
    ///
    /// # Errors
    ///
    /// As [`Self::quantile`].
    pub fn fit(sorted_finite: &[f64], rule: BinningRule) -> Result<Self, BinsError> {
        match rule {
            BinningRule::Quantile { bins } => Self::quantile(sorted_finite, bins),
            BinningRule::EqualWidth { bins, range } => {
                let whole = check_sample(sorted_finite)?;
                let (lo, hi) =
                    robust_range(sorted_finite, range, whole).filter(|(lo, hi)| lo < hi).unwrap_or(whole);
                Self::equal_width(lo, hi, bins)
            }
        }
    }

    /// The bin of a number, from 0 to `len() - 1`; `None` for NaN, which is missing.
    #[must_use]
    #[inline]
    pub fn index(&self, x: f64) -> Option<usize> {
        if x.is_nan() {
            return None;
        }
        if self.inner.len() <= COUNTED_EDGES {
            return Some(self.inner.iter().map(|edge| usize::from(*edge <= x)).sum());
        }
        Some(self.inner.partition_point(|edge| *edge <= x))
    }

    /// Number of ordered bins, without `missing`.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one bin")]
    pub fn len(&self) -> usize {
        self.inner.len() + 1
    }

    /// Inner edges, strictly ascending, `len() - 1` many. Those of a constant `c` are `c` and the next float above
    /// (infinite for the largest finite number).
    #[must_use]
    pub fn inner_edges(&self) -> &[f64] {
        &self.inner
    }

    /// The range the bins were made for, if known. Numbers outside it still have a bin.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    /// Whether these are the three bins of a constant reference.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.constant
    }

    /// Human labels of the bins, in order: `< 3`, `[3, 4.5)`, `>= 4.5`.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        labels::ordered(&self.inner, self.constant)
    }

    /// A number that falls into `bin`: near its middle, finite wherever the bin holds a finite number. A `bin`
    /// beyond the last stands for the last.
    #[must_use]
    pub fn representative(&self, bin: usize) -> f64 {
        let bin = bin.min(self.inner.len());
        let lower = bin.checked_sub(1).and_then(|i| self.inner.get(i)).copied();
        match (lower, self.inner.get(bin).copied()) {
            (Some(lower), Some(upper)) => middle(lower, upper),
            (Some(lower), None) => self.above(lower),
            (None, Some(upper)) => self.below(upper),
            (None, None) => 0.0,
        }
    }

    fn constant(value: f64) -> Self {
        let value = value + 0.0; // -0.0 becomes 0.0, whose next float is above both
        Self { inner: vec![value, value.next_up()], range: Some((value, value)), constant: true }
    }

    /// A number at or above the last edge, inside the range if it reaches that far.
    fn above(&self, edge: f64) -> f64 {
        match self.range {
            Some((_, hi)) if hi > edge => middle(edge, hi),
            _ if self.constant => (edge + edge.abs().max(1.0)).min(f64::MAX).max(edge),
            _ => edge,
        }
    }

    /// A number below the first edge, inside the range if it reaches that far.
    fn below(&self, edge: f64) -> f64 {
        match self.range {
            Some((lo, _)) if lo < edge => middle(lo, edge),
            _ if self.constant => (edge - edge.abs().max(1.0)).max(f64::MIN).min(edge.next_down()),
            _ => edge.next_down(),
        }
    }
}

// === helpers ===

/// The inner quantiles of so many bins.
fn levels(bins: usize) -> impl Iterator<Item = f64> {
    (1..bins).map(move |i| i as f64 / bins as f64)
}

/// `lo + ((hi - lo) * i) / bins`, in exactly this order where nothing overflows.
fn equal_width_edge(lo: f64, hi: f64, i: usize, bins: usize) -> f64 {
    let (step, steps) = (i as f64, bins as f64);
    let widest = (hi - lo) * steps;
    if widest.is_finite() {
        return lo + ((hi - lo) * step) / steps;
    }
    // A power of two, so that scaling only costs bits that are far below the width.
    const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;
    let (lo, hi) = (lo * SCALE, hi * SCALE);
    (lo + ((hi - lo) * step) / steps) / SCALE
}

/// A number in `[a, b)`, the middle where there is room. Neither the sum nor the difference can overflow.
fn middle(a: f64, b: f64) -> f64 {
    let half = a / 2.0 + b / 2.0;
    if half >= a && half < b { half } else { a }
}

fn robust_range(sorted: &[f64], rule: RangeRule, (min, max): (f64, f64)) -> Option<(f64, f64)> {
    match rule {
        RangeRule::MinMax => Some((min, max)),
        RangeRule::Quantile => Some((quantile(sorted, 0.001)?, quantile(sorted, 0.999)?)),
        RangeRule::Iqr => {
            let median = quantile(sorted, 0.5)?;
            let deviation = (quantile(sorted, 0.75)? - quantile(sorted, 0.25)?) / 1.349;
            Some(((median - 5.0 * deviation).max(min), (median + 5.0 * deviation).min(max)))
        }
    }
}

fn check_count(bins: usize) -> Result<(), BinsError> {
    if (2..=MAX_OFFLINE_BINS).contains(&bins) { Ok(()) } else { Err(BinsError::BinCount { bins }) }
}

fn check_range(lo: f64, hi: f64) -> Result<(), BinsError> {
    if lo.is_finite() && hi.is_finite() && lo <= hi { Ok(()) } else { Err(BinsError::Range { lo, hi }) }
}

/// Smallest and largest value of a sample that is ascending and finite.
fn check_sample(sorted: &[f64]) -> Result<(f64, f64), BinsError> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return Err(BinsError::NoFiniteValues);
    };
    check_finite(sorted)?;
    match sorted.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(before) => Err(BinsError::NotSorted { index: before + 1 }),
        None => Ok((*first, *last)),
    }
}

fn check_edges(edges: &[f64]) -> Result<(), BinsError> {
    if edges.is_empty() {
        return Err(BinsError::NoEdges);
    }
    check_count(edges.len() + 1)?;
    check_finite(edges)?;
    match edges.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(before) => Err(BinsError::EdgesNotAscending { index: before + 1 }),
        None => Ok(()),
    }
}

fn check_finite(values: &[f64]) -> Result<(), BinsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(BinsError::NotFinite { index, value: values[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "numeric_tests.rs"]
mod tests;
