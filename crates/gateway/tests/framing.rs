//! What cannot be framed with certainty is refused, and the origin never sees a byte of it (cases H01 to H25 of the
//! smuggling catalogue).

use std::net::Shutdown;

use crate::support::client::{Client, all_of, get};
use crate::support::origin::Origin;
use crate::support::{refused, route, start};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

/// Sends `bytes` twice, whole and byte by byte, and expects one refusal, a closed connection, and silence at the origin.
fn refuses(name: &str, bytes: &[u8], statuses: &[u16]) {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    for piece in [bytes.len(), 1] {
        let mut client = Client::connect(gateway.local_addr().unwrap());
        for part in bytes.chunks(piece) {
            if std::io::Write::write_all(&mut client.stream, part).is_err() {
                break;
            }
        }
        let reply = client.reply();
        assert!(statuses.contains(&reply.status), "{name} (pieces of {piece}): {}", reply.head);
        assert_eq!(reply.header("connection"), Some("close"), "{name}: {}", reply.head);
        // Byte by byte, the HTTP library may notice before the line is whole; its own answer has no text.
        if piece > 1 {
            assert_eq!(reply.header("content-type"), Some("application/json"), "{name}: {}", reply.head);
            assert!(reply.text().starts_with(r#"{"error":{"code":""#), "{name}: {}", reply.text());
        }
        assert!(client.is_closed(), "{name}: the connection stays open");
    }
    for seen in origin.seen() {
        assert!(!seen.whole, "{name}: the origin saw a whole request: {}", seen.head);
    }
    let raw = origin.raw();
    assert!(!raw.windows(8).any(|w| w == b"smuggled"), "{name}: {}", String::from_utf8_lossy(&raw));
    gateway.shutdown();
}

fn head(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n0\r\n\r\n{SMUGGLED}").into_bytes()
}

#[test]
fn h01_h02_two_lengths() {
    for lines in [
        "Content-Length: 40\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 40",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        refuses(lines, &head(lines), &[400]);
    }
}

#[test]
fn h03_disguised_transfer_encodings() {
    for line in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding:\r\n chunked",
        "X: x\nTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "Tran\u{17f}fer-Encoding: chunked",
        "Content_Length: 5",
    ] {
        refuses(line, &head(&format!("{line}\r\nContent-Length: 5")), &[400]);
        refuses(line, &head(line), &[400]);
    }
}

#[test]
fn h04_lists_of_transfer_codings() {
    for value in [
        "gzip, chunked",
        "chunked, chunked",
        "identity, chunked",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity",
        "",
    ] {
        refuses(value, &head(&format!("Transfer-Encoding: {value}")), &[400]);
    }
}

#[test]
fn h06_http10_without_a_length_has_no_body() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let request = format!("POST / HTTP/1.0\r\nHost: t\r\n\r\n{SMUGGLED}");
    let answer = String::from_utf8(all_of(gateway.local_addr().unwrap(), request)).unwrap();
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].body.is_empty() && seen[0].whole, "{seen:?}");
    refuses(
        "transfer-encoding in 1.0",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    );
}

#[test]
fn h07_h08_bad_content_lengths() {
    for value in [
        "5\r\nContent-Length: 6",
        "5\r\nContent-Length: 5",
        "5, 6",
        "5, 5",
        "",
        " ",
        "+5",
        "-1",
        "5a",
        "0x5",
        "5 5",
        "1e1",
        "5.0",
        "\u{665}",
        "18446744073709551616",
    ] {
        refuses(value, &head(&format!("Content-Length: {value}")), &[400]);
    }
    refuses("2^63", &head("Content-Length: 9223372036854775808"), &[413]);
}

fn chunked(body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

#[test]
fn h09_h11_bad_chunks() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "6_0\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
    ] {
        refuses(body, &chunked(body), &[400, 413]);
    }
}

#[test]
fn h11_a_body_cut_inside_a_chunk_is_aborted_at_the_origin() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send(chunked("5\r\nhello\r\n5\r\nhe"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.rest();
    let seen = origin.nth(1);
    assert!(!seen.whole, "{seen:?}");
}

#[test]
fn h12_trailers_are_read_and_dropped() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let trailers = "X-Tenant: evil\r\nAuthorization: x\r\nContent-Length: 5\r\n";
    let reply = client.ask(chunked(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n")));
    assert_eq!(reply.status, 200);
    let seen = origin.nth(1);
    assert_eq!(seen.body, b"hello");
    let raw = String::from_utf8(origin.raw()).unwrap();
    assert!(!raw.contains("evil") && !raw.to_lowercase().contains("authorization"), "{raw}");
    // The connection goes on: nothing was left over.
    assert_eq!(client.ask(get("/next")).status, 200);
    let long = format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024 + 1));
    refuses("long trailers", &chunked(&long), &[400, 431]);
}

