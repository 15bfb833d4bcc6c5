//! The files behind a name: one, the files of a folder, or those that a pattern matches.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::schema::{ColumnInfo, ColumnKind, Schema, SkippedColumn};

/// Most files of one table: each is held open.
const FILES_MAX: usize = 1_000;

/// The files of a folder or a pattern in the order of their names; `None` if the path is a single file, or nothing.
///
/// Hidden files and those that begin with `_` (such as `_SUCCESS`) are left out.
pub(crate) fn of(path: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let name = path.display().to_string();
    let error = |what: String, hint| Error::Parts { file: name.clone(), what, hint };
    let found: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        entries
            .map_err(|cause| Error::Open {
                file: name.clone(),
                cause,
                hint: "check who may read the folder",
            })?
            .into_iter()
            .map(|entry| entry.path())
            .collect()
    } else if name.contains(['*', '?', '[']) && !path.exists() {
        let pattern = glob::glob(&name);
        pattern
            .map_err(|problem| {
                error(format!("not a pattern: {problem}"), "use * and ? for parts of a file's name")
            })?
            .filter_map(Result::ok)
            .collect()
    } else {
        return Ok(None);
    };
    let is_data = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        file.is_file() && !name.starts_with(['.', '_'])
    };
    let mut files: Vec<PathBuf> = found.into_iter().filter(is_data).collect();
    files.sort();
    match files.len() {
        0 => Err(error(
            "no file is there".to_owned(),
            "name a folder or a pattern of data files; files in folders below need a pattern such as data/*/*.parquet",
        )),
        n if n > FILES_MAX => Err(error(
            format!("{n} files, at most {FILES_MAX} are read as one table"),
            "join them into fewer",
        )),
        _ => Ok(Some(files)),
    }
}

/// The files that a path stands for: itself, those of a folder, or those that a pattern matches.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    of(path).ok().flatten().unwrap_or_else(|| vec![path.to_owned()])
}

/// The schema of all files together: the same names, in any order, and types that can be read as one. `notes` gets what had
/// to be reconciled.
pub(crate) fn merge(parts: &[(&str, &Schema)], notes: &mut Vec<String>) -> Result<Schema, Error> {
    let Some(((first_name, first), rest)) = parts.split_first() else { return Ok(Schema::default()) };
    let mut merged = Schema { n_rows: 0, ..(*first).clone() };
    for (name, schema) in rest {
        let listed =
            |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let absent = |from: &Schema, of: &Schema| {
            let names = of.columns.iter().filter(|column| from.position(&column.name).is_none());
            listed(names.map(|column| column.name.as_str()).take(8).collect())
        };
        let (lacks, adds) = (absent(schema, first), absent(first, schema));
        if !lacks.is_empty() || !adds.is_empty() {
            let mut what = format!("its columns differ from those of `{first_name}`:");
            if !lacks.is_empty() {
                what.push_str(&format!(" {lacks} missing"));
            }
            if !adds.is_empty() {
                what.push_str(&format!(" {adds} added"));
            }
            let hint = "files that are read as one table must have the same columns; name the files that belong together";
            return Err(Error::Parts { file: (*name).to_owned(), what, hint });
        }
        for column in &mut merged.columns {
            let Some(other) = schema.position(&column.name).and_then(|at| schema.columns.get(at)) else {
                continue;
            };
            join(column, other, (first_name, name), notes);
        }
        for skipped in &schema.skipped {
            if !merged.skipped.iter().any(|known: &SkippedColumn| known.name == skipped.name) {
                merged.skipped.push(skipped.clone());
            }
        }
    }
    merged.n_rows = parts.iter().map(|(_, schema)| schema.n_rows).sum();
    Ok(merged)
}

/// Gives a column a type that the other file's values have as well.
fn join(column: &mut ColumnInfo, other: &ColumnInfo, files: (&str, &str), notes: &mut Vec<String>) {
    let kind = match (column.kind, other.kind) {
        (one, same) if one == same => one,
        (ColumnKind::Empty, kind) | (kind, ColumnKind::Empty) => kind,
        (one, another) if one.is_numeric() && another.is_numeric() => ColumnKind::Number,
        (one, another) => {
            if one.is_numeric() != another.is_numeric() && column.kind != ColumnKind::Text {
                let (first, file) = files;
                notes.push(format!(
                    "`{}` is {} in `{first}` and {} in `{file}`: read as text",
                    column.name,
                    described(one),
                    described(another)
                ));
            }
            ColumnKind::Text
        }
    };
    column.kind = kind;
    if column.oddity.is_none() && kind == ColumnKind::Text {
        column.oddity.clone_from(&other.oddity);
    }
}

fn described(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Integer | ColumnKind::Number => "numeric",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Text | ColumnKind::Empty => "text",
    }
}
