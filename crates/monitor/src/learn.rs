//! The first rows of a feature, kept raw until its bins can be cut.

use std::collections::HashMap;
use std::sync::Arc;

use record::Cell;
use record::value;
use stats::{Bins, Window};

use crate::chance::{MIN_REFERENCE_ROWS, quarters_tau};
use crate::detector::DetectorReference;
use crate::features::{role_for, side_of};
use crate::profile::{
    BuildRules, ColumnBuilder, FeatureProfile, MAX_DISTINCT_TEXTS, MAX_TEXT_BYTES, UNKEPT_TEXT, slot_of,
};
use crate::quality::{self, Expected, Fault};
use crate::role::{Role, RoleSample};

/// Halves of a reference whose PSI is larger are not alike: the limit of the usual warning.
const MOVED_PSI: f64 = 0.2;

/// Probability that chance alone makes halves differ.
const MOVED_ALPHA: f64 = 1e-4;

/// Bytes of text a column keeps while it learns; later new texts belong to `other`.
const MAX_COLUMN_TEXT: usize = 256 * 1024;

/// A value in eight bytes: a number's bits, or a NaN that says `missing` or which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw(u64);

/// Quiet NaNs with this pattern hold a text's code in the low 32 bits.
const TEXT: u64 = 0x7ffc_0000_0000_0000;
/// The code of a text that was not kept.
const OTHER_TEXT: u32 = u32::MAX;

impl Raw {
    pub(crate) const MISSING: Self = Self(0x7ff8_0000_0000_0000);

    fn number(x: f64) -> Self {
        if x.is_nan() { Self::MISSING } else { Self(x.to_bits()) }
    }

    fn text_code(self) -> Option<u32> {
        (self.0 & TEXT == TEXT && f64::from_bits(self.0).is_nan()).then_some(self.0 as u32)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Whether two halves of first rows differ by more than chance and by more than is called drift. `tau` successive rows count as one.
pub(crate) fn halves_differ(bins: &Bins, first: &[u64], second: &[u64], tau: f64) -> bool {
    let Some((psi, _)) = stats::psi_and_js(bins, first, second) else { return false };
    psi > MOVED_PSI && stats::beyond_chance(bins, first, second, tau, MOVED_ALPHA)
}

/// The window sets a learned row belongs to; [`Sets::NONE`] stands for no second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) all: u32,
    pub(crate) tenant: u32,
}

impl Sets {
    pub(crate) const NONE: u32 = u32::MAX;

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        [self.all, self.tenant].into_iter().filter(|set| *set != Self::NONE).map(|set| set as usize)
    }
}

/// One feature's first rows, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) rows: Vec<Raw>,
    /// When the oldest of them came, unix milliseconds; 0 before the first.
    pub(crate) since_ms: i64,
    /// Where each row belongs; filled only when learned rows are counted as well (previous window).
    pub(crate) sets: Vec<Sets>,
    texts: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
    text_bytes: usize,
}

impl Column {
    /// The value in eight bytes; a new text is remembered if there is room.
    pub(crate) fn raw(&mut self, cell: Cell<'_>) -> Raw {
        match cell {
            Cell::Missing => Raw::MISSING,
            Cell::Number(x) => Raw::number(x),
            Cell::Text(text) => {
                let mut scratch = String::new();
                match value::read(text).key(&mut scratch) {
                    Some(key) => Raw(TEXT | u64::from(self.code(key))),
                    None => Raw::MISSING,
                }
            }
        }
    }

