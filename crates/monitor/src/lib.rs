//! Records in, readings out: owns every window, every reference and every tenant.
//!
//! One [`Engine`] has one writer. It decodes exchanges, counts them into sliding windows per model, version, lane, tenant
//! and feature, and computes [`Readings`]: one immutable snapshot that metrics, dashboard, history and rules all read.
//!
//! No clock, no I/O, no threads: `now` is passed in, snapshots are bytes that the caller stores.

mod batch;
#[cfg(test)]
mod calm_tests;
mod chance;
mod detector;
mod drill;
mod engine;
mod evaluate;
mod features;
mod fit;
mod grow;
mod learn;
mod model;
mod own;
pub mod pairs;
pub mod profile;
mod quality;
mod readings;
mod repeats;
mod role;
mod rules;
mod snapshot;
mod spec;
mod speeds;
mod state;
mod strays;
mod tenant_learning;
mod tenant_reference;
#[cfg(test)]
mod tenant_tests;
mod tenants;
#[cfg(test)]
mod testing;
mod versions;
mod windows;
mod words;

pub use detector::{
    CountedFeature, DetectorCounts, DetectorLayout, DetectorReading, DetectorReference, DriftReading,
    SuspectReading, TenantCounts, VersionCounts,
};
pub use drill::{DrillError, DrillRow};
pub use engine::{Engine, ObserveError};
pub use fit::{RenameCandidate, likely_renames};
pub use grow::{GrowthReading, GrowthStage, Trend};
pub use quality::{Check, MIN_CHECKED, QualityReading};
pub use readings::{
    FeatureHistogram, FeatureReading, FeatureState, Fit, ModelReadings, NamePair, Readings, ReferenceKind,
    ReferenceState, SampleReading, Verdict, WindowReadings,
};
pub use role::{Role, RoleSample};
pub use snapshot::{RestoreError, RestoreReport};
pub use spec::{DetectorSpec, ModelSpec, PairSpec, ReferenceSpec, TenantSpec, WindowLimits};
/// Where a detector stands.
pub use stats::detect::Phase as DetectorPhase;
