//! The result for programs: one JSON document on one line.

use std::io::{self, Write};

use serde::Serialize;

use super::{Finding, FindingKind, Report, Summary};

#[derive(Serialize)]
struct Document<'a> {
    rows: Rows,
    features: Vec<Feature<'a>>,
    drifted: Vec<&'a str>,
    significant: Vec<&'a str>,
    only_in_reference: &'a [String],
    only_in_current: &'a [String],
    findings: Vec<FindingEntry<'a>>,
}

/// A column that is gone, renamed or of another type.
#[derive(Serialize)]
struct FindingEntry<'a> {
    feature: &'a str,
    finding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_to: Option<&'a str>,
    text: &'a str,
}

/// The values of one side: of numbers or of categories.
#[derive(Serialize)]
#[serde(untagged)]
enum Values<'a> {
    Numbers {
        mean: Option<f64>,
        min: Option<f64>,
        p5: Option<f64>,
        p25: Option<f64>,
        median: Option<f64>,
        p75: Option<f64>,
        p95: Option<f64>,
        max: Option<f64>,
    },
    Categories {
        top: Vec<Category<'a>>,
    },
}

#[derive(Serialize)]
struct Category<'a> {
    category: &'a str,
    share: f64,
}

#[derive(Serialize)]
struct Rows {
    reference: u64,
    current: u64,
}

#[derive(Serialize)]
struct Feature<'a> {
    feature: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    psi: f64,
    psi_judged: f64,
    js_divergence: f64,
    js_distance: f64,
    ks: Option<f64>,
    ks_p_value: Option<f64>,
    wasserstein: Option<f64>,
    missing_reference: f64,
    missing_current: f64,
    drifted: bool,
    psi_critical: Option<f64>,
    psi_debiased: Option<f64>,
    psi_debiased_critical: Option<f64>,
    p_value: Option<f64>,
    severity: Option<&'static str>,
    significant: bool,
    verdict: &'static str,
    type_differs: f64,
    change: Option<&'a str>,
    reference: Values<'a>,
    current: Values<'a>,
}

/// Writes the document and a line end. Features come in the reference's order.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let features = report.features.iter().map(|f| Feature {
        feature: &f.feature,
        kind: f.kind.as_str(),
        psi: f.psi,
        psi_judged: f.psi_judged,
        js_divergence: f.js_divergence,
        js_distance: f.js_distance,
        ks: f.ks,
        ks_p_value: f.ks_p_value,
        wasserstein: f.wasserstein,
        missing_reference: f.missing_reference,
        missing_current: f.missing_current,
        drifted: f.drifted,
        psi_critical: f.psi_critical,
        psi_debiased: f.size.map(|size| size.debiased),
        // Debiasing takes the same from both: one exceeds the other when the PSI exceeds its critical value.
        psi_debiased_critical: f.size.map(|size| (size.critical - size.noise).max(0.0)),
        p_value: f.size.map(|size| size.p_value),
        severity: f.size.map(|size| size.severity().as_str()),
        significant: f.significant,
        verdict: f.verdict().as_str(),
        type_differs: f.type_differs,
        change: f.change.as_deref(),
        reference: values(&f.summaries[0]),
        current: values(&f.summaries[1]),
    });
    let document = Document {
        rows: Rows { reference: report.rows_reference, current: report.rows_current },
        features: features.collect(),
        drifted: report.features.iter().filter(|f| f.drifted).map(|f| f.feature.as_str()).collect(),
        significant: report.features.iter().filter(|f| f.significant).map(|f| f.feature.as_str()).collect(),
        only_in_reference: &report.only_in_reference,
        only_in_current: &report.only_in_current,
        findings: report.findings.iter().map(finding).collect(),
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn finding(finding: &Finding) -> FindingEntry<'_> {
    let renamed_to = match &finding.kind {
        FindingKind::Renamed { to } => Some(to.as_str()),
        _ => None,
    };
    FindingEntry {
        feature: &finding.feature,
        finding: finding.kind.as_str(),
        renamed_to,
        text: &finding.text,
    }
}

fn values(summary: &Summary) -> Values<'_> {
    match summary {
        Summary::Numbers(numbers) => {
            let [min, p5, p25, median, p75, p95, max] = numbers.quantiles;
            Values::Numbers { mean: numbers.mean, min, p5, p25, median, p75, p95, max }
        }
        Summary::Categories(top) => Values::Categories {
            top: top.iter().map(|(category, share)| Category { category, share: *share }).collect(),
        },
    }
}
