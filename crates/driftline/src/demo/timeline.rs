//! What happens after the change, and when. Pure: views in, steps out.
//!
//! Alerts and decisions carry the instance's own times, answers the clients'. Each step has two times since the first
//! request of July: the measured one, and the same with the rules' waits at their defaults (measured, plus what the
//! demo's shorter wait saved).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::traffic::Seen;
use super::watch::{AlertView, NEW, STABLE, View};
use crate::replay::tally::milliseconds;

/// PSI of the critical rule.
const CRITICAL_PSI: f64 = 0.3;

/// Below this p95 the latency counts as recovered, milliseconds.
const RECOVERED_MS: f64 = 100.0;

/// Answers of the stable version before its p95 is judged.
const RECOVERED_ANSWERS: u64 = 300;

/// The promises: an alert this long after the change, traffic moved this long after the alert.
pub(super) const ALERT_PROMISE: Duration = Duration::from_secs(160);
pub(super) const MOVED_PROMISE: Duration = Duration::from_secs(90);

/// A step with its times since the change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) here: Duration,
    pub(super) nominal: Duration,
    pub(super) what: String,
}

/// When each step happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// What the demo's shorter waits save, by alert.
    saved_by_alert: BTreeMap<String, Duration>,
    changed_at: Option<Instant>,
    psi_at: Option<Instant>,
    pending_at: Option<Instant>,
    fired_at: Option<Instant>,
    /// What the wait of the alert that fired saves.
    saved: Duration,
    moved_at: Option<Instant>,
    first_v1_at: Option<Instant>,
    recovered_at: Option<Instant>,
}

impl Timeline {
    pub(super) fn new(saved_by_alert: BTreeMap<String, Duration>) -> Self {
        Self { saved_by_alert, ..Self::default() }
    }

    /// Whether the story is over: traffic moved and answers fast again.
    pub(super) fn is_complete(&self) -> bool {
        self.recovered_at.is_some()
    }

    /// From the change to the alert: here, and with the default waits.
    pub(super) fn to_alert(&self) -> Option<(Duration, Duration)> {
        let here = self.fired_at?.saturating_duration_since(self.changed_at?);
        Some((here, here + self.saved))
    }

    /// From the alert to the first answer of the stable version to a client.
    pub(super) fn to_moved(&self) -> Option<Duration> {
        Some(self.first_v1_at?.saturating_duration_since(self.fired_at?))
    }

