//! Which of a feature's newest values failed, in one window set: the last 50 one by one, the last 250 to 500 as counts.
//!
//! The short block sees a break after tens of rows, the long one small shares. As long as nothing fails, only the rows are
//! counted.

use super::fault::{Fault, Mark};
use super::{Expected, MIN_CHECKED};

/// Rows of the short block.
pub(super) const SHORT: u32 = 50;

const SHORT_MASK: u64 = (1 << SHORT) - 1;

/// Rows of half the long block.
const HALF: u32 = 250;

/// First rows of a tenant, which say what is usual with it.
pub(crate) const OWN: u32 = 50;

/// Kinds of faults that are counted, in the order of the masks: missing, absent, type, unseen, range.
pub(crate) const KINDS: usize = 5;

/// Where a fault is counted.
pub(crate) const fn kind(fault: Fault) -> Option<usize> {
    match fault {
        Fault::None => None,
        Fault::Missing => Some(0),
        Fault::Absent => Some(1),
        Fault::Type | Fault::Spelled => Some(2),
        Fault::Unseen => Some(3),
        Fault::Range => Some(4),
    }
}

/// The faults of one feature in one window set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter {
    /// Rows so far.
    rows: u64,
    /// Values outside the range so far.
    outside: u64,
    /// Nothing while no value has failed.
    faults: Option<Box<Faults>>,
}

#[derive(Clone, Debug, Default)]
struct Faults {
    /// By kind, the newest row in the lowest bit.
    short: [u64; KINDS],
    /// By kind, in the half block before the current one, and in the current one.
    long: [[u32; KINDS]; 2],
    /// Rows of the same.
    long_rows: [u32; 2],
    /// By kind, among the first rows of all.
    own: [u32; KINDS],
    /// By kind, the row since which it has failed more often than usual, unix milliseconds.
    since_ms: [i64; KINDS],
    /// The number of the same row.
    since_row: [u64; KINDS],
    /// Kinds that fail, by bit: their `since_ms` and `since_row` stay.
    failing: u8,
    /// Kinds that have ever failed beyond the reference, by bit.
    failed: u8,
}

/// How many of how many rows failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) failed: u64,
    pub(crate) rows: u64,
}

impl Counter {
    /// Adds rows of one time. Faults of the `explained` kinds (by bit) count as none.
    #[inline]
    pub(crate) fn push(&mut self, marks: &[Mark], expected: &Expected, at_ms: i64, explained: u8) {
        if self.faults.is_none() && marks.iter().all(|mark| mark.is_fine()) {
            self.rows += marks.len() as u64;
            return;
        }
        self.push_slowly(marks, expected, at_ms, explained);
    }

