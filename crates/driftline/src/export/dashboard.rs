//! The dashboard for Grafana. Its colours begin where the policy's rules do.

mod drift;
mod overview;
mod traffic;

use control::{Policy, Severity, Signal};
use serde_json::{Value, json};

use super::panels::{source, thresholds};

/// Where colours begin: from the policy's rules, or where it has none from the usual ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limits {
    amber: f64,
    red: f64,
    slow_ms: f64,
}

impl Limits {
    fn of(policy: &Policy) -> Self {
        let lowest = |wanted: fn(Signal, Severity) -> bool| {
            let rules = policy.rules.iter().filter(|rule| wanted(rule.condition.signal, rule.severity));
            rules.filter_map(|rule| rule.condition.above).min_by(f64::total_cmp)
        };
        let amber = lowest(|signal, severity| {
            matches!(signal, Signal::Psi | Signal::PsiRaw) && severity == Severity::Info
        });
        let red = lowest(|signal, severity| {
            matches!(signal, Signal::Psi | Signal::PsiRaw) && severity != Severity::Info
        });
        let slow = lowest(|signal, _| signal == Signal::LatencyP95);
        Self { amber: amber.unwrap_or(0.1), red: red.unwrap_or(0.2), slow_ms: slow.unwrap_or(500.0) }
    }

    fn psi(self) -> Value {
        let amber = Some((self.amber, "orange")).filter(|_| self.amber < self.red);
        let steps: Vec<_> = amber.into_iter().chain([(self.red, "red")]).collect();
        thresholds("green", &steps)
    }
}

/// The dashboard's file. The same policy gives the same text.
pub(super) fn dashboard_json(policy: &Policy) -> String {
    let limits = Limits::of(policy);
    let mut panels = overview::panels(limits);
    panels.extend(drift::panels(limits));
    panels.extend(traffic::panels(limits));
    panels.extend(traffic::health());
    panels.push(traffic::logs());
    for (panel, id) in panels.iter_mut().zip(1..) {
        panel["id"] = Value::from(id);
    }
    let text = json!({
        "uid": "driftline", "title": "Driftline", "tags": ["driftline"], "schemaVersion": 39, "version": 1,
        "editable": true, "graphTooltip": 1, "refresh": "10s", "timezone": "browser",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": variables() },
        "annotations": { "list": annotations() },
        "links": [{
            "title": "Driftline", "type": "link", "icon": "external link", "url": "$admin/", "targetBlank": true,
            "tooltip": "Driftline's own dashboard: switch automatic rollback, roll back, promote",
            "asDropdown": false, "includeVars": false, "keepTime": false, "tags": [],
        }],
        "panels": panels,
    });
    format!("{text:#}\n")
}

fn variables() -> Value {
    let choose = |kind: &str| json!({ "name": kind, "label": kind, "type": "datasource", "query": kind, "hide": 2, "refresh": 1 });
    let query = |name: &str, text: &str, several: bool| {
        let mut variable = json!({
            "name": name, "label": name, "type": "query", "datasource": source("prometheus"),
            "query": { "query": text, "refId": name }, "refresh": 2, "sort": 1,
            "multi": several, "includeAll": several,
        });
        if several {
            variable["allValue"] = json!(".*");
            variable["current"] = json!({ "text": ["All"], "value": ["$__all"] });
        }
        variable
    };
    let mut tenant = query("tenant", "label_values(requests{model=\"$model\"}, tenant)", false);
    tenant["current"] = json!({ "text": "all", "value": "all" });
    json!([
        choose("prometheus"),
        choose("loki"),
        query("model", "label_values(requests, model)", false),
        query("version", "label_values(requests{model=\"$model\"}, version)", true),
        tenant,
        query("feature", "label_values(psi{model=\"$model\", tenant=\"$tenant\"}, feature)", true),
        {
            "name": "admin", "label": "Driftline's address", "type": "textbox", "query": "http://localhost:9464",
            "current": { "text": "http://localhost:9464", "value": "http://localhost:9464" }, "hide": 0,
        },
    ])
}

fn annotations() -> Value {
    json!([
        {
            "name": "Rollbacks", "enable": true, "iconColor": "red", "datasource": source("prometheus"),
            "expr": "sum by (model, trigger) (increase(driftline_rollbacks_total{model=\"$model\"}[1m])) > 0",
            "titleFormat": "Rollback of {{model}}", "textFormat": "set off by: {{trigger}}", "tagKeys": "trigger",
        },
        {
            "name": "Active version", "enable": true, "iconColor": "blue", "datasource": source("prometheus"),
            "expr": "max by (model, version) (changes(driftline_active_version{model=\"$model\"}[1m]) > 0) \
                     and on (model, version) (driftline_active_version == 1)",
            "titleFormat": "{{model}}: clients get {{version}}", "textFormat": "", "tagKeys": "version",
        },
    ])
}
