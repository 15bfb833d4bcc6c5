//! The comparison of a sample in words and as JSON.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use monitor::{Fit, ReferenceSpec};
use serde_json::{Value, json};

use crate::control_commands;
use crate::output::visible;

use super::sample::{FirstProblem, ModelReport, Report, constants};

/// Names of a list that the text shows.
const SHOWN: usize = 20;

/// For people: a block per model.
pub(super) fn text(report: &Report, out: &mut dyn Write) -> Result<()> {
    for model in &report.models {
        writeln!(out)?;
        block(model, out)?;
    }
    if let Some((first, count)) = &report.strangers {
        let others = if *count > 1 { format!(", the first of {count}") } else { String::new() };
        writeln!(out, "\n`{}`, line {}: not counted{others}: {}", report.file, first.line, first.problem)?;
    }
    if !report.models.iter().any(ModelReport::has_requests) {
        writeln!(out, "\n`{}` has no request of any model: nothing was compared", report.file)?;
    }
    Ok(())
}

fn block(model: &ModelReport, out: &mut dyn Write) -> Result<()> {
    let (name, tally) = (&model.spec.name, &model.tally);
    if !model.has_requests() {
        writeln!(out, "{name}: no request in the sample")?;
        return Ok(());
    }
    let verdict = if model.is_armed() { "armed" } else { "NOT ARMED" };
    writeln!(out, "{name}: {verdict}")?;
    let rows = model.sample.rows;
    let mut read = format!("{} read as `{}` ({rows} rows)", tally.read, model.spec.decoder.protocol);
    if let Some(FirstProblem { line, problem }) = &tally.first_problem {
        read += &format!(", {} not read; first in line {line}: {problem}", tally.not_read);
    }
    fact(out, "requests", &read)?;
    fact(out, "reference", &reference(model))?;
    if tally.read > 0 {
        if let Some(fit) = &model.sample.fit {
            fit_lines(model, fit, out)?;
        }
        let reasons = not_judged(model);
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(name, reason)| format!("{name} ({})", control_commands::reason(reason)))
            .collect();
        list(out, "not judged", &reasons)?;
    }
    list(out, "constant", &constants(&model.spec))?;
    if !model.is_armed() {
        fact(out, "why", &why(model))?;
    }
    Ok(())
}

fn fit_lines(model: &ModelReport, fit: &Fit, out: &mut dyn Write) -> Result<()> {
    let matched = matched(model, fit);
    let first: Vec<&str> = matched.iter().take(SHOWN).map(|name| &**name).collect();
    let names = if first.is_empty() { String::new() } else { format!(": {}", first.join(", ")) };
    let more = if matched.len() > first.len() { ", ..." } else { "" };
    fact(out, "match", &format!("{} of {} features of the profile{names}{more}", fit.matched, fit.expected))?;
    list(out, "not seen", &fit.not_seen)?;
    list(out, "unknown", &fit.unknown)?;
    let pairs: Vec<String> =
        fit.pairs.iter().map(|pair| format!("{} -> {}", pair.profile, pair.traffic)).collect();
    list(out, "renamed?", &pairs)?;
    let types: Vec<String> = fit.type_differs.iter().map(|name| typed(model, name)).collect();
    list(out, "type", &types)
}

/// One line: a word and what there is to say. The place of the words is the same in every line.
fn fact(out: &mut dyn Write, name: &str, text: &str) -> Result<()> {
    writeln!(out, "  {name:<11}{}", visible(text))?;
    Ok(())
}

fn list(out: &mut dyn Write, name: &str, of: &[impl AsRef<str>]) -> Result<()> {
    if of.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<&str> = of.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = format!("and {} more", of.len().saturating_sub(SHOWN));
    if of.len() > SHOWN {
        shown.push(&more);
    }
    fact(out, name, &shown.join(", "))
}

fn reference(model: &ModelReport) -> String {
    match &model.spec.reference {
        ReferenceSpec::Profile { profile, learn } => format!(
            "profile `{}`, {} features; those it does not have are learned from their first {learn} rows",
            profile.name,
            profile.features.len()
        ),
        ReferenceSpec::Learn { rows } => {
            let grows = if model.spec.grow.is_zero() { "" } else { ", and grows from there" };
            format!("learned from the first {rows} rows of production{grows}: it fits whatever comes")
        }
        ReferenceSpec::PreviousWindow => {
            "the window before the current one: it fits whatever comes".to_owned()
        }
    }
}

/// A feature whose values are of another type, with both types.
fn typed(model: &ModelReport, name: &str) -> String {
    let ReferenceSpec::Profile { profile, .. } = &model.spec.reference else { return name.to_owned() };
    match profile.feature(name).is_some_and(|feature| feature.bins.is_ordered()) {
        true => format!("{name} (numbers in the profile, text in requests)"),
        false => format!("{name} (categories in the profile, numbers in requests)"),
    }
}

fn matched(model: &ModelReport, fit: &Fit) -> Vec<Arc<str>> {
    let ReferenceSpec::Profile { profile, .. } = &model.spec.reference else { return Vec::new() };
    let names = model.sample.features.iter().map(|feature| &feature.feature);
    let in_profile = names.filter(|name| profile.feature(name).is_some());
    in_profile.filter(|name| !fit.not_seen.contains(name)).cloned().collect()
}

/// Features that requests have and that would not be judged, with the reason.
fn not_judged(model: &ModelReport) -> Vec<(&str, &'static str)> {
    let states = model.sample.features.iter().map(|state| (&*state.feature, state.reason));
    states
        .filter(|(_, reason)| !matches!(*reason, "judged" | "learning" | "not_seen" | "type_differs"))
        .collect()
}

fn why(model: &ModelReport) -> String {
    if model.tally.read == 0 {
        return format!(
            "no request could be read as `{}`: set `protocol`, or the paths under `features`",
            model.spec.decoder.protocol
        );
    }
    let problem = model.sample.fit.as_ref().and_then(Fit::problem).unwrap_or_default();
    format!(
        "{problem}. Drift would not be judged. Make the profile from the columns that requests have, or correct `baseline`"
    )
}

/// For programs.
pub(super) fn json(report: &Report, out: &mut dyn Write) -> Result<()> {
    let models: Vec<Value> = report.models.iter().map(one).collect();
    let strangers = report.strangers.as_ref();
    let document = json!({
        "armed": report.armed,
        "sample": report.file,
        "not_counted": strangers.map_or(0, |(_, count)| *count),
        "first_not_counted": strangers.map(|(first, _)| problem(first)),
        "models": models,
    });
    writeln!(out, "{document:#}")?;
    Ok(())
}

fn one(model: &ModelReport) -> Value {
    let (tally, sample) = (&model.tally, &model.sample);
    let not_judged: Vec<Value> = not_judged(model)
        .into_iter()
        .map(|(feature, reason)| json!({ "feature": feature, "reason": reason }))
        .collect();
    json!({
        "model": &*model.spec.name,
        "protocol": model.spec.decoder.protocol,
        // A model without requests in the sample has not been compared.
        "armed": model.has_requests().then(|| model.is_armed()),
        "requests": {
            "read": tally.read, "rows": sample.rows, "not_read": tally.not_read,
            "first_problem": tally.first_problem.as_ref().map(problem),
        },
        "matched": sample.fit.as_ref().map(|fit| matched(model, fit)),
        "fit": sample.fit,
        "not_judged": not_judged,
        "constant": constants(&model.spec),
    })
}

fn problem(first: &FirstProblem) -> Value {
    json!({ "line": first.line, "problem": first.problem })
}
