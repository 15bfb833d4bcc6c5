//! The standard deviation of a sample, without overflow.

/// Ranges outside this are scaled before they are squared.
const SQUARABLE: std::ops::Range<f64> = 1e-140..1e140;

/// The smallest float above zero.
const SMALLEST: f64 = f64::from_bits(1);

/// Population standard deviation (divisor `n`) of finite numbers. 0 exactly where all are equal.
///
/// `None` for an empty slice or one with NaN or infinity. Two passes over the values; neither their sum nor their
/// squares can overflow.
#[must_use]
pub fn population_sd(values: &[f64]) -> Option<f64> {
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
        return Some(0.0);
    }
    let scale = scale_for(max / 2.0 - min / 2.0);
    let n = values.len() as f64;
    // From the smallest value: large numbers that differ little keep all their digits.
    let distance = |value: &f64| value * scale - min * scale;
    let mean = values.iter().map(distance).sum::<f64>() / n;
    let variance = values.iter().map(|value| (distance(value) - mean).powi(2)).sum::<f64>() / n;
    Some((variance.sqrt() / scale).clamp(SMALLEST, f64::MAX))
}

/// A power of two that brings half a range near one, where squares neither overflow nor vanish; one where not needed.
pub(crate) fn scale_for(half_range: f64) -> f64 {
    if SQUARABLE.contains(&half_range) {
        1.0
    } else if half_range >= SQUARABLE.end {
        2f64.powi(-800)
    } else {
        2f64.powi(600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_deviations() {
        let sd = |values: &[f64]| population_sd(values).unwrap();
        assert_eq!(sd(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 2.0);
        assert_eq!(sd(&[0.1; 7]), 0.0);
        assert_eq!(sd(&[1e15, 1e15 + 2.0]), 1.0);
        assert_eq!(population_sd(&[]), None);
        assert_eq!(population_sd(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_largest_and_smallest_numbers_do_not_overflow() {
        let largest = population_sd(&[f64::MIN, f64::MAX]).unwrap();
        assert!((largest / f64::MAX - 1.0).abs() < 1e-12, "{largest}");
        assert!((population_sd(&[-1e308, 1e308, 0.0]).unwrap() / 8.16496580927726e307 - 1.0).abs() < 1e-12);
        assert!((population_sd(&[-1e-300, 1e-300]).unwrap() / 1e-300 - 1.0).abs() < 1e-12);
        assert!(population_sd(&[-0.0, 0.0, 5e-324, 1e308, -1e308]).unwrap().is_finite());
    }
}
