//! Two columns of numbers measured on their values: bins, counts, Kolmogorov-Smirnov and Wasserstein. Small columns are
//! sorted; large ones are passed through twice, and only what depends on single values is looked at value by value.

use anyhow::{Context, Result};
use stats::detect::{DetectorBins, FEW_VALUES};
use stats::grid::{self, Grid, Picks, Questions, Tally, Wanted};
use stats::{Bins, CategoricalBins, NumericBins, Ordered};

use super::Binning;
use super::numbers::Numbers;

/// Rows of both columns up to which sorting is quicker.
const SORTED_ROWS: usize = 1 << 16;

/// What two columns of numbers give.
#[derive(Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) bins: Bins,
    /// Per slot of the bins, reference and current.
    pub(super) counts: [Vec<u64>; 2],
    /// In the bins that decisions rest on: finer in the tails, cut from the reference. `None` without a finite number there.
    pub(super) decisive: Option<[Vec<u64>; 2]>,
    pub(super) ks: Option<f64>,
    pub(super) ks_p_value: Option<f64>,
    pub(super) wasserstein: Option<f64>,
}

/// How the shown bins are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) bins: usize,
    pub(super) binning: Binning,
}

/// Measures two columns.
pub(super) fn measure(reference: &Numbers, current: &Numbers, cut: Cut) -> Result<Measured> {
    if reference.rows() + current.rows() > SORTED_ROWS
        && let Some(measured) = by_grid(reference, current, cut)?
    {
        return Ok(measured);
    }
    by_sorting(reference, current, cut)
}

/// One column: its finite numbers in order, and the others counted.
struct Side<'a, S> {
    finite: &'a S,
    /// Minus and plus infinity.
    infinite: [u64; 2],
    missing: u64,
}

impl<S: Ordered> Side<'_, S> {
    fn rows(&self) -> u64 {
        self.finite.rows() as u64 + self.infinite[0] + self.infinite[1]
    }

    /// Counts between ascending edges, missing last; a value at an edge belongs above it.
    fn between(&self, edges: &[f64]) -> Option<Vec<u64>> {
        let (mut counts, mut passed) = (Vec::with_capacity(edges.len() + 2), 0);
        for edge in edges {
            let below = self.finite.below(*edge)? as u64;
            counts.push(below.saturating_sub(passed));
            passed = passed.max(below);
        }
        counts.push(self.finite.rows() as u64 - passed);
        *counts.first_mut()? += self.infinite[0];
        *counts.last_mut()? += self.infinite[1];
        counts.push(self.missing);
        Some(counts)
    }

    fn shown(&self, bins: &Bins) -> Option<Vec<u64>> {
        match bins {
            Bins::Numeric(numeric) => self.between(numeric.inner_edges()),
            // A reference without a finite number: every number is another one than its own.
            Bins::Categorical(_) => Some(vec![self.rows(), self.missing]),
        }
    }

    fn decisive(&self, bins: &DetectorBins) -> Option<Vec<u64>> {
        let values = match bins {
            DetectorBins::Ordered(ordered) => return self.between(ordered.inner_edges()),
            DetectorBins::Values(values) => values.as_slice(),
            DetectorBins::Categories { .. } => &[],
        };
        let known = values.iter().map(|value| Some(self.finite.equal(*value)? as u64));
        let known = known.collect::<Option<Vec<u64>>>()?;
        let unseen = self.rows() - known.iter().sum::<u64>();
        Some(known.into_iter().chain([unseen, self.missing]).collect())
    }
}

