//! Readings in, alerts out; alerts in, rollback decisions out.
//!
//! Reading, deciding and acting are three steps. A rule turns readings into conditions (pure, [`evaluate`]). A state machine
//! per alert turns conditions into inactive, pending and firing with `now` passed in. [`decide`] turns firing alerts into
//! at most one decision per model (pure, table-tested). A decision is journaled with the readings behind it before
//! anything acts; actuators then carry it out and are read back.
//!
//! Nothing else in the program changes where traffic goes by itself.

mod actuator;
mod alert;
mod book;
mod clock;
mod controller;
mod decide;
mod decision;
mod error;
mod evaluate;
mod evidence;
mod latency;
mod place;
mod policy;
mod prometheus;
mod signal;
mod store;
#[cfg(test)]
mod testing;

pub use actuator::{Actuator, ActuatorError, ActuatorFuture, Change, Patience, RehearsalFuture};
pub use alert::{Alert, AlertChange, AlertEnd, AlertState, AlertTransition, Annotations};
pub use controller::{
    AlertmanagerAlert, AlertmanagerWebhook, Controller, Hold, ModelPhase, ModelStatus, News, Proposal,
    ProposalState, RetrainState, Retraining, Step, WebhookAlertOutcome, WebhookOutcome, WebhookVerdict,
};
pub use decide::{BlockReason, Episode, FiringAlert, ModelState, Verdict, decide};
pub use decision::{Decision, DecisionKind, DecisionState, Trigger};
pub use error::{ControlError, StoreError};
pub use evaluate::{Evaluation, Holding, Subject, evaluate, quality_excess};
pub use latency::{LatencyHorizon, LatencyReading};
pub use place::Place;
pub use policy::{Condition, ModelPolicy, Policy, RetrainPolicy, RollbackMode, Rule, Scope, Severity};
pub use prometheus::rules_yaml;
pub use signal::{
    About, CATALOGUE, Comparator, Kind, LaneCounts, RateHorizon, Signal, SignalReading, Source, Spec, Unit,
    is_error, is_rejected,
};
pub use store::{
    DATABASE_FILE, Event, EventKind, GRID_ROWS_MAX, GRID_STEPS_MAX, Grid, GridBy, GridQuery, GridRow,
    HistoryPoint, HistoryQuery, HistoryReader, HistoryWrite, Metric, SERIES_MAX, Series, Store,
    TrafficReading,
};
