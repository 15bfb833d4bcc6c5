//! A changed configuration: checked as a whole, then put in force without dropping a request, or not at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use config::Settings;
use control::EventKind;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::keep_history_ms;
use crate::clock::now_ms;
use crate::desk::standings;
use crate::monitor_loop::{Command, LoopSettings};
use crate::outside;
use crate::plane::Plane;

/// How often the file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Why a reload did not happen; the old configuration is in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("this instance was started without a configuration file; there is nothing to read again")]
    NoFile,
    #[error("the configuration in force stays; the file has problems:\n{0}")]
    Problems(String),
    #[error("the configuration in force stays: {0}")]
    Refused(String),
}

/// What a reload did.
#[derive(Debug)]
pub(crate) struct ReloadReport {
    /// Warnings of the new configuration.
    pub(crate) warnings: Vec<String>,
    /// Settings that changed in the file and need a restart.
    pub(crate) needs_restart: Vec<&'static str>,
}

/// Reads the file again and puts it in force.
pub(crate) async fn reload(plane: &Plane, actor: &str) -> Result<ReloadReport, ReloadError> {
    let _one_at_a_time = plane.reload.lock.lock().await;
    let outcome = try_reload(plane, actor);
    match &outcome {
        Ok(report) => {
            plane.reload.reloads.fetch_add(1, Ordering::Relaxed);
            plane.reload.last_ok.store(true, Ordering::Relaxed);
            plane.reload.last_ok_ms.store(now_ms(), Ordering::Relaxed);
            plane.reload.message.store(Arc::new(String::new()));
            tracing::info!(actor, warnings = report.warnings.len(), "configuration reloaded");
            if !report.needs_restart.is_empty() {
                tracing::warn!(keys = ?report.needs_restart, "these changes need a restart");
            }
        }
        Err(error) => {
            plane.reload.last_ok.store(false, Ordering::Relaxed);
            plane.reload.message.store(Arc::new(error.to_string()));
            tracing::error!(actor, %error, "configuration not reloaded");
        }
    }
    outcome
}

fn try_reload(plane: &Plane, actor: &str) -> Result<ReloadReport, ReloadError> {
    let file = plane.config_file.as_deref().ok_or(ReloadError::NoFile)?;
    let loaded = config::load(file, &|name| std::env::var(name).ok())
        .map_err(|problems| ReloadError::Problems(problems.to_string()))?;
    let old = plane.settings();
    let new = match old.gateway.listen {
        Some(_) => loaded.settings,
        None => loaded.settings.without_traffic(),
    };
    let needs_restart = restart_keys(&old, &new);
    put_in_force(plane, &new, actor).map_err(ReloadError::Refused)?;
    plane.settings.store(Arc::new(new));
    Ok(ReloadReport { warnings: loaded.warnings.iter().map(ToString::to_string).collect(), needs_restart })
}

/// Policy first, then routes, then windows. Routes can be refused (a certificate that is gone, say): then the policy goes
/// back to the old one.
fn put_in_force(plane: &Plane, new: &Settings, actor: &str) -> Result<(), String> {
    let now = now_ms();
    let standings = {
        let mut controller = plane.desk.controller();
        controller.configure(new.policy.clone(), now).map_err(|error| error.to_string())?;
        controller.store_mut().set_keep_history(keep_history_ms(new));
        standings(&controller)
    };
    if let Err(error) = plane.routing.configure(new.routes.clone(), standings.clone()) {
        let old = plane.settings();
        let back = plane.desk.controller().configure(old.policy.clone(), now);
        if let Err(back) = back {
            tracing::error!(error = %back, "the old policy could not be put back");
        }
        return Err(error.to_string());
    }
    if let Err(error) = plane.logs.apply(&new.logs) {
        tracing::error!(%error, "a part of the inference log did not start; reload once more");
    }
    plane.sources.configure(new.sources.clone());
    plane.hub.configure(new.notify.clone(), new.grouping);
    plane.desk.configure(outside::actuators(new));
    plane.trainers.store(Arc::new(outside::trainers(new)));
    plane.ledger.configure(&new.models);
    plane.intake.add_models(new.models.iter().map(|model| &*model.name));
    let command = Command::Configure { specs: new.monitor.clone(), settings: LoopSettings::from(new) };
    plane.monitor.deliver(command);
    for (model, standing) in standings {
        plane.monitor.deliver(Command::SetActive { model, version: standing.active });
    }
    let data =
        serde_json::json!({ "models": new.models.iter().map(|model| &*model.name).collect::<Vec<_>>() });
    plane.desk.controller().record_event(
        EventKind::Reload,
        None,
        actor,
        "configuration read again",
        data,
        now,
    );
    Ok(())
}

/// What can't change in a running process.
fn restart_keys(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (a, b) = (&old.gateway, &new.gateway);
    let queue = |settings: &Settings| (settings.observe.queue, settings.observe.queue_bytes);
    [
        ("listen", a.listen != b.listen),
        ("tls", a.tls != b.tls),
        ("workers", a.workers != b.workers),
        ("limits", a.limits != b.limits || queue(old) != queue(new)),
        ("admin", old.admin.listen != new.admin.listen),
        ("embedding_cache", old.embedding_cache != new.embedding_cache),
        ("store", old.store.folder != new.store.folder),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

/// Every SIGHUP from now on, none of which ends the process any more.
pub(crate) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reloads when the file's content changes or SIGHUP comes, until `stop` turns true.
pub(crate) async fn watch(plane: Arc<Plane>, mut hangups: Signal, mut stop: watch::Receiver<bool>) {
    // Without a file SIGHUP must not end the process either: it is answered with a log line.
    let file = plane.config_file.clone();
    let stamp = || file.as_deref().and_then(stamp);
    let mut seen = stamp();
    let mut tick = tokio::time::interval(WATCH_EVERY);
    loop {
        let by_hand = tokio::select! {
            _ = stop.changed() => return,
            _ = hangups.recv() => true,
            _ = tick.tick() => false,
        };
        let current = stamp();
        if !by_hand && current == seen {
            continue;
        }
        // A file that is gone for a moment is being replaced; a SIGHUP wants to hear about it all the same.
        if !by_hand && current.is_none() {
            continue;
        }
        seen = current;
        let actor = if by_hand { "sighup" } else { "file" };
        // The outcome is in the log, the metric and the audit trail.
        drop(reload(&plane, actor).await);
    }
}

/// Enough to notice that the file is another one.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
