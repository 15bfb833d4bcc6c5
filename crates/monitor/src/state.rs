//! Everything one model has counted: features, references, window sets.
//!
//! Kept apart from the model's settings so that it can be cloned before a drill, put back after it, and stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::{Decoded, Lane};

use crate::batch::Batch;
use crate::detector::{DetectorCounts, Watch};
use crate::features::{Feature, FeatureTable, Frozen, Side, Stage};
use crate::grow::Growth;
use crate::learn::{Column, Raw, Sets};
use crate::own::OwnAnswers;
use crate::profile::FeatureProfile;
use crate::quality;
use crate::readings::{OTHER_FEATURES, UNREADABLE_FEATURES};
use crate::rules::Rules;
use crate::spec::{ModelSpec, ReferenceSpec};
use crate::tenant_reference::TenantReferences;
use crate::tenants::{ALL, Tenants};
use crate::versions::{Place, Versions};
use crate::windows::WindowSet;

/// A feature that none of so many first rows had is a new field.
const LATE_ROWS: u64 = 100;

/// Who sent rows, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) version: &'a Arc<str>,
    pub(crate) lane: Lane,
    /// As the request named it, unchecked.
    pub(crate) tenant: Option<&'a [u8]>,
    pub(crate) at_ms: i64,
}

/// What one model has counted.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) features: FeatureTable,
    pub(crate) tenants: Tenants,
    pub(crate) versions: Versions,
    pub(crate) sets: Vec<WindowSet>,
    /// References of predictions for versions that have none in `features`.
    pub(crate) own: OwnAnswers,
    /// What each tenant sends when all is well.
    pub(crate) tenant_references: TenantReferences,
    /// By the feature's number: whether the total has moved, so that nothing is learned from its rows.
    pub(crate) unsettled: Vec<bool>,
    /// How far the learned references have grown.
    pub(crate) growth: Growth,
    /// The version that clients get, once that was said.
    serving: Option<Arc<str>>,
    /// What the sets' detectors share.
    pub(crate) watch: Watch,
    /// Number of a set plus one, by version and lane, then by tenant; 0 where there is none.
    index: Vec<Vec<u32>>,
    /// Production rows so far, per side.
    pub(crate) seen: [u64; 2],
    /// Rows since the start.
    pub(crate) rows: u64,
    /// Observations not counted since the start, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// Values that could not be read since the start, by feature and reason.
    pub(crate) unreadable: BTreeMap<Arc<str>, BTreeMap<&'static str, u64>>,
    /// Grows with every change of a reference.
    pub(crate) references: u64,
    /// Hashes of a batch's rows; empty in between.
    inputs: Vec<u64>,
}

impl State {
    pub(crate) fn new(spec: &ModelSpec, rules: &Rules) -> Self {
        let features = match &spec.reference {
            ReferenceSpec::Profile { profile, .. } => {
                FeatureTable::of_profile(profile, &rules.filter, spec.owner.as_ref())
            }
            ReferenceSpec::Learn { .. } | ReferenceSpec::PreviousWindow => FeatureTable::new(),
        };
        let mut tenants = Tenants::new(&spec.tenants);
        let tenant_references = match &spec.reference {
            ReferenceSpec::Profile { profile, .. } => {
                TenantReferences::of_profile(profile, &features, &mut tenants)
            }
            ReferenceSpec::Learn { .. } | ReferenceSpec::PreviousWindow => TenantReferences::default(),
        };
        Self {
            features,
            tenants,
            versions: Versions::default(),
            sets: Vec::new(),
            own: OwnAnswers::default(),
            tenant_references,
            unsettled: Vec::new(),
            growth: Growth::default(),
            serving: None,
            watch: Watch::new(spec.detector.clone(), !rules.previous),
            index: Vec::new(),
            seen: [0; 2],
            rows: 0,
            dropped: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            references: 0,
            inputs: Vec::new(),
        }
    }

