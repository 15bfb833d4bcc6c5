//! Who answers clients, what is red, what a rollback would do.

use serde_json::{Value, json};

use super::Limits;
use crate::export::panels::{Place, now, panel, stat, thresholds, words};

/// What is going on: who answers clients, what is red, what a rollback would do.
pub(super) fn panels(limits: Limits) -> Vec<Value> {
    let fixed = |color: &str| json!({ "defaults": { "color": { "mode": "fixed", "fixedColor": color } }, "overrides": [] });
    let counted = |limits: &Value| json!({ "defaults": { "decimals": 0, "noValue": "0", "thresholds": limits }, "overrides": [] });
    let switch = json!({
        "defaults": {
            "mappings": words(&[("0", "OFF", "orange"), ("1", "ON", "green")]),
            "links": [{ "title": "Switch it in Driftline", "url": "$admin/", "targetBlank": true }],
        },
        "overrides": [],
    });
    let share = json!({
        "defaults": { "unit": "percent", "decimals": 1, "color": { "mode": "fixed", "fixedColor": "blue" } },
        "overrides": [],
    });
    let gauge = json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        "showThresholdLabels": false, "showThresholdMarkers": true, "orientation": "auto", "minVizWidth": 110,
    });
    let dial = json!({
        "defaults": {
            "min": 0, "max": limits.red * 2.5, "decimals": 3, "color": { "mode": "thresholds" }, "thresholds": limits.psi(),
        },
        "overrides": [],
    });
    let red = thresholds("green", &[(1.0, "red")]);
    vec![
        panel(
            "stat",
            "Clients get",
            "The version that answers clients.",
            Place(0, 0, 4, 4),
            &[now("driftline_active_version{model=\"$model\"} == 1", "{{version}}")],
            &stat("name"),
            &fixed("blue"),
        ),
        panel(
            "stat",
            "Auto-rollback",
            "Whether a critical alert rolls back by itself. The link leads to where it is switched.",
            Place(4, 0, 4, 4),
            &[now("driftline_auto_rollback_enabled{model=\"$model\"}", "")],
            &stat("value"),
            &switch,
        ),
        panel(
            "stat",
            "Rollbacks in 24 h",
            "By alert, by hand and by drill.",
            Place(8, 0, 4, 4),
            &[now("round(sum(increase(driftline_rollbacks_total{model=\"$model\"}[24h])))", "")],
            &stat("value"),
            &counted(&red),
        ),
        panel(
            "stat",
            "Alerts firing",
            "Of the embedded rules.",
            Place(12, 0, 4, 4),
            &[now("count(driftline_alert_state{model=\"$model\"} == 2) or vector(0)", "")],
            &stat("value"),
            &counted(&red),
        ),
        panel(
            "stat",
            "Tenants in the red",
            "Tenants whose drift alert condition holds.",
            Place(16, 0, 4, 4),
            &[now("driftline_tenants_red{model=\"$model\"}", "")],
            &stat("value"),
            &counted(&red),
        ),
        panel(
            "stat",
            "Copied to the shadow",
            "Copies sent per request of the last five minutes; below it the configured share.",
            Place(20, 0, 4, 4),
            &[
                now(
                    "100 * sum(rate(driftline_shadow_copies_total{model=\"$model\", result=\"sent\"}[5m])) \
                     / sum(rate(driftline_requests_total{model=\"$model\", lane=\"prod\"}[5m]))",
                    "copied",
                ),
                now("driftline_shadow_percent{model=\"$model\"}", "configured"),
            ],
            &stat("value_and_name"),
            &share,
        ),
        panel(
            "gauge",
            "PSI now",
            "Of the window against its baseline. Red is where the drift alert begins, amber where its trend does.",
            Place(0, 4, 24, 7),
            &[now(
                "max by (feature) (psi{model=\"$model\", version=~\"$version\", lane=\"prod\", tenant=\"$tenant\", \
                   feature=~\"$feature\", reference=\"baseline\"})",
                "{{feature}}",
            )],
            &gauge,
            &dial,
        ),
    ]
}
