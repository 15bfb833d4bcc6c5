//! The inference log to Kafka.
//!
//! Lines go out in batches and every delivery report is waited for: a line is written when the brokers have it in all
//! replicas (`acks=all`, idempotent, so that a retry below us makes no second copy). While brokers are away a batch waits
//! inside librdkafka, whose memory is bounded, and the rest in the queue; what does not fit there is dropped and counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::kafka::{Connection, Told, described, is_refusal};
use crate::sinks::{BatchRule, LogDrop, LogLine, SinkContext, SinkError, SinkQueue, Taken};

/// Lines and bytes handed to librdkafka at a time.
const BATCH: usize = 5_000;
const BATCH_BYTES: usize = 4 << 20;

/// Rest before lines that were not taken are offered again, at first and at most.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Kafka as a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSinkSpec {
    /// The brokers.
    pub connection: Connection,
    /// Where the lines go.
    pub topic: String,
    /// What is a line's key.
    pub key: KafkaKey,
    /// How batches are compressed.
    pub compression: Compression,
    /// Longest wait for a batch to fill.
    pub batch_every: Duration,
    /// How long a line is tried to be delivered.
    pub keep_trying: Duration,
}

/// What is a line's key: lines of one key stay in order, in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KafkaKey {
    /// The request's id: a request and its copies go together.
    #[default]
    RequestId,
    /// The tenant.
    Tenant,
    /// Nothing: partitions are drawn.
    None,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

