//! What sources bring, and who takes it.

use std::pin::Pin;

use record::{Exchange, Record};

/// One thing to count.
#[derive(Clone, Debug)]
pub enum Observation {
    /// Bodies as they were sent; the model's decoder reads them.
    Exchange(Box<Exchange>),
    /// An inference in the public form.
    Record(Box<Record>),
}

impl Observation {
    /// The model it belongs to.
    pub fn model(&self) -> &str {
        match self {
            Self::Exchange(exchange) => &exchange.model,
            Self::Record(record) => &record.model,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Observations that were counted.
    pub accepted: usize,
    /// Position in the batch, from 0, and why that one was not counted. The reason names no value of the observation.
    pub rejected: Vec<(usize, String)>,
}

/// The process is ending: what was handed over last was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("observations are not taken any more")]
pub struct ObserverGone;

/// Takes observations. `server` implements it with the monitor's thread.
pub trait Observer: Send + Sync + 'static {
    /// Counts a batch, in order; ready when all of it was counted or rejected. Waits while there is too much to do:
    /// sources slow down instead of losing anything.
    fn count(
        &self,
        batch: Vec<Observation>,
    ) -> Pin<Box<dyn Future<Output = Result<Counted, ObserverGone>> + Send + '_>>;
}