/// Everything but the distances; `None` when a side does not know a value that is asked for.
fn cut_and_count<S: Ordered>(sides: &[Side<'_, S>; 2], cut: Cut) -> Result<Option<Measured>> {
    let reference = sides[0].finite;
    let rows = reference.rows();
    let bins = match (reference.at(0).zip(reference.at(rows.saturating_sub(1))), cut.binning) {
        (None, _) => Bins::from(CategoricalBins::new(Vec::new())?),
        (Some((lo, hi)), Binning::EqualWidth) => NumericBins::equal_width(lo, hi, cut.bins)?.into(),
        (Some(_), Binning::Quantile) => {
            let ranks = NumericBins::quantile_ranks(rows, cut.bins);
            if ranks.into_iter().any(|rank| reference.at(rank).is_none()) {
                return Ok(None);
            }
            NumericBins::quantile_of(reference, cut.bins)?.into()
        }
    };
    let [Some(before), Some(after)] = sides.each_ref().map(|side| side.shown(&bins)) else {
        return Ok(None);
    };
    let decisive = if rows == 0 {
        None
    } else {
        let Some(bins) = DetectorBins::numeric_of(reference)? else { return Ok(None) };
        let [Some(before), Some(after)] = sides.each_ref().map(|side| side.decisive(&bins)) else {
            return Ok(None);
        };
        Some([before, after])
    };
    let counts = [before, after];
    Ok(Some(Measured { bins, counts, decisive, ks: None, ks_p_value: None, wasserstein: None }))
}

fn with_distances(measured: Measured, ks: Option<f64>, wasserstein: Option<f64>, rows: [u64; 2]) -> Measured {
    let ks_p_value = ks.map(|d| stats::ks_p_value(d, rows[0] as usize, rows[1] as usize));
    Measured { ks, ks_p_value, wasserstein, ..measured }
}

fn by_sorting(reference: &Numbers, current: &Numbers, cut: Cut) -> Result<Measured> {
    let (left, right) = (sorted(reference)?, sorted(current)?);
    let finite = [finite(&left), finite(&right)];
    let side = |at: usize, all: &[f64], numbers: &Numbers| {
        let low = all.partition_point(|value| *value == f64::NEG_INFINITY);
        let infinite = [low, all.len() - low - finite[at].len()].map(|n| n as u64);
        Side { finite: &finite[at], infinite, missing: (numbers.rows() - all.len()) as u64 }
    };
    let sides = [side(0, &left, reference), side(1, &right, current)];
    let measured = cut_and_count(&sides, cut)?.context("a sorted column does not know its values")?;
    let wasserstein = stats::wasserstein(finite[0], finite[1]);
    Ok(with_distances(measured, stats::ks(&left, &right), wasserstein, sides.map(|side| side.rows())))
}

fn sorted(numbers: &Numbers) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    numbers
        .each(|piece| values.extend(piece.iter().filter(|value| !value.is_nan())))
        .context("cannot read the temporary file of a column")?;
    values.sort_unstable_by(f64::total_cmp);
    Ok(values)
}

/// The finite ones of ascending numbers.
fn finite(sorted: &[f64]) -> &[f64] {
    let start = sorted.partition_point(|value| *value == f64::NEG_INFINITY);
    let end = sorted.partition_point(|value| *value < f64::INFINITY);
    sorted.get(start..end).unwrap_or_default()
}

/// `None` when the columns fit no grid: they have to be sorted.
fn by_grid(reference: &Numbers, current: &Numbers, cut: Cut) -> Result<Option<Measured>> {
    let columns = [reference, current];
    let grid = Grid::around(reference.sample(), reference.rows().max(current.rows()) as u64);
    let mut tallies = [Tally::new(grid), Tally::new(grid)];
    for (numbers, tally) in columns.iter().zip(&mut tallies) {
        numbers.each(|values| tally.add(values)).context("cannot read the temporary file of a column")?;
    }
    let Some((lo, hi)) = tallies[0].range() else { return Ok(None) };
    let rows = tallies[0].rows() as usize;
    let mut questions = Questions {
        ranks: DetectorBins::ranks(rows),
        edges: Vec::new(),
        atom: DetectorBins::atom(rows),
        few: FEW_VALUES,
    };
    match cut.binning {
        Binning::EqualWidth => {
            questions.edges = NumericBins::equal_width(lo, hi, cut.bins)?.inner_edges().to_vec();
        }
        Binning::Quantile => questions.ranks.extend(NumericBins::quantile_ranks(rows, cut.bins)),
    }
    let wanted = Wanted::new(&tallies[0], &tallies[1], &questions);
    let mut picks = [Picks::default(), Picks::default()];
    for ((numbers, tally), picks) in columns.iter().zip(&tallies).zip(&mut picks) {
        numbers
            .each(|values| picks.add(tally, &wanted, values))
            .context("cannot read the temporary file of a column")?;
    }
    let [left, right] = tallies;
    let [left_picks, right_picks] = picks;
    let finite = [grid::Side::new(left, &wanted, left_picks), grid::Side::new(right, &wanted, right_picks)];
    let sides = finite.each_ref().map(|finite| Side {
        finite,
        infinite: finite.tally().infinite(),
        missing: finite.tally().missing(),
    });
    let Some(measured) = cut_and_count(&sides, cut)? else { return Ok(None) };
    let wasserstein = grid::wasserstein(&finite[0], &finite[1]);
    if wasserstein.is_none() && finite.iter().all(|side| side.rows() > 0) {
        // Numbers so far apart that their sums overflow.
        return Ok(None);
    }
    let ks = grid::ks(&finite[0], &finite[1]);
    Ok(Some(with_distances(measured, ks, wasserstein, sides.map(|side| side.rows()))))
}

#[cfg(test)]
#[path = "exact_tests.rs"]
mod tests;
