//! `--fail-on`: when a comparison counts as failed.

use std::fmt;
use std::str::FromStr;

use crate::report::FeatureReport;

/// A number of a feature, if it has it.
type Metric = fn(&FeatureReport) -> Option<f64>;
/// Whether a number is on the failing side of a limit.
type Operator = fn(f64, f64) -> bool;

/// The numbers of a feature a condition can name.
const METRICS: [(&str, Metric); 13] = [
    (PSI, |f| Some(f.psi_judged)),
    ("psi_raw", |f| Some(f.psi)),
    ("js_divergence", |f| Some(f.js_divergence)),
    ("js_distance", |f| Some(f.js_distance)),
    ("psi_debiased", |f| f.size.map(|size| size.debiased)),
    ("p_value", |f| f.size.map(|size| size.p_value)),
    ("ks", |f| f.ks),
    ("ks_p_value", |f| f.ks_p_value),
    ("wasserstein", |f| f.wasserstein),
    ("missing_reference", |f| Some(f.missing_reference)),
    (MISSING, |f| Some(f.missing_current)),
    (ABSENT, |_| Some(0.0)),
    (TYPE, |f| Some(f.type_differs)),
];

/// Of a column that is gone every value is missing, and it is absent.
const MISSING: &str = "missing_current";
/// 1 for a column that the current side does not have.
const ABSENT: &str = "absent";
/// Share of the values that are of another type.
const TYPE: &str = "type";

/// A PSI that chance explains is above no limit; `psi_raw` is the bare number.
const PSI: &str = "psi";

/// Operators, the longer ones first so that `>=` is not taken for `>`.
const OPERATORS: [(&str, Operator); 4] =
    [(">=", |a, b| a >= b), ("<=", |a, b| a <= b), (">", |a, b| a > b), ("<", |a, b| a < b)];

/// Conditions of which one must hold.
#[derive(Clone, Debug)]
pub(crate) struct FailOn {
    text: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug)]
struct Condition {
    metric: Metric,
    /// What the metric is of a column that is gone.
    of_gone: Option<f64>,
    /// Whether it is about the column itself, and says nothing of its distribution.
    of_column: bool,
    operator: Operator,
    limit: f64,
    /// Whether the number must be more than chance explains.
    beyond_chance: bool,
}

/// Why a `--fail-on` expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}`: {problem}; write conditions like `psi>0.2`, joined by `or` or `,`; metrics: {}; operators: >, >=, <, <= (`absent` and `type` alone mean above 0)",
    metric_names()
)]
pub(crate) struct FailOnError {
    part: String,
    problem: &'static str,
}

fn metric_names() -> String {
    METRICS.map(|(name, _)| name).join(", ")
}

impl FailOn {
    /// What `drifted` means when no rule is given: PSI above 0.2, and more than chance explains.
    pub(crate) fn default_rule() -> Self {
        let condition = Condition {
            metric: |f| Some(f.psi_judged),
            of_gone: None,
            of_column: false,
            operator: |a, b| a > b,
            limit: 0.2,
            beyond_chance: true,
        };
        Self { text: "psi>0.2".to_owned(), conditions: vec![condition] }
    }

    /// Whether one of the conditions holds for a feature. A number the feature has not (`ks` of a category) meets none.
    pub(crate) fn holds(&self, feature: &FeatureReport) -> bool {
        self.conditions.iter().filter(|condition| feature.beyond_chance || !condition.beyond_chance).any(
            |condition| {
                (condition.metric)(feature).is_some_and(|value| (condition.operator)(value, condition.limit))
            },
        )
    }
}

impl FailOn {
    /// What `drifted` means: the conditions that are about distributions, the usual one where there are none.
    pub(crate) fn of_drift(&self) -> Self {
        let conditions: Vec<Condition> =
            self.conditions.iter().copied().filter(|condition| !condition.of_column).collect();
        match conditions.is_empty() {
            true => Self::default_rule(),
            false => Self { text: self.text.clone(), conditions },
        }
    }

    /// Whether one of the conditions holds for a column that the current side does not have.
    pub(crate) fn holds_for_gone(&self) -> bool {
        let holds = |condition: &Condition| {
            condition.of_gone.is_some_and(|value| (condition.operator)(value, condition.limit))
        };
        self.conditions.iter().any(holds)
    }
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for FailOn {
    type Err = FailOnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words =
            text.split_whitespace().map(|word| if word.eq_ignore_ascii_case("or") { "," } else { word });
        let joined = words.collect::<Vec<_>>().join(" ");
        let conditions = joined.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), conditions })
    }
}

