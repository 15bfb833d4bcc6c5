//! Do two counts come from one distribution? Chi-square and G tests of homogeneity.
//!
//! The plain test is what `scipy.stats.chi2_contingency` computes, over all categories. The merged tests first join
//! sparse bins: with expected counts below 5 the statistic does not follow its distribution.

use crate::bins::Bins;
use crate::shares::total;
use crate::special::chi_square_sf;

/// A chi-square (or G) test of two counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    /// The statistic, in [0, inf).
    pub statistic: f64,
    /// Degrees of freedom: compared categories minus one, at least 1.
    pub dof: usize,
    /// Probability of a statistic at least this large without drift, in [0, 1].
    pub p_value: f64,
}

/// The chi-square test of homogeneity, without correction, over all categories of either sample.
///
/// Both slices count the same categories (`missing` may be one of them); categories that neither sample has are left
/// out. `None`: a sample is empty, fewer than two categories remain, or the slices differ in length.
#[must_use]
pub fn chi_square(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    test(&pairs(reference, current)?, chi_square_terms)
}

/// The G (likelihood ratio) test of homogeneity, over the categories of [`chi_square`].
///
/// `None`: as there.
#[must_use]
pub fn g_test(reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    test(&pairs(reference, current)?, g_terms)
}

/// The chi-square test of homogeneity with sparse bins merged, as its distribution needs: while an expected count is
/// below 5, ordered bins join a neighbour. Categories of which the reference lets fewer than 5 be expected are counted together
/// with `other`: values that the reference has not seen come from the same long tail as those that it has seen once or
/// twice, so apart from them they would always be more than expected. For counts of [`Bins::slots`] entries.
///
/// `None`: a sample is empty, fewer than two bins remain, or a slice has another length.
#[must_use]
pub fn chi_square_merged(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    test(&merged(bins, reference, current)?, chi_square_terms)
}

/// The G (likelihood ratio) test of homogeneity on the bins of [`chi_square_merged`].
///
/// `None`: as there.
#[must_use]
pub fn g_test_merged(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<ChiSquare> {
    test(&merged(bins, reference, current)?, g_terms)
}

/// Whether two counts differ by more than chance explains: [`chi_square_merged`] at significance `alpha`, where `tau` successive
/// rows count as one (at least 1; [`crate::detect::autocorrelation_time`]). False where the test has no answer.
#[must_use]
pub fn beyond_chance(bins: &Bins, reference: &[u64], current: &[u64], tau: f64, alpha: f64) -> bool {
    let Some(test) = chi_square_merged(bins, reference, current) else { return false };
    chi_square_sf(test.statistic / tau.max(1.0), test.dof as f64).is_some_and(|p| p < alpha)
}

/// Smallest expected count for which the chi-square distribution is trusted.
const MIN_EXPECTED: f64 = 5.0;

/// The counts of one category in both samples, or what is expected there.
#[derive(Clone, Copy)]
struct Pair {
    reference: f64,
    current: f64,
}

impl Pair {
    const NONE: Self = Self { reference: 0.0, current: 0.0 };

    fn sum(self) -> f64 {
        self.reference + self.current
    }

    fn plus(self, other: Self) -> Self {
        Self { reference: self.reference + other.reference, current: self.current + other.current }
    }
}

fn pairs(reference: &[u64], current: &[u64]) -> Option<Vec<Pair>> {
    if reference.len() != current.len() || total(reference) == 0.0 || total(current) == 0.0 {
        return None;
    }
    let pair = |(r, c): (&u64, &u64)| Pair { reference: *r as f64, current: *c as f64 };
    Some(reference.iter().zip(current).map(pair).collect())
}

fn test(pairs: &[Pair], terms: fn(Pair, Pair) -> f64) -> Option<ChiSquare> {
    let used: Vec<Pair> = pairs.iter().copied().filter(|pair| pair.sum() > 0.0).collect();
    let dof = used.len().checked_sub(1).filter(|dof| *dof > 0)?;
    let all = used.iter().fold(Pair::NONE, |all, pair| all.plus(*pair));
    let statistic: f64 = used
        .iter()
        .map(|pair| {
            let share = pair.sum() / all.sum();
            terms(*pair, Pair { reference: all.reference * share, current: all.current * share })
        })
        .sum();
    let statistic = statistic.max(0.0);
    Some(ChiSquare { statistic, dof, p_value: chi_square_sf(statistic, dof as f64)? })
}

fn chi_square_terms(observed: Pair, expected: Pair) -> f64 {
    (observed.reference - expected.reference).powi(2) / expected.reference
        + (observed.current - expected.current).powi(2) / expected.current
}

fn g_terms(observed: Pair, expected: Pair) -> f64 {
    let term = |o: f64, e: f64| if o > 0.0 { 2.0 * o * (o / e).ln() } else { 0.0 };
    term(observed.reference, expected.reference) + term(observed.current, expected.current)
}

fn merged(bins: &Bins, reference: &[u64], current: &[u64]) -> Option<Vec<Pair>> {
    let pairs = pairs(reference, current).filter(|pairs| pairs.len() == bins.slots())?;
    let (m, n) = (total(reference), total(current));
    let enough = |pair: Pair| pair.sum() * (m.min(n) / (m + n)) >= MIN_EXPECTED;
    let (values, missing) = pairs.split_at(bins.missing());
    let (mut kept, mut pooled) = if bins.is_ordered() {
        (merge_neighbours(values, enough), Pair::NONE)
    } else {
        let known = |pair: Pair| pair.reference * (n / m).min(1.0) >= MIN_EXPECTED;
        pool_rare(values, bins.other(), known)
    };
    for pair in missing {
        if enough(*pair) {
            kept.push(*pair);
        } else {
            pooled = pooled.plus(*pair);
        }
    }
    if enough(pooled) {
        kept.push(pooled);
    } else {
        join_smallest(&mut kept, pooled);
    }
    Some(kept)
}

/// The categories that are `known`, and all others together, those that have no bin of their own among them.
fn pool_rare(values: &[Pair], other: Option<usize>, known: impl Fn(Pair) -> bool) -> (Vec<Pair>, Pair) {
    let (mut kept, mut pooled) = (Vec::with_capacity(values.len()), Pair::NONE);
    for (at, pair) in values.iter().enumerate() {
        if Some(at) != other && known(*pair) {
            kept.push(*pair);
        } else {
            pooled = pooled.plus(*pair);
        }
    }
    (kept, pooled)
}

/// Groups of neighbours, each as small as is `enough`; what is left over at the end joins the last group.
fn merge_neighbours(ordered: &[Pair], enough: impl Fn(Pair) -> bool) -> Vec<Pair> {
    let mut groups = Vec::with_capacity(ordered.len() + 1);
    let mut open = Pair::NONE;
    for pair in ordered {
        open = open.plus(*pair);
        if enough(open) {
            groups.push(std::mem::replace(&mut open, Pair::NONE));
        }
    }
    match groups.last_mut() {
        Some(last) => *last = last.plus(open),
        None => groups.push(open),
    }
    groups
}

fn join_smallest(kept: &mut Vec<Pair>, rest: Pair) {
    match kept.iter_mut().min_by(|a, b| a.sum().total_cmp(&b.sum())) {
        Some(smallest) => *smallest = smallest.plus(rest),
        None => kept.push(rest),
    }
}

#[cfg(test)]
#[path = "homogeneity_tests.rs"]
mod tests;
