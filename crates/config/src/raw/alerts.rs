//! `alerts` and `rollback`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use control::Kind;

use crate::raw::{Actuator, CheckName, KindName, Named, OwnNames, Rules, ScopeName, SignalName};
use crate::text::{Link, Span};

/// When to alert.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    /// Changes to the default rules `FeaturePSIHigh`, `FeaturePSICritical`, `PSIAmber`, `LatencySpike`, `DriftDetected`,
    /// `DriftCritical`, `ErrorRateHigh`, `ErrorRateCritical`, `RejectedHigh`, `UnreadableHigh`, `TrafficStopped`, `DataQuality`
    /// and `PredictionFrozen`, and rules of your own. A rule of your own needs `when` and a limit: `above`, `below`, `drop` or
    /// `above_stable`.
    pub(crate) rules: Named<Rules, Rule>,
    /// A window judges only when it holds more requests than this.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub(crate) min_requests: u64,
    /// Tenants over the threshold before a drift alert's condition holds. Where fewer tenants are known, all of them must be.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) tenants_red: usize,
    /// Time over which latencies, rates and volume are taken, where a rule does not say `over`.
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
    /// The signal that a rule of your own looks at. Of a default rule about PSI `psi` may become `psi_raw`.
    pub(crate) when: Option<SignalName>,
    /// The value is larger than this: a PSI, milliseconds for a latency, a share (0 to 1) for a rate, for a drift its size, of
    /// which 0 means any.
    #[schemars(extend("minimum" = 0, "maximum" = 1e9))]
    pub(crate) above: Option<f64>,
    /// With `above`, for a PSI: and not larger than this.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1e9))]
    pub(crate) up_to: Option<f64>,
    /// The value is smaller than this.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1e9))]
    pub(crate) below: Option<f64>,
    /// For `volume`: it has fallen by more than this share (0 to 1) of what it was in the hour before.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub(crate) drop: Option<f64>,
    /// The value is larger than this many times the stable version's at the same time. The shadow lane measures the stable
    /// version on copies of the same requests.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1000))]
    pub(crate) above_stable: Option<f64>,
    /// For `quality`: which check. Without it `missing`, `type`, `unseen`, `range`, `absent` and `constant`.
    pub(crate) check: Option<CheckName>,
    /// For signals of features: whether predictions count as well.
    pub(crate) of: Option<ScopeName>,
    /// For latencies, rates and volume: how far back the rule looks.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub(crate) over: Option<Span>,
    /// How long the condition must hold before the alert fires. A rule of your own waits `5m` by default.
    #[serde(rename = "for")]
    #[schemars(extend("x-max" = "7d"))]
    pub(crate) hold: Option<Span>,
    /// How long the alert goes on after the condition has ended. A rule of your own: `1m` by default.
    #[schemars(extend("x-max" = "7d"))]
    pub(crate) keep_firing_for: Option<Span>,
    /// How bad it is. Only `critical` rolls back, and only the kinds that `rollback.on` names. A rule of your own is a `warning` by default.
    pub(crate) severity: Option<RuleSeverity>,
    /// Switches the rule off when `false`; the default is `true`.
    pub(crate) enabled: Option<bool>,
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
    /// The kinds of critical alerts that may move traffic.
    pub(crate) on: Vec<KindName>,
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
            on: Kind::MOVE_TRAFFIC.map(KindName).into(),
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
