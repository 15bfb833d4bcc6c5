//! The one place of this crate that reads the wall clock.
//!
//! An exchange carries the time its head was read, and nobody above the data plane can know it. Durations are measured
//! with [`std::time::Instant`] and never with this.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now; 0 before 1970.
pub(crate) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
