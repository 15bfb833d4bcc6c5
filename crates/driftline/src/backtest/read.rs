//! Records from files, one after the other.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use record::{Record, RecordLimits};

use crate::output::note;

/// A longer line is no record.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// Lines that cannot be read and are named; the others are counted.
const NAMED: u64 = 5;

/// The records of several files.
pub(super) struct Records<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    open: Option<(String, Box<dyn BufRead>, u64)>,
    waiting: std::vec::IntoIter<Record>,
    line: Vec<u8>,
    unreadable: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(files: &'a [PathBuf]) -> Self {
        Self {
            files: files.iter(),
            open: None,
            waiting: Vec::new().into_iter(),
            line: Vec::new(),
            unreadable: 0,
        }
    }

    /// Lines that were none.
    pub(super) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The next record; `None` after the last file. A line that is no record is counted and passed over.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(record) = self.waiting.next() {
                return Ok(Some(record));
            }
            let Some((name, reader, at)) = &mut self.open else {
                let Some(path) = self.files.next() else { return Ok(None) };
                self.open = Some((path.display().to_string(), open(path)?, 0));
                continue;
            };
            self.line.clear();
            let read = reader.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut self.line);
            if read.with_context(|| format!("cannot read `{name}`"))? == 0 {
                self.open = None;
                continue;
            }
            *at += 1;
            if self.line.len() as u64 > MAX_LINE_BYTES {
                bail!(
                    "`{name}`, line {at}: longer than {MAX_LINE_BYTES} bytes: this is no file of JSON lines"
                );
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            match Record::parse_many(&self.line, &RecordLimits::default()) {
                Ok(records) => self.waiting = records.into_iter(),
                Err(error) => {
                    self.unreadable += 1;
                    if self.unreadable <= NAMED {
                        note(format!("warning: `{name}`, line {at}: not counted: {error}"));
                    }
                }
            }
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let name = path.display();
    let mut file = BufReader::new(File::open(path).with_context(|| format!("cannot read `{name}`"))?);
    let packed = file.fill_buf().with_context(|| format!("cannot read `{name}`"))?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}
