//! From counts to readings.
//!
//! A window set is computed again only when something it depends on has changed; a quiet tenant costs a comparison.

use std::borrow::Cow;
use std::sync::Arc;

use record::Lane;
use stats::{Bins, Window};

use crate::chance::{Chance, MIN_REFERENCE_ROWS, quarters_tau, subjects_of};
use crate::detector::DriftReading;
use crate::features::{Frozen, Side};
use crate::model::Model;
use crate::profile::kind;
use crate::quality::{Counter, Counts, Run, is_adopted, is_fault};
use crate::readings::{
    FeatureHistogram, FeatureReading, ModelReadings, ReferenceKind, Verdict, WindowReadings,
};
use crate::rules::Rules;
use crate::speeds::is_speed;
use crate::state::State;
use crate::tenant_learning::Compared;
use crate::tenants::ALL;
use crate::windows::{CacheKey, Ring, WindowSet};
use crate::words;

/// A debiased PSI above it is large ([`stats::Severity`]).
pub(crate) const LARGE: f64 = 0.25;

/// A feature's window against one reference.
struct Pair<'a> {
    feature: usize,
    frozen: &'a Frozen,
    kind: ReferenceKind,
    /// `None` when there is no reference yet; then it has `reference_n` rows of what it needs.
    reference: Option<Cow<'a, [u64]>>,
    reference_n: u64,
    /// Whether a verdict may be given.
    judged: bool,
    current: &'a Window,
    n: u64,
}

/// The window of a feature that holds anything.
fn filled(set: &WindowSet, feature: usize) -> Option<&Ring> {
    set.ring(feature).filter(|ring| !ring.current.is_empty())
}

/// What a version itself answered first, once that is as much as is learned, and how many rows there are of it.
pub(crate) fn own_of<'a>(
    state: &'a State,
    rules: &Rules,
    version: usize,
    feature: usize,
) -> (Option<&'a [u64]>, u64) {
    match state.own.get(version, feature) {
        Some(first) => ((first.rows >= rules.learn as u64).then_some(first.counts.as_slice()), first.rows),
        None => (None, 0),
    }
}

/// The pairs of a window set, in the order of the features.
fn pairs<'a>(
    state: &'a State,
    rules: &Rules,
    set: &'a WindowSet,
    prod: Option<&'a WindowSet>,
) -> Vec<Pair<'a>> {
    let mut pairs = Vec::with_capacity(state.features.len() * (1 + usize::from(prod.is_some())));
    for (at, feature) in state.features.iter().enumerate() {
        let (Some(frozen), Some(ring), true) = (feature.frozen(), filled(set, at), feature.is_judged())
        else {
            continue;
        };
        let (current, n) = (&ring.current, ring.current.len() as u64);
        let compared = match &ring.previous {
            None => state.compared(rules, set, at, n),
            // Until it is full, its noise would look like drift to a fixed threshold.
            Some(previous) => {
                let full = previous.len() == previous.capacity();
                let counts = full.then(|| Cow::Borrowed(previous.counts()));
                Compared { counts, rows: previous.len() as u64, judged: true }
            }
        };
        let Compared { counts, rows: reference_n, judged } = compared;
        let reference = counts.filter(|_| reference_n > 0);
        let kind = ReferenceKind::Baseline;
        pairs.push(Pair { feature: at, frozen, kind, reference, reference_n, judged, current, n });
        if let Some(ring) = prod.and_then(|prod| filled(prod, at)) {
            let reference = Some(Cow::Borrowed(ring.current.counts()));
            let (reference_n, judged) = (ring.current.len() as u64, true);
            let kind = ReferenceKind::Prod;
            pairs.push(Pair { feature: at, frozen, kind, reference, reference_n, judged, current, n });
        }
    }
    pairs
}

/// Bins that take part: `other` and `missing` only if a side has rows there.
fn used_bins(bins: &Bins, reference: &[u64], current: &[u64]) -> usize {
    let unused = |slot: &usize| bins.droppable(*slot) && reference[*slot] == 0 && current[*slot] == 0;
    let droppable = [bins.other(), Some(bins.missing())];
    bins.slots() - droppable.into_iter().flatten().filter(unused).count()
}

