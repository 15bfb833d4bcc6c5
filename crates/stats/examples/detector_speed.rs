//! Prints what the detector costs a row, 30 features: `cargo run --release -p stats --example detector_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use stats::detect::{Detector, DetectorBins, FeaturePlan, Plan, Settings};

const FEATURES: usize = 30;
const ROWS: usize = 200_000;

fn main() {
    let values: Vec<f64> = (0..5_000).map(|i| f64::from(i).sqrt()).collect();
    let bins = DetectorBins::numeric(&values).unwrap();
    let mut counts = vec![0; bins.slots()];
    values.iter().for_each(|x| counts[bins.number(*x)] += 1);
    let features = vec![FeaturePlan::new(counts, bins.layout()); FEATURES];
    let plan = Arc::new(Plan::new(features, 0.05).unwrap());
    let numbers: Vec<[f64; FEATURES]> = (0..1_000_usize)
        .map(|row| std::array::from_fn(|f| ((row * 7_919 + f * 104_729) % 5_000) as f64).map(f64::sqrt))
        .collect();
    for slice in [1, 8, 32, 256] {
        let settings = Settings { arl0: 1e12, ..Settings::default() };
        let mut detector = Detector::new(plan.clone(), settings);
        let mut slots = [0_u8; FEATURES];
        let start = Instant::now();
        for row in numbers.iter().cycle().take(ROWS) {
            slots.iter_mut().zip(black_box(row)).for_each(|(slot, x)| *slot = bins.number(*x) as u8);
            detector.push(&slots);
            if detector.open_rows() >= slice {
                black_box(detector.close());
            }
        }
        let cost = start.elapsed().as_nanos() / ROWS as u128;
        println!("{FEATURES} features, slices of {slice}: {cost} ns a row, bins included");
    }
    println!("state of one detector: {} kB", Detector::new(plan, Settings::default()).memory_bytes() / 1_000);
}
