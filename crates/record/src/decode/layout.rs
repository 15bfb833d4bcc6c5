//! Bodies that are written like one before: everything but the values is compared, only the values are read.
//!
//! A client writes every request with the same keys, in the same order, with the same white space. The layout of a body is
//! its text with the places of its scalars. Where a new body agrees with it between these places, the new body has the same
//! structure, whatever the scalars are: so its rows are the layout's rows with other values, and nothing has to be parsed,
//! named or looked up. Any difference, and any error, and the body is parsed like a new one. A layout is only kept when
//! each of its values became just one cell, so nothing that depends on a value (a key given twice, for example) is in it.
//!
//! What it gives is in `docs/performance.md`; a property test holds every outcome against a decoder that has seen nothing.

use super::auto::Form;
use super::reader::Reader;
use super::sink::{Side, Sink};
use crate::decoded::Rows;
use crate::{CellValue, Unreadable};

/// Layouts kept for one side of one model: so many clients may write in different ways.
const KEPT: usize = 4;
/// Longest body that is remembered, in bytes, and most scalars of it. What a longer one saves is small beside its values.
const MAX_BYTES: usize = 16 << 10;
const MAX_SLOTS: usize = 1_024;
/// After this many bodies in a row that no layout fits, only one in [`LEARN_EVERY`] is remembered: learning what never
/// comes again is work for nothing.
const PATIENCE: u32 = 8;
const LEARN_EVERY: u32 = 64;

/// What a scalar of a body becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The value of the cell with this number.
    Cell(u32),
    /// The same for a tensor of truth values, whose numbers are categories.
    BoolCell(u32),
    /// Nothing: it was skipped.
    Skipped,
}

/// A scalar's place in the body, and its use.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: u32,
    end: u32,
    becomes: Use,
}

/// Notes of one body while it is parsed, of which a layout may be made.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    on: bool,
    /// Set when something was read that only a parser can read.
    spoilt: bool,
    slots: Vec<Slot>,
    /// The slot of each value, in the order in which values were read.
    values: Vec<u32>,
    /// The value of each cell, by its number in [`Self::values`], in the order of the cells.
    cells: Vec<u32>,
    /// The value that the next cell holds, where it is not the last one read.
    next: Option<u32>,
}

impl Notes {
    fn begin(&mut self) {
        self.slots.clear();
        self.values.clear();
        self.cells.clear();
        (self.on, self.spoilt, self.next) = (true, false, None);
    }

    /// Whether anybody reads them.
    pub(crate) fn on(&self) -> bool {
        self.on
    }

    /// The body was read in a way that its own bytes do not settle: no layout is made of it.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// What was noted does not count any more: fine as long as no value is lost with it.
    pub(crate) fn restarted(&mut self) {
        self.spoilt |= !self.values.is_empty();
    }

    /// A value was read from these bytes.
    pub(crate) fn value(&mut self, start: usize, end: usize) {
        self.values.push(self.slots.len() as u32);
        self.slot(start, end);
    }

    /// A scalar was skipped.
    pub(crate) fn skipped(&mut self, start: usize, end: usize) {
        self.slot(start, end);
    }

    /// Some values, by their numbers, are truth values.
    pub(crate) fn booleans(&mut self, first: usize, count: usize) {
        for value in self.values.iter().skip(first).take(count) {
            if let Some(slot) = self.slots.get_mut(*value as usize) {
                slot.becomes = Use::BoolCell(0);
            }
        }
    }

    /// The next cell holds the value with this number.
    pub(crate) fn from(&mut self, value: usize) {
        self.next = Some(value as u32);
    }

    /// A cell was added.
    pub(crate) fn cell(&mut self) {
        let last = (self.values.len() as u32).checked_sub(1);
        match self.next.take().or(last) {
            Some(value) => self.cells.push(value),
            None => self.spoilt = true,
        }
    }

    fn slot(&mut self, start: usize, end: usize) {
        if self.slots.len() >= MAX_SLOTS {
            self.spoilt = true;
            return;
        }
        self.slots.push(Slot { start: start as u32, end: end as u32, becomes: Use::Skipped });
    }

    /// Gives every slot its use; false unless each value became one cell and each cell has one value.
    fn settle(&mut self) -> bool {
        if self.spoilt || self.cells.len() != self.values.len() {
            return false;
        }
        let mut given = vec![false; self.values.len()];
        for (cell, value) in self.cells.iter().enumerate() {
            let slot = self.values.get(*value as usize).and_then(|slot| self.slots.get_mut(*slot as usize));
            let (Some(slot), Some(given)) = (slot, given.get_mut(*value as usize)) else { return false };
            if std::mem::replace(given, true) {
                return false;
            }
            slot.becomes = match slot.becomes {
                Use::BoolCell(_) => Use::BoolCell(cell as u32),
                _ => Use::Cell(cell as u32),
            };
        }
        self.slots.is_sorted_by_key(|slot| slot.start)
    }
}

