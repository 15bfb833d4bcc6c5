//! Phone numbers: with their country's code as E.164 has it, and as they are written inside of a country.
//!
//! With `+` or `00` in front the country's code has to be one that the ITU has given, and a number of the North American
//! plan has to be whole. Without, digits alone say little: what counts are the ways in which numbers are written, the
//! trunk prefix `0` and the area codes' first digits. Lists of numbers, dates and amounts have none of these.

use super::detect::Hit;
use super::digits::{group, space_or_dash};

/// Most digits of a number with its country's code (E.164).
const DIGITS_MAX: usize = 15;

/// Fewest of them: Niue has four behind its code of three.
const DIGITS_MIN: usize = 7;

/// Digits of a number that is written with the trunk prefix.
const TRUNK_DIGITS: std::ops::RangeInclusive<usize> = 9..=12;

/// Groups that are looked at.
const GROUPS_MAX: usize = 8;

/// Digits that are looked at: the longest number, and `00` before it.
const SEEN_MAX: usize = DIGITS_MAX + 2;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    Space,
    Dash,
    Dot,
    /// A slash, a parenthesis or several characters.
    Other,
}

/// Groups of digits as a phone number has them.
struct Groups {
    digits: [u8; SEEN_MAX],
    lengths: [usize; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    /// What follows each group.
    gaps: [Gap; GROUPS_MAX],
    count: usize,
}

impl Groups {
    /// Reads groups up to the first that would be one digit or group too much, or begins a word.
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut groups = Self {
            digits: [0; SEEN_MAX],
            lengths: [0; GROUPS_MAX],
            ends: [0; GROUPS_MAX],
            gaps: [Gap::None; GROUPS_MAX],
            count: 0,
        };
        let (mut at, mut seen) = (start, 0);
        while groups.count < GROUPS_MAX {
            let length = group(bytes, at);
            // `… 2nd`: a word's, not the number's.
            if groups.count > 0 && goes_on(bytes, at + length) {
                break;
            }
            let Some(room) = groups.digits.get_mut(seen..seen + length) else { break };
            room.iter_mut().zip(&bytes[at..]).for_each(|(digit, byte)| *digit = byte - b'0');
            (at, seen) = (at + length, seen + length);
            groups.lengths[groups.count] = length;
            groups.ends[groups.count] = at;
            groups.count += 1;
            let (gap, width) = gap(bytes, at);
            if width == 0 {
                break;
            }
            groups.gaps[groups.count - 1] = gap;
            at += width;
        }
        groups
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths[..self.count]
    }

    /// Digits of the first `count` groups.
    fn total(&self, count: usize) -> usize {
        self.lengths[..count].iter().sum()
    }

    /// The digit that group `at` begins with.
    fn first_of(&self, at: usize) -> u8 {
        self.digits[self.total(at)]
    }

    /// The value of group `at`.
    fn value(&self, at: usize) -> u64 {
        let start = self.total(at);
        let digits = &self.digits[start..start + self.lengths[at]];
        digits.iter().fold(0, |value, digit| value * 10 + u64::from(*digit))
    }

    /// The first `count` groups have one and the same space or sign between.
    fn alike(&self, count: usize) -> bool {
        self.gaps[..count - 1].iter().all(|gap| *gap == self.gaps[0])
    }

    /// Every group is a round number, as in lists of amounts and sizes.
    fn are_round(&self) -> bool {
        (0..self.count).all(|at| self.value(at).is_multiple_of(10))
    }
}

/// Up to three separators with a digit behind: what they are, and their bytes.
fn gap(bytes: &[u8], at: usize) -> (Gap, usize) {
    let (mut kind, mut width) = (Gap::None, 0);
    for turn in 0..3 {
        let here = at + width;
        let (one, step) = match (bytes.get(here), space_or_dash(bytes, here)) {
            (Some(b'.'), _) => (Gap::Dot, 1),
            (Some(b'/' | b'(' | b')'), _) => (Gap::Other, 1),
            (_, 0) => break,
            (Some(b' ' | 0xc2), step) => (Gap::Space, step),
            (_, step) if matches!(bytes.get(here + 2), Some(0x89 | 0xaf)) && step == 3 => (Gap::Space, step),
            (_, step) => (Gap::Dash, step),
        };
        kind = if turn == 0 { one } else { Gap::Other };
        width += step;
    }
    let is_between = width > 0 && bytes.get(at + width).is_some_and(u8::is_ascii_digit);
    if is_between { (kind, width) } else { (Gap::None, 0) }
}

