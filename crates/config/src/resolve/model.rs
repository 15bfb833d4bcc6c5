//! A model's versions, and who gets which.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway::{ModelRoute, Retry, SampleBy, Shadow, Upstream, Version};

use crate::raw::{self, File, Model, OneOrMore, ShadowMode, ShadowRole, Tenant};
use crate::resolve::{Context, files, llm, logs, routes};
use crate::settings::{ModelSettings, ShadowSettings};
use crate::suggest::did_you_mean_or_list;
use crate::text::Name;
use crate::yaml::Cursor;

/// Where this instance listens itself.
pub(crate) struct OwnAddresses {
    pub(crate) traffic: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Every model, seen by the gateway and by the admin side.
pub(crate) struct Models {
    pub(crate) routes: Vec<ModelRoute>,
    pub(crate) settings: Vec<ModelSettings>,
}

/// Resolves all models.
pub(crate) fn resolve(
    file: &File,
    at: &Cursor<'_>,
    own: &OwnAddresses,
    context: &mut Context<'_, '_>,
) -> Models {
    let mut models = Models { routes: Vec::new(), settings: Vec::new() };
    for (name, model) in file.models.iter() {
        let below = at.key(name);
        let route = one((file, name), model, &below, own, context);
        let settings = describe(file, model, &route);
        models.routes.push(route);
        models.settings.push(settings);
    }
    let forwarded = models.routes.iter().filter(|route| !route.versions.is_empty());
    let matches: Vec<_> = forwarded.map(|route| (&*route.name, &route.matches)).collect();
    routes::check_reachable(&matches, at, context);
    models
}

fn one(
    (file, name): (&File, &str),
    model: &Model,
    at: &Cursor<'_>,
    own: &OwnAddresses,
    context: &mut Context<'_, '_>,
) -> ModelRoute {
    let versions = model.versions.iter().map(|(version, raw)| Version {
        name: version.into(),
        upstream: upstream((model, raw), &at.key("versions").key(version), own, context),
    });
    let versions: Vec<Version> = versions.collect();
    if !versions.is_empty() && model.elsewhere.is_some() {
        let message = "a model has `versions` that are forwarded to, or versions `elsewhere`, not both";
        context.sink.error_at_key(&at.key("elsewhere"), message);
    }
    if versions.is_empty() && !at.key("versions").is_set() {
        check_measured_only(file, model, at, context);
    }
    let active = active(model, at, context);
    check_stable(model, at, context);
    ModelRoute {
        name: name.into(),
        matches: routes::route(model, at, context),
        versions,
        split: split(model, active, at, context),
        shadows: shadows(model, at, context),
        tenant_header: match &model.tenant {
            Tenant::None(_) => None,
            Tenant::Header(header) => Some(header.0.clone()),
            Tenant::Detail(detail) => Some(detail.header.0.clone()),
        },
        tap: true,
        log_headers: logs::headers(&file.logs),
        sticky_header: model.sticky.as_ref().map(|header| header.0.clone()),
        retry: match model.upstream.retry {
            raw::Retry::Never => Retry::Never,
            raw::Retry::Idempotent => Retry::Idempotent,
            raw::Retry::Inference => Retry::Inference,
        },
    }
}

fn describe(file: &File, model: &Model, route: &ModelRoute) -> ModelSettings {
    let versions: Vec<Arc<str>> = route.versions.iter().map(|version| Arc::clone(&version.name)).collect();
    let named = |name: &str| {
        versions.iter().find(|version| &***version == name).cloned().unwrap_or_else(|| name.into())
    };
    ModelSettings {
        name: Arc::clone(&route.name),
        active: named(model.active_name()),
        stable: named(model.stable.as_ref().map_or(model.active_name(), |stable| &stable.0)),
        split: route.split.clone(),
        shadows: model
            .shadow
            .iter()
            .flat_map(OneOrMore::as_slice)
            .map(|shadow| ShadowSettings {
                version: target(shadow).map(|version| named(&version.0)),
                noise: is_noise(shadow),
                percent: percent(shadow),
                budget: llm::budget(shadow),
            })
            .collect(),
        auto_rollback: model.auto_rollback
            && file.rollback.enabled
            && (!versions.is_empty() || is_moved(file, model)),
        protocol: model.protocol.into(),
        versions: match &model.elsewhere {
            _ if !versions.is_empty() => versions,
            Some(elsewhere) => elsewhere.iter().map(|name| named(&name.0)).collect(),
            None => vec![named(model.active_name())],
        },
    }
}

/// Whether a model's traffic goes elsewhere, and actuators move it.
fn is_moved(file: &File, model: &Model) -> bool {
    let has_actuators = !file.rollback.actuators.is_empty() || !model.rollback.actuators.is_empty();
    model.elsewhere.is_some() && has_actuators
}

/// The version of inferences that name none, of a model that is only measured.
const UNKNOWN_VERSION: &str = "unknown";

impl Model {
    /// The version that clients get, or that records without a version belong to.
    fn active_name(&self) -> &str {
        self.active.as_ref().map_or(UNKNOWN_VERSION, |active| &active.0)
    }
}

/// The place of the version that answers clients.
fn active(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<usize> {
    match &model.active {
        _ if model.versions.is_empty() => None,
        Some(active) => index_of(model, &active.0, &at.key("active"), context),
        None => {
            let hint = "name the version that answers clients: `active: v2`";
            context.sink.error(at, "the key `active` is missing").hint(hint);
            None
        }
    }
}

/// A model without versions gets no traffic: what is about traffic makes no sense there.
fn check_measured_only(file: &File, model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    if file.sources.is_empty() && file.models.iter().any(|(_, model)| !model.versions.is_empty()) {
        let message =
            "a model without `versions` gets no traffic, and there are no `sources` to measure it from";
        context.sink.warning(at, message).hint("add `versions`, or `sources`");
    }
    if let Some(elsewhere) = &model.elsewhere {
        check_elsewhere(model, elsewhere, at, context);
    }
    let about_traffic = [
        ("stable", model.stable.is_some() && model.elsewhere.is_none()),
        ("shadow", model.shadow.is_some()),
        ("split", model.split.is_some()),
        ("sticky", model.sticky.is_some()),
        ("route", model.route.is_some()),
        ("upstream", at.key("upstream").is_set()),
    ];
    for (key, _) in about_traffic.into_iter().filter(|(_, is_set)| *is_set) {
        let message = format!("`{key}` is about traffic, and a model without `versions` gets none");
        context.sink.error(&at.key(key), message).hint("add `versions`, or take the key out");
    }
}

/// Versions that live elsewhere: those named as active and stable must be among them.
fn check_elsewhere(model: &Model, elsewhere: &[Name], at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    if model.active.is_none() {
        let hint = "name the version that serves: `active: v2`";
        context.sink.error(at, "the key `active` is missing").hint(hint);
    }
    for (key, version) in [("active", &model.active), ("stable", &model.stable)] {
        let Some(version) = version else { continue };
        if !elsewhere.iter().any(|known| known.0 == version.0) {
            let names = elsewhere.iter().map(|name| name.0.as_str()).collect::<Vec<_>>();
            let hint = did_you_mean_or_list(&version.0, names);
            let below = at.key(key);
            let shown = below.shown(&version.0);
            let message = format!("there is no version `{shown}` under `elsewhere`");
            context.sink.error(&below, message).maybe_hint(hint);
        }
    }
}

/// The place of a version; reports one that is not there.
fn index_of(model: &Model, version: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<usize> {
    let index = model.versions.index_of(version);
    if index.is_none() {
        let hint =
            did_you_mean_or_list(version, model.versions.iter().map(|(name, _)| name).collect::<Vec<_>>());
        // A version named as a key (under `split`) is shown as written.
        let shown = at.shown(version);
        context.sink.error(at, format!("there is no version `{shown}` under `versions`")).maybe_hint(hint);
    }
    index
}

fn check_stable(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let stable_at = at.key("stable");
    if model.versions.is_empty() {
        return;
    }
    let stable = model.stable.as_ref().or(model.active.as_ref());
    if model.stable.is_some()
        && stable.is_some_and(|stable| index_of(model, &stable.0, &stable_at, context).is_none())
    {
        return;
    }
    if stable == model.active.as_ref() && model.auto_rollback {
        let message = "`stable` and `active` are one version: a rollback has nowhere to go";
        let hint = "name the version to go back to with `stable`, or set `auto_rollback: false`";
        context.sink.warning(if stable_at.is_set() { &stable_at } else { at }, message).hint(hint);
    }
}

fn upstream(
    (model, raw): (&Model, &raw::Version),
    at: &Cursor<'_>,
    own: &OwnAddresses,
    context: &mut Context<'_, '_>,
) -> Upstream {
    let detail = raw.detail();
    let url_at = match raw {
        raw::Version::Url(_) => at.clone(),
        raw::Version::Detail(_) => at.key("url"),
    };
    for (address, what) in [(own.traffic, "listen"), (own.admin, "admin")] {
        if is_own(&detail.url.0, address) {
            let message = format!("this is Driftline's own `{what}` address: requests would go in a circle");
            context.sink.error(&url_at, message).hint("give the model server's address");
        }
    }
    if detail.ca_file.is_some() && detail.url.0.scheme_str() == Some("http") {
        let message = "`ca_file` has no use with an `http://` URL";
        context.sink.warning(&at.key("ca_file"), message).hint("write the URL with `https://`");
    }
    Upstream {
        url: detail.url.0,
        http2: detail.http2,
        ca_file: detail.ca_file.map(|name| files::pem(&name, "CERTIFICATE", &at.key("ca_file"), context)),
        connect_timeout: detail.connect_timeout.0,
        answer_timeout: detail.timeout.0,
        preserve_host: detail.preserve_host,
        idle: model.upstream.idle.map(|idle| idle.0),
    }
}

/// Whether a URL leads back to a listener of ours, as far as that can be told without looking names up.
fn is_own(url: &http::Uri, own: SocketAddr) -> bool {
    let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
    if own.port() == 0 || url.port_u16().unwrap_or(default_port) != own.port() {
        return false;
    }
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = host.parse().ok();
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    let is_any = ip.is_some_and(|ip| ip.is_unspecified());
    let is_this_machine = is_localhost || is_any || ip.is_some_and(|ip| ip.is_loopback());
    // `localhost` and `0.0.0.0` reach a listener on loopback; every loopback address reaches one on all interfaces.
    ip == Some(own.ip())
        || (own.ip().is_unspecified() && is_this_machine)
        || (own.ip().is_loopback() && (is_localhost || is_any))
}

fn split(
    model: &Model,
    active: Option<usize>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<(usize, u32)> {
    let Some(split) = model.split.as_ref().filter(|_| !model.versions.is_empty()) else {
        return if model.versions.is_empty() { Vec::new() } else { vec![(active.unwrap_or(0), 1)] };
    };
    let (at, active_at) = (at.key("split"), at.key("active"));
    let mut weights = Vec::new();
    for (version, weight) in split.iter() {
        if let (Some(index), 1..) = (index_of(model, version, &at.key(version), context), weight.0) {
            weights.push((index, weight.0));
        }
    }
    if split.iter().all(|(_, weight)| weight.0 == 0) {
        context.sink.error(&at, "no version has a weight above 0: no version would serve");
    } else if active.is_some_and(|active| !weights.iter().any(|(index, _)| *index == active)) {
        let message = format!(
            "the active version `{}` has no share of the `split`",
            active_at.shown(model.active_name())
        );
        context.sink.error(&at, message).hint("give it a weight, or name another version `active`");
    }
    weights
}

fn shadows(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<Shadow> {
    let Some(raw) = model.shadow.as_ref().filter(|_| !model.versions.is_empty()) else { return Vec::new() };
    let at = at.key("shadow");
    let mut shadows: Vec<Shadow> = Vec::new();
    for (index, shadow) in raw.as_slice().iter().enumerate() {
        let at = match raw {
            OneOrMore::One(_) => at.clone(),
            OneOrMore::More(_) => at.item(index),
        };
        let version = shadow_version(model, shadow, &at, context);
        let noise = is_noise(shadow);
        let is_twice = match version {
            Some(_) if noise => shadows.iter().any(|earlier| earlier.noise),
            Some(version) => shadows.iter().any(|earlier| earlier.version == Some(version) && !earlier.noise),
            None => is_log_only(shadow) && shadows.iter().any(|earlier| earlier.version.is_none()),
        };
        if is_twice {
            let at = at.key(if noise {
                "role"
            } else if is_log_only(shadow) {
                "mode"
            } else {
                "version"
            });
            let message = match version {
                Some(_) if noise => "the noise can be measured once",
                Some(_) => "a version can be a shadow once",
                None => "requests can be logged once",
            };
            context.sink.error(&at, message).hint("add the percentages up");
        }
        llm::check_budget(shadow, &at, context);
        if matches!((&shadow.sample_by, &model.tenant), (raw::SampleBy::Tenant, Tenant::None(_))) {
            let message = "`sample_by: tenant` needs a tenant, and `tenant` is `false`";
            context.sink.error(&at.key("sample_by"), message).hint("name the header: `tenant: x-tenant-id`");
        }
        shadows.push(one_shadow(shadow, version));
    }
    shadows
}

fn is_log_only(shadow: &raw::Shadow) -> bool {
    shadow.mode == ShadowMode::LogOnly
}

/// The version that gets the copies, where there are any.
fn target(shadow: &raw::Shadow) -> Option<&Name> {
    shadow.version.as_ref().filter(|_| !is_log_only(shadow))
}

/// Whether its copies go to the version that answers clients, to measure its noise.
fn is_noise(shadow: &raw::Shadow) -> bool {
    shadow.role == ShadowRole::Noise && !is_log_only(shadow)
}

fn percent(shadow: &raw::Shadow) -> f64 {
    shadow.percent.unwrap_or(if is_log_only(shadow) { 100.0 } else { 0.0 })
}

/// The place of the version that gets the copies; reports what is missing or makes no sense.
fn shadow_version(
    model: &Model,
    shadow: &raw::Shadow,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<usize> {
    let at_version = at.key("version");
    if is_log_only(shadow) {
        if shadow.version.is_some() {
            let message = "`version` has no use with `mode: log-only`: nothing is sent";
            context.sink.warning(&at_version, message).hint("take it away");
        }
        if shadow.role == ShadowRole::Noise {
            let message = "`role: noise` has no use with `mode: log-only`: nothing is answered twice";
            context.sink.error(&at.key("role"), message).hint("take one of the two away");
        }
        return None;
    }
    // What is there and could not be read has been reported.
    if shadow.percent.is_none() && !at.key("percent").is_set() {
        let message = "`percent` is missing: the share of the requests that is copied";
        context.sink.error(at, message).hint("say how much is copied: `percent: 5`");
    }
    if is_noise(shadow) {
        return noise_version(model, shadow, at, context);
    }
    let Some(version) = &shadow.version else {
        if at_version.is_set() {
            return None;
        }
        let message = "`version` is missing: the one that gets the copies";
        context.sink.error(at, message).hint("name a version, or log only: `mode: log-only`");
        return None;
    };
    if Some(version) == model.active.as_ref() && model.split.is_none() {
        let message = "the shadow is the active version: it gets its own traffic twice";
        context.sink.warning(&at_version, message).hint("name another version");
    }
    index_of(model, &version.0, &at_version, context)
}

/// The version that answers clients. A name that is given must be its.
fn noise_version(
    model: &Model,
    shadow: &raw::Shadow,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<usize> {
    let active = model.active_name();
    if shadow.version.as_ref().is_some_and(|version| version.0 != *active) {
        let message = "noise is measured on the version that answers clients";
        context.sink.error(&at.key("version"), message).hint("name the active version, or none");
    }
    // One that is not there has been reported at `active`.
    model.versions.index_of(active)
}

fn one_shadow(raw: &raw::Shadow, version: Option<usize>) -> Shadow {
    Shadow {
        version,
        noise: is_noise(raw),
        percent: percent(raw),
        sample_by: match &raw.sample_by {
            raw::SampleBy::Random => SampleBy::Random,
            raw::SampleBy::RequestId => SampleBy::RequestId,
            raw::SampleBy::Tenant => SampleBy::Tenant,
            raw::SampleBy::Header(header) => SampleBy::Header(header.0.clone()),
        },
        honour_mark: raw.honour_mark,
        strip_credentials: raw.strip_credentials,
        strip_headers: raw.strip_headers.iter().map(|header| header.0.clone()).collect(),
        timeout: raw.timeout.0,
        tap: raw.observe,
        methods: raw.methods.iter().map(|method| method.0.clone()).collect(),
    }
}
