//! Sources: where inferences come from beside the gateway.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::KafkaSource;
use crate::raw::named::{AnyText, Named};
use crate::text::{Address, FileName, Name, SecretText, Size, Span, Url};

/// A source: exactly one of the kinds below, and what its inferences belong to when they don't say it themselves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The model of inferences that name none. Not needed with a single model.
    pub(crate) model: Option<Name>,
    /// The version of inferences that name none. Without it, the model's active one.
    pub(crate) version: Option<Name>,
    /// The tenant of inferences that name none.
    pub(crate) tenant: Option<Name>,
    /// The lane of inferences that name none.
    #[serde(default)]
    pub(crate) lane: Lane,
    /// JSON lines on standard input.
    pub(crate) stdin: Option<Stdin>,
    /// What Fluent Bit and Fluentd send over TCP, their `forward` output.
    pub(crate) forward: Option<Forward>,
    /// Files of JSON lines that other programs write and rotate.
    pub(crate) tail: Option<Tail>,
    /// Data that SageMaker captured at an endpoint, in a bucket or a folder.
    pub(crate) data_capture: Option<DataCapture>,
    /// Topics of Kafka.
    pub(crate) kafka: Option<KafkaSource>,
}

/// A lane.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lane {
    /// Real traffic.
    #[default]
    Prod,
    /// Copies.
    Shadow,
}

/// Standard input.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stdin {
    /// What a line holds.
    #[serde(default)]
    pub(crate) format: Format,
}

/// Files of JSON lines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tail {
    /// Paths, with `*`, `?`, `[…]` and `**` for many. Relative ones start from the configuration's folder.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) paths: Vec<FileName>,
    /// What a line holds.
    #[serde(default)]
    pub(crate) format: Format,
    /// Where the files that are there at the first start are begun. Files that appear later are read whole.
    #[serde(default)]
    pub(crate) start: Start,
    /// Time between two looks at the files.
    #[serde(default = "default_tail_poll")]
    #[schemars(extend("x-min" = "10ms", "x-max" = "1h"))]
    pub(crate) poll: Span,
    /// Wait for more when all is read. Without it the source ends there.
    #[serde(default = "default_follow")]
    pub(crate) follow: bool,
}

/// Where a file is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Start {
    /// At its first line.
    #[default]
    Beginning,
    /// Behind its last line: only what is added counts.
    End,
}

/// Captured data: exactly one of `s3` and `folder`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataCapture {
    /// The endpoint's destination, `s3://BUCKET/PREFIX`. One source an endpoint: let the prefix end with its name.
    pub(crate) s3: Option<String>,
    /// A folder with the same below it.
    pub(crate) folder: Option<FileName>,
    /// The bucket's region. By default `AWS_REGION`.
    pub(crate) region: Option<Name>,
    /// Address of a service other than Amazon's that speaks S3.
    pub(crate) endpoint: Option<Url>,
    /// Take an `endpoint` of another machine that is not encrypted.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// Versions by the name of the variant. A variant that is not named here is a version itself.
    pub(crate) versions: Option<Named<AnyText, Name>>,
    /// Variants that get copies of the traffic: their inferences are of the shadow lane.
    #[serde(default)]
    pub(crate) shadow: Vec<String>,
    /// Key in the custom attributes (`key=value`) whose value is the tenant.
    #[serde(default = "default_tenant_attribute")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) tenant_attribute: String,
    /// How far back the first start goes. Without it, everything there is.
    #[schemars(extend("x-min" = "1h"))]
    pub(crate) since: Option<Span>,
    /// Time between two looks.
    #[serde(default = "default_capture_poll")]
    #[schemars(extend("x-min" = "10ms", "x-max" = "1d"))]
    pub(crate) poll: Span,
    /// Wait for more when all is read. Without it the source ends there.
    #[serde(default = "default_follow")]
    pub(crate) follow: bool,
}

fn default_tail_poll() -> Span {
    Span(Duration::from_secs(1))
}

fn default_capture_poll() -> Span {
    Span(Duration::from_secs(60))
}

fn default_follow() -> bool {
    true
}

fn default_tenant_attribute() -> String {
    "tenant".to_owned()
}

/// A listener of Fluent's forward protocol.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forward {
    /// Address that it takes connections on. Other than of this machine alone, it needs a `shared_key` or
    /// `open_to_network`.
    #[serde(default = "default_forward_listen")]
    pub(crate) listen: Address,
    /// What a record holds, or the text under `record_key`.
    #[serde(default)]
    pub(crate) format: Format,
    /// Key under which an inference stands, as text or as an object. A record without it is the inference itself. The
    /// default is where Fluent Bit's `tail` puts a line that it does not parse.
    #[serde(default = "default_record_key")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) record_key: String,
    /// Key that clients have to know, as their `shared_key`.
    pub(crate) shared_key: Option<SecretText>,
    /// File that holds the key; the line end is taken off. Instead of `shared_key`.
    pub(crate) shared_key_file: Option<FileName>,
    /// Take records from whoever reaches the address although there is no `shared_key`.
    #[serde(default)]
    pub(crate) open_to_network: bool,
    /// Our name in the handshake with a `shared_key`.
    #[serde(default = "default_hostname")]
    pub(crate) hostname: Name,
    /// Most connections at a time; further ones are closed at once.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) max_connections: usize,
    /// Longest message, also after inflating it. A longer one ends its connection. All connections together hold at most
    /// eight times as much, and 64 KiB each.
    #[serde(default = "default_max_frame")]
    #[schemars(extend("x-min" = "64KiB", "x-max" = "1GiB"))]
    pub(crate) max_frame: Size,
}

fn default_forward_listen() -> Address {
    Address(std::net::SocketAddr::from(([127, 0, 0, 1], 24224)))
}

fn default_record_key() -> String {
    "log".to_owned()
}

fn default_hostname() -> Name {
    Name("driftline".to_owned())
}

fn default_max_connections() -> usize {
    64
}

fn default_max_frame() -> Size {
    Size(16 << 20)
}

/// What a line or a message holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// Inference records, as in the inference log and for `POST /api/v1/observe`.
    #[default]
    Record,
    /// Any JSON, read by the paths under the model's `features` and `prediction`.
    Json,
}
