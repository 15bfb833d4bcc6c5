//! What the sinks' tests share.

use std::sync::Arc;

use record::Lane;
use tokio::sync::watch;

use crate::sinks::{LogLine, LogStream, QueueLimits, SinkContext, SinkOrder, SinkQueue};

/// 2026-01-31T12:00:00Z.
pub(crate) const NOW_MS: i64 = 1_769_860_800_000;

pub(crate) fn context() -> (SinkContext, watch::Sender<SinkOrder>) {
    let (orders, order) = watch::channel(SinkOrder::Run);
    let queue = SinkQueue::new("test", QueueLimits::default());
    (SinkContext { queue, order, clock: || NOW_MS }, orders)
}

/// A line of the prod lane.
pub(crate) fn line(json: &str) -> Arc<LogLine> {
    line_of(Lane::Prod, json)
}

pub(crate) fn line_of(lane: Lane, json: &str) -> Arc<LogLine> {
    let stream = LogStream { model: "fraud".into(), version: "v2".into(), lane };
    Arc::new(LogLine::new(NOW_MS, Arc::new(stream), json.as_bytes(), b"r-1", b"acme"))
}
