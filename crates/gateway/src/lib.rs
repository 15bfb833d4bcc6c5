//! The data plane: accepts requests, chooses a model's version, forwards, copies a share to the shadow, and taps.
//!
//! What the client sees, bytes and time, does not depend on the shadow, the tap, a disk or another network peer: the
//! side branch is taken in one place, when an exchange has ended, with bounded queues that are never awaited.
//!
//! The crate knows nothing of drift, alerts or YAML. It takes a plain [`GatewayConfig`], reads an atomically swapped
//! [`RouteTable`] once a request, hands every exchange to a [`Tap`] and counts what [`GatewaySnapshot`] shows.
//!
//! The way of a request: `listener` accepts, `connection` finds the protocol, `guard` checks the framing of the bytes,
//! `exchange` admits, routes (`route`) and forwards (`upstream`), `body` streams, `flight` ends, `side` copies and taps.
//! A worker is one thread with one event loop; nothing on a request's way is locked or shared with another worker.

mod body;
mod circuit;
mod clock;
mod connection;
mod copy;
mod counters;
mod error;
mod exchange;
mod executor;
mod flight;
mod framing;
mod gateway;
mod grpc;
mod guard;
mod headers;
mod hooks;
mod io;
mod known;
mod line;
mod listener;
mod metrics;
mod notices;
mod refusal;
mod retry;
mod route;
mod sample;
mod shadow;
mod side;
mod spec;
mod tap;
mod target;
mod timer;
mod tunnel;
mod upgrade;
mod upstream;
mod worker;

pub use error::GatewayError;
pub use gateway::Gateway;
pub use grpc::status_of_grpc;
pub use headers::for_log as headers_for_log;
pub use hooks::{AnswerSession, Ask, ShadowAnswers, ShadowBudget, ShadowHooks, Step, StepFuture};
pub use metrics::{
    CopySnapshot, GatewaySnapshot, LATENCY_BOUNDS_MS, LaneSnapshot, LatencySnapshot, OVERHEAD_BOUNDS_US,
    OverheadSnapshot,
};
pub use spec::*;
pub use tap::{NoTap, Tap};
pub use target::upstream_tls;
