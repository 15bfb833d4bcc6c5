//! Two columns of numbers measured on their values: bins, counts, Kolmogorov-Smirnov and Wasserstein. Small columns are
//! sorted; large ones are passed through twice, and only what depends on single values is looked at value by value.

use anyhow::{Context, Result};
use stats::detect::{DetectorBins, FEW_VALUES};
use stats::grid::{self, Grid, Picks, Questions, Tally, Wanted};
use stats::{Bins, CategoricalBins, NumericBins, Ordered};

use super::Binning;
use super::numbers::Numbers;
use crate::report::{NumberSummary, QUANTILES};

/// Rows of both columns up to which sorting is quicker.
const SORTED_ROWS: usize = 1 << 16;

/// What two columns of numbers give.
#[derive(Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) bins: Bins,
    /// Per slot of the bins, reference and current.
    pub(super) counts: [Vec<u64>; 2],
    /// In the bins that decisions rest on: finer in the tails, cut from the reference. `None` without a finite number there.
    pub(super) decisive: Option<Decisive>,
    pub(super) ks: Option<f64>,
    pub(super) ks_p_value: Option<f64>,
    pub(super) wasserstein: Option<f64>,
    /// Of the finite numbers of reference and current; `None` where there is none.
    pub(super) summaries: [Option<NumberSummary>; 2],
    /// Current rows below the smallest and above the largest number of the reference; `None` where it has none.
    pub(super) outside: Option<[u64; 2]>,
}

/// The bins that decisions rest on, with the counts of reference and current.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decisive {
    pub(super) bins: DetectorBins,
    pub(super) counts: [Vec<u64>; 2],
}

impl Decisive {
    /// Values that the reference has not seen are expected as often as its tail says (Good and Turing), but not missed where they do
    /// not come: a file compared with itself has none of them. Then they stay with the rare ones.
    pub(super) fn without_unseen_that_do_not_come(mut self) -> Self {
        let Some(unseen) = self.bins.missing().checked_sub(1) else { return self };
        let total = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let [before, after] = &mut self.counts;
        let scale = total(before) as f64 / total(after).max(1) as f64;
        let come = (after[unseen] as f64 * scale).ceil() as u64;
        let left = before[unseen].saturating_sub(come);
        match &self.bins {
            DetectorBins::Ordered(_) => {}
            DetectorBins::Values(_) => before[unseen] -= left,
            DetectorBins::Categories { kept, .. } => {
                before[unseen] -= left;
                before[kept.other()] += left;
            }
        }
        self
    }
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
    mean: Option<f64>,
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

    /// Rows below and above a range.
    fn outside(&self, (lo, hi): (f64, f64)) -> Option<[u64; 2]> {
        let below = self.finite.below(lo)? as u64 + self.infinite[0];
        let above = self.finite.rows() as u64 - self.finite.below(hi.next_up())? as u64 + self.infinite[1];
        Some([below, above])
    }

    /// `None` without a number.
    fn summary(&self) -> Option<NumberSummary> {
        let mean = self.mean?;
        Some(NumberSummary {
            mean: Some(mean),
            quantiles: QUANTILES.map(|level| stats::quantile_of(self.finite, level).map(|value| value + 0.0)),
        })
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
        Some(Decisive { bins, counts: [before, after] })
    };
    let outside =
        reference.at(0).zip(reference.at(rows.saturating_sub(1))).and_then(|range| sides[1].outside(range));
    let counts = [before, after];
    let summaries = sides.each_ref().map(Side::summary);
    Ok(Some(Measured {
        bins,
        counts,
        decisive,
        ks: None,
        ks_p_value: None,
        wasserstein: None,
        summaries,
        outside,
    }))
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
        let missing = (numbers.rows() - all.len()) as u64;
        Side { finite: &finite[at], infinite, missing, mean: numbers.mean() }
    };
    let sides = [side(0, &left, reference), side(1, &right, current)];
    let measured = cut_and_count(&sides, cut)?.context("a sorted column does not know its values")?;
    let wasserstein = stats::wasserstein(finite[0], finite[1]);
    Ok(with_distances(measured, stats::ks(&left, &right), wasserstein, sides.map(|side| side.rows())))
}

/// Mean and quantiles of a column on its own; `None` without a finite number.
pub(super) fn summary(numbers: &Numbers) -> Result<Option<NumberSummary>> {
    if numbers.rows() <= SORTED_ROWS {
        let all = sorted(numbers)?;
        let side = Side { finite: &finite(&all), infinite: [0; 2], missing: 0, mean: numbers.mean() };
        return Ok(side.summary());
    }
    let mut tally = Tally::new(Grid::around(numbers.sample(), numbers.rows() as u64));
    numbers.each(|values| tally.add(values)).context("cannot read the temporary file of a column")?;
    let wanted = Wanted::ranks(&tally, &quantile_ranks(&tally));
    let mut picks = Picks::default();
    numbers
        .each(|values| picks.add(&tally, &wanted, values))
        .context("cannot read the temporary file of a column")?;
    let finite = grid::Side::new(tally, &wanted, picks);
    Ok(Side { finite: &finite, infinite: [0; 2], missing: 0, mean: numbers.mean() }.summary())
}

/// The ranks between which the shown quantiles lie.
fn quantile_ranks(tally: &Tally) -> Vec<usize> {
    let ranks = |level: &f64| stats::quantile_ranks(tally.rows() as usize, *level);
    QUANTILES.iter().filter_map(ranks).flatten().collect()
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
        alone: tallies.each_ref().map(quantile_ranks),
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
    let side = |finite, numbers: &Numbers| {
        let finite: &grid::Side = finite;
        let (infinite, missing) = (finite.tally().infinite(), finite.tally().missing());
        Side { finite, infinite, missing, mean: numbers.mean() }
    };
    let sides = [side(&finite[0], reference), side(&finite[1], current)];
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
