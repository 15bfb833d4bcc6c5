//! The bytes that all connections may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Frames of the greatest length that may be under way at a time.
const FRAMES: usize = 4;

/// Bytes that each connection may hold without asking, so that large frames of some never keep small ones of others out.
pub(super) const FREE_BYTES: usize = 64 << 10;

/// What is left.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
}

impl Room {
    pub(super) fn for_frames_of(bytes: usize) -> Self {
        // A buffer grows by doubling, up to twice what it has to hold.
        Self { left: AtomicUsize::new(bytes.saturating_mul(2 * FRAMES)) }
    }
}

/// What one connection has taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    taken: usize,
}

impl Share {
    pub(super) fn of(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), taken: 0 }
    }

    /// Makes sure that a buffer of `bytes` may be held; false when there is no room.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.taken);
        let took = self.room.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more)).is_ok();
        if took {
            self.taken += more;
        }
        took
    }

    /// Gives everything back.
    pub(super) fn release(&mut self) {
        self.room.left.fetch_add(std::mem::take(&mut self.taken), Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_once_and_given_back() {
        let room = Arc::new(Room::for_frames_of(1 << 20));
        let whole = (2 * FRAMES) << 20;
        let (mut one, mut other) = (Share::of(&room), Share::of(&room));
        assert!(one.grow_to(FREE_BYTES + whole - 10));
        assert!(one.grow_to(FREE_BYTES + 5), "it has that much");
        assert!(!other.grow_to(FREE_BYTES + 11));
        assert!(other.grow_to(FREE_BYTES), "what is free stays free");
        assert!(other.grow_to(FREE_BYTES + 10));
        drop(one);
        assert!(other.grow_to(FREE_BYTES + whole));
        other.release();
        assert_eq!(room.left.load(Relaxed), whole);
    }
}
