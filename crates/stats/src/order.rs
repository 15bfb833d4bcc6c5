//! How far a series goes one way: Kendall's tau of the values against their order.

/// Kendall's rank correlation tau-b of a series against its own order, in [-1, 1]: 1 where every value is above the one before,
/// about 0 where the order says nothing.
///
/// `tau_b = (C - D) / sqrt((n0 - n1) n0)` with `n0 = n (n - 1) / 2` and `n1` the pairs of equal values (Kendall, *The treatment of
/// ties in ranking problems*, 1945). In `O(n log n)`: discordant pairs are the inversions that a merge sort undoes (Knight 1966).
///
/// `None`: fewer than two values, all of them equal, or a NaN.
#[must_use]
pub fn kendall_tau_of_order(series: &[f64]) -> Option<f64> {
    if series.len() < 2 || series.iter().any(|x| x.is_nan()) {
        return None;
    }
    let n = series.len() as f64;
    let mut sorted = series.to_vec();
    let mut scratch = sorted.clone();
    let discordant = sort_counting(&mut sorted, &mut scratch) as f64;
    let tied: f64 =
        sorted.chunk_by(|a, b| a == b).map(|run| run.len() as f64).map(|t| t * (t - 1.0) / 2.0).sum();
    let pairs = n * (n - 1.0) / 2.0;
    let untied = pairs - tied;
    (untied > 0.0).then(|| (untied - 2.0 * discordant) / (untied * pairs).sqrt())
}

/// Sorts ascending and counts the pairs that were in falling order.
fn sort_counting(values: &mut [f64], scratch: &mut [f64]) -> u64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let middle = n / 2;
    let mut count = sort_counting(&mut values[..middle], &mut scratch[..middle])
        + sort_counting(&mut values[middle..], &mut scratch[middle..]);
    scratch.copy_from_slice(values);
    let (left, right) = scratch.split_at(middle);
    let (mut l, mut r) = (0, 0);
    for place in values.iter_mut() {
        let take_left = r == right.len() || (l < left.len() && left[l] <= right[r]);
        if take_left {
            *place = left[l];
            l += 1;
        } else {
            *place = right[r];
            r += 1;
            count += (left.len() - l) as u64;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_pairs(series: &[f64]) -> Option<f64> {
        let (mut score, mut untied, mut pairs) = (0.0, 0.0, 0.0);
        for (i, a) in series.iter().enumerate() {
            for b in &series[i + 1..] {
                pairs += 1.0;
                untied += f64::from(u8::from(a != b));
                score += f64::from(i8::from(b > a) - i8::from(b < a));
            }
        }
        (untied > 0.0).then(|| score / f64::sqrt(untied * pairs))
    }

    #[test]
    fn one_way_series_have_tau_one() {
        assert_eq!(kendall_tau_of_order(&[1.0, 2.0, 3.0]), Some(1.0));
        assert_eq!(kendall_tau_of_order(&[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(kendall_tau_of_order(&[1.0]), None);
        assert_eq!(kendall_tau_of_order(&[1.0, 1.0]), None);
        assert_eq!(kendall_tau_of_order(&[1.0, f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn the_same_as_pair_by_pair(series in prop::collection::vec((0u8..12).prop_map(f64::from), 0..60)) {
            match (kendall_tau_of_order(&series), by_pairs(&series)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-12),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
        }
    }
}
