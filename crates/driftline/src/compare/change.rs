//! How a feature differs, in words.

use monitor::profile::{detector_slot_of, slot_of};
use record::Cell;
use stats::Bins;
use stats::words::{Change, Known, Slots, phrase};

use super::exact::{Decisive, Measured};
use super::sample::{Sample, Texts};
use crate::report::{NumberSummary, Summary};

/// Of two columns of numbers.
pub(super) fn of_numbers(feature: &str, measured: &Measured) -> Option<String> {
    let Decisive { bins, counts: [reference, current] } = measured.decisive.as_ref()?;
    phrase(&Change {
        feature,
        slots: Slots::of_detector(bins),
        reference,
        current,
        known: measured.summaries.map(|summary| known(&summary.unwrap_or_default())),
        new_value: None,
        outside: measured.outside,
        beyond: [&[]; 2],
    })
}

/// Where a side is a profile, or both are texts.
pub(super) fn of_bins(
    feature: &str,
    measured: &Measured,
    summaries: &[Summary; 2],
    current: Option<&Sample>,
) -> Option<String> {
    let texts = match current {
        Some(Sample::Texts(texts)) => Some(texts),
        _ => None,
    };
    let known = summaries.each_ref().map(|summary| match summary {
        Summary::Numbers(numbers) => known(numbers),
        Summary::Categories(_) => Known::default(),
    });
    let mut scratch = String::new();
    // The counts of a file's texts that decisions rest on are put right for what the file has not seen: not what it had.
    let is_profile = measured.bins.is_ordered() || others(&measured.bins, &measured.counts[0]) > 0;
    if let Some(Decisive { bins, counts: [reference, current] }) =
        measured.decisive.as_ref().filter(|_| is_profile)
    {
        let unseen = bins.missing().checked_sub(1)?;
        let new = |texts: &'_ Texts| {
            let mut is_new = |text: &str| detector_slot_of(bins, Cell::Text(text), &mut scratch) == unseen;
            texts.counts.iter().filter(|(text, _)| is_new(text)).map(|(text, n)| (*n, text.clone())).max()
        };
        let new = texts.and_then(new);
        let new_value = new.as_ref().map(|(n, text)| (&**text, *n));
        let slots = Slots::of_detector(bins);
        return phrase(&Change {
            feature,
            slots,
            reference,
            current,
            known,
            new_value,
            outside: None,
            beyond: [&[]; 2],
        });
    }
    let bins = &measured.bins;
    let new = |texts: &'_ Texts| {
        let other = bins.other()?;
        let mut is_new = |text: &str| slot_of(bins, Cell::Text(text), &mut scratch) == other;
        texts.counts.iter().filter(|(text, _)| is_new(text)).map(|(text, n)| (*n, text.clone())).max()
    };
    let new = texts.filter(|_| others(bins, &measured.counts[0]) == 0).and_then(new);
    phrase(&Change {
        feature,
        slots: Slots::of(bins),
        reference: &measured.counts[0],
        current: &measured.counts[1],
        known,
        new_value: new.as_ref().map(|(n, text)| (&**text, *n)),
        outside: None,
        beyond: [&[]; 2],
    })
}

/// Rows without a bin of their own.
fn others(bins: &Bins, counts: &[u64]) -> u64 {
    bins.other().and_then(|other| counts.get(other)).copied().unwrap_or(0)
}

fn known(summary: &NumberSummary) -> Known {
    let [least, _, low, middle, high, _, most] = summary.quantiles;
    let quartiles = match (low, middle, high) {
        (Some(low), Some(middle), Some(high)) => Some([low, middle, high]),
        _ => None,
    };
    Known { quartiles, range: least.zip(most) }
}
