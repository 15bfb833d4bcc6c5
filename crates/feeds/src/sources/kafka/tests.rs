//! Messages in every form, and a group against librdkafka's mock cluster: rebalances, errors, a slow observer.

use std::pin::Pin;
use std::sync::Mutex;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use record::Lane;

use super::*;
use crate::sources::testing::Bench;
use crate::{Counted, Observer};

const TOPIC: &str = "scored";
const REQUEST: &str = "org.kubeflow.serving.inference.request";
const RESPONSE: &str = "org.kubeflow.serving.inference.response";

fn spec(format: KafkaFormat) -> KafkaSourceSpec {
    KafkaSourceSpec {
        connection: Connection {
            brokers: vec!["127.0.0.1:1".to_owned()],
            sasl: None,
            tls: None,
            settings: vec![
                ("session.timeout.ms".to_owned(), "6000".to_owned()),
                ("heartbeat.interval.ms".to_owned(), "200".to_owned()),
                ("topic.metadata.refresh.interval.ms".to_owned(), "200".to_owned()),
                ("reconnect.backoff.ms".to_owned(), "20".to_owned()),
                ("reconnect.backoff.max.ms".to_owned(), "100".to_owned()),
            ],
        },
        group: "g".to_owned(),
        topics: vec![TOPIC.to_owned()],
        start: Start::Earliest,
        format,
        key: Some(Field::Tenant),
        headers: vec![
            (Field::Model, "x-model".to_owned()),
            (Field::Lane, "x-lane".to_owned()),
            (Field::RequestId, "x-id".to_owned()),
            (Field::Tenant, "x-tenant".to_owned()),
        ],
        max_message_bytes: 1_000,
        join: JoinLimits::default(),
    }
}

const RECORD: KafkaFormat = KafkaFormat::Plain(Format::Record);

fn incoming<'a>(value: &'a [u8], headers: &[(&'a str, &'a str)]) -> Incoming<'a> {
    Incoming {
        key: Some(b"acme"),
        value: Some(value),
        headers: headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
        at_ms: Some(900),
    }
}

fn records(read: &[Observation]) -> Vec<&record::Record> {
    read.iter()
        .filter_map(|one| match one {
            Observation::Record(record) => Some(&**record),
            Observation::Exchange(_) => None,
        })
        .collect()
}

