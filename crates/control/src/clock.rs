//! Time that neither jumps nor runs backwards.
//!
//! Wall clocks are set, and machines sleep. Whether an alert fires and how long a cool-down lasts must not depend on it:
//! durations are added up from steps of the wall clock, and a step backwards, or one of more than an hour, adds nothing.

/// The longest step that is believed, milliseconds.
const STEP_MAX_MS: i64 = 3_600_000;

/// Adds up believable steps of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SteadyClock {
    last_ms: i64,
    steady_ms: u64,
    steps_refused: u64,
}

impl SteadyClock {
    /// Goes on at `steady_ms` from now.
    pub(crate) const fn resume(now_ms: i64, steady_ms: u64) -> Self {
        Self { last_ms: now_ms, steady_ms, steps_refused: 0 }
    }

    /// Moves to `now_ms`; the answer is how much time has passed for alerts and cool-downs, milliseconds.
    pub(crate) fn advance(&mut self, now_ms: i64) -> u64 {
        let step = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        if !(0..=STEP_MAX_MS).contains(&step) {
            self.steps_refused += 1;
            tracing::warn!(step_ms = step, "the clock was set or the machine slept: the step does not count");
            return 0;
        }
        let step = step.unsigned_abs();
        self.steady_ms = self.steady_ms.saturating_add(step);
        step
    }

    /// Milliseconds added up so far, over restarts.
    pub(crate) const fn steady_ms(&self) -> u64 {
        self.steady_ms
    }

    /// Steps that were not believed since the start.
    pub(crate) const fn steps_refused(&self) -> u64 {
        self.steps_refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_back_and_long_jumps_add_nothing() {
        let mut clock = SteadyClock::resume(1_000_000, 7);
        assert_eq!(clock.advance(1_001_000), 1_000);
        assert_eq!(clock.advance(1_001_000), 0);
        assert_eq!(clock.advance(900_000), 0);
        assert_eq!(clock.advance(901_000), 1_000);
        assert_eq!(clock.advance(901_000 + 3_600_001), 0);
        assert_eq!(clock.steady_ms(), 2_007);
        assert_eq!(clock.steps_refused(), 2);
        assert_eq!(clock.advance(i64::MIN), 0);
        assert_eq!(clock.advance(i64::MAX), 0);
    }
}
