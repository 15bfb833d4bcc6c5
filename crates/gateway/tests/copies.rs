//! Who is copied, and what the copy is.

use std::sync::Arc;

use gateway::{Limits, ModelRoute, SampleBy, Shadow};
use record::Lane;

use crate::support::client::{Client, get, post};
use crate::support::origin::{Origin, ok};
use crate::support::tap::Recorder;
use crate::support::{
    config, copies, dead_address, eventually, route, settled, shadow, shadowed, start, start_with, table,
};

fn ask(gateway: &gateway::Gateway, n: usize, headers: &str) {
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for i in 0..n {
        assert_eq!(client.ask(post(headers, &format!("body-{i}"))).status, 200);
    }
}

#[test]
fn a_copy_is_the_request_marked_and_without_credentials() {
    let (prod, shadow) = (Origin::ok(), Origin::answering(ok("shadow")));
    let gateway = start(shadowed(prod.address, shadow.address, 100.0));
    let headers = "Content-Type: a/b\r\nAuthorization: Bearer x\r\nCookie: a=1\r\nX-Api-Key: k\r\nX-Request-Id: id-7\r\n\
                   Connection: X-Private\r\nX-Private: 1\r\nX-Kept: 1\r\n";
    let reply = Client::connect(gateway.local_addr().unwrap()).ask(post(headers, "hello"));
    assert_eq!(reply.text(), "prod");
    let (original, copy) = (prod.nth(1), shadow.nth(1));
    assert_eq!(copy.request_line(), original.request_line());
    assert_eq!(copy.body, b"hello");
    assert_eq!(copy.all("x-shadow"), ["true"]);
    assert_eq!(copy.all("x-driftline-hop"), ["1"]);
    assert_eq!(copy.all("x-request-id"), ["id-7"]);
    assert_eq!(copy.all("host"), [shadow.address.to_string()]);
    assert_eq!(copy.all("x-forwarded-host"), ["t"]);
    assert_eq!((copy.header("content-type"), copy.header("x-kept")), (Some("a/b"), Some("1")));
    for name in ["authorization", "cookie", "x-api-key", "connection", "x-private"] {
        assert_eq!(copy.header(name), None, "{}", copy.head);
    }
    assert_eq!(original.header("authorization"), Some("Bearer x"));
    assert_eq!((original.header("x-shadow"), original.header("x-driftline-hop")), (None, None));
}

#[test]
fn credentials_stay_when_asked_and_other_headers_go() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let mut route = shadowed(prod.address, to.address, 100.0);
    route.shadows[0].strip_credentials = false;
    route.shadows[0].strip_headers = vec!["x-secret".parse().unwrap()];
    let gateway = start(route);
    Client::connect(gateway.local_addr().unwrap())
        .ask(post("Authorization: Bearer x\r\nX-Secret: 1\r\n", ""));
    let copy = to.nth(1);
    assert_eq!((copy.header("authorization"), copy.header("x-secret")), (Some("Bearer x"), None));
}

#[test]
fn chunked_bodies_and_bodiless_requests_are_copied() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let gateway = start(shadowed(prod.address, to.address, 100.0));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.ask(
        "PUT /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let copy = to.nth(1);
    assert_eq!((copy.request_line(), copy.body.as_slice()), ("PUT /a HTTP/1.1", &b"abcdef"[..]));
    client.ask(get("/b?c"));
    let copy = to.nth(2);
    assert_eq!((copy.request_line(), copy.header("content-length")), ("GET /b?c HTTP/1.1", None));
}

#[test]
fn shares_of_nothing_and_everything_are_exact() {
    for (percent, expected) in [(0.0, 0), (100.0, 100)] {
        let (prod, to) = (Origin::ok(), Origin::ok());
        let gateway = start(shadowed(prod.address, to.address, percent));
        ask(&gateway, 100, "");
        eventually("the copies are through", || settled(&gateway) == expected);
        assert_eq!((to.seen().len() as u64, copies(&gateway).sent), (expected, expected));
        assert_eq!(to.connections() > 0, percent > 0.0);
    }
}

#[test]
fn a_fraction_is_met() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let gateway = start(shadowed(prod.address, to.address, 12.5));
    ask(&gateway, 2000, "");
    // The tap of the last request may still be on its way; six standard errors of 2000 draws are 89.
    eventually("about an eighth is copied", || (161..=339).contains(&settled(&gateway)));
    assert!((161..=339).contains(&settled(&gateway)), "{:?}", copies(&gateway));
}

