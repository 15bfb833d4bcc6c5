//! How far the current counts lie from the reference's, as everyone shows it.
//!
//! PSI and KL use shares floored at [`FLOOR`], not renormalised; the others use plain shares, with `0 log 0 = 0`.
//! JS is in base 2, so it lies in [0, 1]. The slots `other` and `missing` are bins only if a side has values there.
//!
//! These are the numbers people compare with 0.1 and 0.25. In small windows flooring inflates them, therefore
//! decisions rest on [`crate::jeffreys`] and [`crate::sampling`].

use std::f64::consts::LN_2;

use crate::bins::Bins;
use crate::shares::{shares, total};

/// Smallest share PSI and KL work with: an empty bin would make them infinite.
pub const FLOOR: f64 = 1e-4;

/// All distances between two counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distances {
    /// Population stability index on floored shares, in [0, inf).
    pub psi: f64,
    /// Jensen-Shannon divergence in bits, in [0, 1].
    pub js_divergence: f64,
    /// Its square root, a metric, in [0, 1].
    pub js_distance: f64,
    /// Kullback-Leibler divergence of the current shares from the reference's, floored, in nats.
    /// Slightly negative values are possible because floored shares need not sum to one.
    pub kl: f64,
    /// Hellinger distance, in [0, 1].
    pub hellinger: f64,
    /// Total variation: the share of rows that moved, in [0, 1].
    pub total_variation: f64,
    /// Number of bins compared.
    pub bins: usize,
}

/// All distances of `current` from `reference`, both counts of [`Bins::slots`] entries.
///
/// `None`: too little data (a side has no values), or a slice of another length.
#[must_use]
pub fn distances(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<Distances> {
    let (p, q) = both_shares(bins, reference, current)?;
    let (p_floored, q_floored) = (floored(&p), floored(&q));
    let js_divergence = js_divergence(&p, &q);
    let dropped = (0..bins.slots()).filter(|slot| is_dropped(bins, reference, current, *slot)).count();
    // A dropped slot has the same share, zero, on both sides: it adds nothing to any sum.
    Some(Distances {
        psi: psi(&p_floored, &q_floored),
        js_divergence,
        js_distance: js_divergence.sqrt(),
        kl: kl(&p_floored, &q_floored),
        hellinger: hellinger(&p, &q),
        total_variation: total_variation(&p, &q),
        bins: bins.slots() - dropped,
    })
}

/// PSI and JS divergence only, as [`distances`] has them, without an allocation: for every feature on every tick.
///
/// `None`: too little data (a side has no values), or a slice of another length.
#[must_use]
pub fn psi_and_js(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<(f64, f64)> {
    if reference.len() != bins.slots() || current.len() != bins.slots() {
        return None;
    }
    let (m, n) = (total(reference), total(current));
    if m == 0.0 || n == 0.0 {
        return None;
    }
    let (mut psi, mut js) = (0.0, 0.0);
    for (r, c) in reference.iter().zip(current) {
        let (p, q) = (*r as f64 / m, *c as f64 / n);
        psi += psi_term(p.max(FLOOR), q.max(FLOOR));
        js += js_term(p, q);
    }
    Some((psi, bits(js)))
}

/// What each slot adds to PSI ([`Bins::slots`] entries, never negative); their sum is the PSI.
///
/// `None`: too little data (a side has no values), or a slice of another length.
#[must_use]
pub fn contributions(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<Vec<f64>> {
    let (p, q) = both_shares(bins, reference, current)?;
    Some(p.iter().zip(&q).map(|(p, q)| psi_term(p.max(FLOOR), q.max(FLOOR))).collect())
}

// === on shares ===
//
// All take two slices of one length, `p` the reference. What one slice has more is left out.

/// `sum (q - p) ln(q / p)`; every share must be above zero.
#[must_use]
pub fn psi(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| psi_term(*p, *q)).sum()
}

/// `sum q ln(q / p)`, in nats; every share must be above zero.
#[must_use]
pub fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| q * (q / p).ln()).sum()
}

/// `(KL(p || s) + KL(q || s)) / 2` in bits with `s = (p + q) / 2`, in [0, 1]; zeros are welcome.
#[must_use]
pub fn js_divergence(p: &[f64], q: &[f64]) -> f64 {
    bits(p.iter().zip(q).map(|(p, q)| js_term(*p, *q)).sum())
}

/// `sqrt(1 - sum sqrt(p q))`, in [0, 1], computed as `sqrt(sum (sqrt p - sqrt q)^2 / 2)`, which does not cancel.
#[must_use]
pub fn hellinger(p: &[f64], q: &[f64]) -> f64 {
    let squares: f64 = p.iter().zip(q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    (squares / 2.0).sqrt().min(1.0)
}

/// `sum |p - q| / 2`, in [0, 1].
#[must_use]
pub fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    let moved: f64 = p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum();
    (moved / 2.0).min(1.0)
}

/// The largest difference of the cumulated shares, in [0, 1]: Kolmogorov-Smirnov on ordered bins, a lower bound of
/// the statistic on the values.
#[must_use]
pub fn ks_on_bins(p: &[f64], q: &[f64]) -> f64 {
    let mut gap = 0.0;
    p.iter().zip(q).fold(0.0_f64, |largest, (p, q)| {
        gap += p - q;
        largest.max(gap.abs())
    })
}

// === helpers ===

#[inline]
fn psi_term(p: f64, q: f64) -> f64 {
    (q - p) * (q / p).ln()
}

/// `p ln(p / s) + q ln(q / s)`, `s = (p + q) / 2`.
#[inline]
fn js_term(p: f64, q: f64) -> f64 {
    let s = (p + q) / 2.0;
    let part = |share: f64| if share > 0.0 { share * (share / s).ln() } else { 0.0 };
    part(p) + part(q)
}

/// The sum of both divergences in nats as one divergence in bits; rounding must not leave [0, 1].
#[inline]
fn bits(nats: f64) -> f64 {
    (nats / (2.0 * LN_2)).clamp(0.0, 1.0)
}

fn both_shares(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<(Vec<f64>, Vec<f64>)> {
    if reference.len() != bins.slots() || current.len() != bins.slots() {
        return None;
    }
    Some((shares(reference)?, shares(current)?))
}

fn floored(shares: &[f64]) -> Vec<f64> {
    shares.iter().map(|share| share.max(FLOOR)).collect()
}

fn is_dropped(bins: &Bins, reference: &[u64], current: &[u64], slot: usize) -> bool {
    bins.droppable(slot) && reference[slot] == 0 && current[slot] == 0
}

#[cfg(test)]
#[path = "distance_tests.rs"]
mod tests;
