//! `driftline baseline`: a reference profile from data files.
//!
//! Memory is bounded, whatever the size of the files: they are read several times instead. One pass finds each number's
//! range and counts the categories, one pass counts the numbers into bins. Bins at quantiles need order statistics in
//! between: exact ones, from a sort where all numbers fit into 64 MiB and from six counting passes otherwise.

mod by_tenant;
mod columns;
mod datasketches;
mod edges;
mod passes;
mod personal;
mod sagemaker;
mod select;
mod summary;
mod suspects;
mod tails;
#[cfg(test)]
pub(crate) mod tests;
mod whylogs;

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use monitor::profile::{BuildRules, Profile};
use stats::{BinningRule, RangeRule};

use crate::compare::{Binning, print_note, profile_bytes};
use crate::data_files::DataArgs;
pub(crate) use passes::CATEGORIES;
use summary::Summary;

/// The range that equal-width bins divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Range {
    /// Smallest to largest value
    Minmax,
    /// Quantile 0.001 to quantile 0.999: outliers don't stretch the bins
    Quantile,
    /// Median plus and minus five robust standard deviations
    Iqr,
}

/// What the files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Input {
    /// Rows: CSV, Parquet or JSON lines
    #[default]
    Data,
    /// The `statistics.json` of SageMaker Model Monitor
    Sagemaker,
    /// A profile of whylogs 1.x (`profile.bin`)
    Whylogs,
}

/// Arguments of `driftline baseline`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BaselineArgs {
    /// CSV, Parquet or JSON lines files, .gz and .zst too; a folder or a pattern of them is one table; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What FILE is
    #[arg(long, value_enum, default_value_t)]
    pub(crate) from: Input,
    /// Where the profile goes; `-` prints it
    #[arg(short, long, value_name = "OUT.json")]
    pub(crate) output: PathBuf,
    /// Name of the model or data set [default: the first file's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Bins of a numeric feature
    #[arg(long, default_value_t = 10, value_parser = parse_bins)]
    pub(crate) bins: usize,
    /// How bins of a numeric feature are cut
    #[arg(long, value_enum, default_value = "equal-width")]
    pub(crate) binning: Binning,
    /// What equal-width bins divide
    #[arg(long, value_enum, default_value = "minmax")]
    pub(crate) range: Range,
    /// Hash personal data as this configuration's `privacy` says
    ///
    /// Names and categories are written as live traffic will show them, and columns of numbers that are hashed are left out.
    /// Without it the profile holds what the data holds, but for free text, and a note says where that looks like personal data.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Leave out these columns (comma separated, repeatable)
    #[arg(long, value_name = "COL", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// The column that names the tenant: what each tenant's rows look like is written as well
    ///
    /// Tenants differ from each other; a running instance compares each with its own part of the profile from its first request
    /// on, in place of learning it from live traffic. The column itself is no feature.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) by: Option<String>,
    /// The rows are in no order: do not measure how much they resemble their neighbours (for the detector)
    #[arg(long)]
    pub(crate) unordered: bool,
    /// Overwrite the output file (never one of the input files)
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

fn parse_bins(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bins) if (2..=stats::MAX_BINS).contains(&bins) => Ok(bins),
        _ => {
            Err(format!("use a number from 2 to {}, as many as live windows have room for", stats::MAX_BINS))
        }
    }
}

impl BaselineArgs {
    fn rule(&self) -> Result<BinningRule> {
        let bins = self.bins;
        let range = match self.range {
            Range::Minmax => RangeRule::MinMax,
            Range::Quantile => RangeRule::Quantile,
            Range::Iqr => RangeRule::Iqr,
        };
        match self.binning {
            Binning::EqualWidth => Ok(BinningRule::EqualWidth { bins, range }),
            Binning::Quantile if range == RangeRule::MinMax => Ok(BinningRule::Quantile { bins }),
            Binning::Quantile => {
                bail!("`--range` divides equal-width bins only: leave it out with `--binning quantile`")
            }
        }
    }

