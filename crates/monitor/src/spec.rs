//! Plain, already valid settings of the monitor.

use std::sync::Arc;

use record::DecoderSpec;
use stats::BinningRule;

use crate::profile::Profile;

/// How one model is measured.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The model's name.
    pub name: Arc<str>,
    /// How its bodies are read. `column_names` is filled from the profile when there is one.
    pub decoder: DecoderSpec,
    /// What its windows are compared with.
    pub reference: ReferenceSpec,
    /// How bins are cut when the reference is learned from live traffic.
    pub binning: BinningRule,
    /// Observations per window. Default 1 000.
    pub window: usize,
    /// A window judges only when it holds more than this. Default 100 (mission row M16).
    pub min_requests: u64,
    /// Significance level of the critical value shown beside the fixed threshold. Default 0.01.
    pub alpha: f64,
    /// Tenants.
    pub tenants: TenantSpec,
    /// Bounds on what outside input can make us keep.
    pub limits: WindowLimits,
    /// Only these features are measured; empty means all.
    pub include: Vec<String>,
    /// These are not.
    pub exclude: Vec<String>,
}

/// What live windows are compared with.
#[derive(Clone, Debug)]
pub enum ReferenceSpec {
    /// A profile of training data. Features that the profile does not know (the prediction, mostly) are learned from the
    /// first `learn` rows.
    Profile {
        /// The profile.
        profile: Arc<Profile>,
        /// Rows to learn an unknown feature from.
        learn: usize,
    },
    /// The first `rows` rows of production traffic; frozen then.
    Learn {
        /// Rows to learn from.
        rows: usize,
    },
    /// The window before the current one: each full window becomes the reference of the next. Bins are cut from the first.
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
