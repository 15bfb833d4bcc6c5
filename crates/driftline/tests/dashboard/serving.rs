//! Belongs here: the dashboard's files and calls as such, without a browser.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use super::Running;
use crate::support::DEADLINE;
use crate::support::rows::{self, ordinary};

/// Opens the stream of live updates and reads its head.
fn listen(running: &Running) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(running.instance.admin).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let host = running.instance.admin;
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    (status, reader)
}

/// The next message; `None` at the end of the stream.
fn next(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(serde_json::from_str(data).unwrap());
        }
    }
}

#[test]
fn the_page_and_its_files_come_with_a_strict_policy() {
    let running = Running::start("");
    let page = running.instance.call("GET", "/", &[], b"");
    assert_eq!(page.status(), 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(!page.text().contains("style=") && !page.text().contains("onload="));
    let sources: Vec<&str> =
        page.text().split("\"/ui/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for source in ["app.js", "style.css", "pages/overview.js", "vendor/echarts.mjs"] {
        assert!(sources.contains(&source), "{source} is named from the beginning: {sources:?}");
    }
    for source in sources {
        let path = format!("/ui/{source}");
        let plain = running.instance.call("GET", &path, &[], b"");
        assert_eq!(plain.status(), 200, "{path}");
        let small = running.instance.call("GET", &path, &[("accept-encoding", "gzip")], b"");
        assert_eq!(small.header("content-encoding"), Some("gzip"), "{path}");
        assert!(small.body.len() < plain.body.len() || plain.body.len() < 500, "{path}");
        let tag = plain.header("etag").unwrap();
        let known = running.instance.call("GET", &path, &[("if-none-match", tag)], b"");
        assert_eq!((known.status(), known.body.len()), (304, 0), "{path}");
    }
    for path in ["/ui/", "/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml", "/ui/vendor/"] {
        assert_eq!(running.instance.call("GET", path, &[], b"").status(), 404, "{path}");
    }
}

#[test]
fn live_updates_come_and_end_with_the_instance() {
    let running = Running::learned("");
    let (status, mut reader) = listen(&running);
    assert!(status.contains("200"), "{status}");
    // Every message is whole; the first may be from before anything was judged.
    let mut messages = std::iter::from_fn(|| next(&mut reader)).take(100);
    let first = messages.find(|one| one["models"][0]["health"]["level"] == "fine").unwrap();
    assert_eq!(first["models"][0]["model"], "fraud");
    assert_eq!(first["limits"]["psi_red"], 0.2);
    let second = next(&mut reader).unwrap();
    assert_ne!(first["at"], second["at"]);
    let Running { instance, .. } = running;
    let began = Instant::now();
    let (ended, _) = instance.terminate();
    assert!(ended.success());
    assert!(began.elapsed() < DEADLINE / 2, "an open dashboard holds nothing up: {:?}", began.elapsed());
    assert_eq!(
        std::iter::from_fn(|| next(&mut reader)).take(100).filter(|one| one["models"].is_null()).count(),
        0
    );
}

#[test]
fn listeners_are_bounded_and_give_their_place_back() {
    let running = Running::start("");
    let mut open: Vec<_> = (0..64).map(|_| listen(&running)).collect();
    assert!(open.iter().all(|(status, _)| status.contains("200")));
    let (refused, _) = listen(&running);
    assert!(refused.contains("503"), "{refused}");
    let cross = running.instance.call("GET", "/api/v1/stream", &[("sec-fetch-site", "cross-site")], b"");
    assert_eq!(cross.status(), 403);
    open.clear();
    crate::support::await_until("a place is free again", DEADLINE, || listen(&running).0.contains("200"));
    let mut client = running.instance.client();
    rows::send(&mut client, None, 10, ordinary);
}

#[test]
fn tables_of_tenants_and_traffic() {
    let running = Running::learned("");
    for tenant in ["acme", "globex", "initech"] {
        rows::send(&mut running.instance.client(), Some(tenant), 200, ordinary);
        running.instance.await_requests("v2", "prod", tenant, 200);
    }
    let path = |what: &str| format!("/api/v1/models/fraud/{what}");
    let tenants = running.instance.get(&path("tenants"));
    assert_eq!((&tenants["quorum"], &tenants["tenants_known"]), (&3.into(), &3.into()));
    let rows = tenants["tenants"].as_array().unwrap();
    assert!(rows.windows(2).all(|two| two[0]["psi"].as_f64() >= two[1]["psi"].as_f64()), "{rows:#?}");
    let by_feature = running.instance.get(&path("tenants?feature=country"));
    assert!(by_feature["tenants"].as_array().unwrap().iter().all(|row| row["feature"] == "country"));
    let traffic = running.instance.get(&path("traffic"));
    let lane = |version: &str, lane: &str| {
        let lanes = traffic["lanes"].as_array().unwrap();
        lanes.iter().find(|one| one["version"] == version && one["lane"] == lane).cloned().unwrap()
    };
    assert_eq!(lane("v2", "prod")["requests_total"], 42);
    assert_eq!(lane("v2", "prod")["codes"][0]["code"], 200);
    assert_eq!(lane("v2", "prod")["latency"]["count"], 42);
    assert!(traffic["copies"]["dropped_by_reason"]["queue_full"].is_u64());
    for bad in [
        "grid?steps=401",
        "grid?steps=0",
        "grid?by=color",
        "grid?metric=x",
        "tenants?x=1",
        "grid?from=2&to=1",
    ] {
        assert_eq!(running.instance.call("GET", &path(bad), &[], b"").status(), 400, "{bad}");
    }
    for unknown in ["tenants", "traffic", "grid"] {
        let answer = running.instance.call("GET", &format!("/api/v1/models/nobody/{unknown}"), &[], b"");
        assert_eq!(answer.status(), 404, "{unknown}");
    }
}
