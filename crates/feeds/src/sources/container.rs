//! Lines of container logs: what a program wrote, out of what the container runtime put around it.
//!
//! CRI (containerd, CRI-O): `2026-01-31T12:00:00.123456789Z stdout F {…}`; a long line comes in pieces with the tag `P`, the
//! last one with `F`. Docker's `json-file`: `{"log":"{…}\n","stream":"stdout","time":"…"}`; a piece without a line end goes on in
//! the next one of its stream. Every other line is taken as it is.

use std::borrow::Cow;

use serde::Deserialize;

use super::lines::LINE_BYTES;
use super::split::Place;

/// A line of a container log, opened.
#[derive(Debug, PartialEq, Eq)]
struct Opened<'a> {
    is_stderr: bool,
    /// The next piece of this stream belongs to the same line.
    goes_on: bool,
    text: Cow<'a, [u8]>,
}

/// What a line was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unwrapped<'a> {
    /// A whole line of the program.
    Line(Cow<'a, [u8]>),
    /// The program's line is not whole yet.
    More,
    /// It is longer than allowed.
    TooLong,
}

/// Pieces of a stream's line that is not whole.
#[derive(Debug, Default)]
struct Pieces {
    text: Vec<u8>,
    /// The place before the first of them; `None` when there is none.
    from: Option<Place>,
    too_long: bool,
}

/// Opens the lines of one file.
#[derive(Debug, Default)]
pub(crate) struct Container {
    /// Of stdout and stderr.
    pieces: [Pieces; 2],
}

impl Container {
    /// Takes a line; `before` is the place where it begins.
    pub(crate) fn take<'l>(&mut self, line: &'l [u8], before: Place) -> Unwrapped<'l> {
        let Some(opened) = cri(line).or_else(|| docker(line)) else {
            return Unwrapped::Line(Cow::Borrowed(line));
        };
        let [stdout, stderr] = &mut self.pieces;
        let pieces = if opened.is_stderr { stderr } else { stdout };
        if pieces.from.is_none() && !opened.goes_on {
            return Unwrapped::Line(opened.text);
        }
        pieces.from.get_or_insert(before);
        pieces.too_long |= pieces.text.len() + opened.text.len() > LINE_BYTES;
        if pieces.too_long {
            pieces.text = Vec::new();
        } else {
            pieces.text.extend_from_slice(&opened.text);
        }
        if opened.goes_on {
            return Unwrapped::More;
        }
        let whole = std::mem::take(pieces);
        if whole.too_long { Unwrapped::TooLong } else { Unwrapped::Line(Cow::Owned(whole.text)) }
    }

    /// The place before the first piece that waits for its end.
    pub(crate) fn waits_from(&self) -> Option<Place> {
        self.pieces.iter().filter_map(|pieces| pieces.from).min_by_key(|place| place.offset)
    }
}

fn cri(line: &[u8]) -> Option<Opened<'_>> {
    // `2026-01-31T`: every other line is told by a byte or two.
    if !matches!(line, [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b'T', ..]) {
        return None;
    }
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let (_time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
    let is_stderr = match stream {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    let goes_on = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Opened { is_stderr, goes_on, text: Cow::Borrowed(fields.next().unwrap_or_default()) })
}

