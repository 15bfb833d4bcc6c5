//! One reading of values: what a cell of text says, and the key under which a value is counted.
//!
//! The same value arrives as a cell of a training file, a JSON string or number, a field of a CSV request, an element of a
//! tensor or a feature of a record. All of them are read here, so that they meet the same bin. The module lives in `record`
//! because everything that reads values (the decoders, `tabular`, `monitor`) may depend on this crate and on no other of them.
//!
//! # Rules
//! - Blanks around a text do not matter (Unicode's, a byte order mark included).
//! - A missing token ([`MISSING_TOKENS`]) is a missing value. A category of the reference that has the very name of a token
//!   stays that category (files read with `--na`).
//! - `true` and `false` in any case are booleans; a numeric feature takes them as 1 and 0.
//! - A text that reads as a number is that number: `1.0`, `1`, `+1` and `1e0` are one value. Its key is the shortest decimal
//!   text. What is not finite is missing in a profile and in live traffic.
//! - Digits with a leading zero (`02139`) are a code: their key is the digits as written, and a numeric feature takes them as
//!   the number. A number whose key is not known meets the code that it is without leading zeros, if there is exactly one.
//! - Everything else is a category of its trimmed text.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;

use crate::Cell;

/// Texts that stand for a missing value, besides blanks and every spelling of NaN.
pub const MISSING_TOKENS: [&str; 9] = ["NA", "N/A", "n/a", "null", "NULL", "None", "-", "<NA>", "#N/A"];

/// Longest code that a number without its leading zeros is looked for in: the 14 digits of a GTIN.
const CODE_DIGITS_MAX: usize = 14;

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing: blank, a missing token or NaN.
    Missing,
    /// A number, possibly infinite, never NaN.
    Number(f64),
    /// A boolean word.
    Boolean(bool),
    /// Two or more digits of which the first is a zero.
    Code(&'a str),
    /// Anything else, trimmed; never empty.
    Text(&'a str),
}

/// Reads a text with the usual missing tokens.
pub fn read(text: &str) -> Value<'_> {
    match read_any(text) {
        Value::Text(text) if MISSING_TOKENS.contains(&text) => Value::Missing,
        value => value,
    }
}

/// Reads a text; of the missing tokens only blanks and NaN count.
pub fn read_any(text: &str) -> Value<'_> {
    let text = trim(text);
    let Some(&first) = text.as_bytes().first() else { return Value::Missing };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'I' | b'n' | b'N' => {}
        b't' | b'T' if text.eq_ignore_ascii_case("true") => return Value::Boolean(true),
        b'f' | b'F' if text.eq_ignore_ascii_case("false") => return Value::Boolean(false),
        // No number begins with anything else: do not try.
        _ => return Value::Text(text),
    }
    if first == b'0' && is_code(text) {
        return Value::Code(text);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Value::Missing,
        Ok(number) => Value::Number(number),
        Err(_) => Value::Text(text),
    }
}

/// Without the blanks around it.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Whether a trimmed text is digits with a leading zero.
fn is_code(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Value<'_> {
    /// The value in a numeric feature; `None` for a text and for a missing value.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Boolean(value) => Some(f64::from(u8::from(value))),
            Self::Code(digits) => digits.parse().ok(),
            Self::Missing | Self::Text(_) => None,
        }
    }
}

impl<'a> Value<'a> {
    /// The value's key in a categorical feature; `None` for a missing value. `scratch` saves the allocation.
    pub fn key<'s>(self, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        match self {
            Self::Missing => None,
            Self::Number(number) => Some(shortest(number, scratch)),
            Self::Boolean(value) => Some(boolean_key(value)),
            Self::Code(text) | Self::Text(text) => Some(text),
        }
    }
}

