//! Answers that wait for the other lane's, by request id: bounded, expiring, in either order.
//!
//! An entry holds production's answer, or those shadows' that came before it. Production's stays until as many shadows
//! have answered as copies were sent, or, where nobody said how many, until its time is over: a second shadow may follow.
//! Entries are keyed by a hash of the id that nobody outside can predict, and the id itself is compared.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::Arc;

use record::{Lane, Pairing};

use crate::pairs::half::Half;
use crate::pairs::is_prod;

/// Places of entries that have gone may be this many, and as many as there are entries, before they are swept out.
const SLACK: usize = 1_024;

/// Shadow answers to one request that are taken.
const MAX_SHADOWS: usize = 32;

/// One model's waiting answers.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    entries: HashMap<u64, Entry>,
    /// Key and number of every entry, the oldest first; some have gone.
    order: VecDeque<(u64, u64)>,
    next: u64,
    n_halves: usize,
    n_cells: usize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    came_ms: i64,
    id: Box<[u8]>,
    prod: Option<Arc<Half>>,
    /// Shadows that answered before production.
    early: Vec<Half>,
    /// Shadow versions that have been paired.
    paired: Vec<Arc<str>>,
    /// Shadow answers to come in all; `None` when nobody said.
    expected: Option<usize>,
}

/// What an answer met.
#[derive(Debug)]
pub(crate) enum Met {
    Waits,
    /// The same version answered this request before.
    Duplicate(Arc<str>),
    /// Production's answer and a shadow's, each; and an entry that had to go.
    Pairs(Vec<(Arc<Half>, Half)>, Option<GivenUp>),
}

/// Answers without a partner, by version.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct GivenUp(pub(crate) Vec<(Arc<str>, u64)>);

impl Waiting {
    /// Takes an answer in: it meets those that wait for it, or waits itself.
    pub(crate) fn meet(&mut self, half: Half, lane: Lane, pairing: Pairing, now_ms: i64) -> Met {
        let key = self.hasher.hash_one(&half.id);
        // Two ids with one hash: the older one makes room.
        let is_other = self.entries.get(&key).is_some_and(|entry| entry.id != half.id);
        let replaced = if is_other { self.remove(key) } else { None };
        let met = if is_prod(lane) {
            self.meet_prod(key, half, pairing, now_ms)
        } else {
            self.meet_shadow(key, half, now_ms)
        };
        match (met, replaced) {
            (Met::Waits, Some(given_up)) => Met::Pairs(Vec::new(), Some(given_up)),
            (Met::Pairs(pairs, _), replaced) => Met::Pairs(pairs, replaced),
            (met, _) => met,
        }
    }

    fn meet_prod(&mut self, key: u64, half: Half, pairing: Pairing, now_ms: i64) -> Met {
        let entry = self.entry(key, &half.id, now_ms);
        if entry.prod.is_some() {
            return Met::Duplicate(half.version);
        }
        entry.expected = match pairing {
            Pairing::Copied(copies) => Some(usize::from(copies)),
            Pairing::Unknown | Pairing::Alone | Pairing::Noise => None,
        };
        let (n_cells, prod) = (half.n_cells(), Arc::new(half));
        entry.prod = Some(Arc::clone(&prod));
        let early = mem::take(&mut entry.early);
        entry.paired.extend(early.iter().map(|shadow| Arc::clone(&shadow.version)));
        let is_done = entry.is_done();
        self.n_halves = (self.n_halves + 1).saturating_sub(early.len());
        self.n_cells = (self.n_cells + n_cells).saturating_sub(early.iter().map(Half::n_cells).sum());
        if is_done {
            self.remove(key);
        }
        if early.is_empty() {
            return Met::Waits;
        }
        Met::Pairs(early.into_iter().map(|shadow| (Arc::clone(&prod), shadow)).collect(), None)
    }

