//! The reference of `detect`: the columns of a data file in memory, or the bins and counts of a profile.

use std::path::Path;

use anyhow::{Context, Result, bail};
use monitor::profile::{FeatureProfile, Profile, TextColumn};
use tabular::{Column, ReadAs, Want};

use crate::compare::{print_note, profile_bytes};
use crate::data_files::DataArgs;

/// Values that a reference may have: 1.6 GB of numbers.
const VALUES_MAX: u64 = 200_000_000;

/// A column with a category for every fourth row can only be an identifier or a time.
const IDENTIFIER_CATEGORIES: usize = 100;

/// What is known of a feature.
#[derive(Debug)]
pub(super) enum Known {
    Numbers(Vec<f64>),
    Texts(TextColumn),
    Profile(Box<FeatureProfile>),
}

/// A feature of the reference.
#[derive(Debug)]
pub(super) struct ReferenceColumn {
    pub(super) name: String,
    pub(super) known: Known,
}

/// The features of a reference file, those in `exclude` left out.
pub(super) fn read(path: &Path, exclude: &[String], data: &DataArgs) -> Result<Vec<ReferenceColumn>> {
    let name = path.display().to_string();
    let columns = match profile_bytes(path).with_context(|| format!("cannot read `{name}`"))? {
        Some(bytes) => {
            let profile = Profile::from_json(&bytes).with_context(|| format!("`{name}`"))?;
            let chosen = profile.features.into_iter().filter(|feature| !exclude.contains(&feature.name));
            let column = |feature: FeatureProfile| ReferenceColumn {
                name: feature.name.clone(),
                known: Known::Profile(Box::new(feature)),
            };
            chosen.map(column).collect()
        }
        None => read_data(path, exclude, data)?,
    };
    if columns.is_empty() {
        bail!("`{name}` has no column to watch");
    }
    Ok(columns)
}

fn read_data(path: &Path, exclude: &[String], data: &DataArgs) -> Result<Vec<ReferenceColumn>> {
    let mut table = data.open(path)?;
    let schema = table.schema()?.clone();
    crate::data_files::notes(&table).iter().for_each(|note| print_note(note));
    if let Some(unknown) = exclude.iter().find(|name| schema.position(name).is_none()) {
        bail!("`--exclude {unknown}`: `{}` has no such column", table.name());
    }
    let chosen = schema.columns.iter().enumerate().filter(|(_, column)| !exclude.contains(&column.name));
    let (wants, mut columns): (Vec<Want>, Vec<ReferenceColumn>) = chosen
        .map(|(at, column)| {
            let numeric = column.kind.is_numeric();
            let known =
                if numeric { Known::Numbers(Vec::new()) } else { Known::Texts(TextColumn::default()) };
            (
                Want { column: at, read_as: ReadAs::Declared },
                ReferenceColumn { name: column.name.clone(), known },
            )
        })
        .unzip();
    if schema.n_rows.saturating_mul(wants.len() as u64) > VALUES_MAX {
        bail!(
            "`{}` has {} rows: too many to keep; make a profile with `driftline baseline` and give that",
            table.name(),
            schema.n_rows
        );
    }
    let mut scan = table.scan(&wants)?;
    while let Some(batch) = scan.next_batch()? {
        for (column, values) in columns.iter_mut().zip(batch.columns()) {
            match (&mut column.known, values) {
                (Known::Numbers(numbers), Column::Numbers(values)) => numbers.extend_from_slice(values),
                (Known::Texts(texts), Column::Text(values)) => {
                    values.iter().for_each(|text| texts.push(text));
                }
                // A scan delivers every column as the schema declares it.
                _ => bail!("column `{}` changed its type while it was read", column.name),
            }
        }
    }
    Ok(columns)
}

/// Whether a text column is an identifier or a time: every new row would be news.
pub(super) fn is_identifier(texts: &TextColumn) -> bool {
    texts.distinct() > IDENTIFIER_CATEGORIES && texts.distinct() * 4 > texts.len()
}