fn read(pair: &Pair<'_>, feature: Arc<str>, min_requests: u64, chance: &mut Chance<'_>) -> FeatureReading {
    let mut reading = FeatureReading {
        feature,
        reference: pair.kind,
        n: pair.n,
        reference_n: pair.reference_n,
        psi: f64::NAN,
        js_divergence: f64::NAN,
        psi_critical: f64::NAN,
        psi_noise: f64::NAN,
        psi_debiased: f64::NAN,
        bins: 0,
        verdict: Verdict::Inconclusive,
        change: None,
    };
    let Some(reference) = pair.reference.as_deref() else { return reading };
    let (bins, current) = (&pair.frozen.bins, pair.current.counts());
    let Some((psi, js)) = stats::psi_and_js(bins, reference, current) else { return reading };
    let used = used_bins(bins, reference, current);
    reading.psi = psi;
    reading.bins = used;
    reading.js_divergence = js;
    reading.psi_critical = chance.critical(used, pair.n, pair.reference_n) * pair.frozen.tau();
    reading.psi_noise = stats::psi_noise(used, pair.n, pair.reference_n);
    reading.psi_debiased = stats::jeffreys::debiased_psi(reference, current, 1.0).unwrap_or(f64::NAN);
    let enough = pair.n > min_requests && pair.reference_n >= MIN_REFERENCE_ROWS;
    if enough && pair.judged && !is_speed(&reading.feature) {
        reading.verdict = Verdict::Pass;
        let beyond = |tau: f64| stats::beyond_chance(bins, reference, current, tau, chance.alpha());
        let tau = pair.frozen.tau();
        if psi > reading.psi_critical && beyond(tau) {
            // Rows may depend on each other more than those of the reference did; it takes a while to say, so only now.
            let live = quarters_tau(bins, pair.current).max(tau);
            reading.psi_critical *= live / tau;
            if psi > reading.psi_critical && beyond(live) {
                reading.verdict = Verdict::Fail;
            }
        }
    }
    reading
}

/// A data fault is no drift, and neither is that more requests have a `new` field.
fn settle(
    pair: &Pair<'_>,
    set: &WindowSet,
    new: bool,
    reading: &mut FeatureReading,
    chance: &mut Chance<'_>,
) {
    let (Verdict::Fail, Some(reference)) = (reading.verdict, pair.reference.as_deref()) else { return };
    let other = set.faults.get(pair.feature).is_some_and(Counter::is_type_alone);
    let counts = Counts { bins: &pair.frozen.bins, reference, current: pair.current.counts() };
    let mut critical = |used: usize, n: u64, m: u64| chance.critical(used, n, m);
    if new && is_adopted(counts, reading.psi, &mut critical) {
        reading.verdict = Verdict::Pass;
    } else if is_fault(counts, reading.psi, other, critical) {
        reading.verdict = Verdict::Fault;
    }
}

/// A drift is not large in a feature whose window says that chance explains the difference: a request that is sent again and
/// again is one row of evidence, which a detector counts as many.
fn explain(drift: &mut DriftReading, features: &[FeatureReading]) {
    for suspect in &mut drift.suspects {
        let by_chance = |reading: &&FeatureReading| {
            reading.feature == suspect.feature
                && reading.reference == ReferenceKind::Baseline
                && reading.verdict == Verdict::Pass
        };
        if features.iter().any(|reading| by_chance(&reading)) && suspect.psi > LARGE {
            (suspect.psi, suspect.severity) = (LARGE, stats::severity(LARGE).as_str());
        }
    }
}

/// What a feature remembers of values, where that is of this window: production in all, and of predictions those of the active
/// version.
fn remembered(state: &State, active: Option<&str>, set: &WindowSet, at: usize) -> Option<words::Memory> {
    let feature = state.features.get(at);
    let is_active = || active == Some(&**state.versions.name(set.version));
    let is_own =
        set.lane == Lane::Prod && set.tenant == ALL && (feature.side == Side::Features || is_active());
    let alike = set.runs.get(at).map_or(0, Run::len);
    is_own.then(|| words::Memory { now: state.seen[feature.side as usize], alike })
}

impl Model {
    /// The model's readings; windows that did not change are shared with the last call's.
    pub(crate) fn readings(&mut self, now: i64) -> ModelReadings {
        self.state.tick(now, self.active.as_deref());
        // The checks first: they know of what type the values are.
        let quality = self.quality(now);
        let subjects = self.subjects();
        let settings =
            self.settings.wrapping_shl(32) ^ self.state.references ^ (subjects as u64).wrapping_shl(48);
        let mut order: Vec<usize> = (0..self.state.sets.len()).collect();
        order.sort_by_key(|set| (self.state.sets[*set].tenant != ALL, *set));
        let mut windows = Vec::with_capacity(order.len());
        for at in order {
            if self.state.sets[at].rows == 0 {
                continue;
            }
            let prod = self.prod_of(&self.state.sets[at]);
            let key = CacheKey {
                own: self.state.sets[at].generation,
                prod: prod.map(|prod| (prod, self.state.sets[prod].generation)),
                settings,
            };
            let cached = self.state.sets[at].cached.as_ref().filter(|(cached, _)| *cached == key);
            let readings = match cached {
                Some((_, readings)) => readings.clone(),
                None => {
                    let readings = Arc::new(self.evaluate(at, prod, subjects));
                    self.state.sets[at].cached = Some((key, readings.clone()));
                    readings
                }
            };
            windows.push(readings);
        }
        self.note_windows(&windows, now);
        self.grow(&windows, &quality);
        ModelReadings {
            model: self.spec.name.clone(),
            reference: self.reference(),
            active: self.active.clone(),
            windows,
            quality,
            dropped: self.state.dropped.clone(),
            unreadable: self.state.unreadable.clone(),
            rows: self.state.rows,
            features: self.feature_states(),
            fit: self.fit(),
        }
    }

