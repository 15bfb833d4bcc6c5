//! `driftline check`: a configuration by itself, or against a sample of the requests that are to come.

mod print;
mod requests;
mod sample;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::json_lines::Lines;
use crate::output::note;
use crate::run::report_warnings;

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Configuration file
    #[arg(short, long, env = "DRIFTLINE_CONFIG", default_value = "driftline.yaml")]
    pub(crate) config: PathBuf,
    /// Requests to compare the reference profiles with: request bodies or inference records, one a line, or a data file with a header;
    /// `.gz` is unpacked, `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) sample: Option<PathBuf>,
    /// The model that request bodies in the sample are for [default: the only one]
    #[arg(long, value_name = "NAME", requires = "sample")]
    pub(crate) model: Option<String>,
    /// Output format of the comparison
    #[arg(long, value_enum, default_value_t, requires = "sample")]
    pub(crate) format: CheckFormat,
}

/// Checks the configuration, and the sample if there is one. The exit code is 1 when a model of the sample would not be armed or
/// no request could be read, and 2 when the configuration has errors.
///
/// # Errors
/// When the sample cannot be read, or `out` cannot be written.
pub(crate) fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<u8> {
    let loaded = match config::load(&args.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            note(problems.to_string().trim_end());
            return Ok(2);
        }
    };
    report_warnings(&loaded);
    let settings = loaded.settings;
    let models = settings.models.len();
    let plural = if models == 1 { "" } else { "s" };
    let only = if settings.forwards() { "" } else { ", measured only (`driftline observe`)" };
    let valid = format!("`{}` is valid: {models} model{plural}{only}", args.config.display());
    let Some(file) = &args.sample else {
        writeln!(out, "{valid}")?;
        return Ok(0);
    };
    let mut sample = sample::Sample::new(settings.monitor, args.model.as_deref())?;
    match table::is_table(file)? {
        true => sample.read_table(file)?,
        false => sample.read(Lines::open(file)?)?,
    }
    let report = sample.report();
    match args.format {
        CheckFormat::Text => {
            writeln!(out, "{valid}")?;
            print::text(&report, out)?;
        }
        CheckFormat::Json => print::json(&report, out)?,
    }
    Ok(u8::from(!report.armed))
}
