//! Belongs here: the demo, looked at and answered in the browser as a newcomer would.

use std::process::{Child, Stdio};

use crate::support::browser::Browser;
use crate::support::instance::{Collected, Folder, collect};
use crate::support::{DEADLINE, await_some, driftline};

/// A running demo; gone when dropped.
struct Demo {
    child: Child,
    stdout: Collected,
    dashboard: String,
    _folder: Folder,
}

impl Demo {
    fn start() -> Self {
        let folder = Folder::new();
        let mut command = driftline(folder.path());
        let mut child = command.args(["demo", "--speed", "12"]).stderr(Stdio::null()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let mut this = Self { child, stdout, dashboard: String::new(), _folder: folder };
        this.dashboard = await_some("the demo says where its dashboard is", DEADLINE, || {
            if let Some(status) = this.child.try_wait().unwrap() {
                panic!("it ended with {status}:\n{}", this.stdout.so_far());
            }
            let told = this.stdout.so_far();
            let line = told.lines().find(|line| line.trim_start().starts_with("dashboard"))?;
            line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        });
        this
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("---- the demo ----\n{}", self.stdout.so_far());
        }
    }
}

#[test]
fn the_drift_is_seen_opened_answered_and_taken_back() {
    let Some(mut browser) = Browser::start() else { return };
    let demo = Demo::start();
    browser.open(&demo.dashboard);
    browser.await_text(".verdict", "flights");
    browser.await_text(".worst", "within limits");
    browser.screenshot("demo-winter");

    // July: the feature is opened while the alert is still waiting, and the page loaded again half-way.
    browser.await_true("document.querySelector('.worst .grade.deep')");
    browser.eval("document.querySelector('.worst li:has(.grade.deep) a').click()");
    browser.await_text("main", "Part of the PSI");
    browser.await_text(".verdict", "critical");
    let place = browser.eval("location.search");
    browser.reload();
    browser.await_text("main", "Part of the PSI");
    assert_eq!(browser.eval("location.search"), place);
    browser.screenshot("demo-feature");

    browser.press("1");
    browser.await_text(".verdict", "Rolled back: clients get v1 instead of v2.");
    browser.await_text("table.events", "v2 → v1");
    browser.screenshot("demo-rolled-back");

    // Back to v2 by hand, with nothing that would take it away again; then back to v1.
    browser.press("5");
    browser.click("[role=switch]", "");
    browser.click("dialog button", "Switch off");
    browser.await_true("document.querySelector('[role=switch]').getAttribute('aria-checked') === 'false'");
    browser.click("button", "Promote v2…");
    browser.await_text("dialog", "nothing takes this back by itself");
    browser.type_into("#why", "once more");
    browser.click("dialog button", "Promote v2");
    browser.await_text(".controls", "Switches all traffic from v2 to the stable version v1.");
    browser.click("button", "Roll back to v1…");
    browser.click("dialog button", "Roll back to v1");
    browser.await_text(".controls", "The stable version v1 is active already.");
    browser.click("[role=switch]", "");
    browser.click("dialog button", "Switch on");
    browser.await_true("document.querySelector('[role=switch]').getAttribute('aria-checked') === 'true'");
    browser.await_text("table.events", "once more");
    browser.screenshot("demo-control");
    browser.is_clean();
}
