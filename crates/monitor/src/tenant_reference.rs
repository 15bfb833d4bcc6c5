//! What each tenant sends when all is well.
//!
//! Tenants differ from each other: compared with the reference of all, every one of them has drifted. Each is compared with its own
//! first rows, in the bins of the reference; of a prediction for each version. A reference begins with 200 rows and doubles until it
//! has as many as a window; before, the tenant is not judged. Rows that come while the total or the tenant drifts are no
//! reference, nor are rows that are not like those before.
//!
//! The total is compared with what its tenants' own references let expect, each with its share of the window: a customer who sends
//! more than before changes the total and is no drift.

use std::collections::{HashMap, VecDeque};

use crate::detector::{self, TenantCounts};
use crate::features::{Feature, FeatureTable, Frozen, Side};
use crate::learn::halves_differ;
use crate::profile::{Profile, TenantFeature};
use crate::tenants::Tenants;

/// Rows that a tenant's reference begins with.
pub(crate) const FIRST_ROWS: u64 = 200;

/// A tenant's first rows of one feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FirstRows {
    /// Rows that are not part of the reference yet, per slot of its bins: of a first half, and of a second.
    pub(crate) halves: [Vec<u64>; 2],
    /// The values among these rows as the detector sees them, in their order; empty for a tenant without a detector.
    pub(crate) watched: Vec<u8>,
    /// The reference so far.
    pub(crate) ready: Option<Ready>,
}

/// A tenant's reference of one feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ready {
    /// Per slot of the reference's bins.
    pub(crate) counts: Vec<u64>,
    /// Their sum.
    pub(crate) rows: u64,
    /// What the tenant's detector compares with; `None` for a tenant without one.
    pub(crate) watched: Option<TenantCounts>,
    /// Whether it stays as it is.
    pub(crate) fixed: bool,
}

impl FirstRows {
    fn is_empty(&self) -> bool {
        self.ready.is_none() && self.halves[0].is_empty()
    }

    /// Rows of the reference, or on their way to the first one.
    fn rows(&self) -> u64 {
        self.ready.as_ref().map_or_else(|| self.waiting(), |ready| ready.rows)
    }

    fn waiting(&self) -> u64 {
        self.halves.iter().flatten().sum()
    }

    fn is_full(&self, wanted: u64) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.fixed || ready.rows >= wanted)
    }

    /// Forgets rows that are no part of the reference yet.
    fn forget_waiting(&mut self) {
        (self.halves, self.watched) = Default::default();
    }

    /// Rows that the reference takes next: it begins with a few and doubles until it has `wanted`.
    fn step(&self, wanted: u64) -> u64 {
        match self.ready.as_ref().map_or(0, |ready| ready.rows) {
            0 => FIRST_ROWS.min(wanted),
            rows => rows.min(wanted.saturating_sub(rows)),
        }
    }

    /// Adds rows, as many as the reference takes next. They wait until somebody has looked whether anything drifts.
    fn push(&mut self, frozen: &Frozen, slots: &[u8], watched: impl Iterator<Item = u8>, wanted: u64) {
        let bins = frozen.bins.slots();
        if self.ready.as_ref().is_some_and(|ready| ready.counts.len() != bins) {
            self.ready = None;
        }
        if self.halves[0].len() != bins {
            (self.halves, self.watched) = ([vec![0; bins], vec![0; bins]], Vec::new());
        }
        let (step, mut rows) = (self.step(wanted), self.waiting());
        let left = step.saturating_sub(rows) as usize;
        for slot in slots.iter().take(left) {
            let half = &mut self.halves[usize::from(rows * 2 >= step)];
            if let Some(count) = half.get_mut(usize::from(*slot)) {
                *count += 1;
                rows += 1;
            }
        }
        self.watched.extend(watched.take(left));
    }

    /// Makes the waiting rows part of the reference when there are enough, unless they are not alike or not like it. True when it
    /// has changed.
    fn settle(&mut self, frozen: &Frozen, wanted: u64) -> bool {
        if self.is_full(wanted) || self.waiting() < self.step(wanted) {
            return false;
        }
        let ([first, second], watched) =
            (std::mem::take(&mut self.halves), std::mem::take(&mut self.watched));
        let differ = |one: &[u64], other: &[u64]| halves_differ(&frozen.bins, one, other, frozen.tau());
        let both: Vec<u64> = first.iter().zip(&second).map(|(first, second)| first + second).collect();
        let counts = (!watched.is_empty()).then(|| detector::tenant_counts(frozen, &watched)).flatten();
        let rows = both.iter().sum::<u64>();
        match &mut self.ready {
            Some(ready) if differ(&ready.counts, &both) => return false,
            Some(ready) => {
                ready.counts.iter_mut().zip(&both).for_each(|(sum, count)| *sum += count);
                ready.rows += rows;
                ready.watched = match (ready.watched.take(), counts) {
                    (Some(before), Some(new)) => Some(before.with(&new)),
                    (before, new) => before.or(new),
                };
            }
            None if differ(&first, &second) => {
                // Only the newer half may be what is usual from now on; of that there is not enough yet.
                let none = vec![0; second.len()];
                self.watched = watched[watched.len() / 2..].to_vec();
                self.halves = [second, none];
                return false;
            }
            None => self.ready = Some(Ready { counts: both, rows, watched: counts, fixed: false }),
        }
        true
    }
}

