//! Values into the columns of a batch, the same for every format.

use record::value::{Value, boolean_key};

use crate::batch::Column;
use crate::schema::ColumnKind;
use crate::table::ReadAs;

/// How the values of a column are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As numbers; `strict`: every value was one when the column's type was decided.
    Numbers { strict: bool },
    /// As the categories `true` and `false`.
    Booleans,
    /// As the keys of categories.
    Texts,
}

impl Delivery {
    pub(crate) fn new(kind: ColumnKind, read_as: ReadAs) -> Self {
        match (read_as, kind) {
            (ReadAs::Numbers, _) => Self::Numbers { strict: kind.is_numeric() },
            (ReadAs::Declared, ColumnKind::Integer | ColumnKind::Number) => Self::Numbers { strict: true },
            (_, ColumnKind::Boolean) => Self::Booleans,
            _ => Self::Texts,
        }
    }
}

/// Adds a value to its column; an error if it is no number in a column of numbers.
pub(crate) fn deliver(column: &mut Column, delivery: Delivery, value: Value<'_>) -> Result<(), NotANumber> {
    match (column, value) {
        (column, Value::Missing) => column.push_missing(),
        (Column::Numbers(numbers), value) => match value.number() {
            Some(number) => numbers.push(number),
            None if delivery == (Delivery::Numbers { strict: true }) => return Err(NotANumber),
            None => numbers.push(f64::NAN),
        },
        (Column::Text(texts), Value::Number(number))
            if delivery == Delivery::Booleans && (number == 0.0 || number == 1.0) =>
        {
            texts.push(Some(boolean_key(number == 1.0)));
        }
        (Column::Text(texts), value) => texts.push(value.key(&mut String::new())),
    }
    Ok(())
}

/// A value of a numeric column that is no number: the file changed.
#[derive(Debug)]
pub(crate) struct NotANumber;
