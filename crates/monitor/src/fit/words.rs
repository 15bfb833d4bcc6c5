//! A fit in words, for notifications, logs, `status` and `check`.

use std::sync::Arc;

use crate::readings::{Fit, NamePair};

/// Names of a list that are shown, and how much of each.
const SHOWN: usize = 5;
const NAME_CHARS: usize = 60;

impl Fit {
    /// Why the model is not armed, as the end of a sentence without its full stop; `None` for one that is.
    ///
    /// For example: 2 of the 3 features of the profile are in no request (`amount`, `age`); requests have `Amount`, `years`, which
    /// the profile does not have; likely renamed: `amount` -> `Amount`
    pub fn problem(&self) -> Option<String> {
        if self.armed {
            return None;
        }
        let absent = self.expected.saturating_sub(self.matched);
        let mut parts = Vec::new();
        if absent > 0 {
            let (are, of) = (are(absent), self.expected);
            let names = listed(&self.not_seen, absent);
            parts.push(format!("{absent} of the {of} features of the profile {are} in no request ({names})"));
        }
        if !self.unknown.is_empty() {
            let names = listed(&self.unknown, self.unknown.len());
            parts.push(format!("requests have {names}, which the profile does not have"));
        }
        if !self.type_differs.is_empty() {
            let names = listed(&self.type_differs, self.type_differs.len());
            parts.push(format!(
                "values of another type than in the profile (text for numbers, or numbers for categories): {names}"
            ));
        }
        if !self.pairs.is_empty() {
            let pair = |pair: &NamePair| format!("{} -> {}", quoted(&pair.profile), quoted(&pair.traffic));
            let pairs: Vec<String> = self.pairs.iter().take(SHOWN).map(pair).collect();
            let left = self.pairs.len() - pairs.len();
            let more = if left > 0 { format!(" and {left} more") } else { String::new() };
            parts.push(format!("likely renamed: {}{more}", pairs.join(", ")));
        }
        Some(parts.join("; "))
    }
}

/// A name from outside, in backticks, without what would steer a terminal, and not too long.
fn quoted(name: &str) -> String {
    let shown = name.chars().take(NAME_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let cut = if name.chars().count() > NAME_CHARS { "…" } else { "" };
    format!("`{}{cut}`", shown.collect::<String>())
}

const fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// The first names, and how many more there are of `n`.
fn listed(names: &[Arc<str>], n: usize) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    let left = n.max(names.len()).saturating_sub(shown.len());
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn fit() -> Fit {
        Fit {
            armed: false,
            expected: 40,
            matched: 1,
            not_seen: names(&["amount", "b", "c", "d", "e", "f"]),
            unknown: names(&["Amount"]),
            pairs: vec![NamePair { profile: "amount".into(), traffic: "Amount".into() }],
            type_differs: names(&["age"]),
        }
    }

    #[test]
    fn a_misfit_names_both_sides() {
        assert_eq!(
            fit().problem().unwrap(),
            "39 of the 40 features of the profile are in no request (`amount`, `b`, `c`, `d`, `e` and 34 more); requests have \
             `Amount`, which the profile does not have; values of another type than in the profile (text for numbers, or numbers \
             for categories): `age`; likely renamed: `amount` -> `Amount`"
        );
        assert_eq!(Fit { armed: true, ..fit() }.problem(), None);
    }
}
