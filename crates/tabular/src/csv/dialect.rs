//! How a CSV file is written: its delimiter, what stands before its header, and whether rows have names.
//!
//! A delimiter is believed only if it gives the same number of cells in every line of the file's beginning. Where two do, the
//! file is refused unless one reading is plainly the right one: a table that is cut at the wrong character is worse than none.

use std::io::{self, Read};

use crate::error::excerpt;
use record::value::{Value, read_any};

use crate::number::comma_number;

const SNIFF_BYTES: u64 = 64 << 10;
/// Records of the beginning that are looked at.
const SNIFF_RECORDS: usize = 200;
/// Delimiters that are recognised, the most usual first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Characters that separate cells in some files and are never taken for a delimiter unasked.
const UNUSUAL: [u8; 6] = [b' ', b':', b'^', b'~', 0x01, 0x1f];

/// How the file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Bytes before the header line.
    pub(crate) n_skip: u64,
    /// Lines before the header line.
    pub(crate) lines_skipped: u64,
    pub(crate) delimiter: u8,
    /// Rows begin with a name that the header does not name, as R's `write.table` writes them.
    pub(crate) row_names: bool,
    /// The header line begins with `#`.
    pub(crate) commented_header: bool,
    /// What was assumed, to be read after the file's name.
    pub(crate) assumed: Vec<String>,
    /// Whether the delimiter was found by looking at the content.
    pub(crate) guessed: bool,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) delimiter: Option<u8>,
    /// The name says that tabs separate the cells.
    pub(crate) tabs: bool,
}

/// Why the delimiter cannot be told.
#[derive(Debug)]
pub(crate) struct Ambiguous {
    pub(crate) line: u64,
    pub(crate) what: String,
}

/// Looks at the beginning of a file.
pub(super) fn sniff(reader: &mut impl Read, asked: Asked) -> io::Result<Result<Dialect, Ambiguous>> {
    let mut head = Vec::new();
    reader.by_ref().take(SNIFF_BYTES).read_to_end(&mut head)?;
    let whole = (head.len() as u64) < SNIFF_BYTES;
    Ok(Head::new(&head, whole).dialect(asked))
}

struct Head<'a> {
    bytes: &'a [u8],
    whole: bool,
    at: usize,
    lines: u64,
    assumed: Vec<String>,
}

impl<'a> Head<'a> {
    fn new(bytes: &'a [u8], whole: bool) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes, whole, at, lines: 0, assumed: Vec::new() }
    }

    fn line(&self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        crate::lines::strip_terminator(rest.get(..end).unwrap_or_default())
    }

    fn pass(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        self.lines += 1;
    }

    fn dialect(mut self, asked: Asked) -> Result<Dialect, Ambiguous> {
        let named = separator_line(self.line());
        if let Some(delimiter) = named {
            self.pass();
            let shown = show(delimiter);
            self.assumed.push(format!("separated by {shown}, as its line `sep=` says"));
        }
        let mut comments = Vec::new();
        while self.line().starts_with(b"#") || (!comments.is_empty() && self.line().is_empty()) {
            if self.at >= self.bytes.len() {
                break;
            }
            if !self.line().is_empty() {
                comments.push((self.at, self.lines));
            }
            self.pass();
        }
        let mut commented_header = false;
        let told = asked.delimiter.or(named);
        if let Some(&(at, lines)) = comments.last()
            && self.is_header(at, told)
        {
            (self.at, self.lines, commented_header) = (at, lines, true);
            comments.pop();
            self.assumed.push("with a header line that begins with `#`".to_owned());
        }
        if !comments.is_empty() {
            let (n, lines) = (comments.len(), if comments.len() == 1 { "line" } else { "lines" });
            self.assumed.push(format!("without the {n} comment {lines} before its header"));
        }
        let choice = self.delimiter(told, asked.tabs)?;
        let guessed =
            told.is_none() && choice.delimiter != b',' && !(asked.tabs && choice.delimiter == b'\t');
        if guessed {
            self.assumed.insert(0, format!("separated by {}", show(choice.delimiter)));
        }
        if choice.row_names {
            self.assumed
                .push("without its first column, which the header does not name (row names)".to_owned());
        }
        Ok(Dialect {
            n_skip: self.at as u64,
            lines_skipped: self.lines,
            delimiter: choice.delimiter,
            row_names: choice.row_names,
            commented_header,
            assumed: self.assumed,
            guessed,
        })
    }

