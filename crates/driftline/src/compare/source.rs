//! A side of the comparison: a data file or a profile.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use monitor::profile::{FeatureProfile, Profile};
use record::value::is_boolean;
use stats::Bins;
use tabular::{Column, ColumnKind, ReadAs, Schema, Table, Want};

use super::numbers::{Numbers, Spill};
use super::sample::{Sample, Texts};
use crate::data_files::DataArgs;

/// Different texts a column may have before it is refused: it can only be an identifier, and each costs memory.
const DISTINCT_TEXTS_MAX: usize = 2_000_000;
/// Larger profiles are refused: 20 000 features are some megabytes.
const PROFILE_BYTES_MAX: u64 = 256 << 20;

/// Numbers of one file that are held in memory, over all of its columns that are read at once: 32 MiB.
const HELD_NUMBERS: usize = 4 << 20;

/// The type of a column on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Numeric,
    Categorical,
    /// Of the categories `true` and `false`.
    Boolean,
    /// No value at all: takes the other side's type.
    Unknown,
}

pub(super) enum Source {
    Data(Box<DataFile>),
    Profile { name: String, profile: Profile },
}

impl Source {
    pub(super) fn open(path: &Path, data: &DataArgs) -> Result<Self> {
        let name = path.display().to_string();
        if let Some(bytes) = profile_bytes(path).with_context(|| format!("cannot read `{name}`"))? {
            let profile = Profile::from_json(&bytes).with_context(|| format!("`{name}`"))?;
            return Ok(Self::Profile { name, profile });
        }
        Ok(Self::Data(Box::new(DataFile::open(path, data)?)))
    }

    /// Keeps empty texts and missing values apart if both sides can: two data files whose formats write them differently.
    pub(super) fn keep_empty_texts(&mut self, other: &mut Self) {
        if let (Self::Data(one), Self::Data(other)) = (self, other)
            && one.table.format().has_empty_texts()
            && other.table.format().has_empty_texts()
        {
            one.table.keep_empty_texts();
            other.table.keep_empty_texts();
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Data(file) => file.table.name(),
            Self::Profile { name, .. } => name,
        }
    }

    pub(super) fn n_rows(&self) -> u64 {
        match self {
            Self::Data(file) => file.schema.n_rows,
            Self::Profile { profile, .. } => profile.rows,
        }
    }

    pub(super) fn columns(&self) -> Vec<(String, Kind)> {
        match self {
            Self::Data(file) => {
                file.schema.columns.iter().map(|column| (column.name.clone(), kind(column.kind))).collect()
            }
            Self::Profile { profile, .. } => {
                let kind = |bins: &Bins| match bins {
                    Bins::Numeric(_) => Kind::Numeric,
                    Bins::Categorical(bins) if is_boolean(bins.categories()) => Kind::Boolean,
                    Bins::Categorical(_) => Kind::Categorical,
                };
                profile.features.iter().map(|feature| (feature.name.clone(), kind(&feature.bins))).collect()
            }
        }
    }

    pub(super) fn profile_feature(&self, name: &str) -> Option<&FeatureProfile> {
        match self {
            Self::Data(_) => None,
            Self::Profile { profile, .. } => profile.feature(name),
        }
    }
}

fn kind(kind: ColumnKind) -> Kind {
    match kind {
        ColumnKind::Empty => Kind::Unknown,
        ColumnKind::Boolean => Kind::Boolean,
        _ if kind.is_numeric() => Kind::Numeric,
        _ => Kind::Categorical,
    }
}

/// The content of a file that says it is a profile; `None` if it does not.
pub(crate) fn profile_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    // Errors of opening are left to `Table`, which explains them. A pipe must not be read twice.
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    (&mut file).take(4096).read_to_end(&mut head)?;
    let is_profile = head.trim_ascii_start().starts_with(b"{")
        && head.windows(PROFILE_KEY.len()).any(|window| window == PROFILE_KEY);
    if !is_profile {
        return Ok(None);
    }
    if metadata.len() > PROFILE_BYTES_MAX {
        bail!("a profile larger than {} MiB", PROFILE_BYTES_MAX >> 20);
    }
    file.read_to_end(&mut head)?;
    Ok(Some(head))
}

const PROFILE_KEY: &[u8] = b"\"driftline_profile\"";

