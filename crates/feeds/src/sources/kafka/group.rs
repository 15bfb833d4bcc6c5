//! What librdkafka tells a member of a group, all of it on the thread that polls: partitions that come and go, errors,
//! figures. And the batch under way, because a partition is given up only after what was read from it was counted.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::kafka::{Told, is_refusal};
use crate::sources::{SourceContext, SourceState};
use crate::{Counted, ObserverGone};

/// How long a partition is held on to while what was read from it is counted.
const HOLD_ON: Duration = Duration::from_secs(10);

/// How long a commit is tried again that is refused because of a rebalance.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

/// Up to where a partition has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Of the last message that was read.
    pub(crate) offset: i64,
}

type Outcome = Result<Counted, ObserverGone>;

/// A batch on its way through the observer.
#[derive(Debug)]
struct Flight {
    landing: Receiver<Outcome>,
    positions: Vec<Position>,
}

/// A member's state and what it is called back for.
#[derive(Debug)]
pub(crate) struct Group {
    source: SourceContext,
    told: Told,
    flight: Mutex<Option<Flight>>,
    outcome: Mutex<Option<Outcome>>,
    revoked: Mutex<Vec<(String, i32)>>,
    hold_on: Duration,
    has_failed: AtomicBool,
    is_topic_missing: AtomicBool,
}

impl Group {
    /// A member that is called back at least every so often, or loses its membership.
    pub(crate) fn new(source: &SourceContext, poll_within: Duration) -> Self {
        Self {
            source: source.clone(),
            told: Told::default(),
            flight: Mutex::default(),
            outcome: Mutex::default(),
            revoked: Mutex::default(),
            hold_on: HOLD_ON.min(poll_within),
            has_failed: AtomicBool::new(false),
            is_topic_missing: AtomicBool::new(false),
        }
    }

    /// A batch was handed over; its outcome comes through `landing`.
    pub(crate) fn depart(&self, landing: Receiver<Outcome>, positions: Vec<Position>) {
        *locked(&self.flight) = Some(Flight { landing, positions });
    }

    /// Waits for the batch under way and stores its positions once it was counted. True when none is under way.
    pub(crate) fn land(&self, consumer: &BaseConsumer<Self>, patience: Duration) -> bool {
        let mut flight = locked(&self.flight);
        let Some(under_way) = flight.as_ref() else { return true };
        let outcome = match under_way.landing.recv_timeout(patience) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => None,
        };
        if matches!(outcome, Some(Ok(_))) {
            for Position { topic, partition, offset } in &under_way.positions {
                // Fails for a partition that was taken away meanwhile: who has it now reads these again.
                if let Err(error) = consumer.store_offset(topic, *partition, *offset) {
                    tracing::debug!(topic, partition, %error, "an offset was not stored");
                }
            }
        }
        *locked(&self.outcome) = outcome;
        *flight = None;
        true
    }

    /// What became of the batch that landed last; `None` when nobody said it.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        locked(&self.outcome).take()
    }

    /// Partitions that were taken away since this was asked last.
    pub(crate) fn take_revoked(&self) -> Vec<(String, i32)> {
        std::mem::take(&mut *locked(&self.revoked))
    }

    /// Says what is wrong with messages, each reason once a minute.
    pub(crate) fn complain(&self, reason: &str, message: &str) {
        if let Some(also) = self.told.may_say(reason) {
            tracing::warn!(
                source = %self.source.name, reason, also_since_the_last = also,
                "a message was not counted: {message}"
            );
        }
    }
}

