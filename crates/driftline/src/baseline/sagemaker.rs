//! The `statistics.json` of SageMaker Model Monitor as a profile.
//!
//! A numeric feature has a KLL sketch there, whose values are taken for the rows that they stand for, so that bins can be cut
//! in any way. Where there is no sketch, or one that does not hold all rows, the buckets are taken, their rows spread evenly.
//! Rank errors of the sketch (about 1/k) become errors of the shares.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use monitor::profile::{ColumnBuilder, Profile};
use serde::Deserialize;

use super::summary::{Summary, Thin, Weighted, shown};

/// The keys that such a document begins with lie within so many bytes.
const BEGINNING: u64 = 1_000;

#[derive(Debug, Deserialize)]
struct Document {
    dataset: Dataset,
    features: Vec<Feature>,
}

#[derive(Debug, Deserialize)]
struct Dataset {
    item_count: f64,
}

#[derive(Debug, Deserialize)]
struct Feature {
    name: String,
    numerical_statistics: Option<Numbers>,
    string_statistics: Option<Strings>,
}

#[derive(Debug, Deserialize)]
struct Common {
    num_present: f64,
}

#[derive(Debug, Deserialize)]
struct Numbers {
    common: Common,
    min: Option<f64>,
    max: Option<f64>,
    distribution: Option<NumberDistribution>,
}

#[derive(Debug, Deserialize)]
struct NumberDistribution {
    kll: Option<Kll>,
}

#[derive(Debug, Deserialize)]
struct Kll {
    #[serde(default)]
    buckets: Vec<Bucket>,
    sketch: Option<Sketch>,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    lower_bound: f64,
    upper_bound: f64,
    count: f64,
}

#[derive(Debug, Deserialize)]
struct Sketch {
    data: Vec<Vec<f64>>,
}

#[derive(Debug, Deserialize)]
struct Strings {
    common: Common,
    distribution: Option<StringDistribution>,
}

#[derive(Debug, Deserialize)]
struct StringDistribution {
    categorical: Option<Categorical>,
}

#[derive(Debug, Deserialize)]
struct Categorical {
    #[serde(default)]
    buckets: Vec<Category>,
}

#[derive(Debug, Deserialize)]
struct Category {
    value: String,
    count: f64,
}

/// Whether the beginning of a file looks like such a document.
pub(super) fn is_one(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
    let text = String::from_utf8_lossy(&beginning);
    read.is_ok() && ["\"dataset\"", "\"item_count\""].iter().all(|key| text.contains(key))
}

/// Reads a document.
///
/// # Errors
/// When it is no such document, or says what cannot be.
pub(super) fn profile(document: &[u8], mut summary: Summary<'_>) -> Result<Profile> {
    let document: Document =
        serde_json::from_slice(document).context("no statistics.json of SageMaker Model Monitor")?;
    summary.rows(count(document.dataset.item_count).context("item_count")?);
    for feature in &document.features {
        summary.feature(&feature.name, |column, thin, notes| fill(feature, column, thin, notes))?;
    }
    summary.finish()
}

fn fill(
    feature: &Feature,
    column: &mut ColumnBuilder,
    thin: &mut Thin,
    notes: &mut Vec<String>,
) -> Result<bool> {
    if let Some(numbers) = &feature.numerical_statistics {
        let kll = numbers.distribution.as_ref().and_then(|one| one.kll.as_ref());
        let sketch = kll.and_then(|kll| kll.sketch.as_ref());
        let present = count(numbers.common.num_present)?;
        let of_sketch =
            sketch.and_then(|sketch| Weighted::of_levels(&sketch.data, [numbers.min, numbers.max]));
        let values = match of_sketch.filter(|values| values.rows() == present) {
            Some(values) => values,
            None => {
                if sketch.is_some() {
                    let why = "its sketch does not hold all of its rows, so its buckets are taken";
                    notes.push(format!("`{}`: {why}", shown(&feature.name)));
                }
                spread(kll.map_or(&[], |kll| &kll.buckets), present, [numbers.min, numbers.max])?
            }
        };
        values.push(column, thin);
    } else if let Some(strings) = &feature.string_statistics {
        let kept = strings.distribution.as_ref().and_then(|one| one.categorical.as_ref());
        let mut left = count(strings.common.num_present)?;
        for category in kept.into_iter().flat_map(|one| &one.buckets) {
            let n = count(category.count)?;
            left = left.checked_sub(n).context("its categories are more than its values")?;
            column.push_texts(&category.value, thin.of(n));
        }
        // Model Monitor names the most frequent values only.
        column.push_others(thin.of(left));
    } else {
        notes.push(format!("`{}` is left out: the document has no statistics of it", shown(&feature.name)));
        return Ok(false);
    }
    Ok(true)
}

/// The rows of the buckets, evenly spread over each.
fn spread(buckets: &[Bucket], present: u64, ends: [Option<f64>; 2]) -> Result<Weighted> {
    const PLACES: u64 = 1_000;
    let mut values = Vec::new();
    for bucket in buckets {
        let (low, high, rows) = (bucket.lower_bound, bucket.upper_bound, count(bucket.count)?);
        ensure!((high - low).is_finite() && low <= high, "a bucket from {low} to {high}");
        let places = rows.min(PLACES);
        for place in 0..places {
            let at = low + (high - low) * (place as f64 + 0.5) / places as f64;
            values.push((at, rows / places + u64::from(place < rows % places)));
        }
    }
    let values = Weighted::new(values, ends).context("its buckets are no numbers")?;
    let counted = values.rows();
    ensure!(
        present == counted,
        "there are {present} values, and neither a sketch nor buckets that hold them all ({counted})"
    );
    Ok(values)
}

/// A count, which the document may write as `2333.0`.
fn count(number: f64) -> Result<u64> {
    ensure!(number >= 0.0 && number.fract() == 0.0 && number < 1e15, "{number} is no count");
    Ok(number as u64)
}

#[cfg(test)]
#[path = "sagemaker_tests.rs"]
mod tests;
