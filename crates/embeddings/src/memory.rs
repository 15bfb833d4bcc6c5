//! What is kept, in the order of use, within bounds.

use lru::LruCache;

use crate::answer::Entry;
use crate::key::Key;

/// Bytes charged for an entry beside its embedding: key, links, bookkeeping.
const OVERHEAD_BYTES: usize = 160;

/// Bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Embeddings.
    pub entries: usize,
    /// Bytes that they hold.
    pub bytes: usize,
}

/// The entries.
#[derive(Debug)]
pub(crate) struct Memory {
    limits: Limits,
    entries: LruCache<Key, Entry>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, entries: LruCache::unbounded(), bytes: 0 }
    }

    /// An entry, which is now the one used last.
    pub(crate) fn get(&mut self, key: &Key) -> Option<Entry> {
        self.entries.get(key).cloned()
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.entries.contains(key)
    }

    /// Keeps an entry and says which had to go. One that is larger than the bound goes itself.
    pub(crate) fn insert(&mut self, key: Key, entry: Entry) -> Vec<Key> {
        self.bytes += weight(&entry);
        if let Some(old) = self.entries.put(key, entry) {
            self.bytes -= weight(&old);
        }
        let mut gone = Vec::new();
        while self.entries.len() > self.limits.entries || self.bytes > self.limits.bytes {
            let Some((key, entry)) = self.entries.pop_lru() else { break };
            self.bytes -= weight(&entry);
            gone.push(key);
        }
        gone
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn weight(entry: &Entry) -> usize {
    entry.embedding.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{Keyer, Scope};

    fn key(n: u8) -> Key {
        let mut keyer = Keyer::new(Scope::All, "m", "v");
        keyer.add(&[n]);
        keyer.finish()
    }

    fn entry(bytes: usize) -> Entry {
        Entry { embedding: "x".repeat(bytes).into(), tokens: 1 }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut memory = Memory::new(Limits { entries: 2, bytes: usize::MAX });
        assert!(memory.insert(key(1), entry(1)).is_empty());
        assert!(memory.insert(key(2), entry(1)).is_empty());
        assert!(memory.get(&key(1)).is_some());
        assert_eq!(memory.insert(key(3), entry(1)), [key(2)]);
        // Replacing needs no room.
        assert!(memory.insert(key(1), entry(5)).is_empty());
        assert_eq!((memory.len(), memory.bytes()), (2, 6 + 2 * OVERHEAD_BYTES));
    }

    proptest! {
        #[test]
        fn bounds_hold_whatever_comes(
            entries in 1_usize..6,
            bytes in 1_usize..1500,
            steps in prop::collection::vec((any::<u8>(), 0_usize..700, any::<bool>()), 0..200),
        ) {
            let mut memory = Memory::new(Limits { entries, bytes });
            let mut known = std::collections::BTreeMap::new();
            for (n, size, is_read) in steps {
                if is_read {
                    prop_assert_eq!(memory.get(&key(n)).is_some(), known.contains_key(&key(n)));
                    continue;
                }
                known.insert(key(n), size + OVERHEAD_BYTES);
                for gone in memory.insert(key(n), entry(size)) {
                    known.remove(&gone);
                }
                prop_assert!(memory.len() <= entries && memory.bytes() <= bytes);
                prop_assert_eq!((memory.len(), memory.bytes()), (known.len(), known.values().sum()));
            }
        }
    }
}
