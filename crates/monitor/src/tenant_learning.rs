//! Tenants' own references within a model's state: what is learned from, and what is compared with it.

use std::borrow::Cow;
use std::sync::Arc;

use record::Lane;

use crate::batch::Batch;
use crate::chance::MIN_REFERENCE_ROWS;
use crate::detector::{Live, Planned};
use crate::evaluate::own_of;
use crate::features::{Feature, Side};
use crate::readings::{ReferenceKind, Verdict, WindowReadings};
use crate::rules::Rules;
use crate::state::State;
use crate::tenant_reference::{FIRST_ROWS, NOBODY, Place, mixed};
use crate::tenants::ALL;
use crate::windows::WindowSet;

/// While a feature of the total differs by more than this, its rows are no reference of anybody: the limit of the mildest alert.
const UNSETTLED_PSI: f64 = 0.1;

/// One in so many rows may be of tenants without a reference where the total is compared with those of the others.
const REST: u64 = 10;

/// A reference to compare with, and its rows.
pub(crate) struct Compared<'a> {
    /// `None` when there is none yet; then it has `rows` of what it needs.
    pub(crate) counts: Option<Cow<'a, [u64]>>,
    pub(crate) rows: u64,
    /// Whether a verdict may be given: tenants are judged by their own references alone.
    pub(crate) judged: bool,
}

/// More rows say no more.
const MAX_ROWS: u64 = 10_000;

/// Rows that a tenant's reference grows to: as many as a window holds.
fn wanted(rules: &Rules) -> u64 {
    (rules.window as u64).clamp(MIN_REFERENCE_ROWS, MAX_ROWS)
}

impl State {
    /// Learns the references of the tenant whose rows a set holds.
    pub(crate) fn learn_tenant(&mut self, rules: &Rules, set: usize, batch: &Batch, active: bool) {
        let WindowSet { version, lane, tenant, own_for, .. } = self.sets[set];
        if !self.learns(rules, tenant) || own_for == Some(self.references) {
            return;
        }
        let covered = batch.is_watched()
            && lane == Lane::Prod
            && self.watch.covers(tenant, self.tenants.first_named(), active);
        for (at, feature) in self.features.iter().enumerate().filter(|(_, feature)| feature.is_counted()) {
            let slots = batch.slots_of_frozen(at, feature);
            // What is copied has been asked for in production already; the answers are the copy's own.
            let is_known = lane == Lane::Shadow && feature.side == Side::Features;
            if is_known || slots.is_empty() || self.unsettled.get(at).copied().unwrap_or(false) {
                continue;
            }
            let rows = if covered { slots.len() } else { 0 };
            let watched = (0..rows).filter_map(|row| batch.watched(at, feature.side, row));
            let place = Place { tenant, version, feature: at };
            self.tenant_references.learn(place, feature, slots, watched, wanted(rules));
        }
    }

    fn learns(&self, rules: &Rules, tenant: u32) -> bool {
        tenant >= self.tenants.first_named() && !rules.previous
    }

    /// Makes references of rows that have waited until somebody looked, and saw nothing drift.
    pub(crate) fn settle_tenants(&mut self, rules: &Rules, active: Option<&str>, now: i64) {
        for at in 0..self.sets.len() {
            let WindowSet { version, tenant, own_for, rows, .. } = self.sets[at];
            if rows == 0 || !self.learns(rules, tenant) || own_for == Some(self.references) {
                continue;
            }
            // References that change make the detector begin anew, and what it has found would be lost.
            if self.sets[at].detector.as_deref().is_some_and(Live::drifts) {
                continue;
            }
            let (mut news, mut all) = (false, true);
            for (feature_at, feature) in self.features.iter().enumerate().filter(|(_, one)| one.is_counted())
            {
                let place = Place { tenant, version, feature: feature_at };
                // Rows that are like those of all need no look: nothing has moved in them.
                let calm = !self.unsettled.get(feature_at).copied().unwrap_or(false) || {
                    let base = self.base_of(rules, version, feature_at).0;
                    base.is_some_and(|base| self.tenant_references.is_like(place, feature, base))
                };
                if calm {
                    news |= self.tenant_references.settle(place, feature, wanted(rules));
                }
                all &= self.tenant_references.is_full(place, feature.side, wanted(rules));
            }
            let set = &mut self.sets[at];
            if all {
                set.own_for = Some(self.references);
            }
            if news {
                set.generation += 1;
                let is_active = active.is_none_or(|active| **self.versions.name(version) == *active);
                let watched = set.lane == Lane::Prod
                    && self.watch.is_on()
                    && self.watch.covers(tenant, self.tenants.first_named(), is_active);
                self.sets[at].detector = if watched { self.detector_of(at, now) } else { None };
            }
        }
        for (at, unsettled) in self.unsettled.iter().enumerate() {
            if *unsettled {
                self.tenant_references.forget_waiting_of(at);
            }
        }
    }