/// Commits what is stored. The broker refuses while other members are still being told what is theirs, which passes.
///
/// # Errors
/// When it stays refused; nothing new to commit is no error.
pub(crate) fn commit(consumer: &BaseConsumer<Group>) -> KafkaResult<()> {
    let began = Instant::now();
    loop {
        let outcome = consumer.commit_consumer_state(CommitMode::Sync);
        let code = outcome.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        match code {
            Some(RDKafkaErrorCode::NoOffset) => return Ok(()),
            Some(RDKafkaErrorCode::RebalanceInProgress) if began.elapsed() < COMMIT_PATIENCE => {
                std::thread::sleep(COMMIT_PAUSE);
            }
            _ => return outcome,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        if !self.land(consumer, self.hold_on) {
            self.source.counters.failed();
            tracing::warn!(
                source = %self.source.name,
                "partitions were given up before what was read from them was counted: some of it counts twice"
            );
        }
        // Not later: the member that gets the partitions asks for their positions at once. After a lost membership a
        // commit would be refused.
        if consumer.assignment_lost() {
            self.source.counters.failed();
            tracing::warn!(
                source = %self.source.name,
                "the membership of the group was lost: messages counted since the last commit count twice"
            );
        } else if let Err(error) = commit(consumer) {
            self.source.counters.failed();
            tracing::warn!(
                source = %self.source.name, %error,
                "positions could not be committed before partitions were given up: some of it counts twice"
            );
        }
        locked(&self.revoked).extend(names(list));
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if list.count() > 0 {
                    self.is_topic_missing.store(false, Relaxed);
                }
                tracing::info!(source = %self.source.name, partitions = ?names(list), "partitions were assigned");
            }
            Rebalance::Revoke(list) => {
                tracing::info!(source = %self.source.name, partitions = ?names(list), "partitions were given up");
            }
            Rebalance::Error(error) => {
                self.source.counters.failed();
                tracing::warn!(source = %self.source.name, %error, "the group could not be rebalanced");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let Err(error) = result else { return };
        // What a rebalance refuses is tried again: at once when partitions are given up, else within a second.
        let passes = [RDKafkaErrorCode::NoOffset, RDKafkaErrorCode::RebalanceInProgress];
        if error.rdkafka_error_code().is_some_and(|code| passes.contains(&code)) {
            return;
        }
        self.source.counters.failed();
        if let Some(also) = self.told.may_say("commit") {
            tracing::warn!(
                source = %self.source.name, %error, also_since_the_last = also,
                "positions could not be committed: what was counted since counts again after a restart"
            );
        }
    }
}

impl ClientContext for Group {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error as well.
        tracing::debug!(source = %self.source.name, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.source.counters.failed();
        self.has_failed.store(true, Relaxed);
        self.source.counters.set_state(SourceState::Retrying);
        if code == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            self.is_topic_missing.store(true, Relaxed);
        }
        let what = match code {
            Some(code) if is_refusal(code) => "the brokers refuse us: check the credentials",
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => "a topic does not exist yet",
            _ => "the brokers cannot be read",
        };
        let kind = code.map_or_else(|| "other".to_owned(), |code| format!("{code:?}"));
        if let Some(also) = self.told.may_say(&kind) {
            tracing::warn!(
                source = %self.source.name, also_since_the_last = also, error = reason,
                "{what}; it is tried again"
            );
        }
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        // Against what was counted; before the first batch against what was committed.
        let lag = |stored: i64, committed: i64| if stored >= 0 { stored } else { committed };
        let lags = partitions
            .filter(|one| one.partition >= 0)
            .map(|one| lag(one.consumer_lag_stored, one.consumer_lag));
        let known: Vec<u64> = lags.filter_map(|lag| u64::try_from(lag).ok()).collect();
        if !known.is_empty() {
            self.source.counters.set_lag(known.iter().sum());
        }
        let Some(group) = statistics.cgrp else { return };
        let counters = &self.source.counters;
        match (group.state.as_str(), group.join_state.as_str()) {
            ("up", "steady") if !self.is_topic_missing.load(Relaxed) => {
                counters.set_state(SourceState::Running);
            }
            ("up", _) => {}
            _ if self.has_failed.load(Relaxed) => counters.set_state(SourceState::Retrying),
            _ => {}
        }
    }
}
