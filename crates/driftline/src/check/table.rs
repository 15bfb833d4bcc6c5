//! A data file as a sample: its rows as requests of one model, by the names in its header.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use record::{FeatureValue, Record};
use tabular::{Cell, Format, Table};

use crate::json_lines::Lines;

/// Whether a file is a table with a header, and not bodies or records one a line.
pub(super) fn is_table(path: &Path) -> Result<bool> {
    match Format::from_name(&path.to_string_lossy()) {
        Some(Format::Parquet) => Ok(true),
        Some(Format::Csv | Format::Tsv) if path.is_file() => {
            let mut first = Vec::new();
            Lines::open(path)?.next(&mut first)?;
            Ok(is_header(&String::from_utf8_lossy(&first)))
        }
        _ => Ok(false),
    }
}

/// Whether a first line holds names: several cells and no number among them, and it is no JSON.
fn is_header(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    let mut cells = line.split([',', ';', '\t', '|']).map(|cell| cell.trim().trim_matches('"'));
    !line.is_empty()
        && !line.starts_with(['{', '['])
        && cells.all(|cell| record::value::number(cell).is_none() && !cell.is_empty())
}

/// Gives every row as a record of `model`, with the number of its line in a file without line breaks in its cells.
pub(super) fn for_each(path: &Path, model: &str, mut each: impl FnMut(usize, &Record)) -> Result<()> {
    let mut table = Table::open(path)?;
    let mut rows = table.rows()?;
    let mut line = 1;
    while let Some(row) = rows.next_row()? {
        line += 1;
        let features: BTreeMap<String, FeatureValue> =
            row.iter().map(|(name, cell)| (name.to_owned(), value(cell))).collect();
        each(line, &Record { model: model.to_owned(), features, ..Record::default() });
    }
    Ok(())
}

fn value(cell: Cell<'_>) -> FeatureValue {
    match cell {
        Cell::Missing => FeatureValue::Null,
        Cell::Integer(value) => FeatureValue::Number(value as f64),
        Cell::Number(value) => FeatureValue::Number(value),
        Cell::Boolean(value) => FeatureValue::Bool(value),
        Cell::Text(text) => FeatureValue::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_from_bodies() {
        for header in ["amount,country", "\u{feff}a;b", "\"amount\"\t\"x\"", "amount"] {
            assert!(is_header(header), "{header}");
        }
        for body in ["1.5,DE", "{\"a\":1}", "", "DE,,1", "a,,b"] {
            assert!(!is_header(body), "{body}");
        }
    }
}
