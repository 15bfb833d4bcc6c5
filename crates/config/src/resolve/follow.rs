//! What models follow: exactly one source each, and names of versions that are there.

use std::collections::HashMap;
use std::sync::Arc;

use actions::FollowSpec;

use crate::raw::{File, Follow, Model, Named};
use crate::resolve::actuators::aws;
use crate::resolve::notify::{address, token};
use crate::resolve::{Context, files};
use crate::settings::FollowSettings;
use crate::suggest::did_you_mean_or_list;
use crate::yaml::Cursor;

/// What every model follows.
pub(crate) fn resolve(
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<(Arc<str>, FollowSettings)> {
    let mut follows = Vec::new();
    for (name, model) in file.models.iter() {
        let Some(raw) = &model.follow else { continue };
        let settings = one(raw, model, &at.key(name).key("follow"), context);
        follows.extend(settings.map(|settings| (Arc::from(name), settings)));
    }
    follows
}

fn one(
    raw: &Follow,
    model: &Model,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<FollowSettings> {
    let sources = [raw.ssm.is_some(), raw.file.is_some(), raw.http.is_some()];
    if sources.iter().filter(|source| **source).count() != 1 {
        let hint = "give it one of the keys `ssm`, `file`, `http`";
        context.sink.error(at, "exactly one source is followed").hint(hint);
        return None;
    }
    if model.versions.is_empty() {
        let message = "no traffic of this model goes through here: there is nothing to follow with";
        context.sink.error_at_key(at, message).hint("add `versions`, or take `follow` out");
    }
    let known: Vec<&str> = model.versions.iter().map(|(name, _)| name).collect();
    let mut names = HashMap::new();
    for (value, version) in raw.names.iter().flat_map(Named::iter) {
        if !known.contains(&version.0.as_str()) {
            let below = at.key("names").key(value);
            let hint = did_you_mean_or_list(&version.0, known.clone());
            let message = format!("there is no version `{}` under `versions`", below.shown(&version.0));
            context.sink.error(&below, message).maybe_hint(hint);
        }
        names.insert(value.to_owned(), version.0.clone());
    }
    Some(FollowSettings { source: source(raw, at, context)?, every: raw.every.0, names })
}

fn source(raw: &Follow, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<FollowSpec> {
    if let Some(raw) = &raw.ssm {
        return Some(FollowSpec::Ssm { aws: aws(&raw.aws), parameter: raw.parameter.clone() });
    }
    if let Some(file) = &raw.file {
        return Some(FollowSpec::File(files::located(file, context)));
    }
    let (raw, at) = (raw.http.as_ref()?, at.key("http"));
    let url = address((&raw.url, "url"), (&raw.url_file, "url_file"), &at, context);
    let token = token(&raw.token, &raw.token_file, &at, context);
    Some(FollowSpec::Http { url: url?, token })
}
