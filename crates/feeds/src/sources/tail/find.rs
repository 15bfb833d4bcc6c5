//! The files that there are.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most files that a source looks after.
pub(super) const FILES: usize = 10_000;

/// Endings of files that are compressed: rotated ones, which were read before.
const COMPRESSED: [&str; 8] = ["gz", "bz2", "xz", "zst", "lz4", "zip", "lzma", "Z"];

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What the system says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) id: FileId,
    pub(super) size: u64,
    /// Last change, nanoseconds since 1970.
    pub(super) modified: i128,
}

impl Look {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            id: FileId { device: metadata.dev(), inode: metadata.ino() },
            size: metadata.len(),
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }
    }

    pub(super) fn at(file: &File) -> io::Result<Self> {
        Ok(Self::of(&file.metadata()?))
    }
}

/// A file that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) look: Look,
}

/// Every regular file that the patterns name, each once under the first of its names; and what went wrong.
pub(super) fn find(patterns: &[String]) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for pattern in patterns {
        let paths = match glob::glob(pattern) {
            Ok(paths) => paths,
            Err(error) => {
                problems.push(format!("`{pattern}` is no pattern: {error}"));
                continue;
            }
        };
        for path in paths {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    problems.push(format!(
                        "`{}` cannot be looked into: {}",
                        error.path().display(),
                        error.error()
                    ));
                    continue;
                }
            };
            if is_compressed(&path) {
                continue;
            }
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // Renamed or removed since it was listed, or a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    problems.push(format!("`{}` cannot be looked at: {error}", path.display()));
                    continue;
                }
            };
            let look = Look::of(&metadata);
            if !metadata.is_file() || !seen.insert(look.id) {
                continue;
            }
            if found.len() >= FILES {
                problems.push(format!("there are more than {FILES} files: the rest is not read"));
                return (found, problems);
            }
            found.push(Found { path, look });
        }
    }
    (found, problems)
}

fn is_compressed(path: &Path) -> bool {
    path.extension().and_then(std::ffi::OsStr::to_str).is_some_and(|ending| COMPRESSED.contains(&ending))
}
