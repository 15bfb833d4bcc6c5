//! Purchases under way: whoever else wants the same waits for them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::answer::Entry;
use crate::key::Key;

/// Gets the entry, or an end without one when its buyer has failed.
pub(crate) type Waiter = watch::Receiver<Option<Entry>>;

/// What is being bought.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Waiter>>);

impl Flights {
    /// A wait for another one's purchase, or the duty to buy.
    pub(crate) fn join(&self, key: Key) -> Result<Waiter, watch::Sender<Option<Entry>>> {
        let mut flights = self.lock();
        if let Some(waiter) = flights.get(&key) {
            return Ok(waiter.clone());
        }
        let (sender, waiter) = watch::channel(None);
        flights.insert(key, waiter);
        Err(sender)
    }

    /// Ends a purchase: those who wait get the entry, or have to buy themselves.
    pub(crate) fn end(&self, key: &Key, sender: &watch::Sender<Option<Entry>>, entry: Option<Entry>) {
        self.lock().remove(key);
        if entry.is_some() {
            sender.send_replace(entry);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
