//! Which format a file has: magic bytes first, then its name, then (for standard input) its first character.

use std::io::{self, Read};

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma- (or semicolon- or tab-) separated cells below a header.
    Csv,
    /// Tab-separated cells below a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The format a file's name promises, by extension in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let extension = std::path::Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "parquet" | "pq" | "parq" => Some(Self::Parquet),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Whether a column can be read without reading the others.
    pub fn is_columnar(self) -> bool {
        self == Self::Parquet
    }
}

const MAGIC_PARQUET: &[u8] = b"PAR1";
/// Compressed files people try: what they are, and how to undo it.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "the file is compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed with zstd"),
    (b"PK\x03\x04", "the file is a zip archive (an Excel sheet is one too)"),
    (b"BZh", "the file is compressed with bzip2"),
];

/// What the first bytes say.
#[derive(Debug, PartialEq)]
pub(crate) enum Head {
    Parquet,
    /// Not readable as it is; the text says what it is.
    Compressed(&'static str),
    /// Text that begins like JSON.
    Json,
    /// Anything else, an empty file included.
    Other,
}

pub(crate) fn read_head(reader: &mut impl Read) -> io::Result<Head> {
    let mut head = Vec::new();
    reader.by_ref().take(4096).read_to_end(&mut head)?;
    if head.starts_with(MAGIC_PARQUET) {
        return Ok(Head::Parquet);
    }
    if let Some((_, what)) = COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(Head::Compressed(what));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let first = text.iter().find(|b| !b.is_ascii_whitespace());
    Ok(if matches!(first, Some(b'{' | b'[')) { Head::Json } else { Head::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        assert_eq!(Format::from_name("a/b.CSV"), Some(Format::Csv));
        assert_eq!(Format::from_name("b.ndjson"), Some(Format::JsonLines));
        assert_eq!(Format::from_name("b.parquet"), Some(Format::Parquet));
        assert_eq!(Format::from_name("b.xlsx"), None);
        assert_eq!(Format::from_name("csv"), None);
    }

    #[test]
    fn first_bytes_tell() {
        for (bytes, expected) in [
            (&b"PAR1...."[..], Head::Parquet),
            (b"\x1f\x8b\x08", Head::Compressed("the file is compressed with gzip")),
            (b" \n{\"a\":1}", Head::Json),
            (b"a,b\n1,2\n", Head::Other),
            (b"", Head::Other),
        ] {
            assert_eq!(read_head(&mut &bytes[..]).unwrap(), expected);
        }
    }
}
