//! Kolmogorov-Smirnov and Wasserstein: cases by hand, the hard cases, and agreement with a plain recount.

use super::*;
use proptest::prelude::*;

#[test]
fn by_hand() {
    assert_eq!(ks(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), Some(0.5));
    assert_eq!(wasserstein(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), Some(2.0));
    assert_eq!(wasserstein(&[0.0, 1.0], &[0.0, 0.0, 1.0, 1.0]), Some(0.0));
    assert_eq!(wasserstein_normed(&[0.0, 2.0], &[10.0]), Some(9.0));
}

#[test]
fn zeros_tie_whatever_their_sign_and_infinities_count() {
    assert_eq!(ks(&[-0.0, 0.0], &[0.0]), Some(0.0));
    assert_eq!(ks(&[1.0, f64::INFINITY], &[f64::NEG_INFINITY, 1.0]), Some(0.5));
    assert_eq!(wasserstein(&[1.0, f64::INFINITY], &[1.0]), None);
}

#[test]
fn too_little_data_is_not_zero() {
    assert_eq!((ks(&[], &[1.0]), ks(&[1.0], &[]), ks(&[f64::NAN], &[1.0])), (None, None, None));
    assert_eq!((wasserstein(&[], &[1.0]), wasserstein(&[f64::NAN], &[1.0])), (None, None));
    assert_eq!(wasserstein_normed(&[3.5, 3.5], &[1.0]), None);
    assert_eq!((ks_p_value(0.5, 0, 10), ks_p_value_corrected(0.5, 0, 10)), (1.0, 1.0));
}

#[test]
fn huge_values_do_not_overflow() {
    let d = wasserstein(&[-1e308, 0.0], &[0.0, 1e308]).unwrap();
    assert!((d / 1e308 - 1.0).abs() < 1e-12, "{d}");
    assert_eq!(wasserstein(&[f64::MIN], &[f64::MAX]), Some(f64::MAX));
    assert_eq!(wasserstein(&[-5e-324], &[5e-324]), Some(1e-323));
    assert!(wasserstein_normed(&[0.0, 5e-324], &[1e308]).unwrap().is_finite());
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![-10.0..10.0, (-5i32..5).prop_map(f64::from)];
    prop::collection::vec(value, 1..40).prop_map(|mut sample| {
        sample.sort_unstable_by(f64::total_cmp);
        sample
    })
}

fn share_up_to(sample: &[f64], x: f64) -> f64 {
    sample.iter().filter(|value| **value <= x).count() as f64 / sample.len() as f64
}

proptest! {
    #[test]
    fn the_sweep_agrees_with_a_recount(a in sample(), b in sample()) {
        let mut all = [a.clone(), b.clone()].concat();
        all.sort_unstable_by(f64::total_cmp);
        let gap = |x: f64| (share_up_to(&a, x) - share_up_to(&b, x)).abs();
        let largest = all.iter().map(|x| gap(*x)).fold(0.0, f64::max);
        prop_assert!((ks(&a, &b).unwrap() - largest).abs() < 1e-12);
        let area: f64 = all.windows(2).map(|pair| gap(pair[0]) * (pair[1] - pair[0])).sum();
        prop_assert!((wasserstein(&a, &b).unwrap() - area).abs() < 1e-9);
    }

    #[test]
    fn a_shift_is_its_own_wasserstein_distance(a in sample(), shift in -50.0..50.0_f64) {
        let moved: Vec<f64> = a.iter().map(|x| x + shift).collect();
        prop_assert!((wasserstein(&a, &moved).unwrap() - shift.abs()).abs() < 1e-9);
    }
}
