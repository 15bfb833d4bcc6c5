//! From counts to readings.
//!
//! A window set is computed again only when something it depends on has changed; a quiet tenant costs a comparison.

use std::sync::Arc;

use record::Lane;
use stats::Bins;

use crate::features::Frozen;
use crate::model::Model;
use crate::profile::kind;
use crate::readings::{
    FeatureHistogram, FeatureReading, ModelReadings, ReferenceKind, Verdict, WindowReadings,
};
use crate::speeds::is_speed;
use crate::state::State;
use crate::tenants::ALL;
use crate::windows::{CacheKey, Ring, WindowSet};

/// A reference with fewer rows judges nothing.
const MIN_REFERENCE_ROWS: u64 = 100;

/// Critical values at one `alpha`. They are `(1/n + 1/m)` times a quantile that depends on the number of bins alone and
/// takes a while to compute, so that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Criticals {
    alpha: f64,
    /// By number of bins: the critical value at `1/n + 1/m = 1`.
    quantiles: Vec<Option<f64>>,
}

impl Criticals {
    pub(crate) fn new(alpha: f64) -> Self {
        Self { alpha, quantiles: Vec::new() }
    }

    fn critical(&mut self, bins: usize, n: u64, m: u64) -> f64 {
        if self.quantiles.len() <= bins {
            self.quantiles.resize(bins + 1, None);
        }
        let alpha = self.alpha;
        // With a single bin there is nothing to differ in: PSI is 0, and so is its critical value.
        let compute = || stats::psi_critical(bins, 2, 2, alpha).unwrap_or(0.0);
        let quantile = *self.quantiles[bins].get_or_insert_with(compute);
        quantile * (1.0 / n as f64 + 1.0 / m as f64)
    }
}

/// A feature's window against one reference.
struct Pair<'a> {
    feature: usize,
    frozen: &'a Frozen,
    kind: ReferenceKind,
    /// `None` when there is no reference yet; then it has `reference_n` rows of what it needs.
    reference: Option<&'a [u64]>,
    reference_n: u64,
    current: &'a [u64],
    n: u64,
}

/// The window of a feature that holds anything.
fn filled(set: &WindowSet, feature: usize) -> Option<&Ring> {
    set.ring(feature).filter(|ring| !ring.current.is_empty())
}

/// The pairs of a window set, in the order of the features.
fn pairs<'a>(state: &'a State, set: &'a WindowSet, prod: Option<&'a WindowSet>) -> Vec<Pair<'a>> {
    let mut pairs = Vec::with_capacity(state.features.len() * (1 + usize::from(prod.is_some())));
    for (at, feature) in state.features.iter().enumerate() {
        let (Some(frozen), Some(ring), true) = (feature.frozen(), filled(set, at), feature.is_judged())
        else {
            continue;
        };
        let (current, n) = (ring.current.counts(), ring.current.len() as u64);
        let (reference, reference_n) = match &ring.previous {
            None => (Some(frozen.counts.as_slice()), frozen.rows),
            // Until it is full, its noise would look like drift to a fixed threshold.
            Some(previous) => {
                let full = previous.len() == previous.capacity();
                (full.then(|| previous.counts()), previous.len() as u64)
            }
        };
        let reference = reference.filter(|_| reference_n > 0);
        let kind = ReferenceKind::Baseline;
        pairs.push(Pair { feature: at, frozen, kind, reference, reference_n, current, n });
        if let Some(ring) = prod.and_then(|prod| filled(prod, at)) {
            let (reference, reference_n) = (Some(ring.current.counts()), ring.current.len() as u64);
            let kind = ReferenceKind::Prod;
            pairs.push(Pair { feature: at, frozen, kind, reference, reference_n, current, n });
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

fn read(pair: &Pair<'_>, feature: Arc<str>, min_requests: u64, criticals: &mut Criticals) -> FeatureReading {
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
    };
    let Some(reference) = pair.reference else { return reading };
    let bins = &pair.frozen.bins;
    let Some((psi, js)) = stats::psi_and_js(bins, reference, pair.current) else { return reading };
    let used = used_bins(bins, reference, pair.current);
    reading.psi = psi;
    reading.bins = used;
    reading.js_divergence = js;
    reading.psi_critical = criticals.critical(used, pair.n, pair.reference_n);
    reading.psi_noise = stats::psi_noise(used, pair.n, pair.reference_n);
    reading.psi_debiased = stats::jeffreys::debiased_psi(reference, pair.current, 1.0).unwrap_or(f64::NAN);
    if pair.n > min_requests && pair.reference_n >= MIN_REFERENCE_ROWS && !is_speed(&reading.feature) {
        reading.verdict = if psi > reading.psi_critical { Verdict::Fail } else { Verdict::Pass };
    }
    reading
}

impl Model {
    /// The model's readings; windows that did not change are shared with the last call's.
    pub(crate) fn readings(&mut self, now: i64) -> ModelReadings {
        self.state.tick(now, self.active.as_deref());
        let settings = self.settings.wrapping_shl(32) ^ self.state.references;
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
                    let readings = Arc::new(self.evaluate(at, prod));
                    self.state.sets[at].cached = Some((key, readings.clone()));
                    readings
                }
            };
            windows.push(readings);
        }
        ModelReadings {
            model: self.spec.name.clone(),
            reference: self.reference(),
            active: self.active.clone(),
            windows,
            quality: Vec::new(),
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
            let reference = pair.reference.unwrap_or(&none);
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
                current_counts: pair.current.to_vec(),
                contributions: stats::contributions(bins, reference, pair.current)
                    .unwrap_or_else(|| vec![0.0; bins.slots()]),
            }
        };
        Some(pairs(&self.state, set, prod).into_iter().map(histogram).collect())
    }

    fn evaluate(&mut self, at: usize, prod: Option<usize>) -> WindowReadings {
        let state = &self.state;
        let set = &state.sets[at];
        let prod = prod.map(|prod| &state.sets[prod]);
        let features = pairs(state, set, prod)
            .iter()
            .map(|pair| {
                let name = state.features.get(pair.feature).name.clone();
                read(pair, name, self.spec.min_requests, &mut self.criticals)
            })
            .collect();
        WindowReadings {
            version: state.versions.name(set.version).clone(),
            lane: set.lane,
            tenant: state.tenants.name(set.tenant),
            requests: set.rows.min(self.rules.window as u64),
            rows: set.rows,
            last_at_ms: set.last_at_ms,
            features,
            detector: set.detector.as_ref().map(|live| live.reading(&state.watch)),
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
