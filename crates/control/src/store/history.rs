//! Series for the dashboard: points every 15 seconds for 48 hours, then means of five minutes for 30 days.
//!
//! A write is one transaction per batch. Deleting goes on in small steps, a few series at a time, so that it never holds
//! up anything. The number of series has a bound; the total over tenants comes first, so that it is the last to suffer.

use std::collections::HashMap;
use std::sync::Arc;

use monitor::{Readings, ReferenceKind};
use record::Lane;
use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Store, database};
use crate::error::StoreError;
use crate::evaluate::TENANT_ALL;
use crate::latency::LatencyReading;

/// Distinct series that are kept; points of further ones are dropped and counted.
pub const SERIES_MAX: usize = 20_000;

/// Distance of points, milliseconds.
pub(super) const RAW_STEP_MS: i64 = 15_000;
/// How long points are kept as they are, milliseconds.
const RAW_KEEP_MS: i64 = 48 * 3_600_000;
/// Distance of means, milliseconds.
const MEAN_STEP_MS: i64 = 300_000;
/// How long means are kept when nobody says otherwise, milliseconds.
pub(super) const MEAN_KEEP_MS: i64 = 30 * 86_400_000;
/// Points that a query answers at most.
const POINTS_MAX: i64 = 2_000;
/// Series looked at by one incremental delete.
const PRUNE_SERIES: i64 = 200;

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Population stability index against the baseline.
    Psi,
    /// Jensen-Shannon divergence against the baseline, base 2.
    JsDivergence,
    /// 95th percentile of the latency, milliseconds.
    P95Ms,
    /// Requests in the window.
    Requests,
    /// Requests per second over the last minute.
    RequestsPerSecond,
    /// Share of them that ended in an error of the server or without an answer, 0 to 1.
    ErrorRate,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Psi,
        Self::JsDivergence,
        Self::P95Ms,
        Self::Requests,
        Self::RequestsPerSecond,
        Self::ErrorRate,
    ];

    /// As it is stored and asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Psi => "psi",
            Self::JsDivergence => "js_divergence",
            Self::P95Ms => "p95_ms",
            Self::Requests => "requests",
            Self::RequestsPerSecond => "requests_per_second",
            Self::ErrorRate => "error_rate",
        }
    }

    /// Whether a step of a grid shows the mean; of the others it shows the highest value.
    pub(super) const fn is_mean(self) -> bool {
        matches!(self, Self::Requests | Self::RequestsPerSecond | Self::ErrorRate)
    }

    /// Whether versions add up; of the others the worst counts.
    const fn adds_up(self) -> bool {
        matches!(self, Self::Requests | Self::RequestsPerSecond)
    }

    /// The metric of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == name)
    }
}

/// Which series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    /// The model.
    pub model: String,
    /// What it measures.
    pub metric: Metric,
    /// The version that answered.
    pub version: String,
    /// Prod or shadow.
    pub lane: Lane,
    /// The tenant, `all` for the total.
    pub tenant: String,
    /// The feature; empty for latency, requests and traffic.
    pub feature: String,
}

/// Traffic of one version and lane over the last minute.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficReading {
    /// The model.
    pub model: Arc<str>,
    /// The version.
    pub version: Arc<str>,
    /// Prod or shadow.
    pub lane: Lane,
    /// Requests per second.
    pub per_second: f64,
    /// Share that ended in an error of the server or without an answer, 0 to 1.
    pub error_rate: f64,
}

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPoint {
    /// Which series.
    pub series: Series,
    /// The value; one that is not finite is not written.
    pub value: f64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryWrite {
    /// Points written.
    pub written: u64,
    /// Points dropped because there are too many series.
    pub dropped: u64,
}

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryQuery {
    /// The model.
    pub model: String,
    /// The metric.
    pub metric: Metric,
    /// The feature; empty for latency and requests.
    pub feature: String,
    /// The tenant, `all` for the total.
    pub tenant: String,
    /// Prod or shadow.
    pub lane: Lane,
    /// One version, or the worst over versions (for requests: their sum).
    pub version: Option<String>,
    /// From here, unix milliseconds, inclusive.
    pub from_ms: i64,
    /// To here, inclusive.
    pub to_ms: i64,
    /// Distance of the points, milliseconds; rounded up to a multiple of 15 seconds, and made longer where there would be
    /// more than 2 000 of them.
    pub step_ms: i64,
}

/// Ids of the series there are.
#[derive(Debug, Default)]
pub(super) struct SeriesIndex {
    ids: HashMap<Series, i64>,
}

impl SeriesIndex {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut ids = HashMap::new();
        let mut statement =
            conn.prepare("SELECT id, model, metric, version, lane, tenant, feature FROM series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(metric) = Metric::parse(&row.get::<_, String>(2)?) else { continue };
            let lane =
                if row.get::<_, String>(4)? == Lane::Shadow.as_str() { Lane::Shadow } else { Lane::Prod };
            let series = Series {
                model: row.get(1)?,
                metric,
                version: row.get(3)?,
                lane,
                tenant: row.get(5)?,
                feature: row.get(6)?,
            };
            ids.insert(series, row.get(0)?);
        }
        Ok(Self { ids })
    }
}

