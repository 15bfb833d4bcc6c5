//! Shares of requests over a horizon, from counters that only grow.

use std::collections::VecDeque;
use std::sync::Arc;

use record::Lane;

use super::{Signal, SignalReading, percent};

/// Snapshots of a horizon; the oldest one inside it decides how exact its beginning is.
const SNAPSHOTS: i64 = 60;

/// Code that stands for an error event inside an answer that began well.
pub(crate) const INSIDE: u16 = 1;

/// Requests of one lane since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Finished requests by HTTP status; 0 is an answer that broke off.
    pub by_code: Vec<(u16, u64)>,
    /// Answers that began well and held an error event of the server's.
    pub failed_inside: u64,
    /// Requests whose body was read, or could not be.
    pub observed: u64,
    /// Of `observed`, those that could not be read.
    pub unreadable: u64,
}

/// Whether a status is the server's fault: 5xx, or 0 for an answer that broke off.
pub const fn is_error(status: u16) -> bool {
    status == 0 || status >= 500
}

/// Whether a status says that the request is not what the model expects. Those about who asks (401, 403, 407), how often (429)
/// or how slowly (408), and clients that hung up (499), say nothing about it.
pub const fn is_rejected(status: u16) -> bool {
    matches!(status, 400..=498) && !matches!(status, 401 | 403 | 407 | 408 | 429)
}

/// Sums at an instant.
#[derive(Clone, Debug, Default)]
struct Sums {
    at_ms: i64,
    requests: u64,
    errors: u64,
    rejected: u64,
    observed: u64,
    unreadable: u64,
    /// Codes that are errors or rejections.
    causes: Box<[(u16, u64)]>,
}

impl Sums {
    fn of(at_ms: i64, counts: &LaneCounts) -> Self {
        let sum = |wanted: fn(u16) -> bool| {
            counts.by_code.iter().filter(|(code, _)| wanted(*code)).map(|(_, n)| n).sum::<u64>()
        };
        let mut causes: Vec<(u16, u64)> = counts
            .by_code
            .iter()
            .copied()
            .filter(|(code, _)| is_error(*code) || is_rejected(*code))
            .collect();
        if counts.failed_inside > 0 {
            causes.push((INSIDE, counts.failed_inside));
        }
        Self {
            at_ms,
            requests: sum(|code| code != 499),
            errors: sum(is_error) + counts.failed_inside,
            rejected: sum(is_rejected),
            observed: counts.observed,
            unreadable: counts.unreadable,
            causes: causes.into(),
        }
    }

    fn cause(&self, code: u16) -> u64 {
        self.causes.iter().find(|(known, _)| *known == code).map_or(0, |(_, n)| *n)
    }
}

/// How many of the newest are hits, without one between them that is none.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    hits: u64,
}

impl Run {
    fn add(&mut self, hits: u64, all: u64) {
        self.hits = if hits >= all { self.hits.saturating_add(hits) } else { 0 };
    }
}

/// Rates of one lane over a horizon. Memory is bounded by about sixty snapshots.
#[derive(Clone, Debug)]
pub struct RateHorizon {
    horizon_ms: i64,
    snapshots: VecDeque<Sums>,
    newest: Sums,
    errors: Run,
    rejected: Run,
    unreadable: Run,
}

impl RateHorizon {
    /// An empty horizon of this length, milliseconds.
    pub fn new(horizon_ms: u64) -> Self {
        Self {
            horizon_ms: i64::try_from(horizon_ms).unwrap_or(i64::MAX).max(1),
            snapshots: VecDeque::new(),
            newest: Sums::default(),
            errors: Run::default(),
            rejected: Run::default(),
            unreadable: Run::default(),
        }
    }

    /// Takes the counters at an instant. A clock that was set back, and counters that are smaller than before, begin anew.
    pub fn push(&mut self, at_ms: i64, counts: &LaneCounts) {
        let now = Sums::of(at_ms, counts);
        let last = &self.newest;
        if self.snapshots.is_empty() || at_ms < last.at_ms || now.requests < last.requests {
            *self = Self::new(u64::try_from(self.horizon_ms).unwrap_or(1));
            self.snapshots.push_back(now.clone());
            self.newest = now;
            return;
        }
        let since = |of: fn(&Sums) -> u64| of(&now).saturating_sub(of(last));
        self.errors.add(since(|s| s.errors), since(|s| s.requests));
        self.rejected.add(since(|s| s.rejected), since(|s| s.requests));
        self.unreadable.add(since(|s| s.unreadable), since(|s| s.observed));
        let due = self.snapshots.back().is_none_or(|kept| at_ms - kept.at_ms >= self.horizon_ms / SNAPSHOTS);
        if due {
            self.snapshots.push_back(now.clone());
        }
        let start = at_ms.saturating_sub(self.horizon_ms);
        while self.snapshots.len() > 1 && self.snapshots.front().is_some_and(|first| first.at_ms < start) {
            self.snapshots.pop_front();
        }
        self.newest = now;
    }

