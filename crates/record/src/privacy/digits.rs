//! Payment cards and phone numbers: groups of digits with separators between.

use super::detect::Hit;
use super::{Detectors, phone};

/// Digits of a card number.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

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
        let is_phone = detectors.phone && phone::plus(bytes, start).is_some();
        let card = if detectors.card && !is_phone { card(bytes, start) } else { None };
        let hit = card.or_else(|| if detectors.phone { phone::find(bytes, start) } else { None });
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
pub(super) fn group(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Bytes of the space or dash that stands at `at`, in the forms that typesetting has for them; 0 when there is none.
pub(super) fn space_or_dash(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..) {
        Some([b' ' | b'-', ..]) => 1,
        Some([0xc2, 0xa0, ..]) => 2,
        // Thin and narrow no-break space; hyphens and dashes.
        Some([0xe2, 0x80, 0x89 | 0x90..=0x94 | 0xaf, ..]) => 3,
        _ => 0,
    }
}

/// Bytes of one space or dash that stands at `at` with a digit behind.
fn card_separator(bytes: &[u8], at: usize) -> usize {
    let width = space_or_dash(bytes, at);
    if width == 0 {
        return 0;
    }
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
