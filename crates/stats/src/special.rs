//! Distributions: the tails and quantiles of chi-square, the tail of Kolmogorov's, quantile and density of the normal one.
//!
//! The incomplete gamma functions come from `statrs`. Quantiles are found by Newton's method on the logarithm of the
//! nearer tail, started from Wilson and Hilferty's approximation and kept inside a bracket: a few steps, also far out
//! in a tail, where bisection on the probability would need many more or see nothing but zero.

use std::f64::consts::PI;

use statrs::function::gamma::{checked_gamma_lr, checked_gamma_ur, ln_gamma};

/// Degrees of freedom beyond this are refused: the series behind the tails would become slow.
const MAX_DOF: f64 = 1e7;

/// Newton needs 3 to 6 steps; bisection alone would be done after about 100.
const MAX_STEPS: usize = 200;

/// A relative step this small ends the search: the tails themselves are no more exact.
const PRECISION: f64 = 1e-13;

/// The standard normal value that is exceeded with probability `1 - p`.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p)
}

/// The standard normal density.
pub(crate) fn normal_density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The probability that a chi-square variable with `dof` degrees of freedom exceeds `x`, in [0, 1].
///
/// `None` for NaN, and for `dof` outside (0, 1e7].
///
/// # Formula
///
/// `Q(dof / 2, x / 2)`, the regularised upper incomplete gamma function.
#[must_use]
pub fn chi_square_sf(x: f64, dof: f64) -> Option<f64> {
    if x.is_nan() || !is_dof(dof) {
        return None;
    }
    if x <= 0.0 {
        return Some(1.0);
    }
    if x == f64::INFINITY {
        return Some(0.0);
    }
    checked_gamma_ur(dof / 2.0, x / 2.0).ok().map(|tail| tail.clamp(0.0, 1.0))
}

/// The value that a chi-square variable with `dof` degrees of freedom stays below with probability `p`.
///
/// `p` lies in [0, 1): 0 gives 0. `None` for any other `p` and for `dof` outside (0, 1e7].
#[must_use]
pub fn chi_square_quantile(p: f64, dof: f64) -> Option<f64> {
    if !(0.0..1.0).contains(&p) || !is_dof(dof) {
        return None;
    }
    if p == 0.0 {
        return Some(0.0);
    }
    let upper = p > 0.5;
    Some(solve(if upper { 1.0 - p } else { p }, dof, upper))
}

/// The value that a chi-square variable with `dof` degrees of freedom exceeds with probability `alpha` in (0, 1]:
/// a critical value, exact also for an `alpha` so small that `1 - alpha` is 1.
///
/// `None` for any other `alpha` and for `dof` outside (0, 1e7].
#[must_use]
pub fn chi_square_critical(alpha: f64, dof: f64) -> Option<f64> {
    let is_level = alpha > 0.0 && alpha <= 1.0;
    if !is_level || !is_dof(dof) {
        return None;
    }
    if alpha == 1.0 {
        return Some(0.0);
    }
    let upper = alpha < 0.5;
    Some(solve(if upper { alpha } else { 1.0 - alpha }, dof, upper))
}

/// The upper tail of Kolmogorov's distribution, in [0, 1]; 1 for `x <= 0` and for NaN.
///
/// # Formula
///
/// `2 sum_k (-1)^(k-1) exp(-2 k^2 x^2)` for large `x`; for small `x`, where that converges slowly and cancels, its
/// theta transform `1 - sqrt(2 pi) / x sum_k exp(-(2k-1)^2 pi^2 / (8 x^2))`.
#[must_use]
pub fn kolmogorov_sf(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 1.0;
    }
    let sf = if x < 0.82 {
        let unit = -PI * PI / (8.0 * x * x);
        let sum: f64 = [1.0, 9.0, 25.0, 49.0].iter().map(|square| (unit * square).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / x * sum
    } else {
        let power = |k: f64| (-2.0 * k * k * x * x).exp();
        2.0 * (power(1.0) - power(2.0) + power(3.0) - power(4.0) + power(5.0))
    };
    sf.clamp(0.0, 1.0)
}

fn is_dof(dof: f64) -> bool {
    dof > 0.0 && dof <= MAX_DOF
}

/// The `x` whose tail (`upper` or lower) is `probability`.
///
/// In `u = ln x`: both tails' logarithms are nearly straight there, so Newton converges from far away.
fn solve(probability: f64, dof: f64, upper: bool) -> f64 {
    let (mut below, mut above) = (0.0_f64, f64::INFINITY);
    let mut x = start(probability, dof, upper);
    for _ in 0..MAX_STEPS {
        let tail = tail(x, dof, upper);
        let too_far = (tail < probability) == upper;
        if too_far {
            above = above.min(x);
        } else {
            below = below.max(x);
        }
        let slope = x * density(x, dof) / tail;
        let error = (tail / probability).ln();
        let next = x * (if upper { error } else { -error } / slope).clamp(-3.0, 3.0).exp();
        if (next - x).abs() <= PRECISION * x {
            return next;
        }
        x = if next > below && next < above { next } else { between(below, above) };
    }
    x
}

fn between(below: f64, above: f64) -> f64 {
    if above == f64::INFINITY { (below * 2.0).max(f64::MIN_POSITIVE) } else { f64::midpoint(below, above) }
}

