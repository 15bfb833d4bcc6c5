//! What the dashboard opens with: every model's state in one document of bounded size.

use std::sync::Arc;

use control::{
    Alert, AlertState, Event, ModelStatus, Policy, Severity, Signal, SignalReading, TrafficReading,
};
use gateway::{CopySnapshot, GatewaySnapshot};
use monitor::{FeatureReading, ModelReadings, ReferenceKind, Verdict, WindowReadings};
use record::Lane;
use serde_json::{Value, json};

use crate::clock::{now_ms, rfc3339};
use crate::health::{self, Facts};
use crate::pairs;
use crate::plane::Plane;
use crate::status;

/// Features of a model, alerts, events and named tenants in the document.
const WORST_MAX: usize = 8;
const ALERTS_MAX: usize = 50;
const EVENTS_MAX: usize = 40;
const TENANTS_MAX: usize = 5;

/// Characters of a text in an event.
const TEXT_CHARS: usize = 300;

/// PSI limits of the rules in force, for colours and lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) amber: f64,
    pub(crate) red: f64,
    pub(crate) critical: f64,
    pub(crate) p95_ms: Option<f64>,
}

/// The lowest limits that the policy has of each severity; where it has none, the usual ones.
pub(crate) fn limits(policy: &Policy) -> Limits {
    let above = |wanted: fn(Signal) -> bool, severity: Option<Severity>| {
        let rules = policy.rules.iter().filter(|rule| severity.is_none_or(|one| rule.severity == one));
        let limits =
            rules.filter(|rule| wanted(rule.condition.signal)).filter_map(|rule| rule.condition.above);
        limits.min_by(f64::total_cmp)
    };
    let is_psi = |signal| matches!(signal, Signal::Psi | Signal::PsiRaw);
    let lowest = |severity| above(is_psi, Some(severity));
    let red = lowest(Severity::Warning).or(lowest(Severity::Critical)).unwrap_or(0.2);
    Limits {
        amber: lowest(Severity::Info).unwrap_or(0.1).min(red),
        red,
        critical: lowest(Severity::Critical).unwrap_or(0.3),
        p95_ms: above(|signal| signal == Signal::LatencyP95, None),
    }
}

/// `GET /api/v1/overview` and each message of `GET /api/v1/stream`.
pub(crate) fn overview(plane: &Plane) -> Value {
    let settings = plane.settings();
    let now = now_ms();
    let (models, alerts, events, red_tenants) = {
        let controller = plane.desk.controller();
        let models = controller.models();
        let red: Vec<usize> = models.iter().map(|model| controller.tenants_red(&model.model)).collect();
        (models, controller.alerts(), controller.events(EVENTS_MAX, None).unwrap_or_default(), red)
    };
    let view = View {
        plane,
        policy: &settings.policy,
        limits: limits(&settings.policy),
        alerts: &alerts,
        traffic: plane.traffic(),
        rates: plane.rates.read(),
    };
    let readings = plane.monitor.readings();
    let described: Vec<Value> = models
        .iter()
        .zip(red_tenants)
        .map(|(model, red)| view.model(model, readings.models.iter().find(|m| m.model == model.model), red))
        .collect();
    let problems = status::problems(plane);
    json!({
        "at": rfc3339(now),
        "measured_at": (readings.at_ms > 0).then(|| rfc3339(readings.at_ms)),
        "version": status::VERSION,
        "started_at": rfc3339(plane.started_ms),
        "ready": problems.is_empty(),
        "problems": problems,
        "configuration": status::configuration(plane),
        "listen": plane.gateway.local_addr().map(|address| address.to_string()),
        "token_required": settings.admin.token.is_some(),
        "limits": {
            "psi_amber": view.limits.amber, "psi_red": view.limits.red, "psi_critical": view.limits.critical,
            "p95_ms": view.limits.p95_ms, "min_requests": settings.policy.min_requests,
            "tenants_red": settings.policy.tenants_red,
        },
        "models": described,
        "alerts": shown_alerts(&alerts),
        "alerts_total": alerts.len(),
        "events": events.iter().map(event).collect::<Vec<_>>(),
    })
}

struct View<'a> {
    plane: &'a Plane,
    policy: &'a Policy,
    limits: Limits,
    alerts: &'a [Alert],
    traffic: GatewaySnapshot,
    rates: Vec<TrafficReading>,
}

