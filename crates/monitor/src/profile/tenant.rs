//! What each tenant's rows of the training data look like, in the bins of the profile.

use serde::{Deserialize, Serialize};

use super::{FeatureProfile, Profile, ProfileError};
use crate::detector::{TenantCounts, tenant_counts, tenant_slots};
use crate::features::Frozen;

/// Tenants with fewer rows have none of their own in a profile: they are learned from live traffic.
pub const MIN_TENANT_ROWS: u64 = crate::chance::MIN_REFERENCE_ROWS;

/// One tenant's part of a [`Profile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantProfile {
    /// The tenant's name, as requests have it.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// One entry per feature, in the order of the profile's.
    pub features: Vec<TenantFeature>,
}

/// One feature of a [`TenantProfile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantFeature {
    /// Counts per slot of the feature's bins, `missing` last.
    pub counts: Vec<u64>,
    /// Counts in the detector's bins; `None` of too few values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<TenantCounts>,
}

impl TenantFeature {
    /// From counts in the feature's bins, and the values among the rows as slots of the detector's, in their order.
    pub fn new(feature: &FeatureProfile, counts: Vec<u64>, watched: &[u8]) -> Self {
        let detector = tenant_counts(&Frozen::new(feature.clone(), 0), watched);
        Self { counts, detector }
    }

    fn is_sound(&self, feature: &FeatureProfile) -> bool {
        let fits = |counts: &[u64], slots: usize| {
            counts.len() == slots
                && counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count)).is_some()
        };
        let frozen = Frozen::new(feature.clone(), 0);
        let detector = self.detector.as_ref();
        fits(&self.counts, feature.bins.slots())
            && detector.is_none_or(|it| fits(&it.counts, tenant_slots(&frozen)) && it.tau >= 1.0)
    }
}

/// Refuses tenants whose counts don't belong to the features.
pub(super) fn check(profile: &Profile) -> Result<(), ProfileError> {
    for (at, tenant) in profile.tenants.iter().enumerate() {
        let key = |name: &str| format!("tenants[{at}].{name}");
        let (counts, wanted) = (tenant.features.len(), profile.features.len());
        if counts != wanted {
            let problem = format!("`{counts}` entries for `{wanted}` features");
            return Err(ProfileError::key(key("features"), problem));
        }
        let mut both = tenant.features.iter().zip(&profile.features);
        if let Some((_, feature)) = both.find(|(of, feature)| !of.is_sound(feature)) {
            let problem = format!("the counts of `{}` do not fit its bins", feature.name);
            return Err(ProfileError::key(key("features"), problem));
        }
        if profile.tenants[..at].iter().any(|known| known.name == tenant.name) {
            return Err(ProfileError::key(key("name"), "named twice"));
        }
    }
    Ok(())
}
