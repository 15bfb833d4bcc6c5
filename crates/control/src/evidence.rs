//! Whether there is anything new to judge by.
//!
//! A rule's time runs on requests, not on the clock: a burst that is followed by silence must not fire when its time is up.
//! Counters say how many rows and requests of a version have been counted; an alert is fresh when its counter has moved.

use std::collections::HashMap;
use std::sync::Arc;

use monitor::Readings;
use record::Lane;

use crate::evaluate::Subject;
use crate::policy::Condition;
use crate::signal::{Signal, SignalReading, Source};

/// Model and version.
type Of = (Arc<str>, Arc<str>);

/// Production rows and requests that have been counted, by model and version. What matters is whether a number has
/// changed: windows and horizons that start empty make it smaller.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    rows: HashMap<Of, u64>,
    requests: HashMap<(Of, Signal), u64>,
}

impl Evidence {
    /// What the readings of one instant go by.
    pub(crate) fn of(readings: &Readings, signals: &[SignalReading]) -> Self {
        let mut evidence = Self::default();
        for model in &readings.models {
            for window in model.windows.iter().filter(|window| window.lane == Lane::Prod) {
                let of = (Arc::clone(&model.model), Arc::clone(&window.version));
                let rows = evidence.rows.entry(of).or_default();
                *rows = rows.wrapping_add(window.rows);
            }
        }
        for reading in signals.iter().filter(|reading| reading.lane == Lane::Prod) {
            let of = (Arc::clone(&reading.model), Arc::clone(&reading.version));
            let requests = evidence.requests.entry((of, reading.signal)).or_default();
            *requests = (*requests).max(reading.total);
        }
        evidence
    }

    /// The counter behind a rule's condition about a subject; `None` where time itself is the evidence, and where nothing is
    /// counted.
    pub(crate) fn count(&self, condition: &Condition, subject: &Subject) -> Option<u64> {
        let of = (Arc::clone(&subject.model), Arc::clone(&subject.version));
        match (condition.signal, condition.signal.spec().source) {
            (Signal::NoTraffic | Signal::Volume, _) => None,
            (signal, Source::Traffic) => self.requests.get(&(of, signal)).copied(),
            (_, Source::Windows | Source::Detector | Source::Checks) => self.rows.get(&of).copied(),
        }
    }
}
