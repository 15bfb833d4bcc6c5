//! What a source counts.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::Counted;

/// Whether a source works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Not begun yet.
    #[default]
    Starting,
    /// Reads, or waits for something to read.
    Running,
    /// What it reads is away; it tries again.
    Retrying,
    /// Has read everything, or was ended.
    Ended,
    /// Has given up.
    Failed,
}

impl SourceState {
    const ALL: [Self; 5] = [Self::Starting, Self::Running, Self::Retrying, Self::Ended, Self::Failed];

    /// As shown: `starting`, `running`, `retrying`, `ended` or `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// Reasons why something that a source read was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Could not be read as what the source is said to hold.
    Malformed,
    /// Names no model, and the source has none to give.
    NoModel,
    /// The monitor refused it: an unknown model, a refused request, too many versions.
    Refused,
    /// Longer than allowed.
    TooLarge,
    /// Seen before.
    Duplicate,
    /// One half of an inference whose other half never came.
    Unpaired,
    /// Nothing to count: a tombstone, an empty message.
    Empty,
}

impl Reject {
    const ALL: [Self; 7] = [
        Self::Malformed,
        Self::NoModel,
        Self::Refused,
        Self::TooLarge,
        Self::Duplicate,
        Self::Unpaired,
        Self::Empty,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoModel => "no_model",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Duplicate => "duplicate",
            Self::Unpaired => "unpaired",
            Self::Empty => "empty",
        }
    }
}

/// One source's counters.
#[derive(Debug, Default)]
pub struct SourceCounters {
    accepted: AtomicU64,
    rejected: [AtomicU64; Reject::ALL.len()],
    bytes: AtomicU64,
    errors: AtomicU64,
    lag: AtomicI64,
    state: AtomicU8,
}

/// What a source has counted so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether it works.
    pub state: SourceState,
    /// Observations that were counted.
    pub accepted: u64,
    /// Those that were not, by reason; every reason, also at zero.
    pub rejected: Vec<(&'static str, u64)>,
    /// Bytes read.
    pub bytes: u64,
    /// Failures of what it reads from: lost connections, files that could not be opened.
    pub errors: u64,
    /// What is still to be read, in the source's own unit (messages, bytes); `None` where it can't know.
    pub lag: Option<u64>,
}

impl SourceCounters {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let counters = Self::default();
        counters.lag.store(-1, Relaxed);
        counters
    }

    /// Counts what became of a batch.
    pub fn counted(&self, counted: &Counted) {
        self.accepted.fetch_add(counted.accepted as u64, Relaxed);
        self.reject_many(Reject::Refused, counted.rejected.len() as u64);
    }

    /// Counts one thing that was read and not handed over.
    pub fn reject(&self, reason: Reject) {
        self.reject_many(reason, 1);
    }

    /// Counts bytes read.
    pub fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts a failure of what it reads from.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// Says how much is still to be read.
    pub fn set_lag(&self, lag: u64) {
        self.lag.store(i64::try_from(lag).unwrap_or(i64::MAX), Relaxed);
    }

    /// Says whether it works.
    pub fn set_state(&self, state: SourceState) {
        self.state.store(state as u8, Relaxed);
    }

    /// Everything counted so far.
    pub fn status(&self) -> SourceStatus {
        let state = SourceState::ALL.into_iter().find(|state| *state as u8 == self.state.load(Relaxed));
        let rejected = Reject::ALL.into_iter().zip(&self.rejected);
        SourceStatus {
            state: state.unwrap_or_default(),
            accepted: self.accepted.load(Relaxed),
            rejected: rejected.map(|(reason, count)| (reason.as_str(), count.load(Relaxed))).collect(),
            bytes: self.bytes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            lag: u64::try_from(self.lag.load(Relaxed)).ok(),
        }
    }

    fn reject_many(&self, reason: Reject, count: u64) {
        if let Some(counter) = self.rejected.get(reason as usize) {
            counter.fetch_add(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let counters = SourceCounters::new();
        for (times, reason) in Reject::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| counters.reject(reason));
        }
        let counts: Vec<u64> = counters.status().rejected.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, (1..=Reject::ALL.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn states_and_lag_come_back_as_they_were_set() {
        let counters = SourceCounters::new();
        assert_eq!((counters.status().state, counters.status().lag), (SourceState::Starting, None));
        for state in SourceState::ALL {
            counters.set_state(state);
            assert_eq!(counters.status().state, state);
        }
        counters.set_lag(7);
        assert_eq!(counters.status().lag, Some(7));
    }

    #[test]
    fn a_batch_is_counted_by_what_became_of_it() {
        let counters = SourceCounters::new();
        counters.counted(&Counted { accepted: 3, rejected: vec![(1, "no".to_owned())] });
        let status = counters.status();
        assert_eq!(status.accepted, 3);
        assert!(status.rejected.contains(&("refused", 1)));
    }
}
