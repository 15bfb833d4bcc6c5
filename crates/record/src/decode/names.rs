//! Names seen before, so that a name is stored once per exchange and found again without hashing.
//!
//! Requests of one model carry the same names in the same order, row after row and request after request. The table
//! therefore guesses that the next name is the one that followed last time, and hashes only when the guess is wrong.
//! It also remembers where a row's cell stands, so that a key given twice overwrites instead of counting twice.

use std::collections::HashMap;
use std::sync::Arc;

use crate::TextRange;

/// Names kept from exchange to exchange; above it the table starts anew.
const KEPT_NAMES: usize = 4_096;

/// A name and where this exchange has it.
#[derive(Debug)]
pub(crate) struct Known {
    name: Arc<str>,
    /// The exchange the fields below belong to.
    epoch: u64,
    pub(crate) range: TextRange,
    /// The last row with a cell of this name, and that cell's index.
    pub(crate) row: u32,
    pub(crate) cell: usize,
}

/// The table; see the module.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    known: Vec<Known>,
    by_name: HashMap<Arc<str>, usize>,
    guess: usize,
    epoch: u64,
    distinct: usize,
}

impl NameTable {
    /// Starts an exchange: no name has been seen in it.
    pub(crate) fn begin(&mut self) {
        if self.known.len() > KEPT_NAMES {
            self.known.clear();
            self.by_name.clear();
        }
        self.epoch += 1;
        self.guess = 0;
        self.distinct = 0;
    }

    /// Different names in this exchange.
    pub(crate) fn distinct(&self) -> usize {
        self.distinct
    }

    /// Names held, from this exchange and earlier ones.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The name's entry, and true when this exchange sees it for the first time (the caller then fills the entry).
    pub(crate) fn find(&mut self, name: &str) -> (&mut Known, bool) {
        let guess = if self.guess < self.known.len() { self.guess } else { 0 };
        let index = match self.known.get(guess) {
            Some(known) if *known.name == *name => guess,
            _ => match self.by_name.get(name) {
                Some(index) => *index,
                None => self.insert(name),
            },
        };
        self.guess = index + 1;
        let known = &mut self.known[index];
        let fresh = known.epoch != self.epoch;
        known.epoch = self.epoch;
        self.distinct += usize::from(fresh);
        (known, fresh)
    }

    fn insert(&mut self, name: &str) -> usize {
        let name: Arc<str> = Arc::from(name);
        let index = self.known.len();
        self.by_name.insert(Arc::clone(&name), index);
        self.known.push(Known { name, epoch: 0, range: TextRange::default(), row: 0, cell: 0 });
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fresh_once_an_exchange() {
        let mut table = NameTable::default();
        for _ in 0..2 {
            table.begin();
            assert!(table.find("a").1);
            assert!(table.find("b").1);
            assert!(!table.find("a").1);
            assert!(!table.find("b").1);
            assert_eq!(table.distinct(), 2);
        }
        assert_eq!(table.known.len(), 2);
    }

    #[test]
    fn a_table_full_of_old_names_starts_anew() {
        let mut table = NameTable::default();
        table.begin();
        for name in 0..=KEPT_NAMES {
            table.find(&name.to_string());
        }
        table.begin();
        assert!(table.find("0").1);
        assert_eq!(table.known.len(), 1);
        assert_eq!(table.by_name.len(), 1);
    }
}