#[test]
fn a_key_decides_for_all_its_requests() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    for by in [SampleBy::Tenant, SampleBy::Header("x-tenant".parse().unwrap())] {
        let mut route = shadowed(prod.address, to.address, 50.0);
        route.shadows[0].sample_by = by;
        let gateway = start(route);
        let mut taken = 0;
        for tenant in 0..30 {
            let before = settled(&gateway);
            ask(&gateway, 4, &format!("X-Tenant: t{tenant}\r\n"));
            // A marked request is always copied: when it is through, those before it are.
            ask(&gateway, 1, "X-Shadow: true\r\n");
            eventually("the marked one", || {
                settled(&gateway) > before && (settled(&gateway) - before) % 4 == 1
            });
            taken += (settled(&gateway) - before - 1) / 4;
        }
        assert!((1..30).contains(&taken), "{taken} of 30 tenants");
    }
}

#[test]
fn marks_are_honoured_when_wanted() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let gateway = start(shadowed(prod.address, to.address, 0.0));
    ask(&gateway, 1, "X-Shadow: true\r\n");
    to.nth(1);
    let mut deaf = shadowed(prod.address, to.address, 0.0);
    deaf.shadows[0].honour_mark = false;
    gateway.set_routes(table([deaf])).unwrap();
    ask(&gateway, 5, "X-Shadow: true\r\n");
    assert_eq!(prod.nth(6).header("x-shadow"), None);
    // Made of one of us: served, never copied again.
    gateway.set_routes(table([shadowed(prod.address, to.address, 100.0)])).unwrap();
    ask(&gateway, 5, "X-Shadow: true\r\nX-Driftline-Hop: 1\r\n");
    ask(&gateway, 1, "X-Request-Id: last\r\n");
    assert_eq!(to.nth(2).header("x-request-id"), Some("last"));
}

#[test]
fn what_production_did_not_accept_is_not_copied() {
    let to = Origin::ok();
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let prod = Origin::answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
        let tap = Arc::new(Recorder::default());
        let gateway = start_with(config(), shadowed(prod.address, to.address, 100.0), tap.clone());
        Client::connect(gateway.local_addr().unwrap()).ask(post("", "x"));
        // The tap comes after the decision about the copy.
        tap.exchanges(1);
        assert_eq!(settled(&gateway), 0, "{status}");
    }
    let gateway = start(shadowed(dead_address(), to.address, 100.0));
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(post("", "x")).status, 502);
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    gateway.shutdown();
    assert_eq!(to.connections(), 0);
}

#[test]
fn only_the_methods_wanted_are_copied() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let mut route = shadowed(prod.address, to.address, 100.0);
    route.shadows[0].methods = vec!["POST".parse().unwrap()];
    let gateway = start(route);
    Client::connect(gateway.local_addr().unwrap()).ask(get("/"));
    ask(&gateway, 1, "");
    assert_eq!(to.nth(1).request_line(), "POST /predict HTTP/1.1");
}

#[test]
fn a_body_over_the_capture_is_forwarded_and_its_copy_dropped_and_counted() {
    let (prod, to) = (Origin::ok(), Origin::ok());
    let tap = Arc::new(Recorder::default());
    let mut config = config();
    config.limits = Limits { capture_bytes: 100, ..Limits::default() };
    let gateway = start_with(config, shadowed(prod.address, to.address, 100.0), tap.clone());
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(post("", &"a".repeat(101))).status, 200);
    assert_eq!(prod.nth(1).body.len(), 101);
    assert_eq!(tap.skips(1), ["fraud capture_limit"]);
    assert_eq!((copies(&gateway).dropped_capture, settled(&gateway)), (1, 1));
    assert_eq!(client.ask(post("", &"a".repeat(100))).status, 200);
    assert_eq!(to.nth(1).body.len(), 100);
}

