//! Notifiers: each of exactly one kind, with its credentials.

use actions::{
    AlertmanagerSpec, EmailSpec, Grouping, NotifierKind, NotifierSpec, PagerDutySpec, Secret, SlackSpec,
    SmtpTls, TeamsSpec, Template, WebhookSpec,
};
use http::HeaderName;

use crate::raw::{Email, EmailTls, File, HttpCall, Named, Notifier, Slack};
use crate::resolve::{Context, secrets};
use crate::suggest::did_you_mean_or_list;
use crate::text::{FileName, Name, SecretText};
use crate::yaml::Cursor;

/// How alerts become messages.
pub(crate) const fn grouping(file: &File) -> Grouping {
    Grouping {
        wait: file.alerts.group_wait.0,
        every: file.alerts.group_every.0,
        repeat: file.alerts.repeat_every.0,
    }
}

/// Every notifier, in the order written.
pub(crate) fn resolve(file: &File, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<NotifierSpec> {
    file.notify.iter().filter_map(|(name, raw)| one(name, raw, file, &at.key(name), context)).collect()
}

fn one(
    name: &str,
    raw: &Notifier,
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<NotifierSpec> {
    let named = [
        raw.slack.is_some(),
        raw.alertmanager.is_some(),
        raw.pagerduty.is_some(),
        raw.teams.is_some(),
        raw.email.is_some(),
        raw.webhook.is_some(),
    ];
    if named.iter().filter(|named| **named).count() != 1 {
        let hint =
            "give it one of the keys `slack`, `alertmanager`, `pagerduty`, `teams`, `email`, `webhook`";
        context.sink.error(at, "a notifier is of exactly one kind").hint(hint);
        return None;
    }
    let models = models(raw.models.as_deref(), file, &at.key("models"), context);
    Some(NotifierSpec {
        name: name.to_owned(),
        kind: kind(raw, at, context)?,
        at_least: raw.at_least.into(),
        models,
        per_minute: raw.per_minute,
        timeout: raw.timeout.0,
        keep_trying: raw.keep_trying.0,
    })
}

/// Names of models that must be there.
pub(crate) fn models(
    names: Option<&[Name]>,
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<String> {
    let known: Vec<&str> = file.models.iter().map(|(name, _)| name).collect();
    for name in names.unwrap_or_default() {
        if !known.contains(&name.0.as_str()) {
            let hint = did_you_mean_or_list(&name.0, known.clone());
            let shown = at.shown(&name.0);
            context.sink.error(at, format!("there is no model `{shown}` under `models`")).maybe_hint(hint);
        }
    }
    names.unwrap_or_default().iter().map(|name| name.0.clone()).collect()
}

fn kind(raw: &Notifier, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<NotifierKind> {
    if let Some(raw) = &raw.slack {
        return slack(raw, &at.key("slack"), context).map(NotifierKind::Slack);
    }
    if let Some(raw) = &raw.teams {
        let at = at.key("teams");
        let url = address(
            (&raw.webhook_url, "webhook_url"),
            (&raw.webhook_url_file, "webhook_url_file"),
            &at,
            context,
        );
        return url.map(|webhook_url| NotifierKind::Teams(TeamsSpec { webhook_url }));
    }
    if let Some(raw) = &raw.alertmanager {
        let token = token(&raw.token, &raw.token_file, &at.key("alertmanager"), context);
        return Some(NotifierKind::Alertmanager(AlertmanagerSpec { url: raw.url.0.to_string(), token }));
    }
    if let Some(raw) = &raw.pagerduty {
        let at = at.key("pagerduty");
        let key = required(
            (&raw.routing_key, "routing_key"),
            (&raw.routing_key_file, "routing_key_file"),
            &at,
            context,
        );
        let url = raw.url.0.to_string();
        return key.map(|routing_key| NotifierKind::PagerDuty(PagerDutySpec { url, routing_key }));
    }
    if let Some(raw) = &raw.email {
        return email(raw, &at.key("email"), context).map(|spec| NotifierKind::Email(Box::new(spec)));
    }
    let raw = raw.webhook.as_ref()?;
    webhook(raw, &at.key("webhook"), context).map(|spec| NotifierKind::Webhook(Box::new(spec)))
}

fn slack(raw: &Slack, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<SlackSpec> {
    let is_webhook = raw.webhook_url.is_some() || raw.webhook_url_file.is_some();
    let is_bot = raw.token.is_some() || raw.token_file.is_some() || raw.channel.is_some();
    if is_webhook == is_bot {
        let hint = "give it an incoming webhook's `webhook_url`, or a bot's `token` and `channel`";
        context.sink.error(at, "Slack is reached by a webhook or as a bot, one of the two").hint(hint);
        return None;
    }
    if is_webhook {
        let url = address(
            (&raw.webhook_url, "webhook_url"),
            (&raw.webhook_url_file, "webhook_url_file"),
            at,
            context,
        );
        return url.map(|url| SlackSpec::Webhook { url });
    }
    let token = required((&raw.token, "token"), (&raw.token_file, "token_file"), at, context);
    let Some(channel) = &raw.channel else {
        context.sink.error(at, "`channel` is missing").hint("give its id, such as `C024BE91L`, or `#name`");
        return None;
    };
    if channel.chars().any(|c| c.is_whitespace() || c.is_control()) {
        context.sink.error(&at.key("channel"), "expected a channel's id, such as `C024BE91L`, or `#name`");
        return None;
    }
    Some(SlackSpec::Bot { token: token?, channel: channel.clone(), api_url: raw.api_url.0.to_string() })
}

/// A bearer token, if one is given.
pub(crate) fn token(
    text: &Option<SecretText>,
    file: &Option<FileName>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Secret> {
    let token = secrets::given((text, "token"), (file, "token_file"), at, context)?;
    printable(token, &at.key("token"), context)
}

/// A secret that must be given, plainly or in a file.
pub(crate) fn required(
    text: (&Option<SecretText>, &str),
    file: (&Option<FileName>, &str),
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Secret> {
    if text.0.is_none() && file.0.is_none() {
        context
            .sink
            .error(at, format!("`{}` is missing", text.1))
            .hint(format!("or name a file with `{}`", file.1));
        return None;
    }
    let below = at.key(text.1);
    let secret = secrets::given(text, file, at, context)?;
    printable(secret, &below, context)
}

/// A secret that can stand in a header or an address.
fn printable(secret: String, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Secret> {
    if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
        context.sink.error(at, "expected visible ASCII characters, without spaces");
        return None;
    }
    Some(Secret::new(secret))
}

/// An address that may be a credential: nothing of it is ever shown.
pub(crate) fn address(
    text: (&Option<SecretText>, &str),
    file: (&Option<FileName>, &str),
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Secret> {
    let below = at.key(text.1);
    let url = required(text, file, at, context)?;
    let parsed: Option<http::Uri> = url.expose().parse().ok();
    let is_web = parsed.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if !is_web {
        context.sink.error(&below, "expected a URL that starts with `http://` or `https://`");
        return None;
    }
    Some(url)
}

fn email(raw: &Email, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<EmailSpec> {
    let password =
        secrets::given((&raw.password, "password"), (&raw.password_file, "password_file"), at, context);
    let login = match (&raw.username, password) {
        (Some(user), Some(password)) => Some((user.clone(), Secret::new(password))),
        (None, None) => None,
        _ => {
            context.sink.error(at, "`username` and a password go together");
            None
        }
    };
    let mailbox = |text: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            context
                .sink
                .error(at, "expected an address of mail, such as `Driftline <driftline@example.com>`");
        }
        parsed
    };
    let from = mailbox(&raw.from, &at.key("from"), context);
    let to: Vec<_> =
        raw.to.as_slice().iter().filter_map(|to| mailbox(&to.0, &at.key("to"), context)).collect();
    let (tls, port) = match raw.tls {
        EmailTls::Tls => (SmtpTls::Tls, 465),
        EmailTls::Starttls => (SmtpTls::StartTls, 587),
        EmailTls::None => (SmtpTls::None, 25),
    };
    if login.is_some() && tls == SmtpTls::None {
        context.sink.warning(&at.key("tls"), "the password goes over the network as it is");
    }
    Some(EmailSpec { host: raw.host.0.clone(), port: raw.port.unwrap_or(port), tls, login, from: from?, to })
}

fn webhook(raw: &HttpCall, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<WebhookSpec> {
    let url = address((&raw.url, "url"), (&raw.url_file, "url_file"), at, context);
    Some(WebhookSpec {
        method: raw.method.0.clone(),
        headers: headers(raw.headers.as_ref(), &at.key("headers"), context),
        token: token(&raw.token, &raw.token_file, at, context),
        body: body(raw.body.as_deref(), &at.key("body"), context),
        url: url?,
    })
}

/// Headers; their values may be secrets.
pub(crate) fn headers<K>(
    raw: Option<&Named<K, SecretText>>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<(HeaderName, Secret)> {
    let mut headers = Vec::new();
    for (name, value) in raw.into_iter().flat_map(Named::iter) {
        let below = at.key(name);
        match HeaderName::try_from(name) {
            Err(_) => drop(context.sink.error_at_key(&below, "expected the name of an HTTP header")),
            Ok(_) if http::HeaderValue::from_str(&value.0).is_err() => {
                context.sink.error(&below, "a header's value has no control characters");
            }
            Ok(name) => headers.push((name, Secret::new(value.0.clone()))),
        }
    }
    headers
}

/// A body with placeholders.
pub(crate) fn body(text: Option<&str>, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Template> {
    let parsed = Template::json(text?);
    parsed.map_err(|error| context.sink.error(at, format!("no template: {error}"))).ok()
}
