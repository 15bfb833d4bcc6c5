//! Kept connections that the upstream closes at the moment a request is sent on them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use gateway::{Gateway, Retry};

use crate::support::client::{Client, Reply, get};
use crate::support::origin::{Origin, ok};
use crate::support::tap::Recorder;
use crate::support::{DEADLINE, config, dead_address, eventually, route, shadowed, start, start_with};

fn retries(gateway: &Gateway) -> u64 {
    gateway.snapshot().lanes.iter().map(|lane| lane.retries).sum()
}

/// An origin that answers the first request of a connection and breaks the connection at the head of the second, so that
/// the gateway has written to it and heard nothing. Says how many heads it has read.
struct Breaking {
    address: SocketAddr,
    heads: Receiver<String>,
}

/// How a connection is broken at its second request.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// After the head, before a byte of the answer.
    Silent,
    /// After the whole body.
    AfterBody,
    /// After half an answer's head.
    HalfAHead,
    /// After half an answer's body.
    HalfABody,
    /// By a reset.
    Reset,
}

impl Breaking {
    fn start(how: Break) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, heads) = sync_channel(1_000);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                std::thread::spawn(move || serve(stream, how, &tell));
            }
        });
        Self { address, heads }
    }

    fn seen(&self) -> usize {
        self.heads.try_iter().count()
    }
}

fn serve(mut stream: TcpStream, how: Break, tell: &SyncSender<String>) {
    let Some((head, body)) = message(&mut stream, true) else { return };
    tell.send(head).unwrap();
    // The answer says what came, so that a body that was sent twice can be compared.
    stream.write_all(&ok(&format!("{}:{}", body.len(), checksum(&body)))).unwrap();
    let Some((head, _)) = message(&mut stream, matches!(how, Break::AfterBody)) else { return };
    tell.send(head).unwrap();
    match how {
        Break::Silent | Break::AfterBody => {}
        Break::HalfAHead => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(),
        Break::HalfABody => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").unwrap(),
        // Closing with unread bytes resets.
        Break::Reset => return,
    }
    stream.shutdown(Shutdown::Write).ok();
    // Whatever is still on its way is read, so that the close is a clean one.
    stream.read_to_end(&mut Vec::new()).ok();
}

fn checksum(body: &[u8]) -> u64 {
    body.iter().fold(7, |sum, byte| (sum * 31 + u64::from(*byte)) % 1_000_003)
}

/// Reads a head, and the body of the length that it says if that is wanted.
fn message(stream: &mut TcpStream, with_body: bool) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.filter(|_| with_body).unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn request(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Two requests, the second of which meets the break.
fn second(how: Break, retry: Retry, asked: &[u8]) -> (Reply, usize, u64) {
    let origin = Breaking::start(how);
    let mut to = route("m", origin.address);
    to.retry = retry;
    let gateway = start(to);
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(get("/first")).status, 200);
    let reply = client.ask(asked);
    // The answer came after all that the origin has seen.
    (reply, origin.seen() - 1, retries(&gateway))
}

const JSON: &str = "application/json";

#[test]
fn what_may_be_sent_twice_survives_a_close_before_the_answer() {
    let body = br#"{"amount": 12.5}"#;
    let whole = format!("{}:{}", body.len(), checksum(body));
    for how in [Break::Silent, Break::AfterBody, Break::Reset] {
        let (reply, seen, retried) = second(how, Retry::Inference, &request("POST", "/predict", JSON, body));
        assert_eq!((reply.status, reply.text(), seen, retried), (200, &*whole, 2, 1), "{how:?}");
        let (reply, seen, retried) = second(how, Retry::Idempotent, &request("PUT", "/predict", JSON, body));
        assert_eq!((reply.status, reply.text(), seen, retried), (200, &*whole, 2, 1), "{how:?}");
    }
}

#[test]
fn what_may_not_is_told_to_the_client() {
    let body = b"x=1";
    for (retry, method, path, content_type) in [
        (Retry::Idempotent, "POST", "/predict", JSON),
        (Retry::Idempotent, "POST", "/v1/orders", JSON),
        (Retry::Inference, "POST", "/v1/files", JSON),
        (Retry::Inference, "POST", "/predict", "application/x-www-form-urlencoded"),
        (Retry::Inference, "PATCH", "/predict", JSON),
        (Retry::Never, "GET", "/predict", JSON),
    ] {
        let (reply, seen, retried) = second(Break::Silent, retry, &request(method, path, content_type, body));
        assert_eq!((reply.status, seen, retried), (502, 1, 0), "{retry:?} {method} {path}");
    }
}

