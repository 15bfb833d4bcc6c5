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

/// One feature compared. Shares are in [0, 1].
#[derive(Clone, Debug)]
pub(crate) struct FeatureReport {
    pub(crate) feature: String,
    pub(crate) kind: FeatureKind,
    pub(crate) psi: f64,
    pub(crate) js_divergence: f64,
    pub(crate) js_distance: f64,
    /// Only for numbers, and not against a profile, which has no values.
    pub(crate) ks: Option<f64>,
    pub(crate) ks_p_value: Option<f64>,
    pub(crate) wasserstein: Option<f64>,
    pub(crate) missing_reference: f64,
    pub(crate) missing_current: f64,
    /// The PSI that chance alone exceeds in 0.1 % of comparisons of this many rows and features, in any of the features.
    pub(crate) psi_critical: Option<f64>,
    /// PSI is above its critical value, and so is the chi-square statistic over bins with rows enough.
    pub(crate) beyond_chance: bool,
    /// What decisions beyond the fixed threshold rest on: smoothed shares in bins that are finer in the tails.
    pub(crate) size: Option<Size>,
    /// More than chance, with the number of features taken into account: false discovery rate 1 %.
    pub(crate) significant: bool,
    /// Both sides have more than 100 rows.
    pub(crate) enough_rows: bool,
    pub(crate) drifted: bool,
    pub(crate) histogram: Vec<Slot>,
}

/// What is said about a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rule holds and there are enough rows.
    Drifted,
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
            Self::Drifted => "drifted",
            Self::TooFewRows => "too few rows",
            Self::Moved => "moved",
            Self::Steady => "steady",
        }
    }
}

impl FeatureReport {
    pub(crate) fn verdict(&self) -> Verdict {
        if self.drifted {
            Verdict::Drifted
        } else if !self.enough_rows {
            Verdict::TooFewRows
        } else if self.significant || self.beyond_chance {
            Verdict::Moved
        } else {
            Verdict::Steady
        }
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
        sorted.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        sorted
    }

    pub(crate) fn n_drifted(&self) -> usize {
        self.features.iter().filter(|feature| feature.drifted).count()
    }

    /// One sentence: how many of how many drifted, over how many rows.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} of {} drifted; {} reference rows, {} current rows",
            self.n_drifted(),
            if self.features.len() == 1 {
                "1 feature".to_owned()
            } else {
                format!("{} features", self.features.len())
            },
            grouped(self.rows_reference),
            grouped(self.rows_current)
        )
    }

    /// What the verdicts mean.
    pub(crate) fn legend(&self) -> String {
        format!(
            "drifted: {} and more than 100 rows on both sides; critical PSI: chance alone exceeds it in 0.1 % of comparisons of so many rows and features, and a PSI below it is never drift; moved: more than chance explains (*, at a false discovery rate of 1 % over all features), but no drift by this rule; steady: within chance; debiased: PSI without what chance adds, in bins finer in the tails",
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
            js_divergence: 0.01,
            js_distance: 0.1,
            ks: Some(0.2),
            ks_p_value: Some(0.5),
            wasserstein: Some(12.5),
            missing_reference: 0.0,
            missing_current: 0.05,
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
            enough_rows: true,
            drifted: psi > 0.2,
            histogram: vec![slot("< 1", 600, 400), slot(">= 1", 400, 550), slot("missing", 0, 50)],
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(feature("x", 0.3).verdict(), Verdict::Drifted);
        assert_eq!(feature("x", 0.15).verdict(), Verdict::Moved);
        assert_eq!(feature("x", 0.05).verdict(), Verdict::Steady);
        let thin = FeatureReport { enough_rows: false, drifted: false, ..feature("x", 0.3) };
        assert_eq!(thin.verdict(), Verdict::TooFewRows);
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