pub(super) async fn run(spec: &KafkaSinkSpec, context: &SinkContext) -> Result<(), SinkError> {
    let rule = BatchRule { records: BATCH, bytes: BATCH_BYTES, age: spec.batch_every };
    let told = Arc::new(Told::default());
    let mut producer = open(spec, context, &told)?;
    while let Some(batch) = context.take(&rule).await {
        let (mut batch, began, mut rest) = (batch, Instant::now(), FIRST_REST);
        loop {
            let round = deliver(&producer, spec, batch, &told).await;
            if round.n_written > 0 && context.queue.set_up(true) {
                tracing::info!("kafka takes the inference log again");
            }
            if round.is_broken {
                producer = open(spec, context, &told)?;
            }
            batch = round.again;
            if batch.is_empty() {
                break;
            }
            context.queue.set_up(false);
            if began.elapsed() >= spec.keep_trying {
                batch.into_iter().for_each(|taken| taken.dropped(LogDrop::Expired));
                break;
            }
            context.rest(rest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            // An order that is already known would make `rest` return at once for ever.
            tokio::time::sleep(FIRST_REST / 10).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    }
    Ok(())
}

fn open(
    spec: &KafkaSinkSpec,
    context: &SinkContext,
    told: &Arc<Told>,
) -> Result<FutureProducer<Events>, SinkError> {
    let timeout = spec.keep_trying.as_millis().clamp(1, i32::MAX as u128).to_string();
    let config = spec.connection.client(&[
        ("enable.idempotence", "true"),
        ("compression.codec", spec.compression.as_str()),
        ("message.timeout.ms", &timeout),
        ("linger.ms", "5"),
        // As Java's clients do it: a key's lines lie in one partition, whoever writes them.
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.kbytes", "65536"),
    ]);
    let events = Events { queue: Arc::clone(&context.queue), told: Arc::clone(told) };
    config
        .create_with_context(events)
        .map_err(|error| SinkError::Setup(format!("kafka: {}", described(&error))))
}

/// What became of a batch at one try.
#[derive(Debug, Default)]
struct Round {
    n_written: usize,
    /// Lines to be offered again.
    again: Vec<Taken>,
    /// The producer is of no more use.
    is_broken: bool,
}

/// What is to be done with a line that was not delivered.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Again,
    Drop(LogDrop),
}

async fn deliver(
    producer: &FutureProducer<Events>,
    spec: &KafkaSinkSpec,
    batch: Vec<Taken>,
    told: &Told,
) -> Round {
    let mut round = Round::default();
    let mut under_way = Vec::with_capacity(batch.len());
    for taken in batch {
        let sent = producer.send_result(record(taken.line(), spec)).map_err(|(error, _)| error);
        match sent {
            Ok(report) => under_way.push((taken, report)),
            Err(error) => round.settle(taken, &error, told),
        }
    }
    for (taken, report) in under_way {
        match report.await {
            Ok(Ok(_)) => {
                round.n_written += 1;
                taken.written();
            }
            Ok(Err((error, _))) => round.settle(taken, &error, told),
            // The producer is gone, and with it what it knew.
            Err(_) => round.again.push(taken),
        }
    }
    round
}

impl Round {
    fn settle(&mut self, taken: Taken, error: &KafkaError, told: &Told) {
        let code = error.rdkafka_error_code();
        self.is_broken |= code == Some(RDKafkaErrorCode::Fatal);
        let fate = fate(code);
        // A full buffer is no trouble: it empties.
        if code != Some(RDKafkaErrorCode::QueueFull)
            && let Some(also) = told.may_say(&format!("{code:?}"))
        {
            let error = described(error);
            tracing::warn!(also_since_the_last = also, "kafka does not take the inference log: {error}");
        }
        match fate {
            Fate::Again => self.again.push(taken),
            Fate::Drop(reason) => taken.dropped(reason),
        }
    }
}

fn fate(code: Option<RDKafkaErrorCode>) -> Fate {
    use RDKafkaErrorCode as Code;
    match code {
        Some(Code::MessageTimedOut) => Fate::Drop(LogDrop::Expired),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Fate::Drop(LogDrop::TooLong),
        Some(code) if is_refusal(code) => Fate::Drop(LogDrop::Unauthorized),
        Some(Code::InvalidMessage | Code::InvalidRecord | Code::InvalidTopic | Code::PolicyViolation) => {
            Fate::Drop(LogDrop::Rejected)
        }
        // A topic that is not there yet, a full buffer, a purged producer, leaders that move.
        _ => Fate::Again,
    }
}

fn record<'a>(line: &'a LogLine, spec: &'a KafkaSinkSpec) -> FutureRecord<'a, [u8], [u8]> {
    let record = FutureRecord::to(&spec.topic).payload(line.json()).timestamp(line.at_ms);
    let key = match spec.key {
        KafkaKey::RequestId => line.request_id(),
        KafkaKey::Tenant => line.tenant(),
        KafkaKey::None => &[],
    };
    if key.is_empty() { record } else { record.key(key) }
}

/// What librdkafka tells beside the delivery reports.
struct Events {
    queue: Arc<SinkQueue>,
    told: Arc<Told>,
}

impl ClientContext for Events {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error as well.
        tracing::debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.queue.set_up(false);
        let code = error.rdkafka_error_code();
        let what = match code {
            Some(code) if is_refusal(code) => "the brokers refuse us: check the credentials",
            _ => "the brokers cannot be reached",
        };
        if let Some(also) = self.told.may_say(&format!("client {code:?}")) {
            tracing::warn!(
                also_since_the_last = also,
                error = reason,
                "kafka does not take the inference log: {what}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Message as _;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr;

    use super::*;
    use crate::sinks::testing::{context, line};
    use crate::sinks::{SinkOrder, SinkStatus};

    const TOPIC: &str = "log";

    fn spec(brokers: &str) -> KafkaSinkSpec {
        KafkaSinkSpec {
            connection: Connection {
                brokers: vec![brokers.to_owned()],
                sasl: None,
                tls: None,
                settings: vec![
                    ("retry.backoff.ms".to_owned(), "10".to_owned()),
                    ("reconnect.backoff.ms".to_owned(), "10".to_owned()),
                ],
            },
            topic: TOPIC.to_owned(),
            key: KafkaKey::default(),
            compression: Compression::Zstd,
            batch_every: Duration::from_millis(1),
            keep_trying: Duration::from_secs(30),
        }
    }

    /// Runs the sink over these lines to its end.
    async fn logged(spec: &KafkaSinkSpec, lines: &[String]) -> SinkStatus {
        let (context, orders) = context();
        lines.iter().for_each(|json| context.queue.try_push(line(json)));
        orders.send_replace(SinkOrder::Finish);
        run(spec, &context).await.unwrap();
        context.queue.status()
    }

    fn lines(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("{{\"n\":{n}}}")).collect()
    }

    fn dropped(status: &SinkStatus, reason: LogDrop) -> u64 {
        status.dropped.iter().find(|(name, _)| *name == reason.as_str()).unwrap().1
    }

    /// The first `n` messages of the topic: key and value.
    fn stored(brokers: &str, n: usize) -> Vec<(String, String)> {
        let config = spec(brokers).connection.client(&[
            ("group.id", "check"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
        ]);
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[TOPIC]).unwrap();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let mut seen = Vec::new();
        let began = Instant::now();
        while seen.len() < n && began.elapsed() < Duration::from_secs(60) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                seen.push((text(message.key()), text(message.payload())));
            }
        }
        seen.sort();
        seen
    }

    #[tokio::test]
    async fn every_line_arrives_once_through_errors_that_pass() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 2, 1).unwrap();
        cluster.request_errors(
            rdkafka::types::RDKafkaApiKey::Produce,
            &[
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            ],
        );
        let brokers = cluster.bootstrap_servers();
        let status = logged(&spec(&brokers), &lines(300)).await;
        assert_eq!((status.written, status.dropped_total(), status.queued), (300, 0, 0));
        let mut expected: Vec<_> = lines(300).into_iter().map(|line| ("r-1".to_owned(), line)).collect();
        expected.sort();
        let seen = tokio::task::spawn_blocking(move || stored(&brokers, 300)).await.unwrap();
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_only_itself() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let mut some = lines(3);
        some.push(format!("{{\"x\":\"{}\"}}", "x".repeat(2_000_000)));
        let status = logged(&spec(&cluster.bootstrap_servers()), &some).await;
        assert_eq!((status.written, dropped(&status, LogDrop::TooLong)), (3, 1));
    }

    #[tokio::test]
    async fn lines_expire_when_no_broker_is_there() {
        let short = KafkaSinkSpec { keep_trying: Duration::from_millis(300), ..spec("127.0.0.1:1") };
        let status = logged(&short, &lines(3)).await;
        assert_eq!((status.written, dropped(&status, LogDrop::Expired), status.up), (0, 3, false));
    }

    #[test]
    fn what_is_tried_again_and_what_is_not() {
        use RDKafkaErrorCode as Code;
        for (code, expected) in [
            (Code::MessageTimedOut, Fate::Drop(LogDrop::Expired)),
            (Code::MessageSizeTooLarge, Fate::Drop(LogDrop::TooLong)),
            (Code::TopicAuthorizationFailed, Fate::Drop(LogDrop::Unauthorized)),
            (Code::InvalidTopic, Fate::Drop(LogDrop::Rejected)),
            (Code::UnknownTopicOrPartition, Fate::Again),
            (Code::QueueFull, Fate::Again),
            (Code::PurgeQueue, Fate::Again),
        ] {
            assert_eq!(fate(Some(code)), expected, "{code:?}");
        }
    }
}
