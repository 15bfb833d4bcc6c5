//! Plain, already valid settings of rules and rollback.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A trend to plan by.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now; the only severity that rolls back by itself.
    Critical,
}

impl Severity {
    /// The label value: `info`, `warning` or `critical`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Rules and the models they judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Rules, evaluated inside and exported for Prometheus from the same values.
    pub rules: Vec<Rule>,
    /// A window judges only when it holds more than this many requests (mission row M16).
    pub min_requests: u64,
    /// Tenants that must be red before a drift alert's condition holds; where fewer tenants are known, all of them must
    /// be. A model whose requests name no tenant is judged by its total (mission row M15).
    pub tenants_red: usize,
    /// Horizon of latency quantiles, milliseconds. Default one minute, as in the exported rules.
    pub latency_horizon_ms: u64,
    /// One entry per model.
    pub models: Vec<ModelPolicy>,
    /// When trainings are started.
    pub retrain: Vec<RetrainPolicy>,
    /// Base of runbook links in annotations and exports; the rule's name in kebab case and `.md` are appended.
    pub runbook_base_url: String,
    /// Address of the dashboard for annotations, if known.
    pub dashboard_url: Option<String>,
}

/// One alert rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Name of the alert, CamelCase as in Prometheus.
    pub name: String,
    /// Severity label.
    pub severity: Severity,
    /// What must hold.
    pub condition: Condition,
    /// For how long, milliseconds.
    pub for_ms: u64,
    /// How long it goes on firing after the condition has ended, milliseconds: no flapping at the threshold.
    pub keep_firing_ms: u64,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// PSI of a feature on the prod lane against the baseline: above `above` and, when given, at most `up_to`.
    Psi {
        /// Lower bound, exclusive.
        above: f64,
        /// Upper bound, inclusive.
        up_to: Option<f64>,
    },
    /// The sequential detector of the prod lane has found a drift whose size, the debiased PSI of the feature that changed most,
    /// is above this.
    Drift {
        /// Lower bound, exclusive; 0 for every drift that matters.
        above: f64,
    },
    /// 95th percentile of the prod lane's latency, milliseconds, above this.
    LatencyP95Above(f64),
}

impl Policy {
    /// The rules of mission row M20, `FeaturePSIHigh`, `FeaturePSICritical`, `PSIAmber` and `LatencySpike`, and those about what
    /// the sequential detector has found, `DriftDetected` and `DriftCritical`.
    ///
    /// `DriftCritical` waits longer than `FeaturePSICritical`: where a window fills quickly, the PSI that everyone knows
    /// decides; where it takes hours, the detector does.
    pub fn default_rules() -> Vec<Rule> {
        let psi = |above, up_to| Condition::Psi { above, up_to };
        let rule = |name: &str, severity, condition, for_secs: u64| Rule {
            name: name.to_owned(),
            severity,
            condition,
            for_ms: for_secs * 1000,
            keep_firing_ms: 60_000,
        };
        vec![
            rule("FeaturePSIHigh", Severity::Warning, psi(0.2, None), 300),
            rule("FeaturePSICritical", Severity::Critical, psi(0.3, None), 120),
            rule("PSIAmber", Severity::Info, psi(0.1, Some(0.2)), 300),
            rule("LatencySpike", Severity::Critical, Condition::LatencyP95Above(500.0), 180),
            rule("DriftDetected", Severity::Warning, Condition::Drift { above: 0.0 }, 0),
            rule("DriftCritical", Severity::Critical, Condition::Drift { above: 0.25 }, 300),
        ]
    }
}

/// What may be done about one model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPolicy {
    /// The model.
    pub name: Arc<str>,
    /// Its versions.
    pub versions: Vec<Arc<str>>,
    /// The version that the configuration wants clients to get.
    pub active: Arc<str>,
    /// Where a rollback goes.
    pub stable: Arc<str>,
    /// The version copies go to, if any: what `promote` takes when nothing else is named.
    pub shadow: Option<Arc<str>>,
    /// Share of copies as configured, percent.
    pub shadow_percent: f64,
    /// Whether automatic rollback is switched on to begin with; a person may switch it while running.
    pub auto_rollback: bool,
    /// What an automatic rollback does.
    pub mode: RollbackMode,
    /// After a change of traffic no automatic rollback for this long, milliseconds.
    pub cooldown_ms: u64,
    /// At most this many automatic rollbacks ...
    pub max_rollbacks: u32,
    /// ... in this time, milliseconds; then automatic rollback switches itself off and says so.
    pub max_rollbacks_per_ms: u64,
    /// How long a proposed rollback waits for somebody's approval, milliseconds.
    pub approval_ms: u64,
}

/// When one trainer is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrainPolicy {
    /// The trainer.
    pub name: Arc<str>,
    /// Alerts that start it.
    pub alerts: Vec<String>,
    /// Models that it trains; empty for all.
    pub models: Vec<Arc<str>>,
    /// It is not started again for the same model within this time, milliseconds.
    pub cooldown_ms: u64,
}

impl RetrainPolicy {
    /// Whether it trains this model.
    pub fn trains(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|one| **one == *model)
    }
}

/// What a critical alert does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollbackMode {
    /// Rolls back by itself.
    #[default]
    Automatic,
    /// Proposes a rollback and waits for somebody's approval.
    Approve,
    /// Says that a rollback is advised, and does nothing.
    Recommend,
    /// Decides, rehearses and journals what it would have done, and does nothing: a dry run.
    Observe,
    /// Nothing moves traffic but a rollback by a person.
    Frozen,
}

impl RollbackMode {
    /// As it is configured and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Approve => "approve",
            Self::Recommend => "recommend",
            Self::Observe => "observe",
            Self::Frozen => "frozen",
        }
    }
}
