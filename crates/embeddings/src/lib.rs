//! Embeddings that have been paid for, so that none is bought twice.
//!
//! An embedding is a function of its model and its input: the same question has the same answer. The cache is addressed
//! by content: [`Key`] is a SHA-256 over who asks ([`Scope`]), the model and version that answer, the request's settings
//! and one input. It is bounded in entries and bytes ([`Limits`]), forgets what was not used for longest, and is kept on
//! disk by a thread of its own. Whoever asks for something that another one is just buying waits for that one
//! ([`Session`]).
//!
//! No network and no clock here: a [`Session`] says what to send, and is told what came back.

mod answer;
mod cache;
mod counters;
mod disk;
mod flight;
mod key;
mod memory;
mod question;
mod session;

pub use cache::{Cache, Caller};
pub use counters::{CacheCounters, CacheSnapshot};
pub use key::{Key, Scope};
pub use memory::Limits;
pub use question::Question;
pub use session::{Session, Step};
