//! What a detector watches: made once from the reference, shared by every detector of the model.

use std::sync::Arc;

use super::dictionary::{Layout, basis};
use super::evidence::Table;
use super::order::autocorrelation_time;
use crate::jeffreys::smoothed_shares;

/// A reference with fewer rows arms no detector.
pub const MIN_REFERENCE_ROWS: u64 = 100;

/// Most slots: one byte is kept free for rows that say nothing.
const MAX_SLOTS: usize = 255;

/// Counts the changes of the dictionary: evidence that another one gathered means something else.
const DICTIONARY: u64 = 2;

/// Why a detector cannot watch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to watch.
    #[error("a detector needs at least one feature")]
    NoFeatures,
    /// Too few rows.
    #[error(
        "feature `{feature}` has `{rows}` reference rows: a detector needs at least {MIN_REFERENCE_ROWS}"
    )]
    SmallReference {
        /// Number of the feature, from 0.
        feature: usize,
        /// Its rows.
        rows: u64,
    },
    /// Counts and slots do not agree.
    #[error(
        "feature `{feature}` has `{counts}` counts for `{slots}` slots: use one a slot, 2 to {MAX_SLOTS}"
    )]
    Slots {
        /// Number of the feature, from 0.
        feature: usize,
        /// Counts given.
        counts: usize,
        /// Slots stated.
        slots: usize,
    },
}

/// One feature as the detector sees it.
#[derive(Clone, Debug)]
pub struct FeaturePlan {
    /// Reference counts per slot.
    pub counts: Vec<u64>,
    /// Which slots are in order.
    pub layout: Layout,
    /// Autocorrelation time of the reference, at least 1: log evidence is divided by it.
    pub tau: f64,
    /// Weight in the average, relative to the others.
    pub weight: f64,
}

impl FeaturePlan {
    /// A feature of independent rows and weight 1.
    #[must_use]
    pub fn new(counts: Vec<u64>, layout: Layout) -> Self {
        Self { counts, layout, tau: 1.0, weight: 1.0 }
    }

    /// The autocorrelation time of rows in their order, given as slots: the larger one of the scores for location and
    /// spread; of a categorical feature that of its most frequent category. Their number must be that of the counts.
    #[must_use]
    pub fn measured_tau(&self, slots: &[u8]) -> f64 {
        let n_slots = self.counts.len();
        let series = |score: &[f64]| -> Vec<f64> {
            slots.iter().map(|slot| score.get(usize::from(*slot)).copied().unwrap_or(0.0)).collect()
        };
        if self.layout.ordered < 2 {
            let most = (0..n_slots).max_by_key(|slot| self.counts[*slot]).unwrap_or(0);
            let score: Vec<f64> = (0..n_slots).map(|slot| f64::from(u8::from(slot == most))).collect();
            return autocorrelation_time(&series(&score));
        }
        let p = smoothed_shares(&self.counts[..self.layout.ordered]);
        let scores = basis(&p);
        scores.iter().take(2).map(|score| autocorrelation_time(&series(score))).fold(1.0, f64::max)
    }
}

/// Everything that detectors of one model and reference share.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) features: Vec<FeaturePlan>,
    pub(crate) tables: Vec<Arc<Table>>,
    /// Weights in the average, sum one.
    pub(crate) shares: Vec<f64>,
    /// Where each feature's slots begin among all.
    pub(crate) offsets: Vec<usize>,
    /// Slots of all features.
    pub(crate) slots: usize,
    fingerprint: u64,
}

