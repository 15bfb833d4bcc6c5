//! Where personal data stands in a text.
//!
//! A prefilter passes once over the bytes; only a text that has an `@`, a long run of digits or the dots or colons of an
//! address is looked at again, once per detector. Every detector takes time linear in the text, whatever the text.
//!
//! Between missing personal data and hashing something harmless, the second is the better mistake: a hashed category is
//! still the same category.

use std::net::Ipv6Addr;

use super::Detectors;
use super::digits;

/// Longest quoted local part that is looked for, in bytes.
const QUOTED_BYTES_MAX: usize = 256;

/// Longest text of an IPv6 address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const IPV6_BYTES_MAX: usize = 45;

/// A piece of a text that is personal data: its first byte and the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Whether a text may hold something; false is certain.
pub(crate) fn suspect(text: &str) -> bool {
    let (mut digits, mut dots, mut colons) = (0_u32, 0_u32, 0_u32);
    for byte in text.as_bytes() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                if digits >= 7 {
                    return true;
                }
            }
            b'.' => dots += 1,
            b':' => colons += 1,
            b'@' | b'%' => return true,
            // Separators, and the bytes of those that are not ASCII.
            b' ' | b'-' | b'/' | b'(' | b')' | 0xc2 | 0xa0 | 0xe2 | 0x80 | 0x89..=0x94 | 0xaf => {}
            _ => digits = 0,
        }
    }
    colons >= 2 || (dots >= 3 && digits > 0) || (dots >= 3 && text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Finds everything that the detectors see, in order and without overlap.
pub(crate) fn find(text: &str, detectors: Detectors) -> Vec<Hit> {
    let mut hits = Vec::new();
    if detectors.email {
        emails(text.as_bytes(), &mut hits);
    }
    if detectors.ip {
        addresses(text, &mut hits);
    }
    if detectors.card || detectors.phone {
        hits.sort_unstable_by_key(|hit| hit.start);
        digits::find(text.as_bytes(), detectors, &mut hits);
    }
    merged(hits)
}

/// Sorts hits and joins those that overlap or touch.
fn merged(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_unstable_by_key(|hit| hit.start);
    hits.dedup_by(|later, earlier| {
        let touches = later.start <= earlier.end;
        if touches {
            earlier.end = earlier.end.max(later.end);
        }
        touches
    });
    hits
}

/// `local@domain`, the domain with or without a dot; the sign may be written `%40`.
fn emails(bytes: &[u8], hits: &mut Vec<Hit>) {
    let (mut at, mut floor) = (0, 0);
    while let Some((sign, width)) = next_sign(bytes, at) {
        let after = sign + width;
        let start = local_start(bytes, floor, sign);
        let domain = bytes[after..].iter().take_while(|byte| is_domain(**byte)).count();
        let dots = bytes[after..after + domain].iter().rev().take_while(|b| b".-".contains(b)).count();
        let end = after + domain - dots;
        (at, floor) = (after, after);
        if end > after {
            if start < sign {
                hits.push(Hit { start, end });
            } else if let Some(before) = hits.last_mut().filter(|before| before.end == sign) {
                // `a@b@c`: the first address is the second one's local part.
                before.end = end;
            } else {
                continue;
            }
            (at, floor) = (end, end);
        }
    }
}

fn next_sign(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(from..)?;
    let found = rest.iter().enumerate().find_map(|(at, byte)| match byte {
        b'@' => Some((at, 1)),
        b'%' if rest[at..].starts_with(b"%40") => Some((at, 3)),
        _ => None,
    });
    found.map(|(at, width)| (from + at, width))
}

/// Where the local part before a sign begins: at `sign` when there is none.
fn local_start(bytes: &[u8], floor: usize, sign: usize) -> usize {
    let before = &bytes[floor..sign];
    if let Some(inside) = before.strip_suffix(b"\"") {
        let window = inside.len().saturating_sub(QUOTED_BYTES_MAX);
        return match inside[window..].iter().rposition(|byte| *byte == b'"') {
            Some(quote) => floor + window + quote,
            None => sign,
        };
    }
    sign - before.iter().rev().take_while(|byte| is_local(**byte)).count()
}

/// What local parts are written with, without what delimits values in URLs and logs.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%'*+-^_~".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".-".contains(&byte)
}

/// IPv4 and IPv6 addresses.
fn addresses(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| is_address(**byte)).count();
        if run == 0 {
            at += 1;
            continue;
        }
        let is_start = at == 0 || !is_word(bytes[at - 1]);
        let colons = bytes[at..at + run].iter().filter(|byte| **byte == b':').count();
        match is_start.then(|| ipv6(text, at, at + run, colons)).flatten() {
            Some(hit) => hits.push(hit),
            None => quads(bytes, at, at + run, hits),
        }
        at += run;
    }
}

fn is_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || b":.".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn ipv6(text: &str, start: usize, end: usize, colons: usize) -> Option<Hit> {
    let run = text.get(start..end)?.trim_end_matches('.');
    let run = if run.ends_with("::") { run } else { run.strip_suffix(':').unwrap_or(run) };
    let fits = colons >= 2 && (3..=IPV6_BYTES_MAX).contains(&run.len());
    let end = start + run.len();
    let whole = text.as_bytes().get(end).is_none_or(|byte| !is_word(*byte));
    (fits && whole && run.parse::<Ipv6Addr>().is_ok()).then_some(Hit { start, end })
}

/// Four decimal octets with dots between, not part of a longer chain.
fn quads(bytes: &[u8], start: usize, end: usize, hits: &mut Vec<Hit>) {
    let mut at = start;
    while at < end {
        let begins =
            bytes[at].is_ascii_digit() && (at == 0 || !(is_word(bytes[at - 1]) || bytes[at - 1] == b'.'));
        let quad = if begins { quad(bytes, at) } else { None };
        match quad {
            Some(after) => {
                hits.push(Hit { start: at, end: after });
                at = after;
            }
            None => at += 1,
        }
    }
}

/// The end of the address that starts at `at`.
fn quad(bytes: &[u8], mut at: usize) -> Option<usize> {
    for octet in 0..4 {
        if octet > 0 {
            if bytes.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let digits = bytes.get(at..)?.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let value = bytes[at..at + digits].iter().fold(0_u32, |value, b| value * 10 + u32::from(b - b'0'));
        if !(1..=3).contains(&digits) || value > 255 {
            return None;
        }
        at += digits;
    }
    let goes_on = match bytes.get(at) {
        Some(b'.') => bytes.get(at + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => is_word(*byte),
        None => false,
    };
    (!goes_on).then_some(at)
}
