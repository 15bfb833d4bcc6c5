//! Belongs here: what clients send that nobody expects. It is served or refused, counted, and bounded.

use serde_json::json;

use crate::support::fraud::{LEARN, Pair};
use crate::support::http::{Client, Message};
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, require};

#[track_caller]
fn infer_as(client: &mut Client, tenant: &str, n_rows: usize) {
    let rows: Vec<_> = (0..n_rows).map(ordinary).collect();
    assert_eq!(rows::infer(client, Some(tenant), &rows).status(), 200, "{tenant}");
}

fn learned(folder: &Folder, yaml: &str) -> Instance {
    let instance = Instance::start(folder, yaml);
    rows::send(&mut instance.client(), None, LEARN, ordinary);
    instance.await_reference();
    instance
}

#[test]
fn tenants_over_the_limit_share_a_window() {
    let (models, folder) = (Pair::start(), Folder::new());
    let tenant = "tenant: { header: x-customer, limit: 5, pinned: [vip] }";
    let instance = learned(&folder, &models.yaml(tenant, ""));
    let mut client = instance.client();
    let body = rows::body(&[ordinary(0)]).to_string();
    for n in 0..200 {
        let fields = [("x-customer", &*format!("customer-{n}"))];
        assert_eq!(client.send("POST", INFER, &fields, body.as_bytes()).status(), 200);
    }
    assert_eq!(client.send("POST", INFER, &[("x-customer", "vip")], body.as_bytes()).status(), 200);
    instance.await_requests("v2", "prod", "vip", 1);
    let page = instance.metrics();
    let tenants: Vec<_> =
        page.all("requests", &[("lane", "prod")]).filter_map(|sample| sample.label("tenant")).collect();
    assert!(tenants.contains(&"all") && tenants.contains(&"other"), "{tenants:?}");
    assert_eq!(tenants.len(), 5 + 2, "five of their own, `all` and `other`: {tenants:?}");
    assert_eq!(page.value("requests", &[("lane", "prod"), ("tenant", "other")]), Some(196.0));
}

#[test]
fn odd_tenants_share_a_window() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = learned(&folder, &models.yaml("", ""));
    let mut client = instance.client();
    let long = "x".repeat(5_000);
    let odd = [
        "with \"quotes\"",
        "back\\slash",
        "a,b=\"c\"} 1",
        "{}",
        &long,
        "\u{fffd}\u{e9}",
        "all",
        "other",
        "invalid",
    ];
    for name in odd {
        infer_as(&mut client, name, 1);
    }
    infer_as(&mut client, "", 1);
    infer_as(&mut client, "acme-1.eu", 1);
    instance.await_requests("v2", "prod", "invalid", odd.len());
    instance.await_requests("v2", "prod", "acme-1.eu", 1);
    let page = instance.metrics();
    let mut tenants: Vec<_> = page.all("requests", &[]).filter_map(|sample| sample.label("tenant")).collect();
    tenants.sort_unstable();
    assert_eq!(tenants, ["acme-1.eu", "all", "invalid"]);
    let total = page.value("requests", &[("tenant", "all")]);
    assert_eq!(total, Some((odd.len() + 2) as f64), "a client that calls itself `all` is counted once");
}

#[test]
fn odd_features_are_escaped_in_labels() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", "").replace("learn: 1000", "learn: 100"));
    let mut client = instance.client();
    let odd = ["with \"quotes\"", "back\\slash", "line\nfeed", "a,b=\"c\"} 1", "\u{e9}\u{1f980}", "{}"];
    let inputs: Vec<_> = odd
        .iter()
        .map(|name| json!({ "name": name, "datatype": "FP64", "shape": [4], "data": [1, 2, 3, 4] }))
        .collect();
    let body = json!({ "inputs": inputs }).to_string();
    for _ in 0..60 {
        assert_eq!(client.send("POST", INFER, &[], body.as_bytes()).status(), 200);
    }
    // The reader of these tests stops at anything that is not well-formed, and undoes the escaping.
    for name in odd {
        let labels = [("feature", name), ("tenant", "all"), ("lane", "prod")];
        await_until(&format!("psi of {name:?}"), DEADLINE, || {
            instance.metrics().value("psi", &labels).is_some()
        });
    }
    if let Some(promtool) = require("promtool") {
        let text = instance.call("GET", "/metrics", &[], b"");
        crate::contract_metrics::check_with(&promtool, text.text());
    }
}

