//! `driftline compare`: how far a data file lies from a reference, feature by feature.
//!
//! The definitions are those of the live gauges: bins from the reference, PSI on shares floored at 1e-4, JS in base 2.
//! Beside them, for numbers, Kolmogorov-Smirnov and Wasserstein on the values themselves. Parquet files are read column by
//! column, CSV and JSON lines all columns at once. Of texts the different ones are counted; numbers are held in memory up
//! to a limit, and beyond it in an unnamed temporary file.

mod change;
mod exact;
mod findings;
mod measure;
mod numbers;
mod rule;
mod sample;
mod source;
#[cfg(test)]
mod tests;
mod truncation;

use std::io::Write;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::data_files::DataArgs;
use crate::report;

pub(crate) use rule::FailOn;
pub(crate) use source::{profile_bytes, show_progress};

/// Output of `compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people: sorted by PSI, with verdicts.
    Table,
    /// One JSON document for programs.
    Json,
    /// One HTML page with histograms, without scripts.
    Html,
    /// For pull requests and tickets.
    Markdown,
}

/// How bins of numbers are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Binning {
    /// Bins of one width between the reference's smallest and largest value.
    EqualWidth,
    /// Bins with equally many reference values.
    Quantile,
}

/// Arguments of `driftline compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// What is normal: a CSV, Parquet or JSON lines file (.gz and .zst too), a folder or a pattern of them, or a profile made by
    /// `driftline baseline`
    #[arg(long, value_name = "FILE")]
    pub(crate) reference: std::path::PathBuf,
    /// What is compared with it; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) current: std::path::PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: OutputFormat,
    /// Bins of a numeric feature
    #[arg(long, default_value_t = 10, value_parser = parse_bins)]
    pub(crate) bins: usize,
    /// How bins of a numeric feature are cut
    #[arg(long, value_enum, default_value = "equal-width")]
    pub(crate) binning: Binning,
    /// Exit with 1 if this holds for any feature, such as 'psi>0.2' or 'psi>0.2 or missing_current>0.1 or absent or type'. A PSI
    /// that chance explains is above no limit; `psi_raw` is the bare number
    #[arg(long, value_name = "EXPR")]
    pub(crate) fail_on: Option<FailOn>,
    /// Leave out these columns (comma separated, repeatable)
    #[arg(long, value_name = "COL", value_delimiter = ',', conflicts_with = "only")]
    pub(crate) exclude: Vec<String>,
    /// Compare only these columns (comma separated, repeatable)
    #[arg(long, value_name = "COL", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// The number of bins an option asks for.
pub(crate) fn parse_bins(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bins) if (2..=stats::MAX_OFFLINE_BINS).contains(&bins) => Ok(bins),
        _ => Err(format!("use a number from 2 to {}", stats::MAX_OFFLINE_BINS)),
    }
}

/// Compares and prints to `out`; notes for people go to standard error. Returns the exit code: 1 if `--fail-on` is given
/// and holds, else 0.
///
/// # Errors
/// When a file cannot be read, there is nothing to compare, or `out` cannot be written.
pub(crate) fn run(args: &CompareArgs, out: &mut dyn Write) -> Result<u8> {
    let report = measure::compare(args)?;
    for note in &report.notes {
        print_note(note);
    }
    match args.format {
        OutputFormat::Table => report::table::write(&report, out),
        OutputFormat::Json => report::json::write(&report, out),
        OutputFormat::Html => report::html::write(&report, out),
        OutputFormat::Markdown => report::markdown::write(&report, out),
    }
    .context("cannot write the report")?;
    Ok(u8::from(report.failed))
}

#[expect(clippy::print_stderr, reason = "notes for people belong to standard error")]
pub(crate) fn print_note(note: &str) {
    eprintln!("note: {note}");
}
