//! The text of a configuration, by line, with what must not be shown taken out.

use crate::problem::{Problem, Severity};
use crate::yaml::Place;

/// Most characters of a line that a message shows.
const EXCERPT_MAX: usize = 120;

/// What a masked character is shown as.
const MASK: char = '*';

/// A named text whose lines can be quoted in messages.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    /// The text's characters; masked ones already replaced.
    shown: Vec<char>,
    /// Index into `shown` of each line's first character.
    lines: Vec<usize>,
}

impl Source {
    /// Takes the text as it is; mask before problems are made.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let shown: Vec<char> = text.chars().collect();
        let mut lines = vec![0];
        lines.extend(shown.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(index, _)| index + 1));
        Self { name: name.to_owned(), shown, lines }
    }

    /// Hides the characters of a place, line ends excepted.
    pub(crate) fn mask(&mut self, start: usize, end: usize) {
        let end = end.min(self.shown.len());
        for c in self.shown.get_mut(start.min(end)..end).unwrap_or_default() {
            if *c != '\n' && *c != '\r' {
                *c = MASK;
            }
        }
    }

    /// Characters of the line that `index` lies on, from there to the line's end.
    pub(crate) fn rest_of_line(&self, index: usize) -> (usize, usize) {
        let start = index.min(self.shown.len());
        let length = self.shown.iter().skip(start).take_while(|c| **c != '\n').count();
        (start, start + length)
    }

    /// The text of a place as it may be shown.
    pub(crate) fn slice(&self, start: usize, end: usize) -> String {
        self.shown.get(start..end.min(self.shown.len())).unwrap_or_default().iter().collect()
    }

    /// The text's lines as they may be shown: index of the first character and the characters.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &[char])> {
        self.lines.iter().map(|&start| {
            let (_, end) = self.rest_of_line(start);
            (start, &self.shown[start..end])
        })
    }

    /// A place from a line and a column, both from 1, kept inside the text.
    pub(crate) fn place(&self, line: usize, column: usize) -> Place {
        let line = line.clamp(1, self.lines.len());
        let first = self.lines[line - 1];
        let (_, end) = self.rest_of_line(first);
        let start = (first + column.max(1) - 1).min(end);
        Place { line, column: start - first + 1, start, end: start + 1 }
    }

    /// A problem at a place.
    pub(crate) fn problem(&self, severity: Severity, place: Place, path: String, message: String) -> Problem {
        let (line, column) = (place.line.max(1), place.column.max(1));
        let mut problem = Problem {
            severity,
            path,
            file: self.name.clone(),
            line,
            column,
            message,
            hint: None,
            place,
            excerpt: String::new(),
            caret: 0,
            width: 1,
        };
        self.quote(&mut problem);
        problem
    }

    /// Takes a problem's excerpt anew, after more has been masked.
    pub(crate) fn quote(&self, problem: &mut Problem) {
        (problem.excerpt, problem.caret, problem.width) = self.excerpt(problem.place);
    }

    /// Characters of a place; the parser counts what follows a quoted value into it, which nobody wants underlined.
    fn visible_width(&self, place: Place) -> usize {
        let end = place.end.min(self.shown.len());
        let content = self.shown.get(place.start..end).unwrap_or_default();
        match content.first() {
            Some(quote @ ('"' | '\'')) => content.iter().rposition(|c| c == quote).map_or(1, |last| last + 1),
            _ => content.len(),
        }
    }

    /// The place's line, where the caret stands in it, and how wide it is.
    fn excerpt(&self, place: Place) -> (String, usize, usize) {
        let Some(&first) = self.lines.get(place.line.wrapping_sub(1)) else { return (String::new(), 0, 1) };
        let (_, end) = self.rest_of_line(first);
        let caret = place.column.saturating_sub(1).min(end - first);
        let from = if end - first > EXCERPT_MAX { caret.saturating_sub(EXCERPT_MAX / 2) } else { 0 };
        let shown = &self.shown[first + from..end.min(first + from + EXCERPT_MAX)];
        let text: String = shown.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect();
        let text = text.trim_end();
        let length = text.chars().count();
        let caret = (caret - from).min(length);
        let width = self.visible_width(place).min(length.saturating_sub(caret)).max(1);
        (text.to_owned(), caret, width)
    }
}
