//! How much evidence is an alarm, and which features it names.

/// Beyond this many rows a slice changes nothing any more.
const MAX_SLICE_ROWS: f64 = 512.0;

/// The evidence at which one feature alone raises an alarm, over the wanted mean number of rows between false ones.
///
/// One would be proven to do, for any dependence between features and any number of them. But evidence overshoots, the
/// dead zone holds it back most of the time, and after a slice of many rows it is looked at only once. What is given back
/// here comes from simulation (`crates/stats/examples/detector_arl.rs` repeats it): references of 300 to 20 000 rows, slices of 1 to
/// 256 rows, one false alarm in 10 000 rows, and for numbers in 100 000 with up to 5 000 rows of reference; 200 to 800
/// references each. The mean run between false alarms comes out at the wanted one or above, within the 4 to 7 % that so
/// many references leave open: small references, long runs and a smallest effect above what the reference is too small to
/// know hold evidence back further.
///
/// `ordered`: a numeric feature; `dead_zone` as it is in force; `slice_rows` the mean number of rows added at once.
#[must_use]
pub fn kappa(ordered: bool, dead_zone: f64, slice_rows: f64) -> f64 {
    let more = slice_rows.clamp(1.0, MAX_SLICE_ROWS) - 1.0;
    if ordered {
        0.81 / (1.0 + 61.0 * dead_zone) / (1.0 + 0.085 * more.powf(0.8))
    } else {
        0.78 / (1.0 + 72.0 * dead_zone) / (1.0 + 0.03 * more.powf(0.6))
    }
}

/// Which of many hypotheses to reject, given e-values, so that at most a share `alpha` of the rejected ones is expected to
/// be true, however the e-values depend on each other. One answer an e-value, in their order; a NaN is never rejected.
///
/// Wang and Ramdas 2022: sort descending, find the largest `k` with `k e_(k) / d >= 1 / alpha`, reject the first `k`.
#[must_use]
pub fn e_benjamini_hochberg(e_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = e_values.iter().copied().filter(|e| !e.is_nan()).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let d = e_values.len() as f64;
    let enough = |(i, e): &(usize, &f64)| (*i + 1) as f64 * **e / d >= 1.0 / alpha;
    let limit = sorted.iter().enumerate().rev().find(enough).map(|(_, e)| *e);
    e_values.iter().map(|e| limit.is_some_and(|limit| *e >= limit)).collect()
}
