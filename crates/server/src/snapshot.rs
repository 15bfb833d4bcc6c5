//! Window state on disk: written whole beside the old one, synced, then renamed over it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// The file's name in the state folder.
const FILE_NAME: &str = "windows.snapshot";

/// Writes snapshots on a thread of its own, so that a slow disk never holds the monitor up. While one is being written
/// the next is skipped: the one after it is newer anyway.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    sender: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl SnapshotWriter {
    /// Starts the writer for a state folder.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let (sender, receiver) = sync_channel::<Vec<u8>>(1);
        let target = path.clone();
        let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            while let Ok(bytes) = receiver.recv() {
                if let Err(error) = write_atomically(&target, &bytes) {
                    tracing::warn!(path = %target.display(), %error, "window snapshot not written");
                }
            }
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread), path })
    }

    /// Hands a snapshot over; skips it when the writer is still busy.
    pub(crate) fn offer(&self, bytes: Vec<u8>) {
        if let Some(sender) = &self.sender
            && let Err(TrySendError::Full(_)) = sender.try_send(bytes)
        {
            tracing::debug!(path = %self.path.display(), "the disk is slow: a window snapshot is skipped");
        }
    }

    /// Writes the last snapshot and waits for it.
    pub(crate) fn finish(&mut self, bytes: Vec<u8>) {
        if let Some(sender) = self.sender.take()
            && sender.send(bytes).is_err()
        {
            tracing::error!(path = %self.path.display(), "the snapshot writer has died");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the snapshot writer panicked");
        }
    }
}

/// The stored snapshot, `None` when there is none.
pub(crate) fn read(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(folder.join(FILE_NAME)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file beside the old one and puts it in its place.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_snapshot_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let mut writer = SnapshotWriter::start(folder.path()).unwrap();
        for n in 0..20_u8 {
            writer.offer(vec![n; 100]);
        }
        writer.finish(b"last".to_vec());
        assert_eq!(read(folder.path()).unwrap().as_deref(), Some(&b"last"[..]));
    }
}