/// Where the plus sign begins that stands right before `start`; it may be written `%2B`.
pub(super) fn plus(bytes: &[u8], start: usize) -> Option<usize> {
    let before = &bytes[..start];
    let at = match before {
        [.., b'+'] => start - 1,
        [.., b'%', b'2', b'B' | b'b'] => start - 3,
        _ => return None,
    };
    let goes_on = at.checked_sub(1).is_some_and(|at| bytes[at].is_ascii_digit());
    (!goes_on).then_some(at)
}

/// The phone number whose first group starts at `start`.
pub(super) fn find(bytes: &[u8], start: usize) -> Option<Hit> {
    let groups = Groups::read(bytes, start);
    if groups.count == 0 {
        return None;
    }
    if let Some(from) = plus(bytes, start) {
        return international(&groups, 0).map(|count| Hit { start: from, end: groups.ends[count - 1] });
    }
    if is_inside(bytes, start) {
        return None;
    }
    // `(030) …`, and `(0 30) …` as DIN 5008 once had it.
    let opens = start > 0 && bytes[start - 1] == b'(';
    let apart = groups.lengths()[0] == 1 && groups.gaps[0] == Gap::Space && groups.gaps[1] == Gap::Other;
    let paren = opens && (apart || bytes.get(groups.ends[0]) == Some(&b')'));
    let zeros = groups.digits[..groups.total(groups.count)].iter().take_while(|digit| **digit == 0).count();
    let used = match zeros {
        0 => plain(&groups, paren),
        1 => trunk(&groups, paren),
        2 => international(&groups, 2),
        _ => None,
    }?;
    let end = groups.ends[used - 1];
    (!goes_on(bytes, end)).then_some(Hit { start: start - usize::from(paren), end })
}

/// Whether the digits belong to a word or number that began before them.
fn is_inside(bytes: &[u8], start: usize) -> bool {
    let before = |back: usize| start.checked_sub(back).map(|at| bytes[at]);
    match (before(1), before(2)) {
        // `Tel.030 …`
        (Some(b'.'), Some(byte)) => byte.is_ascii_digit(),
        (Some(b'-' | b'/'), Some(byte)) => byte.is_ascii_alphanumeric(),
        (Some(byte), _) => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'+',
        (None, _) => false,
    }
}

/// Whether a word goes on behind the digits. An extension is no word: `x12`, `ext. 12`.
fn goes_on(bytes: &[u8], end: usize) -> bool {
    match bytes.get(end..).unwrap_or_default() {
        [b'x' | b'X', next, ..] if next.is_ascii_digit() => false,
        [b'e' | b'E', b'x' | b'X', b't' | b'T', ..] => false,
        [next, ..] => next.is_ascii_alphabetic() || *next == b'_',
        [] => false,
    }
}

/// How many groups are the longest number of E.164, after `skip` digits that are not part of it.
fn international(groups: &Groups, skip: usize) -> Option<usize> {
    let digits = &groups.digits[skip..];
    let north_american = digits[0] == 1;
    if !has_country(digits) || (north_american && !(is_area(digits[1]) && is_area(digits[4]))) {
        return None;
    }
    let fits = |count: &usize| {
        let n_digits = groups.total(*count).saturating_sub(skip);
        match digits[0] {
            // The North American plan, and Russia's and Kazakhstan's: always eleven.
            1 | 7 => n_digits == 11,
            _ if skip > 0 && groups.count == 1 => (10..=DIGITS_MAX).contains(&n_digits),
            _ => (DIGITS_MIN..=DIGITS_MAX).contains(&n_digits),
        }
    };
    let count = (1..=groups.count).rev().find(fits)?;
    // One dot and nothing else: a decimal number.
    let decimal = count == 2 && groups.gaps[0] == Gap::Dot;
    (!decimal).then_some(count)
}

