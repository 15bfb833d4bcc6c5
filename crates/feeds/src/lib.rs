//! Records from and to the world.
//!
//! A *source* brings inferences in: from Kafka, files, streams, object stores. It hands them to an [`Observer`] in
//! batches and goes on when they were counted, so that what it commits or saves as its position is never ahead of what
//! was measured. A *sink* takes the inference log out. Neither is ever waited for by a request.

pub mod cloudevents;
pub mod fluent;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod join;
pub mod kafka;
mod observation;
pub mod sinks;
pub mod sources;

pub use observation::{Counted, Observation, Observer, ObserverGone};