#[test]
fn h13_to_h16_malformed_heads() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: t\r\nX-A: one\r\n two\r\n\r\n"[..],
        b"GET / HTTP/1.1\nHost: t\n\n",
        b"GET / HTTP/1.1\r\nHost: t\n\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX\x00: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX: a\x7fb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX: \x1b[31m\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : t\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n   \r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nno colon\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: t\r\n\r\n",
    ] {
        refuses(&String::from_utf8_lossy(bytes), bytes, &[400]);
    }
}

#[test]
fn h14_one_empty_line_before_a_request_is_tolerated() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(format!("\r\n{}", get("/"))).status, 200);
    assert_eq!(client.ask(format!("\r\n{}", get("/"))).status, 200);
}

#[test]
fn h17_hosts() {
    for lines in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a@b\r\n",
        "Host: a, b\r\n",
        "Host: t:99999\r\n",
        "Host: t:\r\n",
        "Host: \r\n",
        "Host: a/b\r\n",
        "Host: [::1\r\n",
    ] {
        refuses(lines, format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes(), &[400]);
    }
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let answer = all_of(gateway.local_addr().unwrap(), "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn h18_absolute_targets_never_choose_an_upstream() {
    for target in [
        "http://evil/",
        "http://u:p@t/",
        "http:/\\evil/",
        "ftp://t/",
        "admin",
        "*",
        "http://t@evil/",
        "//evil",
    ] {
        if target == "//evil" {
            continue; // a path that begins with two slashes is still a path
        }
        refuses(target, format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes(), &[400]);
    }
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask("GET http://t/x?y HTTP/1.1\r\nHost: t\r\n\r\n").status, 200);
    assert_eq!(client.ask("GET http://t HTTP/1.1\r\nHost: T\r\n\r\n").status, 200);
    assert_eq!(origin.nth(1).request_line(), "GET /x?y HTTP/1.1");
    assert_eq!(origin.nth(2).request_line(), "GET / HTTP/1.1");
}

#[test]
fn h20_methods_and_versions() {
    let long = format!("{} / HTTP/1.1\r\nHost: t\r\n\r\n", "A".repeat(300));
    for bytes in [
        long.as_str(),
        "GET / HTTP/1.2\r\nHost: t\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: t\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: t\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: t\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: t\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        refuses(bytes, bytes.as_bytes(), &[400]);
    }
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    for request in ["CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: t\r\n\r\n"] {
        let reply = Client::connect(gateway.local_addr().unwrap()).ask(request);
        assert_eq!(reply.status, 405, "{request}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(refused(&gateway, "method_not_allowed"), 2);
}

#[test]
fn h21_upgrades_are_never_passed_through() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    for (answer, status) in [("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200), (switching, 502)] {
        let origin = Origin::answering(answer);
        let gateway = start(route("m", origin.address));
        let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
        let reply = Client::connect(gateway.local_addr().unwrap())
            .ask(format!("GET / HTTP/1.1\r\nHost: t\r\n{lines}\r\n"));
        assert_eq!(reply.status, status);
        let seen = origin.nth(1);
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(seen.header(name), None, "{}", seen.head);
        }
    }
}

#[test]
fn h23_pipelined_requests_are_answered_in_order() {
    let origin = Origin::scripted(|seen, stream| {
        let path = seen.request_line().split(' ').nth(1).unwrap().to_owned();
        std::io::Write::write_all(stream, &crate::support::origin::ok(&path)).is_ok()
    });
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let requests: String = (0..200).map(|i| get(&format!("/{i}"))).collect();
    client.send(requests);
    for i in 0..200 {
        assert_eq!(client.reply().text(), format!("/{i}"));
    }
    // A bad second request does not change the first answer.
    client.send(format!("{}GET / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n{SMUGGLED}", get("/good")));
    assert_eq!(client.reply().text(), "/good");
    assert_eq!(client.reply().status, 400);
    assert!(client.is_closed());
    assert!(!String::from_utf8(origin.raw()).unwrap().contains("smuggled"));
}

#[test]
fn r04_heads_over_the_limits() {
    let fields = "A: b\r\n".repeat(1000);
    let value = "a".repeat(64 * 1024);
    let target = "a".repeat(16 * 1024);
    for (name, bytes) in [
        ("value", format!("GET / HTTP/1.1\r\nHost: t\r\nA: {value}\r\n\r\n")),
        ("fields", format!("GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n")),
        ("target", format!("GET /{target} HTTP/1.1\r\nHost: t\r\n\r\n")),
    ] {
        refuses(name, bytes.as_bytes(), &[414, 431]);
    }
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let cookies = "c".repeat(15 * 1024);
    let reply = Client::connect(gateway.local_addr().unwrap())
        .ask(format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: {cookies}\r\n\r\n"));
    assert_eq!(reply.status, 200);
}
