//! Records from files, one after the other.

use std::path::PathBuf;

use anyhow::Result;
use record::{Record, RecordLimits};

use crate::json_lines::Lines;
use crate::output::note;

/// Lines that cannot be read and are named; the others are counted.
const NAMED: u64 = 5;

/// The records of several files.
pub(super) struct Records<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    open: Option<Lines>,
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
            let Some(lines) = &mut self.open else {
                let Some(path) = self.files.next() else { return Ok(None) };
                self.open = Some(Lines::open(path)?);
                continue;
            };
            self.line.clear();
            let Some(at) = lines.next(&mut self.line)? else {
                self.open = None;
                continue;
            };
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            match Record::parse_many(&self.line, &RecordLimits::default()) {
                Ok(records) => self.waiting = records.into_iter(),
                Err(error) => {
                    self.unreadable += 1;
                    if self.unreadable <= NAMED {
                        note(format!("warning: `{}`, line {at}: not counted: {error}", lines.name()));
                    }
                }
            }
        }
    }
}
