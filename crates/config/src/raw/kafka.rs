//! Kafka: as a source, and as a place of the inference log.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::{AnyText, Named};
use crate::text::{FileName, SecretText, Size, Span};

/// Topics of Kafka, read as a member of a consumer group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSource {
    /// Some of the brokers, as `host:port`; the others are learned.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) brokers: Vec<String>,
    /// Topics. One that begins with `^` is a regular expression.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) topics: Vec<String>,
    /// Consumer group. Instances with the same group share the partitions; positions are kept under its name.
    #[schemars(length(min = 1, max = 249))]
    pub(crate) group: String,
    /// Where a group begins that has no position yet.
    #[serde(default)]
    pub(crate) start: KafkaStart,
    /// What a message holds.
    #[serde(default)]
    pub(crate) format: KafkaFormat,
    /// What a message's key says.
    pub(crate) key: Option<KafkaField>,
    /// Names of the headers that say something about an inference.
    #[serde(default)]
    pub(crate) headers: KafkaHeaders,
    /// How long a request waits for its answer, with `cloudevents`. Then it counts alone.
    #[serde(default = "default_join")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub(crate) join: Span,
    /// Most bytes that wait for their other half; over it the oldest count alone.
    #[serde(default = "default_join_bytes")]
    #[schemars(extend("x-min" = "1MiB", "x-max" = "16GiB"))]
    pub(crate) join_bytes: Size,
    /// Longest message; a longer one is skipped and counted.
    #[serde(default = "default_max_message")]
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1GiB"))]
    pub(crate) max_message: Size,
    /// User and password.
    pub(crate) sasl: Option<KafkaSasl>,
    /// TLS. Needs a build with the feature `kafka-tls`; the image is one.
    pub(crate) tls: Option<KafkaTls>,
    /// Further settings of librdkafka, by its own names.
    pub(crate) settings: Option<Named<AnyText, String>>,
}

/// Where a new consumer group begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaStart {
    /// With the oldest message that is kept.
    Earliest,
    /// With what comes from now on.
    #[default]
    Latest,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaFormat {
    /// Inference records, as in the inference log and for `POST /api/v1/observe`.
    #[default]
    Record,
    /// Any JSON, read by the paths under the model's `features` and `prediction`.
    Json,
    /// CloudEvents of KServe's logger: request and answer are joined by their id.
    Cloudevents,
}

/// What a key says about an inference.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaField {
    /// Its model.
    Model,
    /// Its version.
    Version,
    /// Its tenant.
    Tenant,
    /// Its request's id.
    RequestId,
}

/// Names of headers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaHeaders {
    /// Of the model.
    pub(crate) model: Option<String>,
    /// Of the version.
    pub(crate) version: Option<String>,
    /// Of the tenant. With `cloudevents` also looked for among the request's headers that the logger passes on.
    pub(crate) tenant: Option<String>,
    /// Of the lane, `prod` or `shadow`.
    pub(crate) lane: Option<String>,
    /// Of the request's id.
    pub(crate) request_id: Option<String>,
}

/// User and password for brokers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSasl {
    /// How the password is shown. SCRAM needs a build with the feature `kafka-tls`; the image is one.
    #[serde(default)]
    pub(crate) mechanism: KafkaMechanism,
    /// User.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) username: String,
    /// Its password.
    pub(crate) password: Option<SecretText>,
    /// File that holds the password; the line end is taken off. Instead of `password`.
    pub(crate) password_file: Option<FileName>,
}

/// How a password is shown to the brokers.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaMechanism {
    /// As it is.
    #[default]
    Plain,
    /// SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// TLS to the brokers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaTls {
    /// Certificates of the authorities to trust, PEM. Without it, the system's.
    pub(crate) ca_file: Option<FileName>,
    /// Our certificate, PEM, where brokers ask for one.
    pub(crate) cert_file: Option<FileName>,
    /// Its key, PEM.
    pub(crate) key_file: Option<FileName>,
}

/// A topic of Kafka that gets the inference log.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaLog {
    /// Some of the brokers, as `host:port`; the others are learned.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) brokers: Vec<String>,
    /// The topic. It has to exist unless the brokers make topics by themselves.
    #[schemars(length(min = 1, max = 249))]
    pub(crate) topic: String,
    /// What is a record's key.
    #[serde(default)]
    pub(crate) key: KafkaLogKey,
    /// How batches are compressed.
    #[serde(default)]
    pub(crate) compression: KafkaCompression,
    /// Longest wait for a batch to fill.
    #[serde(default = "default_batch_every")]
    #[schemars(extend("x-min" = "1ms", "x-max" = "5m"))]
    pub(crate) batch_every: Span,
    /// How long a record is tried to be delivered; then it is dropped and counted.
    #[serde(default = "default_keep_trying")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub(crate) keep_trying: Span,
    /// User and password.
    pub(crate) sasl: Option<KafkaSasl>,
    /// TLS. Needs a build with the feature `kafka-tls`; the image is one.
    pub(crate) tls: Option<KafkaTls>,
    /// Further settings of librdkafka, by its own names.
    pub(crate) settings: Option<Named<AnyText, String>>,
}

/// What is a record's key: records of one key stay in order.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaLogKey {
    /// The request's id: a request and its copies go together.
    #[default]
    RequestId,
    /// The tenant.
    Tenant,
    /// None: partitions are drawn.
    None,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KafkaCompression {
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

fn default_join() -> Span {
    Span(feeds::join::JoinLimits::default().max_age)
}

fn default_join_bytes() -> Size {
    Size(feeds::join::JoinLimits::default().bytes as u64)
}

fn default_max_message() -> Size {
    Size(1 << 20)
}

fn default_batch_every() -> Span {
    Span(Duration::from_millis(100))
}

fn default_keep_trying() -> Span {
    Span(Duration::from_secs(600))
}