    /// What is new.
    pub(super) fn look(&mut self, now: Instant, view: &View, seen: &Seen) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.changed_at.is_none() && seen.changed_at.is_some() {
            self.changed_at = seen.changed_at;
            self.add(&mut steps, seen.changed_at, "first request of July sent; v2 begins to wait".to_owned());
        }
        if self.changed_at.is_some() {
            self.look_at_drift(view, &mut steps);
            self.look_at_alerts(view, &mut steps);
            self.look_at_traffic(now, view, seen, &mut steps);
        }
        steps
    }

    fn look_at_drift(&mut self, view: &View, steps: &mut Vec<Step>) {
        let Some(worst) = view.worst().filter(|worst| worst.psi > CRITICAL_PSI) else { return };
        if self.psi_at.is_none() && view.read_at >= self.changed_at {
            self.psi_at = view.read_at;
            let what =
                format!("PSI above {CRITICAL_PSI} for the first time: {} {:.2}", worst.name, worst.psi);
            self.add(steps, view.read_at, what);
        }
    }

    fn look_at_alerts(&mut self, view: &View, steps: &mut Vec<Step>) {
        let critical: Vec<&AlertView> =
            view.alerts.iter().filter(|alert| alert.is_critical && alert.version == NEW).collect();
        let earliest = |alerts: &[&AlertView]| alerts.iter().map(|alert| alert.since).min();
        if self.pending_at.is_none() {
            self.pending_at = earliest(&critical);
            let what = format!("alert pending: {}", described(&critical));
            self.add(steps, self.pending_at, what);
        }
        let firing: Vec<&AlertView> = critical.into_iter().filter(|alert| alert.is_firing).collect();
        if self.fired_at.is_none()
            && let Some(first) = firing.iter().min_by_key(|alert| alert.since)
        {
            self.fired_at = Some(first.since);
            self.saved = self.saved_by_alert.get(&first.name).copied().unwrap_or_default();
            let tenants = tenants(&firing);
            let what = format!("ALERT FIRING: {}", described(&firing));
            self.add(steps, Some(first.since), what);
            if !tenants.is_empty() {
                self.add(steps, Some(first.since), format!("  red tenants: {tenants}"));
            }
        }
    }

    fn look_at_traffic(&mut self, now: Instant, view: &View, seen: &Seen, steps: &mut Vec<Step>) {
        let back =
            view.last_decision.as_ref().filter(|decision| decision.to == STABLE && view.active == STABLE);
        if self.moved_at.is_none()
            && let Some(decision) = back
        {
            self.moved_at = Some(decision.at);
            let what = format!("rolled back to {STABLE} by decision {} ({})", decision.id, decision.trigger);
            self.add(steps, Some(decision.at), what);
        }
        if self.first_v1_at.is_none() && self.moved_at.is_some() && seen.first_v1_at.is_some() {
            self.first_v1_at = seen.first_v1_at;
            self.add(steps, seen.first_v1_at, format!("first answer of {STABLE} to a client"));
        }
        if self.recovered_at.is_none()
            && self.first_v1_at.is_some()
            && seen.after.n() >= RECOVERED_ANSWERS
            && let Some(clients) = seen.after.quantile_ms(0.95).filter(|p95| *p95 < RECOVERED_MS)
            && view.p95_ms(STABLE, "prod").is_some_and(|p95| p95 < RECOVERED_MS)
        {
            self.recovered_at = Some(now);
            let what =
                format!("latency recovered: p95 of {} answers is {}", seen.after.n(), milliseconds(clients));
            self.add(steps, Some(now), what);
        }
    }

    fn add(&self, steps: &mut Vec<Step>, at: Option<Instant>, what: String) {
        if let (Some(at), Some(changed)) = (at, self.changed_at) {
            let here = at.saturating_duration_since(changed);
            steps.push(Step { here, nominal: here + self.saved, what });
        }
    }
}

/// `FeaturePSICritical (dewp 0.41, temp 0.56), LatencySpike (519 ms)`.
fn described(alerts: &[&AlertView]) -> String {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for alert in alerts {
        let value = match &alert.feature {
            Some(feature) => format!("{feature} {:.2}", alert.value),
            None if alert.is_time => milliseconds(alert.value),
            None => format!("{:.2}", alert.value),
        };
        values.entry(&alert.name).or_default().push(value);
    }
    let texts = values.iter().map(|(name, values)| format!("{name} ({})", values.join(", ")));
    texts.collect::<Vec<_>>().join(", ")
}

