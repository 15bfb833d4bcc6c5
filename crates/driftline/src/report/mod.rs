//! The result of a comparison, and its four outputs.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod table;

use stats::detect::Size;

/// How a feature was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeatureKind {
    Numeric,
    Categorical,
}

impl FeatureKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Categorical => "categorical",
        }
    }
}

/// One bin with what both sides have in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) label: String,
    pub(crate) reference: u64,
    pub(crate) current: u64,
}

/// Levels of the quantiles that are shown: smallest, quarters and tails, largest.
pub(crate) const QUANTILES: [f64; 7] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0];
/// Their names.
pub(crate) const QUANTILE_NAMES: [&str; 7] = ["min", "5 %", "25 %", "median", "75 %", "95 %", "max"];

/// Why there are dashes among the values.
pub(crate) const GAPS: &str = "A dash stands for what is not known: a profile holds counts, and no values. Means and quantiles are those of the finite numbers.";

/// The finite numbers of one side; `None` where they cannot be known, as of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NumberSummary {
    pub(crate) mean: Option<f64>,
    /// At [`QUANTILES`].
    pub(crate) quantiles: [Option<f64>; 7],
}

impl NumberSummary {
    /// Whether there is anything that is not known.
    fn has_gaps(&self) -> bool {
        self.mean.is_none() || self.quantiles.contains(&None)
    }
}

/// The values of one side, briefly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Summary {
    Numbers(NumberSummary),
    /// The most frequent categories with their shares of all rows, largest first.
    Categories(Vec<(String, f64)>),
}

impl Summary {
    /// Cells for people: mean and quantiles, with a dash for what cannot be known.
    pub(crate) fn numbers(&self) -> Option<[String; 8]> {
        let Self::Numbers(summary) = self else { return None };
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), stats::words::number);
        let mut cells: [String; 8] = Default::default();
        let values = std::iter::once(summary.mean).chain(summary.quantiles);
        cells.iter_mut().zip(values).for_each(|(out, value)| *out = cell(value));
        Some(cells)
    }

    /// The categories for people.
    pub(crate) fn categories(&self) -> String {
        match self {
            Self::Numbers(_) => String::new(),
            Self::Categories(top) if top.is_empty() => "-".to_owned(),
            Self::Categories(top) => {
                let one = |(name, share): &(String, f64)| format!("{} {}", clipped(name), percent(*share));
                top.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// A category's name, not longer than a line of a table bears.
fn clipped(name: &str) -> String {
    const CHARS: usize = 40;
    if name.chars().count() <= CHARS {
        name.to_owned()
    } else {
        name.chars().take(CHARS - 1).chain(['…']).collect()
    }
}

/// Something about the columns themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) feature: String,
    pub(crate) kind: FindingKind,
    /// In words, with the feature's name.
    pub(crate) text: String,
}

/// The kinds of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// The current side does not have the column.
    Absent,
    /// The same, and a column that only the current side has may be it.
    Renamed { to: String },
    /// Most of the current values are of another type.
    Type,
}

impl FindingKind {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Renamed { .. } => "renamed",
            Self::Type => "type",
        }
    }
}

/// Share of the current values from which on a column is of another type.
const TYPE_DIFFERS: f64 = 0.5;

/// One feature compared. Shares are in [0, 1].
#[derive(Clone, Debug)]
pub(crate) struct FeatureReport {
    pub(crate) feature: String,
    pub(crate) kind: FeatureKind,
    pub(crate) psi: f64,
    /// PSI in the bins that the verdict rests on: where there are more categories than a profile keeps, those that it keeps.
    pub(crate) psi_judged: f64,
    pub(crate) js_divergence: f64,
    pub(crate) js_distance: f64,
    /// Only for numbers, and not against a profile, which has no values.
    pub(crate) ks: Option<f64>,
    pub(crate) ks_p_value: Option<f64>,
    pub(crate) wasserstein: Option<f64>,
    pub(crate) missing_reference: f64,
    pub(crate) missing_current: f64,
    /// Share of the current values, without missing ones, that are of another type than the reference's.
    pub(crate) type_differs: f64,
    /// The PSI that chance alone exceeds in 0.1 % of comparisons of this many rows and features, in any of the features.
    pub(crate) psi_critical: Option<f64>,
    /// PSI is above its critical value, and so is the chi-square statistic over bins with rows enough.
    pub(crate) beyond_chance: bool,
    /// What decisions beyond the fixed threshold rest on: smoothed shares in bins that are finer in the tails.
    pub(crate) size: Option<Size>,
    /// More than chance, with the number of features taken into account: false discovery rate 1 %.
    pub(crate) significant: bool,
    /// False for identifiers, times and free text: their values do not come again.
    pub(crate) judged: bool,
    /// Both sides have more than 100 rows.
    pub(crate) enough_rows: bool,
    pub(crate) drifted: bool,
    pub(crate) histogram: Vec<Slot>,
    /// The values of reference and current.
    pub(crate) summaries: [Summary; 2],
    /// How it differs, in words; for a feature that moved.
    pub(crate) change: Option<String>,
}

