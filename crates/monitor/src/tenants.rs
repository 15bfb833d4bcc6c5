//! Which windows a tenant's rows go to.
//!
//! Tenant names come from clients, so none is trusted: a name with odd characters, or one that Driftline uses itself,
//! shares the windows of `invalid`, and names beyond the limit share those of `other`. Nobody is ever evicted: a flood of
//! invented names costs the inventor's rows their own window, never another tenant's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::spec::TenantSpec;

/// The windows over all tenants.
pub(crate) const ALL: u32 = 0;
/// The windows of tenants over the limit.
const OTHER: u32 = 1;
/// The windows of names that are none.
const INVALID: u32 = 2;
/// Names of the windows above; clients cannot claim them.
const RESERVED: [&str; 3] = ["all", "other", "invalid"];

/// Longest tenant name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The tenants seen so far, by number.
#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
    limit: usize,
}

impl Tenants {
    pub(crate) fn new(spec: &TenantSpec) -> Self {
        let names = RESERVED.iter().map(|name| Arc::from(*name)).collect();
        let mut tenants = Self { names, ids: HashMap::new(), limit: 0 };
        tenants.configure(spec);
        tenants
    }

    /// Takes over new settings. Tenants that have windows keep them, even over a smaller limit.
    pub(crate) fn configure(&mut self, spec: &TenantSpec) {
        self.limit = spec.limit.max(spec.pinned.len());
        for name in spec.pinned.iter().filter(|name| is_valid(name.as_bytes())) {
            if !self.ids.contains_key(name.as_str()) {
                self.insert(name);
            }
        }
    }

    /// The tenant's number; `None` when the request names none, an empty name included.
    pub(crate) fn resolve(&mut self, name: Option<&[u8]>) -> Option<u32> {
        let name = name.filter(|name| !name.is_empty())?;
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_valid(name.as_bytes())) else {
            return Some(INVALID);
        };
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if self.ids.len() >= self.limit {
            return Some(OTHER);
        }
        Some(self.insert(name))
    }

    /// The number of the first tenant that clients named.
    pub(crate) fn first_named(&self) -> u32 {
        RESERVED.len() as u32
    }

    /// The number behind a name as readings show it.
    pub(crate) fn shown(&self, name: &str) -> Option<u32> {
        let reserved = RESERVED.iter().position(|reserved| *reserved == name).map(|id| id as u32);
        reserved.or_else(|| self.ids.get(name).copied())
    }

    pub(crate) fn name(&self, id: u32) -> Arc<str> {
        self.names.get(id as usize).unwrap_or(&self.names[INVALID as usize]).clone()
    }

    /// Names that clients gave, in the order of their numbers.
    pub(crate) fn named(&self) -> &[Arc<str>] {
        &self.names[RESERVED.len()..]
    }

    /// The number of a stored name, whatever the limit; `None` if it is not valid.
    pub(crate) fn restore(&mut self, name: &str) -> Option<u32> {
        let known = self.ids.get(name).copied();
        known.or_else(|| is_valid(name.as_bytes()).then(|| self.insert(name)))
    }

    /// Numbers in use.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    fn insert(&mut self, name: &str) -> u32 {
        let (id, name) = (self.names.len() as u32, Arc::<str>::from(name));
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }
}

fn is_valid(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:@-".contains(byte);
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.iter().all(allowed)
        && !RESERVED.iter().any(|reserved| reserved.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_claim_or_exhaust_the_shared_windows() {
        let spec = TenantSpec { limit: 3, pinned: vec!["vip".to_owned()] };
        let mut tenants = Tenants::new(&spec);
        let mut at = |name: &str| tenants.resolve(Some(name.as_bytes()));
        assert_eq!(
            (at("a"), at("b"), at("c"), at("vip"), at("a")),
            (Some(4), Some(5), Some(1), Some(3), Some(4))
        );
        for bad in ["all", "other", "invalid", "a b", "ä", &"x".repeat(65), "{}"] {
            assert_eq!(at(bad), Some(INVALID), "{bad}");
        }
        assert_eq!(at(&"x".repeat(64)), Some(OTHER));
        assert_eq!((tenants.resolve(None), tenants.resolve(Some(b""))), (None, None));
        assert_eq!(tenants.resolve(Some(b"\xff")), Some(INVALID));
        assert_eq!(
            (tenants.shown("all"), tenants.shown("vip"), tenants.shown("c")),
            (Some(ALL), Some(3), None)
        );
    }
}
