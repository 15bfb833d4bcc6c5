//! Whatever a shadow does, the client cannot tell: the same bytes, and no request waits for it. Every copy is counted
//! exactly once.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use gateway::{CopySnapshot, Gateway, Limits};

use crate::support::client::{Client, Reply, post};
use crate::support::origin::{Origin, ok};
use crate::support::tap::Recorder;
use crate::support::{config, copies, dead_address, eventually, route, settled, shadowed, start, start_with};

const REQUESTS: u64 = 200;

/// `REQUESTS` sequential requests on one connection, and what came back.
fn run(gateway: &Gateway) -> Vec<Reply> {
    let mut client = Client::connect(gateway.local_addr().unwrap());
    (0..REQUESTS).map(|i| client.ask(post(&format!("X-Request-Id: {i}\r\n"), &format!("body {i}")))).collect()
}

fn prod() -> Origin {
    Origin::scripted(|seen, stream| stream.write_all(&ok(&String::from_utf8_lossy(&seen.body))).is_ok())
}

/// Runs with 100 % copied to `shadow` and compares with a run that has no shadow.
fn harmless(shadow: std::net::SocketAddr, timeout: Duration) -> (Gateway, CopySnapshot) {
    let prod = prod();
    let without = run(&start(route("fraud", prod.address)));
    let mut with_shadow = shadowed(prod.address, shadow, 100.0);
    with_shadow.shadows[0].timeout = timeout;
    let mut config = config();
    config.shutdown_grace = Duration::from_millis(20);
    let gateway = start_with(config, with_shadow, Arc::new(gateway::NoTap));
    let with = run(&gateway);
    assert!(with == without, "the client's bytes have changed");
    let copies = copies(&gateway);
    assert!(gateway.is_healthy());
    (gateway, copies)
}

fn all_settled(gateway: &Gateway) -> CopySnapshot {
    eventually("every copy has a fate", || settled(gateway) == REQUESTS);
    let c = copies(gateway);
    assert_eq!(c.dropped, c.dropped_queue + c.dropped_bytes + c.dropped_capture + c.dropped_circuit);
    c
}

#[test]
fn dead() {
    let (gateway, _) = harmless(dead_address(), Duration::from_secs(1));
    let copies = all_settled(&gateway);
    // Five failures open the circuit (those already under way may fail as well); then one probe a second.
    assert!(copies.failed >= 5 && copies.sent == 0, "{copies:?}");
    eventually("the circuit drops copies", || {
        run(&gateway);
        self::copies(&gateway).dropped_circuit > 0
    });
}

#[test]
fn hanging() {
    let shadow = Origin::hanging();
    let (gateway, during) = harmless(shadow.address, Duration::from_secs(600));
    // The client was through while the shadow had answered nothing: no request waited.
    assert_eq!((during.sent, during.failed, during.timeout), (0, 0, 0), "{during:?}");
    // 64 in flight at most; the others wait in the queue.
    eventually("the places are taken", || shadow.seen().len() == 64);
    assert_eq!(shadow.connections(), 64);
    run(&gateway);
    eventually("the queue is full", || copies(&gateway).dropped_queue > 0);
    assert_eq!(shadow.seen().len(), 64);
    let before = copies(&gateway);
    assert_eq!(before.dropped, before.dropped_queue);
    gateway.shutdown();
}

#[test]
fn hanging_with_a_timeout() {
    let shadow = Origin::hanging();
    let (gateway, _) = harmless(shadow.address, Duration::from_millis(20));
    let copies = all_settled(&gateway);
    assert!(copies.timeout > 0 && copies.sent == 0 && copies.failed == 0, "{copies:?}");
}

#[test]
fn resetting() {
    let (gateway, _) = harmless(Origin::scripted(|_, _| false).address, Duration::from_secs(5));
    let copies = all_settled(&gateway);
    assert_eq!(copies.sent, 0, "{copies:?}");
    assert!(copies.failed > 0, "{copies:?}");
}

#[test]
fn speaking_garbage() {
    let (gateway, _) =
        harmless(Origin::answering("\u{0}\u{1}\u{2} nonsense\r\n\r\n").address, Duration::from_secs(5));
    assert_eq!(all_settled(&gateway).sent, 0);
}

#[test]
fn switching_protocols() {
    let answer = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let (gateway, _) = harmless(Origin::answering(answer).address, Duration::from_secs(5));
    assert_eq!(all_settled(&gateway).sent, 0);
}