/// Whether the digits begin with a code that the ITU has given to a country or service (E.164, list of assigned codes).
fn has_country(digits: &[u8]) -> bool {
    match (digits[0], digits[1], digits[2]) {
        (0, ..) => false,
        (1 | 7, ..) => true,
        (2, 0 | 7, _) => true,
        (2, 1, third) => matches!(third, 1 | 2 | 3 | 6 | 8),
        (2, 2..=6, _) => true,
        (2, 8, _) => false,
        (2, 9, third) => matches!(third, 0 | 1 | 7..=9),
        (3, ..) | (4, 0..=1 | 3..=9, _) => true,
        (4, 2, third) => matches!(third, 0 | 1 | 3),
        (5 | 6, ..) => true,
        (8, 0, third) => matches!(third, 0 | 8),
        (8, 3 | 9, _) => false,
        (8, ..) => true,
        (9, 7, third) => third != 8,
        (9, 9, third) => matches!(third, 2..=6 | 8),
        _ => true,
    }
}

/// What an area code and an exchange of the North American plan begin with.
fn is_area(digit: u8) -> bool {
    digit >= 2
}

/// How many groups are a number with the trunk prefix 0, as in Britain, Germany and most of Europe.
fn trunk(groups: &Groups, paren: bool) -> Option<usize> {
    let lengths = groups.lengths();
    if groups.count == 1 {
        return is_mobile(&groups.digits[..lengths[0]]).then_some(1);
    }
    if lengths[0] < 2 && !paren || is_date(groups) {
        return None;
    }
    // `01 42 68 53 00`: pairs with the same between; otherwise dates of two digits would do.
    if !paren && lengths.starts_with(&[2, 2]) {
        return (lengths.starts_with(&[2; 5]) && groups.alike(5)).then_some(5);
    }
    let fits = |count: &usize| {
        let gaps = &groups.gaps[..count - 1];
        let dots = gaps.iter().filter(|gap| **gap == Gap::Dot).count();
        // A dot between two groups is a decimal point, and among other separators it ends a sentence or a thousand.
        let dotted = dots == 0 || (dots == gaps.len() && *count > 2);
        dotted && TRUNK_DIGITS.contains(&groups.total(*count))
    };
    (2..=groups.count).rev().find(fits)
}

/// `31.01.2026`, `01/2026`: a day or month, and a year.
fn is_date(groups: &Groups) -> bool {
    let is_year = |at: usize| groups.lengths()[at] == 4 && matches!(groups.value(at), 1900..=2099);
    match groups.lengths() {
        [2, 4, ..] => groups.value(0) <= 12 && is_year(1),
        [2, 2, 4, ..] => groups.value(0) <= 31 && groups.value(1) <= 31 && is_year(2),
        _ => false,
    }
}

/// British (`07`, eleven digits) and German (`015`, `016`, `017`, eleven or twelve) mobile numbers in one piece.
fn is_mobile(digits: &[u8]) -> bool {
    match (digits, digits.len()) {
        ([0, 7, third, ..], 11) => *third != 0 && *third != 6,
        ([0, 1, 5..=7, ..], 11 | 12) => true,
        _ => false,
    }
}

/// How many groups are a number as it is written inside a country without trunk prefix.
fn plain(groups: &Groups, paren: bool) -> Option<usize> {
    let (lengths, first) = (groups.lengths(), groups.digits[0]);
    let tight = |count: usize| groups.alike(count) && matches!(groups.gaps[0], Gap::Space | Gap::Dash);
    match lengths {
        // The North American plan: area code and exchange, with and without the country's code. A list of numbers of three
        // digits looks like it only by chance: the last group has four.
        [3, 3, 4, ..] if is_area(first) && is_area(groups.first_of(1)) => Some(3),
        [3, 7, ..] if paren && is_area(first) && is_area(groups.first_of(1)) => Some(2),
        [1, 3, 3, 4, ..] if first == 1 && is_area(groups.first_of(1)) && is_area(groups.first_of(2)) => {
            Some(4)
        }
        // Brazil, Mexico, Argentina.
        [2, 4 | 5, 4, ..] if paren => Some(3),
        [2, 4 | 5, 4] if groups.gaps[1] == Gap::Dash => Some(3),
        [2, 4, 4] if tight(3) && !groups.are_round() => Some(3),
        // China's mobile numbers.
        [3, 4, 4] if first == 1 && groups.digits[1] >= 3 && tight(3) => Some(3),
        // Spain, Poland, Czechia, Portugal.
        [3, 3, 3] if first >= 5 && tight(3) && !groups.are_round() => Some(3),
        // India's mobile numbers.
        [5, 5] if first >= 6 && tight(2) && !groups.are_round() => Some(2),
        _ => None,
    }
}

#[cfg(test)]
#[path = "phone_tests.rs"]
mod tests;
