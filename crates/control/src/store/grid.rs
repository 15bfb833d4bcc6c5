//! Many series of the history at once, in equal steps: what a heatmap or an overlay of versions is drawn from.

use std::collections::BTreeMap;

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
    /// A value per step: the highest in it, of traffic the mean. `None` where nothing was written.
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

fn read(conn: &Connection, query: &GridQuery) -> rusqlite::Result<Grid> {
    let Some(mut grid) = layout(query) else { return Ok(Grid::default()) };
    let (key, fixed) = match query.by {
        GridBy::Feature => ("feature", "tenant = ?3 AND lane = ?4"),
        GridBy::Tenant => ("tenant", "feature = ?2 AND lane = ?4 AND tenant <> ?3"),
        GridBy::Version => ("version || ' ' || lane", "feature = ?2 AND tenant = ?3"),
    };
    // SQLite refuses a parameter that a statement does not name, so every form names all of them.
    let combine = if query.metric.is_mean() { "avg" } else { "max" };
    let sql = format!(
        "WITH matching AS (
             SELECT id, {key} AS key FROM series
             WHERE model = ?1 AND metric = ?9 AND {fixed} AND (?5 IS NULL OR version = ?5)
                 AND (?2 = ?2 AND ?3 = ?3 AND ?4 = ?4)),
         points AS (
             SELECT key, at, value FROM matching CROSS JOIN history ON series_id = id WHERE at BETWEEN ?6 AND ?7
             UNION ALL
             SELECT key, at, value FROM matching CROSS JOIN history_5m ON series_id = id WHERE at BETWEEN ?6 AND ?7)
         SELECT key, at / ?8 AS step, {combine}(value) FROM points GROUP BY key, step"
    );
    let first = grid.start_ms / grid.step_ms;
    let mut rows: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    let mut statement = conn.prepare(&sql)?;
    let mut found = statement.query(params![
        query.model,
        query.feature,
        query.tenant,
        query.lane.as_str(),
        query.version,
        query.from_ms,
        query.to_ms,
        grid.step_ms,
        query.metric.as_str(),
    ])?;
    while let Some(row) = found.next()? {
        let at = usize::try_from(row.get::<_, i64>(1)? - first).ok();
        let values = rows.entry(row.get(0)?).or_insert_with(|| vec![None; grid.steps]);
        if let Some(place) = at.and_then(|at| values.get_mut(at)) {
            *place = Some(row.get(2)?);
        }
    }
    grid.rows = rows.into_iter().map(|(key, values)| named(query.by, key, values)).collect();
    grid.rows.sort_by(|a, b| b.highest().total_cmp(&a.highest()).then_with(|| a.name.cmp(&b.name)));
    grid.left_out = grid.rows.len().saturating_sub(GRID_ROWS_MAX);
    grid.rows.truncate(GRID_ROWS_MAX);
    Ok(grid)
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
        }
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

    #[test]
    fn a_grid_is_bounded_whatever_is_asked() {
        let mut store = Store::in_memory().expect("opens");
        let points: Vec<_> = (0..GRID_ROWS_MAX + 7).map(|n| psi("all", &format!("f{n}"), n as f64)).collect();
        store.write_history(0, &points).expect("writes");
        let grid = store.grid(&query(Metric::Psi, GridBy::Feature, i64::MAX / 4, i64::MAX)).expect("reads");
        assert_eq!((grid.rows.len(), grid.left_out), (GRID_ROWS_MAX, 7));
        assert!(grid.steps <= GRID_STEPS_MAX as usize + 1, "{}", grid.steps);
        assert_eq!(grid.rows[0].name, format!("f{}", GRID_ROWS_MAX + 6), "the highest stay");
        let backwards = store.grid(&query(Metric::Psi, GridBy::Feature, -5, 10)).expect("reads");
        assert_eq!(backwards, Grid::default());
    }
}
