//! The audit trail: who did what, when and why.

use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::json;

/// Events that are kept; the oldest go first.
pub(crate) const EVENTS_MAX: i64 = 100_000;

/// Characters of an actor and of a reason that are kept.
const TEXT_MAX: usize = 1_000;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Traffic to the stable version.
    Rollback,
    /// Traffic to another version.
    Promote,
    /// Automatic rollback on or off.
    Toggle,
    /// Share of copies.
    Shadow,
    /// The configuration was read again.
    Reload,
    /// A retraining was started.
    Retrain,
    /// An alert began or ceased to fire.
    Alert,
    /// An alert did not roll back.
    Blocked,
    /// A drill began or ended.
    Drill,
    /// The program started.
    Start,
    /// A person holds a model, or lets it go.
    Hold,
    /// A rollback waits for approval, or what came of it.
    Approval,
    /// A person took note of what the detectors have found.
    Detector,
}

impl EventKind {
    const ALL: [Self; 13] = [
        Self::Rollback,
        Self::Promote,
        Self::Toggle,
        Self::Shadow,
        Self::Reload,
        Self::Retrain,
        Self::Alert,
        Self::Blocked,
        Self::Drill,
        Self::Start,
        Self::Hold,
        Self::Approval,
        Self::Detector,
    ];

    /// As it is stored and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Toggle => "toggle",
            Self::Shadow => "shadow",
            Self::Reload => "reload",
            Self::Retrain => "retrain",
            Self::Alert => "alert",
            Self::Blocked => "blocked",
            Self::Drill => "drill",
            Self::Start => "start",
            Self::Hold => "hold",
            Self::Approval => "approval",
            Self::Detector => "detector",
        }
    }
}

/// One entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Ascending.
    pub id: i64,
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// What it is about.
    pub kind: EventKind,
    /// The model, if it is about one.
    pub model: Option<String>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The particulars. For a rollback or promote also `decision_id`, `state`, `updated_at_ms`, `applied_at_ms` and
    /// `detail` of the decision as it is now.
    pub data: serde_json::Value,
}

/// An event to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) at_ms: i64,
    pub(crate) kind: EventKind,
    pub(crate) model: Option<&'a str>,
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) data: serde_json::Value,
    pub(crate) decision_id: Option<i64>,
}

pub(crate) fn record(tx: &Transaction<'_>, event: &NewEvent<'_>) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO events(at, kind, model, actor, reason, data, decision_id) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            event.at_ms,
            event.kind.as_str(),
            event.model,
            clip(event.actor),
            clip(event.reason),
            event.data.to_string(),
            event.decision_id,
        ],
    )?;
    tx.execute("DELETE FROM events WHERE id <= ?1", [tx.last_insert_rowid() - EVENTS_MAX])?;
    Ok(())
}

/// At most `limit` events before `before_id`, newest first.
pub(crate) fn list(conn: &Connection, limit: usize, before_id: Option<i64>) -> rusqlite::Result<Vec<Event>> {
    conn.prepare(
        "SELECT e.id, e.at, e.kind, e.model, e.actor, e.reason, e.data, e.decision_id, d.state, d.updated_at,
             d.applied_at, d.detail
         FROM events e LEFT JOIN decisions d ON d.id = e.decision_id
         WHERE e.id < ?1 ORDER BY e.id DESC LIMIT ?2",
    )?
    .query_map(params![before_id.unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)], event)?
    .collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get(2)?;
    let kind = EventKind::ALL
        .into_iter()
        .find(|one| one.as_str() == kind)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(2, kind, rusqlite::types::Type::Text))?;
    let mut data = json(&row.get::<_, String>(6)?);
    if let (Some(id), Some(fields)) = (row.get::<_, Option<i64>>(7)?, data.as_object_mut()) {
        fields.insert("decision_id".to_owned(), id.into());
        fields.insert("state".to_owned(), row.get::<_, Option<String>>(8)?.into());
        fields.insert("updated_at_ms".to_owned(), row.get::<_, Option<i64>>(9)?.into());
        fields.insert("applied_at_ms".to_owned(), row.get::<_, Option<i64>>(10)?.into());
        fields.insert("detail".to_owned(), row.get::<_, Option<String>>(11)?.into());
    }
    Ok(Event {
        id: row.get(0)?,
        at_ms: row.get(1)?,
        kind,
        model: row.get(3)?,
        actor: row.get(4)?,
        reason: row.get(5)?,
        data,
    })
}

/// The beginning of a text that came from outside.
pub(crate) fn clip(text: &str) -> &str {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
