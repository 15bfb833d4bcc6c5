//! The evidence for each alternative of one feature, and the table of what a slot does to it.

use std::sync::Arc;

use super::dictionary::{Alternative, Dictionary, Layout, Recipe};
use super::threshold::kappa;
use crate::jeffreys::smoothed_shares;

/// Sums are kept in this many lanes, so that they vectorise.
const LANES: usize = 4;

/// No evidence grows beyond: products stay finite.
const CAP: f64 = 1e200;

/// `exp` of more is beyond the cap anyway.
const MAX_EXPONENT: f64 = 460.0;

/// One bin is named as what changed, or one side, only if it explains that so many times better than a change of the whole.
const SIMPLER: f64 = 5.0;

/// A dead zone is at least this many standard errors of the reference.
const REFERENCE_ERRORS: f64 = 2.0;

/// What each slot adds to each alternative: made once from the reference, shared by every detector of the feature.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) alternatives: Vec<Alternative>,
    /// Of a numeric feature.
    ordered: bool,
    dead_zone: f64,
    /// Number of alternatives, padded to a multiple of [`LANES`].
    width: usize,
    weights: Vec<f64>,
    /// PSI of each alternative against the reference.
    sizes: Vec<f64>,
    /// By slot, then by alternative: the tempered logarithm of the shrunk ratio.
    logs: Vec<f64>,
    /// Its exponential.
    lifts: Vec<f64>,
}

impl Table {
    /// The table for reference counts, requests of which only each `tau`-th is independent, and differences below
    /// `min_effect` (standard deviations of a standardised score) that nobody cares about.
    pub(crate) fn new(counts: &[u64], layout: Layout, tau: f64, min_effect: f64) -> Self {
        let p = smoothed_shares(counts);
        let rows = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count)) as f64;
        let dead_zone = (REFERENCE_ERRORS / (rows / tau).sqrt()).max(min_effect);
        let dictionary = Dictionary::new(&p, layout, &Recipe::DEFAULT);
        Self::with_dead_zone(dictionary, &p, layout.ordered > 0, tau, dead_zone)
    }

    pub(crate) fn with_dead_zone(
        dictionary: Dictionary,
        p: &[f64],
        ordered: bool,
        tau: f64,
        dead_zone: f64,
    ) -> Self {
        let width = dictionary.weights.len().next_multiple_of(LANES);
        let size = |ratios: &Vec<f64>| p.iter().zip(ratios).map(|(p, l)| p * (l - 1.0) * l.ln()).sum();
        let sizes = dictionary.ratios.iter().map(size).collect();
        let mut logs = vec![0.0; width * p.len()];
        for (k, ratios) in dictionary.ratios.iter().enumerate() {
            let second: f64 = p.iter().zip(ratios).map(|(p, ratio)| p * ratio * ratio).sum();
            let spread = (second - 1.0).max(0.0).sqrt();
            let shrink = (dead_zone * spread).ln_1p();
            for (slot, ratio) in ratios.iter().enumerate() {
                logs[slot * width + k] = (ratio.ln() - shrink) / tau;
            }
        }
        let mut weights = dictionary.weights;
        weights.resize(width, 0.0);
        let lifts = logs.iter().map(|log| log.exp()).collect();
        Self { alternatives: dictionary.alternatives, ordered, dead_zone, width, weights, sizes, logs, lifts }
    }

    /// [`kappa`] at this mean number of rows a slice.
    pub(crate) fn kappa(&self, slice_rows: f64) -> f64 {
        kappa(self.ordered, self.dead_zone, slice_rows)
    }

    fn row(&self, slot: usize) -> std::ops::Range<usize> {
        slot * self.width..(slot + 1) * self.width
    }

    pub(crate) fn slots(&self) -> usize {
        self.logs.len() / self.width
    }
}

/// Shiryaev-Roberts statistics and, for dating the change, cumulative sums, one of each an alternative.
#[derive(Clone, Debug)]
pub struct Evidence {
    table: Arc<Table>,
    pub(crate) r: Vec<f64>,
    pub(crate) w: Vec<f64>,
    /// The row at which each cumulative sum last left zero; whole numbers.
    pub(crate) start: Vec<f64>,
    /// The weighted mean of `r`.
    pub(crate) sum: f64,
}

// === impl Evidence ===

