//! The usual model of the tests: two versions, a learned reference, rules that need seconds instead of minutes.

use super::model::Model;

/// Rows that the reference is learned from.
pub(crate) const LEARN: usize = 1_000;

/// Rows per window.
pub(crate) const WINDOW: usize = 200;

/// Two model servers.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) v1: Model,
    pub(crate) v2: Model,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self { v1: Model::start("v1"), v2: Model::start("v2") }
    }

    /// `v2` active and `v1` stable; `model` are more keys of the model, `rest` more keys of the file.
    pub(crate) fn yaml(&self, model: &str, rest: &str) -> String {
        let (v1, v2) = (self.v1.url(), self.v2.url());
        let model: String = model.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "models:
  fraud:
    versions: {{ v2: {v2}, v1: {v1} }}
    active: v2
    stable: v1
    baseline: {{ learn: {LEARN} }}
    window: {WINDOW}
{model}alerts:
  evaluate_every: 100ms
  latency_horizon: 10s
  rules:
    PSIAmber: {{ for: 1s, keep_firing_for: 1s }}
    FeaturePSIHigh: {{ for: 1s, keep_firing_for: 1s }}
    FeaturePSICritical: {{ for: 2s, keep_firing_for: 1s }}
    LatencySpike: {{ for: 1s, keep_firing_for: 1s }}
store: {{ path: state, snapshot_every: 200ms }}
shutdown_grace: 2s
{rest}"
        )
    }
}
