//! Belongs here: a rollback that waits for a person, answered on the dashboard and on the page behind a signed link.

use serde_json::{Value, json};

use super::{Running, look_at};
use crate::support::browser::Browser;
use crate::support::fraud::WINDOW;
use crate::support::load::Drip;
use crate::support::receiver::Receiver;
use crate::support::rows::{self, ordinary, shifted};
use crate::support::{DEADLINE, await_some, await_until};

const TOKEN: &str = "0123456789abcdef0123";

/// Makes three tenants drift until a rollback is proposed.
fn propose(running: &Running) {
    let tenants = ["acme", "globex", "initech"];
    for row in [ordinary, shifted] {
        tenants.iter().for_each(|t| rows::send(&mut running.instance.client(), Some(t), WINDOW, row));
    }
}

fn proposed(rest: &str) -> Running {
    let running = Running::learned(rest);
    propose(&running);
    let _drip = Drip::start(&running.instance, &["acme", "globex", "initech"].map(Some), shifted);
    await_until("a rollback is proposed", DEADLINE, || !running.instance.model()["proposal"].is_null());
    running
}

#[test]
fn a_proposal_is_approved_with_the_token_and_a_reason() {
    let Some(mut browser) = Browser::start() else { return };
    let running = proposed(&format!("rollback: {{ mode: approve }}\nauth: {{ token: {TOKEN} }}\n"));
    look_at(&mut browser, &running.url(""), "proposal", "Roll back from v2 to v1?");
    browser.await_text(".ask", "FeaturePSICritical");
    browser.await_text(".ask", "It can be approved for");
    browser.click(".ask button", "Approve…");
    // Without the token nothing is asked but the token.
    browser.type_into("#token", TOKEN);
    browser.click("dialog button", "Use it");
    browser.await_text("dialog", "goes from v2 to v1 with the next request");
    browser.screenshot("proposal-confirm-1280-light");
    assert_eq!(running.instance.active(), "v2", "nothing happens without the second click");
    browser.type_into("#why", "the feed is <i>broken</i>");
    browser.click("dialog button", "Approve: roll back to v1");
    browser.await_text(".verdict", "Rolled back: clients get v1 instead of v2.");
    browser.await_true("!document.querySelector('.ask')");
    assert_eq!(running.instance.active(), "v1");
    let event = &running.instance.events("approval")[0];
    assert_eq!(event["reason"], "approved: the feed is <i>broken</i>");
    assert_eq!(event["actor"], "token from 127.0.0.1");
    browser.open(&running.url("?page=control"));
    browser.await_text(".events", "approved: the feed is <i>broken</i>");
    browser.is_clean();
}

#[test]
fn a_proposal_is_turned_down_and_seen_from_every_page() {
    let Some(mut browser) = Browser::start() else { return };
    let running = proposed("rollback: { mode: approve }\n");
    browser.open(&running.url("?page=control"));
    browser.await_text(".ask", "Roll back from v2 to v1?");
    browser.await_true("!document.querySelector('#notices a')");
    browser.press("2");
    browser.await_text("#notices", "waits for approval until");
    browser.click("#notices a", "Decide");
    browser.click(".ask button", "Turn down…");
    browser.await_text("dialog", "Clients go on getting v2.");
    browser.type_into("#why", "a holiday");
    browser.click("dialog button", "Turn it down");
    browser.await_true("!document.querySelector('.ask')");
    browser.await_text(".verdict", "was not approved; clients still get v2.");
    browser.await_text(".events", "turned down: a holiday");
    assert_eq!(running.instance.active(), "v2");
    assert!(running.instance.model()["proposal"].is_null());
    browser.is_clean();
}

#[test]
fn what_has_the_focus_keeps_it_while_news_come() {
    let Some(mut browser) = Browser::start() else { return };
    let running = proposed("rollback: { mode: approve }\n");
    browser.open(&running.url(""));
    browser.await_text(".ask", "Approve…");
    browser.eval("window.button = document.querySelector('.ask button.danger'); window.button.focus()");
    let before = browser.text(".ask .muted");
    // The age of the proposal counts on.
    browser.await_true(&format!("document.querySelector('.ask .muted').innerText !== {}", json!(before)));
    assert_eq!(browser.eval("document.activeElement === window.button && window.button.isConnected"), true);
    browser.is_clean();
}

#[test]
fn an_advice_is_followed_and_a_hold_ended() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("rollback: { mode: recommend }\n");
    propose(&running);
    let drip = Drip::start(&running.instance, &["acme", "globex", "initech"].map(Some), shifted);
    browser.open(&running.url("?page=control"));
    browser.await_text(".ask", "advised");
    browser.click(".controls button", "Hold…");
    browser.type_into("#why", "load test");
    browser.click("dialog button", "Hold it");
    browser.await_text(".ask", "load test");
    assert_eq!(running.instance.model()["state"], "manual_hold");
    browser.screenshot("held-1280-light");
    browser.click(".ask button", "Release…");
    browser.click("dialog button", "Release");
    browser
        .await_true("![...document.querySelectorAll('.ask')].some((e) => e.innerText.includes('load test'))");
    browser.await_text(".ask", "advised");
    // With the same requests the stable version would have alerts of its own.
    drop(drip);
    browser.click(".ask button", "Roll back…");
    browser.click("dialog button", "Roll back to v1");
    browser.await_text(".controls", "The stable version v1 is active already.");
    assert_eq!(running.instance.active(), "v1");
    assert_eq!(running.instance.events("hold").len(), 2);
    browser.is_clean();
}

/// The path of the signed link in the message that asks.
fn signed_link(slack: &Receiver) -> String {
    let asked = await_some("somebody is asked", DEADLINE, || {
        slack.bodies().into_iter().find(|body| body.contains("Roll back fraud v2 -> v1?"))
    });
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let button = asked["blocks"].as_array().unwrap().iter().find(|block| block["type"] == "actions").unwrap();
    let url = button["elements"][0]["url"].as_str().unwrap();
    url.strip_prefix("https://driftline.example/").unwrap().to_owned()
}

#[test]
fn the_page_behind_a_signed_link_works_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let slack = Receiver::start("ok");
    let running = proposed(&format!(
        "rollback: {{ mode: approve }}
notify: {{ mlops: {{ slack: {{ webhook_url: '{}' }} }} }}
public_url: https://driftline.example
auth: {{ token: {TOKEN} }}
",
        slack.url("/x")
    ));
    let path = signed_link(&slack);
    look_at(
        &mut browser,
        &running.url(&path),
        "approval-link",
        "Clients of fraud would get v1 in place of v2.",
    );
    assert_eq!(running.instance.active(), "v2", "looking does nothing");
    browser.click("button", "Roll back");
    browser.await_text("h1", "Rolled back");
    assert_eq!(running.instance.active(), "v1");
    browser.is_clean();
    browser.open(&running.url(&path));
    browser.await_text("main", "does not wait for approval any more");
    browser.is_clean();
    browser.open(&running.url(&path.replace("s=", "s=0")));
    browser.await_text("main", "this link has expired, or is not one of ours");
}
