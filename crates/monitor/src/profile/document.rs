//! The profile as its JSON document, and the way back with every check.

use serde::{Deserialize, Serialize};
use stats::{Bins, CategoricalBins, NumericBins};

use stats::detect::DetectorBins;

use crate::detector::DetectorReference;
use crate::role::Role;

use super::{FeatureProfile, PROFILE_VERSION, Profile, ProfileError, TenantProfile, kind};

/// Only the version, so that a document of another format is refused for that and not for its other keys.
#[derive(Deserialize)]
pub(super) struct DocumentVersion {
    driftline_profile: Option<u64>,
}

impl DocumentVersion {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        match self.driftline_profile {
            None => Err(ProfileError::NotAProfile),
            Some(version) if version == u64::from(PROFILE_VERSION) => Ok(()),
            Some(found) => Err(ProfileError::Version { found }),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ProfileDocument {
    driftline_profile: u64,
    name: String,
    created_at: String,
    #[serde(default)]
    tool_version: String,
    rows: u64,
    schema_hash: String,
    features: Vec<FeatureDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tenants: Vec<TenantProfile>,
}

#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum FeatureType {
    Numeric,
    Categorical,
}

/// `counts` are those of the bins in order: of a categorical feature one per category, then `other`. `shares` are the
/// counts over all rows of the feature, `missing` included; they and `binning` are for readers and not read back.
#[derive(Serialize, Deserialize)]
struct FeatureDocument {
    name: String,
    #[serde(rename = "type")]
    feature_type: FeatureType,
    /// Why it is not judged; absent for what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    counts: Vec<u64>,
    missing: u64,
    #[serde(default)]
    shares: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detector: Option<DetectorDocument>,
}

/// The sequential detector's bins: one of `constant`, `edges`, `values` and `categories` with `rare`. `counts` are those of
/// all slots, `missing` last.
#[derive(Default, Serialize, Deserialize)]
struct DetectorDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    constant: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edges: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rare: Vec<String>,
    counts: Vec<u64>,
    #[serde(default = "independent")]
    tau: f64,
}

fn independent() -> f64 {
    1.0
}

impl From<Profile> for ProfileDocument {
    fn from(profile: Profile) -> Self {
        Self {
            driftline_profile: u64::from(PROFILE_VERSION),
            schema_hash: profile.schema_hash(),
            created_at: time_text(profile.created_at_ms),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            rows: profile.rows,
            name: profile.name,
            features: profile.features.into_iter().map(FeatureDocument::from).collect(),
            tenants: profile.tenants,
        }
    }
}

impl From<FeatureProfile> for FeatureDocument {
    fn from(feature: FeatureProfile) -> Self {
        let (rows, missing) = (feature.rows(), feature.missing());
        let mut counts = feature.counts;
        counts.truncate(feature.bins.len());
        let shares = counts.iter().map(|count| *count as f64 / rows.max(1) as f64).collect();
        let mut document = Self {
            name: feature.name,
            feature_type: FeatureType::Categorical,
            role: Some(feature.role).filter(|role| !role.is_judged()),
            binning: None,
            min: None,
            max: None,
            edges: None,
            categories: None,
            counts,
            missing,
            shares,
            detector: feature.detector.map(DetectorDocument::from),
        };
        match feature.bins {
            Bins::Categorical(bins) => document.categories = Some(bins.categories().to_vec()),
            Bins::Numeric(bins) => {
                document.feature_type = FeatureType::Numeric;
                document.binning = Some(binning(&bins).to_owned());
                (document.min, document.max) = bins.range().unzip();
                // The upper edge of a constant f64::MAX is infinite, which JSON cannot hold; without edges it comes back.
                let finite = bins.inner_edges().iter().all(|edge| edge.is_finite());
                document.edges = Some(if finite { bins.inner_edges().to_vec() } else { Vec::new() });
            }
        }
        document
    }
}

impl TryFrom<ProfileDocument> for Profile {
    type Error = ProfileError;

    fn try_from(document: ProfileDocument) -> Result<Self, ProfileError> {
        DocumentVersion { driftline_profile: Some(document.driftline_profile) }.check()?;
        let features = document
            .features
            .into_iter()
            .enumerate()
            .map(|(at, feature)| feature.checked(at))
            .collect::<Result<Vec<_>, _>>()?;
        let created_at: jiff::Timestamp =
            document.created_at.parse().map_err(|error| ProfileError::key("created_at", error))?;
        let profile = Self {
            name: document.name,
            created_at_ms: created_at.as_millisecond(),
            rows: document.rows,
            features,
            tenants: document.tenants,
        };
        profile.check()?;
        let computed = profile.schema_hash();
        if computed != document.schema_hash {
            return Err(ProfileError::SchemaHash { stated: document.schema_hash, computed });
        }
        Ok(profile)
    }
}

