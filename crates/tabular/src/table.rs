//! One data file: open it, see its columns, read them in batches.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use crate::batch::{Batch, Column, TextColumn};
use crate::csv::{self, CsvScan};
use crate::error::Error;
use crate::format::{Format, Head, read_head};
use crate::json::{self, JsonScan};
use crate::parquet::{ParquetFile, ParquetScan};
use crate::rows::Rows;
use crate::schema::Schema;

/// Most rows in a batch.
pub(crate) const BATCH_ROWS: usize = 8192;
/// A batch is closed when about this much of the file went into it, whatever its rows.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;

const HINT_FORMAT: &str =
    "name it .csv, .tsv, .parquet, .jsonl or .ndjson, or pipe it through standard input with `-`";

/// How far a pass over a file is. Parquet counts rows, the other formats bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Done, from 0 to `total`.
    pub done: u64,
    /// What there is to do in this pass.
    pub total: u64,
}

/// How a column is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAs {
    /// Numeric columns as [`Column::Numbers`], others as [`Column::Text`].
    Declared,
    /// As [`Column::Text`]: numbers written by [`crate::format_number`].
    Text,
}

/// A column to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its index in [`Schema::columns`].
    pub column: usize,
    /// How to deliver it.
    pub read_as: ReadAs,
}

/// What a first pass over a row format finds: the schema, and where its columns are.
pub(crate) struct FirstPass<P> {
    pub(crate) schema: Schema,
    pub(crate) places: P,
}

enum Layout {
    Csv { tabs: bool, places: csv::Places },
    Json,
    Parquet(ParquetFile),
}

type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// An opened data file.
pub struct Table {
    name: String,
    format: Format,
    handle: File,
    n_bytes: u64,
    /// Known after the first pass (CSV, JSON lines) or from the start (Parquet).
    read: Option<(Schema, Layout)>,
    on_progress: Option<OnProgress>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Opens a file, or standard input if the path is `-`. Standard input is copied to an unnamed temporary file, because
    /// types need a first pass.
    ///
    /// # Errors
    /// When the file cannot be opened, its format cannot be told, or Parquet metadata are broken.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.as_os_str() == "-" {
            return Self::from_reader("standard input", &mut io::stdin().lock());
        }
        let name = path.display().to_string();
        let handle = File::open(path).map_err(|cause| open_error(&name, cause))?;
        let is_file = handle.metadata().map_err(|cause| open_error(&name, cause))?;
        if is_file.is_dir() {
            return Err(Error::Format { file: name, what: "is a folder".to_owned(), hint: "name one file" });
        }
        if !is_file.is_file() {
            // A pipe, such as bash's <(...): it can be read only once.
            let mut handle = handle;
            return Self::from_reader(&name, &mut handle);
        }
        Self::from_file(name, handle)
    }

    /// Reads a stream to its end into an unnamed temporary file and opens that. `name` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_reader(name: &str, reader: &mut dyn Read) -> Result<Self, Error> {
        let read_error = |cause| Error::Read { file: name.to_owned(), cause };
        let mut spool = tempfile::tempfile().map_err(read_error)?;
        io::copy(reader, &mut spool).map_err(read_error)?;
        Self::from_file(name.to_owned(), spool)
    }

    fn from_file(name: String, mut handle: File) -> Result<Self, Error> {
        let read_error = |cause| Error::Read { file: name.clone(), cause };
        let n_bytes = handle.metadata().map_err(read_error)?.len();
        handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
        let head = read_head(&mut handle).map_err(read_error)?;
        let format = recognise(&name, head)?;
        let mut table = Self { name, format, handle, n_bytes, read: None, on_progress: None };
        if format == Format::Parquet {
            let (schema, file) = ParquetFile::open(&table.name, &table.handle)?;
            table.read = Some((schema, Layout::Parquet(file)));
        }
        Ok(table)
    }

    /// The file as it was named; `standard input` for `-`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Calls `report` during every pass from now on, about once a batch.
    pub fn on_progress(&mut self, report: impl FnMut(Progress) + Send + 'static) {
        self.on_progress = Some(Box::new(report));
    }

    /// Rows, if known without another pass: from Parquet metadata, or after [`Self::schema`].
    pub fn row_count_hint(&self) -> Option<u64> {
        self.read.as_ref().map(|(schema, _)| schema.n_rows)
    }

    /// The columns and their types. CSV and JSON lines are read once to the end, the first time.
    ///
    /// # Errors
    /// Everything that can be wrong with the file's text.
    pub fn schema(&mut self) -> Result<&Schema, Error> {
        let read = match self.read.take() {
            Some(read) => read,
            None => self.first_pass()?,
        };
        Ok(&self.read.insert(read).0)
    }

    fn first_pass(&mut self) -> Result<(Schema, Layout), Error> {
        let total = self.n_bytes;
        let on_progress = &mut self.on_progress;
        let mut progress = |done: u64| {
            if let Some(report) = on_progress {
                report(Progress { done: done.min(total), total });
            }
        };
        let (schema, layout) = match self.format {
            Format::Csv | Format::Tsv => {
                let tabs = self.format == Format::Tsv;
                let pass = csv::first_pass(&self.name, &self.handle, tabs, &mut progress)?;
                (pass.schema, Layout::Csv { tabs, places: pass.places })
            }
            Format::JsonLines => (json::first_pass(&self.name, &self.handle, &mut progress)?, Layout::Json),
            Format::Parquet => {
                let (schema, file) = ParquetFile::open(&self.name, &self.handle)?;
                (schema, Layout::Parquet(file))
            }
        };
        progress(total);
        Ok((schema, layout))
    }

    /// Begins a pass that delivers the wanted columns.
    ///
    /// # Errors
    /// As [`Self::schema`], and when a wanted column does not exist.
    pub fn scan(&mut self, wants: &[Want]) -> Result<Scan<'_>, Error> {
        let read = match self.read.take() {
            Some(read) => read,
            None => self.first_pass()?,
        };
        let (schema, layout) = &*self.read.insert(read);
        let n_columns = schema.columns.len();
        if let Some(want) = wants.iter().find(|want| want.column >= n_columns) {
            let (file, index) = (self.name.clone(), want.column);
            return Err(Error::NoColumn { file, columns: n_columns, index });
        }
        let columns = wants.iter().map(|want| {
            let numeric = schema.columns.get(want.column).is_some_and(|column| column.kind.is_numeric());
            match want.read_as {
                ReadAs::Declared if numeric => Column::Numbers(Vec::new()),
                _ => Column::Text(TextColumn::default()),
            }
        });
        let batch = Batch { n_rows: 0, columns: columns.collect() };
        let (source, total) = match layout {
            Layout::Csv { tabs, places } => {
                let scan = CsvScan::open(&self.name, &self.handle, *tabs, &schema.columns, places, wants)?;
                (Source::Csv(scan), self.n_bytes)
            }
            Layout::Json => (
                Source::Json(JsonScan::open(&self.name, &self.handle, &schema.columns, wants)?),
                self.n_bytes,
            ),
            Layout::Parquet(file) => (Source::Parquet(Box::new(file.scan(wants))), schema.n_rows),
        };
        Ok(Scan { source, batch, schema, total, n_rows: 0, on_progress: self.on_progress.as_mut() })
    }

    /// Calls `each` with every batch of the wanted columns, until it breaks.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub fn for_each_batch(
        &mut self,
        wants: &[Want],
        each: &mut dyn FnMut(&Batch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut scan = self.scan(wants)?;
        while let Some(batch) = scan.next_batch()? {
            if each(batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Begins a pass row by row, over all columns, as declared.
    ///
    /// # Errors
    /// As [`Self::schema`].
    pub fn rows(&mut self) -> Result<Rows<'_>, Error> {
        let n_columns = self.schema()?.columns.len();
        let wants: Vec<Want> =
            (0..n_columns).map(|column| Want { column, read_as: ReadAs::Declared }).collect();
        Ok(Rows::new(self.scan(&wants)?))
    }
}

enum Source {
    Csv(CsvScan),
    Json(JsonScan),
    Parquet(Box<ParquetScan>),
}

/// A pass over a table.
pub struct Scan<'a> {
    source: Source,
    batch: Batch,
    schema: &'a Schema,
    total: u64,
    n_rows: u64,
    on_progress: Option<&'a mut OnProgress>,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("n_rows", &self.n_rows).finish_non_exhaustive()
    }
}

