//! The plain proxy: what goes in comes out, both ways, and failures are said.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::support::client::{Client, all_of, get, post};
use crate::support::origin::Origin;
use crate::support::tap::Recorder;
use crate::support::{config, dead_address, eventually, refused, route, start, start_with};

#[test]
fn a_request_and_its_answer_pass_unchanged() {
    let answer = "HTTP/1.1 418 Teapot\r\ncontent-length: 5\r\nX-Custom: a\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nhello";
    let origin = Origin::answering(answer);
    let gateway = start(route("m", origin.address));
    let reply = Client::connect(gateway.local_addr().unwrap())
        .ask(post("Content-Type: application/json\r\n", "{\"a\":1}"));
    assert_eq!((reply.status, reply.text()), (418, "hello"));
    let mut fields: Vec<&str> = reply.head.lines().skip(1).filter(|line| !line.is_empty()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["content-length: 5", "set-cookie: a=1", "set-cookie: b=2", "x-custom: a"]);
    let seen = origin.nth(1);
    assert_eq!(seen.request_line(), "POST /predict HTTP/1.1");
    assert_eq!(seen.body, b"{\"a\":1}");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("host"), Some(origin.address.to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for i in 0..50 {
        let reply = client.ask(post("", &format!("{i}")));
        assert_eq!(reply.text(), "prod");
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(gateway.snapshot().connections, 1);
    drop(client);
    eventually("the connection is counted out", || gateway.snapshot().connections == 0);
}

#[test]
fn bodies_stream_in_chunks_both_ways_before_they_end() {
    let (to_origin, from_test) = sync_channel::<()>(1);
    let from_test = std::sync::Mutex::new(from_test);
    let origin = Origin::scripted(move |seen, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        from_test.lock().unwrap().recv().unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
        seen.whole
    });
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    // The first piece is at the origin while the request is still open.
    eventually("the first chunk arrives", || origin.raw().windows(3).any(|w| w == b"abc"));
    client.send("3\r\ndef\r\n0\r\n\r\n");
    let mut first = [0u8; 1024];
    let mut got = Vec::new();
    while !got.windows(5).any(|w| w == b"first") {
        let n = std::io::Read::read(&mut client.stream, &mut first).unwrap();
        assert_ne!(n, 0);
        got.extend_from_slice(&first[..n]);
    }
    to_origin.send(()).unwrap();
    assert_eq!(origin.nth(1).body, b"abcdef");
    assert_eq!(origin.nth(1).header("transfer-encoding"), Some("chunked"));
    while !got.ends_with(b"0\r\n\r\n") {
        let n = std::io::Read::read(&mut client.stream, &mut first).unwrap();
        assert_ne!(n, 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&first[..n]);
    }
    assert!(got.windows(6).any(|w| w == b"second"));
}

#[test]
fn large_bodies_arrive_byte_for_byte() {
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let echoed = body.clone();
    let origin = Origin::scripted(move |seen, stream| {
        assert!(seen.body == echoed, "the body has changed");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", seen.body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&seen.body)).is_ok()
    });
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let mut writer = client.stream.try_clone().unwrap();
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", sent.len());
        writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&sent)).unwrap();
    });
    assert!(client.reply().body == body);
    sender.join().unwrap();
}

#[test]
fn head_no_content_and_not_modified_have_no_body() {
    for (method, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", Some("500")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n", None),
        ("POST", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some("0")),
    ] {
        let origin = Origin::answering(answer);
        let gateway = start(route("m", origin.address));
        let mut client = Client::connect(gateway.local_addr().unwrap());
        for _ in 0..2 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: t\r\n\r\n"));
            let reply = client.reply_to(method == "HEAD");
            assert_eq!(reply.header("content-length"), length, "{method}: {}", reply.head);
            assert!(reply.body.is_empty());
        }
    }
}

#[test]
fn http10_clients_get_a_body_that_ends_with_the_connection() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let gateway = start(route("m", origin.address));
    let answer = String::from_utf8(all_of(gateway.local_addr().unwrap(), "GET / HTTP/1.0\r\n\r\n")).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    // Bytes after a message that closes the connection are nobody's.
    let answer = all_of(gateway.local_addr().unwrap(), "GET / HTTP/1.0\r\n\r\n\u{0} junk : \n\n");
    assert!(answer.ends_with(b"\r\n\r\nhello"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn expect_continue_is_answered_and_ends_here() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let interim =
        client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(interim.status, 100);
    assert_eq!(client.ask("hello").text(), "prod");
    let seen = origin.nth(1);
    assert_eq!((seen.header("expect"), seen.body.as_slice()), (None, &b"hello"[..]));
}

#[test]
fn an_origin_that_closes_after_each_answer_costs_no_request() {
    let origin = Origin::scripted(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye").unwrap();
        false
    });
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for i in 1..=20 {
        assert_eq!(client.ask(post("", "x")).text(), "bye");
        assert_eq!(origin.seen().len(), i);
    }
}