    /// The histograms behind a window set's readings.
    pub(crate) fn histograms(
        &self,
        version: &str,
        lane: Lane,
        tenant: &str,
    ) -> Option<Vec<FeatureHistogram>> {
        let (version, tenant) = (self.state.versions.find(version)?, self.state.tenants.shown(tenant)?);
        let set = &self.state.sets[self.state.find_set(version, lane, tenant)?];
        if set.rows == 0 {
            return None;
        }
        let prod = self.prod_of(set).map(|prod| &self.state.sets[prod]);
        let histogram = |pair: Pair<'_>| {
            let bins = &pair.frozen.bins;
            let none = vec![0; bins.slots()];
            let reference = pair.reference.as_deref().unwrap_or(&none);
            FeatureHistogram {
                feature: self.state.features.get(pair.feature).name.clone(),
                kind: kind(bins),
                reference: pair.kind,
                labels: bins.labels(),
                edges: match bins {
                    Bins::Numeric(numeric) => numeric.inner_edges().to_vec(),
                    Bins::Categorical(_) => Vec::new(),
                },
                reference_counts: reference.to_vec(),
                current_counts: pair.current.counts().to_vec(),
                contributions: stats::contributions(bins, reference, pair.current.counts())
                    .unwrap_or_else(|| vec![0.0; bins.slots()]),
            }
        };
        Some(pairs(&self.state, &self.rules, set, prod).into_iter().map(histogram).collect())
    }

    /// Tells the state what the total of the version that clients get and its tenants are like: nobody learns from what has moved.
    fn note_windows(&mut self, windows: &[Arc<WindowReadings>], now: i64) {
        let is_total = |window: &&Arc<WindowReadings>| {
            let is_active = self.active.as_deref().is_none_or(|active| *active == *window.version);
            is_active && window.lane == Lane::Prod && *window.tenant == *self.state.tenants.name(ALL)
        };
        if let Some(total) = windows.iter().find(is_total) {
            self.state.note_total(total);
        }
        for window in windows.iter().filter(|window| window.lane == Lane::Prod) {
            self.state.note_tenant(window);
        }
        self.state.settle_tenants(&self.rules, self.active.as_deref(), now);
    }

    /// How many comparisons are judged at once: features times windows with rows enough.
    fn subjects(&self) -> usize {
        let windows = self.state.sets.iter().filter(|set| set.rows > self.spec.min_requests).count();
        let features = self.state.features.iter().filter(|feature| feature.is_judged()).count();
        subjects_of(features * windows)
    }

    fn evaluate(&mut self, at: usize, prod: Option<usize>, subjects: usize) -> WindowReadings {
        let mut chance = self.criticals.at(subjects);
        let (state, active) = (&self.state, self.active.as_deref());
        let set = &state.sets[at];
        let prod = prod.map(|prod| &state.sets[prod]);
        let features: Vec<FeatureReading> = pairs(state, &self.rules, set, prod)
            .iter()
            .map(|pair| {
                let name = state.features.get(pair.feature).name.clone();
                let mut reading = read(pair, name, self.spec.min_requests, &mut chance);
                settle(pair, set, state.features.get(pair.feature).late, &mut reading, &mut chance);
                let baseline = pair.reference.as_deref().filter(|_| pair.kind == ReferenceKind::Baseline);
                if let (Verdict::Fail, Some(reference)) = (reading.verdict, baseline) {
                    let feature = state.features.get(pair.feature);
                    let memory = remembered(state, active, set, pair.feature);
                    reading.change = words::of_window(feature, reference, pair.current.counts(), memory);
                }
                reading
            })
            .collect();
        let words = |feature: usize, reference: &[u64], current: &[u64]| {
            let memory = remembered(state, active, set, feature);
            words::of_detector(state.features.get(feature), reference, current, memory)
        };
        let mut detector = set.detector.as_ref().map(|live| live.reading(&state.watch, words));
        if let Some(drift) = detector.as_mut().and_then(|detector| detector.drift.as_mut()) {
            explain(drift, &features);
        }
        WindowReadings {
            version: state.versions.name(set.version).clone(),
            lane: set.lane,
            tenant: state.tenants.name(set.tenant),
            requests: set.rows.min(self.rules.window as u64),
            rows: set.rows,
            last_at_ms: set.last_at_ms,
            learning: state.learning_of(&self.rules, set),
            features,
            detector,
        }
    }

    /// The production windows that a shadow lane's are compared with: the active version's, of the same tenant.
    fn prod_of(&self, set: &WindowSet) -> Option<usize> {
        if set.lane != Lane::Shadow {
            return None;
        }
        let active = self.state.versions.find(self.active.as_deref()?)?;
        self.state.find_set(active, Lane::Prod, set.tenant)
    }
}
