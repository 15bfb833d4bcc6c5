//! Building blocks of Grafana's dashboard model (schema version 39: Grafana 11 and later read it).

use serde_json::{Value, json};

/// A query's place in a panel and how its answer is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Query<'a> {
    pub(in crate::export) expr: &'a str,
    /// Name of a series, `{{label}}` for a label's value.
    pub(in crate::export) legend: &'a str,
    pub(in crate::export) shape: Shape,
}

/// A query for the value now.
pub(in crate::export) fn now<'a>(expr: &'a str, legend: &'a str) -> Query<'a> {
    Query { expr, legend, shape: Shape::Instant }
}

/// A query for values over time.
pub(in crate::export) fn over_time<'a>(expr: &'a str, legend: &'a str) -> Query<'a> {
    Query { expr, legend, shape: Shape::Range }
}

/// What a query is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Shape {
    /// Values over the time that is shown.
    Range,
    /// The value now.
    Instant,
    /// The values now, a row per series.
    Table,
}

/// Where a panel stands: column and row of its corner, width (of 24) and height.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Place(pub(super) u32, pub(super) u32, pub(super) u32, pub(super) u32);

/// The data source that a variable of the dashboard names.
pub(in crate::export) fn source(kind: &str) -> Value {
    json!({ "type": kind, "uid": format!("${{{kind}}}") })
}

/// A panel over Prometheus.
pub(in crate::export) fn panel(
    kind: &str,
    title: &str,
    about: &str,
    place: Place,
    queries: &[Query<'_>],
    options: &Value,
    field: &Value,
) -> Value {
    let targets: Vec<Value> =
        queries.iter().zip('A'..='Z').map(|(query, name)| target(query, name)).collect();
    let Place(x, y, w, h) = place;
    json!({
        "type": kind, "title": title, "description": about,
        "gridPos": { "x": x, "y": y, "w": w, "h": h },
        "datasource": source("prometheus"),
        "targets": targets,
        "options": options,
        "fieldConfig": field,
    })
}

fn target(query: &Query<'_>, name: char) -> Value {
    let format = if query.shape == Shape::Table { "table" } else { "time_series" };
    json!({
        "refId": name.to_string(), "datasource": source("prometheus"),
        "expr": query.expr, "legendFormat": query.legend, "format": format,
        "instant": query.shape != Shape::Range, "range": query.shape == Shape::Range,
    })
}

/// A line across the dashboard with a title.
pub(in crate::export) fn row(title: &str, y: u32) -> Value {
    json!({
        "type": "row", "title": title, "collapsed": false, "panels": [],
        "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
    })
}

/// Colours from a value on; the first has no lower bound.
pub(in crate::export) fn thresholds(first: &str, steps: &[(f64, &str)]) -> Value {
    let mut all = vec![json!({ "color": first, "value": null })];
    all.extend(steps.iter().map(|(value, color)| json!({ "color": color, "value": value })));
    json!({ "mode": "absolute", "steps": all })
}

/// Words and colours for whole numbers.
pub(in crate::export) fn words(words: &[(&str, &str, &str)]) -> Value {
    let mut options = serde_json::Map::new();
    for (index, (value, text, color)) in words.iter().enumerate() {
        options.insert((*value).to_owned(), json!({ "text": text, "color": color, "index": index }));
    }
    json!([{ "type": "value", "options": options }])
}

/// Options of a `stat` panel.
pub(in crate::export) fn stat(text: &str) -> Value {
    json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        "colorMode": "background", "graphMode": "none", "textMode": text, "justifyMode": "center", "orientation": "auto",
    })
}

/// Options of a `timeseries` panel.
pub(in crate::export) fn lines() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "calcs": ["lastNotNull"], "showLegend": true },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

/// Fields of a `timeseries` panel with thresholds drawn as lines.
pub(in crate::export) fn drawn(unit: &str, limits: &Value, stacked: bool) -> Value {
    json!({
        "defaults": {
            "unit": unit, "min": 0, "color": { "mode": "palette-classic" }, "thresholds": limits,
            "custom": {
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": if stacked { 30 } else { 5 },
                "spanNulls": false, "showPoints": "never",
                "stacking": { "mode": if stacked { "normal" } else { "none" }, "group": "A" },
                "thresholdsStyle": { "mode": if stacked { "off" } else { "dashed" } },
            },
        },
        "overrides": [],
    })
}
