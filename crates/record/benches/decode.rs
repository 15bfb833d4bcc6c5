//! What reading one request with 30 features costs, by protocol: `cargo bench -p record`.
#![allow(missing_docs, reason = "a measurement, not a library")]

use divan::{Bencher, black_box};
use record::{Body, Decoded, Decoder, DecoderSpec, Exchange, Lane, Pairing};

fn main() {
    divan::main();
}

/// Bodies that differ in their values, as a client's do.
const BODIES: usize = 64;

fn value(body: usize, feature: usize) -> f64 {
    ((body * 31 + feature) * 7_919 % 100_000) as f64 / 100_000.0
}

fn list(one: impl Fn(usize) -> String) -> String {
    (1..=30).map(one).collect::<Vec<_>>().join(",")
}

fn exchange(path: &'static str, content_type: &'static str, request: String) -> Exchange {
    Exchange {
        at_ms: 0,
        model: "m".into(),
        version: "v".into(),
        lane: Lane::Prod,
        tenant: None,
        request_id: "id".into(),
        status: 500,
        latency_ms: 1.0,
        first_byte_ms: None,
        path: path.into(),
        request: Body { content_type: Some(content_type.into()), ..Body::complete(request) },
        response: Body::default(),
        headers: Vec::new(),
        pairing: Pairing::Alone,
    }
}

fn bodies(protocol: &str) -> Vec<Exchange> {
    let one = |body: usize| match protocol {
        "kserve-v2" | "kserve-v2, always written in another way" => {
            let tensor = |n| {
                let value = value(body, n);
                format!(r#"{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{value:.5}]}}"#)
            };
            let space = if protocol == "kserve-v2" { String::new() } else { " ".repeat(body) };
            let text = format!(r#"{{"id":"{body}",{space}"inputs":[{}]}}"#, list(tensor));
            exchange("/v2/models/m/infer", "application/json", text)
        }
        "kserve-v1" => {
            let text = format!(r#"{{"instances":[[{}]]}}"#, list(|n| format!("{:.5}", value(body, n))));
            exchange("/v1/models/m:predict", "application/json", text)
        }
        "json" => {
            let text = format!("{{{}}}", list(|n| format!(r#""f{n:02}":{:.5}"#, value(body, n))));
            exchange("/score", "application/json", text)
        }
        "json with 10 texts" => {
            let field = |n| match n % 3 {
                0 => format!(r#""f{n:02}":"category {}""#, (body + n) % 7),
                _ => format!(r#""f{n:02}":{:.5}"#, value(body, n)),
            };
            exchange("/score", "application/json", format!("{{{}}}", list(field)))
        }
        _ => exchange("/invocations", "text/csv", list(|n| format!("{:.5}", value(body, n)))),
    };
    (0..BODIES).map(one).collect()
}

#[divan::bench(args = [
    "kserve-v2", "kserve-v2, always written in another way", "kserve-v1", "json", "json with 10 texts", "csv",
])]
fn request(bencher: Bencher<'_, '_>, protocol: &str) {
    let (bodies, mut decoder, mut into) =
        (bodies(protocol), Decoder::new(DecoderSpec::default()), Decoded::new());
    let mut next = bodies.iter().cycle();
    bencher.bench_local(|| {
        let exchange = next.next().expect("a cycle has no end");
        decoder.decode(black_box(exchange), &mut into).expect("every body can be read");
        into.n_cells()
    });
}
