//! The configuration as it is written: types that serde fills and schemars turns into the schema.
//!
//! Their doc comments are the reference documentation, their bounds the schema's, their defaults the ones in force:
//! each is stated once. Nothing outside this crate sees them. What needs more than one key at a time is checked in
//! `resolve`.

mod actuators;
mod alerts;
mod detector;
mod follow;
mod kafka;
mod limits;
mod llm;
mod logs;
mod model;
mod named;
mod notify;
mod pairs;
mod privacy;
mod retrain;
mod signals;
mod sources;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::{Address, FileName, HostText, Link, SecretText, Span};

pub(crate) use actuators::{
    Actuator, Aws, CommandSwitch, HttpSwitch, Kserve, KserveMode, Kube, Ssm, Terraform, Vertex,
};
pub(crate) use alerts::{Alerts, ModelRollback, Rollback, Rule};
pub(crate) use detector::{DetectorDetail, DriftDetector};
pub(crate) use follow::Follow;
pub(crate) use kafka::{
    KafkaCompression, KafkaField, KafkaFormat, KafkaLog, KafkaLogKey, KafkaMechanism, KafkaSasl, KafkaSource,
    KafkaStart, KafkaTls,
};
pub(crate) use limits::Limits;
pub(crate) use llm::{Budget, CacheScope, EmbeddingCache, ShadowMode};
pub(crate) use logs::{Compression, LogFiles, Logs, Loki};
pub(crate) use model::{
    Baseline, Binning, BinningRange, BinningType, Model, OneOrMore, Prediction, Retry, Route, SampleBy,
    Shadow, Tenant, Version, default_grow, default_learn,
};
pub(crate) use named::{AnyText, Headers, Named, Names, OwnNames, Rules, SourceNames};
pub(crate) use notify::{Email, EmailTls, HttpCall, Notifier, Slack};
pub(crate) use pairs::{Pairs, PairsDetail, ShadowRole};
pub(crate) use privacy::{Detector, Privacy};
pub(crate) use retrain::{Airflow, Github, Trainer, VertexPipeline};
pub(crate) use signals::{CheckName, KindName, ScopeName, SignalName};
pub(crate) use sources::{DataCapture, Format, Forward, Lane, Source, Start, Tail};

/// Driftline's configuration, `driftline.yaml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Address that takes traffic. Port 0 picks a free one.
    #[serde(default = "default_listen")]
    pub(crate) listen: Address,
    /// Address of metrics, API and dashboard, or more about them.
    #[serde(default)]
    pub(crate) admin: Admin,
    /// The models, by name. A request goes to the first whose `route` matches.
    pub(crate) models: Named<Names, Model>,
    /// Where inferences come from beside the gateway, by a name of your own. `driftline observe` has nothing but these and
    /// the receivers of the admin address.
    #[serde(default)]
    pub(crate) sources: Named<SourceNames, Source>,
    /// What is hashed before anything is written, sent or shown.
    #[serde(default)]
    pub(crate) privacy: Privacy,
    /// The inference log: one record for every inference.
    #[serde(default)]
    pub(crate) logs: Logs,
    /// When to alert.
    #[serde(default)]
    pub(crate) alerts: Alerts,
    /// Who is told of alerts and of what was done, by a name of your own.
    #[serde(default)]
    pub(crate) notify: Named<OwnNames, Notifier>,
    /// What critical alerts may do.
    #[serde(default)]
    pub(crate) rollback: Rollback,
    /// Trainings that drift starts, by a name of your own.
    #[serde(default)]
    pub(crate) retrain: Named<OwnNames, Trainer>,
    /// Address of the admin side as people reach it: for links that approve a rollback, and to the profile.
    pub(crate) public_url: Option<Link>,
    /// Folder of all state, or more about it.
    #[serde(default)]
    pub(crate) store: Store,
    /// Keep embeddings that have been paid for. Without it there is no cache.
    pub(crate) embedding_cache: Option<EmbeddingCache>,
    /// Upper bounds. Over a bound telemetry is dropped and counted; traffic is refused only where the text says so.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Who may change things over the admin API.
    #[serde(default)]
    pub(crate) auth: Auth,
    /// Identity of the traffic's listener. Without it the listener speaks plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// How long running requests may take to end after a shutdown was asked for.
    #[serde(default = "default_shutdown_grace")]
    #[schemars(extend("x-max" = "1h"))]
    pub(crate) shutdown_grace: Span,
    /// Threads of the data plane. The default is one per CPU.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) workers: Option<usize>,
    /// Accept rollback drills (`driftline drill`): they raise alerts on purpose and change traffic.
    #[serde(default)]
    pub(crate) drill: bool,
}

/// The admin side: an address, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Admin {
    /// Its address.
    Address(Address),
    Detail(AdminDetail),
}

/// The admin side and who may ask.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminDetail {
    /// Address of metrics, API and dashboard. Without a token, changes are accepted from this machine only.
    #[serde(default = "default_admin")]
    pub(crate) listen: Address,
    /// Further host names under which browsers may reach it. Addresses and `localhost` always work; other names are
    /// refused, so that a foreign page cannot reach it by a name of its own.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) allowed_hosts: Vec<HostText>,
}

impl Default for Admin {
    fn default() -> Self {
        Self::Address(default_admin())
    }
}

impl serde::Serialize for Admin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Address(address) => address.serialize(serializer),
            Self::Detail(detail) => detail.listen.serialize(serializer),
        }
    }
}

/// Where state lives: a folder, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Store {
    /// The folder.
    Folder(FileName),
    Detail(StoreDetail),
}

/// The folder and how it is used.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreDetail {
    /// The folder; made when it is not there. One running instance per folder.
    #[serde(default = "default_store")]
    pub(crate) path: FileName,
    /// How often windows are saved: what a crash loses.
    #[serde(default = "default_snapshot_every")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub(crate) snapshot_every: Span,
    /// How long the series of the dashboard are kept. The audit trail keeps its last 100 000 entries.
    #[serde(default = "default_keep_history")]
    #[schemars(extend("x-min" = "1h"))]
    pub(crate) keep_history: Span,
}

impl Default for Store {
    fn default() -> Self {
        Self::Folder(default_store())
    }
}

impl Store {
    /// With every default filled in.
    pub(crate) fn detail(&self) -> StoreDetail {
        match self {
            Self::Detail(detail) => detail.clone(),
            Self::Folder(path) => StoreDetail {
                path: path.clone(),
                snapshot_every: default_snapshot_every(),
                keep_history: default_keep_history(),
            },
        }
    }
}

impl serde::Serialize for Store {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.detail().path.serialize(serializer)
    }
}

/// Who may change things. Without a token: anyone on this machine, nobody else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Bearer token that changes need. At least 16 characters that cannot be guessed.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token; the line end is taken off. Read again on every reload. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// PEM files of the listener's identity.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain, PEM.
    pub(crate) cert_file: FileName,
    /// Private key, PEM.
    pub(crate) key_file: FileName,
}

fn default_listen() -> Address {
    Address(std::net::SocketAddr::from(([127, 0, 0, 1], 8080)))
}

pub(crate) fn default_admin() -> Address {
    Address(std::net::SocketAddr::from(([127, 0, 0, 1], 9464)))
}

fn default_store() -> FileName {
    FileName("./driftline-data".to_owned())
}

fn default_snapshot_every() -> Span {
    Span(std::time::Duration::from_secs(5))
}

fn default_keep_history() -> Span {
    Span(std::time::Duration::from_secs(30 * 86_400))
}

fn default_shutdown_grace() -> Span {
    Span(std::time::Duration::from_secs(30))
}
