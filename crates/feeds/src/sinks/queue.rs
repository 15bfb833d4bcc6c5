//! One sink's queue: bounded in lines and bytes, never waited for, every line accounted for.
//!
//! A line that was offered is *queued* until its sink says what became of it: what a sink has in hand is still in the
//! queue's books, and counts against its bounds. So at any time `offered = written + dropped + queued`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;

use crate::sinks::LogLine;

/// Why a line was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDrop {
    /// The sink is behind by as many lines as may wait.
    QueueFull,
    /// The sink is behind by as many bytes as may wait.
    QueueBytes,
    /// Longer than the other side takes.
    TooLong,
    /// The other side refused it; sending it again would change nothing.
    Rejected,
    /// The other side takes nothing from us by its own rules (Loki's status 260).
    Blocked,
    /// The other side did not accept our credentials.
    Unauthorized,
    /// Could not be delivered in the time that it is kept for.
    Expired,
    /// What it was written to has been closed for good.
    Closed,
    /// The process ended, or the sink was taken out of the configuration, before it was written.
    Ended,
}

impl LogDrop {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::QueueBytes,
        Self::TooLong,
        Self::Rejected,
        Self::Blocked,
        Self::Unauthorized,
        Self::Expired,
        Self::Closed,
        Self::Ended,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueBytes => "queue_bytes",
            Self::TooLong => "too_long",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Ended => "ended",
        }
    }
}

/// Bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Lines that may wait, at least 1.
    pub records: usize,
    /// Bytes that they may hold.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { records: 20_000, bytes: 32 * 1024 * 1024 }
    }
}

/// What one sink has counted so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// The sink.
    pub sink: &'static str,
    /// Lines given to it.
    pub offered: u64,
    /// Lines that it wrote.
    pub written: u64,
    /// Lines that it did not, by reason; every reason, also at zero.
    pub dropped: Vec<(&'static str, u64)>,
    /// Lines that wait or are being written.
    pub queued: usize,
    /// Bytes they hold.
    pub queued_bytes: usize,
    /// Whether what it did last succeeded.
    pub up: bool,
}

impl SinkStatus {
    /// Lines dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }
}

/// The queue in front of a sink. Outlives the sink when a reload puts another in its place.
#[derive(Debug)]
pub struct SinkQueue {
    sink: &'static str,
    limits: QueueLimits,
    waiting: ArrayQueue<Arc<LogLine>>,
    /// What a sink took and gave back; goes first. Only sinks touch it.
    returned: Mutex<VecDeque<Arc<LogLine>>>,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    closed: AtomicBool,
    up: AtomicBool,
    offered: AtomicU64,
    written: AtomicU64,
    dropped: [AtomicU64; LogDrop::ALL.len()],
}

impl SinkQueue {
    /// An empty queue; `sink` names it in metrics.
    pub fn new(sink: &'static str, limits: QueueLimits) -> Arc<Self> {
        let records = limits.records.max(1);
        Arc::new(Self {
            sink,
            limits: QueueLimits { records, ..limits },
            waiting: ArrayQueue::new(records),
            returned: Mutex::default(),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            up: AtomicBool::new(true),
            offered: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: Default::default(),
        })
    }

    /// The sink's name.
    pub fn sink(&self) -> &'static str {
        self.sink
    }

    /// Its bounds.
    pub fn limits(&self) -> QueueLimits {
        self.limits
    }

    /// Gives the sink a line, or counts a drop. Never waits, never allocates. One thread offers.
    pub fn try_push(&self, line: Arc<LogLine>) {
        self.offered.fetch_add(1, Relaxed);
        if self.closed.load(Relaxed) {
            self.count_drop(LogDrop::Closed);
            return;
        }
        let charge = line.charge();
        let queued = self.queued.fetch_add(1, Relaxed);
        let bytes = self.queued_bytes.fetch_add(charge, Relaxed);
        if queued >= self.limits.records {
            self.settle(charge, Err(LogDrop::QueueFull));
        } else if bytes + charge > self.limits.bytes {
            self.settle(charge, Err(LogDrop::QueueBytes));
        } else if self.waiting.push(line).is_err() {
            self.settle(charge, Err(LogDrop::QueueFull));
        }
    }

    /// The oldest line, for the sink to settle.
    pub fn pop(self: &Arc<Self>) -> Option<Taken> {
        let returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let line = returned.or_else(|| self.waiting.pop())?;
        Some(Taken { line: Some(line), queue: Arc::clone(self) })
    }

    /// Takes no more lines: what is offered from now on is dropped as `closed`.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
        self.set_up(false);
    }

    /// Takes lines again.
    pub fn reopen(&self) {
        self.closed.store(false, Relaxed);
        self.set_up(true);
    }

    /// Drops everything that waits.
    pub fn drop_waiting(self: &Arc<Self>, reason: LogDrop) -> usize {
        let mut n_dropped = 0;
        while let Some(taken) = self.pop() {
            taken.dropped(reason);
            n_dropped += 1;
        }
        n_dropped
    }

    /// Says whether what the sink did last succeeded. True when that is news.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Relaxed) != up
    }

    /// Lines that wait or are being written.
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// Everything counted so far.
    pub fn status(&self) -> SinkStatus {
        let dropped = LogDrop::ALL.into_iter().zip(&self.dropped);
        SinkStatus {
            sink: self.sink,
            offered: self.offered.load(Relaxed),
            written: self.written.load(Relaxed),
            dropped: dropped.map(|(reason, count)| (reason.as_str(), count.load(Relaxed))).collect(),
            queued: self.queued(),
            queued_bytes: self.queued_bytes.load(Relaxed),
            up: self.up.load(Relaxed),
        }
    }

    fn give_back(&self, line: Arc<LogLine>) {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner).push_back(line);
    }

    fn settle(&self, charge: usize, fate: Result<(), LogDrop>) {
        match fate {
            Ok(()) => {
                self.written.fetch_add(1, Relaxed);
            }
            Err(reason) => self.count_drop(reason),
        }
        self.queued.fetch_sub(1, Relaxed);
        self.queued_bytes.fetch_sub(charge, Relaxed);
    }

    fn count_drop(&self, reason: LogDrop) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// A line in a sink's hand. Say what became of it; when it is just forgotten (the sink's task was ended), it goes back
