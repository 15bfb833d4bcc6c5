//! The PromQL of a condition: a value per model and version, and per feature where the signal has them.

use monitor::Check;

use crate::alert::duration;
use crate::evaluate::{AGREES_ABOVE, looks_at};
use crate::policy::{Condition, Policy, Rule, Scope};
use crate::signal::{Signal, UNANIMOUS_MIN};

/// Normal quantile of Wilson's interval of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// Codes of the server's errors, and of requests that are not what the model expects.
const ERRORS: &str = "code=~\"0|5..\"";
const REJECTED: &str = "code=~\"4..\", code!~\"401|403|407|408|429|499\"";
const ANSWERED: &str = "code!=\"499\"";

/// The expression of one rule. Where it has several comparisons, every one must hold; the value is the signal's.
pub(super) fn expression(policy: &Policy, rule: &Rule) -> String {
    let condition = &rule.condition;
    match condition.signal {
        Signal::Psi => psi(policy, "driftline:psi:significant", "driftline:psi:significant", condition),
        Signal::PsiRaw => psi(policy, "driftline:psi:own", "driftline:psi:judged", condition),
        Signal::TenantPsi => {
            let red = red_by_psi("driftline:psi:significant", "!=", condition);
            let by = "model, version, feature";
            format!(
                "max by ({by}) ({red})\nunless on ({by}) (\n{}\n)\nand on ({by}) (\n{}\n)",
                indented(&enough(policy.tenants_red, by, &red)),
                indented(&two_with_half(by, "driftline:psi:own")),
            )
        }
        Signal::Drift => drift(policy, condition),
        Signal::LatencyP50 | Signal::LatencyP95 | Signal::LatencyP99 => latency(policy, condition),
        Signal::ErrorRate | Signal::RejectedRate | Signal::UnreadableRate => share(policy, condition),
        Signal::Volume => volume(policy, condition),
        Signal::NoTraffic => {
            let secs = (rule.for_ms as f64 / 1000.0).max(condition.above.unwrap_or(0.0));
            format!("min by (model, version) (driftline_silence_seconds) >= {secs}")
        }
        Signal::Quality => quality(condition),
    }
}

/// `tenants` and `total`: the series of tenants by their own references, and that of the total.
fn psi(policy: &Policy, tenants: &str, total: &str, condition: &Condition) -> String {
    vote(&Vote {
        wanted: policy.tenants_red,
        by: "model, version, feature",
        tenants: &red_by_psi(tenants, "!=", condition),
        total: &red_by_psi(total, "=", condition),
        judged: "driftline:psi:own",
        any: &red_by_psi("driftline:psi:judged", "!=", condition),
    })
}

/// Drift that detectors have found. While the total is judged, tenants agree by the largest PSI of their windows.
fn drift(policy: &Policy, condition: &Condition) -> String {
    let above = condition.above.unwrap_or(0.0);
    let red = |tenants: &str| format!("driftline:drift:judged{{tenant{tenants}\"all\"}} > {above}");
    let largest = "max by (model, version, tenant) (driftline:psi:judged{tenant!=\"all\"})";
    vote(&Vote {
        wanted: policy.tenants_red,
        by: "model, version",
        tenants: &red("!="),
        total: &red("="),
        judged: "driftline:drift:judged{tenant!=\"all\"}",
        any: &format!("{largest} > {}", above.max(AGREES_ABOVE)),
    })
}

fn red_by_psi(series: &str, tenants: &str, condition: &Condition) -> String {
    let above = condition.above.unwrap_or(0.0);
    let range = condition.up_to.map_or_else(String::new, |up_to| format!(" <= {up_to}"));
    let of = scope(condition.of);
    format!("{series}{{tenant{tenants}\"all\"{of}}} > {above}{range}")
}

/// A selector of features.
fn scope(of: Scope) -> &'static str {
    match of {
        Scope::All => "",
        Scope::Features => ", feature!~\"prediction([.].*)?\"",
        Scope::Prediction => ", feature=~\"prediction([.].*)?\"",
    }
}

