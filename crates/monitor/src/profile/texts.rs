//! A column of texts, each text kept once.

use std::collections::HashMap;

use record::Cell;

use super::{MAX_DISTINCT_TEXTS, MAX_TEXT_BYTES};

/// Stands for a text that was not kept. Longer than any category can be, so that no bins have one of this name.
pub const UNKEPT_TEXT: &str = {
    const BYTES: [u8; MAX_TEXT_BYTES + 1] = [b'x'; MAX_TEXT_BYTES + 1];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// The code of a text that was not kept.
const UNKEPT: u32 = u32::MAX;

/// The texts of a column in the order of its rows. Of different texts [`MAX_DISTINCT_TEXTS`] are kept; later ones, and
/// those beyond [`MAX_TEXT_BYTES`], are [`UNKEPT_TEXT`].
#[derive(Clone, Debug, Default)]
pub struct TextColumn {
    codes: Vec<Option<u32>>,
    names: Vec<String>,
    known: HashMap<String, u32>,
    unkept: usize,
}

impl TextColumn {
    /// Adds a row; `None` is missing.
    pub fn push(&mut self, text: Option<&str>) {
        let code = text.map(|text| self.code(text));
        self.unkept += usize::from(code == Some(UNKEPT));
        self.codes.push(code);
    }

    /// Adds rows without a text.
    pub fn push_missing(&mut self, rows: usize) {
        self.codes.resize(self.codes.len() + rows, None);
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// How many different texts there are; those that were not kept are taken for different from each other.
    pub fn distinct(&self) -> usize {
        self.names.len() + self.unkept
    }

    /// The rows.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> + Clone {
        self.codes.iter().map(|code| match code {
            None => Cell::Missing,
            Some(code) => Cell::Text(self.names.get(*code as usize).map_or(UNKEPT_TEXT, String::as_str)),
        })
    }

    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.known.get(text) {
            return *code;
        }
        if self.names.len() >= MAX_DISTINCT_TEXTS || text.len() > MAX_TEXT_BYTES {
            return UNKEPT;
        }
        let code = self.names.len() as u32;
        self.names.push(text.to_owned());
        self.known.insert(text.to_owned(), code);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_their_order() {
        let mut column = TextColumn::default();
        let long = "y".repeat(MAX_TEXT_BYTES + 1);
        for text in [Some("DE"), None, Some("FR"), Some("DE"), Some(&*long)] {
            column.push(text);
        }
        column.push_missing(1);
        let text = Cell::Text;
        let expected = [text("DE"), Cell::Missing, text("FR"), text("DE"), text(UNKEPT_TEXT), Cell::Missing];
        assert_eq!(column.cells().collect::<Vec<_>>(), expected);
        assert_eq!((column.len(), column.distinct()), (6, 3));
        assert_eq!(UNKEPT_TEXT.len(), MAX_TEXT_BYTES + 1);
    }

    #[test]
    fn the_number_of_kept_texts_is_bounded() {
        let mut column = TextColumn::default();
        (0..MAX_DISTINCT_TEXTS + 5).for_each(|i| column.push(Some(&i.to_string())));
        assert_eq!(column.cells().filter(|cell| *cell == Cell::Text(UNKEPT_TEXT)).count(), 5);
        assert_eq!(column.distinct(), MAX_DISTINCT_TEXTS + 5);
    }
}
