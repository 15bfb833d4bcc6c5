//! Numbers and shares as people read them.

/// Numbers from here on, and those below its reciprocal, are written with an exponent.
const PLAIN: f64 = 1e12;

/// Places that are shown of a number that is not whole.
const PLACES: i32 = 4;

/// A number for people: whole ones up to a million million in full, thousands apart (`3 300`), others with four places.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..PLAIN).contains(&size) {
        let text = format!("{value:.3e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(digits));
    }
    let places = (PLACES - 1 - size.log10().floor() as i32).clamp(0, 8) as usize;
    // Whole numbers are counts and amounts: all of their digits say something.
    let text = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.places$}") };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", apart(whole))
}

/// Without zeros at the end of a fraction.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Thousands apart, from four digits on.
fn apart(whole: &str) -> String {
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A share in percent: `20 %`, `1.5 %`, `<0.1 %`.
#[must_use]
pub fn share(share: f64) -> String {
    at(share, if share >= 0.0995 { 0 } else { 1 })
}

/// Two shares with as many places as it takes to tell them apart, at most two.
pub(super) fn shares(one: f64, other: f64) -> [String; 2] {
    let texts = [share(one), share(other)];
    if texts[0] != texts[1] {
        return texts;
    }
    (1..=2).map(|places| [at(one, places), at(other, places)]).find(|[a, b]| a != b).unwrap_or(texts)
}

fn at(share: f64, places: usize) -> String {
    let percent = share * 100.0;
    let smallest = 0.1_f64.powi(places as i32);
    let text = format!("{percent:.places$}");
    if share > 0.0 && percent < smallest / 2.0 {
        return format!("<{smallest:.places$} %");
    }
    if share < 1.0 && text.parse() == Ok(100.0) {
        return format!(">{:.1} %", 99.9);
    }
    format!("{} %", trimmed(&text))
}
