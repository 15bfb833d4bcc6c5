//! A real broker, with topics, messages and positions as a test wants them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::instance::Folder;
use super::{DEADLINE, await_until, require};

/// The broker: any that speaks Kafka's protocol would do, this one starts in a moment.
const PROGRAM: &str = "noida-db";

/// Where brokers listen, and tell clients that they do.
const HOST: &str = "127.0.0.1";

/// A broker on a free port, killed when dropped. Its data outlives a stop.
#[derive(Debug)]
pub(crate) struct Broker {
    program: PathBuf,
    folder: Folder,
    host: &'static str,
    port: u16,
    child: Option<Child>,
}

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Broker {
    /// A running broker; `None` where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let mut broker = Self::prepare()?;
        broker.up();
        Some(broker)
    }

    /// A broker that does not run yet.
    pub(crate) fn prepare() -> Option<Self> {
        Self::prepare_at(HOST)
    }

    /// The same on another address.
    pub(crate) fn prepare_at(host: &'static str) -> Option<Self> {
        let program = itself(require(PROGRAM)?);
        let port = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port();
        Some(Self { program, folder: Folder::new(), host, port, child: None })
    }

    /// A broker that somebody else runs.
    pub(crate) fn at(address: &str) -> Self {
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { program: PathBuf::new(), folder: Folder::new(), host: HOST, port, child: None }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Starts it, with the data that it had.
    pub(crate) fn up(&mut self) {
        let data = self.folder.path().join("data");
        let mut command = Command::new(&self.program);
        command
            .args(["start", "--only", "kafka", "--host", self.host])
            .args(["--kafka-port", &self.port.to_string(), "--data-dir"])
            .arg(data);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        let client: BaseProducer = self.config().create().unwrap();
        await_until("the broker answers", DEADLINE, || {
            client.client().fetch_metadata(None, Duration::from_secs(1)).is_ok()
        });
    }

    /// Kills it.
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Makes a topic.
    pub(crate) fn topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Sends messages; they are stored when this returns.
    pub(crate) fn send(&self, topic: &str, codec: &str, messages: &[Sent]) {
        let producer: BaseProducer = self
            .config()
            .set("compression.codec", codec)
            .set("message.max.bytes", "20000000")
            .create()
            .unwrap();
        for message in messages {
            let headers = message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).headers(headers);
            record.key = message.key.as_deref();
            record.payload = message.value.as_deref();
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }

    /// Every message of a topic: key and value.
    pub(crate) fn stored(&self, topic: &str) -> Vec<(Option<String>, String)> {
        let consumer: BaseConsumer = self.config().set("group.id", "test-reads-all").create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).unwrap();
        let mut list = TopicPartitionList::new();
        let mut n_left = 0;
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), DEADLINE).unwrap();
            n_left += high - low;
        }
        consumer.assign(&list).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut stored = Vec::new();
        await_until("all is read", DEADLINE, || {
            while let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                stored.push((message.key().map(text), message.payload().map(text).unwrap_or_default()));
            }
            stored.len() as i64 >= n_left
        });
        stored
    }

    /// How many messages of a topic lie before a group's positions.
    pub(crate) fn committed(&self, topic: &str, group: &str) -> i64 {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let committed = consumer.committed_offsets(list, DEADLINE).unwrap();
        committed.elements().iter().map(|one| one.offset().to_raw().unwrap_or_default().max(0)).sum()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        config
    }
}

/// The program itself where the command is a wrapper, which would leave it behind when it is killed.
fn itself(command: PathBuf) -> PathBuf {
    let packages = command.parent().map(|bin| bin.join("../lib")).into_iter();
    let pythons = packages.flat_map(std::fs::read_dir).flatten().flatten();
    let mut candidates = pythons.map(|entry| entry.path().join("site-packages/noida_db").join(PROGRAM));
    candidates.find(|file| file.is_file()).unwrap_or(command)
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.down();
    }
}
