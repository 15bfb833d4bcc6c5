//! What only LLM routes need: what shadows may spend, and embeddings that are never bought twice.

mod ledger;
pub(crate) mod metrics;
mod usage;

pub(crate) use ledger::Ledger;
