//! Whether a difference between two distributions is a fault of the data: values that are missing or of another type.

use stats::Bins;

/// Fewer values that are left say nothing about a drift: an empty bin among them is chance.
const MIN_REST: u64 = 50;

/// Counts per slot on both sides.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'a> {
    pub(crate) bins: &'a Bins,
    pub(crate) reference: &'a [u64],
    pub(crate) current: &'a [u64],
}

/// Whether most of a PSI comes from more values that are missing (`other`: or of another type, which lie with the categories
/// that are not known): the values that are left differ by less than half as much, or by no more than noise. `critical` gives
/// the critical value by bins and rows of both sides.
pub(crate) fn is_fault(
    counts: Counts<'_>,
    psi: f64,
    other: bool,
    critical: impl FnOnce(usize, u64, u64) -> f64,
) -> bool {
    let slots = [Some(counts.bins.missing()), counts.bins.other().filter(|_| other)];
    counts.share(slots, counts.current) > counts.share(slots, counts.reference)
        && counts.is_rest_alike(slots, psi, critical)
}

/// Whether most of a PSI comes from fewer values that are missing: more and more requests have a field that was new.
pub(crate) fn is_adopted(
    counts: Counts<'_>,
    psi: f64,
    critical: impl FnOnce(usize, u64, u64) -> f64,
) -> bool {
    let slots = [Some(counts.bins.missing()), None];
    counts.share(slots, counts.current) < counts.share(slots, counts.reference)
        && counts.is_rest_alike(slots, psi, critical)
}

fn sum(side: &[u64]) -> u64 {
    side.iter().sum()
}

impl Counts<'_> {
    /// The share of some slots on one side.
    fn share(&self, slots: [Option<usize>; 2], side: &[u64]) -> f64 {
        let count: u64 = slots.iter().flatten().filter_map(|slot| side.get(*slot)).sum();
        count as f64 / sum(side).max(1) as f64
    }

    /// Whether what lies in all other slots differs by less than half of the PSI, or by no more than noise.
    fn is_rest_alike(
        &self,
        slots: [Option<usize>; 2],
        psi: f64,
        critical: impl FnOnce(usize, u64, u64) -> f64,
    ) -> bool {
        let rest = |side: &[u64]| {
            let mut rest = side.to_vec();
            slots.iter().flatten().for_each(|slot| rest[*slot] = 0);
            rest
        };
        let (bins, reference, current) = (self.bins, rest(self.reference), rest(self.current));
        let (m, n) = (sum(&reference), sum(&current));
        if n < MIN_REST {
            return true;
        }
        let Some((left, _)) = stats::psi_and_js(bins, &reference, &current).filter(|_| m > 0) else {
            return true;
        };
        left < psi / 2.0 || left <= critical(bins.len(), n, m)
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use stats::{CategoricalBins, NumericBins};

    fn fault(bins: &Bins, reference: &[u64], current: &[u64], other: bool) -> bool {
        let psi = stats::psi_and_js(bins, reference, current).unwrap().0;
        is_fault(Counts { bins, reference, current }, psi, other, |_, _, _| 0.05)
    }

    #[test]
    fn missing_values_are_a_fault_and_moved_ones_are_none() {
        let bins: Bins = NumericBins::equal_width(0.0, 4.0, 4).unwrap().into();
        let usual = [250, 250, 250, 250, 0];
        assert!(fault(&bins, &usual, &[0, 0, 0, 0, 200], false), "all missing");
        assert!(fault(&bins, &usual, &[25, 25, 25, 25, 100], false), "half missing");
        assert!(!fault(&bins, &usual, &[0, 0, 0, 200, 0], false), "moved");
        assert!(!fault(&bins, &usual, &[0, 0, 0, 190, 10], false), "moved, and a few missing");
        assert!(!fault(&bins, &[50, 50, 50, 50, 800], &[250, 250, 250, 250, 0], false), "there again");
        assert!(!fault(&bins, &[50, 50, 50, 50, 800], &[0, 0, 0, 100, 100], false), "fewer missing");
    }

    #[test]
    fn a_new_field_that_more_requests_have_is_no_drift_and_other_values_are() {
        let bins: Bins = NumericBins::equal_width(0.0, 4.0, 4).unwrap().into();
        let adopted = |current: &[u64]| {
            let reference = &[50, 50, 50, 50, 800];
            let psi = stats::psi_and_js(&bins, reference, current).unwrap().0;
            is_adopted(Counts { bins: &bins, reference, current }, psi, |_, _, _| 0.05)
        };
        assert!(adopted(&[250, 250, 250, 250, 0]), "all have it now");
        assert!(!adopted(&[0, 0, 0, 300, 700]), "with other values");
        assert!(!adopted(&[10, 10, 10, 10, 960]), "fewer have it");
    }

    #[test]
    fn new_categories_are_a_fault_only_where_they_are_of_another_type() {
        let bins: Bins = CategoricalBins::new(vec!["a".into(), "b".into()]).unwrap().into();
        let (usual, new) = ([500, 500, 0, 0], [50, 50, 100, 0]);
        assert!(!fault(&bins, &usual, &new, false));
        assert!(fault(&bins, &usual, &new, true));
    }
}
