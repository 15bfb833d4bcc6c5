//! Many series of the history at once, in equal steps: what a heatmap or an overlay of versions is drawn from.

use rusqlite::{Connection, params};

use super::Store;
use super::database;
use super::history::{HistoryReader, Metric, RAW_STEP_MS};
use crate::error::StoreError;
use record::Lane;

/// Steps of a grid at most.
pub const GRID_STEPS_MAX: i64 = 400;

/// Rows of a grid at most: those with the highest value are kept.
pub const GRID_ROWS_MAX: usize = 200;

/// A grid that is fitted to the history spans at least so much: two minutes.
const FITTED_MIN_MS: i64 = 120_000;

/// What tells the rows of a grid apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GridBy {
    /// A row per feature, of one tenant and lane.
    Feature,
    /// A row per tenant, of one feature and lane; the total is none of them.
    Tenant,
    /// A row per version and lane, of one feature and tenant.
    Version,
}

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct GridQuery {
    /// The model.
    pub model: String,
    /// The metric.
    pub metric: Metric,
    /// What makes a row.
    pub by: GridBy,
    /// The feature, unless rows are features; empty for latency and traffic.
    pub feature: String,
    /// The tenant, unless rows are tenants; `all` for the total.
    pub tenant: String,
    /// Prod or shadow, unless rows are versions.
    pub lane: Lane,
    /// One version, or all.
    pub version: Option<String>,
    /// From here, unix milliseconds, inclusive.
    pub from_ms: i64,
    /// To here, inclusive.
    pub to_ms: i64,
    /// Wanted number of steps, at most [`GRID_STEPS_MAX`]; a step is a multiple of 15 seconds.
    pub steps: i64,
    /// Begin where the model's history begins, when that is later than `from_ms`: a picture of what there is. It still
    /// spans two minutes, or as much of them as was asked for.
    pub fit: bool,
}

/// Series in equal steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Start of the first step, unix milliseconds, a multiple of the step.
    pub start_ms: i64,
    /// Length of a step, milliseconds.
    pub step_ms: i64,
    /// Number of steps.
    pub steps: usize,
    /// The highest value first.
    pub rows: Vec<GridRow>,
    /// Rows that there is no place for.
    pub left_out: usize,
}

/// One series of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    /// The feature or tenant, or the version.
    pub name: String,
    /// The lane, where rows are versions.
    pub lane: Option<Lane>,
    /// A value per step: the highest in it, of traffic the mean over the points in it. `None` where nothing was written.
    pub values: Vec<Option<f64>>,
}

