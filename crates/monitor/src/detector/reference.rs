//! One feature's reference as the detector sees it.

use std::collections::{HashMap, HashSet};

use record::Cell;
use record::value;
use stats::CategoricalBins;
use stats::detect::{DetectorBins, FeaturePlan};

use crate::profile::{UNKEPT_TEXT, detector_slot_of, number};

/// The last rows that dependence between rows is measured on: more would cost more than it tells.
const ORDERED_ROWS: usize = 10_000;

/// Rare categories that are remembered by name.
const MAX_RARE: usize = 1_000;

/// The detector's bins of one feature, cut from the reference and frozen with it.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorReference {
    /// The bins, finer in the tails than those that are shown.
    pub bins: DetectorBins,
    /// Reference counts per slot of `bins`.
    pub counts: Vec<u64>,
    /// How many successive rows count as one, at least 1; 1 where the order of the rows was not known.
    pub tau: f64,
}

impl DetectorReference {
    /// From a feature's reference rows in the order in which they came in, texts as the keys of [`record::value`]. `None` if there is nothing to cut bins from.
    pub fn of_rows<'a>(numeric: bool, rows: impl Iterator<Item = Cell<'a>> + Clone) -> Option<Self> {
        Self::with_slots(numeric, rows).map(|(reference, _)| reference)
    }

    /// [`Self::of_rows`], and the slot of every row.
    pub fn with_slots<'a>(
        numeric: bool,
        rows: impl Iterator<Item = Cell<'a>> + Clone,
    ) -> Option<(Self, Vec<u8>)> {
        let mut once = 0;
        let bins = if numeric {
            let mut finite: Vec<f64> = rows.clone().filter_map(number).filter(|x| x.is_finite()).collect();
            finite.sort_unstable_by(f64::total_cmp);
            DetectorBins::numeric(&finite).ok()?
        } else {
            let counts = counted(rows.clone());
            let pairs = counts.iter().map(|(name, count)| (&**name, *count));
            let bins = few_rare(DetectorBins::categorical(pairs).ok()?);
            if let DetectorBins::Categories { rare, .. } = &bins {
                once = rare.iter().filter(|name| counts.get(&***name) == Some(&1)).count() as u64;
            }
            bins
        };
        let mut reference = Self { counts: vec![0; bins.slots()], bins, tau: 1.0 };
        let mut scratch = String::new();
        let slots: Vec<u8> = rows.map(|cell| reference.slot(cell, &mut scratch)).collect();
        slots.iter().for_each(|slot| reference.counts[usize::from(*slot)] += 1);
        reference.bins.expect_unseen(&mut reference.counts, once);
        reference.tau = reference.plan().measured_tau(&slots[slots.len().saturating_sub(ORDERED_ROWS)..]);
        Some((reference, slots))
    }

    /// The slot of a value. Types are read as in [`crate::profile::slot_of`]: a text counts in a numeric feature as the number
    /// it spells, a number in a categorical one as its shortest text.
    #[inline]
    pub fn slot(&self, cell: Cell<'_>, scratch: &mut String) -> u8 {
        detector_slot_of(&self.bins, cell, scratch) as u8
    }

    /// The quartiles of its numbers, estimated from the bins; `None` for few values and for categories. `range`: the smallest and the
    /// largest number.
    pub fn quartiles(&self, range: Option<(f64, f64)>) -> Option<[f64; 3]> {
        let DetectorBins::Ordered(bins) = &self.bins else { return None };
        let (_, values) = self.counts.split_last()?;
        stats::words::estimated_quartiles(bins.inner_edges(), values, range)
    }

    /// The feature as a detector's plan takes it.
    pub fn plan(&self) -> FeaturePlan {
        FeaturePlan { tau: self.tau, ..FeaturePlan::new(self.counts.clone(), self.bins.layout()) }
    }

    /// The same with other names for its categories. What becomes one category is counted as one.
    pub(crate) fn hidden(mut self, text: impl Fn(&str) -> String) -> Self {
        let DetectorBins::Categories { kept, rare } = &self.bins else { return self };
        let mut merged: Vec<(String, u64)> = Vec::new();
        for (category, count) in kept.categories().iter().map(|category| text(category)).zip(&self.counts) {
            match merged.iter_mut().find(|(known, _)| *known == category) {
                Some((_, total)) => *total = total.saturating_add(*count),
                None => merged.push((category, *count)),
            }
        }
        let rare: HashSet<String> = rare.iter().map(|name| text(name)).collect();
        let rest = self.counts.get(kept.categories().len()..).unwrap_or_default().to_vec();
        let (names, counts): (Vec<String>, Vec<u64>) = merged.into_iter().unzip();
        // Names are different from each other now, which is all that could be wrong with them.
        if let Ok(kept) = CategoricalBins::new(names) {
            self.bins = DetectorBins::Categories { kept, rare };
            self.counts = counts.into_iter().chain(rest).collect();
        }
        self
    }

    /// Whether the counts fit the bins and their sum a number; the last check of what was read from outside.
    pub(crate) fn is_sound(&self) -> bool {
        let sum = self.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        let slots = self.bins.slots();
        self.counts.len() == slots && slots <= usize::from(u8::MAX) && sum.is_some() && self.tau >= 1.0
    }
}

/// Keeps so many rare categories that they can be written down; the others count as never seen, in the reference as well.
fn few_rare(mut bins: DetectorBins) -> DetectorBins {
    if let DetectorBins::Categories { rare, .. } = &mut bins
        && rare.len() > MAX_RARE
    {
        let mut names: Vec<String> = rare.drain().collect();
        names.sort_unstable();
        names.truncate(MAX_RARE);
        rare.extend(names);
    }
    bins
}

/// Rows by the key of their category, those whose text was not kept left out: whatever comes instead of it will be one that the
/// reference does not know. Numbers among booleans are booleans, as [`value::place`] takes them.
fn counted<'a>(rows: impl Iterator<Item = Cell<'a>>) -> HashMap<String, u64> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut scratch = String::new();
    for cell in rows {
        let key = match cell {
            Cell::Text(UNKEPT_TEXT) => None,
            Cell::Text(text) => Some(text),
            Cell::Number(x) if !x.is_nan() => Some(value::shortest(x, &mut scratch)),
            Cell::Number(_) | Cell::Missing => None,
        };
        match key.and_then(|key| counts.get_mut(key)) {
            Some(count) => *count += 1,
            None => _ = key.map(|key| counts.insert(key.to_owned(), 1)),
        }
    }
    value::merge_booleans(&mut counts);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_were_not_kept_are_values_that_the_reference_does_not_know() {
        let cells = (0..400).map(|i| Cell::Text(if i % 4 == 0 { UNKEPT_TEXT } else { ["a", "b"][i % 2] }));
        let reference = DetectorReference::of_rows(false, cells).unwrap();
        assert_eq!(reference.bins.labels(), ["a", "b", "other", "unseen", "missing"]);
        assert_eq!(reference.counts, [100, 200, 0, 100, 0]);
        let (mut scratch, long) = (String::new(), "y".repeat(300));
        assert_eq!(reference.slot(Cell::Text(&long), &mut scratch), 3);
        assert_eq!(reference.slot(Cell::Text("sha256-15eb95a462ee20bd91a415ae2d4aed34"), &mut scratch), 3);
    }
}
