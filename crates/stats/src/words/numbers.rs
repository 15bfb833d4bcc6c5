//! How numbers differ: another unit, values beyond the reference, higher or lower, wider, or more in one bin.

use super::{Change, Shares, number, total, write};
use crate::quantile::quantile;

/// From this factor on all of the values are larger, or smaller.
const FACTOR: f64 = 3.0;

/// The outer quartiles have the median's factor, up to this one.
const ALIKE: f64 = 1.5;

/// A factor this near to a power of ten, by ratio, may be one: a median of a few rows is rough.
const POWER_NEAR: f64 = 1.25;

/// A factor this near to another one between units may be that.
const UNIT_NEAR: f64 = 1.1;

/// Factors between units of time.
const UNITS: [f64; 4] = [24.0, 60.0, 3_600.0, 86_400.0];

/// A median that moves by this share of the reference's middle half has moved.
const SHIFT: f64 = 0.25;

/// A middle half that grows by this factor, or shrinks, has changed.
const SPREAD: f64 = 1.25;

/// A part of the reference's range by which numbers beyond it are far outside.
const FAR: f64 = 0.5;

pub(super) fn phrase(change: &Change<'_>, edges: &[f64], shares: &[Shares]) -> Option<String> {
    let before = quartiles(change, 0, edges, shares.iter().map(|share| share.before));
    let now = quartiles(change, 1, edges, shares.iter().map(|share| share.now));
    let scaled = before.zip(now).and_then(|(before, now)| scale(before, now));
    scaled
        .or_else(|| outside(change, edges, shares, before.zip(now)))
        .or_else(|| before.zip(now).and_then(|(before, now)| moved(before, now)))
        .or_else(|| bin(edges, shares))
}

/// The quartiles as they are known, else estimated from the bins, and what lies beyond the reference's range from some of it; `None`
/// where one lies in an outermost bin without an end.
fn quartiles(
    change: &Change<'_>,
    side: usize,
    edges: &[f64],
    shares: impl Iterator<Item = f64>,
) -> Option<[f64; 3]> {
    if let Some(known) = change.known[side].quartiles {
        return Some(known);
    }
    let mut shares: Vec<f64> = shares.collect();
    // What was counted beyond the range is in the outermost bins as well.
    let beyond = match (side, change.outside) {
        (1, Some(outside)) => {
            let values = total(&change.current[..change.current.len() - 1]).max(1) as f64;
            let share = |side: usize, bin: Option<&mut f64>| {
                let share = bin.as_ref().map_or(0.0, |bin| (outside[side] as f64 / values).min(**bin));
                let share = if change.beyond[side].is_empty() { 0.0 } else { share };
                if let Some(bin) = bin {
                    *bin -= share;
                }
                share
            };
            [share(0, shares.first_mut()), share(1, shares.last_mut())]
        }
        _ => [0.0; 2],
    };
    let range = change.known[0].range;
    let at = |level: f64| {
        if level < beyond[0] {
            return quantile(change.beyond[0], level / beyond[0]);
        }
        let inside = level - beyond[0];
        let held: f64 = shares.iter().sum();
        if inside <= held || beyond[1] == 0.0 {
            return inside_bins(edges, &shares, range, inside.min(held));
        }
        quantile(change.beyond[1], ((inside - held) / beyond[1]).clamp(0.0, 1.0))
    };
    Some([at(0.25)?, at(0.5)?, at(0.75)?])
}

/// The quartiles of counts between ascending inner edges: linear inside of a bin. `range`: the smallest and the largest number.
/// `None` where a quartile lies in an outermost bin of which the end is not known.
#[must_use]
pub fn estimated_quartiles(edges: &[f64], counts: &[u64], range: Option<(f64, f64)>) -> Option<[f64; 3]> {
    let rows = total(counts).max(1) as f64;
    let shares: Vec<f64> = counts.iter().map(|count| *count as f64 / rows).collect();
    let at = |level: f64| inside_bins(edges, &shares, range, level);
    Some([at(0.25)?, at(0.5)?, at(0.75)?])
}

/// The number that a share of `level` lies below.
fn inside_bins(edges: &[f64], shares: &[f64], range: Option<(f64, f64)>, level: f64) -> Option<f64> {
    let mut below = 0.0;
    for (bin, share) in shares.iter().enumerate() {
        if below + share >= level && *share > 0.0 {
            let low = bin.checked_sub(1).and_then(|i| edges.get(i).copied()).or(range.map(|(lo, _)| lo))?;
            let high = edges.get(bin).copied().or(range.map(|(_, hi)| hi))?;
            let inside = ((level - below) / share).clamp(0.0, 1.0);
            let value = low * (1.0 - inside) + high * inside;
            return value.is_finite().then_some(value);
        }
        below += share;
    }
    None
}

/// All of the values are so many times larger or smaller.
fn scale(before: [f64; 3], now: [f64; 3]) -> Option<String> {
    let ratio = |at: usize| (before[at] != 0.0).then(|| now[at] / before[at]).filter(|r| r.is_finite());
    let middle = ratio(1)?;
    let medians = format!("(median {} → {})", number(before[1]), number(now[1]));
    // What is zero or of another sign says nothing of a factor.
    let alike = |factor: f64| {
        let others = [ratio(0), ratio(2)];
        others.iter().flatten().all(|other| (1.0 / ALIKE..=ALIKE).contains(&(other / factor)))
    };
    if (0.8..=1.25).contains(&-middle) && (before[0] > 0.0) != (now[0] > 0.0) {
        return Some(format!("of opposite sign {medians}"));
    }
    if middle <= 0.0 {
        return None;
    }
    let (factor, word) = if middle >= 1.0 { (middle, "larger") } else { (1.0 / middle, "smaller") };
    if factor < FACTOR || !alike(middle) {
        return None;
    }
    let (factor, unit) = match unit(factor) {
        Some(unit) => (unit, ": unit?"),
        None => (rounded(factor), ""),
    };
    Some(format!("about {} times {word} {medians}{unit}", number(factor)))
}

