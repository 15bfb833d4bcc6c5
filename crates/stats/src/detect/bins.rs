//! The detector's bins: finer in the tails than those for showing, with a bin of its own for what was never seen.

use std::collections::HashSet;

use super::dictionary::Layout;
use crate::bins::{BinsError, CategoricalBins, NumericBins};
use crate::ordered::{Few, Ordered};
use crate::quantile::{quantile_of, quantile_ranks};

/// Quantiles at which edges lie: 14 bins. For 5 % of heavy-tailed contamination these carry nine times the information
/// of deciles, and as much for a shift.
const LEVELS: [f64; 13] = [0.005, 0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975, 0.995];

/// A tail bin needs about this many reference rows.
const MIN_TAIL_ROWS: f64 = 10.0;

/// Below this many rows only quartiles are cut.
const FEW_ROWS: usize = 200;

/// A value that holds this share of the reference gets a bin of its own.
const ATOM: f64 = 0.05;

/// Numbers with at most this many different values get one bin a value.
pub const FEW_VALUES: usize = 20;

/// Most categories with a bin of their own.
pub const MAX_KEPT_CATEGORIES: usize = 50;

/// A category needs this many reference rows for a bin of its own, and this share.
const MIN_CATEGORY_ROWS: u64 = 5;
const MIN_CATEGORY_SHARE: f64 = 0.001;

/// Share of the reference by which the categories with bins may look more frequent than they are.
const MAX_CHOICE_BIAS: f64 = 0.01;

/// Frozen bins of one feature of the detector. Slots: the ordered bins, values or kept categories; for categories
/// `other` (rare in the reference); for values and categories `unseen` (never in the reference); `missing`, always last.
#[derive(Clone, Debug, PartialEq)]
pub enum DetectorBins {
    /// Ordered bins.
    Ordered(NumericBins),
    /// One ordered bin for each of few values, ascending.
    Values(Vec<f64>),
    /// Kept categories.
    Categories {
        /// The kept categories and `other`.
        kept: CategoricalBins,
        /// The rare ones that make up `other`.
        rare: HashSet<String>,
    },
}

// === impl DetectorBins ===

impl DetectorBins {
    /// Bins of a numeric feature from the ascending finite numbers of its reference.
    ///
    /// # Errors
    ///
    /// [`BinsError::NoFiniteValues`], [`BinsError::NotFinite`], [`BinsError::NotSorted`].
    pub fn numeric(sorted_finite: &[f64]) -> Result<Self, BinsError> {
        check(sorted_finite)?;
        Self::numeric_of(&sorted_finite)?.ok_or(BinsError::NoFiniteValues)
    }

    /// [`Self::numeric`] of a reference that may be held in another way. `None` where it does not know what the bins
    /// depend on: the ranks of [`Self::ranks`], [`Self::atom`] and the values where there are at most [`FEW_VALUES`].
    ///
    /// # Errors
    ///
    /// [`BinsError::NoFiniteValues`].
    pub fn numeric_of(reference: &impl Ordered) -> Result<Option<Self>, BinsError> {
        let rows = reference.rows();
        if rows == 0 {
            return Err(BinsError::NoFiniteValues);
        }
        let Some(few) = reference.few_values(FEW_VALUES) else { return Ok(None) };
        if let Few::Values(values) = few {
            return match values.as_slice() {
                [only] => NumericBins::from_edges(*only, *only, Vec::new()).map(Self::Ordered).map(Some),
                _ => Ok(Some(Self::Values(values))),
            };
        }
        let Some(edges) =
            reference.atoms(Self::atom(rows)).and_then(|atoms| tail_edges_of(reference, &atoms))
        else {
            return Ok(None);
        };
        NumericBins::from_quantile_edges(edges).map(Self::Ordered).map(Some)
    }

    /// The ranks that [`Self::numeric_of`] asks for in a reference of `rows` numbers.
    #[must_use]
    pub fn ranks(rows: usize) -> Vec<usize> {
        tail_levels(rows).filter_map(|level| quantile_ranks(rows, level)).flatten().collect()
    }

