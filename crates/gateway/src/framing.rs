//! The strict reading of HTTP/1 framing: where a message ends, and whether that is certain.
//!
//! Parsers of HTTP/1 disagree about malformed messages, and every disagreement between two of them in a row is a way to
//! smuggle a request past the first. The HTTP library below is lenient in places (both lengths at once, lists of
//! transfer codings, bare line feeds) and keeps no evidence. So the raw bytes are read here, as they arrive and before
//! the library sees them: what cannot be framed with certainty is refused. RFC 9112, with every MAY read as MUST NOT.
//!
//! Pure: no I/O, no clock. A body of known length is skipped in O(1); nothing is copied but a line cut by a read.

use memchr::memchr;

use crate::refusal::Refusal;

/// Longest chunk-size line with its extension; nobody needs more.
const CHUNK_LINE_BYTES: usize = 256;
/// Longest request target.
const TARGET_BYTES: usize = 8 * 1024;
/// Longest method.
const METHOD_BYTES: usize = 32;

/// What comes next on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A request line, or (when `true`) one empty line before it.
    Request { blank: bool },
    /// A header line or the empty line after the last.
    Fields,
    /// So many bytes of a body of known length.
    Body(u64),
    /// A chunk-size line.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The CR LF after a chunk; so many of the two have been seen.
    ChunkEnd(u8),
    /// A trailer line or the empty line after the last.
    Trailers,
}

/// A violation, and how many bytes of the slice before it may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Bytes that belong to what was certain.
    pub(crate) clean: usize,
    /// The answer.
    pub(crate) refusal: Refusal,
    /// Whether it is in a body, whose head has been handed on already.
    pub(crate) in_body: bool,
    /// Where in the slice the message's request line begins, if it does.
    pub(crate) head: Option<usize>,
}

/// Reads one connection's bytes.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of a line that a read has cut; at most `head_bytes`.
    cut: Vec<u8>,
    head_bytes: usize,
    head_fields: usize,
    seen_bytes: usize,
    seen_fields: usize,
    length: Option<u64>,
    chunked: bool,
    http11: bool,
}

impl Framing {
    /// A reader at the beginning of a connection.
    pub(crate) fn new(head_bytes: usize, head_fields: usize) -> Self {
        Self {
            state: State::Request { blank: true },
            cut: Vec::new(),
            head_bytes,
            head_fields,
            seen_bytes: 0,
            seen_fields: 0,
            length: None,
            chunked: false,
            http11: true,
        }
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn in_head(&self) -> bool {
        match self.state {
            State::Request { .. } => !self.cut.is_empty() || self.seen_bytes > 0,
            State::Fields => true,
            _ => false,
        }
    }

    /// Whether the next byte begins a new message.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.state, State::Request { .. }) && !self.in_head()
    }

