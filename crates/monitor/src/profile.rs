//! A reference profile: how a model's training data was distributed, as a small versioned JSON document (row B10).

use serde::{Deserialize, Serialize};
use stats::Bins;

/// Version of the document's format, its `driftline_profile` key.
pub const PROFILE_VERSION: u32 = 1;

/// A reference distribution per feature: bins, counts and what they were made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "ProfileDocument", try_from = "ProfileDocument")]
pub struct Profile {
    /// Name of the model or data set, free text.
    pub name: String,
    /// When it was made, unix milliseconds.
    pub created_at_ms: i64,
    /// Rows behind it.
    pub rows: u64,
    /// What each feature looked like, in the order of the source's columns.
    pub features: Vec<FeatureProfile>,
}

/// One feature of a [`Profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureProfile {
    /// The feature's name.
    pub name: String,
    /// Frozen bins.
    pub bins: Bins,
    /// Counts per slot of `bins` (`Bins::slots()` many, `missing` last).
    pub counts: Vec<u64>,
}
