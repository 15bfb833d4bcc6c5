//! One data file: open it, see its columns, read them in batches.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use crate::batch::{Batch, Column, TextColumn};
use crate::csv::{self, CsvScan};
use crate::deliver::Delivery;
use crate::error::Error;
use crate::format::{Format, Head, read_head};
use crate::json::{self, JsonScan};
use crate::options::ReadOptions;
use crate::parquet::{ParquetFile, ParquetScan};
use crate::parts;
use crate::rows::Rows;
use crate::schema::{ColumnKind, Schema};
use crate::spool;

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
    /// As [`Column::Numbers`], whatever the column is: texts as the number they spell, booleans as 1 and 0, other texts missing.
    Numbers,
}

/// A column to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its index in [`Schema::columns`].
    pub column: usize,
    /// How to deliver it.
    pub read_as: ReadAs,
}

enum Layout {
    Csv(csv::Layout),
    Json,
    Parquet(ParquetFile),
}

type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// One opened file.
struct Part {
    name: String,
    format: Format,
    handle: File,
    n_bytes: u64,
    /// Known after the first pass (CSV, JSON lines) or from the start (Parquet).
    read: Option<(Schema, Layout)>,
}

/// An opened data file, or several that are one table.
pub struct Table {
    name: String,
    parts: Vec<Part>,
    options: ReadOptions,
    /// Of all parts.
    schema: Option<Schema>,
    notes: Vec<String>,
    on_progress: Option<OnProgress>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("format", &self.format())
            .finish_non_exhaustive()
    }
}

impl Part {
    fn open(path: &Path, options: &ReadOptions) -> Result<Self, Error> {
        let name = path.display().to_string();
        let mut handle = File::open(path).map_err(|cause| open_error(&name, cause))?;
        if !handle.metadata().map_err(|cause| open_error(&name, cause))?.is_file() {
            // A pipe, such as bash's <(...): it can be read only once.
            return Self::from_reader(&name, &mut handle, options);
        }
        Self::from_file(name, handle, options)
    }

    fn from_reader(name: &str, reader: &mut dyn Read, options: &ReadOptions) -> Result<Self, Error> {
        let spool_error = |cause| Error::Spool { file: name.to_owned(), cause };
        let mut spool = tempfile::tempfile().map_err(spool_error)?;
        io::copy(reader, &mut spool).map_err(|cause| Error::Read { file: name.to_owned(), cause })?;
        Self::from_file(name.to_owned(), spool, options)
    }

    fn from_file(name: String, mut handle: File, options: &ReadOptions) -> Result<Self, Error> {
        let read_error = |cause| Error::Read { file: name.clone(), cause };
        handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
        let mut head = read_head(&mut handle).map_err(read_error)?;
        if let Head::Packed(packing) = head {
            handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
            handle = spool::unpack(&name, handle, packing)?;
            head = read_head(&mut handle).map_err(read_error)?;
        }
        let wide = if let Head::Wide(encoding) = head { Some(encoding) } else { None };
        let is_text = matches!(head, Head::Wide(_) | Head::Json | Head::Other);
        let encoding = options.encoding.filter(|_| is_text).or(wide);
        if let Some(encoding) = encoding.filter(|encoding| spool::is_foreign(encoding)) {
            handle = spool::translate(&name, handle, encoding)?;
            head = read_head(&mut handle).map_err(read_error)?;
        }
        let n_bytes = handle.metadata().map_err(read_error)?.len();
        let format = recognise(&name, head)?;
        let mut part = Self { name, format, handle, n_bytes, read: None };
        if format == Format::Parquet {
            let (schema, file) = ParquetFile::open(&part.name, &part.handle)?;
            part.read = Some((schema, Layout::Parquet(file)));
        }
        Ok(part)
    }