/// The key of a boolean.
pub const fn boolean_key(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The number that a text spells, as a numeric feature takes it; `None` if it spells none.
pub fn number(text: &str) -> Option<f64> {
    read(text).number()
}

/// The shortest decimal text of a number, without an exponent; `-0` is `0`.
pub fn shortest(number: f64, scratch: &mut String) -> &str {
    scratch.clear();
    let written = write!(scratch, "{}", number + 0.0);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    scratch
}

/// A single-precision number as the decimal that it was rounded from: 0.7 sent as FP32 is 0.7, as in text, and does not
/// fall below a bin's edge at 0.7. Numbers with more than seven decimals keep their binary value.
pub fn from_single(single: f32) -> f64 {
    let exact = f64::from(single);
    if exact.fract() == 0.0 || !exact.is_finite() {
        return exact;
    }
    let mut scale = 1.0;
    for _ in 0..7 {
        scale *= 10.0;
        // Both operands are exact, so that the quotient is the decimal's own double.
        let rounded = (exact * scale).round() / scale;
        #[expect(clippy::cast_possible_truncation, reason = "the narrowing is what is tested")]
        if rounded as f32 == single {
            return rounded;
        }
    }
    exact
}

/// Where a value is counted in a categorical feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the category that `find` gave.
    At(usize),
    /// With the values that the reference has not seen.
    Unknown,
    /// With the missing values.
    Missing,
}

/// The place of a cell among the categories of a reference; a number that is not finite is missing. `find` gives the place of a category by its key; `boolean` says
/// whether the reference has booleans only. `scratch` saves allocations.
pub fn place(
    cell: Cell<'_>,
    find: impl Fn(&str) -> Option<usize>,
    boolean: impl Fn() -> bool,
    scratch: &mut String,
) -> Place {
    let value = match cell {
        Cell::Missing => return Place::Missing,
        Cell::Number(number) if !number.is_finite() => return Place::Missing,
        Cell::Number(number) => Value::Number(number),
        // The name of a category comes first: it may be a missing token, or written by an earlier version.
        Cell::Text(text) => match find(text).or_else(|| find(trim(text))) {
            Some(at) => return Place::At(at),
            None => read(text),
        },
    };
    if matches!(value, Value::Number(number) if !number.is_finite()) {
        return Place::Missing;
    }
    let Some(key) = value.key(scratch) else { return Place::Missing };
    if let Some(at) = find(key) {
        return Place::At(at);
    }
    match value {
        Value::Number(number) if (number == 0.0 || number == 1.0) && boolean() => {
            find(boolean_key(number == 1.0)).map_or(Place::Unknown, Place::At)
        }
        Value::Number(number) if number >= 0.0 && number.fract() == 0.0 => code(find, scratch),
        Value::Boolean(word) if !boolean() => {
            find(if word { "1" } else { "0" }).map_or(Place::Unknown, Place::At)
        }
        _ => Place::Unknown,
    }
}

/// The only code that is the number in `digits` without its leading zeros.
fn code(find: impl Fn(&str) -> Option<usize>, digits: &mut String) -> Place {
    let mut found = None;
    while digits.len() < CODE_DIGITS_MAX {
        digits.insert(0, '0');
        match (find(digits), found) {
            (Some(_), Some(_)) => return Place::Unknown,
            (Some(at), None) => found = Some(at),
            (None, _) => {}
        }
    }
    found.map_or(Place::Unknown, Place::At)
}

/// Counts by key with numbers among booleans counted as booleans: `1` and `0` are `true` and `false` where nothing else is.
pub fn merge_booleans<K>(counts: &mut HashMap<K, u64>)
where
    K: Borrow<str> + Eq + Hash + for<'k> From<&'k str>,
{
    let is_known = |key: &K| matches!(key.borrow(), "0" | "1" | "true" | "false");
    if counts.len() > 4 || !counts.keys().all(is_known) {
        return;
    }
    if !counts.contains_key("true") && !counts.contains_key("false") {
        return;
    }
    for (digit, value) in [("0", false), ("1", true)] {
        if let Some(count) = counts.remove(digit) {
            *counts.entry(K::from(boolean_key(value))).or_default() += count;
        }
    }
}