    /// The kinds of faults that most of a tenant's first rows had, where the reference has them as well: they say nothing about
    /// the total, which would change with the mix of tenants.
    #[inline]
    pub(crate) fn explained(&self, expected: &Expected) -> u8 {
        let Some(faults) = self.faults.as_deref().filter(|_| self.rows >= u64::from(OWN)) else { return 0 };
        let usual = |kind: &usize| faults.own[*kind] * 2 > OWN && expected.has(*kind);
        (0..KINDS).filter(usual).fold(0, |kinds, kind| kinds | 1 << kind)
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Values outside the range so far.
    pub(crate) fn outside(&self) -> u64 {
        self.outside
    }

    fn push_slowly(&mut self, marks: &[Mark], expected: &Expected, at_ms: i64, explained: u8) {
        let before = self.rows.min(u64::from(HALF)) as u32;
        let faults = self
            .faults
            .get_or_insert_with(|| Box::new(Faults { long_rows: [before, 0], ..Faults::default() }));
        for mark in marks {
            let failed = kind(mark.fault()).filter(|kind| explained & 1 << *kind == 0);
            faults.push(failed, expected, at_ms, self.rows);
            self.outside += u64::from(failed == kind(Fault::Range));
            self.rows += 1;
        }
        if faults.is_clean() {
            self.faults = None;
        }
    }

    /// The rows that say what is usual here, and how many of them failed; `None` while there are too few.
    pub(crate) fn own(&self, kinds: &[usize]) -> Option<Tally> {
        let count = |faults: &Faults| kinds.iter().map(|kind| u64::from(faults.own[*kind])).sum();
        let failed = self.faults.as_deref().map_or(0, count);
        (self.rows >= u64::from(OWN)).then_some(Tally { failed, rows: u64::from(OWN) })
    }

    /// Whether some value among the newest has failed.
    pub(crate) fn has_faults(&self) -> bool {
        self.faults.is_some()
    }

    /// The short and the long block. A row fails one of the kinds at most. The short block begins with the row since which
    /// something has failed, as soon as there are rows enough since then.
    pub(crate) fn blocks(&self, kinds: &[usize]) -> [Tally; 2] {
        let Some(faults) = self.faults.as_deref() else {
            return [SHORT, 2 * HALF].map(|most| Tally { failed: 0, rows: self.rows.min(u64::from(most)) });
        };
        let mask = kinds.iter().fold(0, |mask, kind| mask | faults.short[*kind]);
        let failing = kinds.iter().filter(|kind| faults.short[**kind] != 0);
        let since = failing.map(|kind| self.rows - faults.since_row[*kind]).max();
        let since = since.filter(|rows| *rows >= MIN_CHECKED).unwrap_or(u64::from(SHORT));
        let rows = self.rows.min(u64::from(SHORT)).min(since);
        let short = (mask & ((1 << rows) - 1)).count_ones();
        let long: u32 = kinds.iter().map(|kind| faults.long[0][*kind] + faults.long[1][*kind]).sum();
        [
            Tally { failed: u64::from(short), rows },
            Tally { failed: u64::from(long), rows: u64::from(faults.long_rows[0] + faults.long_rows[1]) },
        ]
    }

    /// Says whether some kinds fail beyond the reference now, and gives since when they do; `None` if they never have.
    pub(crate) fn settle(&mut self, kinds: &[usize], fails: bool) -> Option<Option<i64>> {
        let faults = self.faults.as_deref_mut()?;
        let bits = kinds.iter().fold(0, |bits, kind| bits | 1 << kind);
        if fails {
            faults.failing |= bits;
            faults.failed |= bits;
        } else {
            faults.failing &= !bits;
        }
        let now = kinds.iter().filter(|kind| faults.short[**kind] != 0);
        let since = now.map(|kind| faults.since_ms[*kind]).min();
        (faults.failed & bits != 0).then_some(since.filter(|_| fails))
    }

    /// Whether values of another type have failed, and new values do not now: what lies with them is of another type.
    pub(crate) fn is_type_alone(&self) -> bool {
        self.faults
            .as_deref()
            .is_some_and(|faults| faults.failed & 1 << 2 != 0 && faults.failing & 1 << 3 == 0)
    }

    /// Bytes held beside itself, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.faults.as_ref().map_or(0, |_| size_of::<Faults>())
    }
}

impl Faults {
    fn push(&mut self, failed: Option<usize>, expected: &Expected, at_ms: i64, row: u64) {
        if let Some(kind) = failed {
            let is_new = self.short[kind].count_ones() <= expected.usual(kind);
            if is_new && self.failing & 1 << kind == 0 {
                (self.since_ms[kind], self.since_row[kind]) = (at_ms, row);
            }
            self.long[1][kind] += 1;
            self.own[kind] += u32::from(row < u64::from(OWN));
        }
        for (at, mask) in self.short.iter_mut().enumerate() {
            *mask = (*mask << 1 | u64::from(failed == Some(at))) & SHORT_MASK;
        }
        self.long_rows[1] += 1;
        if self.long_rows[1] == HALF {
            self.long = [self.long[1], [0; KINDS]];
            self.long_rows = [HALF, 0];
        }
    }

    /// Whether it says no more than that nothing has failed for long.
    fn is_clean(&self) -> bool {
        self.failed == 0
            && self.long_rows == [HALF, 0]
            && [&self.long[0], &self.long[1], &self.own].iter().all(|counts| **counts == [0; KINDS])
    }
}

