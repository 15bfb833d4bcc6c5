//! Two raw samples of numbers compared without bins: Kolmogorov-Smirnov and Wasserstein.
//!
//! These need all values, sorted, so they belong to offline comparison; live windows have counts.
//! Their counterparts for counts of categories are in [`crate::homogeneity`] and can be used from here too.

pub use crate::homogeneity::{ChiSquare, chi_square, chi_square_merged, g_test, g_test_merged};
use crate::special::kolmogorov_sf;
use crate::spread::population_sd;

// === Kolmogorov-Smirnov ===

/// The Kolmogorov-Smirnov statistic: the largest difference of the two empirical distribution functions, in [0, 1].
///
/// Both slices ascending, without missing values; infinities are welcome. `None` if one is empty or has a NaN.
#[must_use]
pub fn ks(sorted_reference: &[f64], sorted_current: &[f64]) -> Option<f64> {
    let mut largest = 0.0_f64;
    sweep(sorted_reference, sorted_current, |step| {
        largest = largest.max((step.reference - step.current).abs());
    })?;
    Some(largest)
}

/// The p-value of a Kolmogorov-Smirnov statistic `d` of samples of `n` and `m` values, in [0, 1]: Kolmogorov's limit
/// distribution at `sqrt(n m / (n + m)) d`. An empty sample is no evidence: 1.
#[must_use]
pub fn ks_p_value(d: f64, n: usize, m: usize) -> f64 {
    kolmogorov_sf(effective_size(n, m).sqrt() * d)
}

/// As [`ks_p_value`], with Stephens' correction for small samples: at `(sqrt N + 0.12 + 0.11 / sqrt N) d`,
/// `N = n m / (n + m)`.
#[must_use]
pub fn ks_p_value_corrected(d: f64, n: usize, m: usize) -> f64 {
    let root = effective_size(n, m).sqrt();
    if root == 0.0 {
        return 1.0;
    }
    kolmogorov_sf((root + 0.12 + 0.11 / root) * d)
}

fn effective_size(n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    if n == 0.0 || m == 0.0 { 0.0 } else { n * m / (n + m) }
}

// === Wasserstein ===

/// The first Wasserstein distance, in the unit of the values: how far a value moves on average.
///
/// Both slices ascending and finite. `None` if one is empty or has a number that is not. A distance beyond the
/// largest float is that float.
#[must_use]
pub fn wasserstein(sorted_a: &[f64], sorted_b: &[f64]) -> Option<f64> {
    if sorted_a.iter().chain(sorted_b).any(|value| !value.is_finite()) {
        return None;
    }
    // Quarters: the difference of two values then stays finite, and scaling by a power of two is exact.
    let (mut quarters, mut whole) = (0.0, 0.0);
    sweep(sorted_a, sorted_b, |step| {
        let gap = (step.reference - step.current).abs();
        whole += gap * (step.to - step.from);
        quarters += gap * (step.to / 4.0 - step.from / 4.0);
    })?;
    Some(if whole.is_finite() { whole } else { (quarters * 4.0).min(f64::MAX) })
}

/// [`wasserstein`] divided by the population standard deviation of the first sample: in [0, inf), without a unit.
///
/// `None` also if the first sample is constant.
#[must_use]
pub fn wasserstein_normed(sorted_reference: &[f64], sorted_current: &[f64]) -> Option<f64> {
    let deviation = population_sd(sorted_reference).filter(|deviation| *deviation > 0.0)?;
    Some((wasserstein(sorted_reference, sorted_current)? / deviation).min(f64::MAX))
}

// === the sweep both share ===

/// A stretch of the number line on which both empirical distribution functions are constant.
struct Step {
    from: f64,
    /// Where the stretch ends; equal to `from` after the largest value.
    to: f64,
    /// Share of the reference at or below `from`.
    reference: f64,
    /// Share of the current sample at or below `from`.
    current: f64,
}

/// Visits the stretches between the distinct values of two ascending samples. `None` if one is empty or has a NaN.
fn sweep(reference: &[f64], current: &[f64], mut visit: impl FnMut(Step)) -> Option<()> {
    let unusable = |sample: &[f64]| sample.is_empty() || sample.iter().any(|value| value.is_nan());
    if unusable(reference) || unusable(current) {
        return None;
    }
    let (mut i, mut j) = (0, 0);
    let next = |i: usize, j: usize| match (reference.get(i), current.get(j)) {
        (Some(a), Some(b)) => Some(a.min(*b)),
        (Some(only), None) | (None, Some(only)) => Some(*only),
        (None, None) => None,
    };
    while let Some(from) = next(i, j) {
        i += reference[i..].iter().take_while(|value| **value <= from).count();
        j += current[j..].iter().take_while(|value| **value <= from).count();
        visit(Step {
            from,
            to: next(i, j).unwrap_or(from),
            reference: i as f64 / reference.len() as f64,
            current: j as f64 / current.len() as f64,
        });
    }
    Some(())
}

#[cfg(test)]
#[path = "two_sample_tests.rs"]
mod tests;