impl GridRow {
    fn highest(&self) -> f64 {
        self.values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Store {
    /// As [`HistoryReader::grid`].
    ///
    /// # Errors
    /// When the database refuses.
    pub fn grid(&self, query: &GridQuery) -> Result<Grid, StoreError> {
        self.read("read history", |conn| read(conn, query))
    }
}

impl HistoryReader {
    /// Series of a model side by side.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn grid(&self, query: &GridQuery) -> Result<Grid, StoreError> {
        read(self.connection(), query).map_err(database("read history"))
    }
}

/// One series after the other, folded here: points lie in the order of series and time, and SQLite, asked to group them, would
/// sort them all first.
fn read(conn: &Connection, query: &GridQuery) -> rusqlite::Result<Grid> {
    let fitted;
    let query = if query.fit {
        fitted = GridQuery { from_ms: fitted_from(conn, query)?, ..query.clone() };
        &fitted
    } else {
        query
    };
    let Some(mut grid) = layout(query) else { return Ok(Grid::default()) };
    let matching = matching(conn, query)?;
    let mut raw =
        conn.prepare("SELECT at, value, 1 FROM history WHERE series_id = ?1 AND at BETWEEN ?2 AND ?3")?;
    let mut means =
        conn.prepare("SELECT at, value, n FROM history_5m WHERE series_id = ?1 AND at BETWEEN ?2 AND ?3")?;
    for of_row in matching.chunk_by(|(_, a), (_, b)| a == b) {
        let mut row = Fold::new(&grid, query.metric);
        for (series, _) in of_row {
            for statement in [&mut means, &mut raw] {
                let mut points = statement.query(params![series, query.from_ms, query.to_ms])?;
                while let Some(point) = points.next()? {
                    row.add(point.get(0)?, point.get(1)?, point.get(2)?);
                }
            }
        }
        let Some((_, key)) = of_row.first().filter(|_| row.any) else { continue };
        grid.rows.push(named(query.by, key.clone(), row.values()));
        if grid.rows.len() > 2 * GRID_ROWS_MAX {
            keep_highest(&mut grid);
        }
    }
    keep_highest(&mut grid);
    Ok(grid)
}

/// Where a grid begins that is to show no time before the model's first point.
fn fitted_from(conn: &Connection, query: &GridQuery) -> rusqlite::Result<i64> {
    // The totals of traffic are there from the first request on, and few.
    let first: Option<i64> = conn
        .prepare(
            "SELECT min(coalesce((SELECT min(at) FROM history_5m WHERE series_id = id),
                                 (SELECT min(at) FROM history WHERE series_id = id)))
             FROM series WHERE model = ?1 AND tenant = 'all' AND feature = ''",
        )?
        .query_row([&query.model], |row| row.get(0))?;
    let latest = query.to_ms.saturating_sub(FITTED_MIN_MS);
    Ok(first.map_or(query.from_ms, |first| query.from_ms.max(first.min(latest))))
}

