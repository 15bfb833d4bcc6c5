//! The values of one column of one file, ready to be measured.

use std::collections::HashMap;

use monitor::profile::slot_of;
use record::Cell;
use stats::Bins;
use stats::detect::DetectorBins;
use tabular::{Column, format_number};

/// One column of one data file.
#[derive(Debug)]
pub(super) enum Sample {
    Numbers(Numbers),
    Texts(Texts),
}

/// Numbers, sorted once all are there.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Everything but missing values; infinities included.
    pub(super) sorted: Vec<f64>,
    pub(super) missing: u64,
}

/// Texts, counted.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) counts: HashMap<Box<str>, u64>,
    pub(super) missing: u64,
}

impl Sample {
    pub(super) fn new(numeric: bool) -> Self {
        if numeric { Self::Numbers(Numbers::default()) } else { Self::Texts(Texts::default()) }
    }

    /// Adds the values of a batch. A sample takes the kind of column it was made for.
    pub(super) fn add(&mut self, column: &Column) {
        match (self, column) {
            (Self::Numbers(numbers), Column::Numbers(values)) => {
                let before = numbers.sorted.len();
                numbers.sorted.extend(values.iter().copied().filter(|value| !value.is_nan()));
                numbers.missing += (values.len() - (numbers.sorted.len() - before)) as u64;
            }
            (Self::Texts(texts), Column::Text(values)) => values.iter().for_each(|value| texts.add(value)),
            (Self::Texts(texts), Column::Numbers(values)) => {
                for value in values {
                    let text = (!value.is_nan()).then(|| format_number(*value));
                    texts.add(text.as_deref());
                }
            }
            // A numeric feature of which this file has no value at all.
            (Self::Numbers(numbers), Column::Text(values)) => numbers.missing += values.len() as u64,
        }
    }

    /// To be called when all batches are in.
    pub(super) fn finish(&mut self) {
        if let Self::Numbers(numbers) = self {
            numbers.sorted.sort_unstable_by(f64::total_cmp);
        }
    }

    /// Different texts so far; 0 for numbers.
    pub(super) fn n_distinct_texts(&self) -> usize {
        match self {
            Self::Numbers(_) => 0,
            Self::Texts(texts) => texts.counts.len(),
        }
    }

    /// Counts per slot of `bins`, `missing` last.
    pub(super) fn count(&self, bins: &Bins) -> Vec<u64> {
        let mut counts = vec![0_u64; bins.slots()];
        let mut scratch = String::new();
        let mut add = |cell: Cell<'_>, n: u64| {
            if let Some(count) = counts.get_mut(slot_of(bins, cell, &mut scratch)) {
                *count += n;
            }
        };
        match (self, bins) {
            (Self::Numbers(numbers), Bins::Numeric(numeric)) => {
                let mut counts = numbers.count_sorted(numeric.inner_edges());
                counts.push(numbers.missing);
                return counts;
            }
            (Self::Numbers(numbers), Bins::Categorical(_)) => {
                numbers.sorted.iter().for_each(|value| add(Cell::Number(*value), 1));
                add(Cell::Missing, numbers.missing);
            }
            (Self::Texts(texts), _) => {
                texts.counts.iter().for_each(|(text, n)| add(Cell::Text(text), *n));
                add(Cell::Missing, texts.missing);
            }
        }
        counts
    }
}

/// Counts of both sides in the bins that decisions rest on: finer in the tails, cut from the reference. `None` for samples
/// of different kinds, or a reference without a value.
pub(super) fn decisive_counts(reference: &Sample, current: &Sample) -> Option<[Vec<u64>; 2]> {
    match (reference, current) {
        (Sample::Numbers(a), Sample::Numbers(b)) => {
            let bins = DetectorBins::numeric(a.finite()).ok()?;
            Some([a, b].map(|numbers| numbers.count_decisive(&bins)))
        }
        (Sample::Texts(a), Sample::Texts(b)) => {
            let bins = DetectorBins::categorical(a.counts.iter().map(|(text, n)| (&**text, *n))).ok()?;
            Some([a, b].map(|texts| {
                let mut counts = vec![0; bins.slots()];
                texts.counts.iter().for_each(|(text, n)| counts[bins.text(text)] += n);
                counts[bins.missing()] += texts.missing;
                counts
            }))
        }
        _ => None,
    }
}

impl Numbers {
    fn count_decisive(&self, bins: &DetectorBins) -> Vec<u64> {
        let mut counts = match bins {
            DetectorBins::Ordered(ordered) => self.count_sorted(ordered.inner_edges()),
            DetectorBins::Values(values) => {
                let of = |value: &f64| {
                    let below = self.sorted.partition_point(|x| x < value);
                    (self.sorted.partition_point(|x| x <= value) - below) as u64
                };
                let known: Vec<u64> = values.iter().map(of).collect();
                let unseen = self.sorted.len() as u64 - known.iter().sum::<u64>();
                known.into_iter().chain([unseen]).collect()
            }
            DetectorBins::Categories { .. } => vec![0; bins.slots() - 1],
        };
        counts.push(self.missing);
        counts
    }

    /// The finite ones, ascending.
    pub(super) fn finite(&self) -> &[f64] {
        let start = self.sorted.partition_point(|value| *value == f64::NEG_INFINITY);
        let end = self.sorted.partition_point(|value| *value < f64::INFINITY);
        self.sorted.get(start..end).unwrap_or_default()
    }

    /// Counts between ascending edges: a value at an edge belongs above it.
    fn count_sorted(&self, edges: &[f64]) -> Vec<u64> {
        let ends = edges.iter().map(|edge| self.sorted.partition_point(|value| value < edge));
        let mut start = 0;
        let mut counts = Vec::with_capacity(edges.len() + 2);
        for end in ends.chain([self.sorted.len()]) {
            counts.push((end - start) as u64);
            start = end;
        }
        counts
    }
}

impl Texts {
    fn add(&mut self, value: Option<&str>) {
        let Some(text) = value else {
            self.missing += 1;
            return;
        };
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else {
            self.counts.insert(text.into(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stats::NumericBins;

    fn numbers(values: &[f64]) -> Sample {
        let mut sample = Sample::new(true);
        sample.add(&Column::Numbers(values.to_vec()));
        sample.finish();
        sample
    }

    #[test]
    fn infinities_are_counted_and_not_finite() {
        let sample = numbers(&[1.0, f64::INFINITY, f64::NAN, f64::NEG_INFINITY, -0.0]);
        let Sample::Numbers(inner) = &sample else { panic!("made of numbers") };
        assert_eq!(inner.finite(), [-0.0, 1.0]);
        let bins = Bins::from(NumericBins::equal_width(0.0, 1.0, 2).unwrap());
        assert_eq!(sample.count(&bins), [2, 2, 1]);
    }

    proptest! {
        #[test]
        fn counting_sorted_values_is_counting_values(
            values in prop::collection::vec(-20_i32..20, 1..60),
            n_bins in 2_usize..12,
        ) {
            let values: Vec<f64> = values.into_iter().map(|v| f64::from(v) / 2.0).collect();
            let numeric = NumericBins::equal_width(-5.0, 5.0, n_bins).unwrap();
            let mut expected = vec![0; numeric.len() + 1];
            for value in &values {
                expected[numeric.index(*value).unwrap()] += 1;
            }
            prop_assert_eq!(numbers(&values).count(&Bins::from(numeric)), expected);
        }
    }
}
