//! Parquet files: the schema from the metadata, then batches column by column.
//!
//! Typed column readers are used as they are, without a table library on top: only wanted columns are decompressed and
//! decoded, and a batch holds the pages it is cut from and nothing else.
//!
//! The Parquet library panics on some damaged files. Places in the file are checked before they are used, and what still
//! panics while a column is decoded is caught and becomes an error: a data file must not end the process.

mod meaning;
mod values;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::batch::Batch;
use crate::deliver::Delivery;
use crate::error::Error;
use crate::options::ReadOptions;
use crate::schema::{ColumnInfo, Schema, SkippedColumn};
use crate::table::BATCH_ROWS;

use meaning::Meaning;

const HINT_FILE: &str = "check that the file is complete, for example with: parquet-tools inspect FILE";
const HINT_COLUMN: &str = "leave the column out with --exclude, or write the file again";

/// A column of the file that is a column of the table.
#[derive(Clone, Debug)]
struct Leaf {
    /// Its index among the file's leaf columns.
    index: usize,
    name: String,
    meaning: Meaning,
    /// Definition level of a value that is there.
    max_def_level: i16,
}

/// An opened file.
pub(crate) struct ParquetFile {
    file: String,
    reader: Arc<SerializedFileReader<File>>,
    leaves: Vec<Leaf>,
}

impl ParquetFile {
    pub(crate) fn open(file: &str, handle: &File) -> Result<(Schema, Self), Error> {
        let broken = |what: String| Error::Parquet {
            file: file.to_owned(),
            place: String::new(),
            what,
            hint: HINT_FILE,
        };
        let handle = handle.try_clone().map_err(|cause| Error::Read { file: file.to_owned(), cause })?;
        let reader = SerializedFileReader::new(handle).map_err(|error| broken(describe(&error)))?;
        let metadata = reader.metadata().file_metadata();
        let n_rows =
            u64::try_from(metadata.num_rows()).map_err(|_| broken("the row count is negative".to_owned()))?;
        if n_rows == 0 {
            let what = "the file has columns and no rows";
            let hint = "check the query that wrote the file";
            return Err(Error::NoData { file: file.to_owned(), what, hint });
        }
        if let Some(group) = reader.metadata().row_groups().iter().position(|group| !has_true_places(group)) {
            return Err(broken(format!("row group {group} lies at an impossible place")));
        }
        let mut schema = Schema { n_rows, ..Schema::default() };
        let mut leaves = Vec::new();
        let descriptor = metadata.schema_descr();
        for (index, column) in descriptor.columns().iter().enumerate() {
            if column.max_rep_level() > 0 {
                let name = descriptor.get_column_root(index).name().to_owned();
                let known = schema.skipped.iter().any(|skipped| skipped.name == name);
                if !known {
                    schema.skipped.push(SkippedColumn { name, reason: "holds lists" });
                }
                continue;
            }
            let (name, meaning) = (column.path().string().replace('"', ""), Meaning::of(column));
            schema.columns.push(ColumnInfo { name: name.clone(), kind: meaning.kind(), oddity: None });
            leaves.push(Leaf { index, name, meaning, max_def_level: column.max_def_level() });
        }
        check_names(file, &schema)?;
        Ok((schema, Self { file: file.to_owned(), reader: Arc::new(reader), leaves }))
    }

    pub(crate) fn scan(&self, options: &ReadOptions, wants: &[(usize, Delivery)]) -> ParquetScan {
        // `Table::scan` has checked the indexes.
        let wanted =
            wants.iter().filter_map(|(at, delivery)| Some((self.leaves.get(*at)?.clone(), *delivery)));
        let wanted = wanted.collect();
        ParquetScan {
            file: self.file.clone(),
            reader: Arc::clone(&self.reader),
            options: options.clone(),
            wanted,
            next_group: 0,
            n_left: 0,
            columns: Vec::new(),
        }
    }
}

/// Whether no offset or size in a row group is negative.
fn has_true_places(group: &RowGroupMetaData) -> bool {
    group.num_rows() >= 0
        && group.columns().iter().all(|column| {
            column.data_page_offset() >= 0
                && column.compressed_size() >= 0
                && column.dictionary_page_offset().is_none_or(|offset| offset >= 0)
        })
}

fn check_names(file: &str, schema: &Schema) -> Result<(), Error> {
    if schema.columns.is_empty() {
        let what = "no column holds single values";
        return Err(Error::NoData {
            file: file.to_owned(),
            what,
            hint: "lists are not read; write one value a row",
        });
    }
    let mut seen = std::collections::HashSet::new();
    match schema.columns.iter().find(|column| !seen.insert(column.name.as_str())) {
        None => Ok(()),
        Some(column) => Err(Error::Parquet {
            file: file.to_owned(),
            place: format!(" column `{}`", column.name),
            what: "the schema has this name twice".to_owned(),
            hint: "rename or remove one of them",
        }),
    }
}

/// A pass over the file.
pub(crate) struct ParquetScan {
    file: String,
    reader: Arc<SerializedFileReader<File>>,
    wanted: Vec<(Leaf, Delivery)>,
    options: ReadOptions,
    next_group: usize,
    /// Rows of the current row group not yet delivered.
    n_left: usize,
    columns: Vec<ColumnReader>,
}

impl ParquetScan {
    /// Fills the batch; it stays empty at the end of the file. A batch never spans row groups.
    pub(crate) fn fill(&mut self, batch: &mut Batch) -> Result<(), Error> {
        while self.n_left == 0 {
            if self.next_group == self.reader.num_row_groups() {
                return Ok(());
            }
            self.open_group()?;
        }
        let n_rows = self.n_left.min(BATCH_ROWS);
        let wanted = self.wanted.iter().zip(&mut self.columns).zip(&mut batch.columns);
        for (((leaf, delivery), reader), column) in wanted {
            let mut out = values::Out { column, delivery: *delivery, options: &self.options };
            // After a panic nothing of the scan is used again: the error ends it.
            let read = || values::read(leaf.meaning, leaf.max_def_level, reader, n_rows, &mut out);
            let result = catch_unwind(AssertUnwindSafe(read));
            let result = result.unwrap_or_else(|_| Err("the column's pages are damaged".to_owned()));
            result.map_err(|what| column_error(&self.file, leaf, what))?;
        }
        batch.n_rows = n_rows;
        self.n_left -= n_rows;
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), Error> {
        let file = &self.file;
        let broken = |error: &ParquetError| Error::Parquet {
            file: file.clone(),
            place: format!(" row group {}", self.next_group),
            what: describe(error),
            hint: HINT_FILE,
        };
        let group = self.reader.get_row_group(self.next_group).map_err(|error| broken(&error))?;
        self.columns.clear();
        for (leaf, _) in &self.wanted {
            let column = group.get_column_reader(leaf.index);
            self.columns.push(column.map_err(|error| column_error(file, leaf, describe(&error)))?);
        }
        self.n_left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        self.next_group += 1;
        Ok(())
    }
}

fn column_error(file: &str, leaf: &Leaf, what: String) -> Error {
    Error::Parquet {
        file: file.to_owned(),
        place: format!(" column `{}`", leaf.name),
        what,
        hint: HINT_COLUMN,
    }
}

fn describe(error: &ParquetError) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}
