//! Numbers in text beyond what [`record::value`] reads: how they are written, decimal commas and thousands.

/// Whether a number's text is an integer's: a sign or none, then digits only.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    is_digits(digits)
}

/// Whether a text is digits only, at least one.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A number as text, the same for every format and the same that live traffic gets: the shortest decimal text, without
/// an exponent. `7` (not `7.0`), `0.5`, `inf`; `-0` is `0`.
pub fn format_number(value: f64) -> String {
    format!("{}", value + 0.0)
}

/// A number with a decimal comma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CommaNumber {
    pub(crate) value: f64,
    /// The comma cannot separate thousands: `1,5`, `0,125`, `1234,567`.
    pub(crate) sure: bool,
}

/// Reads `1,5`, `-0,25` or `1,5e3` from a trimmed text; numbers without a comma are not read.
pub(crate) fn comma_number(text: &str) -> Option<CommaNumber> {
    let (whole, rest) = text.split_once(',')?;
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let fraction = rest.split(['e', 'E']).next().unwrap_or_default();
    if !is_digits(fraction) || !(digits.is_empty() || is_digits(digits)) {
        return None;
    }
    let value = text.replacen(',', ".", 1).parse().ok()?;
    let thousands = fraction.len() == 3 && fraction.len() == rest.len() && (1..=3).contains(&digits.len());
    Some(CommaNumber { value, sure: !thousands || digits.starts_with('0') })
}

/// Whether a trimmed text is a whole number whose dots may separate thousands: `1.234`.
pub(crate) fn has_dotted_thousands(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.starts_with('0') && is_grouped(digits, '.')
}

/// Whether a trimmed text is a number with separated thousands: `1,234`, `1,234.50`, `1.234,50`, `1 234`, `1'234`.
pub(crate) fn has_thousands(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let separated = |separator: char, decimal: char| match digits.split_once(decimal) {
        Some((whole, fraction)) => is_digits(fraction) && is_grouped(whole, separator),
        None => is_grouped(digits, separator),
    };
    let pairs =
        [(',', '.'), ('.', ','), (' ', ','), (' ', '.'), ('\u{a0}', ','), ('\u{202f}', ','), ('\'', '.')];
    pairs.into_iter().any(|(separator, decimal)| separated(separator, decimal))
}

fn is_grouped(digits: &str, separator: char) -> bool {
    let mut groups = digits.split(separator);
    let first = groups.next().unwrap_or_default();
    let mut rest = 0;
    let sound = groups.all(|group| {
        rest += 1;
        group.len() == 3 && is_digits(group)
    });
    sound && rest > 0 && (1..=3).contains(&first.len()) && is_digits(first)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn decimal_commas() {
        let read = |text| comma_number(text).map(|number| (number.value, number.sure));
        assert_eq!(read("1,5"), Some((1.5, true)));
        assert_eq!(read("-,25"), Some((-0.25, true)));
        assert_eq!(read("1,234"), Some((1.234, false)));
        assert_eq!(read("0,125"), Some((0.125, true)));
        assert_eq!(read("1234,567"), Some((1234.567, true)));
        assert_eq!(read("1,5e3"), Some((1500.0, true)));
        for text in ["1.5", "1,", ",", "1,2,3", "a,5", "1, 5", "1,5x", "1.234,5", "--1,5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn thousands() {
        for text in ["1,234", "12,345,678.90", "1.234,5", "1 234", "1'234'567", "-1,234"] {
            assert!(has_thousands(text), "{text}");
        }
        for text in ["1,23", "1234", "1,2345", "a,123", ",123", "1.5", ""] {
            assert!(!has_thousands(text), "{text}");
        }
        assert!(
            has_dotted_thousands("1.234") && !has_dotted_thousands("0.234") && !has_dotted_thousands("1.23")
        );
    }
}
