//! The compiled route table: which model takes a request, and which version answers it.
//!
//! Compiled once when a table is taken and then only read; choosing allocates nothing.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderMap, Method};
use record::Lane;

use crate::circuit::Circuit;
use crate::counters::{CopyCounters, Counters, LaneCounters};
use crate::error::GatewayError;
use crate::sample::{Purpose, hash};
use crate::spec::{ModelRoute, RouteTable, Shadow};
use crate::target::Target;

/// A route table made ready.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) models: Vec<CompiledModel>,
}

/// One model.
#[derive(Debug)]
pub(crate) struct CompiledModel {
    pub(crate) route: Arc<ModelRoute>,
    pub(crate) versions: Vec<CompiledVersion>,
    /// In the order of the route's; `None` for one that only logs.
    pub(crate) shadows: Vec<Option<Arc<CompiledShadow>>>,
    pub(crate) copies: Arc<CopyCounters>,
    /// Path prefix without its last slash; empty takes every path.
    prefix: String,
    /// Versions with the sum of the weights up to and with theirs.
    split: Vec<(usize, u64)>,
}

/// One version.
#[derive(Debug)]
pub(crate) struct CompiledVersion {
    pub(crate) name: Arc<str>,
    pub(crate) target: Arc<Target>,
    pub(crate) counters: Arc<LaneCounters>,
}

/// One shadow.
#[derive(Debug)]
pub(crate) struct CompiledShadow {
    pub(crate) version: Arc<str>,
    pub(crate) target: Arc<Target>,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) circuit: Arc<Circuit>,
}

impl Compiled {
    /// Validates and compiles. Upstreams that `old` has as well keep their targets, and so their connections.
    ///
    /// # Errors
    /// The first problem, with the model's name.
    pub(crate) fn new(
        table: RouteTable,
        counters: &Counters,
        old: Option<&Self>,
    ) -> Result<Self, GatewayError> {
        let mut names = HashSet::new();
        let mut models: Vec<CompiledModel> = Vec::with_capacity(table.models.len());
        for route in &table.models {
            let bad = |reason: String| GatewayError::Route { model: route.name.to_string(), reason };
            if !names.insert(Arc::clone(&route.name)) {
                return Err(bad("the name is used twice".into()));
            }
            validate(route).map_err(bad)?;
            let before = old.map_or(&[][..], |old| &old.models);
            let model = compile(route, counters, &[before, &models]).map_err(bad)?;
            models.push(model);
        }
        Ok(Self { table: Arc::new(table), models })
    }

    /// The model that takes a request: the first whose conditions all hold. `host` is with or without port.
    pub(crate) fn find(&self, host: &str, path: &str, headers: &HeaderMap) -> Option<usize> {
        self.models.iter().position(|model| model.takes(host, path, headers))
    }
}

impl CompiledModel {
    fn takes(&self, host: &str, path: &str, headers: &HeaderMap) -> bool {
        let rule = &self.route.matches;
        let host_ok =
            || rule.host.as_ref().is_none_or(|wanted| without_port(host).eq_ignore_ascii_case(wanted));
        let header_ok = || match &rule.header {
            Some((name, value)) => headers.get_all(name).iter().any(|v| v.as_bytes() == value.as_bytes()),
            None => true,
        };
        self.takes_path(path) && host_ok() && header_ok()
    }

    fn takes_path(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.prefix.as_str());
        rest.is_some_and(|rest| self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    /// What is taken off the front of a path before it is forwarded.
    pub(crate) fn stripped(&self) -> &str {
        if self.route.matches.strip_prefix { &self.prefix } else { "" }
    }

    /// The version that answers, by weight: the same one for the same value of the sticky header.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> usize {
        let [(only, _)] = self.split.as_slice() else { return self.choose_by_weight(headers) };
        *only
    }

