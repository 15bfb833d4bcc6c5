//! Which versions of a model have windows.
//!
//! Versions come in with records, so there is a limit. A version that has been silent for a day gives its place to a new
//! one; otherwise the 33rd release of a long-running model would never be measured.

use std::sync::Arc;

/// After this long without a row a version may be replaced, in milliseconds.
const IDLE_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug)]
struct Version {
    name: Arc<str>,
    /// When it was last seen by the engine's own time, not by the record's: records could pretend.
    seen_ms: i64,
}

/// The versions seen, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Vec<Version>);

/// Where a version's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Known, or added.
    At(usize),
    /// Takes over the number of a silent version, whose windows must be forgotten.
    Reuse(usize),
    /// No place left.
    Full,
}

impl Versions {
    /// The number of a version, made when there is room. `active` is never replaced.
    pub(crate) fn place(
        &mut self,
        name: &Arc<str>,
        now_ms: i64,
        limit: usize,
        active: Option<&str>,
    ) -> Place {
        if let Some(at) = self.find(name) {
            self.0[at].seen_ms = now_ms;
            return Place::At(at);
        }
        let fresh = Version { name: name.clone(), seen_ms: now_ms };
        if self.0.len() < limit.max(1) {
            self.0.push(fresh);
            return Place::At(self.0.len() - 1);
        }
        let idle = |version: &Version| now_ms.saturating_sub(version.seen_ms) > IDLE_MS;
        let replaceable = |version: &Version| idle(version) && active != Some(&*version.name);
        let silent = self.0.iter().enumerate().filter(|(_, version)| replaceable(version));
        match silent.min_by_key(|(_, version)| version.seen_ms) {
            Some((at, _)) => {
                self.0[at] = fresh;
                Place::Reuse(at)
            }
            None => Place::Full,
        }
    }

    /// Takes every version as seen now: what was seen before the first reading of the clock has no time.
    pub(crate) fn touch(&mut self, now_ms: i64) {
        self.0.iter_mut().for_each(|version| version.seen_ms = now_ms);
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|version| *version.name == *name)
    }

    pub(crate) fn name(&self, at: usize) -> &Arc<str> {
        &self.0[at].name
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|version| &version.name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a stored version; false if it is already there.
    pub(crate) fn restore(&mut self, name: &str, now_ms: i64) -> bool {
        let fresh = self.find(name).is_none();
        if fresh {
            self.0.push(Version { name: name.into(), seen_ms: now_ms });
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_version_gives_way_and_the_active_one_does_not() {
        let mut versions = Versions::default();
        let mut at = |name: &str, now, active| versions.place(&Arc::from(name), now, 2, active);
        assert_eq!((at("v1", 0, None), at("v2", 10, None)), (Place::At(0), Place::At(1)));
        assert_eq!(at("v3", IDLE_MS, None), Place::Full);
        assert_eq!(at("v3", IDLE_MS + 1, Some("v1")), Place::Full);
        assert_eq!(at("v3", IDLE_MS + 11, Some("v1")), Place::Reuse(1));
        assert_eq!(at("v2", IDLE_MS + 12, Some("v3")), Place::Reuse(0));
    }
}
