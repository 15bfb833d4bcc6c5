//! Belongs here: the dashboard, in a real browser and as its files and calls.

mod approval;
mod controls;
mod demo;
mod endurance;
mod fit;
mod hostile;
mod large;
mod serving;
mod story;

use crate::support::browser::Browser;
use crate::support::fraud::{LEARN, Pair};
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, ordinary};

/// An instance with a learned reference, and its address.
struct Running {
    models: Pair,
    folder: Folder,
    instance: Instance,
}

impl Running {
    /// `v2` active, `v1` stable and shadow of half of the requests.
    fn start(rest: &str) -> Self {
        let (models, folder) = (Pair::start(), Folder::new());
        let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 50 }", rest));
        Self { models, folder, instance }
    }

    fn learned(rest: &str) -> Self {
        let running = Self::start(rest);
        for tenant in ["acme", "globex", "initech"] {
            rows::send(&mut running.instance.client(), Some(tenant), LEARN / 2, ordinary);
        }
        running.instance.await_reference();
        running
    }

    fn url(&self, query: &str) -> String {
        format!("http://{}/{query}", self.instance.admin)
    }
}

/// Looks at a page as different people do: no error, nothing serious from axe, nothing wider than the window.
#[track_caller]
fn look_at(browser: &mut Browser, url: &str, name: &str, ready: &str) {
    for (width, height, colours) in
        [(1280, 900, "light"), (1280, 900, "dark"), (1920, 1080, "light"), (390, 844, "light")]
    {
        browser.look(width, height, colours);
        browser.open(url);
        browser.await_text("main", ready);
        // Charts draw themselves once their data is there.
        browser.await_true("[...document.querySelectorAll('.chart')].every((c) => c.querySelector('canvas') || c.innerText.trim())");
        browser.await_true(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))",
        );
        let wide =
            browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert!(wide.as_i64() <= Some(0), "{name} at {width} is {wide} px too wide");
        browser.screenshot(&format!("{name}-{width}-{colours}"));
        browser.is_clean();
        if width == 1280
            && let Some(found) = browser.accessibility()
        {
            assert!(found.is_empty(), "{name} {colours}: {found:#?}");
        }
        browser.forgive();
    }
    browser.look(1280, 900, "light");
}
