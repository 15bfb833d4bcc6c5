//! What a line of the inference log costs the monitor's thread, beside decoding the same exchange.
//!
//! `cargo run --release -p feeds --example log_cost`. Best of several rounds, 30 features, the sink writes files meanwhile.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::{Duration, Instant};

use feeds::sinks::{FilesSpec, LogFilter, LogSpec, Logs, QueueLimits, SinkKind};
use record::{Body, Decoded, Decoder, DecoderSpec, Exchange, Follower, Inference, Lane, Pairing};

const ROUNDS: usize = 15;
const LINES: usize = 20_000;
const FEATURES: usize = 30;

fn exchange(i: usize) -> Exchange {
    let cells: Vec<String> =
        (0..FEATURES).map(|f| format!("\"feature_{f:02}\":{}", (i * 37 + f * 11) % 1_000)).collect();
    Exchange {
        at_ms: 1_769_860_800_000,
        model: "fraud".into(),
        version: "v2".into(),
        lane: Lane::Prod,
        tenant: Some("acme".into()),
        request_id: format!("request-{i}").into(),
        status: 200,
        latency_ms: 1.25,
        first_byte_ms: None,
        headers: Vec::new(),
        path: "/v1/models/fraud:predict".into(),
        request: Body::complete(format!("{{\"instances\":[{{{}}}]}}", cells.join(","))),
        response: Body::complete("{\"predictions\":[0.5]}"),
        pairing: Pairing::Unknown,
    }
}

fn inference<'a>(exchange: &'a Exchange, decoded: &'a Decoded) -> Inference<'a> {
    Inference {
        at_ms: exchange.at_ms,
        model: &exchange.model,
        version: &exchange.version,
        lane: exchange.lane,
        tenant: exchange.tenant.as_deref(),
        request_id: &exchange.request_id,
        status: Some(exchange.status),
        latency_ms: Some(exchange.latency_ms),
        request_bytes: Some(exchange.request.total_bytes),
        response_bytes: Some(exchange.response.total_bytes),
        headers: &[],
        pairing: exchange.pairing,
        decoded,
        problem: None,
    }
}

fn main() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let files = FilesSpec {
        folder: folder.path().to_owned(),
        rotate_bytes: 1 << 30,
        gzip: false,
        keep_prod: Duration::from_secs(86_400),
        keep_shadow: Duration::from_secs(86_400),
        max_bytes: 1 << 40,
    };
    let queue = QueueLimits { records: 4 * LINES, bytes: 1 << 30 };
    let spec = LogSpec { filter: LogFilter::default(), queue, sinks: vec![SinkKind::Files(files)] };
    let logs = Logs::start(&spec, || 1_769_860_800_000)?;
    let mut follower = logs.follower();
    let exchanges: Vec<Exchange> = (0..500).map(exchange).collect();
    let (mut decoder, mut decoded) = (Decoder::new(DecoderSpec::default()), Decoded::new());
    let (mut decoding, mut logging) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (mut decode, mut log) = (Duration::ZERO, Duration::ZERO);
        for exchange in exchanges.iter().cycle().take(LINES) {
            let began = Instant::now();
            let read = decoder.decode(exchange, &mut decoded);
            let between = Instant::now();
            follower.saw(&inference(exchange, &decoded));
            log += between.elapsed();
            decode += between - began;
            assert!(read.is_ok(), "{read:?}");
        }
        (decoding, logging) = (decoding.min(decode), logging.min(log));
    }
    let per_line = |time: Duration| time.as_nanos() as f64 / LINES as f64;
    let (decode, log) = (per_line(decoding), per_line(logging));
    println!("decode {decode:.0} ns, log {log:.0} ns: {:.2} of decoding", log / decode);
    logs.finish(Duration::from_secs(60));
    println!("{:?}", logs.status());
    Ok(())
}