/// into the queue for the sink's successor.
#[derive(Debug)]
pub struct Taken {
    line: Option<Arc<LogLine>>,
    queue: Arc<SinkQueue>,
}

impl Taken {
    /// The line.
    pub fn line(&self) -> &LogLine {
        self.line.as_deref().expect("invariant: the line is there until it is settled")
    }

    /// It was written.
    pub fn written(self) {
        self.settle(Ok(()));
    }

    /// It was not and will not be.
    pub fn dropped(self, reason: LogDrop) {
        self.settle(Err(reason));
    }

    /// Puts it back in front of everything: it did not fit.
    pub(crate) fn put_back(mut self) {
        if let Some(line) = self.line.take() {
            self.queue.returned.lock().unwrap_or_else(PoisonError::into_inner).push_front(line);
        }
    }

    fn settle(mut self, fate: Result<(), LogDrop>) {
        if let Some(line) = self.line.take() {
            self.queue.settle(line.charge(), fate);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.queue.give_back(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use record::Lane;

    use super::*;
    use crate::sinks::LogStream;

    fn line(bytes: usize) -> Arc<LogLine> {
        let stream = LogStream { model: "m".into(), version: "v".into(), lane: Lane::Prod };
        Arc::new(LogLine::new(0, Arc::new(stream), &vec![b'x'; bytes], b"", b""))
    }

    fn count(status: &SinkStatus, reason: LogDrop) -> u64 {
        status.dropped.iter().find(|(name, _)| *name == reason.as_str()).unwrap().1
    }

    #[test]
    fn what_a_sink_has_in_hand_counts_against_the_bounds() {
        let queue = SinkQueue::new("test", QueueLimits { records: 2, bytes: 1 << 20 });
        (0..3).for_each(|_| queue.try_push(line(1)));
        let in_hand = [queue.pop().unwrap(), queue.pop().unwrap()];
        queue.try_push(line(1));
        assert_eq!((count(&queue.status(), LogDrop::QueueFull), queue.queued()), (2, 2));
        let [one, two] = in_hand;
        one.written();
        queue.try_push(line(1));
        two.dropped(LogDrop::Rejected);
        let status = queue.status();
        assert_eq!((status.offered, status.written, status.dropped_total(), status.queued), (5, 1, 3, 1));
    }

    #[test]
    fn bytes_are_bounded() {
        let charge = line(1000).charge();
        let queue = SinkQueue::new("test", QueueLimits { records: 100, bytes: 2 * charge + 1 });
        (0..3).for_each(|_| queue.try_push(line(1000)));
        let status = queue.status();
        assert_eq!((count(&status, LogDrop::QueueBytes), status.queued_bytes), (1, 2 * charge));
    }

    #[test]
    fn what_is_forgotten_comes_first_again() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        (1..=3).for_each(|bytes| queue.try_push(line(bytes)));
        drop([queue.pop(), queue.pop()]);
        let sizes: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|taken| {
                let bytes = taken.line().json().len();
                taken.written();
                bytes
            })
            .collect();
        assert_eq!(sizes, [1, 2, 3]);
    }

    #[test]
    fn a_closed_queue_takes_nothing() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        queue.try_push(line(1));
        queue.close();
        queue.try_push(line(1));
        assert_eq!(queue.drop_waiting(LogDrop::Closed), 1);
        let status = queue.status();
        assert_eq!((count(&status, LogDrop::Closed), status.queued, status.up), (2, 0, false));
        queue.reopen();
        queue.try_push(line(1));
        assert_eq!(queue.queued(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_without_a_count(steps in prop::collection::vec((0_u8..6, 0_usize..3000), 0..300)) {
            let queue = SinkQueue::new("test", QueueLimits { records: 8, bytes: 8000 });
            let mut in_hand = Vec::new();
            for (step, size) in steps {
                match step {
                    0..=2 => queue.try_push(line(size)),
                    3 => in_hand.extend(queue.pop()),
                    4 => if let Some(taken) = in_hand.pop() { taken.written() },
                    _ => if size % 2 == 0 { in_hand.clear() } else if let Some(taken) = in_hand.pop() {
                        taken.dropped(LogDrop::Expired);
                    },
                }
                let status = queue.status();
                prop_assert_eq!(status.offered, status.written + status.dropped_total() + status.queued as u64);
                prop_assert!(status.queued <= 8 && status.queued_bytes <= 8000);
            }
            in_hand.clear();
            prop_assert_eq!(queue.drop_waiting(LogDrop::Ended), queue.status().offered as usize
                - queue.status().written as usize - (queue.status().dropped_total() as usize
                - count(&queue.status(), LogDrop::Ended) as usize));
            prop_assert_eq!((queue.queued(), queue.status().queued_bytes), (0, 0));
        }
    }
}
