//! A tap that keeps everything.

use std::sync::{Condvar, Mutex};

use gateway::Tap;
use record::Exchange;

use super::DEADLINE;

#[derive(Default)]
pub(crate) struct Recorder {
    log: Mutex<(Vec<Exchange>, Vec<String>)>,
    changed: Condvar,
}

impl Tap for Recorder {
    fn offer(&self, exchange: Exchange) {
        self.log.lock().unwrap().0.push(exchange);
        self.changed.notify_all();
    }

    fn skipped(&self, model: &str, reason: &'static str) {
        self.log.lock().unwrap().1.push(format!("{model} {reason}"));
        self.changed.notify_all();
    }
}

impl Recorder {
    /// Waits for `n` exchanges.
    #[track_caller]
    pub(crate) fn exchanges(&self, n: usize) -> Vec<Exchange> {
        let log = self.log.lock().unwrap();
        let (log, late) = self.changed.wait_timeout_while(log, DEADLINE, |log| log.0.len() < n).unwrap();
        assert!(!late.timed_out(), "{} exchanges, not {n}; skipped {:?}", log.0.len(), log.1);
        log.0.clone()
    }

    /// Waits for `n` skipped ones.
    #[track_caller]
    pub(crate) fn skips(&self, n: usize) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let (log, late) = self.changed.wait_timeout_while(log, DEADLINE, |log| log.1.len() < n).unwrap();
        assert!(!late.timed_out(), "{} skipped, not {n}", log.1.len());
        log.1.clone()
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        let log = self.log.lock().unwrap();
        (log.0.len(), log.1.len())
    }
}
