//! The metrics of what leaves the process: notifiers and actuators.

use std::collections::BTreeMap;

use actions::NotifierStatus;

use crate::desk::ActuatorCount;

use crate::exposition::{Exposition, Kind};

/// Appends the notifiers' families. Without notifiers there are none.
pub(crate) fn notifiers(page: &mut Exposition, notifiers: &[NotifierStatus]) {
    if notifiers.is_empty() {
        return;
    }
    let labels = |one: &NotifierStatus| [("notifier", one.name.clone()), ("kind", one.kind.to_owned())];
    let help = "Messages, by what became of them.";
    page.family("driftline_notifications_total", Kind::Counter, help);
    for one in notifiers {
        let [name, kind] = labels(one);
        for (result, count) in [("sent", one.sent), ("failed", one.failed), ("dropped", one.dropped)] {
            page.sample(&[(name.0, &name.1), (kind.0, &kind.1), ("result", result)], count as f64);
        }
    }
    type Figure = (&'static str, &'static str, fn(&NotifierStatus) -> f64);
    let figures: [Figure; 2] = [
        ("driftline_notifications_waiting", "Messages that wait or are being tried.", |one| {
            one.waiting as f64
        }),
        ("driftline_notifier_up", "1 when the last try of a notifier succeeded.", |one| {
            f64::from(u8::from(one.up))
        }),
    ];
    for (name, help, value) in figures {
        page.family(name, Kind::Gauge, help);
        for one in notifiers {
            let [name, kind] = labels(one);
            page.sample(&[(name.0, &name.1), (kind.0, &kind.1)], value(one));
        }
    }
}

/// Appends the actuators' families, once something was changed.
pub(crate) fn actuators(page: &mut Exposition, counts: &BTreeMap<String, ActuatorCount>) {
    if counts.is_empty() {
        return;
    }
    let help = "Changes of traffic, by actuator and by what became of them.";
    page.family("driftline_actuator_changes_total", Kind::Counter, help);
    for (name, count) in counts {
        for (result, value) in [("done", count.done), ("failed", count.failed)] {
            page.sample(&[("actuator", name), ("result", result)], value as f64);
        }
    }
    let help = "Time of an actuator's last change, reading back included.";
    page.family("driftline_actuator_last_change_seconds", Kind::Gauge, help);
    for (name, count) in counts {
        page.sample(&[("actuator", name)], count.last_secs);
    }
}