impl View<'_> {
    fn model(&self, status: &ModelStatus, read: Option<&ModelReadings>, tenants_red: usize) -> Value {
        let plane = self.plane;
        let settings = plane.settings();
        let configured = settings.models.iter().find(|m| m.name == status.model);
        let measured = plane.measured_version(&status.model, Lane::Prod);
        let shown = measured.as_ref().unwrap_or(&status.active);
        let window = read.and_then(|read| total(read, shown, Lane::Prod));
        let features = window.map(baseline).unwrap_or_default();
        let (red, amber) = self.red_and_amber(&features);
        let is_ours = |alert: &&Alert| alert.labels.get("model").is_some_and(|m| **m == *status.model);
        let alerts: Vec<&Alert> = self.alerts.iter().filter(is_ours).collect();
        let requests = window.map_or(0, |w| w.requests);
        let signals = plane.signals.load();
        let signal = |wanted: Signal| {
            let of_lane = |one: &&SignalReading| {
                one.signal == wanted
                    && one.model == status.model
                    && one.version == *shown
                    && one.lane == Lane::Prod
            };
            signals.iter().filter(of_lane).min_by_key(|one| one.horizon_ms)
        };
        let health = health::judge(&Facts {
            status,
            errors: signal(Signal::ErrorRate),
            silence_s: signal(Signal::NoTraffic).map(|one| one.value),
            alerts: &alerts,
            reference: read.map(|read| &read.reference),
            requests,
            min_requests: self.policy.min_requests,
            features: features.len(),
            amber,
            red,
            misfit: read.and_then(|read| read.fit.as_ref()?.problem()),
        });
        let tenants = read.map_or(0, |read| of_tenants(read, shown, Lane::Prod).count());
        let counted = |state| alerts.iter().filter(|alert| alert.state == state).count();
        let mut out = json!({
            "model": status.model, "active": status.active, "stable": status.stable,
            "configured_active": status.configured_active,
            "versions": configured.map(|m| m.versions.clone()).unwrap_or_default(),
            "measured_version": shown,
            "only_measured": !plane.moves_traffic(&status.model),
            "shadow_percent": status.shadow_percent,
            "shadows": configured.map(|m| status::shadows(plane, m)),
            "auto_rollback": status.auto_rollback, "mode": status.mode, "state": status.state,
            "blocked": status.blocked, "drill": status.drill,
            "cooldown_until": status.cooldown_until_ms.map(rfc3339),
            "rollbacks_in_period": status.rollbacks_in_period,
            "pending_decision": status.pending.as_ref().map(decision),
            "last_decision": status.last.as_ref().map(decision),
            "proposal": status.proposal.as_ref().map(proposal),
            "hold": status::hold(status), "target_trouble": status.target_trouble,
            "reference": read.map(|read| &read.reference),
            "requests": requests,
            "window_size": settings.monitor.iter().find(|m| m.name == status.model).map(|m| m.window),
            "last_request_at": window.map(|w| rfc3339(w.last_at_ms)),
            "tenants": tenants, "tenants_red": tenants_red,
            "features": { "total": features.len(), "red": red, "amber": amber },
            "worst": worst(features),
            "before": read.and_then(|read| self.before(status, read, requests)),
            "alerts": { "firing": counted(AlertState::Firing), "pending": counted(AlertState::Pending) },
            "pairs": pairs::summary(&plane.monitor.pairs(), &status.model),
        });
        out["health"] =
            json!({ "level": health.level, "text": health.text, "since": health.since_ms.map(rfc3339) });
        out["detector"] = window.and_then(|w| w.detector.as_ref()).map(crate::admin::detector::shown).into();
        out["lanes"] = lanes(plane, &status.model, &self.traffic, &self.rates).into();
        out["copies"] = copies_of(&self.traffic, &status.model);
        out
    }

    /// Features above the red limit, and those between amber and red, by more than chance explains.
    fn red_and_amber(&self, features: &[&FeatureReading]) -> (usize, usize) {
        let judged =
            |above: f64| features.iter().filter(move |f| f.psi > above && f.verdict == Verdict::Fail).count();
        let red = judged(self.limits.red);
        (red, judged(self.limits.amber) - red)
    }

    /// What the version showed that clients had before, while the one that they have now can't be judged yet: right after a
    /// rollback its window is empty, and what was wrong is what everybody wants to see.
    fn before(&self, status: &ModelStatus, read: &ModelReadings, requests: u64) -> Option<Value> {
        let last = status.last.as_ref().filter(|last| last.change.to == status.active)?;
        let window = total(read, &last.change.from, Lane::Prod)?;
        if requests > self.policy.min_requests || last.change.from == status.active {
            return None;
        }
        let features = baseline(window);
        let (red, amber) = self.red_and_amber(&features);
        Some(json!({
            "version": last.change.from, "until": rfc3339(last.at_ms), "requests": window.requests,
            "features": { "total": features.len(), "red": red, "amber": amber },
            "worst": worst(features),
        }))
    }
}

/// The window over all tenants.
pub(crate) fn total<'a>(
    read: &'a ModelReadings,
    version: &str,
    lane: Lane,
) -> Option<&'a Arc<WindowReadings>> {
    read.windows.iter().find(|w| &*w.tenant == "all" && *w.version == *version && w.lane == lane)
}

/// The windows of single tenants.
pub(crate) fn of_tenants<'a>(
    read: &'a ModelReadings,
    version: &'a str,
    lane: Lane,
) -> impl Iterator<Item = &'a Arc<WindowReadings>> {
    read.windows.iter().filter(move |w| &*w.tenant != "all" && *w.version == *version && w.lane == lane)
}

