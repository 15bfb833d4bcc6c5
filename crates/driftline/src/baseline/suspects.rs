//! Columns that are seldom meant to be in a profile: labels, identifiers, constants.
//!
//! A label is in the training data and in no request. It is guessed by its name, or by being the last column and having the
//! values 0 and 1 only. A guess is a note and nothing more.

use monitor::Role;
use monitor::profile::{FeatureProfile, Profile};
use record::value;
use stats::Bins;
use stats::detect::DetectorBins;

use super::summary::shown;

/// Names of labels, as lower-case letters and digits.
const LABELS: [&str; 38] = [
    "label",
    "labels",
    "target",
    "targets",
    "y",
    "ytrue",
    "class",
    "classlabel",
    "outcome",
    "groundtruth",
    "truth",
    "actual",
    "actuals",
    "isfraud",
    "fraud",
    "fraudulent",
    "fraudlabel",
    "churn",
    "churned",
    "ischurn",
    "ischurned",
    "haschurned",
    "exited",
    "survived",
    "defaulted",
    "isdefault",
    "defaultpaymentnextmonth",
    "loanstatus",
    "converted",
    "conversion",
    "clicked",
    "isclick",
    "isclicked",
    "purchased",
    "diagnosis",
    "readmitted",
    "attrition",
    "income50k",
];

/// Names of row numbers and other identifiers, written likewise.
const IDS: [&str; 8] = ["id", "uuid", "guid", "rowid", "rowindex", "index", "unnamed0", "recordid"];

/// Adds a note for each kind of column that there is.
pub(super) fn look(profile: &Profile, notes: &mut Vec<String>) {
    let features = &profile.features;
    for (at, feature) in features.iter().enumerate() {
        let is_last = at + 1 == features.len() && at > 0;
        if let Some(why) = label(feature, is_last) {
            let name = shown(&feature.name);
            notes.push(format!(
                "column `{name}` looks like a label ({why}): if requests do not have it, leave it out with `--exclude {name}`"
            ));
        }
    }
    let ids: Vec<&FeatureProfile> = features.iter().filter(|feature| is_id(feature)).collect();
    if !ids.is_empty() {
        let (named, names) = (named(&ids), plain_names(&ids));
        notes.push(format!(
            "{named}: what comes next is always new, so drift is not judged there; leave it out with `--exclude {names}`"
        ));
    }
    let numbered: Vec<&FeatureProfile> = features.iter().filter(|feature| is_numbered(feature)).collect();
    if !numbered.is_empty() {
        let (named, names) = (named(&numbered), plain_names(&numbered));
        notes.push(format!(
            "{named}: looks like an identifier by its name; leave it out with `--exclude {names}`"
        ));
    }
    let constants: Vec<&FeatureProfile> = features.iter().filter(|feature| feature.is_constant()).collect();
    if !constants.is_empty() {
        notes.push(format!(
            "{}: one value only; any other value in requests will be drift",
            named(&constants)
        ));
    }
}

/// Why a column looks like a label.
fn label(feature: &FeatureProfile, is_last: bool) -> Option<&'static str> {
    if !feature.role.is_judged() {
        return None;
    }
    if LABELS.contains(&plain(&feature.name).as_str()) {
        return Some("by its name");
    }
    (is_last && is_binary(feature)).then_some("the last column, and 0 or 1 in every row")
}

/// Whether its values are 0 and 1, or true and false, and none is missing.
fn is_binary(feature: &FeatureProfile) -> bool {
    if feature.missing() > 0 {
        return false;
    }
    match (&feature.bins, feature.detector.as_ref().map(|detector| &detector.bins)) {
        (Bins::Categorical(bins), _) => bins.categories().len() == 2 && value::is_boolean(bins.categories()),
        (Bins::Numeric(_), Some(DetectorBins::Values(values))) => values[..] == [0.0, 1.0],
        (Bins::Numeric(_), _) => false,
    }
}

fn is_id(feature: &FeatureProfile) -> bool {
    matches!(feature.role, Role::Identifier | Role::Time)
}

/// Numbers in no order, by a name that says what they are.
fn is_numbered(feature: &FeatureProfile) -> bool {
    feature.role.is_judged() && feature.bins.is_ordered() && IDS.contains(&plain(&feature.name).as_str())
}

/// Letters and digits in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// `column `a` (identifier)`, `columns `a` (identifier), `b` (time)`.
fn named(features: &[&FeatureProfile]) -> String {
    let plural = if features.len() == 1 { "column" } else { "columns" };
    let name = |feature: &&FeatureProfile| {
        let role = match feature.role {
            Role::Value => String::new(),
            Role::Time => " (time or counter)".to_owned(),
            role => format!(" ({})", role.as_str()),
        };
        format!("`{}`{role}", shown(&feature.name))
    };
    format!("{plural} {}", features.iter().map(name).collect::<Vec<_>>().join(", "))
}

fn plain_names(features: &[&FeatureProfile]) -> String {
    features.iter().map(|feature| shown(&feature.name)).collect::<Vec<_>>().join(",")
}
