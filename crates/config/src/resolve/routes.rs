//! Which requests belong to a model, and whether every model can get some.

use gateway::RouteMatch;

use crate::raw::{Model, Route};
use crate::resolve::Context;
use crate::yaml::Cursor;

/// A model's route.
pub(crate) fn route(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> RouteMatch {
    let detail = match &model.route {
        None => return RouteMatch::default(),
        Some(Route::Path(prefix)) => {
            return RouteMatch { path_prefix: prefix_of(&prefix.0), ..RouteMatch::default() };
        }
        Some(Route::Detail(detail)) => detail,
    };
    let path_prefix = detail.path.as_ref().and_then(|path| prefix_of(&path.0));
    if detail.strip_prefix && path_prefix.is_none() {
        let message = "`strip_prefix` needs a `path` to take off";
        context.sink.error_at_key(&at.key("route").key("strip_prefix"), message).hint("add `path: /fraud`");
    }
    let header = detail.header.as_ref().and_then(|header| header.iter().next()).and_then(|(name, value)| {
        check_header_value(value, &at.key("route").key("header").key(name), context);
        Some((http::HeaderName::try_from(name).ok()?, value.clone()))
    });
    RouteMatch {
        path_prefix,
        host: detail.host.as_ref().map(|host| host.0.clone()),
        header,
        strip_prefix: detail.strip_prefix,
    }
}

fn check_header_value(value: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    if value.is_empty() || value.trim() != value || http::HeaderValue::try_from(value).is_err() {
        context.sink.error(at, "expected the value of an HTTP header, without spaces around it");
    }
}

/// The empty prefix takes everything.
fn prefix_of(prefix: &str) -> Option<String> {
    (!prefix.is_empty()).then(|| prefix.to_owned())
}

/// Reports models whose requests all go to a model before them.
pub(crate) fn check_reachable(
    routes: &[(&str, &RouteMatch)],
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) {
    for (index, (name, route)) in routes.iter().enumerate() {
        let Some((other, earlier)) = routes[..index].iter().find(|(_, earlier)| covers(earlier, route))
        else {
            continue;
        };
        let below = at.key(name).key("route");
        let (message, hint) = if **earlier == RouteMatch::default() {
            let message = format!("model `{name}` gets no request: `{other}` above it takes every request");
            (message, format!("give `{other}` a route, such as `route: /{other}`, or put it last"))
        } else {
            let message =
                format!("model `{name}` gets no request: the route of `{other}` above it takes them");
            (message, "give each model a route of its own; put the narrower one first".to_owned())
        };
        context.sink.error(&below, message).hint(hint);
    }
}

/// Whether every request that `route` takes is also taken by `earlier`.
fn covers(earlier: &RouteMatch, route: &RouteMatch) -> bool {
    let path = match (&earlier.path_prefix, &route.path_prefix) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(prefix), Some(path)) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    };
    let host = earlier.host.is_none() || earlier.host == route.host;
    let header = earlier.header.is_none() || earlier.header == route.header;
    path && host && header
}
