//! The sequential detector beside the windows: one for the production rows of each version, and one for each of its tenants
//! within a limit.
//!
//! A detector needs a reference that stands still, and bins that are finer in the tails than those that are shown
//! ([`DetectorReference`]). A profile that holds none is watched by the bins that it has. Where the reference is the window
//! before the current one, nothing stands still, and nothing is watched.

mod counts;
mod live;
mod reading;
mod reference;
mod watch;

pub use counts::{CountedFeature, DetectorCounts, DetectorLayout, VersionCounts};
pub(crate) use live::{Found, Live, LiveMemory, RateMemory};
pub use reading::{DetectorReading, DriftReading, SuspectReading};
pub use reference::DetectorReference;
pub(crate) use watch::{Planned, Watch, missing, slot};

#[cfg(test)]
mod tests;
