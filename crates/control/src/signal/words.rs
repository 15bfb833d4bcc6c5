//! Words of an alert: templates that are filled in, and numbers with their units.

use super::{Signal, Unit};
use crate::policy::Condition;

/// What the texts are filled with: values inside, template variables in the exported rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fill<'a> {
    pub(crate) model: &'a str,
    pub(crate) version: &'a str,
    pub(crate) feature: &'a str,
    pub(crate) value: &'a str,
    /// The limit in words: `above 0.3`.
    pub(crate) range: &'a str,
    /// How long it has held.
    pub(crate) held: &'a str,
}

/// Fills a template in. What is filled in is never looked at again, so that a name in braces stays a name.
pub(crate) fn fill(template: &str, with: &Fill<'_>) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        out.push_str(match name {
            "model" => with.model,
            "version" => with.version,
            "feature" => with.feature,
            "value" => with.value,
            "range" => with.range,
            "held" => with.held,
            other => other,
        });
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// A rule's limit in words.
pub(crate) fn range(condition: &Condition) -> String {
    let signal = condition.signal;
    let mut parts = Vec::new();
    if let Some(above) = condition.above {
        parts.push(format!("above {}", limit_text(signal, above)));
    }
    if let Some(below) = condition.below {
        parts.push(format!("below {}", limit_text(signal, below)));
    }
    if let Some(up_to) = condition.up_to {
        parts.push(format!("at most {}", limit_text(signal, up_to)));
    }
    if let Some(drop) = condition.drop {
        parts.push(format!("{} less than in the hour before", percent(drop)));
    }
    if let Some(factor) = condition.above_stable {
        parts.push(format!("above {factor} times the stable version's"));
    }
    parts.join(" and ")
}

fn limit_text(signal: Signal, limit: f64) -> String {
    with_unit(signal, if signal.spec().unit == Unit::Share { percent(limit) } else { limit.to_string() })
}

/// A number with its unit behind it.
pub(super) fn with_unit(signal: Signal, number: String) -> String {
    match signal.spec().unit {
        Unit::Index | Unit::Share => number,
        Unit::Milliseconds => format!("{number} ms"),
        Unit::Seconds => format!("{number} s"),
        Unit::PerSecond => format!("{number} per second"),
    }
}

/// A value as the texts show it; the unit, where it is not part of the number, stands in the template.
pub(crate) fn value_text(signal: Signal, value: f64) -> String {
    match signal.spec().unit {
        Unit::Index => format!("{value:.3}"),
        Unit::Share => percent(value),
        Unit::Milliseconds | Unit::Seconds => format!("{value:.0}"),
        Unit::PerSecond => format!("{value:.2}"),
    }
}

/// The same as a template of Prometheus.
pub(crate) const fn value_template(unit: Unit) -> &'static str {
    match unit {
        Unit::Index => "{{ $value | printf \"%.3f\" }}",
        Unit::Share => "{{ $value | humanizePercentage }}",
        Unit::Milliseconds | Unit::Seconds => "{{ $value | printf \"%.0f\" }}",
        Unit::PerSecond => "{{ $value | printf \"%.2f\" }}",
    }
}

/// A share as a percentage of four significant digits, as Prometheus' `humanizePercentage` writes it.
pub(crate) fn percent(share: f64) -> String {
    let percentage = share * 100.0;
    if percentage == 0.0 || !percentage.is_finite() {
        return format!("{percentage}%");
    }
    let magnitude = percentage.abs().log10().floor() as i32;
    let digits = usize::try_from((3 - magnitude).max(0)).unwrap_or(0);
    let text = format!("{percentage:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_those_of_prometheus() {
        for (share, expected) in [
            (0.0, "0%"),
            (1.0, "100%"),
            (0.05, "5%"),
            (0.314_285, "31.43%"),
            (0.010_204, "1.02%"),
            (0.000_123_4, "0.01234%"),
            (12.345, "1234%"),
        ] {
            assert_eq!(percent(share), expected);
        }
    }

    #[test]
    fn a_name_in_braces_stays_a_name() {
        let with =
            Fill { model: "{value}", version: "v{", feature: "}", value: "1", range: "above 0", held: "5m" };
        assert_eq!(fill("`{model}` {version} {feature} {value} {", &with), "`{value}` v{ } 1 {");
    }
}
