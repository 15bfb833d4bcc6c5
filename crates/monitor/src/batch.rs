//! The rows of one observation, by feature: filled completely before anything is counted.

use record::{Cell, DecodedCell, Lane};

use crate::detector;
use crate::features::{Feature, Found, Side, Stage, Walk};
use crate::learn::Raw;
use crate::quality::{self, Fault, Mark};
use crate::rules::Rules;
use crate::state::State;
use crate::strays::Strays;

/// Features times rows that one observation may have: 30 features in 100 000 rows fit.
const MAX_CELLS: usize = 1 << 22;

/// A feature that this batch has no room for.
const ABSENT: usize = usize::MAX;

/// One observation's rows, as slots (frozen features) or raw (learning ones); reused from observation to observation.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    rows: [usize; 2],
    /// By the feature's number: where its rows begin, in `slots` or in `raws`.
    starts: Vec<usize>,
    slots: Vec<u8>,
    /// The same places as in `slots`: faults and hashes of the values.
    marks: Vec<Mark>,
    /// The same places as in `slots`, in the detector's bins; empty for rows that no detector sees.
    watched: Vec<u8>,
    watching: bool,
    /// Whether the rows are production's.
    prod: bool,
    raws: Vec<Raw>,
    scratch: String,
}

impl Batch {
    /// Makes room: every known feature is missing in every row. False when that is more than one observation may have.
    /// `watching`: the detectors see it.
    pub(crate) fn begin(
        &mut self,
        state: &State,
        lane: Lane,
        features: u32,
        predictions: u32,
        watching: bool,
    ) -> bool {
        self.rows = [features as usize, predictions as usize];
        self.starts.clear();
        self.slots.clear();
        self.marks.clear();
        self.watched.clear();
        self.watching = watching;
        self.prod = lane == Lane::Prod;
        self.raws.clear();
        let rows = self.rows[0].max(self.rows[1]);
        if rows.saturating_mul(state.features.len() + 1) > MAX_CELLS {
            return false;
        }
        for at in 0..state.features.len() {
            self.make_room(state, lane, at);
        }
        // Features that come later are learned first, and have none.
        self.marks.resize(self.slots.len(), Mark::ABSENT);
        true
    }

