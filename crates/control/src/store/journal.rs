//! Decisions: written before anything acts, and again at every step after.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use rusqlite::{Connection, Row, Transaction, params};

use super::{JOURNAL_FILE, Store, json};
use crate::actuator::Change;
use crate::decision::{Decision, DecisionKind, DecisionState, Trigger};
use crate::error::StoreError;

const COLUMNS: &str = "id, at, model, kind, \"trigger\", \"from\", \"to\", restores_configuration, actor, reason, readings, \
                       state, updated_at, applied_at, detail, supersedes";

/// Lines of the spare journal that are read back at most.
const JOURNAL_LINES_MAX: usize = 10_000;

/// Writes a decision as it is now. `steady_ms`: when it was made, on the steady clock.
pub(crate) fn put(tx: &Transaction<'_>, decision: &Decision, steady_ms: u64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO decisions(id, at, model, kind, \"trigger\", \"from\", \"to\", restores_configuration, actor, reason,
             readings, state, updated_at, applied_at, detail, supersedes, steady_at)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
         ON CONFLICT(id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at,
             applied_at = excluded.applied_at, detail = excluded.detail",
        params![
            decision.id,
            decision.at_ms,
            &*decision.model,
            decision.kind.as_str(),
            decision.trigger.as_str(),
            &*decision.change.from,
            &*decision.change.to,
            decision.change.restores_configuration,
            decision.actor,
            decision.reason,
            decision.evidence.to_string(),
            decision.state.as_str(),
            decision.updated_at_ms,
            decision.applied_at_ms,
            decision.detail,
            decision.supersedes,
            i64::try_from(steady_ms).unwrap_or(i64::MAX),
        ],
    )?;
    Ok(())
}

/// The highest id so far, 0 if there is none.
pub(crate) fn last_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(id), 0) FROM decisions", [], |row| row.get(0))
}

/// Decisions that are not done, oldest first.
pub(crate) fn open(conn: &Connection) -> rusqlite::Result<Vec<Decision>> {
    let sql = format!("SELECT {COLUMNS} FROM decisions WHERE state IN ('intended', 'applied') ORDER BY id");
    conn.prepare(&sql)?.query_map([], decision)?.collect()
}

/// The newest decision about a model.
pub(crate) fn last_of(conn: &Connection, model: &str) -> rusqlite::Result<Option<Decision>> {
    let sql = format!("SELECT {COLUMNS} FROM decisions WHERE model = ?1 ORDER BY id DESC LIMIT 1");
    conn.prepare(&sql)?.query_map([model], decision)?.next().transpose()
}

/// When a model was rolled back because of an alert, on the steady clock, since `since_ms`, oldest first.
pub(crate) fn automatic_since(conn: &Connection, model: &str, since_ms: u64) -> rusqlite::Result<Vec<u64>> {
    conn.prepare(
        "SELECT steady_at FROM decisions
         WHERE model = ?1 AND kind = 'rollback' AND \"trigger\" = 'alert' AND steady_at >= ?2
         ORDER BY steady_at",
    )?
    .query_map(params![model, i64::try_from(since_ms).unwrap_or(i64::MAX)], |row| row.get::<_, i64>(0))?
    .map(|at| at.map(i64::unsigned_abs))
    .collect()
}

/// How many rollbacks were carried out, per model and trigger.
pub(crate) fn rollbacks(conn: &Connection) -> rusqlite::Result<Vec<(String, Trigger, u64)>> {
    let counts: Vec<(String, String, i64)> = conn
        .prepare(
            "SELECT model, \"trigger\", count(*) FROM decisions
             WHERE kind = 'rollback' AND applied_at IS NOT NULL GROUP BY model, \"trigger\"",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let known = |(model, trigger, n): (String, String, i64)| {
        Some((model, Trigger::parse(&trigger)?, n.unsigned_abs()))
    };
    Ok(counts.into_iter().filter_map(known).collect())
}

fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    let id = row.get(0)?;
    let model: Arc<str> = row.get::<_, String>(2)?.into();
    let text = |idx: usize| row.get::<_, String>(idx);
    let unknown = |idx| rusqlite::Error::InvalidColumnType(idx, String::new(), rusqlite::types::Type::Text);
    Ok(Decision {
        id,
        at_ms: row.get(1)?,
        kind: DecisionKind::parse(&text(3)?).ok_or_else(|| unknown(3))?,
        trigger: Trigger::parse(&text(4)?).ok_or_else(|| unknown(4))?,
        change: Change {
            kind: DecisionKind::parse(&text(3)?).ok_or_else(|| unknown(3))?,
            decision_id: id,
            model: Arc::clone(&model),
            from: text(5)?.into(),
            to: text(6)?.into(),
            restores_configuration: row.get(7)?,
        },
        model,
        actor: text(8)?,
        reason: text(9)?,
        evidence: json(&text(10)?),
        state: DecisionState::parse(&text(11)?).ok_or_else(|| unknown(11))?,
        updated_at_ms: row.get(12)?,
        applied_at_ms: row.get(13)?,
        detail: row.get(14)?,
        supersedes: row.get(15)?,
    })
}

impl Store {
    /// Journals a decision that the database would not take in a file beside it. It is taken in at the next start.
    pub(crate) fn spare_journal(&self, decision: &Decision) -> Result<(), StoreError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(JOURNAL_FILE);
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            let mut line = serde_json::to_vec(decision)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_all()
        };
        write().map_err(|source| StoreError::Folder {
            path: path.clone(),
            what: "the decision could not be written beside the database",
            source,
        })
    }

    /// Takes in what [`Self::spare_journal`] wrote. A torn last line is left out.
    pub(super) fn take_journal_file(&mut self) -> Result<(), StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let path = folder.join(JOURNAL_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                return Err(StoreError::Folder { path, what: "the spare journal could not be read", source });
            }
        };
        let decisions: Vec<Decision> =
            text.lines().take(JOURNAL_LINES_MAX).filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.write("take in the spare journal", |tx| {
            decisions.iter().try_for_each(|decision| put(tx, decision, 0))
        })?;
        std::fs::remove_file(&path).map_err(|source| StoreError::Folder {
            path,
            what: "the spare journal could not be removed",
            source,
        })
    }
}
