//! Plain, already valid settings of the monitor.

use std::sync::Arc;
use std::time::Duration;

use record::DecoderSpec;
use stats::BinningRule;

use crate::profile::Profile;

/// How one model is measured.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The model's name.
    pub name: Arc<str>,
    /// The versions that the configuration names. Others come in with records, and are looked at for personal data.
    pub versions: Vec<Arc<str>>,
    /// The version whose answers the profile's predictions are; `None` for those of every version.
    pub owner: Option<Arc<str>>,
    /// How its bodies are read. `column_names` is filled from the profile when there is one.
    pub decoder: DecoderSpec,
    /// What its windows are compared with.
    pub reference: ReferenceSpec,
    /// What is learned from live traffic grows until it covers so much of it; zero leaves it as it was learned. Default 7 days.
    pub grow: Duration,
    /// How bins are cut when the reference is learned from live traffic.
    pub binning: BinningRule,
    /// Observations per window. Default 1 000.
    pub window: usize,
    /// A window judges only when it holds more than this. Default 100.
    pub min_requests: u64,
    /// The probability that chance alone calls a difference significant, shared by everything that is judged at once
    /// (features times windows). Default 0.001.
    pub alpha: f64,
    /// Tenants.
    pub tenants: TenantSpec,
    /// Bounds on what outside input can make us keep.
    pub limits: WindowLimits,
    /// The sequential detector beside the windows.
    pub detector: DetectorSpec,
    /// How the answers of production and shadow to one request are compared; `None` for not at all.
    pub pairs: Option<PairSpec>,
    /// Only these features are measured; empty means all. Predictions need not be named here.
    pub include: Vec<String>,
    /// These are not, features and predictions alike.
    pub exclude: Vec<String>,
    /// These are judged although they look like identifiers, times or texts.
    pub judge: Vec<String>,
}

/// How the sequential detector watches.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorSpec {
    /// Whether it does at all. Default true.
    pub enabled: bool,
    /// Mean time between two alarms of one detector that are wrong. It is kept in rows, by the rate at which they come in,
    /// and is at least 10 000 of them. Default 30 days.
    pub false_alarm_every: Duration,
    /// Tenants with a detector of their own, the first ones that are named; about 100 KB each. Default 50.
    pub tenants: usize,
    /// A difference that nobody cares about, in standard deviations of a standardised score. Default 0.05.
    pub min_effect: f64,
    /// Take the proven threshold in place of the simulated one: later alarms, fewer false ones than asked for.
    pub strict: bool,
}

impl Default for DetectorSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            false_alarm_every: Duration::from_secs(30 * 86_400),
            tenants: 50,
            min_effect: 0.05,
            strict: false,
        }
    }
}

/// When two answers to one request disagree, and how long one waits for the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairSpec {
    /// Numbers at most this far apart agree. Default 1e-6.
    pub absolute_tolerance: f64,
    /// Numbers at most this share of production's number apart agree. Default 0.01.
    pub relative_tolerance: f64,
    /// Share of disagreeing predictions, beyond the noise where that is measured, that is taken as fine. Default 0.01.
    pub max_disagreement: f64,
    /// How long an answer waits for the other one. Default 60 s.
    pub max_wait: Duration,
}

impl Default for PairSpec {
    fn default() -> Self {
        Self {
            absolute_tolerance: 1e-6,
            relative_tolerance: 0.01,
            max_disagreement: 0.01,
            max_wait: Duration::from_secs(60),
        }
    }
}

/// What live windows are compared with.
#[derive(Clone, Debug)]
pub enum ReferenceSpec {
    /// A profile of training data. Features that the profile does not know (the prediction, mostly) are learned from the
    /// first `learn` rows, each feature for itself. Features with more than 256 slots are not measured
    /// ([`Profile::check_live`]).
    Profile {
        /// The profile.
        profile: Arc<Profile>,
        /// Rows to learn an unknown feature from, at most 100 000; 0 leaves unknown features out.
        learn: usize,
    },
    /// The first `rows` rows of production traffic, of whatever version and tenant; frozen then. These rows are the
    /// reference and count in no window. A feature that shows up among them was missing before; one that shows up later
    /// learns from its own first `rows` rows. At most 100 000 rows, fewer where a model has very many features (4 million
    /// values in all).
    Learn {
        /// Rows to learn from.
        rows: usize,
    },
    /// The window before the current one, per version, lane, tenant and feature: the newest `window` rows are compared
    /// with the `window` rows just before them, and both slide row by row.
    ///
    /// Bins are cut from the first `window` production rows of the model, which then count like all others. Until a
    /// window set has seen twice `window` rows its previous window is not full, and its readings have no numbers (NaN,
    /// `Inconclusive`): the noise of a small reference would look like drift to a fixed threshold.
    PreviousWindow,
}

/// Which tenants get windows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSpec {
    /// Tenants with windows of their own; later ones share the windows of the tenant `other`. Default 1 000.
    pub limit: usize,
    /// These always have windows of their own, whatever comes first. Counted in `limit`.
    pub pinned: Vec<String>,
}

impl Default for TenantSpec {
    fn default() -> Self {
        Self { limit: 1_000, pinned: Vec::new() }
    }
}

/// Bounds on what outside input can make the monitor keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Features per model; later ones are dropped and counted (`feature_limit`). Default 256.
    pub features: usize,
    /// Categories per feature when a reference is learned; rarer ones go to `other`. At most 250. Default 100.
    pub categories: usize,
    /// Versions per model that can come in with records. Default 32.
    pub versions: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { features: 256, categories: 100, versions: 32 }
    }
}
