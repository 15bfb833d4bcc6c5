//! Lines of a file, packed with gzip or not, or of standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;

/// A longer line is none.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The lines of one file.
pub(crate) struct Lines {
    name: String,
    reader: Box<dyn BufRead>,
    at: usize,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::of("standard input", Box::new(BufReader::new(io::stdin()))));
        }
        let name = path.display().to_string();
        let cannot = || format!("cannot read `{name}`");
        let mut file = BufReader::new(File::open(path).with_context(cannot)?);
        let packed = file.fill_buf().with_context(cannot)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> =
            if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self::of(&name, reader))
    }

    /// Lines of something else.
    pub(crate) fn of(name: &str, reader: Box<dyn BufRead>) -> Self {
        Self { name: name.to_owned(), reader, at: 0 }
    }

    /// What is read.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Appends the next line, its end included, and gives its number, from 1; `None` after the last one.
    ///
    /// # Errors
    /// When it cannot be read or is longer than 16 MiB.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<usize>> {
        let before = line.len();
        let read = self.reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', line);
        if read.with_context(|| format!("cannot read `{}`", self.name))? == 0 {
            return Ok(None);
        }
        self.at += 1;
        if (line.len() - before) as u64 > MAX_LINE_BYTES {
            bail!(
                "`{}`, line {}: longer than {MAX_LINE_BYTES} bytes: this is no file of JSON lines",
                self.name,
                self.at
            );
        }
        Ok(Some(self.at))
    }
}