    /// Whether the last comment is the header: as wide as the rows below it, and without a number where they have one.
    fn is_header(&self, at: usize, told: Option<u8>) -> bool {
        let head = Head { at, assumed: Vec::new(), ..*self };
        let delimiters = told.map_or_else(|| DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
        delimiters.into_iter().any(|delimiter| {
            let records = head.records(delimiter);
            let Some((header, rows)) = records.split_first() else { return false };
            let is_number = |cell: &String| matches!(read_any(cell), Value::Number(_) | Value::Code(_));
            header.len() > 1
                && !rows.is_empty()
                && rows.iter().all(|row| row.len() == header.len())
                && !header.iter().any(is_number)
                && rows.first().is_some_and(|row| row.iter().any(is_number))
        })
    }

    /// The records below, cut at a delimiter; one that the beginning may have cut off is left out. None if a text follows a
    /// closing quote: the cells were not quoted for this delimiter.
    fn records(&self, delimiter: u8) -> Vec<Vec<String>> {
        let text = String::from_utf8_lossy(self.bytes.get(self.at..).unwrap_or_default());
        let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
        let (mut quoted, mut was_quoted, mut chars) = (false, false, text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' if quoted => {
                    quoted = false;
                    let ends = |next: &char| *next == char::from(delimiter) || matches!(next, '\r' | '\n');
                    if !chars.peek().is_none_or(ends) {
                        return Vec::new();
                    }
                }
                '"' if cell.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
                _ if quoted => cell.push(c),
                '\n' => {
                    if cell.ends_with('\r') {
                        cell.pop();
                    }
                    if !record.is_empty() || !cell.is_empty() {
                        record.push(std::mem::take(&mut cell));
                        records.push(std::mem::take(&mut record));
                    }
                    was_quoted = false;
                    if records.len() == SNIFF_RECORDS {
                        return records;
                    }
                }
                _ if c == char::from(delimiter) => {
                    record.push(std::mem::take(&mut cell));
                    was_quoted = false;
                }
                _ => cell.push(c),
            }
        }
        if self.whole && !quoted && (!record.is_empty() || !cell.is_empty()) {
            record.push(cell);
            records.push(record);
        }
        records
    }

    fn delimiter(&self, told: Option<u8>, tabs: bool) -> Result<Choice, Ambiguous> {
        if let Some(delimiter) = told {
            let row_names = Cut::new(self, delimiter).is_some_and(|cut| cut.row_names);
            return Ok(Choice { delimiter, row_names });
        }
        if tabs && self.line().contains(&b'\t') {
            let row_names = Cut::new(self, b'\t').is_some_and(|cut| cut.row_names);
            return Ok(Choice { delimiter: b'\t', row_names });
        }
        let cuts: Vec<Cut> = DELIMITERS.iter().filter_map(|delimiter| Cut::new(self, *delimiter)).collect();
        match &*cuts {
            [] => self.none(),
            [one] => Ok(one.choice()),
            several => {
                // Tabs are in no text. Where commas are, they may all be decimal signs or punctuation.
                let plain = several.iter().find(|cut| cut.delimiter == b'\t').or_else(|| {
                    let [comma, other] = several else { return None };
                    (comma.delimiter == b',' && other.commas_are_content()).then_some(other)
                });
                plain.map(Cut::choice).ok_or_else(|| self.ambiguous(several))
            }
        }
    }

    /// No delimiter gives a table: a single column, or a file whose lines differ, which the reader refuses by line.
    fn none(&self) -> Result<Choice, Ambiguous> {
        let header = self.line();
        let in_header = DELIMITERS.into_iter().find(|delimiter| header.contains(delimiter));
        if in_header.is_none() {
            let unusual = UNUSUAL.iter().copied().chain(DELIMITERS).find(|delimiter| {
                let records = self.records(*delimiter);
                let width = records.get(1).map_or(0, Vec::len);
                let rows = records.get(1..).unwrap_or_default();
                let named = UNUSUAL.contains(delimiter);
                width > 1
                    && rows.len() > 1
                    && rows.iter().all(|row| row.len() == width)
                    && (!named || records.first().map(Vec::len) == Some(width))
            });
            if let Some(delimiter) = unusual {
                let what = format!(
                    "no delimiter is recognised, but every row can be cut at {}: this would be one column",
                    show(delimiter)
                );
                return Err(Ambiguous { line: self.lines + 1, what });
            }
        }
        Ok(Choice { delimiter: in_header.unwrap_or(b','), row_names: false })
    }

    fn ambiguous(&self, cuts: &[Cut]) -> Ambiguous {
        let ways: Vec<String> =
            cuts.iter().map(|cut| format!("{} gives {} columns", show(cut.delimiter), cut.width)).collect();
        let header = excerpt(&String::from_utf8_lossy(self.line()));
        let what =
            format!("the delimiter is ambiguous: {} in every line, from `{header}` on", ways.join(", "));
        Ambiguous { line: self.lines + 1, what }
    }
}

struct Choice {
    delimiter: u8,
    row_names: bool,
}

/// The beginning cut at a delimiter that gives rows as wide as the header, two cells or more.
struct Cut {
    delimiter: u8,
    width: usize,
    row_names: bool,
    rows: Vec<Vec<String>>,
}

