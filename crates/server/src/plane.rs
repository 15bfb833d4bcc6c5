//! Everything that runs, as the loops and the admin API see it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use config::Settings;
use control::{
    Decision, Grid, GridQuery, HistoryQuery, HistoryReader, LatencyReading, SignalReading, StoreError,
};
use feeds::sinks::Logs;
use gateway::{Gateway, GatewaySnapshot};
use record::Lane;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use actions::{Hub, Trainer};

use crate::admin::FluentBit;
use crate::approval::ApprovalKey;
use crate::control_loop::Heartbeat;
use crate::desk::Desk;
use crate::drill::Drills;
use crate::intake::Intake;
use crate::llm::{Buyer, Embeddings, Ledger};
use crate::monitor_loop::MonitorHandle;
use crate::observed::Observed;
use crate::rates::Rates;
use crate::refused::Refused;
use crate::routing::Routing;
use crate::sources::Sources;
use crate::told;

/// The running parts, shared.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) sources: Arc<Sources>,
    /// What Fluent Bit sends over HTTP.
    pub(crate) fluentbit: FluentBit,
    /// Refused calls to the admin address.
    pub(crate) refused: Refused,
    /// The inference log.
    pub(crate) logs: Logs,
    /// Traffic that others carried.
    pub(crate) observed: Arc<Observed>,
    pub(crate) monitor: Arc<MonitorHandle>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) desk: Arc<Desk>,
    /// Who trains.
    pub(crate) trainers: ArcSwap<HashMap<String, Arc<Trainer>>>,
    /// What links that approve are signed with.
    pub(crate) approval_key: ApprovalKey,
    /// Who is told.
    pub(crate) hub: Arc<Hub>,
    pub(crate) drill: Drills,
    /// What shadows have spent.
    pub(crate) ledger: Arc<Ledger>,
    /// Embeddings that have been paid for, when they are kept.
    pub(crate) embeddings: Option<Arc<Embeddings>>,
    pub(crate) buyer: Buyer,
    /// Latencies of the last horizon, as the rules saw them.
    pub(crate) latency: ArcSwap<Vec<LatencyReading>>,
    /// The signals of traffic, as the rules saw them.
    pub(crate) signals: ArcSwap<Vec<SignalReading>>,
    /// Traffic of the last minute.
    pub(crate) rates: Rates,
    pub(crate) control_beat: Heartbeat,
    pub(crate) started_ms: i64,
    pub(crate) history_errors: AtomicU64,
    /// Points not written because there are too many series.
    pub(crate) history_dropped: AtomicU64,
    /// Reads beside the writer, so that a long range never holds the rules up.
    pub(crate) history: Mutex<Option<HistoryReader>>,
    /// Calls that may wait for the history at one time.
    pub(crate) history_readers: Semaphore,
    pub(crate) reload: ReloadState,
    pub(crate) stopping: AtomicBool,
}

/// How the last reading of the configuration file went.
#[derive(Debug)]
pub(crate) struct ReloadState {
    pub(crate) last_ok: AtomicBool,
    pub(crate) last_ok_ms: std::sync::atomic::AtomicI64,
    pub(crate) reloads: AtomicU64,
    pub(crate) message: ArcSwap<String>,
    /// One reload at a time.
    pub(crate) lock: tokio::sync::Mutex<()>,
}

impl Plane {
    /// Points of the stored history.
    pub(crate) fn history(&self, query: &HistoryQuery) -> Result<Vec<(i64, f64)>, StoreError> {
        match &*self.history.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reader) => reader.history(query),
            None => self.desk.controller().store().history(query),
        }
    }

    /// Series of the stored history side by side.
    pub(crate) fn grid(&self, query: &GridQuery) -> Result<Grid, StoreError> {
        match &*self.history.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reader) => reader.grid(query),
            None => self.desk.controller().store().grid(query),
        }
    }

    /// Whether a model's traffic goes through this instance, so that it can be moved here. An unknown model's might.
    pub(crate) fn moves_traffic(&self, model: &str) -> bool {
        let settings = self.settings();
        let route = settings.routes.iter().find(|route| *route.name == *model);
        let only_measured = route.is_some_and(|route| route.versions.is_empty());
        !only_measured && self.gateway.local_addr().is_some()
    }

    /// Carries a decision out on a task of its own: a caller who hangs up half-way must not stop a change half-way.
    pub(crate) fn carry_out(self: &Arc<Self>, decision: &Decision) -> JoinHandle<Result<(), String>> {
        let (plane, decision) = (Arc::clone(self), decision.clone());
        tokio::spawn(async move {
            let outcome = plane.desk.carry_out(&decision).await;
            plane.tell(&decision, outcome.as_ref().err().map(String::as_str));
            outcome
        })
    }

    /// Tells people what came of a decision.
    fn tell(&self, decision: &Decision, failure: Option<&str>) {
        let change = &decision.change;
        let features = match decision.kind {
            control::DecisionKind::Rollback => {
                told::top_features(&self.monitor.readings(), &change.model, &change.from)
            }
            control::DecisionKind::Promote => Vec::new(),
        };
        let dashboard = self.dashboard("overview", &change.model);
        self.hub.tell(&told::decision(decision, failure, features, dashboard.as_deref()));
    }

    /// A link to a page about a model, when the dashboard's address is known.
    pub(crate) fn dashboard(&self, page: &str, model: &str) -> Option<String> {
        let place = control::Place { page, model, ..control::Place::default() };
        self.settings().policy.dashboard_url.as_deref().map(|base| place.link(base))
    }

    /// All traffic at this instant: what our gateway carried and what others did.
    pub(crate) fn traffic(&self) -> GatewaySnapshot {
        let mut snapshot = self.gateway.snapshot();
        self.observed.add_to(&mut snapshot);
        snapshot
    }

    /// Where traffic is taken, for people.
    pub(crate) fn traffic_text(&self) -> String {
        self.gateway
            .local_addr()
            .map_or_else(|| "No traffic passes here".to_owned(), |at| format!("Traffic on {at}"))
    }

    /// The version of a model that is only measured: the one that served last. `None` of a model that is forwarded to, and
    /// while nothing has been measured.
    pub(crate) fn measured_version(&self, model: &str, lane: Lane) -> Option<Arc<str>> {
        let settings = self.settings();
        let route = settings.routes.iter().find(|route| *route.name == *model)?;
        if !route.versions.is_empty() {
            return None;
        }
        let readings = self.monitor.readings();
        let windows = readings.models.iter().filter(|one| *one.model == *model).flat_map(|one| &one.windows);
        let of_lane = windows.filter(|window| window.lane == lane && &*window.tenant == "all");
        of_lane.max_by_key(|window| window.last_at_ms).map(|window| Arc::clone(&window.version))
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }
}
