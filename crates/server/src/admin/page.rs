//! The page at `/`: what runs and where to look, without scripts.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use control::{Alert, AlertState, ModelStatus};
use monitor::{FeatureReading, ReferenceKind};
use record::Lane;

use crate::clock::rfc3339;
use crate::exposition::short;
use crate::plane::Plane;
use crate::status;

/// Paths worth a link.
const LINKS: [&str; 5] = ["/metrics", "/api/v1/status", "/api/v1/alerts", "/api/v1/events", "/readyz"];

/// The page's stylesheet: a file of its own, since inline styles are forbidden.
pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css"))
}

pub(super) async fn overview(State(plane): State<Arc<Plane>>) -> Html<String> {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Driftline</title><link rel=\"stylesheet\" href=\"style.css\"><h1>Driftline</h1>",
    );
    // Writing to a String cannot fail.
    let written = write_page(&mut page, &plane);
    debug_assert!(written.is_ok(), "invariant: writing to a String cannot fail");
    Html(page)
}

fn write_page(page: &mut String, plane: &Plane) -> std::fmt::Result {
    let problems = status::problems(plane);
    let health = if problems.is_empty() { "All loops run.".to_owned() } else { escape(&problems.join("; ")) };
    write!(page, "<p>Version {}. {}. {health}</p>", status::VERSION, plane.traffic_text())?;
    let (models, alerts) = {
        let controller = plane.desk.controller();
        (controller.models(), controller.alerts())
    };
    write_models(page, plane, &models)?;
    write_pairs(page, plane)?;
    write_alerts(page, &alerts)?;
    page.push_str("<nav>");
    for link in LINKS {
        write!(page, "<a href=\"{link}\">{link}</a> ")?;
    }
    page.push_str("</nav></html>");
    Ok(())
}

fn write_models(page: &mut String, plane: &Plane, models: &[ModelStatus]) -> std::fmt::Result {
    page.push_str(
        "<h2>Models</h2><div class=\"scroll\"><table><tr><th>model<th>clients get<th>stable<th class=\"number\">copies, %\
         <th>automatic rollback<th class=\"number\">requests in window<th>worst feature<th class=\"number\">its PSI</tr>",
    );
    let readings = plane.monitor.readings();
    for model in models {
        let measured = plane.measured_version(&model.model, Lane::Prod);
        let active = measured.as_ref().unwrap_or(&model.active);
        let window = readings
            .models
            .iter()
            .filter(|m| m.model == model.model)
            .flat_map(|m| &m.windows)
            .find(|w| &*w.tenant == "all" && w.version == *active && w.lane == Lane::Prod);
        let baseline = |reading: &&FeatureReading| {
            reading.reference == ReferenceKind::Baseline && reading.psi.is_finite()
        };
        let worst =
            window.and_then(|w| w.features.iter().filter(baseline).max_by(|a, b| a.psi.total_cmp(&b.psi)));
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class=\"number\">{}<td>{}<td class=\"number\">{}<td>{}<td class=\"number\">{}</tr>",
            escape(&model.model),
            escape(active),
            if measured.is_some() { "-".to_owned() } else { escape(&model.stable) },
            short(model.shadow_percent),
            if model.auto_rollback { "on" } else { "off" },
            window.map_or(0, |w| w.requests),
            worst.map_or_else(|| "no data yet".to_owned(), |reading| escape(&reading.feature)),
            worst.map_or_else(String::new, |reading| short(reading.psi)),
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

/// What candidates say to the same requests; nothing where no answers are joined.
fn write_pairs(page: &mut String, plane: &Plane) -> std::fmt::Result {
    let readings = plane.monitor.pairs();
    let mut rows = String::new();
    for (model, version) in crate::pairs::candidates(&readings) {
        let Some(worst) = crate::pairs::worst(version) else { continue };
        write!(
            rows,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=\"number\">{}<td class=\"number\">{} ({} to {})<td class=\"number\">{}<td>{}</tr>",
            escape(&model.model),
            escape(&version.version),
            escape(&version.against),
            escape(&worst.prediction),
            worst.n,
            short(worst.disagreement.value * 100.0),
            short(worst.disagreement.low * 100.0),
            short(worst.disagreement.high * 100.0),
            worst.noise.map_or_else(|| "-".to_owned(), |noise| short(noise.disagreement.value * 100.0)),
            crate::pairs::verdict(worst.verdict),
        )?;
    }
    if !rows.is_empty() {
        write!(
            page,
            "<h2>Pairs</h2><div class=\"scroll\"><table><tr><th>model<th>shadow<th>against<th>worst prediction\
             <th class=\"number\">predictions<th class=\"number\">disagree, %<th class=\"number\">noise, %<th>verdict</tr>\
             {rows}</table></div>"
        )?;
    }
    Ok(())
}

fn write_alerts(page: &mut String, alerts: &[Alert]) -> std::fmt::Result {
    page.push_str("<h2>Alerts</h2>");
    let mut active: Vec<&Alert> = alerts.iter().filter(|alert| alert.state != AlertState::Inactive).collect();
    if active.is_empty() {
        page.push_str("<p>None.</p>");
        return Ok(());
    }
    active.sort_by_key(|alert| (std::cmp::Reverse(alert.state), std::cmp::Reverse(alert.severity)));
    page.push_str("<div class=\"scroll\"><table><tr><th>alert<th>severity<th>state<th>since<th>what</tr>");
    for alert in active {
        let state = if alert.state == AlertState::Firing { "firing" } else { "pending" };
        let severity = alert.severity.as_str();
        write!(
            page,
            "<tr><td>{}<td class=\"{severity}\">{severity}<td>{state}<td>{}<td>{}</tr>",
            escape(&alert.name),
            rfc3339(alert.since_ms),
            escape(&alert.annotations.summary),
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

/// Text as HTML text: names come from outside.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_text() {
        assert_eq!(super::escape("<b a=\"'&\">"), "&lt;b a=&quot;&#39;&amp;&quot;&gt;");
    }
}
