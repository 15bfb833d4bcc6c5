//! Prints what counting and evaluating cost: `cargo run --release -p monitor --example engine_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use monitor::profile::{BuildRules, ProfileBuilder};
use monitor::{Engine, ModelSpec, ReferenceSpec, TenantSpec, WindowLimits};
use record::{Body, Decoded, Decoder, DecoderSpec, Exchange, Lane};
use stats::{BinningRule, RangeRule};

const FEATURES: usize = 30;
const BINNING: BinningRule = BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax };

fn spec() -> ModelSpec {
    let mut builder = ProfileBuilder::new(BuildRules { binning: BINNING, categories: 100 });
    for i in 0..2_000 {
        for f in 0..FEATURES {
            builder.column(&format!("feature_{f:02}")).push_number(((i * 31 + f * 17) % 1_000) as f64);
        }
    }
    ModelSpec {
        // `DETECTOR=off` for what is left without it.
        detector: monitor::DetectorSpec {
            enabled: std::env::var_os("DETECTOR").is_none_or(|value| value != "off"),
            ..monitor::DetectorSpec::default()
        },
        name: "m".into(),
        versions: Vec::new(),
        owner: None,
        decoder: DecoderSpec::default(),
        reference: ReferenceSpec::Profile { profile: Arc::new(builder.finish("m", 0)), learn: 100 },
        grow: std::time::Duration::from_secs(7 * 86_400),
        binning: BINNING,
        window: 1_000,
        min_requests: 100,
        alpha: 0.01,
        tenants: TenantSpec::default(),
        pairs: None,
        limits: WindowLimits::default(),
        include: Vec::new(),
        exclude: Vec::new(),
        judge: Vec::new(),
    }
}

fn exchange(i: usize, tenants: usize, lane: Lane) -> Exchange {
    let cells: Vec<String> =
        (0..FEATURES).map(|f| format!("\"feature_{f:02}\":{}", (i * 37 + f * 11) % 1_000)).collect();
    let row = format!("{{\"instances\":[{{{}}}]}}", cells.join(","));
    Exchange {
        at_ms: i as i64,
        model: "m".into(),
        version: "v1".into(),
        lane,
        tenant: Some(format!("tenant-{}", i % tenants).into()),
        request_id: "id".into(),
        status: 200,
        latency_ms: 1.0,
        first_byte_ms: None,
        headers: Vec::new(),
        path: "/v1/models/m:predict".into(),
        request: Body::complete(row),
        response: Body::complete("{\"predictions\":[0.5]}"),
        pairing: record::Pairing::Unknown,
    }
}

fn main() {
    let exchanges: Vec<Exchange> = (0..2_000).map(|i| exchange(i, 20, Lane::Prod)).collect();
    let mut decoder = Decoder::new(DecoderSpec::default());
    let mut decoded = Decoded::new();
    let mut engine = Engine::new(vec![spec()]);
    for round in 0..3 {
        let start = Instant::now();
        for exchange in exchanges.iter().cycle().take(100_000) {
            decoder.decode(black_box(exchange), &mut decoded).unwrap();
        }
        let decode = start.elapsed().as_nanos() / 100_000;
        let start = Instant::now();
        for exchange in exchanges.iter().cycle().take(100_000) {
            engine.observe(black_box(exchange));
        }
        let observe = start.elapsed().as_nanos() / 100_000;
        println!("round {round}: decode {decode} ns, observe {observe} ns, counting {} ns", observe - decode);
    }

    engine.readings(0);
    for changed in [1, 20] {
        let mut total = 0;
        for i in 0..1_000 {
            exchanges[..changed].iter().for_each(|exchange| {
                engine.observe(exchange);
            });
            let start = Instant::now();
            black_box(engine.readings(i));
            total += start.elapsed().as_nanos();
        }
        let windows = (changed + 1) as u128;
        println!(
            "readings, {windows} windows changed: {} ns, {} ns a window",
            total / 1_000,
            total / 1_000 / windows
        );
    }

    let mut big = Engine::new(vec![spec()]);
    for lane in [Lane::Prod, Lane::Shadow] {
        let exchanges: Vec<Exchange> = (0..2_000).map(|i| exchange(i, 1_000, lane)).collect();
        let start = Instant::now();
        exchanges.iter().cycle().take(1_000_000).for_each(|exchange| {
            big.observe(exchange);
        });
        println!("{lane}: observe over 1 000 tenants {} ns", start.elapsed().as_nanos() / 1_000_000);
    }
    println!(
        "1 000 tenants, 2 lanes: estimated {} MB, resident {}",
        big.memory_bytes() / 1_000_000,
        resident()
    );
    for what in ["first", "unchanged"] {
        let start = Instant::now();
        black_box(big.readings(0));
        println!("readings of 2 002 windows, {what}: {} us", start.elapsed().as_micros());
    }
    println!("with readings: estimated {} MB, resident {}", big.memory_bytes() / 1_000_000, resident());
    let start = Instant::now();
    let bytes = big.snapshot();
    println!("snapshot {} MB in {} ms", bytes.len() / 1_000_000, start.elapsed().as_millis());
    let start = Instant::now();
    Engine::new(vec![spec()]).restore(&bytes).unwrap();
    println!("restore in {} ms", start.elapsed().as_millis());
}

/// Resident memory as Linux says it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
