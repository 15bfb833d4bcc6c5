//! Agreement with scipy, scikit-learn and statsmodels on every case of `testdata/pairs.json`, which was computed with them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

/// Absolute error allowed, on numbers about 1; relative above.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Fixtures {
    numbers: Vec<Numbers>,
    classes: Vec<Classes>,
    shares: Vec<Shares>,
    differences: Vec<Differences>,
}

#[derive(Deserialize)]
struct Numbers {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    pearson: f64,
    spearman: f64,
    ranks_x: Vec<f64>,
    mean_difference: f64,
    mean_absolute_difference: f64,
    p50: f64,
    p95: f64,
}

#[derive(Deserialize)]
struct Classes {
    name: String,
    a: Vec<String>,
    b: Vec<String>,
    kappa: f64,
}

#[derive(Deserialize)]
struct Shares {
    hits: u64,
    n: u64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Differences {
    a: (u64, u64),
    b: (u64, u64),
    low: f64,
    high: f64,
}

fn fixtures() -> Fixtures {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/pairs.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn close(case: &str, got: f64, expected: f64) {
    assert!(
        (got - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
        "{case}: got {got}, expected {expected}"
    );
}

#[test]
fn correlation_and_differences() {
    for case in fixtures().numbers {
        let name = &case.name;
        close(name, stats::pearson(&case.x, &case.y).unwrap(), case.pearson);
        close(name, stats::spearman(&case.x, &case.y).unwrap(), case.spearman);
        assert_eq!(stats::ranks(&case.x), case.ranks_x, "{name}");
        let differences: Vec<f64> = case.x.iter().zip(&case.y).map(|(x, y)| y - x).collect();
        let (mean, absolute) = stats::means(&differences).unwrap();
        close(name, mean, case.mean_difference);
        close(name, absolute, case.mean_absolute_difference);
        let mut sorted: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
        sorted.sort_by(f64::total_cmp);
        close(name, stats::quantile(&sorted, 0.5).unwrap(), case.p50);
        close(name, stats::quantile(&sorted, 0.95).unwrap(), case.p95);
    }
}

#[test]
fn kappa_of_classes() {
    for case in fixtures().classes {
        let classes: BTreeSet<&String> = case.a.iter().chain(&case.b).collect();
        let counts = |side: &[String]| -> Vec<u64> {
            classes.iter().map(|class| side.iter().filter(|one| one == class).count() as u64).collect()
        };
        let agreed = case.a.iter().zip(&case.b).filter(|(a, b)| a == b).count() as u64;
        close(&case.name, stats::kappa(agreed, &counts(&case.a), &counts(&case.b)).unwrap(), case.kappa);
    }
}

#[test]
fn intervals() {
    let fixtures = fixtures();
    for Shares { hits, n, low, high } in fixtures.shares {
        let share = stats::wilson(hits, n).unwrap();
        close(&format!("{hits} of {n}"), share.low, low);
        close(&format!("{hits} of {n}"), share.high, high);
    }
    for Differences { a, b, low, high } in fixtures.differences {
        let (first, second) = (stats::wilson(a.0, a.1).unwrap(), stats::wilson(b.0, b.1).unwrap());
        let difference = stats::difference(first, second);
        close(&format!("{a:?} - {b:?}"), difference.low, low);
        close(&format!("{a:?} - {b:?}"), difference.high, high);
    }
}
