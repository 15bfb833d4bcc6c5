//! The result for programs: one JSON document on one line.

use std::io::{self, Write};

use serde::Serialize;

use super::Report;

#[derive(Serialize)]
struct Document<'a> {
    rows: Rows,
    features: Vec<Feature<'a>>,
    drifted: Vec<&'a str>,
    significant: Vec<&'a str>,
    only_in_reference: &'a [String],
    only_in_current: &'a [String],
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
}

/// Writes the document and a line end. Features come in the reference's order.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let features = report.features.iter().map(|f| Feature {
        feature: &f.feature,
        kind: f.kind.as_str(),
        psi: f.psi,
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
    });
    let document = Document {
        rows: Rows { reference: report.rows_reference, current: report.rows_current },
        features: features.collect(),
        drifted: report.features.iter().filter(|f| f.drifted).map(|f| f.feature.as_str()).collect(),
        significant: report.features.iter().filter(|f| f.significant).map(|f| f.feature.as_str()).collect(),
        only_in_reference: &report.only_in_reference,
        only_in_current: &report.only_in_current,
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}
