//! What the detectors of one model share: the plan, the settings, the sampling.

use std::sync::Arc;

use record::Cell;
use sha2::{Digest, Sha256};
use stats::detect::{ABSENT, FeaturePlan, Layout, MIN_REFERENCE_ROWS, Plan, Settings};

use super::counts::{CountedFeature, DetectorLayout};
use crate::batch::Batch;
use crate::features::{Feature, FeatureTable, Frozen, Side};
use crate::spec::DetectorSpec;
use crate::speeds::is_speed;

/// Rows a second that evidence is gathered from; of more, as many are drawn. A hundred rows of delay are then a twentieth of
/// a second.
const MAX_ROWS_PER_SECOND: f64 = 2_000.0;

/// Settings below this mean run length would be asked for by nobody: models with little traffic get this one.
const MIN_ARL0: f64 = 10_000.0;

/// The expected share of wrongly named features.
const ALPHA: f64 = 0.1;

/// Which features are watched, and what their slots are called.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Arc<Plan>,
    pub(crate) features: Vec<Watched>,
}

/// A feature of the plan.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Its number in the model.
    pub(crate) at: usize,
    side: Side,
    pub(crate) name: Arc<str>,
    pub(crate) labels: Vec<String>,
}

impl Planned {
    /// The plan's own, with the names and what slots stand for: two plans may count alike and mean different things.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.plan.fingerprint().to_le_bytes());
        for feature in &self.features {
            for text in std::iter::once(&*feature.name).chain(feature.labels.iter().map(String::as_str)) {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The watching of one model.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    spec: DetectorSpec,
    /// Whether the reference stands still at all.
    possible: bool,
    planned: Option<Arc<Planned>>,
    /// The state of the references that it was planned for; `None` before the first time.
    planned_for: Option<u64>,
    sampler: Sampler,
    /// Slots of one row.
    row: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(spec: DetectorSpec, possible: bool) -> Self {
        Self {
            spec,
            possible,
            planned: None,
            planned_for: None,
            sampler: Sampler::default(),
            row: Vec::new(),
        }
    }

    /// Other settings. True when everything that was gathered has to be forgotten.
    pub(crate) fn configure(&mut self, spec: DetectorSpec) -> bool {
        let anew = spec.enabled != self.spec.enabled || spec.min_effect != self.spec.min_effect;
        self.spec = spec;
        if anew {
            (self.planned, self.planned_for) = (None, None);
        }
        anew
    }

    pub(crate) fn is_on(&self) -> bool {
        self.spec.enabled && self.possible
    }

    /// Whether this tenant's rows of this version are watched on their own.
    pub(crate) fn covers(&self, tenant: u32, first_named: u32, active: bool) -> bool {
        let named = tenant.checked_sub(first_named);
        tenant == crate::tenants::ALL
            || active && named.is_some_and(|named| (named as usize) < self.spec.tenants)
    }

    /// Plans for the references as they are now; whether that was to be done.
    pub(crate) fn plan(&mut self, features: &FeatureTable, references: u64) -> bool {
        if self.planned_for == Some(references) {
            return false;
        }
        self.planned_for = Some(references);
        self.planned = planned(features, self.spec.min_effect).map(Arc::new);
        true
    }

    /// The references have another number and are the same.
    pub(crate) fn planned_for(&mut self, references: u64) {
        self.planned_for = self.planned_for.map(|_| references);
    }

    pub(crate) fn planned(&self) -> Option<&Arc<Planned>> {
        self.planned.as_ref()
    }

    /// What the detectors' counts mean; `None` while there is nothing to watch.
    pub(crate) fn layout(&self) -> Option<DetectorLayout> {
        let planned = self.planned.as_ref()?;
        let feature = |(watched, plan): (&Watched, &FeaturePlan)| CountedFeature {
            feature: watched.name.clone(),
            labels: watched.labels.clone(),
            ordered: plan.layout.ordered,
            reference: plan.counts.clone(),
            tau: plan.tau,
        };
        Some(DetectorLayout {
            fingerprint: planned.fingerprint(),
            min_effect: self.spec.min_effect,
            features: planned.features.iter().zip(planned.plan.features()).map(feature).collect(),
        })
    }

    pub(crate) fn settings(&self, rows_per_ms: f64) -> Settings {
        let arl0 = (rows_per_ms * self.spec.false_alarm_every.as_millis() as f64).max(MIN_ARL0);
        Settings { arl0, strict: self.spec.strict, alpha: ALPHA }
    }

    /// Whether the next observation, of so many rows, is seen by the detectors.
    pub(crate) fn draw(&mut self, rows: u32) -> bool {
        self.is_on() && self.sampler.draw(rows)
    }

    /// The share of rows that are drawn.
    pub(crate) fn share(&self) -> f64 {
        self.sampler.share
    }

    pub(crate) fn tick(&mut self, now_ms: i64) {
        self.sampler.tick(now_ms);
    }

    /// The slots of one row of a batch. Rows that one side of the batch does not have say nothing about its features.
    /// Features that are not judged say nothing either, nor do predictions of a version that the reference is not of.
    pub(crate) fn row(&mut self, features: &FeatureTable, version: &str, batch: &Batch, row: usize) -> &[u8] {
        self.row.clear();
        if let Some(planned) = &self.planned {
            let says = |feature: &Feature| feature.is_judged() && feature.is_of(version);
            let slot = |watched: &Watched| match says(features.get(watched.at)) {
                true => batch.watched(watched.at, watched.side, row).unwrap_or(ABSENT),
                false => ABSENT,
            };
            self.row.extend(planned.features.iter().map(slot));
        }
        &self.row
    }
}

/// The slot that the detector counts a value in; `shown` is the slot of the bins that are shown.
#[inline]
pub(crate) fn slot(frozen: &Frozen, shown: u8, value: Cell<'_>, scratch: &mut String) -> u8 {
    match &frozen.detector {
        Some(reference) => reference.slot(value, scratch),
        None => shown,
    }
}

/// The slot of rows without a value.
pub(crate) fn missing(frozen: &Frozen) -> u8 {
    match &frozen.detector {
        Some(reference) => reference.bins.missing() as u8,
        None => frozen.bins.missing() as u8,
    }
}

/// Everything that is frozen and has rows enough; `None` if that is nothing.
fn planned(features: &FeatureTable, min_effect: f64) -> Option<Planned> {
    let (mut watched, mut plans) = (Vec::new(), Vec::new());
    for (at, feature) in features.iter().enumerate() {
        let watches = feature.role().is_judged() && !is_speed(&feature.name);
        let Some((plan, labels)) = feature_plan(feature).filter(|_| watches) else {
            continue;
        };
        let rows = plan.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        // A single slot beside `missing` is watched as well: a value may go missing.
        if rows >= MIN_REFERENCE_ROWS && plan.counts.len() <= usize::from(ABSENT) {
            watched.push(Watched { at, side: feature.side, name: feature.name.clone(), labels });
            plans.push(plan);
        }
    }
    // The loop has left out whatever a plan refuses, but for a model without features.
    let plan = Plan::new(plans, min_effect).ok()?;
    Some(Planned { plan: Arc::new(plan), features: watched })
}

/// Rows without a value say nothing, so that the reference is of those that have one ([`Batch::watched`]).
fn feature_plan(feature: &Feature) -> Option<(FeaturePlan, Vec<String>)> {
    let frozen = feature.frozen()?;
    let (mut plan, labels) = match &frozen.detector {
        Some(reference) => (reference.plan(), reference.bins.labels()),
        None => {
            let bins = &frozen.bins;
            let ordered = if bins.is_ordered() { bins.len() } else { 0 };
            let layout = Layout { ordered, slots: bins.slots() };
            (FeaturePlan::new(frozen.counts.clone(), layout), bins.labels())
        }
    };
    if let Some(missing) = plan.counts.last_mut() {
        *missing = 0;
    }
    Some((plan, labels))
}

/// Draws observations where there are too many rows, each alike.
#[derive(Clone, Debug)]
struct Sampler {
    share: f64,
    /// Rows offered since `since_ms`.
    offered: u64,
    since_ms: i64,
    state: u64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { share: 1.0, offered: 0, since_ms: 0, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Sampler {
    fn draw(&mut self, rows: u32) -> bool {
        self.offered += u64::from(rows);
        if self.share >= 1.0 {
            return true;
        }
        // xorshift64: which rows are drawn must only not follow the order in which clients send.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state >> 11) as f64) < self.share * (1_u64 << 53) as f64
    }

    /// The share follows the rate of the last second.
    fn tick(&mut self, now_ms: i64) {
        let ms = now_ms.saturating_sub(self.since_ms);
        if ms < 500 && self.since_ms != 0 {
            return;
        }
        if self.since_ms != 0 {
            let per_second = self.offered as f64 * 1_000.0 / ms as f64;
            self.share =
                if per_second > MAX_ROWS_PER_SECOND { MAX_ROWS_PER_SECOND / per_second } else { 1.0 };
        }
        (self.offered, self.since_ms) = (0, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_rows_as_many_are_drawn_as_can_be_watched() {
        let mut sampler = Sampler::default();
        let mut second = |at: i64, rows: u32| {
            let drawn = (0..rows).filter(|_| sampler.draw(1)).count();
            sampler.tick(at * 1_000);
            drawn
        };
        assert_eq!(second(1, 500), 500);
        assert_eq!(second(2, 20_000), 20_000, "nobody knew that so many would come");
        let drawn = second(3, 20_000);
        assert!((1_800..2_200).contains(&drawn), "{drawn}");
        second(4, 100);
        assert_eq!(second(5, 100), 100);
    }
}
