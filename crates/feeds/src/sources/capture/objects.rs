//! Finding objects and reading them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use record::Lane;
use sha2::{Digest, Sha256};

use super::book::Seen;
use super::line::{Setting, read};
use super::store::{CapturePlace, cause};
use super::{Capture, Halt};
use crate::Observation;
use crate::sources::counters::Reject;
use crate::sources::format::Refused;
use crate::sources::split::{Piece, Place, Splitter};

/// Longest line: request and answer of the largest call, in BASE64.
const LINE_BYTES: usize = 24 << 20;

/// Objects of a listing that are read before the next.
const PAGE: usize = 1024;

/// Folders above `yyyy`, below what is configured: the endpoint and the variant.
const LEVELS: usize = 3;

/// Most variants.
const SERIES: usize = 256;

/// First bytes that an object is known by.
const HEAD_BYTES: u64 = 1024;

/// Longest wait for the store.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a file of a folder has to be left alone until a last line without its end is one.
const SETTLED_MS: i64 = 10_000;

/// An object to read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: Path,
    pub(super) size: u64,
    stamp: String,
    modified_ms: i64,
}

impl Found {
    fn of(object: ObjectMeta) -> Self {
        let modified_ms = object.last_modified.timestamp_millis();
        let stamp = object.e_tag.unwrap_or_else(|| modified_ms.to_string());
        Self { path: object.location, size: object.size, stamp, modified_ms }
    }
}

/// What keys of objects before an hour sort up to.
pub(super) fn hour_key(prefix: &Path, now_ms: i64, since: Duration) -> String {
    let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let from = jiff::Timestamp::from_millisecond(now_ms.saturating_sub(since))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{prefix}/{}", from.strftime("%Y/%m/%d/%H"))
}