    /// Takes over settings that leave the meaning of slots as it is.
    pub(crate) fn configure(&mut self, spec: &ModelSpec) {
        self.tenants.configure(&spec.tenants);
        self.own_profile(spec);
        let anew = self.watch.configure(spec.detector.clone());
        for set in &mut self.sets {
            match set.detector.as_mut() {
                Some(_) if anew => set.detector = None,
                Some(live) => live.configure(&self.watch),
                None => {}
            }
        }
    }

    /// Gives the profile's predictions to the version whose they are.
    pub(crate) fn own_profile(&mut self, spec: &ModelSpec) {
        let ReferenceSpec::Profile { profile, .. } = &spec.reference else { return };
        let of_profile = |feature: &&mut Feature| profile.feature(&feature.name).is_some();
        for feature in self.features.iter_mut().filter(of_profile) {
            feature.owner = spec.owner.clone();
        }
    }

    /// Counts what of an exchange could not be read.
    pub(crate) fn count_unreadable(&mut self, decoded: &Decoded) {
        for (feature, reason) in decoded.unreadable() {
            let is_room = self.unreadable.len() < UNREADABLE_FEATURES;
            let name =
                if is_room || self.unreadable.contains_key(feature) { feature } else { OTHER_FEATURES };
            if !self.unreadable.contains_key(name) {
                self.unreadable.insert(name.into(), BTreeMap::new());
            }
            if let Some(counts) = self.unreadable.get_mut(name) {
                *counts.entry(reason.as_str()).or_default() += 1;
            }
        }
    }

    pub(crate) fn drop_rows(&mut self, reason: &'static str, count: u64) {
        *self.dropped.entry(reason).or_default() += count;
    }

    /// The number of the version, its windows emptied if it took the place of another; `None` when there is no room.
    pub(crate) fn version(
        &mut self,
        name: &Arc<str>,
        rules: &Rules,
        now: i64,
        active: Option<&str>,
    ) -> Option<usize> {
        match self.versions.place(name, now, rules.version_limit, active) {
            Place::At(version) => Some(version),
            Place::Reuse(version) => {
                self.own.forget(version);
                self.tenant_references.forget_version(version);
                self.sets.iter_mut().filter(|set| set.version == version).for_each(WindowSet::reset);
                Some(version)
            }
            Place::Full => None,
        }
    }

    /// Takes note of the version that clients get. Predictions that are still being learned are learned from it.
    pub(crate) fn serve(&mut self, version: &Arc<str>) {
        self.serving = Some(version.clone());
        for feature in self.features.iter_mut() {
            if let Stage::Learning(column) = &mut feature.stage
                && feature.owner.as_ref().is_some_and(|owner| owner != version)
            {
                (*column, feature.owner) = (Column::default(), Some(version.clone()));
            }
        }
    }

    /// Empties the production windows of a version, detectors included: of the total and of every tenant.
    pub(crate) fn begin_anew(&mut self, version: &str) {
        let Some(version) = self.versions.find(version) else { return };
        let served = |set: &&mut WindowSet| set.version == version && set.lane == Lane::Prod;
        self.sets.iter_mut().filter(served).for_each(WindowSet::reset);
    }

    /// Whether a feature that shows only now is a new field: requests without it have gone by, or the reference does not have it.
    pub(crate) fn is_late(&self, side: Side) -> bool {
        side == Side::Features
            && (self.seen[side as usize] >= LATE_ROWS
                || self.features.iter().any(|feature| feature.side == side && feature.frozen().is_some()))
    }