/// What is compared with the baseline and has a value.
pub(crate) fn baseline(window: &Arc<WindowReadings>) -> Vec<&FeatureReading> {
    let is_it = |f: &&FeatureReading| f.reference == ReferenceKind::Baseline && f.psi.is_finite();
    window.features.iter().filter(is_it).collect()
}

fn worst(mut features: Vec<&FeatureReading>) -> Vec<Value> {
    features.sort_by(|a, b| b.psi.total_cmp(&a.psi));
    features
        .iter()
        .take(WORST_MAX)
        .map(|f| {
            json!({
                "feature": &*f.feature, "psi": f.psi, "js_divergence": f.js_divergence,
                "psi_critical": f.psi_critical, "n": f.n, "verdict": f.verdict,
                "change": f.change,
            })
        })
        .collect()
}

/// Rates and latencies per version and lane, of those that have either.
pub(crate) fn lanes(
    plane: &Plane,
    model: &str,
    traffic: &GatewaySnapshot,
    rates: &[TrafficReading],
) -> Vec<Value> {
    let latency = plane.latency.load();
    let of_model = traffic.lanes.iter().filter(|lane| lane.model == *model);
    of_model
        .map(|lane| {
            let rate = rates
                .iter()
                .find(|r| *r.model == *lane.model && *r.version == *lane.version && r.lane == lane.lane);
            let times = latency
                .iter()
                .find(|l| *l.model == *lane.model && *l.version == *lane.version && l.lane == lane.lane);
            json!({
                "version": lane.version, "lane": lane.lane,
                "per_second": rate.map_or(0.0, |r| r.per_second),
                "error_rate": rate.map(|r| r.error_rate),
                "requests_total": lane.by_code.iter().map(|(_, n)| n).sum::<u64>(),
                "p50_ms": times.and_then(|l| l.p50_ms),
                "p95_ms": times.and_then(|l| l.p95_ms),
                "p99_ms": times.and_then(|l| l.p99_ms),
            })
        })
        .collect()
}

/// What became of a model's copies; null of a model that makes none.
pub(crate) fn copies_of(traffic: &GatewaySnapshot, model: &str) -> Value {
    traffic
        .copies
        .iter()
        .find(|(name, _)| name == model)
        .map_or(Value::Null, |(_, copies)| copies_json(copies))
}

fn copies_json(copies: &CopySnapshot) -> Value {
    json!({
        "sent": copies.sent, "failed": copies.failed, "timeout": copies.timeout, "dropped": copies.dropped,
        "dropped_by_reason": {
            "queue_full": copies.dropped_queue, "bytes": copies.dropped_bytes,
            "capture_limit": copies.dropped_capture, "circuit_open": copies.dropped_circuit,
            "budget": copies.dropped_budget,
        },
        "logged": copies.logged, "known": copies.known,
    })
}

fn shown_alerts(alerts: &[Alert]) -> Vec<Value> {
    let mut sorted: Vec<&Alert> = alerts.iter().collect();
    sorted.sort_by(|a, b| {
        let rank = |alert: &Alert| (alert.state, alert.severity);
        rank(b).cmp(&rank(a)).then_with(|| b.value.total_cmp(&a.value))
    });
    sorted.iter().take(ALERTS_MAX).map(|alert| alert_row(alert)).collect()
}

fn alert_row(alert: &Alert) -> Value {
    let mut row = status::alert(alert);
    row["tenants"] = json!(alert.tenants.iter().take(TENANTS_MAX).collect::<Vec<_>>());
    row
}

/// A decision without its evidence, which may be long.
pub(crate) fn decision(decision: &control::Decision) -> Value {
    let mut value = status::decision(decision);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("evidence");
    }
    value["reason"] = json!(cut(&decision.reason));
    value
}

/// A rollback that waits for approval, without its evidence.
fn proposal(proposal: &control::Proposal) -> Value {
    json!({
        "id": proposal.id, "from": proposal.from, "to": proposal.to, "reason": cut(&proposal.reason),
        "at": rfc3339(proposal.at_ms), "expires_at": rfc3339(proposal.expires_at_ms),
    })
}

fn event(event: &Event) -> Value {
    let picked = |name: &str| event.data.get(name).filter(|value| !value.is_object()).cloned();
    json!({
        "id": event.id, "at": rfc3339(event.at_ms), "kind": event.kind.as_str(), "model": event.model,
        "actor": cut(&event.actor), "reason": cut(&event.reason),
        "state": picked("state"), "from": picked("from"), "to": picked("to"), "transition": picked("transition"),
    })
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_rules() {
        let policy = config::default_policy();
        let usual = Limits { amber: 0.1, red: 0.2, critical: 0.3, p95_ms: Some(500.0) };
        assert_eq!(limits(&policy), usual);
        let none = Policy { rules: Vec::new(), ..policy };
        assert_eq!(limits(&none), Limits { p95_ms: None, ..usual });
    }
}
