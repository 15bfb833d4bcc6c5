//! Belongs here: a dashboard that stays open for hours. What hours bring comes within seconds: thousands of messages and
//! hundreds of changes of the page, through the stream's own listener.

use super::Running;
use crate::support::browser::Browser;
use crate::support::fraud::WINDOW;
use crate::support::rows::{self, ordinary};

/// Gives the test the page's stream, so that messages can come faster than every two seconds.
const STREAM: &str = "window.EventSource = class extends EventSource { \
                      constructor(...given) { super(...given); window.stream = this; } };";

/// What a page that forgets to let go would keep of each message: one listener, one element, one kilobyte.
const LEAK: &str = "window.EventSource = class extends window.EventSource { constructor(...given) { \
                    super(...given); \
                    this.addEventListener('overview', () => { \
                      addEventListener('theme', () => {}); \
                      (window.kept ??= []).push(document.createElement('div'), new Array(128).fill(window.kept.length / 7)); \
                    }); } };";

/// Messages between two changes of the page.
const MESSAGES: usize = 40;

/// Every page, and a filter or two.
const PLACES: [&str; 7] = [
    "/",
    "/?page=drift",
    "/?page=drift&feature=amount",
    "/?page=tenants&feature=amount&range=6h",
    "/?page=lanes",
    "/?page=control",
    "/?page=drift&tenant=acme&metric=js_divergence",
];

/// Goes through all pages `rounds` times; on each, messages come whose numbers, alerts and events are others each time.
fn live_through(browser: &mut Browser, rounds: usize) {
    for _ in 0..rounds {
        for place in PLACES {
            browser
                .eval(&format!("history.pushState(null, '', '{place}'); dispatchEvent(new Event('place'))"));
            browser.eval(&format!(
                "(() => {{
                    for (let i = 0; i < {MESSAGES}; i += 1) {{
                        const over = structuredClone(window.sample);
                        window.told = (window.told ?? 0) + 1;
                        const now = Date.parse(over.at) + window.told * 2000;
                        over.at = over.measured_at = new Date(now).toISOString();
                        for (const f of over.models[0].worst) f.psi = (window.told % 50) / 100;
                        over.alerts = Array.from({{ length: window.told % 6 }}, (_, n) => ({{
                            alert: 'FeaturePSIHigh', severity: n % 2 ? 'critical' : 'warning', state: 'firing', since: over.at,
                            value: 0.4, tenants: ['t' + window.told], tenants_red: 1, n: 200, stale: false, annotations: {{}},
                            labels: {{ model: 'fraud', version: 'v2', feature: 'f' + n + '-' + window.told }} }}));
                        over.events.unshift({{ id: 1e6 + window.told, at: over.at, kind: 'toggle', model: 'fraud', actor: 'a', reason: 'r' + window.told }});
                        window.stream.dispatchEvent(new MessageEvent('overview', {{ data: JSON.stringify(over) }}));
                    }}
                }})()"
            ));
            // The page has its stored series as well.
            browser.await_true("[...document.querySelectorAll('.chart')].every((c) => c.querySelector('canvas') || c.innerText.trim() !== 'Loading…')");
        }
    }
    browser.eval("history.pushState(null, '', '/'); dispatchEvent(new Event('place'))");
    browser.await_true(
        "document.querySelectorAll('.chart canvas').length === 2 && document.querySelector('.facts')",
    );
}

/// Lives through thousands of messages, on a page that begins with a script; says what it holds more of than it may.
fn grown(browser: &mut Browser, running: &Running, script: &str) -> Vec<&'static str> {
    browser.begin_pages_with(script);
    browser.open(&running.url(""));
    browser.await_text(".worst", "amount");
    browser.eval("fetch('/api/v1/overview').then((r) => r.json()).then((o) => { window.sample = o; })");
    // What is made once, and what the engine itself keeps, is there after the first rounds.
    live_through(browser, 2);
    let before = browser.memory();
    live_through(browser, 12);
    let after = browser.memory();
    let messages = browser.eval("window.told");
    eprintln!("{messages} messages: {before:?} became {after:?}");
    assert!(messages.as_u64().unwrap() >= 3_000, "{messages}");
    // A message that left one element or listener behind would leave thousands.
    let limits = [
        ("elements", after.nodes - before.nodes, 400.0),
        ("listeners", after.listeners - before.listeners, 40.0),
        ("documents", after.documents - before.documents, 0.0),
        // The engine itself goes on for a while to optimise what runs often: half a megabyte to one, and then no more.
        ("heap", after.heap_bytes - before.heap_bytes, 1_400_000.0),
    ];
    limits.into_iter().filter(|(_, grown, allowed)| grown > allowed).map(|(name, ..)| name).collect()
}

fn measured() -> Running {
    let running = Running::learned("");
    for tenant in ["acme", "globex", "initech"] {
        rows::send(&mut running.instance.client(), Some(tenant), WINDOW, ordinary);
        running.instance.await_requests("v2", "prod", tenant, WINDOW);
    }
    let mut client = running.instance.client();
    let stored = || {
        // Latencies are those of the last seconds: none are stored where nobody asks.
        rows::send(&mut client, Some("acme"), 1, ordinary);
        let grid = running.instance.get("/api/v1/models/fraud/grid?metric=p95_ms&by=version");
        grid["rows"].as_array().is_some_and(|rows| !rows.is_empty())
    };
    crate::support::await_until("the history has a point", crate::support::DEADLINE, stored);
    running
}

#[test]
fn it_holds_no_more_after_thousands_of_messages() {
    let Some(mut browser) = Browser::start() else { return };
    let running = measured();
    assert_eq!(grown(&mut browser, &running, STREAM), [""; 0]);
    browser.is_clean();
}

#[test]
fn a_leak_would_be_seen() {
    let Some(mut browser) = Browser::start() else { return };
    let found = grown(&mut browser, &measured(), &format!("{STREAM}{LEAK}"));
    assert_eq!(found, ["elements", "listeners", "heap"]);
}
