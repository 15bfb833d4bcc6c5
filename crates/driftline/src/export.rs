//! `export` and `completions`.

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ExportArgs, ExportKind};
use crate::output::{Exit, Outcome};
use crate::run::{report_problems, report_warnings};

/// `driftline export`.
pub(crate) fn run(args: &ExportArgs) -> Outcome {
    let text = match args.kind {
        ExportKind::JsonSchema => format!("{:#}\n", config::json_schema()),
        ExportKind::PrometheusRules => {
            let policy = match &args.config {
                None => config::default_policy(),
                Some(file) => match config::load(file, &|name| std::env::var(name).ok()) {
                    Ok(loaded) => {
                        report_warnings(&loaded);
                        loaded.settings.policy
                    }
                    Err(problems) => return Ok(report_problems(&problems)),
                },
            };
            control::rules_yaml(&policy)
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
