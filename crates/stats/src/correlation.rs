//! How far two columns of numbers move together.

use crate::spread::scale_for;

/// Pearson's product-moment correlation, in [-1, 1].
///
/// `r = sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2)` (Pearson, *Notes on regression and inheritance*, 1895),
/// in two passes, each column scaled by its largest deviation so that no square overflows or vanishes.
///
/// `None`: fewer than two pairs, slices of different lengths, a number that is not finite, or a column without variation,
/// where correlation is not defined.
#[must_use]
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let (x, y) = (deviations(x)?, deviations(y)?);
    let product: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    let square = |deviations: &[f64]| deviations.iter().map(|d| d * d).sum::<f64>();
    let scale = square(&x).sqrt() * square(&y).sqrt();
    Some((product / scale).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation, in [-1, 1]: Pearson's of the ranks, ties given the mean of theirs
/// (Spearman, *The proof and measurement of association between two things*, 1904; ties as in Kendall, *Rank Correlation
/// Methods*, 1948).
///
/// `None` as for [`pearson`].
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.iter().chain(y).any(|value| !value.is_finite()) {
        return None;
    }
    pearson(&ranks(x), &ranks(y))
}

/// Ranks from 1, equal values given the mean of theirs. Numbers must not be NaN; those have some rank.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Adding zero makes -0 equal to 0 in the total order.
    let key = |at: usize| values[at] + 0.0;
    order.sort_unstable_by(|a, b| key(*a).total_cmp(&key(*b)));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|a, b| key(*a) == key(*b)) {
        let mean = first as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for at in tied {
            ranks[*at] = mean;
        }
        first += tied.len();
    }
    ranks
}

/// Distances from the mean, divided by the largest of them. `None` without variation or with a number that is not finite.
fn deviations(values: &[f64]) -> Option<Vec<f64>> {
    let first = *values.first()?;
    let (mut min, mut max) = (first, first);
    for value in values {
        if !value.is_finite() {
            return None;
        }
        min = min.min(*value);
        max = max.max(*value);
    }
    if min == max {
        return None;
    }
    // By a power of two and from the smallest value: large numbers that differ little keep all their digits.
    let scale = scale_for(max / 2.0 - min / 2.0);
    let mut distances: Vec<f64> = values.iter().map(|value| value * scale - min * scale).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    distances.iter_mut().for_each(|distance| *distance -= mean);
    let widest = distances.iter().fold(0.0, |widest: f64, distance| widest.max(distance.abs()));
    distances.iter_mut().for_each(|distance| *distance /= widest);
    Some(distances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[10.0, 20.0, 10.0, 5.0, 20.0, 20.0]), [2.5, 5.0, 2.5, 1.0, 5.0, 5.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn what_has_no_correlation() {
        for correlation in [pearson, spearman] {
            assert_eq!(correlation(&[1.0], &[2.0]), None);
            assert_eq!(correlation(&[1.0, 2.0], &[2.0]), None);
            assert_eq!(correlation(&[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), None);
            assert_eq!(correlation(&[1.0, 2.0, f64::NAN], &[2.0, 4.0, 6.0]), None);
            assert_eq!(correlation(&[1.0, 2.0, f64::INFINITY], &[2.0, 4.0, 6.0]), None);
        }
    }

    #[test]
    fn huge_and_tiny_numbers_keep_their_correlation() {
        let line = [1.0, 2.0, 3.0, 5.0];
        for scale in [1e308, 1e-308, 1e160] {
            let scaled: Vec<f64> = line.iter().map(|x| x / 5.0 * scale).collect();
            let r = pearson(&line, &scaled).unwrap();
            assert!((r - 1.0).abs() < 1e-9, "{scale}: {r}");
        }
        assert!(pearson(&[-1.7e308, 1.7e308], &[0.0, 1.0]).unwrap() > 1.0 - 1e-12);
    }

    proptest! {
        #[test]
        fn in_range_symmetric_and_blind_to_scale(
            pairs in prop::collection::vec((-1e6f64..1e6, -1e6f64..1e6), 2..60),
            slope in 0.001f64..1e3,
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            for correlation in [pearson, spearman] {
                let Some(r) = correlation(&x, &y) else { continue };
                prop_assert!((-1.0..=1.0).contains(&r));
                prop_assert!((correlation(&y, &x).unwrap() - r).abs() < 1e-12);
                let moved: Vec<f64> = y.iter().map(|y| y * slope).collect();
                prop_assert!((correlation(&x, &moved).unwrap() - r).abs() < 1e-9);
                let mirrored: Vec<f64> = y.iter().map(|y| -y).collect();
                prop_assert!((correlation(&x, &mirrored).unwrap() + r).abs() < 1e-12);
            }
            if let Some(r) = spearman(&x, &x) {
                prop_assert!((r - 1.0).abs() < 1e-12);
            }
        }
    }
}
