//! Columns with more categories than a profile keeps.
//!
//! A profile keeps the most frequent categories and counts the others together. Two files could be compared category by category,
//! but then a profile and the file that it was made of would give different verdicts. Therefore files are judged by the bins
//! that a profile has; the PSI over all categories is shown as well.

use monitor::profile::MAX_TEXT_BYTES;
use stats::{Bins, CategoricalBins};

use super::sample::{Sample, Texts};
use crate::baseline::CATEGORIES;

/// What the verdict rests on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) bins: Bins,
    /// Per slot of the bins, reference and current.
    pub(super) counts: [Vec<u64>; 2],
}

/// The bins and counts of a profile; `None` where it keeps every category.
pub(super) fn judged(reference: &Texts, current: &Texts) -> Option<Judged> {
    let is_kept = |text: &str| text.len() <= MAX_TEXT_BYTES;
    let kept = || reference.counts.iter().map(|(text, n)| (&**text, *n)).filter(|(text, _)| is_kept(text));
    if kept().count() == reference.counts.len() && reference.counts.len() <= CATEGORIES {
        return None;
    }
    let bins = Bins::Categorical(CategoricalBins::fit(kept(), CATEGORIES).ok()?);
    let counts = [reference, current].map(|texts| Sample::count_texts(texts, &bins));
    Some(Judged { bins, counts })
}

/// Says where categories are counted together. `frozen`: `bins` are a profile's; `truncated`: files are judged by fewer bins
/// than they have categories.
pub(super) fn note(
    feature: &str,
    bins: &Bins,
    counts: &[Vec<u64>; 2],
    frozen: bool,
    truncated: bool,
    names: [&str; 2],
    notes: &mut Vec<String>,
) {
    let Bins::Categorical(categories) = bins else { return };
    let kept = categories.categories().len();
    // Of an identifier something else is said.
    if truncated && kept as u64 * 4 <= counts[0].iter().sum::<u64>() {
        notes.push(format!(
            "`{feature}` has {kept} categories in the reference: its PSI and verdict rest on the {CATEGORIES} most frequent of at most {MAX_TEXT_BYTES} bytes and the others together, as a profile keeps them; JSON has the PSI over all as well"
        ));
    }
    let other = |counts: &Vec<u64>| counts.get(categories.other()).copied().unwrap_or(0);
    let others = counts.iter().map(other).next().unwrap_or(0);
    if frozen && others > 0 && kept > 0 {
        let share = others as f64 / counts[0].iter().sum::<u64>().max(1) as f64;
        notes.push(format!(
            "`{feature}`: `{}` keeps {kept} categories by name; the other {} of its rows are counted together",
            names[0],
            crate::report::percent(share)
        ));
    }
}
