//! Sources: where inferences come from beside the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::{Address, FileName, Name, SecretText, Size};

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
