//! Who is told: Slack, Alertmanager, PagerDuty, Teams, e-mail, any webhook.
//!
//! ```text
//! alert changes ->  groups  (one message for all features of a model's version and rule; waits a moment for more)
//!                     |
//! decisions -------> notices -> outlets  (a bounded queue and a task per notifier: rate, tries, counters)
//! ```
//! A notifier that hangs or fails holds up nothing but its own queue, and shows in its counters. What was told is
//! remembered on disk, so that a restart neither repeats a message nor forgets the end of an alert.

mod alertmanager;
mod email;
mod groups;
mod hub;
mod memory;
mod notice;
mod outlet;
mod pagerduty;
mod slack;
mod teams;
mod texts;
mod webhook;

use std::time::Duration;

use control::Severity;

pub use alertmanager::AlertmanagerSpec;
pub use email::{EmailSpec, SmtpTls};
pub use groups::Grouping;
pub use hub::Hub;
pub use notice::{FeatureShare, Link, Notice, NoticeKind};
pub use outlet::NotifierStatus;
pub use pagerduty::PagerDutySpec;
pub use slack::SlackSpec;
pub use teams::TeamsSpec;
pub use webhook::WebhookSpec;

pub(crate) use memory::Posted;

use crate::call::{Failure, Http};

/// One notifier as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifierSpec {
    /// Its name in metrics and logs.
    pub name: String,
    /// What it is.
    pub kind: NotifierKind,
    /// Milder alerts are not told.
    pub at_least: Severity,
    /// Models whose alerts and decisions are told; empty for all.
    pub models: Vec<String>,
    /// Most messages in a minute; further ones wait, newer ones about the same thing taking the place of older ones.
    pub per_minute: u32,
    /// Time for one try.
    pub timeout: Duration,
    /// How long a message is tried again.
    pub keep_trying: Duration,
}

/// What a notifier is.
#[derive(Clone, Debug, PartialEq)]
pub enum NotifierKind {
    /// Slack: an incoming webhook or a bot.
    Slack(SlackSpec),
    /// Alertmanager's API, version 2.
    Alertmanager(AlertmanagerSpec),
    /// PagerDuty's events, version 2.
    PagerDuty(PagerDutySpec),
    /// A workflow of Microsoft Teams.
    Teams(TeamsSpec),
    /// Mail.
    Email(Box<EmailSpec>),
    /// Any HTTP call.
    Webhook(Box<WebhookSpec>),
}

impl NotifierKind {
    /// A constant name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Slack(_) => "slack",
            Self::Alertmanager(_) => "alertmanager",
            Self::PagerDuty(_) => "pagerduty",
            Self::Teams(_) => "teams",
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Whether it forgets an alert that it is not told again.
    const fn forgets(&self) -> bool {
        matches!(self, Self::Alertmanager(_))
    }

    /// Sends a message. `posted`: where an earlier one about the same thing stands. The answer: where this one stands, if
    /// it can be changed later.
    pub(crate) async fn send(
        &self,
        http: &Http,
        timeout: Duration,
        notice: &Notice,
        posted: Option<&Posted>,
    ) -> Result<Option<Posted>, Failure> {
        match self {
            Self::Slack(spec) => return spec.send(http, notice, posted).await,
            Self::Alertmanager(spec) => spec.send(http, notice).await,
            Self::PagerDuty(spec) => spec.send(http, notice).await,
            Self::Teams(spec) => spec.send(http, notice).await,
            Self::Email(spec) => spec.send(timeout, notice).await,
            Self::Webhook(spec) => spec.send(http, notice).await,
        }
        .map(|()| None)
    }
}

impl NotifierSpec {
    fn wants(&self, notice: &Notice) -> bool {
        notice.severity >= self.at_least
            && (self.models.is_empty() || self.models.iter().any(|model| **model == *notice.model))
    }
}
