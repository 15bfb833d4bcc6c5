//! Closed files of the inference log, compressed.
//!
//! The compressed file gets its name once it is whole and on the disk, and only then does the plain one go: whatever
//! happens in between, every line is there at least once. One file at a time, on a thread of its own; the sink does not
//! wait for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::JoinHandle;

use super::files::{SUFFIX, lane_of};

/// What names of compressed files end with, behind that of plain ones.
pub(super) const SUFFIX_GZ: &str = ".gz";

/// While it is being written.
const UNFINISHED: &str = ".gz.tmp";

/// A plain file that nobody has written to for so long was left by a process that ended: an open one is closed at midnight.
const LEFT_AFTER: Duration = Duration::from_secs(25 * 60 * 60);

/// Compresses the files of the list, unless that is going on already, and empties it.
pub(super) fn pack(gzip: bool, closed: &mut Vec<PathBuf>, under_way: &mut Option<JoinHandle<()>>) {
    if !gzip || closed.is_empty() || under_way.as_ref().is_some_and(|task| !task.is_finished()) {
        if !gzip {
            closed.clear();
        }
        return;
    }
    let files = std::mem::take(closed);
    *under_way = Some(tokio::task::spawn_blocking(move || {
        for file in files {
            if let Err(error) = compress(&file) {
                tracing::warn!(file = %file.display(), %error, "a file of the inference log stays uncompressed");
            }
        }
    }));
}

/// Plain files that a process left which has ended; what it left half compressed is removed.
pub(super) fn left_over(folder: &Path, now_ms: i64) -> Vec<PathBuf> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old =
            modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age >= LEFT_AFTER));
        let is_unfinished = name.strip_suffix(UNFINISHED).is_some_and(|name| lane_of(name).is_some());
        if is_old && is_unfinished {
            drop(std::fs::remove_file(entry.path()));
        } else if is_old && name.ends_with(SUFFIX) && lane_of(&name).is_some() {
            files.push(entry.path());
        }
    }
    files
}

/// Makes a compressed file of a plain one, of the same age.
fn compress(plain: &Path) -> io::Result<()> {
    let (unfinished, whole) = (with(plain, UNFINISHED), packed(plain));
    if whole.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let written = write(plain, &unfinished).and_then(|()| std::fs::rename(&unfinished, &whole));
    if written.is_err() {
        drop(std::fs::remove_file(&unfinished));
    }
    written.and_then(|()| std::fs::remove_file(plain))
}

/// What a plain file is called once it is compressed.
pub(super) fn packed(plain: &Path) -> PathBuf {
    with(plain, SUFFIX_GZ)
}

fn with(plain: &Path, suffix: &str) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn write(plain: &Path, unfinished: &Path) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(1 << 16, File::open(plain)?);
    let modified = from.get_ref().metadata()?.modified()?;
    let mut options = File::options();
    let to = options.write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    let mut encoder = GzEncoder::new(io::BufWriter::with_capacity(1 << 16, to), Compression::default());
    io::copy(&mut from, &mut encoder)?;
    let to = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Retention goes by the age of the lines.
    to.set_modified(modified)?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_left_is_found_and_what_may_be_open_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let now_ms = 1_769_860_800_000;
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms);
        for (name, hours) in [
            ("inference-prod-a-0.jsonl", 26),
            ("inference-prod-b-0.jsonl", 24),
            ("inference-prod-c-0.jsonl.gz", 26),
            ("inference-prod-d-0.jsonl.gz.tmp", 26),
            ("inference-prod-e-0.jsonl.gz.tmp", 1),
            ("others.jsonl", 26),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            let modified = now - Duration::from_secs(hours * 3600);
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        let found = left_over(folder.path(), i64::try_from(now_ms).unwrap());
        assert_eq!(found, [folder.path().join("inference-prod-a-0.jsonl")]);
        assert!(!folder.path().join("inference-prod-d-0.jsonl.gz.tmp").exists());
        assert!(folder.path().join("inference-prod-e-0.jsonl.gz.tmp").exists());
        compress(&found[0]).unwrap();
        let whole = folder.path().join("inference-prod-a-0.jsonl.gz");
        assert_eq!(
            std::fs::metadata(whole).unwrap().modified().unwrap(),
            now - Duration::from_secs(26 * 3600)
        );
        assert!(!found[0].exists());
    }
}
