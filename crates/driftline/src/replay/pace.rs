//! When each request is due.
//!
//! Open loop: a slow server does not slow the schedule down, it makes requests late, and how late is told. A generator
//! that waits for answers instead measures its own politeness.

use std::time::{Duration, Instant};

/// A schedule of requests at a constant rate, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: Option<f64>,
}

impl Schedule {
    /// Request `i` is due at `start + i / per_second`; without a rate every request is due at once.
    pub(crate) fn new(start: Instant, per_second: Option<f64>) -> Self {
        Self { start, per_second }
    }

    /// When the request of this number, from 0, is due; `None` when there is no rate.
    pub(crate) fn due(&self, request: u64) -> Option<Instant> {
        let seconds = request as f64 / self.per_second?;
        self.start.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// How late the request is when it goes out at `now`; zero when it is not, or when there is no rate.
    pub(crate) fn behind(&self, request: u64, now: Instant) -> Duration {
        self.due(request).map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }
}

/// Reads a rate in requests per second, for clap.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("expected a number above 0 and at most 1000000, such as `200`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_a_constant_rate() {
        let start = Instant::now();
        let schedule = Schedule::new(start, Some(200.0));
        assert_eq!(schedule.due(0), Some(start));
        assert_eq!(schedule.due(1), Some(start + Duration::from_millis(5)));
        assert_eq!(schedule.due(1_000), Some(start + Duration::from_secs(5)));
        let slow = Schedule::new(start, Some(0.5));
        assert_eq!(slow.due(3), Some(start + Duration::from_secs(6)));
    }

    #[test]
    fn lateness_is_measured_from_the_schedule() {
        let start = Instant::now();
        let schedule = Schedule::new(start, Some(10.0));
        assert_eq!(schedule.behind(10, start + Duration::from_millis(2_500)), Duration::from_millis(1_500));
        assert_eq!(schedule.behind(10, start), Duration::ZERO);
    }

    #[test]
    fn without_a_rate_nothing_is_late() {
        let start = Instant::now();
        let schedule = Schedule::new(start, None);
        assert_eq!(schedule.due(7), None);
        assert_eq!(schedule.behind(7, start + Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn impossible_rates_are_refused() {
        for bad in ["0", "-1", "nan", "inf", "1e7", "many", ""] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_rate("0.5"), Ok(0.5));
    }
}
