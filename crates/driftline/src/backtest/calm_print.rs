//! What happens without a change, for people and for programs.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Result;
use control::Severity;
use serde_json::{Value, json};

use super::BacktestFormat;
use super::block::BlockLength;
use super::calm::{Outcome, Run, Times};
use super::print::{document, sentence, time};

/// Prints all runs.
pub(super) fn print(outcome: &Outcome, format: BacktestFormat, out: &mut dyn Write) -> Result<()> {
    match format {
        BacktestFormat::Text => text(outcome, out),
        BacktestFormat::Json => {
            writeln!(out, "{:#}", whole(outcome))?;
            Ok(())
        }
    }
}

/// A line of the table: what it counts, and what happened.
fn rows(outcome: &Outcome) -> Vec<(String, Times)> {
    let known: BTreeSet<_> = outcome.runs.iter().flat_map(|run| run.alerts.keys()).collect();
    let of = |alert: &(String, String, Severity)| {
        let (model, name, severity) = alert;
        let times = outcome.times(|run| run.alerts.get(alert).copied().unwrap_or(0));
        (format!("{model}: {name} ({})", severity.as_str()), times)
    };
    let mut rows: Vec<_> = known.into_iter().map(of).collect();
    rows.push(("critical alerts".to_owned(), outcome.times(|run| run.of(Severity::Critical))));
    rows.push(("rollbacks".to_owned(), outcome.times(Run::rolled_back)));
    rows
}

fn text(outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    let runs = outcome.runs.len();
    writeln!(
        out,
        "{} of {} records ({} a second): {:.1} days judged in all, {}",
        if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") },
        outcome.records,
        short(outcome.rate),
        outcome.days,
        seeds(&outcome.runs)
    )?;
    for (reason, count) in &outcome.skipped {
        writeln!(out, "  not counted, {reason}: {count}")?;
    }
    for (model, length) in &outcome.blocks {
        writeln!(out, "  {model}: mixed by blocks of {}", block(length))?;
    }
    writeln!(out, "Nothing changes over time in a mixed run: every alert is a false one.\n")?;
    let rows = rows(outcome);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "{:width$}  {:>7}  {:>7}  {:>11}  95 % sure of less than",
        "", "times", "runs", "per 30 days"
    )?;
    for (name, times) in rows {
        writeln!(
            out,
            "{name:width$}  {:>7}  {:>7}  {:>11}  {:>22}",
            times.times,
            times.runs,
            short(outcome.per_month(times.times)),
            short(outcome.at_most_per_month(times.times))
        )?;
    }
    if !outcome.quoted.is_empty() {
        writeln!(out)?;
    }
    for quoted in &outcome.quoted {
        let event = &quoted.event;
        let said = sentence(&event.what);
        writeln!(out, "seed {}: {}  {}: {said}", quoted.seed, time(event.at_ms), event.model)?;
    }
    Ok(())
}

fn seeds(runs: &[Run]) -> String {
    match runs {
        [] => String::new(),
        [one] => format!("seed {}", one.seed),
        [first, .., last] => format!("seeds {} to {}", first.seed, last.seed),
    }
}

fn block(length: &BlockLength) -> String {
    let records = match length.records {
        1 => "1 record".to_owned(),
        records => format!("{records} records"),
    };
    match &length.dependence {
        None => records,
        Some((feature, over)) if length.capped => format!(
            "{records}, a twentieth of them all (`{feature}` depends on itself over {over:.1} records, which asks for more)"
        ),
        Some((feature, over)) => format!("{records} (`{feature}` depends on itself over {over:.1} records)"),
    }
}

/// Two significant digits.
fn short(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number >= 10.0 => format!("{number:.0}"),
        number if number >= 1.0 => format!("{number:.1}"),
        number if number >= 0.1 => format!("{number:.2}"),
        number => format!("{number:.3}"),
    }
}

fn whole(outcome: &Outcome) -> Value {
    let counted = |times: Times| {
        json!({
            "times": times.times, "runs": times.runs, "per_30_days": outcome.per_month(times.times),
            "per_30_days_below": outcome.at_most_per_month(times.times),
        })
    };
    let known: BTreeSet<_> = outcome.runs.iter().flat_map(|run| run.alerts.keys()).collect();
    let alerts: Vec<Value> = known
        .into_iter()
        .map(|alert| {
            let mut one = counted(outcome.times(|run| run.alerts.get(alert).copied().unwrap_or(0)));
            one["model"] = alert.0.clone().into();
            one["alert"] = alert.1.clone().into();
            one["severity"] = alert.2.as_str().into();
            one
        })
        .collect();
    let run = |run: &Run| {
        json!({
            "seed": run.seed, "warnings": run.of(Severity::Warning), "criticals": run.of(Severity::Critical),
            "rollbacks": run.rolled_back(),
        })
    };
    let block = |(model, length): &(String, BlockLength)| {
        let (feature, over) = length.dependence.clone().unzip();
        json!({ "model": model, "records": length.records, "dependence": over, "feature": feature, "capped": length.capped })
    };
    let quoted = outcome.quoted.iter().map(|quoted| {
        let mut event = document(&quoted.event);
        event["seed"] = quoted.seed.into();
        event
    });
    json!({
        "runs": outcome.runs.iter().map(run).collect::<Vec<_>>(), "records": outcome.records, "skipped": outcome.skipped,
        "days": outcome.days, "records_per_second": outcome.rate,
        "blocks": outcome.blocks.iter().map(block).collect::<Vec<_>>(), "alerts": alerts,
        "criticals": counted(outcome.times(|run| run.of(Severity::Critical))),
        "rollbacks": counted(outcome.times(Run::rolled_back)), "events": quoted.collect::<Vec<_>>(),
    })
}