impl Cut {
    fn new(head: &Head<'_>, delimiter: u8) -> Option<Self> {
        let mut rows = head.records(delimiter);
        if rows.is_empty() {
            return None;
        }
        let width = rows.remove(0).len();
        if width > 1 && rows.iter().all(|row| row.len() == width) {
            return Some(Self { delimiter, width, row_names: false, rows });
        }
        let named = !rows.is_empty() && rows.iter().all(|row| row.len() == width + 1) && {
            let mut names = std::collections::HashSet::new();
            rows.iter().all(|row| row.first().is_some_and(|name| !name.is_empty() && names.insert(name)))
                && rows.iter().any(|row| row.last().is_some_and(|last| !last.is_empty()))
                && head.rows_begin_quoted()
        };
        named.then_some(Self { delimiter, width: width + 1, row_names: true, rows })
    }

    fn choice(&self) -> Choice {
        Choice { delimiter: self.delimiter, row_names: self.row_names }
    }

    /// Whether every cell with a comma is a number with a decimal comma, or a text with a blank after its commas.
    fn commas_are_content(&self) -> bool {
        let content = |cell: &String| {
            !cell.contains(',')
                || comma_number(cell.trim()).is_some()
                || cell.split(',').skip(1).all(|after| after.starts_with(' '))
        };
        self.rows.iter().flatten().all(content)
    }
}

impl Head<'_> {
    /// Whether the first cell of the line below the header is quoted, as R quotes row names.
    fn rows_begin_quoted(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        memchr::memchr(b'\n', rest).and_then(|end| rest.get(end + 1)) == Some(&b'"')
    }
}

/// The delimiter that Excel's first line `sep=;` names.
fn separator_line(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii_start().strip_prefix(b"\"").unwrap_or(line);
    let (key, rest) = line.split_at_checked(4)?;
    match rest {
        [delimiter] | [delimiter, b'"'] if key.eq_ignore_ascii_case(b"sep=") && delimiter.is_ascii() => {
            Some(*delimiter)
        }
        _ => None,
    }
}

/// A delimiter for messages.
pub(crate) fn show(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_owned(),
        b' ' => "blanks".to_owned(),
        byte if byte.is_ascii_control() => format!("the character {byte:#04x}"),
        byte => format!("`{}`", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Dialect, String> {
        sniff(&mut text.as_bytes(), Asked::default()).unwrap().map_err(|ambiguous| ambiguous.what)
    }

    fn delimiter(text: &str) -> char {
        told(text).unwrap().delimiter.into()
    }

    #[test]
    fn delimiters_are_recognised() {
        for (text, expected) in [
            ("a,b\n1,2\n", ','),
            ("a;b\n1;2\n", ';'),
            ("a\tb\n1\t2\n", '\t'),
            ("a|b|c\n1|2|x\n", '|'),
            ("a\n1\n", ','),
            ("a,b\n", ','),
            ("a,b\n\"x;y\",2\n\"x;z\",3\n", ','),
            ("Datum;Betrag, EUR;Art\n01.01.2026;1,5;A\n02.01.2026;2,5;B\n", ';'),
            ("Name;Wert, netto\nDoe, John;1\nRoe, Jane;2\n", ';'),
            ("\"a;1\";\"b\"\n\"x\";\"y,z\"\n", ';'),
            ("a,b\tc\n1,2\t3\n", '\t'),
            ("\"line\nbreak\";b\n1;2\n", ';'),
        ] {
            assert_eq!(delimiter(text), expected, "{text:?}");
        }
    }

    #[test]
    fn two_readings_are_refused() {
        let what = told("a,b;c\nx,y;z\nu,v;w\n").unwrap_err();
        assert_eq!(
            what,
            "the delimiter is ambiguous: `,` gives 2 columns, `;` gives 2 columns in every line, from `a,b;c` on"
        );
        assert!(told("x y\n1 2\n3 4\n").unwrap_err().contains("cut at blanks"));
        assert!(told("value\n1;2\n3;4\n").unwrap_err().contains("cut at `;`"));
        assert!(told("free text\nsome more words\nx\n").is_ok());
    }

    #[test]
    fn lines_before_the_header() {
        let dialect = told("sep=;\na;b\n1;x\n").unwrap();
        assert_eq!((dialect.n_skip, dialect.lines_skipped, dialect.delimiter), (6, 1, b';'));
        let dialect = told("# exported\r\n#\n\na,b\n1,2\n").unwrap();
        assert_eq!((dialect.n_skip, dialect.lines_skipped, dialect.commented_header), (15, 3, false));
        let dialect = told("# v1\n#id,x\n1,2\n").unwrap();
        assert_eq!((dialect.n_skip, dialect.lines_skipped, dialect.commented_header), (5, 1, true));
        assert_eq!(told("# only\n").unwrap().n_skip, 7);
    }

    #[test]
    fn rows_with_names() {
        let dialect = told("\"a\",\"b\"\n\"1\",5,x\n\"2\",6,y\n").unwrap();
        assert!(dialect.row_names && dialect.delimiter == b',');
        assert!(told("\"x\";\n\"1\";5\n").is_ok());
        assert!(
            !told("a,b\n1,2,\n3,4,\n").unwrap().row_names,
            "a trailing delimiter is refused by the reader"
        );
    }
}
