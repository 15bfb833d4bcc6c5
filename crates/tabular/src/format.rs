//! Which format a file has: magic bytes first, then its name, then (for standard input) its first character.

use std::io::{self, Read};

use crate::spool::encoding_of;

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
            "gz" | "gzip" | "zst" | "zstd" => Self::from_name(name.get(..name.len() - extension.len() - 1)?),
            "csv" | "txt" | "dat" | "data" | "psv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "parquet" | "pq" | "parq" => Some(Self::Parquet),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Whether an empty text and a missing value are written differently.
    pub fn has_empty_texts(self) -> bool {
        matches!(self, Self::Parquet | Self::JsonLines)
    }

    /// Whether a column can be read without reading the others.
    pub fn is_columnar(self) -> bool {
        self == Self::Parquet
    }
}

const MAGIC_PARQUET: &[u8] = b"PAR1";
/// Packed files people try that are not read: what they are.
const UNREAD: [(&[u8], &str); 2] = [
    (b"PK\x03\x04", "the file is a zip archive (an Excel sheet is one too)"),
    (b"BZh", "the file is compressed with bzip2"),
];

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What the first bytes say.
#[derive(Debug, PartialEq)]
pub(crate) enum Head {
    Parquet,
    /// To be unpacked.
    Packed(Packing),
    /// Not readable; the text says what it is.
    Unread(&'static str),
    /// Text in an encoding of two bytes a character.
    Wide(&'static encoding_rs::Encoding),
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
    match &*head {
        [0x1f, 0x8b, ..] => return Ok(Head::Packed(Packing::Gzip)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Head::Packed(Packing::Zstd)),
        _ => {}
    }
    if let Some((_, what)) = UNREAD.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(Head::Unread(what));
    }
    if let Some(encoding) = encoding_of(&head) {
        return Ok(Head::Wide(encoding));
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
        assert_eq!(Format::from_name("part-0.csv.gz"), Some(Format::Csv));
        assert_eq!(Format::from_name("x.jsonl.zst"), Some(Format::JsonLines));
        assert_eq!(Format::from_name("x.gz"), None);
        assert_eq!(Format::from_name("b.xlsx"), None);
        assert_eq!(Format::from_name("csv"), None);
    }

    #[test]
    fn first_bytes_tell() {
        for (bytes, expected) in [
            (&b"PAR1...."[..], Head::Parquet),
            (b"\x1f\x8b\x08", Head::Packed(Packing::Gzip)),
            (b"BZh91AY", Head::Unread("the file is compressed with bzip2")),
            (b" \n{\"a\":1}", Head::Json),
            (b"a,b\n1,2\n", Head::Other),
            (b"", Head::Other),
        ] {
            assert_eq!(read_head(&mut &bytes[..]).unwrap(), expected);
        }
    }
}
