//! Kafka as a source: a consumer group's member.
//!
//! librdkafka calls back on the thread that polls it, so a source has a thread of its own. It collects a batch, hands it
//! to the observer on the event loop, and goes on polling while the batch is counted: a busy monitor neither costs the
//! membership nor fills memory, because the partitions are paused meanwhile. An offset is stored only when its message
//! was counted or refused for good, and only stored offsets are committed: at least once.

mod group;
mod message;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::counters::{Reject, SourceState};
use super::{Format, SourceContext, SourceError};
use crate::join::JoinLimits;
use crate::kafka::{Connection, described};
use crate::{Observation, ObserverGone};
use group::{Group, Position};
use message::{Incoming, Reader};

/// Messages handed over at a time, and their bytes.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Longest wait for the first message of a batch: as long as a stop may go unnoticed.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How long the counting of a batch is waited for before librdkafka is looked after again.
const COUNT_WAIT: Duration = Duration::from_millis(20);

/// How long an end may take: leaving the group asks a broker, which may be away.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Kafka as a source.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSourceSpec {
    /// The brokers.
    pub connection: Connection,
    /// Consumer group; its members share the partitions.
    pub group: String,
    /// Topics; one that begins with `^` is a regular expression.
    pub topics: Vec<String>,
    /// Where a group begins that has committed nothing yet.
    pub start: Start,
    /// What a message holds.
    pub format: KafkaFormat,
    /// What the key says.
    pub key: Option<Field>,
    /// What headers say, by the header's name.
    pub headers: Vec<(Field, String)>,
    /// Longest message; a longer one is skipped and counted.
    pub max_message_bytes: usize,
    /// How long and how many halves of an inference wait for the other.
    pub join: JoinLimits,
}

/// Where a new group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message there is.
    Earliest,
    /// At what comes from now on.
    #[default]
    Latest,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaFormat {
    /// One document.
    Plain(Format),
    /// A CloudEvent of KServe's logger: a request or an answer.
    CloudEvents,
}

/// What a key or a header can say about an inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Its model.
    Model,
    /// Its version.
    Version,
    /// Its tenant.
    Tenant,
    /// Its lane: `prod` or `shadow`.
    Lane,
    /// Its request's id.
    RequestId,
}

/// Reads until it has to stop.
pub(crate) async fn run(spec: &KafkaSourceSpec, context: &SourceContext) -> Result<(), SourceError> {
    context.counters.set_state(SourceState::Starting);
    let failed = |message: String| SourceError::Failed { source_name: Arc::clone(&context.name), message };
    let member = Member { spec: spec.clone(), context: context.clone(), runtime: Handle::current() };
    let (told, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("kafka-{}", context.name))
        .spawn(move || {
            // Nobody listens any more when the end took too long.
            drop(told.send(member.run()));
        })
        .map_err(|error| failed(format!("its thread cannot be started: {error}")))?;
    let patience = async {
        context.stopped().await;
        tokio::time::sleep(END_PATIENCE).await;
    };
    tokio::select! {
        ended = ended => ended.unwrap_or_else(|_| Err(failed("it panicked: please report this".to_owned()))),
        () = patience => {
            tracing::warn!(source = %context.name, "the consumer group was not left in time: no broker answers");
            Ok(())
        }
    }
}

/// A member of the group, on its own thread.
struct Member {
    spec: KafkaSourceSpec,
    context: SourceContext,
    runtime: Handle,
}

/// Messages that were read and not counted yet.
#[derive(Default)]
struct Collected<'a> {
    messages: Vec<BorrowedMessage<'a>>,
    bytes: usize,
}

impl<'a> Collected<'a> {
    fn push(&mut self, message: BorrowedMessage<'a>) {
        self.bytes += message.payload_len() + message.key_len();
        self.messages.push(message);
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Forgets what belongs to partitions that others have now: they read it again.
    fn forget(&mut self, revoked: &[(String, i32)]) {
        if revoked.is_empty() {
            return;
        }
        let is_gone = |message: &BorrowedMessage<'_>| {
            revoked
                .iter()
                .any(|(topic, partition)| message.partition() == *partition && message.topic() == topic)
        };
        self.messages.retain(|message| !is_gone(message));
        self.bytes = self.messages.iter().map(|message| message.payload_len() + message.key_len()).sum();
    }
}

type Consumer = BaseConsumer<Group>;

impl Member {
    fn run(self) -> Result<(), SourceError> {
        let consumer = self.join()?;
        let reader = Reader::new(&self.spec, &self.context);
        let mut ahead = Collected::default();
        let outcome = loop {
            if self.context.is_stopping() {
                break Ok(());
            }
            let step = self
                .collect(&consumer, std::mem::take(&mut ahead))
                .and_then(|batch| self.count(&consumer, &reader, &batch, &mut ahead));
            if let Err(error) = step {
                break Err(error);
            }
        };
        let rest = reader.finish();
        if outcome.is_ok() && !rest.is_empty() {
            // Without a position: what waited was committed when it was taken.
            self.hand_over(&consumer, rest, Vec::new());
            while !consumer.context().land(&consumer, COUNT_WAIT) {}
            self.landed(&consumer)?;
        }
        // What was read ahead is read again.
        drop(ahead);
        if outcome.is_ok() && self.context.counters.status().state == SourceState::Running {
            // While it still is a member. What stays refused is read again.
            drop(group::commit(&consumer));
        }
        outcome
    }

