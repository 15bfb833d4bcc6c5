//! Drift by feature and tenant, and the alerts.

use serde_json::{Value, json};

use super::Limits;
use crate::export::panels::{Place, Query, Shape, drawn, lines, over_time, panel, row, thresholds, words};

/// Drift.
pub(super) fn panels(limits: Limits) -> Vec<Value> {
    let heat = json!({
        "calculate": false, "rowsFrame": { "layout": "auto", "value": "JS" },
        "yAxis": { "axisPlacement": "left", "reverse": false }, "cellGap": 1, "cellValues": { "decimals": 3 },
        "color": {
            "mode": "scheme", "scheme": "RdYlGn", "reverse": true, "steps": 64, "min": 0, "max": 0.2, "exponent": 0.5,
            "fill": "dark-orange", "scale": "exponential",
        },
        "showValue": "never", "filterValues": { "le": -1e9 }, "legend": { "show": true },
        "tooltip": { "mode": "single", "yHistogram": false }, "exemplars": { "color": "rgba(255,0,255,0.7)" },
    });
    let heat_fields = json!({
        "defaults": { "custom": {
            "hideFrom": { "legend": false, "tooltip": false, "viz": false }, "scaleDistribution": { "type": "linear" },
        } },
        "overrides": [],
    });
    let selected = "model=\"$model\", version=~\"$version\", lane=\"prod\", tenant=\"$tenant\", feature=~\"$feature\", reference=\"baseline\"";
    let psi = format!("max by (feature) (psi{{{selected}}})");
    let critical = format!("max(driftline_psi_critical{{{selected}}})");
    let js = format!("max by (feature) (js_divergence{{{selected}}})");
    let tenants = format!(
        "topk(20, max by (tenant, feature) (psi{{model=\"$model\", version=~\"$version\", lane=\"prod\", tenant!=\"all\", \
         feature=~\"$feature\", reference=\"baseline\"}}) > {}) or topk(20, max by (tenant, feature) (psi{{model=\"$model\", \
         version=~\"$version\", lane=\"prod\", tenant!=\"all\", feature=~\"$feature\", reference=\"baseline\"}}))",
        limits.red
    );
    vec![
        row("Drift", 11),
        panel(
            "heatmap",
            "Jensen-Shannon divergence per feature",
            "0 is alike, 1 has nothing in common.",
            Place(0, 12, 12, 9),
            &[over_time(&js, "{{feature}}")],
            &heat,
            &heat_fields,
        ),
        panel(
            "timeseries",
            "PSI per feature",
            "The dashed lines are the alerts' thresholds; what chance alone makes of a window of this size is `by chance`.",
            Place(12, 12, 12, 9),
            &[over_time(&psi, "{{feature}}"), over_time(&critical, "by chance")],
            &lines(),
            &drawn("short", &limits.psi(), false),
        ),
        panel(
            "table",
            "Tenants in the red",
            "Tenants and features above the threshold; while there are none, those nearest to it.",
            Place(0, 21, 12, 8),
            &[Query { expr: &tenants, legend: "", shape: Shape::Table }],
            &json!({
                "showHeader": true, "cellHeight": "sm", "sortBy": [{ "displayName": "PSI", "desc": true }],
            }),
            &json!({ "defaults": { "custom": { "align": "auto", "filterable": true } }, "overrides": [{
                "matcher": { "id": "byName", "options": "Value" },
                "properties": [
                    { "id": "displayName", "value": "PSI" }, { "id": "decimals", "value": 3 },
                    { "id": "thresholds", "value": limits.psi() },
                    { "id": "custom.cellOptions", "value": { "type": "color-background", "mode": "basic" } },
                ],
            }, {
                "matcher": { "id": "byName", "options": "Time" },
                "properties": [{ "id": "custom.hidden", "value": true }],
            }] }),
        ),
        panel(
            "state-timeline",
            "Alerts",
            "The embedded rules, evaluated by Driftline itself.",
            Place(12, 21, 12, 8),
            &[over_time(
                "max by (alert, severity) (driftline_alert_state{model=\"$model\"})",
                "{{alert}} ({{severity}})",
            )],
            &json!({
                "showValue": "never", "rowHeight": 0.8, "mergeValues": true, "alignValue": "left",
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true }, "tooltip": { "mode": "single", "sort": "none" },
            }),
            &json!({
                "defaults": {
                    "mappings": words(&[("0", "inactive", "transparent"), ("1", "pending", "orange"), ("2", "firing", "red")]),
                    "custom": { "fillOpacity": 80, "lineWidth": 0 },
                },
                "overrides": [],
            }),
        ),
        evidence(),
    ]
}

/// The sequential detector's way to its alarm.
fn evidence() -> Value {
    let watched = "model=\"$model\", version=~\"$version\", lane=\"prod\", tenant=\"$tenant\"";
    let ratio = format!("clamp_max(max by (version) (driftline_detector_evidence_ratio{{{watched}}}), 2)");
    let size = format!("max by (version) (driftline_detector_psi{{{watched}}})");
    panel(
        "timeseries",
        "Sequential detector",
        "Evidence that the requests have changed, as a share of what an alarm needs (drawn up to 2), and the size of the drift \
         that was found. It sees a change long before a window has filled with it.",
        Place(0, 29, 24, 7),
        &[over_time(&ratio, "evidence, {{version}}"), over_time(&size, "PSI of what was found, {{version}}")],
        &lines(),
        &drawn("short", &thresholds("green", &[(1.0, "red")]), false),
    )
}
