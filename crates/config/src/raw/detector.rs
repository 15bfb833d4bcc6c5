//! The sequential detector beside the windows.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::Span;

/// Whether the sequential detector watches: `false`, or how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum DriftDetector {
    /// `false`: it does not.
    #[expect(dead_code, reason = "`false` is all it can be")]
    Off(#[schemars(extend("const" = false))] bool),
    Detail(DetectorDetail),
}

/// How the sequential detector watches.
///
/// It gathers evidence from every request and raises an alarm when there is enough, long before a window is full. How much is
/// enough follows from how seldom it may be wrong.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DetectorDetail {
    /// Mean time between two alarms that are wrong, for each detector. It is kept in requests, by the rate at which they come
    /// in, and is at least 10 000 of them. Ten times as long costs few requests of delay.
    #[schemars(extend("x-min" = "1h", "x-max" = "3650d"))]
    pub(crate) false_alarm_every: Span,
    /// Tenants with a detector of their own: the first ones that come, after the pinned ones. About 100 KB each.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) tenants: usize,
    /// A difference that nobody cares about, in standard deviations: smaller ones are never alarmed about.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) min_effect: f64,
    /// Take the proven threshold in place of the simulated one: somewhat later alarms, fewer false ones than asked for.
    pub(crate) strict: bool,
}

impl Default for DetectorDetail {
    fn default() -> Self {
        Self {
            false_alarm_every: Span(std::time::Duration::from_secs(30 * 86_400)),
            tenants: 50,
            min_effect: 0.05,
            strict: false,
        }
    }
}
