//! The mean and the standard deviation of a sample, without overflow.

/// Ranges outside this are scaled before they are squared.
const SQUARABLE: std::ops::Range<f64> = 1e-140..1e140;

/// The smallest float above zero.
const SMALLEST: f64 = f64::from_bits(1);

/// 2^900. Numbers from here on are summed on their own, divided by it (exact for a power of two); of smaller ones no sum that can
/// be counted overflows.
const LARGE: f64 = 8.452_712_498_170_644e270;

/// The mean of finite numbers that come one after the other. Kahan's and Neumaier's sum: what rounding leaves of each addition is
/// summed as well, so that large numbers that cancel leave the small ones. No sum overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    rows: u64,
    /// Of numbers below [`LARGE`], and what rounding has left out of it.
    sum: (f64, f64),
    /// Of the others.
    large: (f64, f64),
}

impl Mean {
    /// Adds numbers; what is not finite is passed over.
    pub fn add(&mut self, values: &[f64]) {
        for value in values.iter().copied().filter(|value| value.is_finite()) {
            self.rows += 1;
            if value.abs() < LARGE {
                add_exactly(&mut self.sum, value);
            } else {
                add_exactly(&mut self.large, value / LARGE);
            }
        }
    }

    /// The mean; `None` without a number.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        let rows = self.rows as f64;
        let part = |(sum, rest): (f64, f64)| (sum + rest) / rows;
        let mean = part(self.large) * LARGE + part(self.sum);
        (self.rows > 0).then(|| mean.clamp(f64::MIN, f64::MAX))
    }
}

fn add_exactly((sum, rest): &mut (f64, f64), value: f64) {
    let next = *sum + value;
    *rest += if sum.abs() >= value.abs() { (*sum - next) + value } else { (value - next) + *sum };
    *sum = next;
}

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
    fn means_neither_overflow_nor_lose_what_cancels() {
        let mean = |values: &[f64]| {
            let mut mean = Mean::default();
            values.chunks(2).for_each(|part| mean.add(part));
            mean.get()
        };
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(mean(&[1.0, 2.0, f64::NAN, 6.0]), Some(3.0));
        assert_eq!(mean(&[0.1; 10]), Some(0.1));
        assert_eq!(mean(&[f64::MAX; 7]), Some(f64::MAX));
        assert_eq!(mean(&[1e308, 1.5e308, 1.7e308]), Some(1.4e308));
        assert_eq!(mean(&[1e308, 3.0, -1e308, 1.0]), Some(1.0));
        assert_eq!(mean(&[1e16, 1.0, -1e16]), Some(1.0 / 3.0));
        assert_eq!(mean(&[5e-324, 5e-324]), Some(5e-324));
        assert_eq!(2f64.powi(900), LARGE);
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
