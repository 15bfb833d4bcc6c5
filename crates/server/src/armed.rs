//! Says once that a model's reference does not fit its traffic, and once that it does again.

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor::Readings;

use crate::plane::Plane;
use crate::told;

/// How long a misfit lasts before it is told, as features that only some requests have may still come; and how long the end of one.
const STEADY_MS: i64 = 5_000;

/// What has become of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Drift is not judged, for this reason.
    NotArmed {
        /// The model.
        model: Arc<str>,
        /// Which names do not fit.
        problem: String,
    },
    /// Drift is judged again.
    ArmedAgain {
        /// The model.
        model: Arc<str>,
        /// Features of the profile that requests have.
        matched: usize,
        /// Features of the profile.
        expected: usize,
    },
}

/// Which models do not fit.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    misfits: BTreeMap<Arc<str>, Misfit>,
}

#[derive(Debug)]
struct Misfit {
    /// Since when it has been so.
    since_ms: i64,
    told: bool,
    /// Since when it fits again.
    over_ms: Option<i64>,
}

impl Armed {
    /// Compares the readings with the last ones. Models that are not configured any more are forgotten; the rows of a drill say
    /// nothing about the traffic.
    pub(crate) fn look(&mut self, readings: &Readings, drilled: &[Arc<str>], now_ms: i64) -> Vec<Turn> {
        let mut turns = Vec::new();
        for reading in readings.models.iter().filter(|reading| !drilled.contains(&reading.model)) {
            let model = &reading.model;
            let problem = reading.fit.as_ref().and_then(monitor::Fit::problem);
            match (problem, &reading.fit) {
                (Some(problem), _) => {
                    let new = Misfit { since_ms: now_ms, told: false, over_ms: None };
                    let misfit = self.misfits.entry(Arc::clone(model)).or_insert(new);
                    misfit.over_ms = None;
                    if !misfit.told && now_ms.saturating_sub(misfit.since_ms) >= STEADY_MS {
                        misfit.told = true;
                        turns.push(Turn::NotArmed { model: Arc::clone(model), problem });
                    }
                }
                (None, Some(fit)) => {
                    let Some(misfit) = self.misfits.get_mut(model) else { continue };
                    let over_ms = *misfit.over_ms.get_or_insert(now_ms);
                    if !misfit.told {
                        self.misfits.remove(model);
                    } else if now_ms.saturating_sub(over_ms) >= STEADY_MS {
                        self.misfits.remove(model);
                        let (matched, expected) = (fit.matched, fit.expected);
                        turns.push(Turn::ArmedAgain { model: Arc::clone(model), matched, expected });
                    }
                }
                // Nothing to say yet: other settings, and their first rows are still to come. Or no profile any more.
                (None, None) => {}
            }
        }
        self.misfits.retain(|model, _| readings.models.iter().any(|reading| reading.model == *model));
        turns
    }
}

/// Logs and notifies.
pub(crate) fn tell(plane: &Plane, turns: Vec<Turn>) {
    for turn in turns {
        let (Turn::NotArmed { model, .. } | Turn::ArmedAgain { model, .. }) = &turn;
        match &turn {
            Turn::NotArmed { model, problem } => tracing::warn!(
                %model, problem,
                "not armed: the reference does not fit the traffic, so drift is not judged; compare with `driftline check --sample`"
            ),
            Turn::ArmedAgain { model, matched, expected } => {
                tracing::info!(%model, matched, expected, "armed: the reference fits the traffic");
            }
        }
        let dashboard = plane.dashboard("drift", model);
        plane.hub.tell(&told::fit(&turn, dashboard.as_deref()));
    }
}

#[cfg(test)]
mod tests {
    use monitor::{Fit, ModelReadings, ReferenceState};

    use super::*;

    fn readings(fit: Option<Fit>) -> Readings {
        let model = ModelReadings {
            model: "fraud".into(),
            reference: ReferenceState::Learning { rows: 0, wanted: 1 },
            active: None,
            windows: Vec::new(),
            quality: Vec::new(),
            dropped: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            rows: 0,
            features: Vec::new(),
            fit,
        };
        Readings { at_ms: 1, models: vec![model] }
    }

    fn fit(armed: bool) -> Option<Fit> {
        Some(Fit {
            armed,
            expected: 2,
            matched: if armed { 2 } else { 0 },
            not_seen: vec!["amount".into(), "age".into()],
            unknown: Vec::new(),
            pairs: Vec::new(),
            type_differs: Vec::new(),
        })
    }

    fn look(armed: &mut Armed, fit: Option<Fit>, now_ms: i64) -> Vec<Turn> {
        armed.look(&readings(fit), &[], now_ms)
    }

    #[test]
    fn each_turn_is_told_once() {
        let mut armed = Armed::default();
        assert!(look(&mut armed, None, 0).is_empty());
        assert!(look(&mut armed, fit(false), 1_000).is_empty(), "not yet");
        let [Turn::NotArmed { model, problem }] = &look(&mut armed, fit(false), 6_000)[..] else {
            panic!("it is told")
        };
        assert_eq!(&**model, "fraud");
        assert!(problem.contains("`amount`, `age`"), "{problem}");
        assert!(look(&mut armed, fit(false), 60_000).is_empty(), "once");
        assert!(look(&mut armed, None, 61_000).is_empty(), "a reload has emptied it");
        assert!(look(&mut armed, fit(true), 62_000).is_empty(), "not yet");
        let again = Turn::ArmedAgain { model: "fraud".into(), matched: 2, expected: 2 };
        assert_eq!(look(&mut armed, fit(true), 67_000), [again]);
        assert!(look(&mut armed, fit(true), 90_000).is_empty());
    }

    #[test]
    fn what_does_not_last_is_not_told() {
        let mut armed = Armed::default();
        look(&mut armed, fit(false), 0);
        assert!(look(&mut armed, fit(true), 1_000).is_empty());
        look(&mut armed, fit(false), 2_000);
        assert!(look(&mut armed, fit(false), 6_000).is_empty(), "it lasts since 2 s only");
        assert_eq!(look(&mut armed, fit(false), 7_000).len(), 1);
        assert!(look(&mut armed, fit(true), 8_000).is_empty());
        assert!(look(&mut armed, fit(false), 9_000).is_empty());
        assert!(look(&mut armed, fit(true), 13_500).is_empty(), "it began anew");
        armed.look(&Readings { at_ms: 1, models: Vec::new() }, &[], 20_000);
        assert!(armed.misfits.is_empty(), "the model is gone");
    }

    #[test]
    fn a_drill_arms_nothing() {
        let mut armed = Armed::default();
        look(&mut armed, fit(false), 0);
        assert_eq!(look(&mut armed, fit(false), 5_000).len(), 1);
        for now_ms in [6_000, 60_000] {
            assert!(armed.look(&readings(fit(true)), &["fraud".into()], now_ms).is_empty());
        }
        assert!(look(&mut armed, fit(true), 61_000).is_empty(), "the last readings of the drill");
        assert!(look(&mut armed, fit(false), 62_000).is_empty(), "it was told before");
    }
}
