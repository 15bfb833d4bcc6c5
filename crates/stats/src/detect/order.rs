//! How much successive rows resemble each other.

/// Longest lag looked at.
const MAX_LAG: usize = 1_000;

/// No series is tempered by more.
const MAX_TIME: f64 = 100.0;

/// A correlation below so many standard errors of a series without any is taken for none.
const NOISE_ERRORS: f64 = 2.0;

/// The integrated autocorrelation time of a series in its order: so many rows carry the information of one independent
/// row. From 1 to 100; 1 where no correlation shows.
///
/// # Formula
///
/// `1 + 2 sum rho_k`, with Geyer's initial positive sequence: pairs `rho_2j + rho_2j+1` are added while they are positive
/// (here: more than the noise of an independent series).
#[must_use]
pub fn autocorrelation_time(series: &[f64]) -> f64 {
    let n = series.len();
    let mean = series.iter().sum::<f64>() / n as f64;
    let variance: f64 = series.iter().map(|x| (x - mean).powi(2)).sum();
    // What rounding leaves of a series that does not vary at all is no variance.
    let squares: f64 = series.iter().map(|x| x * x).sum();
    if n < 20 || variance.is_nan() || variance <= 1e-12 * squares {
        return 1.0;
    }
    let rho = |lag: usize| {
        let products = series.iter().zip(&series[lag..]).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>() / variance
    };
    let noise = NOISE_ERRORS / (n as f64).sqrt();
    let first = rho(1);
    if first <= noise {
        return 1.0;
    }
    let mut sum = 1.0 + first;
    let mut lag = 2;
    while lag < (n / 10).min(MAX_LAG) {
        let pair = rho(lag) + rho(lag + 1);
        if pair <= noise * std::f64::consts::SQRT_2 {
            break;
        }
        sum += pair;
        lag += 2;
    }
    (2.0 * sum - 1.0).clamp(1.0, MAX_TIME)
}
