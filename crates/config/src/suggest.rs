//! "Did you mean": the known word nearest to one that is not known.

/// The hint for an unknown word, if a known one is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}

/// The hint for an unknown word: the nearest known one, else all of them when they are few.
pub(crate) fn did_you_mean_or_list<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    const LISTED_MAX: usize = 20;
    if let Some(hint) = did_you_mean(word, known.clone()) {
        return Some(hint);
    }
    let known: Vec<String> = known.into_iter().take(LISTED_MAX + 1).map(|word| format!("`{word}`")).collect();
    match known.len() {
        0 => None,
        n if n > LISTED_MAX => None,
        _ => Some(format!("known here: {}", known.join(", "))),
    }
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const COMPARED_MAX: usize = 64;
    if word.len() > COMPARED_MAX {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    // Names as short as `v3` are near to everything.
    let length = word.chars().count();
    let allowed = if length <= 2 { 0 } else { (length / 3).max(1) };
    known
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Slips between two words; none when one begins with the other (`warn` for `warning`).
fn distance(word: &str, candidate: &str) -> usize {
    const BEGINNING_MIN: usize = 4;
    let begins = candidate.starts_with(word) || word.starts_with(candidate);
    if begins && word.len().min(candidate.len()) >= BEGINNING_MIN {
        0
    } else {
        strsim::osa_distance(word, candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = ["models", "listen", "sample_by", "v1", "v2"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, known), expected, "{word}");
        check("modles", Some("models"));
        check("sampleBy", Some("sample_by"));
        check("sample-by", Some("sample_by"));
        check("V2", Some("v2"));
        check("v3", None);
        check("list", Some("listen"));
        check("database", None);
        check("li", None);
        check("", None);
        check(&"x".repeat(100), None);
    }
}
