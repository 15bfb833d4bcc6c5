//! What the monitor says at an instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::Lane;
use serde::{Deserialize, Serialize};

use crate::detector::DetectorReading;
use crate::grow::GrowthReading;
use crate::quality::QualityReading;

/// Every statistic at one instant.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// One entry per model, in the order of the configuration.
    pub models: Vec<ModelReadings>,
}

/// One model's statistics.
#[derive(Clone, Debug)]
pub struct ModelReadings {
    /// The model.
    pub model: Arc<str>,
    /// Where the reference stands.
    pub reference: ReferenceState,
    /// The version that the windows take for the active one; `None` before the first was set.
    pub active: Option<Arc<str>>,
    /// One entry per version, lane and tenant that has been seen; the tenant `all` first.
    pub windows: Vec<Arc<WindowReadings>>,
    /// What the checks of the data say, one entry per version, lane, tenant, feature and check.
    pub quality: Vec<QualityReading>,
    /// Observations not counted since the start, by reason (`syntax`, `shape`, `feature_limit`, ...).
    pub dropped: BTreeMap<&'static str, u64>,
    /// Values that could not be read since the start, by feature and reason (`not_finite`, `not_utf8`, `text_too_long`). They count
    /// as missing. After 256 features the others are counted together, as `other`.
    pub unreadable: BTreeMap<Arc<str>, BTreeMap<&'static str, u64>>,
    /// Rows counted since the start.
    pub rows: u64,
    /// Every feature and prediction, judged or not.
    pub features: Vec<FeatureState>,
    /// Whether the reference fits the traffic; `None` before there is traffic enough to say, and for references that are learned.
    pub fit: Option<Fit>,
}

/// Features of a model whose unreadable values are counted by name.
pub(crate) const UNREADABLE_FEATURES: usize = 256;

/// The name of all others.
pub(crate) const OTHER_FEATURES: &str = "other";

/// One feature or prediction that the model's reference or traffic has, and whether it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureState {
    /// Its name.
    pub feature: Arc<str>,
    /// `judged`, or why not: `identifier`, `time`, `text`, `not_seen` (in the reference, never in the traffic), `type_differs` (a
    /// number in the reference and never one in the traffic, or the other way round), `learning`, `new_field` (requests
    /// have it and the reference does not; its own rows are being learned), `moving` (it is learned anew, because its first rows
    /// were not alike).
    pub reason: &'static str,
}

/// Whether the reference fits the traffic: the names of a profile's features against those that requests have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Whether drift is judged at all.
    pub armed: bool,
    /// Features of the profile.
    pub expected: usize,
    /// How many of them the traffic has.
    pub matched: usize,
    /// Names of the profile that no request has had, at most 20.
    pub not_seen: Vec<Arc<str>>,
    /// Names in requests that the profile does not have, at most 20.
    pub unknown: Vec<Arc<str>>,
    /// Which of both may be the same feature, renamed.
    pub pairs: Vec<NamePair>,
    /// Features that are there and have only had values of another type than the profile's, at most 20.
    pub type_differs: Vec<Arc<str>>,
}

/// Two names of what may be one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamePair {
    /// As the profile has it.
    pub profile: Arc<str>,
    /// As requests have it.
    pub traffic: Arc<str>,
}

/// How a sample of requests fits a model's reference: see [`crate::Engine::sample`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampleReading {
    /// Rows of features in it.
    pub rows: u64,
    /// The profile against the sample, with all names; `None` for a reference that is learned.
    pub fit: Option<Fit>,
    /// Every feature and prediction, judged or not by the values in the sample.
    pub features: Vec<FeatureState>,
}

/// Where a model's reference stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReferenceState {
    /// Nothing to compare with yet: `rows` of `wanted` rows are there.
    Learning {
        /// Rows so far.
        rows: u64,
        /// Rows wanted.
        wanted: u64,
    },
    /// Frozen and in use.
    Ready {
        /// `profile`, `learned` or `previous_window`.
        source: &'static str,
        /// Rows behind it.
        rows: u64,
        /// Features it knows.
        features: usize,
        /// When it was made, unix milliseconds.
        at_ms: i64,
        /// How far what was learned from live traffic has grown; `None` where nothing grows.
        growth: Option<GrowthReading>,
    },
}