/// The series of a vote; see `evaluate::votes`, which it repeats.
struct Vote<'a> {
    wanted: usize,
    by: &'a str,
    /// Red tenants and a red total.
    tenants: &'a str,
    total: &'a str,
    /// Tenants that were judged by their own references.
    judged: &'a str,
    /// Tenants that are red by whatever they are compared with.
    any: &'a str,
}

/// Holds where enough tenants are red; while those that are judged carry too little to say, for a total with which tenants agree.
fn vote(of: &Vote<'_>) -> String {
    let Vote { wanted, by, tenants, total, judged, any } = of;
    format!(
        "(\n  max by ({by}) ({tenants})\n    and on ({by}) (\n{}\n    )\n)\n\
         or\n(\n  max by ({by}) ({total})\n    \
         unless on ({by}) (\n{}\n    )\n    \
         and on ({by}) (\n      {total}\n        unless on (model, version) driftline:tenants:named >= 0.5\n      or\n{}\n    )\n)",
        deep(&enough(*wanted, by, tenants), 6),
        deep(&two_with_half(by, judged), 6),
        deep(&enough_of_those_there_are(by, any), 6),
    )
}

/// Where so many are red, or two that carry half of the traffic.
fn enough(wanted: usize, by: &str, red: &str) -> String {
    format!("count by ({by}) ({red}) >= {}\nor\n{}", wanted.max(1), two_with_half(by, red))
}

/// The same, or all of them where there are fewer.
fn enough_of_those_there_are(by: &str, red: &str) -> String {
    let needed = "on (model, version) group_left () driftline:tenants:needed";
    format!("count by ({by}) ({red}) >= {needed}\nor\n{}", two_with_half(by, red))
}

fn two_with_half(by: &str, tenants: &str) -> String {
    format!("{}\n  and on ({by}) count by ({by}) ({tenants}) >= 2", with_half(by, tenants))
}

fn with_half(by: &str, tenants: &str) -> String {
    let share = "on (model, version, tenant) group_left () driftline:tenant:share";
    format!("sum by ({by}) (0 * ({tenants}) + {share}) >= 0.5")
}

fn deep(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}", "")).collect::<Vec<_>>().join("\n")
}