/// What one tenant sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfTenant {
    /// By the feature's number.
    inputs: Vec<FirstRows>,
    /// By version and the feature's number.
    answers: HashMap<(usize, usize), FirstRows>,
}

/// The references of all tenants, by the tenant's number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TenantReferences(Vec<Option<Box<OfTenant>>>);

/// A feature of a tenant's rows that is learned from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) tenant: u32,
    pub(crate) version: usize,
    pub(crate) feature: usize,
}

impl TenantReferences {
    /// The references of a profile's tenants, as many as have room. Predictions are learned, of each version.
    pub(crate) fn of_profile(profile: &Profile, features: &FeatureTable, tenants: &mut Tenants) -> Self {
        let mut all = Self::default();
        for of in &profile.tenants {
            let named = tenants.resolve(Some(of.name.as_bytes())).filter(|one| *one >= tenants.first_named());
            let Some(tenant) = named else { continue };
            for (at, feature) in features.iter().enumerate() {
                let place = profile.features.iter().position(|one| one.name == *feature.name);
                let known = place.and_then(|place| of.features.get(place));
                let fits = |of: &&TenantFeature| {
                    feature.frozen().is_some_and(|frozen| of.counts.len() == frozen.bins.slots())
                };
                let inputs = feature.side == Side::Features;
                if let Some(of) = known.filter(|_| inputs).filter(fits) {
                    let rows = of.counts.iter().sum();
                    let ready =
                        Ready { counts: of.counts.clone(), rows, watched: of.detector.clone(), fixed: true };
                    let first = FirstRows { ready: Some(ready), ..FirstRows::default() };
                    all.restore(Place { tenant, version: 0, feature: at }, feature.side, first);
                }
            }
        }
        all
    }

    /// Adds rows of a feature to those that wait.
    pub(crate) fn learn(
        &mut self,
        place: Place,
        feature: &Feature,
        slots: &[u8],
        watched: impl Iterator<Item = u8>,
        wanted: u64,
    ) {
        let Some(frozen) = feature.frozen() else { return };
        let first = self.first_mut(place, feature.side);
        if !first.is_full(wanted) {
            first.push(frozen, slots, watched, wanted);
        }
    }

    /// Whether the rows that wait are like the reference of all.
    pub(crate) fn is_like(&self, place: Place, feature: &Feature, base: &[u64]) -> bool {
        let (Some(first), Some(frozen)) = (self.first(place, feature.side), feature.frozen()) else {
            return false;
        };
        let [one, other] = &first.halves;
        let both: Vec<u64> = one.iter().zip(other).map(|(one, other)| one + other).collect();
        !both.is_empty() && !halves_differ(&frozen.bins, base, &both, frozen.tau())
    }

