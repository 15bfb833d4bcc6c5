//! `driftline detect`: the sequential detector over standard input.
//!
//! Three forms. With `--reference` it reads rows (CSV or JSON lines, as they come in) and prints a line for every alarm.
//! With `--blocks` it reads blocks of numbers, reference and stream one after the other, and answers with the row of the
//! first alarm: what a benchmark wants. With `--merge` it adds up what running replicas have counted.

mod blocks;
mod memory;
mod merge;
mod print;
mod reference;
mod stream;
mod watch;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use stats::detect::Settings;

use crate::data_files::DataArgs;

/// Rows between false alarms where nothing is asked for: ten times as many as 10 000 cost 4 to 22 rows of delay on real changes.
const ARL0: f64 = 100_000.0;

/// How alarms are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlarmFormat {
    /// A sentence a line.
    Text,
    /// A JSON document a line.
    Json,
}

/// Arguments of `driftline detect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DetectArgs {
    /// What is normal: a CSV, Parquet or JSON lines file in the order in which its rows came in, or a profile
    #[arg(long, value_name = "FILE", required_unless_present_any = ["blocks", "merge"])]
    pub(crate) reference: Option<PathBuf>,
    /// Wanted mean number of rows between false alarms [default: 100000; with --merge what the replicas ask for, added up]
    #[arg(long, value_name = "ROWS", value_parser = parse_arl)]
    pub(crate) arl: Option<f64>,
    /// Differences below this many standard deviations are nobody's concern
    #[arg(long, value_name = "SD", default_value_t = 0.05, value_parser = parse_effect)]
    pub(crate) min_effect: f64,
    /// Take the proven threshold: fewer false alarms than wanted, and later true ones
    #[arg(long)]
    pub(crate) strict: bool,
    /// The reference's rows are in no order: do not measure how much they resemble their neighbours
    #[arg(long)]
    pub(crate) unordered: bool,
    /// Leave out these columns (comma separated, repeatable)
    #[arg(long, value_name = "COL", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Also write the evidence after every row to this CSV file, as a share of what an alarm needs
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// How to print alarms
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: AlarmFormat,
    /// Watch the production rows of all replicas as one: admin addresses of running instances that compare with the same
    /// profile (comma separated, repeatable)
    #[arg(long, value_name = "URL", value_delimiter = ',',
        conflicts_with_all = ["reference", "exclude", "min_effect", "unordered", "trace"])]
    pub(crate) merge: Vec<String>,
    /// With --merge: the model [default: the only one]
    #[arg(long, requires = "merge")]
    pub(crate) model: Option<String>,
    /// With --merge: the version [default: the one that clients of the first replica get]
    #[arg(long, requires = "merge")]
    pub(crate) version: Option<String>,
    /// With --merge: file that holds the bearer token (DRIFTLINE_TOKEN holds the token itself)
    #[arg(long, value_name = "FILE", requires = "merge")]
    pub(crate) token_file: Option<PathBuf>,
    /// Read blocks `DRIFT1 m d n arl0 kinds`, then m reference and n stream lines of d numbers; print for each the row of
    /// the first alarm, from 0, or -1. No difference is nobody's concern, as with `--min-effect 0`; what the reference is too
    /// small to know (2 / sqrt(m) standard deviations) stays out of account
    #[arg(long, conflicts_with_all = ["reference", "arl", "exclude", "format", "min_effect", "unordered", "trace", "merge"])]
    pub(crate) blocks: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

impl DetectArgs {
    fn settings(&self) -> Settings {
        Settings { arl0: self.arl.unwrap_or(ARL0), strict: self.strict, ..Settings::default() }
    }
}

fn parse_arl(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rows) if (100.0..=1e12).contains(&rows) => Ok(rows),
        _ => Err("use a number of rows from 100 to 1e12".to_owned()),
    }
}

fn parse_effect(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(effect) if (0.0..=1.0).contains(&effect) => Ok(effect),
        _ => Err("use a number from 0 to 1".to_owned()),
    }
}

/// Reads standard input to its end. Returns the exit code: 1 if `--reference` was given and there was an alarm.
///
/// # Errors
/// When the reference or standard input cannot be read, or `out` cannot be written.
pub(crate) fn run(args: &DetectArgs, out: &mut dyn Write) -> Result<u8> {
    let mut input = io::stdin().lock();
    if args.blocks {
        blocks::run(&mut input, args.strict, out)?;
        return Ok(0);
    }
    if !args.merge.is_empty() {
        return Ok(u8::from(merge::run(args, out)? > 0));
    }
    let Some(path) = &args.reference else { bail!("`--reference` is missing") };
    let columns = reference::read(path, &args.exclude, &args.data)?;
    let mut watch = watch::Watch::new(columns, !args.unordered, args.min_effect)?;
    watch.notes().iter().for_each(|note| crate::compare::print_note(note));
    let mut trace = match &args.trace {
        Some(path) => Some(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?,
        )),
        None => None,
    };
    let mut output = stream::Output {
        format: args.format,
        out,
        trace: trace.as_mut().map(|trace| trace as &mut dyn Write),
    };
    let alarms = stream::run(&mut watch, args.settings(), &args.data, &mut input, &mut output)?;
    if let Some(trace) = &mut trace {
        trace.flush().context("cannot write the trace")?;
    }
    Ok(u8::from(alarms > 0))
}
