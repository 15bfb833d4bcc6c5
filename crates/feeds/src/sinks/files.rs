//! JSON lines in files: one a lane at a time, rotated by size and by day, removed when they are old.
//!
//! A file is named for its lane and the time at which it was begun, and is never written to again after a restart: nothing
//! can overwrite it. What could not be written whole (a full disk) is cut off again and written once there is room, so
//! that no line is torn. Data is left to the system to put on the disk; a file is synced when it is closed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use record::Lane;

use crate::sinks::{BatchRule, SinkContext, Taken, archive};

/// Lines written with one call.
const BATCH: BatchRule = BatchRule { records: 1_000, bytes: 1024 * 1024, age: Duration::from_millis(200) };

/// How long it rests after a failure before it tries again, at first and at most.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Without a line for this long, files are looked after all the same.
const IDLE: Duration = Duration::from_secs(600);

/// How often old files are looked for.
const SWEEP_EVERY_MS: i64 = 60 * 60 * 1000;

const DAY_MS: i64 = 86_400_000;

/// What our files' names begin and end with.
const PREFIX: &str = "inference-";
pub(super) const SUFFIX: &str = ".jsonl";

/// Files as a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSpec {
    /// Folder; made when it is not there.
    pub folder: PathBuf,
    /// A file that has reached this many bytes is closed and another begun.
    pub rotate_bytes: u64,
    /// Whether files are compressed once they are closed.
    pub gzip: bool,
    /// How long files of the prod lane are kept after their last line.
    pub keep_prod: Duration,
    /// The same of the shadow lane.
    pub keep_shadow: Duration,
    /// Bytes of all files together; beyond it the oldest go first.
    pub max_bytes: u64,
}

pub(super) async fn run(spec: &FilesSpec, context: &SinkContext) {
    let mut lanes = [Open::new(Lane::Prod), Open::new(Lane::Shadow)];
    let mut swept_ms = i64::MIN;
    let mut closed = Vec::new();
    let mut packing = None;
    loop {
        // What was taken when the time is over goes back into the queue.
        let taken = tokio::time::timeout(IDLE, context.take(&BATCH)).await;
        let now = (context.clock)();
        lanes.iter_mut().for_each(|open| open.close_if_old(now));
        if now.saturating_sub(swept_ms) >= SWEEP_EVERY_MS {
            sweep(spec, now);
            closed.extend(if spec.gzip { archive::left_over(&spec.folder, now) } else { Vec::new() });
            swept_ms = now;
        }
        let batch = match taken {
            Err(_idle) => continue,
            Ok(None) => break,
            Ok(Some(batch)) => batch,
        };
        let mut by_lane: [Vec<Taken>; 2] = Default::default();
        for taken in batch {
            by_lane[usize::from(taken.line().stream.lane == Lane::Shadow)].push(taken);
        }
        for (open, batch) in lanes.iter_mut().zip(by_lane) {
            write(spec, context, open, batch).await;
        }
        closed.extend(lanes.iter_mut().flat_map(|open| std::mem::take(&mut open.closed)));
        archive::pack(spec.gzip, &mut closed, &mut packing);
    }
    lanes.iter_mut().for_each(Open::close);
    closed.extend(lanes.iter_mut().flat_map(|open| std::mem::take(&mut open.closed)));
    if let Some(packing) = packing {
        // What is begun is finished, within the time that the end has.
        drop(packing.await);
    }
    archive::pack(spec.gzip, &mut closed, &mut None);
}