    /// Makes rows that wait part of the reference, once there are enough. True when it has changed.
    pub(crate) fn settle(&mut self, place: Place, feature: &Feature, wanted: u64) -> bool {
        let Some(frozen) = feature.frozen() else { return false };
        self.first(place, feature.side).is_some()
            && self.first_mut(place, feature.side).settle(frozen, wanted)
    }

    fn first_mut(&mut self, place: Place, side: Side) -> &mut FirstRows {
        let tenant = place.tenant as usize;
        if self.0.len() <= tenant {
            self.0.resize(tenant + 1, None);
        }
        let of = self.0[tenant].get_or_insert_default();
        match side {
            Side::Predictions => of.answers.entry((place.version, place.feature)).or_default(),
            Side::Features => {
                if of.inputs.len() <= place.feature {
                    of.inputs.resize(place.feature + 1, FirstRows::default());
                }
                &mut of.inputs[place.feature]
            }
        }
    }

    fn first(&self, place: Place, side: Side) -> Option<&FirstRows> {
        let of = self.0.get(place.tenant as usize)?.as_ref()?;
        match side {
            Side::Predictions => of.answers.get(&(place.version, place.feature)),
            Side::Features => of.inputs.get(place.feature),
        }
    }

    /// The tenant's own reference, if there are rows enough in bins of so many slots.
    pub(crate) fn get(&self, place: Place, side: Side, slots: usize) -> Option<&Ready> {
        let ready = self.first(place, side)?.ready.as_ref()?;
        (ready.counts.len() == slots).then_some(ready)
    }

    /// Whether it has as many rows as it will ever have.
    pub(crate) fn is_full(&self, place: Place, side: Side, wanted: u64) -> bool {
        self.first(place, side).is_some_and(|first| first.is_full(wanted))
    }

    /// How many rows there are of it.
    pub(crate) fn rows(&self, place: Place, side: Side) -> u64 {
        self.first(place, side).map_or(0, FirstRows::rows)
    }

    /// Forgets rows of a feature that have not become a reference: they came while something was changing.
    pub(crate) fn forget_waiting_of(&mut self, feature: usize) {
        for of in self.0.iter_mut().flatten() {
            let inputs = of.inputs.get_mut(feature);
            let answers = of.answers.iter_mut().filter(|((_, at), _)| *at == feature).map(|(_, first)| first);
            inputs.into_iter().chain(answers).for_each(FirstRows::forget_waiting);
        }
    }

    /// The same, of one tenant.
    pub(crate) fn forget_waiting(&mut self, place: Place, side: Side) {
        if self.first(place, side).is_some() {
            self.first_mut(place, side).forget_waiting();
        }
    }

    /// Forgets what tenants were answered by a version.
    pub(crate) fn forget_version(&mut self, version: usize) {
        for of in self.0.iter_mut().flatten() {
            of.answers.retain(|(at, _), _| *at != version);
        }
    }

    /// Takes the reference of all for a tenant's own, where it has none.
    pub(crate) fn adopt(&mut self, place: Place, side: Side, frozen: &Frozen) {
        let first = self.first_mut(place, side);
        if first.ready.is_none() {
            let watched = detector::all_as_tenant(frozen);
            first.ready =
                Some(Ready { counts: frozen.counts.clone(), rows: frozen.rows, watched, fixed: true });
        }
    }

    /// Puts back what was stored; false when something is there.
    pub(crate) fn restore(&mut self, place: Place, side: Side, first: FirstRows) -> bool {
        let here = self.first_mut(place, side);
        here.is_empty() && {
            *here = first;
            true
        }
    }

