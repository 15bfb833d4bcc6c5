//! Two samples of a million numbers: Kolmogorov-Smirnov, Wasserstein and the detector's bins, sorted and through a grid.
//!
//! `cargo run --release -p stats --example grid_speed`. Times are processor time, as the kernel counts it (Linux).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not a library")]

use stats::detect::{DetectorBins, FEW_VALUES};
use stats::grid::{self, Grid, Picks, Questions, Side, Tally, Wanted};
use stats::{NumericBins, Ordered};

const ROWS: usize = 1_000_000;
const BATCH: usize = 8_192;

fn main() {
    for (name, shift) in [("alike", 0.0), ("shifted by 0.3", 0.3), ("heavy tails", 0.0)] {
        let bend = |x: f64| if name == "heavy tails" { (2.0 * x).exp() } else { x };
        let reference: Vec<f64> = normal(7).map(bend).take(ROWS).collect();
        let current: Vec<f64> = normal(8).map(|x| bend(x + shift)).take(ROWS).collect();
        let (sorted_ms, by_sorting) = timed(|| sorted(&reference, &current));
        let (grid_ms, (by_grid, looked_at)) = timed(|| through_grid(&reference, &current));
        assert_eq!(by_sorting.0, by_grid.0, "Kolmogorov-Smirnov");
        assert_eq!(by_sorting.2, by_grid.2, "bins");
        println!(
            "{name}: sorted {sorted_ms:.1} ms, grid {grid_ms:.1} ms; values looked at {looked_at}; Wasserstein {:e} and {:e}",
            by_sorting.1, by_grid.1
        );
    }
}

type Found = (f64, f64, DetectorBins);

fn sorted(reference: &[f64], current: &[f64]) -> Found {
    let (mut a, mut b) = (reference.to_vec(), current.to_vec());
    a.sort_unstable_by(f64::total_cmp);
    b.sort_unstable_by(f64::total_cmp);
    (stats::ks(&a, &b).unwrap(), stats::wasserstein(&a, &b).unwrap(), DetectorBins::numeric(&a).unwrap())
}

fn through_grid(reference: &[f64], current: &[f64]) -> (Found, u64) {
    let sample: Vec<f64> = reference.iter().step_by(128).copied().collect();
    let grid = Grid::around(&sample, ROWS as u64);
    let tallies = [reference, current].map(|sample| {
        let mut tally = Tally::new(grid);
        sample.chunks(BATCH).for_each(|batch| tally.add(batch));
        tally
    });
    let (lo, hi) = tallies[0].range().unwrap();
    let questions = Questions {
        ranks: DetectorBins::ranks(ROWS),
        edges: NumericBins::equal_width(lo, hi, 10).unwrap().inner_edges().to_vec(),
        atom: DetectorBins::atom(ROWS),
        few: FEW_VALUES,
        ..Questions::default()
    };
    let wanted = Wanted::new(&tallies[0], &tallies[1], &questions);
    let picks = [reference, current].map(|sample| {
        let mut picks = Picks::default();
        sample.chunks(BATCH).for_each(|batch| picks.add(&tallies[0], &wanted, batch));
        picks
    });
    let [left, right] = tallies;
    let [left_picks, right_picks] = picks;
    let sides = [Side::new(left, &wanted, left_picks), Side::new(right, &wanted, right_picks)];
    let looked_at = sides.iter().map(Side::picked).sum();
    let bins = DetectorBins::numeric_of(&sides[0]).unwrap().unwrap();
    let edge = sides[1].below(questions.edges[0]);
    assert!(edge.is_some());
    (
        (grid::ks(&sides[0], &sides[1]).unwrap(), grid::wasserstein(&sides[0], &sides[1]).unwrap(), bins),
        looked_at,
    )
}

/// Sums of twelve uniform numbers.
fn normal(mut state: u64) -> impl Iterator<Item = f64> {
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    std::iter::repeat_with(move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0)
}

fn timed<T>(work: impl Fn() -> T) -> (f64, T) {
    let start = cpu_ms();
    let mut found = work();
    for _ in 1..5 {
        found = work();
    }
    ((cpu_ms() - start) / 5.0, found)
}

fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
}