    /// Counts a filled batch. `active`: of the version that clients get.
    pub(crate) fn count(
        &mut self,
        rules: &Rules,
        head: &Head<'_>,
        version: usize,
        batch: &Batch,
        active: bool,
        now: i64,
    ) {
        let tenant = self.tenants.resolve(head.tenant);
        let sets = Sets {
            all: self.set(version, head.lane, ALL) as u32,
            tenant: tenant.map_or(Sets::NONE, |tenant| self.set(version, head.lane, tenant) as u32),
        };
        self.check(sets, tenant, batch, head.at_ms);
        for side in [Side::Features, Side::Predictions] {
            let owners = &mut self.sets[sets.all as usize].owners;
            owners.push(side, tenant, batch.rows(side), rules.window);
        }
        if sets.tenant != Sets::NONE {
            self.learn_tenant(rules, sets.tenant as usize, batch, active);
        }
        let (mut counted, mut learned) = (0, 0);
        for at in 0..self.features.len() {
            let feature = self.features.get(at);
            match &feature.stage {
                Stage::Frozen(frozen) => {
                    let slots = batch.slots(at, feature.side);
                    counted = counted.max(slots.len());
                    if !feature.is_counted() {
                        continue;
                    }
                    if !rules.previous && !feature.is_of(head.version) {
                        self.own.learn(rules, version, at, frozen.bins.slots(), slots);
                    }
                    for set in sets.iter() {
                        self.sets[set].push(at, &frozen.bins, rules.window, rules.previous, slots);
                    }
                }
                Stage::Learning(_) => {
                    let raws = batch.raws(at, feature.side);
                    let serving = self.serving.as_ref();
                    let learns = self.features.get_mut(at).learns_from(head.version, serving, head.lane);
                    if rules.previous || learns {
                        counted = counted.max(self.learn(rules, at, raws, sets, head.at_ms));
                    }
                    learned += self.learning_values(at);
                }
            }
        }
        if learned > rules.learn_values {
            self.freeze_all(rules, head.at_ms);
        }
        let rows = [batch.rows(Side::Features), batch.rows(Side::Predictions)];
        if head.lane == Lane::Prod {
            for (seen, rows) in self.seen.iter_mut().zip(rows) {
                *seen = seen.saturating_add(rows as u64);
            }
        }
        self.rows += rows[0].max(rows[1]) as u64;
        if counted > 0 {
            sets.iter().for_each(|set| self.sets[set].count(counted as u64, head.at_ms));
        }
        if batch.is_watched() {
            self.detect(sets, tenant, (head.version, batch), active, now);
        }
    }

    /// Counts the faults of a batch's values, and how long values have been the same.
    fn check(&mut self, sets: Sets, tenant: Option<u32>, batch: &Batch, at_ms: i64) {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.clear();
        inputs.resize(batch.rows(Side::Features), 0);
        let tenant = tenant.unwrap_or(ALL);
        for (at, feature) in self.features.iter().enumerate().filter(|(_, feature)| feature.seen) {
            let Stage::Frozen(frozen) = &feature.stage else { continue };
            let marks = batch.marks(at, feature.side);
            let mut explained = 0;
            if sets.tenant != Sets::NONE {
                let counter = self.sets[sets.tenant as usize].faults_mut(at);
                counter.push(marks, &frozen.expected, at_ms, 0);
                explained = counter.explained(&frozen.expected);
            }
            let total = self.sets[sets.all as usize].faults_mut(at);
            total.push(marks, &frozen.expected, at_ms, explained);
            if feature.side == Side::Features && feature.is_judged() {
                let run = self.sets[sets.all as usize].run_mut(at);
                for (mark, row) in marks.iter().zip(&mut inputs) {
                    *row = quality::add_to_row(*row, *mark);
                    run.push(*mark, None, tenant, at_ms);
                }
            }
        }
        let predictions = |feature: &Feature| feature.side == Side::Predictions && feature.is_judged();
        for (at, feature) in self.features.iter().enumerate().filter(|(_, feature)| predictions(feature)) {
            if feature.frozen().is_none() {
                continue;
            }
            let run = self.sets[sets.all as usize].run_mut(at);
            for (row, mark) in batch.marks(at, feature.side).iter().enumerate() {
                // An answer to a whole request belongs to its first row.
                let input = inputs.get(row).or(inputs.first()).copied();
                run.push(*mark, input, tenant, at_ms);
            }
        }
        self.inputs = inputs;
    }

