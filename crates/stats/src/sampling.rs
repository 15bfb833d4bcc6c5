//! What chance alone does to PSI, and when a PSI is more than that.
//!
//! Without drift `PSI / (1/n + 1/m)` follows a chi-square distribution with `bins - 1` degrees of freedom: the mean PSI
//! is `(bins - 1) (1/n + 1/m)`, 0.09 for 10 bins and 100 rows. A fixed limit is therefore far too tight for small
//! windows and far too loose for large ones; these functions give the limit that has a stated false-alarm rate.
//! Yurdakul, *Statistical Properties of Population Stability Index*, Western Michigan University, 2018.
//!
//! In all functions `bins` is the number of bins compared ([`crate::Distances::bins`]), `n` and `m` the rows of the
//! two sides, in any order. They are most exact for [`crate::jeffreys::psi`]; flooring adds false alarms where bins
//! are empty.

use std::fmt;

use crate::special::{chi_square_critical, chi_square_sf};

/// The mean PSI without drift: `(bins - 1) (1/n + 1/m)`. Infinite if a side is empty and there is more than one bin.
#[must_use]
pub fn psi_noise(bins: usize, n: u64, m: u64) -> f64 {
    match degrees_of_freedom(bins) {
        Some(dof) => dof * unit(n, m),
        None => 0.0,
    }
}

/// The PSI that chance exceeds with probability `alpha` in (0, 1): `(1/n + 1/m)` times the chi-square quantile.
///
/// `None`: too little data (a side is empty), fewer than two bins, or `alpha` outside (0, 1).
#[must_use]
pub fn psi_critical(bins: usize, n: u64, m: u64, alpha: f64) -> Option<f64> {
    if n == 0 || m == 0 || alpha >= 1.0 {
        return None;
    }
    Some(unit(n, m) * chi_square_critical(alpha, degrees_of_freedom(bins)?)?)
}

/// The probability that chance gives a PSI of at least `psi`, in [0, 1].
///
/// `None`: too little data (a side is empty), fewer than two bins, or a NaN.
#[must_use]
pub fn psi_p_value(psi: f64, bins: usize, n: u64, m: u64) -> Option<f64> {
    if n == 0 || m == 0 {
        return None;
    }
    chi_square_sf(psi / unit(n, m), degrees_of_freedom(bins)?)
}

/// PSI without what chance adds on average: `max(0, psi - psi_noise)`. The number to compare with 0.1 and 0.25, and
/// to show as the size of a drift. 0 for NaN.
#[must_use]
pub fn debiased_psi(psi: f64, bins: usize, n: u64, m: u64) -> f64 {
    (psi - psi_noise(bins, n, m)).max(0.0)
}

/// How large a drift is. Describes size only; whether it is more than chance is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Debiased PSI below 0.02.
    None,
    /// 0.02 to below 0.1.
    Slight,
    /// 0.1 to 0.25.
    Moderate,
    /// Above 0.25.
    Large,
}

impl Severity {
    /// The word for it: `none`, `slight`, `moderate` or `large`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slight => "slight",
            Self::Moderate => "moderate",
            Self::Large => "large",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The severity of a debiased PSI ([`debiased_psi`]).
#[must_use]
pub fn severity(debiased: f64) -> Severity {
    if debiased > 0.25 {
        Severity::Large
    } else if debiased >= 0.1 {
        Severity::Moderate
    } else if debiased >= 0.02 {
        Severity::Slight
    } else {
        Severity::None
    }
}

/// Which of many hypotheses to reject so that at most a share `alpha` of the rejected ones is expected to be true
/// (false discovery rate, for independent or positively dependent p-values). One answer a p-value, in their order.
///
/// A NaN is never rejected but counts among the hypotheses.
///
/// Benjamini and Hochberg 1995: sort, find the largest `k` with `p_(k) <= alpha k / d`, reject the first `k`.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = p_values.iter().copied().filter(|p| !p.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let d = p_values.len() as f64;
    let limit =
        sorted.iter().enumerate().rev().find(|(i, p)| **p <= alpha * (i + 1) as f64 / d).map(|(_, p)| *p);
    p_values.iter().map(|p| limit.is_some_and(|limit| *p <= limit)).collect()
}