/// The points of one set of readings, the totals over tenants first.
fn points(readings: &Readings, latency: &[LatencyReading], traffic: &[TrafficReading]) -> Vec<HistoryPoint> {
    let mut out = Vec::new();
    let mut push = |metric, model: &str, version: &str, lane, value| {
        let series = Series {
            model: model.to_owned(),
            metric,
            version: version.to_owned(),
            lane,
            tenant: TENANT_ALL.to_owned(),
            feature: String::new(),
        };
        out.push(HistoryPoint { series, value });
    };
    for reading in latency {
        if let Some(value) = reading.p95_ms {
            push(Metric::P95Ms, &reading.model, &reading.version, reading.lane, value);
        }
    }
    for one in traffic {
        push(Metric::RequestsPerSecond, &one.model, &one.version, one.lane, one.per_second);
        push(Metric::ErrorRate, &one.model, &one.version, one.lane, one.error_rate);
    }
    for totals in [true, false] {
        for model in &readings.models {
            let windows = model.windows.iter().filter(|window| (&*window.tenant == TENANT_ALL) == totals);
            for window in windows {
                push_window(&model.model, window, &mut out);
            }
        }
    }
    out
}

fn push_window(model: &str, window: &monitor::WindowReadings, out: &mut Vec<HistoryPoint>) {
    let mut push = |metric, feature: &str, value| {
        let series = Series {
            model: model.to_owned(),
            metric,
            version: window.version.to_string(),
            lane: window.lane,
            tenant: window.tenant.to_string(),
            feature: feature.to_owned(),
        };
        out.push(HistoryPoint { series, value });
    };
    push(Metric::Requests, "", window.requests as f64);
    for reading in window.features.iter().filter(|one| one.reference == ReferenceKind::Baseline) {
        push(Metric::Psi, &reading.feature, reading.psi);
        push(Metric::JsDivergence, &reading.feature, reading.js_divergence);
    }
}

impl Store {
    /// Writes the readings into the history. To be called every few seconds: of several calls within 15 seconds the last
    /// one counts.
    ///
    /// # Errors
    /// When the database refuses; nothing is written then, and the caller goes on.
    pub fn record_readings(
        &mut self,
        readings: &Readings,
        latency: &[LatencyReading],
        traffic: &[TrafficReading],
    ) -> Result<HistoryWrite, StoreError> {
        self.write_history(readings.at_ms, &points(readings, latency, traffic))
    }

    /// Writes one batch of points, all at `at_ms` (rounded down to 15 seconds).
    ///
    /// # Errors
    /// When the database refuses; nothing is written then, and the caller goes on.
    pub fn write_history(&mut self, at_ms: i64, points: &[HistoryPoint]) -> Result<HistoryWrite, StoreError> {
        let at_ms = at_ms.div_euclid(RAW_STEP_MS).saturating_mul(RAW_STEP_MS);
        // Ids are known to the index only when the transaction has gone through.
        let mut ids = std::mem::take(&mut self.series.ids);
        let result = self.write("write history", |tx| write_points(tx, &mut ids, at_ms, points));
        match result {
            Ok(done) => {
                self.series.ids = ids;
                Ok(done)
            }
            Err(error) => {
                self.series = SeriesIndex::load(&self.conn).unwrap_or_default();
                Err(error)
            }
        }
    }

