//! Where the rows come from that a model's references grow by: what its windows and its detector have counted anyway.

use std::sync::Arc;

use record::Lane;
use stats::Window;
use stats::detect::Phase;

use super::{Growing, Trend};
use crate::detector::Planned;
use crate::features::{Feature, FeatureTable, Stage};
use crate::model::Model;
use crate::quality::{Counter, QualityReading};
use crate::readings::{FeatureReading, ReferenceKind, Verdict, WindowReadings};
use crate::state::State;
use crate::tenants::ALL;
use crate::windows::WindowSet;

/// Rows that are collected at once, where a window has more.
const MOST_AT_ONCE: usize = 1_024;

/// Share of values beyond the reference's that fail a check, from which on their rows are left out. A single value is none.
const FAULTS: f64 = 0.01;

/// The growth of a model's references.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    /// By the feature's number.
    features: Vec<Option<Box<Growing>>>,
    look: Option<Look>,
    /// A drift was found and goes on.
    drifts: bool,
}

/// What the windows and the detector had counted at the last look.
#[derive(Clone, Debug)]
struct Look {
    /// Number of the window set.
    set: usize,
    /// Its rows.
    rows: u64,
    /// By the feature's number.
    features: Vec<Counted>,
    detector: Option<DetectorLook>,
}

/// What one feature's window and checks had counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    pushed: u64,
    checked: u64,
    outside: u64,
}

#[derive(Clone, Debug)]
struct DetectorLook {
    planned: Arc<Planned>,
    since_ms: i64,
    counts: Vec<u64>,
}

impl Growth {
    pub(crate) fn get(&self, feature: usize) -> Option<&Growing> {
        self.features.get(feature)?.as_deref()
    }

