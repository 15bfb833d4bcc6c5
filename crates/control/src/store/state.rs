//! What must survive a restart besides the journal: clock, models, alerts, answered episodes, notifications.

use rusqlite::{Connection, Row, Transaction, params};

use crate::book::{Instance, Key};
use crate::controller::retrain::{RetrainState, Retraining, TrainBook, TrainEntry};
use crate::controller::{Hold, Proposal};
use crate::decide::Episode;

/// Notifications remembered; the oldest go first.
const WEBHOOK_MAX: i64 = 10_000;

/// One model, as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelRow {
    pub(crate) model: String,
    /// What the configuration wanted when `active` was stored.
    pub(crate) configured_active: String,
    pub(crate) active: String,
    pub(crate) configured_auto_rollback: bool,
    pub(crate) auto_enabled: bool,
    /// What the configuration wanted when `shadow_percent` was stored.
    pub(crate) configured_shadow_percent: f64,
    pub(crate) shadow_percent: Option<f64>,
    pub(crate) changed_at_ms: Option<i64>,
    pub(crate) changed_steady_ms: Option<u64>,
    /// When automatic rollback was last switched on: earlier rollbacks do not count towards the limit.
    pub(crate) armed_steady_ms: u64,
    /// Who holds it where it is.
    pub(crate) hold: Option<Hold>,
}

/// How far the answer to a notified alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookState {
    /// Nothing more will ever come of it.
    Done,
    /// It was blocked for now; a repeat is judged again.
    Open,
}

impl WebhookState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Open => "open",
        }
    }
}

/// One notified alert, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookRow {
    pub(crate) fingerprint: String,
    pub(crate) starts_at_ms: i64,
    pub(crate) group_key: String,
    pub(crate) model: String,
    pub(crate) state: WebhookState,
    pub(crate) decision_id: Option<i64>,
}

pub(crate) fn steady_ms(conn: &Connection) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare("SELECT value FROM meta WHERE key = 'steady_ms'")?;
    let value = statement.query_map([], |row| row.get::<_, i64>(0))?.next().transpose()?;
    Ok(value.map_or(0, |ms| u64::try_from(ms).unwrap_or(0)))
}

pub(crate) fn put_steady_ms(tx: &Transaction<'_>, steady_ms: u64) -> rusqlite::Result<()> {
    let ms = i64::try_from(steady_ms).unwrap_or(i64::MAX);
    tx.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('steady_ms', ?1)", [ms])?;
    Ok(())
}

pub(crate) fn models(conn: &Connection) -> rusqlite::Result<Vec<ModelRow>> {
    let row = |row: &Row<'_>| {
        Ok(ModelRow {
            model: row.get(0)?,
            configured_active: row.get(1)?,
            active: row.get(2)?,
            auto_enabled: row.get(3)?,
            configured_auto_rollback: row.get(9)?,
            configured_shadow_percent: row.get(4)?,
            shadow_percent: row.get(5)?,
            changed_at_ms: row.get(6)?,
            changed_steady_ms: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
            armed_steady_ms: row.get::<_, i64>(8)?.unsigned_abs(),
            // One that can't be read is none: a person will see that the model is not held.
            hold: row.get::<_, Option<String>>(10)?.and_then(|text| serde_json::from_str(&text).ok()),
        })
    };
    conn.prepare(
        "SELECT model, configured_active, active, auto_enabled, configured_shadow_percent, shadow_percent, changed_at,
             changed_steady_at, armed_steady_at, configured_auto_rollback, hold FROM model_state",
    )?
    .query_map([], row)?
    .collect()
}

pub(crate) fn put_model(tx: &Transaction<'_>, row: &ModelRow) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO model_state(model, configured_active, active, auto_enabled, configured_shadow_percent,
             shadow_percent, changed_at, changed_steady_at, armed_steady_at, configured_auto_rollback, hold)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            row.model,
            row.configured_active,
            row.active,
            row.auto_enabled,
            row.configured_shadow_percent,
            row.shadow_percent,
            row.changed_at_ms,
            row.changed_steady_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            i64::try_from(row.armed_steady_ms).unwrap_or(i64::MAX),
            row.configured_auto_rollback,
            row.hold.as_ref().map(text).transpose()?,
        ],
    )?;
    Ok(())
}

/// Stored alerts. A row that can't be read is left out: its alert begins again.
pub(crate) fn alerts(conn: &Connection) -> rusqlite::Result<Vec<(Key, Instance)>> {
    let texts: Vec<(String, String)> = conn
        .prepare("SELECT key, data FROM alert_state")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let parse = |(key, data): (String, String)| {
        Some((serde_json::from_str(&key).ok()?, serde_json::from_str(&data).ok()?))
    };
    Ok(texts.into_iter().filter_map(parse).collect())
}

/// Replaces the stored alerts by these.
pub(crate) fn put_alerts<'a>(
    tx: &Transaction<'_>,
    alerts: impl Iterator<Item = (&'a Key, &'a Instance)>,
) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM alert_state", [])?;
    let mut insert = tx.prepare("INSERT INTO alert_state(key, data) VALUES(?1, ?2)")?;
    for (key, instance) in alerts {
        insert.execute([text(key)?, text(instance)?])?;
    }
    Ok(())
}

pub(crate) fn handled(conn: &Connection) -> rusqlite::Result<Vec<(String, Episode)>> {
    conn.prepare("SELECT model, fingerprint, since FROM handled")?
        .query_map([], |row| Ok((row.get(0)?, Episode { fingerprint: row.get(1)?, since_ms: row.get(2)? })))?
        .collect()
}

