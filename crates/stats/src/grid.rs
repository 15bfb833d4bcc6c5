//! Large samples of numbers compared exactly without sorting them.
//!
//! # Why
//! Kolmogorov-Smirnov, Wasserstein and bins cut at quantiles ask for sorted samples. Sorting two columns of a million rows
//! costs more than reading them, and needs all of their values in memory.
//!
//! # How
//! A first pass counts both samples into the narrow buckets of one [`Grid`] ([`Tally`]). That is enough to say *where*
//! everything that depends on single values lies: the buckets with the wanted ranks and edges, those in which the largest
//! difference of the two distribution functions may hide, those in which the difference may change its sign ([`Wanted`]).
//! A second pass picks the values of these few buckets out ([`Picks`]), and with them the answers are the ones that sorted
//! samples give ([`Side`], [`ks`], [`wasserstein`]): the same counts and ranks, and distances that differ in rounding alone.
//!
//! Samples that fit no grid (all values in a few buckets) end with more of their values picked; equal values are counted,
//! not kept.

mod pair;
mod pick;
#[cfg(test)]
mod tests;

pub use pair::{ks, wasserstein};
pub use pick::{Picks, Questions, Side, Wanted};

/// Doublings of the distance from the centre that have buckets of their own.
const OCTAVES: usize = 12;
/// Rows above which the buckets are narrower.
const MANY_ROWS: u64 = 2_000_000;
/// Numbers that are put into their buckets at a time.
const BLOCK: usize = 64;
/// Beyond this distance of smallest and largest value sums of values may overflow.
const WIDEST: f64 = 1e300;

/// A map from numbers to buckets that never decreases: narrow buckets of one width around the middle of a sample, and ever
/// wider ones towards the infinities.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    centre: f64,
    per_unit: f64,
    /// Buckets of one octave on one side, as a power of two.
    bits: u32,
}

impl Grid {
    /// A grid for about `rows` numbers that look like these. Any grid gives right results; one that fits is quicker.
    #[must_use]
    pub fn around(sample: &[f64], rows: u64) -> Self {
        let mut finite: Vec<f64> = sample.iter().copied().filter(|x| x.is_finite()).collect();
        finite.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| finite.get((finite.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        let centre = at(0.5);
        // The width of the narrower half without its tail; of a sample that hardly varies the whole of it, or its size.
        let narrower = (at(0.8) - centre).min(centre - at(0.2));
        let widths = [narrower, at(0.8) - at(0.2), at(0.999) - at(0.0), centre.abs() / 1024.0, 1.0];
        let usable = |width: &f64| *width > 0.0 && (1e-290..1e290).contains(&width.recip());
        let per_unit = widths.into_iter().find(usable).unwrap_or(1.0).recip();
        Self { centre, per_unit, bits: if rows > MANY_ROWS { 14 } else { 13 } }
    }

    /// The bucket of a number that is not NaN.
    #[must_use]
    #[inline]
    pub fn bucket(&self, x: f64) -> usize {
        // Each step keeps the order: rounding never makes the smaller of two numbers the larger.
        let distance = (x - self.centre) * self.per_unit;
        let octaves = (1.0 + distance.abs()).to_bits() - 1.0_f64.to_bits();
        let half = OCTAVES << self.bits;
        let step = ((octaves >> (52 - self.bits)) as usize).min(half - 1);
        if distance < 0.0 { half - 1 - step } else { half + step }
    }

    /// The buckets of some numbers, none of which is NaN: without a branch, so that the compiler takes several at a time.
    #[inline]
    fn block(&self, values: &[f64]) -> [u32; BLOCK] {
        let mut buckets = [0; BLOCK];
        let half = (OCTAVES as u32) << self.bits;
        for (bucket, x) in buckets.iter_mut().zip(values) {
            let distance = (x - self.centre) * self.per_unit;
            let octaves = (1.0 + distance.abs()).to_bits() - 1.0_f64.to_bits();
            let step = ((octaves >> (52 - self.bits)) as u32).min(half - 1);
            // Minus one minus the step on the left.
            let left = u32::from(distance < 0.0).wrapping_neg();
            *bucket = half.wrapping_add(step ^ left);
        }
        buckets
    }

    fn buckets(&self) -> usize {
        (2 * OCTAVES) << self.bits
    }
}

/// What a bucket holds of one sample.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    rows: u64,
    /// Of distances from the grid's centre.
    sum: f64,
}

/// One sample counted into the buckets of a grid.
#[derive(Clone, Debug)]
pub struct Tally {
    grid: Grid,
    buckets: Vec<Bucket>,
    /// Finite numbers.
    rows: u64,
    missing: u64,
    /// Minus and plus infinity.
    infinite: [u64; 2],
    range: (f64, f64),
}

impl Tally {
    /// An empty one.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        Self {
            grid,
            buckets: vec![Bucket::default(); grid.buckets()],
            rows: 0,
            missing: 0,
            infinite: [0; 2],
            range: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }

    /// Counts numbers; NaN is missing.
    pub fn add(&mut self, values: &[f64]) {
        for block in values.chunks(BLOCK) {
            if block.iter().all(|value| value.is_finite()) {
                self.add_finite(block);
            } else {
                self.add_mixed(block);
            }
        }
    }

    fn add_mixed(&mut self, block: &[f64]) {
        for value in block {
            if value.is_nan() {
                self.missing += 1;
            } else if value.is_infinite() {
                self.infinite[usize::from(*value > 0.0)] += 1;
            } else {
                self.add_finite(std::slice::from_ref(value));
            }
        }
    }

    /// At most a block of finite numbers.
    fn add_finite(&mut self, block: &[f64]) {
        self.rows += block.len() as u64;
        // Several ranges side by side: one would wait for itself at every number.
        let mut ranges = [self.range; 4];
        for four in block.chunks(4) {
            for ((lo, hi), value) in ranges.iter_mut().zip(four) {
                // A zero without a sign, whichever came first.
                let value = value + 0.0;
                *lo = if value < *lo { value } else { *lo };
                *hi = if value > *hi { value } else { *hi };
            }
        }
        self.range = ranges.into_iter().fold(self.range, |(lo, hi), (l, h)| (lo.min(l), hi.max(h)));
        let at = self.grid.block(block);
        for (value, at) in block.iter().zip(at) {
            if let Some(bucket) = self.buckets.get_mut(at as usize) {
                bucket.rows += 1;
                bucket.sum += value - self.grid.centre;
            }
        }
    }

    /// Finite numbers.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// NaNs.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// How often minus and plus infinity came.
    #[must_use]
    pub fn infinite(&self) -> [u64; 2] {
        self.infinite
    }

    /// Smallest and largest finite number; `None` if there is none.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        (self.rows > 0).then_some(self.range)
    }

    /// Whether sums of its values stay finite.
    fn is_narrow(&self) -> bool {
        let (lo, hi) = self.range;
        self.rows == 0 || ((lo - self.grid.centre).abs() < WIDEST && (hi - self.grid.centre).abs() < WIDEST)
    }
}
