//! What decoding 30 features costs: `cargo run --release -p record --example decode_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, not a library")]

use std::hint::black_box;
use std::time::Instant;

use record::{Decoded, Decoder, DecoderSpec, Extract};

/// Decodes often and gives the best round's nanoseconds per decode.
fn nanoseconds(spec: DecoderSpec, path: &str, body: &str) -> f64 {
    let mut decoder = Decoder::new(spec);
    let mut into = Decoded::new();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..5_000 {
            decoder.decode_request(path.as_bytes(), black_box(body.as_bytes()), &mut into).unwrap();
            black_box(&into);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / 5_000.0);
    }
    best
}

fn main() {
    let value = |feature: usize| (feature * 7_919 % 100_000) as f64 / 100_000.0;
    let tensor =
        |n| format!(r#"{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{:.5}]}}"#, value(n));
    let list = |one: &dyn Fn(usize) -> String| (1..=30).map(one).collect::<Vec<_>>().join(",");
    let v2 = format!(r#"{{"id":"7","inputs":[{}]}}"#, list(&tensor));
    let v1 = format!(r#"{{"instances":[[{}]]}}"#, list(&|n| format!("{:.5}", value(n))));
    let json = format!("{{{}}}", list(&|n| format!(r#""f{n:02}":{:.5}"#, value(n))));
    let extract = |n| Extract { name: format!("f{n:02}"), path: format!("$.f{n:02}").parse().unwrap() };
    let selected = DecoderSpec { features: (1..=30).map(extract).collect(), ..DecoderSpec::default() };
    for (name, spec, path, body) in [
        ("v2 by path", DecoderSpec::default(), "/v2/models/fraud/infer", &v2),
        ("v2 by body", DecoderSpec::default(), "/score", &v2),
        ("v1", DecoderSpec::default(), "/score", &v1),
        ("json", DecoderSpec::default(), "/score", &json),
        ("json paths", selected, "/score", &json),
    ] {
        println!("{name}: {} bytes, {:.0} ns", body.len(), nanoseconds(spec, path, body));
    }
}
