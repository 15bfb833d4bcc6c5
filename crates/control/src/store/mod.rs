//! The only durable state: one SQLite file in a locked folder.
//!
//! Everything that moves traffic is in the journal, on disk (`synchronous=FULL`), before it happens. One connection
//! writes; readers of the history may open their own. A folder belongs to one process at a time.

pub(crate) mod audit;
mod grid;
mod history;
pub(crate) mod journal;
mod lock;
mod schema;
pub(crate) mod state;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

pub(crate) use audit::NewEvent;
pub use audit::{Event, EventKind};
pub use grid::{GRID_ROWS_MAX, GRID_STEPS_MAX, Grid, GridBy, GridQuery, GridRow};
pub use history::{
    HistoryPoint, HistoryQuery, HistoryReader, HistoryWrite, Metric, SERIES_MAX, Series, TrafficReading,
};
pub(crate) use state::{ModelRow, WebhookRow, WebhookState};

use crate::error::StoreError;
use lock::FolderLock;

/// Name of the database in the state folder.
pub const DATABASE_FILE: &str = "driftline.db";

/// Decisions that the database would not take, one JSON object a line.
const JOURNAL_FILE: &str = "journal.jsonl";

/// The state folder, open and locked.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    folder: Option<PathBuf>,
    _lock: Option<FolderLock>,
    /// Where the last incremental delete of history stopped.
    prune_cursor: i64,
    keep_history_ms: i64,
    series: history::SeriesIndex,
}

impl Store {
    /// Opens, or begins, the state in `folder`.
    ///
    /// # Errors
    /// When another process holds the folder, when the folder or the database can't be used, when the database was
    /// written by a later version.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder {
            path: folder.to_path_buf(),
            what: "the state folder could not be made",
            source,
        })?;
        let lock = FolderLock::take(folder)?;
        let path = folder.join(DATABASE_FILE);
        let conn = Connection::open(&path).map_err(database("be opened"))?;
        let mut store = Self::over(conn, &path)?;
        store.folder = Some(folder.to_path_buf());
        store._lock = Some(lock);
        store.take_journal_file()?;
        Ok(store)
    }

    /// A state that is gone with the process: for runs without a folder, and tests.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::over(Connection::open_in_memory().map_err(database("be opened"))?, Path::new(":memory:"))
    }

    fn over(mut conn: Connection, path: &Path) -> Result<Self, StoreError> {
        conn.busy_timeout(Duration::from_secs(5)).map_err(database("be set up"))?;
        let set_up = |conn: &Connection| -> rusqlite::Result<()> {
            conn.pragma_update(None, "journal_mode", "WAL")?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
            conn.pragma_update(None, "foreign_keys", true)
        };
        set_up(&conn).map_err(database("be set up"))?;
        schema::migrate(&mut conn, path)?;
        let series = history::SeriesIndex::load(&conn).map_err(database("read its series"))?;
        Ok(Self {
            conn,
            folder: None,
            _lock: None,
            prune_cursor: 0,
            keep_history_ms: history::MEAN_KEEP_MS,
            series,
        })
    }

    /// A second, read-only connection for the history, so that a long query holds up nothing else. `None` for a state in
    /// memory.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn reader(&self) -> Result<Option<HistoryReader>, StoreError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(folder.join(DATABASE_FILE), flags)
            .map_err(database("be opened for reading"))?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(database("be set up"))?;
        Ok(Some(HistoryReader::over(conn)))
    }

    /// All of `work` or nothing of it, on disk when this returns.
    pub(crate) fn write<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = |conn: &mut Connection| {
            let transaction = conn.transaction()?;
            let out = work(&transaction)?;
            transaction.commit()?;
            Ok(out)
        };
        run(&mut self.conn).map_err(database(what))
    }

    pub(crate) fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(&self.conn).map_err(database(what))
    }
}

pub(crate) fn database(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { what, source }
}

/// Reads a JSON column; what is not JSON is `null`, so that one bad row never hides the others.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let first = Store::open(folder.path()).expect("opens");
        let second = Store::open(folder.path()).expect_err("is refused");
        let text = second.to_string();
        assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
        drop(first);
        Store::open(folder.path()).expect("opens again");
    }

    #[test]
    fn a_database_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("opens");
        store.conn.pragma_update(None, "user_version", 99).expect("is set");
        drop(store);
        let error = Store::open(folder.path()).expect_err("is refused").to_string();
        assert!(error.contains("has schema 99"), "{error}");
    }

    #[test]
    fn the_connection_is_durable() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("opens");
        let pragma = |name: &str| -> String {
            store
                .conn
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .map(|value| format!("{value:?}"))
                .expect("is answered")
        };
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma("synchronous"), "Integer(2)");
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join(DATABASE_FILE), "hello, I am no database at all".repeat(100))
            .expect("is written");
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Database { .. })));
    }
}