impl Capture<'_> {
    /// The prefixes right above `yyyy/mm/dd/hh`: each an endpoint's variant.
    pub(super) async fn series(&mut self) -> Result<Vec<Path>, Halt> {
        let mut series = Vec::new();
        let mut level = vec![self.root.clone()];
        for _ in 0..LEVELS {
            let mut below = Vec::new();
            for prefix in std::mem::take(&mut level) {
                let listing = self.ask(self.store.list_with_delimiter(Some(&prefix))).await?;
                if listing.common_prefixes.iter().any(is_year) {
                    series.push(prefix);
                } else {
                    below.extend(listing.common_prefixes);
                }
            }
            if below.len() + series.len() > SERIES {
                let root = self.root.clone();
                self.failed(&format!("below `{root}` are more than {SERIES} folders: the rest is not read"));
                below.truncate(SERIES.saturating_sub(series.len()));
            }
            level = below;
        }
        Ok(series)
    }

    /// The next objects of a variant with something to read, and whether there are more.
    pub(super) async fn list(&self, prefix: &Path) -> Result<(Vec<Found>, bool), Halt> {
        let Some(series) = self.book.get(prefix.as_ref()) else { return Ok((Vec::new(), false)) };
        let mut listing = match series.done_until() {
            Some(done) => self.store.list_with_offset(Some(prefix), &Path::parse(done).unwrap_or_default()),
            None => self.store.list(Some(prefix)),
        };
        // A bucket lists in order, a folder does not.
        let is_sorted = matches!(self.spec.place, CapturePlace::S3(_));
        let (mut found, mut has_more) = (BTreeMap::new(), false);
        while let Some(object) = self.ask(async { listing.next().await.transpose() }).await? {
            let object = Found::of(object);
            let key = object.path.to_string();
            if !key.ends_with(".jsonl") || !series.wants(&key, &object.stamp) {
                continue;
            }
            found.insert(key, object);
            if found.len() > PAGE {
                has_more = true;
                found.pop_last();
                if is_sorted {
                    break;
                }
            }
        }
        Ok((found.into_values().collect(), has_more))
    }

    /// Reads an object from where it was left, up to its end.
    pub(super) async fn read(&mut self, prefix: &Path, found: &Found) -> Result<(), Halt> {
        let key = found.path.to_string();
        let now_ms = (self.context.clock)();
        let mut seen = match self.book.get_mut(prefix.as_ref()) {
            Some(series) => series.open(&key, now_ms).clone(),
            None => return Ok(()),
        };
        if seen.stamp != found.stamp && !self.is_continued(&seen, found).await? {
            tracing::info!(object = %found.path, "an object was replaced; it is read from its beginning");
            (seen.place, seen.head_bytes) = (Place::default(), 0);
        }
        seen.stamp.clone_from(&found.stamp);
        seen.is_done = false;
        let outcome = self.read_from(prefix, found, &mut seen).await;
        if let Some(series) = self.book.get_mut(prefix.as_ref()) {
            match &outcome {
                Ok(false) => series.drop(&key),
                _ => *series.open(&key, now_ms) = seen,
            }
        }
        outcome.map(|_| ())
    }

    /// Whether what was read of an object is still in it.
    async fn is_continued(&self, seen: &Seen, found: &Found) -> Result<bool, Halt> {
        if seen.place.offset == 0 {
            return Ok(true);
        }
        if found.size < seen.place.offset {
            return Ok(false);
        }
        let head = self.ask(self.store.get_range(&found.path, 0..seen.head_bytes)).await?;
        Ok(fingerprint(&head) == seen.head)
    }

    /// False when it is not there any more.
    async fn read_from(&mut self, prefix: &Path, found: &Found, seen: &mut Seen) -> Result<bool, Halt> {
        let setting = self.setting(prefix);
        let mut splitter = Splitter::at(seen.place, LINE_BYTES);
        let (from, mut head) = (seen.place.offset, Vec::new());
        if from < found.size {
            let range = (from > 0).then_some(GetRange::Offset(from));
            let options = GetOptions { range, ..GetOptions::default() };
            let got = match self.ask_raw(self.store.get_opts(&found.path, options)).await? {
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                got => got.map_err(|error| self.halt(found, &error))?,
            };
            let mut stream = got.into_stream();
            while let Some(chunk) = self.ask_raw(stream.next()).await? {
                let chunk = chunk.map_err(|error| self.halt(found, &error))?;
                if from == 0 && (head.len() as u64) < HEAD_BYTES {
                    head.extend(chunk.iter().take(HEAD_BYTES as usize - head.len()));
                    (seen.head, seen.head_bytes) = (fingerprint(&head), head.len() as u64);
                }
                let mut rest = &chunk[..];
                while let Some(piece) = splitter.next(&mut rest) {
                    self.take(&piece, &setting);
                    if self.lines.is_full() {
                        seen.place = splitter.place();
                        self.remember(prefix, found, seen);
                        self.commit().await?;
                    }
                }
                seen.place = splitter.place();
            }
        }
        if self.is_settled(found) {
            if let Some(piece) = splitter.finish() {
                self.take(&piece, &setting);
            }
            seen.place = splitter.place();
        }
        seen.is_done = seen.place.offset >= found.size;
        Ok(true)
    }

    fn remember(&mut self, prefix: &Path, found: &Found, seen: &Seen) {
        if let Some(series) = self.book.get_mut(prefix.as_ref()) {
            let now_ms = (self.context.clock)();
            *series.open(found.path.as_ref(), now_ms) = seen.clone();
        }
    }

    /// Whether nothing will be added: objects of a bucket appear whole, files of a folder grow.
    fn is_settled(&self, found: &Found) -> bool {
        let is_bucket = matches!(self.spec.place, CapturePlace::S3(_));
        is_bucket
            || !self.spec.follow
            || (self.context.clock)().saturating_sub(found.modified_ms) >= SETTLED_MS
    }

    fn take(&mut self, piece: &Piece<'_>, setting: &OwnedSetting) {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::TooLong => {
                let message = format!("a line is longer than {LINE_BYTES} bytes");
                self.lines.refuse(&Refused { reason: Reject::TooLarge, message });
                return;
            }
        };
        self.context.counters.read(line.len() + 1);
        let borrowed = Setting {
            defaults: &self.context.defaults,
            version: Arc::clone(&setting.version),
            lane: setting.lane,
            tenant_attribute: &self.spec.tenant_attribute,
            now_ms: (self.context.clock)(),
        };
        match read(line, &borrowed) {
            Ok(exchange) => self.lines.add(Observation::Exchange(Box::new(exchange)), line.len()),
            Err(refused) => self.lines.refuse(&refused),
        }
    }

    /// What a variant's inferences belong to.
    fn setting(&self, prefix: &Path) -> OwnedSetting {
        let variant = prefix.filename().unwrap_or_default();
        let renamed = self.spec.versions.iter().find(|(name, _)| name == variant).map(|(_, version)| version);
        let is_shadow = self.spec.shadow.iter().any(|name| name == variant);
        OwnedSetting {
            version: renamed.map_or_else(|| Arc::from(variant), Arc::clone),
            lane: if is_shadow { Lane::Shadow } else { self.context.defaults.lane },
        }
    }

    async fn ask<T>(&self, call: impl Future<Output = object_store::Result<T>>) -> Result<T, Halt> {
        self.ask_raw(call).await?.map_err(|error| Halt::Store(format!("`{}`: {}", self.root, cause(&error))))
    }

    /// Waits for the store, but neither for ever nor when it has to end.
    async fn ask_raw<T>(&self, call: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            answer = tokio::time::timeout(PATIENCE, call) => {
                answer.map_err(|_| Halt::Store(format!("the store did not answer within {PATIENCE:?}")))
            }
            () = self.context.stopped() => Err(Halt::Stop),
        }
    }

    fn halt(&self, found: &Found, error: &object_store::Error) -> Halt {
        Halt::Store(format!("`{}`: {}", found.path, cause(error)))
    }
}

/// Version and lane of a variant.
#[derive(Debug)]
struct OwnedSetting {
    version: Arc<str>,
    lane: Lane,
}

fn is_year(prefix: &Path) -> bool {
    prefix.filename().is_some_and(|name| name.len() == 4 && name.bytes().all(|byte| byte.is_ascii_digit()))
}

fn fingerprint(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
