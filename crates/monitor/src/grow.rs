//! Learned references grow: rows that were judged and found unchanged join what they were judged by.
//!
//! The first rows of a feature arm it. Their number is small, and so is the time that they cover: their sampling error is as
//! large as the smallest change that a detector looks for, and the night is not among them. So later rows of the version that
//! clients get are collected in the bins that were cut, and join the reference in this order:
//!
//! 1. *pending*: counted since the last stretch was full;
//! 2. *held*: a full stretch, until another one has gone by. Whatever is found meanwhile (drift, a fault of the data) takes both
//!    away, so that no change joins the reference in whose rows it is found;
//! 3. *ripe*: passed, and waiting until the reference would double, or cover a day, or its whole time;
//! 4. then they are part of the reference, if they are like its first stretch. A trend that is too slow for the detector, because
//!    the reference follows it, ends there: its rows are left out, and the reference says that the feature is not stationary.
//!
//! A [`Growing`] is one feature's, of whatever rows its reference is made; [`crate::model::Model::grow`] feeds those of the total.

mod collect;
mod words;

use serde::Serialize;
use stats::Bins;

use crate::features::Frozen;
use crate::quality::Expected;

pub(crate) use collect::Growth;
pub use words::{GrowthReading, GrowthStage};

/// A reference is provisional until it covers so much, or all that it may where that is less.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Rows of a stretch: as many as the first rows, within these bounds.
const MIN_STRETCH: u64 = 1_000;
const MAX_STRETCH: u64 = 10_000;

/// The first stretch grows to so many times the rows that were learned, so that small differences from it can be seen.
const FIRST_GROWS: u64 = 8;

/// A feature is not stationary when its newest rows differ from its first ones by more than this debiased PSI (0.15 standard
/// deviations), and by more than chance explains with this probability.
const TREND_PSI: f64 = 0.02;
const TREND_ALPHA: f64 = 1e-4;

/// Rows of one feature, as counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stretch {
    /// In the bins that are shown; empty while there are no rows.
    pub(crate) shown: Vec<u64>,
    /// In the detector's own bins; empty without rows that it has seen.
    pub(crate) detector: Vec<u64>,
    /// Values that were looked at for the reference's range, and how many lay outside.
    pub(crate) values: u64,
    pub(crate) outside: u64,
    /// The time that the rows cover, milliseconds.
    pub(crate) covers_ms: i64,
    /// The newest of its rows, and the oldest.
    pub(crate) to_ms: i64,
    pub(crate) from_ms: i64,
}

impl Stretch {
    /// An empty one that begins where another ended.
    fn after(to_ms: i64) -> Self {
        Self { to_ms, from_ms: to_ms, ..Self::default() }
    }

    pub(crate) fn rows(&self) -> u64 {
        sum(&self.shown)
    }

    /// Whether these rows take the place of the first ones: the rows by which categories were chosen have more of those that were
    /// chosen than whatever comes later, for no other reason.
    fn replaces(&self, bins: &Bins, counts: &[u64], learned: u64) -> bool {
        !bins.is_ordered() && sum(counts) <= learned && self.rows() >= learned
    }

    /// Adds the rows of a later one.
    fn join(&mut self, later: &Self) {
        if self.shown.is_empty() {
            self.from_ms = later.from_ms;
        }
        add(&mut self.shown, &later.shown);
        add(&mut self.detector, &later.detector);
        self.values = self.values.saturating_add(later.values);
        self.outside = self.outside.saturating_add(later.outside);
        self.covers_ms = self.covers_ms.saturating_add(later.covers_ms);
        self.to_ms = later.to_ms;
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
}

/// Adds counts to others of the same bins, or to none yet.
pub(crate) fn add(sums: &mut Vec<u64>, counts: &[u64]) {
    if sums.is_empty() {
        sums.resize(counts.len(), 0);
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum = sum.saturating_add(*count);
    }
}

/// How far one feature's reference has grown, and what may join it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Growing {
    /// The first stretch, in the bins that are shown, and the rows that were learned.
    pub(crate) first: Vec<u64>,
    pub(crate) learned: u64,
    /// Rows that were taken into it, those that have left it again included.
    pub(crate) taken: u64,
    /// The first and the newest row of the reference, unix milliseconds, and the time that its rows cover, milliseconds.
    pub(crate) since_ms: i64,
    pub(crate) until_ms: i64,
    pub(crate) covers_ms: i64,
    /// Values outside the range of the first rows, and of how many, those first ones included.
    pub(crate) outside: f64,
    pub(crate) values: f64,
    /// The newest rows were left out because they are not like the first ones: since when.
    pub(crate) trend_ms: Option<i64>,
    pub(crate) pending: Stretch,
    pub(crate) held: Option<Stretch>,
    pub(crate) ripe: Stretch,
}