/// An opened data file with the samples read so far.
pub(super) struct DataFile {
    table: Table,
    /// What was assumed about the file.
    pub(super) notes: Vec<String>,
    pub(super) schema: Schema,
    samples: HashMap<String, Sample>,
    spill: Rc<RefCell<Spill>>,
}

impl DataFile {
    fn open(path: &Path, data: &DataArgs) -> Result<Self> {
        let mut table = data.open(path)?;
        // A columnar file is passed through once a column: too short for a bar each.
        if !table.format().is_columnar() {
            show_progress(&mut table);
        }
        let schema = table.schema()?.clone();
        let notes = crate::data_files::notes(&table);
        Ok(Self { table, notes, schema, samples: HashMap::new(), spill: Rc::default() })
    }

    /// Prepares to deliver these columns; the flag says whether as numbers. A row format is read once, now; a columnar
    /// one column by column, later.
    pub(super) fn prepare(&mut self, columns: &[(String, bool)]) -> Result<()> {
        if !self.table.format().is_columnar() {
            self.read(columns)?;
        }
        Ok(())
    }

    /// The share of a text column's values that a numeric feature cannot take, missing ones left out. Where the format itself says
    /// that they are strings, all of them, whatever they spell: a model gets a string.
    pub(super) fn share_of_texts(&mut self, name: &str) -> Result<f64> {
        let Some(column) = self.schema.position(name).filter(|_| !self.table.format().is_columnar()) else {
            return Ok(1.0);
        };
        let (mut values, mut texts) = (0_u64, 0_u64);
        let mut scan = self.table.scan(&[Want { column, read_as: ReadAs::Text }])?;
        while let Some(batch) = scan.next_batch()? {
            for column in batch.columns() {
                let Column::Text(cells) = column else { continue };
                for text in cells.iter().flatten() {
                    values += 1;
                    texts += u64::from(record::value::number(text).is_none());
                }
            }
        }
        drop(scan);
        match texts {
            0 if self.table.format().has_empty_texts() => Ok(1.0),
            texts => Ok(texts as f64 / values.max(1) as f64),
        }
    }

    /// The values of a column; each can be had once.
    pub(super) fn take(&mut self, name: &str, numeric: bool) -> Result<Sample> {
        if !self.samples.contains_key(name) {
            self.read(&[(name.to_owned(), numeric)])?;
        }
        self.samples.remove(name).with_context(|| format!("`{}` has no column `{name}`", self.table.name()))
    }

    fn read(&mut self, columns: &[(String, bool)]) -> Result<()> {
        let mut wants = Vec::with_capacity(columns.len());
        let mut samples: Vec<(&String, Sample)> = Vec::with_capacity(columns.len());
        for (name, numeric) in columns {
            let Some(column) = self.schema.position(name) else { continue };
            let read_as = if *numeric { ReadAs::Numbers } else { ReadAs::Text };
            wants.push(Want { column, read_as });
            samples.push((
                name,
                if *numeric {
                    Sample::Numbers(Numbers::new(HELD_NUMBERS / columns.len(), Rc::clone(&self.spill)))
                } else {
                    Sample::Texts(Texts::default())
                },
            ));
        }
        let mut scan = self.table.scan(&wants)?;
        while let Some(batch) = scan.next_batch()? {
            for ((name, sample), column) in samples.iter_mut().zip(batch.columns()) {
                sample.add(column).with_context(|| {
                    format!("column `{name}`: cannot write a temporary file\nhint: is there room in the folder for temporary files (TMPDIR)?")
                })?;
                if sample.n_distinct_texts() > DISTINCT_TEXTS_MAX {
                    bail!(
                        "column `{name}` has more than {DISTINCT_TEXTS_MAX} different texts\nhint: an identifier? leave it out with --exclude {name}"
                    );
                }
            }
        }
        for (name, sample) in samples {
            self.samples.insert(name.clone(), sample);
        }
        Ok(())
    }
}

/// A progress bar over each pass through the file, on a terminal only.
pub(crate) fn show_progress(table: &mut Table) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = indicatif::ProgressBar::new(0).with_message(table.name().to_owned());
    if let Ok(style) = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {percent}%") {
        bar.set_style(style);
    }
    table.on_progress(move |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        if progress.done == progress.total {
            bar.finish_and_clear();
        }
    });
}