    fn profile_name(&self) -> String {
        let stem = || {
            self.files
                .first()
                .and_then(|file| file.file_stem())
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        self.name.clone().or_else(stem).unwrap_or_default()
    }
}

/// Builds the profile and writes it; a summary goes to standard error. The exit code is 0.
///
/// # Errors
/// When a file cannot be read, or the output exists and `--force` is not given.
pub(crate) fn run(args: &BaselineArgs, out: &mut dyn Write) -> Result<u8> {
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout {
        check_output(args)?;
    }
    let rules = match &args.config {
        None => None,
        Some(file) => match config::load_privacy(file, &|name| std::env::var(name).ok()) {
            Ok(rules) => Some(rules),
            Err(problems) => {
                print_note(problems.to_string().trim_end());
                return Ok(2);
            }
        },
    };
    let mut notes = Vec::new();
    let (mut profile, columns) = build(args, &mut notes)?;
    let hides = rules.is_some();
    let rules = rules.unwrap_or_else(|| record::Privacy::texts_only().into());
    profile = personal::without_texts(profile, &rules, &mut notes)?;
    if hides {
        profile = personal::hide(profile, &rules, &mut notes)?;
    } else {
        personal::look(&profile, &mut notes);
    }
    match (&args.by, columns) {
        (Some(by), Some(mut columns)) => {
            by_tenant::add(&mut columns, by, &mut profile, &rules, &mut notes)?;
        }
        (Some(_), None) => bail!("`--by` is about rows, of which `--from` has none: leave it out"),
        (None, _) => {}
    }
    suspects::look(&profile, &mut notes);
    notes.iter().for_each(|note| print_note(note));
    let text = profile.to_json_pretty();
    if to_stdout {
        writeln!(out, "{text}").context("cannot write the profile")?;
    } else {
        write_file(&args.output, &text)
            .with_context(|| format!("cannot write `{}`", args.output.display()))?;
        let (features, rows) = (profile.features.len(), profile.rows);
        print_note(&format!("`{}`: profile of {features} features over {rows} rows", args.output.display()));
    }
    Ok(0)
}

/// Refuses to write over an input, whatever `--force` says, and over any other file without it.
fn check_output(args: &BaselineArgs) -> Result<()> {
    let output = &args.output;
    if !output.exists() {
        return Ok(());
    }
    let shown = output.display();
    let inputs = args.files.iter().chain(&args.config);
    for input in inputs.flat_map(|path| tabular::files_of(path)) {
        if is_same_file(&input, output) {
            bail!(
                "`{shown}` is an input of this command: the profile would overwrite it. Name another file with `-o`, such as `{}`",
                beside(output).display()
            );
        }
    }
    if output.is_dir() {
        bail!("`{shown}` is a folder: name a file with `-o`");
    }
    if !args.force {
        match profile_bytes(output) {
            Ok(Some(_)) => bail!("`{shown}` exists: name another file, or overwrite it with `--force`"),
            _ => bail!(
                "`{shown}` exists and is not a profile: name another file, such as `{}`; `--force` would overwrite it",
                beside(output).display()
            ),
        }
    }
    Ok(())
}

/// The name of a profile beside a file.
fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("model");
    file.with_file_name(format!("{stem}-baseline.json"))
}

/// Whether two paths lead to one file, through links as well.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt;
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The profile, and the columns that it was made of where there are any.
fn build(args: &BaselineArgs, notes: &mut Vec<String>) -> Result<(Profile, Option<columns::Columns>)> {
    let rule = args.rule()?;
    if args.from != Input::Data {
        return Ok((summarised(args, rule, notes)?, None));
    }
    let mut columns = columns::open(&args.files, &args.exclude, &args.data, notes).map_err(|error| {
        match args.files.iter().find(|file| sagemaker::is_one(file)) {
            Some(file) => error.context(format!(
                "`{}` looks like a statistics.json of SageMaker Model Monitor: read it with `--from sagemaker`",
                file.display()
            )),
            None => error,
        }
    })?;
    let mut features = passes::features(&mut columns, rule)?;
    tails::add(&mut columns, &mut features, !args.unordered)?;
    if let Some(by) = &args.by {
        by_tenant::take_out(&mut features, by);
    }
    passes::note_others(&features, notes);
    let profile = Profile {
        name: args.profile_name(),
        created_at_ms: jiff::Timestamp::now().as_millisecond(),
        rows: columns.n_rows(),
        features,
        tenants: Vec::new(),
    };
    profile.check().context("the profile is not consistent")?;
    Ok((profile, Some(columns)))
}

/// The profile of what somebody else has measured.
fn summarised(args: &BaselineArgs, rule: BinningRule, notes: &mut Vec<String>) -> Result<Profile> {
    let [file] = &*args.files else { bail!("`--from` takes one file unless it is `data`") };
    if args.unordered {
        bail!("`--unordered` is about rows, of which `--from` has none: leave it out");
    }
    let mut bytes = Vec::new();
    let shown = file.display();
    match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)),
    }
    .with_context(|| format!("cannot read `{shown}`"))?;
    let rules = BuildRules { binning: rule, categories: passes::CATEGORIES };
    let summary = Summary::new(args.profile_name(), rules, &args.exclude, notes);
    let made = match args.from {
        Input::Whylogs => whylogs::profile(&bytes, summary),
        _ => sagemaker::profile(&bytes, summary),
    };
    made.with_context(|| format!("`{shown}`"))
}

/// Writes beside the target and renames: a reader sees the old profile or the new one, never half of one.
fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    readable_by_all(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// Temporary files are private; a profile is meant for others too.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
