//! What is wrong with a single value, decided where its slot is looked up: a byte-sized code and a hash of the value.

use record::Cell;
use record::value::{self, Place, Value};
use stats::Bins;

use super::Expected;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Nothing.
    None = 0,
    /// Null, NaN, blank or a missing token.
    Missing = 1,
    /// Not in the row at all.
    Absent = 2,
    /// Another type, so that it cannot be read.
    Type = 3,
    /// A number inside a string.
    Spelled = 4,
    /// A category that the reference does not have.
    Unseen = 5,
    /// A number outside the reference's range.
    Range = 6,
}

/// A value's fault in the lowest three bits, and a hash of the value above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

const CODE: u64 = 7;
/// The odd number nearest to 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mark {
    /// A value that is not in the row.
    pub(crate) const ABSENT: Self = Self(Fault::Absent as u64);

    fn new(hash: u64, fault: Fault) -> Self {
        Self(hash & !CODE | fault as u64)
    }

    #[cfg(test)]
    pub(crate) fn for_test(hash: u64, fault: Fault) -> Self {
        Self::new(hash << 3, fault)
    }

    #[inline]
    pub(crate) fn fault(self) -> Fault {
        match self.0 & CODE {
            0 => Fault::None,
            1 => Fault::Missing,
            2 => Fault::Absent,
            3 => Fault::Type,
            4 => Fault::Spelled,
            5 => Fault::Unseen,
            _ => Fault::Range,
        }
    }

    #[inline]
    pub(crate) fn is_fine(self) -> bool {
        self.0 & CODE == 0
    }

    /// Whether there is a value that could be read: everything but missing, absent and of another type.
    #[inline]
    pub(crate) fn has_value(self) -> bool {
        !matches!(self.fault(), Fault::Missing | Fault::Absent | Fault::Type)
    }

    /// Equal for equal values, and for no value.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        self.0 & !CODE
    }
}

/// The hash of a row of values, one value after the other.
#[inline]
pub(crate) fn add_to_row(row: u64, mark: Mark) -> u64 {
    (row.rotate_left(5) ^ mark.hash()).wrapping_mul(MIX)
}

#[inline]
fn hash_number(x: f64) -> u64 {
    // -0.0 and 0.0 are one value.
    let mixed = (x + 0.0).to_bits().wrapping_mul(MIX);
    mixed ^ mixed >> 29
}

fn hash_text(text: &str) -> u64 {
    let mut hash = text.len() as u64;
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
    }
    hash ^ hash >> 29
}

/// The slot of a value, as [`crate::profile::slot_of`] gives it, and what is wrong with the value.
#[inline]
pub(crate) fn place(bins: &Bins, expected: &Expected, cell: Cell<'_>, scratch: &mut String) -> (u8, Mark) {
    let missing = bins.missing() as u8;
    match (bins, cell) {
        (_, Cell::Missing) => (missing, Mark::new(0, Fault::Missing)),
        (Bins::Numeric(numeric), Cell::Number(x)) => match numeric.index(x).filter(|_| x.is_finite()) {
            Some(at) => (at as u8, Mark::new(hash_number(x), expected.range_fault(x))),
            None => (missing, Mark::new(0, Fault::Missing)),
        },
        (Bins::Numeric(numeric), Cell::Text(text)) => {
            let read = value::read(text);
            let number = read.number().filter(|x| x.is_finite());
            let fault = match read {
                Value::Text(_) => Fault::Type,
                Value::Boolean(_) if expected.has_words() => Fault::None,
                Value::Boolean(_) => Fault::Type,
                Value::Number(_) | Value::Code(_) if number.is_some() => Fault::Spelled,
                Value::Number(_) | Value::Code(_) | Value::Missing => Fault::Missing,
            };
            let slot = number.and_then(|x| numeric.index(x)).map_or(missing, |at| at as u8);
            (slot, Mark::new(number.map_or(0, hash_number), fault))
        }
        (Bins::Categorical(categorical), cell) => {
            let find = |key: &str| Some(categorical.index(key)).filter(|at| *at != categorical.other());
            let hash = match cell {
                Cell::Number(x) => hash_number(x),
                Cell::Text(text) => hash_text(text),
                Cell::Missing => 0,
            };
            let boolean = || value::is_boolean(categorical.categories());
            match value::place(cell, find, boolean, scratch) {
                Place::At(at) => (at as u8, Mark::new(hash, Fault::None)),
                Place::Unknown => (categorical.other() as u8, Mark::new(hash, expected.unknown(cell))),
                Place::Missing => (missing, Mark::new(0, Fault::Missing)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::slot_of;
    use proptest::prelude::*;
    use stats::{CategoricalBins, NumericBins};

    fn bins() -> [Bins; 5] {
        let named = |names: &[&str]| {
            CategoricalBins::new(names.iter().map(|name| (*name).to_owned()).collect()).unwrap().into()
        };
        [
            NumericBins::equal_width(0.0, 10.0, 5).unwrap().into(),
            NumericBins::equal_width(1.0, 1.0, 5).unwrap().into(),
            named(&["DE", "FR", "NA"]),
            named(&["true", "false"]),
            named(&["007", "12", "0.5"]),
        ]
    }

    fn texts() -> impl Strategy<Value = String> {
        let odd = [
            "", " ", "NA", "N/A", "true", "False", "DE", " DE ", "7", "007", "12", "12.0", "0.5", "inf",
            "-inf", "NaN", "1e3", "-1", "abc", "-",
        ];
        prop_oneof![prop::sample::select(odd.map(str::to_owned).to_vec()), ".{0,12}"]
    }

    fn numbers() -> impl Strategy<Value = f64> {
        let odd = vec![0.0, -0.0, 1.0, 7.0, 12.0, 0.5, 10.0, 1e300, f64::NAN, f64::INFINITY];
        prop_oneof![prop::sample::select(odd), any::<f64>()]
    }

    proptest! {
        #[test]
        fn the_slot_is_that_of_slot_of(text in texts(), number in numbers()) {
            let mut scratch = String::new();
            for bins in bins() {
                let expected = Expected::new(&bins, &vec![100; bins.slots()], None, true);
                for cell in [Cell::Missing, Cell::Number(number), Cell::Text(&text)] {
                    let (slot, mark) = place(&bins, &expected, cell, &mut scratch);
                    prop_assert_eq!(usize::from(slot), slot_of(&bins, cell, &mut scratch), "{:?}", cell);
                    // What has no value is missing, or of another type; what has one is not.
                    let is_missing = usize::from(slot) == bins.missing();
                    prop_assert!(!is_missing || !mark.has_value(), "{:?} {:?}", cell, mark.fault());
                    prop_assert!(is_missing || mark.fault() != Fault::Missing, "{:?}", cell);
                }
            }
        }
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        let bins = &bins()[0];
        let expected = Expected::new(bins, &[100; 6], None, true);
        let hash = |cell| place(bins, &expected, cell, &mut String::new()).1.hash();
        assert_eq!(hash(Cell::Number(0.0)), hash(Cell::Number(-0.0)));
        assert_eq!(hash(Cell::Number(2.5)), hash(Cell::Text(" 2.50 ")));
        assert_ne!(hash(Cell::Number(2.5)), hash(Cell::Number(2.6)));
        assert_ne!(hash(Cell::Number(3.0)), hash(Cell::Number(2.6)), "the same bin");
    }
}
