//! A tenant's own reference for its detector.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stats::detect::{ABSENT, DetectorBins, FeaturePlan, MIN_REFERENCE_ROWS, Plan};

use super::watch::{Planned, base_plan};
use crate::features::Frozen;

/// How a tenant's first values of one feature are distributed, in the detector's bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantCounts {
    /// Per slot.
    pub counts: Vec<u64>,
    /// How many successive rows of the tenant count as one, at least 1.
    pub tau: f64,
}

impl TenantCounts {
    /// Both together; the rows of both hang together as much as those of either.
    pub(crate) fn with(mut self, more: &Self) -> Self {
        self.counts.iter_mut().zip(&more.counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
        self.tau = self.tau.max(more.tau);
        self
    }
}

/// The counts of a tenant's first values, given as the detector's slots in their order; `None` of too few. Values that nobody had in
/// the reference are expected of a tenant as often as of all: so few rows don't say that there are none.
pub(crate) fn tenant_counts(frozen: &Frozen, values: &[u8]) -> Option<TenantCounts> {
    let base = base_plan(frozen);
    let mut counts = vec![0_u64; base.counts.len()];
    for slot in values {
        *counts.get_mut(usize::from(*slot))? += 1;
    }
    let rows = values.len() as u64;
    if rows < MIN_REFERENCE_ROWS {
        return None;
    }
    let tau = FeaturePlan::new(counts.clone(), base.layout).measured_tau(values);
    let of_all = base.counts.iter().fold(0.0, |sum, count| sum + *count as f64);
    if let Some(unseen) = unseen(frozen)
        && of_all > 0.0
    {
        let expected = (base.counts[unseen] as f64 / of_all * rows as f64).round() as u64;
        counts[unseen] = counts[unseen].max(expected);
    }
    Some(TenantCounts { counts, tau })
}

/// How many slots a tenant's counts of a feature have.
pub(crate) fn tenant_slots(frozen: &Frozen) -> usize {
    frozen.detector.as_ref().map_or_else(|| frozen.bins.slots(), |detector| detector.bins.slots())
}

/// The reference of all as if it were a tenant's.
pub(crate) fn all_as_tenant(frozen: &Frozen) -> Option<TenantCounts> {
    let FeaturePlan { counts, tau, .. } = base_plan(frozen);
    (counts.iter().sum::<u64>() >= MIN_REFERENCE_ROWS).then_some(TenantCounts { counts, tau })
}

/// The slot of values that the reference does not have; none for numbers, whose bins hold every value.
fn unseen(frozen: &Frozen) -> Option<usize> {
    match &frozen.detector {
        None => frozen.bins.other(),
        Some(reference) => match &reference.bins {
            DetectorBins::Ordered(_) => None,
            DetectorBins::Values(_) | DetectorBins::Categories { .. } => Some(reference.bins.missing() - 1),
        },
    }
}

/// A tenant's plan: the features of `planned`, each with the tenant's own counts. Features without are silent, which is `true` in
/// what comes beside the plan; `None` when all of them are.
pub(super) fn plan_of<'a>(
    planned: &Planned,
    min_effect: f64,
    own: impl Fn(usize) -> Option<&'a TenantCounts>,
) -> Option<(Arc<Planned>, Vec<bool>)> {
    let mut silent = Vec::with_capacity(planned.features.len());
    let mut plans = Vec::with_capacity(planned.features.len());
    for (watched, base) in planned.features.iter().zip(planned.plan.features()) {
        let own = own(watched.at).filter(|own| own.counts.len() == base.counts.len());
        silent.push(own.is_none());
        plans.push(match own {
            Some(own) => FeaturePlan { tau: own.tau, ..FeaturePlan::new(own.counts.clone(), base.layout) },
            None => base.clone(),
        });
    }
    if silent.iter().all(|silent| *silent) {
        return None;
    }
    let plan = Arc::new(Plan::new(plans, min_effect).ok()?);
    Some((Arc::new(Planned { plan, features: planned.features.clone() }), silent))
}

/// A row without what is silent.
pub(super) fn silenced<'a>(silent: &[bool], slots: &[u8], row: &'a mut Vec<u8>) -> &'a [u8] {
    row.clear();
    row.extend(slots.iter().zip(silent).map(|(slot, silent)| if *silent { ABSENT } else { *slot }));
    row
}
