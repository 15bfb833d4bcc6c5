//! What was told to whom, over a restart: neither a message twice, nor an end that nobody hears of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the file in the state folder.
const FILE: &str = "notified.json";

/// Bytes of it that are read.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where a message stands that can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Posted {
    /// The channel's id.
    pub(crate) channel: String,
    /// The message's id in it.
    pub(crate) ts: String,
}

/// Groups that each notifier was told to be firing, and where it was told if that can be changed.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    file: Option<PathBuf>,
    told: BTreeMap<String, BTreeMap<String, Option<Posted>>>,
}

impl Memory {
    /// What the folder remembers. A file that can't be read is as good as none: something may be told twice.
    pub(crate) fn open(folder: &Path) -> Self {
        let file = folder.join(FILE);
        let told = match std::fs::metadata(&file) {
            Ok(found) if found.len() <= BYTES_MAX => std::fs::read(&file)
                .map_err(|error| error.to_string())
                .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())),
            Ok(_) => Err("it is too large".to_owned()),
            Err(_) => Ok(BTreeMap::new()),
        };
        let told = told.unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), error, "what was told is forgotten: messages may come twice");
            BTreeMap::new()
        });
        Self { file: Some(file), told }
    }

    pub(crate) fn has(&self, notifier: &str, key: &str) -> bool {
        self.told.get(notifier).is_some_and(|told| told.contains_key(key))
    }

    /// Groups that this notifier believes to be firing.
    pub(crate) fn of(&self, notifier: &str) -> Vec<String> {
        self.told.get(notifier).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Where this notifier's message about a group stands.
    pub(crate) fn posted(&self, notifier: &str, key: &str) -> Option<Posted> {
        self.told.get(notifier)?.get(key)?.clone()
    }

    /// Remembers that a group was told to be firing, and where.
    pub(crate) fn tell(&mut self, notifier: &str, key: &str, posted: Option<Posted>) {
        let told = self.told.entry(notifier.to_owned()).or_default();
        if told.get(key) != Some(&posted) {
            told.insert(key.to_owned(), posted);
            self.save();
        }
    }

    /// Forgets a group whose end was told.
    pub(crate) fn forget(&mut self, notifier: &str, key: &str) {
        if self.told.get_mut(notifier).is_some_and(|told| told.remove(key).is_some()) {
            self.save();
        }
    }

    /// Forgets notifiers that are not there any more.
    pub(crate) fn keep(&mut self, notifiers: &[&str]) {
        let before = self.told.len();
        self.told.retain(|name, _| notifiers.contains(&name.as_str()));
        if self.told.len() != before {
            self.save();
        }
    }

    fn save(&self) {
        let Some(file) = &self.file else { return };
        let write = || -> std::io::Result<()> {
            let fresh = file.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec(&self.told)?)?;
            std::fs::rename(&fresh, file)
        };
        if let Err(error) = write() {
            tracing::warn!(file = %file.display(), %error, "what was told is not stored: messages may come twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path());
        let posted = Some(Posted { channel: "C1".to_owned(), ts: "1.2".to_owned() });
        memory.tell("slack", "a", None);
        memory.tell("slack", "b", None);
        memory.tell("slack", "b", posted.clone());
        memory.forget("slack", "a");
        memory.tell("gone", "c", None);
        memory.keep(&["slack"]);
        let memory = Memory::open(folder.path());
        assert_eq!(memory.of("slack"), ["b"]);
        assert_eq!(memory.posted("slack", "b"), posted);
        assert!(!memory.has("gone", "c"));
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert!(Memory::open(folder.path()).of("slack").is_empty());
    }
}
