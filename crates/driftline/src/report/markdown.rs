//! The result for a pull request or a ticket.

use std::io::{self, Write};

use super::{GAPS, Report, Verdict, optional, p_value, percent, statistic};

/// Writes a heading, a table (the largest PSI first) and the explanation.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "### Drift: {}", report.summary())?;
    writeln!(out)?;
    writeln!(out, "`{}` compared with `{}`.", code(&report.current), code(&report.reference))?;
    writeln!(out)?;
    writeln!(out, "| feature | type | PSI | JS | KS | p | missing ref→cur | critical PSI | verdict |")?;
    writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")?;
    for f in report.by_psi() {
        let verdict = f.verdict().as_str();
        let is_bad = matches!(f.verdict(), Verdict::Drifted | Verdict::OtherType);
        let verdict = if is_bad { format!("**{verdict}**") } else { verdict.to_owned() };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} → {} | {} | {verdict} |",
            escape(&f.feature),
            f.kind.as_str(),
            escape(&statistic(f.psi_judged)),
            escape(&statistic(f.js_divergence)),
            escape(&optional(f.ks)),
            escape(&p_value(f.ks_p_value)),
            escape(&percent(f.missing_reference)),
            escape(&percent(f.missing_current)),
            escape(&optional(f.psi_critical)),
        )?;
    }
    writeln!(out)?;
    for cause in report.causes() {
        writeln!(out, "- {}", escape(&cause))?;
    }
    for note in &report.notes {
        writeln!(out, "- {}", escape(note))?;
    }
    let has_list = !report.notes.is_empty() || !report.causes().is_empty();
    writeln!(out, "{}<sub>{}</sub>", if has_list { "\n" } else { "" }, escape(&report.legend()))?;
    write_values(report, out)
}

/// Means, quantiles and missing values of numbers, and the most frequent categories, a row a side.
fn write_values(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n#### Values of both sides")?;
    for (rows, header) in report.values() {
        let align = |at: usize| if at < 2 || header.len() == 4 && at == 3 { "---" } else { "---:" };
        let aligned: Vec<&str> = (0..header.len()).map(align).collect();
        writeln!(out, "\n| {} |\n| {} |", header.join(" | "), aligned.join(" | "))?;
        for cells in rows {
            let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    if report.has_gaps() {
        writeln!(out, "\n<sub>{}</sub>", escape(GAPS))?;
    }
    Ok(())
}

/// Text in which no character means anything to Markdown or HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '~' | '#' | '@' => out.extend(['\\', c]),
            _ if c.is_control() => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// Text inside back quotes.
fn code(text: &str) -> String {
    text.chars().map(|c| if c == '`' || c.is_control() { '\'' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_table() {
        assert_eq!(escape("a|b_c\n<script>"), "a\\|b\\_c &lt;script&gt;");
        assert_eq!(code("a`b"), "a'b");
    }
}
