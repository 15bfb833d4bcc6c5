//! The detector's own bins of a profile: from a sample of rows that keeps their order.
//!
//! A detector gains nothing from more than some ten thousand rows of reference, so every column keeps a bounded sample: whole
//! stretches of rows, spread evenly over the files, so that it shows how much rows resemble their neighbours.

use anyhow::Result;
use monitor::profile::{FeatureProfile, TextColumn};
use monitor::{DetectorReference, RoleSample};
use record::Cell;
use tabular::Column as Values;

use super::columns::Columns;

/// Rows a column, and values in all.
const ROWS_MAX: u64 = 50_000;
const VALUES_MAX: u64 = 8 << 20;

/// Rows a stretch.
const STRETCH: u64 = 1_000;

/// The sampled values of one column.
enum Sample {
    Numbers(Vec<f64>),
    Texts(TextColumn),
}

impl Sample {
    fn missing(&mut self, rows: usize) {
        match self {
            Self::Numbers(numbers) => numbers.resize(numbers.len() + rows, f64::NAN),
            Self::Texts(texts) => texts.push_missing(rows),
        }
    }

    fn add(&mut self, values: &Values, row: usize) {
        match (self, values) {
            (Self::Numbers(numbers), Values::Numbers(values)) => {
                numbers.push(values.get(row).copied().unwrap_or(f64::NAN));
            }
            (Self::Texts(sampled), Values::Text(texts)) => sampled.push(texts.get(row)),
            // A numeric column of which this file has no value.
            (sample, _) => sample.missing(1),
        }
    }

    /// Every value, in order.
    fn for_each(&self, mut each: impl FnMut(Cell<'_>)) {
        match self {
            Self::Numbers(numbers) => numbers.iter().for_each(|x| each(Cell::Number(*x))),
            Self::Texts(texts) => texts.cells().for_each(each),
        }
    }

    /// The detector's bins of the column.
    fn reference(&self) -> Option<DetectorReference> {
        let number = |x: &f64| if x.is_nan() { Cell::Missing } else { Cell::Number(*x) };
        match self {
            Self::Numbers(numbers) => DetectorReference::of_rows(true, numbers.iter().map(number)),
            Self::Texts(texts) => DetectorReference::of_rows(false, texts.cells()),
        }
    }
}

/// Gives every feature the detector's bins. `ordered`: the rows are in the order in which they came in.
pub(super) fn add(columns: &mut Columns, features: &mut [FeatureProfile], ordered: bool) -> Result<()> {
    let rows = ROWS_MAX.min(VALUES_MAX / features.len().max(1) as u64).max(STRETCH);
    // Of so many stretches one is taken.
    let every = columns.n_rows().div_ceil(rows).max(1);
    let new = |numeric: bool| match numeric {
        true => Sample::Numbers(Vec::new()),
        false => Sample::Texts(TextColumn::default()),
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
        let mut role = RoleSample::default();
        sample.for_each(|cell| role.push(cell));
        feature.role = role.role();
        feature.detector = sample.reference();
        if let Some(detector) = feature.detector.as_mut().filter(|_| !ordered) {
            detector.tau = 1.0;
        }
        let role = std::mem::take(&mut feature.role);
        *feature = feature.clone().with_role(role);
    }
    Ok(())
}
