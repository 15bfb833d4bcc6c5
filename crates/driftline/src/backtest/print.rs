//! What would have happened, for people and for programs.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::BacktestFormat;
use super::rehearsal::{Event, Summary, What};

/// Prints events as they happen, or keeps them for one document.
pub(super) struct Printer<'a> {
    format: BacktestFormat,
    out: &'a mut dyn Write,
    kept: Vec<Value>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: BacktestFormat, out: &'a mut dyn Write) -> Self {
        Self { format, out, kept: Vec::new() }
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        match self.format {
            BacktestFormat::Text => {
                writeln!(self.out, "{}  {}: {}", time(event.at_ms), event.model, sentence(&event.what))?;
            }
            BacktestFormat::Json => self.kept.push(document(event)),
        }
        Ok(())
    }

    pub(super) fn summary(&mut self, summary: &Summary, shuffled: bool) -> Result<()> {
        match self.format {
            BacktestFormat::Text => self.text(summary, shuffled),
            BacktestFormat::Json => {
                let alerts: Vec<Value> = summary
                    .alerts
                    .iter()
                    .map(|((model, alert), n)| json!({ "model": model, "alert": alert, "fired": n }))
                    .collect();
                let whole = json!({
                    "records": summary.records, "skipped": summary.skipped, "shuffled": shuffled,
                    "from": summary.first_ms.map(time), "to": summary.first_ms.map(|_| time(summary.last_ms)),
                    "alerts": alerts, "rollbacks": summary.rollbacks, "events": std::mem::take(&mut self.kept),
                });
                writeln!(self.out, "{whole:#}")?;
                Ok(())
            }
        }
    }

    fn text(&mut self, summary: &Summary, shuffled: bool) -> Result<()> {
        let out = &mut self.out;
        let Some(first_ms) = summary.first_ms else {
            writeln!(out, "No records.")?;
            return Ok(());
        };
        let (records, days) = (summary.records, (summary.last_ms - first_ms) as f64 / 86_400_000.0);
        writeln!(
            out,
            "{records} records from {} to {} ({days:.1} days)",
            time(first_ms),
            time(summary.last_ms)
        )?;
        for (reason, count) in &summary.skipped {
            writeln!(out, "  not counted, {reason}: {count}")?;
        }
        for ((model, alert), fired) in &summary.alerts {
            writeln!(out, "  {model}: {alert} fired {fired} x")?;
        }
        for (model, rollbacks) in &summary.rollbacks {
            writeln!(out, "  {model}: {rollbacks} rollbacks")?;
        }
        match (summary.fired(), shuffled) {
            (0, _) => writeln!(out, "No alert would have fired.")?,
            (fired, true) => writeln!(
                out,
                "The records were mixed, so nothing changes over time: all {fired} are false, one in {} records.",
                records / fired
            )?,
            (_, false) => {}
        }
        Ok(())
    }
}

pub(super) fn sentence(what: &What) -> String {
    match what {
        What::Alert { name, severity, fires: true, text } => {
            format!("{name} ({}) fires: {text}", severity.as_str())
        }
        What::Alert { name, .. } => format!("{name} is over"),
        What::Rollback { from, to, reason } => format!("ROLLBACK {from} -> {to}: {reason}"),
        What::NotMoved { text } => text.clone(),
        What::Retrain { trainer, reason } => format!("training by `{trainer}`: {reason}"),
    }
}

pub(super) fn document(event: &Event) -> Value {
    let (at, model) = (time(event.at_ms), &event.model);
    match &event.what {
        What::Alert { name, severity, fires, text } => json!({
            "at": at, "model": model, "event": if *fires { "firing" } else { "resolved" }, "alert": name,
            "severity": severity.as_str(), "text": text,
        }),
        What::Rollback { from, to, reason } => json!({
            "at": at, "model": model, "event": "rollback", "from": from, "to": to, "text": reason,
        }),
        What::NotMoved { text } => json!({ "at": at, "model": model, "event": "not_moved", "text": text }),
        What::Retrain { trainer, reason } => {
            json!({ "at": at, "model": model, "event": "retrain", "trainer": trainer, "text": reason })
        }
    }
}

/// RFC 3339; a time beyond what the calendar holds is its nearest end.
pub(super) fn time(ms: i64) -> String {
    let end = if ms < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(ms).unwrap_or(end).to_string()
}
