//! CSV records (RFC 4180) with line numbers and limits.
//!
//! An own reader, because three things matter here that general ones hide: a blank line in a file of one column is a
//! missing value and not nothing, an unclosed quote must not swallow the file into memory, and an error names the line.
//! Beyond the RFC: lines may end in `\n`, a quote inside an unquoted cell is a plain
//! character, text after a closing quote is kept.

use std::io::Read;

use crate::error::{Error, excerpt};
use crate::lines::{LINE_BYTES_MAX, LineError, Lines, strip_terminator};

pub(super) struct Records<R> {
    file: String,
    lines: Lines<R>,
    delimiter: u8,
    /// Cells in the header, once known: every record must have as many.
    width: usize,
    text: String,
    ends: Vec<usize>,
    line: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    CellStart,
    Plain,
    Quoted,
    /// After a quote in a quoted cell: the cell's end, or half of an escaped quote.
    QuoteInQuoted,
}

impl<R: Read> Records<R> {
    /// From the header on; `lines_skipped` lines stand before it.
    pub(super) fn new(file: &str, reader: R, delimiter: u8, lines_skipped: u64) -> Self {
        Self {
            file: file.to_owned(),
            lines: Lines::new(reader).after(lines_skipped),
            delimiter,
            width: 0,
            text: String::new(),
            ends: Vec::new(),
            line: 0,
        }
    }

    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Line on which the record began, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.lines.n_bytes()
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let cell = self.text.get(start..end).unwrap_or_default();
            start = end;
            cell
        })
    }

    pub(super) fn cell(&self, at: usize) -> &str {
        let Some(&end) = self.ends.get(at) else { return "" };
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Reads the next record; false at the end. Blank lines are skipped, except that below a header of one column they
    /// are missing values.
    pub(super) fn read(&mut self) -> Result<bool, Error> {
        self.text.clear();
        self.ends.clear();
        let skip_blank = self.width != 1;
        loop {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(false),
                Err(error) => return Err(self.line_error(error)),
            };
            let content = strip_terminator(line);
            if content.is_empty() && skip_blank {
                continue;
            }
            if memchr::memchr(b'"', content).is_some() {
                let first = line.to_vec();
                self.line = self.lines.line();
                self.read_quoted(&first)?;
            } else if let Ok(content) = std::str::from_utf8(content) {
                push_unquoted(&mut self.text, &mut self.ends, self.delimiter, content);
                self.line = self.lines.line();
            } else {
                let bytes = content.to_vec();
                return Err(self.utf8_error(&bytes));
            }
            return self.check_width().map(|()| true);
        }
    }

    /// Reads a record that has a quote: it may go on over several lines.
    fn read_quoted(&mut self, first: &[u8]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(first.len());
        let mut content = strip_terminator(first);
        let mut terminator = first.get(content.len()..).unwrap_or_default().to_vec();
        let mut state = feed(&mut bytes, &mut self.ends, self.delimiter, State::CellStart, content);
        while state == State::Quoted {
            bytes.extend_from_slice(&terminator);
            if bytes.len() > LINE_BYTES_MAX {
                return Err(self.unclosed("does not end within 16 MiB"));
            }
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Err(self.unclosed("is not closed")),
                Err(error) => return Err(self.line_error(error)),
            };
            content = strip_terminator(line);
            state = feed(&mut bytes, &mut self.ends, self.delimiter, state, content);
            terminator = line.get(content.len()..).unwrap_or_default().to_vec();
        }
        self.ends.push(bytes.len());
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.text = text;
                Ok(())
            }
            Err(error) => Err(self.utf8_error(error.as_bytes())),
        }
    }

    fn check_width(&self) -> Result<(), Error> {
        let (found, expected) = (self.ends.len(), self.width);
        if expected == 0 || found == expected {
            return Ok(());
        }
        let cells = |n: usize| if n == 1 { "1 cell".to_owned() } else { format!("{n} cells") };
        let what = format!("{} where the header has {expected}", cells(found));
        let hint = if found > expected {
            "quote cells that contain the delimiter, or name the delimiter with --delimiter; a decimal comma also splits cells"
        } else {
            "the line may be cut off; missing values still need their delimiters"
        };
        Err(self.error_here(what, hint))
    }

    fn unclosed(&self, how: &str) -> Error {
        let what = format!("a quoted cell begins in this record and {how}");
        self.error_here(what, "close the quote, and write a quote inside a quoted cell twice")
    }

    fn utf8_error(&self, bytes: &[u8]) -> Error {
        let line = self.lines.line();
        let valid = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        let before = String::from_utf8_lossy(bytes.get(valid.saturating_sub(20)..valid).unwrap_or_default());
        let what = format!("byte {} is not UTF-8, after `{}`", valid + 1, excerpt(&before));
        let hint = "name the file's encoding, for example: --encoding windows-1252";
        Error::Line { file: self.file.clone(), line, what, hint }
    }

    fn line_error(&self, error: LineError) -> Error {
        match error {
            LineError::Io(cause) => Error::Read { file: self.file.clone(), cause },
            LineError::TooLong => Error::Line {
                file: self.file.clone(),
                line: self.lines.line(),
                what: "the line is longer than 16 MiB".to_owned(),
                hint: "is this a text file with one row a line?",
            },
        }
    }

    fn error_here(&self, what: String, hint: &'static str) -> Error {
        Error::Line { file: self.file.clone(), line: self.line, what, hint }
    }
}

/// Stores the cells of a line without quotes.
fn push_unquoted(text: &mut String, ends: &mut Vec<usize>, delimiter: u8, content: &str) {
    let mut start = 0;
    for end in memchr::memchr_iter(delimiter, content.as_bytes()) {
        text.push_str(content.get(start..end).unwrap_or_default());
        ends.push(text.len());
        start = end + 1;
    }
    text.push_str(content.get(start..).unwrap_or_default());
    ends.push(text.len());
}

/// Adds the cells of one line; the last cell's end is left to the caller, because the cell may go on in the next line.
fn feed(text: &mut Vec<u8>, ends: &mut Vec<usize>, delimiter: u8, mut state: State, line: &[u8]) -> State {
    for &byte in line {
        state = match (state, byte) {
            (State::CellStart, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::QuoteInQuoted, b'"') => {
                text.push(b'"');
                State::Quoted
            }
            (State::Quoted, _) => {
                text.push(byte);
                State::Quoted
            }
            (_, _) if byte == delimiter => {
                ends.push(text.len());
                State::CellStart
            }
            (_, _) => {
                text.push(byte);
                State::Plain
            }
        };
    }
    state
}
