//! What an alert is, and the words it comes with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evaluate::Subject;
use crate::place::Place;
use crate::policy::{Policy, Rule, Severity};
use crate::signal::{self, Fill, Kind, Signal};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition does not hold.
    #[default]
    Inactive,
    /// It holds, not yet for long enough.
    Pending,
    /// It has held for long enough.
    Firing,
}

impl AlertState {
    /// The value of the metric `driftline_alert_state`: 0, 1 or 2.
    pub const fn number(self) -> u8 {
        match self {
            Self::Inactive => 0,
            Self::Pending => 1,
            Self::Firing => 2,
        }
    }
}

/// Why an alert has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEnd {
    /// The condition does not hold any more.
    Clear,
    /// The version does not serve any more, or has begun to serve anew: what was measured before does not count.
    Inactive,
    /// The rule or the model was changed or removed.
    Configuration,
    /// The drill that raised it has ended.
    Drill,
}

impl AlertEnd {
    /// The reason in words, behind the summary.
    pub const fn why(self) -> &'static str {
        match self {
            Self::Clear => "the condition no longer holds",
            Self::Inactive => "inactive: the version was switched, and is judged by new requests only",
            Self::Configuration => "the configuration was changed",
            Self::Drill => "the drill has ended",
        }
    }
}

/// One alert about one model's version and, where the signal has them, feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// Name of the rule.
    pub name: String,
    /// Severity of the rule.
    pub severity: Severity,
    /// `alertname`, `severity`, `model`, `version` and, for drift, `feature`.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub state: AlertState,
    /// Since when it has been in this state, unix milliseconds.
    pub since_ms: i64,
    /// The signal's value when the condition last held, in its unit; of a PSI that of the worst red tenant.
    pub value: f64,
    /// The signal that the rule looks at.
    pub measure: Signal,
    /// Rows behind `value`.
    pub n: u64,
    /// Red tenants, at most 50; empty where no request names a tenant.
    pub tenants: Vec<String>,
    /// How many tenants are red.
    pub tenants_red: usize,
    /// Whether there is no data now: the state is the last one known.
    pub stale: bool,
    /// Whether a drill of the model raised it.
    pub drill: bool,
    /// Why it has ended, once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<AlertEnd>,
    /// Texts for people.
    pub annotations: Annotations,
    /// Sixteen hexadecimal digits over the labels, the same as Alertmanager computes.
    pub fingerprint: String,
}

/// Texts for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// One line.
    pub summary: String,
    /// What it means.
    pub description: String,
    /// What to do.
    pub runbook_url: String,
    /// Where to look, if the policy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_url: Option<String>,
}

impl Alert {
    /// Says in every text that a drill raised it.
    pub(crate) fn mark_drill(&mut self) {
        self.drill = true;
        for text in [&mut self.annotations.summary, &mut self.annotations.description] {
            text.insert_str(0, DRILL);
        }
    }
}

/// Before every text about what a drill does.
pub(crate) const DRILL: &str = "Drill: ";

/// What happened to an alert in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertTransition {
    /// The condition began to hold.
    Pending,
    /// It has held for long enough.
    Firing,
    /// It fired and does not hold any more.
    Resolved,
    /// It was pending and never fired.
    Cancelled,
}

/// A change of an alert's state, with the alert as it is after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertChange {
    /// What happened.
    pub transition: AlertTransition,
    /// The alert.
    pub alert: Alert,
}

/// The labels of a rule's alert about a subject.
pub(crate) fn labels(rule: &str, severity: Severity, subject: &Subject) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("alertname".to_owned(), rule.to_owned()),
        ("severity".to_owned(), severity.as_str().to_owned()),
        ("model".to_owned(), subject.model.to_string()),
        ("version".to_owned(), subject.version.to_string()),
    ]);
    if let Some(feature) = &subject.feature {
        labels.insert("feature".to_owned(), feature.to_string());
    }
    labels
}

/// FNV-1a over sorted names and values, each followed by 0xff: what Prometheus and Alertmanager call the fingerprint.
pub(crate) fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for (name, value) in labels {
        for byte in name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// The texts of a rule; `range` and `held` of `fill` are the rule's own. The link to the dashboard is the caller's to add.
pub(crate) fn annotations(policy: &Policy, rule: &Rule, with: &Fill<'_>) -> Annotations {
    let (range, held) = (signal::range(&rule.condition), duration(rule.for_ms));
    let with = Fill { range: &range, held: &held, ..*with };
    let spec = rule.condition.signal.spec();
    Annotations {
        summary: signal::fill(spec.title, &with),
        description: signal::fill(spec.text, &with),
        runbook_url: format!("{}{}.md", policy.runbook_base_url, kebab(&rule.name)),
        dashboard_url: None,
    }
}

/// What an alert last said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) value: f64,
    /// Red tenants, as many as are kept.
    pub(crate) tenants: &'a [String],
    pub(crate) tenants_red: usize,
    /// What is wrong, in words.
    pub(crate) detail: Option<&'a str>,
}

