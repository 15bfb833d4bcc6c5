//! What happens without drift: live values drawn from the baseline's own distribution, 2,000 times, fixed seed.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use stats::{Bins, NumericBins};

const REPEATS: usize = 2000;
const REFERENCE: u64 = 10_000;
const BINS: usize = 10;

/// SplitMix64: enough for a simulation, and the same on every machine.
struct Random(u64);

impl Random {
    /// A number in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn draw(random: &mut Random, bins: &NumericBins, rows: u64) -> Vec<u64> {
    let mut counts = vec![0; bins.len() + 1];
    for _ in 0..rows {
        counts[bins.index(random.uniform()).unwrap()] += 1;
    }
    counts
}

/// Over all repeats: the mean PSI, and how often it was above a limit.
#[derive(Debug)]
struct Outcome {
    mean: f64,
    mean_smoothed: f64,
    above_fixed: f64,
    above_critical: f64,
    above_critical_smoothed: f64,
}

fn simulate(n: u64) -> Outcome {
    let numeric = NumericBins::equal_width(0.0, 1.0, BINS).unwrap();
    let bins = Bins::from(numeric.clone());
    let critical = stats::psi_critical(BINS, n, REFERENCE, 0.01).unwrap();
    let mut random = Random(n);
    let (mut floored, mut smoothed) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let reference = draw(&mut random, &numeric, REFERENCE);
        let current = draw(&mut random, &numeric, n);
        floored.push(stats::psi_and_js(&bins, &reference, &current).unwrap().0);
        smoothed.push(stats::jeffreys::psi(&reference[..BINS], &current[..BINS]).unwrap());
    }
    let mean = |psi: &[f64]| psi.iter().sum::<f64>() / REPEATS as f64;
    let above =
        |psi: &[f64], limit: f64| psi.iter().filter(|psi| **psi > limit).count() as f64 / REPEATS as f64;
    Outcome {
        mean: mean(&floored),
        mean_smoothed: mean(&smoothed),
        above_fixed: above(&floored, 0.2),
        above_critical: above(&floored, critical),
        above_critical_smoothed: above(&smoothed, critical),
    }
}

/// Asserts that `got` is within `tolerance` (relative) of `expected`.
fn near(got: f64, expected: f64, tolerance: f64, what: &str, n: u64) {
    assert!((got / expected - 1.0).abs() < tolerance, "n {n}: {what} {got}, expected {expected}");
}

#[test]
fn the_mean_psi_is_the_noise_and_false_alarms_keep_their_rate() {
    for n in [50, 200, 1000, 5000] {
        let outcome = simulate(n);
        let noise = stats::psi_noise(BINS, n, REFERENCE);
        near(outcome.mean_smoothed, noise, 0.08, "mean of the smoothed PSI", n);
        // 1 % with 2,000 repeats: a standard deviation of 0.22 %.
        assert!(outcome.above_critical_smoothed < 0.018, "n {n}: {outcome:?}");
        if n >= 200 {
            near(outcome.mean, noise, 0.05, "mean PSI", n);
            assert!(outcome.above_critical < 0.022, "n {n}: {outcome:?}");
        }
    }
}

#[test]
fn flooring_inflates_the_psi_of_a_tiny_window() {
    // With 5 expected rows a bin, one of ten bins is empty in 5 % of the windows and then adds 0.7: no window this
    // small may decide by its floored PSI.
    let outcome = simulate(50);
    near(outcome.mean, 1.3 * stats::psi_noise(BINS, 50, REFERENCE), 0.05, "mean PSI", 50);
    assert!(outcome.above_critical > 0.03, "{outcome:?}");
}

#[test]
fn a_fixed_limit_cannot_be_right_for_every_window() {
    assert!(simulate(50).above_fixed > 0.2, "0.2 at 50 rows is noise");
    assert_eq!(simulate(1000).above_fixed, 0.0);
}
