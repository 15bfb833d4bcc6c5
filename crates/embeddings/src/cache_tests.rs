//! Sessions over a cache: what is sent, what is served, what is kept.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::session::Step;

const LIMITS: Limits = Limits { entries: 100, bytes: 1 << 20 };

fn caller(scope: Scope<'static>) -> Caller<'static> {
    Caller { scope, model: "m", version: "v1" }
}

fn keys(caller: &Caller<'_>, body: &Value) -> Vec<Key> {
    let question = Question::parse(body.to_string().as_bytes()).unwrap();
    question.keys(Keyer::new(caller.scope, caller.model, caller.version))
}

/// The vendor's answer: of each text its length and 1; a token a character.
fn vendor(body: &[u8]) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let inputs = asked["input"].as_array().unwrap();
    let length = |input: &Value| input.as_str().unwrap().len();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| json!({ "index": index, "embedding": [length(input), 1] }))
        .collect();
    let tokens: usize = inputs.iter().map(length).sum();
    json!({ "data": data, "usage": { "prompt_tokens": tokens } }).to_string().into_bytes()
}

/// Follows a session to its end and says what was sent on the way.
async fn follow(mut session: Session) -> (Vec<Value>, Value) {
    let mut sent = Vec::new();
    loop {
        match session.next().await {
            Step::Known(body) => return (sent, serde_json::from_slice(&body).unwrap()),
            Step::Send(body) => {
                let asked: Value = serde_json::from_slice(&body).unwrap();
                sent.push(asked["input"].clone());
                assert!(session.answered(200, &vendor(&body)));
            }
        }
    }
}

async fn ask(cache: &Arc<Cache>, scope: Scope<'static>, inputs: Value) -> (Vec<Value>, Value) {
    let body = json!({ "model": "e", "input": inputs, "user": "someone" }).to_string();
    follow(cache.ask(&caller(scope), body.as_bytes()).unwrap()).await
}

#[tokio::test]
async fn only_what_is_missing_is_sent() {
    let cache = Arc::new(Cache::in_memory(LIMITS));
    let (sent, answer) = ask(&cache, Scope::All, json!(["aaa", "b", "aaa"])).await;
    assert_eq!(sent, [json!(["aaa", "b"])]);
    let vectors = |answer: &Value| {
        answer["data"].as_array().unwrap().iter().map(|d| d["embedding"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(vectors(&answer), [json!([3, 1]), json!([1, 1]), json!([3, 1])]);
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 4, "total_tokens": 4, "saved_tokens": 3 }));

    let (sent, answer) = ask(&cache, Scope::All, json!(["b", "cc", "aaa"])).await;
    assert_eq!(sent, [json!(["cc"])]);
    assert_eq!(vectors(&answer), [json!([1, 1]), json!([2, 1]), json!([3, 1])]);
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 2, "total_tokens": 2, "saved_tokens": 4 }));

    let (sent, answer) = ask(&cache, Scope::All, json!("cc")).await;
    assert_eq!((sent, &answer["usage"]["prompt_tokens"], &answer["model"]), (vec![], &json!(0), &json!("e")));
    let snapshot = cache.snapshot();
    let counted = snapshot.models["m"];
    assert_eq!((counted.hits, counted.partial, counted.misses), (1, 2, 0));
    assert_eq!((counted.input_hits, counted.input_misses, counted.tokens_saved), (4, 3, 9));
    assert_eq!((snapshot.entries, snapshot.in_flight), (3, 0));
}

#[tokio::test]
async fn callers_do_not_share_unless_they_may() {
    let cache = Arc::new(Cache::in_memory(LIMITS));
    let scopes =
        [Scope::Tenant(Some(b"acme")), Scope::Tenant(Some(b"other")), Scope::Tenant(None), Scope::All];
    for scope in scopes {
        assert_eq!(ask(&cache, scope, json!("x")).await.0.len(), 1, "{scope:?}");
    }
    for scope in scopes {
        assert_eq!(ask(&cache, scope, json!("x")).await.0.len(), 0, "{scope:?}");
    }
}