    /// Becomes a member of the group.
    fn join(&self) -> Result<Consumer, SourceError> {
        let start = match self.spec.start {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        };
        let mut own = vec![
            ("group.id", self.spec.group.as_str()),
            ("auto.offset.reset", start),
            ("enable.auto.commit", "true"),
            ("enable.auto.offset.store", "false"),
            ("auto.commit.interval.ms", "1000"),
            ("statistics.interval.ms", "1000"),
            ("queued.max.messages.kbytes", "16384"),
            ("topic.metadata.refresh.interval.ms", "30000"),
        ];
        // With the newer protocol of groups the strategy is the broker's, and naming one is an error.
        if self.spec.connection.setting("group.protocol").is_none_or(|protocol| protocol == "classic") {
            own.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        let config = self.spec.connection.client(&own);
        let poll_interval = self.spec.connection.setting("max.poll.interval.ms");
        let poll_interval = poll_interval.and_then(|text| text.parse().ok()).unwrap_or(300_000);
        let group = Group::new(&self.context, Duration::from_millis(poll_interval / 2));
        let consumer: Consumer = config.create_with_context(group).map_err(|error| self.failed(&error))?;
        let topics: Vec<&str> = self.spec.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| self.failed(&error))?;
        Ok(consumer)
    }

    fn failed(&self, error: &KafkaError) -> SourceError {
        SourceError::Failed { source_name: Arc::clone(&self.context.name), message: described(error) }
    }

    /// Reads on until the batch is full or nothing is there at once.
    fn collect<'a>(
        &self,
        consumer: &'a Consumer,
        ahead: Collected<'a>,
    ) -> Result<Collected<'a>, SourceError> {
        let mut batch = ahead;
        let mut wait = if batch.messages.is_empty() { FIRST_WAIT } else { Duration::ZERO };
        while !batch.is_full() {
            let polled = consumer.poll(wait);
            batch.forget(&consumer.context().take_revoked());
            match polled {
                Some(Ok(message)) => batch.push(message),
                Some(Err(error)) => self.noted(&error)?,
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(batch)
    }

    /// Has a batch counted; what comes in meanwhile is kept in `ahead`, which is bounded as a batch is.
    fn count<'a>(
        &self,
        consumer: &'a Consumer,
        reader: &Reader<'_>,
        batch: &Collected<'a>,
        ahead: &mut Collected<'a>,
    ) -> Result<(), SourceError> {
        let now = Instant::now();
        let mut observations = reader.expire(now);
        let mut positions: Vec<Position> = Vec::new();
        for message in &batch.messages {
            self.context.counters.read(message.payload_len() + message.key_len());
            match reader.read(&Incoming::of(message), now) {
                Ok(read) => observations.extend(read),
                Err(refused) => {
                    self.context.counters.reject(refused.reason);
                    if refused.reason != Reject::Empty {
                        consumer.context().complain(refused.reason.as_str(), &refused.message);
                    }
                }
            }
            let is_it = |known: &&mut Position| {
                known.partition == message.partition() && known.topic == message.topic()
            };
            match positions.iter_mut().find(is_it) {
                Some(known) => known.offset = known.offset.max(message.offset()),
                None => positions.push(Position {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                }),
            }
        }
        if observations.is_empty() && positions.is_empty() {
            return Ok(());
        }
        self.hand_over(consumer, observations, positions);
        let mut is_paused = false;
        while !consumer.context().land(consumer, COUNT_WAIT) {
            if ahead.is_full() {
                // Again each time: a rebalance may have brought partitions that are not paused.
                is_paused = set_paused(consumer, true) || is_paused;
            }
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => ahead.push(message),
                Some(Err(error)) => self.noted(&error)?,
                None => {}
            }
            ahead.forget(&consumer.context().take_revoked());
        }
        if is_paused {
            set_paused(consumer, false);
        }
        self.landed(consumer)
    }

    fn hand_over(&self, consumer: &Consumer, observations: Vec<Observation>, positions: Vec<Position>) {
        let (told, landing) = std::sync::mpsc::sync_channel(1);
        let context = self.context.clone();
        self.runtime.spawn(async move {
            // Nobody waits any more when the source has been given up.
            drop(told.send(context.count(observations).await));
        });
        consumer.context().depart(landing, positions);
    }

    /// What became of the batch that has landed.
    fn landed(&self, consumer: &Consumer) -> Result<(), SourceError> {
        match consumer.context().outcome() {
            Some(Ok(counted)) => {
                if let Some((_, message)) = counted.rejected.first() {
                    consumer.context().complain(Reject::Refused.as_str(), message);
                }
                Ok(())
            }
            Some(Err(gone)) => Err(gone.into()),
            // Counting it panicked, or the event loop is gone; it is read again by whoever comes next.
            None => Err(ObserverGone.into()),
        }
    }

    /// An error among the messages. Most pass, and were counted and told as they came.
    fn noted(&self, error: &KafkaError) -> Result<(), SourceError> {
        match error {
            KafkaError::MessageConsumptionFatal(code) => {
                let message = format!("the group has thrown this member out for good: {code}");
                Err(SourceError::Failed { source_name: Arc::clone(&self.context.name), message })
            }
            _ => Ok(()),
        }
    }
}

/// Pauses or resumes everything that is assigned; false when it could not.
fn set_paused(consumer: &Consumer, pause: bool) -> bool {
    let Ok(assigned) = consumer.assignment() else { return false };
    let done = if pause { consumer.pause(&assigned) } else { consumer.resume(&assigned) };
    if let Err(error) = &done {
        tracing::warn!(error = %described(error), pause, "partitions could not be paused or resumed");
    }
    done.is_ok()
}
