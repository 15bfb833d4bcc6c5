//! Where a value is counted, for numbers and texts alike.

use std::fmt::Write as _;

use record::Cell;
use stats::Bins;

/// The slot of a value in `bins`.
///
/// Clients disagree about types: the same feature comes as `12` here and as `"12"` there. Therefore a text in a numeric
/// feature counts as the number it spells, and as missing if it spells none; a number in a categorical feature counts as
/// the category with its shortest decimal text (`12`, `0.5`). NaN is missing. `scratch` saves the allocation.
pub fn slot_of(bins: &Bins, cell: Cell<'_>, scratch: &mut String) -> usize {
    match (bins, cell) {
        (_, Cell::Missing) => bins.missing(),
        (Bins::Numeric(numeric), Cell::Number(x)) => numeric.index(x).unwrap_or(numeric.len()),
        (Bins::Numeric(numeric), Cell::Text(text)) => {
            spelled(text).and_then(|x| numeric.index(x)).unwrap_or(numeric.len())
        }
        (Bins::Categorical(categorical), Cell::Text(text)) => categorical.index(text),
        (Bins::Categorical(_), Cell::Number(x)) if x.is_nan() => bins.missing(),
        (Bins::Categorical(categorical), Cell::Number(x)) => categorical.index(shortest(x, scratch)),
    }
}

/// The finite number that a text spells.
pub(crate) fn spelled(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// The shortest decimal text of a number; `-0` is `0`.
pub(crate) fn shortest(x: f64, scratch: &mut String) -> &str {
    scratch.clear();
    write!(scratch, "{}", x + 0.0).expect("invariant: writing to a string cannot fail");
    scratch
}
