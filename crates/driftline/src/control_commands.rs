//! `status`, `healthcheck`, `rollback`, `promote` and `auto-rollback`: talk to a running instance.

use std::time::Duration;

use bytes::Bytes;
use comfy_table::{Table, presets};
use http::Method;
use serde_json::{Value, json};

use crate::admin_client::AdminClient;
use crate::cli::{
    AutoRollbackArgs, ChangeArgs, HealthcheckArgs, HoldArgs, PromoteArgs, RetrainArgs, RollbackArgs,
    StatusArgs, StatusFormat, Switch,
};
use crate::http_client::HttpClient;
use crate::output::{Exit, Outcome, line, note, visible};

/// Runs a command that waits for answers.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// `driftline status`. Exits 1 when the instance says that it is not ready.
pub(crate) fn status(args: &StatusArgs) -> Outcome {
    let (mut status, alerts) = block_on(async {
        let admin = AdminClient::from_args(&args.admin)?;
        if let Some(model) = &args.model {
            admin.model(Some(model)).await?;
        }
        Ok((admin.get("/api/v1/status").await?, admin.get("/api/v1/alerts").await?))
    })?;
    if let (Some(model), Some(models)) = (&args.model, status["models"].as_array_mut()) {
        models.retain(|entry| entry["model"] == model.as_str());
    }
    match args.format {
        StatusFormat::Json => line(format!("{status:#}"))?,
        StatusFormat::Table => print_status(&status, &alerts)?,
    }
    Ok(if status["ready"] == true { Exit::Fine } else { Exit::Found })
}

/// `driftline healthcheck`.
pub(crate) fn healthcheck(args: &HealthcheckArgs) -> Outcome {
    let client = HttpClient::new(Duration::from_secs(args.timeout));
    let answer = block_on(client.send(Method::GET, &args.url, &[], Bytes::new()));
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(Exit::Fine),
        Ok(answer) => {
            note(format!("`{}` answered {}", args.url, answer.status));
            Ok(Exit::Found)
        }
        Err(error) => {
            note(format!("`{}`: {error:#}", args.url));
            Ok(Exit::Found)
        }
    }
}

fn print_status(status: &Value, alerts: &Value) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "model",
        "clients get",
        "stable",
        "state",
        "shadow %",
        "auto-rollback",
        "reference",
        "p95 ms",
    ]);
    for model in status["models"].as_array().into_iter().flatten() {
        table.add_row([
            text(&model["model"]),
            text(&model["active"]),
            text(&model["stable"]),
            text(&model["state"]),
            text(&model["shadow_percent"]),
            if model["auto_rollback"] == true { "on" } else { "off" }.to_owned(),
            reference(&model["reference"]),
            p95(model),
        ]);
    }
    line(table.to_string())?;
    for model in status["models"].as_array().into_iter().flatten() {
        for pairs in model["pairs"].as_array().into_iter().flatten() {
            line(pairs_line(&text(&model["model"]), pairs))?;
        }
    }
    for model in status["models"].as_array().into_iter().flatten() {
        fit_lines(model)?;
    }
    for alert in
        alerts["alerts"].as_array().into_iter().flatten().filter(|alert| alert["state"] != "inactive")
    {
        let summary = text(&alert["annotations"]["summary"]);
        line(format!(
            "{} {} {}: {summary}",
            text(&alert["state"]),
            text(&alert["severity"]),
            text(&alert["alert"])
        ))?;
    }
    line(format!(
        "driftline {}, up {} s, {}",
        text(&status["version"]),
        text(&status["uptime_seconds"]),
        status["listen"]
            .as_str()
            .map_or_else(|| "no traffic passes".to_owned(), |at| format!("traffic on {at}"))
    ))?;
    for problem in status["problems"].as_array().into_iter().flatten() {
        note(format!("problem: {}", text(problem)));
    }
    if status["configuration"]["last_reload_ok"] == false {
        note(format!("problem: {}", text(&status["configuration"]["message"])));
    }
    Ok(())
}

