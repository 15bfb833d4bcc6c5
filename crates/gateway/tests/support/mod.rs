//! Test doubles over plain sockets, so that every byte can be seen and scripted.

pub(crate) mod client;
pub(crate) mod origin;
pub(crate) mod tap;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::{
    CopySnapshot, Gateway, GatewayConfig, Limits, ModelRoute, RouteMatch, RouteTable, SampleBy, Shadow, Tap,
    Upstream, Version,
};

/// No condition may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

pub(crate) fn version(name: &str, url: &str) -> Version {
    let upstream = Upstream {
        url: url.parse().unwrap(),
        http2: false,
        ca_file: None,
        connect_timeout: DEADLINE,
        answer_timeout: DEADLINE,
        preserve_host: false,
        idle: None,
    };
    Version { name: name.into(), upstream }
}

pub(crate) fn route(name: &str, prod: SocketAddr) -> ModelRoute {
    ModelRoute {
        name: name.into(),
        matches: RouteMatch::default(),
        versions: vec![version("v1", &format!("http://{prod}"))],
        split: vec![(0, 1)],
        shadows: Vec::new(),
        tenant_header: Some("x-tenant".parse().unwrap()),
        tap: true,
        log_headers: Vec::new(),
        sticky_header: None,
        retry: gateway::Retry::default(),
    }
}

pub(crate) fn shadow(percent: f64) -> Shadow {
    Shadow {
        version: Some(1),
        noise: false,
        percent,
        sample_by: SampleBy::Random,
        honour_mark: true,
        strip_credentials: true,
        strip_headers: Vec::new(),
        timeout: DEADLINE,
        tap: true,
        methods: Vec::new(),
    }
}

/// `prod` answers, `percent` is copied to `to`.
pub(crate) fn shadowed(prod: SocketAddr, to: SocketAddr, percent: f64) -> ModelRoute {
    let mut route = route("fraud", prod);
    route.versions.push(version("v2", &format!("http://{to}")));
    route.shadows.push(shadow(percent));
    route
}

pub(crate) fn table(routes: impl IntoIterator<Item = ModelRoute>) -> RouteTable {
    RouteTable { models: routes.into_iter().map(Arc::new).collect(), generation: 1 }
}

pub(crate) fn config() -> GatewayConfig {
    GatewayConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        tls: None,
        workers: 1,
        limits: Limits::default(),
        shutdown_grace: DEADLINE,
    }
}

pub(crate) fn start(route: ModelRoute) -> Gateway {
    start_with(config(), route, Arc::new(gateway::NoTap))
}

pub(crate) fn start_with(config: GatewayConfig, route: ModelRoute, tap: Arc<dyn Tap>) -> Gateway {
    Gateway::start(config, table([route]), tap).unwrap()
}

/// An address where nobody listens.
pub(crate) fn dead_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn copies(gateway: &Gateway) -> CopySnapshot {
    gateway.snapshot().copies.first().map(|(_, copies)| *copies).unwrap_or_default()
}

/// Copies whose fate is known.
pub(crate) fn settled(gateway: &Gateway) -> u64 {
    let c = copies(gateway);
    c.sent + c.dropped + c.failed + c.timeout
}

pub(crate) fn refused(gateway: &Gateway, reason: &str) -> u64 {
    gateway.snapshot().refused.iter().find(|(name, _)| *name == reason).unwrap().1
}
