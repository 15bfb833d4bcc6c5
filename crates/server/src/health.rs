//! How a model is, in one sentence for somebody who was just woken.

use control::{Alert, AlertState, BlockReason, Kind, ModelPhase, ModelStatus, Severity, SignalReading};
use monitor::ReferenceState;
use serde::Serialize;

/// Features named in a sentence.
const NAMED_MAX: usize = 3;

/// Characters of a name in a sentence.
const NAME_CHARS: usize = 60;

/// Shares of failed requests that are worth a look and that are bad, as the default rules have them.
const WATCH_ERRORS: f64 = 0.01;
const BAD_ERRORS: f64 = 0.05;

/// From this many seconds without a request on nothing is called fine.
const SILENT_S: f64 = 60.0;

/// How worried to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Enough data, and all of it as usual.
    Fine,
    /// Look at it today.
    Watch,
    /// Look at it now.
    Bad,
    /// There is nothing to judge by. Never the same as fine.
    Unknown,
}

/// The verdict on one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    pub(crate) level: Level,
    pub(crate) text: String,
    /// Since when, unix milliseconds, where something began.
    #[serde(skip)]
    pub(crate) since_ms: Option<i64>,
}

/// What the verdict rests on.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) status: &'a ModelStatus,
    /// Pending and firing alerts of this model.
    pub(crate) alerts: &'a [&'a Alert],
    pub(crate) reference: Option<&'a ReferenceState>,
    /// Rows in the window of the version that is shown.
    pub(crate) requests: u64,
    /// Below this many nothing is judged.
    pub(crate) min_requests: u64,
    pub(crate) features: usize,
    /// The share of requests that the version fails, where there are requests.
    pub(crate) errors: Option<&'a SignalReading>,
    /// Seconds since the last request, where there was one.
    pub(crate) silence_s: Option<f64>,
    /// Features above the amber and the red threshold, with enough rows.
    pub(crate) amber: usize,
    pub(crate) red: usize,
    /// Why the reference does not fit the traffic, where it does not.
    pub(crate) misfit: Option<String>,
}

/// Judges a model.
pub(crate) fn judge(facts: &Facts<'_>) -> Health {
    let firing =
        |severity| move |alert: &&&Alert| alert.state == AlertState::Firing && alert.severity == severity;
    let critical: Vec<&Alert> = facts
        .alerts
        .iter()
        .filter(firing(Severity::Critical))
        .filter(|alert| matters(facts.status, alert))
        .copied()
        .collect();
    if !critical.is_empty() {
        return trouble(facts, &critical);
    }
    // What clients get now comes before what was done about it.
    let failing = failing(facts);
    if let Some(health) = failing.as_ref().filter(|health| health.level == Level::Bad) {
        return health.clone();
    }
    if facts.status.state == ModelPhase::RolledBack {
        return rolled_back(facts);
    }
    let warning: Vec<&Alert> = facts.alerts.iter().filter(firing(Severity::Warning)).copied().collect();
    if !warning.is_empty() {
        let text = format!("{}. No rollback: only critical alerts roll back.", what(&warning));
        return Health { level: Level::Watch, text, since_ms: earliest(&warning) };
    }
    let unknown = || silent(facts).or_else(|| unarmed(facts)).or_else(|| unjudged(facts));
    failing.or_else(unknown).unwrap_or_else(|| quiet(facts))
}

/// Whether an alert is about what clients get. One about a version that traffic was taken from goes on firing for a while;
/// its story is told by the rollback.
fn matters(status: &ModelStatus, alert: &Alert) -> bool {
    let about_active = alert.labels.get("version").is_none_or(|version| **version == *status.active);
    about_active || (!alert.stale && status.state != ModelPhase::RolledBack)
}

fn trouble(facts: &Facts<'_>, critical: &[&Alert]) -> Health {
    let status = facts.status;
    let done = match (status.state, status.blocked) {
        (ModelPhase::RollingBack, _) => format!("Moving all traffic to {} now.", name(&status.stable)),
        (_, Some(reason)) => blocked(status, reason),
        _ if status.active == status.stable => {
            format!(
                "Clients get the stable version {} already: there is nowhere safer to go.",
                name(&status.stable)
            )
        }
        _ if !status.auto_rollback => {
            format!("Automatic rollback is off: clients still get {}.", name(&status.active))
        }
        _ => format!("Clients get {}.", name(&status.active)),
    };
    Health { level: Level::Bad, text: format!("{}. {done}", what(critical)), since_ms: earliest(critical) }
}

