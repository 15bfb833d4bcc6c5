//! The last values of one feature: a ring of slots, one byte each, with their counts kept beside it.
//!
//! Pushing is constant time: one byte in, one out, two counters. Memory follows the fill, not the capacity: a quiet
//! tenant with a large window costs only the values it has.

/// Most slots a window can have: a slot is one byte.
pub const MAX_WINDOW_SLOTS: usize = 256;

/// Bytes a window takes with its first value; then it doubles, up to the capacity.
const FIRST_ALLOCATION: usize = 64;

/// A sliding window over the last `capacity` values of a feature.
#[derive(Clone, Debug)]
pub struct Window {
    /// Slots of the values; once full, a ring whose oldest value is at `head`.
    ring: Vec<u8>,
    head: usize,
    capacity: usize,
    counts: Vec<u64>,
}

/// Why a window was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The capacity is zero.
    #[error("window capacity is `0`: use 1 or more values")]
    Capacity,
    /// No slot, or more than [`MAX_WINDOW_SLOTS`].
    #[error("`{slots}` slots do not fit a window: use 1 to {MAX_WINDOW_SLOTS}")]
    Slots {
        /// What was asked for.
        slots: usize,
    },
    /// A restored value lies outside the slots.
    #[error(
        "restored value `{position}` has slot `{slot}` but the window has `{slots}` slots: the bins changed"
    )]
    Slot {
        /// Position of the value, oldest first, from 0.
        position: usize,
        /// Its slot.
        slot: u8,
        /// Slots of the window.
        slots: usize,
    },
}

// === impl Window ===

impl Window {
    /// An empty window over the last `capacity` values in `slots` slots ([`crate::Bins::slots`]).
    ///
    /// # Errors
    ///
    /// [`WindowError::Capacity`] for 0, [`WindowError::Slots`] outside 1 to [`MAX_WINDOW_SLOTS`].
    pub fn new(capacity: usize, slots: usize) -> Result<Self, WindowError> {
        if capacity == 0 {
            return Err(WindowError::Capacity);
        }
        if !(1..=MAX_WINDOW_SLOTS).contains(&slots) {
            return Err(WindowError::Slots { slots });
        }
        Ok(Self { ring: Vec::new(), head: 0, capacity, counts: vec![0; slots] })
    }

    /// A window with stored values, oldest first ([`Self::iter`]). Of more than `capacity` the newest stay.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and [`WindowError::Slot`] for a value outside the slots.
    pub fn restore(
        capacity: usize,
        slots: usize,
        values: impl Iterator<Item = u8>,
    ) -> Result<Self, WindowError> {
        let mut window = Self::new(capacity, slots)?;
        for (position, slot) in values.enumerate() {
            if usize::from(slot) >= slots {
                return Err(WindowError::Slot { position, slot, slots });
            }
            window.push(slot);
        }
        Ok(window)
    }

    /// Adds a value and, once full, forgets the oldest. A slot beyond the last one counts as the last: missing.
    #[inline]
    pub fn push(&mut self, slot: u8) {
        let slot = usize::from(slot).min(self.counts.len() - 1) as u8;
        if self.ring.len() < self.capacity {
            self.grow();
            self.ring.push(slot);
        } else {
            let oldest = std::mem::replace(&mut self.ring[self.head], slot);
            self.counts[usize::from(oldest)] -= 1;
            self.head += 1;
            if self.head == self.capacity {
                self.head = 0;
            }
        }
        self.counts[usize::from(slot)] += 1;
    }

    /// How many of the values lie in each slot.
    #[must_use]
    #[inline]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of values held, at most the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no value is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Number of values the window can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The slots of the values, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let (newer, older) = self.ring.split_at(self.head);
        older.iter().chain(newer).copied()
    }

    /// Forgets all values and gives their memory back.
    pub fn clear(&mut self) {
        self.ring = Vec::new();
        self.head = 0;
        self.counts.fill(0);
    }

    /// Doubles the memory where it is used up, but never beyond the capacity.
    fn grow(&mut self) {
        if self.ring.len() == self.ring.capacity() {
            let more = self.ring.len().max(FIRST_ALLOCATION).min(self.capacity - self.ring.len());
            self.ring.reserve_exact(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_value_leaves() {
        let mut window = Window::new(3, 4).unwrap();
        for slot in [0, 1, 2, 3, 3] {
            window.push(slot);
        }
        assert_eq!(window.iter().collect::<Vec<_>>(), [2, 3, 3]);
        assert_eq!(window.counts(), [0, 0, 1, 2]);
        window.clear();
        assert_eq!((window.len(), window.counts()), (0, [0, 0, 0, 0].as_slice()));
        window.push(1);
        assert_eq!(window.iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn memory_follows_the_fill() {
        let mut window = Window::new(1_000_000, 2).unwrap();
        for _ in 0..100 {
            window.push(1);
        }
        assert!(window.ring.capacity() <= 256, "{}", window.ring.capacity());
        let mut small = Window::new(70, 2).unwrap();
        for _ in 0..1000 {
            small.push(0);
        }
        assert_eq!(small.ring.capacity(), 70);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Window::new(0, 2).unwrap_err(), WindowError::Capacity);
        assert_eq!(Window::new(1, 0).unwrap_err(), WindowError::Slots { slots: 0 });
        assert_eq!(Window::new(1, 257).unwrap_err(), WindowError::Slots { slots: 257 });
        let error = Window::restore(5, 2, [0, 2].into_iter()).unwrap_err();
        assert_eq!(error, WindowError::Slot { position: 1, slot: 2, slots: 2 });
    }

    #[test]
    fn a_slot_beyond_the_last_is_missing() {
        let mut window = Window::new(2, 2).unwrap();
        window.push(9);
        assert_eq!(window.counts(), [0, 1]);
    }

    proptest! {
        #[test]
        fn a_window_is_a_recount_of_its_last_values(
            capacity in 1usize..150,
            slots in prop::sample::select(vec![1usize, 12, 256]),
            raw in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let values: Vec<u8> = raw.iter().map(|slot| (usize::from(*slot) % slots) as u8).collect();
            let mut window = Window::new(capacity, slots).unwrap();
            for (pushed, slot) in values.iter().enumerate() {
                window.push(*slot);
                let last = &values[(pushed + 1).saturating_sub(capacity)..=pushed];
                let mut recount = vec![0u64; slots];
                for slot in last { recount[usize::from(*slot)] += 1; }
                prop_assert_eq!(window.counts(), recount.as_slice());
                prop_assert_eq!(window.len(), last.len());
            }
            let last = &values[values.len().saturating_sub(capacity)..];
            prop_assert_eq!(window.iter().collect::<Vec<_>>(), last);
            let restored = Window::restore(capacity, slots, window.iter()).unwrap();
            prop_assert_eq!(restored.counts(), window.counts());
            prop_assert_eq!(restored.iter().collect::<Vec<_>>(), last);
        }
    }
}