    /// Says how long series are kept, milliseconds; 30 days without it.
    pub fn set_keep_history(&mut self, keep_ms: i64) {
        self.keep_history_ms = keep_ms.max(0);
    }

    /// Thins out and deletes what is too old, a few series a call: to be called every few seconds. The answer is whether
    /// a round over all series is complete.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn prune_history(&mut self, now_ms: i64) -> Result<bool, StoreError> {
        let (cursor, keep_ms) = (self.prune_cursor, self.keep_history_ms);
        let (last, gone) = self.write("thin out history", |tx| prune(tx, cursor, now_ms, keep_ms))?;
        self.prune_cursor = last.unwrap_or(0);
        if !gone.is_empty() {
            self.series.ids.retain(|_, id| !gone.contains(id));
        }
        Ok(last.is_none())
    }

    /// Points of a series: time (unix milliseconds, a multiple of the step) and mean, ascending; at most 2 000.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<(i64, f64)>, StoreError> {
        self.read("read history", |conn| read(conn, query))
    }
}

/// Reads the history beside the writer.
#[derive(Debug)]
pub struct HistoryReader {
    conn: Connection,
}

impl HistoryReader {
    pub(super) const fn over(conn: Connection) -> Self {
        Self { conn }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.conn
    }

    /// As [`Store::history`].
    ///
    /// # Errors
    /// When the database refuses.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<(i64, f64)>, StoreError> {
        read(&self.conn, query).map_err(database("read history"))
    }
}

fn write_points(
    tx: &Transaction<'_>,
    ids: &mut HashMap<Series, i64>,
    at_ms: i64,
    points: &[HistoryPoint],
) -> rusqlite::Result<HistoryWrite> {
    let mut done = HistoryWrite::default();
    let mut insert = tx.prepare("INSERT OR REPLACE INTO history(series_id, at, value) VALUES(?1, ?2, ?3)")?;
    for point in points.iter().filter(|point| point.value.is_finite()) {
        let id = match ids.get(&point.series) {
            Some(id) => *id,
            None if ids.len() >= SERIES_MAX => {
                done.dropped += 1;
                continue;
            }
            None => {
                let id = new_series(tx, &point.series)?;
                ids.insert(point.series.clone(), id);
                id
            }
        };
        insert.execute(params![id, at_ms, point.value])?;
        done.written += 1;
    }
    Ok(done)
}

fn new_series(tx: &Transaction<'_>, series: &Series) -> rusqlite::Result<i64> {
    tx.execute(
        "INSERT INTO series(model, metric, version, lane, tenant, feature) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            series.model,
            series.metric.as_str(),
            series.version,
            series.lane.as_str(),
            series.tenant,
            series.feature
        ],
    )?;
    Ok(tx.last_insert_rowid())
}

