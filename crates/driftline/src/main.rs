//! The `driftline` program: arguments, commands, exit codes, output.
//!
//! Exit codes everywhere: 0 fine, 1 drift found or a check failed, 2 usage or configuration error.

mod admin_client;
mod backtest;
mod baseline;
mod check;
mod cli;
mod compare;
mod control_commands;
mod data_files;
mod demo;
mod detect;
mod drill;
mod export;
mod follow;
mod http_client;
mod json_lines;
mod logging;
mod observe;
mod output;
mod replay;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::output::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default_filter = match cli.command {
        Command::Run(_) | Command::Observe(_) | Command::Follow(_) => "info",
        // The demo prints the alerts itself.
        Command::Demo(_) => "warn,server::control_loop=error",
        _ => "warn",
    };
    logging::start(cli.log_format, default_filter);
    let outcome = match &cli.command {
        Command::Run(args) => run::run(args, cli.log_format),
        Command::Observe(args) => observe::run(args, cli.log_format),
        Command::Demo(args) => demo::run(args),
        Command::Example(args) => demo::example::run(args),
        Command::Compare(args) => output::with_stdout(|out| compare::run(args, out)),
        Command::Detect(args) => output::with_stdout(|out| detect::run(args, out)),
        Command::Backtest(args) => output::with_stdout(|out| backtest::run(args, out)),
        Command::Baseline(args) => output::with_stdout(|out| baseline::run(args, out)),
        Command::Replay(args) => replay::run(args),
        Command::Drill(args) => drill::run(args),
        Command::Check(args) => output::with_stdout(|out| check::run(args, out)),
        Command::Export(args) => export::run(args),
        Command::Completions(args) => export::completions(args),
        Command::Status(args) => control_commands::status(args),
        Command::Healthcheck(args) => control_commands::healthcheck(args),
        Command::Rollback(args) => control_commands::rollback(args),
        Command::Promote(args) => control_commands::promote(args),
        Command::AutoRollback(args) => control_commands::auto_rollback(args),
        Command::Approve(args) => control_commands::approve(args),
        Command::Reject(args) => control_commands::reject(args),
        Command::Hold(args) => control_commands::hold(args),
        Command::Release(args) => control_commands::release(args),
        Command::Retrain(args) => control_commands::retrain(args),
        Command::Follow(args) => follow::run(args, cli.log_format),
    };
    output::finish(outcome)
}

impl From<u8> for Exit {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Fine,
            1 => Self::Found,
            _ => Self::Usage,
        }
    }
}
