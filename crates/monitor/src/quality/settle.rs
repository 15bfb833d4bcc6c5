//! Whether a difference between two distributions is a fault of the data: values that are missing or of another type.

use stats::Bins;

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
    let Counts { bins, reference, current } = counts;
    let slots = [Some(bins.missing()), bins.other().filter(|_| other)];
    let faulty = || slots.iter().flatten().copied();
    let sum = |side: &[u64]| side.iter().sum::<u64>();
    let share = |side: &[u64]| {
        faulty().filter_map(|slot| side.get(slot)).sum::<u64>() as f64 / sum(side).max(1) as f64
    };
    if share(current) <= share(reference) {
        return false;
    }
    let rest = |side: &[u64]| {
        let mut rest = side.to_vec();
        faulty().for_each(|slot| rest[slot] = 0);
        rest
    };
    let (reference, current) = (rest(reference), rest(current));
    let (m, n) = (sum(&reference), sum(&current));
    let Some((left, _)) = stats::psi_and_js(bins, &reference, &current).filter(|_| n > 0 && m > 0) else {
        return true;
    };
    left < psi / 2.0 || left <= critical(bins.len(), n, m)
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
    fn new_categories_are_a_fault_only_where_they_are_of_another_type() {
        let bins: Bins = CategoricalBins::new(vec!["a".into(), "b".into()]).unwrap().into();
        let (usual, new) = ([500, 500, 0, 0], [50, 50, 100, 0]);
        assert!(!fault(&bins, &usual, &new, false));
        assert!(fault(&bins, &usual, &new, true));
    }
}
