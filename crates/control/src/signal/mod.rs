//! The catalogue of signals: what rules may look at, one entry each.
//!
//! Rules, alert texts, the exported Prometheus rules, the configuration's schema and the reference of the documentation are
//! made from [`CATALOGUE`]. A new signal is a variant of [`Signal`], an entry here, and whoever measures it.

mod horizon;
mod reading;
mod table;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};

pub use horizon::{LaneCounts, RateHorizon, is_error, is_rejected};
pub use reading::SignalReading;
pub(crate) use reading::UNANIMOUS_MIN;
pub use table::CATALOGUE;
pub(crate) use words::{Fill, fill, percent, range, value_template, value_text};

/// What a rule looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// PSI of a feature that is significant as well.
    #[default]
    Psi,
    /// PSI of a feature, whether chance explains it or not.
    PsiRaw,
    /// PSI of a feature of tenants that are too few to speak for the model.
    TenantPsi,
    /// The size of a drift that the sequential detector has found.
    Drift,
    /// Median of the latency.
    LatencyP50,
    /// 95th percentile of the latency.
    LatencyP95,
    /// 99th percentile of the latency.
    LatencyP99,
    /// Share of requests that the server failed.
    ErrorRate,
    /// Share of requests that the server refused.
    RejectedRate,
    /// Share of requests that could not be read.
    UnreadableRate,
    /// Requests per second.
    Volume,
    /// Time without a request.
    NoTraffic,
    /// Quality of the data.
    Quality,
}

/// The kind of trouble that a signal shows: what `rollback.on` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests or predictions are not what they were.
    Drift,
    /// Those of single tenants are not.
    Tenant,
    /// The server fails requests.
    Errors,
    /// The server is slow.
    Latency,
    /// Predictions have collapsed to one value.
    Frozen,
    /// Clients send what the server refuses or nobody can read.
    Rejected,
    /// Fewer requests, or none.
    Traffic,
    /// The data is broken: missing, of another type, out of range.
    Quality,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Drift,
        Self::Tenant,
        Self::Errors,
        Self::Latency,
        Self::Frozen,
        Self::Rejected,
        Self::Traffic,
        Self::Quality,
    ];

    /// The kinds that move traffic unless the configuration says otherwise. Another version of the model does not mend a
    /// broken sender.
    pub const MOVE_TRAFFIC: [Self; 4] = [Self::Drift, Self::Errors, Self::Latency, Self::Frozen];

    /// As it is configured.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Tenant => "tenant",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Frozen => "frozen",
            Self::Rejected => "rejected",
            Self::Traffic => "traffic",
            Self::Quality => "quality",
        }
    }
}

/// What a signal's value is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A PSI or the like: a number without a unit.
    Index,
    /// A share, 0 to 1.
    Share,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Requests per second.
    PerSecond,
}

impl Unit {
    /// The largest limit that makes sense.
    pub const fn most(self) -> f64 {
        match self {
            Self::Share => 1.0,
            Self::Index | Self::Milliseconds | Self::Seconds | Self::PerSecond => 1e9,
        }
    }
}

/// What an alert about a signal is about, beside the model and the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The version as a whole.
    Version,
    /// One feature or prediction of it.
    Feature,
}

/// Where a signal's readings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The windows of features: a PSI.
    Windows,
    /// The sequential detector.
    Detector,
    /// Counters of requests and latencies over a horizon.
    Traffic,
    /// The checks of the data.
    Checks,
}

/// What a limit may be compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparator {
    /// The value is larger than the limit.
    Above,
    /// The value is smaller than the limit.
    Below,
    /// With `above`: and not larger than this.
    UpTo,
    /// The value has fallen by more than this share of what it was before.
    Drop,
    /// The value is larger than this many times the stable version's at the same time.
    AboveStable,
}

impl Comparator {
    /// Every comparator, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Above, Self::Below, Self::UpTo, Self::Drop, Self::AboveStable];

    /// The key of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::UpTo => "up_to",
            Self::Drop => "drop",
            Self::AboveStable => "above_stable",
        }
    }
}

/// Everything there is to know about a signal.
#[derive(Debug)]
pub struct Spec {
    /// Which.
    pub signal: Signal,
    /// As it is configured: `when: NAME`.
    pub name: &'static str,
    /// What its value is called in a list of facts.
    pub label: &'static str,
    /// One line for the reference and the schema.
    pub summary: &'static str,
    /// What its values are measured in.
    pub unit: Unit,
    /// What an alert is about.
    pub about: About,
    /// Where its readings come from.
    pub source: Source,
    /// The kind of trouble.
    pub kind: Kind,
    /// The smallest sample that it may be judged on, in words.
    pub sample: &'static str,
    /// What it may be compared by.
    pub comparators: &'static [Comparator],
    /// The limit of a rule that names none, for `above`.
    pub above: Option<f64>,
    /// A limit as an example, for messages.
    pub example: f64,
    /// The page of the dashboard that shows it.
    pub page: &'static str,
    /// Line of an alert: see `fill` for what is filled in.
    pub title: &'static str,
    /// Sentence of an alert.
    pub text: &'static str,
    /// Prometheus series that its exported expression is made of.
    pub series: &'static [&'static str],
    /// The series of the history, where there is one.
    pub history: Option<&'static str>,
}

impl Signal {
    /// Its entry in the catalogue.
    pub fn spec(self) -> &'static Spec {
        &CATALOGUE[self as usize]
    }

    /// As it is configured and served.
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }

    /// A value with its unit: `0.312`, `530 ms`, `31%`.
    pub fn show(self, value: f64) -> String {
        words::with_unit(self, value_text(self, value))
    }

    /// The signal of this name.
    pub fn parse(name: &str) -> Option<Self> {
        CATALOGUE.iter().find(|spec| spec.name == name).map(|spec| spec.signal)
    }

    /// The quantile that a latency signal stands for.
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::LatencyP50 => Some(0.5),
            Self::LatencyP95 => Some(0.95),
            Self::LatencyP99 => Some(0.99),
            _ => None,
        }
    }
}
