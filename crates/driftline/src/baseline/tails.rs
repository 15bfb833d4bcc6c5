//! The detector's own bins of a profile: from a sample of rows that keeps their order.
//!
//! A detector gains nothing from more than some ten thousand rows of reference, so every column keeps a bounded sample: whole
//! stretches of rows, spread evenly over the files, so that it shows how much rows resemble their neighbours.

use std::collections::HashMap;

use anyhow::Result;
use monitor::DetectorReference;
use monitor::profile::{FeatureProfile, MAX_DISTINCT_TEXTS, MAX_TEXT_BYTES};
use record::Cell;
use tabular::Column as Values;

use super::columns::Columns;

/// Rows a column, and values in all.
const ROWS_MAX: u64 = 50_000;
const VALUES_MAX: u64 = 8 << 20;

/// Rows a stretch.
const STRETCH: u64 = 1_000;

/// Texts that were not kept: the detector takes them for ones it has never seen.
const OTHER: u32 = u32::MAX;

/// The sampled values of one column.
enum Sample {
    Numbers(Vec<f64>),
    Texts { codes: Vec<Option<u32>>, names: Vec<String>, known: HashMap<String, u32> },
}

impl Sample {
    fn missing(&mut self, rows: usize) {
        match self {
            Self::Numbers(numbers) => numbers.resize(numbers.len() + rows, f64::NAN),
            Self::Texts { codes, .. } => codes.resize(codes.len() + rows, None),
        }
    }

    fn add(&mut self, values: &Values, row: usize) {
        match (self, values) {
            (Self::Numbers(numbers), Values::Numbers(values)) => {
                numbers.push(values.get(row).copied().unwrap_or(f64::NAN));
            }
            (Self::Texts { codes, names, known }, Values::Text(texts)) => {
                codes.push(texts.get(row).map(|text| code(text, names, known)));
            }
            // A numeric column of which this file has no value.
            (sample, _) => sample.missing(1),
        }
    }

    fn cells(&self) -> impl Iterator<Item = Cell<'_>> + Clone {
        let (numbers, codes, names): (&[f64], &[Option<u32>], &[String]) = match self {
            Self::Numbers(numbers) => (numbers, &[], &[]),
            Self::Texts { codes, names, .. } => (&[], codes, names),
        };
        let number = |x: &f64| if x.is_nan() { Cell::Missing } else { Cell::Number(*x) };
        let text = move |code: &Option<u32>| match code {
            None => Cell::Missing,
            // Longer than any category that is kept can be.
            Some(code) => Cell::Text(names.get(*code as usize).map_or(UNKNOWN, String::as_str)),
        };
        numbers.iter().map(number).chain(codes.iter().map(text))
    }
}

fn code(text: &str, names: &mut Vec<String>, known: &mut HashMap<String, u32>) -> u32 {
    if let Some(code) = known.get(text) {
        return *code;
    }
    if names.len() >= MAX_DISTINCT_TEXTS || text.len() > MAX_TEXT_BYTES {
        return OTHER;
    }
    let code = names.len() as u32;
    names.push(text.to_owned());
    known.insert(text.to_owned(), code);
    code
}

/// A text that no file can hold as a category.
const UNKNOWN: &str = {
    const BYTES: [u8; MAX_TEXT_BYTES + 1] = [b'x'; MAX_TEXT_BYTES + 1];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// Gives every feature the detector's bins. `ordered`: the rows are in the order in which they came in.
pub(super) fn add(columns: &mut Columns, features: &mut [FeatureProfile], ordered: bool) -> Result<()> {
    let rows = ROWS_MAX.min(VALUES_MAX / features.len().max(1) as u64).max(STRETCH);
    // Of so many stretches one is taken.
    let every = columns.n_rows().div_ceil(rows).max(1);
    let new = |numeric: bool| match numeric {
        true => Sample::Numbers(Vec::new()),
        false => Sample::Texts { codes: Vec::new(), names: Vec::new(), known: HashMap::new() },
    };
    let mut samples: Vec<Sample> = columns.columns.iter().map(|column| new(column.numeric)).collect();
    let mut seen = 0_u64;
    columns.pass(|_| true, &mut |indexes, batch| {
        let mut places: Vec<Option<usize>> = vec![None; samples.len()];
        indexes.iter().enumerate().for_each(|(place, index)| places[*index] = Some(place));
        for row in 0..batch.n_rows() {
            let at = seen + row as u64;
            if !(at / STRETCH).is_multiple_of(every) {
                continue;
            }
            for (sample, place) in samples.iter_mut().zip(&places) {
                match place.and_then(|place| batch.columns().get(place)) {
                    Some(values) => sample.add(values, row),
                    None => sample.missing(1),
                }
            }
        }
        seen += batch.n_rows() as u64;
    })?;
    for (feature, sample) in features.iter_mut().zip(&samples) {
        feature.detector = DetectorReference::of_rows(&feature.bins, sample.cells());
        if let Some(detector) = feature.detector.as_mut().filter(|_| !ordered) {
            detector.tau = 1.0;
        }
    }
    Ok(())
}