    /// Plans the detectors for the references as they are now.
    pub(crate) fn plan_detectors(&mut self) {
        if self.watch.is_on() {
            self.watch.plan(&self.features, self.references);
        }
    }

    /// Shows a batch of production rows to the detectors.
    fn detect(
        &mut self,
        sets: Sets,
        tenant: Option<u32>,
        (version, batch): (&str, &Batch),
        active: bool,
        now: i64,
    ) {
        // The batch was laid out before these references were there.
        if self.watch.plan(&self.features, self.references) {
            self.sets.iter_mut().for_each(|set| set.detector = None);
            return;
        }
        let first_named = self.tenants.first_named();
        let covered = tenant.is_some_and(|tenant| self.watch.covers(tenant, first_named, active));
        let watched = Sets { tenant: if covered { sets.tenant } else { Sets::NONE }, ..sets };
        for set in watched.iter() {
            if self.sets[set].detector.is_none() {
                self.sets[set].detector = self.detector_of(set, now);
            }
        }
        for row in 0..batch.rows(Side::Features).max(batch.rows(Side::Predictions)) {
            let slots = self.watch.row(&self.features, version, batch, row);
            for set in watched.iter() {
                if let Some(live) = &mut self.sets[set].detector {
                    live.push(slots);
                }
            }
        }
    }

    /// Once a second: closes the detectors' slices. Those of tenants of a version that clients don't get any more are given up.
    pub(crate) fn tick(&mut self, now: i64, active: Option<&str>) {
        self.watch.tick(now);
        // A role that changes makes the detectors begin anew: what they have gathered speaks of a column that is none.
        let changed =
            self.features.iter_mut().filter_map(|feature| feature.look_again().then_some(())).count();
        self.references += u64::from(changed > 0);
        for set in &mut self.sets {
            let Some(live) = &mut set.detector else { continue };
            let is_active = active.is_none_or(|active| **self.versions.name(set.version) == *active);
            if set.tenant != ALL && !is_active {
                set.detector = None;
                set.generation += 1;
            } else if live.tick(&self.watch, now) {
                set.generation += 1;
            }
        }
    }

    /// What the detectors of all tenants together have counted, by version; `None` while there is nothing to watch.
    pub(crate) fn detector_counts(&self) -> Option<DetectorCounts> {
        let layout = self.watch.layout()?;
        let totals = self.sets.iter().filter(|set| set.tenant == ALL);
        let counted = |set: &WindowSet| set.detector.as_ref()?.counts(self.versions.name(set.version));
        Some(DetectorCounts { layout, versions: totals.filter_map(counted).collect() })
    }

    /// Forgets the evidence of every detector.
    pub(crate) fn reset_detectors(&mut self) {
        for set in &mut self.sets {
            if let Some(live) = &mut set.detector {
                live.reset();
                set.generation += 1;
            }
        }
    }

    /// Adds rows to a learning feature and freezes it when it has enough of them that are alike. Returns how many rows count
    /// in windows.
    fn learn(&mut self, rules: &Rules, at: usize, raws: &[Raw], sets: Sets, at_ms: i64) -> usize {
        let mut rest = raws;
        let profile = loop {
            let feature = self.features.get_mut(at);
            let Stage::Learning(column) = &mut feature.stage else { return 0 };
            let taken = rules.learn.saturating_sub(column.rows.len()).min(rest.len());
            let (first, more) = rest.split_at(taken);
            if column.rows.is_empty() {
                column.since_ms = at_ms;
            }
            column.rows.extend_from_slice(first);
            if rules.previous {
                column.sets.extend(first.iter().map(|_| sets));
            }
            if column.rows.len() < rules.learn || rest.is_empty() {
                return if rules.previous { raws.len() } else { 0 };
            }
            rest = more;
            let profile = column.fit(&feature.name, &rules.build, feature.forced);
            if rules.previous || !column.moves(&profile) {
                break profile;
            }
            column.forget_first_half(at_ms);
            feature.moves = true;
        };
        let column = self.freeze(rules, at, profile, at_ms);
        self.push_raws(rules, at, &column, rest.iter().map(|raw| (*raw, sets)));
        if rules.previous { raws.len() } else { rest.len() }
    }

