//! A configuration that is in order: plain values for the crates that work with them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use actions::Secret;

use crate::problem::Problem;

/// A configuration that can be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the parts of the program take.
    pub settings: Settings,
    /// What works but is probably not meant, by line.
    pub warnings: Vec<Problem>,
}

/// Everything that a running instance needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data plane's fixed part.
    pub gateway: gateway::GatewayConfig,
    /// Models as configured, in the order their routes are tried: `active` gets everything unless there is a `split`.
    pub routes: Vec<gateway::ModelRoute>,
    /// What the admin side tells about each model, in the same order.
    pub models: Vec<ModelSettings>,
    /// How each model is measured, in the same order.
    pub monitor: Vec<monitor::ModelSpec>,
    /// Rules, and what alerts may do.
    pub policy: control::Policy,
    /// The inference log.
    pub logs: feeds::sinks::LogSpec,
    /// Where inferences come from beside the gateway.
    pub sources: Vec<feeds::sources::SourceSpec>,
    /// Who is told.
    pub notify: Vec<actions::NotifierSpec>,
    /// How alerts become messages.
    pub grouping: actions::Grouping,
    /// What is switched beside our own gateway: model and actuator, in the order written.
    pub actuators: Vec<(Arc<str>, actions::ActuatorSpec)>,
    /// What names the version that clients get: model and source.
    pub follows: Vec<(Arc<str>, FollowSettings)>,
    /// Who trains.
    pub trainers: Vec<actions::TrainerSpec>,
    /// Address of the admin side as people reach it.
    pub public_url: Option<String>,
    /// The admin side.
    pub admin: AdminSettings,
    /// Where state lives.
    pub store: StoreSettings,
    /// From the tap to the readings.
    pub observe: ObserveSettings,
    /// Embeddings kept for shadows and probes; `None` for none.
    pub embedding_cache: Option<EmbeddingCacheSettings>,
    /// Drills.
    pub drill: DrillSettings,
    /// The file it came from; `None` with command line flags.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// The same without a gateway: no traffic is taken, so none can be moved either, except by actuators.
    #[must_use]
    pub fn without_traffic(mut self) -> Self {
        self.gateway.listen = None;
        let actuators = &self.actuators;
        let moved = |name: &Arc<str>| actuators.iter().any(|(model, _)| model == name);
        for model in &mut self.models {
            model.auto_rollback &= moved(&model.name);
        }
        for model in &mut self.policy.models {
            model.auto_rollback &= moved(&model.name);
        }
        self
    }

    /// Whether a model has a version that requests can be forwarded to.
    pub fn forwards(&self) -> bool {
        self.routes.iter().any(|route| !route.versions.is_empty())
    }
}

/// What the admin side tells about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Its versions, in the order written. Of a model that is only measured: the one that records without a version
    /// belong to.
    pub versions: Vec<Arc<str>>,
    /// The version that answers clients.
    pub active: Arc<str>,
    /// The version that a rollback goes to.
    pub stable: Arc<str>,
    /// Configured shares of the real traffic: index into `versions` and weight, at least one.
    pub split: Vec<(usize, u32)>,
    /// Versions that get copies.
    pub shadows: Vec<ShadowSettings>,
    /// Whether critical alerts roll back when the instance starts for the first time.
    pub auto_rollback: bool,
    /// How bodies are read.
    pub protocol: record::Protocol,
}

/// What names the version that clients of a model get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowSettings {
    /// Where it stands.
    pub source: actions::FollowSpec,
    /// How often it is looked at.
    pub every: Duration,
    /// Values that stand for a version of another name: value and version.
    pub names: std::collections::HashMap<String, String>,
}

/// What the admin side tells about a shadow.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowSettings {
    /// The version that gets the copies; `None` when requests are only logged.
    pub version: Option<Arc<str>>,
    /// Whether the copies measure the noise of the version that answers clients; `version` is then the configured name of
    /// it, if one is given.
    pub noise: bool,
    /// Share of the requests that is copied or logged, 0 to 100.
    pub percent: f64,
    /// What the copies may cost.
    pub budget: Option<BudgetSettings>,
}

/// What copies to one shadow may cost on one day (UTC).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSettings {
    /// Tokens of prompts and answers together.
    pub tokens_per_day: Option<u64>,
    /// Dollars.
    pub usd_per_day: Option<f64>,
    /// Dollars for a million tokens of prompts.
    pub usd_per_million_prompt_tokens: f64,
    /// Dollars for a million tokens of answers.
    pub usd_per_million_completion_tokens: f64,
}

/// The embedding cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingCacheSettings {
    /// Embeddings kept at most. Default 100 000.
    pub entries: usize,
    /// Bytes they may hold. Default 256 MiB.
    pub bytes: usize,
    /// Whether they are kept over a restart. Default `true`.
    pub persist: bool,
    /// Whether all requests of a model share them; else each tenant its own. Default `false`.
    pub share_all: bool,
}

/// The admin side.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Address of metrics, API and dashboard. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// What changes need; `None` accepts them from loopback only.
    pub token: Option<Secret>,
    /// Further host names under which browsers may reach it, lower case, without port.
    pub allowed_hosts: Vec<String>,
}

/// Where state lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Folder, relative to the working directory. Default `./driftline-data`.
    pub folder: PathBuf,
    /// How often windows are saved. Default 5 s.
    pub snapshot_every: Duration,
    /// How long series and audit trail are kept. Default 30 days.
    pub keep_history: Duration,
}

/// From the tap to the readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserveSettings {
    /// Exchanges that may wait to be measured.
    pub queue: usize,
    /// Bytes they may hold.
    pub queue_bytes: usize,
    /// How often readings are computed and rules evaluated. Default 1 s.
    pub evaluate_every: Duration,
}

/// Drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrillSettings {
    /// Whether drills are accepted. Default `false`.
    pub enabled: bool,
}