impl Growing {
    /// Of a reference that was learned from rows since `since_ms`.
    pub(crate) fn new(frozen: &Frozen, since_ms: i64) -> Self {
        Self::of(frozen.counts.clone(), frozen.expected.outside, (since_ms, frozen.at_ms))
    }

    /// Of counts in the bins that are shown, this share of whose values is expected outside the range, and of the time that they cover.
    pub(crate) fn of(first: Vec<u64>, outside: Option<f64>, (since_ms, until_ms): (i64, i64)) -> Self {
        let learned = sum(&first);
        let rows = learned as f64 + 1.0;
        Self {
            first,
            learned,
            taken: learned,
            since_ms,
            until_ms,
            covers_ms: until_ms.saturating_sub(since_ms).max(0),
            outside: outside.unwrap_or(0.0) * rows,
            values: rows,
            trend_ms: None,
            pending: Stretch::after(until_ms),
            held: None,
            ripe: Stretch::after(until_ms),
        }
    }

    /// Whether it covers all that it may, milliseconds.
    pub(crate) fn is_settled(&self, grow_ms: i64) -> bool {
        self.covers_ms >= grow_ms
    }

    /// Rows of a stretch.
    fn stretch_rows(&self) -> u64 {
        self.learned.clamp(MIN_STRETCH, MAX_STRETCH)
    }

    /// Moves a full stretch on: the one before it has been followed by as many rows in which nothing was found.
    pub(crate) fn step(&mut self) {
        if self.pending.rows() < self.stretch_rows() {
            return;
        }
        let next = Stretch::after(self.pending.to_ms);
        let mut full = std::mem::replace(&mut self.pending, next);
        full.covers_ms = full.to_ms.saturating_sub(full.from_ms).max(0);
        if let Some(passed) = self.held.replace(full) {
            self.ripe.join(&passed);
        }
    }

    /// Something was found, in rows up to `at_ms`: what has not been followed by a calm stretch is no reference.
    pub(crate) fn forget(&mut self, at_ms: i64) {
        self.held = None;
        self.pending = Stretch::after(self.pending.to_ms.max(at_ms));
    }

    /// A drift was found that began before so many rows: nothing that came since joins the reference.
    pub(crate) fn forget_since(&mut self, rows_ago: u64, at_ms: i64) {
        let later = self.pending.rows() + self.held.as_ref().map_or(0, Stretch::rows);
        self.forget(at_ms);
        if rows_ago >= later {
            self.ripe = Stretch::after(self.pending.to_ms);
        }
    }

    /// Whether what is ripe is to join the reference now.
    pub(crate) fn is_due(&self, grow_ms: i64) -> bool {
        let ripe = self.ripe.rows();
        let then = self.covers_ms.saturating_add(self.ripe.covers_ms);
        let reaches = |mark: i64| self.covers_ms < mark && then >= mark;
        ripe > 0 && (ripe >= self.taken || reaches(DAY_MS.min(grow_ms)) || reaches(grow_ms))
    }

