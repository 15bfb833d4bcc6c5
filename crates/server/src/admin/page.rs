//! The page at `/`: what runs and where to look, without scripts.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::exposition::short;
use crate::plane::Plane;
use crate::status;

/// Paths worth a link.
const LINKS: [&str; 5] = ["/metrics", "/api/v1/status", "/api/v1/alerts", "/api/v1/events", "/readyz"];

pub(super) async fn overview(State(plane): State<Arc<Plane>>) -> Html<String> {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Driftline</title><h1>Driftline</h1>",
    );
    // Writing to a String cannot fail.
    let written = write_page(&mut page, &plane);
    debug_assert!(written.is_ok(), "invariant: writing to a String cannot fail");
    Html(page)
}

fn write_page(page: &mut String, plane: &Plane) -> std::fmt::Result {
    let problems = status::problems(plane);
    let health = if problems.is_empty() { "All loops run.".to_owned() } else { escape(&problems.join("; ")) };
    write!(page, "<p>Version {}. Traffic on {}. {health}</p>", status::VERSION, plane.gateway.local_addr())?;
    page.push_str("<h2>Models</h2><table><tr><th>model<th>clients get<th>stable<th>shadow %<th>auto-rollback<th>worst PSI</tr>");
    let readings = plane.monitor.readings();
    let (models, alerts) = {
        let controller = plane.desk.controller();
        (controller.models(), controller.alerts())
    };
    for model in models {
        let worst = readings
            .models
            .iter()
            .filter(|m| m.model == model.model)
            .flat_map(|m| &m.windows)
            .filter(|window| &*window.tenant == "all" && window.version == model.active)
            .flat_map(|window| &window.features)
            .max_by(|a, b| a.psi.total_cmp(&b.psi))
            .map_or_else(|| "no data yet".to_owned(), |r| format!("{} {}", escape(&r.feature), short(r.psi)));
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{worst}</tr>",
            escape(&model.model),
            escape(&model.active),
            escape(&model.stable),
            short(model.shadow_percent),
            if model.auto_rollback { "on" } else { "off" },
        )?;
    }
    page.push_str("</table><h2>Alerts</h2><ul>");
    for alert in alerts.iter().filter(|alert| alert.state != control::AlertState::Inactive) {
        let state = if alert.state == control::AlertState::Firing { "firing" } else { "pending" };
        let summary = &alert.annotations.summary;
        write!(
            page,
            "<li>{} ({}, {}): {}</li>",
            escape(&alert.name),
            alert.severity.as_str(),
            state,
            escape(summary)
        )?;
    }
    page.push_str("</ul><p>");
    for link in LINKS {
        write!(page, "<a href=\"{link}\">{link}</a> ")?;
    }
    page.push_str("</p></html>");
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