fn blocked(status: &ModelStatus, reason: BlockReason) -> String {
    let (active, stable) = (name(&status.active), name(&status.stable));
    match reason {
        BlockReason::AlreadyStable => {
            format!("Clients get the stable version {stable} already: there is nowhere safer to go.")
        }
        BlockReason::Observe => {
            format!("Dry run: it would have rolled back to {stable}; clients still get {active}.")
        }
        BlockReason::AutoOff => format!("Automatic rollback is off: clients still get {active}."),
        BlockReason::Cooldown => {
            format!("No rollback while cooling down after the last change; clients get {active}.")
        }
        BlockReason::LimitReached => {
            format!("The most rollbacks in this period are used up; clients still get {active}.")
        }
        BlockReason::TargetUnhealthy => {
            format!("No rollback: {stable} is in trouble itself; clients still get {active}.")
        }
        BlockReason::DataFault => {
            format!(
                "No rollback: the requests are broken, and {stable} would get the same; clients still get {active}."
            )
        }
        BlockReason::EpisodeHandled => format!("An earlier rollback answered this; clients get {active}."),
        BlockReason::InProgress => "A change of traffic is being carried out.".to_owned(),
        BlockReason::Frozen => format!("The mode is frozen: clients still get {active}."),
        BlockReason::Held => format!("A person holds it: clients still get {active}."),
        BlockReason::Recommended => format!("A rollback to {stable} is advised; clients still get {active}."),
        BlockReason::AwaitingApproval => {
            format!("A rollback to {stable} waits for approval; clients still get {active}.")
        }
        BlockReason::NotApproved => {
            format!("The rollback to {stable} was not approved; clients still get {active}.")
        }
    }
}

fn rolled_back(facts: &Facts<'_>) -> Health {
    let status = facts.status;
    let why = status.last.as_ref().map_or_else(String::new, |last| format!(" {}.", cut(&last.reason, 200)));
    let text = format!(
        "Rolled back: clients get {} instead of {}.{why}",
        name(&status.active),
        name(&status.configured_active)
    );
    Health { level: Level::Watch, text, since_ms: status.last.as_ref().map(|last| last.at_ms) }
}

/// Whether requests fail, rule or no rule.
fn failing(facts: &Facts<'_>) -> Option<Health> {
    let errors = facts.errors.filter(|errors| errors.value > 0.0)?;
    let above = |limit| errors.is_above(limit, facts.min_requests) == Some(true);
    let level = match () {
        () if above(BAD_ERRORS) || errors.value >= 1.0 => Level::Bad,
        () if above(WATCH_ERRORS) => Level::Watch,
        () => return None,
    };
    let detail = errors.detail.as_deref().unwrap_or("requests fail");
    let text = format!("{}: {detail}.", name(&errors.version));
    Some(Health { level, text, since_ms: None })
}

/// Whether nobody asks any more: what the windows still show says nothing about now.
fn silent(facts: &Facts<'_>) -> Option<Health> {
    let secs = facts.silence_s.filter(|secs| *secs >= SILENT_S)?;
    let text = format!("No requests for {}: nothing is measured.", span(secs));
    Some(Health { level: Level::Unknown, text, since_ms: None })
}

