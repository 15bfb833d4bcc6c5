//! Quality of the data as plain readings: shares of values that are missing, of another type, unseen and so on.

use std::sync::Arc;

use record::Lane;
use serde::{Deserialize, Serialize};

/// What is checked about a feature's values, or about the prediction's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Values that are null, NaN, empty or left out of a request that has the other features.
    Missing,
    /// Values of another type than the reference's: text where numbers are expected, or the other way round.
    Type,
    /// Categories that the reference does not have.
    Unseen,
    /// Numbers outside the range of the reference.
    Range,
    /// The share of the most frequent value, where the reference has several.
    Constant,
    /// Requests without a feature that the reference has: gone or renamed.
    Absent,
    /// Requests with a feature that the reference does not have.
    New,
    /// Requests that repeat an earlier one.
    Duplicate,
}

impl Check {
    /// Every check, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Type,
        Self::Unseen,
        Self::Range,
        Self::Constant,
        Self::Absent,
        Self::New,
        Self::Duplicate,
    ];

    /// As it is configured, exported and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Unseen => "unseen",
            Self::Range => "range",
            Self::Constant => "constant",
            Self::Absent => "absent",
            Self::New => "new",
            Self::Duplicate => "duplicate",
        }
    }
}

/// One check of one feature in one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QualityReading {
    /// The version that answered.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// The tenant; `all` for the total.
    pub tenant: Arc<str>,
    /// The feature, or the prediction.
    pub feature: Arc<str>,
    /// What is checked.
    pub check: Check,
    /// Share of the `n` values that fail the check, 0..=1.
    pub ratio: f64,
    /// The same share in the reference, 0..=1.
    pub reference_ratio: f64,
    /// Values behind `ratio`.
    pub n: u64,
    /// Since when the check has failed, unix milliseconds, where that is known.
    pub since_ms: Option<i64>,
}
