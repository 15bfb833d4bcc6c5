//! Where decoders put cells: one side of a [`Decoded`], with the limits watched.

use super::layout::Notes;
use super::names::NameTable;
#[cfg(doc)]
use super::reader::Number;
use super::reader::{Kind, Reader, Scalar, Text};
use super::{DecodeError, DecodeErrorKind, DecodeLimits, DecoderSpec};
use crate::decoded::{Mark, Rows};
use crate::privacy::is_text_key;
use crate::{CellValue, Decoded, TextRange, Unreadable};

type Result<T> = std::result::Result<T, DecodeError>;

/// This part of an exchange's text is for names.
const NAMES_SHARE: usize = 8;

/// Which cells are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Features,
    Predictions,
}

impl Side {
    /// What names of this side begin with.
    pub(crate) const fn base(self) -> &'static str {
        match self {
            Self::Features => "",
            Self::Predictions => "prediction",
        }
    }
}

/// The writer; see the module.
#[derive(Debug)]
pub(crate) struct Sink<'d> {
    into: &'d mut Decoded,
    names: &'d mut NameTable,
    limits: &'d DecodeLimits,
    /// Whether payment cards are looked for, see [`Number::long_card`].
    cards: bool,
    side: Side,
    /// The body was not UTF-8: what is read has U+FFFD where bytes were none.
    pub(crate) is_repaired: bool,
    /// Where values were read, if anybody wants to know.
    pub(crate) notes: Notes,
}