/// The texts of an alert that is there, red tenants named.
pub(crate) fn annotations_of(
    policy: &Policy,
    rule: &Rule,
    subject: &Subject,
    reading: &Reading<'_>,
) -> Annotations {
    let Reading { value, tenants, tenants_red, detail } = *reading;
    let value = signal::value_text(rule.condition.signal, value);
    let feature: Arc<str> = subject.feature.clone().unwrap_or_else(|| "".into());
    let fill = Fill {
        model: &subject.model,
        version: &subject.version,
        feature: &feature,
        value: &value,
        ..Fill::default()
    };
    let mut texts = annotations(policy, rule, &fill);
    let place = Place {
        page: rule.condition.signal.spec().page,
        model: &subject.model,
        version: &subject.version,
        feature: &feature,
        // A link to one of several would hide the others.
        tenant: match tenants {
            [only] if tenants_red == 1 => only,
            _ => "",
        },
    };
    texts.dashboard_url = policy.dashboard_url.as_deref().map(|base| place.link(base));
    let has_psi = matches!(rule.condition.signal, Signal::Psi | Signal::PsiRaw) && !feature.is_empty();
    if let Some(detail) = detail {
        texts.summary = match detail.strip_prefix(&*feature).filter(|_| has_psi) {
            // PSI of the feature, then how it differs.
            Some(differs) => texts.summary + differs,
            None => format!("`{}` {}: {detail}", subject.model, subject.version),
        };
        let lead = if rule.condition.kind() == Kind::Drift { "What changed: " } else { "" };
        let end = if detail.ends_with('?') { "" } else { "." };
        texts.description.push_str(&format!(" {lead}{detail}{end}"));
    }
    if !tenants.is_empty() {
        let more = if tenants_red > tenants.len() { " and more" } else { "" };
        texts.description.push_str(&format!(" Red tenants ({tenants_red}): {}{more}.", tenants.join(", ")));
    }
    texts
}

/// `FeaturePSIHigh` as `feature-psi-high`.
pub(crate) fn kebab(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (idx, &c) in chars.iter().enumerate() {
        let after_lower = idx > 0 && !chars[idx - 1].is_uppercase();
        let word_starts = idx > 0 && chars.get(idx + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_lower || word_starts) && idx > 0 {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Milliseconds as Prometheus writes durations: `90s`, `5m`, `1500ms`.
pub(crate) fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    if ms == 0 {
        return "0s".to_owned();
    }
    match UNITS.iter().find(|(unit, _)| ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::policy;

    #[test]
    fn names_become_kebab_case() {
        for (name, expected) in [
            ("FeaturePSIHigh", "feature-psi-high"),
            ("FeaturePSICritical", "feature-psi-critical"),
            ("PSIAmber", "psi-amber"),
            ("LatencySpike", "latency-spike"),
            ("P95High", "p95-high"),
            ("", ""),
        ] {
            assert_eq!(kebab(name), expected);
        }
    }

    #[test]
    fn durations_are_prometheus_durations() {
        for (ms, expected) in [
            (0, "0s"),
            (60_000, "1m"),
            (90_000, "90s"),
            (1_500, "1500ms"),
            (86_400_000, "1d"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn the_fingerprint_is_fnv_1a_over_sorted_labels() {
        assert_eq!(fingerprint(&BTreeMap::new()), "cbf29ce484222325");
        let one = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let other = BTreeMap::from([("ab".to_owned(), String::new())]);
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }

    #[test]
    fn the_texts_name_what_is_wrong() {
        let policy = policy();
        let subject = Subject { model: "fraud".into(), version: "v2".into(), feature: Some("amount".into()) };
        let tenants = ["a".to_owned(), "b".to_owned()];
        let detail = Some("amount: about 100 times larger (median 33 → 3 300): unit?");
        let words = Reading { value: 0.3456, tenants: &[], tenants_red: 0, detail };
        let texts = annotations_of(&policy, &policy.rules[1], &subject, &words);
        assert_eq!(
            texts.summary,
            "`fraud` v2: PSI of `amount` is 0.346: about 100 times larger (median 33 → 3 300): unit?"
        );
        assert!(
            texts.description.ends_with(
                "above 0.3 for 2m. What changed: amount: about 100 times larger (median 33 → 3 300): unit?"
            ),
            "{}",
            texts.description
        );
        let reading = Reading { value: 0.3456, tenants: &tenants, tenants_red: 3, detail: None };
        let texts = annotations_of(&policy, &policy.rules[1], &subject, &reading);
        assert_eq!(texts.summary, "`fraud` v2: PSI of `amount` is 0.346");
        assert_eq!(
            texts.description,
            "`amount` of `fraud` v2 differs from its baseline: PSI 0.346, above 0.3 for 2m. \
             Red tenants (3): a, b and more."
        );
        assert_eq!(texts.runbook_url, "https://runbooks.example/driftline/feature-psi-critical.md");
    }

    #[test]
    fn a_drift_says_what_changed() {
        let policy = policy();
        let rule = |name: &str| policy.rules.iter().find(|rule| rule.name == name).unwrap();
        let subject = Subject { model: "fraud".into(), version: "v2".into(), feature: None };
        let detail = Some(
            "amount: higher (median 33 → 60); country: `DE` is 34 % (training 20 %) (began about 420 requests ago)",
        );
        let reading = Reading { value: 0.3456, tenants: &[], tenants_red: 0, detail };
        let texts = annotations_of(&policy, rule("DriftCritical"), &subject, &reading);
        assert_eq!(
            texts.summary,
            "`fraud` v2: amount: higher (median 33 → 60); country: `DE` is 34 % (training 20 %) (began about 420 requests ago)"
        );
        assert_eq!(
            texts.description,
            "Requests to `fraud` v2 are not what its baseline is made of: the largest debiased PSI is 0.346, above 0.25 \
             for 5m. What changed: amount: higher (median 33 → 60); country: `DE` is 34 % (training 20 %) (began about 420 requests ago)."
        );
        assert_eq!(texts.runbook_url, "https://runbooks.example/driftline/drift-critical.md");
    }
}
