//! Cuts a stream of bytes into lines, whatever the pieces it comes in.

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A line without its line end.
    Line(&'a [u8]),
    /// A line was longer than allowed; the rest of it is passed over.
    TooLong,
}

/// A place between two lines, or inside of one that is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) offset: u64,
    /// Everything up to the next line end belongs to a line that is not wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skipping: bool,
}

/// Cuts lines. Holds at most one line of the allowed length.
#[derive(Debug)]
pub(crate) struct Splitter {
    limit: usize,
    partial: Vec<u8>,
    /// `partial` was given out as a line.
    is_spent: bool,
    /// Bytes taken, those in `partial` too.
    taken: u64,
    place: Place,
}

impl Splitter {
    /// Goes on at a place. Lines have at most `limit` bytes.
    pub(crate) fn at(place: Place, limit: usize) -> Self {
        Self { limit, partial: Vec::new(), is_spent: false, taken: place.offset, place }
    }

    /// The place behind the last line that was given out or passed over.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The next line of `input`, which is moved on; `None` when all of it was taken.
    ///
    /// NUL bytes before a line are no part of it: they are what a file has where nobody has written, after a truncation
    /// under a writer that keeps its position.
    pub(crate) fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Piece<'a>> {
        if std::mem::take(&mut self.is_spent) {
            self.partial.clear();
        }
        if self.place.skipping {
            self.skip(input);
        }
        if self.partial.is_empty() {
            let nuls = input.iter().take_while(|byte| **byte == 0).count();
            self.advance(input, nuls);
            self.place.offset = self.taken;
        }
        if input.is_empty() {
            return None;
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let line = self.advance(input, end.unwrap_or(input.len()));
        if end.is_some() {
            self.advance(input, 1);
            self.place.offset = self.taken;
        }
        if self.partial.len() + line.len() > self.limit {
            self.partial = Vec::new();
            self.place = Place { offset: self.taken, skipping: end.is_none() };
            return Some(Piece::TooLong);
        }
        if end.is_some() && self.partial.is_empty() {
            return Some(Piece::Line(without_return(line)));
        }
        self.partial.extend_from_slice(line);
        end?;
        self.is_spent = true;
        Some(Piece::Line(without_return(&self.partial)))
    }

    /// What stands after the last line end, when nothing comes after it any more.
    pub(crate) fn finish(&mut self) -> Option<Piece<'_>> {
        if std::mem::take(&mut self.is_spent) {
            self.partial.clear();
        }
        self.place = Place { offset: self.taken, skipping: false };
        if self.partial.is_empty() {
            return None;
        }
        self.is_spent = true;
        Some(Piece::Line(without_return(&self.partial)))
    }

    fn skip(&mut self, input: &mut &[u8]) {
        let end = input.iter().position(|byte| *byte == b'\n');
        self.advance(input, end.map_or(input.len(), |at| at + 1));
        self.place = Place { offset: self.taken, skipping: end.is_none() };
    }

    fn advance<'i>(&mut self, input: &mut &'i [u8], bytes: usize) -> &'i [u8] {
        let (front, rest) = input.split_at_checked(bytes).unwrap_or((input, &[]));
        *input = rest;
        self.taken += front.len() as u64;
        front
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a text that comes in pieces, `!` for one that is too long; and the place after it.
    fn cut(pieces: &[&[u8]], limit: usize, from: Place) -> (Vec<String>, Place) {
        let mut splitter = Splitter::at(from, limit);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(piece) = splitter.next(&mut rest) {
                lines.push(match piece {
                    Piece::Line(line) => String::from_utf8_lossy(line).into_owned(),
                    Piece::TooLong => "!".to_owned(),
                });
            }
            assert!(rest.is_empty() && splitter.partial.len() <= limit);
        }
        (lines, splitter.place())
    }

    #[test]
    fn lines_end_where_they_end() {
        let (lines, place) = cut(&[b"a\r\nb", b"c\n\n\0\0d\n12345\n123", b"45\nhal"], 4, Place::default());
        assert_eq!(lines, ["a", "bc", "", "d", "!", "!"]);
        assert_eq!(place, Place { offset: 23, skipping: false });
    }

    #[test]
    fn a_long_line_is_passed_over_also_from_its_middle() {
        let (lines, place) = cut(&[b"1234", b"56"], 4, Place::default());
        assert_eq!((lines, place), (vec!["!".to_owned()], Place { offset: 6, skipping: true }));
        let (lines, place) = cut(&[b"78", b"9\nab\n"], 4, place);
        assert_eq!((lines, place), (vec!["ab".to_owned()], Place { offset: 13, skipping: false }));
    }

    #[test]
    fn the_end_is_a_line_end_when_nothing_follows() {
        let mut splitter = Splitter::at(Place::default(), 10);
        assert_eq!(splitter.next(&mut &b"ab"[..]), None);
        assert_eq!(splitter.place().offset, 0, "half a line is not behind us");
        assert_eq!(splitter.finish(), Some(Piece::Line(b"ab")));
        assert_eq!(splitter.finish(), None);
        assert_eq!(splitter.place().offset, 2);
    }

    #[test]
    fn a_hole_costs_no_room() {
        let hole = vec![0; 1000];
        let (lines, _) = cut(&[&hole, &hole, b"\0x\n"], 4, Place::default());
        assert_eq!(lines, ["x"]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab\n\r\0]{0,60}", cuts in proptest::collection::vec(0_usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in cuts {
                pieces.push(&bytes[from..at]);
                from = at;
            }
            pieces.push(&bytes[from..]);
            let whole = cut(&[bytes], 8, Place::default());
            prop_assert_eq!(&cut(&pieces, 8, Place::default()), &whole);
            // And stopping at any place loses nothing and repeats nothing.
            let mut place = Place::default();
            let mut lines = Vec::new();
            for end in 0..=bytes.len() {
                let (more, next) = cut(&[&bytes[place.offset as usize..end]], 8, place);
                lines.extend(more);
                place = next;
            }
            prop_assert_eq!((lines, place), whole);
        }
    }
}
