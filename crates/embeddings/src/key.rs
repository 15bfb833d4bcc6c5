//! What an embedding is found by.

use sha2::{Digest, Sha256};

/// Begins every hash: another way of hashing needs another one.
const DOMAIN: &[u8] = b"driftline embedding 1";

/// Who may be served what another one paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everybody who asks the same model.
    All,
    /// The requests of one tenant, or those without one.
    Tenant(Option<&'a [u8]>),
}

/// SHA-256 over scope, model, version, settings and one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From bytes that were stored; `None` when they are not 32.
    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Hashes what a request's inputs have in common, then each input.
#[derive(Clone)]
pub(crate) struct Keyer(Sha256);

impl std::fmt::Debug for Keyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyer")
    }
}

impl Keyer {
    /// For the questions of one caller to one version of a model.
    pub(crate) fn new(scope: Scope<'_>, model: &str, version: &str) -> Self {
        let mut keyer = Self(Sha256::new());
        keyer.add(DOMAIN);
        match scope {
            Scope::All => keyer.add(b"all"),
            Scope::Tenant(None) => keyer.add(b"none"),
            Scope::Tenant(Some(tenant)) => {
                keyer.add(b"tenant");
                keyer.add(tenant);
            }
        }
        keyer.add(model.as_bytes());
        keyer.add(version.as_bytes());
        keyer
    }

    /// Adds a field: with its length, so that no two lists of fields are one text.
    pub(crate) fn add(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    /// The key of what was added.
    pub(crate) fn finish(self) -> Key {
        Key(self.0.finalize().into())
    }
}