impl<'d> Sink<'d> {
    pub(crate) fn new(
        side: Side,
        into: &'d mut Decoded,
        names: &'d mut NameTable,
        spec: &'d DecoderSpec,
    ) -> Self {
        let cards = spec.privacy.spec().detectors.card;
        let notes = Notes::default();
        let mut sink = Self { into, names, limits: &spec.limits, cards, side, is_repaired: false, notes };
        sink.restart();
        sink
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Rows of features: for an answer, how many rows its request had.
    pub(crate) fn request_rows(&self) -> u32 {
        self.into.feature_rows()
    }

    /// Forgets this side's cells: the key that held them came again, and the last one counts.
    pub(crate) fn restart(&mut self) {
        self.names.begin();
        self.notes.restarted();
        match self.side {
            Side::Features => self.into.clear_features(),
            Side::Predictions => self.into.clear_predictions(),
        }
    }

    /// Takes a scalar as a cell's value.
    pub(crate) fn read_value(&mut self, reader: &mut Reader<'_>) -> Result<CellValue> {
        reader.kind()?;
        let start = reader.position();
        let scalar = reader.scalar()?;
        if self.notes.on() {
            self.notes.value(start, reader.position());
        }
        self.value(scalar)
    }

    /// Takes a value that becomes nothing.
    pub(crate) fn skip_value(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let kind = reader.kind()?;
        let start = reader.position();
        reader.skip_value()?;
        if self.notes.on() && !matches!(kind, Kind::Object | Kind::Array) {
            self.notes.skipped(start, reader.position());
        }
        Ok(())
    }

    /// A scalar as a cell's value.
    pub(crate) fn value(&mut self, scalar: Scalar<'_>) -> Result<CellValue> {
        match scalar {
            Scalar::Number(number) => {
                if number.inexact_integer.is_some() {
                    self.into.count_precision_loss();
                    if let Some(card) = number.long_card().filter(|_| self.cards) {
                        // As text, for privacy to find: as an `f64` it would be another number, and no card's.
                        self.check_text(20)?;
                        return Ok(CellValue::Text(self.into.intern_card(card)));
                    }
                }
                if number.value.is_finite() {
                    return Ok(CellValue::Number(number.value));
                }
                Ok(self.into.not_read(Unreadable::NotFinite))
            }
            Scalar::Text(text) => Ok(self.text_value(text)),
            Scalar::Bool(value) => self.boolean(value),
            Scalar::Null => Ok(CellValue::Missing),
        }
    }

    /// A string as a cell's value: one that is too long, or whose bytes were no UTF-8, costs itself and nothing else.
    fn text_value(&mut self, text: Text<'_>) -> CellValue {
        if self.check_value(text.raw_len()).is_err() {
            return self.into.not_read(Unreadable::TextTooLong);
        }
        if self.is_repaired && text.resolved().contains(char::REPLACEMENT_CHARACTER) {
            return self.into.not_read(Unreadable::NotUtf8);
        }
        CellValue::Text(self.into.intern_with(|held| text.push_to(held)))
    }

    /// The same for text that has no escapes.
    pub(crate) fn str_value(&mut self, text: &str) -> CellValue {
        if self.check_value(text.len()).is_err() {
            return self.into.not_read(Unreadable::TextTooLong);
        }
        if self.is_repaired && text.contains(char::REPLACEMENT_CHARACTER) {
            return self.into.not_read(Unreadable::NotUtf8);
        }
        CellValue::Text(self.into.intern(text))
    }

    /// An element of a tensor of bytes as a cell's value.
    pub(crate) fn bytes_value(&mut self, bytes: &[u8]) -> CellValue {
        match std::str::from_utf8(bytes) {
            Err(_) => self.into.not_read(Unreadable::NotUtf8),
            Ok(text) if self.check_value(text.len()).is_err() => self.into.not_read(Unreadable::TextTooLong),
            Ok(text) => CellValue::Text(self.into.intern(text)),
        }
    }

    /// A boolean as a cell's value: the category `true` or `false`.
    pub(crate) fn boolean(&mut self, value: bool) -> Result<CellValue> {
        Ok(CellValue::Text(self.intern(if value { "true" } else { "false" })?))
    }

    /// Keeps a string of the body.
    pub(crate) fn keep(&mut self, text: Text<'_>) -> Result<TextRange> {
        self.check_text(text.raw_len())?;
        Ok(self.into.intern_with(|held| text.push_to(held)))
    }

    /// Keeps text that has no escapes.
    pub(crate) fn keep_str(&mut self, text: &str) -> Result<TextRange> {
        self.intern(text)
    }

    /// Keeps a tensor's name.
    pub(crate) fn keep_name(&mut self, text: Text<'_>) -> Result<TextRange> {
        self.check_name(text.raw_len())?;
        self.keep(text)
    }

    /// A kept text.
    pub(crate) fn text(&self, range: TextRange) -> &str {
        self.into.text(range)
    }

    /// Counts a row even if it has no cells.
    pub(crate) fn row(&mut self, row: u32) -> Result<()> {
        self.check_rows(u64::from(row) + 1)?;
        match self.side {
            Side::Features => self.into.note_feature_row(row),
            Side::Predictions => self.into.note_prediction_row(row),
        }
        Ok(())
    }

    /// Writes a cell; the last of a row's cells with the same name stays.
    pub(crate) fn cell(&mut self, row: u32, name: &str, value: CellValue) -> Result<()> {
        let name = if name.is_empty() { "_" } else { name };
        self.check_name(name.len())?;
        let (known, fresh) = self.names.find(name);
        if !fresh && known.row == row {
            self.into.replace(self.side == Side::Features, known.cell, value);
            return Ok(());
        }
        if fresh {
            check_text(self.into, self.limits, name.len())?;
            known.range = self.into.intern(name);
        }
        known.row = row;
        known.cell = match self.side {
            Side::Features => self.into.n_features(),
            Side::Predictions => self.into.n_predictions(),
        };
        let range = known.range;
        self.push(row, range, value)
    }

    /// Starts a column that is written with [`Sink::push`]. A name may begin only one.
    pub(crate) fn column(&mut self, name: &str) -> Result<TextRange> {
        let name = if name.is_empty() { "_" } else { name };
        self.check_name(name.len())?;
        if !self.names.find(name).1 {
            return Err(DecodeError::new(
                DecodeErrorKind::Shape,
                "two tensors or columns have the same name",
            ));
        }
        self.intern(name)
    }

    /// The same for a name that is kept already.
    pub(crate) fn kept_column(&mut self, name: TextRange) -> Result<TextRange> {
        if self.into.text(name).is_empty() {
            return self.column("");
        }
        if !self.names.find(self.into.text(name)).1 {
            return Err(DecodeError::new(
                DecodeErrorKind::Shape,
                "two tensors or columns have the same name",
            ));
        }
        Ok(name)
    }

    /// Writes a cell of a column.
    pub(crate) fn push(&mut self, row: u32, name: TextRange, value: CellValue) -> Result<()> {
        self.check_rows(u64::from(row) + 1)?;
        self.check_cells(1)?;
        if self.notes.on() {
            self.notes.cell();
        }
        match self.side {
            Side::Features => self.into.push_feature(row, name, value),
            Side::Predictions => self.into.push_prediction(row, name, value),
        }
        Ok(())
    }

    /// What has been written, by both sides.
    pub(crate) fn decoded(&self) -> &Decoded {
        self.into
    }

    /// Puts rows there whose values follow with [`Sink::set`]; `None` over a limit. The side must be empty.
    pub(crate) fn put(&mut self, rows: &Rows) -> Option<()> {
        self.check_cells(rows.n_cells()).ok()?;
        self.check_text(rows.text_bytes()).ok()?;
        self.into.put(self.side == Side::Features, rows);
        Some(())
    }

    /// Gives a cell of this side its value.
    #[inline]
    pub(crate) fn set(&mut self, cell: usize, value: CellValue) {
        self.into.replace(self.side == Side::Features, cell, value);
    }

    /// Forgets what this side has written since the mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.into.roll_back(mark, self.side == Side::Features);
    }