/// Answers without end, a piece at a time, until the gateway closes the connection; says when that happened.
fn endless(head: &'static str, piece: Vec<u8>, cut_off: Arc<AtomicBool>) -> Origin {
    Origin::scripted(move |_, stream| {
        if stream.write_all(head.as_bytes()).is_ok() {
            while stream.write_all(&piece).is_ok() {}
        }
        cut_off.store(true, SeqCst);
        false
    })
}

#[test]
fn endless_answers_are_cut_off_at_the_limit() {
    let mut chunk = b"8000\r\n".to_vec();
    chunk.extend(vec![b'x'; 0x8000]);
    chunk.extend(b"\r\n");
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n", vec![b'x'; 0x8000]),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk),
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 0x8000]),
    ] {
        let cut_off = Arc::new(AtomicBool::new(false));
        let shadow = endless(head, piece, Arc::clone(&cut_off));
        let prod = prod();
        let tap = Arc::new(Recorder::default());
        let mut config = config();
        config.limits = Limits { shadow_answer_bytes: 100_000, ..Limits::default() };
        let gateway = start_with(config, shadowed(prod.address, shadow.address, 100.0), tap.clone());
        let mut client = Client::connect(gateway.local_addr().unwrap());
        assert_eq!(client.ask(post("", "one")).text(), "one");
        assert_eq!(client.ask(post("", "two")).text(), "two");
        eventually("the endless answers are closed", || cut_off.load(SeqCst));
        eventually("both are counted", || copies(&gateway).sent == 2);
        // The pair is not observed: half an answer is none.
        assert_eq!(tap.skips(2), ["fraud capture_limit", "fraud capture_limit"]);
        assert_eq!(tap.exchanges(2).len(), 2);
    }
}

#[test]
fn dripping() {
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    let shadow = Origin::scripted(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        while !ended.load(SeqCst) && stream.write_all(b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        false
    });
    let (gateway, _) = harmless(shadow.address, Duration::from_millis(50));
    let copies = all_settled(&gateway);
    stop.store(true, SeqCst);
    assert!(copies.timeout > 0 && copies.sent == 0, "{copies:?}");
}

#[test]
fn the_budget_of_bytes_holds() {
    let (prod, shadow) = (Origin::ok(), Origin::hanging());
    let mut config = config();
    config.limits = Limits { shadow_bytes: 200_000, ..Limits::default() };
    config.shutdown_grace = Duration::from_millis(20);
    let gateway = start_with(config, shadowed(prod.address, shadow.address, 100.0), Arc::new(gateway::NoTap));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for _ in 0..10 {
        assert_eq!(client.ask(post("", &"a".repeat(50_000))).status, 200);
    }
    eventually("what fits is on its way", || copies(&gateway).dropped_bytes == 7);
    shadow.nth(3);
    assert_eq!(shadow.seen().len(), 3);
    gateway.shutdown();
}

#[test]
fn a_shadow_that_comes_back_is_used_again() {
    let address = dead_address();
    let prod = prod();
    let mut config = config();
    config.shutdown_grace = Duration::from_millis(20);
    let gateway = start_with(config, shadowed(prod.address, address, 100.0), Arc::new(gateway::NoTap));
    eventually("the circuit opens", || {
        run(&gateway);
        copies(&gateway).dropped_circuit > 0
    });
    let listener = std::net::TcpListener::bind(address).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        while std::io::Read::read(&mut stream, &mut request).is_ok_and(|n| n > 0) {
            stream.write_all(&ok("back")).unwrap();
        }
    });
    eventually("a probe finds it", || {
        run(&gateway);
        copies(&gateway).sent > 0
    });
    eventually("copies flow again", || {
        let before = copies(&gateway).sent;
        run(&gateway);
        copies(&gateway).sent > before + 1
    });
    gateway.shutdown();
    answering.join().unwrap();
}

#[test]
fn copies_in_flight_or_queued_at_a_shutdown_are_counted_too() {
    let (prod, shadow) = (Origin::ok(), Origin::hanging());
    let mut config = config();
    config.limits = Limits { shadow_in_flight: 2, ..Limits::default() };
    config.shutdown_grace = Duration::from_millis(20);
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(config, shadowed(prod.address, shadow.address, 100.0), tap.clone());
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for _ in 0..10 {
        client.ask(post("", "x"));
    }
    tap.exchanges(10);
    shadow.nth(2);
    assert_eq!(settled(&gateway), 0);
    drop(client);
    gateway.shutdown();
    let copies = copies(&gateway);
    assert_eq!(copies.sent + copies.dropped + copies.failed + copies.timeout, 10, "{copies:?}");
    assert_eq!(copies.sent, 0);
}