pub(crate) fn put_handled(tx: &Transaction<'_>, model: &str, episodes: &[Episode]) -> rusqlite::Result<()> {
    let mut insert =
        tx.prepare("INSERT OR REPLACE INTO handled(model, fingerprint, since) VALUES(?1, ?2, ?3)")?;
    for episode in episodes {
        insert.execute(params![model, episode.fingerprint, episode.since_ms])?;
    }
    Ok(())
}

/// Forgets an episode that is over.
pub(crate) fn drop_handled(tx: &Transaction<'_>, model: &str, fingerprint: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM handled WHERE model = ?1 AND fingerprint = ?2", [model, fingerprint])?;
    Ok(())
}

/// What is known of notified alerts with this fingerprint: the newest `starts_at` first.
pub(crate) fn webhook_newest(conn: &Connection, fingerprint: &str) -> rusqlite::Result<Option<WebhookRow>> {
    let row = |row: &Row<'_>| {
        let state: String = row.get(4)?;
        Ok(WebhookRow {
            fingerprint: row.get(0)?,
            starts_at_ms: row.get(1)?,
            group_key: row.get(2)?,
            model: row.get(3)?,
            state: if state == "done" { WebhookState::Done } else { WebhookState::Open },
            decision_id: row.get(5)?,
        })
    };
    conn.prepare(
        "SELECT fingerprint, starts_at, group_key, model, state, decision_id FROM webhook
         WHERE fingerprint = ?1 ORDER BY starts_at DESC, state = 'done' DESC LIMIT 1",
    )?
    .query_map([fingerprint], row)?
    .next()
    .transpose()
}

pub(crate) fn put_webhook(tx: &Transaction<'_>, row: &WebhookRow, now_ms: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO webhook(fingerprint, starts_at, group_key, model, state, decision_id, at)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.fingerprint,
            row.starts_at_ms,
            row.group_key,
            row.model,
            row.state.as_str(),
            row.decision_id,
            now_ms,
        ],
    )?;
    tx.execute(
        "DELETE FROM webhook WHERE at < (SELECT at FROM webhook ORDER BY at DESC LIMIT 1 OFFSET ?1)",
        [WEBHOOK_MAX],
    )?;
    Ok(())
}

/// A rollback answers every notified alert about its model that was still waiting.
pub(crate) fn answer_webhooks(tx: &Transaction<'_>, model: &str, decision_id: i64) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE webhook SET state = 'done', decision_id = ?2 WHERE model = ?1 AND state = 'open'",
        params![model, decision_id],
    )?;
    Ok(())
}

/// A value as JSON.
fn text(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Proposals and trainings that are kept; the oldest go first.
const KEPT_MAX: i64 = 10_000;

/// Proposals about a model that are read back at the start.
const PROPOSALS_READ: i64 = 100;

pub(crate) fn last_proposal(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(id), 0) FROM proposals", [], |row| row.get(0))
}

pub(crate) fn put_proposal(tx: &Transaction<'_>, proposal: &Proposal) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO proposals(id, model, state, data) VALUES(?1, ?2, ?3, ?4)",
        params![proposal.id, &*proposal.model, proposal.state.as_str(), text(proposal)?],
    )?;
    tx.execute("DELETE FROM proposals WHERE id <= ?1", [proposal.id - KEPT_MAX])?;
    Ok(())
}

/// The newest proposals about a model, oldest first. One that can't be read is left out.
pub(crate) fn proposals(conn: &Connection, model: &str) -> rusqlite::Result<Vec<Proposal>> {
    let texts: Vec<String> = conn
        .prepare("SELECT data FROM proposals WHERE model = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![model, PROPOSALS_READ], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(texts.iter().rev().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

pub(crate) fn last_retraining(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(id), 0) FROM retrainings", [], |row| row.get(0))
}

pub(crate) fn put_retraining(tx: &Transaction<'_>, retraining: &Retraining) -> rusqlite::Result<()> {
    let state = match retraining.state {
        RetrainState::Intended => "intended",
        RetrainState::Started => "started",
        RetrainState::Failed => "failed",
    };
    tx.execute(
        "INSERT OR REPLACE INTO retrainings(id, state, data) VALUES(?1, ?2, ?3)",
        params![retraining.id, state, text(retraining)?],
    )?;
    tx.execute("DELETE FROM retrainings WHERE id <= ?1", [retraining.id - KEPT_MAX])?;
    Ok(())
}

/// Trainings whose trainer has not answered, oldest first.
pub(crate) fn open_retrainings(conn: &Connection) -> rusqlite::Result<Vec<Retraining>> {
    let texts: Vec<String> = conn
        .prepare("SELECT data FROM retrainings WHERE state = 'intended' ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

/// The newest trainings first.
pub(crate) fn retrainings(conn: &Connection, limit: usize) -> rusqlite::Result<Vec<Retraining>> {
    let texts: Vec<String> = conn
        .prepare("SELECT data FROM retrainings ORDER BY id DESC LIMIT ?1")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
}

pub(crate) fn put_training(
    tx: &Transaction<'_>,
    trainer: &str,
    model: &str,
    entry: TrainEntry,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO training_state(trainer, model, answered, started_steady_at, told)
         VALUES(?1, ?2, ?3, ?4, ?5)",
        params![
            trainer,
            model,
            entry.answered,
            entry.started_steady_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            entry.told,
        ],
    )?;
    Ok(())
}

pub(crate) fn trainings(conn: &Connection) -> rusqlite::Result<TrainBook> {
    conn.prepare("SELECT trainer, model, answered, started_steady_at, told FROM training_state")?
        .query_map([], |row| {
            let entry = TrainEntry {
                answered: row.get(2)?,
                started_steady_ms: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
                told: row.get(4)?,
            };
            Ok(((row.get::<_, String>(0)?.into(), row.get::<_, String>(1)?.into()), entry))
        })?
        .collect()
}
