//! What each version answers when all is well.
//!
//! Inputs are the same for every version; answers are not. The reference of a prediction is made of one version's rows, its
//! owner's: the version that the profile is of, or the one that served while it was learned. Every other version is compared
//! with its own first rows, in the same bins, and until these are there it is not judged.

use std::collections::HashMap;

use record::Lane;

use crate::features::{Feature, Side};
use crate::rules::Rules;

/// A version's first rows of one prediction, per slot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FirstRows {
    pub(crate) counts: Vec<u64>,
    /// Their sum.
    pub(crate) rows: u64,
}

/// The first rows of the versions that no reference is made of, by version and feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OwnAnswers(HashMap<(usize, usize), FirstRows>);

impl OwnAnswers {
    /// Adds rows of a version until there are `rules.learn` of them.
    pub(crate) fn learn(&mut self, rules: &Rules, version: usize, feature: usize, bins: usize, slots: &[u8]) {
        let first =
            self.0.entry((version, feature)).or_insert_with(|| FirstRows { counts: vec![0; bins], rows: 0 });
        let wanted = (rules.learn as u64).saturating_sub(first.rows).min(slots.len() as u64) as usize;
        for slot in &slots[..wanted] {
            if let Some(count) = first.counts.get_mut(usize::from(*slot)) {
                *count += 1;
                first.rows += 1;
            }
        }
    }

    /// What there is of a version so far.
    pub(crate) fn get(&self, version: usize, feature: usize) -> Option<&FirstRows> {
        self.0.get(&(version, feature))
    }

    /// Forgets a version.
    pub(crate) fn forget(&mut self, version: usize) {
        self.0.retain(|(of, _), _| *of != version);
    }

    /// Everything, in the order of versions and features.
    pub(crate) fn sorted(&self) -> Vec<((usize, usize), &FirstRows)> {
        let mut all: Vec<_> = self.0.iter().map(|(key, first)| (*key, first)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// Puts back what was stored; false if it is there already.
    pub(crate) fn restore(&mut self, version: usize, feature: usize, counts: Vec<u64>) -> bool {
        let rows = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        self.0.insert((version, feature), FirstRows { counts, rows }).is_none()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.values().map(|first| 64 + first.counts.len() * 8).sum()
    }
}

impl Feature {
    /// Whether its reference says how this version's rows should look.
    pub(crate) fn is_of(&self, version: &str) -> bool {
        self.side == Side::Features || self.owner.as_ref().is_none_or(|owner| **owner == *version)
    }

    /// Whether its reference is learned from rows of this version and lane. The first version that is learned from owns it.
    pub(crate) fn learns_from(
        &mut self,
        version: &std::sync::Arc<str>,
        serving: Option<&std::sync::Arc<str>>,
        lane: Lane,
    ) -> bool {
        if self.side == Side::Features || lane == Lane::Shadow {
            return lane == Lane::Prod;
        }
        let owner = self.owner.get_or_insert_with(|| serving.unwrap_or(version).clone());
        **owner == **version
    }
}

#[cfg(test)]
mod tests {
    use record::{Lane, Record};

    use crate::testing::{BASELINE, feed, number, profiled, record, spec};
    use crate::{Engine, ReferenceSpec, Verdict};

    /// A row whose score is around 2 or, from `other`, around 8.
    fn row(version: &str, lane: Lane, other: bool, i: usize) -> Record {
        let mut row = record([("x", number((i % 4) as f64))]);
        let score = (i * 7 % 5) as f64 + if other { 6.0 } else { 0.0 };
        row.prediction.insert("score".to_owned(), number(score));
        Record { version: Some(version.to_owned()), lane, ..row }
    }

    fn prod(version: &str, i: usize) -> Record {
        row(version, Lane::Prod, version == "v1", i)
    }

    #[test]
    fn the_stable_version_is_judged_by_what_it_answers_itself() {
        let mut engine = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 150 })]);
        engine.set_active("m", "v2");
        feed(&mut engine, (0..400).map(|i| prod("v2", i)));
        engine.set_active("m", "v1");
        feed(&mut engine, (0..140).map(|i| prod("v1", i)));
        let reading = |engine: &mut Engine| {
            engine.window("v1", Lane::Prod, "all").unwrap().of("prediction", BASELINE).unwrap().clone()
        };
        let learning = reading(&mut engine);
        assert!(
            learning.psi.is_nan() && learning.verdict == Verdict::Inconclusive,
            "nothing to compare with"
        );
        assert_eq!(learning.reference_n, 140);
        feed(&mut engine, (140..400).map(|i| prod("v1", i)));
        let calm = reading(&mut engine);
        assert_eq!((calm.verdict, calm.reference_n), (Verdict::Pass, 150));
        assert!(calm.psi < 0.1, "{}", calm.psi);
        // Input features have one reference for all versions.
        assert_eq!(
            engine.window("v1", Lane::Prod, "all").unwrap().of("x", BASELINE).unwrap().verdict,
            Verdict::Pass
        );
        feed(&mut engine, (0..200).map(|i| row("v1", Lane::Prod, false, i)));
        assert_eq!(reading(&mut engine).verdict, Verdict::Fail, "its own answers have moved");
        let window = engine.window("v2", Lane::Prod, "all").unwrap();
        assert_eq!(window.of("prediction", BASELINE).unwrap().verdict, Verdict::Pass);
    }

    #[test]
    fn a_shadow_has_learned_its_own_before_it_serves_and_a_restart_keeps_that() {
        let mut engine = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 150 })]);
        engine.set_active("m", "v2");
        for i in 0..400 {
            feed(&mut engine, [prod("v2", i), row("v1", Lane::Shadow, true, i)]);
        }
        let mut again = Engine::new(vec![spec(ReferenceSpec::Learn { rows: 150 })]);
        again.set_active("m", "v2");
        again.restore(&engine.snapshot()).unwrap();
        again.set_active("m", "v1");
        feed(&mut again, (0..101).map(|i| prod("v1", i)));
        let window = again.window("v1", Lane::Prod, "all").unwrap();
        let reading = window.of("prediction", BASELINE).unwrap();
        assert_eq!((reading.verdict, reading.reference_n), (Verdict::Pass, 150));
        let detector = window.detector.as_ref().unwrap();
        assert!(detector.drift.is_none(), "{detector:?}");
    }

    #[test]
    fn a_version_that_leaves_while_it_is_learned_from_makes_no_reference() {
        let mut engine = Engine::new(vec![profiled()]);
        engine.set_active("m", "v2");
        feed(&mut engine, (0..60).map(|i| prod("v2", i)));
        engine.set_active("m", "v1");
        feed(&mut engine, (0..30).map(|i| prod("v2", i)));
        feed(&mut engine, (0..250).map(|i| prod("v1", i)));
        let window = engine.window("v1", Lane::Prod, "all").unwrap();
        let reading = window.of("prediction", BASELINE).unwrap();
        assert_eq!((reading.verdict, reading.reference_n, reading.n), (Verdict::Pass, 100, 150));
        assert!(reading.psi < 0.1, "{}", reading.psi);
    }
}