fn span(secs: f64) -> String {
    let secs = secs as u64;
    match (secs / 3_600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The reference is about other columns: whatever was measured against it says nothing.
fn unarmed(facts: &Facts<'_>) -> Option<Health> {
    let problem = facts.misfit.as_ref()?;
    let text = format!("Not armed, drift is not judged: {problem}.");
    Some(Health { level: Level::Watch, text, since_ms: None })
}

/// Why nothing can be judged, if so.
fn unjudged(facts: &Facts<'_>) -> Option<Health> {
    let text = match facts.reference {
        Some(ReferenceState::Learning { rows, wanted }) => {
            format!("Learning what is normal: {rows} of {wanted} rows. Until then drift is not judged.")
        }
        _ if facts.requests == 0 => "No requests have been measured yet.".to_owned(),
        _ if facts.requests <= facts.min_requests => format!(
            "Too few requests to judge: {} in the window, more than {} are needed.",
            facts.requests, facts.min_requests
        ),
        _ => return None,
    };
    Some(Health { level: Level::Unknown, text, since_ms: None })
}

fn quiet(facts: &Facts<'_>) -> Health {
    let of = |n: usize| if n == 1 { "1 feature is".to_owned() } else { format!("{n} features are") };
    let (level, text) = match (facts.red, facts.amber) {
        (0, 0) => {
            let features = if facts.features == 1 { "its one feature" } else { "all its features" };
            (Level::Fine, format!("No drift: {features} lie within the limits."))
        }
        (0, amber) => (Level::Watch, format!("{} drifting mildly; no alert fires.", of(amber))),
        (red, _) => (Level::Watch, format!("{} above the red limit; no alert fires yet.", of(red))),
    };
    Health { level, text, since_ms: None }
}

/// The alerts in a few words, the highest value first.
fn what(alerts: &[&Alert]) -> String {
    let mut rules: Vec<&str> = Vec::new();
    for alert in alerts {
        if !rules.contains(&alert.name.as_str()) {
            rules.push(&alert.name);
        }
    }
    let mut drifting: Vec<(&str, f64)> = Vec::new();
    for alert in alerts {
        let Some(feature) = alert.labels.get("feature") else { continue };
        match drifting.iter_mut().find(|(known, _)| known == feature) {
            Some((_, value)) => *value = value.max(alert.value),
            None => drifting.push((feature, alert.value)),
        }
    }
    drifting.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut text = format!("{} {}", rules.join(" and "), if rules.len() == 1 { "fires" } else { "fire" });
    if !drifting.is_empty() {
        let shown: Vec<String> = drifting.iter().take(NAMED_MAX).map(|(feature, _)| name(feature)).collect();
        text.push_str(&format!(" on {}", shown.join(", ")));
        if drifting.len() > NAMED_MAX {
            text.push_str(&format!(" and {} more", drifting.len() - NAMED_MAX));
        }
    }
    // A drift is known by its features; of the rest the words say what is wrong.
    let rest = alerts.iter().find(|alert| alert.measure.spec().kind != Kind::Drift);
    if let Some((_, words)) = rest.and_then(|alert| alert.annotations.summary.split_once(": ")) {
        text.push_str(&format!(": {}", cut(words, 200)));
    }
    text
}

fn earliest(alerts: &[&Alert]) -> Option<i64> {
    alerts.iter().map(|alert| alert.since_ms).min()
}

fn name(text: &str) -> String {
    cut(text, NAME_CHARS)
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use control::{Annotations, RollbackMode};

    use super::*;

    fn status() -> ModelStatus {
        ModelStatus {
            model: Arc::from("fraud"),
            active: Arc::from("v2"),
            configured_active: Arc::from("v2"),
            stable: Arc::from("v1"),
            auto_rollback: true,
            mode: RollbackMode::Automatic,
            shadow_percent: 5.0,
            state: ModelPhase::Steady,
            pending: None,
            last: None,
            cooldown_until_ms: None,
            blocked: None,
            rollbacks_in_period: 0,
            drill: false,
            hold: None,
            hold_until_ms: None,
            target_trouble: None,
            proposal: None,
        }
    }

    fn alert(name: &str, severity: Severity, feature: &str, value: f64) -> Alert {
        let text = String::new;
        Alert {
            name: name.to_owned(),
            severity,
            labels: BTreeMap::from([("feature".to_owned(), feature.to_owned())]),
            state: AlertState::Firing,
            since_ms: 1_000,
            value,
            measure: control::Signal::Psi,
            n: 1_000,
            tenants: Vec::new(),
            tenants_red: 0,
            stale: false,
            drill: false,
            ended: None,
            annotations: Annotations {
                summary: text(),
                description: text(),
                runbook_url: text(),
                dashboard_url: None,
            },
            fingerprint: text(),
        }
    }

    fn judged(
        status: &ModelStatus,
        alerts: &[Alert],
        change: impl FnOnce(&mut Facts<'_>),
    ) -> (Level, String) {
        let alerts: Vec<&Alert> = alerts.iter().collect();
        let mut facts = Facts {
            status,
            alerts: &alerts,
            reference: None,
            requests: 1_000,
            min_requests: 100,
            features: 8,
            errors: None,
            silence_s: None,
            amber: 0,
            red: 0,
            misfit: None,
        };
        change(&mut facts);
        let health = judge(&facts);
        (health.level, health.text)
    }

    #[test]
    fn no_data_is_never_fine() {
        assert_eq!(judged(&status(), &[], |_| {}).0, Level::Fine);
        assert_eq!(judged(&status(), &[], |facts| facts.requests = 0).0, Level::Unknown);
        let (level, text) = judged(&status(), &[], |facts| facts.requests = 100);
        assert_eq!((level, text.contains("100 in the window")), (Level::Unknown, true), "{text}");
        static LEARNING: ReferenceState = ReferenceState::Learning { rows: 3, wanted: 1_000 };
        let (level, text) = judged(&status(), &[], |facts| facts.reference = Some(&LEARNING));
        assert_eq!((level, text.contains("3 of 1000 rows")), (Level::Unknown, true), "{text}");
    }

    #[test]
    fn failing_requests_and_silence_are_never_fine() {
        let (model, version) = ("fraud".into(), "v2".into());
        let errors = |hits, n| {
            let of = (&model, &version, record::Lane::Prod);
            let mut reading =
                SignalReading::share(of, control::Signal::ErrorRate, 60_000, hits, n).expect("requests");
            reading.detail = Some(format!("{hits} of {n} requests failed (503)"));
            reading
        };
        for (hits, n, level) in [
            (3, 3, Level::Bad),
            (420, 420, Level::Bad),
            (130, 420, Level::Bad),
            (30, 1_000, Level::Watch),
            (1, 420, Level::Fine),
            (0, 420, Level::Fine),
        ] {
            let reading: &SignalReading = Box::leak(Box::new(errors(hits, n)));
            let (found, text) = judged(&status(), &[], |facts| facts.errors = Some(reading));
            assert_eq!(found, level, "{hits} of {n}: {text}");
            assert_eq!(text.contains("(503)"), level != Level::Fine, "{text}");
        }
        let back = ModelStatus { state: ModelPhase::RolledBack, active: Arc::from("v1"), ..status() };
        let all: &SignalReading = Box::leak(Box::new(errors(50, 50)));
        assert_eq!(judged(&back, &[], |facts| facts.errors = Some(all)).0, Level::Bad, "v1 fails as well");
        let (level, text) = judged(&status(), &[], |facts| facts.silence_s = Some(200.0));
        assert_eq!((level, text.as_str()), (Level::Unknown, "No requests for 3 min: nothing is measured."));
        assert_eq!(judged(&status(), &[], |facts| facts.silence_s = Some(59.0)).0, Level::Fine);
    }

    #[test]
    fn drift_without_an_alert_is_something_to_watch() {
        assert_eq!(judged(&status(), &[], |facts| facts.amber = 1).0, Level::Watch);
        let (level, text) = judged(&status(), &[], |facts| facts.red = 2);
        assert_eq!(
            (level, text.as_str()),
            (Level::Watch, "2 features are above the red limit; no alert fires yet.")
        );
    }

    #[test]
    fn a_critical_alert_says_what_was_done_about_it() {
        let fired: Vec<Alert> = [("a", 0.4), ("b", 4.0), ("c", 0.5), ("d", 0.6), ("b", 1.0)]
            .map(|(feature, value)| alert("FeaturePSICritical", Severity::Critical, feature, value))
            .into();
        let (level, text) = judged(&status(), &fired, |_| {});
        assert_eq!(level, Level::Bad);
        assert_eq!(text, "FeaturePSICritical fires on b, d, c and 1 more. Clients get v2.");
        for (reason, words) in [
            (BlockReason::Observe, "Dry run"),
            (BlockReason::AutoOff, "rollback is off"),
            (BlockReason::AlreadyStable, "nowhere safer"),
            (BlockReason::Cooldown, "cooling down"),
        ] {
            let status = ModelStatus { blocked: Some(reason), ..status() };
            let (_, text) = judged(&status, &fired, |_| {});
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_rollback_is_told_until_it_is_undone() {
        let back = ModelStatus { state: ModelPhase::RolledBack, active: Arc::from("v1"), ..status() };
        let (level, text) = judged(&back, &[], |_| {});
        assert_eq!((level, text.as_str()), (Level::Watch, "Rolled back: clients get v1 instead of v2."));
        let about = |version: &str| {
            let mut alert = alert("FeaturePSICritical", Severity::Critical, "a", 0.4);
            alert.labels.insert("version".to_owned(), version.to_owned());
            alert
        };
        assert_eq!(
            judged(&back, &[about("v2")], |_| {}).0,
            Level::Watch,
            "that is what was rolled back from"
        );
        let (level, text) = judged(&back, &[about("v1")], |_| {});
        assert_eq!((level, text.contains("nowhere safer")), (Level::Bad, true), "{text}");
        assert_eq!(judged(&status(), &[about("v1")], |_| {}).0, Level::Bad, "a canary counts as well");
    }

    #[test]
    fn a_name_of_any_length_stays_a_few_words() {
        let long = alert("FeaturePSIHigh", Severity::Warning, &"é".repeat(10_000), 0.3);
        let (level, text) = judged(&status(), &[long], |_| {});
        assert_eq!(level, Level::Watch);
        assert!(text.len() < 400, "{}", text.len());
    }
}