    /// Reads CSV and JSON lines to the end, the first time.
    fn look(
        &mut self,
        options: &ReadOptions,
        notes: &mut Vec<String>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<&Schema, Error> {
        let read = match self.read.take() {
            Some(read) => read,
            None => match self.format {
                Format::Csv | Format::Tsv => {
                    let tabs = self.format == Format::Tsv;
                    let pass = csv::first_pass(&self.name, &self.handle, tabs, options, notes, progress)?;
                    (pass.0, Layout::Csv(pass.1))
                }
                Format::JsonLines => {
                    (json::first_pass(&self.name, &self.handle, options, progress)?, Layout::Json)
                }
                Format::Parquet => {
                    let (schema, file) = ParquetFile::open(&self.name, &self.handle)?;
                    (schema, Layout::Parquet(file))
                }
            },
        };
        Ok(&self.read.insert(read).0)
    }

    /// Begins to deliver columns of the merged schema.
    fn source(
        &self,
        options: &ReadOptions,
        merged: &Schema,
        wants: &[(usize, Delivery)],
    ) -> Result<Source, Error> {
        let changed = || Error::NoData {
            file: self.name.clone(),
            what: "the file is not known yet",
            hint: "read its schema first",
        };
        let (schema, layout) = self.read.as_ref().ok_or_else(changed)?;
        // The merged schema has the names of every part, in the first one's order.
        let own = wants.iter().filter_map(|(column, delivery)| {
            Some((schema.position(&merged.columns.get(*column)?.name)?, *delivery))
        });
        let own: Vec<(usize, Delivery)> = own.collect();
        Ok(match layout {
            Layout::Csv(layout) => {
                Source::Csv(CsvScan::open(&self.name, &self.handle, layout, options, &own)?)
            }
            Layout::Json => {
                Source::Json(JsonScan::open(&self.name, &self.handle, &schema.columns, options, &own)?)
            }
            Layout::Parquet(file) => Source::Parquet(Box::new(file.scan(options, &own))),
        })
    }

    /// What a pass over it counts: rows of Parquet, bytes of other formats.
    fn extent(&self) -> u64 {
        match &self.read {
            Some((schema, Layout::Parquet(_))) => schema.n_rows,
            _ => self.n_bytes,
        }
    }
}

impl Table {
    /// [`Self::open_with`] and everything recognised.
    ///
    /// # Errors
    /// As there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Opens a file, or standard input if the path is `-`, or the files of a folder or a pattern (`parts/*.csv`) as one table.
    /// Standard input is copied to an unnamed temporary file, because types need a first pass.
    ///
    /// # Errors
    /// When a file cannot be opened or unpacked, its format cannot be told, or Parquet metadata are broken.
    pub fn open_with(path: &Path, options: &ReadOptions) -> Result<Self, Error> {
        if path.as_os_str() == "-" {
            return Self::from_reader_with("standard input", &mut io::stdin().lock(), options);
        }
        let parts = match parts::of(path)? {
            None => vec![Part::open(path, options)?],
            Some(files) => {
                files.iter().map(|file| Part::open(file, options)).collect::<Result<Vec<_>, _>>()?
            }
        };
        if let Some((first, other)) = parts
            .first()
            .and_then(|first| Some((first, parts.iter().find(|part| part.format != first.format)?)))
        {
            return Err(Error::Parts {
                file: other.name.clone(),
                what: format!("its format differs from that of `{}`", first.name),
                hint: "files that are read as one table must have one format; use a pattern such as data/*.csv",
            });
        }
        Ok(Self::of(path.display().to_string(), parts, options))
    }

    /// [`Self::from_reader_with`] and everything recognised.
    ///
    /// # Errors
    /// As there.
    pub fn from_reader(name: &str, reader: &mut dyn Read) -> Result<Self, Error> {
        Self::from_reader_with(name, reader, &ReadOptions::default())
    }

    /// Reads a stream to its end into an unnamed temporary file and opens that. `name` is for messages.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn from_reader_with(name: &str, reader: &mut dyn Read, options: &ReadOptions) -> Result<Self, Error> {
        let part = Part::from_reader(name, reader, options)?;
        Ok(Self::of(name.to_owned(), vec![part], options))
    }

    fn of(name: String, parts: Vec<Part>, options: &ReadOptions) -> Self {
        Self { name, parts, options: options.clone(), schema: None, notes: Vec::new(), on_progress: None }
    }

