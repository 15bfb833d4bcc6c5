//! The running parts as JSON and as metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use control::{Alert, Decision, Event, ModelStatus, Trigger};
use gateway::GatewaySnapshot;
use serde_json::{Value, json};

use crate::clock::{now_ms, rfc3339};
use crate::exposition::{Format, Kind};
use crate::llm;
use crate::metrics_page::{AlertMetrics, MetricsInput, ModelMetrics, render};
use crate::pairs;
use crate::plane::Plane;
use crate::sources::SourceView;

/// A control loop that has not run for this long is dead.
const CONTROL_STUCK_MS: i64 = 10_000;

/// What this build is.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, when the build was told (`DRIFTLINE_REVISION`).
pub(crate) const REVISION: &str = match option_env!("DRIFTLINE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Why the instance is not ready; empty when it is.
pub(crate) fn problems(plane: &Plane) -> Vec<&'static str> {
    [
        (!plane.gateway.is_healthy(), "a thread of the data plane has died"),
        (!plane.monitor.is_healthy(), "the monitor's loop has died or is stuck: drift is not measured"),
        (
            !plane.control_beat.is_alive(now_ms(), CONTROL_STUCK_MS),
            "the control loop has died or is stuck: no rules, no rollback",
        ),
        (plane.stopping.load(Ordering::Relaxed), "the instance is shutting down"),
    ]
    .into_iter()
    .filter_map(|(holds, problem)| holds.then_some(problem))
    .collect()
}