/// Writes lines of one lane; tries until it succeeds or the sink is ended.
async fn write(spec: &FilesSpec, context: &SinkContext, open: &mut Open, batch: Vec<Taken>) {
    if batch.is_empty() {
        return;
    }
    let mut text = Vec::new();
    for taken in &batch {
        text.extend_from_slice(taken.line().json());
        text.push(b'\n');
    }
    let mut rest = FIRST_REST;
    while let Err(error) = open.append(spec, &text, (context.clock)()) {
        if context.queue.set_up(false) {
            tracing::error!(folder = %spec.folder.display(), %error, "the inference log cannot be written; it is tried again");
        }
        sweep(spec, (context.clock)());
        context.rest(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
    if context.queue.set_up(true) {
        tracing::info!(folder = %spec.folder.display(), "the inference log is written again");
    }
    batch.into_iter().for_each(Taken::written);
}

/// The file of a lane that is being written.
#[derive(Debug)]
struct Open {
    lane: Lane,
    file: Option<(PathBuf, File)>,
    /// Files that are not written to any more and have not been compressed.
    closed: Vec<PathBuf>,
    bytes: u64,
    day: i64,
}

impl Open {
    fn new(lane: Lane) -> Self {
        Self { lane, file: None, closed: Vec::new(), bytes: 0, day: 0 }
    }

    /// Closes a file of an earlier day.
    fn close_if_old(&mut self, now_ms: i64) {
        if self.day != now_ms.div_euclid(DAY_MS) {
            self.close();
        }
    }

    fn append(&mut self, spec: &FilesSpec, text: &[u8], now_ms: i64) -> io::Result<()> {
        self.close_if_old(now_ms);
        if self.bytes >= spec.rotate_bytes {
            self.close();
        }
        let (_, file) = match &mut self.file {
            Some(open) => open,
            None => {
                let file = create(&spec.folder, self.lane, now_ms)?;
                (self.bytes, self.day) = (0, now_ms.div_euclid(DAY_MS));
                self.file.insert(file)
            }
        };
        match file.write_all(text) {
            Ok(()) => {
                self.bytes += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line must not stay. A file that can't be cut is left alone and another begun.
                if file.set_len(self.bytes).is_err() {
                    self.file = None;
                }
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        let Some((path, file)) = self.file.take() else { return };
        match file.sync_all() {
            Ok(()) => self.closed.push(path),
            Err(error) => tracing::warn!(%error, "a file of the inference log could not be synced"),
        }
    }
}

/// A file of a name that there is not yet, in a folder that is made when it is not there.
fn create(folder: &Path, lane: Lane, now_ms: i64) -> io::Result<(PathBuf, File)> {
    std::fs::create_dir_all(folder)?;
    let time = jiff::Timestamp::from_millisecond(now_ms)
        .unwrap_or_default()
        .strftime("%Y%m%dT%H%M%S%.3f")
        .to_string();
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o600);
    for turn in 0..1000 {
        let path = folder.join(format!("{PREFIX}{}-{time}-{turn}{SUFFIX}", lane.as_str()));
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // An earlier file of this name has been compressed. It got its new name before the old one was free.
            Ok(_) if archive::packed(&path).exists() => std::fs::remove_file(&path)?,
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "a thousand files of one millisecond"))
}

/// Removes files that are too old, and the oldest of too many bytes. The newest of each lane stays.
fn sweep(spec: &FilesSpec, now_ms: i64) {
    let Ok(entries) = std::fs::read_dir(&spec.folder) else { return };
    let mut files: Vec<(SystemTime, PathBuf, Lane, u64)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let lane = lane_of(&name)?;
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path(), lane, metadata.len()))
        })
        .collect();
    files.sort_unstable();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
    let mut total: u64 = files.iter().map(|(.., bytes)| bytes).sum();
    for (index, (modified, path, lane, bytes)) in files.iter().enumerate() {
        let keep = match lane {
            Lane::Prod => spec.keep_prod,
            Lane::Shadow => spec.keep_shadow,
        };
        let is_newest = !files[index + 1..].iter().any(|(_, _, other, _)| other == lane);
        let is_old = now.duration_since(*modified).is_ok_and(|age| age > keep);
        if is_newest || !(is_old || total > spec.max_bytes) {
            continue;
        }
        match std::fs::remove_file(path) {
            Ok(()) => total -= bytes,
            Err(error) => tracing::warn!(file = %path.display(), %error, "an old file cannot be removed"),
        }
    }
}