    /// Takes the cells of one side. Names that are new on the production lane become features.
    pub(crate) fn fill<'a>(
        &mut self,
        state: &mut State,
        rules: &Rules,
        lane: Lane,
        side: Side,
        cells: impl Iterator<Item = DecodedCell<'a>>,
    ) {
        let mut walk = Walk::new(side);
        let mut over_limit = 0;
        for cell in cells {
            match state.features.known(&mut walk, cell.name) {
                Some(at) => self.put(state, at, cell.row as usize, cell.value),
                None => match meet(state, rules, lane, side, cell.name) {
                    Found::Known(at) => {
                        self.make_room(state, lane, at);
                        self.put(state, at, cell.row as usize, cell.value);
                    }
                    Found::Ignored => {}
                    Found::OverLimit => over_limit += 1,
                },
            }
        }
        if over_limit > 0 {
            state.drop_rows("feature_limit", over_limit);
        }
    }

    /// Whether the detectors see it.
    pub(crate) fn is_watched(&self) -> bool {
        self.watching
    }

    /// Rows of one side.
    pub(crate) fn rows(&self, side: Side) -> usize {
        self.rows[side as usize]
    }

    /// The slots of a frozen feature.
    #[inline]
    pub(crate) fn slots(&self, feature: usize, side: Side) -> &[u8] {
        let start = self.starts[feature];
        &self.slots[start..start + self.rows(side)]
    }

    /// The slots of a feature; none of one that is being learned.
    #[inline]
    pub(crate) fn slots_of_frozen(&self, at: usize, feature: &Feature) -> &[u8] {
        if feature.frozen().is_some() { self.slots(at, feature.side) } else { &[] }
    }

    /// Faults and hashes of a frozen feature's values.
    #[inline]
    pub(crate) fn marks(&self, feature: usize, side: Side) -> &[Mark] {
        let start = self.starts[feature];
        &self.marks[start..start + self.rows(side)]
    }

    /// The detector's slot of one row; `None` for a feature or a row that is not there, and for values that are missing or of
    /// another type: that is a fault of the data and no drift, and the checks of quality watch it.
    #[inline]
    pub(crate) fn watched(&self, feature: usize, side: Side, row: usize) -> Option<u8> {
        let start = *self.starts.get(feature)?;
        if start == ABSENT || row >= self.rows(side) {
            return None;
        }
        let has_value = self.marks.get(start + row).is_some_and(|mark| mark.has_value());
        self.watched.get(start + row).copied().filter(|_| has_value)
    }

    /// The values of a learning feature; none on a lane that does not learn.
    pub(crate) fn raws(&self, feature: usize, side: Side) -> &[Raw] {
        match self.starts[feature] {
            ABSENT => &[],
            start => &self.raws[start..start + self.rows(side)],
        }
    }

    fn make_room(&mut self, state: &State, lane: Lane, at: usize) {
        let feature = state.features.get(at);
        let rows = self.rows(feature.side);
        match &feature.stage {
            Stage::Frozen(frozen) => {
                self.starts.push(self.slots.len());
                self.slots.resize(self.slots.len() + rows, frozen.bins.missing() as u8);
                if self.watching {
                    self.watched.resize(self.slots.len(), detector::missing(frozen));
                }
            }
            Stage::Learning(_) if lane == Lane::Prod => {
                self.starts.push(self.raws.len());
                self.raws.resize(self.raws.len() + rows, Raw::MISSING);
            }
            Stage::Learning(_) => self.starts.push(ABSENT),
        }
    }

    #[inline]
    fn put(&mut self, state: &mut State, at: usize, row: usize, value: Cell<'_>) {
        let before = state.seen;
        let feature = state.features.get_mut(at);
        if self.prod {
            feature.see(value);
        }
        let start = self.starts[at];
        if start == ABSENT || row >= self.rows[feature.side as usize] {
            return;
        }
        match &mut feature.stage {
            Stage::Frozen(frozen) => {
                let (slot, mark) = quality::place(&frozen.bins, &frozen.expected, value, &mut self.scratch);
                self.slots[start + row] = slot;
                self.marks[start + row] = mark;
                if self.prod {
                    feature.first.push(mark);
                    if !mark.is_fine() {
                        note_stray(
                            &mut feature.strays,
                            mark,
                            before[feature.side as usize] + row as u64,
                            value,
                        );
                    }
                }
                if self.watching {
                    self.watched[start + row] = detector::slot(frozen, slot, value, &mut self.scratch);
                }
            }
            Stage::Learning(column) => self.raws[start + row] = column.raw(value),
        }
    }
}

/// Remembers a value that the reference does not have.
#[cold]
fn note_stray(strays: &mut Strays, mark: Mark, row: u64, value: Cell<'_>) {
    match (mark.fault(), value) {
        (Fault::Range, Cell::Number(number)) => strays.number(row, number),
        (Fault::Range, Cell::Text(text)) => {
            if let Some(number) = record::value::number(text) {
                strays.number(row, number);
            }
        }
        (Fault::Unseen, Cell::Text(text)) => strays.text(row, record::value::trim(text)),
        (Fault::Unseen, Cell::Number(number)) => strays.text(row, &number.to_string()),
        _ => {}
    }
}

fn meet(state: &mut State, rules: &Rules, lane: Lane, side: Side, name: &str) -> Found {
    let learns = lane == Lane::Prod && rules.learn > 0;
    let late = learns.then(|| state.is_late(side));
    state.features.meet(name, side, &rules.filter, rules.feature_limit, late)
}
