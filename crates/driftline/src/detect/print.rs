//! Alarms as lines.

use std::io::Write;

use anyhow::Result;
use serde_json::json;
use stats::detect::{Alarm, Event};

use super::AlarmFormat;

/// What features and their slots are called, in the order of the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(String, Vec<String>)>);

impl Names {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name and the slots' labels of a feature of the plan. What the plan has beyond is the joint score.
    pub(super) fn describe(&self, feature: usize) -> (&str, &[String]) {
        self.0.get(feature).map_or(("joint", &[]), |(name, labels)| (name, labels))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl FromIterator<(String, Vec<String>)> for Names {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Prints an event; true for an alarm.
pub(super) fn print(
    names: &Names,
    event: &Event,
    row: u64,
    format: AlarmFormat,
    out: &mut dyn Write,
) -> Result<bool> {
    match (event, format) {
        (Event::Alarm(alarm), AlarmFormat::Text) => writeln!(out, "{}", sentence(names, alarm))?,
        (Event::Alarm(alarm), AlarmFormat::Json) => writeln!(out, "{}", document(names, alarm))?,
        (Event::Measured { feature, size }, AlarmFormat::Text) => writeln!(
            out,
            "row {row}: {} differs most, debiased PSI {:.3} ({})",
            names.describe(*feature).0,
            size.debiased,
            size.severity()
        )?,
        (Event::Escalated { feature, size }, AlarmFormat::Text) => writeln!(
            out,
            "row {row}: {} has moved further, debiased PSI {:.3} ({})",
            names.describe(*feature).0,
            size.debiased,
            size.severity()
        )?,
        (Event::Measured { feature, size } | Event::Escalated { feature, size }, AlarmFormat::Json) => {
            let kind = if matches!(event, Event::Measured { .. }) { "measured" } else { "escalated" };
            let event = json!({"event": kind, "row": row, "feature": names.describe(*feature).0,
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

/// `row 601: drift since row 402 (200 rows), severity large: temp shifted up; dewp shifted up; humid spread narrower`. Without
/// a severity where there are too few rows to measure a size on.
fn sentence(names: &Names, alarm: &Alarm) -> String {
    let named = |suspect: &stats::detect::Suspect| {
        let (name, labels) = names.describe(suspect.feature);
        suspect.direction.phrase(name, labels)
    };
    let names: Vec<String> = alarm.suspects.iter().map(named).collect();
    let what = if alarm.notice { "notice" } else { "drift" };
    format!(
        "row {}: {what} since row {} ({} rows){}: {}",
        alarm.row,
        alarm.start,
        alarm.row + 1 - alarm.start,
        severity(alarm).map(|severity| format!(", severity {severity}")).unwrap_or_default(),
        names.join("; ")
    )
}

/// The worst of the features' severities; `None` where no size was measured.
fn severity(alarm: &Alarm) -> Option<stats::Severity> {
    alarm.suspects.iter().filter_map(|suspect| suspect.size.map(|size| size.severity())).max()
}

fn document(names: &Names, alarm: &Alarm) -> serde_json::Value {
    let features: Vec<serde_json::Value> = alarm
        .suspects
        .iter()
        .map(|suspect| {
            let (name, labels) = names.describe(suspect.feature);
            json!({
                "feature": name,
                "direction": suspect.direction.describe(labels),
                "e_value": suspect.e_value,
                "psi_debiased": suspect.size.map(|size| size.debiased),
                "p_value": suspect.size.map(|size| size.p_value),
                "severity": suspect.size.map(|size| size.severity().as_str()),
            })
        })
        .collect();
    json!({
        "event": if alarm.notice { "notice" } else { "alarm" },
        "row": alarm.row,
        "start": alarm.start,
        "severity": severity(alarm).map(stats::Severity::as_str),
        "evidence_ratio": alarm.evidence_ratio,
        "features": features,
    })
}