/// Whether a model's reference fits its traffic, and which features are not judged.
fn fit_lines(model: &Value) -> anyhow::Result<()> {
    let name = text(&model["model"]);
    if let Some(problem) = model["not_armed"].as_str() {
        line(format!("{name}: NOT ARMED, drift is not judged: {problem}"))?;
    }
    let growth = &model["reference"]["growth"];
    if let Some(covers) = growth["text"].as_str().filter(|_| growth["stage"] != "settled") {
        line(visible(&format!("{name}: reference: {covers}")))?;
    }
    let features = model["not_judged"].as_array().into_iter().flatten();
    let is_learned = model["reference"]["state"] == "ready";
    let features: Vec<String> = features
        .filter(|feature| is_learned || feature["reason"] != "learning")
        .map(|feature| format!("{} ({})", text(&feature["feature"]), reason(&text(&feature["reason"]))))
        .collect();
    if !features.is_empty() {
        line(visible(&format!("{name}: not judged: {}", features.join(", "))))?;
    }
    Ok(())
}

/// Why a feature is not judged, in words.
pub(crate) fn reason(reason: &str) -> &str {
    match reason {
        "time" => "time or counter",
        "text" => "free text",
        "not_seen" => "in no request",
        "type_differs" => "other type than in the profile",
        "learning" => "reference is being learned",
        "moving" => "reference moves, it is learned anew",
        "new_field" => "new field, its reference is being learned",
        other => other,
    }
}

/// How often a shadow disagrees with the version that answers clients.
fn pairs_line(model: &str, pairs: &Value) -> String {
    let percent =
        |share: &Value| share.as_f64().map_or_else(|| "?".to_owned(), |x| format!("{:.1}", x * 100.0));
    let disagreement = &pairs["disagreement"];
    let noise = match &pairs["noise"] {
        Value::Null => String::new(),
        noise => format!(", noise {} %", percent(&noise["value"])),
    };
    format!(
        "{model}: {} disagrees with {} in {} % of {} pairs of `{}` ({} to {} %){noise}: {}",
        text(&pairs["version"]),
        text(&pairs["against"]),
        percent(&disagreement["value"]),
        text(&pairs["n"]),
        text(&pairs["prediction"]),
        percent(&disagreement["low"]),
        percent(&disagreement["high"]),
        text(&pairs["verdict"]),
    )
}

fn reference(reference: &Value) -> String {
    match reference["state"].as_str() {
        Some("learning") => format!("learning {}/{}", text(&reference["rows"]), text(&reference["wanted"])),
        Some("ready") => format!("{} ({} rows)", text(&reference["source"]), text(&reference["rows"])),
        _ => "-".to_owned(),
    }
}

