//! Who answers: models by route, versions by weight, and changes while requests run.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use gateway::RouteMatch;

use crate::support::client::{Client, get};
use crate::support::origin::{Origin, ok};
use crate::support::{config, refused, route, start, table, version};

#[test]
fn prefixes_hosts_and_headers_choose_the_model() {
    let (a, b, c) = (Origin::answering(ok("a")), Origin::answering(ok("b")), Origin::answering(ok("c")));
    let prefix = RouteMatch { path_prefix: Some("/a".into()), strip_prefix: true, ..RouteMatch::default() };
    let host = RouteMatch { host: Some("b.example".into()), ..RouteMatch::default() };
    let header =
        RouteMatch { header: Some(("x-model".parse().unwrap(), "c".into())), ..RouteMatch::default() };
    let with =
        |name: &str, origin: &Origin, matches| gateway::ModelRoute { matches, ..route(name, origin.address) };
    let routes = [with("a", &a, prefix), with("b", &b, host), with("c", &c, header)];
    let gateway = gateway::Gateway::start(config(), table(routes), Arc::new(gateway::NoTap)).unwrap();
    let mut client = Client::connect(gateway.local_addr().unwrap());
    assert_eq!(client.ask(get("/a/x?y=1")).text(), "a");
    assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: B.Example:80\r\n\r\n").text(), "b");
    assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: t\r\nX-Model: c\r\n\r\n").text(), "c");
    let reply = client.ask(get("/ax"));
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("no_route"), "{}", reply.text());
    // The connection survives a request without a route.
    assert_eq!(client.ask(get("/a")).text(), "a");
    assert_eq!(a.nth(1).request_line(), "GET /x?y=1 HTTP/1.1");
    assert_eq!(a.nth(2).request_line(), "GET / HTTP/1.1");
    assert_eq!((gateway.snapshot().unrouted, refused(&gateway, "no_route")), (1, 1));
}

#[test]
fn weights_split_and_sticky_clients_stay() {
    let (a, b) = (Origin::answering(ok("a")), Origin::answering(ok("b")));
    let mut split = route("m", a.address);
    split.versions.push(version("v2", &format!("http://{}", b.address)));
    split.split = vec![(0, 1), (1, 1)];
    split.sticky_header = Some("x-user".parse().unwrap());
    let gateway = start(split);
    let mut client = Client::connect(gateway.local_addr().unwrap());
    let mut answers = [0, 0];
    for _ in 0..400 {
        answers[usize::from(client.ask(get("/")).text() == "b")] += 1;
    }
    // Ten standard errors: 400 draws of one half.
    assert!(answers.iter().all(|n| (100..=300).contains(n)), "{answers:?}");
    let mut both = [false, false];
    for user in 0..40 {
        let request = format!("GET / HTTP/1.1\r\nHost: t\r\nX-User: user-{user}\r\n\r\n");
        let first = client.ask(&request).body;
        both[usize::from(first == b"b")] = true;
        for _ in 0..5 {
            assert_eq!(client.ask(&request).body, first, "user {user}");
        }
    }
    assert_eq!(both, [true, true]);
    let lanes = gateway.snapshot().lanes;
    let count: u64 = lanes.iter().flat_map(|lane| &lane.by_code).map(|(_, n)| n).sum();
    assert_eq!((lanes.len(), count), (2, 640));
}

#[test]
fn a_base_path_and_an_ipv4_upstream_are_joined() {
    let origin = Origin::ok();
    let mut based = route("m", origin.address);
    based.versions[0] = version("v1", &format!("http://{}/base/", origin.address));
    let gateway = start(based);
    Client::connect(gateway.local_addr().unwrap()).ask(get("/x?q"));
    assert_eq!(origin.nth(1).request_line(), "GET /base/x?q HTTP/1.1");
}

#[test]
fn changing_the_routes_under_load_loses_no_request() {
    let (a, b) = (Origin::answering(ok("a")), Origin::answering(ok("b")));
    let mut config = config();
    config.workers = 2;
    let gateway =
        gateway::Gateway::start(config, table([route("m", a.address)]), Arc::new(gateway::NoTap)).unwrap();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = gateway.local_addr().unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(SeqCst) {
                    let reply = client.ask(get("/"));
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    served.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    for generation in 2..=60 {
        let origin = if generation % 2 == 0 { &b } else { &a };
        let before = served.load(SeqCst);
        let mut next = table([route("m", origin.address)]);
        next.generation = generation;
        gateway.set_routes(next).unwrap();
        assert_eq!(gateway.routes().generation, generation);
        crate::support::eventually("some requests on these routes", || served.load(SeqCst) >= before + 10);
    }
    // A request after the change is on the new routes.
    assert_eq!(Client::connect(address).ask(get("/")).text(), "b");
    stop.store(true, SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert!(!a.seen().is_empty() && !b.seen().is_empty());
}

#[test]
fn a_bad_table_leaves_the_old_one_and_unchanged_upstreams_keep_their_connections() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.ask(get("/"));
    let mut bad = route("m", origin.address);
    bad.split.clear();
    assert!(gateway.set_routes(table([bad])).unwrap_err().to_string().contains("model `m`"));
    assert_eq!(gateway.routes().generation, 1);
    let mut renamed = route("other", origin.address);
    renamed.tap = false;
    gateway.set_routes(table([renamed])).unwrap();
    assert_eq!(client.ask(get("/")).status, 200);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_request_under_way_ends_on_the_old_routes() {
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let held = std::sync::Mutex::new(held);
    let slow = Origin::scripted(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        stream.write_all(&ok("old")).is_ok()
    });
    let gateway = start(route("m", slow.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send(get("/"));
    slow.nth(1);
    gateway.set_routes(table([route("m", Origin::answering(ok("new")).address)])).unwrap();
    assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(get("/")).text(), "new");
    release.send(()).unwrap();
    assert_eq!(client.reply().text(), "old");
    assert_eq!(client.ask(get("/")).text(), "new");
}
