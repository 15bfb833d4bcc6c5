//! Sources: each of exactly one kind, each with a model to belong to.

use std::sync::Arc;

use feeds::fluent::Reading;
use feeds::sources::{Format, ForwardSpec, SharedKey, SourceKind, SourceSpec, StdinSpec};
use record::RecordDefaults;

use crate::raw::{self, File, Forward, Source};
use crate::resolve::{Context, kafka, readers, secrets};
use crate::suggest::did_you_mean_or_list;
use crate::text::Name;
use crate::yaml::Cursor;

/// Every source, in the order written.
pub(crate) fn resolve(file: &File, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<SourceSpec> {
    let sources: Vec<SourceSpec> = file
        .sources
        .iter()
        .filter_map(|(name, source)| one(name, source, file, &at.key(name), context))
        .collect();
    let is_stdin = |source: &&SourceSpec| matches!(source.kind, SourceKind::Stdin(_));
    if let Some(second) = sources.iter().filter(is_stdin).nth(1) {
        let message = "there is one standard input, and another source reads it already";
        context.sink.error(&at.key(&second.name), message);
    }
    check_listeners(&sources, at, context);
    readers::check_own_logs(&sources, file, at, context);
    sources
}

fn check_listeners(sources: &[SourceSpec], at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let mut taken = std::collections::BTreeSet::new();
    for source in sources {
        if let SourceKind::Forward(spec) = &source.kind
            && spec.listen.port() != 0
            && !taken.insert(spec.listen)
        {
            let message = format!("another source listens on `{}` already", spec.listen);
            context.sink.error(&at.key(&source.name).key("forward").key("listen"), message);
        }
    }
}

fn one(
    name: &str,
    source: &Source,
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<SourceSpec> {
    let mut kinds = kinds(source, at, context);
    if kinds.len() != 1 {
        let message = "a source is of exactly one kind";
        context.sink.error(at, message).hint(
            "give it one of the keys `stdin`, `tail`, `forward`, `data_capture`, `kafka`: docs/configuration.md",
        );
        return None;
    }
    Some(SourceSpec { name: name.into(), defaults: defaults(source, file, at, context), kind: kinds.pop()? })
}

/// The kinds that a source names.
fn kinds(source: &Source, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<SourceKind> {
    let stdin = source.stdin.as_ref().map(|raw| SourceKind::Stdin(StdinSpec { format: raw.format.into() }));
    let forward =
        source.forward.as_ref().map(|raw| SourceKind::Forward(forward(raw, &at.key("forward"), context)));
    let tail = source.tail.as_ref().map(|raw| SourceKind::Tail(readers::tail(raw, &at.key("tail"), context)));
    let capture = source
        .data_capture
        .as_ref()
        .map(|raw| SourceKind::DataCapture(readers::capture(raw, &at.key("data_capture"), context)));
    let kafka = source
        .kafka
        .as_ref()
        .map(|raw| SourceKind::Kafka(Box::new(kafka::source(raw, &at.key("kafka"), context))));
    [stdin, forward, tail, capture, kafka].into_iter().flatten().collect()
}

fn forward(raw: &Forward, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> ForwardSpec {
    let key = (&raw.shared_key, "shared_key");
    let key = secrets::given(key, (&raw.shared_key_file, "shared_key_file"), at, context);
    if key.as_ref().is_some_and(String::is_empty) {
        context.sink.error(at, "the shared key is empty").hint("make one: `openssl rand -hex 32`");
    }
    let has_key = raw.shared_key.is_some() || raw.shared_key_file.is_some();
    if !raw.listen.0.ip().is_loopback() && !has_key && !raw.open_to_network {
        let message = "any client that reaches this address may send: there is no `shared_key`";
        let hint = "set `shared_key`, here and in Fluent Bit, or `open_to_network: true`";
        context.sink.error(&at.key("listen"), message).hint(hint);
    }
    ForwardSpec {
        listen: raw.listen.0,
        reading: Reading {
            format: raw.format.into(),
            record_key: raw.record_key.clone(),
            ..Reading::default()
        },
        shared_key: key.map(|key| SharedKey(key.into())),
        hostname: raw.hostname.0.clone(),
        max_connections: raw.max_connections,
        max_frame_bytes: usize::try_from(raw.max_frame.0).unwrap_or(usize::MAX),
    }
}

fn defaults(source: &Source, file: &File, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> RecordDefaults {
    let text = |name: &Option<Name>| name.as_ref().map(|name| Arc::from(name.0.as_str()));
    let models: Vec<&str> = file.models.iter().map(|(name, _)| name).collect();
    if let Some(model) = source.model.as_ref().filter(|model| !models.contains(&model.0.as_str())) {
        let hint = did_you_mean_or_list(&model.0, models.clone());
        let at = at.key("model");
        let shown = at.shown(&model.0);
        context.sink.error(&at, format!("there is no model `{shown}` under `models`")).maybe_hint(hint);
    }
    let only = match models.as_slice() {
        [only] => Some(Arc::from(*only)),
        _ => None,
    };
    RecordDefaults {
        model: text(&source.model).or(only),
        version: text(&source.version),
        tenant: text(&source.tenant),
        lane: match source.lane {
            raw::Lane::Prod => record::Lane::Prod,
            raw::Lane::Shadow => record::Lane::Shadow,
        },
    }
}

impl From<raw::Format> for Format {
    fn from(format: raw::Format) -> Self {
        match format {
            raw::Format::Record => Self::Record,
            raw::Format::Json => Self::Json,
        }
    }
}