#[test]
fn key_and_headers_say_what_the_message_does_not() {
    let (bench, spec) = (Bench::new("fraud"), spec(RECORD));
    let context = bench.context();
    let reader = Reader::new(&spec, &context);
    let said = [("X-Model", "credit"), ("x-lane", "shadow"), ("x-id", "r-7")];
    let read = reader.read(&incoming(br#"{"features":{"a":1}}"#, &said), Instant::now()).unwrap();
    let one = records(&read)[0];
    assert_eq!((one.model.as_str(), one.tenant.as_deref(), one.lane), ("credit", Some("acme"), Lane::Shadow));
    assert_eq!((one.request_id.as_deref(), one.ts), (Some("r-7"), Some(900)));
    let own = br#"{"model":"own","tenant":"t","request_id":"i","ts":"1970-01-01T00:00:00.005Z","features":{"a":1}}"#;
    let read = reader.read(&incoming(own, &said), Instant::now()).unwrap();
    let one = records(&read)[0];
    assert_eq!((one.model.as_str(), one.tenant.as_deref(), one.ts), ("own", Some("t"), Some(5)));
    assert_eq!(one.request_id.as_deref(), Some("i"), "what a message says itself goes first");
    let read = reader.read(&incoming(br#"{"features":{"a":1}}"#, &[("x-tenant", "h")]), Instant::now());
    assert_eq!(records(&read.unwrap())[0].tenant.as_deref(), Some("h"), "a header goes before the key");
}

#[test]
fn what_cannot_be_read_is_refused_by_its_reason() {
    let (bench, spec) = (Bench::new("fraud"), spec(RECORD));
    let context = bench.context();
    let reader = Reader::new(&spec, &context);
    let reason = |message: &Incoming<'_>| reader.read(message, Instant::now()).unwrap_err().reason;
    let good = br#"{"features":{"a":1}}"#;
    assert_eq!(reason(&Incoming { value: None, ..incoming(good, &[]) }), Reject::Empty);
    assert_eq!(reason(&incoming(b"", &[])), Reject::Empty);
    assert_eq!(reason(&incoming(&[b'x'; 1_001], &[])), Reject::TooLarge);
    assert_eq!(reason(&incoming(b"{", &[])), Reject::Malformed);
    assert_eq!(reason(&incoming(b"\0\0\0\0\x01{}", &[])), Reject::Malformed, "framed for a registry");
    assert_eq!(reason(&incoming(good, &[("x-lane", "canary")])), Reject::Malformed);
    assert_eq!(reason(&incoming(good, &[("x-model", &"m".repeat(257))])), Reject::Malformed);
    let not_text = Incoming { key: Some(b"\xff"), ..incoming(good, &[]) };
    let refused = reader.read(&not_text, Instant::now()).unwrap_err();
    assert_eq!((refused.reason, refused.message.as_str()), (Reject::Malformed, "the key is not UTF-8"));
}

#[test]
fn events_are_joined_in_both_modes_and_what_is_alone_is_settled_in_the_end() {
    let (bench, spec) = (Bench::new("fraud"), spec(KafkaFormat::CloudEvents));
    let context = bench.context();
    let reader = Reader::new(&spec, &context);
    let now = Instant::now();
    let event = |kind, id, value: &'static str| {
        let mut message = incoming(
            value.as_bytes(),
            &[
                ("ce_specversion", "1.0"),
                ("ce_type", kind),
                ("ce_id", id),
                ("ce_time", "1970-01-01T00:00:00.500Z"),
                ("ce_metadata", r#"{"X-Tenant":["logged"]}"#),
                ("content-type", "application/json"),
            ],
        );
        message.key = None;
        reader.read(&message, now)
    };
    assert!(event(REQUEST, "1", r#"{"instances":[[1]]}"#).unwrap().is_empty());
    let answer = format!(
        r#"{{"specversion":"1.0","type":"{RESPONSE}","id":"1","time":"1970-01-01T00:00:00.512Z","data":{{"predictions":[2]}}}}"#
    );
    let message =
        incoming(answer.as_bytes(), &[("content-type", "application/cloudevents+json; charset=UTF-8")]);
    let joined = reader.read(&message, now).unwrap();
    let [Observation::Exchange(exchange)] = &joined[..] else { panic!("{joined:?}") };
    assert_eq!((&*exchange.model, exchange.status, exchange.latency_ms), ("fraud", 200, 12.0));
    assert_eq!(exchange.tenant.as_deref(), Some(&b"logged"[..]));
    assert_eq!(exchange.request_id, "1");
    assert_eq!(exchange.response.chunks.concat(), br#"{"predictions":[2]}"#);

    assert!(event(REQUEST, "2", "{}").unwrap().is_empty());
    assert!(event(REQUEST, "2", "{}").unwrap().is_empty());
    assert!(event(RESPONSE, "3", "{}").unwrap().is_empty());
    assert!(reader.expire(now + Duration::from_secs(59)).is_empty());
    let alone = reader.finish();
    assert!(matches!(&alone[..], [Observation::Exchange(one)] if one.status == 0 && one.request_id == "2"));
    let rejected = context.counters.status().rejected;
    assert!(rejected.contains(&("duplicate", 1)) && rejected.contains(&("unpaired", 1)), "{rejected:?}");
    assert_eq!(event("other", "4", "{}").unwrap_err().reason, Reject::Malformed);
}

/// Counts slowly: a batch waits until a permit is there.
struct Gate {
    seen: Mutex<Vec<String>>,
    permits: tokio::sync::Semaphore,
}

impl Observer for Gate {
    fn count(
        &self,
        batch: Vec<Observation>,
    ) -> Pin<Box<dyn Future<Output = Result<Counted, ObserverGone>> + Send + '_>> {
        Box::pin(async move {
            self.permits.acquire().await.map_err(|_| ObserverGone)?.forget();
            let ids = batch.iter().filter_map(|one| match one {
                Observation::Record(record) => record.request_id.clone(),
                Observation::Exchange(_) => None,
            });
            self.seen.lock().unwrap().extend(ids);
            Ok(Counted { accepted: batch.len(), rejected: Vec::new() })
        })
    }
}

impl Gate {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), permits: tokio::sync::Semaphore::new(permits) })
    }

    fn seen(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort();
        seen
    }

    /// How many messages were counted; one that was counted twice is one.
    fn distinct(&self) -> usize {
        let mut seen = self.seen();
        seen.dedup();
        seen.len()
    }
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n:05}")).collect()
}

type Cluster = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

fn produce(cluster: &Cluster, range: std::ops::Range<usize>, codec: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("compression.codec", codec)
        .create()
        .unwrap();
    for id in ids(range) {
        let value = br#"{"features":{"a":1}}"#;
        let headers = OwnedHeaders::new().insert(Header { key: "x-id", value: Some(&id) });
        producer.send(BaseRecord::to(TOPIC).key(&id).payload(&value[..]).headers(headers)).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

struct Running {
    bench: Bench,
    task: tokio::task::JoinHandle<Result<(), SourceError>>,
}

fn start(brokers: &str, gate: &Arc<Gate>) -> Running {
    let bench = Bench::new("fraud");
    let mut spec = spec(RECORD);
    spec.connection.brokers = vec![brokers.to_owned()];
    let context = SourceContext { observer: Arc::<Gate>::clone(gate), ..bench.context() };
    let task = tokio::spawn(async move { run(&spec, &context).await });
    Running { bench, task }
}

impl Running {
    async fn end(self) {
        self.bench.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }

    fn state(&self) -> SourceState {
        self.bench.context().counters.status().state
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within a minute: {what}");
}

#[tokio::test]
async fn every_message_is_counted_once_over_a_clean_restart_in_every_compression() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 3, 1).unwrap();
    let gate = Gate::new(1_000_000);
    for (round, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        produce(&cluster, round * 700..(round + 1) * 700, codec);
    }
    let first = start(&cluster.bootstrap_servers(), &gate);
    until("a part is counted", || !gate.seen().is_empty()).await;
    first.end().await;
    produce(&cluster, 3_500..3_600, "none");
    let second = start(&cluster.bootstrap_servers(), &gate);
    until("all is counted", || gate.seen().len() >= 3_600).await;
    until("nothing is left", || second.bench.context().counters.status().lag == Some(0)).await;
    second.end().await;
    assert_eq!(gate.seen(), ids(0..3_600));
}

#[tokio::test]
async fn what_was_not_counted_is_not_committed() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    produce(&cluster, 0..50, "none");
    let stuck = Gate::new(0);
    let first = start(&cluster.bootstrap_servers(), &stuck);
    until("it is a member", || first.state() == SourceState::Running).await;
    first.bench.stop.send_replace(true);
    // As when the process ends: nothing is counted any more.
    stuck.permits.close();
    drop(first.task.await.unwrap());
    let gate = Gate::new(1_000);
    let second = start(&cluster.bootstrap_servers(), &gate);
    until("all is counted", || gate.seen().len() >= 50).await;
    second.end().await;
    assert_eq!(gate.seen(), ids(0..50));
}

#[tokio::test]
async fn a_rebalance_neither_loses_nor_repeats() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 4, 1).unwrap();
    let gate = Gate::new(1_000_000);
    let first = start(&cluster.bootstrap_servers(), &gate);
    produce(&cluster, 0..2_000, "none");
    until("the first has begun", || !gate.seen().is_empty()).await;
    let second = start(&cluster.bootstrap_servers(), &gate);
    let counters = [&first, &second].map(|one| Arc::clone(&one.bench.context().counters));
    let mut made = 2_000;
    until("both count", || {
        produce(&cluster, made..made + 40, "none");
        made += 40;
        second.bench.context().counters.status().accepted > 0
    })
    .await;
    first.end().await;
    produce(&cluster, made..made + 200, "none");
    made += 200;
    until("all is counted", || gate.distinct() == made).await;
    second.end().await;
    let mut seen = gate.seen();
    if counters.iter().any(|one| one.status().errors > 0) {
        // This cluster refuses commits while members join, which Kafka does not.
        seen.dedup();
    }
    assert_eq!(seen, ids(0..made));
}

