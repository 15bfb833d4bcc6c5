//! What is known of the files: which are new, which were renamed, truncated, copied or are gone.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::find::{FileId, Found, Look, find};
use super::mark::Mark;
use crate::sources::split::Place;

/// Most files held open.
const OPEN_FILES: usize = 256;

/// How long the position of a file that is gone is kept: a network file system may come back.
const GONE_MS: i64 = 24 * 60 * 60 * 1000;

/// A file's saved position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) path: PathBuf,
    id: FileId,
    mark: Mark,
    /// Where it had been read to when it was truncated: a copy made just before goes on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Mark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_since_ms: Option<i64>,
}

/// A file that is looked after.
#[derive(Debug)]
pub(super) struct Watched {
    saved: Saved,
    /// Up to where it was taken; counted at the next commit.
    pub(super) taken: Place,
    handle: Option<Arc<File>>,
    look: Look,
    /// Size up to which it was looked through; the line at its end may be unfinished.
    examined: u64,
    is_listed: bool,
    /// Since when nothing was added.
    quiet_since_ms: i64,
    /// A copy of this file: what it has is read there, until that is truncated.
    copy_of: Option<FileId>,
}

impl Watched {
    fn new(path: PathBuf, look: Look, place: Place, now_ms: i64) -> Self {
        let mark = Mark::bare(place);
        let saved = Saved { path, id: look.id, mark, before: None, gone_since_ms: None };
        Self::known(saved, look, now_ms)
    }

    fn known(saved: Saved, look: Look, now_ms: i64) -> Self {
        let taken = saved.mark.place;
        Self {
            saved,
            taken,
            handle: None,
            look,
            examined: taken.offset,
            is_listed: true,
            quiet_since_ms: now_ms,
            copy_of: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.saved.path
    }

    /// Bytes that were looked through up to the file's present size.
    pub(super) fn set_examined(&mut self, size: u64) {
        self.examined = size;
    }

    fn has_more(&self) -> bool {
        self.copy_of.is_none() && self.look.size > self.examined
    }

    fn lag(&self) -> u64 {
        match self.copy_of {
            Some(_) => 0,
            None => self.look.size.saturating_sub(self.saved.mark.place.offset),
        }
    }

    /// Begins anew: what it held is gone.
    fn restart(&mut self) {
        self.saved.before = (!self.saved.mark.is_start()).then(|| std::mem::take(&mut self.saved.mark));
        self.saved.mark = Mark::default();
        (self.taken, self.examined) = (Place::default(), 0);
    }
}

/// Where files that nobody has seen yet are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Start,
    End,
}

/// Every file that is looked after.
#[derive(Debug)]
pub(super) struct Watch {
    patterns: Vec<String>,
    linger: Duration,
    files: HashMap<FileId, Watched>,
    /// Those of a file system whose number has changed since they were saved.
    unseen: Vec<Saved>,
    begin: Begin,
    is_dirty: bool,
}

impl Watch {
    /// Goes on with saved positions; without any, the files that there are begin at `begin`.
    pub(super) fn new(
        patterns: Vec<String>,
        linger: Duration,
        saved: Option<Vec<Saved>>,
        begin: Begin,
    ) -> Self {
        let begin = if saved.is_some() { Begin::Start } else { begin };
        let unseen = saved.unwrap_or_default();
        Self { patterns, linger, files: HashMap::new(), unseen, begin, is_dirty: begin == Begin::End }
    }