    fn meet_shadow(&mut self, key: u64, half: Half, now_ms: i64) -> Met {
        let entry = self.entry(key, &half.id, now_ms);
        let known = entry.paired.iter().chain(entry.early.iter().map(|early| &early.version));
        if known.clone().any(|version| *version == half.version) || known.count() >= MAX_SHADOWS {
            return Met::Duplicate(half.version);
        }
        let Some(prod) = entry.prod.clone() else {
            let n_cells = half.n_cells();
            entry.early.push(half);
            self.n_halves += 1;
            self.n_cells += n_cells;
            return Met::Waits;
        };
        entry.paired.push(Arc::clone(&half.version));
        if entry.is_done() {
            self.remove(key);
        }
        Met::Pairs(vec![(prod, half)], None)
    }

    fn entry(&mut self, key: u64, id: &[u8], now_ms: i64) -> &mut Entry {
        if self.order.len() > 2 * self.entries.len() + SLACK {
            let entries = &self.entries;
            self.order.retain(|(key, number)| entries.get(key).is_some_and(|entry| entry.number == *number));
        }
        self.entries.entry(key).or_insert_with(|| {
            self.next += 1;
            self.order.push_back((key, self.next));
            Entry {
                number: self.next,
                came_ms: now_ms,
                id: id.into(),
                prod: None,
                early: Vec::new(),
                paired: Vec::new(),
                expected: None,
            }
        })
    }

    /// The oldest entry, if it came before a time.
    pub(crate) fn pop_before(&mut self, before_ms: i64) -> Option<GivenUp> {
        self.pop(|entry| entry.came_ms < before_ms)
    }

    /// The oldest entry.
    pub(crate) fn pop_oldest(&mut self) -> Option<GivenUp> {
        self.pop(|_| true)
    }

    fn pop(&mut self, wanted: impl Fn(&Entry) -> bool) -> Option<GivenUp> {
        while let Some((key, number)) = self.order.front().copied() {
            let entry = self.entries.get(&key).filter(|entry| entry.number == number);
            if entry.is_some_and(|entry| !wanted(entry)) {
                return None;
            }
            let is_there = entry.is_some();
            self.order.pop_front();
            if is_there {
                return self.remove(key);
            }
        }
        None
    }

    fn remove(&mut self, key: u64) -> Option<GivenUp> {
        let entry = self.entries.remove(&key)?;
        let halves = entry.early.iter().chain(entry.prod.as_deref());
        let (n, n_cells) = halves.fold((0, 0), |(n, cells), half| (n + 1, cells + half.n_cells()));
        self.n_halves = self.n_halves.saturating_sub(n);
        self.n_cells = self.n_cells.saturating_sub(n_cells);
        Some(entry.given_up())
    }

    /// Answers that wait.
    pub(crate) fn n_halves(&self) -> usize {
        self.n_halves
    }

    /// Predictions that they hold.
    pub(crate) fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Who has most gives up first.
    pub(crate) fn weight(&self) -> usize {
        self.n_halves + self.n_cells
    }

    /// Bytes held, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let entry = size_of::<(u64, Entry)>() + 2 * 36 + size_of::<Half>();
        self.entries.len() * entry
            + self.order.capacity() * size_of::<(u64, u64)>()
            + self.n_cells * size_of::<crate::pairs::half::Predicted>()
    }
}

impl Entry {
    /// Whether every answer that was to come has come.
    fn is_done(&self) -> bool {
        self.prod.is_some() && self.expected.is_some_and(|expected| self.paired.len() >= expected)
    }

    /// What goes without a partner: shadows without production's answer; production's for every copy that was not
    /// answered, or when nobody said how many there are, if there was none at all.
    fn given_up(self) -> GivenUp {
        let mut alone: Vec<(Arc<str>, u64)> = self.early.into_iter().map(|half| (half.version, 1)).collect();
        if let Some(prod) = self.prod {
            let missing = self.expected.unwrap_or(1).saturating_sub(self.paired.len());
            if missing > 0 {
                alone.push((Arc::clone(&prod.version), missing as u64));
            }
        }
        GivenUp(alone)
    }
}