/// The lane of one of our files, compressed or not; `None` of any other.
pub(super) fn lane_of(name: &str) -> Option<Lane> {
    let rest = name.strip_prefix(PREFIX)?;
    let rest = rest.strip_suffix(archive::SUFFIX_GZ).unwrap_or(rest).strip_suffix(SUFFIX)?;
    match rest.split_once('-')?.0 {
        "prod" => Some(Lane::Prod),
        "shadow" => Some(Lane::Shadow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::SinkOrder;
    use crate::sinks::testing::{NOW_MS, context, line_of};

    fn spec(folder: &Path) -> FilesSpec {
        FilesSpec {
            folder: folder.join("log"),
            rotate_bytes: 30,
            gzip: false,
            keep_prod: Duration::from_secs(90 * 86_400),
            keep_shadow: Duration::from_secs(30 * 86_400),
            max_bytes: 1 << 30,
        }
    }

    fn written(spec: &FilesSpec, lane: &str) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&spec.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.file_name().unwrap().to_str().unwrap().contains(lane));
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    #[tokio::test]
    async fn lanes_have_files_of_their_own_and_a_restart_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path());
        for turn in 0..2 {
            let (context, orders) = context();
            context.queue.try_push(line_of(Lane::Prod, &format!("{{\"p\":{turn}}}")));
            context.queue.try_push(line_of(Lane::Shadow, "{\"s\":1}"));
            orders.send_replace(SinkOrder::Finish);
            run(&spec, &context).await;
            assert_eq!((context.queue.status().written, context.queue.queued()), (2, 0));
        }
        assert_eq!(written(&spec, "prod"), ["{\"p\":0}\n", "{\"p\":1}\n"]);
        assert_eq!(written(&spec, "shadow"), ["{\"s\":1}\n", "{\"s\":1}\n"]);
    }

    #[test]
    fn a_full_file_and_a_new_day_begin_another() {
        let folder = tempfile::tempdir().unwrap();
        let spec = FilesSpec { folder: folder.path().to_owned(), ..spec(folder.path()) };
        let mut open = Open::new(Lane::Prod);
        for (now, text) in
            [(0, "aaaa\n"), (1, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"), (2, "c\n"), (DAY_MS, "d\n")]
        {
            open.append(&spec, text.as_bytes(), NOW_MS + now).unwrap();
        }
        assert_eq!(written(&spec, "prod"), ["aaaa\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n", "c\n", "d\n"]);
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let spec = FilesSpec { folder: folder.path().to_owned(), max_bytes: 25, ..spec(folder.path()) };
        let day = |n: u64| {
            SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS as u64) - Duration::from_secs(n * 86_400)
        };
        for (name, age, bytes) in [
            ("inference-prod-a-0.jsonl", 91, 10),
            ("inference-prod-b-0.jsonl", 89, 10),
            ("inference-prod-c-0.jsonl", 1, 10),
            ("inference-shadow-a-0.jsonl", 31, 10),
            ("inference-shadow-b-0.jsonl", 29, 10),
            ("somebody-elses.jsonl", 1000, 10),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, vec![b'x'; bytes]).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(day(age)).unwrap();
        }
        sweep(&spec, NOW_MS);
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        // 30 bytes would be left of those young enough: the oldest of them goes as well.
        let expected = ["inference-prod-c-0.jsonl", "inference-shadow-b-0.jsonl", "somebody-elses.jsonl"];
        assert_eq!(left, expected);
    }

    #[tokio::test]
    async fn closed_files_are_compressed_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let spec = FilesSpec { gzip: true, ..spec(folder.path()) };
        let mut expected = Vec::new();
        for turn in 0..5 {
            let (context, orders) = context();
            let line = format!("{{\"p\":\"{turn} {}\"}}", "x".repeat(40));
            context.queue.try_push(line_of(Lane::Prod, &line));
            expected.push(format!("{line}\n"));
            orders.send_replace(SinkOrder::Finish);
            run(&spec, &context).await;
        }
        let names = || -> Vec<String> {
            let entries = std::fs::read_dir(&spec.folder).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        while !names().iter().all(|name| name.ends_with(".jsonl.gz")) {
            tokio::task::yield_now().await;
        }
        let mut found = Vec::new();
        for name in names() {
            let mut text = String::new();
            let file = File::open(spec.folder.join(&name)).unwrap();
            io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
            assert_eq!(lane_of(&name), Some(Lane::Prod), "{name}");
            found.push(text);
        }
        found.sort();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path());
        std::fs::write(&spec.folder, "in the way").unwrap();
        let (context, orders) = context();
        context.queue.try_push(line_of(Lane::Prod, "{\"p\":1}"));
        orders.send_replace(SinkOrder::Finish);
        let until_gone = async {
            while context.queue.status().up {
                tokio::task::yield_now().await;
            }
            std::fs::remove_file(&spec.folder).unwrap();
        };
        tokio::join!(run(&spec, &context), until_gone);
        assert_eq!((context.queue.status().written, written(&spec, "prod").len()), (1, 1));
    }
}
