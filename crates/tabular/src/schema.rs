//! The columns of a file and their types, and the evidence a first pass collects to decide them.

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
    integers: u64,
    numbers: u64,
    booleans: u64,
    texts: u64,
    /// JSON strings such as `"Infinity"`: numbers among numbers, text elsewhere.
    named_numbers: u64,
    /// Lists: the column cannot be read.
    pub(crate) lists: u64,
    first_not_number: Option<(u64, String)>,
}

impl Evidence {
    pub(crate) fn number(&mut self, integer: bool) {
        if integer {
            self.integers += 1;
        } else {
            self.numbers += 1;
        }
    }

    pub(crate) fn named_number(&mut self) {
        self.named_numbers += 1;
    }

    pub(crate) fn boolean(&mut self, line: u64, value: bool) {
        self.booleans += 1;
        self.note(line, if value { "true" } else { "false" });
    }

    pub(crate) fn text(&mut self, line: u64, value: &str) {
        self.texts += 1;
        self.note(line, value);
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
        let n_numbers = self.integers + self.numbers;
        match (n_numbers, self.booleans, self.texts) {
            (0, 0, 0) if self.named_numbers > 0 => ColumnKind::Text,
            (0, 0, 0) => ColumnKind::Empty,
            (_, 0, 0) if self.numbers + self.named_numbers == 0 => ColumnKind::Integer,
            (_, 0, 0) => ColumnKind::Number,
            (0, _, 0) if self.named_numbers == 0 => ColumnKind::Boolean,
            _ => ColumnKind::Text,
        }
    }

    pub(crate) fn into_column(self, name: String) -> ColumnInfo {
        let kind = self.kind();
        let n_numbers = self.integers + self.numbers;
        let oddity = match self.first_not_number {
            Some((line, value)) if kind == ColumnKind::Text && n_numbers > 0 => {
                Some(Oddity { line, value, n_texts: self.texts + self.booleans, n_numbers })
            }
            _ => None,
        };
        ColumnInfo { name, kind, oddity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(see: impl FnOnce(&mut Evidence)) -> ColumnKind {
        let mut evidence = Evidence::default();
        see(&mut evidence);
        evidence.kind()
    }

    #[test]
    fn every_cell_counts() {
        assert_eq!(kind(|_| {}), ColumnKind::Empty);
        assert_eq!(kind(|e| e.number(true)), ColumnKind::Integer);
        assert_eq!(kind(|e| (e.number(true), e.number(false)).0), ColumnKind::Number);
        assert_eq!(kind(|e| (e.number(true), e.named_number()).0), ColumnKind::Number);
        assert_eq!(kind(Evidence::named_number), ColumnKind::Text);
        assert_eq!(kind(|e| e.boolean(1, true)), ColumnKind::Boolean);
        assert_eq!(kind(|e| (e.boolean(1, true), e.number(true)).0), ColumnKind::Text);
        assert_eq!(kind(|e| (e.boolean(1, true), e.text(2, "yes")).0), ColumnKind::Text);
    }

    #[test]
    fn the_cell_that_spoils_a_numeric_column_is_named() {
        let mut evidence = Evidence::default();
        evidence.number(true);
        evidence.text(17, "NA");
        evidence.text(18, "n/a");
        let oddity = evidence.into_column("temp".to_owned()).oddity;
        assert_eq!(oddity, Some(Oddity { line: 17, value: "NA".to_owned(), n_texts: 2, n_numbers: 1 }));
    }
}