#[test]
fn bodies_that_are_no_inference_are_served_and_counted() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("shadow: { version: v1, percent: 100 }", ""));
    let mut client = instance.client();
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies: [&[u8]; 7] = [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[1000000000],\"data\":[1]}]}",
        b"{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[-1],\"data\":[1e999]}]}",
        b"{\"inputs\":{}}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = client.send("POST", INFER, &[("content-type", "application/json")], body);
        assert_eq!((answer.status(), answer.header("x-model")), (200, Some("v2")), "{answer:?}");
    }
    await_until("each is copied", DEADLINE, || models.v1.count() == bodies.len());
    let copied: Vec<_> = models.v1.seen().iter().map(|copy| copy.body.clone()).collect();
    assert!(
        bodies.iter().all(|body| copied.iter().any(|copy| copy == body)),
        "copies are byte by byte the same"
    );
    await_until("each is counted as not measured", DEADLINE, || {
        instance.metrics().sum("driftline_observations_dropped_total", &[]) >= bodies.len() as f64
    });
    assert_eq!(instance.metrics().sum("driftline_panics_total", &[]), 0.0);
    assert_eq!(instance.get("/readyz")["status"], "ready");
    rows::send(&mut client, None, 50, ordinary);
    await_until("the next is measured", DEADLINE, || instance.model()["rows"].as_u64() >= Some(50));
}

#[test]
fn more_features_than_the_limit_cost_no_memory() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", "limits: { features: 10, categories: 20 }\n"));
    let mut client = instance.client();
    for n in 0..30 {
        let inputs: Vec<_> = (0..100)
            .map(|feature| json!({ "name": format!("f{n}-{feature}"), "datatype": "FP64", "shape": [1], "data": [n] }))
            .collect();
        let body = json!({ "inputs": inputs }).to_string();
        assert_eq!(client.send("POST", INFER, &[], body.as_bytes()).status(), 200);
    }
    await_until("what is over the limit is counted", DEADLINE, || {
        instance.metrics().sum("driftline_observations_dropped_total", &[("reason", "feature_limit")])
            > 1_000.0
    });
    let memory = instance.metrics().value("driftline_monitor_memory_bytes", &[]).unwrap();
    assert!(memory < 10e6, "{memory} bytes");
}

/// A request that is written by hand, and what comes back before the connection ends.
fn raw(instance: &Instance, request: &[u8]) -> Option<Message> {
    use std::io::{BufReader, Write};
    let mut stream = std::net::TcpStream::connect(instance.traffic).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be refused before it has been written as a whole.
    drop(stream.write_all(request));
    crate::support::http::read_message(&mut BufReader::new(stream), true).ok().flatten()
}

#[test]
fn ambiguous_requests_are_refused_and_reach_nobody() {
    let (models, folder) = (Pair::start(), Folder::new());
    let instance = Instance::start(&folder, &models.yaml("", ""));
    let head = |fields: &str| format!("POST {INFER} HTTP/1.1\r\nhost: a\r\n{fields}\r\n").into_bytes();
    let cases = [
        ("both lengths", head("content-length: 3\r\ntransfer-encoding: chunked\r\n"), 400),
        ("two lengths", head("content-length: 3\r\ncontent-length: 4\r\n"), 400),
        ("bare line feeds", b"POST / HTTP/1.1\nhost: a\n\n".to_vec(), 400),
        ("two hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(), 400),
        ("a large head", head(&format!("x-large: {}\r\n", "x".repeat(200_000))), 431),
        ("no http", b"hello\r\n\r\n".to_vec(), 400),
    ];
    for (what, request, status) in cases {
        let answer = raw(&instance, &request).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
    }
    assert_eq!(models.v2.count(), 0);
    let refused = |reason: &str| instance.metrics().value("driftline_refused_total", &[("reason", reason)]);
    assert_eq!(
        (refused("bad_framing"), refused("bad_header"), refused("head_too_large")),
        (Some(4.0), Some(1.0), Some(1.0))
    );
    // Each reason once, with the place and what to do.
    let log = instance.log();
    for (reason, path, advice) in
        [("bad_framing", INFER, "repair the client or proxy"), ("head_too_large", "", "limits.head_bytes")]
    {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(reason)).collect();
        assert_eq!(lines.len(), 1, "{reason}: {log}");
        for part in [path, advice, "127.0.0.1"] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
    }
}
