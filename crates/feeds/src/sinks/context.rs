//! What a running sink works with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::sinks::{SinkQueue, Taken};

/// How long a sink rests when nothing waits: short after work, longer when idle. It looks instead of being woken: a
/// wake-up would cost the monitor's thread more than the line.
const REST_BUSY: Duration = Duration::from_millis(5);
const REST_IDLE: Duration = Duration::from_millis(50);

/// What a sink has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub enum SinkOrder {
    /// Write what comes.
    #[default]
    Run,
    /// Another takes over: finish what is in hand and take no more.
    HandOver,
    /// The process ends: write what waits, then end.
    Finish,
    /// End now. A sink never sees this: its future is dropped, and what it had in hand goes back into the queue.
    Quit,
}

/// How many lines make a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRule {
    /// Most lines.
    pub records: usize,
    /// Most bytes of JSON. A longer line is a batch of its own.
    pub bytes: usize,
    /// Longest wait for the batch to fill, from its first line on.
    pub age: Duration,
}

/// What a running sink works with: where its lines come from and when it has to end.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// Its lines, and what it counts.
    pub queue: Arc<SinkQueue>,
    /// What it has been told.
    pub order: watch::Receiver<SinkOrder>,
    /// Unix milliseconds now.
    pub clock: fn() -> i64,
}

impl SinkContext {
    /// The next lines, at least one, oldest first; `None` when the sink has to end. Every sink is a loop around this.
    pub async fn take(&self, rule: &BatchRule) -> Option<Vec<Taken>> {
        let mut batch = Vec::with_capacity(rule.records.min(256));
        let mut bytes = 0;
        let mut held = None;
        let mut until = None;
        let mut rest = REST_BUSY;
        loop {
            if self.order() == SinkOrder::HandOver && batch.is_empty() {
                return None;
            }
            while batch.len() < rule.records {
                let Some(taken) = self.queue.pop() else { break };
                bytes += taken.line().json().len();
                if bytes > rule.bytes && !batch.is_empty() {
                    held = Some(taken);
                    break;
                }
                batch.push(taken);
            }
            let is_full = held.is_some() || batch.len() >= rule.records || bytes >= rule.bytes;
            let now = Instant::now();
            if !batch.is_empty() {
                let until = *until.get_or_insert(now + rule.age);
                if is_full || now >= until || self.order() != SinkOrder::Run {
                    held.into_iter().for_each(Taken::put_back);
                    return Some(batch);
                }
                rest = rest.min(until - now);
            } else if self.order() == SinkOrder::Finish {
                return None;
            }
            self.rest(rest).await;
            rest = (rest * 2).clamp(REST_BUSY, REST_IDLE);
        }
    }

    /// Waits, but not longer than until the next order.
    pub async fn rest(&self, time: Duration) {
        let mut order = self.order.clone();
        let told = *order.borrow_and_update();
        let news = async {
            if order.wait_for(|order| *order != told).await.is_err() {
                // Nobody is left to give orders.
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(time, news).await.unwrap_or_default();
    }

    /// What the sink has been told.
    pub fn order(&self) -> SinkOrder {
        *self.order.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::{context, line};

    fn rule(records: usize, bytes: usize) -> BatchRule {
        BatchRule { records, bytes, age: Duration::from_secs(3600) }
    }

    fn sizes(batch: Vec<Taken>) -> Vec<usize> {
        batch
            .into_iter()
            .map(|taken| {
                let bytes = taken.line().json().len();
                taken.written();
                bytes
            })
            .collect()
    }

    #[tokio::test]
    async fn batches_are_full_or_old_and_keep_the_order() {
        let (context, orders) = context();
        for bytes in [40, 50, 20, 300, 1, 2, 3] {
            context.queue.try_push(line(&"x".repeat(bytes)));
        }
        assert_eq!(sizes(context.take(&rule(100, 100)).await.unwrap()), [40, 50]);
        assert_eq!(sizes(context.take(&rule(100, 100)).await.unwrap()), [20]);
        assert_eq!(sizes(context.take(&rule(100, 100)).await.unwrap()), [300]);
        assert_eq!(sizes(context.take(&rule(2, 100)).await.unwrap()), [1, 2]);
        let soon = BatchRule { age: Duration::from_millis(1), ..rule(100, 100) };
        assert_eq!(sizes(context.take(&soon).await.unwrap()), [3]);
        context.queue.try_push(line("x"));
        orders.send_replace(SinkOrder::Finish);
        assert_eq!(sizes(context.take(&rule(100, 100)).await.unwrap()), [1]);
        assert!(context.take(&rule(100, 100)).await.is_none());
    }

    #[tokio::test]
    async fn who_hands_over_takes_no_more() {
        let (context, orders) = context();
        context.queue.try_push(line("x"));
        orders.send_replace(SinkOrder::HandOver);
        assert!(context.take(&rule(1, 1)).await.is_none());
        assert_eq!(context.queue.queued(), 1);
    }
}