/// The factor between two units that a factor may be.
fn unit(factor: f64) -> Option<f64> {
    let near = |unit: f64, limit: f64| (1.0 / limit..=limit).contains(&(factor / unit));
    let of_time = UNITS.into_iter().find(|unit| near(*unit, UNIT_NEAR));
    let power = 10_f64.powf(factor.log10().round());
    of_time.or_else(|| (power >= 10.0 && near(power, POWER_NEAR)).then_some(power))
}

/// To two places.
fn rounded(factor: f64) -> f64 {
    if !factor.is_finite() || factor <= 0.0 {
        return factor;
    }
    let step = 10_f64.powf(factor.log10().floor() - 1.0);
    (factor / step).round() * step
}

/// More rows than there were, beyond the smallest or the largest number of the reference.
fn outside(
    change: &Change<'_>,
    edges: &[f64],
    shares: &[Shares],
    quartiles: Option<([f64; 3], [f64; 3])>,
) -> Option<String> {
    let (lo, hi) = change.known[0].range?;
    let values = total(&change.current[..change.current.len() - 1]).max(1) as f64;
    let now = change.known[1].range;
    let counted = |side: usize| change.outside.map(|outside| outside[side] as f64 / values);
    // Without a count: what its outermost bin has more, where the range shows that there is any.
    let more = |shares: Option<&Shares>| shares.map_or(0.0, |share| (share.now - share.before).max(0.0));
    let beyond = [
        (counted(0).unwrap_or_else(|| more(shares.first())), now.is_none_or(|(least, _)| least < lo)),
        (counted(1).unwrap_or_else(|| more(shares.last())), now.is_none_or(|(_, most)| most > hi)),
    ];
    let side = if beyond[1].0 >= beyond[0].0 { 1 } else { 0 };
    let (share, any) = beyond[side];
    let far = match (now, side) {
        (None, _) => change.outside.is_some(),
        (Some((least, _)), 0) => lo - least > FAR * (hi - lo),
        (Some((_, most)), _) => most - hi > FAR * (hi - lo),
    };
    let end = if side == 1 { shares.last() } else { shares.first() };
    let parts: f64 = shares.iter().map(|share| share.part()).sum();
    let explains = end.is_some_and(|end| end.part() * 2.0 > parts) || edges.is_empty();
    let still = quartiles.is_some_and(|(before, now)| moved(before, now).is_none());
    if !any || share < 0.002 || !(explains || far && still) {
        return None;
    }
    let (word, end, limit) = if side == 1 { ("above", "maximum", hi) } else { ("below", "minimum", lo) };
    let reach = match (now, side) {
        (None, _) => String::new(),
        (Some((_, most)), 1) => format!(" (now up to {})", number(most)),
        (Some((least, _)), _) => format!(" (now down to {})", number(least)),
    };
    Some(format!("{} {word} the training {end} of {}{reach}", write::share(share), number(limit)))
}

/// Higher or lower, wider or narrower.
fn moved(before: [f64; 3], now: [f64; 3]) -> Option<String> {
    // Halves: the difference of two numbers may be beyond the largest.
    let width = |quartiles: [f64; 3]| quartiles[2] / 2.0 - quartiles[0] / 2.0;
    let shift = now[1] / 2.0 - before[1] / 2.0;
    let medians = || format!("(median {} → {})", number(before[1]), number(now[1]));
    if shift != 0.0 && shift.abs() >= SHIFT * width(before) && number(before[1]) != number(now[1]) {
        let word = if shift > 0.0 { "higher" } else { "lower" };
        return Some(format!("{word} {}", medians()));
    }
    let growth = width(now) / width(before);
    if !growth.is_finite() || (1.0 / SPREAD..=SPREAD).contains(&growth) {
        return None;
    }
    let word = if growth > 1.0 { "wider" } else { "narrower" };
    let half = |quartiles: [f64; 3]| format!("{} to {}", number(quartiles[0]), number(quartiles[2]));
    let (before, now) = (half(before), half(now));
    (before != now).then(|| format!("{word} (middle half {before} → {now})"))
}

/// The bin that differs most.
fn bin(edges: &[f64], shares: &[Shares]) -> Option<String> {
    let most = shares.iter().copied().max_by(|a, b| a.weight().total_cmp(&b.weight()))?;
    if most.weight() == 0.0 {
        return None;
    }
    let low = most.slot.checked_sub(1).and_then(|at| edges.get(at)).copied();
    let place = match (low, edges.get(most.slot).copied()) {
        // The bin of a single value that many rows have.
        (Some(low), Some(high)) if low.next_up() >= high => format!("equal to {}", number(low)),
        (Some(low), Some(high)) => format!("from {} to {}", number(low), number(high)),
        (None, Some(high)) => format!("below {}", number(high)),
        (Some(low), None)
            if shares.len() == 3 && edges.first().is_some_and(|first| first.next_up() >= low) =>
        {
            format!("above {}", number(edges[0]))
        }
        (Some(low), None) => format!("at {} or above", number(low)),
        (None, None) => return None,
    };
    let [now, before] = write::shares(most.now, most.before);
    Some(format!("{now} {place} (training {before})"))
}
