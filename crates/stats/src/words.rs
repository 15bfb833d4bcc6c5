//! How a feature differs from its reference, in words with values and magnitudes: the one place where such phrases are made.
//!
//! A phrase is short enough for a telephone's screen and says what an operator would look for first: a value that is always the
//! same, another unit, values beyond what the reference has, a category that comes more often. Magnitudes come from the counts of
//! both sides; what is known of the values themselves ([`Known`]) makes them exact.

mod numbers;
#[cfg(test)]
mod tests;
mod write;

pub use numbers::estimated_quartiles;
pub use write::{number, share};

use crate::FLOOR;
use crate::bins::Bins;
use crate::detect::DetectorBins;

/// Causes that are named together; of more their number is said.
pub const CAUSES: usize = 5;

/// A side says something about a feature from so many values on.
const MIN_VALUES: u64 = 2;

/// Fewer values that are alike may be so by chance.
const MIN_ALWAYS: u64 = 10;

/// Values of which one makes up this share are one and the same value.
const ALWAYS: f64 = 0.995;

/// A feature may be called constant when its reference's most frequent value has at most this share.
const MAX_TOP: f64 = 0.9;

/// The slots of a feature: the bins, and for both kinds of categories those without a name, then `missing`.
#[derive(Clone, Copy, Debug)]
pub enum Slots<'a> {
    /// Bins between ascending inner edges.
    Ordered {
        /// The inner edges.
        edges: &'a [f64],
    },
    /// A slot for each of few values, one for any other.
    Values(&'a [f64]),
    /// A slot for each name, then for values without a slot of their own.
    Categories {
        /// The names.
        names: &'a [String],
        /// Whether the first slot behind the names is for values that are rare in the reference, and the second for those that it
        /// does not have. Otherwise one is for both.
        rare: bool,
    },
}

/// What is known of the values of one side, beside the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// The first, second and third quartile of its numbers.
    pub quartiles: Option<[f64; 3]>,
    /// Its smallest and largest number.
    pub range: Option<(f64, f64)>,
}

/// A feature on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its name.
    pub feature: &'a str,
    /// The slots of the counts.
    pub slots: Slots<'a>,
    /// Counts per slot of the reference, `missing` last.
    pub reference: &'a [u64],
    /// Counts per slot now.
    pub current: &'a [u64],
    /// What is known of the numbers of the reference and of now.
    pub known: [Known; 2],
    /// The most frequent of the current values that the reference does not have, and its rows.
    pub new_value: Option<(&'a str, u64)>,
    /// Current rows with a number below the reference's smallest and above its largest, where they were counted.
    pub outside: Option<[u64; 2]>,
    /// Some of these numbers, below and above, ascending: where quartiles are not known, they say how far the values lie.
    pub beyond: [&'a [f64]; 2],
}

impl<'a> Slots<'a> {
    /// The slots of the bins that are shown.
    #[must_use]
    pub fn of(bins: &'a Bins) -> Self {
        match bins {
            Bins::Numeric(bins) => Self::Ordered { edges: bins.inner_edges() },
            Bins::Categorical(bins) => Self::Categories { names: bins.categories(), rare: false },
        }
    }

    /// The slots of the detector's bins.
    #[must_use]
    pub fn of_detector(bins: &'a DetectorBins) -> Self {
        match bins {
            DetectorBins::Ordered(bins) => Self::Ordered { edges: bins.inner_edges() },
            DetectorBins::Values(values) => Self::Values(values),
            DetectorBins::Categories { kept, .. } => {
                Self::Categories { names: kept.categories(), rare: true }
            }
        }
    }

    /// How many slots there are, `missing` included.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Ordered { edges } => edges.len() + 2,
            Self::Values(values) => values.len() + 2,
            Self::Categories { names, rare } => names.len() + 2 + usize::from(*rare),
        }
    }

    /// Never: there is a slot for missing values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What is in a slot, as the subject of a sentence.
    fn name(&self, slot: usize) -> Option<String> {
        match self {
            Self::Ordered { .. } => None,
            Self::Values(values) => values.get(slot).map(|value| quoted(&number(*value))),
            Self::Categories { names, .. } => names.get(slot).map(|name| quoted(name)),
        }
    }
}

/// Shares of both sides in one slot, of rows with a value.
#[derive(Clone, Copy, Debug)]
struct Shares {
    slot: usize,
    before: f64,
    now: f64,
}

impl Shares {
    /// What the slot adds to the PSI.
    fn part(self) -> f64 {
        let (before, now) = (self.before.max(FLOOR), self.now.max(FLOOR));
        (now - before) * (now / before).ln()
    }

    /// How much it tells: the slot's part of a chi-square statistic. PSI would choose rare slots that are empty by chance.
    fn weight(self) -> f64 {
        let sum = self.before + self.now;
        if sum > 0.0 { (self.now - self.before).powi(2) / sum } else { 0.0 }
    }

    /// `20 % (training 0 %)`: with as many digits as it takes to tell both apart.
    fn text(self) -> String {
        let [now, before] = write::shares(self.now, self.before);
        format!("{now} (training {before})")
    }
}

