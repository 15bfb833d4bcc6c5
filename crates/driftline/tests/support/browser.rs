//! A real browser: Chromium without a window, driven over its DevTools protocol as a person would drive it.
//!
//! The protocol is JSON over a WebSocket; what the tests need of it fits here, so that they run with `cargo test` alone.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use super::{DEADLINE, await_some, repository, require};

/// How long one command of the protocol may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// Time between two looks at a page.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a page holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) heap_bytes: f64,
    pub(crate) nodes: f64,
    pub(crate) listeners: f64,
    pub(crate) documents: f64,
}

/// A browser with one page; gone when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    next_id: u64,
    /// Errors on the console, exceptions, refused loads, dialogs.
    problems: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// `None`, with a note, when no Chromium is installed.
    pub(crate) fn start() -> Option<Self> {
        let program = require("chromium")?;
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                // A page that was left would keep its stream of news open, and so one of six connections.
                "--disable-features=BackForwardCache",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = profile.path().join("DevToolsActivePort");
        let (port, path) = await_some("Chromium says where it listens", DEADLINE, || {
            let text = std::fs::read_to_string(&said).ok()?;
            let (port, path) = text.trim().split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.to_owned()))
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(COMMAND_DEADLINE)).unwrap();
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let mut this = Self {
            child,
            socket,
            session: String::new(),
            next_id: 0,
            problems: Vec::new(),
            _profile: profile,
        };
        let target = this.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        this.session = this.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            this.call(&format!("{domain}.enable"), json!({}));
        }
        this.look(1280, 900, "light");
        Some(this)
    }

    fn size(&mut self, width: f64, height: f64) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600.0 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Size of the window, and the system's colours: `light` or `dark`.
    pub(crate) fn look(&mut self, width: u32, height: u32, colours: &str) {
        self.size(f64::from(width), f64::from(height));
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": colours }] });
        self.call("Emulation.setEmulatedMedia", feature);
    }

    /// Goes to an address and waits for the page.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        let outcome = self.call("Page.navigate", json!({ "url": url }));
        assert!(outcome["errorText"].is_null(), "{url}: {outcome}");
        self.await_true("document.readyState === 'complete'");
    }

    /// Runs a script at the beginning of every page that is opened from now on. It may do what the page's policy forbids.
    pub(crate) fn begin_pages_with(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// What the page holds once everything that could be freed is freed.
    pub(crate) fn memory(&mut self) -> Memory {
        self.call("Performance.enable", json!({}));
        // What only a collection finds to be free may free more in the next.
        (0..3).for_each(|_| drop(self.call("HeapProfiler.collectGarbage", json!({}))));
        let told = self.call("Performance.getMetrics", json!({}));
        let of = |name: &str| {
            let metrics = told["metrics"].as_array().unwrap();
            metrics.iter().find(|one| one["name"] == name).unwrap()["value"].as_f64().unwrap()
        };
        Memory {
            heap_bytes: of("JSHeapUsedSize"),
            nodes: of("Nodes"),
            listeners: of("JSEventListeners"),
            documents: of("Documents"),
        }
    }

    /// Value of an expression on the page; a promise is waited for.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut outcome = self.call("Runtime.evaluate", asked);
        assert!(outcome["exceptionDetails"].is_null(), "{expression}: {}", outcome["exceptionDetails"]);
        outcome["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn await_true(&mut self, expression: &str) {
        let began = Instant::now();
        while self.eval(&format!("Boolean({expression})")) != json!(true) {
            if began.elapsed() > DEADLINE {
                self.screenshot("failed");
                let text = self.text("body");
                panic!("not within {DEADLINE:?}: {expression}\nproblems: {:?}\n{text}", self.problems);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the text of an element holds this.
    #[track_caller]
    pub(crate) fn await_text(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.await_true(&format!(
            "[...document.querySelectorAll({selector})].some((e) => e.innerText.includes({text}))"
        ));
    }

    /// The text of the first such element; empty when there is none.
    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        text.as_str().unwrap().to_owned()
    }

    /// Clicks the first visible element of this selector that holds the text, with the mouse.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find((e) => e.innerText.includes({}) && e.getClientRects().length && !e.disabled)",
            json!(selector),
            json!(text)
        );
        self.await_true(&find);
        let place = self.eval(&format!(
            "(() => {{ const e = {find}; e.scrollIntoView({{ block: 'center' }}); const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        self.click_at(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    }

    /// Clicks a place of the window.
    pub(crate) fn click_at(&mut self, x: f64, y: f64) {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let count = u8::from(kind != "mouseMoved");
            let button = if count == 0 { "none" } else { "left" };
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": count });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Types into the field of this selector, in place of what it held.
    #[track_caller]
    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        let field = format!("document.querySelector({})", json!(selector));
        self.await_true(&field);
        self.eval(&format!("{field}.focus(); {field}.select?.()"));
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key such as `Tab`, `Enter` or `2`.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => (u32::from(other.as_bytes()[0]), other),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The whole page as a picture under `target/screenshots`.
    pub(crate) fn screenshot(&mut self, name: &str) -> PathBuf {
        let seen = self.eval("[innerWidth, innerHeight]");
        let (width, height) = (seen[0].as_f64().unwrap(), seen[1].as_f64().unwrap());
        let whole =
            self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"]["height"].as_f64().unwrap();
        // The window becomes as high as the page: a picture beyond the window would catch charts while they are drawn anew.
        self.size(width, whole.clamp(height, 6_000.0).ceil());
        self.await_true(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
        );
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        self.size(width, height);
        let folder = repository().join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
        file
    }

    /// What axe-core finds serious or critical; `None`, with a note, when it is not installed.
    #[track_caller]
    pub(crate) fn accessibility(&mut self) -> Option<Vec<String>> {
        let script = axe()?;
        self.eval(&format!("{script}; 0"));
        let found = self.eval(
            "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => \
             `${v.impact} ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`))",
        );
        let found = found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
        Some(found.filter(|one| one.starts_with("serious") || one.starts_with("critical")).collect())
    }

    /// Forgets what went wrong so far, where a test made it go wrong.
    pub(crate) fn forgive(&mut self) {
        self.eval("0");
        self.problems.clear();
    }

    /// Fails when anything went wrong on the page since the last look.
    #[track_caller]
    pub(crate) fn is_clean(&mut self) {
        // Whatever was told before this answer has been read by then.
        self.eval("0");
        let problems = std::mem::take(&mut self.problems);
        assert!(problems.is_empty(), "{problems:#?}");
    }

    /// Loads the page again and waits for the new one.
    #[track_caller]
    pub(crate) fn reload(&mut self) {
        self.eval("window.isOld = true");
        self.call("Page.reload", json!({}));
        let began = Instant::now();
        let asked = json!({ "expression": "!window.isOld && document.readyState === 'complete'" });
        // What is asked of the page that goes is not answered.
        while !self
            .try_call("Runtime.evaluate", asked.clone())
            .is_ok_and(|outcome| outcome["result"]["value"] == json!(true))
        {
            assert!(began.elapsed() < DEADLINE, "the page is not there again within {DEADLINE:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result, or the error that the browser answers with.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "every caller makes its parameters on the spot")]
    fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.next_id += 1;
        let id = self.next_id;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == json!(id) {
                if !message["error"].is_null() {
                    return Err(message["error"].take());
                }
                return Ok(message["result"].take());
            }
            self.problems.extend(problem(&message));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What an event says went wrong.
fn problem(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled"
            if ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind) =>
        {
            Some(format!("console: {}", params["args"]))
        }
        "Log.entryAdded" if params["entry"]["level"] == "error" => {
            Some(format!("log: {} {}", params["entry"]["text"], params["entry"]["url"]))
        }
        "Page.javascriptDialogOpening" => Some(format!("dialog: {}", params["message"])),
        _ => None,
    }
}

/// The source of axe-core: where `.ci/run` puts it, or what `DRIFTLINE_AXE` names.
fn axe() -> Option<String> {
    let usual = repository().join("target/npm/node_modules/axe-core/axe.min.js");
    let file = std::env::var_os("DRIFTLINE_AXE").map_or(usual, |file| Path::new(&file).to_path_buf());
    match std::fs::read_to_string(&file) {
        Ok(script) => Some(script),
        Err(error) => {
            let required = std::env::var("DRIFTLINE_REQUIRE_SERVERS").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "axe-core is not installed and DRIFTLINE_REQUIRE_SERVERS=1: {file:?}: {error}"
            );
            eprintln!("skipped: {} is not there: npm install --prefix target/npm axe-core", file.display());
            None
        }
    }
}