    /// The file as it was named; `standard input` for `-`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        self.parts.first().map_or(Format::Csv, |part| part.format)
    }

    /// From now on an empty string of JSON or Parquet is a category of its own in columns of text. Only for what is compared with
    /// another such file: a CSV file and a CSV request cannot tell it from a missing value.
    pub fn keep_empty_texts(&mut self) {
        self.options.keep_empty = true;
    }

    /// What was assumed about the file and what could not be told, for its user; known after [`Self::schema`].
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Calls `report` during every pass from now on, about once a batch.
    pub fn on_progress(&mut self, report: impl FnMut(Progress) + Send + 'static) {
        self.on_progress = Some(Box::new(report));
    }

    /// Rows, if known without another pass: from Parquet metadata, or after [`Self::schema`].
    pub fn row_count_hint(&self) -> Option<u64> {
        let rows = |part: &Part| part.read.as_ref().map(|(schema, _)| schema.n_rows);
        self.parts.iter().map(rows).sum()
    }

    /// The columns and their types. CSV and JSON lines are read once to the end, the first time.
    ///
    /// # Errors
    /// Everything that can be wrong with the file's text.
    pub fn schema(&mut self) -> Result<&Schema, Error> {
        self.look()?;
        Ok(self.schema.get_or_insert_default())
    }

    fn look(&mut self) -> Result<(), Error> {
        if self.schema.is_some() {
            return Ok(());
        }
        let total: u64 = self.parts.iter().map(Part::extent).sum();
        let mut before = 0;
        let mut notes = Vec::new();
        for part in &mut self.parts {
            let on_progress = &mut self.on_progress;
            let mut progress = |done: u64| {
                if let Some(report) = on_progress {
                    report(Progress { done: (before + done).min(total), total });
                }
            };
            let is_known = part.read.is_some();
            part.look(&self.options, &mut notes, &mut progress)?;
            if !is_known {
                progress(part.extent());
            }
            before += part.extent();
        }
        // Files of one table are mostly written alike: it is said for the first one.
        if self.parts.len() > 1 {
            let first = self.parts.first().map_or("", |part| &part.name);
            let quoted = format!("`{first}`");
            notes.retain(|note| note.starts_with(&quoted));
            let n = self.parts.len();
            notes.insert(0, format!("`{}`: {n} files are read as one table", self.name));
        }
        let schemas: Vec<(&str, &Schema)> =
            self.parts.iter().filter_map(|part| Some((part.name.as_str(), &part.read.as_ref()?.0))).collect();
        self.schema = Some(parts::merge(&schemas, &mut notes)?);
        self.notes = notes;
        Ok(())
    }

    /// Begins a pass that delivers the wanted columns.
    ///
    /// # Errors
    /// As [`Self::schema`], and when a wanted column does not exist.
    pub fn scan(&mut self, wants: &[Want]) -> Result<Scan<'_>, Error> {
        self.look()?;
        let schema = &*self.schema.get_or_insert_default();
        let n_columns = schema.columns.len();
        if let Some(want) = wants.iter().find(|want| want.column >= n_columns) {
            let (file, index) = (self.name.clone(), want.column);
            return Err(Error::NoColumn { file, columns: n_columns, index });
        }
        let kind =
            |want: &Want| schema.columns.get(want.column).map_or(ColumnKind::Text, |column| column.kind);
        let deliveries: Vec<(usize, Delivery)> =
            wants.iter().map(|want| (want.column, Delivery::new(kind(want), want.read_as))).collect();
        let columns = deliveries.iter().map(|(_, delivery)| match delivery {
            Delivery::Numbers { .. } => Column::Numbers(Vec::new()),
            Delivery::Booleans | Delivery::Texts => Column::Text(TextColumn::default()),
        });
        let batch = Batch { n_rows: 0, columns: columns.collect() };
        let total = self.parts.iter().map(Part::extent).sum();
        let mut parts = self.parts.iter();
        let Some(first) = parts.next() else {
            return Err(Error::NoData { file: self.name.clone(), what: "no file", hint: "name a file" });
        };
        let source = first.source(&self.options, schema, &deliveries)?;
        Ok(Scan {
            source,
            part: first,
            parts,
            options: &self.options,
            deliveries,
            batch,
            schema,
            total,
            before: 0,
            n_rows: 0,
            on_progress: self.on_progress.as_mut(),
        })
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
    part: &'a Part,
    /// Those that follow.
    parts: std::slice::Iter<'a, Part>,
    options: &'a ReadOptions,
    deliveries: Vec<(usize, Delivery)>,
    batch: Batch,
    schema: &'a Schema,
    total: u64,
    /// Extent of the parts before this one.
    before: u64,
    /// Rows of this part.
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
        loop {
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
            // At its end a file is done, whatever stands before its header.
            let done = if self.batch.n_rows == 0 { self.part.extent() } else { done };
            if let Some(report) = &mut self.on_progress {
                report(Progress { done: (self.before + done).min(self.total), total: self.total });
            }
            if self.batch.n_rows > 0 {
                return Ok(());
            }
            let Some(next) = self.parts.next() else { return Ok(()) };
            self.before += self.part.extent();
            (self.part, self.n_rows) = (next, 0);
            self.source = next.source(self.options, self.schema, &self.deliveries)?;
        }
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
        (Head::Unread(what), _) => {
            Err(error(what.to_owned(), "unpack it first; gzip and zstd are unpacked while reading"))
        }
        (Head::Packed(_), _) => Err(error("the file is packed twice".to_owned(), "unpack it once")),
        (_, Some(Format::Parquet)) => {
            let what = "the name says Parquet, but the file does not begin with `PAR1`";
            Err(error(what.to_owned(), "check that the file is complete, or name it by its true format"))
        }
        (_, Some(format)) => Ok(format),
        (Head::Json, None) => Ok(Format::JsonLines),
        (Head::Other | Head::Wide(_), None) if is_unnamed(name) => Ok(Format::Csv),
        (Head::Other | Head::Wide(_), None) => {
            Err(error("the format cannot be told from the name or the content".to_owned(), HINT_FORMAT))
        }
    }
}

/// Whether the name says nothing of the format: no extension, or only that of a packed file.
fn is_unnamed(name: &str) -> bool {
    let path = Path::new(name);
    let packed = path.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
    let stem = path.file_stem().map(Path::new).filter(|_| packed);
    stem.unwrap_or(path).extension().is_none()
}

fn open_error(name: &str, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => "check the path; it is relative to the current folder",
        io::ErrorKind::PermissionDenied => "check who may read the file",
        _ => "the file must be readable",
    };
    Error::Open { file: name.to_owned(), cause, hint }
}
