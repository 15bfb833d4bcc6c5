//! What detectors have counted, for whoever adds up the counts of several replicas.
//!
//! Counts only grow, so that nobody has to be there at the right moment: the difference between two looks is a slice. What
//! replicas count can be added, feature by feature, if they compare it with the same: [`CountedFeature`]s that are equal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stats::detect::{FeaturePlan, Layout, Plan, PlanError};

/// What the detectors of one model have counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorCounts {
    /// What the counts mean.
    pub layout: DetectorLayout,
    /// One entry per version whose production rows are watched.
    pub versions: Vec<VersionCounts>,
}

/// The features of a detector and what they are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorLayout {
    /// Changes with whatever decides what the counts mean.
    pub fingerprint: String,
    /// Differences below so many standard deviations are nobody's concern.
    pub min_effect: f64,
    /// The features, in the order of their counts.
    pub features: Vec<CountedFeature>,
}

/// A feature of a [`DetectorLayout`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountedFeature {
    /// Its name.
    pub feature: Arc<str>,
    /// A name for each slot.
    pub labels: Vec<String>,
    /// How many of the slots are in order, from the first on.
    pub ordered: usize,
    /// Counts of the reference, one a slot.
    pub reference: Vec<u64>,
    /// So many successive rows count as one.
    pub tau: f64,
}

/// What the detector of one version has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionCounts {
    /// The version.
    pub version: Arc<str>,
    /// When counting began, unix milliseconds. Another instant than before: the counts began again at zero.
    pub since_ms: i64,
    /// Rows counted.
    pub rows: u64,
    /// Rows that pass on average between two alarms that are wrong, as this detector is asked for.
    pub arl0: f64,
    /// All features' slots, one feature after the other.
    pub counts: Vec<u64>,
}

impl DetectorLayout {
    /// The plan of a detector that watches the sum of replicas.
    ///
    /// # Errors
    ///
    /// [`PlanError`] for what no detector has sent.
    pub fn plan(&self) -> Result<Plan, PlanError> {
        let feature = |feature: &CountedFeature| {
            let layout = Layout { ordered: feature.ordered, slots: feature.reference.len() };
            FeaturePlan { tau: feature.tau, ..FeaturePlan::new(feature.reference.clone(), layout) }
        };
        Plan::new(self.features.iter().map(feature).collect(), self.min_effect)
    }
}
