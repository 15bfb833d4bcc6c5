//! Drills: synthetic drift of a chosen size, and windows that are put back afterwards.

use std::sync::Arc;

use record::{Cell, FeatureValue};
use stats::{Bins, FLOOR};

use crate::engine::Engine;
use crate::features::{Frozen, Side};
use crate::profile::slot_of;

/// Features that a drill moves.
const SHIFTED_FEATURES: usize = 3;

/// Most rows that one call makes.
const MAX_ROWS: usize = 100_000;

/// A category that no reference holds; where one does, values of `other` are not drawn.
const UNSEEN: &str = "driftline-drill";

/// One synthetic request: features by name.
pub type DrillRow = Vec<(Arc<str>, FeatureValue)>;

/// Why a drill did not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    /// No model of this name is configured.
    #[error("model `{model}` is not configured")]
    UnknownModel {
        /// The name.
        model: String,
    },
    /// A drill of this model is going on.
    #[error("a drill of model `{model}` is going on: end it first")]
    Running {
        /// The model.
        model: String,
    },
}

impl Engine {
    /// Remembers the model's windows, so that [`Engine::end_drill`] can put them back. What is observed in between leaves
    /// no trace, real traffic included; [`Engine::snapshot`] stores what was remembered. The tenants named are the drill's: rows
    /// of theirs are drawn from the reference of all, so that this is theirs as well.
    ///
    /// # Errors
    ///
    /// [`DrillError`].
    pub fn begin_drill(&mut self, model: &str, tenants: &[String]) -> Result<(), DrillError> {
        let Some(found) = self.find_mut(model) else {
            return Err(DrillError::UnknownModel { model: model.to_owned() });
        };
        if !found.begin_drill() {
            return Err(DrillError::Running { model: model.to_owned() });
        }
        for tenant in tenants {
            found.state.adopt(&found.rules, tenant.as_bytes());
        }
        Ok(())
    }

    /// Puts the windows back that [`Engine::begin_drill`] remembered. Without a drill nothing happens.
    pub fn end_drill(&mut self, model: &str) {
        if let Some(found) = self.find_mut(model) {
            found.end_drill();
        }
    }

