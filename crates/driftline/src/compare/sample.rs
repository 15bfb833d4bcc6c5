//! The values of one column of one file, ready to be measured.

use std::collections::HashMap;
use std::io;

use monitor::RoleSample;
use monitor::profile::{FeatureProfile, detector_slot_of, slot_of};
use record::Cell;
use stats::Bins;
use stats::detect::DetectorBins;
use tabular::{Column, format_number};

use super::exact::Decisive;
use super::numbers::Numbers;

/// One column of one data file.
#[derive(Debug)]
pub(super) enum Sample {
    Numbers(Numbers),
    Texts(Texts),
}

/// Texts, counted.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) counts: HashMap<Box<str>, u64>,
    pub(super) missing: u64,
    /// The first ones, by which it is decided whether the column can be judged.
    pub(super) role: RoleSample,
}

impl Sample {
    /// Adds the values of a batch. A sample takes the kind of column it was made for.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub(super) fn add(&mut self, column: &Column) -> io::Result<()> {
        match (self, column) {
            (Self::Numbers(numbers), Column::Numbers(values)) => numbers.add(values)?,
            (Self::Texts(texts), Column::Text(values)) => values.iter().for_each(|value| texts.add(value)),
            (Self::Texts(texts), Column::Numbers(values)) => {
                for value in values {
                    let text = (!value.is_nan()).then(|| format_number(*value));
                    texts.add(text.as_deref());
                }
            }
            // A sample of numbers asks for numbers.
            (Self::Numbers(numbers), Column::Text(values)) => numbers.add_missing(values.len())?,
        }
        Ok(())
    }

    /// Different texts so far; 0 for numbers.
    pub(super) fn n_distinct_texts(&self) -> usize {
        match self {
            Self::Numbers(_) => 0,
            Self::Texts(texts) => texts.counts.len(),
        }
    }

    /// Counts per slot of `bins`, `missing` last.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(super) fn count(&self, bins: &Bins) -> io::Result<Vec<u64>> {
        match self {
            Self::Texts(texts) => Ok(Self::count_texts(texts, bins)),
            Self::Numbers(numbers) => {
                let mut counts = vec![0_u64; bins.slots()];
                let mut scratch = String::new();
                // NaN has the slot of missing values.
                numbers.each(|values| {
                    values.iter().for_each(|x| counts[slot_of(bins, Cell::Number(*x), &mut scratch)] += 1);
                })?;
                Ok(counts)
            }
        }
    }

    /// The same of texts.
    pub(super) fn count_texts(texts: &Texts, bins: &Bins) -> Vec<u64> {
        let mut counts = vec![0_u64; bins.slots()];
        let mut scratch = String::new();
        for (text, n) in &texts.counts {
            counts[slot_of(bins, Cell::Text(text), &mut scratch)] += n;
        }
        counts[bins.missing()] += texts.missing;
        counts
    }

    /// Counts of a profile and of this sample in the bins that decisions rest on; `None` if the profile has none.
    pub(super) fn decisive(&self, profile: &FeatureProfile) -> Option<Decisive> {
        let reference = profile.detector.as_ref()?;
        let bins = &reference.bins;
        let mut counts = vec![0_u64; bins.slots()];
        let mut scratch = String::new();
        match self {
            Self::Texts(texts) => {
                for (text, n) in &texts.counts {
                    counts[detector_slot_of(bins, Cell::Text(text), &mut scratch)] += n;
                }
                counts[bins.missing()] += texts.missing;
            }
            Self::Numbers(numbers) => numbers
                .each(|values| {
                    values.iter().for_each(|x| {
                        counts[detector_slot_of(bins, Cell::Number(*x), &mut scratch)] += 1;
                    });
                })
                .ok()?,
        }
        let counts = [reference.counts.clone(), counts];
        let sound = counts[0].len() == counts[1].len();
        sound.then(|| Decisive { bins: bins.clone(), counts }.without_unseen_that_do_not_come())
    }
}

/// Counts of both sides in the bins that decisions rest on, cut from the reference's texts.
pub(super) fn decisive_counts(reference: &Texts, current: &Texts) -> Option<Decisive> {
    let mut scratch = String::new();
    let bins = DetectorBins::categorical(reference.counts.iter().map(|(text, n)| (&**text, *n))).ok()?;
    let rare = |text: &&str| matches!(&bins, DetectorBins::Categories { rare, .. } if rare.contains(*text));
    let texts = reference.counts.iter().filter(|(_, n)| **n == 1).map(|(text, _)| &**text);
    let once = texts.filter(rare).count() as u64;
    let [mut before, after] = [reference, current].map(|texts| {
        let mut counts = vec![0; bins.slots()];
        for (text, n) in &texts.counts {
            counts[detector_slot_of(&bins, Cell::Text(text), &mut scratch)] += n;
        }
        counts[bins.missing()] += texts.missing;
        counts
    });
    bins.expect_unseen(&mut before, once);
    Some(Decisive { bins, counts: [before, after] }.without_unseen_that_do_not_come())
}

impl Texts {
    /// The most frequent texts, by name where as many rows have them.
    pub(super) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(text, n)| (&**text, *n)).collect();
        let order = |a: &(&str, u64), b: &(&str, u64)| b.1.cmp(&a.1).then(a.0.cmp(b.0));
        if all.len() > most {
            all.select_nth_unstable_by(most, order);
            all.truncate(most);
        }
        all.sort_unstable_by(order);
        all
    }

    fn add(&mut self, value: Option<&str>) {
        let Some(text) = value else {
            self.missing += 1;
            return;
        };
        if !self.role.is_full() {
            self.role.push(Cell::Text(text));
        }
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else {
            self.counts.insert(text.into(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use stats::NumericBins;

    #[test]
    fn numbers_are_counted_by_the_bins_of_a_profile() {
        let mut numbers = Numbers::new(0, Rc::default());
        numbers.add(&[1.0, f64::INFINITY, f64::NAN, f64::NEG_INFINITY, -0.0]).unwrap();
        let bins = Bins::from(NumericBins::equal_width(0.0, 1.0, 2).unwrap());
        assert_eq!(Sample::Numbers(numbers).count(&bins).unwrap(), [1, 1, 3], "as a profile counts them");
    }
}
