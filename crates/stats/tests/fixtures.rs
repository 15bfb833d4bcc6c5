//! Agreement with numpy and scipy: every case of `testdata/public.json`, and the golden vectors of
//! `testdata/testvectors.json`. Both were computed without this crate.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use stats::{BinningRule, Bins, CategoricalBins, Distances, NumericBins, RangeRule};

/// Relative error allowed for statistics, and for p-values.
const STATISTIC: f64 = 1e-9;
const P_VALUE: f64 = 1e-6;

fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Compares what one case expects with what this crate says, and remembers which fields were looked at.
struct Check<'a> {
    case: &'a str,
    expected: &'a Value,
    seen: BTreeSet<String>,
}

impl<'a> Check<'a> {
    fn new(case: &'a str, expected: &'a Value) -> Self {
        Self { case, expected, seen: BTreeSet::new() }
    }

    fn number(&mut self, field: &str, got: Option<f64>, tolerance: f64) {
        self.seen.insert(field.to_owned());
        let expected = &self.expected[field];
        match (expected.as_f64(), got) {
            (None, None) => assert!(expected.is_null(), "{} {field}: not a number: {expected}", self.case),
            (Some(expected), Some(got)) => {
                let error = (got - expected).abs();
                assert!(
                    error <= tolerance * expected.abs(),
                    "{} {field}: got {got}, expected {expected}",
                    self.case
                );
            }
            (_, got) => panic!("{} {field}: got {got:?}, expected {expected}", self.case),
        }
    }

    fn distances(&mut self, field: &str, got: Option<Distances>) {
        self.seen.insert(field.to_owned());
        let got = got.unwrap_or_else(|| panic!("{} {field}: insufficient data", self.case));
        let mut inner = Check::new(self.case, &self.expected[field]);
        inner.number("psi", Some(got.psi), STATISTIC);
        inner.number("js_divergence", Some(got.js_divergence), STATISTIC);
        inner.number("js_distance", Some(got.js_distance), STATISTIC);
        inner.number("kl", Some(got.kl), STATISTIC);
        inner.number("hellinger", Some(got.hellinger), STATISTIC);
        inner.number("total_variation", Some(got.total_variation), STATISTIC);
        inner.number("bins", Some(got.bins as f64), 0.0);
        inner.all_seen();
    }

    fn all_seen(&self) {
        let fields: BTreeSet<String> = self.expected.as_object().unwrap().keys().cloned().collect();
        assert_eq!(self.seen, fields, "{}: fields checked and fields expected", self.case);
    }
}

// === numbers ===

/// Values in arrival order; NaN is missing.
fn numbers(sample: &Value) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap(),
    };
    sample.as_array().unwrap().iter().map(number).collect()
}

fn sorted(values: &[f64], keep: fn(f64) -> bool) -> Vec<f64> {
    let mut kept: Vec<f64> = values.iter().copied().filter(|value| keep(*value)).collect();
    kept.sort_unstable_by(f64::total_cmp);
    kept
}

fn count_numbers(bins: &NumericBins, values: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; bins.len() + 1];
    for value in values {
        counts[bins.index(*value).unwrap_or(bins.len())] += 1;
    }
    counts
}

fn missing_share(counts: &[u64]) -> Option<f64> {
    Some(*counts.last()? as f64 / counts.iter().sum::<u64>() as f64)
}

fn check_numeric(case: &Value) {
    let (reference, current) = (numbers(&case["reference"]), numbers(&case["current"]));
    let bins = case["bins"].as_u64().unwrap() as usize;
    let mut check = Check::new(case["name"].as_str().unwrap(), &case["expected"]);
    let finite = sorted(&reference, f64::is_finite);

    let rules = [
        ("equal_width", BinningRule::EqualWidth { bins, range: RangeRule::MinMax }),
        ("quantile", BinningRule::Quantile { bins }),
    ];
    for (field, rule) in rules {
        let fitted = NumericBins::fit(&finite, rule).unwrap();
        let (r, c) = (count_numbers(&fitted, &reference), count_numbers(&fitted, &current));
        let distances = stats::distances(&Bins::Numeric(fitted), &r, &c);
        check.distances(field, distances);
        if field == "equal_width" {
            let bins = distances.unwrap().bins;
            let noise = stats::psi_noise(bins, reference.len() as u64, current.len() as u64);
            check.number("psi_noise", Some(noise), STATISTIC);
            check.number("missing_reference", missing_share(&r), STATISTIC);
            check.number("missing_current", missing_share(&c), STATISTIC);
        }
    }

    let present = |values: &[f64]| sorted(values, |value| !value.is_nan());
    let (r, c) = (present(&reference), present(&current));
    let ks = stats::ks(&r, &c);
    check.number("ks", ks, STATISTIC);
    check.number("ks_p_value", ks.map(|d| stats::ks_p_value(d, r.len(), c.len())), P_VALUE);
    let current_finite = sorted(&current, f64::is_finite);
    check.number("wasserstein", stats::wasserstein(&finite, &current_finite), STATISTIC);
    check.number("wasserstein_normed", stats::wasserstein_normed(&finite, &current_finite), STATISTIC);
    check.all_seen();
}

// === categories ===

