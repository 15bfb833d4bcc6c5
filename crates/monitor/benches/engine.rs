//! Counting and evaluating 30 features over windows of 1 000: `cargo bench -p monitor`.
#![allow(missing_docs, reason = "a measurement, not a library")]

use divan::{Bencher, black_box};
use monitor::{Engine, ModelSpec, ReferenceSpec, TenantSpec, WindowLimits};
use record::{FeatureValue, Lane, Record};
use stats::{BinningRule, RangeRule};

fn main() {
    divan::main();
}

fn spec() -> ModelSpec {
    ModelSpec {
        detector: monitor::DetectorSpec::default(),
        name: "m".into(),
        versions: Vec::new(),
        owner: None,
        decoder: record::DecoderSpec::default(),
        reference: ReferenceSpec::Learn { rows: 1_000 },
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

fn record(number: usize, tenants: usize) -> Record {
    let feature = |f: usize| {
        let value = ((number * 31 + f) * 7_919 % 100_000) as f64;
        (format!("f{f:02}"), FeatureValue::Number(value))
    };
    Record {
        model: "m".to_owned(),
        version: Some("v1".to_owned()),
        lane: Lane::Prod,
        tenant: Some(format!("t{}", number % tenants)),
        features: (0..30).map(feature).collect(),
        ..Record::default()
    }
}

/// An engine whose reference is learned and whose windows are full.
fn engine(tenants: usize) -> (Engine, Vec<Record>) {
    let mut engine = Engine::new(vec![spec()]);
    let records: Vec<Record> = (0..2_000).map(|number| record(number, tenants)).collect();
    for record in records.iter().chain(&records) {
        engine.observe_record(record).expect("every record can be counted");
    }
    engine.readings(1);
    (engine, records)
}

#[divan::bench(args = [1, 1_000])]
fn count_record(bencher: Bencher<'_, '_>, tenants: usize) {
    let (mut engine, records) = engine(tenants);
    let mut next = records.iter().cycle();
    bencher.bench_local(|| {
        let record = next.next().expect("a cycle has no end");
        engine.observe_record(black_box(record)).is_ok()
    });
}

/// Every window has changed: those of the tenants and the one over all.
#[divan::bench(args = [1, 100], sample_count = 50)]
fn readings(bencher: Bencher<'_, '_>, tenants: usize) {
    let (mut engine, records) = engine(tenants);
    bencher.bench_local(|| {
        for record in &records[..tenants] {
            engine.observe_record(record).expect("every record can be counted");
        }
        engine.readings(2)
    });
}

#[divan::bench(args = [1_000], sample_count = 20)]
fn snapshot(bencher: Bencher<'_, '_>, tenants: usize) {
    let (engine, _) = engine(tenants);
    bencher.bench_local(|| black_box(&engine).snapshot());
}
