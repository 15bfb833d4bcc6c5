//! Personal data in a profile: hashed by a configuration's rules, or at least noticed.

use anyhow::{Result, bail};
use monitor::profile::{FeatureProfile, Profile};
use record::Privacy;
use stats::Bins;

/// The profile as live traffic will look under these rules. What they hash and a profile cannot hold is left out.
///
/// # Errors
/// When no column is left.
pub(super) fn hide(mut profile: Profile, rules: &Privacy, notes: &mut Vec<String>) -> Result<Profile> {
    profile.features.retain(|feature| {
        let is_left_out = feature.bins.is_ordered()
            && (rules.is_named(&feature.name) || ends(feature).any(|end| is_hidden(rules, &end)));
        if is_left_out {
            notes.push(format!(
                "column `{}` is left out: its numbers are hashed, and what is hashed is no number",
                rules.name(&feature.name)
            ));
        }
        !is_left_out
    });
    if profile.features.is_empty() {
        bail!("no column is left: the configuration's `privacy` hashes all of them, and all are numbers");
    }
    let hidden = profile.hidden(rules);
    Ok(Profile { name: rules.name(&hidden.name).into_owned(), ..hidden })
}

/// The profile without free text. A column that holds nothing else is left out, as live traffic has its measures in its
/// place; single texts among categories are hashed as they are there.
///
/// # Errors
/// When no column is left.
pub(super) fn without_texts(
    mut profile: Profile,
    rules: &Privacy,
    notes: &mut Vec<String>,
) -> Result<Profile> {
    profile.features.retain(|feature| {
        let Bins::Categorical(bins) = &feature.bins else { return true };
        let (mut texts, mut all) = (0_u64, 0_u64);
        for (category, count) in bins.categories().iter().zip(&feature.counts) {
            all = all.saturating_add(*count);
            texts = texts.saturating_add(if rules.is_text(&feature.name, category) { *count } else { 0 });
        }
        let is_text = texts > 0 && texts >= all.div_ceil(2);
        if is_text {
            let name = rules.name(&feature.name);
            notes.push(format!(
                "column `{name}` is left out: it holds free text, which Driftline never keeps. Live traffic measures it \
                 as `{name}.length`, `{name}.words` and `{name}.script`. If its values are categories, list it under \
                 `privacy.categories` and pass that configuration with `--config`"
            ));
        }
        !is_text
    });
    if profile.features.is_empty() {
        bail!("no column is left: all of them hold free text");
    }
    Ok(profile.hidden(rules))
}

/// Says which columns look like personal data.
pub(super) fn look(profile: &Profile, notes: &mut Vec<String>) {
    let rules = Privacy::default();
    for feature in &profile.features {
        let texts: Vec<String> = match &feature.bins {
            Bins::Categorical(bins) => bins.categories().to_vec(),
            Bins::Numeric(_) => ends(feature).collect(),
        };
        let n_personal = texts.iter().filter(|text| is_hidden(&rules, text)).count();
        let is_named = is_hidden(&rules, &feature.name);
        if n_personal == 0 && !is_named {
            continue;
        }
        let what = match &feature.bins {
            Bins::Categorical(_) => format!("{n_personal} of {} categories look", texts.len()),
            Bins::Numeric(_) => "its numbers or its name look".to_owned(),
        };
        notes.push(format!(
            "column `{}`: {what} like personal data and the profile holds it as it is: \
             hash it with `--config FILE`, or leave the column out with `--exclude`",
            rules.name(&feature.name)
        ));
    }
}

/// The smallest and the largest number, which a profile holds as they are.
fn ends(feature: &FeatureProfile) -> impl Iterator<Item = String> {
    let range = match &feature.bins {
        Bins::Numeric(bins) => bins.range(),
        Bins::Categorical(_) => None,
    };
    range.into_iter().flat_map(|(lo, hi)| [lo, hi]).filter(|end| *end >= 1e12).map(|end| end.to_string())
}

fn is_hidden(rules: &Privacy, text: &str) -> bool {
    matches!(rules.name(text), std::borrow::Cow::Owned(_))
}
