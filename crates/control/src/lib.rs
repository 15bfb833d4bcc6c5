//! Readings in, alerts out; alerts in, rollback decisions out.
//!
//! Reading, deciding and acting are three steps. A rule turns readings into conditions (pure). A state machine per alert
//! turns conditions into inactive, pending and firing with `now` passed in. [`decide`](decide::decide) turns firing alerts
//! into at most one decision per model (pure, table-tested). A decision is journaled with the readings behind it before
//! anything acts; actuators then carry it out and are read back.
//!
//! Nothing else in the program changes where traffic goes by itself.

mod actuator;
mod latency;
mod policy;

pub use actuator::{Actuator, ActuatorError, ActuatorFuture, Change};
pub use latency::{LatencyHorizon, LatencyReading};
pub use policy::{Condition, ModelPolicy, Policy, RollbackMode, Rule, Severity};
