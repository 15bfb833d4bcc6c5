//! Simulates run lengths of the detector, with and without a change:
//! `cargo run --release -p stats --example detector_arl -- 5000 0 1 n 400 10000`
//! for 5 000 reference rows, a smallest effect of 0, slices of one row, a numeric feature (`c`: categorical), 400 runs and
//! 10 000 rows between false alarms. It prints for each threshold, as a share of those rows, the mean number of rows
//! between false alarms and the mean delays. `stats::detect::kappa` was fitted to its first column.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::sync::Arc;

use stats::detect::{Detector, DetectorBins, FeaturePlan, Plan, Settings};

/// Rows before a change, at least, and after it, at most.
const WARM_UP: usize = 4_500;
const HORIZON: usize = 10_000;

const SHARES: [f64; 8] = [0.30, 0.22, 0.16, 0.12, 0.08, 0.06, 0.04, 0.02];
const SHIFTED: [f64; 8] = [0.22, 0.22, 0.16, 0.20, 0.08, 0.06, 0.04, 0.02];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// What the values do; the first is no change.
fn changes(numeric: bool) -> &'static [&'static str] {
    if numeric { &["none", "+0.25 sd", "+0.5 sd", "+1 sd", "variance x1.5"] } else { &["none", "8 points"] }
}

fn draw(random: &mut Random, numeric: bool, change: usize) -> f64 {
    if !numeric {
        let shares = if change == 1 { SHIFTED } else { SHARES };
        let mut left = random.uniform();
        let at = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        return at.unwrap_or(7) as f64;
    }
    let z = random.normal();
    match change {
        1 => z + 0.25,
        2 => z + 0.5,
        3 => z + 1.0,
        4 => z * 1.5_f64.sqrt(),
        _ => z,
    }
}

fn reference(random: &mut Random, numeric: bool, rows: usize, min_effect: f64) -> (DetectorBins, Arc<Plan>) {
    let mut values: Vec<f64> = (0..rows).map(|_| draw(random, numeric, 0)).collect();
    values.sort_unstable_by(f64::total_cmp);
    let bins = DetectorBins::numeric(&values).unwrap();
    let mut counts = vec![0; bins.slots()];
    values.iter().for_each(|x| counts[bins.number(*x)] += 1);
    let mut layout = bins.layout();
    if !numeric {
        layout.ordered = 0;
    }
    (bins, Arc::new(Plan::new(vec![FeaturePlan::new(counts, layout)], min_effect).unwrap()))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rows, min_effect, slice, kind, runs, arl0] = &args[..] else {
        println!(
            "arguments: reference rows, smallest effect, rows a slice, n or c, runs, rows between false alarms"
        );
        return;
    };
    let (rows, slice, runs): (usize, u32, u64) =
        (rows.parse().unwrap(), slice.parse().unwrap(), runs.parse().unwrap());
    let (min_effect, arl0): (f64, f64) = (min_effect.parse().unwrap(), arl0.parse().unwrap());
    let numeric = kind == "n";
    let thresholds: Vec<f64> = (0..24).map(|i| 0.02 * 1.2_f64.powi(i)).collect();
    let changes = changes(numeric);
    let mut waited = vec![vec![(0.0, 0_u64); thresholds.len()]; changes.len()];
    for run in 0..runs {
        let mut random = Random(run * 7_919 + 12_345);
        let (bins, plan) = reference(&mut random, numeric, rows, min_effect);
        for (change, waited) in waited.iter_mut().enumerate() {
            let (begin, end) = if change == 0 {
                (0, 3 * arl0 as usize)
            } else {
                let begin = WARM_UP + (random.uniform() * 1_000.0) as usize;
                (begin, begin + HORIZON)
            };
            // The evidence itself, without a threshold.
            let settings = Settings { arl0: f64::MAX, strict: true, ..Settings::default() };
            let mut detector = Detector::new(plan.clone(), settings);
            let mut next = 0;
            for row in 0..end {
                let x = draw(&mut random, numeric, if row < begin { 0 } else { change });
                detector.push(&[bins.number(x) as u8]);
                if detector.open_rows() < slice {
                    continue;
                }
                detector.close();
                let evidence = detector.evidence_ratio() * f64::MAX;
                while next < thresholds.len() && evidence >= thresholds[next] * arl0 {
                    if row >= begin {
                        waited[next].0 += (row + 1 - begin) as f64;
                        waited[next].1 += 1;
                    }
                    next += 1;
                }
            }
            // Not found: as long as it was looked for. Without a change that is exposure without an alarm.
            for waited in &mut waited[next..] {
                waited.0 += (end - begin) as f64;
                waited.1 += u64::from(change > 0);
            }
        }
    }
    println!("threshold  {}", changes.join("  ").replace("none", "between false alarms"));
    for (at, threshold) in thresholds.iter().enumerate() {
        let mean = |(sum, n): (f64, u64)| format!("{:.0}", sum / n.max(1) as f64);
        let means: Vec<String> = waited.iter().map(|waited| mean(waited[at])).collect();
        println!("{threshold:.4}  {}", means.join("  "));
    }
}
