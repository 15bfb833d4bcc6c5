//! Quality of the data as plain readings: shares of values that are missing, of another type, unseen and so on.

mod counter;
mod expected;
mod fault;
mod read;
mod run;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use record::Lane;
use serde::{Deserialize, Serialize};

pub(crate) use counter::{Counter, FirstTypes};
pub(crate) use expected::Expected;
pub(crate) use fault::{Fault, Mark, add_to_row, place};
pub(crate) use run::Run;
pub(crate) use settle::{Counts, is_adopted, is_fault};

/// Normal quantile of the interval: two-sided, 1 of 10 000.
const Z: f64 = 3.890_591_886_413_1;

/// Fewest values that a check is judged on: all of them failing is enough then.
pub const MIN_CHECKED: u64 = 20;

/// Share of one value from which on it is called constant.
const CONSTANT_FROM: f64 = 0.99;

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
    /// Values behind `reference_ratio`.
    pub reference_n: u64,
    /// Since when the check has failed, unix milliseconds, where that is known.
    pub since_ms: Option<i64>,
    /// Whether it has ever failed beyond the reference since the window began.
    pub has_failed: bool,
}

impl QualityReading {
    /// Whether there is anything to show: something fails, or has failed.
    pub fn is_news(&self) -> bool {
        self.ratio > 0.0 && self.check != Check::Constant || self.has_failed
    }
}

impl QualityReading {
    /// By how much the check fails beyond the reference at least, 0 to 1; `None` with too few values.
    ///
    /// The part beyond the reference's share, `(p - r) / (1 - r)`, at the lower end of an interval that chance leaves in fewer
    /// than 1 of 10 000 cases: every feature and tenant is looked at once a second. Both shares are known from so many values
    /// only, which together say as much as `1 / (1/n + 1/m)`. A value is constant only where nearly all are the same; how long
    /// that has to last, the reading knows already.
    pub fn excess(&self) -> Option<f64> {
        if self.n < MIN_CHECKED || !(0.0..=1.0).contains(&self.ratio) {
            return None;
        }
        let (p, mut n) = (self.ratio, self.n as f64);
        match self.check {
            // Exactly, whatever rounding says.
            _ if p == 0.0 => return Some(0.0),
            Check::Constant if p < CONSTANT_FROM => return Some(0.0),
            Check::Constant => {}
            _ => n = 1.0 / (1.0 / n + 1.0 / self.reference_n.max(1) as f64),
        }
        let z2 = Z * Z;
        let centre = p + z2 / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let lower = ((centre - half) / (1.0 + z2 / n)).max(0.0);
        let reference = self.reference_ratio.clamp(0.0, 1.0);
        Some(if reference < 1.0 { ((lower - reference) / (1.0 - reference)).max(0.0) } else { 0.0 })
    }
}
