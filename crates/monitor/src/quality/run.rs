//! One value again and again: how long a column has not changed, and behind how many different inputs.

use super::Expected;
use super::fault::Mark;

/// Registers of the estimate of different inputs: to 13 %.
const REGISTERS: usize = 64;

/// Rows of one tenant in succession that count, where there are several tenants: a batch of one says nothing about all.
const STREAK: u32 = 20;

/// From so long a run on, its inputs are counted.
const COUNTED_FROM: u64 = 4;

/// The values in succession that are one and the same, of one column in one window set. Missing values do not interrupt it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    value: u64,
    len: u64,
    since_ms: i64,
    /// The newest row's tenant, and how many rows it has sent in succession.
    tenant: u32,
    streak: u32,
    /// Values, of each tenant's streaks no more than the first ones.
    mixed: u64,
    inputs: Option<Box<Inputs>>,
    /// It was called constant once.
    pub(crate) failed: bool,
}

/// Different inputs, by `HyperLogLog` (Flajolet et al., 2007).
#[derive(Clone, Debug)]
struct Inputs([u8; REGISTERS]);

impl Run {
    /// Adds a value; one that is missing says nothing. `input`: a hash of the row's features, for a prediction.
    #[inline]
    pub(crate) fn push(&mut self, mark: Mark, input: Option<u64>, tenant: u32, at_ms: i64) {
        if !mark.has_value() {
            return;
        }
        self.streak = if self.tenant == tenant { self.streak.saturating_add(1) } else { 1 };
        self.tenant = tenant;
        let counted = u64::from(self.streak <= STREAK);
        if self.len > 0 && self.value == mark.hash() {
            self.len += 1;
            self.mixed += counted;
            if let Some(input) = input.filter(|_| self.len >= COUNTED_FROM) {
                self.inputs.get_or_insert_with(|| Box::new(Inputs([0; REGISTERS]))).add(input);
            }
            return;
        }
        (self.value, self.len, self.since_ms) = (mark.hash(), 1, at_ms);
        self.mixed = counted;
        if let Some(inputs) = &mut self.inputs {
            inputs.0 = [0; REGISTERS];
        }
    }

    /// Whether the column is constant: longer than chance explains, and not because one tenant, or one request, came again
    /// and again. `tenants`: requests name several. `of_inputs`: it is a prediction, which follows from its inputs.
    pub(crate) fn is_constant(&self, expected: &Expected, tenants: bool, of_inputs: bool) -> bool {
        let Some(wanted) = expected.run() else { return false };
        let inputs = || self.inputs.as_ref().map_or(0.0, |inputs| inputs.estimate());
        let len = if tenants { self.mixed } else { self.len };
        len as f64 >= wanted && (!of_inputs || inputs() >= expected.inputs())
    }

    /// Values in succession.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The time of its first value, unix milliseconds.
    pub(crate) fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// A hash of the value.
    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// Bytes held beside itself, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.inputs.as_ref().map_or(0, |_| REGISTERS)
    }
}

impl Inputs {
    fn add(&mut self, hash: u64) {
        // SplitMix64's last steps: the registers need bits that are independent of each other.
        let mut z = hash;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let register = &mut self.0[(z % REGISTERS as u64) as usize];
        let rank = ((z / REGISTERS as u64) | 1 << 58).trailing_zeros() as u8 + 1;
        *register = (*register).max(rank);
    }

    fn estimate(&self) -> f64 {
        let m = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
        let raw = 0.709 * m * m / sum;
        let empty = self.0.iter().filter(|rank| **rank == 0).count();
        if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::fault::Fault;
    use stats::{Bins, NumericBins};

    /// Ten bins alike: a value is a tenth at most.
    fn expected(counts: &[u64]) -> Expected {
        let bins: Bins = NumericBins::equal_width(0.0, 10.0, counts.len() - 1).unwrap().into();
        Expected::new(&bins, counts, None, true)
    }

    fn run(
        rows: u64,
        value: impl Fn(u64) -> u64,
        input: impl Fn(u64) -> u64,
        tenant: impl Fn(u64) -> u32,
    ) -> Run {
        let mut run = Run::default();
        for row in 0..rows {
            run.push(Mark::for_test(value(row), Fault::None), Some(input(row)), tenant(row), row as i64);
        }
        run
    }

    #[test]
    fn one_answer_to_many_inputs_is_constant() {
        let usual = expected(&[100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 0]);
        assert!(run(50, |_| 7, |row| row, |_| 0).is_constant(&usual, false, true));
        assert!(!run(49, |_| 7, |row| row, |_| 0).is_constant(&usual, false, true));
        assert!(!run(500, |row| row / 49, |row| row, |_| 0).is_constant(&usual, false, true));
        let missing = Mark::for_test(0, Fault::Missing);
        let mut interrupted = run(49, |_| 7, |row| row, |_| 0);
        interrupted.push(missing, Some(1_000), 0, 0);
        assert!(!interrupted.is_constant(&usual, false, true));
        interrupted.push(Mark::for_test(7, Fault::None), Some(1_001), 0, 0);
        assert!(interrupted.is_constant(&usual, false, true));
    }

    #[test]
    fn what_inputs_tenants_or_training_explain_is_not() {
        let usual = expected(&[100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 0]);
        assert!(
            !run(5_000, |_| 7, |row| row % 4, |_| 0).is_constant(&usual, false, true),
            "four requests, repeated"
        );
        assert!(
            run(5_000, |_| 7, |row| row % 4, |_| 0).is_constant(&usual, false, false),
            "a feature has no inputs"
        );
        assert!(!run(5_000, |_| 7, |row| row, |_| 3).is_constant(&usual, true, true), "one tenant's");
        assert!(run(5_000, |_| 7, |row| row, |row| row as u32 % 2).is_constant(&usual, true, true));
        let zeros = expected(&[950, 50, 0]);
        assert!(!run(400, |_| 0, |row| row, |_| 0).is_constant(&zeros, false, true), "95 % zeros");
        assert!(run(700, |_| 0, |row| row, |_| 0).is_constant(&zeros, false, true), "none but zeros");
        assert!(!run(100_000, |_| 0, |row| row, |_| 0).is_constant(&expected(&[1_000, 0, 0]), false, true));
    }

    #[test]
    fn different_inputs_are_estimated() {
        for n in [10_u64, 50, 200, 2_000, 50_000] {
            let mut inputs = Inputs([0; REGISTERS]);
            (0..n).for_each(|i| inputs.add(i));
            (0..n).for_each(|i| inputs.add(i));
            let error = inputs.estimate() / n as f64;
            assert!((0.6..1.6).contains(&error), "{n}: {error}");
        }
    }
}