/// How the feature differs: `country: ``XX`` is 20 % (training 0 %)`. `None` where a side has too few values, or nothing differs.
#[must_use]
pub fn phrase(change: &Change<'_>) -> Option<String> {
    let slots = change.slots.len();
    if change.reference.len() != slots || change.current.len() != slots {
        return None;
    }
    let said = missing(change).or_else(|| {
        let shares = shares(change)?;
        always(change, &shares).or_else(|| match change.slots {
            Slots::Ordered { edges } => numbers::phrase(change, edges, &shares),
            Slots::Values(_) | Slots::Categories { .. } => category(change, &shares),
        })
    })?;
    Some(format!("{}: {said}", clipped(change.feature)))
}

/// Of the causes of a drift, each with its size: at most [`CAUSES`], the largest first, and how many more there are.
#[must_use]
pub fn causes<'a>(causes: impl IntoIterator<Item = (f64, &'a str)>) -> String {
    let mut sorted: Vec<(f64, &str)> = causes.into_iter().collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut named: Vec<String> = sorted.iter().take(CAUSES).map(|(_, text)| (*text).to_owned()).collect();
    if sorted.len() > CAUSES {
        named.push(format!("{} more", sorted.len() - CAUSES));
    }
    named.join("; ")
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

/// Most of the difference is that values are missing, or are not missing any more.
fn missing(change: &Change<'_>) -> Option<String> {
    let (m, n) = (total(change.reference), total(change.current));
    if m < MIN_VALUES || n < MIN_VALUES {
        return None;
    }
    let all = change.reference.iter().zip(change.current).enumerate();
    let all = all.map(|(slot, (before, now))| Shares {
        slot,
        before: *before as f64 / m as f64,
        now: *now as f64 / n as f64,
    });
    let parts: f64 = all.clone().map(Shares::part).sum();
    let missing = all.max_by_key(|share| share.slot)?;
    (missing.part() > parts / 2.0).then(|| {
        let [now, before] = write::shares(missing.now, missing.before);
        format!("{now} missing (training {before})")
    })
}

/// Shares by slot of the rows that have a value; `None` where a side has too few.
fn shares(change: &Change<'_>) -> Option<Vec<Shares>> {
    let values = |counts: &'_ [u64]| total(&counts[..counts.len() - 1]);
    let (m, n) = (values(change.reference), values(change.current));
    if m < MIN_VALUES || n < MIN_VALUES {
        return None;
    }
    let both = change.reference.iter().zip(change.current).take(change.slots.len() - 1).enumerate();
    let share = |(slot, (before, now)): (usize, (&u64, &u64))| Shares {
        slot,
        before: *before as f64 / m as f64,
        now: *now as f64 / n as f64,
    };
    Some(both.map(share).collect())
}

/// One and the same value, where the reference has several.
fn always(change: &Change<'_>, shares: &[Shares]) -> Option<String> {
    if total(&change.current[..change.current.len() - 1]) < MIN_ALWAYS {
        return None;
    }
    if let Some((lo, hi)) = change.known[1].range
        && lo == hi
    {
        let varies = match change.known[0].range {
            Some((lo, hi)) => lo < hi,
            None => shares.iter().all(|share| share.before <= MAX_TOP),
        };
        return varies.then(|| format!("always {}", number(lo)));
    }
    let one = shares.iter().find(|share| share.now >= ALWAYS && share.before <= MAX_TOP)?;
    let name = change.slots.name(one.slot)?;
    Some(if one.now < 1.0 { format!("nearly always {name}") } else { format!("always {name}") })
}

/// The value whose share differs most.
fn category(change: &Change<'_>, shares: &[Shares]) -> Option<String> {
    let most = shares.iter().copied().max_by(|a, b| a.weight().total_cmp(&b.weight()))?;
    if most.weight() == 0.0 {
        return None;
    }
    if let Some(name) = change.slots.name(most.slot) {
        return Some(format!("{name} is {}", most.text()));
    }
    let named = match change.slots {
        Slots::Values(values) => values.len(),
        Slots::Categories { names, .. } => names.len(),
        Slots::Ordered { .. } => return None,
    };
    let is_rare = matches!(change.slots, Slots::Categories { rare: true, .. }) && most.slot == named;
    if is_rare {
        return Some(format!("rare values are {}", most.text()));
    }
    let n: u64 = total(&change.current[..change.current.len() - 1]);
    if let Some((value, rows)) = change.new_value.filter(|_| most.now > most.before) {
        let new = Shares { slot: most.slot, before: 0.0, now: (rows as f64 / n.max(1) as f64).min(1.0) };
        // One value that explains what is new.
        if new.now * 2.0 >= most.now - most.before {
            return Some(format!("{} is {}", quoted(value), new.text()));
        }
    }
    Some(format!("new values are {}", most.text()))
}

/// A value between back quotes, short and on one line.
fn quoted(value: &str) -> String {
    format!("`{}`", clipped(value).replace('`', "'"))
}

/// Not longer than a line bears, without characters that move a cursor.
fn clipped(text: &str) -> String {
    const CHARS: usize = 40;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= CHARS {
        return text.chars().map(clean).collect();
    }
    text.chars().map(clean).take(CHARS - 1).chain(['…']).collect()
}
