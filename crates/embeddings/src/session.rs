//! One request's way to its embeddings: what is there, what another one is buying, what is to be bought.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::answer::{self, Entry};
use crate::cache::Cache;
use crate::flight::Waiter;
use crate::key::Key;
use crate::question::Question;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send a request with this body, and tell [`Session::answered`] what came back.
    Send(Bytes),
    /// This is the answer.
    Known(Bytes),
}

/// See [`Cache::ask`]. Dropped at any time: what it was to buy, others may.
#[derive(Debug)]
pub struct Session {
    cache: Arc<Cache>,
    model: Box<str>,
    question: Question,
    keys: Vec<Key>,
    found: Vec<Option<Entry>>,
    /// Inputs that were bought for this request.
    bought: Vec<bool>,
    /// Inputs that this request is buying, each the first of its key.
    buying: Vec<(usize, watch::Sender<Option<Entry>>)>,
    waiting: Vec<(Key, Waiter)>,
    is_told: bool,
}

impl Session {
    pub(crate) fn new(cache: Arc<Cache>, model: &str, question: Question, keys: Vec<Key>) -> Self {
        let n = keys.len();
        Self {
            cache,
            model: model.into(),
            question,
            keys,
            found: vec![None; n],
            bought: vec![false; n],
            buying: Vec::new(),
            waiting: Vec::new(),
            is_told: false,
        }
    }

    /// What to do next. Waits as long as others take that are buying the same; has no time limit of its own.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(known) = self.whole() {
                return Step::Known(known);
            }
            if self.waiting.is_empty() && self.buying.is_empty() {
                self.look();
                if !self.buying.is_empty() {
                    let positions = self.positions();
                    return Step::Send(self.question.only(&positions));
                }
                continue;
            }
            // Asked again without having been told an answer: nobody is buying, others may.
            self.give_up();
            while let Some((key, mut waiter)) = self.waiting.pop() {
                // A buyer that has failed leaves nothing: the next look finds out who buys instead.
                let entry = waiter.wait_for(Option::is_some).await.ok().and_then(|entry| entry.clone());
                if let Some(entry) = entry {
                    self.put(&key, &entry);
                }
            }
        }
    }

    /// The answer to what [`Step::Send`] said. True when it was what was asked for; false when it is an error or
    /// garbage: nothing is kept of it.
    pub fn answered(&mut self, status: u16, body: &[u8]) -> bool {
        let positions = self.positions();
        let entries = (status == 200).then(|| answer::read(body, &self.question, &positions)).flatten();
        let Some(entries) = entries.filter(|_| !positions.is_empty()) else {
            self.cache.counters.add(&self.model, |counters| counters.rejected += 1);
            self.give_up();
            return false;
        };
        for ((position, sender), entry) in std::mem::take(&mut self.buying).into_iter().zip(entries) {
            let Some(key) = self.keys.get(position).copied() else { continue };
            self.cache.keep(key, entry.clone());
            self.cache.flights.end(&key, &sender, Some(entry.clone()));
            self.put(&key, &entry);
            if let Some(bought) = self.bought.get_mut(position) {
                *bought = true;
            }
        }
        true
    }

    /// Looks every input up that is not there yet: in memory, with those who are buying, or else it is ours to buy.
    fn look(&mut self) {
        for position in 0..self.keys.len() {
            let key = self.keys[position];
            if self.found[position].is_some() || self.is_coming(position) {
                continue;
            }
            if let Some(entry) = self.cache.get(&key) {
                self.put(&key, &entry);
                continue;
            }
            match self.cache.flights.join(key) {
                Ok(waiter) => self.waiting.push((key, waiter)),
                Err(sender) => self.buy(position, key, sender),
            }
        }
    }

    fn buy(&mut self, position: usize, key: Key, sender: watch::Sender<Option<Entry>>) {
        // A buyer may have ended between the two looks.
        match self.cache.get(&key) {
            Some(entry) => {
                self.cache.flights.end(&key, &sender, Some(entry.clone()));
                self.put(&key, &entry);
            }
            None => self.buying.push((position, sender)),
        }
    }

    /// Whether an input's key is on its way already, for an earlier input that is the same.
    fn is_coming(&self, position: usize) -> bool {
        let key = &self.keys[position];
        self.waiting.iter().any(|(known, _)| known == key)
            || self.buying.iter().any(|(earlier, _)| self.keys[*earlier] == *key)
    }

    fn positions(&self) -> Vec<usize> {
        self.buying.iter().map(|(position, _)| *position).collect()
    }

    fn put(&mut self, key: &Key, entry: &Entry) {
        for (slot, of) in self.found.iter_mut().zip(&self.keys) {
            if of == key {
                slot.get_or_insert_with(|| entry.clone());
            }
        }
    }

    /// Lets others buy what this one was to.
    fn give_up(&mut self) {
        for (position, sender) in self.buying.drain(..) {
            if let Some(key) = self.keys.get(position) {
                self.cache.flights.end(key, &sender, None);
            }
        }
    }

    /// The answer, when every input is there.
    fn whole(&mut self) -> Option<Bytes> {
        let entries: Vec<Entry> = self.found.iter().cloned().collect::<Option<_>>()?;
        let tokens = |wanted: bool| {
            let of = entries.iter().zip(&self.bought).filter(|(_, bought)| **bought == wanted);
            of.map(|(entry, _)| u64::from(entry.tokens)).sum::<u64>()
        };
        let (bought, saved) = (tokens(true), tokens(false));
        self.tell(saved);
        Some(answer::assemble(&self.question, &entries, bought, saved))
    }

    /// Counts the request, once.
    fn tell(&mut self, saved: u64) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let n_bought = self.bought.iter().filter(|bought| **bought).count();
        let n_served = self.found.iter().flatten().count() - n_bought;
        let n_missed = self.keys.len() - n_served;
        self.cache.counters.add(&self.model, |counters| {
            match (n_served, n_missed) {
                (_, 0) => counters.hits += 1,
                (0, _) => counters.misses += 1,
                _ => counters.partial += 1,
            }
            counters.input_hits += n_served as u64;
            counters.input_misses += n_missed as u64;
            counters.tokens_saved += saved;
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.give_up();
        // One that came to no answer has saved nothing.
        self.tell(0);
    }
}