fn tenants(alerts: &[&AlertView]) -> String {
    let names: BTreeSet<&str> =
        alerts.iter().flat_map(|alert| alert.tenants.iter().map(String::as_str)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::watch::{DecisionView, FeatureView, LatencyView};
    use super::*;

    struct Story {
        start: Instant,
        timeline: Timeline,
        lines: Vec<String>,
    }

    impl Story {
        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn look(&mut self, ms: u64, view: &View, seen: &Seen) {
            for step in self.timeline.look(self.at(ms), view, seen) {
                let (here, nominal) = (step.here.as_millis(), step.nominal.as_millis());
                self.lines.push(format!("{here} {nominal} {}", step.what));
            }
        }

        fn alert(&self, name: &str, feature: Option<&str>, is_firing: bool, since_ms: u64) -> AlertView {
            AlertView {
                name: name.to_owned(),
                is_critical: name != "FeaturePSIHigh",
                is_firing,
                since: self.at(since_ms),
                version: NEW.to_owned(),
                feature: feature.map(str::to_owned),
                is_time: feature.is_none(),
                value: if feature.is_some() { 0.5625 } else { 519.4 },
                tenants: feature.map(|_| vec!["globex".to_owned(), "acme".to_owned()]).unwrap_or_default(),
            }
        }
    }

    #[test]
    fn the_whole_story() {
        let saved = BTreeMap::from([("FeaturePSICritical".to_owned(), Duration::from_secs(108))]);
        let mut story = Story { start: Instant::now(), timeline: Timeline::new(saved), lines: Vec::new() };
        let mut seen = Seen::default();
        let mut view = View { active: NEW.to_owned(), ..View::default() };
        view.features = vec![FeatureView { name: "temp".to_owned(), psi: 0.02 }];
        story.look(0, &view, &seen);
        seen.changed_at = Some(story.at(1_000));
        story.look(1_100, &view, &seen);
        view.features[0].psi = 0.56;
        view.read_at = Some(story.at(1_800));
        view.alerts = vec![
            story.alert("FeaturePSICritical", Some("temp"), false, 1_900),
            story.alert("FeaturePSICritical", Some("dewp"), false, 1_900),
            story.alert("FeaturePSIHigh", Some("humid"), true, 1_200),
        ];
        story.look(2_000, &view, &seen);
        view.alerts.push(story.alert("LatencySpike", None, false, 3_000));
        for alert in &mut view.alerts[..2] {
            (alert.is_firing, alert.since) = (true, story.start + Duration::from_millis(13_900));
        }
        story.look(14_000, &view, &seen);
        STABLE.clone_into(&mut view.active);
        let (to, trigger) = (STABLE.to_owned(), "alert".to_owned());
        view.last_decision =
            Some(DecisionView { id: 1, at: story.at(13_910), to, trigger, reason: String::new() });
        seen.first_v1_at = Some(story.at(13_930));
        story.look(14_100, &view, &seen);
        assert!(!story.timeline.is_complete());
        (0..RECOVERED_ANSWERS).for_each(|_| seen.after.add(Duration::from_millis(2)));
        story.look(14_500, &view, &seen);
        assert!(!story.timeline.is_complete(), "the gateway does not say so yet");
        let (version, lane) = (STABLE.to_owned(), "prod".to_owned());
        view.latencies = vec![LatencyView { version, lane, p95_ms: Some(2.0) }];
        story.look(15_000, &view, &seen);
        story.look(16_000, &view, &seen);
        insta::assert_snapshot!(story.lines.join("\n"), @r"
        0 0 first request of July sent; v2 begins to wait
        800 800 PSI above 0.3 for the first time: temp 0.56
        900 900 alert pending: FeaturePSICritical (temp 0.56, dewp 0.56)
        12900 120900 ALERT FIRING: FeaturePSICritical (temp 0.56, dewp 0.56)
        12900 120900   red tenants: acme, globex
        12910 120910 rolled back to v1 by decision 1 (alert)
        12930 120930 first answer of v1 to a client
        14000 122000 latency recovered: p95 of 300 answers is 1.99 ms
        ");
        assert!(story.timeline.is_complete());
        let to_alert = (Duration::from_millis(12_900), Duration::from_millis(120_900));
        assert_eq!(story.timeline.to_alert(), Some(to_alert));
        assert_eq!(story.timeline.to_moved(), Some(Duration::from_millis(30)));
    }

    #[test]
    fn slow_answers_are_no_recovery() {
        let mut story = Story { start: Instant::now(), timeline: Timeline::default(), lines: Vec::new() };
        let mut seen =
            Seen { changed_at: Some(story.at(0)), first_v1_at: Some(story.at(10)), ..Seen::default() };
        (0..1_000).for_each(|_| seen.after.add(Duration::from_millis(300)));
        let decision = DecisionView {
            id: 1,
            at: story.at(5),
            to: STABLE.to_owned(),
            trigger: String::new(),
            reason: String::new(),
        };
        let view = View { active: STABLE.to_owned(), last_decision: Some(decision), ..View::default() };
        story.look(20, &view, &seen);
        assert!(story.timeline.first_v1_at.is_some() && !story.timeline.is_complete());
    }
}
