//! Where a value is counted, for numbers and texts alike.

use record::Cell;
use record::value::{self, Place};
use stats::Bins;
use stats::detect::DetectorBins;

/// The slot of a value in `bins`, read as [`record::value`] says.
///
/// Clients disagree about types: the same feature comes as `12` here and as `"12"` there. Therefore a text in a numeric
/// feature counts as the number it spells, and as missing if it spells none; a number in a categorical feature counts as
/// the category with its shortest decimal text (`12`, `0.5`). NaN is missing. `scratch` saves the allocation.
pub fn slot_of(bins: &Bins, cell: Cell<'_>, scratch: &mut String) -> usize {
    match (bins, cell) {
        (_, Cell::Missing) => bins.missing(),
        (Bins::Numeric(numeric), cell) => {
            number(cell).and_then(|x| numeric.index(x)).unwrap_or(numeric.len())
        }
        (Bins::Categorical(categorical), cell) => {
            let find = |key: &str| Some(categorical.index(key)).filter(|at| *at != categorical.other());
            match value::place(cell, find, || value::is_boolean(categorical.categories()), scratch) {
                Place::At(at) => at,
                Place::Unknown => categorical.other(),
                Place::Missing => bins.missing(),
            }
        }
    }
}

/// The same for the detector's bins.
pub fn detector_slot_of(bins: &DetectorBins, cell: Cell<'_>, scratch: &mut String) -> usize {
    let DetectorBins::Categories { kept, rare } = bins else {
        return bins.number(number(cell).unwrap_or(f64::NAN));
    };
    let find = |key: &str| (kept.index(key) != kept.other() || rare.contains(key)).then(|| bins.text(key));
    let boolean = || rare.is_empty() && value::is_boolean(kept.categories());
    match value::place(cell, find, boolean, scratch) {
        Place::At(at) => at,
        // Longer than any category can be.
        Place::Unknown => bins.text(super::UNKEPT_TEXT),
        Place::Missing => bins.missing(),
    }
}

/// The number that a value is in a numeric feature. What is not finite is missing, however it came in.
pub(crate) fn number(cell: Cell<'_>) -> Option<f64> {
    let number = match cell {
        Cell::Number(x) => Some(x),
        Cell::Text(text) => value::number(text),
        Cell::Missing => None,
    };
    number.filter(|x| x.is_finite())
}
