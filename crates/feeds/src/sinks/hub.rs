//! From the monitor's thread to the queues: chooses what is logged, writes it once, gives it to every sink.

use std::sync::Arc;

use arc_swap::ArcSwap;
use record::{Follower, Inference, Lane, LineWriter};

use crate::sinks::{LogLine, LogStream, SinkQueue};

/// Streams (model, version, lane) remembered at a time. Beyond it all are forgotten and learned again.
const STREAMS_MAX: usize = 256;

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogFilter {
    /// Share of the requests, 0 to 100. Chosen by the request's id: a request and its copies are logged or left out
    /// together.
    pub sample_percent: f64,
    /// Whether what clients got is logged.
    pub prod: bool,
    /// Whether the shadows' answers are logged.
    pub shadow: bool,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { sample_percent: 100.0, prod: true, shadow: true }
    }
}

impl LogFilter {
    fn takes(&self, lane: Lane, id: impl FnOnce() -> u64) -> bool {
        let is_lane = match lane {
            Lane::Prod => self.prod,
            Lane::Shadow => self.shadow,
        };
        // 2^64 points of the hash against 100 percent.
        is_lane
            && (self.sample_percent >= 100.0 || (id() as f64) < self.sample_percent / 100.0 * 2_f64.powi(64))
    }
}

/// Where lines go now. Swapped as a whole by a reload.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    pub(crate) filter: LogFilter,
    pub(crate) queues: Vec<Arc<SinkQueue>>,
}

/// Writes the inference log's lines, on the monitor's thread. Without a sink it costs one load of a pointer.
#[derive(Debug)]
pub struct LogFollower {
    targets: Arc<ArcSwap<Targets>>,
    writer: LineWriter,
    streams: Vec<Arc<LogStream>>,
    /// Stands in for the id of requests that have none.
    anonymous: u64,
}

impl LogFollower {
    pub(crate) fn new(targets: Arc<ArcSwap<Targets>>) -> Self {
        Self { targets, writer: LineWriter::default(), streams: Vec::new(), anonymous: 0 }
    }

    fn stream(&mut self, inference: &Inference<'_>) -> Arc<LogStream> {
        let is_it = |stream: &&Arc<LogStream>| {
            *stream.version == *inference.version
                && *stream.model == *inference.model
                && stream.lane == inference.lane
        };
        if let Some(known) = self.streams.iter().find(is_it) {
            return Arc::clone(known);
        }
        if self.streams.len() >= STREAMS_MAX {
            self.streams.clear();
        }
        let stream = Arc::new(LogStream {
            model: inference.model.into(),
            version: inference.version.into(),
            lane: inference.lane,
        });
        self.streams.push(Arc::clone(&stream));
        stream
    }
}

impl Follower for LogFollower {
    fn saw(&mut self, inference: &Inference<'_>) {
        let targets = self.targets.load();
        if targets.queues.is_empty() {
            return;
        }
        let anonymous = &mut self.anonymous;
        let id = || match inference.request_id {
            [] => {
                *anonymous = anonymous.wrapping_add(1);
                mixed(*anonymous)
            }
            id => hash(id),
        };
        if !targets.filter.takes(inference.lane, id) {
            return;
        }
        let stream = self.stream(inference);
        let tenant = inference.tenant.unwrap_or_default();
        self.writer.write(inference, |json| {
            let stream = Arc::clone(&stream);
            let line = LogLine::new(inference.at_ms, stream, json, inference.request_id, tenant);
            let line = Arc::new(line);
            for queue in &targets.queues {
                queue.try_push(Arc::clone(&line));
            }
        });
    }
}

/// FNV-1a, mixed: the same on every machine, so that replicas choose the same requests.
fn hash(id: &[u8]) -> u64 {
    let fnv = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(fnv)
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014): spreads small differences over all bits.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use record::{CellValue, Decoded};

    use super::*;
    use crate::sinks::QueueLimits;

    fn follower(filter: LogFilter, queue: &Arc<SinkQueue>) -> LogFollower {
        let targets = Targets { filter, queues: vec![Arc::clone(queue)] };
        LogFollower::new(Arc::new(ArcSwap::from_pointee(targets)))
    }

    fn inference<'a>(decoded: &'a Decoded, lane: Lane, request_id: &'a [u8]) -> Inference<'a> {
        Inference {
            at_ms: 1_769_860_800_123,
            model: "fraud",
            version: "v2",
            lane,
            tenant: Some(b"acme"),
            request_id,
            status: Some(200),
            latency_ms: Some(1.5),
            request_bytes: None,
            response_bytes: None,
            headers: &[],
            decoded,
            problem: None,
            pairing: record::Pairing::default(),
        }
    }

    #[test]
    fn every_row_reaches_the_sink() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        let mut decoded = Decoded::new();
        let name = decoded.intern("a");
        (0..3).for_each(|row| decoded.push_feature(row, name, CellValue::Number(1.0)));
        let mut follower = follower(LogFilter::default(), &queue);
        follower.saw(&inference(&decoded, Lane::Shadow, b"r-1"));
        assert_eq!(queue.queued(), 3);
        let taken = queue.pop().unwrap();
        assert_eq!((taken.line().request_id(), taken.line().tenant()), (&b"r-1"[..], &b"acme"[..]));
        assert!(taken.line().json().starts_with(br#"{"ts":"2026-01-31T12:00:00.123Z","model":"fraud""#));
        assert_eq!(taken.line().stream.lane, Lane::Shadow);
    }

    #[test]
    fn a_sample_keeps_requests_and_their_copies_together() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        let decoded = Decoded::new();
        let mut follower = follower(LogFilter { sample_percent: 20.0, ..LogFilter::default() }, &queue);
        for request in 0..5_000 {
            let id = format!("r-{request}");
            let before = queue.queued();
            follower.saw(&inference(&decoded, Lane::Prod, id.as_bytes()));
            let after = queue.queued();
            follower.saw(&inference(&decoded, Lane::Shadow, id.as_bytes()));
            assert_eq!(queue.queued() - after, after - before);
        }
        // Twice 1000 expected; the standard deviation of the requests chosen is 28.
        assert!((1_700..2_300).contains(&queue.queued()), "{}", queue.queued());
        let before = queue.queued();
        (0..5_000).for_each(|_| follower.saw(&inference(&decoded, Lane::Prod, b"")));
        assert!((850..1_150).contains(&(queue.queued() - before)), "{}", queue.queued() - before);
    }

    #[test]
    fn a_lane_can_be_left_out() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        let decoded = Decoded::new();
        let mut follower = follower(LogFilter { shadow: false, ..LogFilter::default() }, &queue);
        follower.saw(&inference(&decoded, Lane::Shadow, b"1"));
        follower.saw(&inference(&decoded, Lane::Prod, b"1"));
        assert_eq!(queue.queued(), 1);
    }

    #[test]
    fn streams_are_few() {
        let queue = SinkQueue::new("test", QueueLimits::default());
        let decoded = Decoded::new();
        let mut follower = follower(LogFilter::default(), &queue);
        for version in 0..1_000 {
            let version = version.to_string();
            follower.saw(&Inference { version: &version, ..inference(&decoded, Lane::Prod, b"1") });
        }
        assert!(follower.streams.len() <= STREAMS_MAX);
    }
}
