//! Whether live values are of the type that the profile has.

use record::Cell;
use record::value::{self, Value};
use stats::Bins;

use crate::profile::slot_of;

/// What the values of a feature have shown so far. One value of the right type settles it: what changes later is a fault in the
/// data, and no mistake in the setup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Types {
    /// No value yet that tells.
    #[default]
    Unknown,
    /// Every value so far is of another type.
    Differ,
    /// A value was of the type.
    Agree,
}

impl Types {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 3] = [Self::Unknown, Self::Differ, Self::Agree];

    /// Takes note of a live value.
    #[inline]
    pub(crate) fn see(&mut self, bins: &Bins, value: Cell<'_>) {
        if *self != Self::Agree {
            self.judge(bins, value);
        }
    }

    #[cold]
    fn judge(&mut self, bins: &Bins, value: Cell<'_>) {
        match agrees(bins, value) {
            Some(true) => *self = Self::Agree,
            Some(false) => *self = Self::Differ,
            None => {}
        }
    }
}

/// Whether a value is of the type of the bins; `None` for a value or bins that do not tell.
fn agrees(bins: &Bins, cell: Cell<'_>) -> Option<bool> {
    let value = match cell {
        Cell::Missing => return None,
        Cell::Number(number) => Value::Number(number),
        Cell::Text(text) => value::read(text),
    };
    match (bins, value) {
        (_, Value::Missing) => None,
        (_, Value::Number(number)) if !number.is_finite() => None,
        (Bins::Numeric(_), value) => Some(value.number().is_some()),
        (Bins::Categorical(bins), _) if bins.categories().is_empty() => None,
        (Bins::Categorical(_), Value::Text(_) | Value::Boolean(_)) => Some(true),
        (Bins::Categorical(categories), Value::Number(_) | Value::Code(_)) => {
            let is_number = |category: &String| {
                matches!(value::read_any(category), Value::Number(_) | Value::Code(_) | Value::Missing)
            };
            let is_known = || {
                let slot = slot_of(bins, cell, &mut String::new());
                slot != categories.other() && slot != bins.missing()
            };
            Some(is_known() || categories.categories().iter().any(is_number))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stats::{CategoricalBins, NumericBins};

    use super::*;

    fn numeric() -> Bins {
        NumericBins::equal_width(0.0, 4.0, 4).unwrap().into()
    }

    fn categories(names: &[&str]) -> Bins {
        CategoricalBins::new(names.iter().map(ToString::to_string).collect()).unwrap().into()
    }

    #[test]
    fn numbers_and_texts_are_told_apart_as_values_are_read() {
        for (bins, cell, expected) in [
            (numeric(), Cell::Number(7.0), Some(true)),
            (numeric(), Cell::Text("12.5"), Some(true)),
            (numeric(), Cell::Text("true"), Some(true)),
            (numeric(), Cell::Text("red"), Some(false)),
            (numeric(), Cell::Text("N/A"), None),
            (numeric(), Cell::Number(f64::INFINITY), None),
            (numeric(), Cell::Missing, None),
            (categories(&["red", "blue"]), Cell::Text("green"), Some(true)),
            (categories(&["red", "blue"]), Cell::Number(3.0), Some(false)),
            (categories(&["red", "blue"]), Cell::Text("3"), Some(false)),
            (categories(&["1", "2"]), Cell::Number(3.0), Some(true)),
            (categories(&["02139", "other"]), Cell::Number(2139.0), Some(true)),
            (categories(&["false", "true"]), Cell::Number(1.0), Some(true)),
            (categories(&[]), Cell::Number(1.0), None),
        ] {
            assert_eq!(agrees(&bins, cell), expected, "{bins:?} {cell:?}");
        }
    }

    proptest! {
        #[test]
        fn one_value_of_the_type_settles_it(texts in prop::collection::vec("[a-z]{1,5}x", 1..20), x in -1e9..1e9_f64) {
            let mut types = Types::default();
            for text in &texts {
                types.see(&numeric(), Cell::Text(text));
                prop_assert_eq!(types, Types::Differ);
            }
            types.see(&numeric(), Cell::Number(x));
            for text in &texts {
                types.see(&numeric(), Cell::Text(text));
            }
            prop_assert_eq!(types, Types::Agree);
        }
    }
}
