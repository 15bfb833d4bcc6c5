//! Files as programs and `logrotate` treat them; and random sequences of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::Observation;
use crate::sources::testing::Bench;

/// A source over a folder of files, run in passes.
struct Field {
    bench: Bench,
    folder: tempfile::TempDir,
    spec: TailSpec,
}

impl Field {
    fn new(pattern: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = TailSpec {
            paths: vec![format!("{}/{pattern}", folder.path().display())],
            format: Format::Record,
            from_beginning: true,
            poll: Duration::from_millis(1),
            follow: true,
            linger: Duration::ZERO,
        };
        Self { bench: Bench::new("fraud"), folder, spec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Lines of numbered inferences.
    fn add(&self, name: &str, numbers: std::ops::Range<usize>) {
        self.append(name, &numbers.map(line).collect::<String>());
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// A process that makes so many passes and is then killed.
    async fn passes(&self, count: usize) {
        let context = self.bench.context();
        let mut tail = Tail::open(&self.spec, &context).unwrap();
        for _ in 0..count {
            tail.pass().await.unwrap();
        }
    }

    /// The numbers that were counted, in order.
    fn numbers(&self) -> Vec<usize> {
        let number = |one: &Observation| match one {
            Observation::Record(record) => record.request_id.as_ref().unwrap().parse().unwrap(),
            Observation::Exchange(_) => panic!("{one:?}"),
        };
        self.bench.seen().iter().map(number).collect()
    }

    fn rejected(&self, reason: &str) -> u64 {
        let status = self.bench.context().counters.status();
        status.rejected.iter().filter(|(name, _)| *name == reason).map(|(_, count)| count).sum()
    }
}

fn line(number: usize) -> String {
    format!("{{\"request_id\":\"{number}\",\"features\":{{\"a\":1}}}}\n")
}

fn upto(end: usize) -> Vec<usize> {
    (0..end).collect()
}

#[tokio::test]
async fn files_are_read_on_after_a_restart() {
    let field = Field::new("*.log");
    field.add("a.log", 0..3);
    field.passes(2).await;
    field.add("a.log", 3..5);
    field.add("b.log", 5..6);
    field.passes(1).await;
    assert_eq!(field.numbers(), upto(6));
    assert_eq!(field.bench.context().counters.status().lag, Some(0));
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end() {
    let field = Field::new("a.log");
    let context = field.bench.context();
    let mut tail = Tail::open(&field.spec, &context).unwrap();
    field.add("a.log", 0..2);
    tail.pass().await.unwrap();
    field.add("a.log", 2..4);
    field.rename("a.log", "a.log.1");
    field.add("a.log", 4..5);
    // Its writer has not noticed yet, and leaves the last line without its end.
    field.append("a.log.1", line(5).trim_end());
    tail.pass().await.unwrap();
    tail.pass().await.unwrap();
    let mut numbers = field.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, upto(6));
}

#[tokio::test]
async fn a_renamed_file_that_is_named_too_is_not_read_again() {
    let field = Field::new("a.log*");
    field.add("a.log", 0..3);
    field.passes(1).await;
    field.add("a.log", 3..4);
    field.rename("a.log", "a.log.1");
    field.add("a.log", 4..6);
    field.passes(2).await;
    field.append("a.log.1.gz", "\u{1f}\u{8b} compressed");
    field.rename("a.log.1", "a.log.2");
    field.passes(2).await;
    // Two files of one instant have no order.
    let mut numbers = field.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, upto(6));
}

#[tokio::test]
async fn a_truncated_file_begins_anew_also_when_it_has_grown_over_its_old_size() {
    let field = Field::new("a.log");
    for (again, count) in [(10, 2), (20, 9)] {
        field.add("a.log", again..again + 5);
        field.passes(1).await;
        fs::write(field.path("a.log"), "").unwrap();
        field.add("a.log", again + 5..again + 5 + count);
        field.passes(2).await;
    }
    let wanted: Vec<usize> = (10..17).chain(20..34).collect();
    assert_eq!(field.numbers(), wanted);
}

#[tokio::test]
async fn a_copy_made_before_a_truncation_goes_on_where_the_original_was_read_to() {
    let field = Field::new("a.log*");
    field.add("a.log", 0..4);
    field.passes(1).await;
    field.add("a.log", 4..6);
    fs::copy(field.path("a.log"), field.path("a.log.1")).unwrap();
    fs::write(field.path("a.log"), "").unwrap();
    field.add("a.log", 6..8);
    field.passes(2).await;
    // Seen before the truncation, it waits for that.
    fs::copy(field.path("a.log"), field.path("a.log.2")).unwrap();
    let context = field.bench.context();
    let mut tail = Tail::open(&field.spec, &context).unwrap();
    tail.pass().await.unwrap();
    field.add("a.log", 8..9);
    tail.pass().await.unwrap();
    fs::write(field.path("a.log"), "").unwrap();
    tail.pass().await.unwrap();
    field.add("a.log", 9..10);
    tail.pass().await.unwrap();
    let mut numbers = field.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, upto(10));
}

#[tokio::test]
async fn an_inode_that_is_used_again_is_a_new_file() {
    let field = Field::new("*.log");
    field.add("a.log", 0..3);
    field.passes(1).await;
    fs::remove_file(field.path("a.log")).unwrap();
    field.add("b.log", 3..9);
    field.passes(1).await;
    assert_eq!(field.numbers(), upto(9));
}

#[tokio::test]
async fn half_a_line_waits_for_its_end() {
    let field = Field::new("a.log");
    let (whole, half) = (line(0), &line(1)[..9]);
    field.append("a.log", &format!("{whole}{half}"));
    field.passes(3).await;
    assert_eq!(field.numbers(), [0]);
    field.append("a.log", &line(1)[9..]);
    field.passes(1).await;
    assert_eq!(field.numbers(), [0, 1]);
    assert_eq!(field.rejected("malformed"), 0);
}

#[tokio::test]
async fn what_is_no_line_costs_only_itself() {
    let field = Field::new("a.log");
    field.add("a.log", 0..1);
    let mut file = OpenOptions::new().append(true).open(field.path("a.log")).unwrap();
    file.write_all(b"\xff\xfe{}\n\0\0\0\0").unwrap();
    file.write_all(line(1).as_bytes()).unwrap();
    file.write_all(&vec![b'x'; LINE_BYTES + CHUNK]).unwrap();
    field.passes(2).await;
    file.write_all(&vec![b'x'; CHUNK]).unwrap();
    file.write_all(b"\n").unwrap();
    file.write_all(line(2).as_bytes()).unwrap();
    field.passes(1).await;
    assert_eq!(field.numbers(), [0, 1, 2]);
    assert_eq!((field.rejected("malformed"), field.rejected("too_large")), (1, 1));
}

#[tokio::test]
async fn from_the_end_means_what_is_added_and_files_that_appear() {
    let mut field = Field::new("*.log");
    field.spec.from_beginning = false;
    field.append("a.log", &format!("{}{}", line(0), &line(1)[..5]));
    field.passes(1).await;
    field.append("a.log", &line(1)[5..]);
    field.add("a.log", 2..3);
    field.add("b.log", 3..4);
    field.passes(2).await;
    assert_eq!(field.numbers(), [2, 3], "the line that was begun before is passed over");
    assert_eq!(field.rejected("malformed"), 0);
}

#[tokio::test]
async fn links_folders_and_what_is_no_file_are_told_apart() {
    let field = Field::new("*");
    field.add("a.log", 0..2);
    std::os::unix::fs::symlink(field.path("a.log"), field.path("link")).unwrap();
    std::os::unix::fs::symlink(field.path("nowhere"), field.path("broken")).unwrap();
    fs::create_dir(field.path("folder")).unwrap();
    field.passes(2).await;
    assert_eq!(field.numbers(), upto(2));
    assert_eq!(field.bench.context().counters.status().errors, 0);
}

#[tokio::test]
async fn without_following_it_reads_the_last_line_and_ends() {
    let mut field = Field::new("*.log");
    field.spec.follow = false;
    let error = run(&field.spec, &field.bench.context()).await.unwrap_err();
    assert!(error.to_string().contains("no file to read"), "{error}");
    field.add("a.log", 0..700);
    field.append("a.log", line(700).trim_end());
    for _ in 0..2 {
        run(&field.spec, &field.bench.context()).await.unwrap();
    }
    assert_eq!(field.numbers(), upto(701));
}

#[tokio::test]
async fn a_broken_position_is_left_to_a_person() {
    let field = Field::new("a.log");
    field.add("a.log", 0..1);
    let context = field.bench.context();
    fs::write(context.state_dir.join("test.tail.json"), "{").unwrap();
    let error = run(&field.spec, &context).await.unwrap_err();
    assert!(error.to_string().contains("remove it to begin anew"), "{error}");
}

#[tokio::test]
async fn positions_of_files_that_are_gone_are_forgotten_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let pattern = path.display().to_string();
    fs::write(&path, line(0)).unwrap();
    let mut watch = Watch::new(vec![pattern], Duration::ZERO, None, Begin::Start);
    assert!(watch.scan(0).is_empty());
    let id = watch.waiting()[0];
    watch.get_mut(id).unwrap().set_examined(1000);
    assert_eq!(watch.commit().unwrap().len(), 1);
    fs::remove_file(&path).unwrap();
    watch.scan(1);
    assert_eq!(watch.finished(1), [id]);
    watch.close(id);
    watch.scan(24 * 60 * 60 * 1000);
    assert_eq!(watch.commit().unwrap().len(), 1, "gone since a day, less one millisecond");
    watch.scan(24 * 60 * 60 * 1000 + 1);
    assert!(watch.commit().unwrap().is_empty());
}