/// Thins out the next few series after `cursor`. The answer: the last one looked at, or `None` at the end of the round,
/// and the series that are gone.
fn prune(
    tx: &Transaction<'_>,
    cursor: i64,
    now_ms: i64,
    keep_ms: i64,
) -> rusqlite::Result<(Option<i64>, Vec<i64>)> {
    let ids: Vec<i64> = tx
        .prepare("SELECT id FROM series WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map([cursor, PRUNE_SERIES], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // A whole mean at a time, so that none is made from half of its points.
    let raw_end = now_ms.saturating_sub(RAW_KEEP_MS.min(keep_ms)).div_euclid(MEAN_STEP_MS) * MEAN_STEP_MS;
    let mean_end = now_ms.saturating_sub(keep_ms);
    let mut means = tx.prepare(
        "INSERT OR REPLACE INTO history_5m(series_id, at, value, n)
         SELECT series_id, at / ?3 * ?3, avg(value), count(*) FROM history
         WHERE series_id = ?1 AND at < ?2 GROUP BY at / ?3",
    )?;
    let mut delete_raw = tx.prepare("DELETE FROM history WHERE series_id = ?1 AND at < ?2")?;
    let mut delete_means = tx.prepare("DELETE FROM history_5m WHERE series_id = ?1 AND at < ?2")?;
    let mut delete_series = tx.prepare(
        "DELETE FROM series WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM history WHERE series_id = ?1)
         AND NOT EXISTS (SELECT 1 FROM history_5m WHERE series_id = ?1)",
    )?;
    let mut gone = Vec::new();
    for id in &ids {
        means.execute(params![id, raw_end, MEAN_STEP_MS])?;
        delete_raw.execute(params![id, raw_end])?;
        delete_means.execute(params![id, mean_end])?;
        if delete_series.execute([id])? > 0 {
            gone.push(*id);
        }
    }
    let complete = i64::try_from(ids.len()).unwrap_or(i64::MAX) < PRUNE_SERIES;
    Ok((ids.last().copied().filter(|_| !complete), gone))
}

fn read(conn: &Connection, query: &HistoryQuery) -> rusqlite::Result<Vec<(i64, f64)>> {
    let span = query.to_ms.saturating_sub(query.from_ms);
    if span < 0 {
        return Ok(Vec::new());
    }
    // A point more than the span divided by the step can come from where the steps are cut.
    let least = query.step_ms.max(span / (POINTS_MAX - 1) + 1).max(RAW_STEP_MS);
    let step = least.saturating_add(RAW_STEP_MS - 1) / RAW_STEP_MS * RAW_STEP_MS;
    let combine = if query.metric.adds_up() { "sum" } else { "max" };
    let sql = format!(
        "WITH matching AS (
             SELECT id FROM series WHERE model = ?1 AND metric = ?2 AND feature = ?3 AND tenant = ?4 AND lane = ?5
                 AND (?6 IS NULL OR version = ?6)),
         points AS (
             SELECT series_id, at, value FROM history WHERE series_id IN matching AND at BETWEEN ?7 AND ?8
             UNION ALL
             SELECT series_id, at, value FROM history_5m WHERE series_id IN matching AND at BETWEEN ?7 AND ?8),
         means AS (SELECT at / ?9 * ?9 AS t, avg(value) AS mean FROM points GROUP BY series_id, t)
         SELECT t, {combine}(mean) FROM means GROUP BY t ORDER BY t LIMIT {POINTS_MAX}"
    );
    conn.prepare(&sql)?
        .query_map(
            params![
                query.model,
                query.metric.as_str(),
                query.feature,
                query.tenant,
                query.lane.as_str(),
                query.version,
                query.from_ms,
                query.to_ms,
                step,
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drift;

    fn series(version: &str, metric: Metric, feature: &str) -> Series {
        Series {
            model: "fraud".to_owned(),
            metric,
            version: version.to_owned(),
            lane: Lane::Prod,
            tenant: "all".to_owned(),
            feature: feature.to_owned(),
        }
    }

    fn p95() -> LatencyReading {
        LatencyReading {
            model: "fraud".into(),
            version: "v2".into(),
            lane: Lane::Prod,
            requests: 100,
            p50_ms: None,
            p95_ms: Some(120.0),
            p99_ms: None,
        }
    }

    fn traffic() -> TrafficReading {
        TrafficReading {
            model: Arc::from("fraud"),
            version: Arc::from("v2"),
            lane: Lane::Prod,
            per_second: 20.0,
            error_rate: 0.25,
        }
    }

    fn psi_points(version: &str, value: f64) -> Vec<HistoryPoint> {
        vec![HistoryPoint { series: series(version, Metric::Psi, "amount"), value }]
    }

    fn query(from_ms: i64, to_ms: i64, step_ms: i64) -> HistoryQuery {
        HistoryQuery {
            model: "fraud".to_owned(),
            metric: Metric::Psi,
            feature: "amount".to_owned(),
            tenant: "all".to_owned(),
            lane: Lane::Prod,
            version: None,
            from_ms,
            to_ms,
            step_ms,
        }
    }

    #[test]
    fn readings_come_back_as_series() {
        let mut store = Store::in_memory().expect("opens");
        let done = store.record_readings(&drift(30_000, "v2", 0.4), &[p95()], &[traffic()]).expect("writes");
        assert_eq!(done, HistoryWrite { written: 6, dropped: 0 });
        assert_eq!(store.history(&query(0, 60_000, 15_000)).expect("reads"), [(30_000, 0.4)]);
        let p95 = HistoryQuery { metric: Metric::P95Ms, feature: String::new(), ..query(0, 60_000, 1) };
        assert_eq!(store.history(&p95).expect("reads"), [(30_000, 120.0)]);
        let errors = HistoryQuery { metric: Metric::ErrorRate, ..p95 };
        assert_eq!(store.history(&errors).expect("reads"), [(30_000, 0.25)]);
        let other = HistoryQuery { version: Some("v1".to_owned()), ..query(0, 60_000, 1) };
        assert_eq!(store.history(&other).expect("reads"), []);
    }

    #[test]
    fn steps_are_means_and_versions_combine_to_the_worst() {
        let mut store = Store::in_memory().expect("opens");
        for (at, old, new) in [(0, 0.1, 0.2), (15_000, 0.3, 0.2), (60_000, 0.5, 0.9)] {
            store.write_history(at, &psi_points("v1", old)).expect("writes");
            store.write_history(at, &psi_points("v2", new)).expect("writes");
        }
        let got = store.history(&query(0, 90_000, 60_000)).expect("reads");
        assert_eq!(got, [(0, 0.2), (60_000, 0.9)]);
    }

    #[test]
    fn an_answer_has_at_most_2000_points() {
        let mut store = Store::in_memory().expect("opens");
        store
            .write("fill", |tx| {
                let id = new_series(tx, &series("v1", Metric::Psi, "amount"))?;
                let mut insert = tx.prepare("INSERT INTO history VALUES(?1, ?2, 0.5)")?;
                (0..11_520).try_for_each(|idx| insert.execute([id, idx * RAW_STEP_MS]).map(|_| ()))
            })
            .expect("fills");
        let got = store.history(&query(0, RAW_KEEP_MS, 1)).expect("reads");
        assert!(got.len() <= 2_000 && got.len() > 1_800, "{}", got.len());
        assert_eq!(got[0].0, 0);
        assert!(got.last().is_some_and(|last| last.0 > RAW_KEEP_MS - 200_000), "{:?}", got.last());
        assert_eq!(store.history(&query(10, 0, 1)).expect("reads"), []);
    }

    #[test]
    fn old_points_become_means_and_go_in_the_end() {
        let mut store = Store::in_memory().expect("opens");
        for idx in 0..40 {
            store.write_history(idx * RAW_STEP_MS, &psi_points("v1", idx as f64)).expect("writes");
        }
        assert!(store.prune_history(RAW_KEEP_MS + MEAN_STEP_MS).expect("prunes"));
        let got = store.history(&query(0, 600_000, 15_000)).expect("reads");
        assert_eq!(got.len(), 21, "one mean and 20 points");
        assert_eq!(got[0], (0, 9.5));
        assert_eq!(got[1], (300_000, 20.0));
        assert!(store.prune_history(MEAN_KEEP_MS + 700_000).expect("prunes"));
        assert_eq!(store.history(&query(0, 600_000, 15_000)).expect("reads"), []);
        assert!(store.prune_history(MEAN_KEEP_MS + 700_000).expect("prunes"));
        assert!(store.series.ids.is_empty(), "a series without points makes room for another");
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let mut store = Store::in_memory().expect("opens");
        let batch: Vec<HistoryPoint> = (0..SERIES_MAX + 5)
            .map(|idx| HistoryPoint { series: series("v1", Metric::Psi, &format!("f{idx}")), value: 0.0 })
            .collect();
        assert_eq!(
            store.write_history(0, &batch).expect("writes"),
            HistoryWrite { written: SERIES_MAX as u64, dropped: 5 }
        );
        assert_eq!(store.write_history(15_000, &batch[..3]).expect("writes").written, 3);
    }

    #[test]
    fn what_is_not_finite_is_not_written() {
        let mut store = Store::in_memory().expect("opens");
        store.write_history(0, &psi_points("v1", f64::INFINITY)).expect("writes");
        assert_eq!(store.history(&query(0, 1, 1)).expect("reads"), []);
    }

    #[test]
    fn a_reader_reads_beside_the_writer() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut store = Store::open(folder.path()).expect("opens");
        let reader = store.reader().expect("opens").expect("there is a file");
        store.write_history(0, &psi_points("v1", 0.5)).expect("writes");
        assert_eq!(reader.history(&query(0, 1, 1)).expect("reads"), [(0, 0.5)]);
        drop(store);
        let store = Store::open(folder.path()).expect("opens again");
        assert_eq!(store.series.ids.len(), 1);
    }
}
