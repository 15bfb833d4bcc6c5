//! Quantiles of a sorted sample: type 7 (linear interpolation), numpy's default, to the last bit.
//!
//! The exact rounding matters: an edge one unit in the last place off moves every value that equals it into the
//! neighbouring bin, and integer features have many such values.

use crate::ordered::Ordered;

/// The quantile `q` in [0, 1] of an ascending sample of finite numbers: position `(n - 1) * q`, linear between
/// neighbours. `None` if the sample is empty or `q` is outside [0, 1].
///
/// Hyndman and Fan, *Sample Quantiles in Statistical Packages*, 1996, definition 7.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    quantile_of(&sorted, q)
}

/// [`quantile`] of a sample that may be held in another way. `None` also if the sample does not know the two values.
pub fn quantile_of(sample: &impl Ordered, q: f64) -> Option<f64> {
    let [below, above] = quantile_ranks(sample.rows(), q)?;
    let position = (sample.rows() - 1) as f64 * q;
    Some(interpolate(sample.at(below)?, sample.at(above)?, position - below as f64))
}

/// The ranks, from 0, of the two values between which a quantile of `rows` values lies. `None` if there are no rows or
/// `q` is outside [0, 1].
#[must_use]
pub fn quantile_ranks(rows: usize, q: f64) -> Option<[usize; 2]> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let last = rows.checked_sub(1)?;
    let below = ((last as f64 * q).floor() as usize).min(last);
    Some([below, (below + 1).min(last)])
}

/// `a` to `b` at `t` in [0, 1): from the nearer end, as numpy does, so that the result is monotone in `t`.
fn interpolate(a: f64, b: f64, t: f64) -> f64 {
    let width = b - a;
    if !width.is_finite() {
        return a * (1.0 - t) + b * t;
    }
    if t >= 0.5 { b - width * (1.0 - t) } else { a + width * t }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_7_positions() {
        let sample = [1.0, 2.0, 4.0, 8.0];
        for (q, expected) in [(0.0, 1.0), (0.5, 3.0), (0.25, 1.75), (0.9, 6.8), (1.0, 8.0)] {
            let got = quantile(&sample, q).unwrap();
            assert!((got - expected).abs() < 1e-12, "q {q}: {got}");
        }
        assert_eq!(quantile(&[5.0], 0.3), Some(5.0));
    }

    #[test]
    fn nonsense_has_no_quantile() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[1.0], 1.5), None);
        assert_eq!(quantile(&[1.0], f64::NAN), None);
    }

    #[test]
    fn huge_neighbours_do_not_overflow() {
        let middle = quantile(&[-1.7e308, 1.7e308], 0.5).unwrap();
        assert!(middle.abs() < 1e292, "{middle}");
    }
}
