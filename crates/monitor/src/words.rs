//! How a feature of live traffic differs from its reference, in words: [`stats::words`] with what a model remembers of values.

use record::Cell;
use stats::Bins;
use stats::words::{Change, Known, Slots, phrase};

use crate::features::Feature;
use crate::profile::{detector_slot_of, slot_of};

/// From so many values in succession on that are one and the same, and at least half of those that are counted, it is the only one.
const ALIKE: u64 = 50;

/// What a model remembers of the values of one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// The number of the newest row.
    pub(crate) now: u64,
    /// How many of the newest values in succession are one and the same.
    pub(crate) alike: u64,
}

/// By the detector's counts since a change began. `memory`: `None` where what is remembered is of other rows.
pub(crate) fn of_detector(
    feature: &Feature,
    reference: &[u64],
    current: &[u64],
    memory: Option<Memory>,
) -> Option<String> {
    match &feature.frozen()?.detector {
        Some(detector) => {
            let unseen = detector.bins.missing().checked_sub(1);
            let mut scratch = String::new();
            let is_new =
                |text: &str| Some(detector_slot_of(&detector.bins, Cell::Text(text), &mut scratch)) == unseen;
            said(feature, Slots::of_detector(&detector.bins), reference, current, memory, is_new)
        }
        None => of_window(feature, reference, current, memory),
    }
}

/// By a window's counts.
pub(crate) fn of_window(
    feature: &Feature,
    reference: &[u64],
    current: &[u64],
    memory: Option<Memory>,
) -> Option<String> {
    let bins = &feature.frozen()?.bins;
    let other = bins.other();
    // Where the reference has rows without a bin of their own, a value without one need not be new.
    let any_new = other.and_then(|other| reference.get(other)) == Some(&0);
    let mut scratch = String::new();
    let is_new = |text: &str| any_new && Some(slot_of(bins, Cell::Text(text), &mut scratch)) == other;
    said(feature, Slots::of(bins), reference, current, memory, is_new)
}

fn said(
    feature: &Feature,
    slots: Slots<'_>,
    reference: &[u64],
    current: &[u64],
    memory: Option<Memory>,
    is_new: impl FnMut(&str) -> bool,
) -> Option<String> {
    let frozen = feature.frozen()?;
    let range = match &frozen.bins {
        Bins::Numeric(_) => frozen.expected.whole_range(),
        Bins::Categorical(_) => None,
    };
    let values = current.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let values = values - current.last().copied().unwrap_or(0);
    let rows_of = |share: f64| (share.min(1.0) * values as f64).round() as u64;
    // The detector's edges are quantiles: they say more of the middle than bins of one width.
    let quartiles = frozen.detector.as_ref().and_then(|detector| detector.quartiles(range));
    let mut known = [Known { quartiles, range }, Known::default()];
    let mut outside = None;
    let (mut below, mut above) = (Vec::new(), Vec::new());
    if let (Some(memory), Some((lo, hi))) = (memory, range) {
        let (strays, rows) = feature.strays.numbers(memory.now);
        let share = |strays: &[f64]| strays.len() as f64 / rows.max(1) as f64;
        known[1].range = Some((
            strays.first().copied().unwrap_or(lo).min(lo),
            strays.last().copied().unwrap_or(hi).max(hi),
        ));
        let (low, high) = strays.split_at(strays.partition_point(|x| *x < lo));
        (below, above) = (low.to_vec(), high.to_vec());
        outside = Some([rows_of(share(&below)), rows_of(share(&above))]);
    }
    let alike = memory.filter(|memory| memory.alike >= ALIKE && memory.alike * 2 >= values);
    if let Some(value) = alike.and(feature.newest).filter(|_| matches!(frozen.bins, Bins::Numeric(_))) {
        known[1] = Known { quartiles: Some([value; 3]), range: Some((value, value)) };
    }
    let new = memory.and_then(|memory| feature.strays.most_frequent(memory.now, is_new));
    let new_value = new.map(|(text, share)| (text, rows_of(share)));
    phrase(&Change {
        feature: &feature.name,
        slots,
        reference,
        current,
        known,
        new_value,
        outside,
        beyond: [&below, &above],
    })
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
