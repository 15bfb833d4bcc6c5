//! What is wrong with the columns themselves: gone, renamed, of another type.

use monitor::RenameCandidate;

use super::source::{Kind, Source};
use crate::report::{Finding, FindingKind, Report, percent};

/// Adds a finding for every column that only the reference has, with the column of the current side that may be it.
pub(super) fn gone(reference: &Source, current: &Source, report: &mut Report) {
    let candidates = |source: &Source, names: &[String]| -> Vec<RenameCandidate> {
        let kinds = source.columns();
        let kind = |name: &String| kinds.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
        let numeric = |kind: Kind| match kind {
            Kind::Numeric => Some(true),
            Kind::Categorical => Some(false),
            Kind::Boolean | Kind::Unknown => None,
        };
        let candidate =
            |name: &String| RenameCandidate { name: name.clone(), numeric: kind(name).and_then(numeric) };
        names.iter().map(candidate).collect()
    };
    let pairs = monitor::likely_renames(
        &candidates(reference, &report.only_in_reference),
        &candidates(current, &report.only_in_current),
    );
    for name in &report.only_in_reference {
        let to = pairs.iter().find(|pair| *pair.profile == **name).map(|pair| pair.traffic.to_string());
        let (kind, text) = match to {
            Some(to) => {
                let text = format!("`{name}` is gone: probably renamed to `{to}`");
                (FindingKind::Renamed { to }, text)
            }
            None => (FindingKind::Absent, format!("`{name}` is gone: the current file does not have it")),
        };
        report.findings.push(Finding { feature: name.clone(), kind, text });
    }
}

/// Adds a finding for a column of which most values, `share` of those that are there, are of another type.
pub(super) fn type_differs(name: &str, numeric: bool, share: f64, report: &mut Report) {
    let (before, now) = if numeric { ("numbers", "text") } else { ("text", "numbers") };
    let text =
        format!("`{name}` is {now} in {} of its values, and {before} in the reference", percent(share));
    report.findings.push(Finding { feature: name.to_owned(), kind: FindingKind::Type, text });
}