    /// A rate at the newest instant; `None` of a signal that is none, and of a share without requests. What is older than the
    /// horizon does not count.
    pub fn reading(
        &self,
        of: (&Arc<str>, &Arc<str>, Lane),
        signal: Signal,
        before: Option<&Self>,
    ) -> Option<SignalReading> {
        let horizon_ms = u64::try_from(self.horizon_ms).unwrap_or(u64::MAX);
        let start = self.newest.at_ms.saturating_sub(self.horizon_ms);
        let first = self.snapshots.front().filter(|first| first.at_ms >= start)?;
        let since = |of: fn(&Sums) -> u64| of(&self.newest).saturating_sub(of(first));
        let requests = since(|sums| sums.requests);
        let (hits, n, run) = match signal {
            Signal::ErrorRate => (since(|sums| sums.errors), requests, self.errors),
            Signal::RejectedRate => (since(|sums| sums.rejected), requests, self.rejected),
            Signal::UnreadableRate => {
                (since(|sums| sums.unreadable), since(|sums| sums.observed), self.unreadable)
            }
            Signal::Volume => {
                let plain = SignalReading::plain(of, signal, horizon_ms, self.per_second(first)?, requests);
                let before = before.and_then(|hour| hour.earlier(first.at_ms));
                return Some(SignalReading { before, total: self.newest.requests, ..plain });
            }
            _ => return None,
        };
        let mut reading = SignalReading::share(of, signal, horizon_ms, hits.min(n), n)?;
        reading.in_a_row = run.hits.min(n);
        reading.total = match signal {
            Signal::UnreadableRate => self.newest.observed,
            _ => self.newest.requests,
        };
        reading.detail = (hits > 0).then(|| self.describe(signal, hits.min(n), n, first));
        Some(reading)
    }

    fn per_second(&self, first: &Sums) -> Option<f64> {
        let secs = (self.newest.at_ms - first.at_ms) as f64 / 1000.0;
        // Of less than half the horizon a volume is a guess.
        (secs * 2000.0 >= self.horizon_ms as f64)
            .then(|| self.newest.requests.saturating_sub(first.requests) as f64 / secs)
    }

    /// Requests per second between the beginning of this horizon and `until_ms`; `None` while it does not reach back far.
    fn earlier(&self, until_ms: i64) -> Option<f64> {
        let (first, last) =
            (self.snapshots.front()?, self.snapshots.iter().rev().find(|one| one.at_ms <= until_ms)?);
        let ms = last.at_ms - first.at_ms;
        (ms >= self.horizon_ms / 2)
            .then(|| last.requests.saturating_sub(first.requests) as f64 * 1000.0 / ms as f64)
    }

    /// "31% of 420 requests failed in the last minute (503)".
    fn describe(&self, signal: Signal, hits: u64, n: u64, first: &Sums) -> String {
        let share = percent((hits as f64 / n as f64 * 1000.0).round() / 1000.0);
        let verb = match signal {
            Signal::ErrorRate => "failed",
            Signal::RejectedRate => "were refused",
            _ => "could not be read",
        };
        let wanted: fn(u16) -> bool = match signal {
            Signal::ErrorRate => |code| is_error(code) || code == INSIDE,
            Signal::RejectedRate => is_rejected,
            _ => |_| false,
        };
        let increases = self.newest.causes.iter().filter(|(code, _)| wanted(*code));
        let most = increases
            .map(|(code, n)| (*code, n.saturating_sub(first.cause(*code))))
            .filter(|(_, n)| *n > 0)
            .max_by_key(|(_, n)| *n);
        let cause = most.map_or_else(String::new, |(code, n)| {
            let mostly = if n < hits { "mostly " } else { "" };
            format!(" ({mostly}{})", cause_text(code))
        });
        format!("{share} of {n} requests {verb} in the last {}{cause}", span(self.horizon_ms))
    }
}

/// A status as the cause of a failure.
fn cause_text(code: u16) -> String {
    match code {
        0 => "the answer broke off".to_owned(),
        INSIDE => "an error event inside the answer".to_owned(),
        502 => "502: no connection, or no valid answer".to_owned(),
        504 => "504: no answer in time".to_owned(),
        code => code.to_string(),
    }
}

