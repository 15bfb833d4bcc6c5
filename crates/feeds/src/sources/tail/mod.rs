//! Files of JSON lines that are still written: through rotation, truncation and restarts.
//!
//! Files are looked at in an interval, which works on every file system. A file is known by its device and inode and by
//! what stood in it, so that a renamed one is read on and an inode that is used again is a new file. Its position is saved
//! when the lines before it were counted. Files are read to their end one after the other, the oldest first, so that
//! a backlog comes in the order in which it was written.
//!
//! Lines of container logs (CRI, Docker) are opened.
//!
//! A rotated file is held open and read to its end. A copy made by `copytruncate` is known by its content: what of it was
//! not read in the original yet is read there.

mod find;
mod mark;
#[cfg(test)]
mod tests;
mod watch;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::find::FileId;
use self::watch::{Begin, Saved, Watch};
use super::container::{Container, Unwrapped};
use super::format::Format;
use super::lines::{Complaint, LINE_BYTES, Lines, too_long};
use super::positions::{PositionFile, blocking};
use super::split::{Piece, Place, Splitter};
use super::{SourceContext, SourceError, SourceState};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Files as a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSpec {
    /// Paths, or patterns with `*`, `?`, `[…]` and `**`.
    pub paths: Vec<String>,
    /// What a line holds.
    pub format: Format,
    /// Files that are there when the source is started for the first time are read from their beginning; else only what
    /// is added to them.
    pub from_beginning: bool,
    /// Time between two looks at the files.
    pub poll: Duration,
    /// Whether it waits for more when it has read everything.
    pub follow: bool,
    /// How long a file whose name is gone is still looked at.
    pub linger: Duration,
}

impl TailSpec {
    /// The pattern of a name, which starts from a folder unless it is absolute.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn pattern(folder: &Path, name: &str) -> Result<String, String> {
        let folder = glob::Pattern::escape(&folder.to_string_lossy());
        // Without `.` in it, as paths are compared with it.
        let whole = plain(&Path::new(&folder).join(name));
        let pattern = whole.to_string_lossy().into_owned();
        match glob::Pattern::new(&pattern) {
            Ok(_) => Ok(pattern),
            Err(error) => Err(format!("this is no pattern: {}", error.msg)),
        }
    }

    /// Whether it reads the files that the inference log has in a folder.
    pub fn reads_the_log_in(&self, folder: &Path) -> bool {
        let names =
            ["inference-prod-20260131T120000.000-0.jsonl", "inference-shadow-20260131T120000.000-0.jsonl"];
        let is_read = |pattern: &String, name: &str| {
            let path = plain(&folder.join(name));
            glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path(&path))
        };
        self.paths.iter().any(|pattern| names.iter().any(|name| is_read(pattern, name)))
    }
}

/// A path without the `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Reads until it has to stop; without `follow`, to the end of what there is.
pub(super) async fn run(spec: &TailSpec, context: &SourceContext) -> Result<(), SourceError> {
    let mut tail = Tail::open(spec, context)?;
    loop {
        let is_whole = tail.pass().await?;
        if context.is_stopping() || (is_whole && !spec.follow) {
            return Ok(());
        }
        if is_whole || spec.follow {
            tokio::select! {
                () = tokio::time::sleep(spec.poll) => {}
                () = context.stopped() => return Ok(()),
            }
        }
    }
}

struct Tail<'a> {
    spec: &'a TailSpec,
    context: &'a SourceContext,
    watch: Arc<Mutex<Watch>>,
    file: PositionFile,
    lines: Lines<'a>,
    complaint: Complaint,
}

impl<'a> Tail<'a> {
    fn open(spec: &'a TailSpec, context: &'a SourceContext) -> Result<Self, SourceError> {
        let file = PositionFile::of(context, "tail");
        let saved: Option<Vec<Saved>> = file.load(context)?;
        let begin = if spec.from_beginning { Begin::Start } else { Begin::End };
        let watch = Watch::new(spec.paths.clone(), spec.linger, saved, begin);
        Ok(Self {
            spec,
            context,
            watch: Arc::new(Mutex::new(watch)),
            file,
            lines: Lines::new(spec.format, context),
            complaint: Complaint::default(),
        })
    }

    /// Looks at the files and reads what is new. True when nothing is left of what there was.
    async fn pass(&mut self) -> Result<bool, SourceError> {
        let now_ms = (self.context.clock)();
        let problems = self.with_watch(move |watch| watch.scan(now_ms)).await?;
        let is_well = problems.is_empty();
        problems.iter().for_each(|problem| self.failed(problem));
        self.context.counters.set_state(if is_well { SourceState::Running } else { SourceState::Retrying });
        self.commit().await?;
        let waiting = self.lock().waiting();
        for id in waiting {
            self.read(id, false).await?;
            if self.context.is_stopping() {
                break;
            }
        }
        let finished = self.lock().finished(now_ms);
        for id in &finished {
            self.read(*id, true).await?;
        }
        self.commit().await?;
        finished.into_iter().for_each(|id| self.lock().close(id));
        if !self.spec.follow && !self.context.is_stopping() {
            return self.finish(is_well).await;
        }
        Ok(true)
    }

