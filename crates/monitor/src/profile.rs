//! A reference profile: how a model's training data was distributed, as a small versioned JSON document.
//!
//! A profile holds counts, never rows: it can be kept beside the model, reviewed and mailed. Its bins are frozen when
//! it is made; live traffic is only ever sorted into them. [`Profile::schema_hash`] covers names, types and bins, so
//! that a profile whose edges were edited by hand, or that belongs to other columns, is noticed when it is read.

mod builder;
mod document;
mod slot;
mod tenant;
mod texts;

use std::collections::HashSet;

use record::Privacy;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stats::detect::DetectorBins;
use stats::{Bins, CategoricalBins, MAX_BINS, MAX_WINDOW_SLOTS};

use crate::detector::DetectorReference;
use crate::quality::Expected;
use crate::role::Role;

pub use builder::{BuildRules, ColumnBuilder, MAX_DISTINCT_TEXTS, MAX_TEXT_BYTES, ProfileBuilder};
use document::{DocumentVersion, ProfileDocument};
pub(crate) use slot::number;
pub use slot::{detector_slot_of, slot_of};
pub use tenant::{MIN_TENANT_ROWS, TenantFeature, TenantProfile};
pub use texts::{TextColumn, UNKEPT_TEXT};

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
    /// What it looked like of each tenant, where the data names tenants.
    pub tenants: Vec<TenantProfile>,
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
    /// The sequential detector's own bins; without them it takes `bins`.
    pub detector: Option<DetectorReference>,
    /// Whether it can be judged at all.
    pub role: Role,
}

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON, or a key is absent or of the wrong type.
    #[error("the profile cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no profile.
    #[error(
        "`driftline_profile` is missing: this is not a reference profile; make one with `driftline baseline`"
    )]
    NotAProfile,
    /// Made by a version of Driftline that writes another format.
    #[error(
        "`driftline_profile` is `{found}` but this program reads `{PROFILE_VERSION}`: make the profile again with `driftline baseline`"
    )]
    Version {
        /// What the document says.
        found: u64,
    },
    /// A key holds something impossible.
    #[error("`{key}`: {problem}")]
    Key {
        /// Path of the key, such as `features[3].counts`.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Names, types or bins are not those that the hash was made from.
    #[error(
        "`schema_hash` is `{stated}` but names, types and bins give `{computed}`: the profile was edited; make it again with `driftline baseline`"
    )]
    SchemaHash {
        /// What the document says.
        stated: String,
        /// What its features give.
        computed: String,
    },
}

impl ProfileError {
    fn key(key: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Key { key: key.into(), problem: format!("{problem}") }
    }
}

impl Profile {
    /// The profile with its names and categories as live traffic shows them: hashed where the rules say so, so that hashed
    /// values meet the bins that they belong to. What is hashed already stays.
    #[must_use]
    pub fn hidden(mut self, privacy: &Privacy) -> Self {
        for feature in &mut self.features {
            if let Bins::Categorical(bins) = &feature.bins {
                let hidden = bins.categories().iter().map(|category| privacy.text(&feature.name, category));
                let hidden: Vec<String> = hidden.map(std::borrow::Cow::into_owned).collect();
                if hidden != bins.categories() {
                    let mut merged: Vec<(String, u64)> = Vec::new();
                    for (category, count) in hidden.into_iter().zip(&feature.counts) {
                        match merged.iter_mut().find(|(known, _)| *known == category) {
                            Some((_, total)) => *total = total.saturating_add(*count),
                            None => merged.push((category, *count)),
                        }
                    }
                    let rest = feature.counts.get(bins.categories().len()..).unwrap_or_default().to_vec();
                    let (names, counts): (Vec<String>, Vec<u64>) = merged.into_iter().unzip();
                    // Names are different from each other now, which is all that could be wrong with them.
                    if let Ok(bins) = CategoricalBins::new(names) {
                        feature.bins = Bins::Categorical(bins);
                        feature.counts = counts.into_iter().chain(rest).collect();
                    }
                }
            }
            if let Some(detector) = feature.detector.take() {
                let text = |category: &str| privacy.text(&feature.name, category).into_owned();
                feature.detector = Some(detector.hidden(text));
            }
            feature.name = privacy.name(&feature.name).into_owned();
        }
        for tenant in &mut self.tenants {
            if let Some(hidden) = privacy.id("tenant", tenant.name.as_bytes()) {
                tenant.name = hidden;
            }
        }
        self
    }