fn span(ms: i64) -> String {
    match ms / 1000 {
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        secs if secs % 60 == 0 && secs > 0 => format!("{} min", secs / 60),
        secs => format!("{} s", secs.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of() -> (Arc<str>, Arc<str>) {
        ("fraud".into(), "v2".into())
    }

    fn counts(by_code: &[(u16, u64)]) -> LaneCounts {
        LaneCounts { by_code: by_code.to_vec(), ..LaneCounts::default() }
    }

    fn read(horizon: &RateHorizon, signal: Signal) -> Option<SignalReading> {
        let (model, version) = of();
        horizon.reading((&model, &version, Lane::Prod), signal, None)
    }

    #[test]
    fn what_is_older_than_the_horizon_does_not_count() {
        let mut horizon = RateHorizon::new(60_000);
        for second in 0..=200_u64 {
            let broken = second.saturating_sub(170);
            horizon.push(second as i64 * 1000, &counts(&[(200, second * 9), (503, broken)]));
        }
        let reading = read(&horizon, Signal::ErrorRate).expect("there are requests");
        assert_eq!((reading.n, (reading.value * reading.n as f64).round()), (570, 30.0));
        assert_eq!(reading.detail.as_deref(), Some("5.3% of 570 requests failed in the last minute (503)"));
        assert!(horizon.snapshots.len() <= 62, "{}", horizon.snapshots.len());
        horizon.push(10_000_000, &counts(&[(200, 1_800), (503, 30)]));
        assert_eq!(read(&horizon, Signal::ErrorRate), None, "nothing was asked for hours");
    }

    #[test]
    fn failures_in_a_row_are_counted_until_one_goes_well() {
        let mut horizon = RateHorizon::new(60_000);
        let row = |horizon: &RateHorizon| read(horizon, Signal::ErrorRate).map(|one| one.in_a_row);
        for (second, (fine, broken), expected) in [
            (0, (100, 0), None),
            (1, (110, 0), Some(0)),
            (2, (110, 5), Some(5)),
            (3, (110, 5), Some(5)),
            (4, (110, 25), Some(25)),
            (5, (111, 30), Some(0)),
            (6, (111, 31), Some(1)),
        ] {
            horizon.push(second * 1000, &counts(&[(200, fine), (502, broken)]));
            assert_eq!(row(&horizon), expected, "{second}");
        }
    }

    #[test]
    fn who_is_at_fault_goes_by_the_code() {
        let mut horizon = RateHorizon::new(60_000);
        horizon.push(0, &LaneCounts::default());
        let codes = [0, 200, 301, 400, 401, 403, 404, 408, 413, 422, 429, 499, 500, 503, 504, 599];
        let mut all = counts(&codes.map(|code| (code, 10)));
        all.failed_inside = 4;
        (all.observed, all.unreadable) = (50, 20);
        horizon.push(1_000, &all);
        let hits = |signal| {
            let reading = read(&horizon, signal).expect("there are requests");
            ((reading.value * reading.n as f64).round(), reading.n)
        };
        assert_eq!(hits(Signal::ErrorRate), (54.0, 150), "0, 500, 503, 504, 599 and those inside");
        assert_eq!(hits(Signal::RejectedRate), (40.0, 150), "400, 404, 413, 422");
        assert_eq!(hits(Signal::UnreadableRate), (20.0, 50));
    }

    #[test]
    fn counters_that_shrink_and_clocks_that_go_back_begin_anew() {
        for (at_ms, broken) in [(9_000, 1), (-1, 60)] {
            let mut horizon = RateHorizon::new(60_000);
            horizon.push(0, &counts(&[(503, 10)]));
            horizon.push(1_000, &counts(&[(503, 50)]));
            horizon.push(at_ms, &counts(&[(503, broken)]));
            assert_eq!(read(&horizon, Signal::ErrorRate), None);
        }
    }

    #[test]
    fn a_volume_is_compared_with_the_hour_before() {
        let (mut minute, mut hour) = (RateHorizon::new(60_000), RateHorizon::new(3_600_000));
        for second in 0..=2_400_i64 {
            let n = if second < 2_340 { second * 10 } else { 23_400 + (second - 2_340) };
            for horizon in [&mut minute, &mut hour] {
                horizon.push(second * 1000, &counts(&[(200, n as u64)]));
            }
        }
        let (model, version) = of();
        let volume = minute.reading((&model, &version, Lane::Prod), Signal::Volume, Some(&hour)).unwrap();
        assert!((volume.value - 1.0).abs() < 0.01, "{volume:?}");
        assert!(volume.before.is_some_and(|before| (before - 10.0).abs() < 0.01), "{volume:?}");
    }
}
