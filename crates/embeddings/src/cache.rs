//! The cache: memory, purchases under way, the disk behind it.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::answer::{self, Entry};
use crate::counters::{CacheSnapshot, Counters};
use crate::disk::{Change, Disk};
use crate::flight::Flights;
use crate::key::{Key, Keyer, Scope};
use crate::memory::{Limits, Memory};
use crate::question::Question;
use crate::session::Session;

/// Who asks which version of which model.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Whose embeddings they are.
    pub scope: Scope<'a>,
    /// The model.
    pub model: &'a str,
    /// The version that answers.
    pub version: &'a str,
}

/// Embeddings by content. Cheap to share; never waits for the disk.
#[derive(Debug)]
pub struct Cache {
    memory: Arc<Mutex<Memory>>,
    pub(crate) flights: Flights,
    pub(crate) counters: Arc<Counters>,
    disk: Option<Disk>,
}

impl Cache {
    /// A cache that is gone with the process.
    pub fn in_memory(limits: Limits) -> Self {
        Self {
            memory: Arc::new(Mutex::new(Memory::new(limits))),
            flights: Flights::default(),
            counters: Arc::default(),
            disk: None,
        }
    }

    /// A cache that is kept in a file of this folder. What the file holds is read in the background; a file that cannot
    /// be used is put aside.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn in_folder(limits: Limits, folder: &Path) -> std::io::Result<Self> {
        let mut cache = Self::in_memory(limits);
        let (memory, counters) = (Arc::clone(&cache.memory), Arc::clone(&cache.counters));
        cache.disk = Some(Disk::start(folder, limits.bytes, memory, counters)?);
        Ok(cache)
    }

    /// A conversation about one request; `None` (and counted) when it is of no form that is known here.
    pub fn ask(self: &Arc<Self>, caller: &Caller<'_>, body: &[u8]) -> Option<Session> {
        let Some(question) = Question::parse(body) else {
            self.bypassed(caller.model);
            return None;
        };
        let keys = question.keys(Keyer::new(caller.scope, caller.model, caller.version));
        Some(Session::new(Arc::clone(self), caller.model, question, keys))
    }

    /// Counts a request that could have been one for here and cannot be read.
    pub fn bypassed(&self, model: &str) {
        self.counters.add(model, |counters| counters.bypassed += 1);
    }

    /// Keeps the embeddings of a request that others have paid for already. True when the answer was worth keeping.
    pub fn learn(&self, caller: &Caller<'_>, request: &[u8], status: u16, response: &[u8]) -> bool {
        let Some(question) = Question::parse(request) else { return false };
        let positions: Vec<usize> = (0..question.len()).collect();
        let entries = (status == 200).then(|| answer::read(response, &question, &positions)).flatten();
        let Some(entries) = entries else {
            self.counters.add(caller.model, |counters| counters.rejected += 1);
            return false;
        };
        let keys = question.keys(Keyer::new(caller.scope, caller.model, caller.version));
        for (key, entry) in keys.into_iter().zip(entries) {
            if !self.memory().contains(&key) {
                self.keep(key, entry);
            }
        }
        true
    }

    /// Every counter and gauge.
    pub fn snapshot(&self) -> CacheSnapshot {
        let (entries, bytes) = {
            let memory = self.memory();
            (memory.len(), memory.bytes())
        };
        CacheSnapshot { entries, bytes, in_flight: self.flights.len(), ..self.counters.snapshot() }
    }

    /// Writes what is not on disk yet and ends the disk's thread. What comes later is not kept over a restart.
    pub fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        self.memory().get(key)
    }

    pub(crate) fn keep(&self, key: Key, entry: Entry) {
        let gone = self.memory().insert(key, entry.clone());
        let Some(disk) = &self.disk else { return };
        let changes = gone.iter().copied().map(Change::Forget);
        for change in changes.chain((!gone.contains(&key)).then_some(Change::Keep(key, entry))) {
            if !disk.offer(change) {
                self.counters.unwritten.fetch_add(1, Relaxed);
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