/// The 95th percentile of the version that clients get.
fn p95(model: &Value) -> String {
    let lanes = model["latency"].as_array().into_iter().flatten();
    let mut own = lanes.filter(|lane| lane["lane"] == "prod" && lane["version"] == model["active"]);
    own.find_map(|lane| lane["p95_ms"].as_f64()).map_or_else(|| "-".to_owned(), |p95| format!("{p95:.1}"))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// `driftline rollback`.
pub(crate) fn rollback(args: &RollbackArgs) -> Outcome {
    let body = json!({
        "reason": args.change.reason, "actor": actor(), "dry_run": args.dry_run, "force": args.force,
    });
    if !args.dry_run {
        return change(&args.change, "rollback", &body);
    }
    let answer = call(&args.change, "rollback", &body)?;
    let (model, from, to) = (text(&answer["model"]), text(&answer["from"]), text(&answer["to"]));
    if answer["changed"] == false {
        line(format!("{model}: {}", text(&answer["message"])))?;
        return Ok(Exit::Fine);
    }
    line(format!("{model}: dry run: would switch {from} -> {to}"))?;
    let mut exit = Exit::Fine;
    for step in answer["steps"].as_array().into_iter().flatten() {
        let actuator = text(&step["actuator"]);
        if let Some(error) = step["error"].as_str() {
            exit = Exit::Found;
            line(format!("  {actuator} could not say: {error}"))?;
        } else {
            line(format!("  {actuator} would {}", text(&step["would"])))?;
        }
    }
    Ok(exit)
}

/// `driftline approve`.
pub(crate) fn approve(args: &ChangeArgs) -> Outcome {
    change(args, "approve", &json!({ "reason": args.reason, "actor": actor() }))
}

/// `driftline reject`.
pub(crate) fn reject(args: &ChangeArgs) -> Outcome {
    let answer = call(args, "reject", &json!({ "reason": args.reason, "actor": actor() }))?;
    line(format!("{}: proposal {} is turned down", text(&answer["model"]), text(&answer["proposal"])))?;
    Ok(Exit::Fine)
}

/// `driftline hold`.
pub(crate) fn hold(args: &HoldArgs) -> Outcome {
    let mut body = json!({ "reason": args.change.reason, "actor": actor() });
    if let Some(minutes) = args.minutes {
        body["seconds"] = minutes.saturating_mul(60).into();
    }
    let answer = call(&args.change, "hold", &body)?;
    line(text(&answer["message"]))?;
    Ok(Exit::Fine)
}

/// `driftline release`.
pub(crate) fn release(args: &ChangeArgs) -> Outcome {
    let answer = call(args, "release", &json!({ "reason": args.reason, "actor": actor() }))?;
    line(text(&answer["message"]))?;
    Ok(Exit::Fine)
}

/// `driftline retrain`.
pub(crate) fn retrain(args: &RetrainArgs) -> Outcome {
    let mut body = json!({ "reason": args.change.reason, "actor": actor() });
    if let Some(trainer) = &args.trainer {
        body["trainer"] = trainer.as_str().into();
    }
    let answer = call(&args.change, "retrain", &body)?;
    let (model, trainer, key) = (text(&answer["model"]), text(&answer["trainer"]), text(&answer["key"]));
    line(format!("{model}: {trainer} is being told to start {key}"))?;
    Ok(Exit::Fine)
}

/// `driftline promote`.
pub(crate) fn promote(args: &PromoteArgs) -> Outcome {
    let mut body = json!({ "reason": args.change.reason, "actor": actor() });
    if let Some(version) = &args.to {
        body["version"] = json!(version);
    }
    change(&args.change, "promote", &body)
}

fn call(args: &ChangeArgs, verb: &str, body: &Value) -> anyhow::Result<Value> {
    block_on(async {
        let admin = AdminClient::from_args(&args.admin)?;
        let model = admin.model(args.model.as_deref()).await?;
        admin.post(&format!("/api/v1/models/{model}/{verb}"), body).await
    })
}

fn change(args: &ChangeArgs, verb: &str, body: &Value) -> Outcome {
    let answer = call(args, verb, body)?;
    let message = text(&answer["message"]);
    match answer["decision"]["id"].as_i64() {
        Some(id) => line(format!("{message} (decision {id})"))?,
        // It is so already: a script that asks twice has what it wants.
        None => line(format!("{}: {message}", text(&answer["model"])))?,
    }
    Ok(Exit::Fine)
}

/// `driftline auto-rollback on|off`.
pub(crate) fn auto_rollback(args: &AutoRollbackArgs) -> Outcome {
    let enabled = args.state == Switch::On;
    let (model, answer) = block_on(async {
        let admin = AdminClient::from_args(&args.admin)?;
        let model = admin.model(args.model.as_deref()).await?;
        let path = format!("/api/v1/models/{model}/auto-rollback");
        let answer = admin.post(&path, &json!({ "enabled": enabled })).await?;
        Ok((model, answer))
    })?;
    line(format!("{model}: {}", text(&answer["message"])))?;
    Ok(Exit::Fine)
}

/// Who calls, for the audit trail.
fn actor() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "cli".to_owned())
}
