//! `export` and `completions`.
//!
//! What is exported comes from one policy: the embedded rules', or the default one when no configuration is named.

mod alertmanager;
mod compose;
mod dashboard;
mod panels;

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;
use config::Settings;
use control::Policy;

use crate::cli::{Cli, CompletionsArgs, ExportArgs, ExportKind};
use crate::output::{Exit, Outcome};
use crate::run::{report_problems, report_warnings};

/// What an export is made from.
#[derive(Debug)]
struct Input {
    policy: Policy,
    /// Whether the admin API asks for a token.
    with_token: bool,
    /// What the configuration says, if one was named.
    settings: Option<Settings>,
}

/// `driftline export`.
pub(crate) fn run(args: &ExportArgs) -> Outcome {
    let input = match &args.config {
        // A stack needs a token: without one Driftline takes changes from its own machine only.
        None => Input { policy: config::default_policy(), with_token: true, settings: None },
        Some(file) => match config::load(file, &|name| std::env::var(name).ok()) {
            Ok(loaded) => {
                report_warnings(&loaded);
                let with_token = loaded.settings.admin.token.is_some();
                Input { policy: loaded.settings.policy.clone(), with_token, settings: Some(loaded.settings) }
            }
            Err(problems) => return Ok(report_problems(&problems)),
        },
    };
    let text = match args.kind {
        ExportKind::JsonSchema => format!("{:#}\n", config::json_schema()),
        ExportKind::PrometheusRules => control::rules_yaml(&input.policy),
        ExportKind::Alertmanager => alertmanager::alertmanager_yaml(&input.policy, input.with_token),
        ExportKind::GrafanaDashboard => dashboard::dashboard_json(&input.policy),
        ExportKind::Compose => {
            match compose::export(&input, args.config.as_deref(), args.output.as_deref())? {
                Some(text) => text,
                None => return Ok(Exit::Fine),
            }
        }
    };
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(Exit::Fine)
}

/// `driftline completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> Outcome {
    // Written here and not by the generator, which panics when the reader has gone away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "driftline", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests;
