//! Alarms as lines.

use std::io::Write;

use anyhow::Result;
use serde_json::json;
use stats::detect::{Alarm, Event};

use super::AlarmFormat;
use super::watch::Watch;

/// Prints an event; true for an alarm.
pub(super) fn print(
    watch: &Watch,
    event: &Event,
    row: u64,
    format: AlarmFormat,
    out: &mut dyn Write,
) -> Result<bool> {
    match (event, format) {
        (Event::Alarm(alarm), AlarmFormat::Text) => writeln!(out, "{}", sentence(watch, alarm))?,
        (Event::Alarm(alarm), AlarmFormat::Json) => writeln!(out, "{}", document(watch, alarm))?,
        (Event::Escalated { feature, size }, AlarmFormat::Text) => writeln!(
            out,
            "row {row}: {} has moved further, debiased PSI {:.3} ({})",
            watch.describe(*feature).0,
            size.debiased,
            size.severity()
        )?,
        (Event::Escalated { feature, size }, AlarmFormat::Json) => {
            let event = json!({"event": "escalated", "row": row, "feature": watch.describe(*feature).0,
                "psi_debiased": size.debiased, "severity": size.severity().as_str()});
            writeln!(out, "{event}")?;
        }
        (Event::Resolved, AlarmFormat::Text) => writeln!(out, "row {row}: as the reference again")?,
        (Event::Resolved, AlarmFormat::Json) => {
            writeln!(out, "{}", json!({"event": "resolved", "row": row}))?;
        }
    }
    Ok(matches!(event, Event::Alarm(_)))
}

/// `row 431: drift since row 402 (29 rows), severity large: temp shifted up; also dewp shifted up, humid spread down`.
fn sentence(watch: &Watch, alarm: &Alarm) -> String {
    let named = |suspect: &stats::detect::Suspect| {
        let (name, labels) = watch.describe(suspect.feature);
        suspect.direction.phrase(name, labels)
    };
    let names: Vec<String> = alarm.suspects.iter().map(named).collect();
    let first = names.first().map_or("", String::as_str);
    let also = if names.len() > 1 { format!("; also {}", names[1..].join(", ")) } else { String::new() };
    let what = if alarm.notice { "notice" } else { "drift" };
    format!(
        "row {}: {what} since row {} ({} rows), severity {}: {first}{also}",
        alarm.row,
        alarm.start,
        alarm.row + 1 - alarm.start,
        severity(alarm)
    )
}

/// The worst of the features' severities.
fn severity(alarm: &Alarm) -> stats::Severity {
    let severities = alarm.suspects.iter().map(stats::detect::Suspect::severity);
    severities.max().unwrap_or(stats::Severity::None)
}

fn document(watch: &Watch, alarm: &Alarm) -> serde_json::Value {
    let features: Vec<serde_json::Value> = alarm
        .suspects
        .iter()
        .map(|suspect| {
            let (name, labels) = watch.describe(suspect.feature);
            json!({
                "feature": name,
                "direction": suspect.direction.describe(labels),
                "e_value": suspect.e_value,
                "psi_debiased": suspect.psi,
                "p_value": suspect.size.map(|size| size.p_value),
                "severity": suspect.severity().as_str(),
            })
        })
        .collect();
    json!({
        "event": if alarm.notice { "notice" } else { "alarm" },
        "row": alarm.row,
        "start": alarm.start,
        "severity": severity(alarm).as_str(),
        "evidence_ratio": alarm.evidence_ratio,
        "features": features,
    })
}
