//! The inference log: where it goes, with which credentials.

use std::sync::Arc;

use feeds::sinks::{FilesSpec, LogFilter, LogSpec, LokiSpec, QueueLimits, SinkKind};

use crate::raw::{Compression, Lane, LogFiles, Logs, Loki, Named};
use crate::resolve::{Context, files, kafka, secrets};
use crate::yaml::Cursor;

/// Labels that the sink sets itself.
const OWN_LABELS: [&str; 4] = ["lane", "model", "version", "service_name"];

/// What names of headers have in them that carry credentials: `authorization`, `proxy-authorization`, `cookie`,
/// `set-cookie`, `x-api-key`, `x-amz-security-token`, `x-goog-iap-jwt-assertion`, `x-amz-signature` and the like.
const CREDENTIALS: [&str; 17] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "passw",
    "passphrase",
    "api-key",
    "api_key",
    "apikey",
    "access-key",
    "credential",
    "session",
    "signature",
    "jwt",
    "assertion",
    "client-cert",
    "private-key",
];

/// The log as configured.
pub(crate) fn resolve(logs: &Logs, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> LogSpec {
    check_headers(logs, &at.key("headers"), context);
    let mut sinks = Vec::new();
    if logs.stdout {
        sinks.push(SinkKind::Stdout);
    }
    if let Some(raw) = &logs.files {
        sinks.push(SinkKind::Files(files_sink(raw, context)));
    }
    if let Some(raw) = &logs.loki {
        sinks.push(SinkKind::Loki(Box::new(loki(raw, &at.key("loki"), context))));
    }
    if let Some(raw) = &logs.kafka {
        sinks.push(SinkKind::Kafka(Box::new(kafka::log(raw, &at.key("kafka"), context))));
    }
    let has = |lane: Lane| {
        logs.lanes.iter().any(|one| std::mem::discriminant(one) == std::mem::discriminant(&lane))
    };
    let bytes = usize::try_from(logs.queue_bytes.0).unwrap_or(usize::MAX);
    LogSpec {
        filter: LogFilter { sample_percent: logs.sample, prod: has(Lane::Prod), shadow: has(Lane::Shadow) },
        queue: QueueLimits { records: logs.queue, bytes },
        sinks,
    }
}

/// The headers that exchanges have to bring for the log; none when there is no place for it.
pub(crate) fn headers(logs: &Logs) -> Vec<(http::HeaderName, Arc<str>)> {
    if !logs.stdout && logs.files.is_none() && logs.loki.is_none() {
        return Vec::new();
    }
    logs.headers.iter().map(|header| (header.0.clone(), header.0.as_str().into())).collect()
}

fn check_headers(logs: &Logs, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    for (index, header) in logs.headers.iter().enumerate() {
        let (name, at) = (header.0.as_str(), at.item(index));
        if CREDENTIALS.iter().any(|word| name.contains(word)) {
            let message = format!("`{name}` carries credentials: it is never logged");
            context.sink.error(&at, message).hint("take it out of `headers`");
        } else if logs.headers[..index].contains(header) {
            context.sink.error(&at, format!("`{name}` is named twice"));
        }
    }
}

fn files_sink(raw: &LogFiles, context: &Context<'_, '_>) -> FilesSpec {
    FilesSpec {
        folder: files::located(&raw.path, context),
        rotate_bytes: raw.rotate_bytes.0,
        gzip: raw.compression == Compression::Gzip,
        keep_prod: raw.keep_prod.0,
        keep_shadow: raw.keep_shadow.0,
        max_bytes: raw.max_bytes.0,
    }
}

fn loki(raw: &Loki, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> LokiSpec {
    let password =
        secrets::given((&raw.password, "password"), (&raw.password_file, "password_file"), at, context);
    let bearer = secrets::given((&raw.token, "token"), (&raw.token_file, "token_file"), at, context);
    let basic_auth = match (&raw.username, password) {
        (Some(user), Some(password)) => Some((user.0.clone(), password)),
        (Some(_), None) => {
            context.sink.error(&at.key("username"), "`username` needs a `password` or `password_file`");
            None
        }
        (None, Some(_)) => {
            context.sink.error(at, "a password needs a `username`");
            None
        }
        (None, None) => None,
    };
    if basic_auth.is_some() && bearer.is_some() {
        context.sink.error(at, "a password and a token are both given").hint("keep one of the two");
    }
    let labels_at = at.key("labels");
    let mut labels = Vec::new();
    for (name, value) in raw.labels.iter().flat_map(Named::iter) {
        if !is_label(name) {
            let message = "no label's name: expected a letter, then letters, digits and `_`";
            context.sink.error_at_key(&labels_at.key(name), message);
        } else if OWN_LABELS[..3].contains(&name) {
            context.sink.error_at_key(&labels_at.key(name), "this label is set by Driftline");
        }
        labels.push((name.to_owned(), value.0.clone()));
    }
    LokiSpec {
        url: raw.url.0.to_string(),
        tenant_id: raw.tenant_id.as_ref().map(|name| name.0.clone()),
        basic_auth,
        bearer,
        labels,
        gzip: raw.compression == Compression::Gzip,
        batch_bytes: usize::try_from(raw.batch_bytes.0).unwrap_or(usize::MAX),
        batch_every: raw.batch_every.0,
        timeout: raw.timeout.0,
        keep_trying: raw.keep_trying.0,
    }
}

/// What Loki takes as a label's name.
fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
