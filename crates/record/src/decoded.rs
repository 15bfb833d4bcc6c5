//! The decoded rows of one exchange, in buffers that are reused from exchange to exchange.

use std::fmt::Write as _;

/// A piece of text inside a [`Decoded`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextRange {
    start: u32,
    end: u32,
}

/// The value of a cell, its text held by the [`Decoded`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellValue {
    /// A finite number.
    Number(f64),
    /// A category: a string, or a boolean as `true` or `false`.
    Text(TextRange),
    /// Null or NaN.
    Missing,
}

/// A value seen through [`Decoded::features`] or [`Decoded::predictions`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A finite number.
    Number(f64),
    /// A category.
    Text(&'a str),
    /// No value.
    Missing,
}

/// One named value of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodedCell<'a> {
    /// Row inside the request, from 0: a batch of five rows has rows 0 to 4.
    pub row: u32,
    /// Name of the feature or prediction.
    pub name: &'a str,
    /// Its value.
    pub value: Cell<'a>,
}

#[derive(Clone, Copy, Debug)]
struct RawCell {
    row: u32,
    name: TextRange,
    value: CellValue,
}

/// One side's rows without their values: names and places, to be put into a [`Decoded`] again.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The names, one after the other.
    text: String,
    cells: Vec<RawCell>,
    rows: u32,
}

impl Rows {
    /// The rows of one side.
    pub(crate) fn of(decoded: &Decoded, features: bool) -> Self {
        let (cells, rows) = match features {
            true => (&decoded.features, decoded.feature_rows),
            false => (&decoded.predictions, decoded.prediction_rows),
        };
        let mut text = String::new();
        let mut known = std::collections::HashMap::new();
        let mut keep = |name: TextRange| {
            *known.entry((name.start, name.end)).or_insert_with(|| {
                let start = text.len() as u32;
                text.push_str(decoded.text(name));
                TextRange { start, end: text.len() as u32 }
            })
        };
        let without_value =
            |cell: &RawCell| RawCell { row: cell.row, name: keep(cell.name), value: CellValue::Missing };
        let cells = cells.iter().map(without_value).collect();
        Self { text, cells, rows }
    }

    /// Cells of these rows.
    pub(crate) fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of their names.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

/// How much was there before one side was tried; see [`Decoded::roll_back`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    text: usize,
    non_finite: u32,
    precision_loss: u32,
}

/// The rows of one exchange. Clear it and use it again: after warm-up, decoding allocates nothing.
#[derive(Debug, Default)]
pub struct Decoded {
    text: String,
    features: Vec<RawCell>,
    predictions: Vec<RawCell>,
    feature_rows: u32,
    prediction_rows: u32,
    non_finite: u32,
    precision_loss: u32,
}

