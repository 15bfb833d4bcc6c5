//! What the demo knows of the instance: nothing but what its admin API tells anybody.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::admin_client::AdminClient;

/// The version whose traffic drifts, and the one it is sent back to.
pub(super) const NEW: &str = "v2";
pub(super) const STABLE: &str = "v1";

/// Translates the instance's times into the program's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    unix_ms: i64,
}

impl Clock {
    pub(super) fn new(instant: Instant, unix_ms: i64) -> Self {
        Self { instant, unix_ms }
    }

    /// The instant of an RFC 3339 time; `None` when it is none.
    fn read(&self, time: &Value) -> Option<Instant> {
        let unix_ms = time.as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        let distance = Duration::from_millis(unix_ms.abs_diff(self.unix_ms));
        if unix_ms >= self.unix_ms {
            self.instant.checked_add(distance)
        } else {
            self.instant.checked_sub(distance)
        }
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AlertView {
    pub(super) name: String,
    pub(super) is_critical: bool,
    pub(super) is_firing: bool,
    pub(super) since: Instant,
    pub(super) version: String,
    pub(super) feature: Option<String>,
    /// Of a latency.
    pub(super) is_time: bool,
    /// PSI of the worst red tenant, or p95 in milliseconds.
    pub(super) value: f64,
    pub(super) tenants: Vec<String>,
}

/// One feature of the new version's window over all tenants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FeatureView {
    pub(super) name: String,
    pub(super) psi: f64,
}

/// Latency of a version's lane over the horizon.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LatencyView {
    pub(super) version: String,
    pub(super) lane: String,
    pub(super) p95_ms: Option<f64>,
}

/// A rollback or promotion.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DecisionView {
    pub(super) id: i64,
    pub(super) at: Instant,
    pub(super) to: String,
    pub(super) trigger: String,
    pub(super) reason: String,
}

/// The instance at an instant.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// The version that clients get.
    pub(super) active: String,
    pub(super) alerts: Vec<AlertView>,
    /// Rows in the new version's window over all tenants.
    pub(super) requests: u64,
    /// When the window was read.
    pub(super) read_at: Option<Instant>,
    pub(super) features: Vec<FeatureView>,
    pub(super) latencies: Vec<LatencyView>,
    pub(super) last_decision: Option<DecisionView>,
}

impl View {
    /// The highest PSI.
    pub(super) fn worst(&self) -> Option<&FeatureView> {
        self.features.iter().max_by(|a, b| a.psi.total_cmp(&b.psi))
    }

    /// 95th percentile of a version's answers as the gateway measures it, milliseconds.
    pub(super) fn p95_ms(&self, version: &str, lane: &str) -> Option<f64> {
        self.latencies.iter().find(|one| one.version == version && one.lane == lane)?.p95_ms
    }
}

/// Asks the instance.
#[derive(Debug)]
pub(super) struct Watcher {
    admin: AdminClient,
    clock: Clock,
}

impl Watcher {
    pub(super) fn new(admin: AdminClient, clock: Clock) -> Self {
        Self { admin, clock }
    }

    /// Status, alerts and drift.
    pub(super) async fn look(&self) -> anyhow::Result<View> {
        let status = self.admin.get("/api/v1/status").await?;
        let alerts = self.admin.get("/api/v1/alerts").await?;
        let drift = self.admin.get(&format!("/api/v1/models/flights/drift?version={NEW}")).await?;
        Ok(view(&self.clock, &status, &alerts, &drift))
    }

    /// Rows in the new version's window of one tenant.
    pub(super) async fn rows_of(&self, tenant: &str) -> anyhow::Result<u64> {
        let path = format!("/api/v1/models/flights/drift?version={NEW}&tenant={tenant}");
        Ok(self.admin.get(&path).await?["requests"].as_u64().unwrap_or(0))
    }
}