    /// Looks what there is. Says what went wrong.
    pub(super) fn scan(&mut self, now_ms: i64) -> Vec<String> {
        let (found, mut problems) = find(&self.patterns);
        self.files.values_mut().for_each(|file| file.is_listed = false);
        let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| self.recall(found, now_ms));
        let changed: HashSet<FileId> = known
            .iter()
            .filter(|found| match self.has_changed(found) {
                Ok(changed) => changed,
                Err(error) => {
                    problems.push(format!("`{}` cannot be read: {error}", found.path.display()));
                    false
                }
            })
            .map(|found| found.look.id)
            .collect();
        for found in new {
            if let Err(error) = self.adopt(&found, &changed, now_ms) {
                problems.push(format!("`{}` cannot be read: {error}", found.path.display()));
            }
        }
        known.iter().for_each(|found| self.update(found, changed.contains(&found.look.id), now_ms));
        self.follow_gone(now_ms);
        self.hold();
        self.begin = Begin::Start;
        problems
    }

    /// Holds the files that were changed last open, so that what is added to them is found when their names are gone. Half
    /// of the room is left for older ones that have to be read first.
    fn hold(&mut self) {
        let open = self.files.values().filter(|file| file.handle.is_some()).count();
        let is_closed =
            |file: &&mut Watched| file.is_listed && file.handle.is_none() && file.copy_of.is_none();
        let mut closed: Vec<_> = self.files.values_mut().filter(is_closed).collect();
        closed.sort_by_key(|file| std::cmp::Reverse(file.look.modified));
        for file in closed.into_iter().take((OPEN_FILES / 2).saturating_sub(open)) {
            let opened = File::open(&file.saved.path).ok();
            let is_it = |handle: &File| Look::at(handle).is_ok_and(|look| look.id == file.saved.id);
            file.handle = opened.filter(is_it).map(Arc::new);
        }
    }

    /// Whether it is known: looked after already, or saved before this process began.
    fn recall(&mut self, found: &Found, now_ms: i64) -> bool {
        if self.files.contains_key(&found.look.id) {
            return true;
        }
        let is_it = |saved: &Saved| saved.id == found.look.id;
        // A network file system may have another number after it was mounted again; the content decides then.
        let may_be = |saved: &Saved| {
            saved.id.inode == found.look.id.inode
                && saved.path == found.path
                && File::open(&found.path).is_ok_and(|file| saved.mark.fits(&file, found.look.size))
        };
        let at = self.unseen.iter().position(is_it).or_else(|| self.unseen.iter().position(may_be));
        let Some(at) = at else { return false };
        let saved = Saved { id: found.look.id, ..self.unseen.swap_remove(at) };
        // As if nothing were known of its present size: its content is compared in any case.
        let look = Look { modified: i128::MIN, ..found.look };
        self.files.insert(found.look.id, Watched::known(saved, look, now_ms));
        true
    }

    /// Whether what was read of a file is no longer in it.
    fn has_changed(&mut self, found: &Found) -> io::Result<bool> {
        let Some(file) = self.files.get_mut(&found.look.id) else { return Ok(false) };
        file.is_listed = true;
        if file.look == found.look {
            return Ok(false);
        }
        let opened;
        let handle = match &file.handle {
            Some(handle) => &**handle,
            None => {
                opened = File::open(&found.path)?;
                &opened
            }
        };
        Ok(!file.saved.mark.fits(handle, found.look.size))
    }

    /// Takes in a file that nobody has seen yet.
    fn adopt(&mut self, found: &Found, changed: &HashSet<FileId>, now_ms: i64) -> io::Result<()> {
        let handle = File::open(&found.path)?;
        let mut place = Place::default();
        let mut copy_of = None;
        let size = found.look.size;
        if self.begin == Begin::End {
            place = end_of(&handle, size)?;
        } else if let Some((original, mark)) = self.original_of(found, &handle) {
            place = mark.place;
            let is_current = self.files.get(&original).is_some_and(|file| file.saved.mark == mark);
            copy_of = (is_current && !changed.contains(&original)).then_some(original);
        }
        let mut file = Watched::new(found.path.clone(), found.look, place, now_ms);
        if place.offset > 0 {
            file.saved.mark = Mark::at(&handle, place)?;
        }
        file.copy_of = copy_of;
        self.files.insert(found.look.id, file);
        self.is_dirty = true;
        Ok(())
    }

    /// The file that this one is a copy of, made before that was truncated; and up to where it was read.
    fn original_of(&self, found: &Found, handle: &File) -> Option<(FileId, Mark)> {
        let is_related = |file: &&Watched| is_rotation(file.path(), &found.path);
        for file in self.files.values().filter(is_related) {
            let marks = [Some(&file.saved.mark), file.saved.before.as_ref()];
            let mark = marks
                .into_iter()
                .flatten()
                .find(|mark| !mark.is_start() && mark.fits(handle, found.look.size));
            if let Some(mark) = mark {
                return Some((file.saved.id, mark.clone()));
            }
        }
        None
    }

    fn update(&mut self, found: &Found, is_changed: bool, now_ms: i64) {
        let Some(file) = self.files.get_mut(&found.look.id) else { return };
        if file.saved.path != found.path || file.saved.gone_since_ms.is_some() {
            file.saved.path.clone_from(&found.path);
            file.saved.gone_since_ms = None;
            self.is_dirty = true;
        }
        if file.look != found.look {
            file.quiet_since_ms = now_ms;
        }
        file.look = found.look;
        if !is_changed {
            return;
        }
        tracing::info!(path = %found.path.display(), "a file was truncated or replaced; it is read from its beginning");
        let mark = file.saved.mark.clone();
        file.restart();
        self.is_dirty = true;
        // Its copies hold what it had, read up to here.
        for copy in self.files.values_mut().filter(|copy| copy.copy_of == Some(found.look.id)) {
            copy.copy_of = None;
            let Ok(handle) = File::open(copy.path()) else { continue };
            if mark.fits(&handle, copy.look.size) {
                (copy.taken, copy.examined) = (mark.place, mark.place.offset);
                copy.saved.mark = mark.clone();
            } else {
                // More of the original was read than the copy has: all of the copy was.
                let size = copy.look.size;
                copy.taken = Place { offset: size, skipping: false };
                copy.examined = size;
                copy.saved.mark = Mark::at(&handle, copy.taken).unwrap_or_default();
            }
        }
    }

    /// Looks after files whose names are gone: what is held open is read to its end, positions are kept for a day.
    fn follow_gone(&mut self, now_ms: i64) {
        for file in self.files.values_mut().filter(|file| !file.is_listed) {
            if file.saved.gone_since_ms.is_none() {
                file.saved.gone_since_ms = Some(now_ms);
                self.is_dirty = true;
            }
            let Some(look) = file.handle.as_ref().and_then(|handle| Look::at(handle).ok()) else {
                file.examined = file.saved.mark.place.offset;
                file.look.size = file.examined;
                continue;
            };
            if look != file.look {
                file.quiet_since_ms = now_ms;
            }
            file.look = look;
        }
        let is_over = |saved: &Saved| saved.gone_since_ms.is_some_and(|since| now_ms - since >= GONE_MS);
        let before = self.files.len() + self.unseen.len();
        self.files.retain(|_, file| file.is_listed || file.handle.is_some() || !is_over(&file.saved));
        for saved in &mut self.unseen {
            saved.gone_since_ms.get_or_insert(now_ms);
        }
        self.unseen.retain(|saved| !is_over(saved));
        self.is_dirty |= before != self.files.len() + self.unseen.len();
    }

    /// Files with something to read, those that were changed longest ago first.
    pub(super) fn waiting(&self) -> Vec<FileId> {
        let mut waiting: Vec<_> = self.files.values().filter(|file| file.has_more()).collect();
        waiting.sort_by(|a, b| (a.look.modified, a.path()).cmp(&(b.look.modified, b.path())));
        waiting.into_iter().map(|file| file.saved.id).collect()
    }

    /// Files that will not grow any more: their names are gone and nothing was added for a while.
    pub(super) fn finished(&self, now_ms: i64) -> Vec<FileId> {
        let linger = i64::try_from(self.linger.as_millis()).unwrap_or(i64::MAX);
        let is_finished = |file: &&Watched| {
            !file.is_listed
                && file.handle.is_some()
                && !file.has_more()
                && now_ms.saturating_sub(file.quiet_since_ms) >= linger
        };
        self.files.values().filter(is_finished).map(|file| file.saved.id).collect()
    }

    /// Every file that is there.
    pub(super) fn listed(&self) -> Vec<FileId> {
        let is_read = |file: &&Watched| file.is_listed && file.copy_of.is_none();
        self.files.values().filter(is_read).map(|file| file.saved.id).collect()
    }

    /// The open file, its size, and where to go on. `None`: it is another by now, or too many are open.
    pub(super) fn open(&mut self, id: FileId) -> io::Result<Option<(Arc<File>, u64, Place)>> {
        let open = self.files.values().filter(|file| file.handle.is_some()).count();
        let Some(file) = self.files.get(&id) else { return Ok(None) };
        if file.handle.is_none() && open >= OPEN_FILES {
            let idle = self.files.values_mut().filter(|file| {
                let is_counted = file.taken == file.saved.mark.place;
                file.handle.is_some() && file.is_listed && is_counted && !file.has_more()
            });
            let Some(idle) = idle.min_by_key(|file| file.look.modified) else { return Ok(None) };
            idle.handle = None;
        }
        let Some(file) = self.files.get_mut(&id) else { return Ok(None) };
        if file.handle.is_none() {
            let handle = File::open(&file.saved.path)?;
            if Look::at(&handle)?.id != id {
                return Ok(None);
            }
            file.handle = Some(Arc::new(handle));
        }
        let handle = file.handle.as_ref().map(Arc::clone);
        Ok(handle.map(|handle| (handle, file.look.size, file.taken)))
    }

    /// Lets go of a file that is finished.
    pub(super) fn close(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.handle = None;
        }
    }

    pub(super) fn get_mut(&mut self, id: FileId) -> Option<&mut Watched> {
        self.files.get_mut(&id)
    }

    /// Everything that was taken is counted. `None`: what is saved is still true.
    pub(super) fn commit(&mut self) -> Option<Vec<Saved>> {
        for file in self.files.values_mut().filter(|file| file.taken != file.saved.mark.place) {
            // A file that was truncated in the meantime has no such place; the next scan sees that.
            let mark = file.handle.as_ref().and_then(|handle| Mark::at(handle, file.taken).ok());
            file.saved.mark = mark.unwrap_or(Mark::bare(file.taken));
            self.is_dirty = true;
        }
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        Some(self.files.values().map(|file| &file.saved).chain(&self.unseen).cloned().collect())
    }

    /// What was to be saved could not be.
    pub(super) fn not_saved(&mut self) {
        self.is_dirty = true;
    }

    /// Bytes that are not counted yet.
    pub(super) fn lag(&self) -> u64 {
        self.files.values().map(Watched::lag).sum()
    }
}

/// The place behind the last line end that a file has now; in the middle of a line, the rest of it is passed over.
fn end_of(file: &File, size: u64) -> io::Result<Place> {
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    Ok(Place { offset: size, skipping: last != *b"\n" })
}

/// Whether a name looks like what rotation makes of another: `a.log.1`, `a-20260131.log`, `a.1.log` of `a.log`.
fn is_rotation(original: &Path, copy: &Path) -> bool {
    let stem = original.file_stem().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    let name = copy.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    original != copy && original.parent() == copy.parent() && !stem.is_empty() && name.starts_with(stem)
}
