//! Bins from order statistics: what `stats::NumericBins::fit` makes from a whole sorted sample, from a few of its values.

use stats::{BinningRule, BinsError, NumericBins, RangeRule, quantile};

/// Smallest and largest finite number and how many finite ones there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    pub(super) lo: f64,
    pub(super) hi: f64,
    pub(super) n_finite: u64,
}

impl Extent {
    /// Of nothing yet.
    pub(super) const NOTHING: Self = Self { lo: f64::INFINITY, hi: f64::NEG_INFINITY, n_finite: 0 };

    pub(super) fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.lo = self.lo.min(value);
            self.hi = self.hi.max(value);
            self.n_finite += 1;
        }
    }
}

/// The quantiles a rule needs; none for the whole range.
pub(super) fn quantiles(rule: BinningRule) -> Vec<f64> {
    match rule {
        BinningRule::Quantile { bins } => (1..bins).map(|i| i as f64 / bins as f64).collect(),
        BinningRule::EqualWidth { range: RangeRule::MinMax, .. } => Vec::new(),
        BinningRule::EqualWidth { range: RangeRule::Quantile, .. } => vec![0.001, 0.999],
        BinningRule::EqualWidth { range: RangeRule::Iqr, .. } => vec![0.25, 0.5, 0.75],
    }
}

/// The two ranks between which each quantile lies, one pair after the other (type 7).
pub(super) fn ranks(quantiles: &[f64], n_finite: u64) -> Vec<u64> {
    let last = n_finite.saturating_sub(1);
    let pair = |q: &f64| {
        let below = ((last as f64 * q).floor() as u64).min(last);
        [below, (below + 1).min(last)]
    };
    quantiles.iter().flat_map(pair).collect()
}

/// The quantiles' values from the numbers at [`ranks`].
pub(super) fn interpolate(quantiles: &[f64], n_finite: u64, at_ranks: &[f64]) -> Vec<f64> {
    let last = n_finite.saturating_sub(1) as f64;
    let pairs = quantiles.iter().zip(at_ranks.chunks_exact(2));
    // Between two numbers the quantile's position is its fraction: the same interpolation, to the last bit.
    pairs.filter_map(|(q, pair)| quantile(pair, last * q - (last * q).floor())).collect()
}

/// The bins, from the values of [`quantiles`].
///
/// # Errors
/// As `stats::NumericBins::fit`.
pub(super) fn bins(rule: BinningRule, extent: Extent, values: &[f64]) -> Result<NumericBins, BinsError> {
    if extent.n_finite == 0 {
        return Err(BinsError::NoFiniteValues);
    }
    let (lo, hi) = (extent.lo, extent.hi);
    match (rule, values) {
        (BinningRule::Quantile { .. }, _) => {
            let mut inner = values.to_vec();
            inner.sort_unstable_by(f64::total_cmp);
            inner.dedup();
            NumericBins::from_edges(lo, hi, inner)
        }
        (BinningRule::EqualWidth { bins, range: RangeRule::Quantile }, [low, high]) if low < high => {
            NumericBins::equal_width(*low, *high, bins)
        }
        (BinningRule::EqualWidth { bins, range: RangeRule::Iqr }, [q25, median, q75]) => {
            // stats::RangeRule::Iqr: five robust standard deviations, cut to the range.
            let reach = 5.0 * ((q75 - q25) / 1.349);
            let (low, high) = ((median - reach).max(lo), (median + reach).min(hi));
            if low < high {
                NumericBins::equal_width(low, high, bins)
            } else {
                NumericBins::equal_width(lo, hi, bins)
            }
        }
        (BinningRule::EqualWidth { bins, .. }, _) => NumericBins::equal_width(lo, hi, bins),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, from the sorted sample.
    fn from_few(rule: BinningRule, sorted: &[f64]) -> NumericBins {
        let mut extent = Extent::NOTHING;
        sorted.iter().for_each(|value| extent.add(*value));
        let quantiles = quantiles(rule);
        let at_ranks: Vec<f64> =
            ranks(&quantiles, extent.n_finite).iter().map(|rank| sorted[*rank as usize]).collect();
        bins(rule, extent, &interpolate(&quantiles, extent.n_finite, &at_ranks)).unwrap()
    }

    proptest! {
        #[test]
        fn a_few_values_give_the_bins_of_the_whole_sample(
            values in prop::collection::vec(prop_oneof![-100.0..100.0, (-5_i32..5).prop_map(f64::from)], 1..80),
            n_bins in 2_usize..20,
        ) {
            let mut sorted = values;
            sorted.sort_unstable_by(f64::total_cmp);
            let equal_width = |range| BinningRule::EqualWidth { bins: n_bins, range };
            for rule in [
                BinningRule::Quantile { bins: n_bins },
                equal_width(RangeRule::MinMax),
                equal_width(RangeRule::Quantile),
                equal_width(RangeRule::Iqr),
            ] {
                let expected = NumericBins::fit(&sorted, rule).unwrap();
                let got = from_few(rule, &sorted);
                prop_assert_eq!(got.inner_edges(), expected.inner_edges(), "{:?}", rule);
            }
        }
    }
}