    /// Everything, in the order of the features.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Growing)> {
        self.features.iter().enumerate().filter_map(|(at, growing)| Some((at, growing.as_deref()?)))
    }

    pub(crate) fn insert(&mut self, feature: usize, growing: Growing) {
        if self.features.len() <= feature {
            self.features.resize(feature + 1, None);
        }
        self.features[feature] = Some(Box::new(growing));
    }

    fn each(&mut self) -> impl Iterator<Item = (usize, &mut Growing)> {
        self.features.iter_mut().enumerate().filter_map(|(at, growing)| Some((at, growing.as_deref_mut()?)))
    }

    /// Remembers what a window set has counted: rows before it are not collected.
    pub(crate) fn look(&mut self, number: usize, set: &WindowSet, features: usize) {
        self.look = Some(Look::at(number, set, features));
    }

    /// What is found in the newest rows keeps them out of the reference: drift all of them, whatever concerns one feature that one's.
    pub(crate) fn forget_findings(
        &mut self,
        features: &FeatureTable,
        window: &WindowReadings,
        quality: &[QualityReading],
    ) {
        let at_ms = window.last_at_ms;
        let drifted = window.detector.as_ref().filter(|detector| detector.phase == Phase::Drifted);
        let is_new = !std::mem::replace(&mut self.drifts, drifted.is_some());
        if let Some(detector) = drifted {
            let ago = detector.drift.as_ref().map_or(0, |drift| drift.requests_ago);
            let forget = |growing: &mut Growing| match is_new {
                true => growing.forget_since(ago, at_ms),
                false => growing.forget(at_ms),
            };
            self.each().for_each(|(_, growing)| forget(growing));
            return;
        }
        let differs = |one: &&FeatureReading| {
            one.reference == ReferenceKind::Baseline && matches!(one.verdict, Verdict::Fail | Verdict::Fault)
        };
        let fails = |one: &&QualityReading| {
            one.excess().is_some_and(|excess| excess > FAULTS)
                && one.lane == window.lane
                && one.tenant == window.tenant
                && one.version == window.version
        };
        let drifts = window.features.iter().filter(differs).map(|one| &one.feature);
        let found: Vec<&Arc<str>> =
            drifts.chain(quality.iter().filter(fails).map(|one| &one.feature)).collect();
        for (at, growing) in self.each().filter(|_| !found.is_empty()) {
            if found.contains(&&features.get(at).name) {
                growing.forget(at_ms);
            }
        }
    }

    /// Adds what a window set of a version has counted since the last look to what is pending.
    pub(crate) fn collect(
        &mut self,
        number: usize,
        set: &WindowSet,
        (features, version): (&FeatureTable, &str),
        grow_ms: i64,
    ) {
        let look = Look::at(number, set, features.len());
        let before = self.look.take();
        for (at, growing) in self.each() {
            let feature = features.get(at);
            let Some(ring) = set.ring(at) else { continue };
            if growing.is_settled(grow_ms) || !feature.is_judged() || !feature.is_of(version) {
                continue;
            }
            let counted = |look: &Look| look.features.get(at).copied().unwrap_or_default();
            let (was, is) = (before.as_ref().map_or_else(Counted::default, counted), counted(&look));
            let rows = is.pushed.saturating_sub(was.pushed);
            if rows == 0 {
                continue;
            }
            let pending = &mut growing.pending;
            super::add(&mut pending.shown, &newest(&ring.current, rows));
            pending.values += is.checked.saturating_sub(was.checked);
            pending.outside += is.outside.saturating_sub(was.outside);
            pending.to_ms = pending.to_ms.max(set.last_at_ms);
        }
        if let Some(now) = &look.detector {
            collect_detector(self, before.as_ref().and_then(|before| before.detector_before(now)), now);
        }
        self.each().filter(|(_, one)| !one.is_settled(grow_ms)).for_each(|(_, growing)| growing.step());
        self.look = Some(look);
    }

    /// The features whose newest rows are not like their first ones.
    pub(crate) fn trends<'a>(&'a self, state: &'a State) -> impl Iterator<Item = Trend> + 'a {
        self.iter().filter_map(|(at, growing)| {
            let feature = state.features.get(at);
            let since_ms = growing.trend_ms.filter(|_| feature.is_judged())?;
            Some(Trend { feature: feature.name.clone(), since_ms })
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.iter().map(|(_, growing)| growing.memory_bytes()).sum()
    }
}

impl Look {
    /// What a set has counted by now.
    fn at(number: usize, set: &WindowSet, features: usize) -> Self {
        let counted = |at: usize| Counted {
            pushed: set.ring(at).map_or(0, |ring| ring.pushed),
            checked: set.faults.get(at).map_or(0, Counter::rows),
            outside: set.faults.get(at).map_or(0, Counter::outside),
        };
        let detector = set.detector.as_ref().map(|live| DetectorLook {
            planned: live.planned().clone(),
            since_ms: live.counted_since_ms(),
            counts: live.counted().to_vec(),
        });
        Self { set: number, rows: set.rows, features: (0..features).map(counted).collect(), detector }
    }

    /// What the detector had counted of what it has counted `now`: nothing where it has begun anew since.
    fn detector_before(&self, now: &DetectorLook) -> Option<&[u64]> {
        let before = self.detector.as_ref()?;
        let is_it = Arc::ptr_eq(&before.planned, &now.planned) && before.since_ms == now.since_ms;
        Some(before.counts.as_slice()).filter(|counts| is_it && counts.len() == now.counts.len())
    }
}

/// The newest rows of a window, as counts.
fn newest(window: &Window, rows: u64) -> Vec<u64> {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    if rows >= window.len() {
        return window.counts().to_vec();
    }
    let mut counts = vec![0; window.counts().len()];
    for slot in window.iter().skip(window.len() - rows) {
        counts[usize::from(slot)] += 1;
    }
    counts
}

impl Model {
    /// Once a second, after everything was judged: lets the learned references grow.
    pub(crate) fn grow(&mut self, windows: &[Arc<WindowReadings>], quality: &[QualityReading]) {
        let Some(grow_ms) = self.rules.grow_ms else { return };
        let Some(at) = self.grows_from() else { return };
        self.state.enlist();
        let (rows, at_ms) = (self.state.sets[at].rows, self.state.sets[at].last_at_ms);
        let before = self.state.growth.look.as_ref().map(|look| (look.set, look.rows));
        let Some((_, since)) = before.filter(|(set, since)| *set == at && *since <= rows) else {
            // Another version gets the traffic now: a change like any other.
            if before.is_some() {
                self.state.growth.each().for_each(|(_, growing)| growing.forget(at_ms));
            }
            self.state.growth.look(at, &self.state.sets[at], self.state.features.len());
            return;
        };
        let set = &self.state.sets[at];
        let version = self.state.versions.name(set.version).clone();
        let all = self.state.tenants.name(ALL);
        let is_it = |window: &&Arc<WindowReadings>| {
            window.version == version && window.lane == Lane::Prod && window.tenant == all
        };
        if let Some(window) = windows.iter().find(is_it) {
            self.state.growth.forget_findings(&self.state.features, window, quality);
        }
        if rows - since < self.rules.window.min(MOST_AT_ONCE) as u64 {
            return;
        }
        self.state.growth.collect(at, set, (&self.state.features, &version), grow_ms);
        if self.state.merge(grow_ms) {
            self.state.judge_by_more(at);
        }
    }

    /// The window set of the version that clients get, or of the only one while that is not known.
    fn grows_from(&self) -> Option<usize> {
        if self.state.growth.features.is_empty() && self.state.features.iter().all(|one| !one.is_learned()) {
            return None;
        }
        if let Some(active) = self.active.as_deref() {
            return self.state.find_set(self.state.versions.find(active)?, Lane::Prod, ALL);
        }
        let is_total = |set: &&WindowSet| set.tenant == ALL && set.lane == Lane::Prod && set.rows > 0;
        let mut totals = self.state.sets.iter().filter(is_total);
        match (totals.next(), totals.next()) {
            (Some(only), None) => self.state.find_set(only.version, Lane::Prod, ALL),
            _ => None,
        }
    }
}

impl Feature {
    /// Whether its reference was learned from traffic, and is not of a profile.
    pub(crate) fn is_learned(&self) -> bool {
        self.frozen().is_some_and(|frozen| frozen.since_ms.is_some())
    }
}

impl State {
    /// References that were learned since the last look begin to grow.
    fn enlist(&mut self) {
        for (at, feature) in self.features.iter().enumerate() {
            let Some(frozen) = feature.frozen() else { continue };
            let Some(since_ms) = frozen.since_ms.filter(|_| self.growth.get(at).is_none()) else { continue };
            self.growth.insert(at, Growing::new(frozen, since_ms));
        }
    }

    /// Lets what is ripe join the references, all at once, when one of them is due. True if one has changed.
    fn merge(&mut self, grow_ms: i64) -> bool {
        let mut growth = std::mem::take(&mut self.growth);
        let is_due = growth.iter().any(|(_, growing)| growing.is_due(grow_ms));
        let mut grown = false;
        for (at, growing) in growth.each().filter(|_| is_due) {
            let Stage::Frozen(frozen) = &mut self.features.get_mut(at).stage else {
                continue;
            };
            if let Some(ripe) = growing.take_ripe(&frozen.bins, frozen.tau()) {
                frozen.grow(&ripe, growing.learned, growing.outside_share());
                grown = true;
            }
            if growing.is_settled(grow_ms) {
                growing.rest();
            }
        }
        self.growth = growth;
        grown
    }

    /// References have more rows and the same bins: detectors go on, with the rows that they remember judged anew.
    fn judge_by_more(&mut self, at: usize) {
        self.references += 1;
        if !self.watch.is_on() {
            return;
        }
        self.watch.plan(&self.features, self.references);
        // Tenants are compared with their own references, which are what they were.
        for set in self.sets.iter_mut().filter(|set| set.tenant == ALL) {
            if let Some(live) = set.detector.take() {
                set.detector = live.judged_by(&self.watch).map(Box::new);
                set.generation += 1;
            }
        }
        self.growth.look(at, &self.sets[at], self.features.len());
    }
}

/// The detector's counts since the last look, when it had those `before`.
fn collect_detector(growth: &mut Growth, before: Option<&[u64]>, now: &DetectorLook) {
    let mut offset = 0;
    for (watched, plan) in now.planned.features.iter().zip(now.planned.plan.features()) {
        let range = offset..offset + plan.counts.len();
        offset = range.end;
        let Some(growing) = growth.features.get_mut(watched.at).and_then(Option::as_deref_mut) else {
            continue;
        };
        // Rows that were not collected in the bins that are shown are not of this reference.
        if growing.pending.shown.is_empty() {
            continue;
        }
        let mut more = now.counts[range.clone()].to_vec();
        let before = before.unwrap_or_default().get(range).unwrap_or_default();
        more.iter_mut().zip(before).for_each(|(more, before)| *more = more.saturating_sub(*before));
        super::add(&mut growing.pending.detector, &more);
    }
}