    /// Everything, in an order that is always the same.
    pub(crate) fn sorted(&self) -> Vec<(Place, Side, &FirstRows)> {
        let mut all = Vec::new();
        for (tenant, of) in self.0.iter().enumerate() {
            let Some(of) = of else { continue };
            let at = |version, feature| Place { tenant: tenant as u32, version, feature };
            let inputs = of.inputs.iter().enumerate();
            all.extend(inputs.map(|(feature, first)| (at(0, feature), Side::Features, first)));
            let mut answers: Vec<_> = of.answers.iter().collect();
            answers.sort_unstable_by_key(|(key, _)| **key);
            let answer = |((version, feature), first)| (at(version, feature), Side::Predictions, first);
            all.extend(answers.into_iter().map(|(key, first)| answer((*key, first))));
        }
        all.retain(|(_, _, first)| !first.is_empty());
        all
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let first = |first: &FirstRows| {
            let counts = first.halves.iter().map(Vec::len).sum::<usize>();
            let ready = first.ready.as_ref().map_or(0, |ready| {
                ready.counts.len() + ready.watched.as_ref().map_or(0, |watched| watched.counts.len())
            });
            size_of::<FirstRows>() + (counts + ready) * 8 + first.watched.len()
        };
        let of = |of: &OfTenant| {
            of.inputs.iter().map(first).sum::<usize>()
                + of.answers.values().map(|one| first(one) + 32).sum::<usize>()
        };
        self.0.len() * 8 + self.0.iter().flatten().map(|one| of(one)).sum::<usize>()
    }
}

/// Whose the newest rows of a total are, by side. Rows without a tenant are [`NOBODY`]'s.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owners {
    /// Oldest first.
    rows: [VecDeque<u32>; 2],
    /// Rows of each tenant among them.
    counts: [HashMap<u32, u64>; 2],
}

/// The owner of rows that name no tenant.
pub(crate) const NOBODY: u32 = u32::MAX;

impl Owners {
    /// Takes note of rows of one side.
    pub(crate) fn push(&mut self, side: Side, tenant: Option<u32>, rows: usize, capacity: usize) {
        let (owners, counts) = (&mut self.rows[side as usize], &mut self.counts[side as usize]);
        let rows = rows.min(capacity);
        if rows == 0 {
            return;
        }
        let over = (owners.len() + rows).saturating_sub(capacity);
        for gone in owners.drain(..over) {
            if let Some(count) = counts.get_mut(&gone) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&gone);
                }
            }
        }
        let tenant = tenant.unwrap_or(NOBODY);
        owners.extend(std::iter::repeat_n(tenant, rows));
        *counts.entry(tenant).or_insert(0) += rows as u64;
    }

    /// Rows of each tenant among the newest `n` of a side.
    pub(crate) fn of_newest(&self, side: Side, n: usize) -> Vec<(u32, u64)> {
        let owners = &self.rows[side as usize];
        if n >= owners.len() {
            return self.counts[side as usize].iter().map(|(tenant, rows)| (*tenant, *rows)).collect();
        }
        let mut counts = HashMap::new();
        for tenant in owners.iter().rev().take(n) {
            *counts.entry(*tenant).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// The owners of a side's rows, oldest first.
    pub(crate) fn iter(&self, side: Side) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.rows[side as usize].iter().copied()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.rows.iter().map(|rows| rows.capacity() * 4).sum::<usize>();
        rows + self.counts.iter().map(|counts| counts.capacity() * 17).sum::<usize>()
    }
}

/// What a total lets expect: `(weight, counts)` of each part, mixed by their weights. The sum is the number of rows that estimate it
/// as well: parts of `m` rows with weights `w` that add up to one have the variance of `1 / sum(w^2 / m)` rows.
pub(crate) fn mixed(parts: &[(u64, &[u64])], slots: usize) -> Option<Vec<u64>> {
    let total: u64 = parts.iter().map(|(weight, _)| weight).sum();
    let rows = |counts: &[u64]| counts.iter().fold(0.0, |sum, count| sum + *count as f64);
    let parts: Vec<(f64, &[u64], f64)> = parts
        .iter()
        .filter(|(weight, counts)| *weight > 0 && counts.len() == slots)
        .map(|(weight, counts)| (*weight as f64 / total as f64, *counts, rows(counts)))
        .filter(|(_, _, rows)| *rows > 0.0)
        .collect();
    let variance: f64 = parts.iter().map(|(weight, _, rows)| weight * weight / rows).sum();
    if variance <= 0.0 {
        return None;
    }
    let scale = 1.0 / variance;
    let share = |slot: usize| {
        parts.iter().map(|(weight, counts, rows)| weight * counts[slot] as f64 / rows).sum::<f64>()
    };
    Some((0..slots).map(|slot| (share(slot) * scale).round() as u64).collect())
}
