//! A pull reader of JSON over borrowed bytes.
//!
//! Why not `serde_json`: it refuses a whole body for one `1e400`, quotes the body's content in its messages, and its
//! depth limit is fixed. This reader calls nothing back, allocates nothing (a key with escapes excepted), keeps the
//! depth itself and is `Copy`, so that looking ahead is a copy. The grammar is RFC 8259's, and beside it numbers that are
//! none, as many programs write them: `NaN`, `Infinity`, `-Infinity`, `inf`. A test holds it against `serde_json` on
//! arbitrary input.
//!
//! Walking an array: `let mut first = reader.array()?; while reader.next_element(&mut first)? { … one value … }`; an
//! object the same with [`Reader::object`] and [`Reader::next_key`]. A value is taken with `scalar`, `array`, `object`
//! or `skip_value`.

use std::borrow::Cow;
use std::num::NonZero;

use super::{DecodeError, DecodeErrorKind};
use crate::privacy::is_card;

/// Nesting that no setting can exceed: [`Reader::skip_value`] keeps one bit a level in 128, and walkers recurse on a stack that may be small.
pub(crate) const MAX_DEPTH: usize = 64;

type Result<T> = std::result::Result<T, ReadError>;

/// A place where the bytes are not the JSON that was asked for. Boxed, so that results fit in registers.
pub(crate) type ReadError = Box<Fault>;

/// What stands in a [`ReadError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: DecodeErrorKind,
    /// In bytes, from 0.
    pub(crate) at: usize,
    /// What was expected; holds nothing of the body.
    pub(crate) problem: String,
}

impl From<ReadError> for DecodeError {
    fn from(error: ReadError) -> Self {
        Self::new(error.kind, format!("{} at byte {}", error.problem, error.at))
    }
}

/// Powers of ten that are exact in an `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The largest integer up to which every integer is an `f64`: 2^53.
const EXACT_INTEGER: u64 = 1 << 53;

/// Numbers that are none: TensorFlow Serving, Python's `json` and JavaScript write the first two, C++ the others.
const WORDS: [(&str, f64); 3] = [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)];

/// What the next value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    /// With its article, for messages.
    pub(crate) const fn described(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

/// A string as written, its escapes checked but not resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

/// A number; infinite when it is over the range of an `f64`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) value: f64,
    /// The magnitude of an integer above 2^53, where neighbours may have become the same `f64`; `u64::MAX` for what is
    /// over even that. `None` for every other number.
    pub(crate) inexact_integer: Option<NonZero<u64>>,
}

impl Number {
    /// The digits of what reads like a payment card's number and is too long to keep them as an `f64`.
    pub(crate) fn long_card(self) -> Option<u64> {
        let magnitude = self.inexact_integer?.get();
        (self.value > 0.0 && is_card(magnitude)).then_some(magnitude)
    }
}

/// A value without parts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Text(Text<'a>),
    Number(Number),
    Bool(bool),
    Null,
}

