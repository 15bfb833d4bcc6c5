//! The cache on disk: a SQLite file that a thread of its own writes, behind and in batches.
//!
//! Memory and file hold the same entries; the file is read once, when the thread starts. Whatever is wrong with the
//! file, the cache works on: a broken one is put aside under another name and a new one begun.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, params};

use crate::answer::{self, Entry};
use crate::counters::Counters;
use crate::key::Key;
use crate::memory::Memory;

const FILE_NAME: &str = "embeddings.db";
const SCHEMA_VERSION: i64 = 1;

/// Changes that may wait to be written; over it they are counted and not written.
const QUEUE: usize = 1024;

/// Changes of one transaction.
const BATCH: usize = 256;

/// Bytes of a page of the file.
const PAGE_BYTES: usize = 4096;

/// Something to write.
#[derive(Debug)]
pub(crate) enum Change {
    Keep(Key, Entry),
    Forget(Key),
}

/// The writing thread.
#[derive(Debug)]
pub(crate) struct Disk {
    queue: Mutex<Option<SyncSender<Change>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Starts the thread, which reads the file into memory before it writes.
    pub(crate) fn start(
        folder: &Path,
        max_bytes: usize,
        memory: Arc<Mutex<Memory>>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let (queue, changes) = sync_channel(QUEUE);
        let mut file =
            StoreFile { path: folder.join(FILE_NAME), max_bytes, conn: None, counters, is_failing: false };
        let thread = std::thread::Builder::new().name("embeddings".to_owned()).spawn(move || {
            file.load(&memory);
            file.follow(&changes);
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands a change over; false when it cannot be written.
    pub(crate) fn offer(&self, change: Change) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().is_some_and(|queue| queue.try_send(change).is_ok())
    }

    /// Writes what waits and ends.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the embedding cache's thread ended in a panic");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

struct StoreFile {
    path: PathBuf,
    max_bytes: usize,
    conn: Option<Connection>,
    counters: Arc<Counters>,
    /// The last write failed and was logged.
    is_failing: bool,
}

impl StoreFile {
    fn load(&mut self, memory: &Mutex<Memory>) {
        let loaded = self.open().and_then(|()| self.read(memory));
        match loaded {
            Ok(0) => {}
            Ok(entries) => {
                tracing::info!(entries, path = %self.path.display(), "embeddings of the last run are back");
            }
            Err(error) => {
                self.put_aside(&error);
                if let Err(error) = self.open() {
                    self.failed(&error, 0);
                }
            }
        }
    }

    fn follow(&mut self, changes: &Receiver<Change>) {
        while let Ok(first) = changes.recv() {
            let batch: Vec<Change> =
                std::iter::once(first).chain(changes.try_iter().take(BATCH - 1)).collect();
            match self.write(&batch) {
                Ok(()) => self.is_failing = false,
                Err(error) => {
                    if is_broken(&error) {
                        self.put_aside(&error);
                    }
                    self.failed(&error, batch.len());
                }
            }
        }
    }

    fn open(&mut self) -> rusqlite::Result<()> {
        let conn = Connection::open(&self.path)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        conn.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
        // Twice what memory may hold, and room for indexes.
        let pages = (self.max_bytes / PAGE_BYTES).saturating_mul(2).saturating_add(1024);
        conn.pragma_update(None, "max_page_count", i64::try_from(pages).unwrap_or(i64::MAX).min(1 << 31))?;
        let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != 0 && version != SCHEMA_VERSION {
            return Err(rusqlite::Error::InvalidQuery);
        }
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS embedding (
                id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, tokens INTEGER NOT NULL, value TEXT NOT NULL
             ) STRICT;",
        )?;
        conn.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        self.conn = Some(conn);
        Ok(())
    }

    /// Reads every entry into memory, the one written last as the one used last. What cannot be one is forgotten.
    fn read(&self, memory: &Mutex<Memory>) -> rusqlite::Result<usize> {
        let Some(conn) = &self.conn else { return Ok(0) };
        let mut gone: Vec<Vec<u8>> = Vec::new();
        let mut entries = 0;
        {
            let mut statement = conn.prepare("SELECT key, tokens, value FROM embedding ORDER BY id")?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                let (stored, tokens): (Vec<u8>, u32) = (row.get(0)?, row.get(1)?);
                let value: String = row.get(2)?;
                let key = Key::from_stored(&stored).filter(|_| answer::dimensions(&value).is_some());
                let Some(key) = key else {
                    gone.push(stored);
                    continue;
                };
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                if !memory.contains(&key) {
                    let evicted = memory.insert(key, Entry { embedding: value.into(), tokens });
                    gone.extend(evicted.iter().map(|key| key.as_bytes().to_vec()));
                    entries += 1;
                }
            }
        }
        for key in gone {
            conn.execute("DELETE FROM embedding WHERE key = ?1", params![key])?;
        }
        Ok(entries)
    }

    fn write(&mut self, batch: &[Change]) -> rusqlite::Result<()> {
        if self.conn.is_none() {
            self.open()?;
        }
        let Some(conn) = &mut self.conn else { return Ok(()) };
        let transaction = conn.transaction()?;
        {
            let mut keep = transaction
                .prepare("INSERT OR REPLACE INTO embedding (key, tokens, value) VALUES (?1, ?2, ?3)")?;
            let mut forget = transaction.prepare("DELETE FROM embedding WHERE key = ?1")?;
            for change in batch {
                match change {
                    Change::Keep(key, entry) => {
                        keep.execute(params![&key.as_bytes()[..], entry.tokens, &*entry.embedding])?
                    }
                    Change::Forget(key) => forget.execute(params![&key.as_bytes()[..]])?,
                };
            }
        }
        transaction.commit()
    }

    /// Gives a file that cannot be used another name, in the place of the one before it.
    fn put_aside(&mut self, error: &rusqlite::Error) {
        self.conn = None;
        let aside = self.path.with_extension("db.broken");
        let moved = std::fs::rename(&self.path, &aside);
        for end in ["db-wal", "db-shm"] {
            // Of a file that is not used any more.
            drop(std::fs::remove_file(self.path.with_extension(end)));
        }
        tracing::warn!(
            path = %self.path.display(), aside = %aside.display(), moved = moved.is_ok(), %error,
            "the stored embeddings cannot be used: they are put aside and bought again"
        );
    }

    fn failed(&mut self, error: &rusqlite::Error, changes: usize) {
        self.counters.unwritten.fetch_add(changes as u64, Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                path = %self.path.display(), %error,
                "embeddings are not written: a restart will forget them; make room or mend the folder"
            );
        }
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
