//! Whether the reference and the traffic are about the same columns.
//!
//! A profile of another model, or of features that have been renamed, makes every feature of the profile look as if it had gone:
//! that is a mistake in the setup, and no drift. So is a column of numbers in the profile that has only ever been text in
//! requests.

mod pairs;
mod types;
mod words;

use std::collections::HashSet;
use std::sync::Arc;

use record::Cell;
use record::value::{self, Value};
use stats::Bins;

use crate::features::{Feature, Side, Stage, role_for};
use crate::learn::Column;
use crate::model::Model;
use crate::readings::{FeatureState, Fit, SampleReading};
use crate::role::{Role, RoleSample};
use crate::spec::ReferenceSpec;

use pairs::{Kind, Unmatched};
pub use pairs::{RenameCandidate, likely_renames};
pub(crate) use types::Types;

/// Production rows after which names that were never there are taken to be missing.
const MIN_ROWS: u64 = 20;

/// Share of the profile's features that the traffic must have, in percent.
const MIN_MATCHED_PERCENT: usize = 50;

/// Names listed on each side.
const NAMES: usize = 20;

/// Values that the kind of a column is told by.
const KIND_VALUES: usize = 20;

impl Model {
    /// Every feature, and whether it is judged.
    pub(crate) fn feature_states(&self) -> Vec<FeatureState> {
        let state =
            |feature: &Feature| FeatureState { feature: feature.name.clone(), reason: reason(feature) };
        self.state.features.iter().map(state).collect()
    }

    /// See [`Fit`].
    pub(crate) fn fit(&self) -> Option<Fit> {
        if self.state.seen[Side::Features as usize] < MIN_ROWS {
            return None;
        }
        self.fit_of(NAMES)
    }

    /// What the rows so far say, however few they are.
    pub(crate) fn sample(&self) -> SampleReading {
        let state = |feature: &Feature| {
            let reason = match sampled_role(feature) {
                Some(role) if reason(feature) != "not_seen" => role.as_str(),
                _ => reason(feature),
            };
            FeatureState { feature: feature.name.clone(), reason }
        };
        SampleReading {
            rows: self.state.seen[Side::Features as usize],
            fit: self.fit_of(usize::MAX),
            features: self.state.features.iter().map(state).collect(),
        }
    }

    /// With at most so many names in each list.
    fn fit_of(&self, most: usize) -> Option<Fit> {
        let ReferenceSpec::Profile { profile, .. } = &self.spec.reference else { return None };
        let known: HashSet<&str> = profile.features.iter().map(|feature| feature.name.as_str()).collect();
        let features = || self.state.features.iter().filter(|feature| feature.side == Side::Features);
        let of_profile = || features().filter(|feature| known.contains(&*feature.name));
        let expected = of_profile().count();
        let matched = of_profile().filter(|feature| feature.seen).count();
        let differ: Vec<Arc<str>> = of_profile()
            .filter(|feature| feature.types_differ())
            .map(|feature| feature.name.clone())
            .collect();
        let absent = of_profile().filter(|feature| !feature.seen);
        let absent: Vec<Unmatched> =
            absent.map(|feature| Unmatched { name: feature.name.clone(), kind: kind(feature) }).collect();
        let extra = features().filter(|feature| !known.contains(&*feature.name));
        let extra = extra.map(|feature| Unmatched { name: feature.name.clone(), kind: kind(feature) });
        let extra: Vec<Unmatched> = extra.collect();
        let names = |of: &[Unmatched]| of.iter().map(|one| one.name.clone()).take(most).collect();
        Some(Fit {
            armed: matched * 100 >= expected * MIN_MATCHED_PERCENT && differ.len() * 2 <= matched,
            expected,
            matched,
            not_seen: names(&absent),
            unknown: names(&extra),
            pairs: pairs::likely(&absent, &extra),
            type_differs: differ.into_iter().take(most).collect(),
        })
    }
}

fn reason(feature: &Feature) -> &'static str {
    match feature.frozen() {
        None if feature.moves => "moving",
        None if feature.late => "new_field",
        None => "learning",
        Some(_) if !feature.role().is_judged() => feature.role().as_str(),
        Some(_) if !feature.seen => "not_seen",
        Some(_) if feature.types_differ() => "type_differs",
        Some(_) => feature.role().as_str(),
    }
}

/// The role of a feature by the values so far, where it is not to be judged by them.
fn sampled_role(feature: &Feature) -> Option<Role> {
    let sample = match &feature.stage {
        Stage::Frozen(_) => feature.sample.clone(),
        Stage::Learning(column) => {
            let mut sample = RoleSample::default();
            column.rows.iter().for_each(|raw| sample.push(column.cell(*raw)));
            sample
        }
    };
    let role = role_for(feature.side, sample.role());
    (!feature.forced && !role.is_judged()).then_some(role)
}