    /// A value with so many of the reference's `rows` gets a bin of its own.
    #[must_use]
    pub fn atom(rows: usize) -> usize {
        (ATOM * rows as f64).ceil() as usize
    }

    /// Bins of a categorical feature from how often each category stands in the reference.
    ///
    /// # Errors
    ///
    /// None that such counts can cause; the type is that of [`CategoricalBins::fit`].
    pub fn categorical<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Self, BinsError> {
        let counts: Vec<(&str, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        let rows: u64 = counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        let enough = enough_rows(&counts, rows);
        let frequent = counts.iter().copied().filter(|(_, count)| *count >= enough);
        let kept = CategoricalBins::fit(frequent, MAX_KEPT_CATEGORIES)?;
        let is_rare = |name: &&str| kept.index(name) == kept.other();
        let rare = counts.iter().map(|(name, _)| *name).filter(is_rare).map(str::to_owned).collect();
        Ok(Self::Categories { kept, rare })
    }

    /// The slot of a number; NaN is missing. Of a categorical feature: missing.
    #[must_use]
    #[inline]
    pub fn number(&self, x: f64) -> usize {
        match self {
            Self::Ordered(bins) => bins.index(x).unwrap_or(bins.len()),
            Self::Values(_) if x.is_nan() => self.missing(),
            // Few values: counting those below is quicker than a search.
            Self::Values(values) => {
                let at = values.iter().map(|value| usize::from(*value < x)).sum::<usize>();
                if values.get(at).is_some_and(|value| *value == x) { at } else { values.len() }
            }
            Self::Categories { .. } => self.missing(),
        }
    }

    /// The slot of a category. Of a numeric feature: missing. Does not allocate.
    #[must_use]
    #[inline]
    pub fn text(&self, text: &str) -> usize {
        match self {
            Self::Categories { kept, rare } => {
                let at = kept.index(text);
                if at < kept.other() || rare.contains(text) { at } else { kept.other() + 1 }
            }
            _ => self.missing(),
        }
    }

    /// Puts the reference's counts right for what it cannot have seen: of its rare categories, `once` stand in it a single time, and
    /// so many rows of as many more are of categories that it has never seen (Good and Turing's estimate). Of few values those that
    /// stand in it once are found in the counts.
    pub fn expect_unseen(&self, counts: &mut [u64], once: u64) {
        match self {
            Self::Ordered(_) => {}
            Self::Values(values) => {
                let once = counts.iter().take(values.len()).filter(|count| **count == 1).count() as u64;
                if let Some(unseen) = counts.get_mut(values.len()) {
                    *unseen = unseen.saturating_add(once);
                }
            }
            Self::Categories { kept, .. } => {
                if let Some([rare, unseen]) = counts.get_mut(kept.other()..kept.other() + 2) {
                    let once = once.min(*rare);
                    *rare -= once;
                    *unseen = unseen.saturating_add(once);
                }
            }
        }
    }

    /// The slot of missing values, the last.
    #[must_use]
    pub fn missing(&self) -> usize {
        match self {
            Self::Ordered(bins) => bins.len(),
            Self::Values(values) => values.len() + 1,
            Self::Categories { kept, .. } => kept.len() + 1,
        }
    }

    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.missing() + 1
    }

    /// Which of the slots are in order.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let ordered = match self {
            Self::Ordered(bins) => bins.len(),
            Self::Values(values) => values.len(),
            Self::Categories { .. } => 0,
        };
        Layout { ordered, slots: self.slots() }
    }

    /// A name per slot.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let mut labels = match self {
            Self::Ordered(bins) => bins.labels(),
            Self::Values(values) => values.iter().map(f64::to_string).collect(),
            Self::Categories { kept, .. } => kept.labels(),
        };
        if !matches!(self, Self::Ordered(_)) {
            labels.push("unseen".to_owned());
        }
        labels.push("missing".to_owned());
        labels
    }
}

