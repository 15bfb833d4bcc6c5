//! Whether a PSI is more than chance explains.
//!
//! A fixed threshold alone is passed by chance: with 50 categories and a small window always. A difference counts when it is
//! large and significant, at a level that everything judged at once shares: `significance / (features * windows)`. Bins in which
//! fewer than 5 rows are expected are joined first ([`stats::beyond_chance`]), and rows that depend on the ones before count
//! as fewer.

use stats::detect::{FeaturePlan, Layout};
use stats::{Bins, Window};

/// A reference with fewer rows judges nothing.
pub(crate) const MIN_REFERENCE_ROWS: u64 = 100;

/// A window is looked at in so many parts for how its rows depend on each other.
const PARTS: usize = 4;

/// The number of comparisons that significance is shared among: the next power of two, so that the critical values stay while
/// tenants come and go.
pub(crate) fn subjects_of(comparisons: usize) -> usize {
    comparisons.max(1).checked_next_power_of_two().unwrap_or(comparisons)
}

/// Critical values at one significance. They are `(1/n + 1/m)` times a quantile that depends on the number of bins and on
/// the number of comparisons alone and takes a while to compute, so that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Criticals {
    significance: f64,
    /// By the exponent of the number of comparisons, then by number of bins: the critical value at `1/n + 1/m = 1`.
    quantiles: Vec<Vec<Option<f64>>>,
}

impl Criticals {
    pub(crate) fn new(significance: f64) -> Self {
        Self { significance, quantiles: Vec::new() }
    }

    /// For `subjects` comparisons at once, a power of two.
    pub(crate) fn at(&mut self, subjects: usize) -> Chance<'_> {
        let place = subjects.trailing_zeros() as usize;
        if self.quantiles.len() <= place {
            self.quantiles.resize(place + 1, Vec::new());
        }
        Chance { alpha: self.significance / subjects as f64, quantiles: &mut self.quantiles[place] }
    }
}

/// Critical values for a number of comparisons.
#[derive(Debug)]
pub(crate) struct Chance<'a> {
    alpha: f64,
    quantiles: &'a mut Vec<Option<f64>>,
}

impl Chance<'_> {
    /// The probability that chance may have in each comparison.
    pub(crate) fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The PSI that chance exceeds with that probability.
    pub(crate) fn critical(&mut self, bins: usize, n: u64, m: u64) -> f64 {
        if self.quantiles.len() <= bins {
            self.quantiles.resize(bins + 1, None);
        }
        let alpha = self.alpha;
        // With a single bin there is nothing to differ in: PSI is 0, and so is its critical value.
        let compute = || stats::psi_critical(bins, 2, 2, alpha).unwrap_or(0.0);
        let quantile = *self.quantiles[bins].get_or_insert_with(compute);
        quantile * (1.0 / n as f64 + 1.0 / m as f64)
    }
}

/// The autocorrelation time of a window's rows in their order, at least 1: the lower median of that of its quarters. A change
/// within the window makes the rows of one quarter look as if they depended on each other, and no more.
pub(crate) fn quarters_tau(bins: &Bins, window: &Window) -> f64 {
    let slots: Vec<u8> = window.iter().collect();
    let ordered = if bins.is_ordered() { bins.len() } else { 0 };
    let layout = Layout { ordered, slots: bins.slots() };
    let plan = FeaturePlan::new(window.counts().to_vec(), layout);
    let part = slots.len().div_ceil(PARTS).max(1);
    let mut taus: Vec<f64> = slots.chunks(part).map(|part| plan.measured_tau(part)).collect();
    taus.sort_unstable_by(f64::total_cmp);
    taus.get((taus.len().max(1) - 1) / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::NumericBins;

    fn tau(slot: impl Fn(usize) -> u8) -> f64 {
        let bins = Bins::from(NumericBins::equal_width(0.0, 4.0, 4).unwrap());
        let mut window = Window::new(1_000, bins.slots()).unwrap();
        (0..1_000).for_each(|i| window.push(slot(i)));
        quarters_tau(&bins, &window)
    }

    /// 0 to 3, in no order.
    fn chance(i: usize) -> u8 {
        ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62) as u8
    }

    #[test]
    fn rows_that_repeat_the_one_before_depend_on_it_and_a_change_does_not() {
        let calm = tau(chance);
        assert!(calm < 1.5, "{calm}");
        assert!(tau(|i| chance(i / 10)) > 5.0, "each ten times");
        let changed = tau(|i| if i < 600 { chance(i) / 2 } else { 2 + chance(i) / 2 });
        assert!(changed < 1.5, "{changed}");
    }

    #[test]
    fn what_is_judged_at_once_shares_the_significance() {
        let mut criticals = Criticals::new(0.001);
        let alone = criticals.at(1).critical(10, 500, 1_000);
        assert!((alone - stats::psi_critical(10, 500, 1_000, 0.001).unwrap()).abs() < 1e-12);
        let many = criticals.at(subjects_of(20)).critical(10, 500, 1_000);
        assert!((many - stats::psi_critical(10, 500, 1_000, 0.001 / 32.0).unwrap()).abs() < 1e-12);
        assert!(criticals.at(1).critical(10, 500, 1_000) < many);
        assert_eq!((subjects_of(0), subjects_of(1), subjects_of(33)), (1, 1, 64));
    }
}
