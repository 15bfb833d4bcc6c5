//! Sources: each of exactly one kind, each with a model to belong to.

use std::sync::Arc;

use feeds::sources::{Format, SourceKind, SourceSpec, StdinSpec};
use record::RecordDefaults;

use crate::raw::{self, File, Source};
use crate::resolve::Context;
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
    sources
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
        context.sink.error(at, message).hint("give it one of the keys `stdin`, …: docs/configuration.md");
        return None;
    }
    Some(SourceSpec { name: name.into(), defaults: defaults(source, file, at, context), kind: kinds.pop()? })
}

/// The kinds that a source names.
fn kinds(source: &Source, _at: &Cursor<'_>, _context: &mut Context<'_, '_>) -> Vec<SourceKind> {
    let stdin = source.stdin.as_ref().map(|raw| SourceKind::Stdin(StdinSpec { format: raw.format.into() }));
    [stdin].into_iter().flatten().collect()
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
