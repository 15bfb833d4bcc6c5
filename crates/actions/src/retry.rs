//! Trying again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::call::Failure;

/// How something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Pause after the first failure; doubled after each.
    pub(crate) first: Duration,
    /// Longest pause of our own; a server may ask for a longer one.
    pub(crate) longest: Duration,
    /// No further try begins later than this after the first.
    pub(crate) within: Duration,
}

impl Retry {
    /// Tries until it is done, no further try helps, or there is no time for another. The second part of the answer: how
    /// often it was tried.
    pub(crate) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> (Result<T, Failure>, u32)
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let began = Instant::now();
        let (mut pause, mut tries) = (self.first, 1);
        loop {
            let failure = match attempt().await {
                Ok(done) => return (Ok(done), tries),
                Err(failure) => failure,
            };
            // Half of the pause is drawn: what failed together does not come back together.
            let wait = failure.after.unwrap_or_default().max(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            if !failure.retry || began.elapsed() + wait > self.within {
                return (Err(failure), tries);
            }
            tracing::debug!(%failure, tries, "trying again");
            sleep(wait).await;
            pause = (pause * 2).min(self.longest);
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::block_on;

    const FAST: Retry = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        within: Duration::from_millis(500),
    };

    #[test]
    fn as_long_as_it_may_help() {
        block_on(async {
            let left = Cell::new(3);
            let attempt = || async {
                left.set(left.get() - 1);
                if left.get() > 0 { Err(Failure::later("busy")) } else { Ok("done") }
            };
            assert_eq!(FAST.run(attempt).await, (Ok("done"), 3));
            let (outcome, tries) = FAST.run(|| async { Err::<(), _>(Failure::never("no")) }).await;
            assert_eq!((outcome.unwrap_err().reason.as_str(), tries), ("no", 1));
        });
    }

    #[test]
    fn not_when_the_server_asks_for_more_time_than_there_is() {
        block_on(async {
            let failure = Failure { after: Some(Duration::from_secs(60)), ..Failure::later("busy") };
            let (outcome, tries) = FAST.run(|| async { Err::<(), _>(failure.clone()) }).await;
            assert_eq!((outcome.is_err(), tries), (true, 1));
        });
    }
}