fn docker(line: &[u8]) -> Option<Opened<'_>> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        stream: &'a str,
        #[serde(rename = "time")]
        _time: &'a str,
    }
    if !line.starts_with(b"{\"log\":") {
        return None;
    }
    let read: Line<'_> = serde_json::from_slice(line).ok()?;
    let is_stderr = match read.stream {
        "stdout" => false,
        "stderr" => true,
        _ => return None,
    };
    let goes_on = !read.log.ends_with('\n');
    let mut text = read.log.into_owned().into_bytes();
    text.truncate(text.trim_ascii_end().len());
    Some(Opened { is_stderr, goes_on, text: Cow::Owned(text) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines of a program, `…` for what is not whole and `!` for what is too long.
    fn lines(input: &[&str]) -> Vec<String> {
        let mut container = Container::default();
        let shown = |unwrapped| match unwrapped {
            Unwrapped::Line(line) => String::from_utf8_lossy(&line).into_owned(),
            Unwrapped::More => "…".to_owned(),
            Unwrapped::TooLong => "!".to_owned(),
        };
        input.iter().map(|line| shown(container.take(line.as_bytes(), Place::default()))).collect()
    }

    #[test]
    fn what_a_runtime_puts_around_a_line_is_taken_off() {
        assert_eq!(
            lines(&[
                r#"2026-01-31T12:00:00.123456789Z stdout F {"a":1}"#,
                r#"2026-01-31T12:00:00.123456789+02:00 stderr F:x {"a": 2}"#,
                r#"{"log":"{\"a\":3}\n","stream":"stdout","time":"2026-01-31T12:00:00Z"}"#,
                r#"{"log":"{\"a\":4}\r\n","stream":"stdout","attrs":{"x":"y"},"time":"2026-01-31T12:00:00Z"}"#,
                "2026-01-31T12:00:00Z stdout F",
            ]),
            [r#"{"a":1}"#, r#"{"a": 2}"#, r#"{"a":3}"#, r#"{"a":4}"#, ""]
        );
    }

    #[test]
    fn pieces_are_joined_stream_by_stream() {
        assert_eq!(
            lines(&[
                "2026-01-31T12:00:00Z stdout P {\"a\":",
                "2026-01-31T12:00:00Z stderr F error",
                "2026-01-31T12:00:00Z stdout P  1",
                "2026-01-31T12:00:00Z stdout F }",
                r#"{"log":"{\"b\":","stream":"stdout","time":""}"#,
                r#"{"log":"2}\n","stream":"stdout","time":""}"#,
            ]),
            ["…", "error", "…", "{\"a\": 1}", "…", "{\"b\":2}"]
        );
    }

    #[test]
    fn every_other_line_is_left_alone() {
        for line in [
            r#"{"model":"m","features":{}}"#,
            r#"{"log":"x"}"#,
            r#"{"log":"x\n","stream":"file","time":""}"#,
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00Z info F x",
            "2026-01-31T12:00:00Z stdout X x",
            "2026-01-31 12:00:00",
            "",
        ] {
            assert_eq!(lines(&[line]), [line]);
        }
    }

    #[test]
    fn a_line_that_never_ends_takes_no_room() {
        let mut container = Container::default();
        let piece = format!("2026-01-31T12:00:00Z stdout P {}", "x".repeat(16 << 10));
        for _ in 0..100 {
            assert_eq!(container.take(piece.as_bytes(), Place::default()), Unwrapped::More);
            assert!(container.pieces[0].text.len() <= LINE_BYTES);
        }
        let end = container.take(b"2026-01-31T12:00:00Z stdout F x", Place::default());
        assert_eq!(end, Unwrapped::TooLong);
        assert_eq!(container.waits_from(), None);
    }

    proptest! {
        #[test]
        fn any_line_is_taken(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..9)) {
            let mut container = Container::default();
            for line in &lines {
                container.take(line, Place::default());
            }
        }

        #[test]
        fn pieces_make_no_difference(text in "[a-z{}\"\\\\ ]{1,60}", cuts in prop::collection::vec(1_usize..60, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut container, mut from) = (Container::default(), 0);
            for cut in cuts {
                let line = format!("2026-01-31T12:00:00Z stdout P {}", &text[from..cut]);
                prop_assert_eq!(container.take(line.as_bytes(), Place::default()), Unwrapped::More);
                from = cut;
            }
            let line = format!("2026-01-31T12:00:00Z stdout F {}", &text[from..]);
            let whole = container.take(line.as_bytes(), Place::default());
            prop_assert_eq!(whole, Unwrapped::Line(Cow::Borrowed(text.as_bytes())));
        }
    }
}
