//! Columns of which only a summary is known: values that stand for many rows each.

use anyhow::{Context, Result, ensure};
use monitor::profile::{BuildRules, ColumnBuilder, FeatureProfile, Profile};
use record::Privacy;

/// A larger data set is thinned out to at most so many rows, which are counted one by one.
pub(super) const ROWS_MAX: u64 = 2_000_000;

/// A name as it may stand in a note, which goes to a terminal or a build's log.
pub(super) fn shown(name: &str) -> String {
    Privacy::default().name(name).into_owned()
}

/// More features make no sense in one model.
const FEATURES_MAX: usize = 10_000;

/// Counts every n-th row of a column, and none beyond those that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thin {
    every: u64,
    rows: u64,
    passed: u64,
}

impl Thin {
    /// How many of the next `rows` are counted.
    pub(super) fn of(&mut self, rows: u64) -> u64 {
        let before = self.passed.min(self.rows) / self.every;
        self.passed = self.passed.saturating_add(rows);
        self.passed.min(self.rows) / self.every - before
    }
}

/// Numbers, and how many rows each of them stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighted {
    /// In order.
    values: Vec<(f64, u64)>,
    /// The smallest and the largest value, where they are known: a sketch need not hold them.
    ends: [Option<f64>; 2],
}

impl Weighted {
    /// `None` for what is no number.
    pub(super) fn new(mut values: Vec<(f64, u64)>, ends: [Option<f64>; 2]) -> Option<Self> {
        if values.iter().any(|(value, _)| value.is_nan()) {
            return None;
        }
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Some(Self { values, ends })
    }

    /// The values of a sketch in levels (Karnin, Lang and Liberty, FOCS 2016, <https://arxiv.org/abs/1603.05346>): what is
    /// left after compactions, of which one on level `l` stands for `2^l` rows.
    pub(super) fn of_levels(levels: &[Vec<f64>], ends: [Option<f64>; 2]) -> Option<Self> {
        let weights = (0..).map(|level| 1_u64.checked_shl(level).unwrap_or(0));
        let values =
            levels.iter().zip(weights).flat_map(|(of_level, n)| of_level.iter().map(move |x| (*x, n)));
        Self::new(values.collect(), ends)
    }

    /// All rows together.
    pub(super) fn rows(&self) -> u64 {
        self.values.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Adds them to a column.
    pub(super) fn push(mut self, column: &mut ColumnBuilder, thin: &mut Thin) {
        self.values.iter_mut().for_each(|(_, rows)| *rows = thin.of(*rows));
        self.values.retain(|(_, rows)| *rows > 0);
        let places = [0, self.values.len().saturating_sub(1)];
        for (known, place) in self.ends.into_iter().zip(places) {
            let known = known.filter(|known| known.is_finite());
            if let (Some(known), Some((_, rows))) = (known, self.values.get_mut(place))
                && *rows > 0
            {
                *rows -= 1;
                column.push_number(known);
            }
        }
        for (value, rows) in self.values {
            (0..rows).for_each(|_| column.push_number(value));
        }
    }
}

/// A profile on its way.
pub(super) struct Summary<'a> {
    name: String,
    rules: BuildRules,
    exclude: &'a [String],
    notes: &'a mut Vec<String>,
    thin: Thin,
    features: Vec<FeatureProfile>,
    met: Vec<String>,
}

impl<'a> Summary<'a> {
    /// Of no rows yet.
    pub(super) fn new(
        name: String,
        rules: BuildRules,
        exclude: &'a [String],
        notes: &'a mut Vec<String>,
    ) -> Self {
        let thin = Thin { every: 1, rows: 0, passed: 0 };
        Self { name, rules, exclude, notes, thin, features: Vec::new(), met: Vec::new() }
    }

    /// Says how many rows there are, before the first feature.
    pub(super) fn rows(&mut self, rows: u64) {
        let every = rows.div_ceil(ROWS_MAX).max(1);
        if every > 1 {
            let kept = rows / every;
            self.notes.push(format!(
                "{rows} rows are taken for {kept}: shares stay, and chance explains a little more"
            ));
        }
        self.thin = Thin { every, rows, passed: 0 };
    }

    /// Adds a feature, unless it is excluded. `fill` adds its values; the rows that are left have none. When it returns
    /// `false` the feature is left out.
    pub(super) fn feature(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut ColumnBuilder, &mut Thin, &mut Vec<String>) -> Result<bool>,
    ) -> Result<()> {
        ensure!(self.met.len() < FEATURES_MAX, "more than {FEATURES_MAX} features");
        ensure!(!self.met.iter().any(|met| met == name), "the feature `{}` is there twice", shown(name));
        self.met.push(name.to_owned());
        if self.exclude.iter().any(|excluded| excluded == name) {
            return Ok(());
        }
        let (mut column, mut thin) = (ColumnBuilder::default(), self.thin);
        let filled = fill(&mut column, &mut thin, self.notes);
        if !filled.with_context(|| format!("feature `{}`", shown(name)))? {
            return Ok(());
        }
        let without = thin.rows.checked_sub(thin.passed);
        let without = without
            .with_context(|| format!("feature `{}` has more values than there are rows", shown(name)))?;
        column.push_missing(thin.of(without));
        self.features.push(column.finish(name, &self.rules));
        Ok(())
    }

    /// The profile.
    pub(super) fn finish(self) -> Result<Profile> {
        let unknown = self.exclude.iter().filter(|name| !self.met.contains(name));
        self.notes.extend(unknown.map(|name| format!("`--exclude {name}`: there is no such feature")));
        ensure!(!self.features.is_empty(), "no feature is left");
        let created_at_ms = jiff::Timestamp::now().as_millisecond();
        let rows = self.thin.rows / self.thin.every;
        let profile =
            Profile { name: self.name, created_at_ms, rows, features: self.features, tenants: Vec::new() };
        profile.check().context("the profile is not consistent")?;
        Ok(profile)
    }
}