/// What the values of a feature are, by its bins or by the newest of those that are being learned.
fn kind(feature: &Feature) -> Option<Kind> {
    match &feature.stage {
        Stage::Frozen(frozen) => match &frozen.bins {
            Bins::Numeric(_) => Some(Kind::Number),
            Bins::Categorical(bins) => {
                let numbers = bins.categories().iter().all(|category| value::number(category).is_some());
                // Categories that are numbers, or of which none was kept, say nothing.
                (!numbers).then_some(Kind::Text)
            }
        },
        Stage::Learning(column) => kind_of(column),
    }
}

fn kind_of(column: &Column) -> Option<Kind> {
    let newest = column.rows.iter().rev().take(KIND_VALUES);
    let (mut numbers, mut texts) = (0, 0);
    for raw in newest {
        match column.cell(*raw) {
            Cell::Missing => {}
            Cell::Number(_) => numbers += 1,
            Cell::Text(text) => match value::read(text) {
                Value::Text(_) => texts += 1,
                _ => numbers += 1,
            },
        }
    }
    match (numbers, texts) {
        (0, 0) => None,
        (numbers, texts) if numbers >= texts => Some(Kind::Number),
        _ => Some(Kind::Text),
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

    #[test]
    fn types_that_disagree_from_the_first_request_are_a_mistake_in_the_setup() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..300 {
            engine.observe_record(&record([("x", text("high")), ("c", number(f64::from(i % 4)))])).unwrap();
        }
        let readings = engine.readings(1);
        let fit = readings.models[0].fit.clone().unwrap();
        assert!(!fit.armed);
        assert_eq!(fit.matched, 2);
        assert_eq!(fit.type_differs.iter().map(|name| &**name).collect::<Vec<_>>(), ["x", "c"]);
        let reasons: Vec<&str> =
            readings.models[0].features.iter().take(2).map(|feature| feature.reason).collect();
        assert_eq!(reasons, ["type_differs", "type_differs"]);
        assert!(readings.models[0].windows[0].features.is_empty(), "they have no PSI");
        // The client is mended: the model is armed again.
        for i in 0..20 {
            engine.observe_record(&usual(i)).unwrap();
        }
        assert!(engine.readings(2).models[0].fit.as_ref().unwrap().armed);
    }

    #[test]
    fn types_that_change_later_are_no_mistake_in_the_setup() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..20 {
            engine.observe_record(&usual(i)).unwrap();
        }
        for _ in 0..300 {
            engine.observe_record(&record([("x", text("high")), ("c", number(3.0))])).unwrap();
        }
        let fit = engine.readings(1).models[0].fit.clone().unwrap();
        assert!(fit.armed && fit.type_differs.is_empty(), "{fit:?}");
        let window = &engine.readings(1).models[0].windows[0];
        assert!(window.features.iter().any(|reading| &*reading.feature == "x"));
    }

    #[test]
    fn a_renamed_feature_is_found() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..150 {
            engine.observe_record(&record([("X", number(f64::from(i))), ("C", text("a"))])).unwrap();
            if i == 49 || i == 149 {
                let fit = engine.readings(1).models[0].fit.clone().unwrap();
                assert!(!fit.armed);
                let pairs: Vec<_> = fit.pairs.iter().map(|pair| (&*pair.profile, &*pair.traffic)).collect();
                assert_eq!(pairs, [("x", "X"), ("c", "C")], "while they are learned, and then");
            }
        }
    }

    #[test]
    fn what_has_been_seen_is_known_after_a_restart() {
        let mut engine = Engine::new(vec![profiled()]);
        engine.set_active("m", "v1");
        for i in 0..100 {
            engine.observe_record(&usual(i)).unwrap();
        }
        // The windows of the version that becomes active start empty, and say nothing of what has been there.
        engine.set_active("m", "v2");
        let stored = engine.snapshot();
        let mut again = Engine::new(vec![profiled()]);
        again.restore(&stored).unwrap();
        assert_eq!(again.readings(1).models[0].fit, engine.readings(1).models[0].fit);
        assert!(again.readings(1).models[0].fit.as_ref().unwrap().armed);
    }

    #[test]
    fn a_sample_says_what_would_not_be_judged_however_small_it_is() {
        let mut engine = Engine::new(vec![profiled()]);
        assert!(engine.sample("other").is_none());
        engine.observe_record(&record([("x", number(1.0))])).unwrap();
        let sample = engine.sample("m").unwrap();
        let fit = sample.fit.unwrap();
        assert_eq!((sample.rows, fit.armed, fit.matched), (1, true, 1));
        for i in 0..60 {
            let id = format!("4f0c-{i}");
            engine
                .observe_record(&record([("x", number(1.0)), ("c", text("a")), ("id", text(&id))]))
                .unwrap();
        }
        let sample = engine.sample("m").unwrap();
        let of = |name: &str| sample.features.iter().find(|one| &*one.feature == name).unwrap().reason;
        assert_eq!((of("x"), of("c"), of("id")), ("judged", "judged", "identifier"));
    }
}
