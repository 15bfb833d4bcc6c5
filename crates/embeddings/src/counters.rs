//! What a cache counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How the requests for one model went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Requests of which nothing had to be bought.
    pub hits: u64,
    /// Requests of which everything had to be bought.
    pub misses: u64,
    /// Requests of which some inputs had to be bought.
    pub partial: u64,
    /// Requests that are of no form that is known here.
    pub bypassed: u64,
    /// Inputs that were there, or that another request was just buying.
    pub input_hits: u64,
    /// Inputs that had to be bought.
    pub input_misses: u64,
    /// Tokens that would have been paid for once more.
    pub tokens_saved: u64,
    /// Answers that were not kept: errors, and what is not one embedding for each input.
    pub rejected: u64,
}

/// Everything at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSnapshot {
    /// Embeddings held.
    pub entries: usize,
    /// Bytes that they hold.
    pub bytes: usize,
    /// Purchases under way.
    pub in_flight: usize,
    /// Entries that could not be written to disk.
    pub unwritten: u64,
    /// By model.
    pub models: BTreeMap<String, CacheCounters>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    models: Mutex<BTreeMap<String, CacheCounters>>,
    pub(crate) unwritten: AtomicU64,
}

impl Counters {
    /// Changes the counters of a model. Models are those of the configuration: there is no bound to keep.
    pub(crate) fn add(&self, model: &str, change: impl FnOnce(&mut CacheCounters)) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        match models.get_mut(model) {
            Some(counters) => change(counters),
            None => change(models.entry(model.to_owned()).or_default()),
        }
    }

    pub(crate) fn snapshot(&self) -> CacheSnapshot {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner).clone();
        CacheSnapshot { models, unwritten: self.unwritten.load(Relaxed), ..CacheSnapshot::default() }
    }
}
