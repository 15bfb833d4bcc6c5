//! What became of the requests: codes, failures, latencies.

use std::collections::BTreeMap;
use std::time::Duration;

/// Ratio of neighbouring bounds of [`LatencySketch`]: quantiles are within half a percent.
const GROWTH: f64 = 1.01;

/// Bounds from a microsecond to more than an hour.
const BUCKETS: usize = 2_300;

/// Latencies in buckets that grow by a percent: quantiles of any number of requests in 18 KB.
#[derive(Clone, Debug)]
pub(crate) struct LatencySketch {
    counts: Vec<u64>,
    n: u64,
}

impl Default for LatencySketch {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], n: 0 }
    }
}

impl LatencySketch {
    /// Counts one.
    pub(crate) fn add(&mut self, took: Duration) {
        let microseconds = (took.as_secs_f64() * 1e6).max(1.0);
        let bucket = (microseconds.ln() / GROWTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.n += 1;
    }

    /// How many were counted.
    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    /// The `q`-quantile in milliseconds (nearest rank), to half a percent; `None` when nothing was counted.
    pub(crate) fn quantile_ms(&self, q: f64) -> Option<f64> {
        let rank = ((q * self.n as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return Some(GROWTH.powf(bucket as f64 + 0.5) / 1000.0);
            }
        }
        None
    }
}

/// What became of the requests of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were begun.
    pub(crate) sent: u64,
    /// Answers by status code.
    by_code: BTreeMap<u16, u64>,
    /// Requests without a whole answer.
    failed: u64,
    latencies: LatencySketch,
    /// The latest that a request went out after it was due.
    pub(crate) behind_max: Duration,
    /// The first thing that went wrong, for the user.
    pub(crate) first_problem: Option<String>,
}

impl Tally {
    /// Counts an answer.
    pub(crate) fn answered(&mut self, code: u16, took: Duration) {
        *self.by_code.entry(code).or_default() += 1;
        self.latencies.add(took);
    }

    /// Counts a request without a whole answer.
    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// Keeps the first problem; `text` is only made for that one.
    pub(crate) fn problem(&mut self, text: impl FnOnce() -> String) {
        self.first_problem.get_or_insert_with(text);
    }

    /// Requests that have ended, well or not.
    pub(crate) fn ended(&self) -> u64 {
        self.by_code.values().sum::<u64>() + self.failed
    }

    /// Answers with a code of 200 to 299.
    pub(crate) fn fine(&self) -> u64 {
        self.by_code.range(200..300).map(|(_, count)| count).sum()
    }

    /// Whether every request that ended was answered with 2xx.
    pub(crate) fn is_all_fine(&self) -> bool {
        self.fine() == self.ended()
    }

    /// Classes with their counts, for a progress bar: `2xx 120  5xx 3  failed 1`.
    pub(crate) fn classes(&self) -> String {
        let mut classes: BTreeMap<u16, u64> = BTreeMap::from([(2, 0)]);
        for (code, count) in &self.by_code {
            *classes.entry(code / 100).or_default() += count;
        }
        let mut text: Vec<String> =
            classes.iter().map(|(class, count)| format!("{class}xx {count}")).collect();
        if self.failed > 0 {
            text.push(format!("failed {}", self.failed));
        }
        text.join("  ")
    }

    /// The line that a run ends with.
    pub(crate) fn summary(&self, took: Duration) -> String {
        let mut parts = vec![format!("sent {}", self.sent), format!("2xx {}", self.fine())];
        let others = self.by_code.iter().filter(|(code, _)| !(200..300).contains(*code));
        parts.extend(others.map(|(code, count)| format!("{code} {count}")));
        parts.push(format!("failed {}", self.failed));
        let unfinished = self.sent.saturating_sub(self.ended());
        if unfinished > 0 {
            parts.push(format!("unfinished {unfinished}"));
        }
        for (name, q) in [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)] {
            let value = self.latencies.quantile_ms(q).map_or_else(|| "-".to_owned(), milliseconds);
            parts.push(format!("{name} {value}"));
        }
        let seconds = took.as_secs_f64();
        parts.push(format!("{seconds:.2} s ({:.0}/s)", self.ended() as f64 / seconds.max(1e-9)));
        parts.join(", ")
    }
}

/// Milliseconds with three digits that say something.
pub(crate) fn milliseconds(ms: f64) -> String {
    let digits = if ms < 10.0 { 2 } else { usize::from(ms < 100.0) };
    format!("{ms:.digits$} ms")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_in_one_line() {
        let mut tally = Tally { sent: 104, ..Tally::default() };
        for ms in 1..=100 {
            tally.answered(200, Duration::from_millis(ms));
        }
        tally.answered(503, Duration::from_millis(2));
        tally.answered(404, Duration::from_millis(2));
        tally.failed();
        insta::assert_snapshot!(tally.summary(Duration::from_secs(10)),
            @"sent 104, 2xx 100, 404 1, 503 1, failed 1, unfinished 1, p50 49.1 ms, p95 94.6 ms, p99 99.5 ms, 10.00 s (10/s)");
        assert_eq!(tally.classes(), "2xx 100  4xx 1  5xx 1  failed 1");
        assert!(!tally.is_all_fine());
    }

    #[test]
    fn nothing_sent_has_no_quantiles() {
        let summary = Tally::default().summary(Duration::from_secs(1));
        assert_eq!(summary, "sent 0, 2xx 0, failed 0, p50 -, p95 -, p99 -, 1.00 s (0/s)");
    }

    #[test]
    fn only_the_first_problem_is_kept() {
        let mut tally = Tally::default();
        tally.problem(|| "first".to_owned());
        tally.problem(|| unreachable!());
        assert_eq!(tally.first_problem.as_deref(), Some("first"));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_percent(mut us in proptest::collection::vec(1_u64..1_000_000_000, 1..200), q in 0.0..=1.0_f64) {
            let mut sketch = LatencySketch::default();
            us.iter().for_each(|us| sketch.add(Duration::from_micros(*us)));
            us.sort_unstable();
            let exact = us[((q * us.len() as f64).ceil() as usize).max(1) - 1] as f64 / 1000.0;
            let found = sketch.quantile_ms(q).unwrap();
            prop_assert!((found / exact - 1.0).abs() < 0.0101, "{found} for {exact}");
        }
    }
}
