//! What a detector says at an instant.

use std::sync::Arc;

use serde::Serialize;
use stats::detect::Phase;

/// Where the detector of one version and tenant stands.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorReading {
    /// Watching, or drift was found.
    pub phase: Phase,
    /// Evidence over the threshold; an alarm is raised at 1.
    pub evidence_ratio: f64,
    /// Rows that pass on average between two alarms that are wrong.
    pub arl0: f64,
    /// Rows seen.
    pub rows: u64,
    /// Alarms raised, later ones about more features of the same drift included.
    pub alarms: u64,
    /// The drift that goes on.
    pub drift: Option<DriftReading>,
}

impl DetectorReading {
    /// The size of the drift: the largest debiased PSI among the features that drifted; 0 without a drift, and for one too
    /// small to matter.
    pub fn psi(&self) -> f64 {
        let drift = self.drift.as_ref().filter(|drift| !drift.notice);
        drift.map_or(0.0, |drift| drift.suspects.iter().map(|suspect| suspect.psi).fold(0.0, f64::max))
    }
}

/// A drift that was found and goes on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftReading {
    /// When it was found, unix milliseconds.
    pub since_ms: i64,
    /// About how many requests ago the change began.
    pub requests_ago: u64,
    /// Too small to matter: below 0.005 debiased PSI in every feature.
    pub notice: bool,
    /// The features, those with most evidence first.
    pub suspects: Vec<SuspectReading>,
}

/// A feature that drifted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuspectReading {
    /// The feature.
    pub feature: Arc<str>,
    /// How it changed, with values: `amount: higher (median 33 → 60)`, `country: `DE` is 34 % (training 20 %)`.
    pub change: String,
    /// Debiased PSI since the change began; a rough estimate, at most 0.25, from fewer than 100 rows.
    pub psi: f64,
    /// A word for it: `none`, `slight`, `moderate` or `large`; `unknown` on fewer than 100 rows.
    pub severity: &'static str,
}

impl DriftReading {
    /// In words: ``amount: higher (median 33 → 60); country: `DE` is 34 % (training 20 %) (began about 420 requests ago)``. At most
    /// five features are named, the largest difference first.
    pub fn describe(&self) -> String {
        if self.suspects.is_empty() {
            return String::new();
        }
        let causes = stats::words::causes(self.suspects.iter().map(|one| (one.psi, one.change.as_str())));
        format!("{causes} (began about {} requests ago)", self.requests_ago)
    }
}
