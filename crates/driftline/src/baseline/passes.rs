//! The passes over the files, from columns to features.

use anyhow::Result;
use monitor::profile::{BuildRules, ColumnBuilder, FeatureProfile, MAX_TEXT_BYTES};
use stats::{BinningRule, Bins, CategoricalBins, NumericBins};
use tabular::Column as Values;

use super::columns::{Column, Columns};
use super::edges::{self, Extent};
use super::select::{PASSES, Selector};

/// Up to this many numbers (64 MiB) are sorted in memory to find quantiles.
const SORTED_MAX: u64 = 8 << 20;
/// Categories kept; rarer ones belong to `other`.
pub(crate) const CATEGORIES: usize = 250;

/// What the first pass knows of a column.
enum Seen {
    Numbers(Extent),
    Texts(Box<ColumnBuilder>),
}

/// One feature per column.
pub(super) fn features(columns: &mut Columns, rule: BinningRule) -> Result<Vec<FeatureProfile>> {
    features_with(columns, rule, SORTED_MAX)
}

/// Says of which columns not every category is kept.
pub(super) fn note_others(features: &[FeatureProfile], notes: &mut Vec<String>) {
    let privacy = record::Privacy::default();
    for feature in features {
        let Bins::Categorical(bins) = &feature.bins else { continue };
        let others = feature.counts.get(bins.other()).copied().unwrap_or(0);
        if others > 0 && !bins.categories().is_empty() {
            notes.push(format!(
                "column `{}`: the profile keeps its {} most frequent categories of at most {MAX_TEXT_BYTES} bytes; the other {:.1} % of its values are counted together as `other`",
                privacy.name(&feature.name),
                bins.categories().len(),
                100.0 * others as f64 / feature.rows().max(1) as f64
            ));
        }
    }
}

pub(super) fn features_with(
    columns: &mut Columns,
    rule: BinningRule,
    sorted_max: u64,
) -> Result<Vec<FeatureProfile>> {
    let seen = first_pass(columns)?;
    let extents: Vec<Extent> = seen
        .iter()
        .map(|seen| if let Seen::Numbers(extent) = seen { *extent } else { Extent::NOTHING })
        .collect();
    let values = quantile_values(columns, rule, &extents, sorted_max)?;
    let bins: Vec<Option<NumericBins>> =
        extents.iter().zip(&values).map(|(extent, values)| edges::bins(rule, *extent, values).ok()).collect();
    let mut counts = count(columns, &bins)?;

    let n_rows = columns.n_rows();
    let rules = BuildRules { binning: rule, categories: CATEGORIES };
    let mut features = Vec::with_capacity(seen.len());
    for ((column, seen), (bins, counts)) in
        columns.columns.iter().zip(seen).zip(bins.into_iter().zip(&mut counts))
    {
        features.push(match (seen, bins) {
            (Seen::Texts(mut builder), _) => {
                builder.push_missing(n_rows - builder.rows());
                builder.finish(&column.name, &rules)
            }
            (Seen::Numbers(_), Some(bins)) => {
                fill_up(counts, n_rows);
                FeatureProfile::new(&column.name, bins, std::mem::take(counts))
            }
            // No number: every value will be a new one.
            (Seen::Numbers(_), None) => {
                let bins = Bins::from(CategoricalBins::new(Vec::new())?);
                fill_up(counts, n_rows);
                FeatureProfile::new(&column.name, bins, std::mem::take(counts))
            }
        });
    }
    Ok(features)
}

/// Rows of files that don't have the column are missing values, the last count.
fn fill_up(counts: &mut [u64], n_rows: u64) {
    let counted: u64 = counts.iter().sum();
    if let Some(missing) = counts.last_mut() {
        *missing += n_rows.saturating_sub(counted);
    }
}

fn first_pass(columns: &mut Columns) -> Result<Vec<Seen>> {
    let new = |column: &Column| {
        if column.numeric { Seen::Numbers(Extent::NOTHING) } else { Seen::Texts(Box::default()) }
    };
    let mut seen: Vec<Seen> = columns.columns.iter().map(new).collect();
    columns.pass(|_| true, &mut |indexes, batch| {
        for (index, values) in indexes.iter().zip(batch.columns()) {
            match (seen.get_mut(*index), values) {
                (Some(Seen::Numbers(extent)), Values::Numbers(values)) => {
                    values.iter().for_each(|value| extent.add(*value));
                }
                (Some(Seen::Texts(builder)), Values::Text(texts)) => {
                    for text in texts.iter() {
                        match text {
                            Some(text) => builder.push_keys(text, 1),
                            None => builder.push_missing(1),
                        }
                    }
                }
                // A numeric column of which this file has no value: filled up as missing at the end.
                _ => {}
            }
        }
    })?;
    Ok(seen)
}