/// What may happen to a file between two looks.
#[derive(Clone, Debug)]
enum Deed {
    Append(usize),
    Half,
    Rotate,
    CopyTruncate,
    Look,
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (1_usize..40).prop_map(Deed::Append),
        2 => Just(Deed::Half),
        2 => Just(Deed::Rotate),
        2 => Just(Deed::CopyTruncate),
        5 => Just(Deed::Look),
        2 => Just(Deed::Restart),
    ];
    proptest::collection::vec(deed, 1..40)
}

async fn survives(deeds: &[Deed]) -> Vec<usize> {
    let field = Field::new("a.log*");
    let context = field.bench.context();
    let mut tail = Tail::open(&field.spec, &context).unwrap();
    let (mut written, mut files, mut half) = (0, 0, None);
    for deed in deeds {
        // A writer ends a line before it does anything else.
        if !matches!(deed, Deed::Look | Deed::Restart)
            && let Some(rest) = half.take()
        {
            field.append("a.log", rest);
        }
        match deed {
            Deed::Append(count) => {
                field.add("a.log", written..written + count);
                written += count;
            }
            Deed::Half => {
                let text: &'static str = Box::leak(line(written).into_boxed_str());
                field.append("a.log", &text[..7]);
                half = Some(&text[7..]);
                written += 1;
            }
            Deed::Rotate | Deed::CopyTruncate if !field.path("a.log").exists() => {}
            Deed::Rotate => {
                files += 1;
                field.rename("a.log", &format!("a.log.{files}"));
            }
            Deed::CopyTruncate => {
                files += 1;
                fs::copy(field.path("a.log"), field.path(&format!("a.log.{files}"))).unwrap();
                fs::write(field.path("a.log"), "").unwrap();
            }
            Deed::Look => drop(tail.pass().await.unwrap()),
            Deed::Restart => tail = Tail::open(&field.spec, &context).unwrap(),
        }
    }
    if let Some(rest) = half {
        field.append("a.log", rest);
    }
    for _ in 0..2 {
        tail.pass().await.unwrap();
    }
    let mut numbers = field.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, upto(written), "{deeds:?}");
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_nothing_is_lost_or_doubled(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(survives(&deeds));
    }
}