    /// Synthetic rows that drift by `target_psi`: every feature is drawn from the reference's bins, and in up to three
    /// of them a share of the rows is moved into one far bin, just so many that the PSI against the reference is the
    /// target. Bins get their exact share of `rows` (to one row), in an order that depends on `seed` alone.
    ///
    /// `None` for a model without a reference, a target that is negative or not finite, or one that no feature can
    /// reach. At most 100 000 rows.
    pub fn drill_rows(&self, model: &str, target_psi: f64, rows: usize, seed: u64) -> Option<Vec<DrillRow>> {
        let features: Vec<(&Arc<str>, &Frozen)> = self
            .find(model)?
            .state
            .features
            .iter()
            .filter(|feature| feature.side == Side::Features && feature.role().is_judged())
            .filter_map(|feature| Some((&feature.name, feature.frozen().filter(|frozen| frozen.rows > 0)?)))
            .collect();
        if !(target_psi.is_finite() && target_psi >= 0.0) {
            return None;
        }
        let shares: Vec<Vec<f64>> = features.iter().map(|(_, frozen)| reachable_shares(frozen)).collect();
        let moved = move_some(&features, &shares, target_psi)?;
        let mut table = vec![Vec::with_capacity(features.len()); rows.min(MAX_ROWS)];
        for (at, (name, frozen)) in features.iter().enumerate() {
            let mut random = SplitMix(seed ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let slots = drawn(&moved[at], table.len(), &mut random);
            for (row, slot) in table.iter_mut().zip(slots) {
                row.push(((*name).clone(), value(&frozen.bins, slot)));
            }
        }
        Some(table)
    }
}

/// A value that is counted in `slot`.
fn value(bins: &Bins, slot: usize) -> FeatureValue {
    match bins {
        _ if slot >= bins.missing() => FeatureValue::Null,
        Bins::Numeric(numeric) => FeatureValue::Number(numeric.representative(slot)),
        Bins::Categorical(categorical) => match categorical.categories().get(slot) {
            Some(category) => FeatureValue::Text(category.clone()),
            None => FeatureValue::Text(UNSEEN.to_owned()),
        },
    }
}

fn can_draw(bins: &Bins, slot: usize) -> bool {
    let value = value(bins, slot);
    let cell = match &value {
        FeatureValue::Number(x) => Cell::Number(*x),
        FeatureValue::Text(text) => Cell::Text(text),
        // Not made here.
        FeatureValue::Card(_) | FeatureValue::Bool(_) | FeatureValue::Null => Cell::Missing,
    };
    slot_of(bins, cell, &mut String::new()) == slot
}

/// The reference's shares; what cannot be drawn has none.
fn reachable_shares(frozen: &Frozen) -> Vec<f64> {
    let share = |(slot, count): (usize, &u64)| {
        if *count > 0 && can_draw(&frozen.bins, slot) { *count as f64 / frozen.rows as f64 } else { 0.0 }
    };
    frozen.counts.iter().enumerate().map(share).collect()
}

/// The bin that is farthest from what is usual: of numbers the emptier end, of categories the rarest that is known (a
/// model may refuse one that it has never seen).
fn far_bin(bins: &Bins, shares: &[f64]) -> usize {
    let last = match bins {
        Bins::Numeric(numeric) => {
            let last = numeric.len() - 1;
            return if shares[0] < shares[last] { 0 } else { last };
        }
        Bins::Categorical(categorical) => categorical.categories().len().max(1),
    };
    (0..last).min_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap_or(0)
}

/// `(1 - weight)` of the shares and `weight` of the far bin.
fn mixture(shares: &[f64], far: usize, weight: f64) -> Vec<f64> {
    let mut mixed: Vec<f64> = shares.iter().map(|share| share * (1.0 - weight)).collect();
    mixed[far] += weight;
    mixed
}

/// Shares after the drift; `None` if no feature reaches the target. Numbers are preferred: they read better.
fn move_some(features: &[(&Arc<str>, &Frozen)], shares: &[Vec<f64>], target: f64) -> Option<Vec<Vec<f64>>> {
    let mut moved = shares.to_vec();
    let mut order: Vec<usize> = (0..features.len()).collect();
    order.sort_by_key(|at| !features[*at].1.bins.is_ordered());
    let mut left = SHIFTED_FEATURES;
    for at in order {
        let frozen = features[at].1;
        let far = far_bin(&frozen.bins, &shares[at]);
        if left > 0
            && can_draw(&frozen.bins, far)
            && let Some(weight) = solve(frozen, &shares[at], far, target)
        {
            moved[at] = mixture(&shares[at], far, weight);
            left -= 1;
        }
    }
    (left < SHIFTED_FEATURES).then_some(moved)
}

/// The weight at which the mixture's PSI against the reference is the target; PSI grows with it.
fn solve(frozen: &Frozen, shares: &[f64], far: usize, target: f64) -> Option<f64> {
    let floored = |shares: &[f64]| shares.iter().map(|share| share.max(FLOOR)).collect::<Vec<f64>>();
    let reference: Vec<f64> = frozen.counts.iter().map(|count| *count as f64 / frozen.rows as f64).collect();
    let reference = floored(&reference);
    let psi = |weight: f64| stats::distance::psi(&reference, &floored(&mixture(shares, far, weight)));
    if psi(1.0) < target {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if psi(middle) < target { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

/// `rows` slots in random order, each as often as its share says, to one row. Systematic sampling: equally spaced points
/// with a random start, so that many small draws together keep the shares as well as one large one.
fn drawn(shares: &[f64], rows: usize, random: &mut SplitMix) -> Vec<usize> {
    let total: f64 = shares.iter().sum();
    let start = random.fraction();
    let (mut slots, mut slot) = (Vec::with_capacity(rows), 0);
    let mut up_to = shares.first().copied().unwrap_or(0.0);
    for row in 0..rows {
        let point = (row as f64 + start) / rows as f64 * total;
        while point >= up_to && shares[slot + 1..].iter().any(|share| *share > 0.0) {
            slot += 1;
            up_to += shares[slot];
        }
        slots.push(slot);
    }
    for at in (1..slots.len()).rev() {
        slots.swap(at, (random.next() % (at as u64 + 1)) as usize);
    }
    slots
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): enough for shuffling, the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1).
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
#[path = "drill_tests.rs"]
mod tests;
