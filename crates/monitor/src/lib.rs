//! Records in, readings out: owns every window, every reference and every tenant.
//!
//! One [`Engine`] has one writer. It decodes exchanges, counts them into sliding windows per model, version, lane, tenant
//! and feature, and computes [`Readings`]: one immutable snapshot that metrics, dashboard, history and rules all read.
//!
//! No clock, no I/O, no threads: `now` is passed in, snapshots are bytes that the caller stores.

pub mod profile;
mod readings;
mod spec;

pub use readings::{
    FeatureHistogram, FeatureReading, ModelReadings, Readings, ReferenceKind, ReferenceState, Verdict,
    WindowReadings,
};
pub use spec::{ModelSpec, ReferenceSpec, TenantSpec, WindowLimits};
