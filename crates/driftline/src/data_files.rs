//! Options of every command that reads data files, and what is said about how a file was read.

use std::path::Path;

use clap::Args;
use tabular::{Decimal, ReadOptions, Table};

/// How data files are read where they do not say so themselves.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reading data files")]
pub(crate) struct DataArgs {
    /// Character that separates the cells of CSV: one character, or tab, space, pipe [default: recognised]
    #[arg(long, value_name = "CHAR", value_parser = tabular::parse_delimiter)]
    pub(crate) delimiter: Option<u8>,
    /// Decimal sign of CSV, `.` or `,` [default: recognised]
    #[arg(long, value_name = "SIGN", value_parser = tabular::parse_decimal)]
    pub(crate) decimal: Option<Decimal>,
    /// Text that stands for a missing value, instead of NA, N/A, n/a, null, NULL, None, -, `<NA>` and #N/A (repeatable; empty
    /// cells and NaN are always missing)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) na: Option<Vec<String>>,
    /// Encoding of CSV and JSON lines, such as windows-1252 [default: UTF-8, or UTF-16 where the file shows it]
    #[arg(long, value_name = "NAME", value_parser = parse_encoding)]
    pub(crate) encoding: Option<Encoding>,
}

/// An encoding by its label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding(&'static str);

fn parse_encoding(label: &str) -> Result<Encoding, String> {
    tabular::parse_encoding(label).map(|encoding| Encoding(encoding.name()))
}

impl DataArgs {
    /// The same for the reader.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            delimiter: self.delimiter,
            decimal: self.decimal,
            missing: self.na.clone(),
            // The name is one of the labels.
            encoding: self.encoding.and_then(|encoding| tabular::parse_encoding(encoding.0).ok()),
            keep_empty: false,
        }
    }

    /// Opens a data file, a folder or a pattern.
    ///
    /// # Errors
    /// As [`Table::open_with`].
    pub(crate) fn open(&self, path: &Path) -> Result<Table, tabular::Error> {
        Table::open_with(path, &self.options())
    }
}

/// What was assumed about a file, personal data in it hidden: notes go to a terminal or a build's log.
pub(crate) fn notes(table: &Table) -> Vec<String> {
    let privacy = record::Privacy::default();
    let hide = |part: &str| privacy.name(part).into_owned();
    table.notes().iter().map(|note| note.split('`').map(hide).collect::<Vec<_>>().join("`")).collect()
}
