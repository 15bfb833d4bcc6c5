//! Some thousand rows of some columns.

/// Rows of a table, column by column.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) n_rows: usize,
    pub(crate) columns: Vec<Column>,
}

impl Batch {
    /// Rows in this batch.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The columns, in the order they were asked for; each has [`Self::n_rows`] values.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn clear(&mut self) {
        self.n_rows = 0;
        self.columns.iter_mut().for_each(Column::clear);
    }
}

/// The values of one column.
#[derive(Debug)]
pub enum Column {
    /// Numbers; a missing value is NaN.
    Numbers(Vec<f64>),
    /// Text.
    Text(TextColumn),
}

impl Column {
    /// Values, missing ones included.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Text(texts) => texts.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Numbers(values) => values.clear(),
            Self::Text(texts) => texts.clear(),
        }
    }

    pub(crate) fn push_missing(&mut self) {
        match self {
            Self::Numbers(values) => values.push(f64::NAN),
            Self::Text(texts) => texts.push(None),
        }
    }
}

/// Texts one after the other in one buffer.
#[derive(Debug, Default)]
pub struct TextColumn {
    text: String,
    /// End of each value in `text`, and whether it is missing.
    ends: Vec<(usize, bool)>,
}

impl TextColumn {
    /// Values, missing ones included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value of a row; `None` if it is missing or beyond the end.
    pub fn get(&self, row: usize) -> Option<&str> {
        let &(end, missing) = self.ends.get(row)?;
        if missing {
            return None;
        }
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&(end, _)| end);
        self.text.get(start..end)
    }

    /// The values in order; `None` is a missing one.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, missing)| {
            let text = self.text.get(start..end);
            start = end;
            if missing { None } else { text }
        })
    }

    pub(crate) fn push(&mut self, value: Option<&str>) {
        self.text.push_str(value.unwrap_or_default());
        self.ends.push((self.text.len(), value.is_none()));
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let mut column = TextColumn::default();
        for value in [Some("a"), None, Some(""), Some("東京")] {
            column.push(value);
        }
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some("a"), None, Some(""), Some("東京")]);
        assert_eq!(column.get(3), Some("東京"));
        assert_eq!((column.get(1), column.get(2), column.get(4)), (None, Some(""), None));
    }
}
