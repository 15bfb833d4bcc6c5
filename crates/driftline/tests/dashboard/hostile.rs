//! Belongs here: names that want to be more than names. They are shown as text and break nothing.

use serde_json::{Map, Value, json};

use super::{Running, look_at};
use crate::support::browser::Browser;
use crate::support::{DEADLINE, await_until};

/// What the browser would do if any of it became markup: a dialog, a request, a marked window.
fn names() -> Vec<String> {
    vec![
        "<img src=x onerror=alert(1)>".to_owned(),
        "\"><svg onload=\"window.hit=1\">".to_owned(),
        "</script><script>window.hit=1</script>".to_owned(),
        "javascript:alert(1)".to_owned(),
        "{{7*7}} ${7*7}".to_owned(),
        "it's \"quoted\" & <b>bold</b>".to_owned(),
        "\u{202e}gnorw\u{202c} \u{5d0}\u{5d1}\u{5d2} \u{200f}".to_owned(),
        format!("long-{}", "x".repeat(10_000)),
        "%2e%2e/%00".to_owned(),
    ]
}

#[test]
fn names_from_outside_are_text() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::start("");
    let record = |n: usize| {
        let features: Map<String, Value> = names()
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let category = names()[(at + n) % names().len()].clone();
                // Longer names of features are refused.
                let name: String = name.chars().take(60).collect();
                (name, if at % 2 == 0 { json!(n % 50) } else { json!(category) })
            })
            .collect();
        let tenant = ["a", "<script>alert(1)</script>", "b"][n % 3];
        json!({ "model": "fraud", "version": "v2", "lane": "prod", "tenant": tenant, "features": features,
                "request_id": format!("{n} {}", names()[n % names().len()]) })
    };
    for batch in (0..12).map(|batch| (batch * 100..batch * 100 + 100).map(record).collect::<Vec<_>>()) {
        let answer = running.instance.post("/api/v1/observe", &Value::Array(batch));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    running.instance.await_reference();
    for batch in (0..4).map(|batch| (batch * 100..batch * 100 + 100).map(record).collect::<Vec<_>>()) {
        running.instance.post("/api/v1/observe", &Value::Array(batch));
    }
    let reason = names().join(" ");
    let told = running
        .instance
        .post("/api/v1/models/fraud/rollback", &json!({ "reason": reason, "actor": names()[1] }));
    assert_eq!(told.status(), 200, "{}", told.text());
    let measured = || running.instance.get("/api/v1/models/fraud/drift?version=v2")["requests"] != json!(0);
    await_until("they are measured", DEADLINE, measured);
    let drift = running.instance.get("/api/v1/models/fraud/drift?version=v2&histograms=false");
    let features: Vec<String> = drift["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["feature"].as_str().unwrap().to_owned())
        .filter(|name| names().iter().any(|hostile| hostile.starts_with(name)))
        .collect();
    assert!(features.iter().any(|name| name.contains("<img")), "{features:?}");

    for (query, name, ready) in [
        ("", "hostile-overview", "Rolled back"),
        ("?page=drift&version=v2", "hostile-drift", "Chance explains up to"),
        ("?page=control", "hostile-control", "Audit trail"),
    ] {
        look_at(&mut browser, &running.url(query), name, ready);
        unharmed(&mut browser);
    }
    for feature in features {
        let query = format!(
            "?page=drift&version=v2&feature={}",
            percent_encoding::utf8_percent_encode(&feature, percent_encoding::NON_ALPHANUMERIC)
        );
        if query.len() < 8_000 {
            browser.open(&running.url(&query));
            browser.await_text("main", "Part of the PSI");
            unharmed(&mut browser);
        }
    }
    for query in [
        "?page=<script>alert(1)</script>&model=\"><img src=x onerror=alert(1)>",
        "?range=100y&lane=x&feature=%00&metric=nonsense",
    ] {
        browser.open(&running.url(&query.replace('<', "%3C").replace('"', "%22").replace(' ', "%20")));
        browser.await_true("document.querySelector('main').innerText.length > 10");
        unharmed(&mut browser);
    }
}

#[track_caller]
fn unharmed(browser: &mut Browser) {
    assert_eq!(browser.eval("window.hit ?? 0"), 0);
    let strange = "document.querySelectorAll('main script, main svg, main img, main b b, main bdi *, [onload], [onerror]').length";
    assert_eq!(browser.eval(strange), 0);
    browser.is_clean();
}
