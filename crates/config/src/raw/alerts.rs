//! `alerts` and `rollback`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::{Actuator, Named, OwnNames, Rules};
use crate::text::{Link, Span};

/// When to alert.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    /// Changes to the rules `FeaturePSIHigh`, `FeaturePSICritical`, `PSIAmber`, `LatencySpike`, `DriftDetected` and
    /// `DriftCritical`, and rules of your own. A rule of your own needs `when` and, but for `when: drift`, `above`.
    pub(crate) rules: Named<Rules, Rule>,
    /// A window judges only when it holds more requests than this.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) min_requests: u64,
    /// Tenants over the threshold before a drift alert's condition holds. Where fewer tenants are known, all of them must be.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) tenants_red: usize,
    /// Time over which latency quantiles are taken.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub(crate) latency_horizon: Span,
    /// How often rules are evaluated.
    #[schemars(extend("x-min" = "10ms", "x-max" = "1m"))]
    pub(crate) evaluate_every: Span,
    /// Base of the runbook links in alerts; the alert's name in kebab case and `.md` are appended.
    pub(crate) runbook_url: Link,
    /// Address of the dashboard as people reach it, for links in messages. A host alone is this program's dashboard: the link
    /// leads to the model and feature. Of another one, write where they stand: `{model}`, `{version}`, `{feature}`, `{tenant}`.
    pub(crate) dashboard_url: Option<Link>,
    /// How long notifiers wait for more alerts of the same rule about the same version, to tell them in one message.
    #[schemars(extend("x-max" = "10m"))]
    pub(crate) group_wait: Span,
    /// Least time between two messages about the same rule and version while it fires. Its end is told at once.
    #[schemars(extend("x-max" = "1d"))]
    pub(crate) group_every: Span,
    /// What goes on firing is told again after this long.
    #[schemars(extend("x-min" = "1m", "x-max" = "30d"))]
    pub(crate) repeat_every: Span,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            rules: Named::default(),
            min_requests: 100,
            tenants_red: 3,
            latency_horizon: Span(Duration::from_secs(60)),
            evaluate_every: Span(Duration::from_secs(1)),
            runbook_url: Link("https://github.com/driftline/driftline/blob/main/docs/runbooks/".to_owned()),
            dashboard_url: None,
            group_wait: Span(Duration::from_secs(5)),
            group_every: Span(Duration::from_secs(60)),
            repeat_every: Span(Duration::from_secs(4 * 3_600)),
        }
    }
}

/// One alert rule; for a rule that exists, only what is to be different.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rule {
    /// What a rule of your own looks at.
    pub(crate) when: Option<RuleWhen>,
    /// Threshold, exclusive: a PSI, milliseconds for a latency, for a drift its size, of which 0 means any.
    #[schemars(extend("minimum" = 0, "maximum" = 1e9))]
    pub(crate) above: Option<f64>,
    /// Upper bound of a PSI band, inclusive.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1e9))]
    pub(crate) up_to: Option<f64>,
    /// How long the condition must hold before the alert fires. A rule of your own waits `5m` by default.
    #[serde(rename = "for")]
    #[schemars(extend("x-max" = "7d"))]
    pub(crate) hold: Option<Span>,
    /// How long the alert goes on after the condition has ended. A rule of your own: `1m` by default.
    #[schemars(extend("x-max" = "7d"))]
    pub(crate) keep_firing_for: Option<Span>,
    /// How bad it is. Only `critical` rolls back. A rule of your own is a `warning` by default.
    pub(crate) severity: Option<RuleSeverity>,
    /// Switches the rule off when `false`; the default is `true`.
    pub(crate) enabled: Option<bool>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleWhen {
    /// PSI of a feature on the prod lane against the baseline.
    Psi,
    /// 95th percentile of the prod lane's latency, in milliseconds.
    LatencyP95,
    /// What the sequential detector of the prod lane has found; its size is the debiased PSI of the feature that changed most.
    Drift,
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuleSeverity {
    /// A trend to plan by.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now; rolls back.
    Critical,
}

impl From<RuleSeverity> for control::Severity {
    fn from(severity: RuleSeverity) -> Self {
        match severity {
            RuleSeverity::Info => Self::Info,
            RuleSeverity::Warning => Self::Warning,
            RuleSeverity::Critical => Self::Critical,
        }
    }
}

/// What critical alerts may do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rollback {
    /// `false` switches automatic rollback off for every model. It can be switched on while running.
    pub(crate) enabled: bool,
    /// What an alert that calls for a rollback does.
    pub(crate) mode: Mode,
    /// After a change of traffic no automatic rollback for this long.
    #[schemars(extend("x-min" = "1s", "x-max" = "30d"))]
    pub(crate) cooldown: Span,
    /// Most automatic rollbacks of a model within `per`; then automatic rollback switches itself off and says so.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: u32,
    /// The time that `max` is counted over.
    #[schemars(extend("x-min" = "1m", "x-max" = "365d"))]
    pub(crate) per: Span,
    /// How long a proposed rollback waits for approval, in mode `approve`.
    #[schemars(extend("x-min" = "1m", "x-max" = "7d"))]
    pub(crate) approval_timeout: Span,
    /// What is switched beside our own gateway, for every model, by a name of your own.
    pub(crate) actuators: Named<OwnNames, Actuator>,
}

/// What is different for one model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelRollback {
    /// What an alert that calls for a rollback does.
    pub(crate) mode: Option<Mode>,
    /// After a change of traffic no automatic rollback for this long.
    #[schemars(extend("x-min" = "1s", "x-max" = "30d"))]
    pub(crate) cooldown: Option<Span>,
    /// Most automatic rollbacks within `per`.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: Option<u32>,
    /// The time that `max` is counted over.
    #[schemars(extend("x-min" = "1m", "x-max" = "365d"))]
    pub(crate) per: Option<Span>,
    /// How long a proposed rollback waits for approval, in mode `approve`.
    #[schemars(extend("x-min" = "1m", "x-max" = "7d"))]
    pub(crate) approval_timeout: Option<Span>,
    /// What is switched beside our own gateway, in addition to what is switched for every model.
    pub(crate) actuators: Named<OwnNames, Actuator>,
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Automatic,
            cooldown: Span(Duration::from_secs(600)),
            max: 3,
            per: Span(Duration::from_secs(86_400)),
            approval_timeout: Span(Duration::from_secs(1_800)),
            actuators: Named::default(),
        }
    }
}

/// What a critical alert does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Rolls back by itself.
    Automatic,
    /// Proposes a rollback and waits for somebody's approval.
    Approve,
    /// Says that a rollback is advised, and does nothing.
    Recommend,
    /// Writes down what it would have done, and does nothing: a dry run.
    Observe,
    /// Nothing moves traffic but a rollback by a person.
    Frozen,
}

impl From<Mode> for control::RollbackMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Automatic => Self::Automatic,
            Mode::Approve => Self::Approve,
            Mode::Recommend => Self::Recommend,
            Mode::Frozen => Self::Frozen,
            Mode::Observe => Self::Observe,
        }
    }
}