impl FeatureDocument {
    fn checked(mut self, at: usize) -> Result<FeatureProfile, ProfileError> {
        let key = |name: &str| format!("features[{at}].{name}");
        let bins = match self.feature_type {
            FeatureType::Numeric => Bins::Numeric(self.numeric_bins(&key)?),
            FeatureType::Categorical => {
                let Some(categories) = self.categories.take() else {
                    return Err(ProfileError::key(key("categories"), "missing for a categorical feature"));
                };
                let bins = CategoricalBins::new(categories)
                    .map_err(|error| ProfileError::key(key("categories"), error))?;
                Bins::Categorical(bins)
            }
        };
        let (counts, wanted) = (self.counts.len(), bins.len());
        if counts != wanted {
            let problem = format!("`{counts}` counts for `{wanted}` {} bins", kind(&bins));
            return Err(ProfileError::key(key("counts"), problem));
        }
        self.counts.push(self.missing);
        let detector = self.detector.take().map(|detector| detector.checked(&key)).transpose()?;
        let role = self.role.unwrap_or_default();
        Ok(FeatureProfile { detector, role, ..FeatureProfile::new(self.name, bins, self.counts) })
    }

    fn numeric_bins(&mut self, key: &impl Fn(&str) -> String) -> Result<NumericBins, ProfileError> {
        let Some(edges) = self.edges.take() else {
            return Err(ProfileError::key(key("edges"), "missing for a numeric feature"));
        };
        let bins = match (self.min, self.max) {
            (Some(min), Some(max)) => NumericBins::from_edges(min, max, edges),
            (None, None) => NumericBins::from_quantile_edges(edges),
            _ => return Err(ProfileError::key(key("min"), "`min` and `max` go together")),
        };
        bins.map_err(|error| ProfileError::key(key("edges"), error))
    }
}

impl From<DetectorReference> for DetectorDocument {
    fn from(reference: DetectorReference) -> Self {
        let mut document = Self { counts: reference.counts, tau: reference.tau, ..Self::default() };
        match reference.bins {
            DetectorBins::Ordered(bins) if bins.is_constant() => {
                document.constant = bins.range().map(|(value, _)| value);
            }
            DetectorBins::Ordered(bins) => document.edges = Some(bins.inner_edges().to_vec()),
            DetectorBins::Values(values) => document.values = Some(values),
            DetectorBins::Categories { kept, rare } => {
                document.categories = Some(kept.categories().to_vec());
                document.rare = rare.into_iter().collect();
                document.rare.sort_unstable();
            }
        }
        document
    }
}

impl DetectorDocument {
    fn checked(self, key: &impl Fn(&str) -> String) -> Result<DetectorReference, ProfileError> {
        let wrong = |problem: &dyn std::fmt::Display| ProfileError::key(key("detector"), problem);
        let bins = match (self.constant, self.edges, self.values, self.categories) {
            (Some(value), None, None, None) => NumericBins::from_edges(value, value, Vec::new())
                .map(DetectorBins::Ordered)
                .map_err(|error| wrong(&error))?,
            (None, Some(edges), None, None) => NumericBins::from_quantile_edges(edges)
                .map(DetectorBins::Ordered)
                .map_err(|error| wrong(&error))?,
            (None, None, Some(values), None) => {
                if values.is_empty() || !values.is_sorted_by(|a, b| a < b) {
                    return Err(wrong(&"`values` must be there and ascending"));
                }
                DetectorBins::Values(values)
            }
            (None, None, None, Some(categories)) => {
                let kept = CategoricalBins::new(categories).map_err(|error| wrong(&error))?;
                DetectorBins::Categories { kept, rare: self.rare.into_iter().collect() }
            }
            _ => return Err(wrong(&"one of `constant`, `edges`, `values` and `categories` must be there")),
        };
        Ok(DetectorReference { bins, counts: self.counts, tau: self.tau })
    }
}

/// How the edges came about, as far as they show it.
fn binning(bins: &NumericBins) -> &'static str {
    if bins.is_constant() {
        return "constant";
    }
    let again = bins.range().and_then(|(lo, hi)| NumericBins::equal_width(lo, hi, bins.len()).ok());
    if again.is_some_and(|again| again.inner_edges() == bins.inner_edges()) {
        "equal-width"
    } else {
        "quantile"
    }
}

/// RFC 3339; a time beyond what the calendar holds becomes its nearest end.
fn time_text(ms: i64) -> String {
    let end = if ms < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(ms).unwrap_or(end).to_string()
}
