//! Latency, shares of the traffic, the shadow's health, the log.

use serde_json::{Value, json};

use super::Limits;
use crate::export::panels::{Place, drawn, lines, over_time, panel, row, source, thresholds};

/// Traffic.
pub(super) fn panels(limits: Limits) -> Vec<Value> {
    let slow = thresholds("green", &[(limits.slow_ms, "red")]);
    let none = thresholds("green", &[]);
    vec![
        row("Traffic", 36),
        panel(
            "timeseries",
            "p95 of answers, prod and shadow",
            "The dashed line is where the latency alert begins.",
            Place(0, 37, 12, 8),
            &[over_time(
                "histogram_quantile(0.95, sum by (le, lane, version) (rate(inference_latency_bucket{model=\"$model\", \
                version=~\"$version\"}[$__rate_interval])))",
                "{{lane}} {{version}}",
            )],
            &lines(),
            &drawn("ms", &slow, false),
        ),
        panel(
            "timeseries",
            "Who answers",
            "Requests a second by lane and version; `shadow` are the copies.",
            Place(12, 37, 12, 8),
            &[over_time(
                "sum by (lane, version) (rate(driftline_requests_total{model=\"$model\"}[$__rate_interval]))",
                "{{lane}} {{version}}",
            )],
            &lines(),
            &drawn("reqps", &none, true),
        ),
        panel(
            "timeseries",
            "Share of copies",
            "Copies sent per request, and the share that is configured.",
            Place(0, 45, 8, 7),
            &[
                over_time(
                    "100 * sum(rate(driftline_shadow_copies_total{model=\"$model\", result=\"sent\"}[$__rate_interval])) \
                           / sum(rate(driftline_requests_total{model=\"$model\", lane=\"prod\"}[$__rate_interval]))",
                    "copied",
                ),
                over_time("driftline_shadow_percent{model=\"$model\"}", "configured"),
            ],
            &lines(),
            &drawn("percent", &none, false),
        ),
        panel(
            "timeseries",
            "Answers by code",
            "0 is an answer that broke off.",
            Place(8, 45, 8, 7),
            &[over_time(
                "sum by (lane, code) (rate(driftline_requests_total{model=\"$model\"}[$__rate_interval]))",
                "{{lane}} {{code}}",
            )],
            &lines(),
            &drawn("reqps", &none, true),
        ),
        panel(
            "timeseries",
            "Requests in the window",
            "More than 100 are needed before anything is judged.",
            Place(16, 45, 8, 7),
            &[over_time(
                "requests{model=\"$model\", version=~\"$version\", tenant=\"$tenant\"}",
                "{{lane}} {{version}}",
            )],
            &lines(),
            &drawn("short", &none, false),
        ),
    ]
}

/// Whether the shadow and the measuring work.
pub(super) fn health() -> Vec<Value> {
    let none = thresholds("green", &[]);
    vec![
        row("Shadow and measuring", 52),
        panel(
            "timeseries",
            "Copies by what became of them",
            "",
            Place(0, 53, 8, 7),
            &[over_time(
                "sum by (result) (rate(driftline_shadow_copies_total{model=\"$model\"}[$__rate_interval]))",
                "{{result}}",
            )],
            &lines(),
            &drawn("cps", &none, true),
        ),
        panel(
            "timeseries",
            "Dropped, by reason",
            "Copies that a bound held back, and requests that were served and not measured.",
            Place(8, 53, 8, 7),
            &[
                over_time(
                    "sum by (reason) (rate(driftline_shadow_drops_total{model=\"$model\"}[$__rate_interval]))",
                    "copy: {{reason}}",
                ),
                over_time(
                    "sum by (reason) (rate(driftline_observations_dropped_total{model=\"$model\"}[$__rate_interval]))",
                    "not measured: {{reason}}",
                ),
            ],
            &lines(),
            &drawn("cps", &none, true),
        ),
        panel(
            "timeseries",
            "Shadow against production",
            "How often both disagree about the same request, and how far the distributions of their predictions are apart.",
            Place(16, 53, 8, 7),
            &[
                over_time(
                    "max by (prediction) (driftline_pair_disagreement{model=\"$model\"})",
                    "disagreement: {{prediction}}",
                ),
                over_time(
                    "max by (feature) (js_divergence{model=\"$model\", lane=\"shadow\", tenant=\"all\", reference=\"prod\", \
                           feature=~\"prediction.*\"})",
                    "JS: {{feature}}",
                ),
            ],
            &lines(),
            &drawn("short", &none, false),
        ),
    ]
}

/// The inference log as Loki has it.
pub(super) fn logs() -> Value {
    json!({
        "type": "logs", "title": "Inference log", "gridPos": { "x": 0, "y": 60, "w": 24, "h": 10 },
        "description": "Production and shadow, a record per inference; personal data is hashed before it gets here.",
        "datasource": source("loki"),
        "targets": [{
            "refId": "A", "datasource": source("loki"), "queryType": "range", "maxLines": 200,
            "expr": "{service_name=\"$model\", lane=~\"prod|shadow\", version=~\"$version\"}",
        }],
        "options": {
            "showTime": true, "showLabels": false, "showCommonLabels": false, "wrapLogMessage": false,
            "prettifyLogMessage": false, "enableLogDetails": true, "dedupStrategy": "none", "sortOrder": "Descending",
        },
        "fieldConfig": { "defaults": {}, "overrides": [] },
    })
}