    /// Takes the bins that were cut for a feature. Where the previous window is the reference, the learned rows count as well,
    /// in order.
    fn freeze(&mut self, rules: &Rules, at: usize, profile: FeatureProfile, at_ms: i64) -> Column {
        let feature = self.features.get_mut(at);
        let column = match &mut feature.stage {
            Stage::Learning(column) => std::mem::take(column),
            Stage::Frozen(_) => return Column::default(),
        };
        let mut frozen = Frozen::new(profile, at_ms);
        frozen.since_ms = (!rules.previous).then_some(column.since_ms);
        frozen.expected.types = Some(column.types(&frozen.bins, &frozen.expected));
        feature.stage = Stage::Frozen(frozen);
        self.references += 1;
        let rows = column.rows.iter().copied().zip(column.sets.iter().copied());
        self.push_raws(rules, at, &column, rows);
        column
    }

    fn push_raws(
        &mut self,
        rules: &Rules,
        at: usize,
        column: &Column,
        rows: impl Iterator<Item = (Raw, Sets)>,
    ) {
        let Some(frozen) = self.features.get(at).frozen() else { return };
        let mut scratch = String::new();
        for (raw, sets) in rows {
            let slot = column.slot(&frozen.bins, raw, &mut scratch);
            for set in sets.iter() {
                self.sets[set].push(at, &frozen.bins, rules.window, rules.previous, &[slot]);
            }
        }
    }

    fn freeze_all(&mut self, rules: &Rules, at_ms: i64) {
        for at in 0..self.features.len() {
            let feature = self.features.get(at);
            let Stage::Learning(column) = &feature.stage else { continue };
            if !column.rows.is_empty() {
                let profile = column.fit(&feature.name, &rules.build, feature.forced);
                self.freeze(rules, at, profile, at_ms);
            }
        }
    }

    fn learning_values(&self, at: usize) -> usize {
        match &self.features.get(at).stage {
            Stage::Learning(column) => column.rows.len(),
            Stage::Frozen(_) => 0,
        }
    }

    /// The number of a window set, made when it is new.
    pub(crate) fn set(&mut self, version: usize, lane: Lane, tenant: u32) -> usize {
        if let Some(set) = self.find_set(version, lane, tenant) {
            return set;
        }
        let (leg, tenant_at) = (leg(version, lane), tenant as usize);
        if self.index.len() <= leg {
            self.index.resize(leg + 1, Vec::new());
        }
        let by_tenant = &mut self.index[leg];
        if by_tenant.len() <= tenant_at {
            by_tenant.resize(tenant_at + 1, 0);
        }
        self.sets.push(WindowSet::new(version, lane, tenant));
        by_tenant[tenant_at] = self.sets.len() as u32;
        self.sets.len() - 1
    }

    /// The number of a window set.
    pub(crate) fn find_set(&self, version: usize, lane: Lane, tenant: u32) -> Option<usize> {
        let number = *self.index.get(leg(version, lane))?.get(tenant as usize)?;
        (number as usize).checked_sub(1)
    }

    /// Bytes held, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let features = self.features.iter().map(|feature| match &feature.stage {
            Stage::Learning(column) => column.memory_bytes(),
            Stage::Frozen(frozen) => frozen.bins.slots() * 40,
        });
        size_of::<Self>()
            + features.sum::<usize>()
            + self.sets.iter().map(WindowSet::memory_bytes).sum::<usize>()
            + self.index.iter().map(|by_tenant| by_tenant.capacity() * 4).sum::<usize>()
            + self.own.memory_bytes()
            + self.tenant_references.memory_bytes()
            + self.growth.memory_bytes()
            + self.tenants.len() * 128
    }
}

fn leg(version: usize, lane: Lane) -> usize {
    version * 2 + usize::from(lane == Lane::Shadow)
}