/// `GET /api/v1/status`.
pub(crate) fn status(plane: &Plane) -> Value {
    let settings = plane.settings();
    let readings = plane.monitor.readings();
    let pair_readings = plane.monitor.pairs();
    let problems = problems(plane);
    let (models, alerts) = {
        let controller = plane.desk.controller();
        (controller.models(), controller.alerts())
    };
    let models: Vec<Value> = models
        .iter()
        .map(|status| {
            let configured = settings.models.iter().find(|m| m.name == status.model);
            let read = readings.models.iter().find(|m| m.model == status.model);
            let firing = alerts.iter().filter(|alert| alert.labels.get("model").is_some_and(|m| **m == *status.model));
            let firing: Vec<&str> =
                firing.filter(|alert| alert.state == control::AlertState::Firing).map(|alert| alert.name.as_str()).collect();
            json!({
                "model": status.model,
                "active": status.active,
                "stable": status.stable,
                "configured_active": status.configured_active,
                "versions": configured.map(|m| m.versions.clone()),
                "shadow_percent": status.shadow_percent,
                "shadows": configured.map(|m| shadows(plane, m)),
                "auto_rollback": status.auto_rollback,
                "state": status.state,
                "mode": status.mode,
                "drill": status.drill,
                "blocked": status.blocked,
                "target_trouble": status.target_trouble,
                "rollbacks_in_period": status.rollbacks_in_period,
                "pending_decision": status.pending.as_ref().map(decision),
                "last_decision": status.last.as_ref().map(decision),
                "cooldown_until": status.cooldown_until_ms.map(rfc3339),
                "hold": hold(status),
                "proposal": status.proposal.as_ref().map(proposal),
                "alerts_firing": firing,
                "reference": read.map(|m| &m.reference),
                "fit": read.and_then(|m| m.fit.as_ref()),
                "not_armed": read.and_then(|m| m.fit.as_ref()?.problem()),
                "not_judged": read.map(not_judged),
                "rows": read.map(|m| m.rows),
                "pairs": pairs::summary(&pair_readings, &status.model),
                "latency": plane.latency.load().iter().filter(|l| l.model == status.model).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "version": VERSION,
        "revision": REVISION,
        "started_at": rfc3339(plane.started_ms),
        "uptime_seconds": (now_ms() - plane.started_ms).max(0) / 1000,
        "listen": plane.gateway.local_addr().map(|address| address.to_string()),
        "ready": problems.is_empty(),
        "problems": problems,
        "configuration": configuration(plane),
        "drill_enabled": settings.drill.enabled,
        "sources": source_views(plane).iter().map(source).collect::<Vec<_>>(),
        "notifiers": plane.hub.status().iter().map(notifier).collect::<Vec<_>>(),
        "models": models,
    })
}

/// The configuration's file, and whether its last reading went well.
pub(crate) fn configuration(plane: &Plane) -> Value {
    json!({
        "file": plane.config_file.as_ref().map(|file| file.display().to_string()),
        "last_reload_ok": plane.reload.last_ok.load(Ordering::Relaxed),
        "message": plane.reload.message.load().as_str(),
    })
}

/// The configured sources, and the receivers that are counted like one.
fn source_views(plane: &Plane) -> Vec<SourceView> {
    let mut views = plane.sources.views();
    views.extend(plane.fluentbit.view());
    views
}

fn source(view: &SourceView) -> Value {
    let rejected: serde_json::Map<String, Value> = view
        .status
        .rejected
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| ((*reason).to_owned(), json!(count)))
        .collect();
    json!({
        "source": view.name,
        "kind": view.kind,
        "state": view.status.state.as_str(),
        "counted": view.status.accepted,
        "rejected": rejected,
        "bytes": view.status.bytes,
        "errors": view.status.errors,
        "lag": view.status.lag,
    })
}

/// Who holds a model where it is.
pub(crate) fn hold(status: &control::ModelStatus) -> Option<Value> {
    let hold = status.hold.as_ref()?;
    Some(json!({
        "by": hold.by, "reason": hold.reason, "since": rfc3339(hold.since_ms),
        "until": status.hold_until_ms.map(rfc3339),
    }))
}

/// A rollback that waits for approval.
fn proposal(one: &control::Proposal) -> Value {
    json!({
        "id": one.id, "from": one.from, "to": one.to, "reason": one.reason, "at": rfc3339(one.at_ms),
        "expires_at": rfc3339(one.expires_at_ms), "state": one.state, "evidence": one.evidence,
    })
}

fn notifier(one: &actions::NotifierStatus) -> Value {
    json!({
        "notifier": one.name, "kind": one.kind, "up": one.up, "sent": one.sent, "failed": one.failed,
        "dropped": one.dropped, "waiting": one.waiting,
    })
}

/// A model's shadows: what each does, and how large its share is now.
pub(crate) fn shadows(plane: &Plane, model: &config::ModelSettings) -> Vec<Value> {
    let changed = plane.routing.standing(&model.name).and_then(|standing| standing.shadow_percent);
    let accounts = plane.ledger.accounts(now_ms());
    let budget = |version: &Option<Arc<str>>| {
        let is_it = |of: &Arc<str>, v: &Arc<str>| *of == model.name && Some(v) == version.as_ref();
        let (_, account) = accounts.iter().find(|((of, v), _)| is_it(of, v))?;
        Some(llm::metrics::account(account))
    };
    model
        .shadows
        .iter()
        .map(|shadow| {
            json!({
                "mode": if shadow.noise || shadow.version.is_some() { "copy" } else { "log-only" },
                "role": if shadow.noise { "noise" } else { "candidate" },
                "version": shadow.version,
                "percent": match changed {
                    Some(percent) if !shadow.noise || percent == 0.0 => percent,
                    _ => shadow.percent,
                },
                "budget": budget(&shadow.version),
            })
        })
        .collect()
}

/// Features that are not judged, and why.
pub(crate) fn not_judged(model: &monitor::ModelReadings) -> Vec<&monitor::FeatureState> {
    model.features.iter().filter(|feature| feature.reason != "judged").collect()
}

/// One alert of `GET /api/v1/alerts`.
pub(crate) fn alert(alert: &Alert) -> Value {
    json!({
        "alert": alert.name,
        "severity": alert.severity.as_str(),
        "state": alert.state,
        "since": rfc3339(alert.since_ms),
        "value": alert.value,
        "measure": alert.measure,
        "value_text": alert.measure.show(alert.value),
        "labels": alert.labels,
        "tenants": alert.tenants,
        "tenants_red": alert.tenants_red,
        "n": alert.n,
        "stale": alert.stale,
        "annotations": alert.annotations,
        "fingerprint": alert.fingerprint,
    })
}

/// One event of `GET /api/v1/events`.
pub(crate) fn event(event: &Event) -> Value {
    json!({
        "id": event.id,
        "at": rfc3339(event.at_ms),
        "kind": event.kind.as_str(),
        "model": event.model,
        "actor": event.actor,
        "reason": event.reason,
        "data": event.data,
    })
}

/// A decision, with what it rests on.
pub(crate) fn decision(decision: &Decision) -> Value {
    json!({
        "id": decision.id,
        "at": rfc3339(decision.at_ms),
        "kind": decision.kind.as_str(),
        "trigger": decision.trigger.as_str(),
        "model": decision.change.model,
        "from": decision.change.from,
        "to": decision.change.to,
        "actor": decision.actor,
        "reason": decision.reason,
        "state": decision.state.as_str(),
        "detail": decision.detail,
        "applied_at": decision.applied_at_ms.map(rfc3339),
        "evidence": decision.evidence,
    })
}

/// `GET /metrics`.
pub(crate) fn metrics(plane: &Plane, format: Format) -> String {
    let readings = plane.monitor.readings();
    let settings = plane.settings();
    let (models, alerts) = {
        let controller = plane.desk.controller();
        let models =
            controller.models().iter().map(|status| model_metrics(status, &controller, &settings)).collect();
        let alerts =
            controller.alert_states().into_iter().map(|(alert, model, severity, state)| AlertMetrics {
                alert,
                model: model.to_string(),
                severity: severity.as_str(),
                state: state.number(),
            });
        (models, alerts.collect())
    };
    let gateway = plane.traffic();
    let input = MetricsInput {
        readings: &readings,
        signals: &plane.signals.load(),
        horizon_ms: settings.policy.latency_horizon_ms.max(1_000),
        reads: plane.observed.reads(),
        pairs: &plane.monitor.pairs(),
        models,
        alerts,
        dropped: dropped(plane),
        refused: plane.refused.counts().collect(),
        sources: source_views(plane),
        sinks: plane.logs.status(),
        notifiers: plane.hub.status(),
        actuators: plane.desk.counts(),
        accounts: plane.ledger.accounts(now_ms()),
        embeddings: plane.embeddings.as_ref().map(|cache| (cache.snapshot(), cache.unlearned())),
        own: own_figures(plane, &gateway),
        version: VERSION,
        revision: REVISION,
        gateway,
    };
    render(&input, format)
}

fn model_metrics(
    status: &ModelStatus,
    controller: &control::Controller,
    settings: &config::Settings,
) -> ModelMetrics {
    let versions = settings.models.iter().find(|m| m.name == status.model).map(|m| &m.versions);
    ModelMetrics {
        model: status.model.to_string(),
        versions: versions
            .map(|versions| versions.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        active: status.active.to_string(),
        stable: status.stable.to_string(),
        shadow_percent: status.shadow_percent,
        auto_rollback: status.auto_rollback,
        tenants_red: controller.tenants_red(&status.model),
        rollbacks: rollbacks(controller, &status.model),
    }
}

fn rollbacks(controller: &control::Controller, model: &str) -> Vec<(&'static str, u64)> {
    let totals = controller.rollbacks_total();
    Trigger::ALL
        .into_iter()
        .map(|trigger| (trigger.as_str(), totals.get(&(model.to_owned(), trigger)).copied().unwrap_or(0)))
        .collect()
}

fn dropped(plane: &Plane) -> Vec<(String, String, u64)> {
    let intake =
        plane.intake.dropped().into_iter().map(|(model, reason, count)| (model, reason.to_owned(), count));
    let readings = plane.monitor.readings();
    let decoded = readings.models.iter().flat_map(|model| {
        model.dropped.iter().map(|(reason, count)| (model.model.to_string(), (*reason).to_owned(), *count))
    });
    // Both know retries: answers that came twice before they were joined, and requests that were counted before.
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (model, reason, count) in intake.chain(decoded) {
        *sums.entry((model, reason)).or_default() += count;
    }
    sums.into_iter().map(|((model, reason), count)| (model, reason, count)).collect()
}

/// The process's own figures: name, kind, help, value.
fn own_figures(plane: &Plane, gateway: &GatewaySnapshot) -> Vec<(&'static str, Kind, &'static str, f64)> {
    use Kind::{Counter, Gauge};
    let reload = &plane.reload;
    vec![
        ("driftline_intake_depth", Gauge, "Exchanges waiting to be observed.", plane.intake.len() as f64),
        (
            "driftline_intake_capacity",
            Gauge,
            "Places for exchanges that wait.",
            plane.intake.capacity() as f64,
        ),
        ("driftline_intake_bytes", Gauge, "Bytes held by exchanges that wait.", plane.intake.bytes() as f64),
        (
            "driftline_monitor_memory_bytes",
            Gauge,
            "Estimate of what windows and references hold.",
            plane.monitor.memory_bytes() as f64,
        ),
        (
            "driftline_evaluation_seconds",
            Gauge,
            "Time of the last evaluation of every window.",
            plane.monitor.evaluation_us() as f64 / 1e6,
        ),
        (
            "driftline_panics_total",
            Counter,
            "Panics that were caught.",
            (gateway.panics + plane.monitor.panics()) as f64,
        ),
        ("driftline_connections", Gauge, "Open client connections.", gateway.connections as f64),
        (
            "driftline_tunnels",
            Gauge,
            "Open WebSockets: passed through, neither copied nor measured.",
            gateway.tunnels as f64,
        ),
        (
            "driftline_tunnels_total",
            Counter,
            "WebSockets that were ever opened.",
            gateway.tunnels_total as f64,
        ),
        (
            "driftline_unrouted_total",
            Counter,
            "Requests that no model's route took.",
            gateway.unrouted as f64,
        ),
        (
            "driftline_history_errors_total",
            Counter,
            "Points of the history that could not be written.",
            plane.history_errors.load(Ordering::Relaxed) as f64,
        ),
        (
            "driftline_history_dropped_total",
            Counter,
            "Points not kept because there are too many series.",
            plane.history_dropped.load(Ordering::Relaxed) as f64,
        ),
        (
            "driftline_alerts_untold_total",
            Counter,
            "Alerts that no notifier was told because there are too many groups.",
            plane.hub.refused() as f64,
        ),
        (
            "driftline_journal_errors_total",
            Counter,
            "Journal entries that could not be written.",
            plane.desk.journal_errors() as f64,
        ),
        (
            "driftline_config_reloads_total",
            Counter,
            "Configurations put in force since the start.",
            reload.reloads.load(Ordering::Relaxed) as f64,
        ),
        (
            "driftline_config_last_reload_successful",
            Gauge,
            "0 when the configuration file has problems.",
            f64::from(u8::from(reload.last_ok.load(Ordering::Relaxed))),
        ),
        (
            "driftline_uptime_seconds",
            Gauge,
            "Time since the start.",
            (now_ms() - plane.started_ms).max(0) as f64 / 1000.0,
        ),
    ]
}
