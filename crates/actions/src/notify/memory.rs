//! What was told to whom, over a restart: neither a message twice, nor an end that nobody hears of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE: &str = "notified.json";

/// Bytes of it that are read.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Groups that each notifier was told to be firing.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    file: Option<PathBuf>,
    told: BTreeMap<String, BTreeSet<String>>,
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
        self.told.get(notifier).is_some_and(|keys| keys.contains(key))
    }

    /// Groups that this notifier believes to be firing.
    pub(crate) fn of(&self, notifier: &str) -> Vec<String> {
        self.told.get(notifier).into_iter().flatten().cloned().collect()
    }

    /// Remembers, or forgets, that a group was told to be firing.
    pub(crate) fn set(&mut self, notifier: &str, key: &str, firing: bool) {
        let keys = self.told.entry(notifier.to_owned()).or_default();
        let changed = if firing { keys.insert(key.to_owned()) } else { keys.remove(key) };
        if changed {
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
        memory.set("slack", "a", true);
        memory.set("slack", "b", true);
        memory.set("slack", "a", false);
        memory.set("gone", "c", true);
        memory.keep(&["slack"]);
        let memory = Memory::open(folder.path());
        assert_eq!(memory.of("slack"), ["b"]);
        assert!(!memory.has("gone", "c"));
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert!(Memory::open(folder.path()).of("slack").is_empty());
    }
}
