//! Distances on Jeffreys-smoothed shares: `p_b = (r_b + 1/2) / (m + B/2)`, on both sides.
//!
//! Half an observation added to every bin keeps all logarithms finite without a special case, and, unlike flooring,
//! does not inflate PSI where a bin is empty: at nominal 1 % false alarms stay at 1 % where flooring gives up to 12 %.
//! Decisions (critical values, p-values, severities) rest on these. `B` counts all slots of the slices.

use crate::distance;
use crate::shares::total;

/// What is added to every count.
pub const SMOOTHING: f64 = 0.5;

/// All distances between two smoothed counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothedDistances {
    /// Population stability index, in [0, inf).
    pub psi: f64,
    /// Kullback-Leibler divergence of the current shares from the reference's, in nats, in [0, inf).
    pub kl: f64,
    /// Jensen-Shannon divergence in bits, in [0, 1].
    pub js_divergence: f64,
    /// Its square root, in [0, 1].
    pub js_distance: f64,
    /// Hellinger distance, in [0, 1].
    pub hellinger: f64,
    /// Total variation, in [0, 1].
    pub total_variation: f64,
    /// Kolmogorov-Smirnov statistic on the bins, in [0, 1]; means something only for ordered bins.
    pub ks_on_bins: f64,
    /// Cohen's effect size `sqrt(sum (q - p)^2 / p)`, about `sqrt(psi)`.
    pub effect_size: f64,
}

/// Smoothed shares of all slots: positive, sum one. No slots give no shares.
#[must_use]
pub fn smoothed_shares(counts: &[u64]) -> Vec<f64> {
    let total = total(counts) + SMOOTHING * counts.len() as f64;
    counts.iter().map(|count| (*count as f64 + SMOOTHING) / total).collect()
}

/// The size of the difference between two counts: PSI of smoothed shares less what chance adds to it on average, at least 0.
/// Slots that both leave empty do not take part; `tau` successive rows count as one. Does not allocate.
///
/// `None`: too little data (a side has no values), or slices of different lengths.
#[must_use]
pub fn debiased_psi(reference: &[u64], current: &[u64], tau: f64) -> Option<f64> {
    let (m, n) = (total(reference), total(current));
    if reference.len() != current.len() || m <= 0.0 || n <= 0.0 {
        return None;
    }
    let used = || reference.iter().zip(current).filter(|(r, c)| **r > 0 || **c > 0);
    let slots = used().count() as f64;
    let (p_total, q_total) = (m + SMOOTHING * slots, n + SMOOTHING * slots);
    let term = |(r, c): (&u64, &u64)| {
        let (p, q) = ((*r as f64 + SMOOTHING) / p_total, (*c as f64 + SMOOTHING) / q_total);
        (q - p) * (q / p).ln()
    };
    let noise = (slots - 1.0) * tau.max(1.0) * (1.0 / n + 1.0 / m);
    Some((used().map(term).sum::<f64>() - noise).max(0.0))
}

/// All smoothed distances of `current` from `reference`.
///
/// `None`: too little data (a side has no values), or slices of different lengths.
#[must_use]
pub fn distances(reference: &[u64], current: &[u64]) -> Option<SmoothedDistances> {
    let (p, q) = both(reference, current)?;
    let js_divergence = distance::js_divergence(&p, &q);
    let squares: f64 = p.iter().zip(&q).map(|(p, q)| (q - p).powi(2) / p).sum();
    Some(SmoothedDistances {
        psi: distance::psi(&p, &q),
        kl: distance::kl(&p, &q).max(0.0),
        js_divergence,
        js_distance: js_divergence.sqrt(),
        hellinger: distance::hellinger(&p, &q),
        total_variation: distance::total_variation(&p, &q),
        ks_on_bins: distance::ks_on_bins(&p, &q),
        effect_size: squares.sqrt(),
    })
}

/// Smoothed PSI alone: the number to debias and to compare with a critical value.
///
/// `None`: too little data (a side has no values), or slices of different lengths.
#[must_use]
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (p, q) = both(reference, current)?;
    Some(distance::psi(&p, &q))
}

fn both(reference: &[u64], current: &[u64]) -> Option<(Vec<f64>, Vec<f64>)> {
    if reference.len() != current.len() || total(reference) == 0.0 || total(current) == 0.0 {
        return None;
    }
    Some((smoothed_shares(reference), smoothed_shares(current)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_little_data_is_not_zero() {
        assert_eq!(distances(&[0, 0], &[1, 0]), None);
        assert_eq!(psi(&[1, 0], &[0, 0]), None);
        assert_eq!(psi(&[1, 0], &[1, 0, 0]), None);
        assert!(smoothed_shares(&[]).is_empty());
    }

    #[test]
    fn small_shifts_agree_to_second_order() {
        let reference = [100_000, 200_000, 400_000, 200_000, 100_000];
        let current = [101_000, 199_000, 401_500, 199_000, 99_500];
        let d = distances(&reference, &current).unwrap();
        let scale = d.psi;
        for same in [
            2.0 * d.kl,
            8.0 * d.hellinger.powi(2),
            8.0 * std::f64::consts::LN_2 * d.js_divergence,
            d.effect_size.powi(2),
        ] {
            assert!((same / scale - 1.0).abs() < 0.01, "{same} against {scale}");
        }
    }

    proptest! {
        #[test]
        fn smoothed_distances_are_finite_and_in_range(
            (reference, current) in (1usize..30).prop_flat_map(|slots| {
                let side = prop::collection::vec(0u64..100_000, slots);
                (side.clone(), side)
            }),
        ) {
            let size = crate::detect::measure(&reference, &current, 1.0).map(|size| size.debiased);
            prop_assert_eq!(size.is_some(), debiased_psi(&reference, &current, 1.0).is_some());
            if let (Some(size), Some(quick)) = (size, debiased_psi(&reference, &current, 1.0)) {
                prop_assert!((size - quick).abs() <= 1e-12 * (1.0 + size), "{size} against {quick}");
            }
            if let Some(d) = distances(&reference, &current) {
                prop_assert!(d.psi >= 0.0 && d.psi.is_finite() && d.kl >= 0.0 && d.effect_size.is_finite());
                for share in [d.js_divergence, d.js_distance, d.hellinger, d.total_variation] {
                    prop_assert!((0.0..=1.0).contains(&share));
                }
                prop_assert!(d.ks_on_bins <= d.total_variation + 1e-12);
            }
        }
    }
}
