//! Which columns are no features: a value that never comes again cannot be compared with what came before.
//!
//! A role is decided from values in the order in which they came in, on the reference and again on live traffic, by the same
//! rules for training files, learned references and requests.
//!
//! | role | is | judged |
//! | --- | --- | --- |
//! | value | numbers and categories | yes |
//! | identifier | texts of which more than 90 % differ, or of which at 200 rows and more over half have come only once | no |
//! | time | ISO and other written times, numbers of seconds to nanoseconds since 1970, and numbers that only go one way | no |
//! | text | texts of more than 40 characters or 4 words on average, of which more than 30 % differ | no |

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use record::Cell;
use serde::{Deserialize, Serialize};

use crate::profile::UNKEPT_TEXT;

/// Values that a role is decided on: the first ones.
const SAMPLE: usize = 1_000;

/// Fewer values have no role but `value`.
const MIN_VALUES: usize = 50;

/// From so many values on, those that came only once are counted.
const MIN_FOR_SINGLES: usize = 200;

/// Seconds since 1970 from 2000 to 2100.
const EPOCH_SECONDS: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;

/// What a column holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Numbers or categories, which are judged.
    #[default]
    Value,
    /// Nearly every row has a value of its own.
    Identifier,
    /// Times and counters: what comes next is always new.
    Time,
    /// Free text.
    Text,
}

impl Role {
    /// Whether its distribution can be compared with a reference.
    pub const fn is_judged(self) -> bool {
        matches!(self, Self::Value)
    }

    /// The label value: `judged`, `identifier`, `time` or `text`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "judged",
            Self::Identifier => "identifier",
            Self::Time => "time",
            Self::Text => "text",
        }
    }

    pub(crate) const ALL: [Self; 4] = [Self::Value, Self::Identifier, Self::Time, Self::Text];
}

/// The first values of a column, as much of each as its role is decided on. No text is kept, only its hash.
#[derive(Clone, Debug, Default)]
pub struct RoleSample {
    numbers: Vec<f64>,
    texts: Vec<u64>,
    /// Texts that are written times.
    times: usize,
    chars: usize,
    words: usize,
}

impl RoleSample {
    /// Adds a value, unless there are enough.
    pub fn push(&mut self, cell: Cell<'_>) {
        if self.is_full() {
            return;
        }
        match cell {
            Cell::Missing => {}
            Cell::Number(x) if x.is_finite() => self.numbers.push(x),
            Cell::Number(_) => {}
            Cell::Text(text) => {
                // Of texts that were not kept nothing is known but that they are long: each counts as one of its own.
                let kept = text != UNKEPT_TEXT;
                self.texts.push(if kept { hash(text) } else { self.texts.len() as u64 });
                self.times += usize::from(is_time(text));
                self.chars += text.chars().count();
                self.words += text.split_whitespace().count();
            }
        }
    }

    /// Whether more values would not be looked at.
    pub fn is_full(&self) -> bool {
        self.numbers.len() + self.texts.len() >= SAMPLE
    }

    /// The role that the values so far have.
    pub fn role(&self) -> Role {
        if self.numbers.len() > self.texts.len() { self.numbers_role() } else { self.texts_role() }
    }

    fn numbers_role(&self) -> Role {
        let n = self.numbers.len();
        if n < MIN_VALUES {
            return Role::Value;
        }
        let whole = |scale: f64| self.numbers.iter().all(|x| EPOCH_SECONDS.contains(&(x / scale)));
        if [1.0, 1e3, 1e6, 1e9].into_iter().any(whole) {
            return Role::Time;
        }
        let mut sorted = self.numbers.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.dedup();
        let one_way = || stats::kendall_tau_of_order(&self.numbers).is_some_and(|tau| tau.abs() > 0.95);
        if sorted.len() * 2 > n && one_way() { Role::Time } else { Role::Value }
    }

