//! The features of a model: by name, by number, and where each stands between unknown and frozen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use record::Cell;
use stats::{Bins, MAX_WINDOW_SLOTS};

use crate::detector::DetectorReference;
use crate::fit::Types;
use crate::learn::Column;
use crate::profile::{FeatureProfile, Profile};
use crate::quality::{Expected, FirstTypes};
use crate::role::{Role, RoleSample};
use crate::spec::ModelSpec;
use crate::strays::Strays;

/// What a cell is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Features,
    Predictions,
}

/// A reference that does not move any more.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) bins: Bins,
    /// Reference counts per slot.
    pub(crate) counts: Vec<u64>,
    /// Their sum.
    pub(crate) rows: u64,
    /// When the bins were cut, unix milliseconds.
    pub(crate) at_ms: i64,
    /// The first of the rows that it was learned from, unix milliseconds; `None` for what is not learned, and never grows.
    pub(crate) since_ms: Option<i64>,
    /// What the sequential detector counts in; without it, `bins`.
    pub(crate) detector: Option<DetectorReference>,
    /// Whether it can be judged, by the reference's values.
    pub(crate) role: Role,
    /// What the checks of its values expect.
    pub(crate) expected: Box<Expected>,
}

impl Frozen {
    pub(crate) fn new(feature: FeatureProfile, at_ms: i64) -> Self {
        let rows = feature.rows();
        let (detector, role) = (feature.detector, feature.role);
        let expected = Expected::new(&feature.bins, &feature.counts, detector.as_ref(), role.is_judged());
        let expected = Box::new(expected);
        Self {
            rows,
            bins: feature.bins,
            counts: feature.counts,
            at_ms,
            since_ms: None,
            detector,
            role,
            expected,
        }
    }

    /// Successive rows that count as one, by the reference's order.
    pub(crate) fn tau(&self) -> f64 {
        self.detector.as_ref().map_or(1.0, |detector| detector.tau)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Learning(Column),
    Frozen(Frozen),
}

#[derive(Clone, Debug)]
pub(crate) struct Feature {
    pub(crate) name: Arc<str>,
    pub(crate) side: Side,
    pub(crate) stage: Stage,
    /// Whether production traffic has ever had it.
    pub(crate) seen: bool,
    /// The newest production values, until their role is looked at.
    pub(crate) sample: RoleSample,
    /// The role that live values turned out to have, where that is not to be judged.
    pub(crate) review: Option<Role>,
    /// The configuration has it judged whatever its values are.
    pub(crate) forced: bool,
    /// It showed when requests without it had gone by: a new field, of which more and more requests may have a value.
    pub(crate) late: bool,
    /// While it is learned: the rows so far were not alike.
    pub(crate) moves: bool,
    /// Of a prediction: the version that its reference is made of. `None` before that is known, and where it counts for all.
    pub(crate) owner: Option<Arc<str>>,
    /// The types of the first production values since there is a reference.
    pub(crate) first: FirstTypes,
    /// Whether production values are of the profile's type.
    pub(crate) types: Types,
    /// Production values that the reference does not have.
    pub(crate) strays: Strays,
    /// The newest number in production.
    pub(crate) newest: Option<f64>,
}

impl Feature {
    pub(crate) fn frozen(&self) -> Option<&Frozen> {
        match &self.stage {
            Stage::Frozen(frozen) => Some(frozen),
            Stage::Learning(_) => None,
        }
    }

    /// Its role by reference and live traffic.
    pub(crate) fn role(&self) -> Role {
        self.review.unwrap_or_else(|| self.frozen().map_or(Role::Value, |frozen| frozen.role))
    }

    /// Whether its values are counted into windows: it is there, and it can be compared.
    pub(crate) fn is_counted(&self) -> bool {
        self.seen && self.role().is_judged()
    }

    /// Whether its windows are compared with the reference.
    pub(crate) fn is_judged(&self) -> bool {
        self.is_counted() && self.types != Types::Differ
    }

    /// Whether the profile has numbers and every value in production so far was none, or the other way round.
    pub(crate) fn types_differ(&self) -> bool {
        self.role().is_judged() && self.types == Types::Differ
    }

    /// Takes note of a production value.
    #[inline]
    pub(crate) fn see(&mut self, value: Cell<'_>) {
        self.seen = true;
        if let Cell::Number(number) = value {
            self.newest = Some(number);
        }
        if let Stage::Frozen(frozen) = &self.stage {
            self.types.see(&frozen.bins, value);
        }
        if !self.sample.is_full() && self.frozen().is_some() {
            self.sample.push(value);
        }
    }