/// The reader; see the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    /// The body goes on after `text` with bytes that are not UTF-8.
    cut: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8], max_depth: usize) -> Self {
        let (text, cut) = match std::str::from_utf8(body) {
            Ok(text) => (text, false),
            Err(error) => {
                let valid = body.get(..error.valid_up_to()).unwrap_or_default();
                (std::str::from_utf8(valid).unwrap_or_default(), true)
            }
        };
        Self { text, at: 0, depth: 0, max_depth: max_depth.min(MAX_DEPTH), cut }
    }

    /// Takes these bytes; `None` when others stand here.
    #[inline]
    pub(crate) fn take_exactly(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        let found = self.text.as_bytes().get(self.at..end)?;
        self.at = end;
        (found == bytes).then_some(())
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Open arrays and objects.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Refuses an empty body and one that does not begin like JSON.
    pub(crate) fn begin(&mut self) -> Result<Kind> {
        self.skip_space();
        match self.peek() {
            None if !self.cut => Err(self.error(DecodeErrorKind::Empty, "the body is empty")),
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I') => self.kind(),
            _ => Err(self.error(DecodeErrorKind::NotJson, "the body does not begin like JSON")),
        }
    }

    /// Only white space may follow.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.at_end()? { Ok(()) } else { Err(self.expected("the end of the body")) }
    }

    /// True when nothing but white space is left.
    pub(crate) fn at_end(&mut self) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            None if self.cut => Err(self.expected("UTF-8")),
            None => Ok(true),
            Some(_) => Ok(false),
        }
    }

    /// What the next value is, without taking it.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') if self.text.as_bytes().get(self.at + 1) == Some(&b'u') => Ok(Kind::Null),
            _ if self.word_follows() => Ok(Kind::Number),
            _ => Err(self.expected("a value")),
        }
    }

    /// Whether one of [`WORDS`] stands here.
    #[cold]
    fn word_follows(&self) -> bool {
        self.word().is_some()
    }

    /// The word of [`WORDS`] that stands here: its length and what it means.
    #[cold]
    fn word(&self) -> Option<(usize, f64)> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        WORDS.iter().find_map(|(word, value)| {
            let head = rest.get(..word.len())?;
            head.eq_ignore_ascii_case(word.as_bytes()).then_some((word.len(), *value))
        })
    }

    /// Opens an object; the answer is the `first` of [`Reader::next_key`].
    pub(crate) fn object(&mut self) -> Result<bool> {
        self.open(b'{', "an object")
    }

    /// Opens an array; the answer is the `first` of [`Reader::next_element`].
    pub(crate) fn array(&mut self) -> Result<bool> {
        self.open(b'[', "an array")
    }

    /// The next key, up to and with its colon; `None` closes the object.
    #[inline]
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        Ok(self.next_raw_key(first)?.map(|key| key.resolved()))
    }

    /// True when another element stands next; false closes the array.
    #[inline]
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            Some(b']') => {
                self.close();
                Ok(false)
            }
            Some(b',') if !*first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if *first => {
                *first = false;
                Ok(true)
            }
            _ => Err(self.expected("`,` or `]`")),
        }
    }

    /// Takes a value without parts.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>> {
        match self.kind()? {
            Kind::String => self.string().map(Scalar::Text),
            Kind::Number => self.number().map(Scalar::Number),
            Kind::Bool => self.boolean().map(Scalar::Bool),
            Kind::Null => self.literal("null").map(|()| Scalar::Null),
            Kind::Object | Kind::Array => Err(self.expected("a number, a string, a boolean or null")),
        }
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Text<'a>> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return Err(self.expected("an escaped control character")),
                None => return Err(self.expected("`\"`")),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    /// Takes a whole value, checking its grammar. No recursion: one bit a level says whether it is an object.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        let floor = self.depth;
        let mut objects: u128 = 0;
        let mut first = self.skip_one(&mut objects)?;
        while self.depth > floor {
            let more = if objects & 1 == 1 {
                self.next_raw_key(&mut first)?.is_some()
            } else {
                self.next_element(&mut first)?
            };
            if more {
                first = self.skip_one(&mut objects)?;
            } else {
                objects >>= 1;
                first = false;
            }
        }
        Ok(())
    }

    /// An error of kind `Syntax` at this place.
    #[cold]
    fn expected(&self, what: &str) -> ReadError {
        let problem = match (self.at >= self.text.len(), self.cut) {
            (true, true) => format!("expected {what}, found bytes that are not UTF-8,"),
            (true, false) => format!("expected {what}, found the end of the body"),
            (false, _) => format!("expected {what}"),
        };
        self.error(DecodeErrorKind::Syntax, problem)
    }

    fn error(&self, kind: DecodeErrorKind, problem: impl Into<String>) -> ReadError {
        Box::new(Fault { kind, at: self.at, problem: problem.into() })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn open(&mut self, bracket: u8, what: &str) -> Result<bool> {
        self.skip_space();
        if self.peek() != Some(bracket) {
            return Err(self.expected(what));
        }
        if self.depth >= self.max_depth {
            let problem = format!("more than {} arrays and objects in each other", self.max_depth);
            return Err(self.error(DecodeErrorKind::Depth, problem));
        }
        self.depth += 1;
        self.at += 1;
        Ok(true)
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
    }

    fn next_raw_key(&mut self, first: &mut bool) -> Result<Option<Text<'a>>> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.close();
                return Ok(None);
            }
            Some(b',') if !*first => self.at += 1,
            Some(b'"') if *first => *first = false,
            _ => return Err(self.expected(if *first { "a key or `}`" } else { "`,` or `}`" })),
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Takes a scalar, or opens an array or object and notes which; the answer is its `first`.
    fn skip_one(&mut self, objects: &mut u128) -> Result<bool> {
        match self.kind()? {
            Kind::Object => {
                *objects = *objects << 1 | 1;
                self.object()
            }
            Kind::Array => {
                *objects <<= 1;
                self.array()
            }
            _ => self.scalar().map(|_| false),
        }
    }

    fn skip_escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.expected("a hexadecimal digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    fn boolean(&mut self) -> Result<bool> {
        let value = self.peek() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number. Up to 2^53 and 22 decimals the digits divided by a power of ten are already the nearest `f64`
    /// (both are exact, and division rounds once); everything else goes to the standard library.
    fn number(&mut self) -> Result<Number> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let mut digits = Digits::default();
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(&mut digits)?,
            _ => return self.no_number(negative),
        }
        let integer_digits = digits.count;
        let mut plain = true;
        if self.peek() == Some(b'.') {
            plain = false;
            self.at += 1;
            self.digits(&mut digits)?;
        }
        let decimals = digits.count - integer_digits;
        let mut exponent = false;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            (plain, exponent) = (false, true);
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits(&mut Digits::default())?;
        }
        let small = digits.count <= 19 && digits.value <= EXACT_INTEGER;
        let value = match POWERS.get(decimals) {
            Some(power) if small && !exponent => {
                let magnitude = digits.value as f64 / power;
                if negative { -magnitude } else { magnitude }
            }
            _ => self.text.get(start..self.at).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
        };
        let magnitude = if digits.count <= 19 { digits.value } else { u64::MAX };
        Ok(Number { value, inexact_integer: NonZero::new(magnitude).filter(|_| plain && !small) })
    }

    /// Takes a number that is none.
    #[cold]
    fn no_number(&mut self, negative: bool) -> Result<Number> {
        let Some((length, value)) = self.word() else { return Err(self.expected("a digit")) };
        self.at += length;
        Ok(Number { value: if negative { -value } else { value }, inexact_integer: None })
    }

    /// Takes one digit or more.
    fn digits(&mut self, digits: &mut Digits) -> Result<()> {
        let before = self.at;
        let rest = self.text.as_bytes().get(before..).unwrap_or_default();
        for byte in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            digits.value = digits.value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        if self.at == before {
            return Err(self.expected("a digit"));
        }
        digits.count += self.at - before;
        Ok(())
    }
}

