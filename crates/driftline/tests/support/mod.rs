//! What the tests stand on: the real program, model servers, an HTTP client, a reader for metrics.

pub(crate) mod browser;
pub(crate) mod fraud;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod instance;
pub(crate) mod kafka;
pub(crate) mod llm;
pub(crate) mod load;
pub(crate) mod loki;
pub(crate) mod model;
pub(crate) mod prometheus;
pub(crate) mod receiver;
pub(crate) mod rogue;
pub(crate) mod rows;
pub(crate) mod s3;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No condition may take longer, on a machine that is busy with other tests too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn await_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    await_some(what, deadline, || condition().then_some(()));
}

/// Waits until `look` sees something.
#[track_caller]
pub(crate) fn await_some<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(POLL_EVERY);
    }
}

/// Keeps looking for `time` that `condition` stays true.
#[track_caller]
pub(crate) fn holds_for(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(condition(), "after {:?} no longer true: {what}", began.elapsed());
        std::thread::sleep(POLL_EVERY);
    }
}

/// The path of a program that some tests need. `None`, with a note, when it is not installed; with
/// `DRIFTLINE_REQUIRE_SERVERS=1` that is a failure.
pub(crate) fn require(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        let required = std::env::var("DRIFTLINE_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
        assert!(!required, "`{program}` is not installed and DRIFTLINE_REQUIRE_SERVERS=1");
        eprintln!("skipped: `{program}` is not installed");
    }
    found
}

/// The path of a program that no package registry has: a test that needs it is skipped without it, in CI as well.
pub(crate) fn if_installed(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        eprintln!("skipped: `{program}` is not installed, and no registry has it");
    }
    found
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).unwrap()
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Fails with everything the command said unless it ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// The program, in `folder`, with none of this process's settings.
pub(crate) fn driftline(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["DRIFTLINE_CONFIG", "DRIFTLINE_ADMIN", "DRIFTLINE_TOKEN", "RUST_LOG", "COLUMNS"] {
        command.env_remove(name);
    }
    command.env("USER", "tester");
    command
}

/// Runs a command of the program to its end.
#[track_caller]
pub(crate) fn run(folder: &Path, args: &[&str]) -> Outcome {
    finish(driftline(folder).args(args))
}

/// Runs a command to its end; one that does not end is killed.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().map(instance::collect);
    let stderr = child.stderr.take().map(instance::collect);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > 3 * DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not end");
        }
        std::thread::sleep(POLL_EVERY);
    };
    let text = |collected: Option<instance::Collected>| {
        collected.map(instance::Collected::whole).unwrap_or_default()
    };
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
