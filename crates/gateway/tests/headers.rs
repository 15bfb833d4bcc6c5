//! Header fields on the way to the origin.

use crate::support::client::{Client, get, post};
use crate::support::origin::{Origin, Seen};
use crate::support::{route, start};

fn forwarded(headers: &str) -> Seen {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let reply = Client::connect(gateway.local_addr().unwrap()).ask(post(headers, "x"));
    assert_eq!(reply.status, 200, "{headers}");
    origin.nth(1)
}

#[test]
fn the_hop_is_identified() {
    let seen = forwarded("");
    assert_eq!(seen.all("via"), ["1.1 driftline"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["t"]);
    let id = seen.header("x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_ne!(forwarded("").header("x-request-id"), Some(id));
}

#[test]
fn what_proxies_before_us_said_is_kept() {
    let seen = forwarded(
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nVia: 1.1 other\r\nX-Request-Id: abc\r\n",
    );
    assert_eq!(seen.all("x-forwarded-for"), ["1.2.3.4, 5.6.7.8, 127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("via"), ["1.1 other", "1.1 driftline"]);
    assert_eq!(seen.all("x-request-id"), ["abc"]);
}

#[test]
fn hop_by_hop_fields_end_here() {
    let seen = forwarded(
        "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         TE: trailers, deflate\r\nTrailer: X\r\nProxy-Authorization: Basic x\r\nX-Shadow: true\r\nX-Kept: 1\r\n",
    );
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authorization",
        "x-shadow",
    ] {
        assert_eq!(seen.header(name), None, "{}", seen.head);
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
    assert_eq!(forwarded("TE: trailers\r\n").header("te"), Some("trailers"));
}

#[test]
fn bad_ids_are_replaced_and_imitations_refused() {
    assert_eq!(forwarded("X-Request-Id: ../../x\r\n").header("x-request-id").unwrap().len(), 32);
    for headers in [
        "X-Tenant: a\r\nX-Tenant: b\r\n",
        "X-Tenant: a\r\nX_Tenant: evil\r\n",
        "X_Request_Id: a\r\n",
        "Connection: close, X-Tenant\r\n",
        "Connection: Authorization\r\n",
        "Connection: X-Request-Id\r\n",
        "Connection: X-Forwarded-For\r\n",
        "Connection: host\r\n",
        "Connection: x-shadow\r\n",
    ] {
        let origin = Origin::ok();
        let gateway = start(route("m", origin.address));
        let reply = Client::connect(gateway.local_addr().unwrap()).ask(post(headers, "x"));
        assert_eq!(reply.status, 400, "{headers}");
        assert_eq!(origin.connections(), 0);
    }
}

#[test]
fn an_answers_hop_by_hop_fields_end_here() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nX-Kept: 1\r\n\r\nx",
    );
    let gateway = start(route("m", origin.address));
    let reply = Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
    for name in ["connection", "x-private", "keep-alive", "via", "date"] {
        assert_eq!(reply.header(name), None, "{}", reply.head);
    }
    assert_eq!(reply.header("x-kept"), Some("1"));
}

#[test]
fn the_host_is_the_upstreams_or_the_clients() {
    let origin = Origin::ok();
    let mut preserving = route("m", origin.address);
    preserving.versions[0].upstream.preserve_host = true;
    let gateway = start(preserving);
    Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
    assert_eq!(origin.nth(1).all("host"), ["t"]);
}

#[test]
fn loops_are_refused() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let hops = "Via: 1.1 driftline\r\n".repeat(8);
    for headers in [hops.as_str(), "X-Driftline-Hop: 8\r\n"] {
        assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(post(headers, "x")).status, 508);
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_gateway_in_front_of_itself_ends_with_an_error() {
    let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = crate::support::config();
    config.listen = Some(first);
    let gateway = crate::support::start_with(config, route("m", first), std::sync::Arc::new(gateway::NoTap));
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(get("/")).status, 508);
}