#[tokio::test]
async fn who_wants_what_another_is_buying_waits_for_it() {
    let cache = Arc::new(Cache::in_memory(LIMITS));
    let body = json!({ "input": ["x", "y"] }).to_string();
    let begin = || cache.ask(&caller(Scope::All), body.as_bytes()).unwrap();
    let mut buyer = begin();
    let Step::Send(sent) = buyer.next().await else { panic!("nothing is known") };
    let waiters: Vec<_> = (0..20).map(|_| tokio::spawn(follow(begin()))).collect();
    // All of them wait.
    tokio::task::yield_now().await;
    assert_eq!(cache.snapshot().in_flight, 2);
    assert!(buyer.answered(200, &vendor(&sent)));
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().0, Vec::<Value>::new());
    }
    assert!(matches!(buyer.next().await, Step::Known(_)));
    drop(buyer);
    assert_eq!((cache.snapshot().models["m"].hits, cache.snapshot().models["m"].misses), (20, 1));
}

#[tokio::test]
async fn a_buyer_that_fails_leaves_it_to_one_of_the_others() {
    for is_error in [true, false] {
        let cache = Arc::new(Cache::in_memory(LIMITS));
        let begin = || cache.ask(&caller(Scope::All), br#"{"input":"x"}"#).unwrap();
        let mut buyer = begin();
        assert!(matches!(buyer.next().await, Step::Send(_)));
        let waiters: Vec<_> = (0..9).map(|_| tokio::spawn(follow(begin()))).collect();
        tokio::task::yield_now().await;
        if is_error {
            assert!(!buyer.answered(429, b"{}"));
        }
        drop(buyer);
        let mut n_sent = 0;
        for waiter in waiters {
            n_sent += waiter.await.unwrap().0.len();
        }
        assert_eq!(n_sent, 1);
        assert_eq!(cache.snapshot().in_flight, 0);
    }
}

#[tokio::test]
async fn errors_and_garbage_are_never_kept() {
    let cache = Arc::new(Cache::in_memory(LIMITS));
    for (status, body) in
        [(500, vendor(br#"{"input":["x"]}"#)), (200, b"<html>".to_vec()), (200, b"{\"data\":[]}".to_vec())]
    {
        let mut session = cache.ask(&caller(Scope::All), br#"{"input":"x"}"#).unwrap();
        assert!(matches!(session.next().await, Step::Send(_)));
        assert!(!session.answered(status, &body));
        assert!(!cache.learn(&caller(Scope::All), br#"{"input":"x"}"#, status, &body));
    }
    let snapshot = cache.snapshot();
    assert_eq!(
        (snapshot.entries, snapshot.models["m"].rejected, snapshot.models["m"].tokens_saved),
        (0, 6, 0)
    );
    assert!(cache.ask(&caller(Scope::All), b"{}").is_none());
    assert_eq!(cache.snapshot().models["m"].bypassed, 1);
}

#[tokio::test]
async fn what_others_paid_for_is_learned() {
    let cache = Arc::new(Cache::in_memory(LIMITS));
    assert!(cache.learn(
        &caller(Scope::All),
        br#"{"input":["x","yy"]}"#,
        200,
        &vendor(br#"{"input":["x","yy"]}"#)
    ));
    let body = json!({ "input": ["yy", "x"], "encoding_format": "float" }).to_string();
    assert!(follow(cache.ask(&caller(Scope::All), body.as_bytes()).unwrap()).await.0.is_empty());
}

/// Waits until the disk has been read.
async fn reopened(folder: &Path, limits: Limits, entries: usize) -> Arc<Cache> {
    let cache = Arc::new(Cache::in_folder(limits, folder).unwrap());
    let read = async {
        while cache.snapshot().entries < entries {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.unwrap();
    cache
}

#[tokio::test]
async fn entries_survive_a_restart_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let cache = reopened(folder.path(), LIMITS, 0).await;
    ask(&cache, Scope::All, json!(["a", "bb", "ccc"])).await;
    cache.close();
    let cache = reopened(folder.path(), LIMITS, 3).await;
    assert!(ask(&cache, Scope::All, json!(["ccc", "bb", "a"])).await.0.is_empty());
    assert_eq!(cache.snapshot().models["m"].tokens_saved, 6);
    cache.close();
    // Smaller bounds: what was written first goes, from the file as well.
    let cache = reopened(folder.path(), Limits { entries: 1, ..LIMITS }, 1).await;
    assert_eq!(ask(&cache, Scope::All, json!("a")).await.0.len(), 1);
    cache.close();
    let cache = reopened(folder.path(), LIMITS, 1).await;
    assert!(ask(&cache, Scope::All, json!("a")).await.0.is_empty());
    assert_eq!((cache.snapshot().entries, cache.snapshot().unwritten), (1, 0));
}

#[tokio::test]
async fn a_broken_file_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("embeddings.db");
    std::fs::write(&file, "this is no database".repeat(1000)).unwrap();
    let cache = reopened(folder.path(), LIMITS, 0).await;
    ask(&cache, Scope::All, json!("a")).await;
    cache.close();
    assert_eq!(cache.snapshot().unwritten, 0);
    assert!(folder.path().join("embeddings.db.broken").exists());
    let cache = reopened(folder.path(), LIMITS, 1).await;
    assert!(ask(&cache, Scope::All, json!("a")).await.0.is_empty());
}

#[tokio::test]
async fn a_folder_that_is_not_there_costs_only_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let cache = reopened(&folder.path().join("gone"), LIMITS, 0).await;
    ask(&cache, Scope::All, json!("a")).await;
    assert!(ask(&cache, Scope::All, json!("a")).await.0.is_empty());
    cache.close();
    assert_eq!(cache.snapshot().unwritten, 1);
}

#[test]
fn keys_never_change() {
    // Another release must find what this one stored.
    let [key] = keys(&caller(Scope::All), &json!({ "model": "e", "input": "hello" }))[..] else {
        panic!("one")
    };
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "14fedd7b8d06a057d1b05ebf1ab1d9c5878c1420793337a72f0ed033d16e93bf");
}

#[test]
fn what_changes_an_embedding_changes_its_key() {
    let base = json!({ "model": "e", "input": "1" });
    let key = |caller: &Caller<'_>, body: &Value| keys(caller, body)[0];
    let all = caller(Scope::All);
    let first = key(&all, &base);
    let same = [
        json!({ "input": ["1"], "model": "e" }),
        json!({ "model": "e", "input": "1", "encoding_format": "float", "user": "x", "dimensions": null }),
    ];
    for body in same {
        assert_eq!(key(&all, &body), first, "{body}");
    }
    let others = [
        json!({ "model": "f", "input": "1" }),
        json!({ "model": "e", "input": "1 " }),
        json!({ "model": "e", "input": [1] }),
        json!({ "model": "e", "input": "1", "dimensions": 2 }),
        json!({ "model": "e", "input": "1", "encoding_format": "base64" }),
        json!({ "model": "e", "input": "1", "input_type": "query" }),
    ];
    for body in others {
        assert_ne!(key(&all, &body), first, "{body}");
    }
    assert_ne!(key(&Caller { model: "n", ..all }, &base), first);
    assert_ne!(key(&Caller { version: "v2", ..all }, &base), first);
}

proptest! {
    #[test]
    fn keys_are_equal_only_for_equal_inputs(a in "\\PC{0,9}", b in "\\PC{0,9}", tenant in "\\PC{0,9}") {
        let of = |text: &str| keys(&caller(Scope::All), &json!({ "input": [text] }))[0];
        prop_assert_eq!(of(&a) == of(&b), a == b);
        let tenant: &'static [u8] = Box::leak(tenant.into_bytes().into_boxed_slice());
        let own = keys(&caller(Scope::Tenant(Some(tenant))), &json!({ "input": [a] }))[0];
        prop_assert_ne!(own, of(&a));
    }

    #[test]
    fn any_body_is_a_question_or_none(body in prop::collection::vec(any::<u8>(), 0..99), tail in "[\\[\\]0-9\",a]{0,30}") {
        drop(Question::parse(&body));
        if let Some(question) = Question::parse(format!("{{\"input\":{tail}}}").as_bytes()) {
            let positions: Vec<usize> = (0..question.len()).collect();
            let again = Question::parse(&question.only(&positions)).unwrap();
            let keyer = || Keyer::new(Scope::All, "m", "v");
            prop_assert_eq!(again.keys(keyer()), question.keys(keyer()));
        }
    }
}
