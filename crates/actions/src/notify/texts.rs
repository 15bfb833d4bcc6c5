//! Words that several forms share.

use jiff::Timestamp;

use super::notice::{Notice, NoticeKind};

/// RFC 3339, UTC, whole seconds.
pub(crate) fn time(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| format!("{at:.0}"))
}

/// A sign that is seen before the words are read.
pub(crate) const fn sign(notice: &Notice) -> &'static str {
    use control::Severity::{Critical, Info, Warning};
    match (notice.kind, notice.severity) {
        (NoticeKind::Resolved | NoticeKind::Armed, _) => "✅",
        (NoticeKind::Moved, _) => "↩️",
        (NoticeKind::ApprovalWanted, _) => "✋",
        (NoticeKind::Retraining, _) => "🔁",
        (_, Critical) => "🔴",
        (_, Warning) => "🟠",
        (_, Info) => "🟡",
    }
}

/// The features in one line each: `amount: PSI 0.412 (63 %)`.
pub(crate) fn features(notice: &Notice) -> Vec<String> {
    let line = |one: &super::FeatureShare| {
        format!("{}: PSI {:.3} ({:.0} %)", one.feature, one.psi, one.share * 100.0)
    };
    notice.features.iter().map(line).collect()
}

/// At most `most` characters, with a mark where something is missing.
pub(crate) fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The whole as plain text.
pub(crate) fn plain(notice: &Notice) -> String {
    let mut out = format!("{}\n\n", notice.text);
    for (name, value) in &notice.facts {
        out.push_str(&format!("{name}: {value}\n"));
    }
    if !notice.features.is_empty() {
        out.push_str("\nTop features by contribution:\n");
        features(notice).iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    if !notice.links.is_empty() {
        out.push('\n');
        notice.links.iter().for_each(|link| out.push_str(&format!("{}: {}\n", link.text, link.url)));
    }
    out
}