/// For each column the values of the quantiles the rule needs; none for columns of text.
fn quantile_values(
    columns: &mut Columns,
    rule: BinningRule,
    extents: &[Extent],
    sorted_max: u64,
) -> Result<Vec<Vec<f64>>> {
    let quantiles = edges::quantiles(rule);
    let n_finite: u64 = extents.iter().map(|extent| extent.n_finite).sum();
    if quantiles.is_empty() || n_finite == 0 {
        return Ok(vec![Vec::new(); extents.len()]);
    }
    let ranks: Vec<Vec<u64>> =
        extents.iter().map(|extent| edges::ranks(&quantiles, extent.n_finite)).collect();
    let at_ranks = if n_finite <= sorted_max { sort(columns, &ranks)? } else { select(columns, &ranks)? };
    let values = extents.iter().zip(&at_ranks);
    Ok(values.map(|(extent, at_ranks)| edges::interpolate(&quantiles, extent.n_finite, at_ranks)).collect())
}

/// Calls `each` with every finite number and its column's index.
fn each_finite(columns: &mut Columns, each: &mut dyn FnMut(usize, f64)) -> Result<()> {
    columns.pass(|column| column.numeric, &mut |indexes, batch| {
        for (index, values) in indexes.iter().zip(batch.columns()) {
            if let Values::Numbers(values) = values {
                values.iter().filter(|value| value.is_finite()).for_each(|value| each(*index, *value));
            }
        }
    })
}

fn sort(columns: &mut Columns, ranks: &[Vec<u64>]) -> Result<Vec<Vec<f64>>> {
    let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); ranks.len()];
    each_finite(columns, &mut |index, value| {
        if let Some(numbers) = numbers.get_mut(index) {
            numbers.push(value);
        }
    })?;
    let pick = |(numbers, ranks): (&mut Vec<f64>, &Vec<u64>)| {
        numbers.sort_unstable_by(f64::total_cmp);
        ranks.iter().filter_map(|rank| numbers.get(*rank as usize).copied()).collect()
    };
    Ok(numbers.iter_mut().zip(ranks).map(pick).collect())
}

fn select(columns: &mut Columns, ranks: &[Vec<u64>]) -> Result<Vec<Vec<f64>>> {
    let mut selectors: Vec<Selector> =
        ranks.iter().map(|ranks| Selector::new(ranks.iter().copied())).collect();
    for _ in 0..PASSES {
        each_finite(columns, &mut |index, value| {
            if let Some(selector) = selectors.get_mut(index) {
                selector.add(value);
            }
        })?;
        selectors.iter_mut().for_each(Selector::end_pass);
    }
    Ok(selectors.into_iter().map(Selector::finish).collect())
}

/// Counts per column of numbers: bins, then `missing`; for one without bins `other`, then `missing`. What is not finite is
/// left to be filled up as missing.
fn count(columns: &mut Columns, bins: &[Option<NumericBins>]) -> Result<Vec<Vec<u64>>> {
    let n_slots = |bins: &Option<NumericBins>| bins.as_ref().map_or(1, NumericBins::len) + 1;
    let mut counts: Vec<Vec<u64>> = bins.iter().map(|bins| vec![0; n_slots(bins)]).collect();
    columns.pass(|column| column.numeric, &mut |indexes, batch| {
        for (index, values) in indexes.iter().zip(batch.columns()) {
            let (Some(bins), Some(counts), Values::Numbers(values)) =
                (bins.get(*index), counts.get_mut(*index), values)
            else {
                continue;
            };
            for value in values.iter().filter(|value| value.is_finite()) {
                let slot = bins.as_ref().map_or(Some(0), |bins| bins.index(*value));
                if let Some(count) = slot.and_then(|slot| counts.get_mut(slot)) {
                    *count += 1;
                }
            }
        }
    })?;
    Ok(counts)
}