/// One window set: a model's version, lane and tenant.
#[derive(Clone, Debug)]
pub struct WindowReadings {
    /// The version that answered.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// The tenant, `all` for the total, `other` for those over the limit.
    pub tenant: Arc<str>,
    /// Rows in the window.
    pub requests: u64,
    /// Rows counted since the window began, those that have left it included: grows with every row.
    pub rows: u64,
    /// The newest row, unix milliseconds.
    pub last_at_ms: i64,
    /// Of a tenant whose own references are being learned: rows so far, and rows wanted. It is not judged by what is missing.
    pub learning: Option<(u64, u64)>,
    /// One entry per feature and reference.
    pub features: Vec<FeatureReading>,
    /// The sequential detector of these rows; `None` on the shadow lane, for tenants over the limit, while nothing has been
    /// learned, and where it is switched off.
    pub detector: Option<DetectorReading>,
}

/// What a window is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceKind {
    /// Profile, learned rows or the previous window.
    Baseline,
    /// The shadow lane's window against the prod lane's of the version that clients get.
    Prod,
}

impl ReferenceKind {
    /// The label value: `baseline` or `prod`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Prod => "prod",
        }
    }
}

/// Whether a number may be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Enough rows, and chance explains the difference.
    Pass,
    /// Enough rows (more than `min_requests` in the window, at least 100 in the reference), and more than chance explains: PSI is above its critical value, and a chi-square
    /// test over bins with rows enough says so as well. How large the difference is, the thresholds say.
    Fail,
    /// More than noise, but most of it comes from values that are missing or of another type: a fault of the data, which the
    /// checks of quality report, and no drift.
    Fault,
    /// Too few rows, or no reference yet. Never the same as fine.
    Inconclusive,
}

/// One feature of one window against one reference. There is none for a feature without rows in the window.
///
/// `psi`, `js_divergence`, `psi_critical`, `psi_noise` and `psi_debiased` are NaN while there is no reference to compare with; comparisons
/// with a threshold are then false.
#[derive(Clone, Debug)]
pub struct FeatureReading {
    /// The feature; predictions are `prediction` or `prediction.NAME`.
    pub feature: Arc<str>,
    /// What it is compared with.
    pub reference: ReferenceKind,
    /// Rows in the window for this feature, missing values included.
    pub n: u64,
    /// Rows of the reference.
    pub reference_n: u64,
    /// Population stability index; natural logarithm, shares floored at 1e-4.
    pub psi: f64,
    /// Jensen-Shannon divergence, base 2, 0..=1.
    pub js_divergence: f64,
    /// The PSI that chance exceeds with probability `alpha`, shared by all comparisons that are judged at once, at these numbers of
    /// rows and bins; rows that depend on those before count as fewer.
    pub psi_critical: f64,
    /// The PSI to expect with no drift at all.
    pub psi_noise: f64,
    /// The PSI of smoothed shares less what chance adds to it on average, at least 0: the size of the difference.
    pub psi_debiased: f64,
    /// Bins that took part: with `missing` and `other` only where a side has rows there.
    pub bins: usize,
    /// Pass, Fail or Inconclusive.
    pub verdict: Verdict,
    /// Of one that fails: how it differs, in words with values.
    pub change: Option<String>,
}

impl FeatureReading {
    /// The probability that chance alone gives as large a PSI, from the asymptotic distribution; `None` without a PSI.
    pub fn psi_p_value(&self) -> Option<f64> {
        stats::psi_p_value(self.psi, self.bins, self.n, self.reference_n)
    }
}

/// The two histograms behind a [`FeatureReading`], made on demand.
#[derive(Clone, Debug, Serialize)]
pub struct FeatureHistogram {
    /// The feature.
    pub feature: Arc<str>,
    /// `numeric` or `categorical`.
    pub kind: &'static str,
    /// What it is compared with.
    pub reference: ReferenceKind,
    /// A label per bin, `missing` last.
    pub labels: Vec<String>,
    /// Inner edges of a numeric feature, ascending; empty for a categorical one.
    pub edges: Vec<f64>,
    /// Reference counts per bin.
    pub reference_counts: Vec<u64>,
    /// Window counts per bin.
    pub current_counts: Vec<u64>,
    /// What each bin adds to the PSI.
    pub contributions: Vec<f64>,
}
