//! How a data file is to be read where it does not say so itself.

use crate::deliver::Delivery;
use record::value::{MISSING_TOKENS, Value, read_any, trim};

/// What separates a number's whole part from its fraction in CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// `1.5`.
    Point,
    /// `1,5`.
    Comma,
}

/// How data files are read; what is `None` is recognised from the file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// What separates the cells of CSV, an ASCII character.
    pub delimiter: Option<u8>,
    /// The decimal sign of CSV.
    pub decimal: Option<Decimal>,
    /// Texts that stand for a missing value, instead of [`MISSING_TOKENS`]; empty cells and NaN always do.
    pub missing: Option<Vec<String>>,
    /// The encoding of a text file.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// Whether an empty string of JSON and Parquet is a text of its own in a column of text, and no missing value.
    pub keep_empty: bool,
}

impl ReadOptions {
    /// The key of a string where it is not read: an empty one that is kept.
    pub(crate) fn kept<'a>(&self, text: &'a str, delivery: Delivery) -> Option<&'a str> {
        (self.keep_empty && text.is_empty() && delivery == Delivery::Texts).then_some(text)
    }

    /// Reads a text as these options and [`record::value`] say.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Value<'a> {
        match &self.missing {
            Some(tokens) if tokens.iter().any(|token| token == trim(text)) => Value::Missing,
            Some(_) => read_any(text),
            None => match read_any(text) {
                Value::Text(text) if MISSING_TOKENS.contains(&text) => Value::Missing,
                value => value,
            },
        }
    }
}

/// The delimiter that a user names: one ASCII character, or `tab`, `\\t`, `space`, `comma`, `semicolon`, `pipe`.
///
/// # Errors
/// When it is none of these; the text says what may be given.
pub fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        "space" => Ok(b' '),
        "comma" => Ok(b','),
        "semicolon" => Ok(b';'),
        "pipe" => Ok(b'|'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n.+-".contains(byte) => {
                Ok(*byte)
            }
            _ => Err("use one character such as `;`, or tab, space, comma, semicolon, pipe".to_owned()),
        },
    }
}

/// The decimal sign that a user names.
///
/// # Errors
/// When it is neither `.` nor `,`.
pub fn parse_decimal(text: &str) -> Result<Decimal, String> {
    match text {
        "." | "point" => Ok(Decimal::Point),
        "," | "comma" => Ok(Decimal::Comma),
        _ => Err("use `.` or `,`".to_owned()),
    }
}

/// The encoding of this label, as the WHATWG Encoding Standard lists them.
///
/// # Errors
/// When there is no such label.
pub fn parse_encoding(label: &str) -> Result<&'static encoding_rs::Encoding, String> {
    encoding_rs::Encoding::for_label(label.as_bytes())
        .ok_or_else(|| "use a label such as utf-8, utf-16le, windows-1252 or shift_jis".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed() {
        assert_eq!(parse_delimiter(";"), Ok(b';'));
        assert_eq!(parse_delimiter("tab"), Ok(b'\t'));
        for wrong in ["", ";;", "a", "\"", "é", "."] {
            assert!(parse_delimiter(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_decimal(","), Ok(Decimal::Comma));
        assert!(parse_decimal("'").is_err());
        assert_eq!(parse_encoding("latin1").unwrap().name(), "windows-1252");
        assert!(parse_encoding("utf-9").is_err());
    }

    #[test]
    fn tokens_of_the_user_replace_the_usual_ones() {
        let options =
            ReadOptions { missing: Some(vec!["-999".to_owned(), "?".to_owned()]), ..ReadOptions::default() };
        assert_eq!(options.read(" ? "), Value::Missing);
        assert_eq!(options.read("-999"), Value::Missing);
        assert_eq!(options.read(""), Value::Missing);
        assert_eq!(options.read("NA"), Value::Text("NA"));
        assert_eq!(ReadOptions::default().read("NA"), Value::Missing);
    }
}
