//! Wiring, lifecycle, reload, admin API and `/metrics`: the only crate that knows all the others.
//!
//! [`App::start`] takes checked [`config::Settings`] and runs everything: the gateway's workers and the shadow's runtime
//! (their own threads), the monitor's loop, the control loop and the admin API (one thread each). Nothing the admin API or
//! the monitor does can hold a request up.

mod admin;
mod app;
mod approval;
mod armed;
mod clock;
mod control_loop;
mod desk;
mod drill;
mod exposition;
mod follow;
mod health;
mod intake;
mod llm;
mod metrics_actions;
mod metrics_detectors;
mod metrics_logs;
mod metrics_page;
mod metrics_signals;
mod metrics_sources;
mod monitor_loop;
mod observed;
mod observer;
mod outside;
mod overview;
mod pairs;
mod plane;
mod rates;
mod refused;
mod reload;
mod routing;
mod signals;
mod snapshot;
mod sources;
mod status;
mod told;

pub use app::{App, SourceSummary, StartError};
