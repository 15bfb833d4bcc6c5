//! Payment cards and phone numbers: groups of digits with separators between.

use super::Detectors;
use super::detect::Hit;

/// Digits of a card number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Most digits of a phone number (E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// Fewest digits of a phone number with its country's code.
const PHONE_DIGITS_MIN: usize = 7;

/// Groups of a phone number that are looked at.
const GROUPS_MAX: usize = 8;

/// Shortest word of hexadecimal digits that is taken for a digest or an id: MongoDB's have 24.
const DIGEST_BYTES_MIN: usize = 24;

/// Finds cards and phone numbers outside of `hits`, which are sorted; adds them at the end.
pub(crate) fn find(bytes: &[u8], detectors: Detectors, hits: &mut Vec<Hit>) {
    let (taken, mut next) = (hits.len(), 0);
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) {
        while next < taken && hits[next].end <= start {
            next += 1;
        }
        if let Some(hit) = hits[..taken].get(next).filter(|hit| hit.start <= start) {
            at = hit.end;
            continue;
        }
        // A `+` says that it is a phone number, whatever its check digit.
        let is_phone = detectors.phone && start > 0 && bytes[start - 1] == b'+';
        let card = if detectors.card && !is_phone { card(bytes, start) } else { None };
        let hit = card.or_else(|| if detectors.phone { phone(bytes, start) } else { None });
        at = match hit {
            Some(hit) => {
                hits.push(hit);
                hit.end
            }
            None => start + group(bytes, start),
        };
    }
}

/// Whether a whole number is a card's: an issuer's prefix, its length and a right check digit.
pub(crate) fn is_card(number: u64) -> bool {
    if number < 1_000_000_000_000 {
        return false;
    }
    let mut digits = [0; 20];
    let (mut rest, mut count) = (number, 0);
    while rest > 0 {
        digits[count] = (rest % 10) as u8;
        rest /= 10;
        count += 1;
    }
    digits[..count].reverse();
    is_card_number(&digits[..count])
}