    /// The value again.
    pub(crate) fn cell(&self, raw: Raw) -> Cell<'_> {
        let number = f64::from_bits(raw.0);
        match raw.text_code() {
            Some(code) => Cell::Text(self.texts.get(code as usize).map_or(UNKEPT_TEXT, |text| text)),
            None if number.is_nan() => Cell::Missing,
            None => Cell::Number(number),
        }
    }

    /// Cuts the bins from the rows so far.
    /// `judge`: whatever its values are.
    pub(crate) fn fit(&self, name: &str, rules: &BuildRules, judge: bool) -> FeatureProfile {
        let mut builder = ColumnBuilder::default();
        for raw in &self.rows {
            match (raw.text_code(), self.cell(*raw)) {
                (Some(OTHER_TEXT), _) => builder.push_others(1),
                (_, Cell::Number(x)) => builder.push_number(x),
                (_, Cell::Text(text)) => builder.push_text(text),
                (_, Cell::Missing) => builder.push_missing(1),
            }
        }
        let mut profile = builder.finish(name, rules);
        let cells = self.rows.iter().map(|raw| self.cell(*raw));
        profile.detector = DetectorReference::of_rows(profile.bins.is_ordered(), cells.clone());
        let mut sample = RoleSample::default();
        cells.for_each(|cell| sample.push(cell));
        let role = if judge { Role::Value } else { role_for(side_of(name), sample.role()) };
        profile.with_role(role)
    }

    /// Whether the rows so far are no reference because they change as they come: a trend, a rollout, an outage. Their halves,
    /// compared as windows are, differ by more than chance and by more than is called drift.
    pub(crate) fn moves(&self, profile: &FeatureProfile) -> bool {
        let (bins, half) = (&profile.bins, self.rows.len() / 2);
        let window = |rows: &[Raw]| {
            let mut window = Window::new(rows.len(), bins.slots()).ok()?;
            let mut scratch = String::new();
            rows.iter().for_each(|raw| window.push(self.slot(bins, *raw, &mut scratch)));
            Some(window)
        };
        if !profile.role.is_judged() || (half as u64) < MIN_REFERENCE_ROWS {
            return false;
        }
        let (first, second) = self.rows.split_at(half);
        let (Some(first), Some(second)) = (window(first), window(second)) else { return false };
        let tau = quarters_tau(bins, &first).max(quarters_tau(bins, &second));
        halves_differ(bins, first.counts(), second.counts(), tau)
    }

    /// Forgets the older half of the rows: what it was learned with is over.
    pub(crate) fn forget_first_half(&mut self, now_ms: i64) {
        self.rows.drain(..self.rows.len() / 2);
        // Rows have no time of their own: taken to have come evenly.
        self.since_ms += now_ms.saturating_sub(self.since_ms) / 2;
    }

    /// The share of rows whose values are of another type than the bins that were cut from all of them.
    pub(crate) fn types(&self, bins: &Bins, expected: &Expected) -> f64 {
        let mut scratch = String::new();
        let mut is_other = |raw: &Raw| {
            let fault = quality::place(bins, expected, self.cell(*raw), &mut scratch).1.fault();
            matches!(fault, Fault::Type | Fault::Spelled)
        };
        let other = self.rows.iter().filter(|raw| is_other(raw)).count();
        other as f64 / self.rows.len().max(1) as f64
    }

    /// The slot of a value of this column.
    pub(crate) fn slot(&self, bins: &Bins, raw: Raw, scratch: &mut String) -> u8 {
        slot_of(bins, self.cell(raw), scratch) as u8
    }

    pub(crate) fn texts(&self) -> &[Arc<str>] {
        &self.texts
    }

    /// A stored column's texts, in the order of their codes.
    pub(crate) fn restore_text(&mut self, text: &str) {
        self.keep(text);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * 8 + self.sets.capacity() * 8 + self.text_bytes + self.texts.len() * 80
    }

    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let room = self.texts.len() < MAX_DISTINCT_TEXTS
            && text.len() <= MAX_TEXT_BYTES
            && self.text_bytes + text.len() <= MAX_COLUMN_TEXT;
        if room { self.keep(text) } else { OTHER_TEXT }
    }

    fn keep(&mut self, text: &str) -> u32 {
        let (code, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.text_bytes += text.len();
        self.texts.push(text.clone());
        self.codes.insert(text, code);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::{BinningRule, RangeRule};

    const RULES: BuildRules =
        BuildRules { binning: BinningRule::EqualWidth { bins: 2, range: RangeRule::MinMax }, categories: 10 };

    #[test]
    fn values_survive_eight_bytes() {
        let mut column = Column::default();
        let long = "y".repeat(MAX_TEXT_BYTES + 1);
        let number = |x| Cell::Number(x);
        for cell in
            [Cell::Missing, number(-0.0), number(f64::MAX), number(f64::NEG_INFINITY), Cell::Text("ä")]
        {
            let raw = column.raw(cell);
            assert_eq!(column.cell(raw), cell);
        }
        let (nan, negative) = (column.raw(number(f64::NAN)), column.raw(number(-f64::NAN)));
        assert_eq!((column.cell(nan), column.cell(negative)), (Cell::Missing, Cell::Missing));
        let raw = column.raw(Cell::Text(&long));
        assert_eq!(column.cell(raw), Cell::Text(UNKEPT_TEXT));
    }

    fn moves(cell: impl Fn(usize) -> f64) -> bool {
        let mut column = Column::default();
        for i in 0..1_000 {
            let raw = column.raw(Cell::Number(cell(i)));
            column.rows.push(raw);
        }
        let rules = BuildRules {
            binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax },
            categories: 10,
        };
        column.moves(&column.fit("f", &rules, false))
    }

    #[test]
    fn a_trend_a_rollout_and_an_outage_move_and_calm_rows_do_not() {
        // SplitMix64, even over 0 to 10.
        let chance = |i: usize| {
            let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z >> 11) as f64 / (1_u64 << 53) as f64 * 10.0
        };
        assert!(!moves(chance));
        assert!(!moves(|i| chance(i / 5)), "each value five times");
        assert!(!moves(|_| 1.0), "constant");
        assert!(!moves(|i| i as f64), "a counter is not judged at all");
        assert!(moves(|i| chance(i) + i as f64 / 100.0), "a trend");
        assert!(moves(|i| if i < 700 { chance(i) } else { chance(i) / 2.0 + 8.0 }), "a rollout");
        assert!(moves(|i| if (150..450).contains(&i) { 0.0 } else { chance(i) }), "an outage");
    }

    #[test]
    fn texts_beyond_the_room_are_other() {
        let mut column = Column::default();
        for i in 0..3_000 {
            let raw = column.raw(Cell::Text(&format!("{i:0>200}")));
            column.rows.push(raw);
        }
        assert!(column.text_bytes <= MAX_COLUMN_TEXT);
        let feature = column.fit("f", &RULES, true);
        assert_eq!(feature.counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2_990, 0]);
    }
}
