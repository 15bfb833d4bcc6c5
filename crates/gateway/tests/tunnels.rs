//! Upgrades: WebSockets pass through as tunnels, everything else is ignored or refused, and never smuggles anything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::support::client::{Client, Reply, get};
use crate::support::origin::{Origin, Seen};
use crate::support::tap::Recorder;
use crate::support::{config, eventually, refused, route, shadowed, start, start_with};

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade, x-hop\r\nupgrade: websocket\r\nx-hop: 1\r\n\
    sec-websocket-accept: key\r\n\r\n";

fn upgrade(fields: &str) -> String {
    format!("GET /ws?x=1 HTTP/1.1\r\nHost: t\r\nSec-WebSocket-Key: a\r\n{fields}\r\n")
}

const ASKS: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";

/// Switches and says everything back in capitals, until the client ends; then says `bye`.
fn shouting(seen: &Seen, stream: &mut TcpStream) -> bool {
    if seen.header("upgrade").is_none() {
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nprod").is_ok();
    }
    // Early bytes of the new protocol come with the head.
    stream.write_all(&[SWITCH, b"hello"].concat()).unwrap();
    let mut bytes = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..n].to_ascii_uppercase()).unwrap();
    }
    stream.write_all(b"bye").ok();
    stream.shutdown(Shutdown::Both).ok();
    false
}

fn opened(gateway: &Gateway) -> (Client, Reply) {
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let reply = client.ask(upgrade(ASKS));
    (client, reply)
}

#[track_caller]
fn read(client: &mut Client, expected: &[u8]) {
    let mut buffer = vec![0; expected.len()];
    client.read_exact(&mut buffer);
    assert_eq!(buffer, expected, "{:?}", String::from_utf8_lossy(&buffer));
}

#[test]
fn bytes_pass_both_ways_and_ends_are_passed_on() {
    let (origin, shadow) = (Origin::scripted(shouting), Origin::ok());
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(
        config(),
        shadowed(origin.address, shadow.address, 100.0),
        Arc::clone(&tap) as Arc<dyn gateway::Tap>,
    );
    let (mut client, reply) = opened(&gateway);
    assert_eq!(
        (reply.status, reply.header("upgrade"), reply.header("x-hop")),
        (101, Some("websocket"), None)
    );
    assert_eq!(reply.header("sec-websocket-accept"), Some("key"));
    let seen = origin.nth(1);
    assert_eq!(seen.request_line(), "GET /ws?x=1 HTTP/1.1");
    assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    read(&mut client, b"hello");
    assert_eq!((gateway.snapshot().tunnels, gateway.snapshot().connections), (1, 1));
    // Nothing that looks like HTTP is read as HTTP.
    for bytes in [
        &b"GET /smuggled HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"[..],
        b"\x81\x05\xff\0",
    ] {
        client.send(bytes);
        read(&mut client, &bytes.to_ascii_uppercase());
    }
    let long = vec![b'x'; 200_000];
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&long));
    read(&mut client, &vec![b'X'; 200_000]);
    writing.join().unwrap().unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"bye", "the other direction ends by itself");
    eventually("the tunnel is closed", || {
        gateway.snapshot().tunnels == 0 && gateway.snapshot().connections == 0
    });
    let snapshot = gateway.snapshot();
    let prod = snapshot.lanes.iter().find(|lane| lane.lane == record::Lane::Prod).unwrap();
    assert_eq!((prod.by_code.as_slice(), snapshot.tunnels_total), (&[(101, 1)][..], 1));
    // Neither measured nor copied.
    assert_eq!((tap.count(), shadow.connections(), origin.seen().len()), ((0, 0), 0, 1));
}

#[test]
fn an_end_of_the_upstream_reaches_the_client() {
    let origin = Origin::scripted(|_, stream| {
        stream.write_all(SWITCH).unwrap();
        false
    });
    let gateway = start(route("m", origin.address));
    let (mut client, reply) = opened(&gateway);
    assert_eq!((reply.status, client.is_closed()), (101, true));
    drop(client);
    eventually("the tunnel is closed", || gateway.snapshot().tunnels == 0);
}

