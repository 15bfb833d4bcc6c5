//! `drill`: the rollback test against a running instance, step by step with times.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::admin_client::AdminClient;
use crate::cli::AdminArgs;
use crate::control_commands::block_on;
use crate::output::{Exit, Outcome, line, note};

/// How often the instance is asked how far it is.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `drill`.
#[derive(Args, Debug)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// The model [default: the only one]
    #[arg(long)]
    model: Option<String>,
    /// PSI of the injected drift
    #[arg(long, default_value_t = 0.35)]
    psi: f64,
    /// Latency of the injected slow answers, milliseconds; 0 injects none
    #[arg(long, default_value_t = 530.0)]
    latency_ms: f64,
    /// Share of injected answers that fail, percent; 0 injects none
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    error_rate: f64,
    /// Leave traffic where the rollback put it
    #[arg(long)]
    keep: bool,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 900)]
    timeout: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// `driftline drill`. Exits 1 when the instance calls it failed.
pub(crate) fn run(args: &DrillArgs) -> Outcome {
    let result = block_on(drill(args))?;
    if args.json {
        line(format!("{result:#}"))?;
    }
    Ok(if result["verdict"] == "passed" { Exit::Fine } else { Exit::Found })
}

async fn drill(args: &DrillArgs) -> anyhow::Result<Value> {
    let admin = AdminClient::from_args(&args.admin)?;
    let model = admin.model(args.model.as_deref()).await?;
    let path = format!("/api/v1/models/{model}/drill");
    let wish = json!({ "psi": args.psi, "latency_ms": args.latency_ms, "error_rate": args.error_rate,
        "keep": args.keep, "timeout_secs": args.timeout });
    let mut progress = admin.post(&path, &wish).await?["drill"].take();
    let start =
        progress["injected_at_ms"].as_i64().context("the instance did not say when the drill began")?;
    let say = |text: String| if args.json { note(text) } else { drop(line(text)) };
    say(format!(
        "drill of `{model}`: injecting PSI {}, answers of {} ms and {} % failures beside the traffic of {}; clients see none of it",
        args.psi,
        args.latency_ms,
        args.error_rate,
        string(&progress["version"])
    ));
    let mut printed = 0;
    loop {
        let steps = steps(&progress, start);
        for step in steps.iter().skip(printed) {
            say(step.clone());
        }
        printed = printed.max(steps.len());
        match progress["state"].as_str() {
            Some("finished") => break,
            Some("running") => {}
            other => bail!("the instance says that the drill is `{}`", other.unwrap_or("gone")),
        }
        tokio::time::sleep(POLL_EVERY).await;
        progress = admin.get(&path).await?["drill"].take();
    }
    for text in verdict(&progress) {
        say(text);
    }
    Ok(progress)
}

/// The steps that have happened, in order, each with its time since the injection.
fn steps(progress: &Value, start: i64) -> Vec<String> {
    let at = |key: &str| progress[key].as_i64().map(|at| at - start);
    let mut steps = vec![format!("{:>9}  injection started", seconds(0))];
    let mut add = |at: Option<i64>, what: String| {
        if let Some(at) = at {
            steps.push(format!("{:>9}  {what}", seconds(at)));
        }
    };
    add(at("pending_at_ms"), format!("alert pending (PSI {} seen)", number(&progress["psi_seen"])));
    add(at("fired_at_ms"), format!("alert fired: {}", string(&progress["alert"])));
    add(at("moved_at_ms"), format!("traffic moved to {}", string(&progress["stable"])));
    for actuator in progress["actuators"].as_array().into_iter().flatten() {
        let ms = actuator["ms"].as_i64().unwrap_or_default();
        let word = if actuator["done"] == true { "read back after" } else { "FAILED after" };
        add(at("confirmed_at_ms"), format!("{} {word} {ms} ms", string(&actuator["actuator"])));
    }
    let p95 = match progress["p95_after_ms"].as_f64() {
        Some(p95) => format!("p95 {p95:.1} ms"),
        None => "no traffic of its own to measure".to_owned(),
    };
    add(at("recovered_at_ms"), format!("latency recovered: {p95}"));
    add(at("restored_at_ms"), format!("drill over: traffic back on {}", string(&progress["version"])));
    steps
}

