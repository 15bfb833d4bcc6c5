//! The distances of two counted samples, and the buckets they depend on.

use super::Tally;
use super::pick::Side;

/// Rows of both samples that have been passed.
type Passed = [u64; 2];

/// The largest difference of the two empirical distribution functions, infinities included: what [`crate::ks`] gives for
/// the sorted samples. `None` if one is empty, or the grids are not the same.
#[must_use]
pub fn ks(reference: &Side, current: &Side) -> Option<f64> {
    let totals = totals_with_infinities(&reference.tally, &current.tally)?;
    let mut passed = [reference.tally.infinite[0], current.tally.infinite[0]];
    let mut largest = difference(passed, totals).abs();
    walk(reference, current, |piece| {
        match piece {
            Piece::Bucket { rows, .. } | Piece::Value { rows, .. } => advance(&mut passed, rows),
        }
        largest = largest.max(difference(passed, totals).abs());
    });
    Some(largest)
}

/// The first Wasserstein distance of the finite numbers: what [`crate::wasserstein`] gives for the sorted samples, but for
/// rounding. `None` if one is empty, the grids are not the same, or sums of the values might overflow.
#[must_use]
pub fn wasserstein(reference: &Side, current: &Side) -> Option<f64> {
    let tallies = [&reference.tally, &current.tally];
    let totals = tallies.map(|tally| tally.rows);
    if totals.contains(&0) || !tallies.iter().all(|tally| tally.is_narrow()) {
        return None;
    }
    let centre = reference.tally.grid.centre;
    let share_of_sums = |sums: [f64; 2]| sums[0] / totals[0] as f64 - sums[1] / totals[1] as f64;
    // The area between the two functions, stretch by stretch. In a stretch the difference keeps its sign, so its area is
    // that of the sums; a stretch ends at a known value, or where the difference is zero and its end does not matter.
    let (mut area, mut passed, mut sums) = (0.0_f64, [0; 2], [0.0; 2]);
    // Where the stretch began, times the difference there.
    let mut began = 0.0;
    walk(reference, current, |piece| match piece {
        Piece::Bucket { rows, sums: more } => {
            advance(&mut passed, rows);
            sums = [sums[0] + more[0], sums[1] + more[1]];
            if compare(passed, totals).is_eq() {
                area += (began + share_of_sums(sums)).abs();
                (sums, began) = ([0.0; 2], 0.0);
            }
        }
        Piece::Value { value, rows } => {
            let at = value - centre;
            area += (at * exact_difference(passed, totals) - began - share_of_sums(sums)).abs();
            advance(&mut passed, rows);
            (sums, began) = ([0.0; 2], at * exact_difference(passed, totals));
        }
    });
    Some(area)
}

/// What the two functions do at a place.
enum Piece {
    /// Somewhere in a bucket.
    Bucket { rows: Passed, sums: [f64; 2] },
    /// At a known value.
    Value { value: f64, rows: Passed },
}

/// Visits both samples in ascending order.
fn walk(reference: &Side, current: &Side, mut visit: impl FnMut(Piece)) {
    let (mut i, mut j) = (0, 0);
    let buckets = reference.tally.buckets.iter().zip(&current.tally.buckets).enumerate();
    for (at, (a, b)) in buckets.filter(|(_, (a, b))| a.rows + b.rows > 0) {
        if !(reference.is_known(at) && current.is_known(at)) {
            visit(Piece::Bucket { rows: [a.rows, b.rows], sums: [a.sum, b.sum] });
            continue;
        }
        let (left, right) = (reference.runs_in(at, i), current.runs_in(at, j));
        (i, j) = (i + left.len(), j + right.len());
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        loop {
            let value = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a.min(*b),
                (Some((only, _)), None) | (None, Some((only, _))) => *only,
                (None, None) => break,
            };
            let take = |side: &mut std::iter::Peekable<std::slice::Iter<'_, (f64, u64)>>| {
                side.next_if(|(other, _)| *other == value).map_or(0, |(_, rows)| *rows)
            };
            let rows = [take(&mut left), take(&mut right)];
            visit(Piece::Value { value, rows });
        }
    }
}

/// Marks the buckets in which the distribution functions may differ more than at the ends of all buckets.
pub(super) fn mark_ks(reference: &Tally, current: &Tally, marks: &mut [bool]) {
    let Some(totals) = totals_with_infinities(reference, current) else { return };
    let start = [reference.infinite[0], current.infinite[0]];
    let mut largest = difference(start, totals).abs();
    each_bucket(reference, current, start, |_, _, after| {
        largest = largest.max(difference(after, totals).abs());
    });
    each_bucket(reference, current, start, |at, before, after| {
        // All of one sample's rows in the bucket before any of the other's.
        let extremes = [[after[0], before[1]], [before[0], after[1]]];
        marks[at] |= extremes.iter().any(|extreme| difference(*extreme, totals).abs() > largest);
    });
}

/// Marks the buckets in which the difference of the distribution functions may change its sign.
pub(super) fn mark_wasserstein(reference: &Tally, current: &Tally, marks: &mut [bool]) {
    let totals = [reference.rows, current.rows];
    each_bucket(reference, current, [0; 2], |at, before, after| {
        let highest = compare([after[0], before[1]], totals);
        let lowest = compare([before[0], after[1]], totals);
        marks[at] |= highest.is_gt() && lowest.is_lt();
    });
}

/// Calls `visit` with the rows before and after each bucket that is not empty.
fn each_bucket(
    reference: &Tally,
    current: &Tally,
    start: Passed,
    mut visit: impl FnMut(usize, Passed, Passed),
) {
    let mut passed = start;
    for (at, (a, b)) in reference.buckets.iter().zip(&current.buckets).enumerate() {
        if a.rows + b.rows > 0 {
            let before = passed;
            advance(&mut passed, [a.rows, b.rows]);
            visit(at, before, passed);
        }
    }
}

fn totals_with_infinities(reference: &Tally, current: &Tally) -> Option<Passed> {
    let totals = [reference, current].map(|tally| tally.rows + tally.infinite[0] + tally.infinite[1]);
    (!totals.contains(&0)).then_some(totals)
}

fn advance(passed: &mut Passed, rows: Passed) {
    passed[0] += rows[0];
    passed[1] += rows[1];
}

/// Reference minus current, as shares.
fn difference(passed: Passed, totals: Passed) -> f64 {
    passed[0] as f64 / totals[0] as f64 - passed[1] as f64 / totals[1] as f64
}

/// [`difference`], rounded once: where both shares are near one, a place far from the centre would make much of more.
fn exact_difference(passed: Passed, totals: Passed) -> f64 {
    let [reference, current] = scaled(passed, totals);
    (reference - current) as f64 / (totals[0] as f64 * totals[1] as f64)
}

/// The sign of the difference, without rounding.
fn compare(passed: Passed, totals: Passed) -> std::cmp::Ordering {
    let [reference, current] = scaled(passed, totals);
    reference.cmp(&current)
}

/// The shares times both totals.
fn scaled(passed: Passed, totals: Passed) -> [i128; 2] {
    [i128::from(passed[0]) * i128::from(totals[1]), i128::from(passed[1]) * i128::from(totals[0])]
}
