//! Belongs here: LLM routes. What is measured of them, shadows that only log, what shadows may spend, and embeddings
//! that are never bought twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::instance::{Folder, Instance};
use crate::support::llm::{self, Llm, Reply};
use crate::support::{DEADLINE, await_until, holds_for};

const CHAT: &str = "/v1/chat/completions";

fn question(stream: bool) -> Value {
    json!({
        "model": "gpt-x", "stream": stream, "max_tokens": 50,
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "a secret question" }],
    })
}

/// A model `chat` with more keys.
fn chat(prod: &Llm, more: &str) -> String {
    format!(
        "models:\n  chat:\n    versions: {{ v1: '{}' }}\n    active: v1\n    auto_rollback: false\n    baseline: {{ learn: 100 }}\n{more}",
        prod.url()
    )
}

#[track_caller]
fn ask(instance: &Instance, times: usize, body: &Value) {
    let mut client = instance.client();
    for _ in 0..times {
        assert_eq!(client.post(CHAT, body).status(), 200);
    }
}

/// Smallest and largest value of a feature of the learned reference.
#[track_caller]
fn range(instance: &Instance, feature: &str) -> (f64, f64) {
    let profile = instance.get("/api/v1/models/chat/profile");
    let found = profile["features"].as_array().unwrap().iter().find(|known| known["name"] == feature);
    let found = found.unwrap_or_else(|| panic!("`{feature}` is not in {profile}"));
    (found["min"].as_f64().unwrap(), found["max"].as_f64().unwrap())
}

#[track_caller]
fn says_nothing_secret(instance: &Instance) {
    for path in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/models/chat/drift",
        "/api/v1/models/chat/profile",
        "/api/v1/events",
    ] {
        let answer = instance.call("GET", path, &[], b"");
        assert!(
            !answer.text().contains("secret") && !answer.text().contains("Hel"),
            "{path}: {}",
            answer.text()
        );
    }
    assert!(!instance.log().contains("secret"), "{}", instance.log());
}

#[test]
fn whole_answers_are_measured_exactly() {
    let prod = Llm::start();
    let folder = Folder::new();
    let instance = Instance::start(&folder, &chat(&prod, ""));
    ask(&instance, 100, &question(false));
    instance.await_reference();
    for (feature, value) in [
        ("messages", 2.0),
        ("prompt_chars", 26.0),
        ("max_tokens", 50.0),
        ("prediction.prompt_tokens", 9.0),
        ("prediction.completion_tokens", 2.0),
        ("prediction.total_tokens", 11.0),
        ("prediction.cached_tokens", 4.0),
        ("prediction.reasoning_tokens", 0.0),
        ("prediction.completion_chars", 5.0),
        ("prediction.refusals", 0.0),
        ("prediction.tool_calls", 0.0),
    ] {
        assert_eq!(range(&instance, feature), (value, value), "{feature}");
    }
    assert!(range(&instance, "prediction.tokens_per_second").0 > 0.0);
    says_nothing_secret(&instance);
}

#[test]
fn streams_are_measured_with_their_times() {
    let pause = Duration::from_millis(2);
    let prod = Llm::with(move |_| Reply::Stream(llm::stream(pause)));
    let folder = Folder::new();
    let instance = Instance::start(&folder, &chat(&prod, ""));
    ask(&instance, 100, &question(true));
    instance.await_reference();
    for (feature, value) in [
        ("prediction.content_deltas", 2.0),
        ("prediction.completion_chars", 5.0),
        ("prediction.completion_tokens", 2.0),
        ("prediction.prompt_tokens", 9.0),
    ] {
        assert_eq!(range(&instance, feature), (value, value), "{feature}");
    }
    // The first piece comes after one pause; how much later than that is the machine's business.
    assert!(range(&instance, "prediction.ttft_ms").0 >= 2.0);
    assert!(range(&instance, "prediction.tokens_per_second").0 > 0.0);
    says_nothing_secret(&instance);
}

#[test]
fn a_stream_that_fails_on_the_way_is_counted_and_passed_on() {
    let error = "data: {\"error\":{\"message\":\"a secret reason\"}}\n\n";
    let prod = Llm::with(move |_| {
        let mut pieces = llm::stream(Duration::ZERO);
        pieces.truncate(3);
        pieces.push((Duration::ZERO, error.to_owned()));
        Reply::Stream(pieces)
    });
    let folder = Folder::new();
    let instance = Instance::start(&folder, &chat(&prod, ""));
    let answer = instance.client().post(CHAT, &question(true));
    assert!(answer.status() == 200 && answer.text().ends_with(error), "{answer:?}");
    await_until("it is counted", DEADLINE, || {
        instance.metrics().sum("driftline_observations_dropped_total", &[("reason", "upstream_error")]) == 1.0
    });
    says_nothing_secret(&instance);
}