/// The series that are asked for, and the row that each belongs to; those of one row side by side.
fn matching(conn: &Connection, query: &GridQuery) -> rusqlite::Result<Vec<(i64, String)>> {
    let (key, fixed) = match query.by {
        GridBy::Feature => ("feature", "tenant = ?3 AND lane = ?4"),
        GridBy::Tenant => ("tenant", "feature = ?2 AND lane = ?4 AND tenant <> ?3"),
        GridBy::Version => ("version || ' ' || lane", "feature = ?2 AND tenant = ?3"),
    };
    // SQLite refuses a parameter that a statement does not name, so every form names all of them.
    let sql = format!(
        "SELECT id, {key} AS key FROM series
         WHERE model = ?1 AND metric = ?6 AND {fixed} AND (?5 IS NULL OR version = ?5) AND (?2 = ?2 AND ?3 = ?3 AND ?4 = ?4)
         ORDER BY key, id"
    );
    conn.prepare(&sql)?
        .query_map(
            params![
                query.model,
                query.feature,
                query.tenant,
                query.lane.as_str(),
                query.version,
                query.metric.as_str(),
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect()
}

/// Points of the series of one row on their way into its steps.
struct Fold {
    start_ms: i64,
    step_ms: i64,
    mean: bool,
    any: bool,
    /// Of each step the highest value, or the sum; and how many points it was made from.
    steps: Vec<(f64, f64)>,
}

impl Fold {
    fn new(grid: &Grid, metric: Metric) -> Self {
        let steps = vec![(0.0, 0.0); grid.steps];
        Self { start_ms: grid.start_ms, step_ms: grid.step_ms, mean: metric.is_mean(), any: false, steps }
    }

    /// A value that stands for `n` points of a series.
    fn add(&mut self, at_ms: i64, value: f64, n: f64) {
        let step = usize::try_from((at_ms - self.start_ms).div_euclid(self.step_ms)).ok();
        let Some((so_far, count)) = step.and_then(|step| self.steps.get_mut(step)) else { return };
        self.any = true;
        *so_far = match self.mean {
            true => *so_far + value * n,
            false if *count > 0.0 => so_far.max(value),
            false => value,
        };
        *count += n;
    }

    fn values(&self) -> Vec<Option<f64>> {
        let value = |(so_far, count): &(f64, f64)| {
            (*count > 0.0).then(|| if self.mean { so_far / count } else { *so_far })
        };
        self.steps.iter().map(value).collect()
    }
}

/// The highest rows, in their order; the others are only counted.
fn keep_highest(grid: &mut Grid) {
    grid.rows.sort_by(|a, b| b.highest().total_cmp(&a.highest()).then_with(|| a.name.cmp(&b.name)));
    grid.left_out += grid.rows.len().saturating_sub(GRID_ROWS_MAX);
    grid.rows.truncate(GRID_ROWS_MAX);
}

/// Where the steps lie; `None` for a range that holds none.
fn layout(query: &GridQuery) -> Option<Grid> {
    let span = query.to_ms.checked_sub(query.from_ms).filter(|span| *span >= 0)?;
    let wanted = query.steps.clamp(1, GRID_STEPS_MAX);
    let least = (span / wanted).max(RAW_STEP_MS);
    let step_ms = least.saturating_add(RAW_STEP_MS - 1) / RAW_STEP_MS * RAW_STEP_MS;
    let start_ms = query.from_ms.div_euclid(step_ms) * step_ms;
    let steps = query.to_ms.div_euclid(step_ms) - query.from_ms.div_euclid(step_ms) + 1;
    Some(Grid { start_ms, step_ms, steps: usize::try_from(steps).ok()?, ..Grid::default() })
}

fn named(by: GridBy, key: String, values: Vec<Option<f64>>) -> GridRow {
    match key.rsplit_once(' ').filter(|_| by == GridBy::Version) {
        Some((version, lane)) => {
            let lane = if lane == Lane::Shadow.as_str() { Lane::Shadow } else { Lane::Prod };
            GridRow { name: version.to_owned(), lane: Some(lane), values }
        }
        None => GridRow { name: key, lane: None, values },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{HistoryPoint, Series};

    fn point(
        metric: Metric,
        version: &str,
        lane: Lane,
        tenant: &str,
        feature: &str,
        value: f64,
    ) -> HistoryPoint {
        let series = Series {
            model: "fraud".to_owned(),
            metric,
            version: version.to_owned(),
            lane,
            tenant: tenant.to_owned(),
            feature: feature.to_owned(),
        };
        HistoryPoint { series, value }
    }

    fn psi(tenant: &str, feature: &str, value: f64) -> HistoryPoint {
        point(Metric::Psi, "v2", Lane::Prod, tenant, feature, value)
    }

    fn query(metric: Metric, by: GridBy, to_ms: i64, steps: i64) -> GridQuery {
        GridQuery {
            model: "fraud".to_owned(),
            metric,
            by,
            feature: String::new(),
            tenant: "all".to_owned(),
            lane: Lane::Prod,
            version: None,
            from_ms: 0,
            to_ms,
            steps,
            fit: false,
        }
    }

    #[test]
    fn a_fitted_grid_begins_with_the_history() {
        let mut store = Store::in_memory().expect("opens");
        let fitted = |store: &Store, from_ms, to_ms| {
            let wanted = GridQuery {
                from_ms,
                fit: true,
                ..query(Metric::Psi, GridBy::Feature, to_ms, GRID_STEPS_MAX)
            };
            store.grid(&wanted).expect("reads").start_ms
        };
        assert_eq!(fitted(&store, 150_000, 6_000_000), 150_000, "nothing is stored: all of it");
        for at in [3_000_000, 3_015_000] {
            let total = point(Metric::P95Ms, "v2", Lane::Prod, "all", "", 1.0);
            store.write_history(at, &[total]).expect("writes");
        }
        assert_eq!(fitted(&store, 150_000, 6_000_000), 3_000_000);
        assert_eq!(fitted(&store, 3_600_000, 6_000_000), 3_600_000, "asked for less than there is");
        assert_eq!(fitted(&store, 0, 3_030_000), 2_910_000, "two minutes at least");
        assert_eq!(fitted(&store, 3_000_000, 3_030_000), 3_000_000, "and never more than was asked for");
        assert_eq!(fitted(&store, 0, 1_200_000), 1_080_000, "all of it lies before");
    }

    #[test]
    fn rows_are_features_and_a_step_shows_its_highest_value() {
        let mut store = Store::in_memory().expect("opens");
        for (at, low, high) in [(0, 0.1, 0.3), (15_000, 0.2, 0.5), (60_000, 0.0, 0.4)] {
            let points = [psi("all", "calm", low), psi("all", "wild", high), psi("acme", "wild", 9.0)];
            store.write_history(at, &points).expect("writes");
        }
        let grid = store.grid(&query(Metric::Psi, GridBy::Feature, 119_999, 4)).expect("reads");
        assert_eq!((grid.start_ms, grid.step_ms, grid.steps, grid.left_out), (0, 30_000, 4, 0));
        assert_eq!(grid.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["wild", "calm"]);
        assert_eq!(grid.rows[0].values, [Some(0.5), None, Some(0.4), None]);
    }

    #[test]
    fn rows_are_tenants_without_the_total() {
        let mut store = Store::in_memory().expect("opens");
        let points = [psi("all", "amount", 0.9), psi("acme", "amount", 0.1), psi("globex", "amount", 0.2)];
        store.write_history(0, &points).expect("writes");
        let wanted = GridQuery { feature: "amount".to_owned(), ..query(Metric::Psi, GridBy::Tenant, 1, 1) };
        let grid = store.grid(&wanted).expect("reads");
        assert_eq!(grid.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["globex", "acme"]);
    }

    #[test]
    fn rows_are_versions_of_both_lanes_and_traffic_is_a_mean() {
        let mut store = Store::in_memory().expect("opens");
        for (at, rate) in [(0, 10.0), (15_000, 30.0)] {
            let of = |version, lane| point(Metric::RequestsPerSecond, version, lane, "all", "", rate);
            store.write_history(at, &[of("v 1", Lane::Prod), of("v2", Lane::Shadow)]).expect("writes");
        }
        let grid = store.grid(&query(Metric::RequestsPerSecond, GridBy::Version, 29_999, 1)).expect("reads");
        let names: Vec<_> = grid.rows.iter().map(|row| (row.name.as_str(), row.lane)).collect();
        assert_eq!(names, [("v 1", Some(Lane::Prod)), ("v2", Some(Lane::Shadow))]);
        assert_eq!(grid.rows[0].values, [Some(20.0)]);
    }

    /// What a grid must say, from a statement that says it as plainly as SQL can.
    fn plainly(store: &Store, query: &GridQuery, grid: &Grid) -> Vec<(String, i64, f64)> {
        let (key, fixed) = match query.by {
            GridBy::Feature => ("feature", "tenant = 'all' AND lane = 'prod'"),
            GridBy::Tenant => ("tenant", "feature = 'f1' AND lane = 'prod' AND tenant <> 'all'"),
            GridBy::Version => ("version || '/' || lane", "feature = 'f1' AND tenant = 'all'"),
        };
        let combined = if query.metric.is_mean() { "sum(value * n) / sum(n)" } else { "max(value)" };
        let sql = format!(
            "SELECT {key} AS key, at / {step} AS step, {combined} FROM series JOIN (
                 SELECT series_id, at, value, 1 AS n FROM history UNION ALL SELECT series_id, at, value, n FROM history_5m
             ) ON series_id = id
             WHERE metric = '{metric}' AND {fixed} AND at BETWEEN {from} AND {to} GROUP BY key, step ORDER BY key, step",
            step = grid.step_ms,
            metric = query.metric.as_str(),
            from = query.from_ms,
            to = query.to_ms,
        );
        let read = |conn: &Connection| {
            let mut statement = conn.prepare(&sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        };
        store.read("read history", read).expect("reads")
    }

    #[test]
    fn a_grid_says_what_the_points_say() {
        let mut store = Store::in_memory().expect("opens");
        let metrics = [Metric::Psi, Metric::Requests];
        for at in 0..400_i64 {
            let mut points = Vec::new();
            for (n, metric) in metrics.into_iter().enumerate() {
                for (v, version) in ["v1", "v2"].into_iter().enumerate() {
                    for (l, lane) in [Lane::Prod, Lane::Shadow].into_iter().enumerate() {
                        for (t, tenant) in ["all", "acme"].into_iter().enumerate() {
                            // Each series has gaps of its own, so that a mean of means would be another number.
                            let holes = 2 + (n + 2 * v + 3 * l + 5 * t) as i64;
                            let value = ((at * 7 + holes * 13) % 101) as f64 / 10.0 - 3.0;
                            let of = |feature| point(metric, version, lane, tenant, feature, value);
                            if at % holes != 0 {
                                points.extend([of("f1"), of("f2")]);
                            }
                        }
                    }
                }
            }
            store.write_history(at * RAW_STEP_MS, &points).expect("writes");
        }
        // Half of it becomes means of five minutes.
        while !store.prune_history(48 * 3_600_000 + 3_000_000).expect("prunes") {}
        for metric in metrics {
            for by in [GridBy::Feature, GridBy::Tenant, GridBy::Version] {
                for (from_ms, steps) in [(0, 1), (0, 7), (1_234_567, 40), (2_900_000, 400)] {
                    let feature = if by == GridBy::Feature { "" } else { "f1" };
                    let wanted = GridQuery {
                        from_ms,
                        feature: feature.to_owned(),
                        ..query(metric, by, 5_999_999, steps)
                    };
                    let grid = store.grid(&wanted).expect("reads");
                    let mut said: Vec<(String, i64, f64)> = Vec::new();
                    for row in &grid.rows {
                        let key = row
                            .lane
                            .map_or(row.name.clone(), |lane| format!("{}/{}", row.name, lane.as_str()));
                        let steps = (grid.start_ms / grid.step_ms..).zip(&row.values);
                        said.extend(steps.filter_map(|(step, value)| Some((key.clone(), step, (*value)?))));
                    }
                    said.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
                    let expected = plainly(&store, &wanted, &grid);
                    assert!(!expected.is_empty());
                    let same = |(a, b): (&(String, i64, f64), &(String, i64, f64))| {
                        (&a.0, a.1) == (&b.0, b.1) && (a.2 - b.2).abs() < 1e-9
                    };
                    assert_eq!(said.len(), expected.len(), "{wanted:?}");
                    assert!(said.iter().zip(&expected).all(same), "{wanted:?}: {said:?} {expected:?}");
                }
            }
        }
    }

    #[test]
    fn a_grid_is_bounded_whatever_is_asked() {
        let mut store = Store::in_memory().expect("opens");
        let points: Vec<_> =
            (0..3 * GRID_ROWS_MAX + 7).map(|n| psi("all", &format!("f{n}"), n as f64)).collect();
        store.write_history(0, &points).expect("writes");
        let grid = store.grid(&query(Metric::Psi, GridBy::Feature, i64::MAX / 4, i64::MAX)).expect("reads");
        assert_eq!((grid.rows.len(), grid.left_out), (GRID_ROWS_MAX, 2 * GRID_ROWS_MAX + 7));
        assert!(grid.steps <= GRID_STEPS_MAX as usize + 1, "{}", grid.steps);
        assert_eq!(grid.rows[0].name, format!("f{}", 3 * GRID_ROWS_MAX + 6), "the highest stay");
        let backwards = store.grid(&query(Metric::Psi, GridBy::Feature, -5, 10)).expect("reads");
        assert_eq!(backwards, Grid::default());
    }
}