/// The instance's verdict: this side only prints it.
fn verdict(progress: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let p95 = |key: &str| progress[key].as_f64().map_or_else(|| "-".to_owned(), |p95| format!("{p95:.1} ms"));
    lines.push(format!(
        "p95: before {}, during {}, after {}",
        p95("p95_before_ms"),
        p95("p95_drill_ms"),
        p95("p95_after_ms")
    ));
    if let (Some(requests), Some(failed)) =
        (progress["requests"].as_u64(), progress["requests_failed"].as_u64())
    {
        lines.push(format!("requests of clients meanwhile: {requests}, lost: {failed}"));
    }
    lines.extend(progress["checks"].as_array().into_iter().flatten().map(check));
    let detail = progress["detail"].as_str().filter(|detail| !detail.is_empty());
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    lines.push(format!("drill {}{detail}", string(&progress["verdict"])));
    lines
}

/// One step against its limit.
fn check(check: &Value) -> String {
    let number = |value: &Value| match (value.as_i64(), check["unit"].as_str()) {
        (None, _) => "did not happen".to_owned(),
        (Some(ms), Some("ms")) => seconds(ms),
        (Some(n), _) => n.to_string(),
    };
    let word = if check["ok"] == true { "ok" } else { "FAILED" };
    format!(
        "{}: {} (limit {}): {word}",
        string(&check["name"]),
        number(&check["value"]),
        number(&check["limit"])
    )
}

fn seconds(ms: i64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

fn string(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finished_drill_reads_well() {
        let progress = json!({
            "state": "finished", "version": "v2", "stable": "v1", "injected_at_ms": 1_000, "pending_at_ms": 2_500,
            "fired_at_ms": 122_600, "alert": "FeaturePSICritical", "moved_at_ms": 122_700, "recovered_at_ms": 123_000,
            "restored_at_ms": null, "psi_seen": 0.3456, "p95_before_ms": 12.0, "p95_drill_ms": 548.0,
            "p95_after_ms": 11.0, "verdict": "passed", "detail": "", "confirmed_at_ms": 123_400,
            "requests": 4_711, "requests_failed": 0,
            "checks": [
                { "name": "change to alert", "value": 121_600, "limit": 300_000, "unit": "ms", "ok": true },
                { "name": "alert to all traffic moved", "value": 800, "limit": 90_000, "unit": "ms", "ok": true },
                { "name": "requests lost", "value": 0, "limit": 0, "unit": "requests", "ok": true },
            ],
            "actuators": [{ "actuator": "gateway", "done": true, "ms": 1 }, { "actuator": "parameter", "done": true, "ms": 650 }],
        });
        let text = [steps(&progress, 1_000), verdict(&progress)].concat().join("\n");
        insta::assert_snapshot!(text, @r"
            0.0 s  injection started
            1.5 s  alert pending (PSI 0.346 seen)
          121.6 s  alert fired: FeaturePSICritical
          121.7 s  traffic moved to v1
          122.4 s  gateway read back after 1 ms
          122.4 s  parameter read back after 650 ms
          122.0 s  latency recovered: p95 11.0 ms
        p95: before 12.0 ms, during 548.0 ms, after 11.0 ms
        requests of clients meanwhile: 4711, lost: 0
        change to alert: 121.6 s (limit 300.0 s): ok
        alert to all traffic moved: 0.8 s (limit 90.0 s): ok
        requests lost: 0 (limit 0): ok
        drill passed
        ");
    }

    #[test]
    fn a_failed_one_says_why() {
        let progress = json!({
            "verdict": "failed", "detail": "no critical alert fired within 90 s",
            "checks": [{ "name": "change to alert", "value": null, "limit": 300_000, "unit": "ms", "ok": false }],
        });
        let lines = verdict(&progress);
        assert!(
            lines.contains(&"change to alert: did not happen (limit 300.0 s): FAILED".to_owned()),
            "{lines:?}"
        );
        assert_eq!(
            lines.last().map(String::as_str),
            Some("drill failed: no critical alert fired within 90 s")
        );
    }
}
