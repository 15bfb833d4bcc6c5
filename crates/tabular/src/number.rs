//! Numbers in text: what counts as one, and how one is written.

/// What a cell of text says, seen by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    Missing,
    /// `integer` is false for `7.0`, `7e3` and for infinities.
    Number {
        value: f64,
        integer: bool,
    },
    Boolean(bool),
    Text,
}

/// Reads a CSV cell. Blanks around a number do not matter; `NaN` in any case is a missing value.
pub(crate) fn read_cell(cell: &str) -> Reading {
    let trimmed = cell.trim_matches([' ', '\t']);
    let Some(&first) = trimmed.as_bytes().first() else { return Reading::Missing };
    // Most text starts with a letter that no number starts with: don't try to parse it.
    if first.is_ascii_alphabetic() && !matches!(first, b'i' | b'I' | b'n' | b'N' | b't' | b'T' | b'f' | b'F')
    {
        return Reading::Text;
    }
    match trimmed.parse::<f64>() {
        Ok(value) if value.is_nan() => Reading::Missing,
        Ok(value) => Reading::Number { value, integer: is_integer(trimmed) },
        Err(_) if trimmed.eq_ignore_ascii_case("true") => Reading::Boolean(true),
        Err(_) if trimmed.eq_ignore_ascii_case("false") => Reading::Boolean(false),
        Err(_) => Reading::Text,
    }
}

/// Whether a number's text is an integer's: a sign or none, then digits only.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A number as text, the same for every format and the same that live traffic gets: the shortest decimal text, without
/// an exponent. `7` (not `7.0`), `0.5`, `inf`; `-0` is `0`.
pub fn format_number(value: f64) -> String {
    format!("{}", value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_are_read() {
        let number = |value, integer| Reading::Number { value, integer };
        for (cell, expected) in [
            ("", Reading::Missing),
            ("  ", Reading::Missing),
            ("NaN", Reading::Missing),
            ("nan", Reading::Missing),
            ("-nan", Reading::Missing),
            ("7", number(7.0, true)),
            ("-7", number(-7.0, true)),
            (" 7 ", number(7.0, true)),
            ("7.0", number(7.0, false)),
            ("1e3", number(1000.0, false)),
            ("inf", number(f64::INFINITY, false)),
            ("-inf", number(f64::NEG_INFINITY, false)),
            ("Infinity", number(f64::INFINITY, false)),
            ("9007199254740993", number(9_007_199_254_740_992.0, true)),
            ("true", Reading::Boolean(true)),
            ("False", Reading::Boolean(false)),
            ("NA", Reading::Text),
            ("1_000", Reading::Text),
            ("0x10", Reading::Text),
            ("12 EUR", Reading::Text),
            ("東京", Reading::Text),
        ] {
            assert_eq!(read_cell(cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn numbers_are_written() {
        for (value, expected) in [
            (7.0, "7"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e-8, "0.00000001"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_number(value), expected);
        }
    }

    proptest! {
        #[test]
        fn written_numbers_read_back(value in any::<f64>().prop_filter("not missing", |v| !v.is_nan())) {
            let text = format_number(value);
            match read_cell(&text) {
                Reading::Number { value: read, .. } => prop_assert_eq!(read, value),
                other => prop_assert!(false, "{} reads as {:?}", text, other),
            }
        }
    }
}