/// What a body's form was told from, beside the body itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The form before the body was looked at.
    pub(crate) form: Form,
    /// Rows of the request, for an answer.
    pub(crate) request_rows: u32,
}

#[derive(Debug)]
struct Layout {
    told: Told,
    body: Box<[u8]>,
    slots: Box<[Slot]>,
    rows: Rows,
    form: Form,
}

/// The layouts of one side.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    kept: Vec<Layout>,
    notes: Notes,
    /// Bodies in a row that no layout fitted.
    missed: u32,
}

impl Layouts {
    /// Whether bodies of a form have layouts: JSON without a protocol's own values in it.
    pub(crate) fn cover(form: Form, body: &[u8]) -> bool {
        body.len() <= MAX_BYTES
            && matches!(form, Form::Detect | Form::KserveV1 | Form::KserveV2 | Form::Json | Form::JsonLines)
    }

    /// Reads a body that fits a layout and says which form it has; `None`, and nothing is changed, when none fits.
    pub(crate) fn read(&mut self, told: Told, reader: Reader<'_>, sink: &mut Sink<'_>) -> Option<Form> {
        let fits = |layout: &Layout| layout.told == told && layout.read(reader, sink).is_some();
        let Some(at) = self.kept.iter().position(fits) else {
            self.missed = self.missed.saturating_add(1);
            return None;
        };
        self.missed = 0;
        // The one that fitted last is tried first.
        self.kept.swap(0, at);
        self.kept.first().map(|layout| layout.form)
    }

    /// The notes that are to be taken of a body that none fitted.
    pub(crate) fn take_notes(&mut self) -> Notes {
        let mut notes = std::mem::take(&mut self.notes);
        notes.on = false;
        if self.missed <= PATIENCE || self.missed.is_multiple_of(LEARN_EVERY) {
            notes.begin();
        }
        notes
    }

    /// Remembers the layout of a body that was parsed without an error.
    pub(crate) fn learn(&mut self, told: Told, body: &[u8], form: Form, mut notes: Notes, sink: &Sink<'_>) {
        if notes.on && notes.settle() {
            let layout = Layout {
                told,
                body: body.into(),
                slots: notes.slots.as_slice().into(),
                rows: Rows::of(sink.decoded(), sink.side() == Side::Features),
                form,
            };
            if self.kept.len() == KEPT {
                self.kept.pop();
            }
            self.kept.insert(0, layout);
        }
        self.notes = notes;
    }

    /// Bodies in a row that were parsed.
    #[cfg(test)]
    pub(crate) fn missed(&self) -> u32 {
        self.missed
    }

    /// Takes notes back that nothing was made of.
    pub(crate) fn give_back(&mut self, notes: Notes) {
        self.notes = notes;
    }
}

impl Layout {
    fn read(&self, mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let first = self.slots.first().map_or(self.body.len(), |slot| slot.start as usize);
        reader.take_exactly(self.body.get(..first)?)?;
        let mark = sink.decoded().mark();
        let done = self.fill(reader, sink);
        if done.is_none() {
            sink.roll_back(mark);
        }
        done
    }

    /// Puts the rows there and reads their values.
    fn fill(&self, mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Option<()> {
        sink.put(&self.rows)?;
        for (at, slot) in self.slots.iter().enumerate() {
            let scalar = reader.scalar().ok()?;
            let (cell, is_bool) = match slot.becomes {
                Use::Cell(cell) => (cell, false),
                Use::BoolCell(cell) => (cell, true),
                Use::Skipped => (u32::MAX, false),
            };
            if slot.becomes != Use::Skipped {
                let value = match sink.value(scalar).ok()? {
                    CellValue::Number(number) if is_bool => sink.boolean(number != 0.0).ok()?,
                    // Names take their part of the text in another order here.
                    CellValue::Unreadable(Unreadable::TextTooLong) => return None,
                    value => value,
                };
                sink.set(cell as usize, value);
            }
            let next = self.slots.get(at + 1).map_or(self.body.len(), |next| next.start as usize);
            reader.take_exactly(self.body.get(slot.end as usize..next)?)?;
        }
        reader.at_end().ok().filter(|at_end| *at_end).map(|_| ())
    }
}