/// Digits that stand together from `at` on.
fn group(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Bytes of one space, no-break space or dash that stands at `at` with a digit behind.
fn card_separator(bytes: &[u8], at: usize) -> usize {
    let width = match bytes.get(at..) {
        Some([b' ' | b'-', ..]) => 1,
        Some([0xc2, 0xa0, ..]) => 2,
        _ => return 0,
    };
    if bytes.get(at + width).is_some_and(u8::is_ascii_digit) { width } else { 0 }
}

/// The longest card number that starts with the group at `start` and ends with a group.
fn card(bytes: &[u8], start: usize) -> Option<Hit> {
    if start >= 2 && bytes[start - 1] == b'.' && bytes[start - 2].is_ascii_digit() {
        return None; // decimals
    }
    let mut digits = [0_u8; 19];
    let (mut count, mut at, mut best) = (0, start, None);
    loop {
        let length = group(bytes, at);
        let Some(room) = digits.get_mut(count..count + length) else { break };
        room.iter_mut().zip(&bytes[at..]).for_each(|(digit, byte)| *digit = byte - b'0');
        count += length;
        at += length;
        if is_card_number(&digits[..count]) {
            best = Some(at);
        }
        match card_separator(bytes, at) {
            0 => break,
            width => at += width,
        }
    }
    best.filter(|end| !in_digest(bytes, start, *end)).map(|end| Hit { start, end })
}

/// Whether the place is inside a long word of hexadecimal digits with letters among them.
fn in_digest(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = |byte: &&u8| byte.is_ascii_alphanumeric();
    let before = bytes[..start].iter().rev().take(64).take_while(word).count();
    let after = bytes[end..].iter().take(64).take_while(word).count();
    let around = bytes[start - before..start].iter().chain(&bytes[end..end + after]);
    before + after + (end - start) >= DIGEST_BYTES_MIN
        && around.clone().any(u8::is_ascii_alphabetic)
        && around.clone().all(u8::is_ascii_hexdigit)
}

/// `digits` are values 0 to 9, not characters.
fn is_card_number(digits: &[u8]) -> bool {
    CARD_DIGITS.contains(&digits.len()) && has_issuer(digits) && luhn(digits)
}

/// Prefix and length of the card networks (ISO/IEC 7812 ranges as the networks publish them).
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = |n: usize| digits[..n].iter().fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let (two, three, four, length) = (prefix(2), prefix(3), prefix(4), digits.len());
    match digits[0] {
        // Visa.
        4 => matches!(length, 13 | 16 | 19),
        // Mastercard, Maestro, Verve.
        5 => (matches!(two, 51..=55) && length == 16) || matches!(two, 50 | 56..=59),
        // Mastercard, Mir.
        2 => (matches!(four, 2221..=2720) && length == 16) || (matches!(four, 2200..=2204) && length >= 16),
        // Discover, UnionPay, Maestro, RuPay.
        6 => true,
        // American Express, Diners Club, JCB.
        3 => {
            (matches!(two, 34 | 37) && length == 15)
                || (matches!(two, 36 | 38 | 39) && length >= 14)
                || (matches!(three, 300..=305) && length >= 14)
                || (matches!(four, 3528..=3589) && length >= 16)
        }
        // RuPay, Troy, older JCB.
        8 => matches!(two, 81 | 82) && length == 16,
        9 => four == 9792 && length == 16,
        1 => four == 1800 && length == 15,
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => digit * 2 - if digit > 4 { 9 } else { 0 },
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Groups of digits as a phone number has them.
struct Groups {
    lengths: [usize; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    count: usize,
    /// Groups from the first on with one and the same separator between.
    alike: usize,
    /// The first separator.
    separator: u8,
}

impl Groups {
    /// Reads groups up to the first that would be one digit or group too much.
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut groups =
            Self { lengths: [0; GROUPS_MAX], ends: [0; GROUPS_MAX], count: 0, alike: 1, separator: 0 };
        let (mut at, mut digits, mut alike) = (start, 0, true);
        while groups.count < GROUPS_MAX {
            let length = group(bytes, at);
            digits += length;
            if digits > PHONE_DIGITS_MAX + 2 {
                break;
            }
            at += length;
            groups.lengths[groups.count] = length;
            groups.ends[groups.count] = at;
            groups.count += 1;
            let width = phone_separator(bytes, at);
            if width == 0 {
                break;
            }
            if groups.separator == 0 {
                groups.separator = bytes[at];
            }
            alike &= width == 1 && bytes[at] == groups.separator;
            groups.alike += usize::from(alike);
            at += width;
        }
        groups.alike = groups.alike.min(groups.count);
        groups
    }

    fn digits(&self, count: usize) -> usize {
        self.lengths[..count].iter().sum()
    }

    fn lengths(&self) -> &[usize] {
        &self.lengths[..self.count]
    }
}

/// Bytes of up to three separators with a digit behind.
fn phone_separator(bytes: &[u8], at: usize) -> usize {
    let mut width = 0;
    for _ in 0..3 {
        width += match bytes.get(at + width..) {
            Some([b' ' | b'-' | b'.' | b'/' | b'(' | b')', ..]) => 1,
            Some([0xc2, 0xa0, ..]) => 2,
            _ => break,
        };
    }
    if width > 0 && bytes.get(at + width).is_some_and(u8::is_ascii_digit) { width } else { 0 }
}

/// The phone number whose first group starts at `start`.
fn phone(bytes: &[u8], start: usize) -> Option<Hit> {
    let before = |back: usize| start.checked_sub(back).map(|at| bytes[at]);
    let groups = Groups::read(bytes, start);
    if before(1) == Some(b'+') && !before(2).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return international(&groups, 0).map(|end| Hit { start: start - 1, end });
    }
    let inside = match before(1) {
        Some(b'-' | b'.' | b'/') => before(2).is_some_and(|byte| byte.is_ascii_alphanumeric()),
        Some(byte) => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'+',
        None => false,
    };
    if inside || groups.count < 2 {
        return None;
    }
    let zeros = bytes[start..].iter().take_while(|byte| **byte == b'0').count();
    if zeros == 2 {
        return international(&groups, 2).map(|end| Hit { start, end });
    }
    let paren = before(1) == Some(b'(') && bytes.get(groups.ends[0]) == Some(&b')');
    let used = national(&groups, bytes[start], paren)?;
    let end = groups.ends[used - 1];
    let goes_on = bytes.get(end).is_some_and(u8::is_ascii_alphabetic);
    (!goes_on).then_some(Hit { start: start - usize::from(paren), end })
}

/// The end of the longest number in E.164, after `skip` digits that are not part of it.
fn international(groups: &Groups, skip: usize) -> Option<usize> {
    let fits = |count: &usize| {
        let digits = groups.digits(*count).saturating_sub(skip);
        (PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&digits)
    };
    let count = (1..=groups.count).rev().find(fits)?;
    // One dot and nothing else: a decimal number.
    let decimal = count == 2 && groups.alike == 2 && groups.separator == b'.';
    (!decimal).then(|| groups.ends[count - 1])
}

/// How many groups are a number as it is written inside a country.
fn national(groups: &Groups, first: u8, paren: bool) -> Option<usize> {
    let lengths = groups.lengths();
    if paren && (2..=5).contains(&lengths[0]) {
        return (2..=groups.count).rev().find(|count| (7..=12).contains(&groups.digits(*count)));
    }
    if first == b'0' && lengths[0] >= 2 && !lengths.starts_with(&[2, 2, 4]) {
        return (2..=groups.count).rev().find(|count| (9..=12).contains(&groups.digits(*count)));
    }
    let north_american = match lengths {
        [3, 3, 4] => matches!(first, b'2'..=b'9'),
        [1, 3, 3, 4] => first == b'1',
        _ => false,
    };
    if north_american {
        return Some(groups.count);
    }
    let tight = groups.separator == b'-' || groups.separator == b' ';
    let alike = &lengths[..groups.alike];
    match alike {
        [3, 3, 4] if matches!(first, b'2'..=b'9') => Some(3),
        [1, 3, 3, 4] if first == b'1' => Some(4),
        [3, 3, 3] | [3 | 2, 4, 4] | [2, 5, 4] if tight => Some(3),
        [5, 5] if groups.separator == b' ' => Some(2),
        _ => None,
    }
}
