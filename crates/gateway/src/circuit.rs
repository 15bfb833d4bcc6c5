//! A shadow that does not answer is left alone: after some failures in a row only one copy a second tries it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Failures in a row (connecting, or no answer in time) that open the circuit.
const FAILURES: u32 = 5;
/// Time between two probes, milliseconds.
const PROBE_MS: u64 = 1000;

/// One shadow's circuit. Times are milliseconds since any fixed instant, from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures: AtomicU32,
    /// When the next probe may go; 0 while the circuit is closed.
    next_probe_ms: AtomicU64,
}

/// Whether a copy may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The shadow is well.
    Closed,
    /// It was not; this one copy finds out.
    Probe,
    /// It was not, and it is not time to ask again.
    Open,
}

impl Circuit {
    /// Asks for one copy at `now_ms`.
    pub(crate) fn admit(&self, now_ms: u64) -> Admission {
        let due = self.next_probe_ms.load(Relaxed);
        if due == 0 {
            return Admission::Closed;
        }
        // Only one of all threads wins the probe.
        let probe = now_ms >= due
            && self.next_probe_ms.compare_exchange(due, now_ms + PROBE_MS, Relaxed, Relaxed).is_ok();
        if probe { Admission::Probe } else { Admission::Open }
    }

    /// Whether copies that were admitted earlier should still go.
    pub(crate) fn is_open(&self) -> bool {
        self.next_probe_ms.load(Relaxed) != 0
    }

    /// An answer came.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.next_probe_ms.store(0, Relaxed);
        }
    }

    /// No connection, or no answer in time.
    pub(crate) fn failed(&self, now_ms: u64) {
        let before = self.failures.fetch_add(1, Relaxed);
        if before.saturating_add(1) >= FAILURES {
            self.failures.store(FAILURES, Relaxed);
            self.next_probe_ms.store(now_ms + PROBE_MS, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_probes_once_a_second() {
        let circuit = Circuit::default();
        for _ in 1..FAILURES {
            circuit.failed(10);
            assert_eq!(circuit.admit(10), Admission::Closed);
        }
        circuit.failed(10);
        assert_eq!(circuit.admit(1009), Admission::Open);
        assert_eq!(circuit.admit(1010), Admission::Probe);
        assert_eq!(circuit.admit(1010), Admission::Open);
        circuit.failed(1020);
        assert_eq!(circuit.admit(2019), Admission::Open);
        assert_eq!(circuit.admit(2020), Admission::Probe);
        circuit.succeeded();
        assert_eq!(circuit.admit(2021), Admission::Closed);
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let circuit = Circuit::default();
        for _ in 0..20 {
            for _ in 1..FAILURES {
                circuit.failed(1);
            }
            circuit.succeeded();
        }
        assert!(!circuit.is_open());
    }
}
