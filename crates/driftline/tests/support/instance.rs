//! The real program, running.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Client, Message};
use super::prometheus::Page;
use super::{DEADLINE, await_some, await_until, driftline};

/// What a process has written so far.
#[derive(Debug)]
pub(crate) struct Collected {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Collected {
    /// What has come until now.
    pub(crate) fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, once the process has closed its end.
    pub(crate) fn whole(self) -> String {
        self.reader.join().unwrap();
        let text = self.text.lock().unwrap();
        text.clone()
    }
}

/// Reads a process's output on a thread, so that it never waits for us.
pub(crate) fn collect(output: impl Read + Send + 'static) -> Collected {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            shared.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    Collected { text, reader }
}

/// A folder of one test: configuration, state, data.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in one step, as editors and configuration managers do.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let fresh = self.path().join(format!("{name}.new"));
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }
}

/// The two lines that let the system choose ports.
pub(crate) const FREE_PORTS: &str = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";

/// A running instance, killed when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    child: Child,
    stderr: Collected,
    pub(crate) traffic: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Instance {
    /// `driftline run` with `driftline.yaml`: `FREE_PORTS` and `yaml`.
    #[track_caller]
    pub(crate) fn start(folder: &Folder, yaml: &str) -> Self {
        folder.write("driftline.yaml", &format!("{FREE_PORTS}{yaml}"));
        Self::with_args(folder, &["run"])
    }

    /// `driftline observe` with `driftline.yaml`: a free admin port and `yaml`. Nothing takes traffic.
    #[track_caller]
    pub(crate) fn observe(folder: &Folder, yaml: &str) -> Self {
        folder.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{yaml}"));
        Self::with_args(folder, &["observe"])
    }

    /// `driftline` with these arguments, until it takes traffic or observes.
    #[track_caller]
    pub(crate) fn with_args(folder: &Folder, args: &[&str]) -> Self {
        Self::spawn(driftline(folder.path()).args(args).stdout(Stdio::null()))
    }

    /// A command of the program, until it takes traffic or observes.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        // An instance from the first moment: one that never takes traffic is killed as well.
        let mut this = Self { child, stderr, traffic: unknown, admin: unknown };
        (this.traffic, this.admin) = await_some("the program takes traffic", DEADLINE, || {
            if let Some(status) = this.child.try_wait().unwrap() {
                panic!("it ended with {status}:\n{}", this.stderr.text.lock().unwrap());
            }
            addresses(&this.stderr.text.lock().unwrap())
        });
        this
    }

    /// A client of the traffic's address.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.traffic)
    }

    /// What it has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    /// A call of the admin API.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Message {
        Client::new(self.admin).send(method, path, fields, body)
    }

    /// `GET` of JSON that must be there.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, &[], b"");
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        answer.json()
    }

    /// `POST` of JSON.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Message {
        Client::new(self.admin).post(path, body)
    }

    /// The status of the only model.
    #[track_caller]
    pub(crate) fn model(&self) -> Value {
        self.get("/api/v1/status")["models"][0].clone()
    }

    #[track_caller]
    pub(crate) fn active(&self) -> String {
        self.model()["active"].as_str().unwrap().to_owned()
    }

    /// Events of a kind, the newest first.
    #[track_caller]
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let mut events = self.get("/api/v1/events?limit=1000")["events"].as_array().unwrap().clone();
        events.retain(|event| event["kind"] == kind);
        events
    }

    /// State of an alert for the model, the worst where it has several.
    #[track_caller]
    pub(crate) fn alert_state(&self, alert: &str) -> f64 {
        self.metrics()
            .all("driftline_alert_state", &[("alert", alert)])
            .map(|sample| sample.value)
            .fold(0.0, f64::max)
    }

    /// `GET /metrics` as text.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Page {
        let answer = self.call("GET", "/metrics", &[], b"");
        assert_eq!(answer.status(), 200, "{answer:?}");
        Page::parse(answer.text())
    }

    /// Waits until the window of version, lane and tenant holds `n` requests.
    #[track_caller]
    pub(crate) fn await_requests(&self, version: &str, lane: &str, tenant: &str, n: usize) {
        let labels = [("version", version), ("lane", lane), ("tenant", tenant)];
        await_until(&format!("{n} requests in the window of {labels:?}"), DEADLINE, || {
            self.metrics().value("requests", &labels) == Some(n as f64)
        });
    }

    /// Waits until the reference is learned.
    #[track_caller]
    pub(crate) fn await_reference(&self) {
        await_until("the reference is learned", DEADLINE, || self.model()["reference"]["state"] == "ready");
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {name} {pid}");
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = await_some("it ends after SIGTERM", DEADLINE, || self.child.try_wait().unwrap());
        (status, self.log())
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its standard input, when it was spawned with one.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = await_some("it ends by itself", DEADLINE, || self.child.try_wait().unwrap());
        (status, self.log())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("---- stderr of the instance ----\n{log}");
        } else {
            assert!(!log.contains("panicked at"), "{log}");
        }
    }
}

/// From `traffic on http://A, metrics and API on http://B`, or `observing; metrics and API on http://B`.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let is_it = |line: &&str| line.contains("traffic on http://") || line.contains("observing; ");
    let line = log.lines().find(is_it)?;
    let mut found =
        line.split(&[' ', ',', '"'][..]).filter_map(|word| word.split_once("://")?.1.parse().ok());
    let first = found.next()?;
    if line.contains("observing; ") {
        return Some((SocketAddr::from(([0, 0, 0, 0], 0)), first));
    }
    Some((first, found.next()?))
}
