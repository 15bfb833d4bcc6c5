//! Text for Prometheus: format 0.0.4 and OpenMetrics 1.0, from the same families.
//!
//! Written here and not by a client library because every value comes out of a snapshot: there is nothing to register,
//! and label sets come and go with tenants and reloads.

use std::fmt::Write as _;

/// Which of the two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/plain; version=0.0.4`
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// Chooses by an `accept` header: OpenMetrics only when it is asked for at least as strongly as plain text.
    pub(crate) fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (Self::Prometheus, -1.0_f32);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => Self::Prometheus,
                _ => continue,
            };
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The `content-type` that goes with it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Builds the text, family by family.
#[derive(Debug)]
pub(crate) struct Exposition {
    format: Format,
    text: String,
    family: &'static str,
    kind: Kind,
}

impl Exposition {
    /// An empty page.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(64 * 1024), family: "", kind: Kind::Gauge }
    }

    /// Starts a family. A counter's name ends in `_total`. Each family is started once.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let header_name = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.text.push_str("# HELP ");
        self.text.push_str(header_name);
        self.text.push(' ');
        push_escaped(&mut self.text, help, false);
        self.text.push_str("\n# TYPE ");
        self.text.push_str(header_name);
        self.text.push(' ');
        self.text.push_str(word);
        self.text.push('\n');
        self.family = name;
        self.kind = kind;
    }

    /// One sample of the family just started, labels in the order given.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// A histogram: `counts` are per bucket (not cumulative), one more than `bounds`.
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut cumulative = 0_u64;
        for (index, count) in counts.iter().enumerate() {
            cumulative += count;
            let mut bound = String::new();
            push_number(&mut bound, bounds.get(index).copied().unwrap_or(f64::INFINITY), true);
            self.line("_bucket", labels, Some(&bound), cumulative as f64);
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, cumulative as f64);
    }

    /// The whole page.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, label) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.text.push(separator);
            self.text.push_str(name);
            self.text.push_str("=\"");
            push_escaped(&mut self.text, label, true);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        push_number(&mut self.text, value, false);
        self.text.push('\n');
    }
}

/// A float as both formats want it. OpenMetrics asks for bounds as floats (`1.0`, not `1`).
fn push_number(text: &mut String, value: f64, as_bound: bool) {
    // Writing to a string cannot fail.
    let written = if value.is_nan() {
        text.write_str("NaN")
    } else if value.is_infinite() {
        text.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if as_bound {
        write!(text, "{value:?}")
    } else {
        write!(text, "{value}")
    };
    written.ok();
}

fn push_escaped(text: &mut String, raw: &str, quotes: bool) {
    // Nearly every name and value has nothing to escape.
    if !raw.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        text.push_str(raw);
        return;
    }
    for character in raw.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            _ => text.push(character),
        }
    }
}

/// A label-free one-liner: `name value`, for families of a single series.
pub(crate) fn single(page: &mut Exposition, name: &'static str, kind: Kind, help: &str, value: f64) {
    page.family(name, kind, help);
    page.sample(&[], value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        let page = |format| {
            let mut page = Exposition::new(format);
            page.family("driftline_requests_total", Kind::Counter, "Requests.");
            page.sample(&[("model", "a\"b\\c\nd"), ("code", "200")], 3.0);
            page.family("inference_latency", Kind::Histogram, "Latency.");
            page.histogram(&[("model", "m")], &[1.0, 2.5], &[1, 0, 2], 9.5);
            page.finish()
        };
        insta::assert_snapshot!(page(Format::Prometheus), @r#"
        # HELP driftline_requests_total Requests.
        # TYPE driftline_requests_total counter
        driftline_requests_total{model="a\"b\\c\nd",code="200"} 3
        # HELP inference_latency Latency.
        # TYPE inference_latency histogram
        inference_latency_bucket{model="m",le="1.0"} 1
        inference_latency_bucket{model="m",le="2.5"} 1
        inference_latency_bucket{model="m",le="+Inf"} 3
        inference_latency_sum{model="m"} 9.5
        inference_latency_count{model="m"} 3
        "#);
        let open = page(Format::OpenMetrics);
        assert!(open.contains("# TYPE driftline_requests counter\n"));
        assert!(open.contains("\ndriftline_requests_total{"));
        assert!(open.ends_with("# EOF\n"));
    }

    #[test]
    fn negotiation_follows_quality() {
        let scrape =
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::negotiate(Some(scrape)), Format::OpenMetrics);
        assert_eq!(
            Format::negotiate(Some("text/plain,application/openmetrics-text;q=0.5")),
            Format::Prometheus
        );
        assert_eq!(Format::negotiate(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::negotiate(None), Format::Prometheus);
    }
}