impl Decoded {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.features.clear();
        self.predictions.clear();
        self.feature_rows = 0;
        self.prediction_rows = 0;
        self.non_finite = 0;
        self.precision_loss = 0;
    }

    /// Numbers that were not finite: NaN became [`Cell::Missing`], an infinity or a number over the range of an `f64` (`1e400`) the
    /// text `inf` or `-inf`.
    pub fn non_finite(&self) -> u32 {
        self.non_finite
    }

    /// Integers above 2^53 in magnitude: as an `f64`, different ones may have become the same number.
    pub fn precision_loss(&self) -> u32 {
        self.precision_loss
    }

    /// Rows (observations) of features; a batch of five has five.
    pub fn feature_rows(&self) -> u32 {
        self.feature_rows
    }

    /// Rows of predictions.
    pub fn prediction_rows(&self) -> u32 {
        self.prediction_rows
    }

    /// Bytes of text held, for limits.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Cells held, features and predictions, for limits.
    pub fn n_cells(&self) -> usize {
        self.features.len() + self.predictions.len()
    }

    /// The features' cells. A feature's cells need not stand together: tensors come column by column, objects row by row.
    pub fn features(&self) -> impl Iterator<Item = DecodedCell<'_>> + Clone {
        self.features.iter().map(|cell| self.view(cell))
    }

    /// The predictions' cells.
    pub fn predictions(&self) -> impl Iterator<Item = DecodedCell<'_>> + Clone {
        self.predictions.iter().map(|cell| self.view(cell))
    }

    /// Keeps a text and returns its place. Text of one exchange is bounded by the decoder's limits.
    pub fn intern(&mut self, text: &str) -> TextRange {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        TextRange { start, end: self.text.len() as u32 }
    }

    /// The text at a place.
    pub fn text(&self, range: TextRange) -> &str {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Adds a feature's value; the row count grows to hold `row`.
    pub fn push_feature(&mut self, row: u32, name: TextRange, value: CellValue) {
        self.feature_rows = self.feature_rows.max(row + 1);
        self.features.push(RawCell { row, name, value });
    }

    /// Adds a prediction's value; the row count grows to hold `row`.
    pub fn push_prediction(&mut self, row: u32, name: TextRange, value: CellValue) {
        self.prediction_rows = self.prediction_rows.max(row + 1);
        self.predictions.push(RawCell { row, name, value });
    }

    /// Forgets the predictions: an answer that turned out to be unreadable half-way.
    pub fn clear_predictions(&mut self) {
        self.predictions.clear();
        self.prediction_rows = 0;
    }

    pub(crate) fn clear_features(&mut self) {
        self.features.clear();
        self.feature_rows = 0;
    }

    /// Puts rows into an empty side, every value missing.
    pub(crate) fn put(&mut self, features: bool, rows: &Rows) {
        let offset = self.text.len() as u32;
        self.text.push_str(&rows.text);
        let (cells, n_rows) = match features {
            true => (&mut self.features, &mut self.feature_rows),
            false => (&mut self.predictions, &mut self.prediction_rows),
        };
        *n_rows = rows.rows;
        if offset == 0 {
            cells.extend_from_slice(&rows.cells);
            return;
        }
        let moved = |name: TextRange| TextRange { start: name.start + offset, end: name.end + offset };
        cells.extend(rows.cells.iter().map(|cell| RawCell { name: moved(cell.name), ..*cell }));
    }

    /// How much there is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), non_finite: self.non_finite, precision_loss: self.precision_loss }
    }

    /// Empties one side and forgets all text and counts since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark, features: bool) {
        self.text.truncate(mark.text);
        (self.non_finite, self.precision_loss) = (mark.non_finite, mark.precision_loss);
        if features {
            self.clear_features();
        } else {
            self.clear_predictions();
        }
    }

    pub(crate) fn n_features(&self) -> usize {
        self.features.len()
    }

    pub(crate) fn n_predictions(&self) -> usize {
        self.predictions.len()
    }

    /// Like [`Decoded::intern`], for text that is composed in place.
    pub(crate) fn intern_with(&mut self, write: impl FnOnce(&mut String)) -> TextRange {
        let start = self.text.len() as u32;
        write(&mut self.text);
        TextRange { start, end: self.text.len() as u32 }
    }

    /// Keeps the digits of a card's number.
    pub(crate) fn intern_card(&mut self, number: u64) -> TextRange {
        self.intern_with(|text| {
            // Writing to a String cannot fail.
            let written = write!(text, "{number}");
            debug_assert!(written.is_ok());
        })
    }

    pub(crate) fn note_feature_row(&mut self, row: u32) {
        self.feature_rows = self.feature_rows.max(row + 1);
    }

    pub(crate) fn note_prediction_row(&mut self, row: u32) {
        self.prediction_rows = self.prediction_rows.max(row + 1);
    }

    /// Gives a cell that is there another value.
    pub(crate) fn replace(&mut self, feature: bool, cell: usize, value: CellValue) {
        let cells = if feature { &mut self.features } else { &mut self.predictions };
        if let Some(cell) = cells.get_mut(cell) {
            cell.value = value;
        }
    }

    /// Gives every prediction the same name.
    pub(crate) fn rename_predictions(&mut self, name: TextRange) {
        for cell in &mut self.predictions {
            cell.name = name;
        }
    }

    /// A feature's cell by its place in [`Decoded::features`].
    pub(crate) fn feature(&self, at: usize) -> Option<DecodedCell<'_>> {
        self.features.get(at).map(|cell| self.view(cell))
    }

    /// A prediction's cell by its place in [`Decoded::predictions`].
    pub(crate) fn prediction(&self, at: usize) -> Option<DecodedCell<'_>> {
        self.predictions.get(at).map(|cell| self.view(cell))
    }

    /// Every text, names and values, one after the other.
    pub(crate) fn all_text(&self) -> &str {
        &self.text
    }

    /// Whether some number is at least `least`.
    pub(crate) fn has_number_from(&self, least: f64) -> bool {
        let is_it = |cell: &RawCell| matches!(cell.value, CellValue::Number(number) if number >= least);
        self.features.iter().any(is_it) || self.predictions.iter().any(is_it)
    }

    /// Gives cells another name, or a text instead of their value. What stood there before stays in the buffer until it is
    /// used again, where nobody can see it.
    pub(crate) fn rewrite(
        &mut self,
        mut rewrite: impl FnMut(&str, Cell<'_>) -> (Option<String>, Option<String>),
    ) {
        let mut text = std::mem::take(&mut self.text);
        let keep = |text: &mut String, new: &str| {
            let start = text.len() as u32;
            text.push_str(new);
            TextRange { start, end: text.len() as u32 }
        };
        for cell in self.features.iter_mut().chain(&mut self.predictions) {
            let part =
                |range: TextRange| text.get(range.start as usize..range.end as usize).unwrap_or_default();
            let value = match cell.value {
                CellValue::Number(number) => Cell::Number(number),
                CellValue::Text(range) => Cell::Text(part(range)),
                CellValue::Missing => Cell::Missing,
            };
            let (name, value) = rewrite(part(cell.name), value);
            if let Some(name) = name {
                cell.name = keep(&mut text, &name);
            }
            if let Some(value) = value {
                cell.value = CellValue::Text(keep(&mut text, &value));
            }
        }
        self.text = text;
    }

    pub(crate) fn count_non_finite(&mut self) {
        self.non_finite = self.non_finite.saturating_add(1);
    }

    pub(crate) fn count_precision_loss(&mut self) {
        self.precision_loss = self.precision_loss.saturating_add(1);
    }

    fn view(&self, cell: &RawCell) -> DecodedCell<'_> {
        let value = match cell.value {
            CellValue::Number(number) => Cell::Number(number),
            CellValue::Text(range) => Cell::Text(self.text(range)),
            CellValue::Missing => Cell::Missing,
        };
        DecodedCell { row: cell.row, name: self.text(cell.name), value }
    }
}
