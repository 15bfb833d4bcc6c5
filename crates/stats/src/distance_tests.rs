//! Distances: hand-computed cases, the hard cases of the reliability list, and properties.

use super::*;
use crate::bins::{CategoricalBins, NumericBins};
use proptest::prelude::*;

fn numeric(bins: usize) -> Bins {
    NumericBins::equal_width(0.0, 1.0, bins).unwrap().into()
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1e-12), "{got} is not {expected}");
}

#[test]
fn two_bins_by_hand() {
    let bins = numeric(2);
    let d = distances(&bins, &[50, 50, 0], &[75, 25, 0]).unwrap();
    close(d.psi, 0.25 * 1.5_f64.ln() - 0.25 * 0.5_f64.ln());
    close(d.kl, 0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln());
    close(d.total_variation, 0.25);
    close(d.hellinger, (1.0 - (0.375_f64.sqrt() + 0.125_f64.sqrt())).sqrt());
    assert_eq!(d.bins, 2);
}

#[test]
fn disjoint_samples_are_as_far_as_can_be() {
    let d = distances(&numeric(2), &[9, 0, 0], &[0, 5, 0]).unwrap();
    assert_eq!((d.js_divergence, d.js_distance, d.hellinger, d.total_variation), (1.0, 1.0, 1.0, 1.0));
    close(d.psi, 2.0 * (1.0 - FLOOR) * (1.0 / FLOOR).ln());
}

#[test]
fn missing_and_other_are_bins_only_where_a_side_has_them() {
    let bins = Bins::from(CategoricalBins::new(vec!["a".to_owned(), "b".to_owned()]).unwrap());
    let count = |reference: [u64; 4], current: [u64; 4]| distances(&bins, &reference, &current).unwrap().bins;
    assert_eq!(count([5, 0, 0, 0], [5, 0, 0, 0]), 2, "an empty category stays a bin");
    assert_eq!(count([5, 0, 0, 0], [5, 0, 1, 0]), 3);
    assert_eq!(count([5, 0, 0, 2], [5, 0, 1, 0]), 4);
}

#[test]
fn too_little_data_is_not_zero() {
    let bins = numeric(2);
    for (reference, current) in [([0, 0, 0], [1, 0, 0]), ([1, 0, 0], [0, 0, 0]), ([0, 0, 0], [0, 0, 0])] {
        assert_eq!(distances(&bins, &reference, &current), None);
        assert_eq!(psi_and_js(&bins, &reference, &current), None);
        assert_eq!(contributions(&bins, &reference, &current), None);
    }
    assert_eq!(psi_and_js(&bins, &[1, 1], &[1, 1, 0]), None, "a slice of other bins");
}

#[test]
fn a_constant_that_stays_is_zero_and_one_that_moves_is_large_and_finite() {
    let bins = Bins::from(NumericBins::equal_width(3.5, 3.5, 10).unwrap());
    let same = distances(&bins, &[0, 200, 0, 0], &[0, 50, 0, 0]).unwrap();
    assert_eq!((same.psi, same.js_divergence, same.kl), (0.0, 0.0, 0.0));
    let moved = distances(&bins, &[0, 200, 0, 0], &[0, 0, 50, 0]).unwrap();
    assert!(moved.psi > 10.0 && moved.psi.is_finite());
}

fn counts_pair() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let count = prop_oneof![Just(0u64), 0u64..1000, Just(u64::MAX)];
    (2usize..40).prop_flat_map(move |bins| {
        let side = prop::collection::vec(count.clone(), bins + 1);
        (side.clone(), side)
    })
}

proptest! {
    #[test]
    fn every_distance_is_finite_and_in_its_range((reference, current) in counts_pair()) {
        let bins = numeric(reference.len() - 1);
        let Some(d) = distances(&bins, &reference, &current) else { return Ok(()); };
        prop_assert!(d.psi >= 0.0 && d.psi.is_finite());
        prop_assert!(d.kl.is_finite());
        for share in [d.js_divergence, d.js_distance, d.hellinger, d.total_variation] {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        let (psi, js) = psi_and_js(&bins, &reference, &current).unwrap();
        prop_assert!((psi - d.psi).abs() <= 1e-12 * psi.max(1.0));
        prop_assert!((js - d.js_divergence).abs() <= 1e-12);
        let parts = contributions(&bins, &reference, &current).unwrap();
        prop_assert!(parts.iter().all(|part| *part >= 0.0));
        prop_assert!((parts.iter().sum::<f64>() - psi).abs() <= 1e-9 * psi.max(1.0));
    }

    #[test]
    fn psi_and_js_do_not_care_which_side_is_which((reference, current) in counts_pair()) {
        let bins = numeric(reference.len() - 1);
        let there = psi_and_js(&bins, &reference, &current);
        let back = psi_and_js(&bins, &current, &reference);
        match (there, back) {
            (Some((psi, js)), Some((psi_back, js_back))) => {
                prop_assert!((psi - psi_back).abs() <= 1e-12 * psi.max(1.0));
                prop_assert!((js - js_back).abs() <= 1e-12);
            }
            (there, back) => prop_assert!(there.is_none() && back.is_none()),
        }
    }

    #[test]
    fn the_order_of_bins_does_not_matter((reference, current) in counts_pair(), turn in 0usize..40) {
        let bins = numeric(reference.len() - 1);
        let turned = |counts: &[u64]| {
            let mut counts = counts.to_vec();
            let last = counts.len() - 1;
            counts[..last].rotate_left(turn % last);
            counts
        };
        let before = distances(&bins, &reference, &current);
        let after = distances(&bins, &turned(&reference), &turned(&current));
        if let (Some(before), Some(after)) = (before, after) {
            prop_assert!((before.psi - after.psi).abs() <= 1e-9 * before.psi.max(1.0));
            prop_assert!((before.js_divergence - after.js_divergence).abs() <= 1e-9);
            prop_assert!((before.hellinger - after.hellinger).abs() <= 1e-9);
            prop_assert_eq!(before.bins, after.bins);
        }
    }

    #[test]
    fn equal_shares_have_no_distance(counts in prop::collection::vec(0u64..1000, 3..30), times in 1u64..50) {
        let bins = numeric(counts.len() - 1);
        let multiple: Vec<u64> = counts.iter().map(|count| count * times).collect();
        if let Some(d) = distances(&bins, &counts, &multiple) {
            prop_assert!(d.psi.abs() < 1e-12 && d.js_divergence < 1e-12 && d.total_variation < 1e-12);
        }
    }
}
