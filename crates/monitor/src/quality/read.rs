//! From counted faults to readings.

use std::sync::Arc;

use record::Lane;

use super::counter::{Counter, Tally};
use super::{Check, Expected, QualityReading, Run};
use crate::features::{Feature, Side, Stage};
use crate::model::Model;
use crate::spec::ReferenceSpec;
use crate::state::State;
use crate::tenants::ALL;

/// A version whose newest row is older than this is not checked, milliseconds.
const HORIZON_MS: i64 = 15 * 60_000;

/// Newest rows of a feature without a reference that are looked at.
const NEW_ROWS: usize = 50;

/// Fewer answers of a version say nothing of what it always answers.
const MIN_OWN_ROWS: u64 = 100;

/// Values that a share of one value is shown of, where it is not constant.
const FEW: u64 = 50;

/// A check of values one by one: which kinds of faults it counts.
const CHECKS: [(Check, &[usize]); 5] = [
    // What is absent is missing as well: absent comes first, so that it gives the words where all is absent.
    (Check::Absent, &[1]),
    (Check::Missing, &[0, 1]),
    (Check::Type, &[2]),
    (Check::Unseen, &[3]),
    (Check::Range, &[4]),
];

/// Where a reading belongs.
#[derive(Clone)]
struct Labels {
    version: Arc<str>,
    lane: Lane,
    tenant: Arc<str>,
    is_total: bool,
}

impl Labels {
    fn reading(&self, feature: &Feature, check: Check) -> QualityReading {
        QualityReading {
            version: self.version.clone(),
            lane: self.lane,
            tenant: self.tenant.clone(),
            feature: feature.name.clone(),
            check,
            ratio: 0.0,
            reference_ratio: 0.0,
            n: 0,
            reference_n: 0,
            since_ms: None,
            has_failed: false,
        }
    }
}

impl Model {
    /// What the checks say: of the total everything, so that alerts end; of tenants what fails or has failed beyond the reference.
    pub(crate) fn quality(&mut self, now: i64) -> Vec<QualityReading> {
        if self.fit().is_some_and(|fit| !fit.armed) {
            return Vec::new();
        }
        let newest = self.state.sets.iter().map(|set| set.last_at_ms).max().unwrap_or(now);
        let start = now.min(newest).saturating_sub(HORIZON_MS);
        let mut readings = Vec::new();
        for at in 0..self.state.sets.len() {
            if self.state.sets[at].last_at_ms < start {
                continue;
            }
            let key = (self.state.sets[at].generation, self.state.references);
            if self.state.sets[at].checked.as_ref().is_none_or(|(checked, _)| *checked != key) {
                let found = check_set(&mut self.state, at);
                self.state.sets[at].checked = Some((key, found));
            }
            readings.extend(self.state.sets[at].checked.iter().flat_map(|(_, found)| found).cloned());
            if self.state.sets[at].tenant == ALL {
                constants(&mut self.state, at, &mut readings);
            }
        }
        self.new_features(&mut readings);
        readings
    }

    /// Features in requests that the reference does not have, of the version that clients get.
    fn new_features(&self, readings: &mut Vec<QualityReading>) {
        let Some(active) = self.active.clone() else { return };
        let is_profile = matches!(self.spec.reference, ReferenceSpec::Profile { .. });
        if !is_profile && self.state.features.iter().all(|feature| feature.frozen().is_none()) {
            return;
        }
        let tenant = self.state.tenants.name(ALL);
        let labels = Labels { version: active, lane: Lane::Prod, tenant, is_total: true };
        for feature in self.state.features.iter().filter(|feature| feature.side == Side::Features) {
            let Stage::Learning(column) = &feature.stage else { continue };
            let rows = &column.rows[column.rows.len().saturating_sub(NEW_ROWS)..];
            let n = rows.len() as u64;
            let has = rows.iter().filter(|raw| **raw != crate::learn::Raw::MISSING).count() as f64;
            if n > 0 {
                let reading = labels.reading(feature, Check::New);
                readings.push(QualityReading { ratio: has / n as f64, n, reference_n: n, ..reading });
            }
        }
    }
}

/// The checks of one window set's values, one by one.
fn check_set(state: &mut State, at: usize) -> Vec<QualityReading> {
    let set = &state.sets[at];
    let labels = Labels {
        version: state.versions.name(set.version).clone(),
        lane: set.lane,
        tenant: state.tenants.name(set.tenant),
        is_total: set.tenant == ALL,
    };
    let mut found = Vec::new();
    for (counter, feature) in state.sets[at].faults.iter_mut().zip(state.features.iter()) {
        let Some(frozen) = feature.frozen().filter(|_| feature.seen) else { continue };
        for (check, kinds) in CHECKS {
            found.extend(check_feature(counter, feature, &frozen.expected, (check, kinds), &labels));
        }
    }
    found
}