fn tail(x: f64, dof: f64, upper: bool) -> f64 {
    let value =
        if upper { checked_gamma_ur(dof / 2.0, x / 2.0) } else { checked_gamma_lr(dof / 2.0, x / 2.0) };
    value.unwrap_or(f64::NAN)
}

/// The density at `x > 0`.
fn density(x: f64, dof: f64) -> f64 {
    let half = dof / 2.0;
    ((half - 1.0) * (x / 2.0).ln() - x / 2.0 - ln_gamma(half)).exp() / 2.0
}

/// Wilson and Hilferty 1931: the cube root is nearly normal. For few degrees of freedom and a small lower tail that
/// turns negative; there the first term of the series of the distribution function is inverted.
fn start(probability: f64, dof: f64, upper: bool) -> f64 {
    let z = normal_upper(probability) * if upper { 1.0 } else { -1.0 };
    let spread = 2.0 / (9.0 * dof);
    let cube = 1.0 - spread + z * spread.sqrt();
    if cube > 0.2 {
        return dof * cube.powi(3);
    }
    let half = dof / 2.0;
    let log = (probability.ln() + ln_gamma(half + 1.0)) / half;
    (2.0 * log.exp()).max(f64::MIN_POSITIVE)
}

/// The standard normal value exceeded with `probability` in (0, 0.5], to 4.5e-4
/// (Abramowitz and Stegun, formula 26.2.23): good enough to start from.
fn normal_upper(probability: f64) -> f64 {
    let t = (-2.0 * probability.ln()).sqrt();
    let above = 2.515517 + t * (0.802853 + t * 0.010328);
    let below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(got: f64, expected: f64, tolerance: f64) {
        assert!((got / expected - 1.0).abs() <= tolerance, "{got} is not {expected}");
    }

    #[test]
    fn quantiles_of_the_tables() {
        // scipy.stats.chi2.ppf(p, dof)
        let table = [
            (0.95, 9.0, 16.918977604620448),
            (0.99, 9.0, 21.665994333461924),
            (0.999, 9.0, 27.877164871256568),
            (0.99, 13.0, 27.68824961045705),
            (0.99, 1.0, 6.6348966010212145),
            (0.5, 2.0, 1.3862943611198906),
            (0.01, 1.0, 0.00015708785790970184),
            (0.99, 252.0, 307.1473051652787),
        ];
        for (p, dof, expected) in table {
            close(chi_square_quantile(p, dof).unwrap(), expected, 1e-9);
        }
    }

    #[test]
    fn kolmogorov_on_both_sides_of_its_switch() {
        // scipy.special.kolmogorov(x)
        let table = [
            (0.3, 0.9999906941986655),
            (0.5, 0.9639452436648751),
            (0.8199, 0.5121305961006337),
            (0.8201, 0.5118128354122944),
            (1.0, 0.26999967167735456),
            (2.5, 7.453306344157342e-06),
            (15.0, 7.387766136974512e-196),
        ];
        for (x, expected) in table {
            close(kolmogorov_sf(x), expected, 1e-9);
        }
        for (x, expected) in
            [(0.0, 1.0), (-1.0, 1.0), (1e-9, 1.0), (1e9, 0.0), (f64::INFINITY, 0.0), (f64::NAN, 1.0)]
        {
            assert_eq!(kolmogorov_sf(x), expected, "{x}");
        }
    }

    #[test]
    fn nonsense_has_no_answer() {
        for (p, dof) in [(1.0, 3.0), (-0.1, 3.0), (f64::NAN, 3.0), (0.5, 0.0), (0.5, f64::NAN), (0.5, 1e9)] {
            assert_eq!(chi_square_quantile(p, dof), None);
        }
        assert_eq!(chi_square_critical(0.0, 3.0), None);
        assert_eq!(chi_square_sf(f64::NAN, 3.0), None);
        assert_eq!(chi_square_sf(1.0, -1.0), None);
        assert_eq!(chi_square_sf(-1.0, 3.0), Some(1.0));
        assert_eq!(chi_square_sf(f64::INFINITY, 3.0), Some(0.0));
        assert_eq!((chi_square_quantile(0.0, 3.0), chi_square_critical(1.0, 3.0)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn the_smallest_levels_have_finite_critical_values() {
        for alpha in [5e-324, 1e-310, 1e-300, 1.0 - f64::EPSILON] {
            for dof in [0.1, 1.0, 9.0, 1e4, 1e7] {
                let critical = chi_square_critical(alpha, dof).unwrap();
                assert!(critical.is_finite() && critical >= 0.0, "alpha {alpha}, dof {dof}: {critical}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_critical_value_has_its_tail(exponent in -250.0..-0.001_f64, dof in 1u32..600) {
            let alpha = 10f64.powf(exponent);
            let x = chi_square_critical(alpha, f64::from(dof)).unwrap();
            let tail = chi_square_sf(x, f64::from(dof)).unwrap();
            prop_assert!((tail / alpha - 1.0).abs() < 1e-9, "alpha {} dof {}: x {} tail {}", alpha, dof, x, tail);
        }

        #[test]
        fn quantiles_rise_with_p(p in 0.0001..0.999_f64, dof in 1u32..300) {
            let dof = f64::from(dof);
            prop_assert!(chi_square_quantile(p, dof) < chi_square_quantile(p + 0.0005, dof));
        }
    }
}
