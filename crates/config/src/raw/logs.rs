//! `logs`: the inference log.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::{AnyText, KafkaLog, Lane, Named};
use crate::text::{FileName, HeaderText, Name, SecretText, Size, Span, Url};

/// The inference log: one record for every inference, as for `POST /api/v1/observe`. Off unless a place is named.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Logs {
    /// Share of the requests that is logged, in percent. Drawn by request id: a request and its copies go together.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) sample: f64,
    /// What is logged.
    #[schemars(length(min = 1, max = 2))]
    pub(crate) lanes: Vec<Lane>,
    /// Request headers that are logged, such as `content-type`, under `headers` of a record. None by default. Their values go
    /// through `privacy`, as fields `headers.NAME`. Headers that carry credentials are refused.
    #[schemars(length(max = 32))]
    pub(crate) headers: Vec<HeaderText>,
    /// Records that may wait for each place; over it they are dropped and counted. Requests never wait.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) queue: usize,
    /// Bytes that they may hold.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "16GiB"))]
    pub(crate) queue_bytes: Size,
    /// JSON lines on standard output.
    pub(crate) stdout: bool,
    /// JSON lines in files.
    pub(crate) files: Option<LogFiles>,
    /// Push to Loki.
    pub(crate) loki: Option<Loki>,
    /// A topic of Kafka.
    pub(crate) kafka: Option<KafkaLog>,
}

impl Default for Logs {
    fn default() -> Self {
        let queue = feeds::sinks::QueueLimits::default();
        Self {
            sample: 100.0,
            lanes: vec![Lane::Prod, Lane::Shadow],
            headers: Vec::new(),
            queue: queue.records,
            queue_bytes: Size(queue.bytes as u64),
            stdout: false,
            files: None,
            loki: None,
            kafka: None,
        }
    }
}

/// Files of the inference log: one a lane at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogFiles {
    /// Folder; made when it is not there.
    pub(crate) path: FileName,
    /// A file of this size is closed and another begun; so is it at midnight UTC.
    #[serde(default = "default_rotate")]
    #[schemars(extend("x-min" = "64KiB", "x-max" = "1TiB"))]
    pub(crate) rotate_bytes: Size,
    /// How a file is kept once it is closed: `gzip` makes `….jsonl.gz` of it.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// How long files of the prod lane are kept.
    #[serde(default = "default_keep_prod")]
    #[schemars(extend("x-min" = "1h"))]
    pub(crate) keep_prod: Span,
    /// How long files of the shadow lane are kept.
    #[serde(default = "default_keep_shadow")]
    #[schemars(extend("x-min" = "1h"))]
    pub(crate) keep_shadow: Span,
    /// Bytes of all files; over it the oldest are removed, whatever their age.
    #[serde(default = "default_max_bytes")]
    #[schemars(extend("x-min" = "1MiB"))]
    pub(crate) max_bytes: Size,
}

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip.
    Gzip,
}

/// Loki.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loki {
    /// Its address, without `/loki/api/v1/push`.
    pub(crate) url: Url,
    /// Loki's tenant, sent as `X-Scope-OrgID`.
    pub(crate) tenant_id: Option<Name>,
    /// User, when it asks for a password.
    pub(crate) username: Option<Name>,
    /// Its password.
    pub(crate) password: Option<SecretText>,
    /// File that holds the password. Instead of `password`.
    pub(crate) password_file: Option<FileName>,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// How pushes are compressed on their way.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// Labels beside `service_name`, `lane`, `model` and `version`.
    pub(crate) labels: Option<Named<AnyText, Name>>,
    /// Bytes of a push.
    #[serde(default = "default_batch_bytes")]
    #[schemars(extend("x-min" = "1KiB", "x-max" = "16MiB"))]
    pub(crate) batch_bytes: Size,
    /// Longest wait for a push to fill.
    #[serde(default = "default_batch_every")]
    #[schemars(extend("x-min" = "10ms", "x-max" = "5m"))]
    pub(crate) batch_every: Span,
    /// Time for one push.
    #[serde(default = "default_timeout")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "5m"))]
    pub(crate) timeout: Span,
    /// How long a push that fails is tried again; then it is dropped and counted.
    #[serde(default = "default_keep_trying")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub(crate) keep_trying: Span,
}

const DAY: u64 = 86_400;

fn default_rotate() -> Size {
    Size(256 << 20)
}

fn default_keep_prod() -> Span {
    Span(Duration::from_secs(90 * DAY))
}

fn default_keep_shadow() -> Span {
    Span(Duration::from_secs(30 * DAY))
}

fn default_max_bytes() -> Size {
    Size(100 << 30)
}

fn default_batch_bytes() -> Size {
    Size(1 << 20)
}

fn default_batch_every() -> Span {
    Span(Duration::from_secs(1))
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn default_keep_trying() -> Span {
    Span(Duration::from_secs(600))
}
