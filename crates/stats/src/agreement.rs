//! How far two answers to the same questions agree: Cohen's kappa, and shares with the interval they are known to.

/// A share and the interval that it is known to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The share itself, or the difference of two.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// The normal quantile of a two-sided interval of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// `hits` of `n` as a share, with Wilson's interval of 95 %.
///
/// Wilson, *Probable inference, the law of succession, and statistical inference*, 1927: the shares whose score test does
/// not reject what was seen. It stays inside [0, 1] and is right for few and for no hits, where the usual plus and minus
/// is not.
///
/// `None` without any, or with more hits than there are.
#[must_use]
pub fn wilson(hits: u64, n: u64) -> Option<Share> {
    if n == 0 || hits > n {
        return None;
    }
    let (n, z2) = (n as f64, Z_95 * Z_95);
    let value = hits as f64 / n;
    let centre = value + z2 / (2.0 * n);
    let half = Z_95 * (value * (1.0 - value) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // No hits, or hits alone, end at the boundary exactly, whatever rounding says.
    let low = if value == 0.0 { 0.0 } else { ((centre - half) / scale).max(0.0) };
    let high = if value == 1.0 { 1.0 } else { ((centre + half) / scale).min(1.0) };
    Some(Share { value, low, high })
}

/// The difference `a - b` of two independent shares, with an interval of 95 % in [-1, 1].
///
/// Newcombe, *Interval estimation for the difference between independent proportions*, 1998, method 10: from the two
/// Wilson intervals, `low = d - sqrt((a - la)^2 + (ub - b)^2)` and `high = d + sqrt((ua - a)^2 + (b - lb)^2)`.
#[must_use]
pub fn difference(a: Share, b: Share) -> Share {
    let value = a.value - b.value;
    let low = value - (a.value - a.low).hypot(b.high - b.value);
    let high = value + (a.high - a.value).hypot(b.value - b.low);
    Share { value, low: low.max(-1.0), high: high.min(1.0) }
}

/// Cohen's kappa from counts: how far two raters agree beyond what their shares of each class give by chance, in [-1, 1].
///
/// `kappa = (po - pe) / (1 - pe)`, `po` the share of `agreed` and `pe = sum of first[c] * second[c] / n^2` over the classes
/// (Cohen, *A coefficient of agreement for nominal scales*, 1960). `first` and `second` are the raters' counts per class.
///
/// `None`: nothing was rated, slices of different lengths or sums, more agreements than ratings, or both raters named one
/// class alone, where kappa is not defined.
#[must_use]
pub fn kappa(agreed: u64, first: &[u64], second: &[u64]) -> Option<f64> {
    let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
    let n = total(first);
    if first.len() != second.len() || n == 0.0 || n != total(second) || agreed as f64 > n {
        return None;
    }
    let by_chance: f64 = first.iter().zip(second).map(|(a, b)| (*a as f64 / n) * (*b as f64 / n)).sum();
    // One class alone on both sides is exactly 1, but for rounding.
    let is_certain = first.iter().zip(second).any(|(a, b)| *a as f64 == n && *b as f64 == n);
    if is_certain || by_chance >= 1.0 {
        return None;
    }
    Some((agreed as f64 / n - by_chance) / (1.0 - by_chance))
}

/// Mean of `values`, and mean of their absolute values; `None` without any. Nothing overflows.
#[must_use]
pub fn means(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let (mean, absolute) = values
        .iter()
        .fold((0.0, 0.0), |(mean, absolute), value| (mean + value / n, absolute + value.abs() / n));
    Some((mean, absolute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_of_nothing() {
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(2, 1), None);
        assert_eq!(kappa(0, &[], &[]), None);
        assert_eq!(kappa(1, &[1], &[1, 0]), None);
        assert_eq!(kappa(1, &[2, 0], &[1, 0]), None);
        assert_eq!(kappa(3, &[3, 0], &[3, 0]), None, "one class alone");
        assert_eq!(means(&[]), None);
    }

    #[test]
    fn the_ends_are_exact() {
        let (none, all) = (wilson(0, 50).unwrap(), wilson(50, 50).unwrap());
        assert_eq!((none.value, none.low), (0.0, 0.0));
        assert_eq!((all.value, all.high), (1.0, 1.0));
        assert!(none.high > 0.05 && all.low < 0.95);
    }

    #[test]
    fn raters_who_always_differ_and_always_agree() {
        assert_eq!(kappa(10, &[5, 5], &[5, 5]), Some(1.0));
        assert_eq!(kappa(0, &[5, 5], &[5, 5]), Some(-1.0));
    }

    #[test]
    fn means_of_huge_numbers() {
        assert_eq!(means(&[f64::MAX, f64::MAX]).unwrap().0, f64::MAX);
        assert_eq!(means(&[-2.0, 1.0]), Some((-0.5, 1.5)));
    }

    proptest! {
        #[test]
        fn intervals_hold_the_share(n in 1u64..1_000_000, share in 0.0f64..=1.0, m in 1u64..1_000, other in 0.0f64..=1.0) {
            let of = |n: u64, share: f64| wilson((n as f64 * share) as u64, n).unwrap();
            let (a, b) = (of(n, share), of(m, other));
            prop_assert!(0.0 <= a.low && a.low <= a.value && a.value <= a.high && a.high <= 1.0);
            let d = difference(a, b);
            prop_assert!(-1.0 <= d.low && d.low <= d.value && d.value <= d.high && d.high <= 1.0);
            let back = difference(b, a);
            prop_assert!((d.low + back.high).abs() < 1e-12 && (d.high + back.low).abs() < 1e-12);
        }

        #[test]
        fn kappa_is_at_most_the_agreement(table in prop::collection::vec(prop::collection::vec(0u64..1_000, 4), 4)) {
            let first: Vec<u64> = table.iter().map(|row| row.iter().sum()).collect();
            let second: Vec<u64> = (0..4).map(|column| table.iter().map(|row| row[column]).sum()).collect();
            let agreed: u64 = (0..4).map(|class| table[class][class]).sum();
            if let Some(kappa) = kappa(agreed, &first, &second) {
                let share = agreed as f64 / first.iter().sum::<u64>() as f64;
                prop_assert!((-1.0 - 1e-12..=1.0).contains(&kappa) && kappa <= share + 1e-12, "{kappa} {share}");
            }
        }
    }
}
