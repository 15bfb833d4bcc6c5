//! Starting, refusing to start, and stopping.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use gateway::{Gateway, GatewayError, NoTap};

use crate::support::client::{Client, get};
use crate::support::origin::{Origin, ok};
use crate::support::{config, eventually, route, start, table};

#[test]
fn an_address_in_use_is_said_even_if_the_other_is_one_of_us() {
    let origin = Origin::ok();
    for workers in [1, 2] {
        let mut first = config();
        first.workers = workers;
        let running =
            Gateway::start(first.clone(), table([route("m", origin.address)]), Arc::new(NoTap)).unwrap();
        let mut second = first;
        second.listen = running.local_addr();
        let error = Gateway::start(second, table([route("m", origin.address)]), Arc::new(NoTap)).unwrap_err();
        assert!(
            matches!(error, GatewayError::AddressInUse { address } if address == running.local_addr().unwrap()),
            "{error}"
        );
        assert!(error.to_string().contains("in use"), "{error}");
    }
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let origin = Origin::ok();
    let refused = |change: &dyn Fn(&mut gateway::GatewayConfig)| {
        let mut config = config();
        change(&mut config);
        Gateway::start(config, table([route("m", origin.address)]), Arc::new(NoTap)).unwrap_err().to_string()
    };
    assert!(refused(&|c| c.listen = Some("192.0.2.1:0".parse().unwrap())).contains("192.0.2.1"));
    assert!(refused(&|c| c.workers = 0).contains("`workers`"));
    assert!(refused(&|c| c.limits.head_bytes = 1).contains("`head_bytes`"));
    let missing = gateway::ListenerTls {
        cert_file: "/nonexistent/cert.pem".into(),
        key_file: "/nonexistent/key.pem".into(),
    };
    assert!(refused(&|c| c.tls = Some(missing.clone())).contains("/nonexistent/cert.pem"));
}

#[test]
fn all_workers_serve_on_one_port() {
    let origin = Origin::ok();
    let mut config = config();
    config.workers = 3;
    let gateway = Gateway::start(config, table([route("m", origin.address)]), Arc::new(NoTap)).unwrap();
    for _ in 0..60 {
        assert_eq!(Client::connect(gateway.local_addr().unwrap()).ask(get("/")).status, 200);
    }
    assert!(gateway.is_healthy());
    // Each worker has connections of its own.
    assert!(origin.connections() >= 2);
    let address = gateway.local_addr().unwrap();
    gateway.shutdown();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_running_request_ends_before_the_gateway_does() {
    let (release, held) = sync_channel::<()>(1);
    let held = std::sync::Mutex::new(held);
    let origin = Origin::scripted(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        stream.write_all(&ok("done")).is_ok()
    });
    let gateway = start(route("m", origin.address));
    let address = gateway.local_addr().unwrap();
    let mut idle = Client::connect(address);
    let mut running = Client::connect(address);
    running.send(get("/"));
    origin.nth(1);
    eventually("both are open", || gateway.snapshot().connections == 2);
    let stopping = std::thread::spawn(move || gateway.shutdown());
    // The idle connection is closed and no new one taken, while the request still runs.
    assert!(idle.is_closed());
    eventually("the port is closed", || std::net::TcpStream::connect(address).is_err());
    assert!(!stopping.is_finished());
    release.send(()).unwrap();
    let reply = running.reply();
    assert_eq!((reply.text(), reply.header("connection")), ("done", Some("close")));
    assert!(running.is_closed());
    stopping.join().unwrap();
}

#[test]
fn the_grace_period_bounds_the_wait() {
    let origin = Origin::hanging();
    let mut config = config();
    config.shutdown_grace = std::time::Duration::from_millis(20);
    let gateway = Gateway::start(config, table([route("m", origin.address)]), Arc::new(NoTap)).unwrap();
    let mut client = Client::connect(gateway.local_addr().unwrap());
    client.send(get("/"));
    origin.nth(1);
    gateway.shutdown();
    assert!(client.is_closed());
}

#[test]
fn counters_outlive_a_change_of_routes() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for generation in 1..=3 {
        client.ask(get("/"));
        let mut next = table([route("m", origin.address)]);
        next.generation = generation;
        gateway.set_routes(next).unwrap();
    }
    client.ask(get("/"));
    let snapshot = gateway.snapshot();
    assert_eq!(snapshot.lanes.len(), 1);
    assert_eq!(snapshot.lanes[0].by_code, [(200, 4)]);
    assert_eq!(snapshot.lanes[0].latency.count, 4);
}

#[test]
fn the_side_branch_is_measured() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for _ in 0..128 {
        client.ask(get("/"));
    }
    eventually("two of 128 are measured", || gateway.snapshot().overhead.count == 2);
    assert!(gateway.snapshot().overhead.sum_us > 0.0);
}