    /// Refuses an exchange with more rows than the limit.
    pub(crate) fn check_rows(&self, rows: u64) -> Result<()> {
        if rows <= u64::from(self.limits.max_rows) {
            return Ok(());
        }
        let message = format!("more than {} rows", self.limits.max_rows);
        Err(DecodeError::new(DecodeErrorKind::TooManyRows, message))
    }

    /// Refuses an exchange with more cells than the limit, `more` included.
    pub(crate) fn check_cells(&self, more: usize) -> Result<()> {
        if self.into.n_cells().saturating_add(more) <= self.limits.max_cells {
            return Ok(());
        }
        let message = format!("more than {} values", self.limits.max_cells);
        Err(DecodeError::new(DecodeErrorKind::TooManyCells, message))
    }

    /// Refuses a name longer than the limit.
    pub(crate) fn check_name(&self, bytes: usize) -> Result<()> {
        if bytes <= self.limits.max_name_bytes {
            return Ok(());
        }
        let message = format!("a name of more than {} bytes", self.limits.max_name_bytes);
        Err(DecodeError::new(DecodeErrorKind::TextTooLong, message))
    }

    /// Ends the side: a single prediction is called `prediction`; a side without cells is an error.
    pub(crate) fn end(&mut self, one_name: bool) -> Result<()> {
        let (side, cells) = match self.side {
            Side::Features => ("features", self.into.n_features()),
            Side::Predictions => ("predictions", self.into.n_predictions()),
        };
        if cells == 0 {
            return Err(DecodeError::new(DecodeErrorKind::Empty, format!("the body holds no {side}")));
        }
        if one_name
            && self.side == Side::Predictions
            && self.names.distinct() == 1
            && !self.into.prediction(0).is_some_and(|cell| is_text_key(cell.name))
        {
            let name = self.intern(Side::Predictions.base())?;
            self.into.rename_predictions(name);
        }
        Ok(())
    }

    fn intern(&mut self, text: &str) -> Result<TextRange> {
        self.check_text(text.len())?;
        Ok(self.into.intern(text))
    }

    /// A part of the limit is kept free for names: a value that is too long costs itself alone.
    fn check_value(&self, bytes: usize) -> Result<()> {
        self.check_text(bytes.saturating_add(self.limits.max_text_bytes / NAMES_SHARE))
    }

    fn check_text(&self, bytes: usize) -> Result<()> {
        check_text(self.into, self.limits, bytes)
    }
}

fn check_text(into: &Decoded, limits: &DecodeLimits, more: usize) -> Result<()> {
    if into.text_bytes().saturating_add(more) <= limits.max_text_bytes {
        return Ok(());
    }
    let message = format!("more than {} bytes of text", limits.max_text_bytes);
    Err(DecodeError::new(DecodeErrorKind::TextTooLong, message))
}
