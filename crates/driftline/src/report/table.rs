//! The result for people at a terminal.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};

use super::{Report, optional, p_value, percent, statistic};

const HEADER: [&str; 11] = [
    "feature",
    "type",
    "PSI",
    "JS",
    "KS",
    "p",
    "missing ref→cur",
    "critical PSI",
    "debiased",
    "p (PSI)",
    "verdict",
];

/// Writes a table, the largest PSI first, and a footer that explains it.
pub(crate) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for f in report.by_psi() {
        table.add_row([
            printable(&f.feature),
            f.kind.as_str().to_owned(),
            statistic(f.psi_judged),
            statistic(f.js_divergence),
            optional(f.ks),
            p_value(f.ks_p_value),
            format!("{} → {}", percent(f.missing_reference), percent(f.missing_current)),
            optional(f.psi_critical),
            optional(f.size.map(|size| size.debiased)),
            format!("{}{}", p_value(f.size.map(|size| size.p_value)), if f.is_marked() { " *" } else { "" }),
            f.verdict().as_str().to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(8) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    for cause in report.causes() {
        writeln!(out, "  {}", printable(&cause))?;
    }
    writeln!(out, "{}", report.summary())?;
    writeln!(out, "{}", report.legend().replace("; ", "\n"))
}

/// A name that cannot move the cursor or break the table.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
