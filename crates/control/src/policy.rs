//! Plain, already valid settings of rules and rollback.

use std::collections::BTreeSet;
use std::sync::Arc;

use monitor::Check;
use serde::{Deserialize, Serialize};

use crate::signal::{Kind, Signal, Source, range};

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
    /// A window judges only when it holds more than this many requests.
    pub min_requests: u64,
    /// Tenants that must be red before a drift alert's condition holds, or at least two that carry half of the traffic. A model
    /// whose requests name no tenant is judged by its total.
    pub tenants_red: usize,
    /// Horizon of latencies and rates where a rule names none, milliseconds. Default one minute.
    pub latency_horizon_ms: u64,
    /// The kinds of critical alerts that may move traffic.
    pub rollback_on: BTreeSet<Kind>,
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

/// What must hold: a signal, and what it is compared with. Of several comparisons every one must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// The signal, in whose unit the limits are.
    pub signal: Signal,
    /// Larger than this.
    pub above: Option<f64>,
    /// Not larger than this.
    pub up_to: Option<f64>,
    /// Smaller than this.
    pub below: Option<f64>,
    /// Fallen by more than this share of what it was, 0..=1.
    pub drop: Option<f64>,
    /// Larger than this many times the stable version's value at the same time.
    pub above_stable: Option<f64>,
    /// For quality: the check, or every check that is on by default.
    pub check: Option<Check>,
    /// For signals of features: which of them.
    pub of: Scope,
    /// How far traffic is looked back on, milliseconds; [`Policy::latency_horizon_ms`] where the rule does not say.
    pub over_ms: Option<u64>,
}

/// Which features a condition is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Features and predictions.
    #[default]
    All,
    /// Features alone.
    Features,
    /// Predictions alone: `prediction` and `prediction.NAME`.
    Prediction,
}

impl Scope {
    /// Whether a feature of this name belongs.
    pub fn holds(self, feature: &str) -> bool {
        let is_prediction = feature == "prediction" || feature.starts_with("prediction.");
        match self {
            Self::All => true,
            Self::Features => !is_prediction,
            Self::Prediction => is_prediction,
        }
    }
}

impl Condition {
    /// A condition without a limit.
    pub const fn of(signal: Signal) -> Self {
        Self {
            signal,
            above: None,
            up_to: None,
            below: None,
            drop: None,
            above_stable: None,
            check: None,
            of: Scope::All,
            over_ms: None,
        }
    }

    /// The signal is above a limit.
    pub const fn above(signal: Signal, limit: f64) -> Self {
        Self { above: Some(limit), ..Self::of(signal) }
    }

    /// The condition in words: `psi above 0.2`.
    pub fn describe(&self) -> String {
        let check = self.check.map_or_else(String::new, |check| format!(" ({})", check.as_str()));
        format!("{}{check} {}", self.signal.as_str(), range(self))
    }

    /// The kind of trouble.
    pub fn kind(&self) -> Kind {
        match (self.signal, self.check, self.of) {
            (Signal::Quality, Some(Check::Constant), Scope::Prediction) => Kind::Frozen,
            _ => self.signal.spec().kind,
        }
    }
}

/// How long an alert goes on by default, milliseconds: no flapping at the threshold.
const KEEP_FIRING_MS: u64 = 60_000;

impl Policy {
    /// The default rules.
    ///
    /// `DriftCritical` waits longer than `FeaturePSICritical`: where a window fills quickly, the PSI that everyone knows
    /// decides; where it takes hours, the detector does.
    pub fn default_rules() -> Vec<Rule> {
        use Severity::{Critical, Info, Warning};
        let above = Condition::above;
        let over = |condition, minutes: u64| Condition { over_ms: Some(minutes * 60_000), ..condition };
        let rule = |name: &str, severity, condition, for_secs: u64| Rule {
            name: name.to_owned(),
            severity,
            condition,
            for_ms: for_secs * 1000,
            keep_firing_ms: KEEP_FIRING_MS,
        };
        let amber = Condition { up_to: Some(0.2), ..above(Signal::Psi, 0.1) };
        let quality = Condition { of: Scope::Features, ..above(Signal::Quality, 0.05) };
        let frozen =
            Condition { check: Some(Check::Constant), of: Scope::Prediction, ..above(Signal::Quality, 0.05) };
        vec![
            rule("FeaturePSIHigh", Warning, above(Signal::Psi, 0.2), 300),
            rule("FeaturePSICritical", Critical, above(Signal::Psi, 0.3), 120),
            rule("PSIAmber", Info, amber, 300),
            rule("LatencySpike", Critical, above(Signal::LatencyP95, 500.0), 180),
            rule("TenantDrift", Warning, above(Signal::TenantPsi, 0.25), 300),
            rule("DriftDetected", Warning, above(Signal::Drift, 0.0), 0),
            rule("DriftCritical", Critical, above(Signal::Drift, 0.25), 300),
            rule("ErrorRateHigh", Warning, over(above(Signal::ErrorRate, 0.01), 5), 300),
            rule("ErrorRateCritical", Critical, above(Signal::ErrorRate, 0.05), 60),
            rule("RejectedHigh", Warning, above(Signal::RejectedRate, 0.1), 120),
            rule("UnreadableHigh", Warning, above(Signal::UnreadableRate, 0.1), 300),
            rule("TrafficStopped", Warning, above(Signal::NoTraffic, 0.0), 300),
            rule("DataQuality", Warning, quality, 60),
            rule("PredictionFrozen", Critical, frozen, 60),
        ]
    }

    /// How far a condition looks back on traffic, milliseconds.
    pub fn horizon_ms(&self, condition: &Condition) -> u64 {
        condition.over_ms.unwrap_or(self.latency_horizon_ms).max(1_000)
    }

    /// Whether an alert of this rule may move traffic.
    pub fn moves_traffic(&self, rule: &Rule) -> bool {
        rule.severity == Severity::Critical && self.rollback_on.contains(&rule.condition.kind())
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The signals and horizons that the rules look at, each once.
    pub fn watched(&self) -> BTreeSet<(Signal, u64)> {
        let traffic = self.rules.iter().filter(|rule| rule.condition.signal.spec().source == Source::Traffic);
        traffic.map(|rule| (rule.condition.signal, self.horizon_ms(&rule.condition))).collect()
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