impl Plan {
    /// Makes the tables. `min_effect` is the size of a difference that nobody cares about, in standard deviations of a
    /// standardised score; 0.05 is the default of the program.
    ///
    /// # Errors
    ///
    /// [`PlanError`].
    pub fn new(features: Vec<FeaturePlan>, min_effect: f64) -> Result<Self, PlanError> {
        if features.is_empty() {
            return Err(PlanError::NoFeatures);
        }
        for (feature, plan) in features.iter().enumerate() {
            let (counts, slots) = (plan.counts.len(), plan.layout.slots);
            if counts != slots || !(2..=MAX_SLOTS).contains(&slots) || plan.layout.ordered > slots {
                return Err(PlanError::Slots { feature, counts, slots });
            }
            let rows = plan.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
            if rows < MIN_REFERENCE_ROWS {
                return Err(PlanError::SmallReference { feature, rows });
            }
        }
        let total: f64 = features.iter().map(|feature| feature.weight).sum();
        let table = |f: &FeaturePlan| Table::new(&f.counts, f.layout, f.tau.max(1.0), min_effect.max(0.0));
        let tables: Vec<Arc<Table>> = features.iter().map(|f| Arc::new(table(f))).collect();
        let mut offsets = Vec::with_capacity(features.len());
        let mut slots = 0;
        for feature in &features {
            offsets.push(slots);
            slots += feature.counts.len();
        }
        let shares = features.iter().map(|feature| feature.weight / total).collect();
        let fingerprint = fingerprint(&features, min_effect);
        Ok(Self { features, tables, shares, offsets, slots, fingerprint })
    }

    /// The features, in the order of their numbers.
    #[must_use]
    pub fn features(&self) -> &[FeaturePlan] {
        &self.features
    }

    /// A number that two plans share only if a slot means the same to both.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Alternatives of the widest feature.
    pub(crate) fn width(&self) -> usize {
        self.tables.iter().map(|table| table.width()).max().unwrap_or(0)
    }

    /// Bytes held, estimated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.memory_bytes()).sum::<usize>() + self.slots * 16
    }

    /// Room for a slice of this plan's features.
    #[must_use]
    pub fn slice(&self) -> Slice {
        Slice { fingerprint: self.fingerprint, rows: 0, counts: vec![0; self.slots] }
    }
}

/// FNV-1a over everything that decides what a slot and its evidence mean.
fn fingerprint(features: &[FeaturePlan], min_effect: f64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |number: u64| {
        for byte in number.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(DICTIONARY);
    add(min_effect.to_bits());
    for feature in features {
        add(feature.layout.ordered as u64);
        add(feature.tau.to_bits());
        add(feature.weight.to_bits());
        add(feature.counts.len() as u64);
        feature.counts.iter().for_each(|count| add(*count));
    }
    hash
}

/// Rows that were counted together: what replicas exchange. Adding is associative and commutative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// [`Plan::fingerprint`].
    pub fingerprint: u64,
    /// Rows in it.
    pub rows: u32,
    /// Counts of all features' slots, one feature after the other.
    pub counts: Vec<u32>,
}

/// Why slices were not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// They belong to other references.
    #[error("the slice belongs to another reference: every replica needs the same profile and settings")]
    OtherPlan,
    /// A feature has more rows than the slice.
    #[error("feature `{feature}` of the slice has more counts than the slice has rows")]
    Counts {
        /// Number of the feature, from 0.
        feature: usize,
    },
}

impl Slice {
    /// Adds another replica's slice of the same time.
    ///
    /// # Errors
    ///
    /// [`SliceError::OtherPlan`].
    pub fn merge(&mut self, other: &Self) -> Result<(), SliceError> {
        if self.fingerprint != other.fingerprint || self.counts.len() != other.counts.len() {
            return Err(SliceError::OtherPlan);
        }
        self.rows = self.rows.saturating_add(other.rows);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        Ok(())
    }

    /// Counts a row: a slot for each feature of `plan`; [`super::ABSENT`] says nothing, as does a slot that is not there.
    pub fn add(&mut self, plan: &Plan, slots: &[u8]) {
        self.rows = self.rows.saturating_add(1);
        for ((slot, offset), feature) in slots.iter().zip(&plan.offsets).zip(&plan.features) {
            if usize::from(*slot) < feature.counts.len() {
                let count = &mut self.counts[offset + usize::from(*slot)];
                *count = count.saturating_add(1);
            }
        }
    }
}