    fn choose_by_weight(&self, headers: &HeaderMap) -> usize {
        let total = self.split.last().map_or(1, |&(_, sum)| sum);
        let key = self.route.sticky_header.as_ref().and_then(|name| headers.get(name));
        let draw = match key {
            // The high bits of a product: no bias towards small remainders.
            Some(key) => {
                let wide = u128::from(hash(Purpose::Split, key.as_bytes())) * u128::from(total);
                u64::try_from(wide >> 64).unwrap_or(0)
            }
            None => fastrand::u64(0..total),
        };
        let index = self.split.partition_point(|&(_, sum)| sum <= draw);
        self.split.get(index).map_or(0, |&(version, _)| version)
    }
}

impl Shadow {
    /// Whether requests of this method are copied.
    pub(crate) fn takes_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn validate(route: &ModelRoute) -> Result<(), String> {
    if route.versions.is_empty() {
        return Err("it has no version".into());
    }
    let mut names = HashSet::new();
    for version in &route.versions {
        if !names.insert(&version.name) {
            return Err(format!("version `{}` is given twice", version.name));
        }
    }
    if route.split.is_empty() {
        return Err("no version takes its traffic".into());
    }
    for &(version, weight) in &route.split {
        if version >= route.versions.len() || weight == 0 {
            return Err(format!(
                "split entry ({version}, {weight}) needs an existing version and a positive weight"
            ));
        }
    }
    for shadow in &route.shadows {
        if let Some(version) = shadow.version.filter(|version| *version >= route.versions.len()) {
            return Err(format!("shadow version {version} does not exist"));
        }
        if !(0.0..=100.0).contains(&shadow.percent) {
            return Err(format!("shadow percent {} is not in 0..=100", shadow.percent));
        }
    }
    match &route.matches.path_prefix {
        Some(prefix) if !prefix.starts_with('/') => {
            Err(format!("path prefix `{prefix}` does not begin with `/`"))
        }
        _ => Ok(()),
    }
}

fn compile(
    route: &Arc<ModelRoute>,
    counters: &Counters,
    known: &[&[CompiledModel]],
) -> Result<CompiledModel, String> {
    let mut versions: Vec<CompiledVersion> = Vec::with_capacity(route.versions.len());
    for version in &route.versions {
        let all =
            known.iter().flat_map(|models| models.iter()).flat_map(|model| &model.versions).chain(&versions);
        let same = all.map(|v| &v.target).find(|target| target.upstream == version.upstream);
        let target = match same {
            Some(target) => Arc::clone(target),
            None => Arc::new(
                Target::new(&version.upstream).map_err(|e| format!("version `{}`: {e}", version.name))?,
            ),
        };
        let counters = counters.lane(&route.name, &version.name, Lane::Prod);
        versions.push(CompiledVersion { name: Arc::clone(&version.name), target, counters });
    }
    let shadows = route
        .shadows
        .iter()
        .map(|shadow| Some(Arc::new(compile_shadow(route, shadow.version?, &versions, counters, known))))
        .collect();
    let mut sum = 0;
    let split = route
        .split
        .iter()
        .map(|&(version, weight)| {
            sum += u64::from(weight);
            (version, sum)
        })
        .collect();
    let prefix = route.matches.path_prefix.as_deref().unwrap_or("").trim_end_matches('/').to_owned();
    let copies = counters.copies(&route.name);
    Ok(CompiledModel { route: Arc::clone(route), versions, shadows, copies, prefix, split })
}

fn compile_shadow(
    route: &ModelRoute,
    version: usize,
    versions: &[CompiledVersion],
    counters: &Counters,
    known: &[&[CompiledModel]],
) -> CompiledShadow {
    let CompiledVersion { name, target, .. } = &versions[version];
    let all = known.iter().flat_map(|models| models.iter()).flat_map(|model| &model.shadows).flatten();
    let circuit = all.filter(|s| Arc::ptr_eq(&s.target, target)).map(|s| Arc::clone(&s.circuit)).next();
    CompiledShadow {
        version: Arc::clone(name),
        target: Arc::clone(target),
        counters: counters.lane(&route.name, name, Lane::Shadow),
        circuit: circuit.unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
