//! The tables, and how an older file becomes a newer one.

use std::path::Path;

use rusqlite::Connection;

use super::database;
use crate::error::StoreError;

/// One entry per schema version, in order; an entry is never changed once it is out.
const MIGRATIONS: [&str; 2] = [V1, V2];

const V1: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE decisions(
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    steady_at INTEGER NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    \"trigger\" TEXT NOT NULL,
    \"from\" TEXT NOT NULL,
    \"to\" TEXT NOT NULL,
    restores_configuration INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    readings TEXT NOT NULL,
    state TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    applied_at INTEGER,
    detail TEXT,
    supersedes INTEGER
);
CREATE INDEX decisions_model ON decisions(model, id);

CREATE TABLE events(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    model TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    data TEXT NOT NULL,
    decision_id INTEGER
);

CREATE TABLE model_state(
    model TEXT PRIMARY KEY,
    configured_active TEXT NOT NULL,
    active TEXT NOT NULL,
    configured_auto_rollback INTEGER NOT NULL,
    auto_enabled INTEGER NOT NULL,
    configured_shadow_percent REAL NOT NULL,
    shadow_percent REAL,
    changed_at INTEGER,
    changed_steady_at INTEGER,
    armed_steady_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE alert_state(key TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE handled(
    model TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY(model, fingerprint, since)
) WITHOUT ROWID;

CREATE TABLE webhook(
    fingerprint TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    group_key TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    decision_id INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY(fingerprint, starts_at, group_key)
) WITHOUT ROWID;
CREATE INDEX webhook_at ON webhook(at);

CREATE TABLE series(
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    metric TEXT NOT NULL,
    version TEXT NOT NULL,
    lane TEXT NOT NULL,
    tenant TEXT NOT NULL,
    feature TEXT NOT NULL,
    UNIQUE(model, metric, feature, tenant, lane, version)
);
CREATE TABLE history(
    series_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY(series_id, at)
) WITHOUT ROWID;
CREATE TABLE history_5m(
    series_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    value REAL NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY(series_id, at)
) WITHOUT ROWID;
";

const V2: &str = "
ALTER TABLE model_state ADD COLUMN hold TEXT;

CREATE TABLE proposals(
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX proposals_model ON proposals(model, id);

CREATE TABLE retrainings(
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    data TEXT NOT NULL
);

CREATE TABLE training_state(
    trainer TEXT NOT NULL,
    model TEXT NOT NULL,
    answered INTEGER NOT NULL,
    started_steady_at INTEGER,
    told INTEGER NOT NULL,
    PRIMARY KEY(trainer, model)
) WITHOUT ROWID;
";

/// Brings the database to the newest schema, one version at a time.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(database("say its schema version"))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known });
    }
    for (version, sql) in (1..=known).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let run = |conn: &mut Connection| {
            let transaction = conn.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        run(conn).map_err(database("take the new schema"))?;
    }
    Ok(())
}
