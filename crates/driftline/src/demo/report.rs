//! The demo's tables: promises against measurements, what moved and what did not.

use std::io;

use super::screen::{Screen, seconds, short};
use super::timeline::{ALERT_PROMISE, MOVED_PROMISE, Timeline};
use super::traffic::Seen;
use super::watch::{AlertView, FeatureView, NEW, View};
use crate::replay::tally::{LatencySketch, milliseconds};

/// Below this PSI nothing has moved, by the rules' mildest threshold.
pub(super) const QUIET_PSI: f64 = 0.1;

/// The instance at the moments that the report compares.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    /// Before the change.
    pub(super) quiet: View,
    /// The last look at the new version while clients got it.
    pub(super) worst: View,
    /// Once traffic had moved.
    pub(super) after: View,
}

/// Prints the latencies; `None` is shown as `-`.
pub(super) fn latencies(screen: &Screen, seen: &Seen, moments: &Moments) -> io::Result<()> {
    let stable = super::watch::STABLE;
    screen
        .say(format!("  {:<30} {:>8}  {:>12}  {:>12}", "p95 of answers", "requests", "clients", "gateway"))?;
    let rows = [
        ("before: v2", &seen.before, moments.quiet.p95_ms(NEW, "prod")),
        ("during: v2, slowness injected", &seen.during, moments.worst.p95_ms(NEW, "prod")),
        ("after: v1", &seen.after, moments.after.p95_ms(stable, "prod")),
    ];
    for (what, sketch, gateway) in rows {
        let (clients, gateway) = (shown(p95(sketch)), shown(gateway));
        screen.say(format!("  {what:<30} {:>8}  {clients:>12}  {gateway:>12}", sketch.n()))?;
    }
    Ok(())
}

fn p95(sketch: &LatencySketch) -> Option<f64> {
    sketch.quantile_ms(0.95)
}

fn shown(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), milliseconds)
}

/// Prints every promise beside what was measured; whether all were kept.
pub(super) fn promises(screen: &Screen, timeline: &Timeline, seen: &Seen) -> io::Result<bool> {
    screen.say(format!("  {:<50} {:>14}  {:>14}", "", "in this demo", "at default"))?;
    let mut all_kept = true;
    let mut row = |what: &str, here: String, nominal: String, is_kept: bool| {
        all_kept &= is_kept;
        screen.say(format!("  {what:<50} {here:>14}  {nominal:>14}   {}", screen.verdict(is_kept)))
    };
    let never = || "never".to_owned();
    let alert = timeline.to_alert();
    row(
        &format!("change to alert within {}", seconds(ALERT_PROMISE)),
        alert.map_or_else(never, |(here, _)| seconds(here)),
        alert.map_or_else(never, |(_, nominal)| seconds(nominal)),
        alert.is_some_and(|(_, nominal)| nominal <= ALERT_PROMISE),
    )?;
    let moved = timeline.to_moved();
    row(
        &format!("alert to first answer of v1 within {}", seconds(MOVED_PROMISE)),
        moved.map_or_else(never, short),
        moved.map_or_else(never, short),
        moved.is_some_and(|moved| moved <= MOVED_PROMISE),
    )?;
    let answers = format!("of {}", seen.answered);
    row("errors that clients saw: 0", seen.errors.to_string(), answers, seen.errors == 0)?;
    row("requests lost: 0", seen.lost.to_string(), format!("of {}", seen.sent), seen.lost == 0)?;
    if let Some(problem) = &seen.first_problem {
        screen.say(format!("  first problem: {problem}"))?;
    }
    Ok(all_kept)
}

/// Prints every feature, the worst first, with what its alerts say.
pub(super) fn features(screen: &Screen, moments: &Moments) -> io::Result<()> {
    screen.say(format!("  {:<14} {:>10} {:>10}   alerts", "feature", "PSI winter", "PSI July"))?;
    let mut features: Vec<&FeatureView> = moments.worst.features.iter().collect();
    features.sort_unstable_by(|a, b| b.psi.total_cmp(&a.psi));
    for feature in features {
        let before = moments.quiet.features.iter().find(|one| one.name == feature.name);
        let before = before.map_or_else(|| "-".to_owned(), |before| format!("{:.3}", before.psi));
        // Alerts of a version end when traffic leaves it.
        let alerts = match alerts_about(feature, &moments.worst.alerts) {
            Some(alerts) => screen.alarm(&alerts),
            None if feature.psi < QUIET_PSI => "none: did not move".to_owned(),
            None => "none".to_owned(),
        };
        screen.say(format!("  {:<14} {before:>10} {:>10.3}   {alerts}", feature.name, feature.psi))?;
    }
    Ok(())
}

/// The alerts of the new version about a feature, pending or firing; `None` without any.
fn alerts_about(feature: &FeatureView, alerts: &[AlertView]) -> Option<String> {
    let name = Some(feature.name.as_str());
    let about = alerts.iter().filter(|alert| alert.feature.as_deref() == name && alert.version == NEW);
    let names: Vec<&str> = about.map(|alert| alert.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