impl Evidence {
    pub(crate) fn new(table: Arc<Table>, row: u64) -> Self {
        let width = table.width;
        Self { table, r: vec![0.0; width], w: vec![0.0; width], start: vec![row as f64; width], sum: 0.0 }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Evidence back to nothing, from row `row` on.
    pub(crate) fn reset(&mut self, row: u64) {
        self.r.fill(0.0);
        self.w.fill(0.0);
        self.start.fill(row as f64);
        self.sum = 0.0;
    }

    /// One row in `slot`; the next row has the number `next`.
    pub(crate) fn row(&mut self, slot: usize, next: u64) -> f64 {
        let table = &*self.table;
        let next = next as f64;
        let mut sums = [0.0; LANES];
        let (r, _) = self.r.as_chunks_mut::<LANES>();
        let (w, _) = self.w.as_chunks_mut::<LANES>();
        let (start, _) = self.start.as_chunks_mut::<LANES>();
        let (lifts, _) = table.lifts[table.row(slot)].as_chunks::<LANES>();
        let (logs, _) = table.logs[table.row(slot)].as_chunks::<LANES>();
        let (weights, _) = table.weights.as_chunks::<LANES>();
        for (((((r, w), start), lift), log), weight) in
            r.iter_mut().zip(w).zip(start).zip(lifts).zip(logs).zip(weights)
        {
            for lane in 0..LANES {
                let grown = (r[lane] + 1.0) * lift[lane];
                r[lane] = if grown < CAP { grown } else { CAP };
                let sum = w[lane] + log[lane];
                let over = sum > 0.0;
                w[lane] = if over { sum } else { 0.0 };
                start[lane] = if over { start[lane] } else { next };
                sums[lane] += weight[lane] * r[lane];
            }
        }
        self.sum = sums.iter().sum();
        self.sum
    }

    /// `rows` rows of which `counts` lie in each slot, their order unknown; `scratch` has room for every alternative.
    /// Rows that are in no slot say nothing.
    pub(crate) fn slice(&mut self, counts: &[u32], rows: u32, next: u64, scratch: &mut [f64]) -> f64 {
        let table = &*self.table;
        let gains = &mut scratch[..table.width];
        gains.fill(0.0);
        for (slot, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            for (gain, log) in gains.iter_mut().zip(&table.logs[table.row(slot)]) {
                *gain += count * log;
            }
        }
        let (next, rows) = (next as f64, f64::from(rows));
        let mut total = 0.0;
        for (k, gain) in gains.iter().enumerate() {
            let grown = (self.r[k] + rows) * gain.min(MAX_EXPONENT).exp();
            self.r[k] = if grown < CAP { grown } else { CAP };
            let sum = self.w[k] + gain;
            if sum > 0.0 {
                self.w[k] = sum;
            } else {
                (self.w[k], self.start[k]) = (0.0, next);
            }
            total += table.weights[k] * self.r[k];
        }
        self.sum = total;
        total
    }

    /// The weighted mean again, after the statistics were put back.
    pub(crate) fn recount(&mut self) -> f64 {
        self.sum = self.r.iter().zip(&self.table.weights).map(|(r, weight)| r * weight).sum();
        self.sum
    }

    /// Rows that say nothing about this feature.
    pub(crate) fn idle(&mut self, rows: u32) -> f64 {
        let mut total = 0.0;
        for (r, weight) in self.r.iter_mut().zip(&self.table.weights) {
            *r = (*r + f64::from(rows)).min(CAP);
            total += weight * *r;
        }
        self.sum = total;
        total
    }

    /// The change that most of the evidence is for, its strengths taken together, the row from which on it holds, and its
    /// PSI at the strength that explains best.
    pub(crate) fn leading(&self) -> Option<(Alternative, u64, f64)> {
        let weighed = |k: usize| self.r[k] * self.table.weights[k];
        let alternatives = &self.table.alternatives;
        let together = |k: usize| -> f64 {
            let same = |other: &usize| alternatives[*other] == alternatives[k];
            let sum: f64 = (0..alternatives.len()).filter(same).map(weighed).sum();
            if matches!(alternatives[k], Alternative::Bump { .. }) { sum / SIMPLER } else { sum }
        };
        let sums: Vec<f64> = (0..alternatives.len()).map(together).collect();
        let most = (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b]))?;
        let most = self.one_sided(most, &sums).unwrap_or(most);
        let alike = (0..sums.len()).filter(|k| alternatives[*k] == alternatives[most]);
        let at = alike.max_by(|a, b| weighed(*a).total_cmp(&weighed(*b)))?;
        Some((alternatives[at], self.start[at] as u64, self.table.sizes[at]))
    }
}

impl Evidence {
    /// A wider spread shows on both sides. Where one tail alone explains so many times better than both, it is a change of
    /// that side: its tail, or a shift towards it, whichever explains more.
    fn one_sided(&self, most: usize, sums: &[f64]) -> Option<usize> {
        let alternatives = &self.table.alternatives;
        if alternatives[most] != (Alternative::Tilt { order: 2, up: true }) {
            return None;
        }
        let place = |wanted: Alternative| alternatives.iter().position(|known| *known == wanted);
        let both = sums[place(Alternative::Tail { low: true, high: true })?];
        let low = place(Alternative::Tail { low: true, high: false })?;
        let high = place(Alternative::Tail { low: false, high: true })?;
        let tail = if sums[high] > sums[low] { high } else { low };
        let shift = place(Alternative::Tilt { order: 1, up: tail == high })?;
        (sums[tail] > SIMPLER * both).then_some(if sums[shift] > sums[tail] { shift } else { tail })
    }
}

impl Table {
    /// Bytes held, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.logs.len() + self.lifts.len() + self.weights.len()) * 8 + self.alternatives.len() * 4
    }

    /// Alternatives with their padding.
    pub(crate) fn width(&self) -> usize {
        self.width
    }
}