    /// Without `follow`: also takes lines that have no line end. True when everything was read.
    async fn finish(&mut self, is_well: bool) -> Result<bool, SourceError> {
        let listed = self.lock().listed();
        let failed = match (listed.is_empty(), is_well) {
            (_, false) => {
                Some("not every file could be read, see above; what could be was counted".to_owned())
            }
            (true, true) => Some(format!("there is no file to read: `{}`", self.spec.paths.join("`, `"))),
            (false, true) => None,
        };
        if let Some(message) = failed {
            return Err(SourceError::Failed { source_name: self.context.name.clone(), message });
        }
        let left = self.lock().waiting();
        for id in listed.into_iter().filter(|id| !left.contains(id)) {
            self.read(id, true).await?;
        }
        self.commit().await?;
        Ok(left.is_empty())
    }

    /// Reads a file up to the size that it had; `is_final` when its last line needs no line end.
    async fn read(&mut self, id: FileId, is_final: bool) -> Result<(), SourceError> {
        let opened = self.with_watch(move |watch| watch.open(id)).await?;
        let (file, size, from) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            Err(error) => {
                let path = self.lock().get_mut(id).map(|file| file.path().display().to_string());
                self.failed(&format!("`{}` cannot be read: {error}", path.unwrap_or_default()));
                return Ok(());
            }
        };
        let mut splitter = Splitter::at(from, LINE_BYTES);
        let mut container = Container::default();
        let mut at = from.offset;
        while at < size && !self.context.is_stopping() {
            let chunk = blocking(self.context, read_at(&file, at, size)).await?;
            let chunk = match chunk {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => chunk,
                Err(error) => {
                    self.failed(&format!("a file cannot be read: {error}"));
                    return Ok(());
                }
            };
            at += chunk.len() as u64;
            let mut rest = &chunk[..];
            loop {
                let before = splitter.place();
                let Some(piece) = splitter.next(&mut rest) else { break };
                self.take(&piece, &mut container, before);
                if self.lines.is_full() {
                    self.reached(id, &splitter, &container);
                    self.commit().await?;
                }
            }
            self.reached(id, &splitter, &container);
        }
        if is_final && at >= size {
            let before = splitter.place();
            if let Some(piece) = splitter.finish() {
                self.take(&piece, &mut container, before);
            }
            // Pieces of a line that has no end any more are behind us.
            self.reached(id, &splitter, &Container::default());
        }
        if let Some(watched) = self.lock().get_mut(id)
            && at >= size
        {
            watched.set_examined(size);
        }
        Ok(())
    }

    fn take(&mut self, piece: &Piece<'_>, container: &mut Container, before: Place) {
        match piece {
            Piece::Line(line) => match container.take(line, before) {
                Unwrapped::Line(line) => self.lines.take(&line),
                Unwrapped::More => {}
                Unwrapped::TooLong => self.lines.refuse(&too_long()),
            },
            Piece::TooLong => self.lines.refuse(&too_long()),
        }
    }

    /// What was taken ends before the first piece of a line that is not whole yet.
    fn reached(&self, id: FileId, splitter: &Splitter, container: &Container) {
        if let Some(file) = self.lock().get_mut(id) {
            file.taken = container.waits_from().unwrap_or_else(|| splitter.place());
        }
    }

    /// Has what was taken counted, then saves where that ends.
    async fn commit(&mut self) -> Result<(), SourceError> {
        self.lines.flush().await?;
        let file = self.file.clone();
        let saved = self
            .with_watch(move |watch| {
                let saved = match watch.commit() {
                    Some(positions) => file.save(&positions),
                    None => Ok(()),
                };
                if saved.is_err() {
                    watch.not_saved();
                }
                saved
            })
            .await?;
        match saved {
            Ok(()) => self.context.counters.set_lag(self.lock().lag()),
            Err(error) => self.failed(&format!("the positions cannot be saved: {error}")),
        }
        Ok(())
    }

    fn failed(&mut self, message: &str) {
        self.context.counters.failed();
        self.complaint.say_unreadable(self.context, message);
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn with_watch<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Watch) -> T + Send + 'static,
    ) -> Result<T, SourceError> {
        let watch = Arc::clone(&self.watch);
        blocking(self.context, move || work(&mut watch.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

/// At most [`CHUNK`] bytes of a file from `at`, none of them behind `size`.
fn read_at(
    file: &Arc<File>,
    at: u64,
    size: u64,
) -> impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static {
    let file = Arc::clone(file);
    move || {
        let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(CHUNK);
        let mut chunk = vec![0; wanted];
        let read = file.read_at(&mut chunk, at)?;
        chunk.truncate(read);
        Ok(chunk)
    }
}