    /// Takes what is ripe, to be added to the reference; `None` if there is nothing, or if it is not like the first stretch. `tau`
    /// successive rows count as one.
    pub(crate) fn take_ripe(&mut self, bins: &Bins, tau: f64) -> Option<Stretch> {
        if self.ripe.shown.is_empty() {
            return None;
        }
        let ripe = std::mem::take(&mut self.ripe);
        self.ripe = Stretch::after(ripe.to_ms);
        if differs(bins, &self.first, &ripe.shown, tau) {
            self.trend_ms.get_or_insert(ripe.from_ms);
            return None;
        }
        self.trend_ms = None;
        if ripe.replaces(bins, &self.first, self.learned) {
            self.first.clone_from(&ripe.shown);
        } else if sum(&self.first) < self.learned.saturating_mul(FIRST_GROWS) {
            add(&mut self.first, &ripe.shown);
        }
        self.taken = self.taken.saturating_add(ripe.rows());
        self.until_ms = ripe.to_ms;
        self.covers_ms = self.covers_ms.saturating_add(ripe.covers_ms);
        self.outside += ripe.outside as f64;
        self.values += ripe.values as f64;
        Some(ripe)
    }

    /// Forgets whatever waits: it does not grow any more.
    pub(crate) fn rest(&mut self) {
        self.pending = Stretch::after(self.pending.to_ms);
        (self.held, self.ripe) = (None, Stretch::after(self.until_ms));
    }

    /// The share of values outside the range of the first rows.
    pub(crate) fn outside_share(&self) -> f64 {
        (self.outside / self.values.max(1.0)).clamp(0.0, 1.0)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of = |stretch: &Stretch| (stretch.shown.capacity() + stretch.detector.capacity()) * 8;
        let held = self.held.as_ref().map_or(0, of);
        size_of::<Self>() + self.first.capacity() * 8 + of(&self.pending) + held + of(&self.ripe)
    }
}

/// Whether rows are not like the first ones.
fn differs(bins: &Bins, first: &[u64], newest: &[u64], tau: f64) -> bool {
    let size = stats::jeffreys::debiased_psi(first, newest, tau).unwrap_or(0.0);
    size > TREND_PSI && stats::beyond_chance(bins, first, newest, tau, TREND_ALPHA)
}

impl Frozen {
    /// Adds rows to the reference, which was learned from so many. `outside`: the share of all its values outside the range of its
    /// first rows.
    pub(crate) fn grow(&mut self, more: &Stretch, learned: u64, outside: f64) {
        if more.shown.len() != self.counts.len() {
            return;
        }
        let replaces = more.replaces(&self.bins, &self.counts, learned);
        if replaces {
            self.counts.fill(0);
        }
        add(&mut self.counts, &more.shown);
        self.rows = sum(&self.counts);
        if let Some(detector) = &mut self.detector
            && more.detector.len() == detector.counts.len()
        {
            let seen = sum(&more.detector);
            if replaces && seen >= learned / 2 {
                detector.counts.fill(0);
            }
            add(&mut detector.counts, &more.detector);
            // The detector counts no row without a value; how many there are, the bins that are shown know.
            let missing = more.shown.get(self.bins.missing()).copied().unwrap_or(0) as f64;
            let (values, seen) = (more.rows() as f64 - missing, seen as f64);
            if let Some(last) = detector.counts.last_mut().filter(|_| values > 0.0) {
                *last = last.saturating_add((seen * missing / values).round() as u64);
            }
        }
        self.expect(outside);
    }

    /// Makes the checks of values follow the reference, with this share of values outside the range.
    pub(crate) fn expect(&mut self, outside: f64) {
        let (types, judged) = (self.expected.types, self.role.is_judged());
        let fresh = Expected::new(&self.bins, &self.counts, self.detector.as_ref(), judged);
        *self.expected = fresh.with_outside(outside);
        self.expected.types = types;
    }
}

/// A feature whose newest rows are not like its first ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trend {
    /// Its name.
    pub feature: std::sync::Arc<str>,
    /// Since when they are left out of the reference, unix milliseconds.
    pub since_ms: i64,
}

#[cfg(test)]
mod tests;
