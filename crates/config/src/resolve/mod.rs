//! From what is written to what is meant: everything that takes more than one key, or a file, to check.
//!
//! Each part reports at its own place and goes on, so that one run shows everything.

mod actuators;
mod files;
mod follow;
mod kafka;
mod llm;
mod logs;
mod measure;
mod model;
mod notify;
mod policy;
mod privacy;
mod readers;
mod retrain;
mod routes;
mod secrets;
mod sources;

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use crate::raw::{Admin, File};
use crate::settings::{AdminSettings, DrillSettings, ObserveSettings, Settings, StoreSettings};
use crate::yaml::{Cursor, Sink};

pub(crate) use files::read_regular;
pub(crate) use policy::policy_without_models;

/// What every part needs.
pub(crate) struct Context<'a, 'b> {
    /// Folder that relative files start from.
    pub(crate) base_dir: &'a Path,
    /// Where problems go.
    pub(crate) sink: &'a mut Sink<'b>,
}

/// Makes settings; they are good only when `context` collected no error.
pub(crate) fn resolve(file: &File, root: &Cursor<'_>, context: &mut Context<'_, '_>) -> Settings {
    let (admin_listen, admin_at) = admin_address(file, root);
    check_listeners((file.listen.0, &root.key("listen")), (admin_listen, &admin_at), context);
    let token = secrets::token(&file.auth, &root.key("auth"), context);
    if token.is_none() && !admin_listen.ip().is_loopback() && !file.auth_is_set() {
        let message = "the admin address can be reached from other machines and there is no token";
        let hint = "changes are then refused from other than this machine; set `auth: { token_file: … }`";
        context.sink.warning(&admin_at, message).hint(hint);
    }
    let own = model::OwnAddresses { traffic: file.listen.0, admin: admin_listen };
    let models = model::resolve(file, &root.key("models"), &own, context);
    let monitor = measure::resolve(file, root, context);
    let policy = policy::resolve(file, root, &models.settings, context);
    Settings {
        gateway: gateway::GatewayConfig {
            listen: Some(file.listen.0),
            tls: listener_tls(file, root, context),
            workers: file
                .workers
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get)),
            limits: file.limits.gateway(),
            shutdown_grace: file.shutdown_grace.0,
        },
        routes: models.routes,
        models: models.settings,
        monitor,
        policy,
        logs: logs::resolve(&file.logs, &root.key("logs"), context),
        sources: sources::resolve(file, &root.key("sources"), context),
        notify: notify::resolve(file, &root.key("notify"), context),
        grouping: notify::grouping(file),
        actuators: actuators::resolve(file, root, context),
        follows: follow::resolve(file, &root.key("models"), context),
        trainers: retrain::resolve(file, &root.key("retrain"), context),
        public_url: file.public_url.as_ref().map(|link| link.0.clone()),
        admin: AdminSettings { listen: admin_listen, token, allowed_hosts: allowed_hosts(file) },
        store: store(file),
        observe: ObserveSettings {
            queue: file.limits.observe_queue,
            queue_bytes: usize::try_from(file.limits.observe_bytes.0).unwrap_or(usize::MAX),
            evaluate_every: file.alerts.evaluate_every.0,
        },
        embedding_cache: llm::embedding_cache(file),
        drill: DrillSettings { enabled: file.drill },
        file: None,
    }
}

impl File {
    /// Whether a token was asked for, valid or not.
    fn auth_is_set(&self) -> bool {
        self.auth.token.is_some() || self.auth.token_file.is_some()
    }
}

fn admin_address<'a>(file: &File, root: &Cursor<'a>) -> (SocketAddr, Cursor<'a>) {
    let at = root.key("admin");
    match &file.admin {
        Admin::Address(address) => (address.0, at),
        Admin::Detail(detail) => (detail.listen.0, at.key("listen")),
    }
}

fn allowed_hosts(file: &File) -> Vec<String> {
    match &file.admin {
        Admin::Address(_) => Vec::new(),
        Admin::Detail(detail) => detail.allowed_hosts.iter().map(|host| host.0.clone()).collect(),
    }
}

fn check_listeners(
    (traffic, listen_at): (SocketAddr, &Cursor<'_>),
    (admin, at): (SocketAddr, &Cursor<'_>),
    context: &mut Context<'_, '_>,
) {
    if traffic.port() != 0 && traffic.port() == admin.port() && overlap(traffic, admin) {
        let message = format!("`admin` and `listen` ask for one address, `{traffic}` and `{admin}`");
        let at = if at.is_set() { at } else { listen_at };
        context.sink.error(at, message).hint("give them different ports");
    }
}

/// Whether two listeners of one port get in each other's way.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
}

fn listener_tls(
    file: &File,
    root: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<gateway::ListenerTls> {
    let tls = file.tls.as_ref()?;
    let at = root.key("tls");
    Some(gateway::ListenerTls {
        cert_file: files::pem(&tls.cert_file, "CERTIFICATE", &at.key("cert_file"), context),
        key_file: files::pem(&tls.key_file, "PRIVATE KEY", &at.key("key_file"), context),
    })
}

fn store(file: &File) -> StoreSettings {
    let detail = file.store.detail();
    let (snapshot_every, keep_history): (Duration, Duration) =
        (detail.snapshot_every.0, detail.keep_history.0);
    StoreSettings { folder: detail.path.0.into(), snapshot_every, keep_history }
}
