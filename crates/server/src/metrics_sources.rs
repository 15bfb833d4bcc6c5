//! The sources' metrics.

use crate::exposition::{Exposition, Kind};
use crate::sources::SourceView;

/// Appends the sources' families. Without sources there are none.
pub(crate) fn render(page: &mut Exposition, sources: &[SourceView]) {
    if sources.is_empty() {
        return;
    }
    let labels =
        |source: &SourceView| [("source", source.name.to_string()), ("kind", source.kind.to_owned())];
    page.family(
        "driftline_source_records_total",
        Kind::Counter,
        "What a source brought, by what became of it.",
    );
    for source in sources {
        let [name, kind] = labels(source);
        let counted = std::iter::once(("counted", source.status.accepted));
        for (result, count) in counted.chain(source.status.rejected.iter().copied()) {
            page.sample(&[(name.0, &name.1), (kind.0, &kind.1), ("result", result)], count as f64);
        }
    }
    type Figure = (&'static str, Kind, &'static str, fn(&SourceView) -> Option<f64>);
    let figures: [Figure; 4] = [
        ("driftline_source_bytes_total", Kind::Counter, "Bytes read from a source.", |source| {
            Some(source.status.bytes as f64)
        }),
        (
            "driftline_source_errors_total",
            Kind::Counter,
            "Failures of what a source reads from; it tries again.",
            |source| Some(source.status.errors as f64),
        ),
        ("driftline_source_up", Kind::Gauge, "1 while a source reads or waits for more.", |source| {
            Some(f64::from(u8::from(source.status.state == feeds::sources::SourceState::Running)))
        }),
        (
            "driftline_source_lag",
            Kind::Gauge,
            "What is still to be read, in the source's own unit.",
            |source| source.status.lag.map(|lag| lag as f64),
        ),
    ];
    for (name, kind, help, value) in figures {
        page.family(name, kind, help);
        for source in sources {
            let [source_label, kind_label] = labels(source);
            if let Some(value) = value(source) {
                page.sample(&[(source_label.0, &source_label.1), (kind_label.0, &kind_label.1)], value);
            }
        }
    }
}
