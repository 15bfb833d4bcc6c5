//! Belongs here: the embedding cache. What shadows and probes are served, what is bought, and that clients see none of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::Message;
use crate::support::instance::{Folder, Instance};
use crate::support::llm::{self, Llm, Reply};
use crate::support::{DEADLINE, await_until, holds_for};

const PATH: &str = "/v1/embeddings";

/// A model whose copies all go to `small`, and a cache with these keys.
fn config(large: &Llm, small: &Llm, cache: &str) -> String {
    format!(
        "models:
  e:
    versions: {{ large: '{}', small: '{}' }}
    active: large
    auto_rollback: false
    tenant: x-tenant
    shadow: {{ version: small, percent: 100, timeout: 30s }}
embedding_cache: {{ {cache} }}
",
        large.url(),
        small.url()
    )
}

fn question(input: &Value) -> Value {
    json!({ "model": "m", "input": input })
}

#[track_caller]
fn ask(instance: &Instance, tenant: &str, input: &Value) -> Message {
    let body = question(input).to_string();
    let fields = [("content-type", "application/json"), ("x-tenant", tenant), ("accept-encoding", "gzip")];
    let answer = instance.client().send("POST", PATH, &fields, body.as_bytes());
    assert_eq!(answer.status(), 200);
    answer
}

fn requests(instance: &Instance, result: &str) -> f64 {
    instance.metrics().sum("driftline_embedding_cache_requests_total", &[("model", "e"), ("result", result)])
}

fn inputs(instance: &Instance, result: &str) -> f64 {
    instance.metrics().sum("driftline_embedding_cache_inputs_total", &[("model", "e"), ("result", result)])
}

#[track_caller]
fn await_result(instance: &Instance, result: &str, count: f64) {
    await_until(&format!("{count} requests with the result {result}"), DEADLINE, || {
        requests(instance, result) == count
    });
}

#[test]
fn a_shadow_is_asked_only_for_what_is_not_known() {
    let (large, small) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let instance = Instance::start(&folder, &config(&large, &small, ""));

    let first = ask(&instance, "acme", &json!(["aaa", "b"]));
    await_result(&instance, "miss", 1.0);
    let again = ask(&instance, "acme", &json!(["aaa", "b"]));
    await_result(&instance, "hit", 1.0);
    ask(&instance, "acme", &json!(["b", "cc", "aaa", "cc"]));
    await_result(&instance, "partial", 1.0);
    assert_eq!(small.inputs(), [json!(["aaa", "b"]), json!(["cc"])]);
    // Clients get what production says, each time anew.
    assert_eq!(large.inputs().len(), 3);
    assert_eq!((again.json(), again.json()["usage"]["prompt_tokens"].clone()), (first.json(), json!(4)));

    let page = instance.metrics();
    assert_eq!((inputs(&instance, "hit"), inputs(&instance, "miss")), (5.0, 3.0));
    assert_eq!(page.value("driftline_embedding_tokens_saved_total", &[]), Some(4.0 + 6.0));
    assert_eq!(page.value("driftline_shadow_known_total", &[]), Some(1.0));
    assert_eq!(page.sum("driftline_shadow_copies_total", &[("result", "sent")]), 2.0);
    // The answer put together is measured like one that was sent.
    await_until("three answers of the shadow are read", DEADLINE, || {
        instance.model()["rows"].as_u64() == Some(6)
    });
    assert_eq!(instance.metrics().sum("driftline_observations_dropped_total", &[]), 0.0);
    for path in ["/metrics", "/api/v1/status", "/api/v1/models/e/drift"] {
        assert!(!instance.call("GET", path, &[], b"").text().contains("aaa"), "{path}");
    }
}

#[test]
fn tenants_share_only_when_told_to() {
    for (scope, bought) in [("", 2), ("scope: all", 1)] {
        let (large, small) = (Llm::start(), Llm::start());
        let folder = Folder::new();
        let instance = Instance::start(&folder, &config(&large, &small, scope));
        ask(&instance, "acme", &json!("x"));
        await_until("the first is bought", DEADLINE, || inputs(&instance, "miss") == 1.0);
        ask(&instance, "other", &json!("x"));
        await_until("the second is counted", DEADLINE, || {
            inputs(&instance, "miss") + inputs(&instance, "hit") == 2.0
        });
        assert_eq!(small.inputs().len(), bought, "{scope}");
    }
}

#[test]
fn what_one_copy_is_buying_others_wait_for() {
    let (large, small) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let instance = Instance::start(&folder, &config(&large, &small, "persist: false"));
    small.hold(true);
    for _ in 0..8 {
        ask(&instance, "acme", &json!("x"));
    }
    await_until("the first is asked for", DEADLINE, || !small.inputs().is_empty());
    holds_for("the others wait", Duration::from_millis(300), || small.inputs().len() == 1);
    small.hold(false);
    await_result(&instance, "hit", 7.0);
    assert_eq!((small.inputs().len(), requests(&instance, "miss")), (1, 1.0));
}

