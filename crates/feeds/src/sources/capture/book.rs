//! What of the capture files was read: bounded, however many there are.
//!
//! Keys end with `yyyy/mm/dd/hh/mm-ss-mmm-…`, so their order is that of time. Of each variant the objects that were seen
//! lately are remembered one by one; everything up to the oldest of them is done with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sources::split::Place;

/// Objects of a variant that are remembered.
const OBJECTS: usize = 4096;

/// How long an object is remembered after it was seen first: until then others may come in before it.
const LATE_MS: i64 = 6 * 60 * 60 * 1000;

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// What changes when the object does.
    pub(super) stamp: String,
    pub(super) place: Place,
    /// Fingerprint of its first bytes, and how many.
    pub(super) head: String,
    pub(super) head_bytes: u64,
    seen_ms: i64,
    /// Read to its end.
    pub(super) is_done: bool,
}

/// The objects of a variant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Series {
    /// Keys up to this one are done with.
    done_until: Option<String>,
    objects: BTreeMap<String, Seen>,
}

impl Series {
    /// Nothing was read; keys up to `from` are not wanted.
    pub(super) fn new(from: Option<String>) -> Self {
        Self { done_until: from, objects: BTreeMap::new() }
    }

    pub(super) fn done_until(&self) -> Option<&str> {
        self.done_until.as_deref()
    }

    /// Whether there is something to read in an object with this stamp.
    pub(super) fn wants(&self, key: &str, stamp: &str) -> bool {
        if self.done_until.as_deref().is_some_and(|done| key <= done) {
            return false;
        }
        self.objects.get(key).is_none_or(|seen| !seen.is_done || seen.stamp != stamp)
    }

    /// The object, remembered from now on.
    pub(super) fn open(&mut self, key: &str, now_ms: i64) -> &mut Seen {
        let fresh = || Seen { seen_ms: now_ms, ..Seen::default() };
        self.objects.entry(key.to_owned()).or_insert_with(fresh)
    }

    /// Forgets an object that is not there any more.
    pub(super) fn drop(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// Forgets what is old enough. The number of objects that were given up unread.
    pub(super) fn forget(&mut self, now_ms: i64) -> usize {
        let mut given_up = 0;
        while let Some(first) = self.objects.first_entry() {
            let is_old = first.get().is_done && now_ms.saturating_sub(first.get().seen_ms) > LATE_MS;
            if !is_old && self.objects.len() <= OBJECTS {
                break;
            }
            if let Some((key, seen)) = self.objects.pop_first() {
                given_up += usize::from(!seen.is_done);
                self.done_until = Some(key);
            }
        }
        given_up
    }
}

/// Every variant by its prefix.
pub(super) type Book = BTreeMap<String, Series>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_stays_done_and_what_comes_late_is_read() {
        let mut series = Series::new(Some("v/2026/01/01/00".to_owned()));
        assert!(!series.wants("v/2025/12/31/23/a", "1") && series.wants("v/2026/01/01/00/a", "1"));
        for (hour, now_ms) in [("01", 0), ("03", LATE_MS)] {
            let seen = series.open(&format!("v/2026/01/01/{hour}/a"), now_ms);
            (seen.stamp, seen.is_done) = ("1".to_owned(), true);
        }
        assert!(!series.wants("v/2026/01/01/01/a", "1") && series.wants("v/2026/01/01/01/a", "2"));
        assert_eq!(series.forget(LATE_MS + 1), 0);
        assert!(!series.wants("v/2026/01/01/01/a", "2"), "done with");
        assert!(series.wants("v/2026/01/01/02/a", "1"), "came in late");
        assert!(!series.wants("v/2026/01/01/03/a", "1"));
    }

    #[test]
    fn an_object_that_cannot_be_read_holds_its_place_until_there_is_no_more_room() {
        let mut series = Series::new(None);
        series.open("a", 0);
        for n in 0..OBJECTS {
            series.open(&format!("b{n:05}"), 0).is_done = true;
        }
        assert_eq!(series.objects.len(), OBJECTS + 1);
        assert_eq!(series.forget(0), 1);
        assert_eq!((series.objects.len(), series.done_until()), (OBJECTS, Some("a")));
        assert_eq!(series.forget(LATE_MS + 1), 0);
        assert!(series.objects.is_empty());
    }
}