fn unit(n: u64, m: u64) -> f64 {
    1.0 / n as f64 + 1.0 / m as f64
}

fn degrees_of_freedom(bins: usize) -> Option<f64> {
    bins.checked_sub(1).filter(|dof| *dof > 0).map(|dof| dof as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn critical_values_of_the_literature() {
        for (n, expected) in [(100, 0.221), (200, 0.113), (500, 0.0477), (1000, 0.0260), (5000, 0.0087)] {
            let critical = psi_critical(10, n, 5000, 0.01).unwrap();
            assert!((critical - expected).abs() < 0.0005, "n {n}: {critical}");
        }
    }

    #[test]
    fn too_little_data_has_no_answer() {
        assert_eq!(psi_critical(10, 0, 100, 0.01), None);
        assert_eq!(psi_critical(1, 100, 100, 0.01), None);
        assert_eq!(psi_critical(0, 100, 100, 0.01), None);
        assert_eq!(psi_critical(10, 100, 100, f64::NAN), None);
        assert_eq!(psi_critical(10, 100, 100, 1.0), None);
        assert_eq!(psi_p_value(0.1, 10, 0, 100), None);
        assert_eq!(psi_p_value(f64::NAN, 10, 100, 100), None);
        assert_eq!(psi_noise(10, 0, 100), f64::INFINITY);
        assert_eq!(psi_noise(1, 0, 100), 0.0);
        assert_eq!(debiased_psi(3.0, 10, 0, 100), 0.0, "nothing is above unbounded noise");
    }

    #[test]
    fn severity_changes_at_its_limits() {
        let words: Vec<&str> = [0.0, 0.0199, 0.02, 0.0999, 0.1, 0.25, 0.2501, f64::NAN]
            .iter()
            .map(|psi| severity(*psi).as_str())
            .collect();
        assert_eq!(words, ["none", "none", "slight", "slight", "moderate", "moderate", "large", "none"]);
        assert!(Severity::Large > Severity::Slight);
    }

    #[test]
    fn rejections_step_up_from_the_largest_p_value() {
        let rejected = |p: &[f64], alpha| benjamini_hochberg(p, alpha);
        assert_eq!(rejected(&[0.04, 0.03, 0.02], 0.05), [true; 3], "0.03 fails alone but 0.04 <= 0.05");
        assert_eq!(rejected(&[0.5, 0.01, f64::NAN], 0.05), [false, true, false]);
        assert_eq!(rejected(&[0.5, 0.02, f64::NAN], 0.05), [false; 3]);
        assert!(rejected(&[], 0.05).is_empty());
        assert_eq!(rejected(&[0.0], f64::NAN), [false]);
    }

    proptest! {
        #[test]
        fn the_critical_value_has_its_p_value(
            bins in 2usize..300, n in 1u64..1_000_000, m in 1u64..1_000_000, alpha in 1e-9..0.999_f64,
        ) {
            let critical = psi_critical(bins, n, m, alpha).unwrap();
            let p = psi_p_value(critical, bins, n, m).unwrap();
            prop_assert!((p / alpha - 1.0).abs() < 1e-8, "{} is not {}", p, alpha);
        }

        #[test]
        fn a_smaller_p_value_is_never_kept_where_a_larger_is_rejected(
            p in prop::collection::vec(0.0..1.0_f64, 0..40), alpha in 0.0..0.5_f64,
        ) {
            let rejected = benjamini_hochberg(&p, alpha);
            for (i, a) in p.iter().enumerate() {
                for (j, b) in p.iter().enumerate() {
                    prop_assert!(!(rejected[j] && a <= b) || rejected[i]);
                }
            }
        }
    }
}