#[test]
fn failures_of_the_upstream_are_said() {
    let client = |route| {
        let gateway = start(route);
        let reply = Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        (reply.status, reply.text().to_owned(), gateway.snapshot())
    };
    let (status, text, snapshot) = client(route("m", dead_address()));
    assert_eq!(status, 502);
    assert!(text.contains("upstream_unreachable") && !text.contains("127.0.0.1"), "{text}");
    assert_eq!(snapshot.lanes[0].by_code, [(502, 1)]);

    let mut hanging = route("m", Origin::hanging().address);
    hanging.versions[0].upstream.answer_timeout = Duration::from_millis(50);
    let (status, text, _) = client(hanging);
    assert_eq!(status, 504);
    assert!(text.contains("upstream_timeout"), "{text}");

    let (status, text, _) = client(route("m", Origin::scripted(|_, _| false).address));
    assert_eq!(status, 502);
    assert!(text.contains("bad_upstream_answer"), "{text}");

    let (status, ..) = client(route("m", Origin::answering("garbage\r\n\r\n").address));
    assert_eq!(status, 502);
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let origin = Origin::scripted(move |_, stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            false
        });
        let tap = Arc::new(Recorder::default());
        let gateway = start_with(config(), route("m", origin.address), tap.clone());
        let reply = Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
        assert_eq!(reply.status, 200);
        assert!(!reply.whole, "{reply:?}");
        assert_eq!(tap.skips(1), ["m aborted"]);
        assert_eq!(tap.count(), (0, 1));
        assert_eq!(gateway.snapshot().lanes[0].by_code, [(0, 1)]);
    }
}

#[test]
fn a_client_that_goes_away_aborts_the_exchange() {
    let tap = Arc::new(Recorder::default());
    let origin = Origin::hanging();
    let gateway = start_with(config(), route("m", origin.address), tap.clone());
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send(get("/"));
    origin.nth(1);
    drop(client);
    assert_eq!(tap.skips(1), ["m aborted"]);
    assert_eq!(gateway.snapshot().lanes[0].by_code, [(499, 1)], "no fault of the upstream's");
    eventually("the connection is gone", || gateway.snapshot().connections == 0);
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let origin = Origin::ok();
    let mut config = config();
    config.limits.body_bytes = Some(10);
    let gateway = start_with(config, route("m", origin.address), Arc::new(gateway::NoTap));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(post("", "0123456789")).status, 200);
    assert_eq!(client.ask(post("", "0123456789a")).status, 413);
    let chunked = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n";
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(chunked).status, 413);
    assert_eq!(origin.seen().iter().filter(|seen| seen.whole).count(), 1);
}

#[test]
fn slow_heads_and_bodies_are_given_up() {
    let origin = Origin::ok();
    let mut config = config();
    config.limits.head_timeout = Duration::from_millis(30);
    config.limits.idle_timeout = Duration::from_millis(30);
    let gateway = start_with(config, route("m", origin.address), Arc::new(gateway::NoTap));
    let reply = Client::connect(gateway.local_addr().unwrap()).ask("GET / HTTP/1.1\r\nHos");
    assert_eq!(reply.status, 408);
    let reply = Client::connect(gateway.local_addr().unwrap())
        .ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(reply.status, 408);
    // A connection that never says a word is closed without one.
    assert!(Client::connect(gateway.local_addr().unwrap()).is_closed());
    assert_eq!((refused(&gateway, "head_timeout"), refused(&gateway, "body_timeout")), (1, 1));
}

#[test]
fn connections_over_the_limit_are_closed_and_counted() {
    let origin = Origin::ok();
    let mut config = config();
    config.limits.connections = 2;
    let gateway = start_with(config, route("m", origin.address), Arc::new(gateway::NoTap));
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(gateway.local_addr().unwrap())).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    assert!(Client::connect(gateway.local_addr().unwrap()).is_closed());
    assert_eq!(refused(&gateway, "connections"), 1);
    clients.pop();
    eventually("a place is free", || gateway.snapshot().connections == 1);
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(get("/")).status, 200);
}

#[test]
fn exchanges_go_to_the_tap_with_both_bodies() {
    let origin =
        Origin::answering("HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ncontent-length: 6\r\n\r\nanswer");
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(config(), route("fraud", origin.address), tap.clone());
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.ask(post("Content-Type: a/b\r\nX-Tenant: acme\r\nX-Request-Id: id-1\r\n", "question"));
    let exchange = tap.exchanges(1).remove(0);
    assert_eq!((&*exchange.model, &*exchange.version, exchange.lane), ("fraud", "v1", record::Lane::Prod));
    assert_eq!((exchange.status, exchange.path.as_ref()), (200, &b"/predict"[..]));
    assert_eq!(exchange.tenant.as_deref(), Some(&b"acme"[..]));
    assert_eq!(exchange.request_id.as_ref(), b"id-1");
    assert_eq!(exchange.request.contiguous(&mut Vec::new()), b"question");
    assert_eq!(exchange.response.contiguous(&mut Vec::new()), b"answer");
    assert_eq!(exchange.request.content_type.as_deref(), Some(&b"a/b"[..]));
    assert_eq!(exchange.response.content_type.as_deref(), Some(&b"text/x"[..]));
    assert!(exchange.at_ms > 1_600_000_000_000 && exchange.latency_ms > 0.0);
    assert_eq!((exchange.request.total_bytes, exchange.response.total_bytes), (8, 6));
}

#[test]
fn a_tap_that_panics_costs_an_observation_and_no_request() {
    struct Panics;
    impl gateway::Tap for Panics {
        fn offer(&self, _: record::Exchange) {
            panic!("on purpose");
        }
        fn skipped(&self, _: &str, _: &'static str) {}
    }
    let origin = Origin::ok();
    let gateway = start_with(config(), route("m", origin.address), Arc::new(Panics));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for _ in 0..3 {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    eventually("the panics are counted", || gateway.snapshot().panics == 3);
    assert!(gateway.is_healthy());
}