    /// Looks at the live values once there are enough of them. True when it is not to be judged any more.
    pub(crate) fn look_again(&mut self) -> bool {
        if !self.sample.is_full() {
            return false;
        }
        let sample = std::mem::take(&mut self.sample);
        let live = role_for(self.side, sample.role());
        let news = !self.forced && self.role().is_judged() && !live.is_judged();
        if news {
            self.review = Some(live);
        }
        news
    }
}

/// A model's answers are no times and no counters, however they look.
pub(crate) fn role_for(side: Side, role: Role) -> Role {
    if side == Side::Predictions && role == Role::Time { Role::Value } else { role }
}

/// Which names are measured at all.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    include: HashSet<String>,
    exclude: HashSet<String>,
    judge: HashSet<String>,
}

impl Filter {
    pub(crate) fn new(spec: &ModelSpec) -> Self {
        Self {
            include: spec.include.iter().cloned().collect(),
            exclude: spec.exclude.iter().cloned().collect(),
            judge: spec.judge.iter().cloned().collect(),
        }
    }

    /// Whether the configuration has it judged whatever its values are.
    pub(crate) fn forces(&self, name: &str) -> bool {
        self.judge.contains(name)
    }

    /// `include` chooses among features; predictions are measured unless excluded.
    fn allows(&self, name: &str, side: Side) -> bool {
        let included = side == Side::Predictions || self.include.is_empty() || self.include.contains(name);
        included && !self.exclude.contains(name)
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The feature with this number.
    Known(usize),
    /// Not measured: excluded, or unknown on a side that does not learn.
    Ignored,
    /// Over the limit of features.
    OverLimit,
}

/// The features of a model. Numbers are given once and stay.
#[derive(Clone, Debug)]
pub(crate) struct FeatureTable {
    features: Vec<Feature>,
    by_name: HashMap<Arc<str>, usize>,
    /// Guesses: which feature came first on each side, and which one followed each feature last time.
    first: [usize; 2],
    next: Vec<usize>,
}

/// Where a walk over the cells of one side stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    side: Side,
    previous: Option<usize>,
}

impl Walk {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, previous: None }
    }
}

/// Whether a name is a prediction's: `prediction` or `prediction.NAME`.
pub(crate) fn side_of(name: &str) -> Side {
    match name.strip_prefix("prediction") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => Side::Predictions,
        _ => Side::Features,
    }
}

impl FeatureTable {
    pub(crate) fn new() -> Self {
        Self { features: Vec::new(), by_name: HashMap::new(), first: [0; 2], next: Vec::new() }
    }

    /// The features of a profile that are measured, frozen. Those with more slots than a window has are left out.
    pub(crate) fn of_profile(profile: &Profile, filter: &Filter, owner: Option<&Arc<str>>) -> Self {
        let mut table = Self::new();
        for feature in &profile.features {
            let side = side_of(&feature.name);
            let fits =
                feature.bins.slots() <= MAX_WINDOW_SLOTS && feature.counts.len() == feature.bins.slots();
            if fits && filter.allows(&feature.name, side) && !table.by_name.contains_key(&*feature.name) {
                let mut frozen = Frozen::new(feature.clone(), profile.created_at_ms);
                let forced = filter.forces(&feature.name);
                // Of categories that were not kept there is nothing to judge by.
                if forced && frozen.bins.len() > 1 {
                    frozen.role = Role::Value;
                    *frozen.expected =
                        Expected::new(&frozen.bins, &frozen.counts, frozen.detector.as_ref(), true);
                }
                let at = table.insert(feature.name.as_str().into(), side, Stage::Frozen(frozen));
                let feature = table.get_mut(at);
                (feature.forced, feature.owner, feature.types) = (forced, owner.cloned(), Types::Unknown);
            }
        }
        table
    }