    fn texts_role(&self) -> Role {
        let n = self.texts.len();
        if n < MIN_VALUES {
            return Role::Value;
        }
        if self.times * 100 >= n * 95 {
            return Role::Time;
        }
        let mut counts: HashMap<u64, u32> = HashMap::with_capacity(n);
        self.texts.iter().for_each(|text| *counts.entry(*text).or_default() += 1);
        let singles = counts.values().filter(|count| **count == 1).count();
        if (self.chars > 40 * n || self.words > 4 * n) && counts.len() * 10 > n * 3 {
            return Role::Text;
        }
        if counts.len() * 10 > n * 9 || (n >= MIN_FOR_SINGLES && singles * 2 > n) {
            return Role::Identifier;
        }
        Role::Value
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Whether a text is a written date or instant. A cheap look at its shape first: nearly all texts are none.
fn is_time(text: &str) -> bool {
    let text = text.trim();
    if !(8..=40).contains(&text.len()) || text.bytes().filter(u8::is_ascii_digit).count() < 5 {
        return false;
    }
    if text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok() {
        return true;
    }
    if jiff::fmt::rfc2822::parse(text).is_ok() {
        return true;
    }
    // 30.11.2026, 11/30/2026 12:00, 2026/11/30
    let date = text.split_once([' ', 'T']).map_or(text, |(date, _)| date);
    let parts: Vec<&str> = date.split(['.', '/', '-']).collect();
    let number = |part: &str, most: usize| match part.len() {
        1..=4 if part.bytes().all(|byte| byte.is_ascii_digit()) => {
            part.parse().is_ok_and(|x: usize| x <= most)
        }
        _ => false,
    };
    let year = |part: &str| part.len() == 4 && number(part, 2_199);
    match parts[..] {
        [first, second, third] => {
            number(second, 31) && (year(first) && number(third, 31) || number(first, 31) && year(third))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role<'a>(cells: impl IntoIterator<Item = Cell<'a>>) -> Role {
        let mut sample = RoleSample::default();
        cells.into_iter().for_each(|cell| sample.push(cell));
        sample.role()
    }

    fn texts(text: impl Fn(u64) -> String) -> Role {
        let texts: Vec<String> = (0..600).map(text).collect();
        role(texts.iter().map(|text| Cell::Text(text)))
    }

    fn numbers(number: impl Fn(u64) -> f64) -> Role {
        role((0..600).map(|i| Cell::Number(number(i))))
    }

    /// A number between 0 and 1 that looks like chance.
    fn chance(i: u64) -> f64 {
        (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn what_never_comes_again_is_no_feature() {
        assert_eq!(texts(|i| format!("{:032x}", u128::from(i) << 64 | 0x1234)), Role::Identifier);
        assert_eq!(texts(|i| format!("ORD-{}", 7 * i)), Role::Identifier);
        assert_eq!(
            texts(|i| format!("user-{}", (chance(i) * 900.0) as u64)),
            Role::Identifier,
            "most came once"
        );
        assert_eq!(texts(|i| format!("2026-11-30T04:{:02}:{:02}Z", i / 60 % 60, i % 60)), Role::Time);
        assert_eq!(texts(|i| format!("{:02}.{:02}.2026", i % 28 + 1, i % 12 + 1)), Role::Time);
        assert_eq!(texts(|i| format!("please call me back about order {i} as soon as you can")), Role::Text);
        assert_eq!(
            numbers(|i| (1_764_460_800_000 + i * 1_000) as f64),
            Role::Time,
            "milliseconds since 1970"
        );
        assert_eq!(numbers(|i| 1_764_460_800.25 + chance(i) * 1e6), Role::Time, "seconds in any order");
        assert_eq!(numbers(|i| (i + 5) as f64), Role::Time, "a counter");
        assert_eq!(
            numbers(|i| i as f64 + 3.0 * chance(i)),
            Role::Time,
            "a counter of several clients at once"
        );
    }

    #[test]
    fn numbers_and_categories_are_features_however_many_values_they_have() {
        assert_eq!(texts(|i| ["DE", "FR", "IT"][(i % 3) as usize].to_owned()), Role::Value);
        assert_eq!(
            texts(|i| format!("city {}", (chance(i).powi(3) * 300.0) as u64)),
            Role::Value,
            "a long tail"
        );
        assert_eq!(
            texts(|_| "a constant that is rather long, with many words in it".to_owned()),
            Role::Value
        );
        assert_eq!(numbers(|i| chance(i) * 1_000.0), Role::Value, "all different, in no order");
        assert_eq!(numbers(|i| (chance(i) * 1e8).floor()), Role::Value);
        assert_eq!(numbers(|i| (i / 100) as f64), Role::Value, "steps: the month of a sorted file");
        assert_eq!(numbers(|_| 5.0), Role::Value);
        assert_eq!(role((0..49).map(|i| Cell::Number(f64::from(i)))), Role::Value, "too few to say");
        assert_eq!(role(std::iter::repeat_n(Cell::Missing, 600)), Role::Value);
    }

    #[test]
    fn versions_and_codes_are_no_times() {
        for text in
            ["10.0.0.1", "1.2.3", "555-123-4567", "12345678", "A-2026-11-30", "02139", "4111 1111 1111"]
        {
            assert!(!is_time(text), "{text}");
        }
        for text in ["2026-11-30", "2026-11-30 04:37:47.123", "2026-11-30T04:37:47+01:00", "11/30/2026 12:00"]
        {
            assert!(is_time(text), "{text}");
        }
        assert!(is_time("Mon, 30 Nov 2026 04:37:47 +0000"));
    }
}
