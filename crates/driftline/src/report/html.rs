//! The result as one HTML page: no scripts, no outside files, histograms as inline SVG.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{FeatureReport, Report, Slot, Verdict, optional, p_value, percent, statistic};

/// Bars of a histogram; further categories are added up in one bar.
const BARS_MAX: usize = 24;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c2330;--muted:#667085;--line:#d9dee7;--bg:#fff;--ref:#9aa5b8;--cur:#2563eb;--bad:#c0262d;--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--text:#e6e9ef;--muted:#98a2b3;--line:#344054;--bg:#101828;--ref:#667085;--cur:#6ea8fe;--bad:#ff7b80;--warn:#e3b341}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--bg);max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}p,ul{color:var(--muted)}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2),th:last-child,td:last-child{text-align:left}
th{font-weight:600;color:var(--muted)}a{color:inherit}
.drifted{color:var(--bad);font-weight:600}.moved{color:var(--warn)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1.5rem;margin-top:2rem}
figure{margin:0}figcaption{font-weight:600;overflow-wrap:anywhere}figcaption span{font-weight:400;color:var(--muted)}
svg{width:100%;height:auto}.ref{fill:var(--ref)}.cur{fill:var(--cur)}svg line{stroke:var(--line)}
svg text{fill:var(--muted);font-size:10px}.key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
";

/// Writes the page.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")?;
    writeln!(
        out,
        "<title>Drift: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        escape(&report.current)
    )?;
    writeln!(out, "<h1>Drift report</h1>")?;
    writeln!(
        out,
        "<p><b>{}</b> compared with <b>{}</b><br>{}</p>",
        escape(&report.current),
        escape(&report.reference),
        escape(&report.summary())
    )?;
    write_table(report, out)?;
    writeln!(out, "<p>{}</p>", escape(&report.legend()))?;
    if !report.notes.is_empty() {
        let items: String = report.notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
        writeln!(out, "<ul>{items}</ul>")?;
    }
    writeln!(
        out,
        "<p class=\"key\">Share of rows per bin:<i style=\"background:var(--ref)\"></i>reference<i style=\"background:var(--cur)\"></i>current</p>"
    )?;
    writeln!(out, "<div class=\"grid\">")?;
    for (at, feature) in report.by_psi().into_iter().enumerate() {
        writeln!(out, "{}", figure(at, feature))?;
    }
    writeln!(out, "</div>\n</body>\n</html>")
}

fn write_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let header = [
        "feature",
        "type",
        "PSI",
        "JS",
        "KS",
        "p",
        "Wasserstein",
        "missing ref→cur",
        "critical PSI",
        "verdict",
    ];
    let header: String = header.iter().map(|name| format!("<th>{name}</th>")).collect();
    writeln!(out, "<div class=\"wide\"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>")?;
    for (at, f) in report.by_psi().into_iter().enumerate() {
        let cells = [
            f.kind.as_str().to_owned(),
            statistic(f.psi),
            statistic(f.js_divergence),
            optional(f.ks),
            p_value(f.ks_p_value),
            optional(f.wasserstein),
            format!("{} → {}", percent(f.missing_reference), percent(f.missing_current)),
            optional(f.psi_critical),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let class = match f.verdict() {
            Verdict::Drifted => "drifted",
            Verdict::Moved => "moved",
            Verdict::Steady | Verdict::TooFewRows => "",
        };
        let (name, verdict) = (escape(&f.feature), f.verdict().as_str());
        writeln!(
            out,
            "<tr><td><a href=\"#f{at}\">{name}</a></td>{cells}<td class=\"{class}\">{verdict}</td></tr>"
        )?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn figure(at: usize, feature: &FeatureReport) -> String {
    const WIDTH: f64 = 400.0;
    const HEIGHT: f64 = 150.0;
    const BOTTOM: f64 = 130.0;
    let slots = shortened(&feature.histogram);
    let total = |side: fn(&Slot) -> u64| slots.iter().map(side).sum::<u64>().max(1) as f64;
    let (n_reference, n_current) = (total(|slot| slot.reference), total(|slot| slot.current));
    let shares = |slot: &Slot| (slot.reference as f64 / n_reference, slot.current as f64 / n_current);
    let highest = slots.iter().map(shares).fold(0.0_f64, |top, (r, c)| top.max(r).max(c)).max(1e-9);
    let step = WIDTH / slots.len().max(1) as f64;
    let mut bars = String::new();
    for (bar, slot) in slots.iter().enumerate() {
        let (reference, current) = shares(slot);
        let x = step * bar as f64;
        let title = format!("{}: {} → {}", slot.label, percent(reference), percent(current));
        let mut rect = |class: &str, offset: f64, share: f64| {
            let height = share / highest * (BOTTOM - 8.0);
            // Writing to a String cannot fail.
            write!(
                bars,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
                x + step * offset,
                BOTTOM - height,
                step * 0.4,
                escape(&title)
            )
            .ok();
        };
        rect("ref", 0.08, reference);
        rect("cur", 0.52, current);
    }
    let (first, last) = (slots.first().map_or("", |s| &s.label), slots.last().map_or("", |s| &s.label));
    format!(
        "<figure id=\"f{at}\"><figcaption>{name} <span>PSI {psi}</span></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"histogram of {name}\">{bars}\
         <line x1=\"0\" y1=\"{BOTTOM}\" x2=\"{WIDTH}\" y2=\"{BOTTOM}\"/>\
         <text x=\"2\" y=\"144\">{first}</text><text x=\"398\" y=\"144\" text-anchor=\"end\">{last}</text></svg></figure>",
        name = escape(&feature.feature),
        psi = escape(&statistic(feature.psi)),
        first = escape(&short(first)),
        last = escape(&short(last)),
    )
}

/// At most [`BARS_MAX`] bars: those with the most rows keep their place, the others are added up at the end.
fn shortened(slots: &[Slot]) -> Vec<Slot> {
    if slots.len() <= BARS_MAX {
        return slots.to_vec();
    }
    let mut by_size: Vec<usize> = (0..slots.len()).collect();
    by_size.sort_by_key(|at| slots.get(*at).map(|slot| std::cmp::Reverse(slot.reference + slot.current)));
    let largest: std::collections::HashSet<usize> = by_size.into_iter().take(BARS_MAX - 1).collect();
    let mut kept: Vec<Slot> = Vec::with_capacity(BARS_MAX);
    let mut rest = Slot { label: String::new(), reference: 0, current: 0 };
    for (at, slot) in slots.iter().enumerate() {
        if largest.contains(&at) {
            kept.push(slot.clone());
        } else {
            rest.reference += slot.reference;
            rest.current += slot.current;
        }
    }
    let n_rest = slots.len() - kept.len();
    rest.label = format!("{n_rest} others");
    kept.push(rest);
    kept
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
        for tag in ["<script", "<img", "<b>note", "onload='"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)"));
    }

    #[test]
    fn many_categories_become_few_bars_that_still_add_up() {
        let mut slots: Vec<Slot> =
            (0..99).map(|i| Slot { label: format!("k{i}"), reference: 1, current: 2 }).collect();
        slots.push(Slot { label: "other".to_owned(), reference: 0, current: 900 });
        let bars = shortened(&slots);
        assert_eq!((bars.len(), bars[BARS_MAX - 1].label.as_str()), (BARS_MAX, "77 others"));
        assert_eq!(bars[BARS_MAX - 2].label, "other", "the largest is among those kept");
        assert_eq!(bars.iter().map(|bar| bar.reference).sum::<u64>(), 99);
    }
}