#[test]
fn an_upstream_that_stays_with_http_answers_in_http() {
    let origin = Origin::answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno".as_slice());
    let gateway = start(route("m", origin.address));
    let (mut client, reply) = opened(&gateway);
    assert_eq!((reply.status, reply.text()), (403, "no"));
    assert_eq!(client.ask(get("/")).status, 403, "the connection goes on");
    assert_eq!((gateway.snapshot().tunnels, gateway.snapshot().connections), (0, 1));
}

#[test]
fn a_switch_to_something_else_is_a_bad_answer() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n",
    ] {
        let origin = Origin::answering(answer);
        let gateway = start(route("m", origin.address));
        let (_, reply) = opened(&gateway);
        assert_eq!((reply.status, gateway.snapshot().tunnels), (502, 0), "{answer}");
    }
}

#[test]
fn other_upgrades_are_refused_or_ignored_and_reach_no_upstream() {
    let origin = Origin::scripted(shouting);
    let gateway = start(route("m", origin.address));
    let ask = |bytes: &str| Client::connect(gateway.local_addr().unwrap()).ask(bytes);
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: spdy/3.1\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let reply = ask(&upgrade(fields));
        assert_eq!(reply.status, 501, "{fields}");
        assert!(reply.text().contains("bad_upgrade"), "{}", reply.text());
    }
    assert_eq!((refused(&gateway, "bad_upgrade"), origin.seen().len()), (5, 0));
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0\r\n",
    ] {
        assert_eq!(ask(&upgrade(fields)).text(), "prod", "{fields}");
    }
    assert_eq!(
        ask("GET / HTTP/1.0\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").text(),
        "prod"
    );
    for seen in origin.seen() {
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(seen.header(name), None, "{}", seen.head);
        }
    }
}

/// What a client sends behind its request belongs to the new protocol, once there is one.
#[test]
fn bytes_behind_the_request_are_the_tunnels() {
    let origin = Origin::scripted(shouting);
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send(upgrade(ASKS) + &get("/second"));
    assert_eq!(client.reply().status, 101);
    read(&mut client, &[b"hello", get("/second").to_ascii_uppercase().as_bytes()].concat());
    assert_eq!(origin.seen().len(), 1);
    drop(client);
    // What is no HTTP was cut off by then: no tunnel, rather than one with a hole.
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send([upgrade(ASKS).as_bytes(), b"\x81\x01x"].concat());
    assert!(client.is_closed());
}

#[test]
fn a_silent_tunnel_is_closed() {
    let origin = Origin::scripted(shouting);
    let mut config = config();
    config.limits.tunnel_timeout = Duration::from_millis(50);
    let gateway = start_with(config, route("m", origin.address), Arc::new(gateway::NoTap));
    let (mut client, _) = opened(&gateway);
    read(&mut client, b"hello");
    assert!(client.is_closed());
    eventually("the tunnel is closed", || gateway.snapshot().tunnels == 0);
}

#[test]
fn a_shutdown_ends_silent_tunnels_before_its_grace_is_over() {
    let origin = Origin::scripted(shouting);
    let gateway = start(route("m", origin.address));
    let (mut client, _) = opened(&gateway);
    read(&mut client, b"hello");
    let began = std::time::Instant::now();
    gateway.shutdown();
    assert!(began.elapsed() < crate::support::DEADLINE / 2);
    assert!(client.is_closed());
}

#[test]
fn a_tunnel_passes_through_tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir().join(format!("driftline-tunnel-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let origin = Origin::scripted(shouting);
    let mut config = config();
    config.tls = Some(gateway::ListenerTls { cert_file, key_file });
    let gateway = start_with(config, route("m", origin.address), Arc::new(gateway::NoTap));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.local_addr().unwrap()).unwrap();
    let session = rustls::ClientConnection::new(Arc::new(tls), "localhost".try_into().unwrap()).unwrap();
    let mut client = Client::over(rustls::StreamOwned::new(session, stream));
    assert_eq!(client.ask(upgrade(ASKS)).status, 101);
    let mut said = [0; 5];
    client.read_exact(&mut said);
    client.send(b"over tls");
    let mut shouted = [0; 8];
    client.read_exact(&mut shouted);
    assert_eq!((&said, &shouted), (b"hello", b"OVER TLS"));
    std::fs::remove_dir_all(folder).ok();
}