/// `parts` joined by `and`; the first is the value.
fn all(parts: &[String]) -> String {
    parts
        .iter()
        .map(|part| format!("(\n{}\n)", indented(part)))
        .collect::<Vec<_>>()
        .join("\nand on (model, version)\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn horizon(policy: &Policy, condition: &Condition) -> String {
    duration(policy.horizon_ms(condition))
}

fn latency(policy: &Policy, condition: &Condition) -> String {
    let over = horizon(policy, condition);
    let q = condition.signal.quantile().unwrap_or(0.95);
    let quantile = |lanes: &str| {
        format!(
            "histogram_quantile(\n  {q},\n  sum by (le, model, version) (rate(inference_latency_bucket{{{lanes}}}[{over}]))\n)"
        )
    };
    let value = quantile("lane=\"prod\"");
    let answers = |le: &str| {
        format!(
            "sum by (model, version) (increase(inference_latency_bucket{{lane=\"prod\", le=~\"{le}\"}}[{over}]))"
        )
    };
    let enough = format!("{} > {}", answers("[+]Inf"), policy.min_requests);
    let mut parts = Vec::new();
    if let Some(limit) = condition.above {
        parts.push(format!("{value} > {limit}"));
        // All are slower than the limit when none is in the bucket that ends at it, or at the next bound.
        let bound = bound_at(limit);
        parts.push(format!(
            "{enough}\nor\n(\n  {} >= {UNANIMOUS_MIN}\n    and on (model, version) {} == 0\n)",
            answers("[+]Inf"),
            answers(&format!("{bound}([.]0)?")),
        ));
    }
    if let Some(limit) = condition.below {
        parts.extend([format!("{value} < {limit}"), enough.clone()]);
    }
    if let Some(factor) = condition.above_stable {
        let stable = stable_of(&quantile(""));
        parts.extend([format!("{value} > on (model) group_left () ({factor} * {stable})"), enough]);
    }
    all(&parts)
}

/// The smallest bound of the histogram that is not below a limit.
fn bound_at(limit_ms: f64) -> String {
    const BOUNDS_MS: [f64; 20] = [
        1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 750.0,
        1000.0, 2500.0, 5000.0, 10_000.0,
    ];
    BOUNDS_MS.iter().find(|bound| **bound >= limit_ms).map_or_else(|| "[+]Inf".to_owned(), f64::to_string)
}

/// What the stable version of each model shows.
fn stable_of(value: &str) -> String {
    format!("max by (model) (({value}) and on (model, version) driftline_stable_version == 1)")
}

fn share(policy: &Policy, condition: &Condition) -> String {
    let over = horizon(policy, condition);
    let requests = |lanes: &str, codes: &str| {
        format!("sum by (model, version) (increase(driftline_requests_total{{{lanes}{codes}}}[{over}]))")
    };
    let observed = |lanes: &str, result: &str| {
        format!("sum by (model, version) (increase(driftline_observations_total{{{lanes}{result}}}[{over}]))")
    };
    let both = |lanes: &str| match condition.signal {
        Signal::RejectedRate => (requests(lanes, REJECTED), requests(lanes, ANSWERED)),
        Signal::UnreadableRate => {
            (observed(lanes, "result=\"unreadable\""), observed(lanes, "result=~\"read|unreadable|failed\""))
        }
        // An error event inside an answer that began well counts as well, where there were some.
        _ => {
            let codes = requests(lanes, ERRORS);
            let inside = observed(lanes, "result=\"failed\"");
            (format!("(({codes} + {inside}) or {codes} or {inside})"), requests(lanes, ANSWERED))
        }
    };
    let (hits, n) = both("lane=\"prod\", ");
    let value = format!("{hits}\n/\n{n}");
    let mut parts = Vec::new();
    if let Some(limit) = condition.above {
        parts.push(format!("(\n{}\n) > {limit}", indented(&value)));
        let width = Z_95 * (limit * (1.0 - limit)).sqrt();
        parts.push(format!(
            "(\n  {n} > {}\n    and on (model, version) {hits} - {limit} * {n} > {width:.6} * sqrt({n})\n)\n\
             or\n(\n  {hits} >= {UNANIMOUS_MIN}\n    and on (model, version) {n} - {hits} < 0.5\n)",
            policy.min_requests
        ));
    }
    if let Some(factor) = condition.above_stable {
        let (all_hits, all_n) = both("");
        let stable = stable_of(&format!("({all_hits}) / ({all_n})"));
        parts.push(format!("(\n{}\n) > on (model) group_left () ({factor} * {stable})", indented(&value)));
        parts.push(format!("{n} > {}", policy.min_requests));
    }
    all(&parts)
}

fn volume(policy: &Policy, condition: &Condition) -> String {
    let over = horizon(policy, condition);
    let rate = |range: &str| {
        format!(
            "sum by (model, version) (rate(driftline_requests_total{{lane=\"prod\", {ANSWERED}}}[{range}))"
        )
    };
    let value = rate(&format!("{over}]"));
    let mut parts = Vec::new();
    if let Some(limit) = condition.above {
        parts.push(format!("{value} > {limit}"));
    }
    if let Some(limit) = condition.below {
        parts.push(format!("{value} < {limit}"));
    }
    if let Some(drop) = condition.drop {
        let before = rate(&format!("1h] offset {over}"));
        let kept = 1.0 - drop;
        parts.push(format!("{value} < {kept} * ({before})"));
    }
    all(&parts)
}

fn quality(condition: &Condition) -> String {
    let checks: Vec<&str> =
        Check::ALL.into_iter().filter(|check| looks_at(condition, *check)).map(Check::as_str).collect();
    let of = scope(condition.of);
    let above = condition.above.unwrap_or(0.0);
    format!(
        "max by (model, version, feature) (\n  \
         driftline_quality_ratio{{check=~\"{checks}\"{of}}}\n    \
         and on (model, version, tenant, feature, check) (driftline_quality_excess{{check=~\"{checks}\"{of}}} > {above})\n)",
        checks = checks.join("|")
    )
}
