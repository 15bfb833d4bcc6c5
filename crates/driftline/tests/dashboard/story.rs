//! Belongs here: what the person on call sees, from calm to drift to rollback, over a restart.

use super::{Running, look_at};
use crate::support::browser::Browser;
use crate::support::fraud::{LEARN, WINDOW};
use crate::support::instance::Instance;
use crate::support::load::Drip;
use crate::support::rows::{self, ordinary, shifted};

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

fn send_all(running: &Running, row: fn(usize) -> rows::Row) {
    for tenant in TENANTS {
        rows::send(&mut running.instance.client(), Some(tenant), WINDOW, row);
    }
}

#[test]
fn drift_is_seen_opened_and_answered() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::start("");
    browser.open(&running.url(""));
    browser.await_text("main", "Learning what is normal: 0 of 1000 rows.");
    browser.screenshot("overview-empty");
    rows::send(&mut running.instance.client(), Some("acme"), LEARN / 2, ordinary);
    browser.await_text("main", "Learning what is normal: 500 of 1000 rows.");
    rows::send(&mut running.instance.client(), Some("acme"), LEARN / 2, ordinary);
    running.instance.await_reference();
    send_all(&running, ordinary);
    browser.await_text(".verdict", "No drift: all its features lie within the limits.");
    browser.await_text(".worst", "within limits");
    browser.is_clean();

    send_all(&running, shifted);
    let drip = Drip::start(&running.instance, &TENANTS.map(Some), shifted);
    crate::support::await_until("it has rolled back", crate::support::DEADLINE, || {
        running.instance.active() == "v1"
    });
    // What comes now is counted for v1, whose window has to stay nearly empty.
    drop(drip);
    browser.await_text(".verdict", "Rolled back: clients get v1 instead of v2. FeaturePSICritical");
    browser.await_text(".facts", "the stable version");
    browser.await_text("table", "FeaturePSICritical");
    // Its window is nearly empty; what was wrong before is still to be seen.
    browser.await_text(".before", "v2 when traffic left it");
    browser.await_text(".before", "critical");
    browser.screenshot("rolled-back-1280-light");
    rows::send(&mut running.instance.client(), Some("acme"), 50, ordinary);
    browser.await_text(".before", "of 200 requests; it is judged from 101 on.");
    // The drift is in the requests, so the stable version gets it as well.
    send_all(&running, shifted);
    let _drip = Drip::start(&running.instance, &TENANTS.map(Some), shifted);
    browser.await_text(".worst", "critical");
    browser.await_text(".verdict", "there is nowhere safer to go");
    assert_eq!(browser.eval("document.querySelectorAll('.before').length"), 0);

    browser.click(".worst a", "amount");
    browser.await_text(".verdict h2", "amount");
    browser.await_text(".verdict", "critical");
    browser.await_text("table", "acme");
    browser.await_text("table", "Part of the PSI");
    browser.await_true("document.querySelectorAll('.chart canvas').length >= 2");
    assert_eq!(browser.eval("location.search"), "?page=drift&model=fraud&feature=amount");
    browser.is_clean();
}

#[test]
fn every_page_reads_well_for_everybody() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("");
    send_all(&running, ordinary);
    send_all(&running, shifted);
    let _drip = Drip::start(&running.instance, &TENANTS.map(Some), shifted);
    crate::support::await_until("it has rolled back", crate::support::DEADLINE, || {
        running.instance.active() == "v1"
    });
    let stored = || {
        let grid = running.instance.get("/api/v1/models/fraud/grid?metric=psi&version=v2");
        grid["rows"].as_array().is_some_and(|rows| !rows.is_empty())
    };
    crate::support::await_until("the history has a point", crate::support::DEADLINE, stored);
    for (query, name, ready) in [
        ("", "overview", "PSI of the worst features"),
        ("?page=drift&version=v2", "drift", "begun about"),
        ("?page=drift&version=v2&feature=amount", "feature", "Part of the PSI"),
        ("?page=tenants&version=v2", "tenants", "acme"),
        ("?page=lanes", "lanes", "Requests by version and lane"),
        ("?page=control", "control", "Audit trail"),
    ] {
        look_at(&mut browser, &running.url(query), name, ready);
    }
}

#[test]
fn it_goes_on_after_a_restart_and_says_what_is_stale() {
    let Some(mut browser) = Browser::start() else { return };
    let Running { models, folder, instance } = Running::learned("");
    let admin = instance.admin;
    browser.open(&format!("http://{admin}/?page=drift&range=6h"));
    browser.await_text("#live", "live");
    instance.kill();
    browser.await_text("#live", "no news for");
    browser.await_text("#notices", "No news from the instance");
    browser.screenshot("stale-1280-light");
    let yaml = models.yaml("shadow: { version: v1, percent: 50 }", "");
    folder.write("driftline.yaml", &format!("listen: 127.0.0.1:0\nadmin: {admin}\n{yaml}"));
    let again = Instance::with_args(&folder, &["run"]);
    assert_eq!(again.admin, admin);
    browser.await_text("#live", "live");
    browser.await_true("!document.querySelector('#notices').innerText.includes('No news')");
    browser.await_text("main", "amount");
    assert_eq!(browser.eval("location.search"), "?page=drift&range=6h");
    // A reload half-way changes nothing about where one is.
    browser.forgive();
    browser.reload();
    browser.await_true("document.querySelector('nav [aria-current]')?.innerText === 'Drift'");
    browser.await_text("main", "amount");
    browser.is_clean();
}

#[test]
fn the_keyboard_is_enough() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("");
    browser.open(&running.url(""));
    browser.await_text(".verdict", "fraud");
    for (key, page) in
        [("2", "Drift"), ("3", "Tenants"), ("4", "Prod and shadow"), ("5", "Control"), ("1", "Overview")]
    {
        browser.press(key);
        browser.await_true(&format!("document.querySelector('nav [aria-current]').innerText === '{page}'"));
    }
    browser.press("Tab");
    assert_eq!(browser.eval("document.activeElement.innerText"), "Skip to content");
    browser.eval("document.querySelector('.worst a').focus()");
    browser.press("Enter");
    browser.await_true("location.search.includes('feature=')");
    browser.is_clean();
}

#[test]
fn what_does_not_come_is_said_and_what_was_there_stays() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("");
    rows::send(&mut running.instance.client(), Some("acme"), 40, ordinary);
    running.instance.await_requests("v2", "prod", "acme", 40);
    browser.begin_pages_with(
        "const whole = window.fetch; \
         window.fetch = (...asked) => window.cut ? Promise.reject(new TypeError('cut')) : whole(...asked);",
    );
    browser.open(&running.url("?page=lanes"));
    browser.await_text("td.codes", "200");
    let reload = |browser: &mut Browser, cut: bool| {
        browser.eval(&format!("window.cut = {cut}; dispatchEvent(new Event('changed'))"));
    };
    reload(&mut browser, true);
    browser.await_text(".notice.late", "The instance cannot be reached.");
    assert!(browser.text("td.codes").contains("200"), "what was shown stays");
    reload(&mut browser, false);
    browser.await_true("!document.querySelector('.notice.late')");
    // Another page has nothing to show yet.
    browser.eval("window.cut = true");
    for (page, places) in [("drift", 3), ("tenants", 1), ("lanes", 6), ("control", 1), ("overview", 2)] {
        browser.eval(&format!(
            "history.pushState(null, '', '/?page={page}'); dispatchEvent(new Event('place'))"
        ));
        browser.await_true(&format!("document.querySelectorAll('main .empty.wrong').length >= {places}"));
        assert!(!browser.text("main").contains("Loading"), "{page}");
    }
}