#[test]
fn a_shadow_that_only_logs_sends_nothing_to_anyone() {
    let (prod, other) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let yaml = format!(
        "models:\n  chat:\n    versions: {{ v1: '{}', v2: '{}' }}\n    active: v1\n    auto_rollback: false\n    baseline: {{ learn: 100 }}\n    shadow: {{ mode: log-only, percent: 0 }}\n",
        prod.url(),
        other.url()
    );
    let instance = Instance::start(&folder, &yaml);
    ask(&instance, 100, &question(false));
    instance.await_reference();
    let logged = || instance.metrics().value("driftline_shadow_logged_total", &[("model", "chat")]);
    assert_eq!(logged(), Some(0.0));
    let shadow = &instance.model()["shadows"][0];
    assert_eq!(
        (&shadow["mode"], &shadow["version"], &shadow["percent"]),
        (&json!("log-only"), &Value::Null, &json!(0.0))
    );

    assert_eq!(instance.post("/api/v1/models/chat/shadow", &json!({ "percent": 100 })).status(), 200);
    assert_eq!(instance.model()["shadows"][0]["percent"], 100.0);
    ask(&instance, 20, &question(false));
    instance.await_requests("v1", "prod", "all", 20);
    instance.await_requests("v1", "shadow", "all", 20);
    assert_eq!(logged(), Some(20.0));

    assert_eq!(instance.post("/api/v1/models/chat/shadow", &json!({ "percent": 50 })).status(), 200);
    ask(&instance, 200, &question(false));
    instance.await_requests("v1", "prod", "all", 220);
    let drawn = logged().unwrap() - 20.0;
    // Six standard errors around half of 200.
    assert!((58.0..=142.0).contains(&drawn), "{drawn}");

    let page = instance.metrics();
    assert_eq!(page.sum("driftline_shadow_copies_total", &[]), 0.0);
    assert_eq!(page.sum("driftline_requests_total", &[("lane", "shadow")]), 0.0);
    assert_eq!((prod.seen().len(), other.seen().len()), (320, 0));
    says_nothing_secret(&instance);
}

/// A shadow `fast` with a budget.
fn on_budget(prod: &Llm, fast: &Llm, budget: &str) -> String {
    format!(
        "models:\n  chat:\n    versions: {{ big: '{}', fast: '{}' }}\n    active: big\n    auto_rollback: false\n    shadow: {{ version: fast, percent: 100, budget: {{ {budget} }} }}\n",
        prod.url(),
        fast.url()
    )
}

#[test]
fn copies_stop_when_the_days_budget_is_used_up() {
    let (prod, fast) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let yaml = on_budget(
        &prod,
        &fast,
        "tokens_per_day: 110, usd_per_million_prompt_tokens: 3, usd_per_million_completion_tokens: 15",
    );
    let instance = Instance::start(&folder, &yaml);
    let sum = |instance: &Instance, name: &str, labels: &[(&str, &str)]| instance.metrics().sum(name, labels);
    let exhausted = |instance: &Instance| {
        instance.metrics().value("driftline_shadow_budget_exhausted", &[("model", "chat")])
    };
    assert_eq!(exhausted(&instance), Some(0.0));
    for n in 1..=10 {
        ask(&instance, 1, &question(n % 2 == 0));
        await_until("the copy is answered", DEADLINE, || {
            sum(&instance, "driftline_shadow_copies_total", &[("result", "sent")]) == f64::from(n)
        });
    }
    assert_eq!(exhausted(&instance), Some(1.0));
    ask(&instance, 5, &question(false));
    let dropped =
        |instance: &Instance| sum(instance, "driftline_shadow_drops_total", &[("reason", "budget")]);
    await_until("copies are dropped", DEADLINE, || dropped(&instance) == 5.0);
    assert_eq!(fast.seen().len(), 10);
    assert_eq!(sum(&instance, "driftline_shadow_copies_total", &[("result", "dropped")]), 5.0);
    let tokens =
        |kind: &str| sum(&instance, "driftline_shadow_tokens_total", &[("version", "fast"), ("kind", kind)]);
    assert_eq!((tokens("prompt"), tokens("completion"), tokens("prompt_estimated")), (90.0, 20.0, 0.0));
    let usd = sum(&instance, "driftline_shadow_spend_usd_total", &[("version", "fast")]);
    assert!((usd - (90.0 * 3.0 + 20.0 * 15.0) / 1e6).abs() < 1e-12, "{usd}");
    let budget = instance.model()["shadows"][0]["budget"].clone();
    assert_eq!(
        (&budget["prompt_tokens_today"], &budget["completion_tokens_today"]),
        (&json!(90), &json!(20))
    );
    assert_eq!(budget["exhausted"], true);
    assert_eq!(instance.terminate().0.code(), Some(0));

    let instance = Instance::start(&folder, &yaml);
    assert_eq!(exhausted(&instance), Some(1.0), "a restart forgets nothing");
    ask(&instance, 1, &question(false));
    await_until("the copy is dropped", DEADLINE, || dropped(&instance) == 1.0);
    assert_eq!(fast.seen().len(), 10);
    // More money, without a restart.
    folder.write(
        "driftline.yaml",
        &folder.read("driftline.yaml").replace("tokens_per_day: 110", "tokens_per_day: 130"),
    );
    assert_eq!(instance.post("/api/v1/reload", &json!({})).status(), 200);
    ask(&instance, 1, &question(false));
    await_until("copies go on", DEADLINE, || fast.seen().len() == 11);
}

#[test]
fn an_answer_that_says_nothing_of_its_cost_is_estimated() {
    let prod = Llm::start();
    let fast = Llm::with(|_| Reply::Whole(200, "<html>no usage here</html>".to_owned()));
    let folder = Folder::new();
    let instance = Instance::start(&folder, &on_budget(&prod, &fast, "tokens_per_day: 1"));
    ask(&instance, 1, &question(false));
    await_until("the budget is used up", DEADLINE, || {
        instance.metrics().value("driftline_shadow_budget_exhausted", &[]) == Some(1.0)
    });
    let tokens = |kind: &str| instance.metrics().sum("driftline_shadow_tokens_total", &[("kind", kind)]);
    // 26 characters asked, 26 bytes answered, four a token.
    assert_eq!(
        (tokens("prompt_estimated"), tokens("completion_estimated"), tokens("prompt")),
        (7.0, 7.0, 0.0)
    );
    ask(&instance, 3, &question(false));
    holds_for("nothing more is sent", Duration::from_millis(300), || fast.seen().len() == 1);
}