/// Whether categories are those of a boolean: one or two, all of them boolean words.
pub fn is_boolean(categories: &[String]) -> bool {
    let is_word = |category: &String| matches!(read_any(category), Value::Boolean(_));
    matches!(categories.len(), 1 | 2) && categories.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read() {
        for (text, expected) in [
            ("", Value::Missing),
            (" \u{a0}\t", Value::Missing),
            ("NA", Value::Missing),
            (" n/a ", Value::Missing),
            ("-", Value::Missing),
            ("-NaN", Value::Missing),
            ("1.0", Value::Number(1.0)),
            ("1e3", Value::Number(1000.0)),
            ("+5", Value::Number(5.0)),
            (".5", Value::Number(0.5)),
            ("0.5", Value::Number(0.5)),
            ("0", Value::Number(0.0)),
            ("-007", Value::Number(-7.0)),
            ("inf", Value::Number(f64::INFINITY)),
            ("-Infinity", Value::Number(f64::NEG_INFINITY)),
            ("1e400", Value::Number(f64::INFINITY)),
            ("9007199254740993", Value::Number(9_007_199_254_740_992.0)),
            ("02139", Value::Code("02139")),
            (" 00 ", Value::Code("00")),
            ("TRUE", Value::Boolean(true)),
            ("False", Value::Boolean(false)),
            (" Private", Value::Text("Private")),
            ("?", Value::Text("?")),
            ("na", Value::Text("na")),
            ("1,5", Value::Text("1,5")),
            ("0x10", Value::Text("0x10")),
            ("東京 ", Value::Text("東京")),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert_eq!(read_any("NA"), Value::Text("NA"));
        assert_eq!((number("true"), number("02139"), number("x")), (Some(1.0), Some(2139.0), None));
    }

    fn at(categories: &[&str], cell: Cell<'_>) -> Place {
        let owned: Vec<String> = categories.iter().map(ToString::to_string).collect();
        let find = |key: &str| categories.iter().position(|category| *category == key);
        place(cell, find, || is_boolean(&owned), &mut String::new())
    }

    #[test]
    fn values_meet_their_category() {
        let (text, number) = (Cell::Text, Cell::Number);
        let flag = ["false", "true"];
        for cell in [text("True"), text(" true"), text("1"), text("1.0"), number(1.0)] {
            assert_eq!(at(&flag, cell), Place::At(1), "{cell:?}");
        }
        assert_eq!(at(&flag, number(2.0)), Place::Unknown);
        assert_eq!(at(&["0", "1", "2"], text("true")), Place::At(1));
        assert_eq!(at(&["true", "maybe"], number(1.0)), Place::Unknown, "no boolean");
        let codes = ["00501", "02139", "10001"];
        for cell in [text("02139"), text("2139"), number(2139.0)] {
            assert_eq!(at(&codes, cell), Place::At(1), "{cell:?}");
        }
        assert_eq!(at(&["01", "001"], number(1.0)), Place::Unknown, "two codes are this number");
        assert_eq!(at(&["1", "01"], number(1.0)), Place::At(0));
        assert_eq!(at(&["1000", "a"], text("1e3")), Place::At(0));
        assert_eq!(at(&["1.0", "a"], text("1.0")), Place::At(0), "as an earlier version wrote it");
        assert_eq!(at(&["a"], text("n/a")), Place::Missing);
        assert_eq!(at(&["NA", "DE"], text("NA")), Place::At(0), "a category of that name");
        assert_eq!(at(&["a"], number(f64::NAN)), Place::Missing);
        assert_eq!(at(&[], number(1e300)), Place::Unknown);
    }

    #[test]
    fn single_precision_is_its_decimal() {
        assert_eq!(from_single(0.7), 0.7);
        assert_eq!(from_single(-12.34), -12.34);
        assert_eq!(from_single(16_777_216.0), 16_777_216.0);
        assert!(from_single(f32::NAN).is_nan());
        assert_eq!(from_single(f32::INFINITY), f64::INFINITY);
        assert_eq!(from_single(1e-12), f64::from(1e-12_f32));
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(text in ".{0,12}") {
            let (mut first, mut second) = (String::new(), String::new());
            if let Some(key) = read(&text).key(&mut first) {
                prop_assert_eq!(read(key).key(&mut second), Some(key));
            }
        }

        #[test]
        fn a_number_and_its_text_have_one_key(number in any::<f64>().prop_filter("a number", |x| !x.is_nan())) {
            let (mut first, mut second) = (String::new(), String::new());
            for text in [format!("{number}"), format!("{number:e}"), format!(" {number:?} ")] {
                prop_assert_eq!(read(&text).key(&mut first), Value::Number(number).key(&mut second));
            }
        }

        #[test]
        fn single_precision_stays_the_same_number(single in any::<f32>().prop_filter("a number", |x| !x.is_nan())) {
            #[expect(clippy::cast_possible_truncation, reason = "the narrowing is what is tested")]
            let again = from_single(single) as f32;
            prop_assert_eq!(again, single);
        }
    }
}