/// What is said about a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Most values are of another type: a fault of the data, whatever the distribution.
    OtherType,
    /// The rule holds and there are enough rows.
    Drifted,
    /// An identifier, a time or free text.
    NotJudged,
    /// Too few rows for a verdict.
    TooFewRows,
    /// More than chance explains, but the rule does not hold.
    Moved,
    /// Within what chance explains.
    Steady,
}

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OtherType => "other type",
            Self::Drifted => "drifted",
            Self::NotJudged => "not judged",
            Self::TooFewRows => "too few rows",
            Self::Moved => "moved",
            Self::Steady => "steady",
        }
    }
}

impl FeatureReport {
    pub(crate) fn verdict(&self) -> Verdict {
        if self.type_differs > TYPE_DIFFERS {
            Verdict::OtherType
        } else if self.drifted {
            Verdict::Drifted
        } else if !self.judged {
            Verdict::NotJudged
        } else if !self.enough_rows {
            Verdict::TooFewRows
        } else if self.significant || self.beyond_chance {
            Verdict::Moved
        } else {
            Verdict::Steady
        }
    }

    /// Whether the mark `*` stands beside its p-value: never beside a verdict that says the opposite.
    pub(crate) fn is_marked(&self) -> bool {
        self.significant && matches!(self.verdict(), Verdict::Drifted | Verdict::Moved)
    }
}

/// A comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Names of the files.
    pub(crate) reference: String,
    pub(crate) current: String,
    pub(crate) rows_reference: u64,
    pub(crate) rows_current: u64,
    /// In the reference's order.
    pub(crate) features: Vec<FeatureReport>,
    /// Columns that are gone, renamed or of another type.
    pub(crate) findings: Vec<Finding>,
    pub(crate) only_in_reference: Vec<String>,
    pub(crate) only_in_current: Vec<String>,
    /// What `drifted` means, as an expression.
    pub(crate) rule: String,
    /// `--fail-on` was given and holds.
    pub(crate) failed: bool,
    /// For people: columns left out, types that differ, and the like.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// The largest PSI first.
    pub(crate) fn by_psi(&self) -> Vec<&FeatureReport> {
        let mut sorted: Vec<&FeatureReport> = self.features.iter().collect();
        sorted.sort_by(|a, b| b.psi_judged.total_cmp(&a.psi_judged));
        sorted
    }

    pub(crate) fn n_drifted(&self) -> usize {
        self.features.iter().filter(|feature| feature.drifted).count()
    }

    /// How the features differ, in words: at most five, the largest first.
    pub(crate) fn causes(&self) -> Vec<String> {
        let differs = |f: &&&FeatureReport| matches!(f.verdict(), Verdict::Drifted | Verdict::Moved);
        let sorted = self.by_psi();
        let mut causes = sorted.iter().filter(differs).filter_map(|f| f.change.clone());
        let mut named: Vec<String> = causes.by_ref().take(stats::words::CAUSES).collect();
        match causes.count() {
            0 => {}
            more => named.push(format!("{more} more")),
        }
        named
    }

    /// The values of both sides as tables with their headers, features in the order of [`Self::by_psi`]: numbers, then categories. A
    /// table without rows is left out.
    pub(crate) fn values(&self) -> Vec<(Vec<Vec<String>>, Vec<&'static str>)> {
        let (mut numbers, mut categories) = (Vec::new(), Vec::new());
        for feature in self.by_psi() {
            let sides = [("reference", feature.missing_reference), ("current", feature.missing_current)];
            for ((side, missing), summary) in sides.into_iter().zip(&feature.summaries) {
                let start = [feature.feature.clone(), side.to_owned(), percent(missing)];
                match summary.numbers() {
                    Some(cells) => numbers.push(start.into_iter().chain(cells).collect::<Vec<String>>()),
                    None => categories.push(start.into_iter().chain([summary.categories()]).collect()),
                }
            }
        }
        let start = ["feature", "side", "missing"];
        let numbers_header = start.into_iter().chain(["mean"]).chain(QUANTILE_NAMES).collect();
        let categories_header = start.into_iter().chain(["most frequent categories"]).collect();
        let tables = [(numbers, numbers_header), (categories, categories_header)];
        tables.into_iter().filter(|(rows, _)| !rows.is_empty()).collect()
    }

    /// Whether a number of a summary is not known.
    pub(crate) fn has_gaps(&self) -> bool {
        let gap = |summary: &Summary| matches!(summary, Summary::Numbers(numbers) if numbers.has_gaps());
        self.features.iter().flat_map(|f| &f.summaries).any(gap)
    }

    /// How many columns are gone or of another type, to stand behind the number that drifted; empty for none.
    fn faults(&self) -> String {
        let count =
            |wanted: fn(&FindingKind) -> bool| self.findings.iter().filter(|f| wanted(&f.kind)).count();
        let kinds = [
            (count(|kind| *kind == FindingKind::Absent), "gone"),
            (count(|kind| matches!(kind, FindingKind::Renamed { .. })), "probably renamed"),
            (count(|kind| *kind == FindingKind::Type), "of another type"),
        ];
        kinds.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!(", {n} {word}")).collect()
    }

    /// One sentence: how many of how many drifted, over how many rows.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} of {} drifted{}; {} reference rows, {} current rows",
            self.n_drifted(),
            if self.features.len() == 1 {
                "1 feature".to_owned()
            } else {
                format!("{} features", self.features.len())
            },
            self.faults(),
            grouped(self.rows_reference),
            grouped(self.rows_current)
        )
    }

    /// What the verdicts mean.
    pub(crate) fn legend(&self) -> String {
        format!(
            "drifted: {} and more than 100 rows on both sides; critical PSI: chance alone exceeds it in 0.1 % of comparisons of so many rows and features, and a PSI below it is never drift; moved: more than chance explains (*, at a false discovery rate of 1 % over all features), but no drift by this rule; steady: within chance; other type: most values are not of the reference's type; debiased: PSI without what chance adds, in bins finer in the tails",
            self.rule
        )
    }
}