    /// Reads a profile and checks it.
    ///
    /// # Errors
    ///
    /// [`ProfileError`], naming the key at fault.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ProfileError> {
        let version: DocumentVersion = serde_json::from_slice(bytes)?;
        version.check()?;
        let document: ProfileDocument = serde_json::from_slice(bytes)?;
        Self::try_from(document)
    }

    /// The profile as JSON that people can read. Reading it back gives the same profile to the last bit, as long as
    /// the counts have as many entries as the bins have slots.
    pub fn to_json_pretty(&self) -> String {
        let document = ProfileDocument::from(self.clone());
        serde_json::to_string_pretty(&document).expect("invariant: a document has string keys only")
    }

    /// SHA-256 over names, types and bins in order, those of the detector included, as 64 hexadecimal digits. Counts are not part of it.
    pub fn schema_hash(&self) -> String {
        let mut hash = Sha256::new();
        for feature in &self.features {
            hash_text(&mut hash, &feature.name);
            hash_bins(&mut hash, &feature.bins);
            if let Some(detector) = &feature.detector {
                hash_detector(&mut hash, &detector.bins);
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The feature of this name.
    pub fn feature(&self, name: &str) -> Option<&FeatureProfile> {
        self.features.iter().find(|feature| feature.name == name)
    }

    /// Checks what the types do not: every name once, as many counts as slots, sums that fit.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Key`].
    pub fn check(&self) -> Result<(), ProfileError> {
        let mut names = HashSet::new();
        for (at, feature) in self.features.iter().enumerate() {
            if !names.insert(feature.name.as_str()) {
                let problem = format!("`{}` is there twice", feature.name);
                return Err(ProfileError::key(format!("features[{at}].name"), problem));
            }
            let (counts, slots) = (feature.counts.len(), feature.bins.slots());
            if counts != slots {
                let problem = format!("`{counts}` counts for `{slots}` slots, `missing` included");
                return Err(ProfileError::key(format!("features[{at}].counts"), problem));
            }
            if feature.checked_rows().is_none() {
                let problem = "the sum of the counts is too large";
                return Err(ProfileError::key(format!("features[{at}].counts"), problem));
            }
            if feature.detector.as_ref().is_some_and(|detector| !detector.is_sound()) {
                let problem = "its counts do not fit its bins, or `tau` is below 1";
                return Err(ProfileError::key(format!("features[{at}].detector"), problem));
            }
        }
        tenant::check(self)
    }
}

impl Profile {
    /// Checks that live windows can measure every feature: with `missing` at most 256 slots. The engine leaves out
    /// features that have more; a configuration should refuse them instead.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Key`], naming the first feature that has more.
    pub fn check_live(&self) -> Result<(), ProfileError> {
        let wide = |feature: &&FeatureProfile| feature.bins.slots() > MAX_WINDOW_SLOTS;
        match self.features.iter().find(wide) {
            None => Ok(()),
            Some(feature) => {
                let problem = format!(
                    "{} bins, but live windows have room for {MAX_BINS}: make the profile again with fewer",
                    feature.bins.len()
                );
                Err(ProfileError::key(format!("features.{}", feature.name), problem))
            }
        }
    }
}

impl FeatureProfile {
    /// A feature from its frozen bins and the counts per slot (`Bins::slots()` many, `missing` last).
    pub fn new(name: impl Into<String>, bins: impl Into<Bins>, counts: Vec<u64>) -> Self {
        Self { name: name.into(), bins: bins.into(), counts, detector: None, role: Role::Value }
    }

    /// The same with this role. Of what is not judged no value is kept, only how many rows had one.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        if !role.is_judged() {
            self.detector = None;
            if let Bins::Categorical(bins) = &self.bins {
                let missing = self.missing();
                let values = self.rows() - missing;
                if let (Ok(none), false) = (CategoricalBins::new(Vec::new()), bins.categories().is_empty()) {
                    self.bins = Bins::Categorical(none);
                    self.counts = vec![values, missing];
                }
            }
        }
        self
    }

    /// Rows counted for this feature, missing values included.
    pub fn rows(&self) -> u64 {
        self.counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// Rows without a value.
    pub fn missing(&self) -> u64 {
        self.counts.get(self.bins.missing()).copied().unwrap_or(0)
    }

    /// The smallest and the largest number; `None` where there may have been others.
    pub fn whole_range(&self) -> Option<(f64, f64)> {
        Expected::new(&self.bins, &self.counts, self.detector.as_ref(), self.role.is_judged()).whole_range()
    }

    /// The quartiles of its numbers, estimated from the detector's bins; `None` without them.
    pub fn quartiles(&self) -> Option<[f64; 3]> {
        self.detector.as_ref()?.quartiles(self.whole_range())
    }

    /// Whether all of its values fall into one bin, as those of a constant do.
    pub fn is_constant(&self) -> bool {
        let values = self.counts.get(..self.bins.missing()).unwrap_or_default();
        // Of categories that were not kept there is nothing to say.
        let is_kept = self.bins.len() > 1 || self.bins.is_ordered();
        is_kept && values.iter().filter(|count| **count > 0).count() == 1
    }

    fn checked_rows(&self) -> Option<u64> {
        self.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count))
    }
}

/// `numeric` or `categorical`.
pub(crate) fn kind(bins: &Bins) -> &'static str {
    match bins {
        Bins::Numeric(_) => "numeric",
        Bins::Categorical(_) => "categorical",
    }
}

fn hash_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn hash_bins(hash: &mut Sha256, bins: &Bins) {
    hash_text(hash, kind(bins));
    hash.update((bins.len() as u64).to_be_bytes());
    match bins {
        Bins::Numeric(numeric) => {
            for edge in numeric.inner_edges() {
                hash.update(edge.to_bits().to_be_bytes());
            }
        }
        Bins::Categorical(categorical) => {
            for category in categorical.categories() {
                hash_text(hash, category);
            }
        }
    }
}

fn hash_detector(hash: &mut Sha256, bins: &DetectorBins) {
    hash_text(hash, "detector");
    match bins {
        DetectorBins::Ordered(bins) => hash_bins(hash, &Bins::Numeric(bins.clone())),
        DetectorBins::Values(values) => {
            hash_text(hash, "values");
            hash.update((values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| hash.update(value.to_bits().to_be_bytes()));
        }
        DetectorBins::Categories { kept, rare } => {
            hash_bins(hash, &Bins::Categorical(kept.clone()));
            let mut rare: Vec<&str> = rare.iter().map(String::as_str).collect();
            rare.sort_unstable();
            hash.update((rare.len() as u64).to_be_bytes());
            rare.iter().for_each(|name| hash_text(hash, name));
        }
    }
}

#[cfg(test)]
mod tests;