    /// Reads on.
    ///
    /// # Errors
    /// The first violation. The reader is of no use afterwards.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        let mut head = None;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if matches!(self.state, State::Request { .. }) && self.cut.is_empty() {
                head = Some(at);
            }
            at += match self.state {
                State::Body(left) => {
                    let (took, left) = skip(left, rest.len());
                    self.state = if left == 0 { self.next_message() } else { State::Body(left) };
                    took
                }
                State::Chunk(left) => {
                    let (took, left) = skip(left, rest.len());
                    self.state = if left == 0 { State::ChunkEnd(0) } else { State::Chunk(left) };
                    took
                }
                State::ChunkEnd(seen) => {
                    let wanted = if seen == 0 { b'\r' } else { b'\n' };
                    if rest[0] != wanted {
                        return Err(self.violation(
                            at,
                            head,
                            Refusal::Framing("a chunk does not end where it says"),
                        ));
                    }
                    self.state = if seen == 0 { State::ChunkEnd(1) } else { State::ChunkSize };
                    1
                }
                _ => self.line(rest).map_err(|refusal| self.violation(at, head, refusal))?,
            };
        }
        Ok(())
    }

    fn violation(&self, clean: usize, head: Option<usize>, refusal: Refusal) -> Violation {
        let in_body = !matches!(self.state, State::Request { .. } | State::Fields);
        Violation { clean, refusal, in_body, head }
    }

    /// Takes one line, or the beginning of one, from the front; returns how many bytes that is.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let Some(end) = memchr(b'\n', rest) else {
            self.bound_line(rest.len())?;
            if self.cut.is_empty() {
                // A first line that is visibly not HTTP is refused before its end.
                first_byte(self.state, rest)?;
            }
            self.cut.extend_from_slice(rest);
            return Ok(rest.len());
        };
        self.bound_line(end + 1)?;
        if self.cut.is_empty() {
            self.whole_line(&rest[..end])?;
        } else {
            let mut line = std::mem::take(&mut self.cut);
            line.extend_from_slice(&rest[..end]);
            self.whole_line(&line)?;
            line.clear();
            self.cut = line;
        }
        Ok(end + 1)
    }

    fn bound_line(&self, more: usize) -> Result<(), Refusal> {
        let line = self.cut.len() + more;
        if self.state == State::ChunkSize {
            return if line > CHUNK_LINE_BYTES {
                Err(Refusal::Framing("a chunk-size line is too long"))
            } else {
                Ok(())
            };
        }
        if self.seen_bytes + line <= self.head_bytes {
            return Ok(());
        }
        Err(if matches!(self.state, State::Request { .. }) {
            Refusal::TargetTooLong
        } else {
            Refusal::HeadTooLarge
        })
    }

    /// `line` is without its LF.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let [line @ .., b'\r'] = line else {
            return Err(Refusal::Framing("a line ends with LF alone"));
        };
        if self.state != State::ChunkSize {
            self.seen_bytes += line.len() + 2;
        }
        match self.state {
            State::Request { blank } if line.is_empty() => {
                if !blank {
                    return Err(Refusal::Framing("empty lines before the request line"));
                }
                self.seen_bytes = 0;
                self.state = State::Request { blank: false };
            }
            State::Request { .. } => {
                self.http11 = request_line(line)?;
                self.state = State::Fields;
            }
            State::Fields if line.is_empty() => self.state = self.end_of_head()?,
            State::Fields => self.field(line)?,
            State::Trailers if line.is_empty() => self.state = self.next_message(),
            State::Trailers => {
                self.count_field()?;
                field_parts(line)?;
            }
            _ => {
                let size = chunk_size(line)?;
                self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
            }
        }
        Ok(())
    }

    fn count_field(&mut self) -> Result<(), Refusal> {
        self.seen_fields += 1;
        if self.seen_fields > self.head_fields { Err(Refusal::HeadTooLarge) } else { Ok(()) }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.count_field()?;
        let (name, value) = field_parts(line)?;
        // Only names of these two lengths can be one of them.
        match name.len() {
            14 if same_name(name, b"content-length") => {
                no_underscore(name)?;
                if self.length.is_some() {
                    return Err(Refusal::Framing("more than one content-length"));
                }
                self.length = Some(content_length(value)?);
            }
            17 if same_name(name, b"transfer-encoding") => {
                no_underscore(name)?;
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Framing("transfer-encoding is not exactly one `chunked`"));
                }
                if !self.http11 {
                    return Err(Refusal::Framing("transfer-encoding in HTTP/1.0"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<State, Refusal> {
        let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
        if length.is_some() && chunked {
            return Err(Refusal::Framing("both content-length and transfer-encoding"));
        }
        self.seen_bytes = 0;
        self.seen_fields = 0;
        Ok(match length {
            _ if chunked => State::ChunkSize,
            Some(n) if n > 0 => State::Body(n),
            _ => self.next_message(),
        })
    }

    fn next_message(&mut self) -> State {
        self.seen_bytes = 0;
        self.seen_fields = 0;
        State::Request { blank: true }
    }
}

/// How much of `left` is in `here` bytes: what to skip, and what is left afterwards.
fn skip(left: u64, here: usize) -> (usize, u64) {
    let took = usize::try_from(left).map_or(here, |left| left.min(here));
    (took, left - took as u64)
}

fn first_byte(state: State, rest: &[u8]) -> Result<(), Refusal> {
    match (state, rest.first()) {
        (State::Request { .. }, Some(&b)) if b != b'\r' && !is_token(b) => {
            Err(Refusal::Framing("the request line is malformed"))
        }
        _ => Ok(()),
    }
}

/// Whether the version is 1.1 (else 1.0).
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    const MALFORMED: Refusal = Refusal::Framing("the request line is malformed");
    let method_end = memchr(b' ', line).ok_or(MALFORMED)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr(b' ', rest).ok_or(MALFORMED)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if target.len() > TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    if method.is_empty() || method.len() > METHOD_BYTES || !method.iter().all(|&b| is_token(b)) {
        return Err(Refusal::Framing("the method is malformed"));
    }
    // Marks that never stand in a target as they are: servers behind us read each of them in their own way.
    let visible =
        |b: u8| b > 0x20 && b < 0x7f && !matches!(b, b'<' | b'>' | b'`' | b'\\' | b'#' | b'"' | b'^');
    if target.is_empty() || !target.iter().all(|&b| visible(b)) {
        return Err(Refusal::Framing("the request target is malformed"));
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Refusal::Framing("the version is neither HTTP/1.1 nor HTTP/1.0")),
    }
}

/// Name and value without the white space around it.
fn field_parts(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if line.first().is_some_and(|&b| b == b' ' || b == b'\t') {
        return Err(Refusal::Framing("a header line is folded"));
    }
    let colon = memchr(b':', line).ok_or(Refusal::Framing("a header line has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().fold(true, |ok, &b| ok & is_token(b)) {
        return Err(Refusal::Framing("a header name is malformed"));
    }
    // A fold without a branch: the compiler makes vector code of it.
    if !value.iter().fold(true, |ok, &b| ok & ((b >= 0x20) & (b != 0x7f) | (b == b'\t'))) {
        return Err(Refusal::Framing("a header value holds a control character"));
    }
    Ok((name, trim(value)))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Equal without case, `_` taken for `-`: some servers behind us read `Transfer_Encoding` so.
fn same_name(name: &[u8], wanted: &[u8]) -> bool {
    name.iter().zip(wanted).all(|(&a, &b)| a.to_ascii_lowercase() == b || (a == b'_' && b == b'-'))
}

fn no_underscore(name: &[u8]) -> Result<(), Refusal> {
    match memchr(b'_', name) {
        Some(_) => Err(Refusal::Framing("a header name imitates a framing header")),
        None => Ok(()),
    }
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    const MALFORMED: Refusal = Refusal::Framing("content-length is malformed");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let length = value.iter().try_fold(0u64, |n, &b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')));
    let length = length.ok_or(MALFORMED)?;
    if i64::try_from(length).is_err() { Err(Refusal::BodyTooLarge) } else { Ok(length) }
}

/// At most 16 hexadecimal digits, then nothing or an extension of visible characters, blanks and tabs.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    const MALFORMED: Refusal = Refusal::Framing("a chunk-size line is malformed");
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return Err(MALFORMED);
    }
    if let Some((&first, extension)) = line[digits..].split_first() {
        let visible = extension.iter().all(|&b| b == b'\t' || (0x20..0x7f).contains(&b));
        if first != b';' || !visible {
            return Err(MALFORMED);
        }
    }
    let size = line[..digits].iter().fold(0u64, |n, &b| n << 4 | u64::from(hex(b)));
    if i64::try_from(size).is_err() { Err(Refusal::BodyTooLarge) } else { Ok(size) }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let marks = b"!#$%&'*+-.^_`|~";
        let mut i = 0;
        while i < 256 {
            table[i] = (i as u8).is_ascii_alphanumeric();
            i += 1;
        }
        let mut i = 0;
        while i < marks.len() {
            table[marks[i] as usize] = true;
            i += 1;
        }
        table
    };
    TOKEN[b as usize]
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