fn check_feature(
    counter: &mut Counter,
    feature: &Feature,
    expected: &Expected,
    (check, kinds): (Check, &[usize]),
    labels: &Labels,
) -> Option<QualityReading> {
    if !labels.is_total && !counter.has_faults() {
        return None;
    }
    let blocks = counter.blocks(kinds);
    // Other versions answer in other ways; that an answer is there is asked of all.
    let is_ours = feature.is_of(&labels.version);
    let is_judged = feature.role().is_judged() && is_ours;
    let (mut share, mut reference_n) = match check {
        Check::Absent | Check::Missing => (expected.missing, expected.rows),
        Check::Type if !is_ours => return None,
        Check::Type => feature.first.expected(expected),
        Check::Unseen => (expected.unseen.filter(|_| is_judged)?, expected.rows),
        Check::Range => (expected.outside.filter(|_| is_judged)?, expected.rows),
        Check::Constant | Check::New | Check::Duplicate => return None,
    };
    // Tenants differ from each other: each is compared with its own first rows as well.
    if !labels.is_total {
        let own = counter.own(kinds)?;
        share = share.max(own.failed as f64 / own.rows as f64);
        reference_n = reference_n.min(own.rows);
    }
    let reading = |tally: Tally| QualityReading {
        ratio: tally.failed as f64 / tally.rows.max(1) as f64,
        n: tally.rows,
        reference_ratio: share,
        reference_n,
        ..labels.reading(feature, check)
    };
    let [short, long] = blocks.map(reading);
    let excess = |reading: &QualityReading| reading.excess().unwrap_or(0.0);
    let mut worst = if excess(&short) > excess(&long) { short } else { long };
    let fails = excess(&worst) > 0.0;
    let since = counter.settle(kinds, fails);
    (worst.since_ms, worst.has_failed) = (since.flatten(), since.is_some());
    (worst.has_failed || labels.is_total).then_some(worst)
}

/// Columns of a total that have one and the same value, and those that had.
fn constants(state: &mut State, at: usize, readings: &mut Vec<QualityReading>) {
    let set = &state.sets[at];
    let tenants = state.tenants.named().len() > 1;
    let labels = Labels {
        version: state.versions.name(set.version).clone(),
        lane: set.lane,
        tenant: state.tenants.name(set.tenant),
        is_total: true,
    };
    let mut failed = Vec::new();
    for (number, (run, feature)) in set.runs.iter().zip(state.features.iter()).enumerate() {
        let Some(frozen) = feature.frozen().filter(|_| feature.is_judged()) else { continue };
        let is_prediction = feature.side == Side::Predictions;
        let constant = run.is_constant(&frozen.expected, tenants, is_prediction)
            && !(is_prediction
                && (names_version(state, at, number, run)
                    || is_constant_by_nature(state, set.version, number)));
        if constant {
            failed.push(number);
        }
        // Of a column that changes, what the newest values say.
        let changing = run.len().min(FEW - 1) as f64 / FEW as f64;
        readings.push(QualityReading {
            ratio: if constant { 1.0 } else { changing },
            reference_ratio: frozen.expected.top,
            n: run.len().max(FEW),
            reference_n: frozen.expected.rows,
            since_ms: constant.then(|| run.since_ms()),
            has_failed: constant || run.failed,
            ..labels.reading(feature, Check::Constant)
        });
    }
    for number in failed {
        state.sets[at].runs[number].failed = true;
    }
}

/// Whether a version has always answered the same, by its own reference.
fn is_constant_by_nature(state: &State, version: usize, feature: usize) -> bool {
    state.own.get(version, feature).is_some_and(|first| {
        let top = first.counts.iter().max().copied().unwrap_or(0);
        first.rows >= MIN_OWN_ROWS && top == first.rows
    })
}

/// Whether a constant answer tells which version it is from: another version has another constant one.
fn names_version(state: &State, at: usize, feature: usize, run: &Run) -> bool {
    let Some(frozen) = state.features.get(feature).frozen() else { return false };
    let version = state.sets[at].version;
    state.sets.iter().filter(|set| set.tenant == ALL && set.version != version).any(|set| {
        let other = set.runs.get(feature);
        other.is_some_and(|other| {
            other.value() != run.value() && other.is_constant(&frozen.expected, false, false)
        })
    })
}
