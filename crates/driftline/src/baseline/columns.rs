//! The columns of all files together.

use std::path::PathBuf;

use anyhow::{Result, bail};
use tabular::{Batch, ColumnKind, ReadAs, Table, Want};

use crate::compare::show_progress;
use crate::data_files::DataArgs;

/// A column of the profile.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Numbers in every file that has values of it.
    pub(super) numeric: bool,
}

/// Opened files and their columns, merged by name.
pub(super) struct Columns {
    files: Vec<(Table, u64)>,
    pub(super) columns: Vec<Column>,
}

/// Opens all files and decides the columns, in the order in which they appear.
pub(super) fn open(
    paths: &[PathBuf],
    exclude: &[String],
    data: &DataArgs,
    notes: &mut Vec<String>,
) -> Result<Columns> {
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        bail!("`-`: standard input can be named once");
    }
    // Notes go to a terminal or a build's log.
    let privacy = record::Privacy::default();
    let mut files = Vec::with_capacity(paths.len());
    // Name, seen as numbers, seen as text.
    let mut merged: Vec<(String, bool, bool)> = Vec::new();
    for path in paths {
        let mut table = data.open(path)?;
        show_progress(&mut table);
        let name = table.name().to_owned();
        table.schema()?;
        notes.extend(crate::data_files::notes(&table));
        let schema = table.schema()?;
        for column in &schema.columns {
            let at = merged.iter().position(|(known, ..)| *known == column.name).unwrap_or_else(|| {
                merged.push((column.name.clone(), false, false));
                merged.len() - 1
            });
            if let Some((_, numbers, texts)) = merged.get_mut(at) {
                *numbers |= column.kind.is_numeric();
                *texts |= !column.kind.is_numeric() && column.kind != ColumnKind::Empty;
            }
            if let Some(oddity) = &column.oddity {
                let (value, line) = (privacy.text(&column.name, &oddity.value), oddity.line);
                let column = privacy.name(&column.name);
                notes.push(format!(
                    "`{name}`: column `{column}` is text because of values like `{value}` in line {line}; if that means a missing value, use --na"
                ));
            }
        }
        let skipped = schema.skipped.iter().filter(|skipped| !skipped.name.is_empty());
        notes.extend(skipped.map(|s| format!("`{name}`: column `{}` is left out: it {}", s.name, s.reason)));
        let n_rows = schema.n_rows;
        files.push((table, n_rows));
    }
    let unknown = exclude.iter().filter(|name| !merged.iter().any(|(known, ..)| known == *name));
    notes.extend(unknown.map(|name| format!("`--exclude {name}`: no file has this column")));
    merged.retain(|(name, ..)| !exclude.contains(name));
    if merged.is_empty() {
        bail!("no column is left: `--exclude` names all of them");
    }
    for (name, ..) in merged.iter().filter(|(_, numbers, texts)| *numbers && *texts) {
        notes.push(format!("`{name}` is numeric in some files and text in others: taken as categories"));
    }
    let columns =
        merged.into_iter().map(|(name, numbers, texts)| Column { name, numeric: numbers && !texts });
    Ok(Columns { files, columns: columns.collect() })
}

impl Columns {
    /// Rows of all files.
    pub(super) fn n_rows(&self) -> u64 {
        self.files.iter().map(|(_, n_rows)| n_rows).sum()
    }

    /// One pass over all files, over the columns that `wanted` says. `each` gets, per batch, the index of each column in
    /// [`Self::columns`] with its place in the batch.
    pub(super) fn pass(
        &mut self,
        wanted: impl Fn(&Column) -> bool,
        each: &mut dyn FnMut(&[usize], &Batch),
    ) -> Result<()> {
        for (table, _) in &mut self.files {
            let schema = table.schema()?;
            let (mut indexes, mut wants) = (Vec::new(), Vec::new());
            for (index, column) in self.columns.iter().enumerate().filter(|(_, column)| wanted(column)) {
                if let Some(place) = schema.position(&column.name) {
                    let read_as = if column.numeric { ReadAs::Declared } else { ReadAs::Text };
                    indexes.push(index);
                    wants.push(Want { column: place, read_as });
                }
            }
            let mut scan = table.scan(&wants)?;
            while let Some(batch) = scan.next_batch()? {
                each(&indexes, batch);
            }
        }
        Ok(())
    }
}
