//! How a file is known again: by what stands at its beginning and before the place it was read to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sources::split::Place;

/// Most bytes that a fingerprint covers.
const PRINT_BYTES: u64 = 1024;

/// A fingerprint of some bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Print {
    bytes: u64,
    hash: String,
}

impl Print {
    fn of(file: &File, from: u64, bytes: u64) -> io::Result<Self> {
        let mut content = vec![0; usize::try_from(bytes).unwrap_or_default()];
        file.read_exact_at(&mut content, from)?;
        let digest = Sha256::digest(&content);
        let hash = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { bytes, hash })
    }
}

/// A place in a file, and what stood around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Up to where it was counted.
    pub(super) place: Place,
    head: Print,
    tail: Print,
}

impl Mark {
    /// Marks a place of a file.
    pub(super) fn at(file: &File, place: Place) -> io::Result<Self> {
        let bytes = place.offset.min(PRINT_BYTES);
        Ok(Self {
            place,
            head: Print::of(file, 0, bytes)?,
            tail: Print::of(file, place.offset - bytes, bytes)?,
        })
    }

    /// A place that nothing is known about but that.
    pub(super) fn bare(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// Whether this is the file that was marked, with at least as much in it.
    pub(super) fn fits(&self, file: &File, size: u64) -> bool {
        let Place { offset, .. } = self.place;
        let print =
            |from, wanted: &Print| Print::of(file, from, wanted.bytes).is_ok_and(|found| found == *wanted);
        size >= offset
            && (offset == 0 || (print(0, &self.head) && print(offset - self.tail.bytes, &self.tail)))
    }

    /// Whether anything was counted up to here.
    pub(super) fn is_start(&self) -> bool {
        self.place.offset == 0
    }
}