impl<'a> Scan<'a> {
    /// The next rows; `None` at the end. The batch is reused: it holds until the next call.
    ///
    /// # Errors
    /// When the file cannot be read or decoded, or changed since the first pass.
    pub fn next_batch(&mut self) -> Result<Option<&Batch>, Error> {
        self.advance()?;
        Ok(if self.batch.n_rows == 0 { None } else { Some(&self.batch) })
    }

    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        self.batch.clear();
        let done = match &mut self.source {
            Source::Csv(scan) => {
                scan.fill(&mut self.batch)?;
                scan.n_bytes()
            }
            Source::Json(scan) => {
                scan.fill(&mut self.batch)?;
                scan.n_bytes()
            }
            Source::Parquet(scan) => {
                scan.fill(&mut self.batch)?;
                self.n_rows + self.batch.n_rows as u64
            }
        };
        self.n_rows += self.batch.n_rows as u64;
        if let Some(report) = &mut self.on_progress {
            report(Progress { done: done.min(self.total), total: self.total });
        }
        Ok(())
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn schema(&self) -> &'a Schema {
        self.schema
    }
}

fn recognise(name: &str, head: Head) -> Result<Format, Error> {
    let error = |what: String, hint| Error::Format { file: name.to_owned(), what, hint };
    match (head, Format::from_name(name)) {
        (Head::Parquet, _) => Ok(Format::Parquet),
        (Head::Compressed(what), _) => {
            Err(error(what.to_owned(), "unpack it first, or pipe it: zcat FILE | driftline … -"))
        }
        (_, Some(Format::Parquet)) => {
            let what = "the name says Parquet, but the file does not begin with `PAR1`";
            Err(error(what.to_owned(), "check that the file is complete, or name it by its true format"))
        }
        (_, Some(format)) => Ok(format),
        (Head::Json, None) => Ok(Format::JsonLines),
        (Head::Other, None) if Path::new(name).extension().is_none() => Ok(Format::Csv),
        (Head::Other, None) => {
            Err(error("the format cannot be told from the name or the content".to_owned(), HINT_FORMAT))
        }
    }
}

fn open_error(name: &str, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => "check the path; it is relative to the current folder",
        io::ErrorKind::PermissionDenied => "check who may read the file",
        _ => "the file must be readable",
    };
    Error::Open { file: name.to_owned(), cause, hint }
}