/// Edges of the tail bins of ascending finite numbers, with a bin of its own for every atom. Tail levels that too few
/// rows stand behind are left out.
#[must_use]
pub fn tail_edges(sorted_finite: &[f64], atoms: impl Iterator<Item = f64>) -> Vec<f64> {
    tail_edges_of(&sorted_finite, &atoms.collect::<Vec<_>>()).unwrap_or_default()
}

/// `None` where a rank is not known.
fn tail_edges_of(sample: &impl Ordered, atoms: &[f64]) -> Option<Vec<f64>> {
    let quantiles = tail_levels(sample.rows()).map(|level| Some(quantile_of(sample, level)? + 0.0));
    let mut edges = quantiles.collect::<Option<Vec<f64>>>()?;
    for atom in atoms {
        let next = (atom + 0.0).next_up();
        edges.push(atom + 0.0);
        if next.is_finite() {
            edges.push(next);
        }
    }
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
    Some(edges)
}

/// The levels that enough of so many rows stand behind.
fn tail_levels(rows: usize) -> impl Iterator<Item = f64> {
    const QUARTILES: [f64; 3] = [0.25, 0.5, 0.75];
    let levels: &[f64] = if rows < FEW_ROWS { &QUARTILES } else { &LEVELS };
    let stands = move |q: &f64| rows < FEW_ROWS || rows as f64 * q.min(1.0 - q) >= MIN_TAIL_ROWS - 1e-9;
    levels.iter().copied().filter(stands)
}

fn check(sorted: &[f64]) -> Result<(), BinsError> {
    if sorted.is_empty() {
        return Err(BinsError::NoFiniteValues);
    }
    if let Some(index) = sorted.iter().position(|value| !value.is_finite()) {
        return Err(BinsError::NotFinite { index, value: sorted[index] });
    }
    match sorted.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(before) => Err(BinsError::NotSorted { index: before + 1 }),
        None => Ok(()),
    }
}

