//! Which names of the traffic may be which of the profile: features that were renamed.

use std::sync::Arc;

use crate::readings::NamePair;

/// Names compared on each side.
const NAMES: usize = 32;

/// Least likeness of two names, 0 to 1.
const MIN_LIKENESS: f64 = 0.85;

/// Names shorter than this, without separators, resemble everything.
const MIN_CHARS: usize = 3;

/// What values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
}

/// A name that the other side does not have.
#[derive(Clone, Debug)]
pub(crate) struct Unmatched {
    pub(crate) name: Arc<str>,
    /// `None` when no value has shown it.
    pub(crate) kind: Option<Kind>,
}

/// The likely pairs, the likeliest first. No name is in two of them.
pub(crate) fn likely(profile: &[Unmatched], traffic: &[Unmatched]) -> Vec<NamePair> {
    let words = |side: &[Unmatched]| -> Vec<Words> {
        side.iter().take(NAMES).map(|one| Words::of(&one.name)).collect()
    };
    let (ours, theirs) = (words(profile), words(traffic));
    let mut scored = Vec::new();
    for (i, our) in ours.iter().enumerate() {
        for (j, their) in theirs.iter().enumerate() {
            let likeness = our.likeness(their);
            if likeness >= MIN_LIKENESS && same_kind(profile[i].kind, traffic[j].kind) {
                scored.push((likeness, i, j));
            }
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut left, mut right) = (vec![true; profile.len()], vec![true; traffic.len()]);
    let mut pairs = Vec::new();
    for (_, i, j) in scored {
        if left[i] && right[j] {
            (left[i], right[j]) = (false, false);
            pairs.push(pair(&profile[i], &traffic[j]));
        }
    }
    pairs
}

/// A column of a data file or profile that the other side does not have.
#[derive(Clone, Debug)]
pub struct RenameCandidate {
    /// Its name.
    pub name: String,
    /// Whether its values are numbers; `None` where that says nothing.
    pub numeric: Option<bool>,
}

/// Columns of the reference and of the current data that may be one column, renamed: by likeness of their names, no name in two
/// pairs. The current name is `traffic`.
pub fn likely_renames(reference: &[RenameCandidate], current: &[RenameCandidate]) -> Vec<NamePair> {
    let unmatched = |side: &[RenameCandidate]| -> Vec<Unmatched> {
        let kind = |numeric: bool| if numeric { Kind::Number } else { Kind::Text };
        let one = |candidate: &RenameCandidate| Unmatched {
            name: candidate.name.as_str().into(),
            kind: candidate.numeric.map(kind),
        };
        side.iter().map(one).collect()
    };
    likely(&unmatched(reference), &unmatched(current))
}

fn pair(profile: &Unmatched, traffic: &Unmatched) -> NamePair {
    NamePair { profile: profile.name.clone(), traffic: traffic.name.clone() }
}

fn same_kind(one: Option<Kind>, other: Option<Kind>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// A name as it is compared.
struct Words {
    /// Its letters and digits in lower case.
    plain: String,
    /// The same of the part behind the last dot or slash, where there is one.
    last: Option<String>,
    /// Its words in alphabetical order.
    sorted: String,
    digits: String,
}

impl Words {
    fn of(name: &str) -> Self {
        let words = words(name);
        let mut sorted = words.clone();
        sorted.sort_unstable();
        let last = name.rsplit_once(['.', '/']).map(|(_, last)| self::words(last).concat());
        Self {
            plain: words.concat(),
            last: last.filter(|last| !last.is_empty()),
            sorted: sorted.concat(),
            digits: name.chars().filter(char::is_ascii_digit).collect(),
        }
    }

    /// 0 to 1; names whose numbers differ (`pca_1`, `pca_2`) are different features.
    fn likeness(&self, other: &Self) -> f64 {
        if self.digits != other.digits || self.plain.is_empty() || other.plain.is_empty() {
            return 0.0;
        }
        if self.plain == other.plain {
            return 1.0;
        }
        let last = |one: &Self| one.last.clone().unwrap_or_else(|| one.plain.clone());
        if (self.last.is_some() || other.last.is_some()) && last(self) == last(other) {
            return 0.98;
        }
        if self.sorted == other.sorted {
            return 0.97;
        }
        let (one, two) = (&self.plain, &other.plain);
        if one.chars().count().min(two.chars().count()) < MIN_CHARS {
            return 0.0;
        }
        0.96 * strsim::jaro_winkler(one, two)
    }
}

/// The words of a name in lower case: split at what is no letter or digit, and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<Unmatched> {
        names.iter().map(|name| Unmatched { name: (*name).into(), kind: None }).collect()
    }

    fn found(profile: &[&str], traffic: &[&str]) -> Vec<(String, String)> {
        let pairs = likely(&names(profile), &names(traffic));
        pairs.into_iter().map(|pair| (pair.profile.to_string(), pair.traffic.to_string())).collect()
    }

    #[test]
    fn renamed_features_are_paired() {
        for (profile, traffic) in [
            ("amount", "Amount"),
            ("customer_age", "customerAge"),
            ("customer_age", "customer.age"),
            ("amount", "transaction.amount"),
            ("total_amount", "amount_total"),
            ("num_transactions", "num_transaction"),
            ("sepal length (cm)", "sepal_length_cm"),
            ("merchant_category", "merchant_categ"),
            ("distance", "distanse"),
        ] {
            assert_eq!(found(&[profile], &[traffic]), [(profile.to_owned(), traffic.to_owned())]);
        }
    }

    #[test]
    fn other_features_are_not() {
        for (profile, traffic) in
            [("pca_1", "pca_2"), ("v1", "v10"), ("x", "y"), ("amount", "country"), ("age", "ts"), ("f", "fa")]
        {
            assert!(found(&[profile], &[traffic]).is_empty(), "{profile} {traffic}");
        }
    }

    #[test]
    fn the_likeliest_pair_wins_and_kinds_must_agree() {
        assert_eq!(
            found(&["amount", "amounts_7d"], &["amount_usd", "AMOUNTS_7D"]),
            [
                ("amounts_7d".to_owned(), "AMOUNTS_7D".to_owned()),
                ("amount".to_owned(), "amount_usd".to_owned())
            ]
        );
        let mut texts = names(&["Amount"]);
        texts[0].kind = Some(Kind::Text);
        let mut numbers = names(&["amount"]);
        assert_eq!(likely(&numbers, &texts).len(), 1);
        numbers[0].kind = Some(Kind::Number);
        assert!(likely(&numbers, &texts).is_empty());
    }

    proptest! {
        #[test]
        fn no_name_is_paired_twice(ours in prop::collection::vec("\\PC{0,12}", 0..40), theirs in prop::collection::vec("\\PC{0,12}", 0..40)) {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.iter().map(String::as_str).collect(), theirs.iter().map(String::as_str).collect());
            let pairs = likely(&names(&ours), &names(&theirs));
            prop_assert!(pairs.len() <= ours.len().min(theirs.len()).min(NAMES));
        }
    }
}
