//! A gateway from the command line, for measuring: one model, one version, and a shadow if wanted.
//!
//! `cargo run --release -p gateway --example plain_proxy -- 127.0.0.1:8080 http://127.0.0.1:9000 [SHADOW_URL PERCENT]`
//!
//! Nothing is kept of a request; with `TAP=kept` in the environment everything is that measuring needs, and thrown away.

use std::sync::Arc;
use std::time::Duration;

use gateway::{
    Gateway, GatewayConfig, Limits, ModelRoute, NoTap, RouteMatch, RouteTable, SampleBy, Shadow, Upstream,
    Version,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, prod, rest @ ..] = arguments.as_slice() else {
        return Err("usage: plain_proxy LISTEN UPSTREAM [SHADOW PERCENT]".into());
    };
    let tap = std::env::var("TAP").is_ok_and(|tap| tap == "kept");
    let mut versions = vec![version("prod", prod)?];
    let mut shadows = Vec::new();
    if let [url, percent] = rest {
        versions.push(version("shadow", url)?);
        shadows.push(Shadow {
            version: Some(1),
            noise: false,
            percent: percent.parse()?,
            sample_by: SampleBy::Random,
            honour_mark: true,
            strip_credentials: true,
            strip_headers: Vec::new(),
            timeout: Duration::from_secs(5),
            tap,
            methods: Vec::new(),
        });
    }
    let route = ModelRoute {
        name: "model".into(),
        matches: RouteMatch::default(),
        versions,
        split: vec![(0, 1)],
        shadows,
        tenant_header: tap.then(|| "x-tenant-id".parse()).transpose()?,
        tap,
        log_headers: Vec::new(),
        sticky_header: None,
        retry: gateway::Retry::default(),
    };
    let config = GatewayConfig {
        listen: Some(listen.parse()?),
        tls: None,
        workers: std::env::var("WORKERS").map_or(Ok(1), |n| n.parse())?,
        limits: Limits::default(),
        shutdown_grace: Duration::from_secs(5),
    };
    let gateway =
        Gateway::start(config, RouteTable { models: vec![Arc::new(route)], generation: 1 }, Arc::new(NoTap))?;
    while gateway.is_healthy() {
        std::thread::sleep(Duration::from_secs(5));
    }
    Ok(())
}

fn version(name: &str, url: &str) -> Result<Version, Box<dyn std::error::Error>> {
    let upstream = Upstream {
        url: url.parse()?,
        http2: false,
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(60),
        preserve_host: false,
        idle: None,
    };
    Ok(Version { name: name.into(), upstream })
}
