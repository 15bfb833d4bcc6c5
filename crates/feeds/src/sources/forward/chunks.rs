//! The ids of chunks that were counted, so that one sent again is not counted again.
//!
//! Bounded, and gone with the process: beyond that, delivery is at least once.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

/// Ids that are remembered; some half a megabyte.
const REMEMBERED: usize = 10_000;

/// An id, whatever its length.
pub(super) type Key = [u8; 16];

/// The beginning of the SHA-256 of an id.
pub(super) fn key(id: &[u8]) -> Key {
    let digest = Sha256::digest(id);
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(digest) {
        *to = from;
    }
    key
}

/// What is known about a chunk that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing: it is to be counted.
    New,
    /// It is being counted for another connection.
    UnderWay,
    /// It was counted.
    Counted,
}

/// The chunks of the recent past.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// True once it is counted.
    known: HashMap<Key, bool>,
    /// The counted ones, the oldest first.
    counted: VecDeque<Key>,
}

impl Chunks {
    /// A chunk has come. A new one has to be followed by [`Chunks::counted`] or [`Chunks::abandoned`].
    pub(super) fn begin(&mut self, key: Key) -> Seen {
        match self.known.get(&key) {
            Some(true) => Seen::Counted,
            Some(false) => Seen::UnderWay,
            None => {
                self.known.insert(key, false);
                Seen::New
            }
        }
    }

    /// It was counted.
    pub(super) fn counted(&mut self, key: Key) {
        self.known.insert(key, true);
        self.counted.push_back(key);
        if self.counted.len() > REMEMBERED
            && let Some(oldest) = self.counted.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// It could not be counted: it may come again.
    pub(super) fn abandoned(&mut self, key: Key) {
        self.known.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_new_until_it_was_counted() {
        let mut chunks = Chunks::default();
        let key = key(b"a");
        assert_eq!((chunks.begin(key), chunks.begin(key)), (Seen::New, Seen::UnderWay));
        chunks.abandoned(key);
        assert_eq!(chunks.begin(key), Seen::New);
        chunks.counted(key);
        assert_eq!(chunks.begin(key), Seen::Counted);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut chunks = Chunks::default();
        for n in 0..=REMEMBERED {
            let key = key(&n.to_be_bytes());
            assert_eq!(chunks.begin(key), Seen::New);
            chunks.counted(key);
        }
        assert_eq!((chunks.known.len(), chunks.counted.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(chunks.begin(key(&0_usize.to_be_bytes())), Seen::New);
        assert_eq!(chunks.begin(key(&1_usize.to_be_bytes())), Seen::Counted);
    }
}