#[test]
fn embeddings_are_kept_over_a_restart_and_a_broken_file_costs_nothing_else() {
    let (large, small) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let yaml = config(&large, &small, "");
    let instance = Instance::start(&folder, &yaml);
    ask(&instance, "acme", &json!(["x", "y"]));
    await_result(&instance, "miss", 1.0);
    // The shadow's two, and production's two.
    let entries = |instance: &Instance| instance.metrics().value("driftline_embedding_cache_entries", &[]);
    await_until("all are kept", DEADLINE, || entries(&instance) == Some(4.0));
    assert_eq!(instance.terminate().0.code(), Some(0));

    let instance = Instance::start(&folder, &yaml);
    await_until("all are back", DEADLINE, || entries(&instance) == Some(4.0));
    ask(&instance, "acme", &json!("y"));
    await_result(&instance, "hit", 1.0);
    assert_eq!(small.inputs().len(), 1);
    assert_eq!(instance.terminate().0.code(), Some(0));

    let file = folder.path().join("driftline-data/embeddings.db");
    std::fs::write(&file, vec![b'x'; 50_000]).unwrap();
    let instance = Instance::start(&folder, &yaml);
    ask(&instance, "acme", &json!("y"));
    await_result(&instance, "miss", 1.0);
    await_until("the log says so", DEADLINE, || instance.log().contains("put aside"));
    assert!(folder.path().join("driftline-data/embeddings.db.broken").exists());
}

#[test]
fn errors_and_garbage_are_never_kept() {
    let large = Llm::start();
    for bad in [
        Reply::Whole(500, llm::embeddings(&question(&json!("x"))).to_string()),
        Reply::Whole(429, "{\"error\":{\"message\":\"slow down\"}}".to_owned()),
        Reply::Whole(200, "<html>".to_owned()),
        Reply::Whole(200, "{\"data\":[{\"index\":0,\"embedding\":[]}]}".to_owned()),
        Reply::Whole(
            200,
            "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":[1]}]}".to_owned(),
        ),
    ] {
        let said = bad.clone();
        let small = Llm::with(move |_| said.clone());
        let folder = Folder::new();
        let instance = Instance::start(&folder, &config(&large, &small, "persist: false"));
        for n in 1..=2 {
            ask(&instance, "acme", &json!("x"));
            await_result(&instance, "miss", f64::from(n));
        }
        assert_eq!(small.inputs().len(), 2, "{bad:?}");
        let page = instance.metrics();
        assert_eq!(page.value("driftline_embedding_cache_rejected_total", &[]), Some(2.0), "{bad:?}");
        // Production's own is there.
        await_until("production's is kept", DEADLINE, || {
            instance.metrics().value("driftline_embedding_cache_entries", &[]) == Some(1.0)
        });
        assert_eq!(page.value("driftline_embedding_tokens_saved_total", &[]), Some(0.0));
    }
}

#[test]
fn probes_are_served_what_production_has_paid_for() {
    let (large, small) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let instance = Instance::start(&folder, &config(&large, &small, "persist: false"));
    ask(&instance, "acme", &json!(["aaa", "b"]));
    await_until("both answers are kept", DEADLINE, || {
        instance.metrics().value("driftline_embedding_cache_entries", &[]) == Some(4.0)
    });
    let probe = |tenant: &str, input: &Value| {
        let body = question(input).to_string();
        let fields = [
            ("content-type", "application/json"),
            ("x-tenant", tenant),
            ("x-upstream-authorization", "Bearer upstream"),
        ];
        instance.call("POST", "/api/v1/models/e/embeddings", &fields, body.as_bytes())
    };
    let answer = probe("acme", &json!(["b", "cc"]));
    assert_eq!(answer.status(), 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["data"][0], json!({ "object": "embedding", "index": 0, "embedding": [1, 1] }));
    assert_eq!(answer["data"][1], json!({ "object": "embedding", "index": 1, "embedding": [2, 1] }));
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 2, "total_tokens": 2, "saved_tokens": 1 }));
    let seen = large.seen();
    assert_eq!(large.inputs(), [json!(["aaa", "b"]), json!(["cc"])]);
    assert_eq!(seen[1].path(), PATH);
    assert_eq!(
        (seen[1].header("authorization"), seen[1].header("x-upstream-authorization")),
        (Some("Bearer upstream"), None)
    );
    // Another tenant pays for its own.
    assert_eq!(probe("other", &json!("b")).json()["usage"]["prompt_tokens"], 1);
    assert_eq!(large.inputs().len(), 3);
    // All known: nobody is asked.
    assert_eq!(probe("acme", &json!(["aaa", "b", "cc"])).json()["usage"]["saved_tokens"], 6);
    assert_eq!(large.inputs().len(), 3);
    let refused = instance.post("/api/v1/models/e/embeddings", &json!({ "messages": [] }));
    assert_eq!((refused.status(), &refused.json()["error"]["code"]), (400, &json!("bad_body")));
    assert_eq!(instance.post("/api/v1/models/x/embeddings", &json!({})).status(), 404);
    drop(large);
    let broken = probe("acme", &json!("new"));
    assert_eq!((broken.status(), &broken.json()["error"]["code"]), (502, &json!("upstream")), "{broken:?}");
}

#[test]
fn without_a_cache_every_copy_is_sent() {
    let (large, small) = (Llm::start(), Llm::start());
    let folder = Folder::new();
    let yaml = config(&large, &small, "").replace("embedding_cache: {  }\n", "");
    let instance = Instance::start(&folder, &yaml);
    for _ in 0..3 {
        ask(&instance, "acme", &json!("x"));
    }
    await_until("three copies are sent", DEADLINE, || small.inputs().len() == 3);
    let probe = instance.post("/api/v1/models/e/embeddings", &question(&json!("x")));
    assert_eq!((probe.status(), &probe.json()["error"]["code"]), (409, &json!("no_embedding_cache")));
    assert!(!folder.path().join("driftline-data/embeddings.db").exists());
}
