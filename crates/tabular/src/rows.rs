//! Row by row: what `replay` sends.

use crate::batch::Column;
use crate::error::Error;
use crate::schema::{ColumnKind, Schema};
use crate::table::Scan;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A number of a column with fractions; may be infinite, never NaN.
    Number(f64),
    /// A number of a column that holds integers only (`7` in the file, not `7.0`).
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// Text.
    Text(&'a str),
    /// No value.
    Missing,
}

/// Rows one after the other.
#[derive(Debug)]
pub struct Rows<'a> {
    scan: Scan<'a>,
    next: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(scan: Scan<'a>) -> Self {
        Self { scan, next: 0 }
    }

    /// The next row; `None` at the end. It holds until the next call.
    ///
    /// # Errors
    /// As [`Scan::next_batch`].
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Error> {
        if self.next >= self.scan.batch().n_rows() {
            self.scan.advance()?;
            self.next = 0;
            if self.scan.batch().n_rows() == 0 {
                return Ok(None);
            }
        }
        let row = self.next;
        self.next += 1;
        Ok(Some(Row { schema: self.scan.schema(), columns: self.scan.batch().columns(), row }))
    }
}

/// One row: a name and a value per column, in the file's order.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    schema: &'a Schema,
    columns: &'a [Column],
    row: usize,
}

impl<'a> Row<'a> {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cell<'a>)> + use<'a> {
        let row = self.row;
        let columns = self.schema.columns.iter().zip(self.columns);
        columns.map(move |(info, column)| (info.name.as_str(), cell(info.kind, column, row)))
    }

    /// The value of the column of this index in the schema.
    pub fn get(&self, index: usize) -> Option<Cell<'a>> {
        let (info, column) = (self.schema.columns.get(index)?, self.columns.get(index)?);
        Some(cell(info.kind, column, self.row))
    }
}

fn cell<'a>(kind: ColumnKind, column: &'a Column, row: usize) -> Cell<'a> {
    match column {
        Column::Numbers(values) => match values.get(row) {
            Some(value) if !value.is_nan() => number(kind, *value),
            _ => Cell::Missing,
        },
        Column::Text(texts) => match (texts.get(row), kind) {
            (None, _) => Cell::Missing,
            (Some(text), ColumnKind::Boolean) => Cell::Boolean(text == "true"),
            (Some(text), _) => Cell::Text(text),
        },
    }
}

fn number<'a>(kind: ColumnKind, value: f64) -> Cell<'a> {
    // Outside of i64 the cast would saturate and change the number.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if kind == ColumnKind::Integer && fits { Cell::Integer(value as i64) } else { Cell::Number(value) }
}
