//! Belongs here: changing something from the dashboard, with a confirmation and with a token.

use super::Running;
use crate::support::browser::Browser;

const TOKEN: &str = "0123456789abcdef0123";

#[test]
fn everything_asks_first_and_is_in_the_trail() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("");
    browser.open(&running.url("?page=control"));
    browser.click("button", "Roll back to v1…");
    browser.await_text("dialog", "goes from v2 to v1 with the next request");
    browser.screenshot("confirm-1280-light");
    browser.press("Escape");
    browser.await_true("!document.querySelector('dialog')");
    assert_eq!(running.instance.active(), "v2", "nothing happens without the second click");
    browser.click("button", "Roll back to v1…");
    browser.type_into("#why", "scores look <b>wrong</b>");
    browser.click("dialog button", "Roll back to v1");
    browser.await_text(".controls", "The stable version v1 is active already.");
    assert_eq!(running.instance.active(), "v1");
    browser.await_text(".events", "scores look <b>wrong</b>");

    browser.click("button", "Promote v2…");
    browser.click("dialog button", "Promote v2");
    browser.await_text(".controls", "Switches all traffic from v2");
    assert_eq!(running.instance.active(), "v2");

    browser.click("[role=switch]", "");
    browser.await_text("dialog", "Critical alerts will no longer move traffic.");
    browser.click("dialog button", "Switch off");
    browser.await_true("document.querySelector('[role=switch]').getAttribute('aria-checked') === 'false'");
    assert_eq!(running.instance.model()["auto_rollback"], false);

    browser.type_into("input[type=number]", "12.5");
    browser.click(".controls button", "Set…");
    browser.click("dialog button", "Set 12.5 %");
    browser.await_text(".controls", "12.5 % of requests are copied to v1");
    assert_eq!(running.instance.model()["shadow_percent"], 12.5);
    for kind in ["rollback", "promote", "toggle", "shadow"] {
        assert_eq!(running.instance.events(kind).len(), 1, "{kind}");
    }
    browser.click("button", "Reload…");
    browser.click("dialog button", "Read it");
    browser.await_text(".events", "Reload");
    browser.is_clean();
}

#[test]
fn a_change_that_is_refused_says_why() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned("");
    browser.open(&running.url("?page=control"));
    browser.type_into("input[type=number]", "50");
    running.folder.write("driftline.yaml", "models: {}\nnonsense: 1\n");
    browser.click("button", "Reload…");
    browser.click("dialog button", "Read it");
    browser.await_text("dialog .wrong", "nonsense");
    browser.press("Escape");
    browser.await_text("#notices", "The configuration file has problems");
}

#[test]
fn a_dry_run_is_loud() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::start("rollback: { mode: observe }\n");
    browser.open(&running.url(""));
    browser.await_text("#notices", "DRY RUN");
    browser.open(&running.url("?page=control"));
    browser.await_text(".controls", "DRY RUN");
    browser.screenshot("dry-run-1280-light");
    browser.is_clean();
}

#[test]
fn the_token_is_asked_for_tried_and_kept_in_the_tab() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::learned(&format!("auth: {{ token: {TOKEN} }}\n"));
    browser.open(&running.url("?page=control"));
    browser.await_text("main", "Changes need the token.");
    browser.click("button", "Roll back to v1…");
    browser.click("dialog button", "Roll back to v1");
    browser.await_text("dialog .wrong", "This needs the token");
    assert_eq!(running.instance.active(), "v2");
    browser.press("Escape");
    browser.await_true("!document.querySelector('dialog')");

    browser.click("main button", "Enter the token");
    browser.type_into("#token", "0123456789abcdef0124");
    browser.click("dialog button", "Use it");
    browser.await_text("dialog .wrong", "That is not the configured token.");
    browser.type_into("#token", TOKEN);
    browser.click("dialog button", "Use it");
    browser.await_text("main", "The token is kept in this tab until it is closed.");
    browser.forgive();
    browser.click("button", "Roll back to v1…");
    browser.click("dialog button", "Roll back to v1");
    browser.await_text(".controls", "The stable version v1 is active already.");
    assert_eq!(running.instance.active(), "v1");

    browser.reload();
    browser.await_text("main", "The token is kept in this tab until it is closed.");
    for place in ["localStorage", "document.cookie", "location.href", "document.documentElement.outerHTML"] {
        let held = browser.eval(&format!("JSON.stringify({place})"));
        assert!(!held.as_str().unwrap_or_default().contains(TOKEN), "the token is in {place}");
    }
    browser.click("main button", "Forget the token");
    browser.await_text("main", "Changes need the token.");
    assert_eq!(browser.eval("sessionStorage.length"), 0);
    browser.is_clean();
}
