//! One of the paths that every request takes, a given number of times, for a profiler or an instruction counter.
//!
//! `cargo run --release -p monitor --example hot_path -- decode|windows|count|evaluate TIMES`
//!
//! The request is the one of `bench/`: 1.9 KB of KServe v2 with 30 features. `decode` reads its bodies, `windows` reads them
//! and counts their rows into windows, `count` shows them to the sequential detectors as well, `evaluate` computes PSI, JS and critical values of 30 features over 1 000 rows.
//! `bench/instructions` runs it.
#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::hint::black_box;

use monitor::{Engine, ModelSpec, ReferenceSpec, TenantSpec, WindowLimits};
use record::{Body, Decoded, Decoder, DecoderSpec, Exchange, Lane, Pairing};
use stats::{BinningRule, RangeRule};

const FEATURES: usize = 30;
const BODIES: usize = 64;
const LEARNED: usize = 1_000;

fn spec(detector: bool) -> ModelSpec {
    ModelSpec {
        detector: monitor::DetectorSpec { enabled: detector, ..monitor::DetectorSpec::default() },
        name: "fraud".into(),
        versions: Vec::new(),
        owner: None,
        decoder: DecoderSpec::default(),
        reference: ReferenceSpec::Learn { rows: LEARNED },
        grow: std::time::Duration::from_secs(7 * 86_400),
        binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax },
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

fn exchange(number: usize) -> Exchange {
    let value = |feature: usize| ((number * 31 + feature) * 7_919 % 100_000) as f64 / 100_000.0;
    let tensor =
        |n| format!(r#"{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{:.5}]}}"#, value(n));
    let tensors = (1..=FEATURES).map(tensor).collect::<Vec<_>>().join(",");
    let score = value(0);
    let answer = format!(
        r#"{{"model_name":"fraud","model_version":"2","outputs":[{{"name":"score","datatype":"FP32","shape":[1],"data":[{score:.7}]}}]}}"#
    );
    let json = |text: String| {
        let content_type = Some("application/json".into());
        Body { content_type, ..Body::complete(text) }
    };
    Exchange {
        at_ms: number as i64,
        model: "fraud".into(),
        version: "v2".into(),
        lane: Lane::Prod,
        tenant: Some("acme".into()),
        request_id: format!("{number:032x}").into(),
        status: 200,
        latency_ms: 1.0,
        first_byte_ms: None,
        path: "/v2/models/fraud/infer".into(),
        request: json(format!(r#"{{"id":"{number}","inputs":[{tensors}]}}"#)),
        response: json(answer),
        headers: Vec::new(),
        pairing: Pairing::Alone,
    }
}

/// The bodies in turn, each time with another request's id: a request that comes again would count once.
struct Requests {
    exchanges: Vec<Exchange>,
    number: u64,
}

impl Requests {
    fn next(&mut self) -> &Exchange {
        self.number += 1;
        let at = self.number as usize % self.exchanges.len();
        self.exchanges[at].request_id = format!("{:032x}", self.number).into();
        &self.exchanges[at]
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, times] = arguments.as_slice() else {
        eprintln!("usage: hot_path decode|windows|count|evaluate TIMES");
        std::process::exit(2);
    };
    let times: usize = times.parse().unwrap();
    let mut requests = Requests { exchanges: (1..=BODIES).map(exchange).collect(), number: 0 };
    let mut engine = Engine::new(vec![spec(path != "windows")]);
    // References are learned, the tenant's too, and the window is full before anything is counted here.
    for number in 0..LEARNED + 4_000 {
        engine.observe(requests.next());
        if number % 250 == 0 {
            engine.readings(1);
        }
    }
    match path.as_str() {
        "decode" => {
            let (mut decoder, mut into) = (Decoder::new(DecoderSpec::default()), Decoded::new());
            for exchange in requests.exchanges.iter().cycle().take(times) {
                decoder.decode(black_box(exchange), &mut into).unwrap();
                black_box(&into);
            }
        }
        // `windows` is counting without the sequential detector.
        "windows" | "count" => {
            for _ in 0..times {
                assert!(engine.observe(black_box(requests.next())).is_some());
            }
        }
        "evaluate" => {
            for _ in 0..times {
                engine.observe(requests.next());
                black_box(engine.readings(2));
            }
        }
        other => {
            eprintln!("`{other}` is no path: use decode, windows, count or evaluate");
            std::process::exit(2);
        }
    }
}