#[tokio::test]
async fn errors_that_pass_are_counted_and_cost_nothing() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    produce(&cluster, 0..20, "none");
    for (api, error) in [
        (RDKafkaApiKey::JoinGroup, RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (RDKafkaApiKey::Fetch, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
        (RDKafkaApiKey::OffsetCommit, RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
    ] {
        cluster.request_errors(api, &[error; 2]);
    }
    let gate = Gate::new(1_000);
    let source = start(&cluster.bootstrap_servers(), &gate);
    until("all is counted", || gate.seen().len() >= 20).await;
    cluster.broker_down(1).unwrap();
    until("it is noticed", || source.state() == SourceState::Retrying).await;
    assert!(source.bench.context().counters.status().errors > 0);
    cluster.broker_up(1).unwrap();
    until("it is back", || source.state() == SourceState::Running).await;
    produce(&cluster, 20..30, "none");
    until("it goes on", || gate.seen().len() >= 30).await;
    source.end().await;
    assert_eq!(gate.seen(), ids(0..30));
}

#[tokio::test]
async fn without_a_broker_it_waits_and_ends_when_told() {
    let gate = Gate::new(1);
    let source = start("127.0.0.1:1", &gate);
    until("it retries", || source.state() == SourceState::Retrying).await;
    let began = Instant::now();
    source.end().await;
    assert!(began.elapsed() < END_PATIENCE + Duration::from_secs(2), "{:?}", began.elapsed());
}