/// A count with thin groups: `16 000`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A statistic for people: four significant places at most, small ones as `<0.0001`.
pub(crate) fn statistic(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-4 {
        "<0.0001".to_owned()
    } else if value.abs() < 10.0 {
        format!("{value:.4}")
    } else if value.abs() < 1e6 {
        format!("{value:.2}")
    } else {
        format!("{value:.3e}")
    }
}

/// A statistic that may not be there.
pub(crate) fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), statistic)
}

/// A p-value that may not be there; it may be too small for a float.
pub(crate) fn p_value(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |p| if p < 1e-4 { "<0.0001".to_owned() } else { format!("{p:.4}") })
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if share > 0.0 && percent < 0.1 { "<0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn feature(name: &str, psi: f64) -> FeatureReport {
        let slot = |label: &str, reference, current| Slot { label: label.to_owned(), reference, current };
        FeatureReport {
            feature: name.to_owned(),
            kind: FeatureKind::Numeric,
            psi,
            psi_judged: psi,
            js_divergence: 0.01,
            js_distance: 0.1,
            ks: Some(0.2),
            ks_p_value: Some(0.5),
            wasserstein: Some(12.5),
            missing_reference: 0.0,
            missing_current: 0.05,
            type_differs: 0.0,
            psi_critical: Some(0.1),
            beyond_chance: psi > 0.1,
            size: Some(Size {
                psi,
                noise: 0.02,
                debiased: psi * 0.8,
                critical: 0.1,
                p_value: 0.002,
                rows: 1_000,
            }),
            significant: psi > 0.2,
            judged: true,
            enough_rows: true,
            drifted: psi > 0.2,
            histogram: vec![slot("< 1", 600, 400), slot(">= 1", 400, 550), slot("missing", 0, 50)],
            summaries: [0.0, 1.0].map(|more| {
                Summary::Numbers(NumberSummary {
                    mean: Some(2.5 + more),
                    quantiles: [0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 1e6].map(|at| Some(at + more)),
                })
            }),
            change: Some(format!("{name}: higher (median 2 → 3)")),
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(feature("x", 0.3).verdict(), Verdict::Drifted);
        assert_eq!(feature("x", 0.15).verdict(), Verdict::Moved);
        assert_eq!(feature("x", 0.05).verdict(), Verdict::Steady);
        let thin = FeatureReport { enough_rows: false, drifted: false, ..feature("x", 0.3) };
        assert_eq!(thin.verdict(), Verdict::TooFewRows);
        assert!(!thin.is_marked() && feature("x", 0.3).is_marked());
        let other = FeatureReport { type_differs: 0.9, ..feature("x", 0.3) };
        assert_eq!((other.verdict(), other.is_marked()), (Verdict::OtherType, false));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([999, 1000, 1_234_567].map(grouped), ["999", "1 000", "1 234 567"]);
        assert_eq!(
            [0.0, 0.00001, 0.12345, 45.678, 1.5e9].map(statistic),
            ["0.0000", "<0.0001", "0.1235", "45.68", "1.500e9"]
        );
        assert_eq!([0.0, 0.0001, 0.5].map(percent), ["0.0 %", "<0.1 %", "50.0 %"]);
    }
}
