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
/// below 5, ordered bins join a neighbour, and categories are counted together, those that have a bin and those that have none
/// each for themselves. Values that the reference has not seen come from the same long tail as those that it has seen once or
/// twice: as many of them as that tail lets expect are no difference. For counts of [`Bins::slots`] entries.
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
    let (mut kept, rare) = match bins.other() {
        None => (merge_neighbours(values, enough), Vec::new()),
        Some(other) => {
            let tail = Tail::of(values, other, enough);
            let kept = values.iter().enumerate().filter(|(at, pair)| *at != other && enough(**pair));
            (kept.map(|(_, pair)| *pair).collect(), tail.groups(n / m).to_vec())
        }
    };
    let mut pooled = Pair::NONE;
    for pair in rare.iter().chain(missing) {
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

/// How many of its standard errors an estimate of what the reference has not seen is trusted to.
const TAIL_ERRORS: f64 = 3.0;

/// The rare categories, and those that have no bin of their own.
///
/// Which categories have a bin the reference has decided: it has more of them than what comes later can have, and less of all
/// others, for no other reason. Good and Turing's estimate puts that right: categories that the reference has seen `r` times
/// have a share of `(r + 1) N(r + 1) / (N(r) m)` each, so that all those seen at least `a` times have together what those seen at
/// least `a + 1` times had (Good, *The population frequencies of species and the estimation of population parameters*, 1953).
struct Tail {
    known: Pair,
    unknown: Pair,
    /// The fewest times that a category with a bin is sure to have been seen.
    least: f64,
    /// Rows of the reference in categories that were seen so often, and the number of categories seen once more.
    at_least: f64,
    next: f64,
}

impl Tail {
    fn of(values: &[Pair], other: usize, enough: impl Fn(Pair) -> bool) -> Self {
        let categories = || values.iter().enumerate().filter(|(at, _)| *at != other).map(|(_, pair)| *pair);
        let rest = values[other];
        let seen = categories().map(|pair| pair.reference).filter(|reference| *reference > 0.0);
        let fewest = seen.fold(f64::INFINITY, f64::min);
        // Where the reference has rows without a bin, some of the categories with the fewest rows have none either.
        let least = if rest.reference > 0.0 { fewest + 1.0 } else { fewest.min(1.0) };
        let mut tail = Self { known: Pair::NONE, unknown: rest, least, at_least: 0.0, next: 0.0 };
        for pair in categories().filter(|pair| !enough(*pair)) {
            if pair.reference < least {
                tail.unknown = tail.unknown.plus(pair);
                continue;
            }
            tail.known = tail.known.plus(pair);
            tail.at_least += if pair.reference == least { least } else { 0.0 };
            tail.next += f64::from(u8::from(pair.reference == least + 1.0));
        }
        tail
    }

    /// Both groups with the reference put right. The part of a difference between them that the estimate's error explains is
    /// taken out of the current counts.
    fn groups(&self, scale: f64) -> [Pair; 2] {
        let (mut known, mut unknown) = (self.known, self.unknown);
        known.reference -= self.at_least;
        unknown.reference += self.at_least;
        let error = TAIL_ERRORS * (self.least.min(1e6) + 1.0) * (self.next + 1.0).sqrt() * scale;
        let beyond = unknown.current - unknown.reference * scale;
        let moved = beyond.abs().min(error).copysign(beyond);
        let moved = moved.clamp(-known.current, unknown.current);
        unknown.current -= moved;
        known.current += moved;
        [known, unknown]
    }
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