impl FromStr for Condition {
    type Err = FailOnError;

    fn from_str(part: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| FailOnError { part: part.to_owned(), problem };
        let part = if matches!(part, ABSENT | TYPE) { format!("{part}>0") } else { part.to_owned() };
        let found = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((part.split_once(sign)?, *operator, sign.starts_with('>'))));
        let ((name, limit), operator, is_above) = found.ok_or_else(|| refuse("no operator"))?;
        let name = name.trim();
        let metric = METRICS.iter().find(|(known, _)| *known == name).map(|(_, metric)| *metric);
        let limit: Option<f64> = limit.trim().parse().ok().filter(|limit: &f64| limit.is_finite());
        Ok(Self {
            metric: metric.ok_or_else(|| refuse("unknown metric"))?,
            of_gone: matches!(name, MISSING | ABSENT).then_some(1.0),
            of_column: matches!(name, ABSENT | TYPE),
            operator,
            limit: limit.ok_or_else(|| refuse("the limit is not a number"))?,
            beyond_chance: is_above && name == PSI,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::feature;

    #[test]
    fn conditions_are_joined_by_or_and_comma() {
        let feature = feature("x", 0.3);
        for (text, expected) in [
            ("psi>0.2", true),
            ("psi >= 0.3", true),
            ("psi>0.3", false),
            ("psi < 0.3", false),
            ("ks_p_value<0.01", false),
            ("ks_p_value<0.01 or psi>0.2", true),
            ("ks_p_value<0.01,psi>0.2", true),
            ("missing_current>0.1 OR js_divergence>=0.9", false),
        ] {
            assert_eq!(text.parse::<FailOn>().unwrap().holds(&feature), expected, "{text}");
        }
    }

    #[test]
    fn a_psi_that_chance_explains_is_above_no_limit() {
        let chance = FeatureReport { beyond_chance: false, ..feature("x", 0.3) };
        for (text, expected) in
            [("psi>0.2", false), ("psi>=0.3", false), ("psi<0.4", true), ("psi_raw>0.2", true)]
        {
            assert_eq!(text.parse::<FailOn>().unwrap().holds(&chance), expected, "{text}");
        }
        assert!(!FailOn::default_rule().holds(&chance));
    }

    #[test]
    fn a_column_that_is_gone_is_absent_and_missing() {
        for (text, expected) in [
            ("absent", true),
            ("psi>9 or absent", true),
            ("absent>0.5", true),
            ("missing_current>0.99", true),
            ("missing_current<0.5", false),
            ("type", false),
            ("psi>0.2", false),
            ("missing_reference>=0", false),
        ] {
            assert_eq!(text.parse::<FailOn>().unwrap().holds_for_gone(), expected, "{text}");
        }
        let other = FeatureReport { type_differs: 0.3, ..feature("x", 0.0) };
        for (text, expected) in [("type", true), ("type>0.5", false), ("absent", false), ("absent<1", true)] {
            assert_eq!(text.parse::<FailOn>().unwrap().holds(&other), expected, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_not_there_meets_no_condition() {
        let mut categorical = feature("x", 0.3);
        categorical.ks = None;
        assert!(!"ks>0".parse::<FailOn>().unwrap().holds(&categorical));
    }

    #[test]
    fn refusals_say_what_is_allowed() {
        for (text, expected) in [
            ("psi", "`psi`: no operator; "),
            ("psy>0.2", "`psy>0.2`: unknown metric; "),
            ("psi>high", "`psi>high`: the limit is not a number; "),
            ("psi>NaN", "`psi>NaN`: the limit is not a number; "),
            ("psi=0.2", "`psi=0.2`: no operator; "),
            ("", "``: no operator; "),
            ("psi>0.2 or", "``: no operator; "),
            ("psi>0.2 and ks>0.1", "`psi>0.2 and ks>0.1`: the limit is not a number; "),
        ] {
            let got = text.parse::<FailOn>().unwrap_err().to_string();
            assert!(
                got.starts_with(expected) && got.contains("metrics: psi, psi_raw, js_divergence"),
                "{got}"
            );
        }
    }
}
