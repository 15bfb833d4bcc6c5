//! What only LLM routes need: what shadows may spend, and embeddings that are never bought twice.

mod embeddings;
mod ledger;
pub(crate) mod metrics;
mod probe;
mod usage;

pub(crate) use embeddings::{Embeddings, LearningTap};
pub(crate) use ledger::Ledger;
pub(crate) use probe::{Buyer, ProbeError};
