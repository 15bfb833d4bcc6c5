//! Whether the reference and the traffic are about the same columns.
//!
//! A profile of another model, or of features that have been renamed, makes every feature of the profile look as if it had gone:
//! that is a mistake in the setup, and no drift.

use std::sync::Arc;

use crate::features::{Feature, Side};
use crate::model::Model;
use crate::readings::{FeatureState, Fit};
use crate::spec::ReferenceSpec;

/// Production rows after which names that were never there are taken to be missing.
const MIN_ROWS: u64 = 20;

/// Share of the profile's features that the traffic must have, in percent.
const MIN_MATCHED_PERCENT: usize = 50;

/// Names listed on each side.
const NAMES: usize = 20;

impl Model {
    /// Every feature, and whether it is judged.
    pub(crate) fn feature_states(&self) -> Vec<FeatureState> {
        let state =
            |feature: &Feature| FeatureState { feature: feature.name.clone(), reason: reason(feature) };
        self.state.features.iter().map(state).collect()
    }

    /// See [`Fit`].
    pub(crate) fn fit(&self) -> Option<Fit> {
        let ReferenceSpec::Profile { profile, .. } = &self.spec.reference else { return None };
        if self.state.seen[Side::Features as usize] < MIN_ROWS {
            return None;
        }
        let features = || self.state.features.iter().filter(|feature| feature.side == Side::Features);
        let of_profile = |feature: &&Feature| profile.feature(&feature.name).is_some();
        let expected = features().filter(of_profile).count();
        let matched = features().filter(of_profile).filter(|feature| feature.seen).count();
        let names = |wanted: &dyn Fn(&Feature) -> bool| -> Vec<Arc<str>> {
            features()
                .filter(|feature| wanted(feature))
                .map(|feature| feature.name.clone())
                .take(NAMES)
                .collect()
        };
        Some(Fit {
            armed: matched * 100 >= expected * MIN_MATCHED_PERCENT,
            expected,
            matched,
            not_seen: names(&|feature| !feature.seen && of_profile(&feature)),
            unknown: names(&|feature| !of_profile(&feature)),
        })
    }
}

fn reason(feature: &Feature) -> &'static str {
    match feature.frozen() {
        None if feature.moves => "moving",
        None => "learning",
        Some(_) if !feature.role().is_judged() => feature.role().as_str(),
        Some(_) if !feature.seen => "not_seen",
        Some(_) => feature.role().as_str(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Engine;
    use crate::testing::{number, profiled, record, text, usual};

    #[test]
    fn a_profile_of_another_model_does_not_fit() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..300 {
            let row = record([("y", number(f64::from(i % 4))), ("d", text("a"))]);
            engine.observe_record(&row).unwrap();
        }
        let fit = engine.readings(1).models[0].fit.clone().unwrap();
        assert!(!fit.armed);
        assert_eq!((fit.expected, fit.matched), (2, 0));
        let names = |names: &[std::sync::Arc<str>]| {
            names.iter().map(|name| (**name).to_owned()).collect::<Vec<String>>()
        };
        assert_eq!(
            (names(&fit.not_seen), names(&fit.unknown)),
            (vec!["x".into(), "c".into()], vec!["d".into(), "y".into()])
        );
    }

    #[test]
    fn a_column_that_only_the_training_had_is_not_judged() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..300 {
            let mut row = usual(i);
            row.features.retain(|name, _| name == "x");
            engine.observe_record(&row).unwrap();
        }
        let readings = engine.readings(1);
        assert!(readings.models[0].fit.as_ref().unwrap().armed);
        let of = |name: &str| {
            let features = &readings.models[0].features;
            features.iter().find(|feature| *feature.feature == *name).unwrap().reason
        };
        assert_eq!((of("x"), of("c"), of("prediction")), ("judged", "not_seen", "judged"));
        let window = &readings.models[0].windows[0];
        assert!(window.features.iter().all(|reading| &*reading.feature != "c"), "it has no PSI");
    }
}
