//! The result as one HTML page in the dashboard's style: no scripts, no outside files, pictures as inline SVG.

mod picture;

use std::io::{self, Write};

use super::{FeatureReport, GAPS, Report, Verdict, grouped, optional, p_value, percent, statistic};
use picture::figure;

/// PSI limits that the bars show: the usual ones, as on the dashboard.
const AMBER: f64 = 0.1;
const RED: f64 = 0.2;

/// PSI at the end of a bar.
const FULL: f64 = 0.4;

const STYLE: &str = include_str!("html/style.css");

/// Writes the page.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")?;
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(
        out,
        "<title>Drift: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        escape(&report.current)
    )?;
    write_head(report, out)?;
    writeln!(out, "<section class=\"panel\"><h2>Features, the most drifted first</h2>")?;
    write_table(report, out)?;
    writeln!(out, "<p class=\"muted\">{}</p></section>", escape(&report.legend()))?;
    write_values(report, out)?;
    writeln!(
        out,
        "<div class=\"title\"><h2>Distributions</h2><p class=\"key\"><i class=\"ref\"></i>reference <i class=\"cur\"></i>current \
         <i class=\"part\"></i>what each bin adds to the PSI</p></div>\n<div class=\"grid\">"
    )?;
    for (at, feature) in report.by_psi().into_iter().enumerate() {
        writeln!(out, "{}", figure(at, feature))?;
    }
    writeln!(out, "</div>\n</main>\n</body>\n</html>")
}

/// The verdict first, then what it rests on.
fn write_head(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let counted = |wanted: Verdict| report.features.iter().filter(|f| f.verdict() == wanted).count();
    let (drifted, moved, thin) =
        (counted(Verdict::Drifted), counted(Verdict::Moved), counted(Verdict::TooFewRows));
    let broken = report.findings.len();
    let (class, sign, word) = match (report.failed || drifted > 0, moved + thin > 0) {
        _ if !report.failed && drifted == 0 && broken > 0 => ("bad", "✕", "Broken columns"),
        (true, _) => ("bad", "✕", if report.failed { "Failed" } else { "Drift" }),
        (false, true) => ("watch", "!", "Watch"),
        (false, false) => ("fine", "✓", "Steady"),
    };
    writeln!(
        out,
        "<header><div class=\"title\"><h1>Drift report</h1><span class=\"pill {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span></div>\
         <p><b>{}</b> compared with <b>{}</b></p><p class=\"muted\">{}</p>",
        escape(&report.current),
        escape(&report.reference),
        escape(&report.summary())
    )?;
    let worst =
        report.by_psi().first().map(|f| (escape(&statistic(f.psi_judged)), escape(&short(&f.feature))));
    let (value, name) = worst.unwrap_or_else(|| ("-".to_owned(), String::new()));
    let steady = counted(Verdict::Steady);
    let n_missing = report.features.iter().filter(|f| f.missing_current > f.missing_reference).count();
    let facts = [
        ("Drifted", drifted.to_string(), format!("of {}", report.features.len())),
        ("Moved", moved.to_string(), "more than chance".to_owned()),
        ("Steady", steady.to_string(), format!("{thin} with too few rows")),
        ("Worst PSI", value, name),
        ("More missing values", n_missing.to_string(), "features".to_owned()),
        ("Reference", grouped(report.rows_reference), "rows".to_owned()),
        ("Current", grouped(report.rows_current), "rows".to_owned()),
    ];
    let facts: String = facts
        .iter()
        .map(|(label, value, note)| {
            format!("<div><dt>{label}</dt><dd>{value}<small>{note}</small></dd></div>")
        })
        .collect();
    writeln!(out, "<dl>{facts}</dl>")?;
    let causes: String = report.causes().iter().map(|cause| format!("<li>{}</li>", escape(cause))).collect();
    if !causes.is_empty() {
        writeln!(out, "<p>Changes, the largest first:</p><ul class=\"notes\">{causes}</ul>")?;
    }
    let notes: String = report.notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    if !notes.is_empty() {
        writeln!(out, "<ul class=\"notes\">{notes}</ul>")?;
    }
    writeln!(out, "</header>")
}

fn write_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let header = [
        "Feature",
        "Verdict",
        "",
        "PSI",
        "Chance explains up to",
        "JS",
        "KS",
        "p",
        "Wasserstein",
        "Missing, reference → current",
        "Type",
    ];
    let header: String = header.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    writeln!(out, "<div class=\"wide\"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>")?;
    for (at, f) in report.by_psi().into_iter().enumerate() {
        let cells = [
            statistic(f.psi_judged),
            optional(f.psi_critical),
            statistic(f.js_divergence),
            optional(f.ks),
            p_value(f.ks_p_value),
            optional(f.wasserstein),
            format!("{} → {}", percent(f.missing_reference), percent(f.missing_current)),
            f.kind.as_str().to_owned(),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        writeln!(
            out,
            "<tr><td><a href=\"#f{at}\">{}</a></td><td class=\"{}\">{}</td><td>{}</td>{cells}</tr>",
            escape(&f.feature),
            class(f),
            f.verdict().as_str(),
            gauge(f)
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// Means, quantiles and missing values of numbers, and the most frequent categories, a row a side.
fn write_values(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<section class=\"panel\"><h2>Values of both sides</h2>")?;
    for (tables, header) in report.values() {
        let header: String = header.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
        writeln!(out, "<div class=\"wide\"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>")?;
        for cells in tables {
            let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
            writeln!(out, "<tr>{cells}</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")?;
    }
    if report.has_gaps() {
        writeln!(out, "<p class=\"muted\">{}</p>", escape(GAPS))?;
    }
    writeln!(out, "</section>")
}

/// The PSI as a bar between the usual limits.
fn gauge(feature: &FeatureReport) -> String {
    let grade = match feature.psi_judged {
        _ if !feature.enough_rows => "thin",
        psi if psi > RED => "bad",
        psi if psi > AMBER => "warn",
        _ => "",
    };
    let width = (feature.psi_judged / FULL).clamp(0.0, 1.0) * 100.0;
    format!("<span class=\"gauge {grade}\"><i style=\"width:{width:.1}%\"></i></span>")
}

fn class(feature: &FeatureReport) -> &'static str {
    match feature.verdict() {
        Verdict::Drifted | Verdict::OtherType => "drifted",
        Verdict::Moved => "moved",
        Verdict::Steady | Verdict::TooFewRows | Verdict::NotJudged => "",
    }
}

fn short(label: &str) -> String {
    const CHARS_MAX: usize = 24;
    if label.chars().count() <= CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

/// Text in which no character means anything to HTML, in content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if c.is_control() => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::feature;

    fn page(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_from_the_data_becomes_markup() {
        let mut bad = feature("<script>alert(1)</script>\" onload='x'", 0.3);
        bad.histogram[0].label = "<img src=x>&\"".to_owned();
        let notes = vec!["<b>note</b>".to_owned()];
        let file = "a<b>.csv".to_owned();
        let report = Report {
            features: vec![bad],
            notes,
            reference: file.clone(),
            current: file,
            ..Report::default()
        };
        let page = page(&report);
        assert!(
            page.contains("<th scope=\"col\">median</th>") && page.contains("<td>1 000 000</td>"),
            "{page}"
        );
        for tag in ["<script", "<img", "<b>note", "onload='"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)"));
    }
}
