//! `driftline backtest`: recorded inferences through a policy, to see which alarms and rollbacks it would have made.
//!
//! The same engine and the same controller as in a running instance, with the records' own time for a clock. What a rollback
//! would have changed in the requests that came after it nobody knows: the records stay what they are.

mod block;
mod calm;
mod calm_print;
mod print;
mod read;
mod rehearsal;
mod shuffle;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::output::note;

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BacktestFormat {
    /// A line for each thing that happened, then a summary.
    Text,
    /// One JSON document.
    Json,
}

/// Arguments of `driftline backtest`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BacktestArgs {
    /// The configuration: its models, rules and modes
    #[arg(short, long, value_name = "FILE", default_value = "driftline.yaml")]
    pub(crate) config: PathBuf,
    /// Recorded inferences, JSON lines as the inference log writes them, in the order of time; `.gz` is unpacked, `-` is
    /// standard input
    #[arg(required = true, value_name = "RECORDS")]
    pub(crate) records: Vec<PathBuf>,
    /// Mix the records among their times first, so that nothing changes over time: every alarm is then a false one
    #[arg(long, group = "mixing")]
    pub(crate) shuffle: bool,
    /// Mix the records by blocks N times and count the alerts and rollbacks that the policy makes without any change
    #[arg(long, value_name = "N", group = "mixing", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) calm: Option<u32>,
    /// Records of a block of `--calm`, which keep their order [default: ten times as many as depend on each other]
    #[arg(long, value_name = "RECORDS", requires = "calm", value_parser = parse_block)]
    pub(crate) block: Option<usize>,
    /// Seed of `--shuffle`, and of the first run of `--calm`: the same number, the same order
    #[arg(long, value_name = "N", default_value_t = 1, requires = "mixing")]
    pub(crate) seed: u64,
    /// How often rules are judged, in the records' time; by default as configured, but at most once a second
    #[arg(long, value_name = "TIME", value_parser = parse_every)]
    pub(crate) every: Option<Duration>,
    /// How to print what would have happened
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: BacktestFormat,
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "use a time such as 1s or 15s".to_owned())?;
    match Duration::try_from(span) {
        Ok(every) if (Duration::from_millis(10)..=Duration::from_secs(600)).contains(&every) => Ok(every),
        _ => Err("use a time from 10ms to 10m".to_owned()),
    }
}

fn parse_block(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(records) if (1..=1_000_000).contains(&records) => Ok(records),
        _ => Err("use a number of records from 1 to 1000000".to_owned()),
    }
}

/// Plays the records. Returns the exit code: 1 if an alert fired; with `--calm`, if a critical one did or a rollback was made.
///
/// # Errors
/// When the configuration or the records cannot be read, or `out` cannot be written.
pub(crate) fn run(args: &BacktestArgs, out: &mut dyn Write) -> Result<u8> {
    let settings = match config::load(&args.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded.settings,
        Err(problems) => {
            note(problems.to_string().trim_end());
            return Ok(2);
        }
    };
    if settings.monitor.is_empty() {
        bail!("`{}` has no model: there is nothing that records could belong to", args.config.display());
    }
    let every = args.every.unwrap_or(settings.observe.evaluate_every.max(Duration::from_secs(1)));
    if let Some(runs) = args.calm {
        let mut records = read::Records::new(&args.records);
        let all = shuffle::all(&mut records)?;
        let calm = calm::Calm { runs, seed: args.seed, block: args.block, every };
        let outcome = calm::run(&settings, all, records.unreadable(), calm)?;
        calm_print::print(&outcome, args.format, out)?;
        return Ok(u8::from(!outcome.is_calm()));
    }
    let mut rehearsal = rehearsal::Rehearsal::new(&settings, every);
    let mut print = print::Printer::new(args.format, out);
    let mut records = read::Records::new(&args.records);
    if args.shuffle {
        for record in shuffle::mixed(&mut records, args.seed)? {
            rehearsal.play(&record, &mut |event| print.event(event))?;
        }
    } else {
        while let Some(record) = records.next()? {
            rehearsal.play(&record, &mut |event| print.event(event))?;
        }
    }
    let summary = rehearsal.end(records.unreadable(), &mut |event| print.event(event))?;
    print.summary(&summary, args.shuffle)?;
    Ok(u8::from(summary.fired() > 0))
}