/// Digits read so far. `value` is only meaningful up to 19 of them.
#[derive(Default)]
struct Digits {
    value: u64,
    count: usize,
}

impl<'a> Text<'a> {
    /// Bytes as written, at least as many as the text has.
    pub(crate) fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// Characters (Unicode scalar values) of the text.
    pub(crate) fn chars(&self) -> u64 {
        self.resolved().chars().count() as u64
    }

    /// The text itself; allocates only when there are escapes.
    #[inline]
    pub(crate) fn resolved(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(self.unescaped()) } else { Cow::Borrowed(self.raw) }
    }

    #[cold]
    fn unescaped(&self) -> String {
        let mut text = String::with_capacity(self.raw.len());
        self.push_to(&mut text);
        text
    }

    /// Appends the text. Half of a surrogate pair alone, which is grammatical but no character, becomes U+FFFD.
    pub(crate) fn push_to(&self, out: &mut String) {
        if !self.escaped {
            out.push_str(self.raw);
            return;
        }
        let mut rest = self.raw;
        while let Some((plain, after)) = rest.split_once('\\') {
            out.push_str(plain);
            rest = push_escape(after, out);
        }
        out.push_str(rest);
    }
}

/// Appends the character of an escape (what follows its backslash) and gives what is left.
fn push_escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    let mut chars = after.chars();
    match chars.next() {
        Some('u') => return push_unicode(chars.as_str(), out),
        Some('b') => out.push('\u{8}'),
        Some('f') => out.push('\u{c}'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('t') => out.push('\t'),
        Some(other) => out.push(other),
        None => {}
    }
    chars.as_str()
}

/// Appends the character of `XXXX`, or of `XXXX\uXXXX` when the two are a pair, and gives what is left.
fn push_unicode<'a>(after: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| text.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let high = unit(after).unwrap_or(0xfffd);
    let rest = after.get(4..).unwrap_or_default();
    if (0xd800..0xdc00).contains(&high) {
        let low = rest.strip_prefix("\\u").and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
        if let Some(low) = low {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return rest.get(6..).unwrap_or_default();
        }
    }
    out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}
