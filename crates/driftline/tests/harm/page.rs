//! The page of the table.

use super::table::{OF_THE_PREDICTION, TABLE};

const HEAD: &str = "# What happens when

Look up a failure of production: the alert that fires, after how many requests, in which words, and whether clients get another
version. Every row is run against the real program by a test, with the times of the rules divided by 60, and this page is made of the
same table: a row that is not true any more fails the test.

In all of them `v2` is active, `v1` is stable and well, the profile is of 6 000 flights, requests are flights of the same months, and the
[default rules](signals.md#default-rules) are in force. No other alert fires.

";

const FOOT: &str = "
`…` is a measured number. \"Fires after\" is when the condition holds at the latest; then it has to hold for the time that follows,
while requests come (where 5 min are too long for you: `alerts.rules.NAME.for`).

What moves traffic and what never does: [alerts and rollback](alerts-and-rollback.md#what-a-critical-alert-does). A fault in the
requests reaches every version alike, so it is reported and traffic stays, although predictions change with it.
";

/// The page.
pub(crate) fn text() -> String {
    let rules = config::default_policy().rules;
    let mut rows = String::from(
        "| failure | alert | fires after | words | traffic |\n| --- | --- | --- | --- | --- |\n",
    );
    for harm in &TABLE {
        let (alert, after, words) = match &harm.fires {
            None => ("none".to_owned(), "-".to_owned(), "-".to_owned()),
            Some(fires) => {
                let rule = rules.iter().find(|rule| rule.name == fires.alert).unwrap();
                let page = kebab(&rule.name);
                (
                    format!("[`{}`](../runbooks/{page}.md) ({})", rule.name, rule.severity.as_str()),
                    format!("{}, for {} min", fires.after, rule.for_ms / 60_000),
                    fires.words.replace("{over}", &over(&rule.condition)),
                )
            }
        };
        let also = match harm.may {
            [] => String::new(),
            OF_THE_PREDICTION => "; also rules about drift, of the prediction".to_owned(),
            more => format!("; also `{}`", more.join("`, `")),
        };
        let traffic = if harm.moves { "moves to `v1`" } else { "stays" };
        rows.push_str(&format!(
            "| **{}**: {} | {alert}{also} | {after} | {words} | {traffic}. {} |\n",
            harm.failure, harm.happens, harm.because
        ));
    }
    format!("{HEAD}{rows}{FOOT}")
}

/// A rule's horizon behind "in the last".
fn over(condition: &control::Condition) -> String {
    match condition.over_ms {
        None => "minute".to_owned(),
        Some(ms) => format!("{} min", ms / 60_000),
    }
}

/// `DataQuality` as `data-quality`; names of the table have no acronyms.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            out.push('-');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
