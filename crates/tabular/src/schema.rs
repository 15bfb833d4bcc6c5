//! The columns of a file and their types, and the evidence a first pass collects to decide them.

use record::value::{Value, trim};

use crate::number::{is_digits, is_integer};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers, every one written as an integer.
    Integer,
    /// Numbers.
    Number,
    /// `true` and `false`: a categorical column.
    Boolean,
    /// Text: a categorical column.
    Text,
    /// No value at all: every cell is missing, the format says nothing of the type.
    Empty,
}

impl ColumnKind {
    /// Whether the column is measured as numbers.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Number)
    }
}

/// The first value that makes an otherwise numeric column text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Line of the file, from 1.
    pub line: u64,
    /// The value, shortened for display.
    pub value: String,
    /// Cells of the column that are not numbers.
    pub n_texts: u64,
    /// Cells of the column that are numbers.
    pub n_numbers: u64,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name; nested fields are joined with dots.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
    /// Set when the column is text although some of its cells are numbers.
    pub oddity: Option<Oddity>,
}

/// A column that is in the file and not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedColumn {
    /// Its name; empty for a CSV column without one.
    pub name: String,
    /// Why it is left out, to be read after the name.
    pub reason: &'static str,
}

/// The columns of a table, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The columns that can be read.
    pub columns: Vec<ColumnInfo>,
    /// The columns that cannot.
    pub skipped: Vec<SkippedColumn>,
    /// Rows in the file.
    pub n_rows: u64,
}

impl Schema {
    /// The index of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// What a first pass has seen in one column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Numbers, codes included.
    numbers: u64,
    /// Of them, those written as integers.
    integers: u64,
    /// Of them, those that are digits only.
    digits: u64,
    /// Of them, those with a leading zero.
    codes: u64,
    /// Of them, 0 and 1.
    binary: u64,
    booleans: u64,
    texts: u64,
    /// Strings of JSON that spell a number: numbers among numbers, text elsewhere.
    spelled: u64,
    /// Of them, 0 and 1.
    spelled_binary: u64,
    /// Lists: the column cannot be read.
    pub(crate) lists: u64,
    first_not_number: Option<(u64, String)>,
}

impl Evidence {
    /// A value of a cell or of a JSON string, `text` as it was written.
    pub(crate) fn value(&mut self, line: u64, value: Value<'_>, text: &str) {
        match value {
            Value::Missing => {}
            Value::Number(number) => self.number(number, trim(text)),
            Value::Code(digits) => {
                self.number(f64::NAN, digits);
                self.codes += 1;
            }
            Value::Boolean(_) => {
                self.booleans += 1;
                self.note(line, text);
            }
            Value::Text(text) => {
                self.texts += 1;
                self.note(line, text);
            }
        }
    }

    /// A number with its text.
    pub(crate) fn number(&mut self, number: f64, text: &str) {
        self.numbers += 1;
        self.integers += u64::from(is_integer(text));
        self.digits += u64::from(is_digits(text));
        self.binary += u64::from(number == 0.0 || number == 1.0);
    }

    /// A string of JSON that spells a number.
    pub(crate) fn spelled(&mut self, number: f64) {
        self.spelled += 1;
        self.spelled_binary += u64::from(number == 0.0 || number == 1.0);
    }

    fn note(&mut self, line: u64, value: &str) {
        if self.first_not_number.is_none() {
            self.first_not_number = Some((line, crate::error::excerpt(value)));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kind() == ColumnKind::Empty
    }

    pub(crate) fn kind(&self) -> ColumnKind {
        match (self.numbers, self.booleans, self.texts) {
            (0, 0, 0) if self.spelled > 0 => ColumnKind::Text,
            (0, 0, 0) => ColumnKind::Empty,
            // Codes, such as `02139` and `10001`.
            (numbers, 0, 0) if self.codes > 0 && self.digits == numbers => ColumnKind::Text,
            (numbers, 0, 0) if self.integers == numbers && self.spelled == 0 => ColumnKind::Integer,
            (_, 0, 0) => ColumnKind::Number,
            (numbers, _, 0) if self.binary == numbers && self.spelled_binary == self.spelled => {
                ColumnKind::Boolean
            }
            _ => ColumnKind::Text,
        }
    }

    pub(crate) fn into_column(self, name: String) -> ColumnInfo {
        let kind = self.kind();
        let oddity = match self.first_not_number {
            Some((line, value)) if kind == ColumnKind::Text && self.numbers > 0 => {
                Some(Oddity { line, value, n_texts: self.texts + self.booleans, n_numbers: self.numbers })
            }
            _ => None,
        };
        ColumnInfo { name, kind, oddity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cells: &[&str]) -> Evidence {
        let mut evidence = Evidence::default();
        for (line, cell) in cells.iter().enumerate() {
            evidence.value(line as u64 + 2, record::value::read(cell), cell);
        }
        evidence
    }

    #[test]
    fn every_cell_counts() {
        for (cells, expected) in [
            (&[][..], ColumnKind::Empty),
            (&["", "NA"], ColumnKind::Empty),
            (&["1", "-2", "n/a"], ColumnKind::Integer),
            (&["1", "2.0"], ColumnKind::Number),
            (&["1", "inf"], ColumnKind::Number),
            (&["True", "false"], ColumnKind::Boolean),
            (&["True", "0", "1.0"], ColumnKind::Boolean),
            (&["true", "2"], ColumnKind::Text),
            (&["true", "yes"], ColumnKind::Text),
            (&["02139", "10001"], ColumnKind::Text),
            (&["02139", "1.5"], ColumnKind::Number),
            (&["02139", "-7"], ColumnKind::Integer),
        ] {
            assert_eq!(seen(cells).kind(), expected, "{cells:?}");
        }
        let mut spelled = Evidence::default();
        spelled.spelled(2.0);
        assert_eq!(spelled.kind(), ColumnKind::Text);
        spelled.number(1.0, "1");
        assert_eq!(spelled.kind(), ColumnKind::Number);
    }

    #[test]
    fn the_cell_that_spoils_a_numeric_column_is_named() {
        let oddity = seen(&["1", "NA", "missing", "?"]).into_column("temp".to_owned()).oddity;
        assert_eq!(oddity, Some(Oddity { line: 4, value: "missing".to_owned(), n_texts: 2, n_numbers: 1 }));
        assert_eq!(seen(&["02139", "10001"]).into_column("zip".to_owned()).oddity, None);
    }
}
