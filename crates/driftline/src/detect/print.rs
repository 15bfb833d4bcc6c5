//! Alarms as lines.

use std::io::Write;

use anyhow::Result;
use serde_json::json;
use stats::detect::{Alarm, Event, Suspect};
use stats::words::{Change, Known, Slots, phrase};

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

    /// How a feature of values or categories differs, by its counts alone; `None` for bins, of which only the labels are known.
    pub(super) fn words(&self, feature: usize, reference: &[u64], current: &[u64]) -> Option<String> {
        let (name, labels) = self.0.get(feature)?;
        let (rest, rare) = match labels.as_slice() {
            [.., other, unseen, _] if other == "other" && unseen == "unseen" => (3, true),
            [.., other, _] if other == "other" || other == "unseen" => (2, false),
            _ => return None,
        };
        phrase(&Change {
            feature: name,
            slots: Slots::Categories { names: labels.get(..labels.len() - rest)?, rare },
            reference,
            current,
            known: [Known::default(); 2],
            new_value: None,
            outside: None,
            beyond: [&[]; 2],
        })
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

/// Prints an event; true for an alarm. `words`: how a feature differs, where that can be said with values.
pub(super) fn print(
    names: &Names,
    words: &dyn Fn(usize) -> Option<String>,
    event: &Event,
    row: u64,
    format: AlarmFormat,
    out: &mut dyn Write,
) -> Result<bool> {
    match (event, format) {
        (Event::Alarm(alarm), AlarmFormat::Text) => writeln!(out, "{}", sentence(names, words, alarm))?,
        (Event::Alarm(alarm), AlarmFormat::Json) => writeln!(out, "{}", document(names, words, alarm))?,
        (Event::Measured { feature, size } | Event::Escalated { feature, size }, AlarmFormat::Text) => {
            let does =
                if matches!(event, Event::Measured { .. }) { "differs most" } else { "has moved further" };
            let name = names.describe(*feature).0;
            let said = words(*feature).and_then(|said| said.strip_prefix(name).map(str::to_owned));
            let (size, severity) = (size.debiased, size.severity());
            let said = said.unwrap_or_default();
            writeln!(out, "row {row}: {name} {does}, debiased PSI {size:.3} ({severity}){said}")?;
        }
        (Event::Measured { feature, size } | Event::Escalated { feature, size }, AlarmFormat::Json) => {
            let kind = if matches!(event, Event::Measured { .. }) { "measured" } else { "escalated" };
            let event = json!({"event": kind, "row": row, "feature": names.describe(*feature).0,
                "change": words(*feature), "psi_debiased": size.debiased, "severity": size.severity().as_str()});
            writeln!(out, "{event}")?;
        }
        (Event::Resolved, AlarmFormat::Text) => writeln!(out, "row {row}: as the reference again")?,
        (Event::Resolved, AlarmFormat::Json) => {
            writeln!(out, "{}", json!({"event": "resolved", "row": row}))?;
        }
    }
    Ok(matches!(event, Event::Alarm(_)))
}

/// How a feature changed, with values where they are known.
fn change(names: &Names, words: &dyn Fn(usize) -> Option<String>, suspect: &Suspect) -> String {
    let (name, labels) = names.describe(suspect.feature);
    words(suspect.feature).unwrap_or_else(|| suspect.direction.phrase(name, labels))
}

/// `row 601: drift since row 402 (200 rows), severity large: temp: higher (median 37.04 → 80.96); late: ...`: at most five features,
/// the largest difference first. Without a severity where there are too few rows to measure a size on.
fn sentence(names: &Names, words: &dyn Fn(usize) -> Option<String>, alarm: &Alarm) -> String {
    let changes: Vec<(f64, String)> =
        alarm.suspects.iter().map(|suspect| (suspect.psi, change(names, words, suspect))).collect();
    let causes = stats::words::causes(changes.iter().map(|(psi, change)| (*psi, change.as_str())));
    let what = if alarm.notice { "notice" } else { "drift" };
    format!(
        "row {}: {what} since row {} ({} rows){}: {}",
        alarm.row,
        alarm.start,
        alarm.row + 1 - alarm.start,
        severity(alarm).map(|severity| format!(", severity {severity}")).unwrap_or_default(),
        causes
    )
}

/// The worst of the features' severities; `None` where no size was measured.
fn severity(alarm: &Alarm) -> Option<stats::Severity> {
    alarm.suspects.iter().filter_map(|suspect| suspect.size.map(|size| size.severity())).max()
}

fn document(names: &Names, words: &dyn Fn(usize) -> Option<String>, alarm: &Alarm) -> serde_json::Value {
    let features: Vec<serde_json::Value> = alarm
        .suspects
        .iter()
        .map(|suspect| {
            let (name, labels) = names.describe(suspect.feature);
            json!({
                "feature": name,
                "direction": suspect.direction.describe(labels),
                "change": change(names, words, suspect),
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
