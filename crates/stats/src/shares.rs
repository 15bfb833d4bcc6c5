//! Counts into shares, and counts of two places into one.

/// The number of observations behind `counts`. A float: it cannot overflow and is exact up to 2^53.
#[must_use]
#[inline]
pub fn total(counts: &[u64]) -> f64 {
    counts.iter().map(|count| *count as f64).sum()
}

/// The share of every slot; `None` if the counts are all zero.
#[must_use]
pub fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let total = total(counts);
    (total > 0.0).then(|| counts.iter().map(|count| *count as f64 / total).collect())
}

/// Adds the counts `b` to the counts `a`: the histogram of both samples together, in any order of merging.
///
/// Both must be counts over the same bins, which debug builds assert; slots beyond the shorter slice stay as they are.
pub fn merge(a: &mut [u64], b: &[u64]) {
    debug_assert_eq!(a.len(), b.len(), "counts of different bins cannot be merged");
    for (mine, theirs) in a.iter_mut().zip(b) {
        *mine = mine.saturating_add(*theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_sum_to_one_and_nothing_has_none() {
        assert_eq!(shares(&[1, 0, 3]), Some(vec![0.25, 0.0, 0.75]));
        assert_eq!(shares(&[0, 0]), None);
        assert_eq!(shares(&[]), None);
        assert!(shares(&[u64::MAX, u64::MAX]).unwrap().iter().all(|share| *share == 0.5));
    }

    proptest! {
        #[test]
        fn merged_counts_are_the_counts_of_both(values in prop::collection::vec(0usize..6, 0..200), cut in 0usize..200) {
            let count = |values: &[usize]| {
                let mut counts = [0u64; 6];
                for value in values { counts[*value] += 1; }
                counts
            };
            let (left, right) = values.split_at(cut.min(values.len()));
            let (mut ab, mut ba) = (count(left), count(right));
            merge(&mut ab, &count(right));
            merge(&mut ba, &count(left));
            prop_assert_eq!(ab, count(&values));
            prop_assert_eq!(ab, ba);
        }
    }
}
