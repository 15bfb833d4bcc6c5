//! Path expressions: where in a JSON body a value stands.
//!
//! `$.a.b` (or `a.b`), `$['odd name'].x`, `$.items[0].x`, and `$.rows[*].amount`, where `[*]` makes one row of every
//! element. A subset of JSONPath (RFC 9535): no slices, no filters, no `..`, at most one `[*]`.

use std::fmt;
use std::str::FromStr;

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// The member of an object.
    Key(String),
    /// The element of an array, from 0.
    Index(u32),
    /// Every element of an array: one row each.
    Rows,
}

/// A parsed path expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    segments: Vec<Segment>,
}

/// A named value of a body and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// Name of the feature or prediction.
    pub name: String,
    /// Where its value stands. A value that is absent, an array or an object counts as missing.
    pub path: Path,
}

/// Text that is not a path expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "path `{text}`, character {position}: {problem}; allowed are `$.a.b`, `a.b`, `$['odd name']`, `[0]` and one `[*]`"
)]
pub struct PathError {
    /// The text as given.
    pub text: String,
    /// Where the problem is, in characters from 1.
    pub position: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl Path {
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True when the path has a `[*]`: it gives one value a row.
    pub fn makes_rows(&self) -> bool {
        self.segments.contains(&Segment::Rows)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Parser { text, at: 0, segments: Vec::new() }.parse()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for segment in &self.segments {
            match segment {
                Segment::Key(key) if !key.is_empty() && key.chars().all(is_bare) => write!(f, ".{key}")?,
                Segment::Key(key) => {
                    write!(f, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?;
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Rows => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

/// Characters of a name that needs no quotes.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes, always between characters.
    at: usize,
    segments: Vec<Segment>,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Path, PathError> {
        if self.text.is_empty() {
            return Err(self.error("the path is empty"));
        }
        if self.peek() == Some('$') {
            self.bump();
        } else if self.peek() != Some('[') {
            self.bare_key()?;
        }
        while let Some(c) = self.peek() {
            match c {
                '.' => {
                    self.bump();
                    self.bare_key()?;
                }
                '[' => {
                    self.bump();
                    self.bracket()?;
                }
                _ => return Err(self.error("expected `.` or `[`")),
            }
        }
        Ok(Path { segments: self.segments })
    }

    fn bare_key(&mut self) -> Result<(), PathError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("expected a name (letters, digits, `_`, `-`; others in `['…']`)"));
        }
        let key = rest.get(..end).unwrap_or_default().to_owned();
        self.segments.push(Segment::Key(key));
        self.at += end;
        Ok(())
    }

    fn bracket(&mut self) -> Result<(), PathError> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted_key(quote)?,
            Some('*') => {
                if self.segments.contains(&Segment::Rows) {
                    return Err(self.error("a second `[*]`"));
                }
                self.bump();
                self.segments.push(Segment::Rows);
            }
            Some('0'..='9') => self.index()?,
            _ => return Err(self.error("expected `*`, an index or a quoted name")),
        }
        if self.peek() != Some(']') {
            return Err(self.error("expected `]`"));
        }
        self.bump();
        Ok(())
    }

    fn index(&mut self) -> Result<(), PathError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(index) = rest.get(..end).unwrap_or_default().parse() else {
            return Err(self.error("the index is too large"));
        };
        self.segments.push(Segment::Index(index));
        self.at += end;
        Ok(())
    }

    /// Takes `'…'` or `"…"`; a backslash takes the next character as it is.
    fn quoted_key(&mut self, quote: char) -> Result<(), PathError> {
        let mut key = String::new();
        self.bump();
        loop {
            match self.bump() {
                Some('\\') => match self.bump() {
                    Some(c) => key.push(c),
                    None => return Err(self.error("the quoted name does not end")),
                },
                Some(c) if c == quote => break,
                Some(c) => key.push(c),
                None => return Err(self.error("the quoted name does not end")),
            }
        }
        self.segments.push(Segment::Key(key));
        Ok(())
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error(&self, problem: &'static str) -> PathError {
        let before = self.text.get(..self.at).unwrap_or_default();
        PathError { text: self.text.to_owned(), position: before.chars().count() + 1, problem }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_and_shown() {
        for (text, shown) in [
            ("$.a.b", "$.a.b"),
            ("a.b", "$.a.b"),
            ("$", "$"),
            ("$['odd name'].x", "$['odd name'].x"),
            ("$[\"a.b\"]", "$['a.b']"),
            ("$['it\\'s']", "$['it\\'s']"),
            ("$['plain']", "$.plain"),
            ("$['']", "$['']"),
            ("$.rows[*].amount", "$.rows[*].amount"),
            ("[*]", "$[*]"),
            ("$[*][2]", "$[*][2]"),
            ("$.items[0].x", "$.items[0].x"),
            ("größe.x-y_z", "$.größe.x-y_z"),
        ] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_wrong_path_says_where_and_what_is_allowed() {
        for (text, position, problem) in [
            ("", 1, "empty"),
            ("$.", 3, "a name"),
            ("$..a", 3, "a name"),
            ("$.a b", 4, "`.` or `[`"),
            ("$.ä!", 4, "`.` or `[`"),
            ("$.a[", 5, "an index"),
            ("$.a[-1]", 5, "an index"),
            ("$.a[1:2]", 6, "`]`"),
            ("$.a[99999999999]", 5, "too large"),
            ("$.a['b", 7, "does not end"),
            ("$.a[*].b[*]", 10, "second `[*]`"),
            ("$.a[?(@.b)]", 5, "an index"),
            (".a", 1, "a name"),
        ] {
            let error = text.parse::<Path>().unwrap_err();
            assert_eq!(error.position, position, "{error}");
            assert!(error.to_string().contains(problem), "{error}");
            assert!(error.to_string().contains("$['odd name']"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_an_error(text in any::<String>()) {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
            }
        }

        #[test]
        fn a_shown_path_is_the_same_path(keys in prop::collection::vec(any::<String>(), 0..5), index: u32) {
            let mut segments: Vec<_> = keys.into_iter().map(Segment::Key).collect();
            segments.push(Segment::Index(index));
            segments.push(Segment::Rows);
            let path = Path { segments };
            prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
        }
    }
}
