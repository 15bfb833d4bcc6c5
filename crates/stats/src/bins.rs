//! Bins: where a value of a feature is counted.
//!
//! Bins are fitted once on the reference and never again on live data: a moving ruler measures nothing.
//! Ordered bins of numbers are `(-inf, e_1) [e_1, e_2) ... [e_k, +inf)`: every number has a bin, infinities lie in
//! the edge bins, `-0.0` equals `0.0`. NaN, null and absent values are `missing`, a slot of its own after all bins.

mod categorical;
mod labels;
mod numeric;

pub use categorical::CategoricalBins;
pub use numeric::NumericBins;

/// Most ordered bins or kept categories of a feature that is watched live: with `other` and `missing` its slots
/// then fit into one byte (256 slots).
pub const MAX_BINS: usize = 254;

/// Most ordered bins any numeric feature may have, in comparisons that need no window.
pub const MAX_OFFLINE_BINS: usize = 65_536;

/// How the bins of a numeric feature follow from its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BinningRule {
    /// `bins` bins of one width over the range; what lies outside is counted in the edge bins.
    EqualWidth {
        /// Number of bins, from 2 to [`MAX_OFFLINE_BINS`].
        bins: usize,
        /// What the range is.
        range: RangeRule,
    },
    /// Edges at the reference's quantiles `i / bins`, equal edges removed.
    Quantile {
        /// Number of bins before equal edges are removed, from 2 to [`MAX_OFFLINE_BINS`].
        bins: usize,
    },
}

/// The range that equal-width bins divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRule {
    /// Smallest to largest finite value of the reference. One outlier can put all mass into one bin.
    MinMax,
    /// Quantile 0.001 to quantile 0.999.
    Quantile,
    /// Median plus and minus `5 * (q75 - q25) / 1.349` (five robust standard deviations), cut to smallest and
    /// largest value.
    Iqr,
}

/// Why bins were refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BinsError {
    /// Fewer than 2 bins or more than [`MAX_OFFLINE_BINS`].
    #[error("`{bins}` bins asked for: use 2 to {MAX_OFFLINE_BINS}")]
    BinCount {
        /// What was asked for.
        bins: usize,
    },
    /// The reference has no finite number.
    #[error("the reference has no finite number: bins need at least one")]
    NoFiniteValues,
    /// The values are not ascending.
    #[error("value `{index}` is smaller than the one before it: sort the values ascending")]
    NotSorted {
        /// Position of the first value out of order, from 0.
        index: usize,
    },
    /// A value is NaN or infinite.
    #[error("value `{index}` is `{value}`: only finite numbers can make bins")]
    NotFinite {
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The range is empty, reversed or not finite.
    #[error("the range `{lo}` to `{hi}` is not ascending and finite")]
    Range {
        /// Lower end.
        lo: f64,
        /// Upper end.
        hi: f64,
    },
    /// No inner edge was given.
    #[error("no inner edge given: at least one is needed")]
    NoEdges,
    /// Two edges are equal or descending.
    #[error("edge `{index}` is not above the edge before it: edges must be ascending")]
    EdgesNotAscending {
        /// Position of the edge, from 0.
        index: usize,
    },
    /// A category was given twice.
    #[error("category `{category}` is given twice: list each category once")]
    DuplicateCategory {
        /// The category.
        category: String,
    },
    /// No category may be kept.
    #[error("at least one category must be kept: set the limit to 1 or more")]
    NoCategories,
}

/// The bins of one feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Bins {
    /// Ordered bins of numbers.
    Numeric(NumericBins),
    /// Kept categories and `other`.
    Categorical(CategoricalBins),
}

impl Bins {
    /// Number of bins without `missing`: ordered bins, or categories and `other`.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one bin")]
    pub fn len(&self) -> usize {
        match self {
            Self::Numeric(bins) => bins.len(),
            Self::Categorical(bins) => bins.len(),
        }
    }

    /// The slot of missing values: the last one.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.len()
    }

    /// Length of a counts slice: all bins and `missing`.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.len() + 1
    }

    /// The slot of categories that are not kept, if the feature is categorical.
    #[must_use]
    pub fn other(&self) -> Option<usize> {
        match self {
            Self::Numeric(_) => None,
            Self::Categorical(bins) => Some(bins.other()),
        }
    }

    /// Whether a slot counts as a bin only if a side has values in it: `other` and `missing`.
    #[must_use]
    pub fn droppable(&self, slot: usize) -> bool {
        slot == self.missing() || Some(slot) == self.other()
    }

    /// Whether the bins have an order (numbers) or not (categories).
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        matches!(self, Self::Numeric(_))
    }

    /// Human labels of all slots, in order; the last one is `missing`.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let mut labels = match self {
            Self::Numeric(bins) => bins.labels(),
            Self::Categorical(bins) => bins.labels(),
        };
        labels.push("missing".to_owned());
        labels
    }
}

impl From<NumericBins> for Bins {
    fn from(bins: NumericBins) -> Self {
        Self::Numeric(bins)
    }
}

impl From<CategoricalBins> for Bins {
    fn from(bins: CategoricalBins) -> Self {
        Self::Categorical(bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_put_other_before_missing() {
        let numeric = Bins::from(NumericBins::equal_width(0.0, 4.0, 4).unwrap());
        assert_eq!((numeric.len(), numeric.missing(), numeric.slots(), numeric.other()), (4, 4, 5, None));
        assert_eq!(numeric.labels(), ["< 1", "[1, 2)", "[2, 3)", ">= 3", "missing"]);

        let categorical = Bins::from(CategoricalBins::new(vec!["DE".to_owned(), "FR".to_owned()]).unwrap());
        assert_eq!((categorical.len(), categorical.missing(), categorical.other()), (3, 3, Some(2)));
        assert_eq!(categorical.labels(), ["DE", "FR", "other", "missing"]);
        let droppable: Vec<bool> = (0..categorical.slots()).map(|slot| categorical.droppable(slot)).collect();
        assert_eq!(droppable, [false, false, true, true]);
    }
}