/// The rows that a category needs for a bin of its own: the fewest at which choosing by the reference makes little difference.
///
/// Categories that are chosen because the reference has many of them have fewer rows in what follows; together, by Good and
/// Turing's estimate, `t N(t)` of the reference's rows fewer, with `N(t)` categories seen exactly `t` times. Among many
/// categories of about the same frequency no number is right but one below or above all of them.
fn enough_rows(counts: &[(&str, u64)], rows: u64) -> u64 {
    let least = MIN_CATEGORY_ROWS.max((MIN_CATEGORY_SHARE * rows as f64).ceil() as u64);
    let mut seen: Vec<u64> = counts.iter().map(|(_, count)| *count).filter(|count| *count >= least).collect();
    seen.sort_unstable();
    let within = |from: f64, to: f64| {
        let place = |limit: f64| seen.partition_point(|count| (*count as f64) < limit);
        (place(to) - place(from)) as f64
    };
    let little = |enough: &u64| {
        let at = *enough as f64;
        let spread = at.sqrt().ceil();
        let exactly = within(at - spread, at + spread + 1.0) / (2.0 * spread + 1.0);
        at * exactly <= MAX_CHOICE_BIAS * rows as f64
    };
    let fits =
        |enough: &u64| seen.len() - seen.partition_point(|count| count < enough) <= MAX_KEPT_CATEGORIES;
    let most = seen.last().copied().unwrap_or(least);
    // Of few categories each counts, and all of them are there.
    let all = (seen.len() == counts.len()).then_some(least);
    let candidates = std::iter::once(least).chain(seen.iter().map(|count| count + 1));
    let mut candidates = all.into_iter().filter(fits).chain(candidates.filter(fits).filter(little));
    candidates.next().unwrap_or(most + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| i as f64 * 0.5).collect()
    }

    #[test]
    fn tails_are_cut_as_finely_as_the_rows_allow() {
        for (m, bins) in [(5_000, 14), (2_000, 14), (1_999, 12), (400, 12), (399, 10), (200, 10), (199, 4)] {
            let fitted = DetectorBins::numeric(&numbers(m)).unwrap();
            assert_eq!(fitted.layout(), Layout { ordered: bins, slots: bins + 1 }, "{m} rows");
        }
        let fitted = DetectorBins::numeric(&numbers(1_001)).unwrap();
        assert_eq!((fitted.number(0.0), fitted.number(f64::INFINITY), fitted.number(f64::NAN)), (0, 11, 12));
        let edges = tail_edges(&numbers(2_001), std::iter::empty());
        assert_eq!((edges[0], edges[6]), (5.0, 500.0), "type 7 quantiles");
    }

    #[test]
    fn an_atom_has_a_bin_of_its_own() {
        let mut values = vec![0.0; 100];
        values.extend((1..=900).map(|i| f64::from(i) * 0.1));
        let bins = DetectorBins::numeric(&values).unwrap();
        let zero = bins.number(0.0);
        assert_eq!(bins.number(-0.0), zero);
        assert_eq!((bins.number(-1e-300), bins.number(1e-300)), (zero - 1, zero + 1));
    }

    #[test]
    fn few_values_are_told_from_others() {
        let bins = DetectorBins::numeric(&[1.0, 1.0, 2.0, 4.0]).unwrap();
        let slots = [1.0, 2.0, 4.0, 3.0, 9.0, f64::NAN].map(|x| bins.number(x));
        assert_eq!(slots, [0, 1, 2, 3, 3, 4]);
        assert_eq!(bins.labels(), ["1", "2", "4", "unseen", "missing"]);
        let constant = DetectorBins::numeric(&[7.0; 300]).unwrap();
        assert_eq!([6.0, 7.0, 8.0].map(|x| constant.number(x)), [0, 1, 2]);
    }

    #[test]
    fn rare_categories_are_known_and_new_ones_are_not() {
        let bins = DetectorBins::categorical([("b", 60), ("a", 40), ("rare", 4)]).unwrap();
        assert_eq!(["a", "b", "rare", "new"].map(|c| bins.text(c)), [0, 1, 2, 3]);
        assert_eq!(bins.labels(), ["a", "b", "other", "unseen", "missing"]);
        let many: Vec<(String, u64)> = (0..80).map(|i| (format!("c{i:02}"), 100_000 / (i + 1))).collect();
        let bins = DetectorBins::categorical(many.iter().map(|(name, n)| (&**name, *n))).unwrap();
        assert_eq!(bins.slots(), MAX_KEPT_CATEGORIES + 3);
        assert_eq!(bins.text("c79"), MAX_KEPT_CATEGORIES, "known, but pooled");
        let alike: Vec<(String, u64)> = (0..300).map(|i| (format!("c{i}"), 15 + i % 11)).collect();
        let bins = DetectorBins::categorical(alike.iter().map(|(name, n)| (&**name, *n))).unwrap();
        assert_eq!(bins.slots(), 3, "the 50 largest are so by chance");
        let mut counts = [900, 100, 0, 0];
        DetectorBins::categorical([("a", 900), ("b", 1)]).unwrap().expect_unseen(&mut counts, 30);
        assert_eq!(counts, [900, 70, 30, 0]);
        let mut counts = [498, 1, 1, 0, 0];
        DetectorBins::numeric(&[1.0, 2.0, 3.0]).unwrap().expect_unseen(&mut counts, 0);
        assert_eq!(counts, [498, 1, 1, 2, 0]);
    }

    #[test]
    fn nonsense_makes_no_bins() {
        assert_eq!(DetectorBins::numeric(&[]), Err(BinsError::NoFiniteValues));
        assert!(matches!(DetectorBins::numeric(&[2.0, 1.0]), Err(BinsError::NotSorted { index: 1 })));
        assert!(matches!(DetectorBins::numeric(&[f64::NAN]), Err(BinsError::NotFinite { .. })));
        assert_eq!(DetectorBins::categorical([]).unwrap().slots(), 3, "all missing");
    }
}
