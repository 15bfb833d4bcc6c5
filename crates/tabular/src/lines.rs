//! Lines of a byte stream, with a limit on their length.
//!
//! A line is handed out as a slice of the read buffer: nothing is copied, and the buffer grows only as far as the longest
//! line, up to the limit.

use std::io::{self, Read};

/// Longest line (and longest quoted CSV record): 16 MiB.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) enum LineError {
    Io(io::Error),
    TooLong,
}

pub(crate) struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    line: u64,
    n_bytes: u64,
    limit: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self::with_limit(inner, LINE_BYTES_MAX)
    }

    pub(crate) fn with_limit(inner: R, limit: usize) -> Self {
        Self { inner, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, line: 0, n_bytes: 0, limit }
    }

    /// Counts from after so many lines.
    pub(crate) fn after(mut self, lines: u64) -> Self {
        self.line = lines;
        self
    }

    /// The number of the line handed out last, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of the lines handed out so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The next line with its terminator, if it has one.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        let mut searched = self.start;
        let line_end = loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                break searched + at + 1;
            }
            let pending = self.end - self.start;
            if pending > self.limit {
                self.line += 1;
                return Err(LineError::TooLong);
            }
            if !self.fill().map_err(LineError::Io)? {
                if pending == 0 {
                    return Ok(None);
                }
                break self.end;
            }
            searched = self.start + pending;
        };
        let line = self.start..line_end;
        self.start = line_end;
        self.line += 1;
        self.n_bytes += line.len() as u64;
        Ok(self.buffer.get(line))
    }

    /// Reads more behind what is pending; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(n) => {
                    self.end += n;
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The line without `\n` or `\r\n`.
pub(crate) fn strip_terminator(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, LineError> {
        let mut lines = Lines::with_limit(bytes, limit);
        let mut out = Vec::new();
        while let Some(line) = lines.next_line()? {
            out.push(line.to_vec());
        }
        Ok(out)
    }

    #[test]
    fn lines_keep_their_terminators() {
        assert_eq!(all(b"a\nb\r\n\nc", 100).unwrap(), [&b"a\n"[..], b"b\r\n", b"\n", b"c"]);
        assert!(all(b"", 100).unwrap().is_empty());
    }

    #[test]
    fn long_lines_cross_the_buffer_up_to_the_limit() {
        let long = vec![b'x'; BUFFER_BYTES * 3 + 7];
        let mut text = b"head\n".to_vec();
        text.extend_from_slice(&long);
        text.extend_from_slice(b"\ntail");
        let lines = all(&text, BUFFER_BYTES * 4).unwrap();
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [5, long.len() + 1, 4]);
        assert!(matches!(all(&text, BUFFER_BYTES), Err(LineError::TooLong)));
    }
}
