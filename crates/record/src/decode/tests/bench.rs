//! What decoding costs: `cargo test --release -p record -- --ignored --nocapture cost`.

use std::hint::black_box;
use std::time::Instant;

use super::*;

/// Decodes often and gives the best round's nanoseconds per decode.
fn nanoseconds(spec: DecoderSpec, path: &[u8], body: &str) -> f64 {
    let mut decoder = Decoder::new(spec);
    let mut into = Decoded::new();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..5_000 {
            decoder.decode_request(path, black_box(body.as_bytes()), &mut into).unwrap();
            black_box(&into);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / 5_000.0);
    }
    best
}

#[test]
#[ignore = "prints a measurement"]
fn cost_of_30_features() {
    let value = |feature: usize| (feature * 7_919 % 100_000) as f64 / 100_000.0;
    let tensors: Vec<String> = (1..=30)
        .map(|n| format!(r#"{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{:.5}]}}"#, value(n)))
        .collect();
    let v2 = format!(r#"{{"id":"7","inputs":[{}]}}"#, tensors.join(","));
    let numbers: Vec<String> = (1..=30).map(|n| format!("{:.5}", value(n))).collect();
    let v1 = format!(r#"{{"instances":[[{}]]}}"#, numbers.join(","));
    let members: Vec<String> = (1..=30).map(|n| format!(r#""f{n:02}":{:.5}"#, value(n))).collect();
    let json = format!("{{{}}}", members.join(","));
    let paths: Vec<(String, String)> = (1..=30).map(|n| (format!("f{n:02}"), format!("$.f{n:02}"))).collect();
    let paths: Vec<(&str, &str)> = paths.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    let selected = DecoderSpec { features: extracts(&paths), ..DecoderSpec::default() };
    for (name, spec, path, body) in [
        ("v2 by path", DecoderSpec::default(), "/v2/models/fraud/infer", &v2),
        ("v2 by body", DecoderSpec::default(), "/score", &v2),
        ("v1", DecoderSpec::default(), "/score", &v1),
        ("json", DecoderSpec::default(), "/score", &json),
        ("json paths", selected, "/score", &json),
    ] {
        println!("{name}: {} bytes, {:.0} ns", body.len(), nanoseconds(spec, path.as_bytes(), body));
    }
}