    /// Gives a tenant the reference of all, for rows that are made after it.
    pub(crate) fn adopt(&mut self, rules: &Rules, tenant: &[u8]) {
        let Some(tenant) =
            self.tenants.resolve(Some(tenant)).filter(|one| *one >= self.tenants.first_named())
        else {
            return;
        };
        if !rules.previous {
            for (at, feature) in self.features.iter().enumerate() {
                if let Some(frozen) = feature.frozen() {
                    self.tenant_references.adopt(
                        Place { tenant, version: 0, feature: at },
                        feature.side,
                        frozen,
                    );
                }
            }
        }
    }

    /// A detector for the rows of a set; `None` while there is nothing to compare with.
    pub(crate) fn detector_of(&self, set: usize, now: i64) -> Option<Box<Live>> {
        let (planned, silent) = self.plan_of(&self.sets[set])?;
        Some(Box::new(Live::new(&self.watch, &planned, silent, now)))
    }

    /// What the detector of a set compares with.
    pub(crate) fn plan_of(&self, set: &WindowSet) -> Option<(Arc<Planned>, Vec<bool>)> {
        if set.tenant == ALL {
            return Some((self.watch.planned()?.clone(), Vec::new()));
        }
        self.watch.planned_of(|at| {
            let feature = self.features.get(at);
            let place = Place { tenant: set.tenant, version: set.version, feature: at };
            let slots = feature.frozen()?.bins.slots();
            self.tenant_references.get(place, feature.side, slots)?.watched.as_ref()
        })
    }