#[test]
fn a_request_is_never_sent_again_once_the_answer_has_begun() {
    let asked = request("POST", "/predict", JSON, b"{}");
    let (reply, seen, retried) = second(Break::HalfAHead, Retry::Inference, &asked);
    assert_eq!((reply.status, seen, retried), (502, 1, 0));
    let (reply, seen, retried) = second(Break::HalfABody, Retry::Inference, &asked);
    assert_eq!((reply.status, reply.whole, seen, retried), (200, false, 1, 0));
}

#[test]
fn a_new_connection_that_breaks_is_not_tried_again() {
    let origin = Origin::scripted(|_, _| false);
    let gateway = start(route("m", origin.address));
    let reply = Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
    assert_eq!((reply.status, origin.seen().len(), retries(&gateway)), (502, 1, 0));
}

#[test]
fn a_long_body_is_sent_again_as_long_as_it_is_kept() {
    for (bytes, expected) in [(300_000, (200, 1)), (3_000_000, (502, 0))] {
        let body: Vec<u8> = (0..bytes).map(|i: u32| (i % 251) as u8).collect();
        let (reply, _, retried) =
            second(Break::AfterBody, Retry::Inference, &request("POST", "/predict", "text/csv", &body));
        assert_eq!((reply.status, retried), expected, "{bytes} bytes");
        if reply.status == 200 {
            assert_eq!(reply.text(), format!("{bytes}:{}", checksum(&body)));
        }
    }
}

/// The connection breaks while the client is still sending: the second sending goes on where the first stopped.
#[test]
fn a_body_that_is_still_coming_goes_on_in_the_second_sending() {
    let origin = Breaking::start(Break::Silent);
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(config(), route("m", origin.address), Arc::clone(&tap) as Arc<dyn gateway::Tap>);
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(get("/first")).status, 200);
    let body = vec![b'7'; 40_000];
    let asked = request("POST", "/predict", "text/csv", &body);
    let (begin, rest) = asked.split_at(asked.len() - 20_000);
    client.send(begin);
    eventually("it is sent again", || retries(&gateway) == 1);
    client.send(rest);
    let reply = client.reply();
    assert_eq!((reply.status, reply.text()), (200, &*format!("40000:{}", checksum(&body))));
    let seen = tap.exchanges(2);
    assert_eq!(seen[1].request.captured_bytes(), 40_000, "measured once, not twice");
}

/// An origin that closes right behind each answer without a word about it.
#[test]
fn an_upstream_that_closes_behind_each_answer_loses_nothing() {
    let origin = Origin::scripted(|_, stream| {
        stream.write_all(&ok("prod")).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        false
    });
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for n in 0..500 {
        let reply = client.ask(request("POST", "/predict", JSON, b"{}"));
        assert_eq!(reply.status, 200, "request {n}");
    }
}

#[test]
fn a_copy_is_sent_again_as_well() {
    let (prod, shadow) = (Origin::ok(), Breaking::start(Break::Silent));
    let gateway = start(shadowed(prod.address, shadow.address, 100.0));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for sent in 1..=2 {
        assert_eq!(client.ask(request("POST", "/predict", JSON, b"{}")).status, 200);
        eventually("the copy is answered", || crate::support::copies(&gateway).sent == sent);
    }
    assert_eq!((crate::support::copies(&gateway).failed, retries(&gateway)), (0, 1));
}

#[test]
fn the_idle_time_of_the_upstream_is_kept() {
    for (idle, says, connections) in [
        (Some(Duration::ZERO), "", 2),
        (Some(DEADLINE), "keep-alive: timeout=0\r\n", 1),
        (None, "keep-alive: timeout=0\r\n", 2),
        (None, "connection: keep-alive\r\nkeep-alive: timeout=60, max=9\r\n", 1),
    ] {
        let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{says}content-length: 2\r\n\r\nok"));
        let mut to = route("m", origin.address);
        to.versions[0].upstream.idle = idle;
        let gateway = start(to);
        let mut client = Client::connect(gateway.local_addr().unwrap());
        for _ in 0..2 {
            let reply = client.ask(get("/"));
            assert_eq!((reply.status, reply.header("keep-alive")), (200, None));
        }
        assert_eq!(origin.connections(), connections, "{idle:?} {says:?}");
    }
}

#[test]
fn an_upstream_that_is_gone_is_a_502_and_no_second_sending() {
    let gateway = start(route("m", dead_address()));
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(get("/")).status, 502);
    assert_eq!(retries(&gateway), 0);
}