    pub(crate) fn len(&self) -> usize {
        self.features.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Feature> {
        self.features.iter_mut()
    }

    pub(crate) fn get(&self, at: usize) -> &Feature {
        &self.features[at]
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> &mut Feature {
        &mut self.features[at]
    }

    /// The feature of a cell. Requests repeat: the guesses are the feature that followed the previous one last time (rows
    /// one after the other) and the previous one again (columns one after the other); a name is hashed only when both
    /// are wrong.
    #[inline]
    pub(crate) fn known(&mut self, walk: &mut Walk, name: &str) -> Option<usize> {
        let guess = match walk.previous {
            Some(previous) => self.next[previous],
            None => self.first[walk.side as usize],
        };
        let is = |at: usize| self.features.get(at).is_some_and(|f| *f.name == *name && f.side == walk.side);
        let at = if is(guess) {
            guess
        } else if let Some(previous) = walk.previous.filter(|previous| is(*previous)) {
            return Some(previous);
        } else {
            let at = self.by_name.get(name).copied().filter(|at| self.features[*at].side == walk.side)?;
            match walk.previous {
                Some(previous) => self.next[previous] = at,
                None => self.first[walk.side as usize] = at,
            }
            at
        };
        walk.previous = Some(at);
        Some(at)
    }

    /// Decides about a name that is not known. `late`: whether requests without it have gone by, if this traffic may add features.
    pub(crate) fn meet(
        &mut self,
        name: &str,
        side: Side,
        filter: &Filter,
        limit: usize,
        late: Option<bool>,
    ) -> Found {
        let Some(late) = late.filter(|_| filter.allows(name, side)) else { return Found::Ignored };
        // A feature that takes the name of a prediction, or the other way round, cannot be told apart in metrics.
        if self.by_name.contains_key(name) || side_of(name) != side {
            return Found::Ignored;
        }
        if self.features.len() >= limit {
            return Found::OverLimit;
        }
        let at = self.insert(name.into(), side, Stage::Learning(Column::default()));
        (self.features[at].forced, self.features[at].late) = (filter.forces(name), late);
        Found::Known(at)
    }

    /// Adds a feature under the next number. The name must not be there yet.
    pub(crate) fn insert(&mut self, name: Arc<str>, side: Side, stage: Stage) -> usize {
        let at = self.features.len();
        self.by_name.insert(name.clone(), at);
        let (sample, review) = (RoleSample::default(), None);
        self.features.push(Feature {
            name,
            side,
            stage,
            seen: false,
            sample,
            review,
            forced: false,
            late: false,
            moves: false,
            owner: None,
            first: FirstTypes::default(),
            types: Types::Agree,
            strays: Strays::default(),
            newest: None,
        });
        self.next.push(at + 1);
        at
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> FeatureTable {
        let mut table = FeatureTable::new();
        for name in names {
            table.insert((*name).into(), side_of(name), Stage::Learning(Column::default()));
        }
        table
    }

    fn walk(table: &mut FeatureTable, names: &[&str]) -> Vec<Option<usize>> {
        let mut walk = Walk::new(Side::Features);
        names.iter().map(|name| table.known(&mut walk, name)).collect()
    }

    #[test]
    fn a_wrong_guess_never_gives_a_wrong_feature() {
        let mut table = table(&["a", "b", "c", "prediction"]);
        for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "b", "c"], ["a", "a", "a"], ["c", "x", "a"]] {
            let expected: Vec<_> =
                order.iter().map(|n| ["a", "b", "c"].iter().position(|m| m == n)).collect();
            for _ in 0..2 {
                assert_eq!(walk(&mut table, &order), expected, "{order:?}");
            }
        }
        assert_eq!(walk(&mut table, &["prediction"]), [None], "a prediction is no feature");
    }

    #[test]
    fn names_are_told_apart_by_side() {
        assert_eq!(side_of("prediction"), Side::Predictions);
        assert_eq!(side_of("prediction.score"), Side::Predictions);
        assert_eq!(side_of("predictions"), Side::Features);
        let mut table = FeatureTable::new();
        let filter = Filter {
            include: HashSet::from(["a".to_owned()]),
            exclude: HashSet::from(["x".to_owned()]),
            judge: HashSet::new(),
        };
        let mut meet = |name, side| table.meet(name, side, &filter, 2, Some(false));
        assert_eq!(meet("b", Side::Features), Found::Ignored, "not included");
        assert_eq!(meet("prediction", Side::Features), Found::Ignored, "reserved");
        assert_eq!(meet("prediction", Side::Predictions), Found::Known(0), "never needs to be included");
        assert_eq!(meet("a", Side::Features), Found::Known(1));
        assert_eq!(meet("prediction.b", Side::Predictions), Found::OverLimit);
    }
}