/// The types of a feature's first values: where the reference does not say how often they differ from its own, as a file of
/// texts cannot, these do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FirstTypes {
    values: u8,
    unread: u8,
    spelled: u8,
}

impl FirstTypes {
    #[inline]
    pub(crate) fn push(&mut self, mark: Mark) {
        if self.values < OWN as u8 {
            self.add(mark.fault());
        }
    }

    fn add(&mut self, fault: Fault) {
        self.values += u8::from(!matches!(fault, Fault::Missing | Fault::Absent));
        self.unread += u8::from(fault == Fault::Type);
        self.spelled += u8::from(fault == Fault::Spelled);
    }

    /// The share of values of another type to expect, and from how many values that is known.
    pub(super) fn expected(self, expected: &Expected) -> (f64, u64) {
        if let Some(types) = expected.types {
            return (types, expected.rows);
        }
        let share = |count: u8| f64::from(count) / f64::from(self.values.max(1));
        let types = share(self.unread).min(expected.types_at_most) + share(self.spelled);
        (types.min(1.0), u64::from(self.values).min(expected.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::{Bins, NumericBins};

    fn expected() -> Expected {
        let bins: Bins = NumericBins::equal_width(0.0, 4.0, 4).unwrap().into();
        Expected::new(&bins, &[250, 250, 250, 250, 0], None, true)
    }

    fn fine() -> Mark {
        Mark::for_test(1, Fault::None)
    }

    fn missing() -> Mark {
        Mark::for_test(0, Fault::Missing)
    }

    #[test]
    fn the_blocks_hold_the_newest_rows_only() {
        let (mut counter, expected) = (Counter::default(), expected());
        (0..1_000).for_each(|at| counter.push(&[fine()], &expected, at, 0));
        assert!(!counter.has_faults());
        (1_000..1_030).for_each(|at| counter.push(&[missing()], &expected, at, 0));
        let of = |counter: &Counter| counter.blocks(&[0, 1]).map(|block| block.failed);
        assert_eq!(of(&counter), [30, 30]);
        let rows = |counter: &Counter| counter.blocks(&[0]).map(|block| block.rows);
        assert_eq!(rows(&counter), [30, 280], "the rows before the first fault belong to the long block");
        counter.push(&[fine(); 30], &expected, 1_030, 0);
        assert_eq!((of(&counter), rows(&counter)), ([20, 30], [50, 310]));
        counter.push(&[fine(); 440], &expected, 1_031, 0);
        assert!(!counter.has_faults(), "long over, and forgotten");
    }

    #[test]
    fn the_time_is_that_of_the_first_row_that_failed() {
        let (mut counter, expected) = (Counter::default(), expected());
        (1..=100).for_each(|at| counter.push(&[fine()], &expected, at, 0));
        (101..=130).for_each(|at| counter.push(&[missing()], &expected, at, 0));
        assert_eq!(counter.settle(&[0, 1], true), Some(Some(101)));
        (131..=800).for_each(|at| counter.push(&[missing()], &expected, at, 0));
        assert_eq!(counter.settle(&[0, 1], true), Some(Some(101)));
        (801..=900).for_each(|at| counter.push(&[fine()], &expected, at, 0));
        assert_eq!(counter.settle(&[0, 1], false), Some(None), "over, and still shown");
        (901..=930).for_each(|at| counter.push(&[missing()], &expected, at, 0));
        assert_eq!(counter.settle(&[0, 1], true), Some(Some(901)), "another time");
    }

    #[test]
    fn a_tenants_first_rows_say_what_is_usual_with_it() {
        let (mut counter, expected) = (Counter::default(), expected());
        (0..OWN)
            .for_each(|at| counter.push(&[if at % 5 == 0 { missing() } else { fine() }], &expected, 0, 0));
        assert_eq!(counter.own(&[0]), Some(Tally { failed: 10, rows: 50 }));
        (0..1_000).for_each(|_| counter.push(&[fine()], &expected, 0, 0));
        assert_eq!(counter.own(&[0]), Some(Tally { failed: 10, rows: 50 }));
    }
}