    /// What a set's window of a feature, of `n` rows, is compared with.
    pub(crate) fn compared(&self, rules: &Rules, set: &WindowSet, at: usize, n: u64) -> Compared<'_> {
        let feature = self.features.get(at);
        let (base, base_rows) = self.base_of(rules, set.version, at);
        if set.tenant != ALL {
            let place = Place { tenant: set.tenant, version: set.version, feature: at };
            let slots = feature.frozen().map_or(0, |frozen| frozen.bins.slots());
            return match self.tenant_references.get(place, feature.side, slots) {
                Some(own) => {
                    Compared { counts: Some(Cow::Borrowed(&own.counts)), rows: own.rows, judged: true }
                }
                None => Compared { counts: base.map(Cow::Borrowed), rows: base_rows, judged: false },
            };
        }
        match self.expected_of_tenants(set, at, n, base) {
            Some(counts) => {
                let rows = counts.iter().sum();
                Compared { counts: Some(Cow::Owned(counts)), rows, judged: true }
            }
            None => Compared { counts: base.map(Cow::Borrowed), rows: base_rows, judged: true },
        }
    }

    /// The reference of all, of this version's answers where these are its own.
    fn base_of(&self, rules: &Rules, version: usize, at: usize) -> (Option<&[u64]>, u64) {
        let feature = self.features.get(at);
        match feature.frozen() {
            Some(frozen) if feature.is_of(self.versions.name(version)) => (Some(&frozen.counts), frozen.rows),
            _ => own_of(self, rules, version, at),
        }
    }

    /// What the tenants of a total's newest `n` rows let expect, by their own references; `None` where too few have one.
    fn expected_of_tenants(
        &self,
        set: &WindowSet,
        at: usize,
        n: u64,
        base: Option<&[u64]>,
    ) -> Option<Vec<u64>> {
        let feature = self.features.get(at);
        let slots = feature.frozen()?.bins.slots();
        let (mut parts, mut rest) = (Vec::new(), 0);
        for (tenant, rows) in set.owners.of_newest(feature.side, n as usize) {
            let place = Place { tenant, version: set.version, feature: at };
            let own =
                (tenant != NOBODY).then(|| self.tenant_references.get(place, feature.side, slots)).flatten();
            match own {
                Some(own) => parts.push((rows, own.counts.as_slice())),
                None => rest += rows,
            }
        }
        let known: u64 = parts.iter().map(|(rows, _)| *rows).sum();
        // What is known of all has the tenants in it that are known: it stands in for few others only.
        if known == 0 || rest * REST > known + rest {
            return None;
        }
        parts.extend(base.filter(|_| rest > 0).map(|base| (rest, base)));
        mixed(&parts, slots)
    }

    /// Takes note of what the total of the version that clients get is like now: features that have moved are not learned from.
    pub(crate) fn note_total(&mut self, total: &WindowReadings) {
        self.unsettled.resize(self.features.len(), false);
        let drift = total.detector.as_ref().and_then(|detector| detector.drift.as_ref());
        for (at, feature) in self.features.iter().enumerate() {
            let of_feature = |name: &str| *name == *feature.name;
            let found = drift.is_some_and(|drift| {
                drift.suspects.iter().any(|one| of_feature(&one.feature) && one.psi > UNSETTLED_PSI)
            });
            let reading = total
                .features
                .iter()
                .find(|reading| of_feature(&reading.feature) && reading.reference == ReferenceKind::Baseline);
            let Some(reading) = reading.filter(|reading| found || reading.verdict != Verdict::Inconclusive)
            else {
                continue;
            };
            let moved = matches!(reading.verdict, Verdict::Fail | Verdict::Fault);
            let unsettled = found || moved && reading.psi > UNSETTLED_PSI;
            self.unsettled[at] = unsettled;
        }
    }

    /// Takes note of what a tenant's window is like now: a reference does not grow by what has moved.
    pub(crate) fn note_tenant(&mut self, window: &WindowReadings) {
        let (Some(tenant), Some(version)) =
            (self.tenants.shown(&window.tenant), self.versions.find(&window.version))
        else {
            return;
        };
        let known = self.find_set(version, window.lane, tenant).map(|set| self.sets[set].own_for);
        if known.is_none_or(|own_for| own_for == Some(self.references)) {
            return;
        }
        let drift = window.detector.as_ref().and_then(|detector| detector.drift.as_ref());
        for (at, feature) in self.features.iter().enumerate() {
            let of = |name: &str| *name == *feature.name;
            let moved = window.features.iter().any(|reading| {
                of(&reading.feature)
                    && reading.reference == ReferenceKind::Baseline
                    && matches!(reading.verdict, Verdict::Fail | Verdict::Fault)
            });
            if moved || drift.is_some_and(|drift| drift.suspects.iter().any(|one| of(&one.feature))) {
                let place = Place { tenant, version, feature: at };
                self.tenant_references.forget_waiting(place, feature.side);
            }
        }
    }

    /// Rows that a tenant's references have, of so many that they begin with; `None` once all are there, and for what is no tenant.
    pub(crate) fn learning_of(&self, rules: &Rules, set: &WindowSet) -> Option<(u64, u64)> {
        if set.tenant < self.tenants.first_named() || rules.previous {
            return None;
        }
        let counted = |(at, feature): &(usize, &Feature)| feature.is_judged() && set.ring(*at).is_some();
        let rows = |(at, feature): (usize, &Feature)| {
            let place = Place { tenant: set.tenant, version: set.version, feature: at };
            self.tenant_references.rows(place, feature.side)
        };
        let least = self.features.iter().enumerate().filter(counted).map(rows).min()?;
        let first = FIRST_ROWS.min(wanted(rules));
        (least < first).then_some((least, first))
    }
}