fn categories(sample: &Value) -> Vec<Option<&str>> {
    sample.as_array().unwrap().iter().map(Value::as_str).collect()
}

fn count_categories(bins: &CategoricalBins, values: &[Option<&str>]) -> Vec<u64> {
    let mut counts = vec![0; bins.len() + 1];
    for value in values {
        counts[value.map_or(bins.len(), |category| bins.index(category))] += 1;
    }
    counts
}

fn check_categorical(case: &Value) {
    let (reference, current) = (categories(&case["reference"]), categories(&case["current"]));
    let mut check = Check::new(case["name"].as_str().unwrap(), &case["expected"]);
    let fit = |values: &[Option<&str>]| {
        CategoricalBins::fit(values.iter().flatten().map(|category| (*category, 1)), usize::MAX).unwrap()
    };

    let bins = fit(&reference);
    let (r, c) = (count_categories(&bins, &reference), count_categories(&bins, &current));
    let distances = stats::distances(&Bins::Categorical(bins), &r, &c);
    check.distances("categorical", distances);
    let noise = stats::psi_noise(distances.unwrap().bins, reference.len() as u64, current.len() as u64);
    check.number("psi_noise", Some(noise), STATISTIC);
    check.number("missing_reference", missing_share(&r), STATISTIC);
    check.number("missing_current", missing_share(&c), STATISTIC);

    let all = fit(&[reference.clone(), current.clone()].concat());
    let test = stats::chi_square(&count_categories(&all, &reference), &count_categories(&all, &current));
    check.number("chi2", test.map(|test| test.statistic), STATISTIC);
    check.number("chi2_dof", test.map(|test| test.dof as f64), 0.0);
    check.number("chi2_p_value", test.map(|test| test.p_value), P_VALUE);
    check.all_seen();
}

#[test]
fn every_case_agrees_with_numpy_and_scipy() {
    let fixtures = load("public.json");
    let cases = fixtures["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 26);
    for case in cases {
        match case["type"].as_str().unwrap() {
            "numeric" => check_numeric(case),
            _ => check_categorical(case),
        }
    }
}

// === golden vectors ===

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

#[test]
fn golden_vectors_of_the_smoothed_distances() {
    let vectors = load("testvectors.json");
    let golden = &vectors["distances"];
    let (reference, current) = (counts(&golden["ref_counts"]), counts(&golden["cur_counts"]));
    let (m, n) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    let slots = reference.len();
    let mut check = Check::new("golden", golden);
    for input in ["ref_counts", "cur_counts"] {
        check.seen.insert(input.to_owned());
    }
    check.number("smoothing", Some(stats::jeffreys::SMOOTHING), 0.0);

    let smoothed = stats::jeffreys::distances(&reference, &current).unwrap();
    check.number("psi", Some(smoothed.psi), STATISTIC);
    check.number("kl_cur_ref_nats", Some(smoothed.kl), STATISTIC);
    check.number("js_div_bits", Some(smoothed.js_divergence), STATISTIC);
    check.number("js_distance", Some(smoothed.js_distance), STATISTIC);
    check.number("hellinger", Some(smoothed.hellinger), STATISTIC);
    check.number("total_variation", Some(smoothed.total_variation), STATISTIC);
    check.number("ks_on_bins", Some(smoothed.ks_on_bins), STATISTIC);

    let bins = Bins::from(NumericBins::equal_width(0.0, 1.0, slots - 1).unwrap());
    let floored = stats::distances(&bins, &reference, &current).unwrap();
    check.number("psi_floor_1e4", Some(floored.psi), STATISTIC);

    let chi_square = stats::chi_square(&reference, &current).unwrap();
    check.number("x2_two_sample", Some(chi_square.statistic), STATISTIC);
    check.number("x2_df", Some(chi_square.dof as f64), 0.0);
    check.number("x2_p", Some(chi_square.p_value), P_VALUE);
    check.number("g_two_sample", stats::g_test(&reference, &current).map(|test| test.statistic), STATISTIC);

    let noise = stats::psi_noise(slots, n, m);
    check.number("psi_bias", Some(noise), STATISTIC);
    check.number("psi_scaled", Some(smoothed.psi * (slots - 1) as f64 / noise), STATISTIC);
    check.number("psi_p", stats::psi_p_value(smoothed.psi, slots, n, m), P_VALUE);
    check.number("psi_debiased", Some(stats::debiased_psi(smoothed.psi, slots, n, m)), STATISTIC);
    check.number("psi_crit_alpha_0_01", stats::psi_critical(slots, n, m, 0.01), STATISTIC);
    let ks_p = stats::ks_p_value_corrected(0.1, 300, 1000);
    check.number("ks_p_asymptotic_D0_1_n300_m1000", Some(ks_p), P_VALUE);
    check.all_seen();
}

#[test]
fn golden_vectors_of_multiple_testing() {
    let vectors = load("testvectors.json");
    let golden = &vectors["multiple"];
    let p_values: Vec<f64> = golden["p"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    let rejected = stats::benjamini_hochberg(&p_values, golden["alpha"].as_f64().unwrap());
    let indexes: Vec<u64> = (0..).zip(rejected).filter(|(_, rejected)| *rejected).map(|(i, _)| i).collect();
    assert_eq!(indexes, counts(&golden["bh"]));
}