#[test]
fn answers_of_both_lanes_reach_the_tap_as_a_pair() {
    let (prod, to) = (Origin::ok(), Origin::answering(ok("shadow!")));
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(config(), shadowed(prod.address, to.address, 100.0), tap.clone());
    ask(&gateway, 1, "X-Tenant: acme\r\nContent-Type: a/b\r\nX-Request-Id: id-9\r\n");
    let mut both = tap.exchanges(2);
    both.sort_by_key(|exchange| exchange.lane);
    let [prod, shadow] = both.try_into().unwrap();
    assert_eq!((prod.lane, &*prod.version), (Lane::Prod, "v1"));
    assert_eq!((shadow.lane, &*shadow.version), (Lane::Shadow, "v2"));
    assert_eq!(prod.request_id, shadow.request_id);
    assert_eq!((prod.tenant.as_ref(), &prod.path), (shadow.tenant.as_ref(), &shadow.path));
    let text = |body: &record::Body| body.contiguous(&mut Vec::new()).to_vec();
    assert_eq!(text(&prod.request), text(&shadow.request));
    assert_eq!(prod.request.content_type, shadow.request.content_type);
    assert_eq!((text(&prod.response), text(&shadow.response)), (b"prod".to_vec(), b"shadow!".to_vec()));
    let lanes = gateway.snapshot().lanes;
    assert!(
        lanes.iter().any(|l| l.lane == Lane::Shadow && l.version == "v2" && l.by_code == [(200, 1)]),
        "{lanes:?}"
    );
}

#[test]
fn several_shadows_decide_for_themselves() {
    let (prod, one, two) = (Origin::ok(), Origin::ok(), Origin::ok());
    let mut route: ModelRoute = shadowed(prod.address, one.address, 100.0);
    route.versions.push(crate::support::version("v3", &format!("http://{}", two.address)));
    route.shadows.push(Shadow { version: Some(2), ..shadow(100.0) });
    let gateway = start(route);
    ask(&gateway, 3, "");
    one.nth(3);
    two.nth(3);
    eventually("six copies", || copies(&gateway).sent == 6);
}

#[test]
fn a_route_without_tap_and_shadow_observes_nothing() {
    let prod = Origin::ok();
    let tap = Arc::new(Recorder::default());
    let mut quiet = route("m", prod.address);
    quiet.tap = false;
    let gateway = start_with(config(), quiet, tap.clone());
    ask(&gateway, 3, "");
    gateway.shutdown();
    assert_eq!(tap.count(), (0, 0));
}

#[test]
fn a_shadow_that_logs_sends_nothing_and_shows_the_tap_what_it_drew() {
    let (prod, other) = (Origin::answering(ok("prod")), Origin::ok());
    let tap = Arc::new(Recorder::default());
    let mut logging = shadowed(prod.address, other.address, 0.0);
    logging.shadows = vec![Shadow { version: None, ..shadow(0.0) }];
    let gateway = start_with(config(), logging, tap.clone());
    ask(&gateway, 2, "X-Request-Id: a\r\n");
    // Marked upstream: drawn whatever the percentage.
    ask(&gateway, 3, "X-Shadow: true\r\n");
    let seen = tap.exchanges(8);
    let logged: Vec<_> = seen.iter().filter(|exchange| exchange.lane == Lane::Shadow).collect();
    assert_eq!(logged.len(), 3);
    for exchange in logged {
        let twin = seen.iter().find(|e| e.lane == Lane::Prod && e.request_id == exchange.request_id).unwrap();
        assert_eq!((&exchange.version, exchange.status, &exchange.path), (&twin.version, 200, &twin.path));
        assert_eq!(
            (&exchange.request.chunks, &exchange.response.chunks),
            (&twin.request.chunks, &twin.response.chunks)
        );
        assert_eq!((exchange.latency_ms, exchange.first_byte_ms), (twin.latency_ms, twin.first_byte_ms));
        assert!(exchange.first_byte_ms.is_some_and(|ms| ms > 0.0 && ms <= exchange.latency_ms));
    }
    let counted = copies(&gateway);
    assert_eq!((counted.logged, counted.sent + counted.failed + counted.timeout + counted.dropped), (3, 0));
    gateway.shutdown();
    assert_eq!((prod.seen().len(), other.connections()), (5, 0));
}

#[test]
fn what_was_not_let_in_is_not_logged_as_shadow() {
    let prod = Origin::answering(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_vec());
    let tap = Arc::new(Recorder::default());
    let mut logging = route("m", prod.address);
    logging.shadows = vec![Shadow { version: None, ..shadow(100.0) }];
    let gateway = start_with(config(), logging, tap.clone());
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(post("", "x")).status, 401);
    gateway.shutdown();
    assert_eq!((tap.count(), copies(&gateway).logged), ((1, 0), 0));
}
