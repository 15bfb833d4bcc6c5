//! `notify`: who is told.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::alerts::RuleSeverity;
use crate::raw::{AnyText, Named, OneOrMore};
use crate::text::{FileName, HostText, MethodText, Name, SecretText, Span, Url};

/// A notifier: exactly one of the kinds below, and what it is told.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notifier {
    /// Milder alerts are not told.
    #[serde(default = "default_at_least")]
    pub(crate) at_least: RuleSeverity,
    /// Models that it is told about; all of them by default.
    #[schemars(length(min = 1, max = 1000))]
    pub(crate) models: Option<Vec<Name>>,
    /// Most messages in a minute. Further ones wait; a newer one about the same thing takes the place of an older.
    #[serde(default = "default_per_minute")]
    #[schemars(range(min = 1, max = 6000))]
    pub(crate) per_minute: u32,
    /// Time for one try.
    #[serde(default = "default_timeout")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "5m"))]
    pub(crate) timeout: Span,
    /// How long a message that fails is tried again; then it is given up and counted.
    #[serde(default = "default_keep_trying")]
    #[schemars(extend("x-max" = "1d"))]
    pub(crate) keep_trying: Span,
    /// Slack, by an incoming webhook (`webhook_url`) or as a bot (`token` and `channel`).
    pub(crate) slack: Option<Slack>,
    /// Alertmanager, by its API version 2.
    pub(crate) alertmanager: Option<Alertmanager>,
    /// PagerDuty, by its events version 2.
    pub(crate) pagerduty: Option<PagerDuty>,
    /// Microsoft Teams, by a workflow that begins with a webhook.
    pub(crate) teams: Option<SecretAddress>,
    /// Mail.
    pub(crate) email: Option<Email>,
    /// Any HTTP call. Its body may use the names of the message: `title`, `text`, `kind`, `key`, `severity`, `model`,
    /// `version`, `since_ms`, `at_ms`, `facts`, `features`, `links`, `alerts`, `ended`.
    pub(crate) webhook: Option<HttpCall>,
}

/// Slack.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    /// The address of an incoming webhook. What it posted can't be changed: the end of an alert is a message of its own.
    pub(crate) webhook_url: Option<SecretText>,
    /// File that holds the address. Instead of `webhook_url`.
    pub(crate) webhook_url_file: Option<FileName>,
    /// A bot's token, with the right `chat:write`. The bot changes its message when there is news and when it is over.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// Where the bot posts: the channel's id, or `#name`. It must have been invited.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) channel: Option<String>,
    /// Where Slack's methods are.
    #[serde(default = "default_slack_api")]
    pub(crate) api_url: Url,
}

/// An address that is a credential.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretAddress {
    /// The address.
    pub(crate) webhook_url: Option<SecretText>,
    /// File that holds the address. Instead of `webhook_url`.
    pub(crate) webhook_url_file: Option<FileName>,
}

/// Alertmanager.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alertmanager {
    /// Its address, without `/api/v2`.
    pub(crate) url: Url,
    /// Bearer token, when something before it asks for one.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// PagerDuty.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagerDuty {
    /// Where events go.
    #[serde(default = "default_pagerduty")]
    pub(crate) url: Url,
    /// The integration's key.
    pub(crate) routing_key: Option<SecretText>,
    /// File that holds the key. Instead of `routing_key`.
    pub(crate) routing_key_file: Option<FileName>,
}

/// Mail over SMTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Email {
    /// The server.
    pub(crate) host: HostText,
    /// Its port; by default 465 with `tls`, 587 with `starttls`, 25 with `none`.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<u16>,
    /// How the connection is protected. `none` is for a server on this machine.
    #[serde(default)]
    pub(crate) tls: EmailTls,
    /// User, when the server asks for a password.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) username: Option<String>,
    /// Its password.
    pub(crate) password: Option<SecretText>,
    /// File that holds the password. Instead of `password`.
    pub(crate) password_file: Option<FileName>,
    /// Who writes, such as `Driftline <driftline@example.com>`.
    #[schemars(length(min = 3, max = 320))]
    pub(crate) from: String,
    /// Who reads: an address, or several.
    pub(crate) to: OneOrMore<MailAddress>,
}

/// An address of mail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct MailAddress(#[schemars(length(min = 3, max = 320))] pub(crate) String);

/// How a connection for mail is protected.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EmailTls {
    /// TLS from the first byte.
    Tls,
    /// TLS begun in the session; a server without it is refused.
    #[default]
    Starttls,
    /// Not at all.
    None,
}

/// An HTTP call.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpCall {
    /// Where it goes.
    pub(crate) url: Option<SecretText>,
    /// File that holds the address, when it is a credential. Instead of `url`.
    pub(crate) url_file: Option<FileName>,
    /// How.
    #[serde(default = "default_method")]
    pub(crate) method: MethodText,
    /// Headers beside `content-type: application/json`.
    pub(crate) headers: Option<Named<AnyText, SecretText>>,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// The body, JSON with placeholders such as `{{ model }}`; every value is filled in as JSON, texts with their quotes.
    /// Without it, everything there is to say.
    #[schemars(length(min = 1, max = 65536))]
    pub(crate) body: Option<String>,
}

fn default_at_least() -> RuleSeverity {
    RuleSeverity::Warning
}

fn default_per_minute() -> u32 {
    30
}

pub(crate) fn default_timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn default_keep_trying() -> Span {
    Span(Duration::from_secs(600))
}

fn default_slack_api() -> Url {
    Url(http::Uri::from_static("https://slack.com/api"))
}

fn default_pagerduty() -> Url {
    Url(http::Uri::from_static("https://events.pagerduty.com"))
}

pub(crate) fn default_method() -> MethodText {
    MethodText(http::Method::POST)
}
