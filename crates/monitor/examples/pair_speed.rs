//! Prints what joining answers costs: `cargo run --release -p monitor --example pair_speed`.
#![allow(clippy::print_stdout, reason = "a measurement, not a library")]

use std::hint::black_box;
use std::time::Instant;

use monitor::pairs::Pairs;
use monitor::{ModelSpec, PairSpec, ReferenceSpec, TenantSpec, WindowLimits};
use record::{CellValue, Decoded, DecoderSpec, Follower, Inference, Lane, Pairing};
use stats::{BinningRule, RangeRule};

const ANSWERS: usize = 200_000;

fn spec() -> ModelSpec {
    ModelSpec {
        detector: monitor::DetectorSpec::default(),
        name: "m".into(),
        versions: Vec::new(),
        owner: None,
        decoder: DecoderSpec::default(),
        reference: ReferenceSpec::Learn { rows: 1_000 },
        grow: std::time::Duration::from_secs(7 * 86_400),
        binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax },
        window: 1_000,
        min_requests: 100,
        alpha: 0.01,
        tenants: TenantSpec::default(),
        pairs: Some(PairSpec::default()),
        limits: WindowLimits::default(),
        include: Vec::new(),
        exclude: Vec::new(),
        judge: Vec::new(),
    }
}

fn answer<'a>(lane: Lane, pairing: Pairing, id: &'a [u8], decoded: &'a Decoded) -> Inference<'a> {
    Inference {
        at_ms: 0,
        model: "m",
        version: if lane == Lane::Prod { "v2" } else { "v1" },
        lane,
        tenant: Some(b"acme"),
        request_id: id,
        status: Some(200),
        latency_ms: Some(1.0),
        request_bytes: None,
        response_bytes: None,
        headers: &[],
        pairing,
        decoded,
        problem: None,
    }
}

fn main() {
    let mut decoded = Decoded::new();
    let name = decoded.intern("prediction");
    decoded.push_prediction(0, name, CellValue::Number(0.5));
    let ids: Vec<String> = (0..ANSWERS).map(|n| format!("9f3c6a52-0d1e-4b7a-8c55-{n:012}")).collect();
    for round in 0..3 {
        let time = |pairings: &[(Lane, Pairing)]| {
            let mut pairs = Pairs::new(&[spec()]);
            let start = Instant::now();
            for id in &ids {
                for (lane, pairing) in pairings {
                    pairs.saw(black_box(&answer(*lane, *pairing, id.as_bytes(), &decoded)));
                }
            }
            (start.elapsed().as_nanos() as usize / ANSWERS, pairs)
        };
        let (alone, _) = time(&[(Lane::Prod, Pairing::Alone)]);
        let (waits, full) = time(&[(Lane::Prod, Pairing::Unknown)]);
        let (joined, mut pairs) = time(&[(Lane::Prod, Pairing::Copied(1)), (Lane::Shadow, Pairing::Unknown)]);
        let start = Instant::now();
        black_box(pairs.readings());
        let readings = start.elapsed().as_micros();
        println!(
            "round {round}: not copied {alone} ns, waits until it is pushed out {waits} ns, a whole pair {joined} ns; \
             readings of 1 000 pairs {readings} us; {} KiB with all places taken",
            full.memory_bytes() / 1024
        );
    }
}