fn view(clock: &Clock, status: &Value, alerts: &Value, drift: &Value) -> View {
    let model = &status["models"][0];
    let features = list(&drift["features"]).filter(|feature| feature["reference"] == "baseline");
    View {
        active: text(&model["active"]),
        alerts: list(&alerts["alerts"]).filter_map(|alert| alert_view(clock, alert)).collect(),
        requests: drift["requests"].as_u64().unwrap_or(0),
        read_at: clock.read(&drift["at"]),
        features: features
            .filter_map(|one| Some(FeatureView { name: text(&one["feature"]), psi: one["psi"].as_f64()? }))
            .collect(),
        latencies: list(&model["latency"])
            .map(|one| LatencyView {
                version: text(&one["version"]),
                lane: text(&one["lane"]),
                p95_ms: one["p95_ms"].as_f64(),
            })
            .collect(),
        last_decision: decision_view(clock, &model["last_decision"]),
    }
}

fn alert_view(clock: &Clock, alert: &Value) -> Option<AlertView> {
    let is_firing = alert["state"] == "firing";
    (is_firing || alert["state"] == "pending").then_some(())?;
    Some(AlertView {
        name: text(&alert["alert"]),
        is_critical: alert["severity"] == "critical",
        is_firing,
        since: clock.read(&alert["since"])?,
        version: text(&alert["labels"]["version"]),
        feature: alert["labels"]["feature"].as_str().map(str::to_owned),
        is_time: alert["measure"] == "latency_p95",
        value: alert["value"].as_f64().unwrap_or(f64::NAN),
        tenants: list(&alert["tenants"]).map(text).collect(),
    })
}

fn decision_view(clock: &Clock, decision: &Value) -> Option<DecisionView> {
    Some(DecisionView {
        id: decision["id"].as_i64()?,
        at: clock.read(&decision["at"])?,
        to: text(&decision["to"]),
        trigger: text(&decision["trigger"]),
        reason: text(&decision["reason"]),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_the_api_are_read() {
        let start = Instant::now();
        let clock = Clock::new(start, 1_000_000);
        let status = json!({ "models": [{
            "model": "flights", "active": "v2",
            "latency": [{ "model": "flights", "version": "v2", "lane": "prod", "p95_ms": 531.5 },
                        { "model": "flights", "version": "v1", "lane": "shadow", "p95_ms": null }],
            "last_decision": { "id": 3, "at": "1970-01-01T00:16:41Z", "to": "v1", "trigger": "alert", "reason": "r" },
        }] });
        let alerts = json!({ "alerts": [
            { "alert": "FeaturePSICritical", "severity": "critical", "state": "firing", "since": "1970-01-01T00:16:42.5Z", "value": 0.52,
              "labels": { "version": "v2", "feature": "temp" }, "tenants": ["acme", "globex"] },
            { "alert": "PSIAmber", "severity": "info", "state": "inactive", "since": "1970-01-01T00:16:42Z", "labels": {} },
        ] });
        let drift = json!({ "requests": 900, "at": "1970-01-01T00:16:39Z", "features": [
            { "feature": "temp", "reference": "baseline", "psi": 0.4 },
            { "feature": "temp", "reference": "prod", "psi": 9.0 },
            { "feature": "hour", "reference": "baseline", "psi": 0.01 },
        ] });
        let view = view(&clock, &status, &alerts, &drift);
        assert_eq!((view.active.as_str(), view.requests), ("v2", 900));
        assert_eq!(view.read_at, start.checked_sub(Duration::from_secs(1)));
        assert_eq!(view.worst().map(|worst| (worst.name.as_str(), worst.psi)), Some(("temp", 0.4)));
        assert_eq!((view.p95_ms("v2", "prod"), view.p95_ms("v1", "shadow")), (Some(531.5), None));
        assert_eq!(
            view.last_decision.as_ref().map(|one| (one.id, one.at)),
            Some((3, start + Duration::from_secs(1)))
        );
        let [alert] = view.alerts.as_slice() else { panic!("{:?}", view.alerts) };
        assert!(alert.is_firing && alert.is_critical);
        assert_eq!(alert.since, start + Duration::from_millis(2_500));
        assert_eq!((alert.feature.as_deref(), alert.value, alert.tenants.len()), (Some("temp"), 0.52, 2));
    }

    #[test]
    fn an_empty_answer_is_an_empty_view() {
        let view = view(&Clock::new(Instant::now(), 0), &json!({}), &json!({}), &Value::Null);
        assert_eq!((view.active.as_str(), view.requests, view.alerts.len()), ("", 0, 0));
    }
}
